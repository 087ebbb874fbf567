"""The error tree and its lines."""

from __future__ import annotations

import inspect

from mllmqa import errors


def _classes() -> list[type[errors.MllmqaError]]:
    found = [c for _, c in inspect.getmembers(errors, inspect.isclass)]
    return [c for c in found if issubclass(c, errors.MllmqaError)]


def test_the_docstring_prints_the_tree_as_it_is() -> None:
    for cls in _classes():
        line = next(line for line in (errors.__doc__ or "").splitlines() if cls.__name__ in line.split())
        depth = len(cls.__mro__) - len(errors.MllmqaError.__mro__)
        assert line.index(cls.__name__) == 4 + 4 * depth, cls


def test_codes_are_distinct() -> None:
    codes = [cls.code for cls in _classes()]
    assert len(set(codes)) == len(codes)


def test_a_message_is_one_line_with_all_parts() -> None:
    error = errors.MediaLimitError("1x1\npixels", where="a.png", expected="16 at least", hint="use another file")
    assert str(error) == "a.png: 1x1 pixels; expected 16 at least; use another file"


def test_missing_extra_names_the_extra() -> None:
    error = errors.MissingExtraError("decord", extra="decord", purpose="--decoder decord")
    assert 'pip install "mllmqa[decord]"' in str(error)
    assert isinstance(error, errors.UsageError)
