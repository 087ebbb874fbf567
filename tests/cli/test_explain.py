"""``mllmqa explain`` as a user meets it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from mllmqa.asking.explain import Assessment
from mllmqa.asking.records import REASONS
from tests.asking.conftest import Eye
from tests.conftest import Run
from tests.loopback import without_endpoint

GOLDEN = Path(__file__).parents[1] / "golden"


@pytest.fixture
def model(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[tuple[str, ...]]:
    """Options of an endpoint that sees fair pictures without distortions, and has nothing to say."""
    without_endpoint(monkeypatch, tmp_path)
    with Eye() as eye:
        eye.says += ["Hm."] * 9
        yield ("--model", "api:eye", "--base-url", eye.url)


def test_help(run: Run) -> None:
    assert run("explain", "--help").out == (GOLDEN / "help-explain.txt").read_text(encoding="utf-8")


def test_text(run: Run, photo: Path, model: tuple[str, ...]) -> None:
    ran = run("explain", photo, *model)
    assert ran.code == 0, ran.err
    lines = ran.out.splitlines()
    assert lines[0].startswith(f"{photo}: fair, 3.00 ±")
    assert lines[-1].startswith(f"Composed of the readings ({REASONS['says-nothing']})")


def test_every_format_and_the_picture(run: Run, photo: Path, model: tuple[str, ...], tmp_path: Path) -> None:
    picture, page = tmp_path / "map.png", tmp_path / "page.html"
    ran = run("explain", photo, *model, "--format", "markdown", "--picture", picture, "--tiles", "2x3")
    assert ran.code == 0, ran.err
    assert "![Quality by place, 1 bad to 5 excellent](map.png)" in ran.out
    with Image.open(picture) as drawn:
        assert drawn.size == (320, 240 + 34)
    assert run("explain", photo, *model, "--format", "html", "--out", page).out == ""
    text = page.read_text(encoding="utf-8")
    assert text.count("data:image/png;base64,") == 1
    assert run("explain", photo, *model, "--format", "html", "--out", page).code == 0  # a page of ours is replaced
    it = Assessment.model_validate_json(run("explain", photo, *model, "--format", "json", "--tiles", "2x3").out)
    assert it.evidence.tiles is not None
    assert (it.evidence.tiles.rows, it.evidence.tiles.columns) == (2, 3)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--format", "pdf"), "--format 'pdf'; expected text | json | markdown | html"),
        (("--steps", "four"), "--steps 'four'; expected three | five"),
        (("--tiles", "0x4"), "--tiles '0x4'; expected RxC"),
        (("--steps", "five"), "nano: reasoning in five steps; expected a model that follows instructions"),
    ],
)
def test_usage(arguments: tuple[str, ...], message: str, run: Run, photo: Path) -> None:
    ran = run("explain", photo, *arguments)
    assert ran.code == 2
    assert message in ran.err


def test_files_that_are_not_ours_are_kept(run: Run, photo: Path) -> None:
    before = photo.read_bytes()
    ran = run("explain", photo, "--out", photo)
    assert (ran.code, "is there already" in ran.err) == (2, True)
    assert photo.read_bytes() == before


def test_what_is_no_picture_is_one_line(run: Run, model: tuple[str, ...], tmp_path: Path) -> None:
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no")
    ran = run("explain", broken, *model)
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.startswith(f"mllmqa: {broken}: ")
