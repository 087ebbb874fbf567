"""Questions about quality: readings before texts, texts checked against readings.

>>> from mllmqa.asking import ask                                    # doctest: +SKIP
>>> ask(scorer, "why is A worse than B?", ["a.png", "b.png"]).text   # doctest: +SKIP
"""

from __future__ import annotations

from mllmqa.asking.answer import Options, answer, ask
from mllmqa.asking.evidence import Depth, gather
from mllmqa.asking.records import Answer, Evidence

__all__ = ["Answer", "Depth", "Evidence", "Options", "answer", "ask", "gather"]
