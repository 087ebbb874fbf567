"""Groups of options that commands share: one parameter of a command stands for several options.

A group is a frozen dataclass; the annotation of each field is that of an option of Typer::

    @dataclass(frozen=True)
    class Place(OptionGroup):
        device: Annotated[str, typer.Option(help="auto | cpu")] = "auto"

    @unfolded
    def command(file: ..., *, place: Place) -> None: ...

The user sees ``--device`` where ``place`` stands; the command is handed one object. A command that has no
use for an option of a group says so: ``place: Annotated[Place, Without("device")]``.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from dataclasses import MISSING, fields
from typing import Annotated, Any, get_args, get_origin, get_type_hints


class OptionGroup:
    """Base of the groups."""


class Without:
    """Names options of a group that a command does not have; they keep their defaults.

    Args:
        names: Fields of the group.
    """

    def __init__(self, *names: str) -> None:
        self.names = frozenset(names)


def unfolded(command: Callable[..., None]) -> Callable[..., None]:
    """Return the command with each parameter that is a group replaced by the options of the group, in its place.

    Args:
        command: Its parameters are options, arguments and groups.

    Raises:
        TypeError: A group is told to be without an option that it does not have.
        ValueError: Two options have one name.
    """
    groups: dict[str, tuple[type[OptionGroup], list[str]]] = {}
    parameters: list[inspect.Parameter] = []
    hints = get_type_hints(command, include_extras=True)
    for name, parameter in inspect.signature(command).parameters.items():
        if (group := _group(hints[name])) is None:
            parameters.append(_keyword(name, parameter.default, hints[name]))
            continue
        options = _options(group, _without(hints[name]))
        groups[name] = (group, [option.name for option in options])
        parameters += options

    @functools.wraps(command)
    def call(**given: Any) -> None:
        for name, (group, options) in groups.items():
            given[name] = group(**{option: given.pop(option) for option in options})
        command(**given)

    call.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    call.__annotations__ = {one.name: one.annotation for one in parameters}
    return call


def _group(hint: Any) -> type[OptionGroup] | None:
    bare = get_args(hint)[0] if get_origin(hint) is Annotated else hint
    return bare if isinstance(bare, type) and issubclass(bare, OptionGroup) else None


def _without(hint: Any) -> frozenset[str]:
    return frozenset().union(*(extra.names for extra in get_args(hint)[1:] if isinstance(extra, Without)))


def _options(group: type[Any], without: frozenset[str]) -> list[inspect.Parameter]:
    hints = get_type_hints(group, include_extras=True)
    if unknown := without - {field.name for field in fields(group)}:
        raise TypeError(f"{group.__name__} has no {', '.join(sorted(unknown))}")
    return [
        _keyword(
            field.name, inspect.Parameter.empty if field.default is MISSING else field.default, hints[field.name]
        )
        for field in fields(group)
        if field.name not in without
    ]


def _keyword(name: str, default: Any, annotation: Any) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)
