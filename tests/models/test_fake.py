"""The synthetic observer: what it is told is what it shows."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from mllmqa.errors import ApiRefusedError, UsageError
from mllmqa.evaluation.prompting import answers
from mllmqa.evaluation.prompting.answers import Answer, Failure, Shape
from mllmqa.levels import distribution
from mllmqa.loading import load
from mllmqa.models.base import LevelLogits, Request, Turn
from mllmqa.models.fake import FakeBackend, Observer, digest, is_fake
from mllmqa.prompts import Prompt, level_scale, word_scale
from tests.conftest import photo_pixels


def picture(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (16, 16, 3), dtype=np.uint8)


A, B = picture(1), picture(2)


def observer(name: str, a: float = 0.6, b: float = 0.5) -> FakeBackend:
    return FakeBackend(name, {digest(A): a, digest(B): b})


def asked(name: str, images: tuple[np.ndarray, ...], question: str = "", repeat: int = 0) -> Request:
    return Request(Prompt(f"nine/{name}@1", str(repeat), question, ""), images, repeat=repeat)


def read(backend: FakeBackend, name: str, images: tuple[np.ndarray, ...], shape: Shape, times: int) -> list[Any]:
    said = backend.outcomes([asked(name, images, repeat=r) for r in range(times)])
    return [answers.read(one.text, shape, len(images), truncated=one.truncated) for one in said]


@pytest.mark.parametrize(("bias", "expected"), [(0.0, 0.5 * math.erfc(-0.4 / 2)), (0.3, 0.5 * math.erfc(-0.7 / 2))])
def test_choices_follow_thurstones_law(bias: float, expected: float) -> None:
    backend = observer(f"fake:noise=1,bias={bias}")  # latents 0.4 and 0: Φ((0.4 + bias) / √2)
    found = read(backend, "double-nr", (A, B), "choice", 2000)
    share = float(np.mean([one.values[0] for one in found]))
    assert abs(share - expected) < 4 * math.sqrt(expected * (1 - expected) / 2000)


def test_scores_lie_around_the_quality() -> None:
    found = read(observer("fake:noise=0.4"), "single-nr", (A,), "score", 1000)
    scores = np.array([one.values[0] for one in found])
    assert scores.mean() == pytest.approx(60, abs=1.5)
    assert scores.std() == pytest.approx(10, abs=1)  # 0.4 of a span of 4


def test_rounding_and_ties() -> None:
    found = read(observer("fake:noise=0.8,round=5"), "single-nr", (A,), "score", 50)
    assert all(one.values[0] % 5 == 0 for one in found)
    same = read(observer("fake:noise=0,tie=1"), "double-nr", (A, B), "choice", 3)
    assert [one.values for one in same] == [(answers.SAME,)] * 3


def test_rankings_and_letters_and_references() -> None:
    backend = observer("fake:noise=0")
    assert read(backend, "multiple-nr", (B, A), "ranking", 1) == [Answer((0.0, 1.0))]
    assert read(backend, "two-afc", (B, A), "letter", 1) == [Answer((answers.SECOND,))]
    assert read(backend, "double-fr", (picture(9), A, B), "choice", 1) == [Answer((answers.FIRST,))]
    example = asked("double-nr", (A, B, B, A), "these are an example: ...")
    assert backend.generate([example]) == ["Score: 0"]
    thinking = asked("single-nr", (A,), 'begins with "Description:"')
    assert backend.generate([thinking])[0].startswith("Description: ")


@pytest.mark.parametrize(
    ("key", "kind"),
    [
        ("refuse", "refusal"),
        ("garble", "format"),
        ("beyond", "range"),
        ("cut", "truncated"),
        ("foreign", "language"),
    ],
)
def test_failures_come_as_often_as_told_and_read_as_what_they_are(key: str, kind: str) -> None:
    found = read(observer(f"fake:{key}=0.2"), "single-nr", (A,), "score", 800)
    kinds = [one.kind for one in found if isinstance(one, Failure)]
    assert set(kinds) == {kind}
    assert abs(len(kinds) / 800 - 0.2) < 4 * math.sqrt(0.16 / 800)


def test_the_same_question_gets_the_same_answer_and_a_repeat_another() -> None:
    first, second = observer("fake:noise=1"), observer("fake:noise=1")
    request = asked("single-nr", (A,))
    assert first.generate([request, request]) == second.generate([request, request])
    assert len(set(first.generate([asked("single-nr", (A,), repeat=r) for r in range(20)]))) > 5
    assert FakeBackend("fake:noise=1,seed=1").generate([request]) != FakeBackend("fake:noise=1,seed=2").generate(
        [request]
    )


def test_level_words_and_comparison_words() -> None:
    backend = observer("fake:noise=0", a=0.75, b=0.25)
    (one, refused) = (
        backend.level_logits([asked("x", (A,))], level_scale().words)[0],
        observer("fake:refuse=1").level_logits([asked("x", (A,))], level_scale().words)[0],
    )
    assert isinstance(one, LevelLogits)
    assert distribution(one.logits, one.log_z, level_scale()).value == pytest.approx(4, abs=0.05)
    assert isinstance(refused, ApiRefusedError)
    words = word_scale("comparison")
    (pair,) = backend.level_logits([asked("x", (B, A))], words.words)
    assert isinstance(pair, LevelLogits)
    weights = np.exp(pair.logits)
    assert float(weights @ words.values / weights.sum()) > 0.9  # the second is better by two deviations


def test_it_scores_as_a_model_of_that_name() -> None:
    assert is_fake("fake")
    assert is_fake("fake:noise=1")
    assert not is_fake("faker")
    scorer = load("fake:noise=0")
    score = scorer.score(photo_pixels(40, 40))
    assert 1 <= score.value <= 5
    assert score.provenance.model == "fake:noise=0"
    assert scorer.score(photo_pixels(40, 40)).value == score.value


@pytest.mark.parametrize(
    "name", ["fake:noise", "fake:noise=x", "fake:taste=1", "fake:refuse=0.6,garble=0.6", "fake:round=0"]
)
def test_malformed_names_are_refused(name: str) -> None:
    with pytest.raises(UsageError):
        Observer.parse(name)


def test_it_talks_in_one_piece_and_can_be_stopped() -> None:
    heard: list[str] = []
    turn = Turn("user", (photo_pixels(16, 16), "How is it?"))
    said = FakeBackend("fake").talk([turn], on_text=heard.append)
    assert heard == [said.text]
    assert (said.text, said.finished) == ("The quality of the image is fair.", "stop")
    assert FakeBackend("fake").talk([turn], cancelled=lambda: True).finished == "cancelled"
    assert FakeBackend("fake:cut=1").talk([turn]).finished == "length"
