"""Verdicts: a sample's own answer is right for every task; wrong, unread and contradictory ones are told apart."""

from __future__ import annotations

from typing import Any

import pytest

from mllmqa.data.sample import Medium, Sample
from mllmqa.data.sample_labels import Distortion, Labels, Level, Mos, Preference
from mllmqa.data.tasks.compose import possible, told
from mllmqa.errors import DataError
from mllmqa.evaluation.describe.verdicts import GRADED, Verdict, says_yes, verdict
from tests.data.samples_made import WORDS


def distortion(category: str, severity: float, media: str = "A", **more: Any) -> Distortion:
    return Distortion(media=media, category=category, severity=severity, **more)


def one(*distortions: Distortion, **labels: Any) -> Sample:
    level = Level(media="A", word="fair", scale=WORDS)
    score = Mos(media="A", value=3.2, low=1.0, high=5.0, direction="higher-better")
    found = Labels(distortions=distortions, levels=(level,), mos=(score,), **labels)
    return Sample(
        id="one", media=(Medium(key="A", kind="image", path="a.png", width=100, height=50),), labels=found
    )


def pair() -> Sample:
    media = tuple(Medium(key=key, kind="image", path=f"{key}.png") for key in "AB")
    found = (distortion("blur", 4, "A"), distortion("noise", 2, "B"))
    labels = Labels(distortions=found, preference=Preference(among=("A", "B"), better="B", strength="better"))
    return Sample(id="pair", media=media, labels=labels)


def several() -> Sample:
    media = tuple(Medium(key=key, kind="image", path=f"{key}.png") for key in "ABC")
    labels = Labels(distortions=tuple(distortion("blur", s, key) for s, key in ((3, "A"), (1, "B"), (5, "C"))))
    return Sample(id="several", media=media, labels=labels)


SAMPLES = [
    one(distortion("blur", 3)),
    one(distortion("blur", 3), distortion("noise", 1)),
    one(),
    one(distortion("blur", 2, box=(10, 10, 60, 40))),
    pair(),
    several(),
]


def test_the_samples_own_answer_is_right_in_every_task() -> None:
    seen = set()
    for sample in SAMPLES:
        for task in possible(sample, GRADED):
            for seed in range(8):
                made = told(sample, task, seed)
                question, truth = made.messages[0].text, made.messages[1].text
                found = verdict(task, made, question, truth, truth)
                assert found.outcome == "right", (task, truth, found)
                seen.add(task)
                assert verdict(task, made, question, truth, "I do not know.").outcome == "unparsed", task
    assert set(GRADED) - seen == {"streaming_level", "which_has"}  # a clip, and a category of one picture alone


def graded(sample: Sample, task: str, answer: str, question: str = "") -> Verdict:
    return verdict(task, sample, question, "", answer)


def test_sets_of_categories() -> None:
    sample = SAMPLES[1]
    found = graded(sample, "identify", "It shows blur and compression.")
    assert found.outcome == "wrong"
    assert found.figures == {"exact": 0.0, "jaccard": pytest.approx(1 / 3), "hits_over_max": 0.5}
    assert found.sets == (frozenset({"blur", "noise"}), frozenset({"blur", "compression"}))
    assert graded(sample, "identify", "Noise and blur").outcome == "right"
    assert graded(sample, "identify", "There is no distortion.").said == "no distortion"


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ("Yes, there is blur.", True),
        ("yes", True),
        ("No.", False),
        ("No, there is no blur in this image.", False),
        ("There is blur.", True),
        ("There is no blur.", False),
        ("There is no distortion.", False),
        ("No, there is noise.", False),
        ("Yes, there is no blur.", None),
        ("No, there is blur.", None),
        ("Yes and no.", None),
        ("Yes, there is no distortion.", None),
        ("It is hardly blurred.", None),
        ("Maybe.", None),
    ],
)
def test_yes_and_no(answer: str, said: bool | None) -> None:
    assert says_yes(answer, "blur") is said


