"""The formats by name."""

from __future__ import annotations

from mllmqa.data.formats.depictqa import DEPICTQA
from mllmqa.data.formats.form import Format
from mllmqa.data.formats.llava import LLAVA
from mllmqa.data.formats.messages import MESSAGES
from mllmqa.data.formats.parquet import PARQUET
from mllmqa.data.formats.sharegpt import SHAREGPT
from mllmqa.errors import UnknownNameError

FORMATS: dict[str, Format] = {one.name: one for one in (LLAVA, MESSAGES, SHAREGPT, DEPICTQA, PARQUET)}


def format_named(name: str) -> Format:
    """Return a format.

    Raises:
        UnknownNameError: There is none of this name.
    """
    if name not in FORMATS:
        raise UnknownNameError(f"no format is called {name}", expected=" | ".join(FORMATS))
    return FORMATS[name]
