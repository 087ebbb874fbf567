"""Labels read back from texts: also from texts that nobody here wrote."""

from __future__ import annotations

from typing import Any

import pytest

from mllmqa.data.sample import Sample
from mllmqa.data.sample_labels import Distortion, Labels, Mos, Preference
from mllmqa.data.tasks.readers import CHECKS, as_written, options, same, unique
from mllmqa.data.tasks.truth import Finding
from tests.data.tasks.samples_told import level, media

BLUR = Distortion(media="A", category="blur", severity=3.0, order=1, box=(0, 0, 160, 120))
NOISE = Distortion(media="A", category="noise", severity=5.0, order=2)


def sample(keys: str = "A", kind: str = "image", **labels: Any) -> Sample:
    return Sample(id="s", media=media(keys, kind, reference=False), labels=Labels(**labels))


ONE = sample(distortions=(BLUR, NOISE), levels=(level(word="poor"),))
CLEAN = sample(distortions=(), levels=(level(word="excellent"),))
BLURRED = sample(distortions=(BLUR,), levels=(level(word="poor"),))
RATED = sample(mos=(Mos(media="A", value=3.14, low=1.0, high=5.0, direction="higher-better"),))
PAIR = sample(
    "AB",
    distortions=(Distortion(media="A", category="blur", severity=2.0),),
    preference=Preference(among=("A", "B"), better="B", strength="better"),
)
THREE = sample(
    "ABC",
    distortions=tuple(Distortion(media=key, category="blur", severity=s) for key, s in (("A", 3.0), ("B", 1.0))),
)
AGREES: list[tuple[str, Sample, str, str]] = [
    ("score", RATED, "How much, from 1 to 5?", "I give it 3.1."),
    ("level", ONE, "", "All in all, the quality of this picture is poor"),
    ("identify", ONE, "", "I see blur, then noise."),
    ("identify", CLEAN, "", "There is no distortion."),
    ("dominant", BLURRED, "", "Blur"),
    ("how", ONE, "How bad is the noise?", "The noise is catastrophic."),
    ("yes_no", ONE, "Is there pixelation?", "No, there is no pixelation."),
    ("assess", BLURRED, "", "Obvious blur at (0, 0, 500, 500) softens it, hence its quality is poor."),
    ("causal", CLEAN, "It shows no distortion.", "So the quality is excellent."),
    ("ground", ONE, "Where is blur?", "Blur is at (0, 0, 500, 500)."),
    ("mcq_category", BLURRED, "Which?\nA. noise\nB. blur\nAnswer.", "B"),
    ("mcq_severity", ONE, "How strong is the noise?\nA. slight\nB. catastrophic", "B."),
    ("mcq_level", ONE, "Level?\nA. poor\nB. good", "A"),
    ("mcq_yes_no", ONE, "Is there pixelation?\nA. yes\nB. no", "B"),
    ("rate", PAIR, "", "I prefer B."),
    ("compare", PAIR, "", "A has moderate blur; B shows no distortion; so B is better."),
    ("comparative", PAIR, "", "The second is better."),
    ("best_of", THREE, "", "C is best."),
    ("worst_of", THREE, "", "A"),
    ("rank", THREE, "", "From worst to best: A, B, C."),
    ("describe_several", THREE, "", "A has obvious blur; B has slight blur; C shows no distortion; so C is best."),
]
DISAGREES: list[tuple[str, Sample, str, str, str]] = [
    ("score", RATED, "How much, from 1 to 5?", "3.2", "score 3.2"),
    ("score", RATED, "How much, from 0 to 5?", "3.1", "scale (0.0, 5.0)"),
    ("score", RATED, "", "3.1 or 3.2", "score None"),
    ("level", ONE, "", "It is poor, or perhaps it is good.", "level 'good'"),
    ("identify", ONE, "", "Noise and blur.", "distortions ['noise', 'blur']"),
    ("identify", CLEAN, "", "It is lovely.", "clean False"),
    ("identify", BLURRED, "", "No blur.", "distortions []"),
    ("how", ONE, "How bad is it?", "The noise is catastrophic.", "strength [('noise', 5)]"),
    ("yes_no", ONE, "Is there noise?", "Yes, there is blur.", "presence ('blur', True)"),
    ("yes_no", ONE, "Noise or blur?", "Yes, there is blur.", "presence"),
    ("assess", BLURRED, "", "Obvious blur, hence its quality is poor.", "distortions"),
    ("causal", BLURRED, "Serious blur at (0, 0, 500, 500).", "So its quality is poor.", "distortions"),
    ("ground", ONE, "Where is blur?", "Blur is everywhere.", "boxes []"),
    ("ground", ONE, "Where is noise?", "Noise is everywhere.", "distortion ['noise']"),
    ("ground", ONE, "Where is blur?", "Noise is at (0, 0, 500, 500).", "boxes"),
    ("reason_five", BLURRED, "", "1. It is poor.", "not in five steps"),
    ("reason_three", BLURRED, "", "Blur.", "not in three steps"),
    ("mcq_category", BLURRED, "Which?\nA. noise\nB. blur", "A", "chosen ['noise']"),
    ("mcq_category", BLURRED, "Which?\nA. noise\nB. blur\nC. blur", "B", "wrong options that are there ['blur']"),
    ("mcq_level", ONE, "Level?\nA. poor\nB. good", "Neither", "level None"),
    ("mcq_yes_no", ONE, "Is there noise or blur?\nA. yes\nB. no", "A", "answer 'yes'"),
    ("rate", PAIR, "", "A is better, B is better.", "better None"),
    ("compare", PAIR, "", "A has moderate blur; so B is better.", "clean []"),
    ("comparative", PAIR, "", "It is worse.", "comparison 'worse'"),
    ("best_of", THREE, "", "B is best.", "best 'B'"),
    ("rank", THREE, "", "A, B, C.", "order ['A', 'B', 'C']"),
    ("describe_several", THREE, "", "A has obvious blur; C shows no distortion; so C is best.", "distortions"),
]


