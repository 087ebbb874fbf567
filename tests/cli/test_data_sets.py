"""`mllmqa data ls|info|check` as a user meets them: what is shown, and the exit codes."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from mllmqa.cli.app import main


class Ran(NamedTuple):
    code: int
    out: str
    err: str


Run = Callable[..., Ran]


@pytest.fixture
def run(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    def call(*arguments: object) -> Ran:
        monkeypatch.setattr(sys, "argv", ["mllmqa", "data", *map(str, arguments)])
        with pytest.raises(SystemExit) as stopped:
            main()
        out, err = capfd.readouterr()
        return Ran(int(stopped.value.code or 0), out, err)

    monkeypatch.setenv("COLUMNS", "160")
    return call


@pytest.fixture
def table(tmp_path: Path) -> Path:
    for k in range(3):
        (tmp_path / f"{k}.png").touch()
    path = tmp_path / "mine.csv"
    path.write_text("file,mos,sd\n0.png,1.5,0.4\n1.png,3,0.5\n2.png,4.5,0.6\n")
    return path


STATED = ("--columns", "path=file,score=mos,std=sd", "--direction", "mos", "--range", "1:5")


def test_ls_shows_every_data_set(run: Run) -> None:
    shown = run("ls")
    assert (shown.code, shown.err) == (0, "")
    for name in (
        "kadid10k",
        "live-qualcomm",
        "youtube-sfv-hdr",
        "not stated",
        "by reference, ten seeded",
        "`mllmqa data info NAME`",
    ):
        assert name in shown.out


def test_ls_as_json_has_one_object_per_line(run: Run) -> None:
    records = [json.loads(line) for line in run("ls", "--json").out.splitlines()]
    assert len(records) == 27
    assert {record["opinion"] for record in records} == {"mos", "dmos", "preference", "none"}


def test_info_shows_direction_tables_and_traps(run: Run) -> None:
    shown = run("info", "live")
    assert shown.code == 0
    for text in ("table realigned", "table q-align", "dmos on -2.64", "982 rows include 203", "form of UT Austin"):
        assert text in shown.out
    assert json.loads(run("info", "live", "--json").out)["references"] == 29


def test_info_of_an_unknown_name(run: Run) -> None:
    shown = run("info", "kadid")
    assert (shown.code, shown.out) == (2, "")
    assert shown.err == "mllmqa: no data set 'kadid'; did you mean kadid10k or kadis700k or konvid1k?\n"


def test_check_of_a_good_table(run: Run, table: Path) -> None:
    shown = run("check", table, *STATED)
    assert shown.code == 0
    for text in ("3 rows, 1.5..4.5 on the scale 1..5; mos: higher is better", "3 of 3 there; 0 without label"):
        assert text in shown.out
    assert "WRONG" not in shown.out


def test_check_of_a_bad_table_counts_names_and_ends_with_1(run: Run, table: Path) -> None:
    with table.open("a") as file:
        file.writelines(f"gone{k}.png,2,0\n" for k in range(7))
    shown = run("check", table, *STATED)
    assert shown.code == 1
    for text in ("WRONG: missing-media  7x", "no file 'gone0.png'", "… and 2 more", "note: zero-std        7x"):
        assert text in shown.out
    assert "gone5" not in shown.out
    record = json.loads(run("check", table, *STATED, "--json").out)
    assert (record["errors"], record["n"], record["media_found"]) == (7, 10, 3)
    assert run("check", table, *STATED, "--labels-only").code == 0


def test_check_of_a_known_data_set(run: Run, tmp_path: Path) -> None:
    (tmp_path / "uhd-iqa-metadata.csv").write_text("image_name,quality_mos,set\n1.jpg,0.5,training\n")
    (tmp_path / "1.jpg").touch()
    shown = run("check", tmp_path)
    assert shown.code == 1
    for text in ("uhd-iqa, table authors (authors)", "WRONG: count", "expected 6073", "known trap"):
        assert text in shown.out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--columns", "path=file,score=mos"), "needs --direction and --range: what scores mean is never guessed"),
        (("--columns", "path=file,score=mos", "--direction", "up", "--range", "1:5"), "direction 'up'"),
        (("--columns", "path=file", "--direction", "mos", "--range", "1:5"), "at least path=NAME,score=NAME"),
        ((*STATED, "--name", "live"), "leave out --name and --table"),
        (("--direction", "mos"), "belong to --columns"),
        (("--name", "live"), "is a file; expected the folder of a data set, a table with --columns"),
        (
            ("--columns", "path=file,score=dmos", "--direction", "dmos", "--range", "1:5"),
            "0 columns are named 'dmos'",
        ),
    ],
)
def test_wrong_calls_end_with_2_and_one_line(
    run: Run, table: Path, arguments: tuple[str, ...], message: str
) -> None:
    shown = run("check", table, *arguments)
    assert (shown.code, shown.out) == (2, "")
    assert message in shown.err
    assert shown.err.count("\n") == 1


@pytest.mark.parametrize("option", [("--encoding", "gb18030"), ("--range", "1:5"), ("--name", "live")])
def test_a_file_of_samples_takes_no_description(run: Run, tmp_path: Path, option: tuple[str, str]) -> None:
    (tmp_path / "a.jsonl").write_text("{}\n")
    shown = run("check", tmp_path / "a.jsonl", *option)
    assert (shown.code, shown.out) == (2, "")
    assert "a file of samples says itself what it holds" in shown.err


def test_other_encodings_are_stated(run: Run, tmp_path: Path) -> None:
    (tmp_path / "猫.png").touch()
    path = tmp_path / "gbk.csv"
    path.write_bytes("文件,分数\n猫.png,3\n".encode("gbk"))
    stated = ("--columns", "path=文件,score=分数", "--direction", "mos", "--range", "1:5")
    assert "say --encoding gb18030" in run("check", path, *stated).err
    shown = run("check", path, *stated, "--encoding", "gb18030")
    assert shown.code == 0
    assert "1 of 1 there" in shown.out
