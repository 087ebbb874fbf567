"""Groups of options: what the user sees of them, what the command is handed, and that no option stands twice."""

from __future__ import annotations

import ast
import inspect
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import pytest
import typer
from typer.testing import CliRunner

from mllmqa.cli.groups import OptionGroup, Without, unfolded

CLI = Path(__file__).parents[2] / "mllmqa" / "cli"


@dataclass(frozen=True)
class Place(OptionGroup):
    """Three options."""

    device: Annotated[str, typer.Option(help="Where.")] = "auto"
    bits: Annotated[int | None, typer.Option(min=4)] = None
    there: Annotated[bool, typer.Option("--there")] = False


@dataclass(frozen=True)
class Needed(OptionGroup):
    """One that must be given."""

    target: Annotated[str, typer.Option()]


def parsed(command: Any, *arguments: str) -> Any:
    """Run a command that keeps what it is handed; return its output and exit code."""
    app = typer.Typer(rich_markup_mode=None)
    app.command()(command)
    return CliRunner().invoke(app, list(arguments))


def test_the_command_is_handed_one_object() -> None:
    kept: list[Any] = []

    @unfolded
    def command(
        name: Annotated[str, typer.Argument()], *, place: Place, last: Annotated[int, typer.Option()] = 3
    ) -> None:
        """What it does."""
        kept.append((name, place, last))

    assert parsed(command, "a", "--bits", "8", "--there").exit_code == 0
    assert parsed(command, "b", "--last", "4").exit_code == 0
    assert kept == [("a", Place("auto", 8, True), 3), ("b", Place(), 4)]
    assert command.__doc__ == "What it does."


def test_options_stand_where_the_group_does_and_are_checked() -> None:
    @unfolded
    def command(
        *, first: Annotated[int, typer.Option()] = 1, place: Place, last: Annotated[int, typer.Option()] = 3
    ) -> None:
        raise AssertionError

    assert list(inspect.signature(command).parameters) == ["first", "device", "bits", "there", "last"]
    shown = parsed(command, "--help").output
    places = [shown.index(f"--{name}") for name in ("first", "device", "bits", "there", "last")]
    assert places == sorted(places)
    assert "Where." in shown
    refused = parsed(command, "--bits", "3")
    assert refused.exit_code == 2
    assert "greater than or equal to 4" in refused.output


def test_a_command_can_be_without_some() -> None:
    kept: list[Place] = []

    @unfolded
    def command(*, place: Annotated[Place, Without("bits", "there")]) -> None:
        kept.append(place)

    assert list(inspect.signature(command).parameters) == ["device"]
    assert parsed(command, "--device", "cpu").exit_code == 0
    assert parsed(command, "--bits", "8").exit_code == 2
    assert kept == [Place("cpu")]


def test_a_field_without_default_must_be_given() -> None:
    kept: list[Needed] = []

    @unfolded
    def command(*, needed: Needed) -> None:
        kept.append(needed)

    assert parsed(command).exit_code == 2
    assert parsed(command, "--target", "x").exit_code == 0
    assert kept == [Needed("x")]


def test_mistakes_in_a_command_are_found_when_it_is_imported() -> None:
    def unknown(*, place: Annotated[Place, Without("colour")]) -> None:
        raise AssertionError

    def twice(*, device: Annotated[str, typer.Option()] = "", place: Place) -> None:
        raise AssertionError

    with pytest.raises(TypeError, match="Place has no colour"):
        unfolded(unknown)
    with pytest.raises(ValueError, match="device"):
        unfolded(twice)


def test_no_option_is_declared_twice() -> None:
    declared: Counter[tuple[str, str]] = Counter()
    for path in CLI.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.AnnAssign):
                declared[ast.unparse(node.target), ast.unparse(node.annotation)] += 1
            elif isinstance(node, ast.arg) and node.annotation is not None:
                declared[node.arg, ast.unparse(node.annotation)] += 1
    options = {one: count for one, count in declared.items() if "ption(" in one[1]}
    assert len(options) > 80
    assert [one for one, count in options.items() if count > 1] == []
