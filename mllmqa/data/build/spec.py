"""What a set was built from, beside it: ``build.json``. Two builds with the same one give the same files."""

from __future__ import annotations

import json
import os
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from mllmqa._version import __version__
from mllmqa.errors import DataError, UsageError

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
    path = folder / FILE
    partial = path.with_name(f".{FILE}.{os.getpid()}.partial")
    record = description if result is None else {**description, "result": result}
    partial.write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    partial.replace(path)


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
    for key in dict.fromkeys((*description, *(key for key in found if key != "result"))):
        if found.get(key) != description.get(key):
            raise UsageError(
                f"was begun with another {key}: {json.dumps(found.get(key))}",
                where=folder,
                expected=json.dumps(description.get(key)),
                hint="use the same sources and options, or another folder",
            )
