"""Tiny checkpoints to train."""

from __future__ import annotations

import pytest

from tests import tiny_stages


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What ``--model`` calls a checkpoint, by family; ``wide`` is a llava that 4 bits can take."""
    root = tmp_path_factory.mktemp("bases")
    made = {
        name: tiny_stages.checkpoint(name, root / name) for name in ("llava", "llava_next", "mplug_owl2", "nano")
    }
    return {**made, "wide": tiny_stages.checkpoint("llava", root / "wide", width=64)}
