"""The severity table: complete, monotone, refuses what is no severity."""

from __future__ import annotations

import itertools

import pytest

from mllmqa.data.video_distortions import NAMES, TABLE
from mllmqa.data.video_distortions.severities import check, values
from mllmqa.errors import DataError, UnknownNameError

FALLING = {"bits_per_pixel", "scale"}
"""Less of these is worse."""


def test_every_distortion_has_a_row_and_every_row_a_distortion() -> None:
    assert set(NAMES) == set(TABLE)


@pytest.mark.parametrize("name", NAMES)
def test_rows_are_monotone(name: str) -> None:
    strictly = []
    for key, row in TABLE[name].items():
        steps = [(b - a) * (-1 if key in FALLING else 1) for a, b in itertools.pairwise(row)]
        assert min(steps) >= 0
        strictly.append(min(steps) > 0)
    assert any(strictly)


def test_values_are_those_of_the_column() -> None:
    assert values("freeze", 1) == {"length_s": 0.3}
    assert values("freeze", 5) == {"length_s": 2.5}
    assert check(4) == 4


@pytest.mark.parametrize("severity", [0, 6, 1.5, -1])
def test_other_severities_are_refused(severity: int) -> None:
    with pytest.raises(DataError, match="1, 2, 3, 4 or 5"):
        values("freeze", severity)


def test_unknown_name_lists_the_known() -> None:
    with pytest.raises(UnknownNameError, match=r"'melt'; expected one of freeze, stutter"):
        values("melt", 1)
