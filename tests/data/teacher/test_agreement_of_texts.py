"""The judge of free texts against built answers: they pass with their labels, and with no others."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from mllmqa.data.sample import Sample
from mllmqa.data.sample_labels import Distortion
from mllmqa.data.tasks.compose import told
from mllmqa.data.tasks.wording import vocabulary
from mllmqa.data.teacher.contradictions import contradictions
from mllmqa.data.teacher.prompt import task_file
from mllmqa.data.teacher.truth import ABOUT, truth_of
from tests.data.teacher.made import WORDS, flaw, labels, medium

CATEGORIES = vocabulary().possible("image")
PART = {"assess": "conclusion", "causal": "conclusion", "compare": "conclusion"}
ROUNDS = 60


def _drawn(task: str, chance: np.random.Generator, number: int) -> Sample:
    """A sample with random labels, and the answer that is built of them."""
    keys = "AB" if "better" in ABOUT[task] else "A"
    found: list[Distortion] = []
    for key in keys:
        some = chance.choice(CATEGORIES, size=int(chance.integers(3)), replace=False)
        found += [flaw(key, str(name), float(chance.integers(1, 6)), order=k) for k, name in enumerate(some, 1)]
    level = str(chance.choice(WORDS)) if len(keys) == 1 else None
    better = str(chance.choice(["A", "B"])) if len(keys) == 2 else None
    media = tuple(medium(f"{key}.png", key) for key in keys)
    return told(
        Sample(id=f"{task}{number}", media=media, labels=labels(*found, level=level, better=better)), task, 0
    )


def _faults(sample: Sample, answer: str) -> list[str]:
    parts = {PART.get(sample.task or "", "answer"): answer}
    return [fault.code for fault in contradictions(parts, truth_of(sample), task_file(sample.task or ""))]


def _sentences(sample: Sample) -> str:
    """The built answer; where it is a bare letter, as a sentence."""
    text = sample.messages[-1].text
    return f"{text} is better." if text in ("A", "B") else text


def _wrong(sample: Sample, chance: np.random.Generator) -> Iterator[Sample]:
    """The same sample with other labels, one kind at a time."""
    about, own = ABOUT[sample.task or ""], sample.labels
    found = own.distortions or ()
    if "level" in about:
        word = str(chance.choice([word for word in WORDS if word != own.levels[0].word]))
        yield _relabelled(sample, levels=(own.levels[0].model_copy(update={"word": word}),))
    if "better" in about and own.preference:
        other = "B" if own.preference.better == "A" else "A"
        yield _relabelled(sample, preference=own.preference.model_copy(update={"better": other}))
    if "findings" not in about or sample.task == "causal":
        return
    for k, one in enumerate(found):
        rest = (*found[:k], *found[k + 1 :])
        yield _relabelled(sample, distortions=rest)
        names = [name for name in CATEGORIES if name not in {x.category for x in found}]
        yield _relabelled(
            sample, distortions=(*rest, one.model_copy(update={"category": str(chance.choice(names))}))
        )
        if sample.task != "identify":
            grades = [g for g in (1.0, 2.0, 3.0, 4.0, 5.0) if g != one.severity]
            yield _relabelled(
                sample, distortions=(*rest, one.model_copy(update={"severity": chance.choice(grades)}))
            )
    free = [name for name in CATEGORIES if name not in {x.category for x in found}]
    yield _relabelled(sample, distortions=(*found, flaw("A", str(chance.choice(free)), 3)))


def _relabelled(sample: Sample, **changed: object) -> Sample:
    return sample.model_copy(update={"labels": sample.labels.model_copy(update=changed)})


@pytest.mark.parametrize("task", sorted(ABOUT))
def test_built_answers_pass_with_their_labels_and_with_no_others(task: str) -> None:
    chance = np.random.default_rng(7)
    contradicted = 0
    for number in range(ROUNDS):
        sample = _drawn(task, chance, number)
        answer = _sentences(sample)
        assert _faults(sample, answer) == [], (answer, sample.labels)
        for other in _wrong(sample, chance):
            assert _faults(other, answer), (answer, other.labels)
            contradicted += 1
    assert contradicted >= ROUNDS


def test_swapped_sides_are_found() -> None:
    """What is said of A is never taken for B."""
    chance = np.random.default_rng(8)
    swap = {"A": "B", "B": "A"}
    for number in range(ROUNDS):
        sample = _drawn("compare", chance, number)
        own = sample.labels.distortions or ()
        swapped = tuple(one.model_copy(update={"media": swap[one.media]}) for one in own)
        same = {k: sorted((x.category, x.severity) for x in own if x.media == k) for k in "AB"}
        if same["A"] != same["B"]:
            assert _faults(_relabelled(sample, distortions=swapped), _sentences(sample))
