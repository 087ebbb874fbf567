"""A structured assessment of one file: how good, what distorts it, where and when, what that does, one paragraph.

Every field but the paragraph comes from readings (:mod:`~mllmqa.asking.evidence`); the paragraph is an answer that
is checked against them (:mod:`~mllmqa.asking.answer`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from mllmqa.asking import compose
from mllmqa.asking.answer import MAX_NEW_TOKENS, Options, answer
from mllmqa.asking.evidence import Depth, Gathered, gather
from mllmqa.asking.records import Answer, Box, FileEvidence, Probability, Span
from mllmqa.asking.scope import Asked
from mllmqa.asking.texts import effects, say
from mllmqa.data.streams import stream
from mllmqa.data.tasks.phrases import capital
from mllmqa.data.tasks.wording import join, vocabulary, wording
from mllmqa.errors import UsageError
from mllmqa.schema import Record

if TYPE_CHECKING:
    from mllmqa.prepare import Source
    from mllmqa.scoring import Scorer

Steps = Literal["three", "five"]


class Distortion(Record):
    """One distortion of a file."""

    category: str
    label: str
    """Its name in texts."""
    probability: Probability
    severity: float | None
    """1..5; None where it was not read."""
    grade: str | None
    """Word for the severity."""
    boxes: tuple[Box, ...] = ()
    """Where, on a scale of 0 to 1000; none: everywhere, or of a video, where places are not looked for."""
    spans_s: tuple[Span, ...] = ()
    """When, in seconds; none: throughout, or of an image."""
    effect: str
    """What it does to the content."""


class Assessment(Record):
    """What is known of the quality of one file."""

    schema_version: int = 1
    level: str
    score: float
    std: float
    distortions: tuple[Distortion, ...]
    """The most probable first."""
    worst_boxes: tuple[Box, ...] = ()
    """Where quality is lowest (:mod:`mllmqa.asking.places`); none: it is even."""
    worst_spans_s: tuple[Span, ...] = ()
    """When quality is lowest; none: it is even."""
    paragraph: str
    reasoning: str | None = None
    """In three or five steps, where asked for. Its places are the model's own and not checked."""
    answer: Answer
    """Whose text the paragraph is, with all readings."""
    reasoned: Answer | None = None
    """Whose text the reasoning is."""

    @property
    def evidence(self) -> FileEvidence:
        """The readings of the file."""
        if self.answer.evidence is None:
            raise UsageError("an assessment without readings", expected="one that explain() made")
        return self.answer.evidence.files[0]


@dataclass(frozen=True)
class ExplainOptions:
    """How a file is explained.

    Attributes:
        grid: Rows and columns of the tile map of an image, at most.
        frames: Frame rule of a video: each frame is scored.
        steps: Reasoning form besides the paragraph, for models that follow instructions.
        max_new_tokens: Of each text.
    """

    grid: tuple[int, int] = (4, 4)
    frames: str = "uniform:16"
    steps: Steps | None = None
    max_new_tokens: int = MAX_NEW_TOKENS


def explain(
    scorer: Scorer, source: Source, *, reference: Source | None = None, options: ExplainOptions | None = None
) -> Assessment:
    """Assess one image or video.

    Args:
        scorer: Model with its preset.
        source: The file.
        reference: The pristine one, if there is one.
        options: How.

    Raises:
        MediaError: A file cannot be read.
        UsageError: Steps are asked of a model that does not follow instructions.
        ModelError: The model failed.
    """
    options = options or ExplainOptions()
    if options.steps and not scorer.preset.follows:
        raise UsageError(
            f"reasoning in {options.steps} steps",
            where=scorer.backend.info.model,
            expected="a model that follows instructions",
            hint="leave out --steps",
        )
    depth = Depth(frames=options.frames, per_frame=True, grid=options.grid)
    gathered = gather(scorer, [source], reference, depth)
    medium = gathered.evidence.files[0].medium
    asked = Asked("assess", ("A",))
    how = Options(max_new_tokens=options.max_new_tokens)
    found = answer(scorer, say("model", "explain", medium=medium), asked, gathered, options=how)
    reasoned = None
    if options.steps is not None and (question := _steps_question(options.steps, gathered)) is not None:
        reasoned = answer(scorer, question, asked, gathered, options=how)
    return _assessment(gathered, found, reasoned)


def paragraph_of(gathered: Gathered) -> str:
    """Compose the paragraph from readings alone: the assessment, the worst places, what the distortions do."""
    evidence, file = gathered.evidence, gathered.evidence.files[0]
    parts = [compose.assessment(evidence, (file.key,))]
    boxes, spans = compose.worst_places(file)
    if boxes or spans:
        parts.append(compose.place(evidence, (file.key,)))
    done = [effects()[category] for category in evidence.found(file.key)[:2]]
    parts += [f"{capital(join(done))}."] if done else []
    return " ".join(parts)


def _assessment(gathered: Gathered, found: Answer, reasoned: Answer | None) -> Assessment:
    evidence, file = gathered.evidence, gathered.evidence.files[0]
    boxes, spans = compose.worst_places(file)
    return Assessment(
        level=file.level,
        score=file.score.value,
        std=file.score.std,
        distortions=tuple(_distortion(gathered, category) for category in evidence.found(file.key)),
        worst_boxes=tuple(boxes),
        worst_spans_s=tuple(spans),
        paragraph=found.text if found.source == "model" else paragraph_of(gathered),
        reasoning=reasoned.text if reasoned and reasoned.source == "model" else None,
        answer=found,
        reasoned=reasoned,
    )


def _distortion(gathered: Gathered, category: str) -> Distortion:
    evidence, file, words = gathered.evidence, gathered.evidence.files[0], vocabulary()
    severity = file.severity(category)
    boxes, spans = compose.places_of(file, category)
    return Distortion(
        category=category,
        label=words.label(category),
        probability=evidence.probability(file.key, category) or 0.0,
        severity=None if severity is None else severity.value,
        grade=None if severity is None else words.grade(severity.value),
        boxes=tuple(boxes),
        spans_s=tuple(spans),
        effect=effects()[category],
    )


def _steps_question(steps: Steps, gathered: Gathered) -> str | None:
    """Return the question of a reasoning form; None for three steps about a file without distortions."""
    evidence, file = gathered.evidence, gathered.evidence.files[0]
    chance = stream(0, "explain", steps)
    if steps == "five":
        return wording("reason_five").pick("question", chance, medium=file.medium)
    found = evidence.found(file.key)
    if not found:
        return None
    pool = "question_box" if file.medium == "image" else "question_span"
    return wording("reason_three").pick(pool, chance, medium=file.medium, label=vocabulary().label(found[0]))
