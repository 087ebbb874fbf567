"""Conversations as text: what is learnt is the answers with their ends, the level word is what scoring reads."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mllmqa import prompts
from mllmqa.data.sample import Sample
from mllmqa.errors import DataError, LevelTokenError
from mllmqa.models.base import Request
from mllmqa.prompts import level_scale
from mllmqa.training.conversation import Writer, Written, asked_level
from mllmqa.training.templates import load_template
from tests.conftest import photo_pixels
from tests.data.samples_made import said
from tests.training.training_made import FAMILIES, kinds_of_samples, level_sample, opened

TAGS = {"A": ("image",), "B": ("image",), "C": ("image", "image")}


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("tiny")


def writer(family: str, places: Path, **more: Any) -> Writer:
    found = opened(family, places / family)
    how = {"template": None, "media_first": False, "words": level_scale().words, **more}
    return Writer(found.processor, found.preset, **how)


def learnt(made: Writer, written: Written) -> list[str]:
    """The parts that are learnt, decoded."""
    n = len(written.ids)
    decode = made._processor.tokenizer.decode
    return [decode(list(written.ids[n - a : n - b])).strip() for a, b in written.learnt]


def sample(name: str) -> Sample:
    return next(s for s in kinds_of_samples() if s.id == name)


@pytest.mark.parametrize("family", FAMILIES)
def test_answers_and_ends_of_turns_are_learnt(family: str, places: Path) -> None:
    made = writer(family, places)
    one = learnt(made, made.write(sample("pair"), TAGS))
    assert len(one) == 1
    assert one[0].startswith("The second one.")
    assert one[0].endswith(made._end)
    assert made._end.strip()
    two = learnt(made, made.write(sample("turns"), TAGS))
    assert [part.removesuffix(made._end).strip() for part in two] == ["No, it is blurred.", "Severely."]
    assert two[-1].endswith(made._end)


@pytest.mark.parametrize("family", FAMILIES)
def test_the_level_token_is_the_one_that_scoring_reads(family: str, places: Path) -> None:
    made = writer(family, places)
    written = made.write(level_sample("A", 3.9), TAGS)
    assert written.level is not None
    assert made.level_ids is not None
    assert written.ids[len(written.ids) - written.level] == made.level_ids[1]  # good
    backend = opened(family, places / family).backend()
    prompt = prompts.render(prompts.load("score/quality"), medium="image")
    text = backend.text(Request(prompt, (photo_pixels(32, 32),)))
    assert backend.level_ids(text, made.words) == list(made.level_ids)


def test_thinking_models_learn_to_answer_behind_the_empty_thought(places: Path) -> None:
    written = writer("qwen3_5", places).write(sample("pair"), TAGS)
    assert "</think>\n\nThe second one.<|im_end|>" in written.text or "<think>\nThe second one." in written.text


def test_a_template_of_the_stage_is_used_and_media_can_go_first(places: Path) -> None:
    made = writer("mplug_owl2", places, template=load_template("vicuna-v1"), media_first=True)
    question = said("user", "Image A:", "@A", "Image B:", "@B", "Which is better?")
    named = sample("pair").model_copy(update={"messages": (question, said("assistant", "B is good."))})
    text = made.write(named, TAGS).text
    assert "USER: <|image|><|image|>" in text.replace("\n", "")
    assert "Image A" not in text  # names of media that are no longer there
    assert text.startswith("A chat between")
    assert text.endswith("B is good.</s>")


def test_what_cannot_be_learnt_is_refused(places: Path) -> None:
    made = writer("llava", places)
    question = sample("pair").model_copy(update={"messages": (said("user", "@A", "Well?"),)})
    with pytest.raises(DataError, match="sample pair: has no question with an answer"):
        made.write(question, TAGS)
    late = (*sample("turns").messages[:2], said("user", "@A", "And now?"), said("assistant", "Yes."))
    with pytest.raises(DataError, match="shows A after the first answer"):
        made.write(sample("turns").model_copy(update={"messages": late}), TAGS)
    odd = (said("user", "@A", "Rate it."), said("assistant", "It is what it is."))
    with pytest.raises(DataError, match="says 'good' 0 times in its answer"):
        made.write(level_sample("A", 4.0).model_copy(update={"messages": odd}), TAGS)


def test_other_level_words_and_words_apart_are_refused(places: Path) -> None:
    made = writer("llava", places, words=("high", "good", "fair", "poor", "low"))
    with pytest.raises(DataError, match=r"its level words are excellent, good.*expected high, good"):
        made.write(level_sample("A", 4.0), TAGS)
    found = opened("llava", places / "llava")
    apart = Writer(
        found.processor, found.preset.model_copy(update={"words_apart": True}), None, False, level_scale().words
    )
    with pytest.raises(LevelTokenError, match="tokens by themselves"):
        apart.write(level_sample("A", 4.0), TAGS)


def test_only_level_tasks_with_one_level_tell_one() -> None:
    assert asked_level(level_sample("A", 4.0)) is not None
    assert asked_level(level_sample("A", 4.0, task="assess")) is None
    assert asked_level(sample("pair")) is None


def turns(*said_by_turn: str) -> Sample:
    """A conversation about picture A: question, answer, question, answer …"""
    roles = ("user", "assistant")
    parts = [(text,) if k else ("@A", text) for k, text in enumerate(said_by_turn)]
    messages = tuple(said(roles[k % 2], *one) for k, one in enumerate(parts))
    return sample("turns").model_copy(update={"messages": messages})


@pytest.mark.parametrize("family", FAMILIES)
def test_short_earlier_answers_are_not_found_in_names_of_roles(family: str, places: Path) -> None:
    """The letter of an option is in ASSISTANT or assistant, too."""
    made = writer(family, places)
    for answer in ("A", "a", "s", "USER", "No <b>"):
        found = learnt(made, made.write(turns("Which?", f" {answer}\n", "Sure?", answer, "So?", "Yes."), TAGS))
        assert [part.removesuffix(made._end).strip() for part in found] == [answer, answer, "Yes."]


@pytest.mark.parametrize("family", ["llava", "qwen3_vl", "mplug_owl2", "internvl"])
def test_tokens_of_the_model_in_a_text_are_refused(family: str, places: Path) -> None:
    made = writer(family, places)
    processor = opened(family, places / family).processor
    for token in (processor.image_token, processor.tokenizer.eos_token):
        for texts in ((f"What does {token} mean?", "Nothing."), ("What?", f"It is {token}")):
            with pytest.raises(DataError, match=r"sample turns: holds .*, a token of the model"):
                made.write(turns(*texts), TAGS)


def test_a_layout_of_the_preset_is_the_text_of_one_question(places: Path) -> None:
    """OneAlign is scored with its layout: so it is trained, unless the stage names a template."""
    made = writer("mplug_owl2", places)
    rated = level_sample("A", 4.0)
    assert made.write(rated, TAGS).text == (
        "USER: Rate the quality of this image.\n<|image|>\nASSISTANT: The quality of the image is good.</s>"
    )
    late = rated.model_copy(update={"messages": (said("user", "Rate it.", "@A"), rated.messages[1])})
    assert made.write(late, TAGS).text.startswith("USER: Rate it.\n<|image|>\nASSISTANT: The")
    several = made.write(turns("Is it sharp?", "No.", "Why?", "Blur."), TAGS).text
    assert several == "USER: <|image|>Is it sharp? ASSISTANT: No.</s>USER: Why? ASSISTANT: Blur.</s>"


def test_media_of_later_questions_can_go_to_the_front(places: Path) -> None:
    late = (*sample("turns").messages[:2], said("user", "@B", "And now?"), said("assistant", "Yes."))
    one = sample("pair").model_copy(update={"messages": late})
    text = writer("qwen3_vl", places, media_first=True).write(one, TAGS).text
    assert text.index("<|image_pad|>") < text.rindex("<|image_pad|>") < text.index("Is it sharp?")
    shown = (*late[:3], said("assistant", "@B", "That one."))
    with pytest.raises(DataError, match="shows B after the first answer"):
        writer("qwen3_vl", places, media_first=True).write(one.model_copy(update={"messages": shown}), TAGS)
