"""Rows for a fit: planned by chance, the same for any order, measured on the planned picture."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

from mllmqa.data.fullref import PseudoMos, psnr
from mllmqa.data.fullref.reference import Plan, measured, plan
from mllmqa.errors import DataError
from tests.data.fullref.pictures import PHOTO

NAMES = ("dark", "noise", "flat")


@dataclass
class Made:
    pixels: np.ndarray
    parameters: dict[str, Any] = field(default_factory=dict)


def spoil(pixels: np.ndarray, name: str, severity: int, rng: np.random.Generator) -> Made:
    if name == "dark":
        return Made((pixels // (1 + severity)).astype(np.uint8))
    if name == "noise":
        return Made(
            np.clip(pixels + rng.integers(-9 * severity, 9 * severity, pixels.shape), 0, 255).astype(np.uint8)
        )
    return Made(np.full_like(pixels, 128))


def test_plan_takes_different_distortions_and_all_severities() -> None:
    made = list(plan([f"p{k}" for k in range(300)], NAMES, per_picture=2, seed=1))
    assert len(made) == 600
    for picture in ("p0", "p299"):
        assert len({one.name for one in made if one.picture == picture}) == 2
    assert Counter(one.name for one in made) == pytest.approx(dict.fromkeys(NAMES, 200), rel=0.2)
    assert Counter(one.severity for one in made) == pytest.approx(dict.fromkeys(range(1, 6), 120), rel=0.3)


def test_plan_of_a_picture_does_not_depend_on_the_others() -> None:
    alone = list(plan(["b"], NAMES, per_picture=3, seed=1))
    among = [one for one in plan(["a", "b", "c"], NAMES, per_picture=3, seed=1) if one.picture == "b"]
    assert alone == among
    assert alone != list(plan(["b"], NAMES, per_picture=3, seed=2))


@pytest.mark.parametrize("count", [0, 4])
def test_more_distortions_than_there_are(count: int) -> None:
    with pytest.raises(DataError, match="expected 1 to 3"):
        list(plan(["a"], NAMES, per_picture=count, seed=1))


def test_row_measures_the_planned_picture() -> None:
    one = Plan("a", "dark", 2)
    made = measured(PHOTO, one, spoil, seed=1, metrics=["psnr"])
    assert made == {
        "picture": "a", "name": "dark", "severity": 2, "values": {"psnr": psnr(PHOTO, PHOTO // 3)},
    }  # fmt: skip


def test_rows_do_not_depend_on_their_order() -> None:
    a, b = Plan("a", "noise", 2), Plan("b", "noise", 2)
    forth = [measured(PHOTO, one, spoil, seed=1, metrics=["psnr"]) for one in (a, b)]
    back = [measured(PHOTO, one, spoil, seed=1, metrics=["psnr"]) for one in (b, a)]
    assert forth == back[::-1]
    assert forth[0]["values"] != forth[1]["values"]


def test_rows_can_be_fitted() -> None:
    made = [
        measured(PHOTO, one, spoil, seed=0, metrics=["psnr"])
        for one in plan([f"p{k}" for k in range(10)], NAMES, per_picture=3, seed=0)
    ]
    fitted = PseudoMos.fit([one["values"] for one in made], source="made")
    assert fitted.n_fitted == 30
    assert fitted.score({"psnr": 80.0}) == 5
