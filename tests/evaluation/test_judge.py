"""A judge over loopback: scores are read or counted as unread, no round is paid for twice."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mllmqa.errors import UnknownNameError, UsageError
from mllmqa.evaluation.judge import ANSWER, DESCRIPTION, Case, Judged, judge, read_score, summed
from mllmqa.models.api import ApiOptions
from mllmqa.models.api.backend import ApiBackend
from mllmqa.models.api.transport import Pacing
from mllmqa.models.resolve import resolve
from tests.loopback import Loopback, Reply, chat, error_body, without_endpoint

CASES = [
    Case("a", "What is wrong?", "There is blur.", "It is blurred."),
    Case("b", "What is wrong?", "There is noise.", "It is dark."),
]


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Loopback]:
    without_endpoint(monkeypatch, tmp_path)
    with Loopback() as loopback:
        yield loopback


def connect(server: Loopback, **options: Any) -> ApiBackend:
    made = ApiOptions(**{"base_url": server.url, "concurrency": 1, **options})
    pacing = Pacing(sleep=lambda s: None, now_s=lambda: 1_800_000_000.0, jitter=lambda: 0.0)
    backend = ApiBackend.connect(resolve("api:eye"), made, pacing)
    server.forget()
    return backend


def test_rounds_are_averaged_and_what_is_not_read_is_counted(server: Loopback) -> None:
    backend = connect(server)
    texts = ["Score: 2", "Score: 1", "Score: 2", "It is 1 or 2.", "score: 0", "no idea"]
    server.script.extend(Reply(200, chat(text)) for text in texts)
    first, second = judge(backend, CASES, ANSWER, rounds=3)
    assert (first.scores, second.scores) == ((2, 1, 2), (None, 0, None))
    assert (first.mean, second.mean) == (pytest.approx(5 / 3), 0.0)
    (figures,) = summed([first, second])
    assert (figures.n, figures.n_unscored, figures.n_rounds_unread) == (2, 0, 2)
    assert figures.mean == pytest.approx(5 / 6)
    assert figures.between_rounds == pytest.approx((1 / 3) ** 0.5)  # of 2, 1, 2
    backend.close()


def test_what_the_judge_is_told_and_that_no_round_is_paid_for_twice(server: Loopback, tmp_path: Path) -> None:
    backend = connect(server, cache=tmp_path / "answers")
    server.script.extend(Reply(200, chat("Score: 1")) for _ in range(12))
    made = judge(backend, CASES, DESCRIPTION, rounds=2)
    assert [one.criterion for one in made] == [name for name in DESCRIPTION for _ in CASES]
    texts = [received.texts[0] for received in server.received]
    assert len(set(texts)) == len(texts) == 12
    assert all(received.pictures == [] for received in server.received)
    assert "There is blur." in texts[0]
    assert texts[0].index("There is blur.") < texts[0].index("It is blurred.")
    assert texts[1].index("There is blur.") > texts[1].index("It is blurred.")  # the other order
    backend.close()
    again = connect(server, cache=tmp_path / "answers")
    assert judge(again, CASES, DESCRIPTION, rounds=2) == made
    assert server.received == []
    again.close()


def test_failures_are_records(server: Loopback) -> None:
    backend = connect(server)
    server.script.extend([Reply(400, error_body("no")), Reply(200, chat("Score: 2"))])
    (one,) = judge(backend, CASES[:1], ANSWER, rounds=2, batch_size=2)
    assert (one.scores[1], one.scores[0]) == (2, None)
    assert one.reasons[0] == "api-rejected"
    assert len(server.received) == 2
    backend.close()


def test_a_model_on_this_machine_can_judge(nano: Any) -> None:
    (one,) = judge(nano.backend, CASES[:1], ANSWER, rounds=1)
    assert len(one.scores) == 1


def test_calls_that_make_no_sense(nano: Any) -> None:
    with pytest.raises(UsageError, match="0 rounds"):
        judge(nano.backend, CASES, ANSWER, rounds=0)
    with pytest.raises(UnknownNameError, match="no prompt 'judge/beauty'"):
        judge(nano.backend, CASES, ("beauty",))


@pytest.mark.parametrize(
    ("text", "score"),
    [("Score: 2", 2), ("**Score:** 1", 1), ("2", 2), ("2.", 2),
     ("The score is 0", 0), ("Score: 1.0", 1), ("Score: 3", None),
     ("Score: 1.5", None), ("Score: 0 or 1", None), ("Score: 1\nScore: 2", None), ("two", None), ("", None),
     ("Score: -1", None), ("I see 2 dogs", None), ("Score: 1\nSo score 1.", 1)],
)  # fmt: skip
def test_scores_are_read(text: str, score: int | None) -> None:
    assert read_score(text) == score


@given(st.text())
def test_any_text_gives_a_score_or_none(text: str) -> None:
    assert read_score(text) in (None, 0, 1, 2)


def test_cases_without_any_score_are_counted() -> None:
    empty = Judged(id="a", criterion="answer", scores=(None,), reasons=("budget",))
    (figures,) = summed([empty])
    assert (figures.n, figures.n_unscored, figures.mean, figures.standard_error) == (0, 1, None, None)
