"""What is wrong with a record: field, what was found, what was expected. All of it, not the first only.

:class:`Checked` records look at themselves after their fields are valid; each class yields its flaws, and the
validation error carries them all, so that a whole file can be listed (:mod:`mllmqa.data.problems`).
"""

from __future__ import annotations

import reprlib
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple, Self

from pydantic import ValidationError, model_validator
from pydantic_core import ErrorDetails, PydanticCustomError

from mllmqa.errors import DataError
from mllmqa.schema import Record

_KIND = "flaws"
_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = 60
_SHORT.maxlevel = 2


class Flaw(NamedTuple):
    """One thing that is wrong.

    Attributes:
        field: Path of the field from the record on, e.g. ``labels.mos.0.value``; empty: the record itself.
        found: What is there, as text.
        expected: What would be right.
    """

    field: str
    found: str
    expected: str

    def error(self, where: object) -> DataError:
        """Return the error that names file and line (``where``), field, found and expected."""
        subject = f"field {self.field} is" if self.field else "the record is"
        return DataError(f"{subject} {self.found}", where=where, expected=self.expected)


class Checked(Record):
    """A record that checks how its fields fit together."""

    def flaws(self) -> Iterator[Flaw]:
        """Yield what is wrong; fields are relative to this record."""
        return iter(())

    @model_validator(mode="after")
    def _refuse_flaws(self) -> Self:
        if found := list(self.flaws()):
            raise PydanticCustomError(_KIND, "{text}", {"text": str(found[0].error(None)), "flaws": found})
        return self


def shown(value: object) -> str:
    """Return a value as short text on one line."""
    return " ".join(_SHORT.repr(value).split())


def flaws_of(error: ValidationError) -> list[Flaw]:
    """Return every flaw that a validation error holds."""
    details = error.errors(include_url=False)
    return [flaw for detail in details if not _follows(detail, details) for flaw in _flaws(detail)]


def _follows(detail: ErrorDetails, details: Sequence[ErrorDetails]) -> bool:
    """Tell whether a list is "too short" only because its entries were refused, which is told already."""
    place = detail["loc"]
    return detail["type"] == "too_short" and any(
        other["loc"][: len(place)] == place and len(other["loc"]) > len(place) for other in details
    )


def _flaws(detail: ErrorDetails) -> Iterable[Flaw]:
    place = ".".join(map(str, detail["loc"]))
    if detail["type"] == _KIND:
        for flaw in detail["ctx"]["flaws"]:
            yield Flaw(".".join(filter(None, (place, flaw.field))), flaw.found, flaw.expected)
    elif detail["type"] == "missing":
        yield Flaw(place, "missing", "a value")
    elif detail["type"] == "extra_forbidden":
        yield Flaw(place, "unknown", "only fields of this record")
    elif detail["type"] == "json_invalid":
        yield Flaw("", f"not JSON ({detail['ctx']['error']})", "one JSON object per line")
    else:
        yield Flaw(place, shown(detail["input"]), _expected(detail["msg"]))


def _expected(message: str) -> str:
    """Turn "Input should be a valid number" into "a valid number"."""
    for start in ("Input should be ", "String should have ", "String should ", "Tuple should have "):
        if message.startswith(start):
            return message.removeprefix(start).partition(" after validation")[0]
    return message
