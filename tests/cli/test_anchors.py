"""`mllmqa anchors` and `mllmqa score --anchors` as a user meets them: choose, show, score, and each mistake."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
from PIL import Image

from mllmqa.schema import Score, read_result
from tests import tiny_models
from tests.conftest import Run, photo_pixels

GOLDEN = Path(__file__).parents[1] / "golden"
COLUMNS = ("--path-column", "file", "--score-column", "mos", "--std-column", "sd")
SCALE = ("--direction", "mos", "--range", "1:5")


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_models.build("llava", tmp_path_factory.mktemp("tiny") / "llava")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Ten photos with ratings 1 … 5; the deviation falls, so the last one of each interval is chosen."""
    folder = tmp_path / "data"
    folder.mkdir()
    lines = ["file,mos,sd"]
    for i in range(10):
        Image.fromarray(photo_pixels(40 + i, 32, seed=i)).save(folder / f"p{i}.png")
        lines.append(f"p{i}.png,{1 + 4 * i / 9:.3f},{1 - i / 20:.3f}")
    (folder / "ratings.csv").write_text("\n".join(lines) + "\n")
    return folder / "ratings.csv"


@pytest.mark.parametrize("command", [["anchors"], ["anchors", "select"], ["anchors", "show"]])
def test_help_is_as_committed(command: list[str], run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "dumb")
    golden = GOLDEN / f"help-{'-'.join(command)}.txt"
    assert run(*command, "--help").out == golden.read_text(encoding="utf-8")


def test_select_show_and_score(run: Run, data: Path, tiny: Path, tmp_path: Path) -> None:
    out = tmp_path / "anchors"
    chosen = run("anchors", "select", "--data", data, *COLUMNS, *SCALE, "--n", 3, "--out", out)
    assert (chosen.code, chosen.err) == (0, "")
    rows = chosen.out.splitlines()
    assert [row.split()[-1] for row in rows[:3]] == ["p3.png", "p5.png", "p9.png"]
    assert rows[0].split()[:5] == ["1", "anchor-1.png", "2.333", "±", "0.850"]
    assert rows[3] == "chosen from 10 images of ratings.csv; mos on 1:5"
    assert len(rows) == 4
    assert (out / "anchor-2.png").read_bytes() == (data.parent / "p5.png").read_bytes()

    photos = [data.parent / f"p{i}.png" for i in (0, 7)]
    scored = run("score", *photos, "--model", tiny, "--anchors", out, "--json")
    assert scored.code == 0
    results = [r for r in map(read_result, scored.out.splitlines()) if isinstance(r, Score)]
    assert len(results) == 2
    anchors = json.loads(run("anchors", "show", out, "--json").out)["sha256"]
    for result in results:
        assert result.anchored is not None
        assert result.anchored.anchors_sha256 == anchors
        assert result.value == pytest.approx(1 + result.anchored.published_100 / 25)
        assert len(result.anchored.preferences) == 3

    shown = run("anchors", "show", out).out.splitlines()
    assert shown[:4] == rows
    assert shown[4].startswith(f"preferences of {tiny} (spec ")
    assert shown[5].split()[0] == "0.5000"
    about = json.loads(run("anchors", "show", out, "--json").out)
    assert about["files"] == ["anchor-1.png", "anchor-2.png", "anchor-3.png"]
    assert len(about["about"]["matrices"]) == 1

    table = run("score", *photos, "--model", tiny, "--anchors", out).out.splitlines()
    assert [float(row.split()[0]) for row in table[1:]] == pytest.approx([r.value for r in results], abs=0.006)


def test_select_with_a_model_measures_it_once(run: Run, data: Path, tiny: Path, tmp_path: Path) -> None:
    out = tmp_path / "anchors"
    chosen = run("anchors", "select", "--data", data, *COLUMNS, *SCALE, "--out", out, "--model", tiny)
    assert chosen.code == 0, chosen.err
    before = (out / "anchors.json").read_bytes()
    (measured,) = json.loads(before)["matrices"]
    assert measured["model"] == str(tiny)
    assert len(measured["matrix"]) == 5
    assert run("score", data.parent / "p0.png", "--model", tiny, "--anchors", out).code == 0
    assert (out / "anchors.json").read_bytes() == before


