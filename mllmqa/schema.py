"""Records that flow through mllmqa: frozen, versioned, JSON in and out.

One input gives exactly one :data:`Result`: a :class:`Score`, or an :class:`Unscored` that says why not. Two inputs
that are compared give a :class:`Comparison` or an ``Unscored``; many that are ranked give one :class:`Ranked`.

Remote models added ``readout``, ``absent``, ``sent`` and ``base_url``, and let ``coverage`` be None where an
endpoint does not tell it. No older field changed its meaning and all new ones have defaults, so the version
stayed 1: readers of older records read on.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, model_validator

SCHEMA_VERSION = 1
"""Version of the records below; raised when a field changes its meaning."""

Readout = Literal["logits", "decisions", "logprobs", "text", "mixed", "heads"]
"""How a distribution was read: ``logits`` of a model on this machine; over the network from a ``decisions``
endpoint, from the top ``logprobs`` of a token, or from the word in the answer's ``text`` (then one word has all
the mass); ``mixed``: frames of one clip were read in different ways; ``heads`` of the tower, without words."""


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


class Sent(Record):
    """One picture that was sent to a remote model."""

    mime: str
    sha256: str
    """Of the bytes sent."""
    size_bytes: int
    original: bool
    """Whether these are the bytes of the user's file; else a lossless PNG of the view."""


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
    """Of configuration, tokenizer, processor and chat template of a local model (like the weights'); of the
    parameters of the requests to a remote one."""
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
    base_url: str | None = None
    """Endpoint of a remote model, without credentials."""
    readout: str = "logits"
    """How this model's level scores are read; the record's own ``readout`` tells if one fell back."""
    sent: tuple[Sent, ...] | None = None
    """Pictures that were sent to a remote model, in order; None for a model on this machine."""
    torch_version: str
    transformers_version: str


class Distribution(Record):
    """A distribution over the level words and its moments on the ACR scale 1 (bad) … 5 (excellent)."""

    value: float = Field(ge=1, le=5)
    std: float = Field(ge=0, le=2)
    levels: dict[str, float]
    """Probability of each level word, best first; sums to 1. Empty where the level words were not asked for:
    in scores by comparison with anchors."""
    coverage: float | None = Field(ge=0, le=1 + 1e-6)
    """Probability mass of the asked words in the open vocabulary at the answer position: the level words, or
    the comparison words (mean over the anchors). None where an endpoint does not tell."""
    readout: Readout = "logits"
    absent: tuple[str, ...] = ()
    """Level words that the endpoint did not report (they are not among its most likely tokens): counted as 0."""


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


# ---------------------------------------------------------------------- comparisons

Verdict = Literal["A", "B", "tie"]

Method = Literal["comparison-words", "joined", "scores"]
"""How a preference was found: the model was shown both and asked (``comparison-words``), scored each by itself and
the two distributions were compared (``scores``), or both, with what its heads read of each (``joined``; the weights
are the preset's)."""

TIE = 0.005
"""A preference nearer than this to 0.5 is a tie: it is one that prints as 0.50."""


def verdict_of(p_a_better: float) -> Verdict:
    """Return which is better by the stated rule (:data:`TIE`)."""
    if abs(p_a_better - 0.5) < TIE:
        return "tie"
    return "A" if p_a_better > 0.5 else "B"


class Side(Record):
    """One of the inputs of a comparison."""

    source: str
    media: Media
    provenance: Provenance
    """How it was shown where the preference was found."""
    score: Score | None = None
    """Its score by itself; None where the model only compares, and for a reference."""


