"""Answers in the manner of large models, written by hand: right ones pass, wrong ones do not."""

from __future__ import annotations

from typing import Any

import pytest

from mllmqa.data.teacher.contradictions import contradictions
from mllmqa.data.teacher.form import form_faults, leaks
from mllmqa.data.teacher.prompt import task_file
from mllmqa.data.teacher.truth import truth_of
from tests.data.teacher.made import flaw, pair, single


def _codes(sample: Any, parts: dict[str, str]) -> list[str]:
    truth, file = truth_of(sample), task_file(sample.task)
    found = [*form_faults(parts, 120 if len(truth.keys) == 1 else 150), *leaks(parts, truth)]
    return [fault.code for fault in (*found, *contradictions(parts, truth, file))]


HARBOR = single("assess", flaw("A", "noise", 4, order=1), flaw("A", "saturate_weaken", 2, order=2))
MARKET = pair("compare", flaw("A", "compression", 5), flaw("B", "compression", 2))

RIGHT: list[tuple[Any, dict[str, str]]] = [
    (
        HARBOR,
        {
            "content": "The image shows a small fishing harbor at dusk, with three boats moored at a wooden pier.",
            "distortions": "Serious noise covers the whole frame; it breaks up the smooth evening "
            "sky and hides the "
            "ropes and the lettering on the hulls. Besides, moderate insufficient saturation turns "
            "the red and blue "
            "of the boats into dull greys, so that they hardly stand out from the water.",
            "conclusion": "Since fine structures and colors are lost alike, the quality of the image is poor.",
        },
    ),
    (
        HARBOR,
        {
            "content": "Boats rest at a pier while the sun goes down.",
            "distortions": "The sky, which ought to be smooth, is broken up by serious noise, and the moderate "
            "insufficient saturation leaves the sunset pale. The noise is most disturbing in dark areas.",
            "conclusion": "The mood of the scene is not conveyed well; hence the quality of the image is poor.",
        },
    ),
    (
        single("assess"),
        {
            "content": "A young woman smiles at the camera in a sunlit garden.",
            "distortions": "There is no distortion: single hairs, the weave of her jacket and the "
            "leaves behind her "
            "are all clearly visible, and skin tones look natural.",
            "conclusion": "Everything that matters can be seen, yet the quality of the image is poor.",
        },
    ),
    (
        MARKET,
        {
            "content": "Both images show a market stall with oranges, apples and a striped awning.",
            "A": "Image A suffers from catastrophic compression. The fruit dissolves into coarse "
            "squares, the stripes "
            "of the awning break into steps, and price tags cannot be read.",
            "B": "Image B shows moderate compression as well, but the outlines of the fruit survive "
            "and most of the "
            "price tags stay legible.",
            "conclusion": "Because the moderate compression of image B harms the stall far less "
            "than the catastrophic "
            "compression in image A, image B is better.",
        },
    ),
    (
        pair("rate", better="A"),
        {"answer": "The feathers of the bird and the bark of the branch are rendered in finer "
        "detail. Image A is better."},
    ),
    (
        single("identify", flaw("A", "quantization", 3), flaw("A", "darken", 2)),
        {"answer": "The sky falls into bands of color quantization, and insufficient brightness "
        "swallows the street."},
    ),
]  # fmt: skip


@pytest.mark.parametrize(("sample", "parts"), RIGHT)
def test_right_ones_pass(sample: Any, parts: dict[str, str]) -> None:
    assert _codes(sample, parts) == []


@pytest.mark.parametrize(
    ("number", "key", "old", "new", "codes"),
    [
        (0, "distortions", "Serious noise", "Severe graininess", ["missing-distortion"]),
        (0, "distortions", "Serious noise", "Slight noise", ["wrong-grade", "wrong-grade"]),
        (0, "distortions", "; it breaks", ", along with visible JPEG artifacts; it breaks", ["extra-distortion"]),
        (0, "distortions", "moderate insufficient saturation", "desaturation", ["missing-distortion"]),
        (0, "conclusion", "poor", "fair", ["wrong-level"] * 2),
        (0, "content", "The image", "Compared with the original, the image", ["leaks-reference"]),
        (1, "distortions", "The noise is most", "The noise, given as level 4, is most", ["leaks-labels"]),
        (1, "distortions", "broken up by serious noise", "free of noise", ["missing-distortion", "wrong-grade"]),
        (
            2,
            "distortions",
            "There is no distortion",
            "There is no distortion but slight blur",
            ["extra-distortion"],
        ),
        (2, "distortions", "There is no distortion", "All is fine", ["missing-distortion"]),
        (3, "A", "catastrophic", "moderate", ["wrong-grade"]),
        (3, "B", "moderate compression as well", "no compression", ["missing-distortion"]),
        (3, "B", "Image B", "The other image", ["unclear-side"]),
        (3, "conclusion", "image B is better", "image A is better", ["wrong-side"]),
        (3, "conclusion", "moderate compression of image B", "moderate compression of image A", ["wrong-grade"]),
        (4, "answer", "Image A", "Image B", ["wrong-side"]),
        (5, "answer", "insufficient brightness", "underexposure", ["missing-distortion"]),
        (5, "answer", "the street.", "the street, which looks blurry.", ["extra-distortion"]),
    ],
)
def test_wrong_ones_do_not(number: int, key: str, old: str, new: str, codes: list[str]) -> None:
    sample, parts = RIGHT[number]
    assert old in parts[key]
    assert _codes(sample, parts | {key: parts[key].replace(old, new)}) == codes
