"""The JSON Schema that an answer shall follow: read, checked, and held against what a model said.

Decoding is held to it (:mod:`mllmqa.models.constrained` on this machine, ``response_format`` behind an endpoint),
never only asked for. So a schema may hold no keyword that decoding cannot be held to: what is unknown is refused,
by name, for every model alike.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, NoReturn

from mllmqa.errors import MissingExtraError, UsageError

EXTRA = "json"
DEEPEST = 64
"""Levels of objects and lists that an answer may have: records are read with about 250."""

ENFORCED = frozenset(
    {"type", "enum", "const", "anyOf", "allOf", "$ref"}
    | {"properties", "required", "additionalProperties", "items", "prefixItems", "minItems", "maxItems"}
    | {"minLength", "maxLength", "pattern"}
    | {"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"}
)
"""Keywords that decoding is held to."""

SAID_ONLY = frozenset(
    {"$schema", "$comment", "$defs", "definitions", "title", "description", "default", "examples", "deprecated"}
)
"""Keywords that constrain nothing, or hold what others point to."""

_INSTEAD = {
    "oneOf": "anyOf",
    "format": "pattern",
    "patternProperties": "properties",
    "not": "enum, pattern or anyOf",
    "if": "anyOf",
    "uniqueItems": "maxItems",
}
_ONE = ("items", "additionalProperties")
_LIST = ("prefixItems", "anyOf", "allOf")
_MAP = ("properties", "$defs", "definitions")
_LONGEST_NAME = 64
_LARGEST_BYTES = 1 << 20


@dataclass(frozen=True)
class Broken:
    """Why an answer is no answer by a schema.

    Attributes:
        kind: ``truncated``: its length ended before it did; ``unparsed``: it is no JSON, or not by the schema.
        problem: One line for people.
    """

    kind: Literal["truncated", "unparsed"]
    problem: str


@dataclass(frozen=True)
class AnswerSchema:
    """A checked schema; use :meth:`of` or :func:`read_schema`.

    Attributes:
        name: Of the file or of the shipped schema, for people and records.
        body: The JSON Schema (draft 2020-12); an object at the top.
    """

    name: str
    body: Mapping[str, Any]

    @classmethod
    def of(cls, body: object, name: str = "schema") -> AnswerSchema:
        """Check a schema.

        Args:
            body: The JSON Schema.
            name: For people and records.

        Raises:
            UsageError: It is no schema, its top is no object, or decoding cannot be held to one of its keywords.
            MissingExtraError: The packages of the extra ``json`` are not installed.
        """
        if not isinstance(body, Mapping):
            raise UsageError("is no JSON Schema", where=name, expected='a JSON object with "type": "object"')
        _check_keywords(body, name)
        if body.get("type") != "object":
            raise UsageError("its top is no object", where=name, expected='"type": "object" at the top')
        _check_form(body, name)
        made = cls(name, body)
        _check_grammar(made)
        return made

    @cached_property
    def text(self) -> str:
        """The schema as JSON on one line, its properties in their order: answers have that order."""
        return json.dumps(self.body, ensure_ascii=False, separators=(",", ":"))

    @cached_property
    def sha256(self) -> str:
        """Of :attr:`text`."""
        return hashlib.sha256(self.text.encode()).hexdigest()

    @property
    def label(self) -> str:
        """The name as endpoints take it: letters, digits, - and _, at most 64."""
        stem = Path(self.name).stem if self.name.endswith(".json") else self.name
        return re.sub(r"[^A-Za-z0-9_-]+", "_", stem).strip("_")[:_LONGEST_NAME] or "answer"

    def parsed(self, text: str, *, truncated: bool = False) -> dict[str, Any] | Broken:
        """Return an answer as the object that it is, or why it is none; nothing around the object is cut off.

        Args:
            text: What a model said.
            truncated: Whether it was cut off by its limit of tokens.
        """
        try:
            value = _loads(text)
        except (ValueError, RecursionError):
            if truncated:
                return Broken("truncated", f"the answer was cut off within its JSON, after {len(text)} characters")
            return Broken("unparsed", f"the answer is no JSON: {text[:60]!r}")
        if not isinstance(value, dict):
            return Broken("unparsed", f"the answer is JSON, but no object: {text[:60]!r}")
        if _depth(value) > DEEPEST:
            return Broken("unparsed", f"the answer is nested more than {DEEPEST} levels deep")
        try:
            first = next(iter(_validator(self.body).iter_errors(value)), None)
        except RecursionError:
            return Broken("unparsed", "the answer cannot be held against its schema: a $ref leads back to itself")
        if first is None:
            return value
        where = "".join(f"/{part}" for part in first.absolute_path) or "the answer"
        return Broken("unparsed", f"the answer does not follow its schema: {where}: {_line(first.message)}")


def read_schema(file: Path | str) -> AnswerSchema:
    """Read a schema from a JSON file.

    Raises:
        UsageError: The file cannot be read, or is no schema that decoding can be held to.
        MissingExtraError: The packages of the extra ``json`` are not installed.
    """
    path = Path(file)
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise UsageError(f"the schema cannot be read: {error.strerror}", where=path) from error
    if len(raw) > _LARGEST_BYTES:
        raise UsageError(f"a schema of {len(raw)} bytes", where=path, expected=f"at most {_LARGEST_BYTES}")
    try:
        body = _loads(raw)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"the schema is no JSON: {error}", where=path) from error
    return AnswerSchema.of(body, str(file))


def require() -> None:
    """Check that the packages are there, before a model is loaded.

    Raises:
        MissingExtraError: The packages of the extra ``json`` are not installed.
    """
    from mllmqa.models.constrained import library

    _validator({})
    library()


# ------------------------------------------------------------------ keywords


def _check_keywords(body: Mapping[str, Any], name: str) -> None:
    for where, keyword, value in _keywords(body, ""):
        if keyword == "$ref" and not (isinstance(value, str) and value.startswith("#")):
            raise UsageError(
                f"$ref to another document at {where}", where=name, expected='"#/$defs/…" in the same file'
            )
        if keyword == "pattern" and isinstance(value, str) and (problem := _regex_problem(value)):
            raise UsageError(
                f"pattern {value!r} at {where}: {problem}", where=name, expected="a regular expression"
            )
        if keyword not in ENFORCED | SAID_ONLY:
            instead = _INSTEAD.get(keyword)
            raise UsageError(
                f"decoding cannot be held to the keyword {keyword!r} at {where}",
                where=name,
                expected=instead or f"among {', '.join(sorted(ENFORCED))}",
            )


def _keywords(schema: object, where: str) -> Iterator[tuple[str, str, object]]:
    """Yield place, keyword and value of every keyword; values that are no schemas are left to the form's check."""
    if not isinstance(schema, Mapping):
        return
    for keyword, value in schema.items():
        place = f"{where}/{keyword}"
        yield where or "the top", keyword, value
        if keyword in _ONE:
            yield from _keywords(value, place)
        elif keyword in _LIST and isinstance(value, list):
            for k, one in enumerate(value):
                yield from _keywords(one, f"{place}/{k}")
        elif keyword in _MAP and isinstance(value, Mapping):
            for key, one in value.items():
                yield from _keywords(one, f"{place}/{key}")


