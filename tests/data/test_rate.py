"""Lines to ratings: what is wrong is counted and named, and nothing is put right silently."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from mllmqa.data.findings import SHOWN, Findings
from mllmqa.data.media_index import MediaIndex
from mllmqa.data.rate import rate, read_ratings
from mllmqa.data.ratings import Columns, Rating, RatingScale, Reading
from mllmqa.data.tables import TableForm, open_table
from mllmqa.errors import DataError, UsageError

SCALE = RatingScale("mos", 1, 5)
PLAIN = Columns("file", "mos")


def rated(
    tmp_path: Path, rows: list[dict[str, Any]], columns: Columns = PLAIN, scale: RatingScale = SCALE, **how: Any
) -> tuple[list[Rating], Findings]:
    path = tmp_path / "labels.json"
    path.write_text(json.dumps(rows))
    findings = Findings()
    media = MediaIndex(tmp_path, search=True) if how.pop("media_wanted", False) else None
    with open_table(path, TableForm()) as table:
        return list(rate(table, columns, scale, media, findings, Reading(**how))), findings


def kinds(findings: Findings) -> dict[str, int]:
    return {one.kind: one.count for one in findings}


def test_everything_that_a_row_can_say(tmp_path: Path) -> None:
    columns = Columns("file", "mos", variance="var", n="n", reference="ref", split="set", histogram=("c1", "c2"))
    row = {
        "file": "I01_05_3.png", "mos": 2, "var": 0.25, "n": 30, "ref": "I01.png", "set": "Training",
        "c1": 10, "c2": 20, "more": "x",
    }  # fmt: skip
    patterns = {"distortion": r"^I\d+_(\d+)_"}
    (one,), findings = rated(
        tmp_path, [row], columns, splits={"training": "train"}, patterns=patterns, media="images/{path}"
    )
    assert (one.score, one.std, one.n, one.histogram) == (2.0, 0.5, 30.0, (10.0, 20.0))
    assert (one.reference, one.distortion, one.split) == ("I01.png", "05", "train")
    assert (one.path, one.extra) == (Path("images/I01_05_3.png"), {"more": "x"})
    assert kinds(findings) == {}


def test_without_a_score_the_mean_of_the_histogram_is_it(tmp_path: Path) -> None:
    columns = Columns("file", None, histogram=("c1", "c2", "c3"))
    rows = [{"file": "a", "c1": 1, "c2": 0, "c3": 3}, {"file": "b", "c1": 0, "c2": 0, "c3": 0}]
    found, _ = rated(tmp_path, rows, columns, RatingScale("mos", 1, 10))
    assert [(one.name, one.score) for one in found] == [("a", 1 * 0.25 + 10 * 0.75)]


def test_unusable_rows_are_left_out_and_counted(tmp_path: Path) -> None:
    scores = [3, math.nan, None, "", "good", True, 3.5, math.inf, "1.57 "]
    found, findings = rated(tmp_path, [{"file": f"{k}", "mos": score} for k, score in enumerate(scores)])
    assert [(one.name, one.score) for one in found] == [("0", 3), ("6", 3.5), ("8", 1.57)]
    assert kinds(findings) == {"not-a-number": 6, "blanks": 1}
    assert findings.errors == 6
    (wrong, blanks) = list(findings)
    assert len(wrong.examples) == SHOWN
    assert wrong.examples[0].endswith("record 1: field mos is 'nan'; expected a number from 1 to 5")
    assert blanks.examples == [f"{tmp_path / 'labels.json'}, record 8: field mos is '1.57 ', with blanks"]


def test_scores_off_the_scale_stay_and_are_counted(tmp_path: Path) -> None:
    found, findings = rated(
        tmp_path, [{"file": "a", "mos": 0.99}, {"file": "b", "mos": 68}, {"file": "c", "mos": 5}]
    )
    assert [one.score for one in found] == [0.99, 68, 5]
    assert kinds(findings) == {"off-scale": 2}


def test_repeated_names_are_left_out_and_counted(tmp_path: Path) -> None:
    found, findings = rated(tmp_path, [{"file": "a", "mos": 1}, {"file": " a", "mos": 5}, {"file": "A", "mos": 2}])
    assert [(one.name, one.score) for one in found] == [("a", 1), ("A", 2)]
    assert next(iter(findings)).examples[0].endswith("record 1: field file: 'a' is also in record 0")


def test_zero_deviations_are_noted_and_null_ones_are_none(tmp_path: Path) -> None:
    rows = [{"file": "a", "mos": 1, "sd": 0}, {"file": "b", "mos": 2, "sd": None}, {"file": "c", "mos": 2, "sd": 9}]
    found, findings = rated(tmp_path, rows, Columns("file", "mos", "sd"))
    assert [one.std for one in found] == [0, None, 9]
    assert kinds(findings) == {"off-scale": 1, "zero-std": 1}
    assert [one.error for one in findings] == [True, False]


def test_media_are_looked_for(tmp_path: Path) -> None:
    for name in ("a.png", "sub/b.png", "c.mp4"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    rows = [{"file": name, "mos": 3} for name in ("a.png", "b.png", "c", "none.png", "")]
    found, findings = rated(tmp_path, rows, media_wanted=True)
    assert [one.path.is_file() for one in found] == [True, True, True, False]
    assert kinds(findings) == {"missing-media": 1, "no-path": 1, "elsewhere": 1, "no-extension": 1}


@pytest.mark.parametrize("media_wanted", [True, False])
def test_rows_without_a_path_are_left_out_counted_and_named(tmp_path: Path, media_wanted: bool) -> None:
    (tmp_path / "a.png").touch()
    rows = [{"file": name, "mos": 3} for name in ("", "a.png", None, " ")]
    found, findings = rated(tmp_path, rows, media_wanted=media_wanted)
    assert [one.name for one in found] == ["a.png"]
    assert kinds(findings) == {"no-path": 3}
    (one,) = findings
    assert "field file is empty; expected the path of a media file" in one.examples[0]


@pytest.mark.parametrize("text", ["1_0", "1_0.5", "1e1_0", "_1"])
def test_numbers_have_no_underscores(tmp_path: Path, text: str) -> None:
    found, findings = rated(tmp_path, [{"file": "a.png", "mos": text}])
    assert (found, kinds(findings)) == ([], {"not-a-number": 1})
    assert f"field mos is '{text}'; expected a number" in next(iter(findings)).examples[0]


@pytest.mark.parametrize(("text", "kind"), [("9" * 400, "not-a-number"), ("1" + "0" * 300, "off-scale")])
def test_endless_numbers_are_shortened(tmp_path: Path, text: str, kind: str) -> None:
    _, findings = rated(tmp_path, [{"file": "a.png", "mos": text}])
    (one,) = findings
    assert one.kind == kind and text[:20] in one.examples[0] and text[:100] not in one.examples[0]


def test_numbers_as_names(tmp_path: Path) -> None:
    (tmp_path / "123.mp4").touch()
    (one,), findings = rated(tmp_path, [{"file": 123, "mos": 3}], media="{path}.mp4", media_wanted=True)
    assert (one.name, one.path) == ("123", tmp_path / "123.mp4")
    assert kinds(findings) == {}


def test_unknown_parts_are_named(tmp_path: Path) -> None:
    columns = Columns("file", "mos", split="set")
    rows = [{"file": "a", "mos": 3, "set": "holdout"}, {"file": "b", "mos": 3, "set": "TEST"}]
    found, findings = rated(tmp_path, rows, columns, splits={"training": "train"})
    assert [one.split for one in found] == [None, "test"]
    assert "is 'holdout'; expected training | train | validation | test" in next(iter(findings)).examples[0]


def test_strict_reading_stops_at_the_first_mistake(tmp_path: Path) -> None:
    path = tmp_path / "labels.jsonl"
    path.write_text('{"f": "a.png", "s": 2}\n{"f": "b.png", "s": 9}\n')
    (tmp_path / "a.png").touch()
    with pytest.raises(DataError, match=r"line 2: field s is '9'; expected a number from 1 to 5"):
        read_ratings(path, Columns("f", "s"), SCALE)


def test_gbk_tables_are_read_when_stated(tmp_path: Path) -> None:
    path = tmp_path / "labels.csv"
    path.write_bytes("文件,分数\n猫.png,3\n".encode("gbk"))
    (tmp_path / "猫.png").touch()
    (one,) = read_ratings(path, Columns("文件", "分数"), SCALE, TableForm(encoding="gb18030"))
    assert (one.name, one.score) == ("猫.png", 3.0)


def test_columns_are_parsed() -> None:
    assert Columns.parse("path=img, score = MOS,std=sd") == Columns("img", "MOS", "sd")
    assert Columns.parse("score=a b,path=c,reference=r,split=s").named() == ["c", "a b", "r", "s"]
    for text in (
        "",
        "path=a",
        "score=a",
        "path=a,score=b,colour=c",
        "path=a,path=b,score=c",
        "path=,score=b",
        "path",
    ):
        with pytest.raises(UsageError, match="columns"):
            Columns.parse(text)


def test_levels_and_deviations_on_one_scale() -> None:
    assert [RatingScale("mos", 0, 100).level(x) for x in (0, 50, 100)] == [1, 3, 5]
    assert [RatingScale("dmos", 0, 1).level(x) for x in (0, 0.25, 1)] == [5, 4, 1]
    assert RatingScale("mos", 0, 100).std_levels(25) == 1
    assert RatingScale("mos", 0, 100, std_width=4).std_levels(0.5) == 0.5  # KonIQ-10k: deviations on 1..5


def test_one_file_under_several_names_counts_once(tmp_path: Path) -> None:
    (tmp_path / "img").mkdir()
    (tmp_path / "img" / "b.jpg").write_bytes(b"x")
    names = ["img/b.jpg", "b.jpg", "IMG/B.jpg", "img/b"]
    found, findings = rated(tmp_path, [{"file": name, "mos": 2} for name in names], media_wanted=True)
    assert [one.name for one in found] == ["img/b.jpg"]
    assert kinds(findings)["duplicate"] == 3
    missing, findings = rated(tmp_path, [{"file": f"no{k}.jpg", "mos": 2} for k in range(2)], media_wanted=True)
    assert len(missing) == 2 and "duplicate" not in kinds(findings)
