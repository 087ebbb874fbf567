"""What every format does, and what several of them share."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import ValidationError

from mllmqa.data.flaws import flaws_of, shown
from mllmqa.data.ratings import RatingScale
from mllmqa.data.sample import Medium, Message, Sample
from mllmqa.errors import DataError

Row = dict[str, Any]
"""One record of a format: JSON values."""
Container = Literal["array", "lines", "parquet"]


@dataclass(frozen=True)
class Context:
    """Where a row stands, and what its numbers mean.

    Attributes:
        where: File and record, for messages.
        number: Of the record, from 1: the id where it has none.
        scale: Of scores that the format writes without their scale.
    """

    where: str = "row"
    number: int = 1
    scale: RatingScale | None = None


@dataclass(frozen=True)
class Format:
    """One format.

    Attributes:
        name: For ``--format``.
        title: For people.
        container: ``array``: one JSON array; ``lines``: JSON lines; ``parquet``.
        row: Sample → row. Raises DataError where the format cannot express the sample at all.
        parse: Row → sample. Raises DataError naming place, field, found, expected.
        keys: What ``parse`` reads; other keys of a row are counted as unread.
        slots: How many media it can name beside a reference; None: any number.
        videos: Whether it can name clips.
    """

    name: str
    title: str
    container: Container
    row: Callable[[Sample], Row]
    parse: Callable[[Row, Context], Sample]
    keys: frozenset[str]
    slots: int | None = None
    videos: bool = True


def validated(data: Mapping[str, Any], context: Context) -> Sample:
    """Make a sample of plain values; absent values (None) are left out.

    Raises:
        DataError: They are no valid sample.
    """
    given = {key: value for key, value in data.items() if value is not None}
    try:
        return Sample.model_validate_json(json.dumps(given))
    except ValidationError as error:
        raise flaws_of(error)[0].error(context.where) from error
    except (TypeError, ValueError) as error:
        raise DataError(f"has a value that is not JSON ({error})", where=context.where) from error


def field(row: Row, key: str, kind: type | tuple[type, ...], context: Context) -> Any:
    """Return a value that must be there, of a type.

    Raises:
        DataError: It is not.
    """
    value = row.get(key)
    if not isinstance(value, kind):
        names = " or ".join(one.__name__ for one in (kind if isinstance(kind, tuple) else (kind,)))
        found = shown(value) if key in row else "missing"
        raise DataError(f"field {key} is {found}", where=context.where, expected=names)
    return value


def row_id(row: Row, context: Context) -> str:
    """Return the id of a row as text; its number where it has none."""
    value = row.get("id", context.number)
    return value if isinstance(value, str) else str(value)


def refuse(sample: Sample, what: str, expected: str) -> DataError:
    """Return the error for a sample that a format cannot express."""
    return DataError(what, where=f"sample {sample.id}", expected=expected)


def paths(sample: Sample, media: Iterable[Medium]) -> list[str]:
    """Return the paths of media.

    Raises:
        DataError: One has none.
    """
    found = []
    for medium in media:
        if medium.path is None:
            raise refuse(sample, f"medium {medium.key} has no path", "a path")
        found.append(medium.path)
    return found


def turns(sample: Sample) -> tuple[str | None, tuple[Message, ...]]:
    """Return the system text and the turns of a sample: user, assistant, user …

    Raises:
        DataError: There are none, they do not alternate, or the system message has media.
    """
    system, rest = None, sample.messages
    if rest and rest[0].role == "system":
        if any(part.media is not None for part in rest[0].content):
            raise refuse(sample, "its system message has media", "text")
        system, rest = rest[0].text, rest[1:]
    if not rest:
        raise refuse(sample, "has no messages", "messages: build them first")
    for k, message in enumerate(rest):
        if message.role != ("user", "assistant")[k % 2]:
            raise refuse(sample, f"turn {k + 1} is the {message.role}'s", "user and assistant in turn")
    return system, rest


class Media:
    """Collects media under new keys, A, B, C …; the same file again is the same medium."""

    def __init__(self) -> None:
        self.found: dict[tuple[str, str], Row] = {}

    def key(self, kind: str, path: str) -> str:
        """Return the key of a file."""
        n = len(self.found)
        name = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"[n] if n < 26 else f"M{n + 1}"
        entry = self.found.setdefault((kind, path), {"key": name, "kind": kind, "path": path})
        return str(entry["key"])

    @property
    def entries(self) -> list[Row]:
        """All media, in order."""
        return list(self.found.values())