@pytest.mark.parametrize(("task", "given", "question", "answer"), AGREES)
def test_free_texts_are_understood(task: str, given: Sample, question: str, answer: str) -> None:
    assert list(CHECKS[task](given, question, answer)) == []


@pytest.mark.parametrize(("task", "given", "question", "answer", "found"), DISAGREES)
def test_what_is_wrong_is_named(task: str, given: Sample, question: str, answer: str, found: str) -> None:
    flaws = list(CHECKS[task](given, question, answer))
    assert any(flaw.found.startswith(found) for flaw in flaws), flaws


def test_which_has_names_the_distortion_that_was_asked_for() -> None:
    pairs = (("A", "blur"), ("B", "noise"), ("C", "compression"))
    three = sample("ABC", distortions=tuple(Distortion(media=k, category=c, severity=2.0) for k, c in pairs))
    check = CHECKS["which_has"]
    assert list(check(three, "Which of A, B and C shows noise?", "It is B that shows noise.")) == []
    assert list(check(three, "Which of A, B and C shows noise?", "B")) == []
    (flaw,) = check(three, "Which of A, B and C shows noise?", "It is B that shows blur.")
    assert flaw == ("", "distortion ['blur']", "['noise'], as labelled")
    (flaw,) = check(three, "Which of A, B and C shows noise?", "C")
    assert flaw.found == "medium 'C'"


def test_places_in_words_are_those_of_the_box() -> None:
    answer = "1. There is one region of blur.\n2. {}.\n3. In sum, the blur is obvious where it is worst."
    right = "In the upper left, of medium extent, obvious blur at (0, 0, 500, 500)"
    check = CHECKS["reason_three"]
    assert list(check(BLURRED, "Blur?", answer.format(right))) == []
    for wrong in (right.replace("upper left", "center"), right.replace("medium", "small"), right[:-22]):
        assert list(check(BLURRED, "Blur?", answer.format(wrong)))


def test_options_are_told_from_the_rest() -> None:
    assert options("Which?\nA. blur\nB. color quantization\nAnswer.", "B.") == ("color quantization", ["blur"])
    assert options("Which?\nA. blur\nB. noise", "C") == (None, ["blur", "noise"])


def test_findings_as_texts_can_say_them() -> None:
    found = [Finding("blur", 2.5, (0.0001, 0.2, 0.3, 0.9999)), Finding("noise", 1.2, None, (0.04, 9.96))]
    assert as_written(found) == [
        Finding("blur", 3, (0.0, 0.2, 0.3, 1.0)),
        Finding("noise", 1, None, (0.0, 10.0)),
    ]
    assert unique([*found, *found]) == ["blur", "noise"]


def test_same_is_silent_where_both_agree() -> None:
    assert list(same("level", "good", "good")) == []
    assert list(same("level", None, "good")) == [("", "level None", "'good', as labelled")]
