"""Answers that are JSON objects by a schema, held to it while they are decoded, and checked like texts.

What the model says counts only as a whole: cut off, beside the schema (an endpoint may ignore it) or against the
readings, it is no answer. What contradicts is named to the model once, as for texts. Then the shipped ``verdict``
is composed of the readings; of a user's own schema nothing can be, and the record says why there is no answer.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mllmqa.answer_schema import AnswerSchema, Broken, read_schema, require
from mllmqa.asking import confidence, speaking
from mllmqa.asking.claims import contradictions
from mllmqa.asking.evidence import Gathered
from mllmqa.asking.objects import Form, OwnForm
from mllmqa.asking.records import Answer, Claim, Contradiction, Held
from mllmqa.asking.scope import Asked
from mllmqa.asking.texts import say
from mllmqa.asking.verdict import NAME, VerdictForm
from mllmqa.errors import (
    ApiRefusedError,
    ApiRejectedError,
    ApiTruncatedError,
    MediaLimitError,
    UnknownNameError,
    error_line,
)

if TYPE_CHECKING:
    from mllmqa.asking.speaking import How, Said
    from mllmqa.scoring import Scorer

SHIPPED = (NAME,)


def find_schema(name: str) -> AnswerSchema | str:
    """Return a schema by what a user calls it: the name of a shipped one, or a JSON file.

    Raises:
        UnknownNameError: It is neither.
        UsageError: The file is no schema that decoding can be held to.
        MissingExtraError: The packages of the extra ``json`` are not installed.
    """
    if name in SHIPPED:
        require()
        return name
    if not Path(name).exists():
        raise UnknownNameError(f"no schema {name!r}", expected=f"{' | '.join(SHIPPED)}, or a JSON file")
    return read_schema(name)


@dataclass(frozen=True)
class _Job:
    """One question."""

    scorer: Scorer
    question: str
    asked: Asked
    gathered: Gathered
    form: Form
    how: How

    @property
    def keys(self) -> tuple[str, ...]:
        """What the question is about."""
        return self.asked.keys


@dataclass
class _Draft:
    """What the model said, what it claims, and which of that does not hold."""

    said: Said
    data: dict[str, Any] | Broken
    claims: list[Claim] = field(default_factory=list)
    faults: list[Contradiction] = field(default_factory=list)

    @property
    def flaw(self) -> str | None:
        """Why it is no answer; None: it is one."""
        if self.said.spoken.finished == "cancelled":
            return "cancelled"
        if isinstance(self.data, Broken):
            return self.data.kind
        return "contradicted" if self.faults else None


def answer(
    scorer: Scorer,
    question: str,
    asked: Asked,
    gathered: Gathered,
    before: Sequence[str],
    schema: AnswerSchema | str,
    how: How,
) -> Answer:
    """Answer a question that is understood, about files that are read, by a schema.

    Args:
        scorer: Model with its preset.
        question: As the user asked it.
        asked: What it is about.
        gathered: The files.
        before: Earlier questions and answers, in turn.
        schema: The schema, or the name of a shipped one.
        how: Limits, and who listens.

    Raises:
        UnknownNameError: No such schema.
        ModelError: The model failed.
    """
    form = _form(schema, scorer, asked, gathered)
    job = _Job(scorer, question, asked, gathered, form, replace(how, schema=form.schema))
    text: str | None = speaking.told(question, gathered.evidence, form.schema)
    if not scorer.preset.follows:
        medium = gathered.evidence.of(asked.keys[0]).medium
        text = speaking.plain_question(asked, medium, len(gathered.files))
    if text is None or asked.kind == "place":
        return _otherwise(job, "by-readings", say("json", "by_readings" if asked.kind == "place" else "no_wording"))
    try:
        draft, again = _drafted(job, [*before, text])
    except (ApiRejectedError, ApiTruncatedError) as error:
        return _otherwise(job, error.code, error_line(error))
    except ApiRefusedError as error:
        return _otherwise(job, "declined", error_line(error))
    except MediaLimitError as error:
        return _otherwise(job, "too-long", error_line(error))
    return _accepted(job, draft, again)


def _form(schema: AnswerSchema | str, scorer: Scorer, asked: Asked, gathered: Gathered) -> Form:
    if isinstance(schema, AnswerSchema):
        return OwnForm(schema, [one.key for one in gathered.files])
    if schema not in SHIPPED:
        raise UnknownNameError(f"no schema {schema!r}", expected=" | ".join(SHIPPED))
    return VerdictForm(gathered.evidence, asked.keys, remote=scorer.backend.info.remote)


def _drafted(job: _Job, lines: list[str]) -> tuple[_Draft, bool]:
    """Return what the model says, asked a second time where its first contradicts, and whether that was needed."""
    shown, backend = speaking.all_shown(job.gathered), job.scorer.backend
    first = _draft(job, speaking.speak(backend, shown, lines, job.how))
    if first.flaw != "contradicted" or not job.scorer.preset.follows:
        return first, False
    lines = [*lines, first.said.text, speaking.again(first.faults)]
    return _draft(job, speaking.speak(backend, shown, lines, replace(job.how, on_text=None))), True


def _draft(job: _Job, said: Said) -> _Draft:
    data = job.form.schema.parsed(said.text, truncated=said.spoken.finished == "length")
    if isinstance(data, Broken):
        return _Draft(said, data)
    claims = list(dict.fromkeys(job.form.claims(data)))  # a weak model says one thing many times
    return _Draft(said, data, claims, contradictions(claims, job.gathered.evidence))


def _accepted(job: _Job, draft: _Draft, again: bool) -> Answer:
    """Return the model's own answer, where it is one."""
    if draft.flaw is not None or isinstance(draft.data, Broken):
        return _without(job, draft, again)
    return Answer(
        question=job.question,
        text=json.dumps(draft.data, ensure_ascii=False),
        source="model",
        data=draft.data,
        held=_held(job.form.schema, draft),
        evidence=job.gathered.evidence,
        claims=tuple(draft.claims),
        regenerated=again,
        confidence=confidence.of_tokens(draft.said.pieces, draft.said.spoken.logprobs),
        notes=draft.said.notes,
        made=speaking.made(job.scorer, job.asked, job.how.max_new_tokens, "json"),
    )


