"""Flat rows and log files: every number of a record arrives in its column, and a bad line is named."""

from __future__ import annotations

from pathlib import Path

import pytest

from mllmqa import prompts
from mllmqa.errors import DataError
from mllmqa.records import columns, flat, read_jsonl
from mllmqa.schema import Anchored, Media
from tests.records_made import SPEC, content_hash, scored, unscored


def test_the_columns_are_as_published() -> None:
    """Their order is the header of CSV files, by which a file is continued: a change is a new version."""
    levels = [f"p_{word}" for word in prompts.level_scale().words]
    assert levels == ["p_excellent", "p_good", "p_fair", "p_poor", "p_bad"]
    front = [
        "source",
        "status",
        "aspect",
        "value",
        "std",
        *levels,
        "coverage",
        "readout",
        "map_score",
        "map_standard_error",
        "reason",
        "message",
        "kind",
        "sha256",
    ]
    back = ["width", "height", "duration_s", "n_frames_used", "model", "preset", "prompt_id", "view", "frame_rule"]
    assert columns() == [*front, *back, "decoder", "dtype", "spec"]


def test_a_score_as_a_row() -> None:
    assert {key: value for key, value in flat(scored("a.png", 3.0)).items() if value is not None} == {
        "source": "a.png", "status": "scored", "aspect": "quality", "value": 3.0, "std": 0.0, "p_excellent": 0.0,
        "p_good": 0.0, "p_fair": 1.0, "p_poor": 0.0, "p_bad": 0.0, "coverage": 1.0, "readout": "logits",
        "kind": "image",
        "sha256": content_hash("a.png"), "width": 4, "height": 3, "model": "m", "preset": "p",
        "prompt_id": "score/quality@1", "view": "native", "decoder": "pillow", "dtype": "float32", "spec": SPEC,
    }  # fmt: skip


def test_other_words_stand_best_first_in_the_columns_of_the_levels() -> None:
    words = prompts.word_scale("levels-vqa2").words
    assert words == ("high", "good", "fair", "poor", "low")
    levels = dict(zip(words, (0.4, 0.3, 0.2, 0.1, 0.0), strict=True))
    row = flat(scored("a.png", 4.0).model_copy(update={"levels": levels}))
    assert [row[f"p_{word}"] for word in prompts.level_scale().words] == [0.4, 0.3, 0.2, 0.1, 0.0]
    assert list(row) == columns()
    two = flat(scored("a.png", 4.0).model_copy(update={"levels": {"good": 0.75, "poor": 0.25}}))
    assert (two["p_excellent"], two["p_good"], two["p_poor"]) == (None, 0.75, 0.25)


def test_an_anchored_score_as_a_row_has_the_score_that_does_not_saturate() -> None:
    made = Anchored(
        preferences=(1.0, 0.9), score=1.25, standard_error=0.5, published_100=100, anchors_sha256="0",
        matrix="measured", orders="both", link="normal", temperature=1,
    )  # fmt: skip
    row = flat(scored("a.png", 5.0).model_copy(update={"anchored": made, "levels": {}}))
    assert (row["value"], row["map_score"], row["map_standard_error"]) == (5.0, 1.25, 0.5)
    assert row["p_good"] is None


def test_a_refusal_as_a_row_with_what_is_known_of_its_file() -> None:
    assert {key: value for key, value in flat(unscored("b")).items() if value is not None} == {
        "source": "b", "status": "unscored", "aspect": "quality", "reason": "not-found",
        "message": "b: no such file", "spec": SPEC,
    }  # fmt: skip
    media = Media(kind="video", name="b", sha256="5", format="mp4", width=7, height=8, duration_s=1.5)
    row = flat(unscored("b").model_copy(update={"media": media}))
    assert [row[key] for key in ("kind", "sha256", "width", "height", "duration_s")] == ["video", "5", 7, 8, 1.5]
    assert row["value"] is row["p_good"] is row["model"] is None


@pytest.mark.parametrize(("times", "used"), [((), None), ((0.0,), 1), ((0.0, 0.5, 1.0), 3)])
def test_the_number_of_frames_counts_what_the_model_saw(times: tuple[float, ...], used: int | None) -> None:
    one = scored("a")
    seen = one.provenance.model_copy(update={"timestamps_s": times})
    assert flat(one.model_copy(update={"provenance": seen}))["n_frames_used"] == used


def test_a_log_is_read_in_order_and_lazily(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    written = [scored("a", 1.5), unscored("b"), scored("ü 日本.png", 4.5)]
    path.write_text("".join(one.model_dump_json() + "\n" for one in written) + "broken\n", encoding="utf-8")
    lines = read_jsonl(path)
    assert [next(lines) for _ in written] == written
    with pytest.raises(DataError):
        next(lines)


@pytest.mark.parametrize("bad", ["broken", "", '{"status":"scored"}', "[]", '{"status":"other"}'])
def test_a_bad_line_names_file_line_and_what_was_expected(tmp_path: Path, bad: str) -> None:
    path = tmp_path / "log.jsonl"
    path.write_text(f"{unscored('a').model_dump_json()}\n{bad}\n{unscored('c').model_dump_json()}\n")
    with pytest.raises(DataError) as caught:
        list(read_jsonl(path))
    message = str(caught.value)
    assert message.startswith(f"{path}: line 2 is not a result record: ")
    assert message.endswith("; expected the file that an earlier run of `mllmqa score` wrote")
    assert "\n" not in message