class Comparison(Record):
    """Which of two inputs is better, and by how much."""

    schema_version: int = SCHEMA_VERSION
    status: Literal["compared"] = "compared"
    aspect: str
    verdict: Verdict
    """By :func:`verdict_of`."""
    p_a_better: float = Field(ge=0, le=1)
    """Probability that A is better; by comparison words the mean over both orders and all pairs of frames, joined
    with other readings where the method says so."""
    method: Method
    by_order: tuple[float, float] | None = None
    """Probability that A is better where A is shown first, and where B is; None for scores."""
    position_bias: float | None = Field(default=None, ge=-1, le=1)
    """The first of ``by_order`` minus the second: positive for a model that likes what it is shown first."""
    n_pairs: int = Field(ge=0)
    """Pairs of pictures that the model was asked about, each in both orders: one of images, the pairs of frames of
    videos; 0 for scores."""
    coverage: float | None = Field(default=None, ge=0, le=1 + 1e-6)
    """Probability mass of the comparison words in the open vocabulary, mean over all answers; None for scores and
    where an endpoint does not tell."""
    readout: Readout | None = None
    """How the comparison words were read; None for scores, which tell their own."""
    gap: float | None = None
    """Score of A minus that of B, on 1..5; None without scores."""
    gap_std: float | None = Field(default=None, ge=0)
    """Standard deviation of that difference, for independent scores."""
    reference_used: bool | None = None
    """Whether the model saw the reference; None without one. Models that only score see one input at a time."""
    a: Side
    b: Side
    reference: Side | None = None
    spec: str
    """Hash of all that decides a comparison but the inputs."""

    @model_validator(mode="after")
    def _verdict_fits(self) -> Comparison:
        if self.verdict != verdict_of(self.p_a_better):
            raise ValueError(f"verdict {self.verdict} at a preference of {self.p_a_better}")
        return self

    def text(self) -> str:
        """Return one line for people, e.g. ``B is better (p = 0.93); A 2.1, B 3.9``."""
        p = self.p_a_better if self.verdict != "B" else 1 - self.p_a_better
        shown = "p > 0.99" if p > 0.995 else f"p = {p:.2f}"
        parts = [f"neither is better ({shown})" if self.verdict == "tie" else f"{self.verdict} is better ({shown})"]
        if self.a.score is not None and self.b.score is not None:
            parts.append(f"A {self.a.score.value:.1f}, B {self.b.score.value:.1f}")
        if self.position_bias is not None:
            parts.append(f"position bias {self.position_bias:+.2f}")
        if self.reference_used is False:
            parts.append("the reference was not used: this model scores one input at a time")
        return "; ".join(parts)


class RankedItem(Record):
    """One input of a ranking."""

    rank: int = Field(ge=1)
    source: str
    map_score: float
    """MAP score on Thurstone's scale (case V): the scores of a ranking sum to 0."""
    standard_error: float = Field(ge=0)
    """Of that score (Laplace)."""
    groups: tuple[int, ...] = Field(min_length=1)
    """Two inputs that share a group cannot be told apart; groups are numbered from the best on."""
    n_pairs: int = Field(ge=0)
    """Comparisons with others that its place rests on."""
    score: Score | None = None
    """Its score by itself; None where the model only compares."""
    media: Media
    provenance: Provenance


class RankedPair(Record):
    """One comparison that a ranking rests on: the places of both in ``items``, from 0, and the preference."""

    a: int = Field(ge=0)
    b: int = Field(ge=0)
    p_a_better: float = Field(ge=0, le=1)
    by_order: tuple[float, float]


class Ranked(Record):
    """Many inputs in the order of their quality, best first."""

    schema_version: int = SCHEMA_VERSION
    status: Literal["ranked"] = "ranked"
    aspect: str
    method: Method
    items: tuple[RankedItem, ...]
    unscored: tuple[Unscored, ...] = ()
    """Inputs that could not be ranked."""
    pairs: tuple[RankedPair, ...] = ()
    """What the model was asked, in the order of asking; empty for scores, which give every pair."""
    n_pairs: int = Field(ge=0)
    """Pairs with a preference."""
    n_failed: int = Field(default=0, ge=0)
    """Pairs that the model gave no answer about."""
    n_possible: int = Field(ge=0)
    """Pairs that there are."""
    choice: Literal["all", "information-gain"]
    """How pairs were chosen (:mod:`mllmqa.comparing.choice`); all of them where the budget allows."""
    position_bias: float | None = None
    """Mean over the pairs; see :class:`Comparison`."""
    alpha: float
    """Chance of telling apart any two that are equal (Holm over all pairs)."""
    reference_used: bool | None = None
    spec: str


Compared = Annotated[Comparison | Ranked | Unscored, Field(discriminator="status")]
"""What comparing gives."""

_COMPARED: TypeAdapter[Comparison | Ranked | Unscored] = TypeAdapter(Compared)


def read_comparison(line: str | bytes) -> Comparison | Ranked | Unscored:
    """Parse one JSON line as written by ``mllmqa compare --json``.

    Raises:
        pydantic.ValidationError: Not a record of this schema.
    """
    return _COMPARED.validate_json(line)
