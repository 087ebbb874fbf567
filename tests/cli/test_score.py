"""The score command as a user meets it: output, exit codes, files, kill and resume."""

from __future__ import annotations

import csv
import functools
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from PIL import Image

from mllmqa.cli.app import _continues
from mllmqa.records import read_jsonl
from mllmqa.schema import Score, Unscored, read_result
from tests.conftest import Run, photo_pixels

GOLDEN = Path(__file__).parents[1] / "golden"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three photos and one file that is none."""
    place = tmp_path / "photos"
    place.mkdir()
    for i in range(3):
        Image.fromarray(photo_pixels(64, 48, seed=i)).save(place / f"p{i}.png")
    (place / "broken.jpg").write_text("not a picture")
    return place


def test_one_image_is_one_row(run: Run, photo: Path) -> None:
    ran = run("score", photo)
    assert ran.code == 0
    header, row = ran.out.splitlines()
    assert header.split() == ["score", "±", "std", "level", "file"]
    assert row.endswith(str(photo))
    assert 1 <= float(row.split()[0]) <= 5
    assert ran.err == ""


def test_json_is_the_record(run: Run, photo: Path) -> None:
    ran = run("score", photo, "--json")
    (line,) = ran.out.splitlines()
    assert isinstance(read_result(line), Score)
    assert list(json.loads(line))[:4] == ["schema_version", "status", "source", "aspect"]


def test_scale_is_for_display_only(run: Run, photo: Path) -> None:
    five = float(run("score", photo).out.splitlines()[1].split()[0])
    hundred = float(run("score", photo, "--scale", "100").out.splitlines()[1].split()[0])
    assert hundred == pytest.approx((five - 1) * 25, abs=0.3)
    assert json.loads(run("score", photo, "--scale", "100", "--json").out)["value"] == pytest.approx(five, abs=0.01)


def test_a_bad_file_is_one_line_and_the_rest_is_scored(run: Run, folder: Path) -> None:
    ran = run("score", folder, "--json")
    assert ran.code == 1
    results = [read_result(line) for line in ran.out.splitlines()]
    assert [Path(r.source).name for r in results] == ["broken.jpg", "p0.png", "p1.png", "p2.png"]
    assert [r.status for r in results] == ["unscored", "scored", "scored", "scored"]
    lines = ran.err.splitlines()
    assert lines[0].startswith("unscored: ")
    assert "broken.jpg" in lines[0]
    assert lines[1:] == ["scored 3, unscored 1"]


def test_globs_lists_and_stdin(run: Run, folder: Path) -> None:
    assert len(run("score", folder / "*.png", "--json").out.splitlines()) == 3
    listed = "\n".join(str(folder / f"p{i}.png") for i in (2, 0)) + "\n\n"
    names = [
        json.loads(x)["source"]
        for x in run("score", "--from-file", "-", "--json", stdin=listed.encode()).out.splitlines()
    ]
    assert [Path(n).name for n in names] == ["p2.png", "p0.png"]
    ran = run("score", "-", "--json", stdin=(folder / "p1.png").read_bytes())
    assert json.loads(ran.out)["source"] == "-"
    assert json.loads(ran.out)["value"] == json.loads(run("score", folder / "p1.png", "--json").out)["value"]


def test_lists_with_a_mark_odd_bytes_and_windows_line_ends(run: Run, folder: Path, tmp_path: Path) -> None:
    odd = os.fsdecode(b"odd\xff.png")
    (folder / "p0.png").rename(folder / odd)
    names = b"\r\n".join(os.fsencode(folder / name) for name in ("p1.png", odd))
    listed = tmp_path / "list.txt"
    listed.write_bytes(b"\xef\xbb\xbf" + names + b"\r\n")
    ran = run("score", "--from-file", listed, "--json")
    assert ran.code == 0, ran.err
    assert json.loads(ran.out.splitlines()[1])["source"].endswith("odd\\udcff.png")
    listed.write_bytes(b"\n\n")
    assert "names nothing" in run("score", "--from-file", listed).err


def test_an_input_named_twice_is_one_record(run: Run, photo: Path, tmp_path: Path) -> None:
    assert len(run("score", photo, photo, "--json").out.splitlines()) == 1


def test_resume_keeps_limit_and_exit_code(run: Run, folder: Path, tmp_path: Path) -> None:
    (folder / "broken.jpg").write_bytes((folder / "p0.png").read_bytes()[:500])  # refused for good
    out = tmp_path / "out.jsonl"
    arguments = ("score", folder, "--jsonl", out, "--limit", 2)
    assert run(*arguments).code == 1
    again = run(*arguments, "--resume")
    assert again.code == 1
    assert "scored 0, unscored 0, 2 already in the file (1 of them unscored)" in again.err
    assert len(list(read_jsonl(out))) == 2


def test_results_that_cannot_be_written_are_one_line(photo: Path) -> None:
    with Path("/dev/full").open("wb") as full:
        ran = subprocess.run(
            [sys.executable, "-m", "mllmqa", "score", str(photo), "--json"],
            stdout=full, stderr=subprocess.PIPE, text=True, check=False,
        )  # fmt: skip
    assert ran.returncode == 2
    assert ran.stderr.count("\n") == 1
    assert ran.stderr.endswith("No space left on device\n")  # there is no file to go on with


@pytest.mark.parametrize(
    ("arguments", "continues"),
    [
        (["score", "x", "--jsonl", "a"], True),
        (["score", "x", "--csv=a"], True),
        (["build", "qalign"], True),
        (["data", "rewrite", "a"], True),
        (["score", "x", "--json"], False),
        (["data", "show", "a"], False),
        ([], False),
    ],
)
def test_what_can_be_continued(arguments: list[str], continues: bool) -> None:
    assert _continues(arguments) == continues


@pytest.mark.parametrize(
    ("closed", "code", "said"),
    [(">&-", 2, "mllmqa: stdout is closed; expected a place for results, e.g. >/dev/null\n"), ("2>&-", 0, "")],
)
def test_closed_streams_are_one_line(closed: str, code: int, said: str) -> None:
    """Python gives no stream at all for a closed one."""
    ran = subprocess.run(
        ["sh", "-c", f'exec "{sys.executable}" -m mllmqa models show nano --json {closed}'],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (ran.returncode, ran.stderr) == (code, said)
    assert ran.stdout.startswith('{"name": "nano"') == (code == 0)


def test_an_error_does_not_go_to_stdout_when_stderr_is_closed() -> None:
    ran = subprocess.run(
        ["sh", "-c", f'exec "{sys.executable}" -m mllmqa models show nanno 2>&-'],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (ran.returncode, ran.stdout, ran.stderr) == (2, "", "")


@pytest.mark.parametrize(
    ("name", "stdin", "line"),
    [
        ("", None, "unscored: '': no such file; expected a path that is not empty"),
        ("-", b"", "unscored: -: the stream is empty (0 bytes); expected an image or a video"),
    ],
)
def test_nothing_as_input_is_told_clearly(name: str, stdin: bytes | None, line: str, run: Run) -> None:
    ran = run("score", name, stdin=stdin)
    assert ran.code == 1
    assert line in ran.err.splitlines()


def test_image_and_video_say_what_is_expected(run: Run, photo: Path) -> None:
    assert run("score", "--image", photo).code == 0
    ran = run("score", "--video", photo)
    assert ran.code == 1
    assert "of the kind image (png); expected video" in ran.err


def test_limit(run: Run, folder: Path) -> None:
    assert len(run("score", folder, "--json", "--limit", 2).out.splitlines()) == 2


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_files_of_results(kind: str, run: Run, folder: Path, tmp_path: Path) -> None:
    path = tmp_path / f"out.{kind}"
    ran = run("score", folder, f"--{kind}", path)
    assert (ran.code, ran.out) == (1, "")
    again = run("score", folder, f"--{kind}", path)
    assert again.code == 2
    assert "--resume" in again.err
    Image.fromarray(photo_pixels(64, 48, seed=9)).save(folder / "p9.png")
    more = run("score", folder, f"--{kind}", path, "--resume")
    assert "3 already in the file" in more.err
    assert more.code == 1
    if kind == "jsonl":
        names = [r.source for r in read_jsonl(path)]
    elif kind == "csv":
        with path.open(newline="") as file:
            names = [row["source"] for row in csv.DictReader(file)]
    else:
        parquet = pytest.importorskip("pyarrow.parquet")
        names = parquet.read_table(path).column("source").to_pylist()
    assert sorted(Path(n).name for n in names) == ["broken.jpg", "p0.png", "p1.png", "p2.png", "p9.png"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "nothing to score"),
        (["x.png", "--scale", "10"], "expected 5 or 100"),
        (["x.png", "--json", "--csv", "a.csv"], "exclude each other"),
        (["x.png", "--resume"], "--resume continues a file"),
        (["x.png", "--batch-size", "many"], "auto or a whole number"),
        (["x.png", "--model", "nanno"], "did you mean 'nano'"),
        (["x.png", "--model", "."], "this folder holds no model"),
        (["x.png", "--device", "abacus"], "device 'abacus'"),
        (["x.png", "--dtype", "int3"], "unknown dtype"),
        (["x.png", "--aspect", "taste"], "no aspect 'taste'"),
        (["x.png", "--frames", "some"], "frame rule"),
        (["x.png", "--frames", ""], "no frame rule is called ''"),
        (["x.png", "--view", ""], "no view is called ''"),
        (["--from-file", "/nonexistent.txt"], "/nonexistent.txt"),
        (["-", "--from-file", "-"], "more than once"),
        (["-", "--jsonl", "a.jsonl", "--resume"], "cannot be found again"),
        (["x.png", "--batch-size", "²"], "auto or a whole number"),
        (["x.png", "--model", "m" * 300], "no model"),
        (["x.png", "--jsonl", "/no/such/folder/a.jsonl"], "cannot be written"),
        (["x.png", "--jsonl", "/dev/full", "--resume"], "not a regular file"),
    ],
)
def test_usage_errors_are_one_line_and_exit_2(arguments: list[str], message: str, run: Run) -> None:
    ran = run("score", *arguments)
    assert (ran.code, ran.out) == (2, "")
    assert message in ran.err
    assert ran.err.count("\n") == 1
    assert "Traceback" not in ran.err


def test_an_empty_folder_is_a_record(run: Run, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    ran = run("score", tmp_path / "empty", "--json")
    assert ran.code == 1
    found = read_result(ran.out)
    assert isinstance(found, Unscored)
    assert found.reason == "not-found"


def test_a_name_cannot_steer_the_terminal(run: Run, tmp_path: Path) -> None:
    evil = tmp_path / "a\x1b[31m\nb.png"
    Image.fromarray(photo_pixels(64, 48)).save(evil)
    out = run("score", tmp_path).out
    assert "\x1b" not in out
    assert out.count("\n") == 2


def test_per_frame_rows(run: Run, tmp_path: Path) -> None:
    pictures = [Image.fromarray(photo_pixels(64, 48, seed=i)) for i in range(3)]
    pictures[0].save(tmp_path / "a.gif", save_all=True, append_images=pictures[1:], duration=200, loop=0)
    rows = run("score", tmp_path / "a.gif", "--per-frame", "--frames", "all").out.splitlines()
    assert [row.split("  ")[-1].strip() for row in rows[2:]] == ["at 0.000 s", "at 0.200 s", "at 0.400 s"]


@pytest.mark.parametrize(
    "command",
    [
        [],
        ["score"],
        ["models"],
        ["models", "show"],
        ["convert"],
        ["data"],
        ["data", "ls"],
        ["data", "info"],
        ["data", "check"],
    ],
)
def test_help_is_as_committed(command: list[str], run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "dumb")
    golden = GOLDEN / f"help{'-'.join(['', *command])}.txt"
    assert run(*command, "--help").out == golden.read_text(encoding="utf-8")


def test_models_are_listed(run: Run) -> None:
    found = {m["name"]: m for m in map(json.loads, run("models", "--json").out.splitlines())}
    assert found["nano"]["on_this_machine"] is True
    assert found["llava-1.5"]["on_this_machine"] is False
    table = run("models").out
    assert all(name in table for name in found)


def test_ctrl_c_stops_with_130_and_leaves_a_file_to_continue(tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    for i in range(40):
        Image.fromarray(photo_pixels(48, 48, seed=i)).save(photos / f"{i:03}.png")
    out = tmp_path / "out.jsonl"
    command = [sys.executable, "-m", "mllmqa", "score", str(photos), "--jsonl", str(out)]
    # A job in the background of a script inherits SIGINT as ignored; a terminal's does not.
    terminal = functools.partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, preexec_fn=terminal)
    while process.poll() is None and (not out.exists() or out.read_bytes().count(b"\n") < 5):
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate()
    assert process.returncode == 130
    assert err == "mllmqa: interrupted\n"
    assert 5 <= len(list(read_jsonl(out))) < 40


def test_killed_in_the_middle_and_resumed_every_input_is_there_once(tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    for i in range(60):
        Image.fromarray(photo_pixels(48, 48, seed=i)).save(photos / f"{i:03}.png")
    out = tmp_path / "out.jsonl"
    command = [sys.executable, "-m", "mllmqa", "score", str(photos), "--jsonl", str(out)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    first = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL)
    while first.poll() is None and (not out.exists() or out.read_bytes().count(b"\n") < 10):
        time.sleep(0.02)
    first.send_signal(signal.SIGKILL)
    assert first.wait() == -signal.SIGKILL, "it was done before it could be killed"
    before = out.read_bytes().count(b"\n")
    assert before < 60
    second = subprocess.run([*command, "--resume"], env=environment, capture_output=True, text=True, check=False)
    assert second.returncode == 0, second.stderr
    assert f"{before} already in the file" in second.stderr
    assert sorted(Path(r.source).name for r in read_jsonl(out)) == [f"{i:03}.png" for i in range(60)]
