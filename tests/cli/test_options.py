"""Options that several commands share, as objects."""

from __future__ import annotations

import pytest

from mllmqa.cli.options import OwnTable, Seeing
from mllmqa.data.ratings import Columns, RatingScale
from mllmqa.errors import UsageError
from mllmqa.prepare import ScoreOptions


def test_what_is_seen_becomes_options_of_a_scorer() -> None:
    assert Seeing().options("quality") == ScoreOptions()
    seen = Seeing(frames="uniform:4", per_frame=True, view="native", decoder="pyav")
    assert seen.options("aesthetics") == ScoreOptions("aesthetics", "uniform:4", True, "native", "pyav")


def test_a_table_of_ones_own() -> None:
    assert OwnTable().read() is None
    described = OwnTable("path=file,score=mos", "mos", "1:5").read()
    assert described == (Columns("file", "mos"), RatingScale.parse("mos", "1:5"))


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (OwnTable(direction="mos"), "--direction and --range belong to --columns"),
        (OwnTable(limits="1:5"), "--direction and --range belong to --columns"),
        (OwnTable("path=file,score=mos"), "--columns needs --direction and --range"),
        (OwnTable("path=file,score=mos", "mos"), "--columns needs --direction and --range"),
        (OwnTable("path=file,score=mos", "up", "1:5"), "'up'"),
    ],
)
def test_what_scores_mean_is_never_guessed(table: OwnTable, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        table.read()
