"""Counts of a file: nothing is left out, and the sums agree with the samples."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from mllmqa.data.sample import Sample
from mllmqa.data.sample_labels import Distortion, Labels, Level
from mllmqa.data.sheet.summary import BINS, WORD_BINS, WORD_EDGES, Lengths, Scores, Summary
from tests.data.samples_made import WORDS, full, mos, plain, said, samples


def summary_of(*made: Sample) -> Summary:
    summary = Summary()
    for sample in made:
        summary.add(sample)
    return summary


def test_counts_of_two_samples() -> None:
    summary = summary_of(full(), plain(labels=Labels(distortions=())))
    assert summary.n == 2
    assert summary.rows("task") == [("not stated", 1), ("rate", 1)]
    assert dict(summary.rows("split")) == {"train": 1, "not stated": 1}
    assert dict(summary.rows("media")) == {
        "image, distorted": 2, "image, reference": 1, "image, stimulus": 1, "video, stimulus": 1,
    }  # fmt: skip
    assert summary.rows("level") == [("good", 1)]
    assert summary.clean == 1
    assert summary.distortions[("freeze", "freeze")] == {"4": 1}  # severity 3.5, rounded to even
    assert summary.distortions[("compression", "")] == {"5": 1}


def test_levels_stand_from_best_to_worst() -> None:
    def levelled(word: str) -> Sample:
        return plain(labels=Labels(levels=(Level(media="A", word=word, scale=WORDS),)))

    summary = summary_of(*(levelled(word) for word in ("bad", "bad", "bad", "fair", "excellent")))
    assert summary.rows("level") == [("excellent", 1), ("fair", 1), ("bad", 3)]


def test_scores_on_different_scales_are_counted_apart() -> None:
    scales = [mos(3.0), mos(4.0, std=0.1), mos(50.0, low=0.0, high=100.0), mos(3.0, direction="lower-better")]
    summary = summary_of(*(plain(labels=Labels(mos=(one,))) for one in scales))
    assert [(s.n, s.with_std, s.total) for s in summary.scores.values()] == [(2, 1, 7.0), (1, 0, 50.0), (1, 0, 3.0)]


@given(st.lists(st.floats(1, 5), min_size=1, max_size=30))
def test_every_score_is_in_one_bin_and_the_top_edge_is_closed(values: list[float]) -> None:
    scores = Scores(1, 5, "higher-better", "quality")
    for value in values:
        scores.add(mos(value))
    assert sum(scores.counts) == scores.n == len(values)
    scores = Scores(1, 5, "higher-better", "quality")
    scores.add(mos(5.0))
    assert scores.counts[BINS - 1] == 1


def test_words_fall_into_their_bins() -> None:
    assert len(WORD_BINS) == len(WORD_EDGES) + 1
    for words, name in (
        (0, "≤1"),
        (1, "≤1"),
        (2, "2"),
        (4, "3–4"),
        (5, "5–8"),
        (16, "9–16"),
        (256, "129–256"),
        (999, ">256"),
    ):
        lengths = Lengths()
        lengths.add("word " * words)
        assert dict(zip(WORD_BINS, lengths.counts, strict=True))[name] == 1
        assert lengths.longest == lengths.total == words


def test_lengths_are_told_per_role() -> None:
    messages = (said("user", "@A", "How good is it?"), said("assistant", "Good."))
    summary = summary_of(plain(messages=messages), plain(messages=messages))
    assert {role: (one.n, one.total) for role, one in summary.lengths.items()} == {
        "user": (2, 8),
        "assistant": (2, 2),
    }


@given(st.lists(samples(), max_size=5))
def test_sums_agree(made: list[Sample]) -> None:
    summary = summary_of(*made)
    assert sum(summary.counts["task"].values()) == len(made)
    assert sum(summary.counts["media"].values()) == sum(len(sample.media) for sample in made)
    distortions = sum(len(sample.labels.distortions or ()) for sample in made)
    assert sum(sum(row.values()) for row in summary.distortions.values()) == distortions
    assert sum(one.n for one in summary.lengths.values()) == sum(len(sample.messages) for sample in made)


def test_unknown_severity_has_its_own_column() -> None:
    summary = summary_of(plain(labels=Labels(distortions=(Distortion(media="A", category="blur"),))))
    assert summary.distortions == {("blur", ""): {"?": 1}}
