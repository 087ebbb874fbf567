"""Conversations as text: what is learnt is the answers and the ends of the turns, the level word is what scoring reads."""

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
    with pytest.raises(DataError, match="its level words are excellent, good.*expected high, good"):
        made.write(level_sample("A", 4.0), TAGS)
    found = opened("llava", places / "llava")
    apart = Writer(found.processor, found.preset.model_copy(update={"words_apart": True}), None, False, level_scale().words)
    with pytest.raises(LevelTokenError, match="tokens by themselves"):
        apart.write(level_sample("A", 4.0), TAGS)


def test_only_level_tasks_with_one_level_tell_one() -> None:
    assert asked_level(level_sample("A", 4.0)) is not None
    assert asked_level(level_sample("A", 4.0, task="assess")) is None
    assert asked_level(sample("pair")) is None
