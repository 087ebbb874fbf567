"""Records of asking: what a model reads of files, what a text claims, the answer. Frozen, JSON in and out."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, JsonValue

from mllmqa import prompts
from mllmqa.asking import thresholds
from mllmqa.levels import nearest_level
from mllmqa.schema import Readout, Record, Score

Probability = float
"""0..1."""

Box = tuple[int, int, int, int]
"""Left, top, right, bottom on a scale of 0 to 1000 (as Qwen2-VL and ViDA write them)."""

Span = tuple[float, float]
"""From and to, in seconds."""


class Presence(Record):
    """How probable it is, by a yes/no question or a head, that a file shows a category of distortion."""

    category: str
    """Of the distortion engine, e.g. ``blur``."""
    probability: Probability = Field(ge=0, le=1)
    """Of "Yes" against "No", or of the head; of a video asked frame by frame the highest mean over a quarter of its
    frames in a row (two at least)."""
    coverage: float | None
    """Mass of both words in the open vocabulary; None where an endpoint does not tell, and of heads."""
    per_frame: tuple[Probability, ...] | None = None
    """Of each frame, in the order of the score's frames; None where frames were not asked about singly."""
    spans_s: tuple[Span, ...] | None = None
    """When, where heads looked at every moment: empty if it is throughout or nowhere; None where none looked."""


class Severity(Record):
    """How strong a distortion is, by the words for severities or by the model's own head."""

    category: str
    value: float = Field(ge=1, le=5)
    """Expectation: 1 slight … 5 catastrophic."""
    std: float = Field(ge=0, le=2)
    words: dict[str, Probability]
    readout: Readout
    """``text``: the words are no single tokens of this model, so the one that it wrote has all the mass.
    ``heads``: the mass is on the two words that the number lies between."""


class TileMap(Record):
    """Scores of the tiles of a picture, row by row."""

    rows: int = Field(ge=1)
    columns: int = Field(ge=1)
    values: tuple[float, ...]
    """On 1..5."""
    presence: dict[str, tuple[Probability, ...]] = Field(default_factory=dict)
    """Category → probability in each tile; of the categories that the whole picture shows."""


class FileEvidence(Record):
    """What the model reads of one file before any text is written."""

    key: str
    """A, B, C …; R for the reference. Prompts and texts know a file by this only, never by its name."""
    score: Score
    presence: tuple[Presence, ...]
    """Of each category that was asked about; empty where the model cannot say yes or no (see ``unread``)."""
    severities: tuple[Severity, ...] = ()
    """Of the categories that are likely to be there."""
    tiles: TileMap | None = None
    fidelity: float | None = Field(default=None, ge=1, le=5)
    """How near to the undistorted original, by a model's own heads (:class:`mllmqa.models.base.Examined`); of a
    video the mean of its frames."""
    fidelities: tuple[float, ...] | None = None
    """The same of each frame, in the order of the score's frames; None of pictures and of frames seen together."""
    unread: dict[str, str] = Field(default_factory=dict)
    """What could not be read → why: ``presence`` (of all), ``presence:CATEGORY``, ``severity:CATEGORY``."""

    @property
    def medium(self) -> str:
        """``image`` or ``video``."""
        return self.score.media.kind

    @property
    def level(self) -> str:
        """Level word next to the score."""
        return nearest_level(self.score.value, prompts.level_scale())

    @property
    def why_unread(self) -> str | None:
        """Why no distortion was read; None where at least one was."""
        return None if self.presence else next(iter(self.unread.values()), "no distortion was asked about")

    def probability(self, category: str) -> float | None:
        """Return how probable a category is; None where it was not read."""
        return next((one.probability for one in self.presence if one.category == category), None)

    def severity(self, category: str) -> Severity | None:
        """Return how strong a category is; None where it was not read."""
        return next((one for one in self.severities if one.category == category), None)


class PairEvidence(Record):
    """How two files compare."""

    first: str
    second: str
    first_better: Probability = Field(ge=0, le=1)
    """Probability that the first is better, both orders averaged."""
    method: str
    """As in :class:`mllmqa.schema.Comparison`: ``comparison-words``, ``joined`` or ``scores``."""
    order_gap: float | None = None
    """By how much the answer differs between the two orders; None: scores have no order."""

    def better(self, one: str) -> float:
        """Return the probability that this one of the two is the better."""
        return self.first_better if one == self.first else 1 - self.first_better


