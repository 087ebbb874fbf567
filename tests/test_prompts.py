"""Prompt files: golden texts, identity, errors that name file and field."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from mllmqa import prompts, resources
from mllmqa.errors import PromptError, UnknownNameError

GOLDEN = Path(__file__).parent / "golden" / "prompts.txt"


SAMPLES = {
    "words": "good, bad",
    "start": "It is",
    "number": 1,
    "total": 2,
    "time_s": "0.50",
    "label": "blur",
    **{"question": "Which?", "options": ["blur", "noise"], "letters": "AB", "ordinal": "First"},
    **{"reference": "Blur.", "said": "Noise.", "round": 1},
    **{"n": 4, "think": False, "example": "", "subject": "what is seen", "shape": "<number>"},
    **{"attributes": "ATTRIBUTES", "form": "FORM"},
}
"""All texts of the nine modes: tests/golden/nine.txt."""


def test_every_prompt_renders_to_its_golden_text() -> None:
    lines = []
    for name in prompts.names():
        for medium in ("image", "video"):
            p = prompts.render(prompts.load(name), medium=medium, **SAMPLES)
            lines.append(f"{p.id} {medium}: {p.question} | {p.answer} | {p.sha256[:16]}\n")
    assert "".join(lines) == GOLDEN.read_text(encoding="utf-8")


def test_level_words_best_first() -> None:
    scale = prompts.level_scale()
    assert scale.words == ("excellent", "good", "fair", "poor", "bad")  # ITU-T P.910, ACR
    assert scale.values == (5, 4, 3, 2, 1)


def test_comparison_words_best_first() -> None:
    scale = prompts.word_scale("comparison")
    assert scale.words == ("superior", "better", "similar", "worse", "inferior")  # Compare2Score
    assert scale.values == (1, 0.75, 0.5, 0.25, 0)


def test_unknown_scales_name_the_known_ones() -> None:
    with pytest.raises(UnknownNameError, match=r"comparison \| .*levels"):
        prompts.word_scale("grades")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"range: [0, 1]": "range: [0, 2]"}, "do not fall from 2.0 to 0.0"),
        ({"value: 0.75": "value: 0.25"}, "do not fall from 1.0 to 0.0"),
        ({"value: 0.75": "value: .nan"}, "field levels.1.value"),
        ({"word: worse": "word: better"}, "a word is there twice"),
        ({"range: [0, 1]\n": ""}, "field range"),
    ],
)
def test_malformed_scales_name_file_and_field(
    change: dict[str, str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = (resources.folder("prompts") / "comparison.yaml").read_text(encoding="utf-8")
    for old, new in change.items():
        assert old in text
        text = text.replace(old, new)
    (tmp_path / "broken.yaml").write_text(text, encoding="utf-8")
    monkeypatch.setattr("mllmqa.resources.folder", lambda name: tmp_path)
    with pytest.raises(PromptError, match=message) as caught:
        prompts.word_scale("broken")
    assert "broken.yaml" in str(caught.value)


def test_no_prompt_text_outside_the_prompt_files() -> None:
    root = Path(__file__).resolve().parents[1]
    pieces = {
        piece.strip()
        for prompt in map(prompts.load, prompts.names())
        for piece in re.split(r"\{[{%].*?[%}]\}", prompt.question)
    }
    long = {piece for piece in pieces if len(piece) >= 20}  # shorter ones are words of the language
    assert len(long) >= 5
    texts = [p.read_text(encoding="utf-8") for p in (root / "mllmqa").rglob("*.py")]
    assert not any(piece in text for piece in long for text in texts)


def test_unknown_prompt_names_the_known_ones() -> None:
    with pytest.raises(UnknownNameError, match="score/quality"):
        prompts.load("score/beauty")


def test_missing_variable_is_an_error() -> None:
    with pytest.raises(PromptError, match="medium"):
        prompts.render(prompts.load("score/quality"))


def test_templates_are_sandboxed() -> None:
    evil = prompts.load("score/quality").model_copy(update={"answer": "{{ ''.__class__.__mro__ }}"})
    with pytest.raises(PromptError, match="unsafe"):
        prompts.render(evil, medium="image")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("id: [", "not valid YAML"),
        ("id: x\nversion: 1\naspect: q\nquestion: a\n", "field answer"),
        ("id: x\nversion: 0\naspect: q\nquestion: a\nanswer: b\n", "field version"),
        ("id: x\nversion: 1\naspect: q\nquestion: a\nanswer: b\nextra: 1\n", "field extra"),
        ("id: other\nversion: 1\naspect: q\nquestion: a\nanswer: b\n", "id is 'other'"),
    ],
)
def test_malformed_files_name_file_and_field(
    text: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "score").mkdir()
    (tmp_path / "score" / "broken.yaml").write_text(text)
    monkeypatch.setattr("mllmqa.resources.folder", lambda name: tmp_path)
    with pytest.raises(PromptError, match=message) as caught:
        prompts.load("score/broken")
    assert "broken.yaml" in str(caught.value)
