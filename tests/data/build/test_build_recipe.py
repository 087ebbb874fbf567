"""Recipes: those that are shipped, a user's own, their options, and files that are none."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from mllmqa.data.build import Recipe, load_recipe, recipes
from mllmqa.data.build.recipe import KINDS
from mllmqa.errors import UnknownNameError, UsageError
from tests.data.build.built_here import ONE, recipe

OWN = Recipe(
    "Mine", lambda made: [], ("photos",), options={"short_px": 224, "share": 0.5, "name": "a", "slow": False}
)


def test_every_shipped_recipe_loads_and_says_what_it_is() -> None:
    found = recipes()
    wanted = "depictqa depictqa_wild vqa2 qinstruct coinstruct vida compare2score qalign deqa nano"
    assert set(wanted.split()) == set(found)
    assert "pseudo_mos" not in found  # a script, no recipe
    for name, path in found.items():
        loaded = load_recipe(name)
        assert (loaded.name, loaded.path) == (name, path)
        one = loaded.recipe
        assert one.summary and not one.summary.endswith(".")
        needed = one.needed(one.options)
        assert needed and set(needed) | set(one.uses) <= set(KINDS)
        assert one.settings([]) == dict(one.options)
        assert not one.is_one_pass(one.options) or needed == ("rated",)
        text = path.read_text(encoding="utf-8")
        assert f"mllmqa build {name} " in text  # its docstring shows the command


def test_a_recipe_of_ones_own(tmp_path: Path) -> None:
    path = recipe(tmp_path, ONE, "mine.py")
    loaded = load_recipe(str(path))
    assert (loaded.name, loaded.path) == ("mine", path)
    assert loaded.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert dict(loaded.recipe.options) == {"short_px": 48}


def test_a_recipe_may_hold_classes(tmp_path: Path) -> None:
    text = "from dataclasses import dataclass\n" + ONE + "\n\n@dataclass\nclass Plan:\n    size: 'int' = 3\n"
    assert load_recipe(str(recipe(tmp_path, text))).recipe.summary


def test_an_edited_recipe_is_loaded_anew(tmp_path: Path) -> None:
    """Within the same second and with the same size, too: no stale byte code."""
    for px in (48, 64, 96):
        path = recipe(tmp_path, ONE.replace("48", str(px)))
        loaded = load_recipe(str(path))
        assert loaded.recipe.options["short_px"] == px
        assert loaded.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert not list(tmp_path.rglob("*.pyc"))  # nothing is left in a user's folder


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x = 1\n", r"defines no RECIPE; expected RECIPE = mllmqa\.data\.build\.Recipe\(…\)"),
        ("RECIPE = 3\n", "defines no RECIPE"),
        ("def item(:\n", r"fails to load \(SyntaxError: .*\)"),
        ("import no_such_module\n", r"fails to load \(ModuleNotFoundError: No module named 'no_such_module'\)"),
        ("1 / 0\n", r"fails to load \(ZeroDivisionError: division by zero\)"),
        ("raise SystemExit('usage')\n", r"fails to load \(SystemExit: usage\)"),
        ("\udcff".encode("utf-8", "surrogateescape").decode("latin-1") + "= 1\n", "fails to load|defines no"),
    ],
)
def test_files_that_are_no_recipes_are_told_in_one_line(text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_bytes(text.encode("latin-1", "ignore"))
    with pytest.raises(UsageError, match=message) as caught:
        load_recipe(str(path))
    assert "\n" not in str(caught.value) and "mine.py" in str(caught.value)


@pytest.mark.parametrize("name", ["qalgn", "gone.py", "", "."])
def test_unknown_recipes_are_named(name: str) -> None:
    with pytest.raises(
        UnknownNameError, match=rf"no recipe '{name}'; expected coinstruct \|.*or give the path of a \.py"
    ):
        load_recipe(name)


def test_options_have_the_type_of_their_default() -> None:
    given = ["short_px=96", "share=1e-1", "name=b=c", "slow=True"]
    assert OWN.settings(given) == {"short_px": 96, "share": 0.1, "name": "b=c", "slow": True}
    assert OWN.settings(["slow=false"])["slow"] is False


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["short=96"], "option 'short=96'; expected short_px=224 share=0.5 name=a slow=False"),
        (["short_px"], "option 'short_px'; expected short_px=224"),
        (["short_px=96", "short_px=64"], "option 'short_px=64'; expected"),
        (["short_px=9.5"], "option short_px=9.5; expected a value like 224"),
        (["share=nan"], "option share=nan; expected a value like 0.5"),
        (["share=inf"], "option share=inf; expected a value like 0.5"),
        (["slow=1"], "option slow=1; expected true or false"),
    ],
)
def test_options_that_are_none_are_refused(given: list[str], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        OWN.settings(given)


def test_a_recipe_without_options_says_so() -> None:
    with pytest.raises(UsageError, match="option 'a=1'; expected none: this recipe has no options"):
        Recipe("Mine", lambda made: [], ("photos",)).settings(["a=1"])
