"""Conversation templates: golden texts, identity, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mllmqa import prompts, resources
from mllmqa.errors import DataError, PromptError, UnknownNameError
from mllmqa.training import templates
from mllmqa.training.templates import ConversationTemplate, load_template, template_names

GOLDEN = Path(__file__).parents[1] / "golden" / "conversations.txt"
IMAGE, VIDEO = {"type": "image"}, {"type": "video"}


def text(words: str) -> dict[str, str]:
    return {"type": "text", "text": words}


def said(role: str, *parts: dict[str, str]) -> dict[str, Any]:
    return {"role": role, "content": list(parts)}


ONE = [said("user", IMAGE, text("How good is it?")), said("assistant", text("The quality of the image is good."))]
PAIR = [
    said("user", text("Image A:"), IMAGE, text("Image B:"), IMAGE, text("Which is better?")),
    said("assistant", text("A")),
]
IN_FRONT = [said("user", IMAGE, IMAGE, text("Which?")), said("assistant", text("B"))]
TURNS = [*ONE, said("user", text("Why?")), said("assistant", text("It is sharp."))]
SYSTEM = [said("system", text("Be brief.")), said("user", VIDEO, text("How?")), said("assistant", text("Badly."))]
CASES = {"one": ONE, "pair": PAIR, "in front": IN_FRONT, "turns": TURNS, "system": SYSTEM}


def render(name: str, messages: list[dict[str, Any]], *, generate: bool = False, media: str = "<|image|>") -> str:
    return load_template(name).render(messages, media=media, add_generation_prompt=generate)


def test_every_template_renders_to_its_golden_texts() -> None:
    lines = []
    for name in template_names():
        found = load_template(name)
        lines.append(f"{found.id}@{found.version} {found.digest[:16]} eos={found.eos!r}\n")
        for case, messages in CASES.items():
            lines.append(f"  {case}: {render(name, messages)!r}\n")
            lines.append(f"  {case}, asked: {render(name, messages[:-1], generate=True)!r}\n")
    assert "".join(lines) == GOLDEN.read_text(encoding="utf-8")


def test_vicuna_is_what_q_align_was_trained_on() -> None:
    """`facts/scoring.md` §2.5: system sentences, picture first, then a line break, question, answer, end."""
    whole = render("vicuna-v1", ONE)
    assert whole.startswith("A chat between a curious user and an artificial intelligence assistant. The assistant")
    tail = " USER: <|image|>\nHow good is it? ASSISTANT: The quality of the image is good.</s>"
    assert whole.endswith(f"detailed, and polite answers to the user's questions.{tail}")


@pytest.mark.parametrize("name", template_names())
@pytest.mark.parametrize("case", CASES)
def test_the_text_before_an_answer_is_that_of_asking(name: str, case: str) -> None:
    """What a model is asked with is a prefix of what it was trained on, for every turn."""
    messages, whole = CASES[case], render(name, CASES[case])
    for k, message in enumerate(messages):
        if message["role"] == "assistant":
            asked = render(name, messages[:k], generate=True)
            assert whole.startswith(f"{asked} {message['content'][0]['text']}{load_template(name).eos}")


@pytest.mark.parametrize("name", template_names())
def test_each_medium_has_one_placeholder_of_the_processor(name: str) -> None:
    for messages in CASES.values():
        media = sum(part["type"] != "text" for message in messages for part in message["content"])
        assert render(name, messages, media="<image>").count("<image>") == media


def test_texts_are_never_read_as_templates() -> None:
    messages = [said("user", text("{{ eos }} {% if x %}")), said("assistant", text("{{ media }}"))]
    assert "USER: {{ eos }} {% if x %} ASSISTANT: {{ media }}</s>" in render("vicuna-v1", messages)


def test_the_folder_is_not_taken_for_scoring_prompts() -> None:
    assert not any(name.startswith("train/") for name in prompts.names())


def test_unknown_names_offer_the_known() -> None:
    with pytest.raises(UnknownNameError, match=r"no conversation template 'vicuna-v2'; expected .*did you mean"):
        load_template("vicuna-v2")


@pytest.mark.parametrize(
    ("messages", "message"),
    [
        ([], "without messages"),
        ([said("tool", text("x"))], "message 0 is of the role 'tool'"),
        ([said("user", text("look: <|image|>"))], "holds the placeholder '<|image|>'"),
    ],
)
def test_conversations_that_no_template_can_say(messages: list[dict[str, Any]], message: str) -> None:
    with pytest.raises(DataError) as raised:
        render("vicuna-v1", messages)
    assert message in str(raised.value)


def of(template: str) -> ConversationTemplate:
    return ConversationTemplate(id="train/x", version=1, template=template, eos="</s>")


@pytest.mark.parametrize("template", ["{{ nothing }}", "{{ messages[0].nothing.x }}", "{{ messages + 1 }}"])
def test_a_template_that_fails_is_named(template: str) -> None:
    with pytest.raises(PromptError, match=r"^train/x: cannot be rendered"):
        of(template).render(ONE, media="<image>", add_generation_prompt=False)


@pytest.mark.parametrize("template", ["{{ ''.__class__.__mro__ }}", "{{ messages.append(1) }}"])
def test_templates_are_sandboxed(template: str) -> None:
    with pytest.raises(PromptError, match="cannot be rendered"):
        of(template).render(ONE, media="<image>", add_generation_prompt=False)
    assert len(ONE) == 2


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("id: train/x\nversion: 1\neos: e\ntemplate: '{% if %}'\n", "field template: .*line 1"),
        ("id: train/x\nversion: 1\neos: ''\ntemplate: t\n", "field eos"),
        ("id: train/y\nversion: 1\neos: e\ntemplate: t\n", "id is 'train/y'; expected 'train/x'"),
        ("id: train/x\nversion: 1\neos: e\n", "field template"),
    ],
)
def test_malformed_files_name_file_and_field(
    body: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / templates.FOLDER).mkdir()
    (tmp_path / templates.FOLDER / "x.yaml").write_text(body, encoding="utf-8")
    monkeypatch.setattr(resources, "folder", lambda _: tmp_path)
    load_template.cache_clear()
    with pytest.raises(PromptError, match=rf"x\.yaml: .*{message}"):
        load_template("x")
    load_template.cache_clear()
