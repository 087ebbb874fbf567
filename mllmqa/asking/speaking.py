"""What a model is shown and told with a question, and how its text comes back.

Files are only ever called A, B, C …: no name, no metadata, nothing of a file but its pixels enters a prompt.
A model that follows instructions gets the readings with the question; one that does not (``follows: false`` of its
preset) gets the plain wording of ``prompts/build`` that it is trained on.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from mllmqa._version import __version__
from mllmqa.asking import compose
from mllmqa.asking.evidence import REFERENCE, File, Gathered
from mllmqa.asking.records import Contradiction, Evidence, Made
from mllmqa.asking.scope import Asked
from mllmqa.asking.texts import ref, say
from mllmqa.data.streams import stream
from mllmqa.data.tasks.wording import vocabulary, wording
from mllmqa.errors import MediaLimitError
from mllmqa.models.base import Turn

if TYPE_CHECKING:
    from mllmqa.answer_schema import AnswerSchema
    from mllmqa.models.base import Backend, EncodedImage, ImageHWC, Spoken
    from mllmqa.scoring import Scorer

OnText = Callable[[str], None]
Cancelled = Callable[[], bool]


@dataclass(frozen=True)
class Shown:
    """Pictures of one file, with the words in front of each.

    Attributes:
        key: Of the file.
        parts: (words, pictures, the same as files for a remote model), one entry per image or frame.
        times_s: Of the frames; empty for an image.
    """

    key: str
    parts: tuple[tuple[str, tuple[ImageHWC, ...], tuple[EncodedImage, ...] | None], ...]
    times_s: tuple[float, ...] = ()

    def halved(self) -> Shown:
        """Return every second frame."""
        return replace(self, parts=self.parts[::2], times_s=self.times_s[::2])


@dataclass
class Said:
    """What a model said.

    Attributes:
        spoken: Text, log-probabilities, how it ended.
        pieces: The text as it came.
        notes: What had to be left out of the prompt.
    """

    spoken: Spoken
    pieces: list[str] = field(default_factory=list)
    notes: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """The text without white space around it."""
        return str(self.spoken.text).strip()


def plain_question(asked: Asked, medium: str, n_files: int) -> str | None:
    """Return the wording of a question that a model without instructions is trained on; None: there is none."""
    label = vocabulary().label(asked.category) if asked.category else ""
    name, pool = {
        "compare": ("rate", "question_why"),
        "assess": ("assess", "question"),
        "identify": ("identify", "question"),
        "level": ("level", "question"),
        "how": ("open", "question_how"),
        "yes_no": ("open", "question_yes_no"),
        "place": ("", ""),
    }[asked.kind]
    wanted = 2 if asked.kind == "compare" else 1
    if not name or medium != "image" or n_files != wanted:
        return None
    return wording(name).pick(pool, stream(0, "ask", asked.kind), medium=medium, aspect="quality", label=label)


def told(question: str, evidence: Evidence, schema: AnswerSchema | None = None) -> str:
    """Return what a model that follows instructions is told: the task, the readings, the question, the schema."""
    lines = [say("model" if schema is None else "json", "task"), say("model", "readings")]
    for file in evidence.files:
        lines.append(
            say(
                "model", "file", key=file.key, medium=file.medium, level=file.level,
                score=f"{file.score.value:.1f}", listed=compose.listed(evidence, file),
            )
        )  # fmt: skip
        boxes, spans = compose.worst_places(file)
        if boxes or spans:
            places = compose.places_text(boxes, spans).removeprefix(" at ").strip()
            lines.append(say("model", "lowest", key=file.key, places=places))
    lines += [compose.verdict(pair, "model") for pair in evidence.pairs]
    lines.append(say("model", "question", question=" ".join(question.split())))
    lines += [] if schema is None else [say("json", "schema", schema=schema.text)]
    return "\n".join(lines)


def again(faults: Sequence[Contradiction]) -> str:
    """Return the request to answer again, with what does not hold."""
    named = [say("model", "fault", words=repr(one.claim.words), reading=one.reading) for one in faults]
    return say("model", "again", faults="; ".join(named))


def all_shown(gathered: Gathered) -> list[Shown]:
    """Return the pictures of all files, the reference in front."""
    files = [*([gathered.reference] if gathered.reference else []), *gathered.files]
    return [shown_of(one) for one in files]


def made(scorer: Scorer, asked: Asked, max_new_tokens: int, told: str = "model") -> Made:
    """Return how an answer came about.

    Args:
        scorer: Model with its preset.
        asked: What the question is about.
        max_new_tokens: Of the model's text; 0: it was not asked.
        told: File of the texts for a model that follows instructions.
    """
    info = scorer.backend.info
    return Made(
        mllmqa_version=__version__,
        model=info.model,
        weights_sha256=info.weights_sha256,
        preset=scorer.preset.name,
        kind=asked.kind,
        keys=asked.keys,
        prompts=(ref(told) if scorer.preset.follows else "build", ref("compose")),
        max_new_tokens=max_new_tokens,
    )


def shown_of(file: File) -> Shown:
    """Return the pictures of a file as a question shows them."""
    times = file.score.provenance.timestamps_s if file.evidence.medium == "video" else ()
    parts = []
    for request in file.shown:
        joint = bool(times) and len(file.shown) == 1 and len(request.images) >= len(times)
        size = len(request.images) // len(times) if joint else len(request.images)
        for start in range(0, len(request.images), max(1, size)):
            encoded = request.encoded[start : start + size] if request.encoded else None
            parts.append((request.images[start : start + size], encoded))
    names = [_name(file, times[k] if times else None) for k in range(len(parts))]
    return Shown(file.key, tuple((n, p, e) for n, (p, e) in zip(names, parts, strict=True)), times)


def _name(file: File, time_s: float | None) -> str:
    if time_s is not None:
        return say("model", "frame", key=file.key, time_s=f"{time_s:.1f}")
    pool, medium = ("reference" if file.key == REFERENCE else "stimulus"), file.evidence.medium
    return wording("layout").pick(pool, stream(0, "layout"), medium=medium, key=file.key)


def user_turn(shown: Sequence[Shown], text: str) -> Turn:
    """Return a user's turn: pictures with their names, alone without one, then the text."""
    content: list[ImageHWC | str] = []
    encoded: list[EncodedImage] = []
    named = sum(len(one.parts) for one in shown) > 1
    for one in shown:
        for words, pictures, files in one.parts:
            content += [*([words] if named else []), *pictures]
            encoded += files or ()
    pictures_n = sum(not isinstance(part, str) for part in content)
    return Turn("user", (*content, text), tuple(encoded) if encoded and len(encoded) == pictures_n else None)


