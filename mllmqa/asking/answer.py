"""Answers that are grounded: readings first, then a text, then a check of the text against the readings.

1. What the question is about (:mod:`~mllmqa.asking.scope`), or a refusal.
2. Readings of all files (:mod:`~mllmqa.asking.evidence`).
3. The model's text, with the readings in the prompt if it can use them (:mod:`~mllmqa.asking.speaking`).
4. Claims of that text against the readings (:mod:`~mllmqa.asking.claims`). What contradicts is named to the model,
   once; if its second text contradicts, too, or says nothing of what was asked, the text that is shown is composed
   of the readings alone (:mod:`~mllmqa.asking.compose`); the record keeps the model's with its contradictions.
   A question for a place or time is always answered so: places in a text are not checked.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from mllmqa.asking import by_schema, compose, confidence, speaking
from mllmqa.asking.claims import claims_of, contradictions
from mllmqa.asking.evidence import KEYS, Depth, Gathered, Preference, gather
from mllmqa.asking.records import Answer, Claim, Contradiction
from mllmqa.asking.scope import Asked, Kind, Refusal, kinds_differ, refused, understand
from mllmqa.errors import ApiRefusedError, MediaError, MediaLimitError
from mllmqa.models.base import Turn

if TYPE_CHECKING:
    from mllmqa.answer_schema import AnswerSchema
    from mllmqa.asking.speaking import Cancelled, OnText, Said
    from mllmqa.prepare import Source
    from mllmqa.scoring import Scorer

MAX_NEW_TOKENS = 256
PLACE_DEPTH = Depth(frames="uniform:16", per_frame=True, grid=(4, 4), distortions=False)
"""What is read of a file that is asked for a place or a time."""


@dataclass(frozen=True)
class Options:
    """How a question is answered.

    Attributes:
        max_new_tokens: Of the model's text.
        depth: How much is read of each file; None: what the question needs.
        prefer: How two files are compared; None: by their score distributions.
        on_text: Given each piece of the model's first text, before it is checked.
        cancelled: Asked between tokens; then what was said so far is checked and returned.
        schema: The JSON Schema that the answer is held to, or the name of a shipped one (:mod:`.by_schema`); None:
            it is a text.
    """

    max_new_tokens: int = MAX_NEW_TOKENS
    depth: Depth | None = None
    prefer: Preference | None = None
    on_text: OnText | None = None
    cancelled: Cancelled | None = None
    schema: AnswerSchema | str | None = None


_WANTED: Mapping[Kind, frozenset[str]] = {
    "compare": frozenset({"better", "equal"}),
    "level": frozenset({"level"}),
    "assess": frozenset({"distortion", "clean"}),
    "identify": frozenset({"distortion", "clean"}),
    "yes_no": frozenset({"distortion", "clean"}),
    "how": frozenset({"distortion", "clean"}),
}
"""Kinds of claims, one of which a text has to hold to be an answer."""


@dataclass
class _Draft:
    """A model's text, what it claims, and which of that does not hold."""

    said: Said
    claims: list[Claim]
    faults: list[Contradiction] = field(default_factory=list)


def ask(
    scorer: Scorer,
    question: str,
    files: Sequence[Source],
    *,
    reference: Source | None = None,
    history: Sequence[Turn] = (),
    options: Options | None = None,
) -> Answer:
    """Answer a question about the quality of images or videos.

    Args:
        scorer: Model with its preset.
        question: In words; files are A, B, C … in their order.
        files: Up to eight images or videos.
        reference: The pristine one, if there is one.
        history: Earlier questions and answers, in turn, without pictures.
        options: How.

    Returns:
        An answer, or a refusal in words; a file that cannot be read is one.

    Raises:
        ModelError: The model failed.
    """
    options = options or Options()
    asked = understand(question, keys_of(len(files)), follows=bool(history))
    if isinstance(asked, Refusal):
        return refusal(question, asked)
    try:
        gathered = gather(scorer, files, reference, depth_for(asked, options), options.prefer)
    except MediaError as error:
        return refusal(question, refused("unreadable", why=str(error)))
    return answer(scorer, question, asked, gathered, history=history, options=options)


def keys_of(count: int) -> tuple[str, ...]:
    """Return the names of so many files; more than there are names for, where a refusal is to follow."""
    return tuple(KEYS[:count]) if count <= len(KEYS) else tuple(map(str, range(count)))


def depth_for(asked: Asked, options: Options) -> Depth:
    """Return how much has to be read for a question."""
    return options.depth or (PLACE_DEPTH if asked.kind == "place" else Depth())