# ------------------------------------------------------------------ where the model gave no answer that holds


def _without(job: _Job, draft: _Draft, again: bool) -> Answer:
    """Return the record of a model's words that are no answer."""
    reason = draft.flaw or "unparsed"
    problem = draft.data.problem if isinstance(draft.data, Broken) else None
    made = _otherwise(job, reason, problem or say("json", reason))
    return made.model_copy(
        update={
            "held": _held(job.form.schema, draft),
            "contradictions": tuple(draft.faults),
            "model_text": draft.said.text,
            "regenerated": again,
            "notes": draft.said.notes,
            "made": speaking.made(job.scorer, job.asked, job.how.max_new_tokens, "json"),
        }
    )


def _otherwise(job: _Job, reason: str, why: str) -> Answer:
    """Return what is composed of the readings; where that cannot be, no answer."""
    evidence = job.gathered.evidence
    data = None if reason == "cancelled" else job.form.composed(evidence)
    common: dict[str, Any] = {
        "question": job.question,
        "reason": reason,
        "held": Held(name=job.form.schema.name, sha256=job.form.schema.sha256, problem=why),
        "evidence": evidence,
        "made": speaking.made(job.scorer, job.asked, 0, "json"),
    }
    if data is None:
        return Answer(text=say("json", "nothing", why=why), source="none", **common)
    return Answer(
        text=json.dumps(data, ensure_ascii=False),
        source="evidence",
        data=data,
        claims=tuple(job.form.claims(data)),
        confidence=confidence.of_evidence(evidence, job.keys, verdict="better" in data),
        **common,
    )


def _held(schema: AnswerSchema, draft: _Draft) -> Held:
    broken = draft.data if isinstance(draft.data, Broken) else None
    return Held(
        name=schema.name,
        sha256=schema.sha256,
        by=draft.said.spoken.held_by,
        valid=broken is None,
        problem=broken.problem if broken else None,
    )
