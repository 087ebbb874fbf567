"""Sets do not depend on the number of processes, nor on where a run was killed and continued."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mllmqa.data.build import Order, Source, build
from mllmqa.data.build.run import FRUITLESS
from mllmqa.data.tasks.agreement import disagreements
from mllmqa.data.tasks.compose import rebuilt
from mllmqa.data.video_distortions import read_clip
from mllmqa.errors import DataError, UsageError
from tests.data.build.built_here import (
    CLIPS,
    COLUMNS,
    MOS,
    ONE,
    clips,
    left_out,
    media,
    order,
    photos,
    recipe,
    samples,
    shown,
    table,
    tree,
)  # fmt: skip

N, SEED = 17, 3


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Order, dict[str, bytes]]:
    """An order of 17 samples, and its files by one process without a break."""
    root = tmp_path_factory.mktemp("whole")
    whole = order(recipe(root), root / "out", [Source("photos", photos(root / "photos"))], N, seed=SEED)
    build(whole)
    return whole, tree(whole.folder)


def item_of(name: str) -> int:
    """The number of the item that a sample or a file is of."""
    return int(name.split("-")[-2])


def test_a_set_is_whole_and_true(made: tuple[Order, dict[str, bytes]]) -> None:
    whole, files = made
    found = samples(whole.folder)
    assert len(found) == N
    assert len({sample.id for sample in found}) == N
    assert {sample.task for sample in found} == {"identify", "rate"}
    for sample in found:
        assert disagreements(sample) == []
        assert rebuilt(sample) == sample
    gone = left_out(whole.folder)
    assert gone and all(one["reason"] == "data" and "drawn to be left out" in one["message"] for one in gone)
    items = {item_of(sample.id) for sample in found} | {one["item"] for one in gone}
    assert len({path for path in shown(whole.folder) if "pristine" in path}) > 2
    assert items == set(range(max(items) + 1))  # every item gave samples, or a reason
    assert media(whole.folder) == shown(whole.folder)  # none missing, none left over
    told = json.loads(files["build.json"])
    assert told["result"]["n"] == N and told["result"]["left_out"] == {"data": len(gone)}


def test_clips_do_not_depend_on_the_number_of_processes(tmp_path: Path) -> None:
    source = Source("clips", clips(tmp_path / "clips"))
    wanted = order(recipe(tmp_path, CLIPS), tmp_path / "one", [source], 6)
    build(wanted)
    build(replace(wanted, folder=tmp_path / "two"), workers=2)
    assert tree(tmp_path / "one") == tree(tmp_path / "two")
    found = samples(tmp_path / "one")
    assert {medium.kind for sample in found for medium in sample.media} == {"video"}
    assert all(disagreements(sample) == [] for sample in found)
    for path in sorted(shown(tmp_path / "one")):
        assert len(read_clip(tmp_path / "one" / path).frames_THWC) > 1
    assert media(tmp_path / "one") == shown(tmp_path / "one")


@pytest.mark.parametrize("workers", [2, 3])
def test_any_number_of_processes_gives_the_same_files(
    made: tuple[Order, dict[str, bytes]], workers: int, tmp_path: Path
) -> None:
    whole, files = made
    again = replace(whole, folder=tmp_path / "out")
    build(again, workers=workers)
    assert tree(again.folder) == files


@pytest.mark.parametrize(
    ("place", "how", "workers"),
    [(0, "early", 1), (0, "late", 1), (2, "late", 1), (3, "early", 1), (2, "parent", 2)],
)
def test_a_killed_run_goes_on_to_the_same_files(
    made: tuple[Order, dict[str, bytes]], place: int, how: str, workers: int, tmp_path: Path
) -> None:
    """Killed before or after the files of an item, or the writer while an item is made."""
    whole, files = made
    kill = f"{list(dict.fromkeys(item_of(sample.id) for sample in samples(whole.folder)))[place]}:{how}"
    (photos_described,) = whole.sources.described
    command = [sys.executable, "-m", "mllmqa", "build", whole.recipe, "--src", f"photos={photos_described['path']}"]
    command += ["--out", str(tmp_path / "out"), "--n", str(N), "--workers", str(workers), "--seed", str(SEED)]
    killed = subprocess.run(command, env={**os.environ, "TEST_KILL": kill}, capture_output=True, check=False)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert not (tmp_path / "out" / "samples.jsonl").exists()
    build(replace(whole, folder=tmp_path / "out"), continued=True)
    assert tree(tmp_path / "out") == files


@given(st.data())
@settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_cut_at_any_byte_it_goes_on_to_the_same_files(
    made: tuple[Order, dict[str, bytes]], data: st.DataObject
) -> None:
    """What is on disk after a kill: whole lines, a torn one, records and files of items to come."""
    whole, files = made
    folder = whole.folder.with_name("cut")
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(whole.folder, folder)
    text = files["samples.jsonl"]
    end = data.draw(st.integers(0, len(text)) | st.sampled_from([k + 1 for k, c in enumerate(text) if c == 10]))
    (folder / "samples.jsonl").unlink()
    (folder / "samples.jsonl.partial").write_bytes(text[:end])
    gone = files["left_out.jsonl"] + b'{"item": 90, "reason": "data", "message": "ahead"}\n{"item": 91, "rea'
    (folder / "left_out.jsonl").write_bytes(gone)
    half = ("0000/many-3-0000099-1.png", "0000/.many-3-0000001-1.png.77.partial", "pristine/x-123456789012.png")
    for name in half:
        (folder / "media" / name).write_bytes(b"half")
    lost = data.draw(st.sampled_from(sorted(path for path in files if path.startswith("media/0000"))))
    if item_of(lost) > text[:end].count(b"\n"):  # certainly of an item to come
        (folder / lost).unlink()
    built = build(replace(whole, folder=folder), continued=True)
    assert tree(folder) == files
    assert built.n == N and built.n_before == text[:end].count(b"\n")
    assert built.left_out.total() == len(left_out(folder))


@pytest.mark.parametrize("first", [1, 4, 16])
def test_more_samples_are_added_as_if_they_had_been_wanted_at_once(
    made: tuple[Order, dict[str, bytes]], first: int, tmp_path: Path
) -> None:
    whole, files = made
    short = replace(whole, folder=tmp_path / "out", n=first)
    build(short)
    assert media(short.folder) == shown(short.folder)
    assert len(samples(short.folder)) == first
    built = build(replace(short, n=N), continued=True)
    assert (built.n, built.n_before) == (N, first)
    assert tree(short.folder) == files


def test_a_finished_run_continued_changes_nothing(made: tuple[Order, dict[str, bytes]]) -> None:
    whole, files = made
    built = build(whole, continued=True)
    assert (built.n, built.n_before, built.tasks.total()) == (N, N, 0)
    assert built.left_out.total() > 0  # what is left out is told again
    assert tree(whole.folder) == files


def test_fewer_samples_than_there_are_are_refused(made: tuple[Order, dict[str, bytes]]) -> None:
    whole, files = made
    with pytest.raises(UsageError, match=f"has {N} samples already; expected --n {N} or more"):
        build(replace(whole, n=3), continued=True)
    assert tree(whole.folder) == files


def test_a_folder_that_holds_a_set_is_refused(made: tuple[Order, dict[str, bytes]]) -> None:
    whole, files = made
    with pytest.raises(UsageError, match=r"samples\.jsonl: this file exists already; continue it with --resume"):
        build(whole)
    assert tree(whole.folder) == files


def test_what_was_begun_otherwise_is_not_continued(made: tuple[Order, dict[str, bytes]], tmp_path: Path) -> None:
    whole, files = made
    fewer = Source("photos", photos(tmp_path / "fewer", 3))
    text = Path(whole.recipe).read_text(encoding="utf-8")
    changed = recipe(tmp_path, f"{text}\n# another text\n")
    others = {
        "another seed: 3; expected 1": replace(whole, seed=1),
        "another options.short_px: 48; expected 40": replace(whole, options={"short_px": 40}),
        'another part: null; expected "val"': replace(whole, part="val"),
        r"another sources\.0\.path: ": order(whole.recipe, whole.folder, [fewer], N, seed=SEED),
        "another recipe_sha256: ": replace(whole, recipe=str(changed)),
    }
    for message, other in others.items():
        with pytest.raises(UsageError, match=message):
            build(other, continued=True)
    assert tree(whole.folder) == files


def test_changed_photos_are_another_source(tmp_path: Path) -> None:
    source = Source("photos", photos(tmp_path / "photos", 3))
    path = recipe(tmp_path, ONE)
    build(order(path, tmp_path / "out", [source], 2))
    photos(tmp_path / "photos", 1, start=7)
    with pytest.raises(UsageError, match=r"another sources\.0\.n: 3; expected 4; use the same sources"):
        build(order(path, tmp_path / "out", [source], 3), continued=True)


def test_nothing_to_be_continued(tmp_path: Path) -> None:
    wanted = order(recipe(tmp_path, ONE), tmp_path / "out", [Source("photos", photos(tmp_path / "photos", 2))], 2)
    with pytest.raises(UsageError, match="out: there is no build to be continued; leave out --resume"):
        build(wanted, continued=True)
    assert not (tmp_path / "out").exists()
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "samples.jsonl.partial").touch()  # killed before it said what it builds
    assert build(wanted, continued=True).n == 2


def test_a_sample_that_is_not_given_again_is_named(made: tuple[Order, dict[str, bytes]], tmp_path: Path) -> None:
    whole, files = made
    folder = tmp_path / "out"
    shutil.copytree(whole.folder, folder)
    (folder / "samples.jsonl").unlink()
    first = files["samples.jsonl"].splitlines(keepends=True)[0]
    name = samples(whole.folder)[0].id
    (folder / "samples.jsonl.partial").write_bytes(first.replace(name.encode(), f"{name[:-1]}9".encode()))
    message = f"the item of the last sample, {name[:-1]}9, does not give it again: it gives {name}"
    with pytest.raises(DataError, match=message):
        build(replace(whole, folder=folder), continued=True)


def test_a_run_without_fruit_ends(tmp_path: Path) -> None:
    source = Source("photos", photos(tmp_path / "photos", 2, width=44, height=44))
    wanted = order(recipe(tmp_path, ONE), tmp_path / "out", [source], 5)
    message = f"{FRUITLESS} items in a row gave no sample, the last: .* cannot be shrunk"
    with pytest.raises(DataError, match=message):
        build(wanted)
    assert len(left_out(tmp_path / "out")) == FRUITLESS


def test_a_pass_over_rated_media_gives_one_sample_for_each(tmp_path: Path) -> None:
    path = table(tmp_path / "rated", [(f"a{k}.png", 1 + k / 4) for k in range(9)])
    (tmp_path / "rated" / "a3.png").write_bytes(b"no picture")
    opened = {"columns": COLUMNS, "scale": MOS}
    once = order("qalign", tmp_path / "out", [Source("rated", path)], opened=opened)
    built = build(once)
    assert built.n == 8 and built.left_out.total() == 1
    assert "a3.png" in left_out(tmp_path / "out")[0]["message"]
    assert {Path(one).name for one in shown(tmp_path / "out")} == {f"a{k}.png" for k in range(9) if k != 3}
    before = tree(tmp_path / "out")
    assert build(once, continued=True).n == 8
    assert tree(tmp_path / "out") == before
    twice = build(replace(once, n=16), continued=True)
    assert twice.n == 16
    build(replace(once, n=16, folder=tmp_path / "at once"))
    assert (tmp_path / "at once/samples.jsonl").read_bytes() == (tmp_path / "out/samples.jsonl").read_bytes()
    assert (tmp_path / "at once/left_out.jsonl").read_bytes() == (tmp_path / "out/left_out.jsonl").read_bytes()


def test_all_left_out_is_an_empty_set_with_reasons(tmp_path: Path) -> None:
    path = table(tmp_path / "rated", [("a.png", 3)])
    (tmp_path / "rated" / "a.png").write_bytes(b"")
    once = order("qalign", tmp_path / "out", [Source("rated", path)], opened={"columns": COLUMNS, "scale": MOS})
    built = build(once)
    assert (built.n, built.left_out.total()) == (0, 1)
    assert samples(tmp_path / "out") == []


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    source = Source("photos", photos(tmp_path / "photos", 2))
    wanted = order(recipe(tmp_path, ONE), tmp_path / "out", [source], 2)
    for other, message in (
        (replace(wanted, n=None), "one makes as many samples as are wanted; expected --n NUMBER"),
        (replace(wanted, recipe="qalign"), "qalign needs rated; expected --src a data set with opinion scores"),
        (replace(wanted, n=0), "0 samples by 1 processes; expected at least 1 of each"),
        (replace(wanted, folder=tmp_path / "photos" / "out"), "lies in a source of photos"),
        (replace(wanted, folder=tmp_path / "photos"), "lies in a source of photos: .* expected a folder outside"),
    ):
        named = replace(other, recipe=str(recipe(tmp_path, ONE, "one.py"))) if other.recipe != "qalign" else other
        with pytest.raises(UsageError, match=message):
            build(named)
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="cannot be made: "):
        build(replace(wanted, folder=tmp_path / "file" / "out"))
    part = order(wanted.recipe, tmp_path / "out", [source], 2, part="test", opened={"part": "test"})
    if not part.sources.photos:
        with pytest.raises(UsageError, match="needs photos of the part test"):
            build(part)


def test_relative_absolute_and_linked_paths_are_the_same(
    made: tuple[Order, dict[str, bytes]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, files = made
    root = whole.folder.parent
    (tmp_path / "link").symlink_to(root)
    monkeypatch.chdir(tmp_path / "link")
    relative = order(Path("many.py"), Path("again"), [Source("photos", Path("photos"))], N, seed=SEED)
    build(relative)
    assert tree(root / "again") == files
    shutil.rmtree(root / "again")
    source = Source("photos", tmp_path / "link/photos")
    linked = order(tmp_path / "link/many.py", tmp_path / "out", [source], N, seed=SEED)
    build(linked)
    assert tree(tmp_path / "out") == files


def test_items_are_made_when_they_are_needed(tmp_path: Path) -> None:
    counted = ONE.replace(
        "return [", f"import os; os.makedirs({str(tmp_path)!r} + f'/count/{{made.number}}')\n    return ["
    )
    path = recipe(tmp_path, counted)
    build(order(path, tmp_path / "out", [Source("photos", photos(tmp_path / "photos", 2))], 5))
    assert {path.name for path in (tmp_path / "count").iterdir()} == set("01234")
