"""``mllmqa data check samples.jsonl``: one line for each problem, a count, an exit code."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image
from typer.testing import CliRunner

from mllmqa.cli.app import app
from mllmqa.data.formats import FORMATS, export_file
from tests.conftest import photo_pixels
from tests.data.test_text_check import asked, said

RUN = CliRunner()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    Image.fromarray(photo_pixels(40, 32)).save(tmp_path / "A.png")
    return tmp_path


def write(folder: Path, *lines: str) -> str:
    (folder / "s.jsonl").write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return str(folder / "s.jsonl")


def test_a_good_file(folder: Path) -> None:
    result = RUN.invoke(app, ["data", "check", write(folder, asked("a").to_json(), asked("b").to_json())])
    assert result.exit_code == 0
    assert result.stdout.startswith("2 samples; 2 read back from their texts, 0 rewritten by a teacher")


def test_problems_of_fields_media_and_texts(folder: Path) -> None:
    wrong = said(asked("b"), "The quality of the image is bad.").to_json()
    lost = asked("c").to_json().replace("A.png", "lost.png")
    path = write(folder, asked("a").to_json(), wrong, lost, "{}")
    result = RUN.invoke(app, ["data", "check", path])
    assert result.exit_code == 1
    for part in ("line 2", "as labelled", "line 3", "lost.png", "line 4"):
        assert part in result.stdout
    assert "Traceback" not in result.output


def test_json_lines(folder: Path) -> None:
    wrong = said(asked("b"), "The quality of the image is bad.").to_json()
    result = RUN.invoke(app, ["data", "check", "--json", write(folder, wrong)])
    records = [json.loads(line) for line in result.stdout.splitlines()]
    assert {record["line"] for record in records} == {1} and records[0]["field"] == "messages.1"


def test_media_need_not_be_there_if_labels_are_enough(tmp_path: Path) -> None:
    path = write(tmp_path, asked("a").to_json())
    assert RUN.invoke(app, ["data", "check", path]).exit_code == 1
    assert RUN.invoke(app, ["data", "check", path, "--labels-only"]).exit_code == 0


def test_many_problems_are_cut(folder: Path) -> None:
    wrong = [said(asked(f"w{k}"), "The quality of the image is bad.").to_json() for k in range(30)]
    result = RUN.invoke(app, ["data", "check", write(folder, *wrong)])
    assert "… and 40 more" in result.stdout and "60 problems" in result.stdout


def test_options_of_tables_are_refused(folder: Path) -> None:
    path = write(folder, asked("a").to_json())
    result = RUN.invoke(app, ["data", "check", path, "--name", "koniq10k"])
    assert result.exit_code != 0 and "says itself what it holds" in str(result.exception)


def test_media_are_opened_where_it_is_asked_for(folder: Path) -> None:
    path = write(folder, asked("a").to_json())
    (folder / "A.png").write_bytes(b"\x89PNG cut off")
    assert RUN.invoke(app, ["data", "check", path]).exit_code == 0
    opened = RUN.invoke(app, ["data", "check", path, "--open"])
    assert opened.exit_code == 1 and "a readable image" in opened.stdout
    both = RUN.invoke(app, ["data", "check", path, "--open", "--labels-only"])
    assert "contradict each other" in str(both.exception)


def test_a_name_longer_than_files_have_is_one_problem_and_the_rest_goes_on(folder: Path) -> None:
    long = asked("long").to_json().replace("A.png", f"{'x' * 300}.png")
    wrong = said(asked("b"), "The quality of the image is bad.").to_json()
    result = RUN.invoke(app, ["data", "check", write(folder, long, wrong)])
    assert "line 1: field media.0.path" in result.stdout and "line 2" in result.stdout


def test_parquet_is_checked_as_its_lines_are(folder: Path) -> None:
    pytest.importorskip("pyarrow")
    export_file([asked("a"), asked("b")], FORMATS["parquet"], folder / "s.parquet")
    lines = RUN.invoke(app, ["data", "check", write(folder, asked("a").to_json(), asked("b").to_json())])
    rows = RUN.invoke(app, ["data", "check", str(folder / "s.parquet"), "--open"])
    assert (rows.exit_code, rows.stdout) == (lines.exit_code, lines.stdout) == (0, lines.stdout)
    (folder / "A.png").unlink()
    gone = RUN.invoke(app, ["data", "check", str(folder / "s.parquet")])
    assert gone.exit_code == 1 and "s.parquet, record 2: field media.0.path is no file" in gone.stdout
    named = RUN.invoke(app, ["data", "check", str(folder / "s.parquet"), "--name", "koniq10k"])
    assert "says itself what it holds" in str(named.exception)


def test_media_of_tables_are_opened_too(folder: Path) -> None:
    (folder / "cut.png").write_bytes((folder / "A.png").read_bytes()[:200])
    (folder / "t.csv").write_text("file,mos\nA.png,3\ncut.png,4\n")
    stated = ["--columns", "path=file,score=mos", "--direction", "mos", "--range", "1:5"]
    assert RUN.invoke(app, ["data", "check", str(folder / "t.csv"), *stated]).exit_code == 0
    opened = RUN.invoke(app, ["data", "check", str(folder / "t.csv"), *stated, "--open"])
    assert opened.exit_code == 1
    assert "2 of 2 there; 0 without label; 1 can be read" in opened.stdout and "unreadable-media" in opened.stdout
    both = RUN.invoke(app, ["data", "check", str(folder / "t.csv"), *stated, "--open", "--labels-only"])
    assert "contradict each other" in str(both.exception)
