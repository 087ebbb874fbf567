"""The compare command as a user meets it: one line, a table, JSON, exit codes, refusals."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from mllmqa.cli.compare import _budget
from mllmqa.cli.show_compared import Screen
from mllmqa.errors import UsageError
from mllmqa.schema import Comparison, Ranked, Unscored, read_comparison
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


def test_help_is_as_committed(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "dumb")
    assert run("compare", "--help").out == (GOLDEN / "help-compare.txt").read_text(encoding="utf-8")


def test_two_files_are_one_line_and_one_record(run: Run, folder: Path) -> None:
    a, b = folder / "p0.png", folder / "p1.png"
    plain, record = run("compare", a, b), run("compare", a, b, "--json")
    assert (plain.code, record.code) == (0, 0)
    found = read_comparison(record.out)
    assert isinstance(found, Comparison)
    assert plain.out == found.text() + "\n"
    assert (plain.err, record.err) == ("", "")
    assert (found.a.source, found.b.source) == (str(a), str(b))
    mirrored = read_comparison(run("compare", b, a, "--json").out)
    assert isinstance(mirrored, Comparison)
    assert mirrored.p_a_better == 1 - found.p_a_better


def test_reasons_stand_below_the_verdict(run: Run, folder: Path) -> None:
    a, b = folder / "p0.png", folder / "p1.png"
    plain, records = run("compare", a, b, "--why"), run("compare", a, b, "--why", "--json")
    assert (plain.code, records.code) == (0, 0)
    verdict, *reasons = plain.out.splitlines()
    assert verdict + "\n" == run("compare", a, b).out
    first, second = records.out.splitlines()
    assert isinstance(read_comparison(first), Comparison)
    assert "\n".join(reasons) == json.loads(second)["text"]
    assert json.loads(second)["source"] in ("model", "evidence")


@pytest.mark.parametrize("arguments", [("--many", "--why", "."), ("--why", "-", "x.png")])
def test_reasons_are_about_two_named_files(run: Run, arguments: tuple[str, ...]) -> None:
    ran = run("compare", *arguments)
    assert ran.code == 2
    assert "--why is about two files that have names" in ran.err


def test_the_same_file_twice_is_a_tie(run: Run, photo: Path) -> None:
    ran = run("compare", photo, photo)
    assert ran.code == 0
    assert ran.out.startswith("neither is better (p = 0.50); A ")


def test_a_file_on_stdin(run: Run, folder: Path) -> None:
    ran = run("compare", "-", folder / "p1.png", "--json", stdin=(folder / "p0.png").read_bytes())
    named = run("compare", folder / "p0.png", folder / "p1.png", "--json")
    assert json.loads(ran.out)["a"]["source"] == "-"
    assert json.loads(ran.out)["p_a_better"] == json.loads(named.out)["p_a_better"]


def test_a_reference_is_used_or_told_to_be_unused(run: Run, folder: Path) -> None:
    arguments = ("compare", folder / "p0.png", folder / "p1.png", "--reference", folder / "p2.png")
    found = read_comparison(run(*arguments, "--json").out)
    assert isinstance(found, Comparison)
    assert found.reference is not None
    assert found.reference_used == (found.method != "scores")
    assert ("the reference was not used" in run(*arguments).out) == (not found.reference_used)


def test_a_file_that_cannot_be_used_is_named(run: Run, folder: Path) -> None:
    broken = folder / "broken.jpg"
    ran = run("compare", folder / "p0.png", broken, "--json")
    assert ran.code == 1
    found = read_comparison(ran.out)
    assert isinstance(found, Unscored)
    assert found.source == str(broken)
    assert ran.err.startswith(f"unscored: {broken}: ")
    assert ran.err.count("\n") == 1
    plain = run("compare", broken, folder / "p0.png")
    assert (plain.code, plain.out) == (1, "")


def test_an_image_against_a_video_is_one_line(run: Run, folder: Path) -> None:
    pictures = [Image.fromarray(photo_pixels(64, 48, seed=i)) for i in range(3)]
    pictures[0].save(folder / "a.gif", save_all=True, append_images=pictures[1:], duration=200, loop=0)
    ran = run("compare", folder / "p0.png", folder / "a.gif")
    assert (ran.code, ran.out) == (1, "")
    assert ran.err.count("\n") == 1
    assert "expected images only or videos only" in ran.err
    assert run("compare", folder / "a.gif", folder / "a.gif").code == 0


def test_many_are_a_table(run: Run, folder: Path) -> None:
    ran = run("compare", "--many", folder)
    assert ran.code == 1  # one is no picture
    header, *rows = ran.out.splitlines()
    assert header.split() == ["rank", "place", "±", "err", "group", "score", "file"]
    assert [row.split()[0] for row in rows] == ["1", "2", "3"]
    assert {row.split()[-1] for row in rows} == {str(folder / f"p{i}.png") for i in range(3)}
    refused, summary = ran.err.splitlines()
    assert refused.startswith("unscored: ")
    assert "broken.jpg" in refused
    assert summary.startswith("ranked 3, unscored 1; 3 of 3 pairs ")
    assert summary.endswith("files that share a group cannot be told apart (z of each pair, Holm, 0.05)")


def test_many_from_a_list_on_stdin_as_json(run: Run, folder: Path) -> None:
    listed = "".join(f"{folder / f'p{i}.png'}\n" for i in (2, 0, 1)).encode()
    ran = run("compare", "--many", "-", "--json", stdin=listed)
    assert ran.code == 0
    found = read_comparison(ran.out)
    assert isinstance(found, Ranked)
    assert sorted(Path(item.source).name for item in found.items) == ["p0.png", "p1.png", "p2.png"]
    again = read_comparison(run("compare", "--many", folder / "p*.png", "--json").out)
    assert isinstance(again, Ranked)
    assert [item.source for item in again.items] == [item.source for item in found.items]
    named = run("compare", "--many", "--from-file", "-", "--json", stdin=listed)
    assert named.out == ran.out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "0 files to compare; expected two, or --many with any number"),
        (["a", "b", "c"], "3 files to compare"),
        (["a", "b", "--from-file", "l"], "expected --many with it"),
        (["a", "b", "--budget", "9"], "expected --many with it"),
        (["--many"], "nothing to rank"),
        (["-", "-"], "stdin is asked for more than once"),
        (["--many", "-", "--reference", "-"], "stdin is asked for more than once"),
        (["--many", "a", "--budget", "0"], "expected one number of pairs, at least 1"),
        (["--many", "a", "--budget", "5usd"], "options of an endpoint are given"),
        (["a", "b", "--view", "sideways"], "no view is called"),
        (["a", "b", "--aspect", "taste"], "no aspect 'taste'"),
        (["a", "b", "--model", "nanno"], "did you mean 'nano'"),
        (["a", "b", "--model", "api:x", "--anchors", "f"], "compares with no anchors"),
        (["--many", "--from-file", "/nonexistent.txt"], "/nonexistent.txt"),
    ],
)
def test_usage_errors_are_one_line_and_exit_2(arguments: list[str], message: str, run: Run) -> None:
    ran = run("compare", *arguments)
    assert (ran.code, ran.out) == (2, "")
    assert message in ran.err
    assert ran.err.count("\n") == 1


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (None, (None, None)),
        ("40", (40, None)),
        ("500req,5usd", (None, "500req,5usd")),
        ("40, 5usd", (40, "5usd")),
        ("2Mtok,7,1usd", (7, "2Mtok,1usd")),
        ("", (None, "")),
    ],
)
def test_a_budget_is_pairs_and_limits(text: str | None, expected: tuple[int | None, str | None]) -> None:
    assert _budget(text) == expected


def test_two_numbers_of_pairs_are_refused() -> None:
    with pytest.raises(UsageError, match="one number of pairs"):
        _budget("3,4")


def test_a_ranking_without_answers_is_not_silent(capsys: pytest.CaptureFixture[str]) -> None:
    lost = Ranked(
        aspect="quality", method="comparison-words", items=(), n_pairs=0, n_failed=3, n_possible=3,
        choice="information-gain", position_bias=-0.25, alpha=0.05, reference_used=False, spec="0",
    )  # fmt: skip
    assert Screen(False).ranked(lost) == 1
    out, err = capsys.readouterr()
    assert out == ""
    for part in ("3 pairs without an answer", "position bias -0.25", "the reference was not used"):
        assert part in err
