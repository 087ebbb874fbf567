"""Look a distortion up, check the call, apply it."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

import numpy as np

from mllmqa.data.distortions.base import Distorted, Parameters, Pixels, check_pixels
from mllmqa.data.distortions.tables import ALL, WILD, Entry
from mllmqa.errors import DataError

NAMES: tuple[str, ...] = tuple(WILD)
"""The 35 functions of DepictQA-Wild."""
CATEGORIES: tuple[str, ...] = tuple(dict.fromkeys(entry.category for entry in WILD.values()))
"""Their twelve categories."""

_TONES = ("brighten", "darken", "contrast_strengthen", "contrast_weaken")
_COLOURS = ("saturate_strengthen", "saturate_weaken")
_AFTER: dict[str, tuple[str, ...]] = {
    "blur": (*_TONES, "compression", "noise", "quantization", *_COLOURS),
    "noise": ("blur", *_TONES, "compression", "oversharpen", "pixelate", *_COLOURS),
    "compression": ("blur", *_TONES, "noise", *_COLOURS),
    **dict.fromkeys(_TONES, ("blur", "compression", "noise", "pixelate", "quantization")),
    **dict.fromkeys(_COLOURS, ("blur", "compression", "noise", "oversharpen", "pixelate", "quantization")),
    "pixelate": (*_TONES, "noise", "oversharpen", "quantization", *_COLOURS),
    "quantization": (*_TONES, "noise", "oversharpen", "pixelate", *_COLOURS),
    "oversharpen": ("brighten",),
}


def ordered_pairs() -> tuple[tuple[str, str], ...]:
    """The 78 pairs of categories (first, second) that DepictQA-Wild applies one after the other.

    Left out: the same category twice, two tone operations, and a second that hides the first (blur and pixelate).
    """
    return tuple((first, second) for first in CATEGORIES for second in CATEGORIES if second in _AFTER[first])


def ordered_name_pairs() -> tuple[tuple[str, str], ...]:
    """The pairs of functions among the 35 whose categories are one of `ordered_pairs`."""
    allowed = set(ordered_pairs())
    return tuple(pair for pair in product(NAMES, NAMES) if (category_of(pair[0]), category_of(pair[1])) in allowed)


def names_of(category: str) -> tuple[str, ...]:
    """Those of the 35 in one of the twelve categories.

    Raises:
        DataError: No such category.
    """
    found = tuple(name for name, entry in WILD.items() if entry.category == category)
    if not found:
        raise DataError(f"unknown category of distortions {category!r}", expected="one of " + ", ".join(CATEGORIES))
    return found


def entry_of(name: str) -> Entry:
    """The table's entry of any distortion: the 35, or KADID-10k's.

    Raises:
        DataError: No such distortion.
    """
    if name not in ALL:
        raise DataError(f"unknown distortion {name!r}", expected="one of " + ", ".join(ALL))
    return ALL[name]


def category_of(name: str) -> str:
    """What a distortion does: one of `CATEGORIES` for the 35; others may be `colour`, `spatial`, …

    Raises:
        DataError: No such distortion.
    """
    return entry_of(name).category


def parameters_at(name: str, severity: float) -> Parameters:
    """The parameters of a distortion at a severity: the table's, linear in between, whole numbers rounded.

    Raises:
        DataError: Unknown name; severity outside 1..5 or not a number; a fraction where the severities of this
            distortion have no order (KADID's mean shift and contrast change alternate their sign).
    """
    entry = entry_of(name)
    if isinstance(severity, bool) or not isinstance(severity, (int, float, np.integer, np.floating)):
        raise DataError(f"severity is {severity!r}", where=name, expected="a number in 1..5")
    if not 1 <= severity <= 5:
        raise DataError(f"severity is {severity}", where=name, expected="a number in 1..5")
    if not entry.ordered and severity != int(severity):
        raise DataError(
            f"severity is {severity}", where=name, expected="1, 2, 3, 4 or 5: its parameters alternate in sign"
        )
    return interpolated(entry, float(severity))


def interpolated(entry: Entry, severity: float) -> Parameters:
    """Like `parameters_at`, with the ends of the entry as severities 0 and 6; unchecked."""
    found: Parameters = {}
    for column, values in entry.columns.items():
        places: tuple[int, ...] = (1, 2, 3, 4, 5)
        whole = all(isinstance(value, int) for value in values)
        if column in entry.ends:
            lowest, highest = entry.ends[column]
            places, values = (0, *places, 6), (lowest, *values, highest)  # type: ignore[assignment]
        value = float(np.interp(severity, places, values))
        found[column] = round(value) if whole else value
    return found


def run(pixels: Pixels, entry: Entry, parameters: Parameters, rng: np.random.Generator) -> Distorted:
    """Call an entry's operation. The result never shares memory with the input."""
    result = entry.operation(pixels, rng, **parameters)
    if isinstance(result, Distorted):
        return Distorted(np.ascontiguousarray(result.pixels), {**parameters, **result.parameters})
    return Distorted(np.ascontiguousarray(result), dict(parameters))


def apply(pixels: Pixels, name: str, severity: float, rng: np.random.Generator) -> Distorted:
    """Apply one distortion.

    Args:
        pixels: (H, W, 3) uint8 RGB, both sides at least 32 px; never changed.
        name: One of `NAMES` or `KADID_NAMES`.
        severity: 1 (mild) .. 5 (severe), comparable within one function only; fractions lie in between.
        rng: The only source of randomness: the same state gives the same bytes.

    Raises:
        DataError: See `parameters_at`; or the pixels are none.
        MissingExtraError: OpenCV is needed and not installed.
    """
    check_pixels(pixels)
    return run(pixels, entry_of(name), parameters_at(name, severity), rng)


def apply_many(pixels: Pixels, steps: Sequence[tuple[str, float]], rng: np.random.Generator) -> Distorted:
    """Apply distortions one after the other; none gives a copy.

    The order is the caller's; `ordered_pairs` says which ones make sense after each other.

    Returns:
        The pixels; parameters are {"steps": [{"name", "severity", "parameters"}, …]}.

    Raises:
        DataError: As `apply`; all steps are checked before the first one runs.
    """
    check_pixels(pixels)
    for name, severity in steps:
        parameters_at(name, severity)
    out, record = pixels.copy(), []
    for name, severity in steps:
        done = apply(out, name, severity, rng)
        out = done.pixels
        record.append({"name": name, "severity": severity, "parameters": done.parameters})
    return Distorted(out, {"steps": record})
