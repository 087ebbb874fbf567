"""Predictions of others: columns, matching rules, duplicates, what is missing on either side, wrong direction."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mllmqa.errors import DataError, UsageError
from mllmqa.evaluation.predictions import PredictionsJudge, Row, match, read_rows
from mllmqa.evaluation.spec import PredictionsSpec
from mllmqa.records import columns, flat
from tests import eval_logs, records_made

ITEMS = [
    eval_logs.item(k, id=name, path=f"/data/Images/{name}")
    for k, name in enumerate(["x/a.png", "x/b.png", "y/a.png", "y/c.jpg"])
]


def rows(*names: str) -> list[Row]:
    return [Row(name, float(k), None, f"line {k + 2}") for k, name in enumerate(names)]


def spec(path: Path, text: str, **more: Any) -> PredictionsSpec:
    path.write_text(text)
    return PredictionsSpec(name="p", file=str(path), **more)


def read(path: Path, text: str, **more: Any) -> list[tuple[str, float | None, float | None]]:
    return [(one.name, one.value, one.std) for one in read_rows(spec(path, text, **more))]


@pytest.mark.parametrize(
    ("names", "rule", "matched"),
    [
        (["x/a.png", "y/c.jpg"], "id", ["x/a.png", "y/c.jpg"]),
        (["x\\a.png", "x\\b.png"], "path", ["x/a.png", "x/b.png"]),
        (["/data/Images/y/a.png"], "path", ["y/a.png"]),
        (["other/place/b.png", "c.jpg"], "file name", ["x/b.png", "y/c.jpg"]),
        (["b", "c"], "file name without extension", ["x/b.png", "y/c.jpg"]),
        (["b.jpg", "c.jpeg"], "file name without extension", ["x/b.png", "y/c.jpg"]),
    ],
)
def test_the_strictest_rule_that_finds_most_holds_for_the_file(
    names: list[str], rule: str, matched: list[str]
) -> None:
    found = match(rows(*names), ITEMS, "f.csv")
    assert (found.rule, list(found.rows), found.strangers) == (rule, matched, ())


def test_a_file_name_of_two_items_matches_neither() -> None:
    found = match(rows("b.png", "a.png", "z.png"), ITEMS, "f.csv")
    assert list(found.rows) == ["x/b.png"]
    assert (found.strangers, found.n_rows) == (("a.png", "z.png"), 3)


def test_nothing_matches_or_two_rows_are_about_one_item() -> None:
    with pytest.raises(
        DataError, match=r"none of its 1 rows is an item: it has e.g. 'q.png', the data set 'x/a.png'"
    ):
        match(rows("q.png"), ITEMS, "f.csv")
    with pytest.raises(DataError, match=r"line 3: 'x/a.png' is also in line 2; expected one row per item"):
        match(rows("x/a.png", "x/a.png"), ITEMS, "f.csv")
    with pytest.raises(DataError, match=r"'x/b.png' is also in line 2"):
        match(rows("b.png", "other/b.png"), ITEMS, "f.csv")


def test_columns_are_found_by_their_names_or_said(tmp_path: Path) -> None:
    path = tmp_path / "p.csv"
    assert read(path, "image,score\na,1\nb,2.5\n") == [("a", 1, None), ("b", 2.5, None)]
    assert read(path, "Path,Pred,std\na,1,0.5\n") == [("a", 1, 0.5)]
    assert read(path, "k,q,s\na,1,2\n", item="k", score="q", std="s") == [("a", 1, 2)]
    assert read(path, "id,name,score\na,b,1\n", item="name") == [("b", 1, None)]
    for text, words in (
        ("id,name,score\na,b,1\n", "columns id, name could hold the item.*--columns item=NAME"),
        ("name,foo\na,1\n", "no column for the score; expected one named score; there are name, foo"),
        ("name,score,pred\na,1,2\n", "columns score, pred could hold the score"),
    ):
        with pytest.raises(UsageError, match=words):
            read(path, text)
    with pytest.raises(UsageError, match="0 columns are named 'q'; expected one of name, score"):
        read(path, "name,score\na,1\n", score="q")


def test_empty_cells_say_that_there_is_no_score_and_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "p.csv"
    found = read(path, "name,score\na,\nb,NaN\nc,n/a\nd,-1e-3\n")
    assert [value for _, value, _ in found] == [None, None, None, -0.001]
    for cell in ("good", "inf", "1_0", "3 / 5"):
        with pytest.raises(DataError, match=f"line 2: field score is '{cell}'; expected a finite number"):
            read(path, f"name,score\na,{cell}\n")
    with pytest.raises(DataError, match="field name is empty"):
        read(path, "name,score\n,3\n")
    with pytest.raises(DataError, match="field std is -1; expected at least 0"):
        read(path, "name,score,std\na,3,-1\n")
    with pytest.raises(DataError, match="no rows"):
        read(path, "name,score\n")
    with pytest.raises(DataError, match="cannot be read"):
        read_rows(PredictionsSpec(name="p", file=str(tmp_path / "none.csv")))


def test_each_item_has_one_prediction_and_both_sides_are_counted(tmp_path: Path) -> None:
    judge = PredictionsJudge(spec(tmp_path / "p.csv", "name,score\nx/a.png,2\ny/c.jpg,\nz.png,4\n"))
    found = list(judge.predict("set", ITEMS, lambda *_: False))
    assert [one.item for one in found] == [one.id for one in ITEMS]
    assert [one.value for one in found] == [2, None, None, None]
    assert [one.reason for one in found] == [None, "no-prediction", "no-prediction", "no-prediction"]
    assert found[1].message == "x/b.png: the file has no row for it"
    assert found[3].message == "y/c.jpg: the file gives it no score"
    assert judge.notes == ["p: 1 of 3 rows are no item of set, e.g. 'z.png' (matched by id)"]


def test_who_it_is_and_which_data_it_is_about(tmp_path: Path) -> None:
    judge = PredictionsJudge(
        spec(tmp_path / "p.csv", "name,score\nx/a.png,2\n", direction="lower-better", data="d")
    )
    assert (judge.record.direction, judge.record.kind) == ("lower-better", "predictions")
    assert judge.record.about["n_rows"] == 1
    assert list(judge.predict("set", ITEMS, lambda *_: False)) == []
    other = PredictionsJudge(spec(tmp_path / "q.csv", "name,score\nx/a.png,3\n"))
    assert other.record.spec != judge.record.spec  # of the content
    assert [one.item for one in other.predict("set", ITEMS, lambda item, _: item != "y/a.png")] == ["y/a.png"]


def test_a_file_of_mllmqa_score_is_one(tmp_path: Path) -> None:
    import csv

    path = tmp_path / "scores.csv"
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, columns())
        writer.writeheader()
        writer.writerow(flat(records_made.scored("x/a.png", 3.5)))
        writer.writerow(flat(records_made.unscored("x/b.png")))
    found = read_rows(PredictionsSpec.model_validate(str(path)))
    assert [(one.name, one.value) for one in found] == [("x/a.png", 3.5), ("x/b.png", None)]
