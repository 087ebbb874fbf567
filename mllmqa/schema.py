"""Records that flow through mllmqa: frozen, versioned, JSON in and out.

One input gives exactly one :data:`Result`: a :class:`Score`, or an :class:`Unscored` that says why not.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

SCHEMA_VERSION = 1
"""Version of the records below; raised when a field changes its meaning."""


class Record(BaseModel):
    """Base: immutable, unknown fields are errors, NaN and infinity are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Media(Record):
    """What is known of one image or video before its pixels are decoded."""

    kind: Literal["image", "video"]
    name: str
    """As the user named it: path, ``-``, or ``<array>``, ``<PIL.Image>``, ``<stream>``."""
    sha256: str | None
    """Of the encoded bytes; of the pixels for arrays and PIL images."""
    size_bytes: int | None = None
    format: str
    """Container or image format, e.g. ``jpeg``, ``mp4``, ``array``."""
    codec: str | None = None
    pixel_format: str | None = None
    width: int
    """Upright width in pixels: EXIF orientation and rotation metadata applied."""
    height: int
    rotation_deg: int = 0
    """Clockwise turn that was applied to bring the stored picture upright."""
    duration_s: float | None = None
    """None for images."""
    fps: float | None = None
    """Average frame rate; None for images and where the container does not tell."""
    n_frames: int | None = None


class Provenance(Record):
    """How a score came about. Two scores may be compared only if they share their ``spec``."""

    spec: str
    """Hash of all that decides a score but the input: model, weights, prompt, view, frame rule, dtype …"""
    mllmqa_version: str
    model: str
    preset: str
    revision: str | None = None
    weights_sha256: str | None = None
    settings_sha256: str | None = None
    """Of configuration, tokenizer, processor and chat template; like the weights', for local models only."""
    prompt_id: str
    prompt_sha256: str
    view: str
    frame_rule: str | None = None
    """None for images."""
    video_mode: Literal["joint", "per-frame"] | None = None
    decoder: str
    """Name and version, e.g. ``pyav 18.1.0``."""
    timestamps_s: tuple[float, ...] = ()
    """Presentation times of the frames that the model saw; empty for images."""
    dtype: str
    device: str
    image_processor: str | None = None
    """Class that resizes and normalises the views for the model."""
    quantization: str | None = None
    """Method and what is left in full precision; None: nothing is quantised."""
    adapter_sha256: str | None = None
    """Of the LoRA adapter's weights and configuration; None: no adapter."""
    torch_version: str
    transformers_version: str


class Distribution(Record):
    """A distribution over the level words and its moments on the ACR scale 1 (bad) … 5 (excellent)."""

    value: float = Field(ge=1, le=5)
    std: float = Field(ge=0, le=2)
    levels: dict[str, float]
    """Probability of each level word, best first; sums to 1. Empty where the level words were not asked for:
    in scores by comparison with anchors."""
    coverage: float = Field(ge=0, le=1 + 1e-6)
    """Probability mass of the asked words in the open vocabulary at the answer position: the level words, or
    the comparison words (mean over the anchors)."""


class FrameScore(Distribution):
    """The distribution of one frame."""

    timestamp_s: float


class Anchored(Record):
    """How a score by comparison with anchor images came about (:mod:`mllmqa.anchored`).

    ``value`` of such a score is ``published_100`` on the scale 1..5, and ``std`` is ``standard_error`` on it.
    """

    preferences: tuple[float, ...]
    """Of the input over each anchor, 0..1, in the anchors' order; mean over the frames of a video."""
    score: float
    """MAP score of the input, which does not saturate: 0 is the mean of the input and its anchors, 1 the prior's
    deviation."""
    standard_error: float = Field(ge=0)
    """Of that score (Laplace), not clipped."""
    published_100: float = Field(ge=0, le=100)
    """The score as published: min–max scaled over the input and its anchors, so that whatever is better than all
    anchors has 100."""
    anchors_sha256: str
    """Hash of the anchor images, in order."""
    matrix: Literal["published", "measured"]
    """Where the preferences among the anchors come from: the preset, or this very model."""
    orders: Literal["anchor-first", "both"]
    """How the input was shown beside each anchor."""
    link: Literal["normal", "logistic"]
    temperature: float


class _Head(Record):
    schema_version: int = SCHEMA_VERSION
    status: str
    source: str
    """Name of the input: valid Unicode on one line."""
    aspect: str


class Score(Distribution, _Head):
    """A scored input."""

    status: Literal["scored"] = "scored"
    frames: tuple[FrameScore, ...] | None = None
    """Per-frame scores, where asked for."""
    anchored: Anchored | None = None
    """Of scores by comparison with anchor images."""
    media: Media
    provenance: Provenance


class Unscored(_Head):
    """An input that could not be scored, and why."""

    status: Literal["unscored"] = "unscored"
    reason: str
    """Stable short name: the ``code`` of the error (see :mod:`mllmqa.errors`)."""
    message: str
    """One line for people."""
    media: Media | None = None
    spec: str
    """Of the run that refused it; see :class:`Provenance`."""


Result = Annotated[Score | Unscored, Field(discriminator="status")]
"""What every input gives: exactly one of the two."""

_RESULT: TypeAdapter[Score | Unscored] = TypeAdapter(Result)


def read_result(line: str | bytes) -> Score | Unscored:
    """Parse one JSON line as written by the sinks.

    Raises:
        pydantic.ValidationError: Not a record of this schema.
    """
    return _RESULT.validate_json(line)
