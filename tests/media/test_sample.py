"""Frame rules: as published, by time, never empty."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mllmqa.errors import UnknownNameError, UsageError
from mllmqa.media import VideoIndex, parse_rule
from mllmqa.media.sample import segments, tsn_legacy, tsn_test, tsn_train
from tests.media.made import SHARED

FIXTURE = SHARED / "fixtures/classic/sampling/sampling.json"
SEEN_ONCE = (
    "uniform:1",
    "uniform:8",
    "uniform:100",
    "1fps",
    "fps:0.5",
    "fps:2",
    "fps:1000",
    "keyframes",
    "keyframes:3",
    "all",
)
MAY_REPEAT = (
    "linspace:5",
    "tsn:1",
    "tsn:8",
    "tsn:3x5x2",
    "tsn-legacy:4x32x2",
    "segments:3x32x2",
    "segments:32x1x2",
)


def clip(n: int, fps: float = 25.0, key_every: int = 10) -> VideoIndex:
    return VideoIndex(np.arange(n) / fps, np.arange(n) % key_every == 0, fps, n / fps)


class Legacy:
    """The generator that the original code drew from."""

    def __init__(self, seed: int) -> None:
        self.state = np.random.RandomState(seed)

    def integers(self, low: int, high: int, size: int) -> Any:
        return self.state.randint(low, high, size=size)


@pytest.mark.skipif(not FIXTURE.exists(), reason="shared fixtures are not on this machine")
def test_the_312_published_index_vectors() -> None:
    cases = json.loads(FIXTURE.read_text())["temporal"]
    for case in cases:
        n, step, expected = case["num_frames"], case["frame_interval"], case["indices"]
        sampler = case["sampler"]
        if sampler.startswith("Unified"):
            repeats = case["num_clips"]
            rng = Legacy(5)
            got = [segments(n, case["fragments_t"], case["fsize_t"], step, rng) for _ in range(repeats)]
            assert np.concatenate(got).tolist() == expected, case
            continue
        clips, length = case["num_clips"], case["clip_len"]
        if "train" in sampler:
            got = tsn_train(n, clips, length, step, Legacy(3))
        else:
            got = (tsn_legacy if sampler.startswith("FAST-VQA") else tsn_test)(n, clips, length, step)
        assert got.tolist() == expected, case
    assert len(cases) == 312


def test_the_published_one_frame_per_second() -> None:
    for fps in (29.97, 30000 / 1001):
        assert parse_rule("1fps").indices(clip(240, fps)).tolist() == [0, 29, 59, 89, 119, 149, 179, 209]
    assert parse_rule("1fps").indices(clip(239, 29.97)).tolist() == [0, 29, 59, 89, 119, 149, 179]
    assert parse_rule("1fps").indices(clip(59, 60)).tolist() == [0]


def test_uniform_takes_the_centres() -> None:
    assert parse_rule("uniform:4").indices(clip(100)).tolist() == [12, 37, 62, 87]
    assert parse_rule("uniform:1").indices(clip(1)).tolist() == [0]
    assert parse_rule("uniform:8").indices(clip(3)).tolist() == [0, 1, 2]


def test_linspace_has_both_ends() -> None:
    assert parse_rule("linspace:4").indices(clip(100)).tolist() == [0, 33, 66, 99]
    assert parse_rule("linspace:8").indices(clip(3)).tolist() == [0, 0, 1, 1, 1, 1, 2, 2]
    assert parse_rule("linspace:1").indices(clip(9)).tolist() == [0]


def test_uniform_goes_by_time_not_by_index() -> None:
    index = VideoIndex(np.array([0, 0.1, 0.2, 0.3, 9.0]), np.ones(5, np.bool_), 5.0, 10.0)
    assert parse_rule("uniform:2").times(index) == (0.3,)
    assert parse_rule("fps:1").times(index) == (0.0, 0.3, 9.0)


def test_key_frames() -> None:
    assert parse_rule("keyframes").indices(clip(35)).tolist() == [0, 10, 20, 30]
    assert parse_rule("keyframes:2").indices(clip(35)).tolist() == [10, 30]
    none = VideoIndex(np.arange(3) / 25, np.zeros(3, np.bool_), 25.0, 0.12)
    assert parse_rule("keyframes").indices(none).tolist() == [0]


def test_segments_do_not_overlap_where_they_fit() -> None:
    chosen = parse_rule("segments:3x4x2").indices(clip(60)).reshape(3, 4)
    assert [c.tolist() for c in chosen] == [[6, 8, 10, 12], [26, 28, 30, 32], [46, 48, 50, 52]]
    overlapping = parse_rule("tsn:3x8x2").indices(clip(20)).reshape(3, 8)
    assert set(overlapping[0]) & set(overlapping[1])


@given(
    gaps=st.lists(st.floats(0.001, 2), min_size=1, max_size=60),
    fps=st.one_of(st.none(), st.floats(0.1, 240)),
    late=st.floats(0, 3),
    rule=st.sampled_from(SEEN_ONCE),
)
def test_rules_are_sorted_inside_the_clip_and_never_empty(
    gaps: list[float], fps: float | None, late: float, rule: str
) -> None:
    times = late + np.cumsum([0.0, *gaps[:-1]])
    index = VideoIndex(times, np.arange(len(times)) % 7 == 0, fps, float(times[-1] + gaps[-1]))
    chosen = parse_rule(rule).times(index)
    assert len(chosen) >= 1
    assert list(chosen) == sorted(chosen)
    assert rule == "1fps" or len(chosen) == len(set(chosen))  # the published arithmetic repeats below 1 fps
    assert set(chosen) <= set(times.tolist())
    wanted = {"uniform:1": 1, "uniform:8": 8, "uniform:100": 100, "keyframes:3": 3}.get(rule)
    assert wanted is None or len(chosen) <= wanted


@given(n=st.integers(1, 400), rule=st.sampled_from(MAY_REPEAT))
def test_segment_rules_give_every_frame_they_promise(n: int, rule: str) -> None:
    parsed = parse_rule(rule)
    chosen = parsed.indices(clip(n))
    assert len(chosen) == int(np.prod(parsed.numbers[:2]))
    assert chosen.min() >= 0
    assert chosen.max() < n


@given(n=st.integers(1, 400), seed=st.integers(0, 9))
def test_random_rules_depend_on_the_generator_alone(n: int, seed: int) -> None:
    for rule in ("tsn-train:3x5x2", "segments:3x5x2"):
        once, again = (parse_rule(rule).times(clip(n), np.random.default_rng(seed)) for _ in range(2))
        assert once == again


@pytest.mark.parametrize("rule", [*SEEN_ONCE, *MAY_REPEAT, "tsn-train:3x5x2"])
def test_names_are_canonical(rule: str) -> None:
    assert parse_rule(parse_rule(f" {rule.upper()} ").name) == parse_rule(rule)
    assert parse_rule("tsn:8x1x1").name == "tsn:8"
    assert parse_rule("fps:2.50").name == "fps:2.5"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "uniform",
        "uniform:",
        "uniform:0",
        "uniform:-1",
        "uniform:2.5",
        "1fps:2",
        "all:",
        "fps:0",
        "fps:nan",
        "fps:1e3",
        "tsn:3x2",
        "tsn",
        "nth:4",
        "keyframes:0",
    ],
)
def test_wrong_names_list_the_rules(text: str) -> None:
    with pytest.raises(
        UnknownNameError, match=r"no frame rule is called .*one of uniform:N, linspace:N, 1fps, fps:X"
    ):
        parse_rule(text)


def test_a_random_rule_needs_a_generator() -> None:
    with pytest.raises(UsageError, match="tsn-train:3x5x2 is random; pass a numpy Generator"):
        parse_rule("tsn-train:3x5x2").indices(clip(50))
