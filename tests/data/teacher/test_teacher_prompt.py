"""What labels say about a task, and what a teacher is told."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from mllmqa import resources
from mllmqa.data.sample import Sample
from mllmqa.data.tasks.makers import TASKS
from mllmqa.data.tasks.truth import Finding
from mllmqa.data.teacher.outcomes import REASONS
from mllmqa.data.teacher.prompt import Told, free_words, rules, task_file, tasks
from mllmqa.data.teacher.truth import ABOUT, truth_of
from mllmqa.errors import DataError, PromptError, UnknownNameError
from tests.data.teacher.made import asked, flaw, labels, medium, pair, single

BLUR = flaw("A", "blur", 2)


def _told(sample: Sample) -> Told:
    return Told(task_file(sample.task or ""), truth_of(sample), "Why?", "So.")


def test_tasks_are_tasks_and_have_their_truth() -> None:
    assert set(tasks()) == set(ABOUT)
    assert set(tasks()) <= set(TASKS)
    with pytest.raises(UnknownNameError, match=r"assess \| causal"):
        task_file("rank")


def test_truth_is_what_the_task_is_about() -> None:
    sample = single("assess", BLUR, flaw("A", "noise", 3.6, order=1))
    truth = truth_of(sample)
    assert truth.findings == {"A": (Finding("blur", 2), Finding("noise", 4))}
    assert (truth.level, truth.better, truth.reference, truth.most) == ("poor", None, "none", 2)
    assert truth_of(single("level", BLUR)).findings is None
    assert truth_of(single("identify", BLUR)).level is None
    both = truth_of(pair("compare", BLUR))
    assert (both.keys, both.findings, both.better) == (("A", "B"), {"A": (Finding("blur", 2),), "B": ()}, "B")


def test_other_keys_than_a_and_b_are_refused() -> None:
    sample = pair("rate")
    media = (medium("photo0.png", "left"), medium("photo1.png", "right"))
    with pytest.raises(DataError, match="media left, right; expected A, B"):
        truth_of(Sample.model_validate({"id": "x", "task": "rate", "media": media}))
    assert truth_of(sample).keys == ("A", "B")


def test_references_are_shown_hidden_or_not_there() -> None:
    media = (medium("r.png", "ref", "reference"), medium("a.png"))
    shown = asked(Sample(id="x", media=media, labels=labels(BLUR)), "assess")
    assert truth_of(shown).reference == "shown"
    assert _told(shown).name("ref", "reference") == "Reference image:"
    hidden = single("assess", BLUR)
    hidden = hidden.model_copy(update={"media": media})
    assert truth_of(hidden).reference == "hidden"
    assert "for your eyes only" in _told(hidden).name("ref", "reference")
    assert _told(hidden).name("A", "distorted") == "The image:"


def test_facts_are_grades_names_and_places() -> None:
    sample = single("assess", flaw("A", "contrast_weaken", 5, box=(0, 0, 10, 10)), flaw("A", "blur", 1))
    text = _told(sample).task
    assert "- Image: catastrophic insufficient contrast in the upper left of the picture; slight blur\n" in text
    assert "- The quality of the image is poor\n" in text
    assert "contrast_weaken" not in text
    clean = _told(single("assess"))
    assert "- Image: no distortion\n" in clean.task
    assert 'exactly the words "no distortion"' in clean.task


def test_the_example_names_no_distortion_that_is_not_there() -> None:
    assert '"moderate noise"' in _told(single("assess", flaw("A", "noise", 5))).system
    assert '"moderate …"' in _told(single("assess")).system


@pytest.mark.parametrize(
    ("sample", "words"),
    [
        (single("assess", BLUR), 100),
        (single("assess", BLUR, flaw("A", "noise", 1)), 120),
        (pair("compare", BLUR), 150),
        (pair("compare", BLUR, flaw("A", "noise", 1)), 170),
    ],
)
def test_word_caps_are_those_of_depictqa(sample: Sample, words: int) -> None:
    told = _told(sample)
    assert told.words == words
    assert f"At most {words} words" in told.task


@pytest.mark.parametrize("name", tasks())
def test_every_task_asks_for_its_parts_and_ends_as_it_is_read_back(name: str) -> None:
    file = task_file(name)
    told = _told(pair(name, BLUR) if "better" in ABOUT[name] else single(name, BLUR))
    keys = re.findall(r'"(\w+)"', told.task[told.task.rindex("Its keys are") :].partition(";")[0])
    assert tuple(keys) == file.parts
    if len(keys) > 1:
        assert all(f'"{key}": ' in told.task for key in keys)
    if "level" in ABOUT[name]:
        assert 'with exactly "the quality of the image is poor."' in told.task
    if "better" in ABOUT[name]:
        assert 'exactly "image B is better."' in told.task
    assert told.refs == (rules().ref, file.ref)


def test_prompts_are_ours_and_stand_in_their_files_only() -> None:
    root = Path(__file__).resolve().parents[3]
    folder = resources.folder("prompts") / "teach"
    found: list[Any] = [yaml.safe_load(path.read_text(encoding="utf-8")) for path in folder.glob("*.yaml")]
    blocks = [value for one in found for value in one.values() if isinstance(value, str)]
    pieces = {piece.strip() for block in blocks for piece in re.split(r"\{[{%].*?[%}]\}|\n", block)}
    long = {piece for piece in pieces if len(piece) >= 25}
    assert len(long) > 20
    code = [path.read_text(encoding="utf-8") for path in (root / "mllmqa").rglob("*.py")]
    assert not [piece for piece in long if any(piece in text for text in code)]


def test_malformed_files_name_file_and_field(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = (resources.folder("prompts") / "teach" / "assess.yaml").read_text(encoding="utf-8")
    (tmp_path / "teach").mkdir()
    broken = tmp_path / "teach" / "broken.yaml"
    monkeypatch.setattr("mllmqa.resources.folder", lambda name: tmp_path)
    for old, new, message in (
        ("grades: must", "grades: perhaps", "field grades"),
        ("words: {one: 100", "words: {one: 0", "field words.one"),
        ("parts:", "pieces:", "field parts"),
        ("", "", "id is 'teach/assess'"),
    ):
        broken.write_text(text.replace(old, new) if old else text, encoding="utf-8")
        task_file.cache_clear()
        with pytest.raises(PromptError, match=message) as caught:
            task_file("broken")
        assert "broken.yaml" in str(caught.value)
    task_file.cache_clear()


def test_the_words_of_free_texts_load() -> None:
    assert free_words().ref == "teach/words@1"
    assert "no" in free_words().deny


def test_reasons_stand_in_the_documentation() -> None:
    text = (Path(__file__).resolve().parents[3] / "docs" / "teacher.md").read_text(encoding="utf-8")
    for code in REASONS:
        assert f"| `{code}` |" in text
