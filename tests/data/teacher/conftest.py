"""A teacher on loopback, and connections to it that make no pauses."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from mllmqa.data.teacher import Teacher
from mllmqa.models.api import ApiOptions
from mllmqa.models.api.transport import Pacing
from tests.data.teacher.made import School, photos
from tests.loopback import without_endpoint


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No key, no endpoint and no cache of the developer."""
    without_endpoint(monkeypatch, tmp_path)


@pytest.fixture
def school() -> Iterator[School]:
    with School() as server:
        yield server


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with twelve photos."""
    place = tmp_path / "set"
    place.mkdir()
    photos(place, 12)
    return place


@pytest.fixture
def connect(school: School) -> Iterator[Callable[..., Teacher]]:
    """Return a teacher at the server."""
    made: list[Teacher] = []

    def call(model: str = "api:eye", frames: str | None = None, **options: Any) -> Teacher:
        pacing = Pacing(sleep=lambda _: None, now_s=lambda: 1_800_000_000.0, jitter=lambda: 0.0)
        made.append(Teacher.connect(model, ApiOptions(**{"base_url": school.url, **options}), frames, pacing))
        return made[-1]

    yield call
    for teacher in made:
        teacher.close()
