"""Self-contained HTML pages: one way to fill a template, one palette, one rule for what may be replaced.

Pages have no script and ask for nothing from a network: their policy forbids both. Light and dark follow the
setting of the reader.
"""

from __future__ import annotations

from importlib import resources as package
from pathlib import Path
from typing import Any

from mllmqa._version import __version__
from mllmqa.errors import UsageError
from mllmqa.whole_file import write_whole

GENERATOR = b'<meta name="generator" content="mllmqa '
"""How our pages are known: only such files are replaced."""


def render(room: str, template: str, **values: Any) -> str:
    """Fill a template that escapes all that is not markup; it also gets ``palette`` and ``version``.

    Args:
        room: Package in which the template lies, e.g. ``mllmqa.data.sheet``.
        template: Its file name.
        values: What it shows; one that is missing is an error.
    """
    from jinja2 import Environment, StrictUndefined
    from markupsafe import Markup

    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    source = package.files(room).joinpath(template).read_text(encoding="utf-8")
    palette = package.files("mllmqa").joinpath("palette.css").read_text(encoding="utf-8").strip()
    return environment.from_string(source).render(palette=Markup(palette), version=__version__, **values)  # noqa: S704


def check_free(path: Path) -> None:
    """Refuse to replace a file that is no page of ours.

    Raises:
        UsageError: There is such a file, or it cannot be read.
    """
    try:
        free = not path.exists() or (path.is_file() and GENERATOR in path.read_bytes()[:2000])
    except OSError as error:
        raise UsageError(f"cannot be read: {error.strerror}", where=path) from error
    if not free:
        raise UsageError("is there already, and no page of mllmqa", where=path, hint="name another file")


def write_page(page: str, path: Path) -> None:
    """Write a page, whole or not at all.

    Raises:
        UsageError: There is a file that is no page of ours, or it cannot be written.
    """
    check_free(path)
    try:
        write_whole(path, page)
    except OSError as error:
        raise UsageError(f"cannot be written: {error.strerror}", where=path) from error
