"""What the strings of a JSON answer claim, whatever its schema."""

from __future__ import annotations

from typing import Any

import pytest

from mllmqa.answer_schema import AnswerSchema
from mllmqa.asking.claims import contradictions
from mllmqa.asking.objects import OwnForm, strings
from tests.asking.evidence_made import file, two

ANY = AnswerSchema("any", {"type": "object"})


def _claimed(data: dict[str, Any], keys: str = "AB") -> list[tuple[Any, ...]]:
    return [(c.kind, c.key, c.category or c.value or c.other) for c in OwnForm(ANY, keys).claims(data)]


def test_strings_come_with_their_keys_in_order() -> None:
    data = {"a": "x", "b": [{"c": "y"}, "z", 1, None], "d": {"e": {"f": "w"}}, "g": True}
    assert list(strings(data)) == [(("a",), "x"), (("b", "c"), "y"), (("b",), "z"), (("d", "e", "f"), "w")]


@pytest.mark.parametrize(
    ("data", "claimed"),
    [
        ({"why": "A has serious blur"}, [("distortion", "A", "blur"), ("severity", "A", "blur")]),
        ({"A": {"defects": ["blur", "noise"]}}, [("distortion", "A", "blur"), ("distortion", "A", "noise")]),
        ({"B": "slight blur"}, [("distortion", "B", "blur"), ("severity", "B", "blur")]),
        ({"B": {"note": "A has noise"}}, [("distortion", "A", "noise")]),
        ({"better": "B"}, [("better", "B", "A")]),
        ({"better_file": "A"}, [("better", "A", "B")]),
        ({"worse": "A"}, [("better", "B", "A")]),
        ({"A": {"quality": "poor"}}, [("level", "A", 2.0)]),
        ({"verdict": "A and B are about equal"}, [("equal", "A", "B")]),
        ({"number": 3, "yes": True, "none": None, "name": "a house"}, []),
        ({"distortion": "noise"}, [("distortion", None, "noise")]),
    ],
)
def test_claims(data: dict[str, Any], claimed: list[tuple[Any, ...]]) -> None:
    assert _claimed(data) == claimed


def test_of_one_file_all_is_about_it() -> None:
    claimed = _claimed({"quality": "good", "defects": ["blur"]}, "A")
    assert claimed == [("level", "A", 4.0), ("distortion", "A", "blur")]


def test_they_are_held_against_the_readings_as_texts_are() -> None:
    evidence = two(0.1, file("A", 2.0, {"blur": (0.95, 4.0)}), file("B", 5.0))
    form = OwnForm(ANY, "AB")
    held = {"better": "B", "A": {"quality": "poor", "defects": ["serious blur"]}}
    assert contradictions(form.claims(held), evidence) == []
    wrong = {"better": "A", "A": {"quality": "excellent", "defects": ["noise"]}, "B": {"defects": ["blur"]}}
    found = contradictions(form.claims(wrong), evidence)
    assert [one.threshold for one in found] == ["EVEN_MARGIN", "LEVEL_SLACK", "ABSENT_BELOW", "ABSENT_BELOW"]
    assert form.composed(evidence) is None
