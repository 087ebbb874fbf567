"""Multimodal LLMs as judges of image and video quality.

>>> import mllmqa
>>> scorer = mllmqa.load("nano")           # doctest: +SKIP
>>> scorer.score("clip.mp4").value         # doctest: +SKIP
"""

from __future__ import annotations

from mllmqa._version import __version__
from mllmqa.errors import MllmqaError

TYPE_CHECKING = False  # as typing has it, which takes longer to import than all the rest here
if TYPE_CHECKING:
    from mllmqa.comparing import compare
    from mllmqa.loading import load
    from mllmqa.prepare import ScoreOptions
    from mllmqa.schema import Comparison, Score, Unscored
    from mllmqa.scoring import Scorer

__all__ = [
    "Comparison",
    "MllmqaError",
    "Score",
    "ScoreOptions",
    "Scorer",
    "Unscored",
    "__version__",
    "compare",
    "load",
]

_LAZY = {
    "Comparison": "mllmqa.schema",
    "Score": "mllmqa.schema",
    "ScoreOptions": "mllmqa.prepare",
    "Unscored": "mllmqa.schema",
    "Scorer": "mllmqa.scoring",
    "compare": "mllmqa.comparing",
    "load": "mllmqa.loading",
}


def __getattr__(name: str) -> object:
    """Import the public names on first use: ``import mllmqa`` itself stays below 0.1 s."""
    if name in _LAZY:
        from importlib import import_module

        return getattr(import_module(_LAZY[name]), name)
    raise AttributeError(f"module 'mllmqa' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
