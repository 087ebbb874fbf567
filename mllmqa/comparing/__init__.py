"""Comparing: which of two is better and by how much, and many in the order of their quality.

>>> import mllmqa                                                     # doctest: +SKIP
>>> scorer = mllmqa.load("nano")                                      # doctest: +SKIP
>>> mllmqa.compare(scorer, "a.png", "b.png").text()                   # doctest: +SKIP
'B is better (p = 0.93); A 2.1, B 3.9'
"""

from __future__ import annotations

from mllmqa.comparing.many import rank_many
from mllmqa.comparing.pair import compare

__all__ = ["compare", "rank_many"]