# ------------------------------------------------------------------ libraries


def _check_form(body: Mapping[str, Any], name: str) -> None:
    from jsonschema.exceptions import SchemaError

    try:
        _validator(body).check_schema(body)
    except SchemaError as error:
        where = "".join(f"/{part}" for part in error.absolute_path) or "the top"
        raise UsageError(f"is no JSON Schema: {where}: {_line(error.message)}", where=name) from error


def _check_grammar(schema: AnswerSchema) -> None:
    """Refuse what the decoder finds contradictory, too large, or a pattern with look-ahead."""
    from mllmqa.models.constrained import grammar_problem

    if problem := grammar_problem(schema):
        raise UsageError(f"decoding cannot be held to it: {_line(problem)}", where=schema.name)


def _validator(body: Mapping[str, Any]) -> Any:
    try:
        from jsonschema import Draft202012Validator
        from referencing import Registry
    except ImportError as error:
        raise MissingExtraError("jsonschema", extra=EXTRA, purpose="an answer by a JSON Schema") from error
    return Draft202012Validator(body, registry=Registry())


def _line(text: str) -> str:
    return " ".join(text.split())[:200]


def _regex_problem(pattern: str) -> str | None:
    try:
        re.compile(pattern)
    except re.error as error:
        return str(error)
    return None


def _loads(text: str | bytes) -> Any:
    """Parse JSON that can be written again: no NaN, none beyond float64, no key twice, no half of a character."""
    value = json.loads(text, parse_constant=_no_number, parse_float=_finite, object_pairs_hook=_once)
    json.dumps(value, ensure_ascii=False).encode()
    return value


def _depth(value: object) -> int:
    """Return how many objects and lists lie in one another."""
    level, depth = [value], 0
    while level := [one for one in level if isinstance(one, dict | list)]:
        depth += 1
        level = [inner for one in level for inner in (one.values() if isinstance(one, dict) else one)]
    return depth


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("an object has a key twice")
    return found


def _no_number(text: str) -> NoReturn:
    raise ValueError(f"{text} is no JSON")


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text} is too large")
    return value