def answer(
    scorer: Scorer,
    question: str,
    asked: Asked,
    gathered: Gathered,
    *,
    history: Sequence[Turn] = (),
    options: Options | None = None,
) -> Answer:
    """Answer a question that is understood, about files that are read: for further questions about the same.

    Raises:
        ModelError: The model failed.
    """
    options = options or Options()
    media = {one.key: one.evidence.medium for one in gathered.files if one.key in asked.keys}
    if asked.kind == "compare" and (differ := kinds_differ(media)):
        return refusal(question, differ)
    follows = scorer.preset.follows
    before = [_text_of(turn) for turn in history if follows]
    if options.schema is not None:
        how = speaking.How(options.max_new_tokens, options.on_text, options.cancelled)
        return by_schema.answer(scorer, question, asked, gathered, before, options.schema, how)
    text = speaking.plain_question(asked, next(iter(media.values())), len(gathered.files))
    if follows:
        text = speaking.told(question, gathered.evidence)
    if text is None or asked.kind == "place":
        return _composed(scorer, question, asked, gathered, None, "by-readings")
    lines = [*before, text]
    try:
        draft, regenerated = _drafted(scorer, asked, gathered, lines, options)
    except MediaLimitError:
        return _composed(scorer, question, asked, gathered, None, "too-long")
    except ApiRefusedError:
        return _composed(scorer, question, asked, gathered, None, "declined")
    return _accepted(scorer, question, asked, gathered, draft, options, regenerated)


def refusal(question: str, why: Refusal) -> Answer:
    """Return a refusal as a record."""
    return Answer(question=question, text=why.text, source="refusal", reason=why.reason)


def composed_text(asked: Asked, gathered: Gathered) -> str:
    """Return the answer that is composed from the readings alone."""
    evidence, keys = gathered.evidence, asked.keys
    if asked.kind == "compare":
        return compose.comparison(evidence, keys)
    if asked.kind == "identify":
        return compose.identification(evidence, keys)
    if asked.kind == "place":
        return compose.place(evidence, keys)
    if asked.kind == "level":
        return compose.level(evidence, keys)
    if asked.category is not None:
        return compose.presence(evidence, keys, asked.category)
    return compose.assessment(evidence, keys)


# ------------------------------------------------------------------ the model's text


def _drafted(
    scorer: Scorer, asked: Asked, gathered: Gathered, lines: list[str], options: Options
) -> tuple[_Draft, bool]:
    """Return the model's text, asked a second time where its first does not hold, and whether that was needed."""
    shown = speaking.all_shown(gathered)
    how = speaking.How(options.max_new_tokens, options.on_text, options.cancelled)
    first = _draft(speaking.speak(scorer.backend, shown, lines, how), gathered)
    if not first.faults or not scorer.preset.follows or first.said.spoken.finished == "cancelled":
        return first, False
    lines = [*lines, first.said.text, speaking.again(first.faults)]
    return _draft(speaking.speak(scorer.backend, shown, lines, replace(how, on_text=None)), gathered), True


def _draft(said: Said, gathered: Gathered) -> _Draft:
    found = claims_of(said.text, [one.key for one in gathered.files])
    return _Draft(said, found, contradictions(found, gathered.evidence))


def _flaw(draft: _Draft, asked: Asked, follows: bool) -> str | None:
    """Return why a text is not shown: ``empty``, ``contradicted``, ``says-nothing``; or ``cancelled``; or None."""
    if draft.said.spoken.finished == "cancelled":
        return "cancelled"
    if not draft.said.text:
        return "empty"
    if draft.faults:
        return "contradicted"
    about = [one for one in draft.claims if asked.category is None or one.category in (asked.category, None)]
    kinds = {claim.kind for claim in about}
    wanted = _WANTED[asked.kind] | ({"level"} if asked.kind == "assess" and follows else set())
    return None if kinds & wanted else "says-nothing"


# ------------------------------------------------------------------ records


def _accepted(
    scorer: Scorer,
    question: str,
    asked: Asked,
    gathered: Gathered,
    draft: _Draft,
    options: Options,
    regenerated: bool,
) -> Answer:
    """Return the model's own text, where it is an answer; else what is composed of the readings."""
    reason = _flaw(draft, asked, scorer.preset.follows)
    if reason is not None and reason != "cancelled":
        made = _composed(scorer, question, asked, gathered, draft, reason)
        return made.model_copy(update={"regenerated": regenerated})
    return Answer(
        question=question,
        text=draft.said.text,
        source="model",
        reason=reason,
        evidence=gathered.evidence,
        claims=tuple(draft.claims),
        contradictions=tuple(draft.faults),
        regenerated=regenerated,
        confidence=confidence.of_tokens(draft.said.pieces, draft.said.spoken.logprobs),
        notes=_notes(draft),
        made=speaking.made(scorer, asked, options.max_new_tokens),
    )


def _composed(
    scorer: Scorer, question: str, asked: Asked, gathered: Gathered, draft: _Draft | None, reason: str
) -> Answer:
    text = composed_text(asked, gathered)
    keys = [one.key for one in gathered.files]
    return Answer(
        question=question,
        text=text,
        source="evidence",
        reason=reason,
        evidence=gathered.evidence,
        claims=tuple(claims_of(text, keys)),
        contradictions=tuple(draft.faults) if draft else (),
        model_text=draft.said.text if draft else None,
        confidence=confidence.of_evidence(gathered.evidence, asked.keys, verdict=asked.kind == "compare"),
        notes=_notes(draft) if draft else (),
        made=speaking.made(scorer, asked, 0),
    )


def _notes(draft: _Draft) -> tuple[str, ...]:
    cut = ("cut off by the limit of tokens",) if draft.said.spoken.finished == "length" else ()
    return (*draft.said.notes, *cut)


def _text_of(turn: Turn) -> str:
    return "".join(part for part in turn.content if isinstance(part, str))