class Evidence(Record):
    """What the model reads of all files of a question."""

    files: tuple[FileEvidence, ...]
    pairs: tuple[PairEvidence, ...] = ()
    reference: FileEvidence | None = None

    def of(self, key: str) -> FileEvidence:
        """Return what is read of one file."""
        return next(one for one in self.files if one.key == key)

    def pair(self, one: str, other: str) -> PairEvidence | None:
        """Return how two files compare, whichever is first."""
        return next((p for p in self.pairs if {p.first, p.second} == {one, other}), None)

    def probability(self, key: str, category: str) -> float | None:
        """Return how probable a category is in a file, beyond the reference if one is shown; None: not read.

        With the reference r and the file p it is (p − r) / (1 − r), at least 0: what the reference has, too, is
        content and no distortion.
        """
        own = self.of(key).probability(category)
        if own is None or self.reference is None:
            return own
        there = self.reference.probability(category) or 0.0
        return max(0.0, (own - there) / (1 - there)) if there < 1 else 0.0

    def found(self, key: str) -> list[str]:
        """Return the categories that are stated of a file, the most probable first."""
        asked = [(one.category, self.probability(key, one.category) or 0.0) for one in self.of(key).presence]
        there = [(category, p) for category, p in asked if p >= thresholds.PRESENT]
        return [category for category, _ in sorted(there, key=lambda entry: -entry[1])]

    def order(self) -> list[str]:
        """Return the keys from best to worst: by the mean probability of being better than the others."""

        def mean(key: str) -> float:
            return sum(p.better(key) for p in self.pairs if key in (p.first, p.second))

        return sorted((one.key for one in self.files), key=lambda key: (-mean(key), key))


ClaimKind = Literal["distortion", "clean", "severity", "level", "better", "equal"]


class Claim(Record):
    """One thing that a text says of the files."""

    kind: ClaimKind
    key: str | None
    """The file that it is about; of ``better``: the better one; None: of no file by name."""
    denied: bool = False
    category: str | None = None
    """Of ``distortion`` and ``severity``."""
    value: float | None = None
    """Severity 1..5 or level 1..5."""
    exact: bool = True
    """Whether a severity is one of our five words."""
    other: str | None = None
    """Of ``better`` and ``equal``: the file that it is compared with; None: all others."""
    words: str
    """As the text has it."""


class Contradiction(Record):
    """A claim that the readings do not bear out."""

    claim: Claim
    reading: str
    """What was read instead, in words."""
    threshold: str
    """Name of the rule in :mod:`mllmqa.asking.thresholds`, or ``not read``."""


class Made(Record):
    """How an answer came about; how its readings did is in their scores' provenance."""

    mllmqa_version: str
    model: str
    weights_sha256: str | None
    preset: str
    kind: str
    """What the question was taken to be about (:mod:`mllmqa.asking.scope`)."""
    keys: tuple[str, ...]
    prompts: tuple[str, ...]
    """Ids and versions of the texts; ``build``: a wording that the model is trained on."""
    max_new_tokens: int
    """0: the model was not asked for a text."""


class Held(Record):
    """How an answer was held to a JSON Schema (:mod:`mllmqa.answer_schema`)."""

    name: str
    """Of the shipped schema, or the file as it was named."""
    sha256: str
    """Of the schema as compact JSON, properties in their order."""
    by: str | None = None
    """``llguidance`` and its version: tokens that leave the schema could not be chosen. ``response_format``: the
    endpoint was told to hold the answer to it. None: the model said nothing."""
    valid: bool | None = None
    """Whether what the model last said follows the schema; None: it said nothing."""
    problem: str | None = None
    """Why there is no valid answer of the model: what it said instead, or what the endpoint says."""


REASONS = {
    "by-readings": "what was asked is read, not written",
    "contradicted": "the model's own text contradicts them",
    "says-nothing": "the model's own text does not say what was asked",
    "empty": "the model said nothing",
    "declined": "the endpoint declined to answer",
    "too-long": "files and question are too long for the model",
    "truncated": "the model's own JSON was cut off by the limit of tokens",
    "unparsed": "what the model said does not follow the schema",
    "api-rejected": "the endpoint rejects the request",
    "cancelled": "the answer was cancelled",
}
"""Reason of a composed answer → in words."""


Source = Literal["model", "evidence", "refusal", "none"]
"""Where an answer comes from. ``evidence``: composed from the readings alone, because the model's own text does not
hold. ``none``: by a schema of the user's own the model gave no answer that holds."""


class Answer(Record):
    """An answer to a question about the quality of files."""

    schema_version: int = 1
    question: str
    text: str
    source: Source
    reason: str | None = None
    """Why it is a refusal, or composed, or none: a short stable name."""
    data: dict[str, JsonValue] | None = None
    """The answer as an object that follows the schema; None where none was asked for, or there is none."""
    held: Held | None = None
    """Where an answer by a schema was asked for."""
    evidence: Evidence | None = None
    claims: tuple[Claim, ...] = ()
    """Of ``text``."""
    contradictions: tuple[Contradiction, ...] = ()
    """Of the model's last text. ``text`` itself has none, unless the answer was cancelled."""
    model_text: str | None = None
    """What the model last wrote, where ``text`` is composed."""
    regenerated: bool = False
    """Whether the model was asked a second time, with its contradictions named."""
    confidence: float | None = Field(default=None, ge=0, le=1)
    """See :func:`mllmqa.asking.confidence.of_tokens` and :func:`~mllmqa.asking.confidence.of_evidence`."""
    notes: tuple[str, ...] = ()
    """What the reader should know, e.g. which frames were kept."""
    made: Made | None = None
    """None for refusals."""

    @property
    def in_words(self) -> str | None:
        """The reason in words, as far as there are any; else its name."""
        return REASONS.get(self.reason or "", self.reason)
