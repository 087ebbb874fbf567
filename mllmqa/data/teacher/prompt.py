"""What a teacher is told: ``prompts/teach/*.yaml``, our own wordings, each with an id and a version.

``rules`` holds for every task, ``words`` is what free texts are read with, every other file is a task.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any, Literal, TypeVar

from pydantic import Field

from mllmqa import resources
from mllmqa.data.tasks.truth import Finding
from mllmqa.data.tasks.wording import vocabulary
from mllmqa.data.teacher.truth import Truth
from mllmqa.errors import PromptError, UnknownNameError
from mllmqa.prompts import read_file
from mllmqa.schema import Record

FOLDER = "teach"
_GENERAL = ("rules", "words")
Demand = Literal["must", "may"]


class _Identified(Record):
    id: str
    version: int = Field(ge=1)

    @property
    def ref(self) -> str:
        """Id and version, e.g. ``teach/assess@1``."""
        return f"{self.id}@{self.version}"


class Rules(_Identified):
    """What holds for every task, and the names before the media."""

    system: str
    reference: str
    hidden: str
    single: str
    named: str
    facts: str
    form: str


class Caps(Record):
    """Most words of an answer, by the number of distortions on one medium."""

    one: int = Field(ge=1)
    several: int = Field(ge=1)


class TeachFile(_Identified):
    """One task."""

    parts: tuple[str, ...] = Field(min_length=1)
    """Keys of the JSON object, in the order in which their values make up the answer."""
    words: Caps
    temperature: float = Field(ge=0, le=2)
    distortions: Demand
    """Whether every distortion has to be named, or none needs to be."""
    grades: Demand
    task: str


class FreeWords(_Identified):
    """Words of free texts; see the file."""

    aliases: dict[str, tuple[str, ...]]
    grades: dict[str, int]
    deny: tuple[str, ...]
    fillers: tuple[str, ...]
    unclear: tuple[str, ...]
    clean: tuple[str, ...]
    harmless: tuple[str, ...]


_File = TypeVar("_File", Rules, TeachFile, FreeWords)


class Told:
    """All texts of one request.

    Args:
        file: The task.
        truth: What the labels say.
        question: As the sample has it.
        answer: As the sample has it.

    Attributes:
        system: For the system message.
        task: For the user's message, after the media.
        words: Most words of the answer.
        refs: Ids and versions of the prompts.
    """

    def __init__(self, file: TeachFile, truth: Truth, question: str, answer: str) -> None:
        shared = rules()
        self.file, self._truth = file, truth
        self.words = file.words.several if truth.most > 1 else file.words.one
        self.refs = (shared.ref, file.ref)
        given = _variables(truth) | {"parts": file.parts, "words": self.words}
        facts = fill(shared.facts, shared.ref, given)
        own = {"question": question, "answer": answer, "facts": facts}
        self.system = fill(shared.system, shared.ref, given)
        self.task = fill(file.task, file.ref, given | own) + "\n" + fill(shared.form, shared.ref, given)

    def name(self, key: str, role: str) -> str:
        """Return what stands before a medium."""
        shared, truth = rules(), self._truth
        if role == "reference":
            block = shared.reference if truth.reference == "shown" else shared.hidden
        else:
            block = shared.single if len(truth.keys) == 1 else shared.named
        return fill(block, shared.ref, {"kind": truth.kind, "key": key})


def tasks() -> list[str]:
    """Return the tasks whose answers can be rewritten."""
    return sorted(p.stem for p in (resources.folder("prompts") / FOLDER).glob("*.yaml") if p.stem not in _GENERAL)


@cache
def task_file(name: str) -> TeachFile:
    """Return ``prompts/teach/NAME.yaml``.

    Raises:
        UnknownNameError: No such task.
        PromptError: The file is malformed.
    """
    if name not in tasks():
        raise UnknownNameError(f"answers of the task {name!r} are not rewritten", expected=" | ".join(tasks()))
    return _read(name, TeachFile)


@cache
def rules() -> Rules:
    """Return what holds for every task."""
    return _read("rules", Rules)


@cache
def free_words() -> FreeWords:
    """Return the words that free texts are read with."""
    return _read("words", FreeWords)


def _read(name: str, kind: type[_File]) -> _File:
    path = resources.folder("prompts") / FOLDER / f"{name}.yaml"
    found = read_file(path, kind)
    if found.id != f"{FOLDER}/{name}":
        raise PromptError(f"id is {found.id!r}", where=path, expected=f"'{FOLDER}/{name}'")
    return found


def fill(block: str, where: str, variables: dict[str, Any]) -> str:
    """Fill the variables of a text block (Jinja2, sandboxed, strict).

    Raises:
        PromptError: A variable is missing, or the block is malformed.
    """
    from jinja2 import TemplateError

    try:
        return str(_environment().from_string(block).render(variables))
    except TemplateError as error:
        raise PromptError(f"cannot be rendered: {error}", where=where) from error


@cache
def _environment() -> Any:
    from jinja2 import StrictUndefined
    from jinja2.sandbox import SandboxedEnvironment

    return SandboxedEnvironment(undefined=StrictUndefined, autoescape=False)


def _variables(truth: Truth) -> dict[str, Any]:
    words = vocabulary()
    found = truth.findings or {}
    return {
        "kind": truth.kind,
        "several": len(truth.keys) > 1,
        "findings": {key: [_fact(one) for one in many] for key, many in found.items()},
        "clean": truth.findings is not None and not any(found.values()),
        "level": truth.level,
        "better": truth.better,
        "worse": {"A": "B", "B": "A", None: None}[truth.better],
        "example": f"{words.severities[1]} {_named(found)}",
    }


def _named(found: dict[str, tuple[Finding, ...]]) -> str:
    """Return the name of a distortion that is there; with another, the example itself would suggest one."""
    category = next((one.category for many in found.values() for one in many), None)
    return vocabulary().label(category) if category else "…"


def _fact(one: Finding) -> dict[str, Any]:
    words = vocabulary()
    span: Sequence[str] | None = one.span_s and [f"{x:.1f}" for x in one.span_s]
    place = words.position(one.box) if one.box else None
    return {"grade": words.grade(one.severity), "label": words.label(one.category), "place": place, "span": span}
