"""JSON records one at a time, from an array of any layout or from lines: memory does not grow with the file."""

from __future__ import annotations

import codecs
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mllmqa.data.repeated_keys import EXPECTED, RepeatedKeys
from mllmqa.data.sample_file import encoding_flaw, numbered_lines
from mllmqa.errors import DataError

CHUNK = 1 << 20
_BLANK = " \t\r\n"
_LONGEST = 64
"""Signs from the end of a piece within which an error may mean that the piece ends inside a word or number."""


def json_records(path: Path) -> Iterator[Any]:
    """Yield the records of a file: the elements of its array, or its lines.

    Raises:
        DataError: It cannot be read, is not UTF-8, not JSON, or a key is there twice; names the line.
    """
    watch = RepeatedKeys()
    first = next(numbered_lines(path), None)
    if first is None:
        raise DataError("an empty file", where=path, expected="records")
    if first[1].lstrip().startswith(b"["):
        yield from _array(path, watch)
        return
    for number, line in numbered_lines(path):
        where = f"{path}, line {number}"
        if flaw := encoding_flaw(line):
            raise flaw.error(where)
        try:
            record = json.loads(line, object_pairs_hook=watch)
        except json.JSONDecodeError as error:
            raise DataError(
                f"is not JSON ({error.msg})", where=where, expected="one JSON object per line"
            ) from error
        if places := watch.places(record):
            raise DataError(_twice(places), where=where, expected=EXPECTED)
        yield record


def _twice(places: list[str]) -> str:
    return f"field {places[0]} is there twice"


class _Reader:
    """A text that is read in pieces; ``text[at:]`` is not yet used."""

    def __init__(self, path: Path) -> None:
        self._path, self._file = path, path.open("rb")
        self._decode = codecs.getincrementaldecoder("utf-8-sig")()
        self.text, self.at, self.ended = "", 0, False
        self._lines = 0
        """Line breaks in what was dropped."""

    def more(self) -> bool:
        """Read the next piece; return whether there was one."""
        self._lines += self.text.count("\n", 0, self.at)
        self.text, self.at = self.text[self.at :], 0
        piece = self._file.read(CHUNK + len(self.text))  # grows with a long record: its parse stays linear
        try:
            self.text += self._decode.decode(piece, final=not piece)
        except UnicodeDecodeError as error:
            raise self.error(f"is not UTF-8 ({error.reason})", "UTF-8: convert it, e.g. with iconv") from error
        self.ended = not piece
        return bool(piece)

    def next_sign(self) -> str:
        """Return the next sign that is not blank, without using it; empty at the end."""
        while True:
            while self.at < len(self.text) and self.text[self.at] in _BLANK:
                self.at += 1
            if self.at < len(self.text) or not self.more():
                return self.text[self.at : self.at + 1]

    def error(self, what: str, expected: str) -> DataError:
        """Return an error that names the line."""
        line = 1 + self._lines + self.text.count("\n", 0, self.at)
        return DataError(what, where=f"{self._path}, line {line}", expected=expected)

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def _array(path: Path, watch: RepeatedKeys) -> Iterator[Any]:
    reader = _Reader(path)
    try:
        reader.next_sign()
        reader.at += 1  # the opening bracket
        sign = reader.next_sign()
        while sign != "]":
            yield _value(reader, watch)
            sign = reader.next_sign()
            if sign not in ("]", ","):
                raise reader.error(f"has {sign!r} after a record" if sign else "is cut off", "a comma or ]")
            reader.at += sign == ","
        reader.at += 1
        if reader.next_sign():
            raise reader.error("has text after the array", "one array")
    finally:
        reader.close()


def _value(reader: _Reader, watch: RepeatedKeys) -> Any:
    decoder = json.JSONDecoder(object_pairs_hook=watch)
    reader.next_sign()
    while True:
        try:
            value, end = decoder.raw_decode(reader.text, reader.at)
        except json.JSONDecodeError as error:
            torn = error.pos > len(reader.text) - _LONGEST or error.msg.startswith("Unterminated")
            if torn and reader.more():
                continue
            reader.at = error.pos if not torn else reader.at
            raise reader.error(f"is not JSON ({error.msg})", "a JSON array of records") from error
        if places := watch.places(value):
            raise reader.error(_twice(places), EXPECTED)
        reader.at = end
        return value
