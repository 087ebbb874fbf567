"""Texts made of labels agree with them; labels changed or texts tampered with are reported, for every task."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mllmqa.data.sample import Sample
from mllmqa.data.tasks.agreement import disagreements
from mllmqa.data.tasks.compose import told
from mllmqa.data.tasks.makers import TASKS
from mllmqa.data.tasks.readers import CHECKS
from mllmqa.errors import DataError
from tests.data.tasks.samples_told import CHANGES, SAID, answered, samples_for, tampered

each_task = pytest.mark.parametrize("task", TASKS)
seeds = st.integers(0, 2**31)


def test_every_task_is_read_back_and_tested() -> None:
    assert set(TASKS) == set(CHECKS) == set(CHANGES) == set(SAID)


@each_task
@given(st.data(), seeds)
@settings(max_examples=40)
def test_what_is_told_agrees_with_the_labels(task: str, data: st.DataObject, seed: int) -> None:
    assert disagreements(told(data.draw(samples_for(task)), task, seed)) == []


@pytest.mark.parametrize(("task", "change"), [(task, change) for task in TASKS for change in CHANGES[task]])
@given(st.data(), seeds)
@settings(max_examples=15)
def test_another_label_is_reported(task: str, change: object, data: st.DataObject, seed: int) -> None:
    assert callable(change)
    sample = data.draw(samples_for(task))
    made = told(sample, task, seed)
    if (
        sample.labels.distortions == ()
        and change.__name__ != "no_stalls"
        and "distortions" in _needs(change.__name__)
    ):
        return  # nothing to change
    changed = change(made)
    if changed == made:
        return
    assert _reported(changed), (made.messages[-1].text, changed.labels)


@each_task
@given(st.data(), seeds)
@settings(max_examples=20)
def test_another_word_in_the_answer_is_reported(task: str, data: st.DataObject, seed: int) -> None:
    for changed in tampered(told(data.draw(samples_for(task)), task, seed), task):
        assert disagreements(changed), changed.messages[-1].text


@each_task
@given(st.data())
@settings(max_examples=5)
def test_an_answer_that_says_nothing_is_reported(task: str, data: st.DataObject) -> None:
    assert disagreements(answered(told(data.draw(samples_for(task)), task, 0), "I cannot tell."))


def _needs(name: str) -> str:
    return "distortions" if name in ("other_category", "other_severity", "clean", "other_box") else "others"


def _reported(sample: Sample) -> bool:
    """Tell whether it is reported; labels that the task needs and that are gone are, too."""
    try:
        return disagreements(sample) != []
    except DataError:
        return True
