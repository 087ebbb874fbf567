"""Questions about quality: readings before texts, texts checked against readings.

>>> from mllmqa.asking import ask                                    # doctest: +SKIP
>>> ask(scorer, "why is A worse than B?", ["a.png", "b.png"]).text   # doctest: +SKIP
>>> by_schema = Options(schema=find_schema("verdict"))               # or the path of a JSON Schema
>>> ask(scorer, "which is better?", ["a.png", "b.png"], options=by_schema).data      # doctest: +SKIP
"""

from __future__ import annotations

from mllmqa.answer_schema import AnswerSchema
from mllmqa.asking.answer import Options, answer, ask
from mllmqa.asking.by_schema import find_schema
from mllmqa.asking.evidence import Depth, gather
from mllmqa.asking.records import Answer, Evidence

__all__ = ["Answer", "AnswerSchema", "Depth", "Evidence", "Options", "answer", "ask", "find_schema", "gather"]