def test_files_of_anchored_scores_can_be_continued(run: Run, data: Path, tiny: Path, tmp_path: Path) -> None:
    out, table = tmp_path / "anchors", tmp_path / "scores.csv"
    run("anchors", "select", "--data", data, *COLUMNS, *SCALE, "--n", 2, "--out", out)
    arguments = ("score", data.parent / "p*.png", "--model", tiny, "--anchors", out, "--csv", table)
    assert run(*arguments, "--limit", 4).code == 0
    ended = run(*arguments, "--resume")
    assert ended.code == 0
    assert "scored 6, unscored 0, 4 already in the file" in ended.err
    with table.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [Path(row["source"]).name for row in rows] == [f"p{i}.png" for i in range(10)]
    assert all(row["map_score"] and row["map_standard_error"] and not row["p_good"] for row in rows)
    other = run("score", data.parent, "--model", tiny, "--csv", table, "--resume")
    assert other.code == 2
    assert "other settings" in other.err


def test_plain_folders_are_shown_as_they_are(run: Run, data: Path) -> None:
    ran = run("anchors", "show", data.parent)
    assert ran.code == 0
    assert len(ran.out.splitlines()) == 11
    assert ran.out.splitlines()[-1].startswith("no anchors.json: the files are taken in the order of their names")
    assert json.loads(run("anchors", "show", data.parent, "--json").out)["about"] is None


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((*COLUMNS, "--direction", "up", "--range", "1:5"), "direction 'up'; expected mos"),
        ((*COLUMNS, "--direction", "mos", "--range", "5:1"), "range '5:1'; expected LOW:HIGH"),
        ((*COLUMNS, "--direction", "mos", "--range", "1:4"), "ratings.csv, line 9: field mos is '4.111'"),
        ((*COLUMNS[:4], *SCALE), "--std-column"),
        ((*COLUMNS[:2], "--score-column", "MOS", *SCALE), "line 1: 0 columns are named 'MOS'"),
        ((*COLUMNS, *SCALE, "--n", "10"), "images between 1 and 1.4 can be an anchor"),
        ((*COLUMNS, *SCALE, "--rule", "best"), "unknown rule 'best'"),
        ((*COLUMNS, *SCALE, "--model", "nano"), "'superior' is"),
        ((*COLUMNS, *SCALE, "--model", "nanno"), "did you mean 'nano'"),
    ],
)
def test_mistakes_are_one_line_and_leave_nothing(
    arguments: tuple[str, ...], message: str, run: Run, data: Path, tmp_path: Path
) -> None:
    if "10" in arguments:
        text = data.read_text().replace("p0.png,1.000,1.000", "p0.png,1.000,0")
        data.write_text(text)
    ran = run("anchors", "select", "--data", data, *arguments, "--out", tmp_path / "out")
    assert ran.code == 2
    assert ran.out == ""
    (line,) = ran.err.splitlines()
    assert line.startswith("mllmqa: ")
    assert message in line
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


def test_direction_and_range_must_be_stated(run: Run, data: Path, tmp_path: Path) -> None:
    ran = run("anchors", "select", "--data", data, *COLUMNS, "--out", tmp_path / "out")
    assert ran.code == 2
    assert "--direction" in ran.err


def test_score_without_the_anchors_that_a_model_needs(run: Run, data: Path, tmp_path: Path) -> None:
    ran = run("score", data.parent / "p0.png", "--model", "compare2score")
    assert ran.code == 2
    (line,) = ran.err.splitlines()
    assert "VQA-CityU/Anchor_images" in line
    ran = run("score", data.parent / "p0.png", "--anchors", tmp_path / "none")
    assert (ran.code, ran.err) == (2, f"mllmqa: {tmp_path / 'none'}: no such folder of anchors\n")
