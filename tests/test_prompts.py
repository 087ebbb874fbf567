"""Prompt files: golden texts, identity, errors that name file and field."""

from __future__ import annotations

from pathlib import Path

import pytest

from mllmqa import prompts
from mllmqa.errors import PromptError, UnknownNameError

GOLDEN = Path(__file__).parent / "golden" / "prompts.txt"


SAMPLES = {"words": "good, bad", "start": "It is", "number": 1, "total": 2, "time_s": "0.50"}


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


def test_no_prompt_text_outside_the_prompt_files() -> None:
    root = Path(__file__).resolve().parents[1]
    question = prompts.load("score/quality").question.split(" {{")[0]
    places = [p for p in (root / "mllmqa").rglob("*.py") if question in p.read_text(encoding="utf-8")]
    assert places == []


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
