"""Texts of a file of samples are read back; what they say differently is found with its line."""

from __future__ import annotations

from pathlib import Path

import pytest

from mllmqa.data.sample import DerivedFrom, Message, Part, Sample
from mllmqa.data.sample_labels import Labels, Level
from mllmqa.data.tasks.compose import told
from mllmqa.data.text_check import TextCheck, iter_text_problems
from tests.data.samples_made import WORDS, medium, plain

LEVEL = Labels(levels=(Level(media="A", word="good", scale=WORDS),))


def asked(name: str) -> Sample:
    return told(Sample(id=name, media=(medium(),), labels=LEVEL), "level", seed=0)


def said(sample: Sample, text: str) -> Sample:
    answer = Message(role="assistant", content=(Part(text=text),))
    return sample.model_copy(update={"messages": (sample.messages[0], answer)})


def problems(tmp_path: Path, *samples: Sample, more: str = "") -> tuple[list[str], TextCheck]:
    path = tmp_path / "s.jsonl"
    path.write_text("".join(f"{one.to_json()}\n" for one in samples) + more, encoding="utf-8")
    counts = TextCheck()
    return [str(problem) for problem in iter_text_problems(path, counts)], counts


def test_what_was_built_is_right(tmp_path: Path) -> None:
    found, counts = problems(tmp_path, asked("a"), asked("b"))
    assert (found, counts) == ([], TextCheck(n=2, n_read_back=2))


def test_a_wrong_word_is_found_with_its_line(tmp_path: Path) -> None:
    wrong = said(asked("b"), "The quality of the image is bad.")
    found, _ = problems(tmp_path, asked("a"), wrong)
    assert len(found) == 2 and all("line 2" in one for one in found)
    assert "level 'bad'; expected 'good', as labelled" in found[0]


def test_another_wording_is_not_what_the_seed_makes(tmp_path: Path) -> None:
    found, _ = problems(tmp_path, said(asked("a"), "I think that the quality is good."))
    assert len(found) == 1 and "build the set again" in found[0]


@pytest.mark.parametrize("task", ["level+identify", "riddle"])
def test_texts_that_cannot_be_made_are_named(tmp_path: Path, task: str) -> None:
    source = DerivedFrom(task=task, seed=0)
    found, _ = problems(tmp_path, asked("a").model_copy(update={"derived_from": source, "task": task}))
    assert len(found) == 1


def test_others_are_counted(tmp_path: Path) -> None:
    source = DerivedFrom(task="level", seed=0, teacher="api:large")
    rewritten = said(asked("r"), "It is a good picture.").model_copy(update={"derived_from": source})
    found, counts = problems(tmp_path, rewritten, plain(), more="{}\n")
    assert (found, counts) == ([], TextCheck(n=2, n_rewritten=1, n_plain=1))
