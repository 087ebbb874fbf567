"""What a set was built from, beside it: ``build.json``. Two builds with the same one give the same files."""

from __future__ import annotations

import json
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from mllmqa._version import __version__
from mllmqa.errors import DataError, UsageError
from mllmqa.whole_file import write_whole

FILE = "build.json"
FORMAT = "mllmqa-build-1"
MAKERS = ("numpy", "pillow", "opencv-python-headless", "av", "piq")
"""Packages whose version may change pixels or draws."""


def described(recipe: str, sha256: str, **more: Any) -> dict[str, Any]:
    """Return the description of a build as JSON types.

    Args:
        recipe: Its name.
        sha256: Of its file.
        more: Seed, options, sources, part.
    """
    return {
        "format": FORMAT, "mllmqa": __version__, "recipe": recipe, "recipe_sha256": sha256, **more,
        "versions": {name: _version(name) for name in MAKERS},
    }  # fmt: skip


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def write(folder: Path, description: dict[str, Any], result: dict[str, Any] | None = None) -> None:
    """Write the description; with a result when the build is complete."""
    record = description if result is None else {**description, "result": result}
    write_whole(folder / FILE, json.dumps(record, indent=1, ensure_ascii=False) + "\n")


def check_same(folder: Path, description: dict[str, Any]) -> None:
    """Check that a build that is to be continued was begun in the same way.

    Raises:
        UsageError: It was not: names the first difference.
        DataError: Its description cannot be read.
    """
    path = folder / FILE
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise UsageError("there is no build to be continued", where=folder, hint="leave out --resume") from error
    except (OSError, ValueError) as error:
        raise DataError(f"cannot be read ({error})", where=path) from error
    if not isinstance(found, dict):
        raise DataError("describes no build", where=path, expected="a JSON object")
    found.pop("result", None)
    for place, old, new in _differences("", found, description):
        raise UsageError(
            f"was begun with another {place}: {json.dumps(old)}",
            where=folder,
            expected=json.dumps(new),
            hint="use the same sources and options, or another folder",
        )


def _differences(place: str, old: Any, new: Any) -> Iterator[tuple[str, Any, Any]]:
    """Yield where two descriptions differ, as deep as can be told: ``options.short_px``, ``sources.0.n``."""
    if isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        old, new = (dict(enumerate(one)) for one in (old, new))
    if isinstance(old, dict) and isinstance(new, dict):
        for key in dict.fromkeys((*new, *old)):
            yield from _differences(f"{place}.{key}".lstrip("."), old.get(key), new.get(key))
    elif old != new:
        yield place, old, new
