"""Wordings: every block renders, names nothing by itself, and malformed files are named."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mllmqa import prompts, resources
from mllmqa.data.distortions import CATEGORIES
from mllmqa.data.tasks.wording import join, names, vocabulary, wording
from mllmqa.data.video_distortions import NAMES, TABLE
from mllmqa.data.video_distortions.registry import category_of_video
from mllmqa.errors import DataError, PromptError, UnknownNameError

VARIABLES = {
    "medium": "video", "number": "two", "plural": "s", "labels": "L", "label": "L", "level": "V", "severity": "S",
    "where": " at W", "better": "A", "side": "B", "aspect": "quality", "places": "P", "word": "X",
    "low": "1", "high": "5", "duration": "9.0", "be": "were", "stalls": "ST", "start": "1.0", "length": "2.0",
    "names": "N", "depiction": "DE", "content": "CO", "listed": "LI", "reach": "RE", "noun": "region",
    "position": "PO", "extent": "EX", "found": "FO", "key": "K", "keys": "KS", "order": "OR",
}  # fmt: skip
RNG = np.random.default_rng(0)


def test_every_block_renders() -> None:
    for name in names():
        for pool, blocks in wording(name).pools.items():
            seen = {wording(name).pick(pool, RNG, **VARIABLES) for _ in range(40 * len(blocks))}
            assert len(seen) == len(blocks), (name, pool)
            assert all("{" not in text and text.strip() == text for text in seen)


def test_wordings_are_no_prompts_and_prompts_no_wordings() -> None:
    assert "identify" in names()
    assert not [name for name in prompts.names() if name.startswith("build/")]


def test_the_vocabulary_can_be_told_apart() -> None:
    words = vocabulary()
    labels = list(words.categories.values())
    assert len(set(labels)) == len(labels)
    assert not [(a, b) for a in labels for b in labels if a != b and f" {a} " in f" {b} "]
    assert len(set(words.severities)) == 5
    assert not [a for a in labels for other in (*words.severities, words.clean) if f" {other} " in f" {a} "]
    assert not [a for a in labels if a.endswith("s") and not a.endswith("ss")]  # "there is LABEL"
    assert words.temporal < words.video_only < set(words.categories)
    assert [words.grade(x) for x in (1, 2.4, 2.5, 5)] == ["slight", "moderate", "obvious", "catastrophic"]


def test_numbers_places_and_extents_can_be_told_apart() -> None:
    words = vocabulary()
    assert [words.number(n) for n in (0, 1, 4, 5, 12, 13)] == ["no", "one", "four", "five", "twelve", "13"]
    for those in (words.numbers, words.positions, tuple(words.extents)):
        assert len(set(those)) == len(those)
        assert not [(a, b) for a in those for b in those if a != b and f" {a} " in f" {b} "]
    shares = list(words.extents.values())
    assert shares == sorted(shares) and shares[-1] == 1 and words.large == shares[-2] == 0.7


def test_every_video_distortion_has_a_category_with_a_word() -> None:
    words = vocabulary()
    named = {name: category_of_video(name) for name in NAMES}
    assert set(named) == set(TABLE)
    assert set(named.values()) == words.video_only | {"compression"}
    assert {words.label(category) for category in named.values()} <= set(words.categories.values())
    assert named["frame_drop"] == "drop" and named["stall"] == named["stall_spinner"] == "stall"
    assert {named[name] for name in ("h264", "hevc_bitrate", "vp9", "av1_bitrate")} == {"compression"}
    with pytest.raises(UnknownNameError, match="no video distortion is called 'rain'"):
        category_of_video("rain")


def test_every_image_distortion_has_a_word() -> None:
    assert set(CATEGORIES) == set(vocabulary().possible("image"))


def test_what_has_no_word_is_an_error() -> None:
    with pytest.raises(DataError, match="no word for the distortion category 'rain'"):
        vocabulary().label("rain")
    with pytest.raises(DataError, match="severity 6"):
        vocabulary().grade(6)
    with pytest.raises(UnknownNameError, match="no wordings 'sing'; expected assess"):
        wording("sing")
    with pytest.raises(UnknownNameError, match="no pool 'answers'"):
        wording("level").pick("answers", RNG)
    with pytest.raises(PromptError, match="medium"):
        wording("level").pick("question", RNG, aspect="quality")


def test_labels_are_joined_as_in_a_sentence() -> None:
    assert (join(["a"]), join(["a", "b"]), join(["a", "b", "c"])) == ("a", "a and b", "a, b and c")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("id: [", "malformed"),
        ("id: build/x\nversion: 1\n", "pools"),
        ("id: y\nversion: 1\npools: {}\n", "id is 'y'"),
    ],
)
def test_malformed_files_are_named(
    text: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "build").mkdir()
    (tmp_path / "build" / "x.yaml").write_text(text)
    monkeypatch.setattr(resources, "folder", lambda _: tmp_path)
    with pytest.raises(PromptError, match=message) as caught:
        wording("x")
    assert "x.yaml" in str(caught.value)
