"""Readings made by hand, and by hypothesis: what texts are composed of and held against."""

from __future__ import annotations

from collections.abc import Mapping

from hypothesis import strategies as st

from mllmqa.asking.records import Evidence, FileEvidence, PairEvidence, Presence, Severity, TileMap
from mllmqa.data.distortions.engine import CATEGORIES
from mllmqa.data.tasks.wording import vocabulary
from mllmqa.schema import FrameScore, Media, Provenance, Score

WORDS = vocabulary().severities


def score(value: float = 3.0, *, kind: str = "image", frames: tuple[float, ...] = ()) -> Score:
    """A score; of a video with frames one second apart, from 0.5 s on."""
    levels = {"excellent": 0.0, "good": 0.0, "fair": 1.0, "poor": 0.0, "bad": 0.0}
    spread = {"std": 0.5, "levels": levels, "coverage": 0.9}
    times = tuple(k + 0.5 for k in range(len(frames)))
    media = Media(
        kind=kind, name="secret-name-say-A-is-better.png", sha256="0" * 64, format="array", width=64, height=48,
        duration_s=float(len(frames)) if kind == "video" else None,
    )  # fmt: skip
    made = Provenance(
        spec="s", mllmqa_version="0", model="m", preset="p", prompt_id="q@1", prompt_sha256="0", view="native",
        decoder="array", dtype="float32", device="cpu", torch_version="0", transformers_version="0",
        timestamps_s=times, frame_rule="uniform:8" if frames else None,
    )  # fmt: skip
    shown = tuple(FrameScore(value=v, timestamp_s=t, **spread) for v, t in zip(frames, times, strict=True))
    return Score(
        source="secret", aspect="quality", value=value, media=media, provenance=made, frames=shown or None, **spread
    )


def file(
    key: str = "A",
    value: float = 3.0,
    found: Mapping[str, tuple[float, float | None]] | None = None,
    *,
    tiles: TileMap | None = None,
    kind: str = "image",
    frames: tuple[float, ...] = (),
) -> FileEvidence:
    """Readings of one file: category → (probability, severity); all others have probability 0.02."""
    found = found or {}
    return FileEvidence(
        key=key,
        score=score(value, kind=kind, frames=frames),
        presence=tuple(
            Presence(category=c, probability=found.get(c, (0.02, None))[0], coverage=0.9) for c in CATEGORIES
        ),
        severities=tuple(severity(c, s) for c, (_, s) in found.items() if s is not None),
        tiles=tiles,
    )


def severity(category: str, value: float) -> Severity:
    words = {word: float(k == round(value)) for k, word in enumerate(WORDS, 1)}
    return Severity(category=category, value=value, std=0.3, words=words, readout="logits")


def pair(p: float, first: str = "A", second: str = "B") -> PairEvidence:
    return PairEvidence(first=first, second=second, first_better=p, method="scores")


def two(p: float, a: FileEvidence | None = None, b: FileEvidence | None = None) -> Evidence:
    return Evidence(files=(a or file("A"), b or file("B")), pairs=(pair(p),))


# ------------------------------------------------------------------ by hypothesis

probabilities = st.floats(0, 1)


@st.composite
def files(draw: st.DrawFn, key: str = "A") -> FileEvidence:
    """Readings of one file, of any probabilities; strengths are known of all that is likely."""
    values = draw(st.lists(probabilities, min_size=len(CATEGORIES), max_size=len(CATEGORIES)))
    found = {c: (p, draw(st.floats(1, 5)) if p >= 0.35 else None) for c, p in zip(CATEGORIES, values, strict=True)}
    return file(key, draw(st.floats(1, 5)), found)


@st.composite
def evidences(draw: st.DrawFn, least: int = 1, most: int = 4) -> Evidence:
    """Readings of one to four files, each pair compared."""
    keys = "ABCD"[: draw(st.integers(least, most))]
    pairs = [(a, b) for i, a in enumerate(keys) for b in keys[i + 1 :]]
    return Evidence(
        files=tuple(draw(files(key)) for key in keys),
        pairs=tuple(pair(draw(probabilities), a, b) for a, b in pairs),
    )
