"""Reading answers: what counts, what does not, and why; the published reader beside it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mllmqa.evaluation.prompting import wu2024
from mllmqa.evaluation.prompting.answers import FIRST, ORDINALS, SAME, SECOND, Answer, Failure, Shape, read

FIXTURE = Path(__file__).parents[2] / "fixtures" / "evaluation" / "answer_parsing.json"
CASES: list[dict[str, Any]] = json.loads(FIXTURE.read_text(encoding="utf-8"))["cases"]


def values(text: str, shape: Shape, n: int = 1) -> tuple[float, ...] | str:
    found = read(text, shape, n)
    return found.values if isinstance(found, Answer) else found.kind


# ---------------------------------------------------------------- the published reader


@pytest.mark.parametrize("case", CASES, ids=[case["text"][:30] for case in CASES])
def test_the_published_reader_behaves_as_recorded(case: dict[str, Any]) -> None:
    if case["original_exception"]:
        with pytest.raises(IndexError):
            wu2024.numbers(case["text"])
    else:
        assert wu2024.numbers(case["text"]) == case["original_numbers"]
    for name, shape, n in (("single", "score", 1), ("double", "choice", 1), ("multiple_of_4", "ranking", 4)):
        accepted = isinstance(wu2024.read(case["text"], shape, n), Answer)  # type: ignore[arg-type]
        assert accepted == case["original_accepts"][name]


# ---------------------------------------------------------------- scores


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Score: 85", (85.0,)),
        ("score: 85", (85.0,)),
        ("Score: 85.5.", (85.5,)),
        ("Score: 85/100", (85.0,)),
        ("Score: 85 out of 100", (85.0,)),
        ("Score: 85%", (85.0,)),
        ("Score: .75", (0.75,)),
        ("Score: 8e1", (80.0,)),
        ("Score: [72]", (72.0,)),
        ("**Score:** 77", (77.0,)),
        ("Score：80", (80.0,)),
        ('{"score": 40}', (40.0,)),
        ("Description: 3 spots of noise.\nScore: 40. It has 2 flaws.", (40.0,)),
        ("Score: 60. Again, score: 60", (60.0,)),
        ("  **62** ", (62.0,)),
        ("Score: 0", (0.0,)),
        ("Score: 100", (100.0,)),
        ("Score: -5", "range"),
        ("Score: −5", "range"),
        ("Score: 140", "range"),
        ("Score: 8/10", "format"),
        ("Score: 50-60", "format"),
        ("Score: 50 to 60", "format"),
        ("Score: 1, 0", "format"),
        ("Score: 60. Score: 70.", "format"),
        ("Score: eighty", "format"),
        ("Score:", "format"),
        ("I would say 70 or so", "format"),
        ("", "format"),
        ("I cannot assist with that request.", "refusal"),
        ("I'm sorry, but I can't rate images.", "refusal"),
        ("As an AI, I have no eyes.", "refusal"),
        ("图像质量很好，但是有噪声。", "language"),
        ("La calidad de la imagen es buena.", "language"),
        ("Die Qualität ist gut und das Bild ist scharf.", "language"),
        ("The quality of the image is good.", "format"),
    ],
)
def test_scores(text: str, expected: tuple[float, ...] | str) -> None:
    assert values(text, "score") == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Score: 1", (FIRST,)),
        ("Score: 0.", (SECOND,)),
        ("Score: 2", (SAME,)),
        ("Score: 1 (first image is better)", (FIRST,)),
        ("Score: the first image", (FIRST,)),
        ("Second.", (SECOND,)),
        ("Score: same", (SAME,)),
        ("Score: 3", "range"),
        ("Score: 0.5", "range"),
        ("Score: first > second", "format"),
        ("Score: first, or maybe second", "format"),
    ],
)
def test_choices(text: str, expected: tuple[float, ...] | str) -> None:
    assert values(text, "choice") == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Score: [first: 0, second: 1, third: 2, fourth: 3]", (0, 1, 2, 3)),
        ("Score: [second: 1, first: 0, fourth: 3, third: 2]", (0, 1, 2, 3)),  # read by name, not by place
        ("Score: [1st: 0, 2nd: 1, 3rd: 2, 4th: 3]", (0, 1, 2, 3)),
        ("Score: [first distorted image: 1, second distorted image: 0, third: 2, fourth: 3]", (1, 0, 2, 3)),
        ("Score: 3, 3, 1, 0", (3, 3, 1, 0)),
        ("[3, 2, 1, 0]", (3, 2, 1, 0)),
        ("Score: [1, 2, 3, 4]", "range"),
        ("Score: [0.5, 1, 2, 3]", "range"),
        ("Score: [0, 1, 2]", "format"),
        ("Score: [first: 0, second: 1]", "format"),
        ("Score: [first: 0, first: 1, third: 2, fourth: 3]", "format"),
        ("Score: 2 > 1 > 0 > 3", "format"),
        ("Of the 4 images, 1 and 2 beat 3 by far", "format"),
    ],
)
def test_rankings(text: str, expected: tuple[float, ...] | str) -> None:
    assert values(text, "ranking", 4) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [("A", (FIRST,)), ("(b)", (SECOND,)), ("A. The first image", (FIRST,)), ("C", "format"), ("Apple", "format")],
)
def test_letters(text: str, expected: tuple[float, ...] | str) -> None:
    assert values(text, "letter") == expected


@pytest.mark.parametrize("text", ["Description: much noise in the", "Score: 8", ""])
def test_a_cut_answer_is_truncated_even_where_a_number_stands(text: str) -> None:
    found = read(text, "score", truncated=True)
    assert isinstance(found, Failure)
    assert found.kind == "truncated"


def test_a_cut_after_the_score_costs_nothing() -> None:
    assert read("Score: 85. The image has", "score", truncated=True) == Answer((85.0,))


@given(st.text(max_size=200), st.sampled_from(["score", "choice", "ranking", "letter"]), st.integers(2, 8))
def test_any_text_is_an_answer_in_range_or_a_failure(text: str, shape: Shape, n: int) -> None:
    found = read(text, shape, n)
    if isinstance(found, Answer):
        assert len(found.values) == (n if shape == "ranking" else 1)
        assert all(0 <= v <= 100 for v in found.values)
    else:
        assert "\n" not in found.said
        assert len(found.said) <= 200


@given(st.integers(0, 100))
def test_whole_scores_survive(score: int) -> None:
    assert values(f"Description: fine.\nScore: {score}", "score") == (score,)


@given(st.permutations(range(4)), st.permutations(range(4)))
def test_named_ranks_survive_any_order(ranks: list[int], order: list[int]) -> None:
    text = "Score: [" + ", ".join(f"{ORDINALS[i]}: {ranks[i]}" for i in order) + "]"
    assert values(text, "ranking", 4) == tuple(ranks)
