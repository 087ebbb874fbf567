"""Signs of a wrong direction or of mixed scales, and no false alarm."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mllmqa.data.findings import Findings
from mllmqa.data.ratings import Rating, RatingScale
from mllmqa.data.registry import doubts

MOS, DMOS = RatingScale("mos", 0, 100), RatingScale("dmos", 0, 100)


def rows(scores: dict[str, float]) -> list[Rating]:
    return [Rating(name, Path(name), score, None, "labels") for name, score in scores.items()]


def found(scores: dict[str, float], scale: RatingScale) -> list[str]:
    findings = Findings()
    doubts.look(rows(scores), scale, findings, "labels")
    return [one.kind for one in findings for _ in range(one.count)]


def synthetic(photos: int = 30) -> dict[str, float]:
    """DMOS of five severities."""
    rng = np.random.default_rng(0)
    return {f"{p}.AWGN.{s}.png": 15.0 * s + rng.uniform(0, 5) for p in range(photos) for s in range(1, 6)}


def test_dmos_said_to_be_mos_is_doubted() -> None:
    assert found(synthetic(), MOS) == ["direction-doubt"]
    assert found(synthetic(), DMOS) == []
    assert found({name: 100 - score for name, score in synthetic().items()}, DMOS) == ["direction-doubt"]


def test_few_groups_or_names_without_severity_say_nothing() -> None:
    assert found(synthetic(photos=9), MOS) == []
    assert found({f"{k:05}.jpg": float(k % 97 + 2) for k in range(500)}, MOS) == []
    assert found({f"p{k}_{s}.png": 20.0 * s + k / 7 for k in range(60) for s in (1, 2)}, MOS) == []


def test_kadid_names_count_as_groups() -> None:
    scores = {f"I{p:02}_01_0{s}.png": 90 - 15.0 * s for p in range(12) for s in range(1, 6)}
    assert doubts.severity_trend(rows(scores), MOS) == (0, 12)
    assert doubts.severity_trend(rows(scores), DMOS) == (12, 12)


def test_many_equal_worst_scores_are_doubted() -> None:
    scores = {f"photo-{k}-x.png": 0.0 if k % 5 == 0 else 20 + k / 10 for k in range(300)}
    assert found(scores, MOS) == ["direction-doubt"]
    assert found(scores, DMOS) == ["ties-at-best"]  # undistorted originals: a note


def test_many_equal_best_scores_are_noted_not_wrong() -> None:
    scores = {f"photo-{k}-x.png": 0.0 if k % 10 == 0 else 20 + k / 10 for k in range(300)}
    findings = Findings()
    doubts.look(rows(scores), DMOS, findings, "labels.csv")
    (one,) = findings
    assert (one.kind, one.error) == ("ties-at-best", False)
    assert "labels.csv: 30 of 300 rows share the best score exactly" in one.examples[0]
    assert doubts.ties_at_best([], DMOS) == 0


def test_scores_of_two_scales_are_doubted() -> None:
    """As in a public list of LIVE-VQC: 88 of 585 scores are divided by 100."""
    scores = {f"A{k:03}x.mp4": (20 + k / 8) / (100 if k % 7 == 0 else 1) for k in range(585)}
    assert found(scores, MOS) == ["mixed-scales"]
    assert found(scores, RatingScale("mos", 0, 5)) == []
    assert found({name: score for name, score in scores.items() if score > 1}, MOS) == []


@pytest.mark.parametrize("scale", [MOS, DMOS])
def test_no_rows_no_doubt(scale: RatingScale) -> None:
    assert found({}, scale) == []
