"""An endpoint on loopback and a scorer that asks it, without pauses."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mllmqa.models.api import ApiOptions
from mllmqa.models.api.backend import ApiBackend
from mllmqa.models.api.transport import Pacing
from mllmqa.models.resolve import resolve
from mllmqa.scoring import Scorer
from tests.loopback import Connect, Loopback, without_endpoint


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No key, no endpoint and no cache of the developer."""
    without_endpoint(monkeypatch, tmp_path)


@pytest.fixture
def server() -> Iterator[Loopback]:
    with Loopback() as loopback:
        yield loopback


@pytest.fixture
def pauses() -> list[float]:
    """The pauses that were asked for, none of which is made."""
    return []


@pytest.fixture
def connect(server: Loopback, pauses: list[float]) -> Iterator[Connect]:
    """Return a scorer for the server; the probe's requests are forgotten."""
    made: list[ApiBackend] = []

    def call(at: Loopback = server, *, model: str = "eye", forget: bool = True, **options: Any) -> Scorer:
        source = resolve(f"api:{model}")
        pacing = Pacing(sleep=pauses.append, now_s=lambda: 1_800_000_000.0, jitter=lambda: 0.0)
        backend = ApiBackend.connect(source, ApiOptions(**{"base_url": at.url, **options}), pacing)
        made.append(backend)
        if forget:
            at.forget()
        return Scorer(backend, source.preset)

    yield call
    for backend in made:
        backend.close()
