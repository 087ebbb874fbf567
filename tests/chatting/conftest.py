"""Sessions with the embedded model."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from mllmqa.chatting import Comparing, Doing, Session
from mllmqa.chatting.plain import PlainTalk
from mllmqa.errors import UnknownNameError
from mllmqa.scoring import Scorer
from tests.conftest import photo_pixels

NewSession = Callable[..., Session]


@pytest.fixture
def pair(tmp_path: Path) -> tuple[str, str]:
    """Two small photos."""
    for name, seed in (("a.png", 1), ("b.png", 2)):
        Image.fromarray(photo_pixels(64, 48, seed=seed)).save(tmp_path / name)
    return str(tmp_path / "a.png"), str(tmp_path / "b.png")


@pytest.fixture
def new_session(nano: Scorer) -> NewSession:
    """Return a new session with nano, which can "load" nano only."""

    def load(name: str) -> Scorer:
        if name != "nano":
            raise UnknownNameError(f"no model {name!r}")
        return nano

    def make(compare: Comparing | None = None, max_new_tokens: int = 16) -> Session:
        return Session(nano, Doing(PlainTalk(), load, compare, max_new_tokens))

    return make
