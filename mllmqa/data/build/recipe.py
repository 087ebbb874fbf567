"""A recipe: one Python file of ``data_builders/``, or of the user's own."""

from __future__ import annotations

import hashlib
import importlib.util
import math
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import CodeType
from typing import TYPE_CHECKING, Literal

from mllmqa import resources
from mllmqa.errors import MllmqaError, UnknownNameError, UsageError

if TYPE_CHECKING:
    from mllmqa.data.build.item import Item
    from mllmqa.data.sample import Sample

Kind = Literal["photos", "clips", "rated"]
Value = int | float | str | bool
Options = Mapping[str, Value]
KINDS: Mapping[Kind, str] = {
    "photos": "a folder of pristine photos",
    "clips": "a folder of pristine clips",
    "rated": "a data set with opinion scores, or a table with --columns, --direction and --range",
}
"""What recipes are made of, in words."""


@dataclass(frozen=True)
class Recipe:
    """What a recipe file calls ``RECIPE``.

    Attributes:
        summary: One line for people.
        item: Makes the samples of one item. It may raise MediaError or DataError: the item is then left out, and
            counted with its reason.
        needs: Sources without which nothing can be made; a function of the options where they decide.
        uses: Sources that are used where they are there.
        options: Names and defaults of what a user can set with ``key=value``; the type is that of the default.
        rated_once: One item for each rated medium: a pass over all of them is the whole set. Likewise.
        most: How many media a sample may show beside a reference; None: not stated.
    """

    summary: str
    item: Callable[[Item], Sequence[Sample]]
    needs: tuple[Kind, ...] | Callable[[Options], tuple[Kind, ...]]
    uses: tuple[Kind, ...] = ()
    options: Mapping[str, Value] = field(default_factory=dict)
    rated_once: bool | Callable[[Options], bool] = False
    most: int | None = None

    def needed(self, options: Options) -> tuple[Kind, ...]:
        """Return the sources that are needed with these options."""
        return self.needs(options) if callable(self.needs) else self.needs

    def is_one_pass(self, options: Options) -> bool:
        """Tell whether a pass over the rated media is the whole set with these options."""
        return self.rated_once(options) if callable(self.rated_once) else self.rated_once

    def settings(self, given: Sequence[str]) -> dict[str, Value]:
        """Return all options, those of ``key=value`` texts instead of their defaults.

        Raises:
            UsageError: Unknown, twice, or not of the default's type.
        """
        made = dict(self.options)
        seen: set[str] = set()
        for text in given:
            key, equals, value = text.partition("=")
            if key not in self.options or not equals or key in seen:
                known = " ".join(f"{name}={default}" for name, default in self.options.items())
                raise UsageError(f"option {text!r}", expected=known or "none: this recipe has no options")
            seen.add(key)
            made[key] = _typed(key, value, self.options[key])
        return made


def _typed(key: str, value: str, default: Value) -> Value:
    try:
        if isinstance(default, bool):
            return {"true": True, "false": False}[value.lower()]
        made = type(default)(value)
        if isinstance(made, float) and not math.isfinite(made):
            raise ValueError(value)
        return made
    except (ValueError, KeyError) as error:
        kind = "true or false" if isinstance(default, bool) else f"a value like {default!r}"
        raise UsageError(f"option {key}={value}", expected=kind) from error


@dataclass(frozen=True)
class Loaded:
    """A recipe with the file that it is from.

    Attributes:
        name: Of the file, without its ending: begins the ids of all samples.
        recipe: What the file defines.
        path: The file.
        sha256: Of the file: another text may make other samples.
    """

    name: str
    recipe: Recipe
    path: Path
    sha256: str


def recipes() -> dict[str, Path]:
    """Return the shipped recipes: name → file."""
    return {path.stem: path for path in sorted(resources.folder("data_builders").glob("*.py")) if _is_recipe(path)}


def _is_recipe(path: Path) -> bool:
    return "\nRECIPE = " in path.read_text(encoding="utf-8")


class _AsItIs(SourceFileLoader):
    """Runs the text that is there now: byte code of another one may have its time and size."""

    def get_code(self, fullname: str) -> CodeType:
        """Compile the file, whatever byte code lies beside it."""
        return self.source_to_code(self.get_data(self.path), self.path)


def load_recipe(name: str) -> Loaded:
    """Load a recipe by its name, or from a Python file that the user names.

    Raises:
        UnknownNameError: There is none of this name.
        UsageError: The file has no RECIPE, or fails.
    """
    path = Path(name) if name.endswith(".py") else recipes().get(name)
    if path is None or not path.is_file():
        raise UnknownNameError(
            f"no recipe {name!r}", expected=" | ".join(recipes()), hint="or give the path of a .py file"
        )
    module_name = f"mllmqa_recipe_{path.stem}"
    spec = importlib.util.spec_from_file_location(module_name, path, loader=_AsItIs(module_name, str(path)))
    if spec is None or spec.loader is None:
        raise UsageError("is not a Python file", where=path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[module_name] = module  # dataclasses of a recipe look themselves up there
    try:
        spec.loader.exec_module(module)
    except MllmqaError:
        raise
    except (Exception, SystemExit) as error:  # a user's own file: whatever it raises is told in one line
        raise UsageError(f"fails to load ({type(error).__name__}: {error})", where=path) from error
    recipe = getattr(module, "RECIPE", None)
    if not isinstance(recipe, Recipe):
        raise UsageError("defines no RECIPE", where=path, expected="RECIPE = mllmqa.data.build.Recipe(…)")
    return Loaded(path.stem, recipe, path, hashlib.sha256(path.read_bytes()).hexdigest())
