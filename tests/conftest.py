"""Fixtures that several test modules share: real files, made here or copied small."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from PIL import Image

from mllmqa.cli.app import main
from mllmqa.loading import load
from mllmqa.scoring import Scorer

# No test measures time: neither hypothesis' deadline nor its health check for slow data may fail a busy machine.
settings.register_profile("mllmqa", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("mllmqa")


LONGEST = ("test_recipe.py", "test_trainer.py", "test_launch.py", "test_public.py")
"""These begin: a process that takes one of them last lets the other one wait for minutes."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the files that take longest first; the others stay in their order."""
    items.sort(key=lambda item: item.path.name not in LONGEST)


class Ran(NamedTuple):
    """What a command did."""

    code: int
    out: str
    err: str


Run = Callable[..., Ran]
"""Calls ``mllmqa`` with these arguments, and with ``stdin=b"…"`` if given."""


@pytest.fixture
def run(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Call the command in this process, on a terminal of 100 columns."""

    def call(*arguments: object, stdin: bytes | None = None) -> Ran:
        monkeypatch.setattr(sys, "argv", ["mllmqa", *map(str, arguments)])
        if stdin is not None:
            monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin), encoding="utf-8"))
        with pytest.raises(SystemExit) as stopped:
            main()
        out, err = capfd.readouterr()
        return Ran(int(stopped.value.code or 0), out, err)

    monkeypatch.setenv("COLUMNS", "100")
    return call


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test may reach a hub, and none may read the developer's own cache."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> Iterator[None]:
    """Two torch threads on two shared cores are slower than one."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def nano() -> Scorer:
    """The embedded model."""
    return load("nano", device="cpu")


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of shared media; tests that need it are skipped without it."""
    folder = Path(__file__).resolve().parents[2] / "shared"
    if not folder.is_dir():
        pytest.skip("needs ../shared, which lies only beside the project's own checkouts")
    return folder


def photo_pixels(width: int = 320, height: int = 240, seed: int = 0) -> np.ndarray:
    """Return a smooth picture with edges and texture, uint8 (height, width, 3)."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0:width].astype(np.float64)
    waves = [np.sin(x / (7 + 5 * c) + seed) + np.cos(y / (11 + 3 * c)) for c in range(3)]
    picture = 128 + 40 * np.stack(waves, axis=-1) + rng.normal(0, 4, (height, width, 3))
    picture[height // 3 : height // 2, width // 4 : width // 2] += 50
    return np.clip(picture, 0, 255).astype(np.uint8)


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    """A small PNG."""
    path = tmp_path / "photo.png"
    Image.fromarray(photo_pixels()).save(path)
    return path
