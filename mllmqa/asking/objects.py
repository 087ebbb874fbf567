"""What an answer that is a JSON object claims of the files, whatever its schema.

Its strings are checked as texts are (:mod:`mllmqa.asking.claims`), each by itself. A string below a key that is the
letter of a file ("A": {…}) is about that file, unless it names one. A letter or a level word alone is read with its
key: ``"better": "B"`` as "better : B". Numbers and truth values claim nothing that can be checked.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol

from mllmqa import prompts
from mllmqa.answer_schema import AnswerSchema
from mllmqa.asking.claims import claims_of
from mllmqa.asking.records import Claim, Evidence
from mllmqa.asking.scope import named_files


class Form(Protocol):
    """How an object is read and made."""

    schema: AnswerSchema

    def claims(self, data: Mapping[str, Any]) -> list[Claim]:
        """Return what an object that follows the schema claims."""
        ...

    def composed(self, evidence: Evidence) -> dict[str, Any] | None:
        """Return the object that is composed of the readings alone; None: of this schema nothing can be."""
        ...


class OwnForm:
    """A schema of the user's own.

    Args:
        schema: The schema.
        keys: Of all files that are given.
    """

    def __init__(self, schema: AnswerSchema, keys: Sequence[str]) -> None:
        self.schema, self._keys = schema, tuple(keys)

    def claims(self, data: Mapping[str, Any]) -> list[Claim]:
        """Return what its strings claim, in their order."""
        return [claim for path, text in strings(data) for claim in self._claims(path, text)]

    def composed(self, evidence: Evidence) -> None:
        """Return nothing: what the fields of the user's own mean is not known."""

    def _claims(self, path: Sequence[str], text: str) -> list[Claim]:
        keys = self._keys
        about = next((name for name in reversed(path) if name in keys), None)
        alone = text.strip()
        if path and (alone in keys or alone.lower() in prompts.level_scale().words):
            text = f"{path[-1].replace('_', ' ')} : {alone}"
        elif about is not None and not named_files(text):
            keys = (about,)
        found = claims_of(text, keys)
        if about is not None:
            found = [one if one.key else one.model_copy(update={"key": about}) for one in found]
        return found


def strings(value: object, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], str]]:
    """Yield every string of a JSON value with the keys that lead to it; places in lists have none."""
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, Mapping):
        for key, one in value.items():
            yield from strings(one, (*path, str(key)))
    elif isinstance(value, list):
        for one in value:
            yield from strings(one, path)
