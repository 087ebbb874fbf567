"""Messages from labels, several questions in one sample, and the same messages made again."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mllmqa.data.sample import Message, Part, Sample, parse_sample
from mllmqa.data.sample_labels import Labels
from mllmqa.data.tasks.agreement import disagreements
from mllmqa.data.tasks.compose import AND, media_parts, rebuilt, told
from mllmqa.data.tasks.makers import TASKS
from mllmqa.errors import DataError, UnknownNameError
from tests.data.tasks.samples_told import alone, answered, level, media, other_level, pair, samples_for

seeds = st.integers(0, 2**31)
LEVELLED = Sample(
    id="s", media=media("A", "image", reference=False), labels=Labels(levels=(level(),), distortions=())
)
ALWAYS = ("score", "level", "identify", "assess", "causal", "yes_no", "reason_five", "mcq_level", "mcq_yes_no")
"""Tasks for which the labels of any sample of one medium are enough."""


@pytest.mark.parametrize("task", TASKS)
@given(st.data(), seeds)
@settings(max_examples=10)
def test_messages_can_be_made_again_from_what_the_sample_records(task: str, data: st.DataObject, seed: int) -> None:
    made = told(data.draw(samples_for(task)), task, seed)
    assert rebuilt(made) == made
    assert rebuilt(parse_sample(made.to_json())) == made


@given(alone("level"), st.lists(st.sampled_from(ALWAYS), min_size=1, max_size=5), seeds)
def test_several_questions_are_asked_one_after_the_other(sample: Sample, tasks: list[str], seed: int) -> None:
    made = told(sample, AND.join(tasks), seed)
    assert [message.role for message in made.messages] == ["user", "assistant"] * len(tasks)
    shown = [[part.media for part in message.content if part.media] for message in made.messages]
    assert shown[0] == [medium.key for medium in sample.media]
    assert not any(shown[1:])
    assert disagreements(made) == []
    assert rebuilt(made) == made
    assert made.task == AND.join(tasks)


def test_a_flaw_names_the_message_that_is_wrong() -> None:
    made = told(LEVELLED, "identify+level", 0)
    (flaw,) = disagreements(other_level(made))
    assert flaw.field == "messages.3"
    system = Message(role="system", content=(Part(text="You judge pictures."),))
    (flaw,) = disagreements(other_level(made.model_copy(update={"messages": (system, *made.messages)})))
    assert flaw.field == "messages.4"
    assert "good" in flaw.found and "as labelled" in flaw.expected


def test_a_repeated_question_is_drawn_anew() -> None:
    made = told(LEVELLED, AND.join(["level"] * 8), 0)
    assert len({message.text for message in made.messages if message.role == "user"}) > 1


@given(pair(), seeds)
@settings(max_examples=20)
def test_several_media_have_names_and_the_reference_is_named_as_such(sample: Sample, seed: int) -> None:
    parts = media_parts(sample)
    assert [part.media for part in parts[1::2]] == [medium.key for medium in sample.media]
    for name, medium in zip(parts[::2], sample.media, strict=True):
        assert ("eference" in (name.text or "")) is (medium.role == "reference")
        assert medium.role == "reference" or medium.key in (name.text or "")
    made = told(sample, "rate", seed)
    assert made.messages[0].content[:-1] == parts
    assert made.derived_from is not None
    assert any(ref.startswith("build/layout@") for ref in made.derived_from.prompts)


def test_seed_id_and_task_decide_the_words() -> None:
    words = {told(LEVELLED.model_copy(update={"id": f"s{k}"}), "level", 0).messages[0].text for k in range(20)}
    assert len(words) > 1
    assert len({told(LEVELLED, "level", seed).messages[0].text for seed in range(20)}) > 1


def test_earlier_messages_are_replaced() -> None:
    once = told(LEVELLED, "level", 0)
    assert told(answered(once, "Perhaps."), "level", 0) == once


@pytest.mark.parametrize("task", ["", "nonsense", "level+", "level+nonsense", "+level"])
def test_unknown_tasks_are_named(task: str) -> None:
    with pytest.raises(UnknownNameError, match=r"no task '(nonsense)?'; expected score \| level"):
        told(LEVELLED, task, 0)


def test_what_cannot_be_made_again_is_refused() -> None:
    with pytest.raises(DataError, match="sample s: does not say how its messages were made"):
        rebuilt(LEVELLED)
    made = told(LEVELLED, "level", 0)
    assert made.derived_from is not None
    older = made.derived_from.model_copy(update={"prompts": ("build/level@0",)})
    with pytest.raises(DataError, match="made with build/level@0; expected build/level@1; build the set again"):
        rebuilt(made.model_copy(update={"derived_from": older}))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"task": None}, "task '' cannot be checked; expected one of score, level"),
        ({"task": "poetry"}, "task 'poetry' cannot be checked"),
        ({"task": "level+level"}, "2 messages for level[+]level; expected 4"),
        ({"messages": ()}, "0 messages for level; expected 2"),
    ],
)
def test_what_cannot_be_checked_is_refused(change: dict[str, object], message: str) -> None:
    with pytest.raises(DataError, match=f"sample s: {message}"):
        disagreements(told(LEVELLED, "level", 0).model_copy(update=change))
