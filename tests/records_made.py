"""Hand-made records for the tests of sinks and resuming."""

from __future__ import annotations

import hashlib
from pathlib import Path

from mllmqa.schema import Media, Provenance, Score, Unscored

SPEC = "0123456789abcdef"


def content_hash(source: str) -> str:
    """Return the SHA-256 of the file ``source``, or of its name if there is none."""
    path = Path(source)
    return hashlib.sha256(path.read_bytes() if path.is_file() else source.encode()).hexdigest()


def scored(source: str, value: float = 3.0, spec: str = SPEC) -> Score:
    """Return a score whose media hash is that of the file ``source``, if there is one."""
    media = Media(kind="image", name=source, sha256=content_hash(source), format="png", width=4, height=3)
    provenance = Provenance(
        spec=spec, mllmqa_version="0", model="m", preset="p", prompt_id="score/quality@1", prompt_sha256="0",
        view="native", decoder="pillow", dtype="float32", device="cpu", torch_version="2", transformers_version="5",
    )  # fmt: skip
    levels = {"excellent": 0.0, "good": 0.0, "fair": 1.0, "poor": 0.0, "bad": 0.0}
    return Score(
        source=source, aspect="quality", value=value, std=0, levels=levels, coverage=1, media=media,
        provenance=provenance,
    )  # fmt: skip


def unscored(source: str, spec: str = SPEC) -> Unscored:
    """Return a record of an input that could not be opened."""
    return Unscored(
        source=source, aspect="quality", reason="not-found", message=f"{source}: no such file", spec=spec
    )
