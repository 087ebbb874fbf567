"""Distortions of pictures: the 35 functions of DepictQA-Wild and the 25 of KADID-10k.

>>> from mllmqa.data import distortions
>>> from mllmqa.data.streams import stream
>>> rng = stream(0, "photo-17", "identify")
>>> distortions.apply(pixels, "blur_gaussian", 3, rng).parameters    # doctest: +SKIP
{'sigma': 3.0}

All are pure: uint8 RGB (H, W, 3) in and out, the input never changed, the generator the only source of chance.
Bring all pictures of a set to one size first (`to_short_side`), clean copies included. `apply_all` spreads a set
over processes; `align` chooses the parameter so that a full-reference loss is met on this very picture.
"""

from __future__ import annotations

from mllmqa.data.distortions.aligned import TARGETS, align
from mllmqa.data.distortions.base import SMALLEST_PX, Distorted, Pixels
from mllmqa.data.distortions.engine import (
    CATEGORIES,
    NAMES,
    apply,
    apply_many,
    category_of,
    names_of,
    ordered_name_pairs,
    ordered_pairs,
    parameters_at,
)
from mllmqa.data.distortions.parallel import Job, Made, apply_all
from mllmqa.data.distortions.size import to_short_side
from mllmqa.data.distortions.tables import KADID

KADID_NAMES: tuple[str, ...] = tuple(KADID)
"""KADID-10k's 25 in the order of its file names: I01_`index + 1`_`severity`.png."""

__all__ = [
    "CATEGORIES",
    "KADID_NAMES",
    "NAMES",
    "SMALLEST_PX",
    "TARGETS",
    "Distorted",
    "Job",
    "Made",
    "Pixels",
    "align",
    "apply",
    "apply_all",
    "apply_many",
    "category_of",
    "names_of",
    "ordered_name_pairs",
    "ordered_pairs",
    "parameters_at",
    "to_short_side",
]