@dataclass(frozen=True)
class How:
    """How a model speaks.

    Attributes:
        max_new_tokens: Of its text.
        on_text: Given each piece of it.
        cancelled: Asked between tokens.
        schema: What it is held to.
    """

    max_new_tokens: int
    on_text: OnText | None = None
    cancelled: Cancelled | None = None
    schema: AnswerSchema | None = None


def speak(backend: Backend, shown: Sequence[Shown], texts: Sequence[str], how: How) -> Said:
    """Let a model answer; what is too long for it loses earlier questions first, then every second frame.

    Args:
        backend: The model.
        shown: Pictures; they stand in front of the first text.
        texts: Question, answer, …, question.
        how: Limits, and who listens.

    Raises:
        MediaLimitError: Even one frame of each file is too long for the model.
        ModelError: The model failed.
    """
    notes: dict[str, str] = {}
    while True:
        pieces: list[str] = []

        def take(piece: str, pieces: list[str] = pieces) -> None:
            pieces.append(piece)
            if how.on_text is not None:
                how.on_text(piece)

        turns = [user_turn(shown, texts[0])]
        turns += [Turn("assistant" if k % 2 else "user", (text,)) for k, text in enumerate(texts[1:], 1)]
        try:
            spoken = backend.talk(
                turns,
                max_new_tokens=how.max_new_tokens,
                on_text=take,
                cancelled=how.cancelled,
                schema=how.schema,
            )
        except MediaLimitError:
            if len(texts) > 1:
                texts = texts[2:]
                notes["turns"] = "earlier questions did not fit into the model"
            elif any(len(one.times_s) > 1 for one in shown):
                shown = [one.halved() for one in shown]
                notes["frames"] = f"frames kept: {'; '.join(_times(one) for one in shown if one.times_s)}"
            else:
                raise
            continue
        return Said(spoken, pieces, tuple(notes.values()))


def _times(shown: Shown) -> str:
    return f"{shown.key} at {', '.join(f'{time:.1f}' for time in shown.times_s)} s"
