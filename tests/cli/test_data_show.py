"""`mllmqa data show` as a user meets it."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest
from PIL import Image

from mllmqa.cli.app import main
from mllmqa.data.sample_file import write_samples
from tests.conftest import photo_pixels
from tests.data.samples_made import plain

GOLDEN = Path(__file__).parents[1] / "golden"


class Ran(NamedTuple):
    code: int
    out: str
    err: str


Run = Callable[..., Ran]


@pytest.fixture
def run(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    """Call the command in this process, in an empty folder."""

    def call(*arguments: object) -> Ran:
        monkeypatch.setattr(sys, "argv", ["mllmqa", *map(str, arguments)])
        with pytest.raises(SystemExit) as stopped:
            main()
        out, err = capfd.readouterr()
        return Ran(int(stopped.value.code or 0), out, err)

    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setenv("TERM", "dumb")
    monkeypatch.chdir(tmp_path)
    return call


@pytest.fixture
def file(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    folder.mkdir()
    Image.fromarray(photo_pixels(64, 48)).save(folder / "A.png")
    write_samples((plain(id=f"s{k}") for k in range(5)), folder / "set.jsonl")
    return folder / "set.jsonl"


@pytest.mark.parametrize("command", [["data"], ["data", "show"]])
def test_help_is_as_committed(command: list[str], run: Run) -> None:
    golden = GOLDEN / f"help-{'-'.join(command)}.txt"
    assert run(*command, "--help").out == golden.read_text(encoding="utf-8")


def test_the_page_is_named_after_the_file_and_lies_here(run: Run, file: Path, tmp_path: Path) -> None:
    ran = run("data", "show", file)
    assert (ran.code, ran.out, ran.err) == (0, "set.html\n", "")
    text = (tmp_path / "set.html").read_text(encoding="utf-8")
    assert "5 samples" in text
    assert text.count('<article class="card">') == 5
    assert text.count("data:image/jpeg;base64,") == 5


def test_limit_seed_and_out(run: Run, file: Path, tmp_path: Path) -> None:
    pages = [tmp_path / f"{k}.html" for k in range(3)]
    for seed, out in zip((1, 1, 3), pages, strict=True):
        assert run("data", "show", file, "--limit", 2, "--seed", seed, "--out", out).code == 0
    texts = [page.read_text(encoding="utf-8") for page in pages]
    assert texts[0] == texts[1] != texts[2]
    assert texts[0].count('<article class="card">') == 2


def test_lines_that_are_no_samples_give_exit_code_1(run: Run, file: Path) -> None:
    with file.open("a") as out:
        out.write("{}\n")
    ran = run("data", "show", file)
    assert (ran.code, ran.out) == (1, "set.html\n")
    assert ran.err == f"mllmqa: {file}: 1 lines are no valid samples; see the page\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["gone.jsonl"], "gone.jsonl: cannot be read: No such file or directory"),
        (["data/set.jsonl", "--out", "data"], "data: is there already, and no page of mllmqa"),
        (["data/A.png", "--limit", "-1"], "--limit"),
    ],
)
def test_usage_errors(run: Run, file: Path, arguments: list[str], message: str) -> None:
    ran = run("data", "show", *arguments)
    assert ran.code == 2
    assert message in ran.err
    assert ran.out == ""


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("A.png", None, "holds no sample; line 1: the record is not UTF-8"),
        ("labels.csv", b"file,mos\na.png,3\n", "holds no sample; line 1: the record is not JSON"),
        ("llava.json", b'[\n{"id": 1}\n]\n', "holds no sample; line 1: the record is not JSON"),
        ("empty.jsonl", b"", "an empty file; expected at least one sample"),
        ("blank.jsonl", b"\n \n", "an empty file; expected at least one sample"),
        ("empty.parquet", b"", "is not a Parquet file"),
        (".", None, "cannot be read: Is a directory"),
    ],
)
def test_what_is_no_file_of_samples_is_one_line(
    run: Run, file: Path, name: str, content: bytes | None, message: str
) -> None:
    path = file.parent / name
    if content is not None:
        path.write_bytes(content)
    ran = run("data", "show", path, "--out", "page.html")
    assert (ran.code, ran.out, ran.err.count("\n")) == (2, "", 1)
    assert ran.err.startswith(f"mllmqa: {path}: {message}")
    assert not Path("page.html").exists()
