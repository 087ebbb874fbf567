"""Processes of a build: faults in one line, no process left behind, Ctrl-C, a process that is killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from mllmqa.data.build import Order, Source, build
from mllmqa.data.build.workers import AHEAD, outcomes
from mllmqa.errors import MllmqaError, UsageError
from tests.data.build.built_here import MANY, ONE, left_out, media, order, photos, recipe, samples, tree

BODY = 'return [made.sample("identify", made.photo(made.chance("plan")))]'


def broken(folder: Path, body: str, n: int = 4) -> Order:
    """An order for a recipe whose items 0 and 1 are good, and whose further ones do this."""
    text = ONE.replace(BODY, f"if made.number < 2:\n        {BODY}\n    {body}")
    assert body in text
    return order(recipe(folder, text), folder / "out", [Source("photos", photos(folder / "photos", 3))], n)


FAULTS = [
    ("1 / 0", r"many\.py, line 8: fails at item 2 \(ZeroDivisionError: division by zero\)"),
    ("return None", r"many\.py: fails at item 2 \(TypeError: 'NoneType' object is not iterable\)"),
    ("return ['a sample']", r"many\.py: item 2 gave a str; expected what Item\.sample makes"),
    (
        'return [made.sample("identify", made.photo(made.chance())).model_copy(update={"id": "mine"})]',
        r"many\.py: item 2 gave a sample 'mine'; expected what Item\.sample makes",
    ),
    ('made.sample("poetry", made.photo(made.chance()))', r"no task 'poetry'; expected score \| level"),
    ("from mllmqa.errors import UsageError; raise UsageError('wrong option')", "^wrong option$"),
    (
        "import mllmqa.errors as e; raise e.MissingExtraError('piq', extra='fullref', purpose='it')",
        r'it needs the package piq.*pip install "mllmqa\[fullref\]"',
    ),
    ("made.number_of('size')", r"many\.py, line 8: fails at item 2 \(KeyError: 'size'\)"),
]


@pytest.mark.parametrize(("body", "message"), FAULTS)
def test_a_fault_of_a_recipe_is_one_line_that_names_recipe_and_item(
    body: str, message: str, tmp_path: Path
) -> None:
    wanted = broken(tmp_path, body)
    with pytest.raises(UsageError, match=message) as caught:
        build(wanted)
    assert "\n" not in str(caught.value)
    kept = (tmp_path / "out" / "samples.jsonl.partial").read_text(encoding="utf-8").splitlines()
    assert len(kept) == 2  # what was good before is kept, to be continued


@pytest.mark.parametrize("place", [0, 6])
def test_a_fault_in_another_process_is_the_same_line(place: int, tmp_path: Path) -> None:
    body, message = FAULTS[place]
    with pytest.raises(UsageError, match=message):
        build(broken(tmp_path, body), workers=2)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("return []", "many-0-0000002: the recipe made no sample of it"),
        (
            "from mllmqa.data.sample_labels import Mos\n    "
            "Mos(media='A', value=9.0, low=1.0, high=5.0, direction='higher-better')",
            "many-0-0000002: field value is 9; expected a number from 1 to 5",
        ),
        ("made.sample('identify')", "0 media are asked about; expected 1 to 8"),
        ("made.rated()", "no rated media to draw from"),
        (
            "from mllmqa.data.sample_labels import Level\n    p = made.photo(made.chance())\n    "
            "made.sample('level', p, levels=[Level(media='B', word='a', scale=('a', 'b'))])",
            "many-0-0000002: field labels.levels.0.media is 'B'; expected a key of the media: A",
        ),
    ],
)
def test_labels_that_cannot_be_leave_the_item_out(body: str, message: str, tmp_path: Path) -> None:
    text = ONE.replace(BODY, f"if made.number != 2:\n        {BODY}\n    {body}")
    wanted = order(recipe(tmp_path, text), tmp_path / "out", [Source("photos", photos(tmp_path / "photos", 3))], 4)
    built = build(wanted)
    assert (built.n, dict(built.left_out)) == (4, {"data": 1})
    (one,) = left_out(tmp_path / "out")
    assert one == {"item": 2, "reason": "data", "message": message}


def test_an_item_that_is_left_out_leaves_no_files(tmp_path: Path) -> None:
    body = (
        'made.sample("identify", draw.one(made.photo(made.chance()), made.chance("d")))\n    raise DataError("no")'
    )
    text = ONE.replace(BODY, f"if made.number % 2:\n        {BODY}\n    {body}")
    text = text.replace("import Item", "import draw, Item") + "\nfrom mllmqa.errors import DataError\n"
    build(order(recipe(tmp_path, text), tmp_path / "out", [Source("photos", photos(tmp_path / "photos", 3))], 3))
    assert len(left_out(tmp_path / "out")) == 3
    assert all("pristine" in path for path in media(tmp_path / "out"))


def test_a_full_disk_ends_the_run(tmp_path: Path) -> None:
    wanted = broken(tmp_path, BODY)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "media").touch()  # no folder can be made there
    with pytest.raises(
        UsageError, match=r"out/media/pristine: cannot be read or written: .*; put it right, and go on"
    ):
        build(wanted)


def test_a_killed_process_is_told_in_one_line(tmp_path: Path) -> None:
    wanted = broken(tmp_path, "import os, signal\n    os.kill(os.getpid(), signal.SIGKILL)", n=6)
    with pytest.raises(
        MllmqaError, match=r"a process was killed while it made one of the items [0-2] to \d+"
    ) as caught:
        build(wanted, workers=2)
    assert "go on with --resume and fewer --workers" in str(caught.value)


def test_outcomes_come_in_order_and_only_as_many_as_are_wanted(tmp_path: Path) -> None:
    text = ONE.replace(BODY, f"import os; os.makedirs({str(tmp_path)!r} + f'/count/{{made.number}}')\n    {BODY}")
    wanted = order(recipe(tmp_path, text), tmp_path / "out", [Source("photos", photos(tmp_path / "photos", 3))], 1)
    with closing(outcomes(wanted, 5, None, 2)) as made:
        assert [next(made).number for _ in range(3)] == [5, 6, 7]
    begun = {int(path.name) for path in (tmp_path / "count").iterdir()}
    assert begun <= set(range(5, 5 + 3 + 2 * AHEAD))
    with closing(outcomes(wanted, 0, 2, 1)) as made:
        assert [one.number for one in made] == [0, 1]


# ------------------------------------------------------------------ signals


def started(folder: Path, workers: int, text: str = MANY) -> subprocess.Popen[bytes]:
    """Start a build without end in a process group of its own."""
    command = [
        sys.executable,
        "-m",
        "mllmqa",
        "build",
        recipe(folder, text),
        "--src",
        f"photos={photos(folder / 'in')}",
    ]
    command += ["--out", folder / "out", "--n", "100000", "--workers", str(workers)]
    return subprocess.Popen(list(map(str, command)), stderr=subprocess.PIPE, start_new_session=True)


def wait_for(what: Callable[[], bool]) -> None:
    """Wait until something is so; what takes a minute does not come."""
    for _ in range(6000):
        if what():
            return
        time.sleep(0.01)
    raise AssertionError("it did not come")


def lines(path: Path) -> int:
    return path.read_bytes().count(b"\n") if path.exists() else 0


@pytest.mark.parametrize(("workers", "when"), [(1, 3), (2, 0), (2, 3)])
def test_ctrl_c_is_one_line_and_the_run_goes_on(workers: int, when: int, tmp_path: Path) -> None:
    """Also while processes are being started: Ctrl-C reaches them all."""
    process = started(tmp_path, workers)
    out = tmp_path / "out"
    wait_for((out / "build.json").exists)
    wait_for(lambda: lines(out / "samples.jsonl.partial") >= when)
    os.killpg(process.pid, signal.SIGINT)
    _, err = process.communicate()
    assert process.returncode == 130, err
    assert err.decode().splitlines()[1:] == ["mllmqa: interrupted"], err.decode()
    n = lines(out / "samples.jsonl.partial") + 2
    source = Source("photos", tmp_path / "in")
    build(order(tmp_path / "many.py", out, [source], n), continued=True)
    build(order(tmp_path / "many.py", tmp_path / "fresh", [source], n))
    assert tree(out) == tree(tmp_path / "fresh")
    assert len(samples(out)) == n


def test_processes_end_with_the_one_that_started_them(tmp_path: Path) -> None:
    text = MANY.replace(
        "def item(made):", "def item(made):\n    open(f'{made.folder.root}/pid-{os.getpid()}', 'w').close()"
    )
    assert text != MANY
    process = started(tmp_path, 2, text)
    wait_for(lambda: len(list((tmp_path / "out").glob("pid-*"))) == 2)
    process.kill()
    process.communicate()
    pids = [int(path.name.removeprefix("pid-")) for path in (tmp_path / "out").glob("pid-*")]
    assert process.pid not in pids
    wait_for(lambda: not any(alive(pid) for pid in pids))


def alive(pid: int) -> bool:
    """Tell whether a process runs; one that has ended and that nobody waits for does not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state not in "ZX"
