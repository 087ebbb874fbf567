"""Comparing over HTTP: names in front of pictures, letters from probabilities or from text."""

from __future__ import annotations

import numpy as np
import pytest

from mllmqa.comparing import compare, rank_many
from mllmqa.schema import Comparison, Unscored
from mllmqa.scoring import Input
from tests.conftest import photo_pixels
from tests.loopback import Connect, Loopback, Received, Reply, chat

A, B = photo_pixels(40, 40, seed=1), photo_pixels(40, 40, seed=2)


def parts(request: Received) -> list[str]:
    """The kinds and texts of a user's message, in order."""
    content = request.body["messages"][0]["content"]
    return [part.get("text", "<picture>") for part in content]


def test_letters_from_log_probabilities(server: Loopback, connect: Connect) -> None:
    scorer = connect()
    server.tokens = {" A": 0.45, " B": 0.15, " good": 0.3}
    found = compare(scorer, A, B)
    assert isinstance(found, Comparison)
    # In both orders 0.45 : 0.15 for the first place: a liking, and no preference.
    np.testing.assert_allclose(found.by_order or (), (0.75, 0.25), atol=1e-6)
    assert (found.p_a_better, found.verdict) == (0.5, "tie")
    assert found.position_bias == pytest.approx(0.5, abs=1e-6)
    assert found.coverage == pytest.approx(0.6, abs=1e-6)
    assert found.readout == "logprobs"
    pairs = [request for request in server.received if len(request.pictures) == 2]
    assert [parts(request) for request in pairs] == [
        ["Image A:", "<picture>", "Image B:", "<picture>", "Which image is better, A or B?"]
    ] * 2
    assert pairs[0].body["messages"][1]["content"] == "The better one is"
    assert pairs[0].pictures == pairs[1].pictures[::-1]


def test_letters_from_text(server: Loopback, connect: Connect) -> None:
    server.logprobs = "reject"
    scorer = connect()
    server.script.extend(Reply(body=chat(word)) for word in ("Good", "good.", "A", "**A**"))
    found = compare(scorer, A, B)
    assert isinstance(found, Comparison)
    assert (found.by_order, found.position_bias, found.verdict) == ((1, 0), 1, "tie")
    assert (found.readout, found.coverage) == ("text", None)
    asked = [request.texts[-1] for request in server.received if len(request.pictures) == 2]
    assert all(text.endswith("these words and nothing else: A, B.") for text in asked)


def test_an_answer_that_is_no_letter_costs_this_comparison(server: Loopback, connect: Connect) -> None:
    server.logprobs = "reject"
    scorer = connect()
    server.script.extend(Reply(body=chat(word)) for word in ("good", "good", "A", "A good question"))
    found = compare(scorer, A, B)
    assert isinstance(found, Unscored)
    assert found.reason == "unparsed"
    server.script.extend(Reply(body=chat(word)) for word in ("never", "seen"))
    lost = compare(scorer, A[:, ::-1], B[::-1])
    assert isinstance(lost, Unscored)
    assert [len(request.pictures) for request in server.received].count(2) == 2  # without scores none is asked


def test_frames_and_a_reference(server: Loopback, connect: Connect) -> None:
    scorer = connect()
    server.tokens = {" A": 0.5, " good": 0.5}
    clip = np.stack([A, B])
    found = compare(scorer, clip, np.stack([B, A, A]), reference=clip)
    assert isinstance(found, Comparison)
    assert found.reference_used is True
    together = [request for request in server.received if len(request.pictures) == 7]
    assert {tuple(parts(request)) for request in together} == {
        (
            *("Reference:", "<picture>", "<picture>", "Video A:", *("<picture>",) * n, "Video B:"),
            *("<picture>",) * (5 - n),
            "With the reference in view, which video is better, A or B?",
        )
        for n in (2, 3)
    }


def test_a_ranking_says_what_it_cost(server: Loopback, connect: Connect) -> None:
    scorer = connect()
    server.tokens = {" A": 0.5, " B": 0.25, " good": 0.25}
    found = rank_many(scorer, [Input(photo_pixels(32, 32, seed=k), str(k)) for k in range(3)], budget=2)
    assert (found.n_pairs, len(found.items)) == (2, 3)
    assert found.position_bias == pytest.approx(1 / 3, abs=1e-6)
    assert len(server.received) == 3 + 2 * 2
