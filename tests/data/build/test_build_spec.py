"""The description of a build: what is in it, and what is told when another one is to be continued."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from mllmqa._version import __version__
from mllmqa.data.build import spec
from mllmqa.errors import DataError, UsageError

SOURCE = {"kind": "photos", "path": "/p", "n": 3, "files_sha256": "0"}


def described(**more: Any) -> dict[str, Any]:
    given = {"seed": 0, "options": {"short_px": 48}, "part": None, "sources": [SOURCE]}
    return spec.described("r", "ab12", **{**given, **more})


def test_it_says_what_may_change_the_files() -> None:
    one = described()
    assert one["format"] == spec.FORMAT and one["mllmqa"] == __version__
    assert (one["recipe"], one["recipe_sha256"], one["seed"]) == ("r", "ab12", 0)
    assert set(one["versions"]) == set(spec.MAKERS) and one["versions"]["numpy"]


def test_what_is_written_is_the_same_when_read(tmp_path: Path) -> None:
    one = described(sources=[{**SOURCE, "path": "/ä/caf\udce9 \u2028"}], options={"a": 0.1, "b": True})
    spec.write(tmp_path, one)
    spec.check_same(tmp_path, one)
    spec.write(tmp_path, one, {"n": 3})
    spec.check_same(tmp_path, one)  # a finished one can be continued as well
    text = (tmp_path / spec.FILE).read_text(encoding="utf-8")
    assert json.loads(text)["result"] == {"n": 3}
    assert [path.name for path in tmp_path.iterdir()] == [spec.FILE]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"seed": 1}, "was begun with another seed: 0; expected 1; use the same sources and options, or another"),
        ({"options": {"short_px": 64}}, r"another options\.short_px: 48; expected 64"),
        ({"options": {"short_px": 48, "x": 1}}, r"another options\.x: null; expected 1"),
        ({"options": {}}, r"another options\.short_px: 48; expected null"),
        ({"part": "val"}, 'another part: null; expected "val"'),
        ({"sources": [{**SOURCE, "n": 4}]}, r"another sources\.0\.n: 3; expected 4"),
        ({"sources": [SOURCE, SOURCE]}, "another sources: "),
        ({"versions": {"numpy": "0"}}, r"another versions\.numpy: "),
    ],
)
def test_the_first_difference_is_named(change: dict[str, Any], message: str, tmp_path: Path) -> None:
    spec.write(tmp_path, described(), {"n": 1})
    with pytest.raises(UsageError, match=message) as caught:
        spec.check_same(tmp_path, described(**change) | {k: v for k, v in change.items() if k == "versions"})
    assert str(tmp_path) in str(caught.value) and "\n" not in str(caught.value)


def test_another_recipe_or_version_is_named(tmp_path: Path) -> None:
    spec.write(tmp_path, described())
    with pytest.raises(UsageError, match='another recipe_sha256: "ab12"; expected "cd34"'):
        spec.check_same(tmp_path, spec.described("r", "cd34"))
    with pytest.raises(UsageError, match="another mllmqa: "):
        spec.check_same(tmp_path, described() | {"mllmqa": "0.0"})


def test_a_field_that_is_there_no_more_is_named(tmp_path: Path) -> None:
    spec.write(tmp_path, {**described(), "mode": "fast"})
    with pytest.raises(UsageError, match='another mode: "fast"; expected null'):
        spec.check_same(tmp_path, described())


def test_what_is_no_description_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="there is no build to be continued; leave out --resume"):
        spec.check_same(tmp_path, described())
    for text, message in (
        ("{", "cannot be read"),
        ("[]", "describes no build; expected a JSON object"),
        ("\xff", "cannot"),
    ):
        (tmp_path / spec.FILE).write_bytes(text.encode("latin-1"))
        with pytest.raises(DataError, match=rf"build\.json: {message}"):
            spec.check_same(tmp_path, described())