def test_grades_are_measured_in_steps() -> None:
    question = "How strong is the blur of this image?"
    found = graded(SAMPLES[0], "how", "The blur is catastrophic.", question)
    assert found.outcome == "wrong"
    assert found.figures == {"error_steps": 2.0, "bias_steps": 2.0, "within_one": 0.0}
    assert graded(SAMPLES[0], "how", "slight", question).figures["bias_steps"] == -2
    assert graded(SAMPLES[0], "how", "Obvious.", question).outcome == "right"
    for unread in ("The noise is obvious.", "slight or obvious", "very much"):
        assert graded(SAMPLES[0], "how", unread, question).outcome == "unparsed"


def test_levels_too_good_have_a_positive_bias() -> None:
    assert graded(SAMPLES[0], "level", "The quality of the image is excellent.").figures["bias_steps"] == 2
    assert graded(SAMPLES[0], "level", "poor").figures["bias_steps"] == -1


def test_scores_off_the_scale_are_unparsed() -> None:
    assert graded(SAMPLES[0], "score", "I give 2.2 out of 5.").figures["error"] == pytest.approx(1.0)
    assert graded(SAMPLES[0], "score", "80").outcome == "unparsed"


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [("B", "right"), ("(B)", "right"), ("Image B.", "right"), ("I prefer A.", "wrong"), ("A", "wrong"),
     ("A or B", "unparsed"), ("Both are fine.", "unparsed"), ("A is better than B is better.", "unparsed")],
)  # fmt: skip
def test_the_better_of_two(answer: str, outcome: str) -> None:
    assert graded(pair(), "rate", answer).outcome == outcome


def test_comparisons_are_right_by_their_side_and_measured_by_their_reasons() -> None:
    whole = graded(pair(), "compare", "A has serious blur; B has moderate noise; so B is better.")
    assert (whole.outcome, whole.figures) == (
        "right",
        {"both_sides_exact": 1.0, "jaccard": 1.0, "error_steps": 0.0},
    )
    half = graded(pair(), "compare", "A has slight blur; B has no distortion; so B is better.")
    assert (half.outcome, half.figures) == ("right", {"both_sides_exact": 0.0, "jaccard": 0.5, "error_steps": 3.0})
    assert graded(pair(), "compare", "A has serious blur; B has moderate noise.").outcome == "unparsed"


def test_options_of_the_question() -> None:
    question = "How strong is the blur?\nA. slight\nB. obvious\nC. serious\nAnswer with the letter."
    for answer, outcome in (("B", "right"), ("obvious", "right"), ("A", "wrong"), ("A or B", "unparsed")):
        assert verdict("mcq_severity", SAMPLES[0], question, "B", answer).outcome == outcome


def test_boxes_are_met_by_overlap() -> None:
    question = "Where is the blur in this image?"
    found = graded(SAMPLES[3], "ground", "The blur is at (100, 200, 600, 450).", question)  # 250 of 600 rows
    assert (found.outcome, found.figures["mean_iou"]) == ("wrong", pytest.approx(250 / 600))
    assert graded(SAMPLES[3], "ground", "at (100, 200, 600, 700)", question).outcome == "right"
    assert graded(SAMPLES[3], "ground", "at (0, 0, 10, 10)", question).outcome == "wrong"
    assert graded(SAMPLES[3], "ground", "at (10, 10, 10, 10)", question).outcome == "unparsed"


def test_descriptions_are_right_by_their_level() -> None:
    found = graded(SAMPLES[1], "assess", "There is slight blur; hence the quality of the image is fair.")
    assert (found.outcome, found.figures["jaccard"]) == ("right", 0.5)


def test_unknown_tasks_and_missing_labels_are_errors() -> None:
    with pytest.raises(DataError, match="task 'talk' cannot be graded"):
        graded(SAMPLES[0], "talk", "?")
    with pytest.raises(DataError, match="2 distortions in a question about one"):
        graded(SAMPLES[0], "yes_no", "Yes", "Is there blur or noise?")
    with pytest.raises(DataError, match="0 labels of noise"):
        graded(SAMPLES[0], "how", "slight", "How strong is the noise?")
