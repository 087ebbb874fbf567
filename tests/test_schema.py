"""Records: the JSON that others will read, refusal of what is not in the schema, and exact round trips."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from mllmqa.schema import (
    SCHEMA_VERSION,
    Comparison,
    FrameScore,
    Media,
    Score,
    Side,
    Unscored,
    read_comparison,
    read_result,
    verdict_of,
)
from tests.records_made import SPEC, content_hash, scored, unscored

GOLDEN_SCORE = {
    "schema_version": 1,
    "status": "scored",
    "source": "a.png",
    "aspect": "quality",
    "value": 3.0,
    "std": 0.0,
    "levels": {"excellent": 0.0, "good": 0.0, "fair": 1.0, "poor": 0.0, "bad": 0.0},
    "coverage": 1.0,
    "readout": "logits",
    "absent": [],
    "frames": None,
    "anchored": None,
    "media": {
        "kind": "image", "name": "a.png", "sha256": content_hash("a.png"), "size_bytes": None, "format": "png",
        "codec": None, "pixel_format": None, "width": 4, "height": 3, "rotation_deg": 0, "duration_s": None,
        "fps": None, "n_frames": None,
    },
    "provenance": {
        "spec": SPEC, "mllmqa_version": "0", "model": "m", "preset": "p", "revision": None, "weights_sha256": None,
        "settings_sha256": None, "prompt_id": "score/quality@1", "prompt_sha256": "0", "view": "native",
        "frame_rule": None, "video_mode": None, "decoder": "pillow", "timestamps_s": [], "dtype": "float32",
        "device": "cpu", "image_processor": None, "quantization": None, "adapter_sha256": None,
        "torch_version": "2", "transformers_version": "5", "base_url": None, "readout": "logits", "sent": None,
    },
}  # fmt: skip
GOLDEN_UNSCORED = (
    '{"schema_version":1,"status":"unscored","source":"b.png","aspect":"quality","reason":"not-found",'
    '"message":"b.png: no such file","media":null,"spec":"0123456789abcdef"}'
)
FINITE = st.floats(allow_nan=False, allow_infinity=False)
NAMES = st.text(st.characters(blacklist_categories=["Cs"]), max_size=30)


def changed(path: str, value: Any) -> str:
    """The JSON of the golden score with one field set (or added)."""
    record = json.loads(scored("a.png").model_dump_json())
    *parents, last = path.split(".")
    place = record
    for name in parents:
        place = place[name]
    place[last] = value
    return json.dumps(record)


def test_the_json_of_a_score_is_as_published() -> None:
    """A change here changes what every reader of logs sees: raise SCHEMA_VERSION where a meaning changes."""
    assert json.loads(scored("a.png").model_dump_json()) == GOLDEN_SCORE
    assert SCHEMA_VERSION == 1


def test_the_json_of_a_refusal_is_as_published_to_the_byte() -> None:
    assert unscored("b.png").model_dump_json() == GOLDEN_UNSCORED


def test_a_log_line_starts_with_the_version() -> None:
    """The mark by which a torn last line is known as ours."""
    for result in (scored("a"), unscored("b")):
        assert result.model_dump_json().startswith('{"schema_version":')


@settings(max_examples=60)
@given(
    source=NAMES, value=st.floats(1, 5), std=st.floats(0, 2), coverage=st.floats(0, 1),
    times=st.lists(st.floats(0, 1e5), max_size=4),
)  # fmt: skip
def test_scores_survive_json_to_the_last_bit(
    source: str, value: float, std: float, coverage: float, times: list[float]
) -> None:
    base = scored("a.png")
    frames = tuple(
        FrameScore(value=value, std=std, levels=base.levels, coverage=coverage, timestamp_s=t) for t in times
    )
    provenance = base.provenance.model_copy(update={"timestamps_s": tuple(times)})
    record = Score(
        source=source, aspect="quality", value=value, std=std, levels=base.levels, coverage=coverage,
        frames=frames or None, media=base.media, provenance=provenance,
    )  # fmt: skip
    line = record.model_dump_json()
    assert "\n" not in line
    again = read_result(line)
    assert again == record
    assert again.model_dump_json() == line
    assert read_result(line.encode()) == record


@given(source=NAMES, message=NAMES)
def test_refusals_survive_json(source: str, message: str) -> None:
    media = Media(kind="video", name=source, sha256=None, format="mp4", width=1, height=1, duration_s=0.5)
    record = Unscored(source=source, aspect="quality", reason="corrupt", message=message, media=media, spec=SPEC)
    assert read_result(record.model_dump_json()) == record


def test_records_of_before_remote_models_are_read() -> None:
    old = json.loads(scored("a.png").model_dump_json())
    for name in ("readout", "absent"):
        del old[name]
    for name in ("base_url", "readout", "sent"):
        del old["provenance"][name]
    assert read_result(json.dumps(old)) == scored("a.png")


@pytest.mark.parametrize("path", ["extra", "media.extra", "provenance.extra"])
def test_unknown_fields_are_refused_at_every_depth(path: str) -> None:
    with pytest.raises(ValidationError, match="Extra inputs are not permitted"):
        read_result(changed(path, 1))


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("path", ["value", "std", "coverage", "levels.fair", "media.duration_s", "media.fps"])
def test_numbers_that_are_not_finite_are_refused(path: str, bad: float) -> None:
    read_result(changed(path, 1.0))  # the field itself is fine
    with pytest.raises(ValidationError):
        read_result(changed(path, bad))


@pytest.mark.parametrize(
    ("path", "inside", "outside"),
    [
        ("value", [1, 5], [0.999, 5.001, None, "much"]),
        ("std", [0, 2], [-1e-9, 2.001]),
        ("coverage", [None, 0, 1, 1 + 1e-7], [-1e-9, 1.001]),
        ("readout", ["logits", "decisions", "logprobs", "text", "mixed"], ["guess", None]),
        ("absent", [[], ["bad"]], [None, [1]]),
        (
            "provenance.sent",
            [None, [{"mime": "image/png", "sha256": "0", "size_bytes": 1, "original": True}]],
            [[{}], [{"mime": "image/png"}]],
        ),
        ("media.kind", ["image", "video"], ["sound", "", None]),
        ("media.width", [1], ["wide", 1.5, None]),
        ("provenance.video_mode", [None, "joint", "per-frame"], ["both"]),
        ("provenance.timestamps_s", [[], [0.0, 1.5]], [["now"], None]),
        ("status", ["scored"], ["unscored", "done", None]),
        ("levels", [{"good": 0.5}], [{"good": None}, [0.5], None]),
    ],
)
def test_ranges_and_choices(path: str, inside: list[Any], outside: list[Any]) -> None:
    for value in inside:
        read_result(changed(path, value))
    for value in outside:
        with pytest.raises(ValidationError):
            read_result(changed(path, value))


@pytest.mark.parametrize("path", ["source", "value", "levels", "media", "provenance", "status", "provenance.spec"])
def test_what_is_needed_may_not_be_left_out(path: str) -> None:
    record = json.loads(scored("a.png").model_dump_json())
    *parents, last = path.split(".")
    place = record
    for name in parents:
        place = place[name]
    del place[last]
    with pytest.raises(ValidationError):
        read_result(json.dumps(record))


@pytest.mark.parametrize(
    "text", ["", "null", "[]", "3", "{}", '{"status":"scored"}', "{", "\ud7ff", GOLDEN_UNSCORED[:-1]]
)
def test_what_is_no_record_is_refused(text: str) -> None:
    with pytest.raises(ValidationError):
        read_result(text)


def test_records_are_immutable_and_compare_by_content() -> None:
    one = scored("a.png")
    for record, field in (
        (one, "value"),
        (one.media, "width"),
        (one.provenance, "spec"),
        (unscored("b"), "reason"),
    ):
        with pytest.raises(ValidationError, match="frozen"):
            setattr(record, field, 1)
    assert one == scored("a.png")
    assert one != scored("a.png", value=3.1)
    assert one != scored("c.png")


# ---------------------------------------------------------------- comparisons


def compared(p: float, **fields: Any) -> Comparison:
    one, two = scored("a.png", 2.0), scored("b.png", 3.9)
    side_a, side_b = (Side(source=s.source, media=s.media, provenance=s.provenance, score=s) for s in (one, two))
    given = {"verdict": verdict_of(p), "method": "scores", "n_pairs": 0, "a": side_a, "b": side_b, **fields}
    return Comparison(aspect="quality", p_a_better=p, spec=SPEC, **given)


@pytest.mark.parametrize(
    ("p", "verdict"),
    [(0.0, "B"), (0.4949, "B"), (0.4951, "tie"), (0.5, "tie"), (0.5049, "tie"), (0.5051, "A"), (1.0, "A")],
)
def test_a_tie_is_what_prints_as_one_half(p: float, verdict: str) -> None:
    assert verdict_of(p) == verdict
    assert (f"{p:.2f}" == "0.50") == (verdict == "tie")


@pytest.mark.parametrize(
    ("p", "fields", "text"),
    [
        (0.07, {}, "B is better (p = 0.93); A 2.0, B 3.9"),
        (0.93, {"position_bias": -0.125}, "A is better (p = 0.93); A 2.0, B 3.9; position bias -0.12"),
        (0.5, {}, "neither is better (p = 0.50); A 2.0, B 3.9"),
        (0.999, {}, "A is better (p > 0.99); A 2.0, B 3.9"),
        (
            0.2,
            {"reference_used": False},
            "B is better (p = 0.80); A 2.0, B 3.9; "
            "the reference was not used: this model scores one input at a time",
        ),
        (0.2, {"reference_used": True}, "B is better (p = 0.80); A 2.0, B 3.9"),
    ],
)
def test_a_comparison_as_one_line(p: float, fields: dict[str, Any], text: str) -> None:
    found = compared(p, **fields)
    assert found.text() == text
    assert read_comparison(found.model_dump_json()) == found


@given(st.floats(0, 1))
def test_every_preference_has_its_verdict_and_its_line(p: float) -> None:
    found = compared(p)
    assert found.text().count("\n") == 0
    assert (
        found.verdict == {"A": "B", "B": "A", "tie": "tie"}[verdict_of(1 - p)] or abs(abs(p - 0.5) - 0.005) < 1e-12
    )


@pytest.mark.parametrize(
    ("p", "fields"),
    [(0.9, {"verdict": "B"}), (1.1, {"verdict": "A"}), (0.5, {"verdict": "C"}), (0.9, {"by_order": (0.9,)})],
)
def test_contradictory_comparisons_are_refused(p: float, fields: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        compared(p, **fields)


def test_sides_without_scores_have_no_numbers_in_the_line() -> None:
    found = compared(0.8)
    bare = found.model_copy(update={"a": found.a.model_copy(update={"score": None})})
    assert bare.text() == "A is better (p = 0.80)"


def test_an_unscored_record_is_read_as_a_comparison_too() -> None:
    assert read_comparison(unscored("b.png").model_dump_json()) == unscored("b.png")
