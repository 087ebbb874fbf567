"""Files of questions: JSON, JSON lines, TSV, CSV, Parquet → records, with every flaw named by its place."""

from __future__ import annotations

import base64
import binascii
import csv
import hashlib
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from mllmqa.errors import DataError, UnknownNameError
from mllmqa.evaluation.choice.forms import FORMS, Row, form_of
from mllmqa.evaluation.choice.question import Question, Shown

_PARQUET_ROWS = 256
SUFFIXES = (".json", ".jsonl", ".tsv", ".csv", ".parquet")
_LONGEST_CELL = 1 << 30
"""Pictures in base64."""


def read_questions(path: Path, *, form: str = "auto", media: Path | None = None) -> Iterator[Question]:
    """Read a file of questions lazily, in order.

    Args:
        path: The file; its suffix says how it is read.
        form: A name of :data:`~mllmqa.evaluation.choice.forms.FORMS`; ``auto``: by its columns.
        media: Folder for pictures that lie inside the file; they are written there, named by their content. None:
            ``NAME.media`` beside it.

    Raises:
        UnknownNameError: No such form.
        DataError: The file cannot be read, or a row is no question: names its place and what was expected.
    """
    if form != "auto" and form not in FORMS:
        raise UnknownNameError(f"no form of questions {form!r}", expected="auto | " + " | ".join(FORMS))
    folder = media if media is not None else path.with_name(path.name + ".media")
    pictures = _Pictures(folder)
    seen: set[str] = set()
    for number, row in enumerate(_rows(path), 1):
        where = f"{path}, question {number}"
        own = "question_version" in row
        made = _checked(row, where) if own else _converted(row, form, number, where, pictures)
        if made.id in seen:
            raise DataError(f"id {made.id!r} for the second time", where=where, expected="different ids")
        seen.add(made.id)
        yield made


def _converted(row: Row, form: str, number: int, where: str, pictures: _Pictures) -> Question:
    try:
        name = form_of(row) if form == "auto" else form
        fields = FORMS[name][1](row)
        shown = [Shown(kind=kind, path=pictures.path(what, row)) for kind, what in fields.pop("media")]
    except DataError as error:
        raise DataError(error.what, where=where, expected=error.expected) from error
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(f"is no question of the form {form}: {error!r}", where=where) from error
    identity = next((str(row[key]) for key in ("id", "index") if row.get(key) not in (None, "")), str(number))
    groups = {key: value for key, value in fields.pop("categories", {}).items() if value}
    told = {"question": str(row.get("question", "")).strip(), **fields}
    return _checked({"id": identity, "benchmark": name, "media": shown, "categories": groups, **told}, where)


def _checked(fields: Row, where: str) -> Question:
    try:
        return Question.model_validate(dict(fields))
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(map(str, first["loc"])) or "question"
        raise DataError(f"field {field}: {first['msg']}", where=where) from error


class _Pictures:
    """Pictures that lie inside a file of questions: written to a folder, each content once."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._by_index: dict[str, str] = {}

    def path(self, what: Any, row: Row) -> str:
        """Return the path of a medium as records have it."""
        if isinstance(what, str):
            return what
        if "base64" in what:
            return self._encoded(str(what["base64"]), row)
        if what.get("bytes"):
            return self._written(bytes(what["bytes"]))
        if what.get("path"):
            return str(what["path"])
        raise DataError("a picture without content", expected="its bytes, or a path")

    def _encoded(self, text: str, row: Row) -> str:
        if len(text) <= 64 and text in self._by_index:  # VLMEvalKit names the row that has the same picture
            return self._by_index[text]
        try:
            path = self._written(base64.b64decode(text, validate=True))
        except (binascii.Error, ValueError) as error:
            raise DataError(f"a picture that is no base64 ({error})") from error
        self._by_index[str(row.get("index"))] = path
        return path

    def _written(self, data: bytes) -> str:
        from mllmqa.whole_file import write_whole

        place = self._folder / hashlib.sha256(data).hexdigest()
        if not place.exists():
            self._folder.mkdir(parents=True, exist_ok=True)
            write_whole(place, data)
        return str(place.resolve())


# ------------------------------------------------------------------ containers


def _rows(path: Path) -> Iterator[Row]:
    kind = path.suffix.lower()
    if kind not in SUFFIXES:
        raise DataError("is no file of questions", where=path, expected=", ".join(SUFFIXES))
    if kind == ".parquet":
        yield from _parquet_rows(path)
        return
    text = _text(path)
    if kind in (".tsv", ".csv"):
        csv.field_size_limit(_LONGEST_CELL)
        yield from csv.DictReader(io.StringIO(text, newline=""), delimiter="\t" if kind == ".tsv" else ",")
        return
    try:
        found = (
            json.loads(text)
            if kind == ".json"
            else [json.loads(line) for line in text.splitlines() if line.strip()]
        )
    except (ValueError, RecursionError) as error:
        raise DataError(f"is no JSON ({error})", where=path) from error
    if not isinstance(found, list) or not all(isinstance(row, dict) for row in found):
        raise DataError("is no list of questions", where=path, expected="a JSON array of objects")
    yield from found


def _parquet_rows(path: Path) -> Iterator[Row]:
    from mllmqa.data.formats.parquet import pyarrow

    pa, pq = pyarrow()
    try:
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(_PARQUET_ROWS):
                yield from batch.to_pylist()
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"is not a Parquet file ({error})", where=path, expected="a file of questions") from error


def _text(path: Path) -> str:
    """Return a file's text: UTF-8 with or without a byte order mark; tables also in GBK, as R-Bench is."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DataError(f"cannot be read: {error.strerror}", where=path) from error
    encodings = ["utf-8-sig", "gb18030"] if path.suffix.lower() in (".csv", ".tsv") else ["utf-8-sig"]
    for encoding in encodings:
        try:
            return data.decode(encoding)
        except UnicodeDecodeError as error:
            reason = error.reason
    raise DataError(f"is not {' or '.join(encodings)} ({reason})", where=path, expected="UTF-8")
