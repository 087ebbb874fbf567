"""Transcripts: what is written is what is read, line by line, and a wrong line is named."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mllmqa.chatting.transcript import (
    Added,
    Answered,
    ComparedTwo,
    Failed,
    Frames,
    Model,
    Scored,
    Transcript,
    read_transcript,
)
from mllmqa.errors import DataError, UsageError
from mllmqa.schema import Unscored
from mllmqa.scoring import Scorer

MODEL = Model(name="nano", preset="nano", dtype="float32", device="cpu", mllmqa_version="0")
ANSWER: dict[str, Any] = {"question": "q", "files": (), "text": "t", "source": "model", "finished": "stop"}


def _events(nano: Scorer, photo: Path) -> list[Any]:
    gone = Unscored(source="b.png", aspect="quality", reason="not-found", message="no such file", spec="0")
    return [
        MODEL,
        Added(key="A", path="a\\udcff.png", sha256=None, kind="video", width=3, height=2, duration_s=1.5),
        Frames(rule=None),
        Frames(rule="uniform:3"),
        Answered(
            **{**ANSWER, "files": ("A", "B"), "confidence": 0.5, "notes": ("n",), "details": {"a": [1, None]}}
        ),
        Scored(key="A", result=nano.score(photo)),
        Scored(key="B", result=gone),
        ComparedTwo(a="A", b="B", p_a_better=0.25, text="B is better", details={"x": 1.5}),
        Failed(line="/add \u2028x", reason="usage", message="no"),
    ]


def test_as_it_happens_and_saved_later(nano: Scorer, photo: Path, tmp_path: Path) -> None:
    live = Transcript(tmp_path / "live.jsonl")
    events = _events(nano, photo)
    for count, event in enumerate(events, 1):
        live.add(event)
        assert len(read_transcript(tmp_path / "live.jsonl")) == count
    live.save(tmp_path / "saved.jsonl")
    assert (tmp_path / "saved.jsonl").read_bytes() == (tmp_path / "live.jsonl").read_bytes()
    assert list(read_transcript(tmp_path / "saved.jsonl")) == events == live.events
    lines = (tmp_path / "live.jsonl").read_bytes().split(b"\n")[:-1]
    assert [list(json.loads(line))[:2] for line in lines] == [["transcript_version", "type"]] * len(events)


@given(st.text(), st.text(), st.lists(st.text(), max_size=3))
def test_any_text_comes_back(question: str, text: str, notes: list[str]) -> None:
    event = Answered(**{**ANSWER, "question": question, "text": text, "notes": tuple(notes)})
    transcript = Transcript()
    transcript.add(event)
    assert "\n" not in event.model_dump_json()
    assert Answered.model_validate_json(event.model_dump_json()) == event


def test_no_file_is_overwritten(tmp_path: Path) -> None:
    place = tmp_path / "t.jsonl"
    place.write_text("mine", encoding="utf-8")
    (tmp_path / "link.jsonl").symlink_to(tmp_path / "nowhere")
    for path in (place, tmp_path / "link.jsonl"):
        with pytest.raises(UsageError, match="exists already"):
            Transcript(path)
        with pytest.raises(UsageError, match="exists already"):
            Transcript().save(path)
    assert place.read_text(encoding="utf-8") == "mine"
    with pytest.raises(UsageError, match="cannot be written"):
        Transcript(tmp_path / "none" / "t.jsonl")


def test_a_file_that_vanishes_meanwhile_is_one_line(tmp_path: Path) -> None:
    folder = tmp_path / "f"
    folder.mkdir()
    transcript = Transcript(folder / "t.jsonl")
    (folder / "t.jsonl").unlink()
    folder.rmdir()
    with pytest.raises(UsageError, match="cannot be written"):
        transcript.add(MODEL)
    assert transcript.events == [MODEL]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("{", "line 2 is no event"),
        ('{"transcript_version": 1, "type": "dream"}', "line 2 is no event"),
        ('{"transcript_version": 2, "type": "frames", "rule": null}', "frames.transcript_version"),
        ('{"type": "frames"}', "frames.rule: Field required"),
        ('{"type": "frames", "rule": null, "more": 1}', "frames.more: Extra inputs"),
    ],
)
def test_a_wrong_line_is_named(line: str, said: str, tmp_path: Path) -> None:
    place = tmp_path / "t.jsonl"
    place.write_text(f"{MODEL.model_dump_json()}\n{line}\n", encoding="utf-8")
    with pytest.raises(DataError, match=said) as caught:
        read_transcript(place)
    assert str(caught.value).startswith(str(place))
    assert "\n" not in str(caught.value)


def test_no_file_and_an_empty_one(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be read"):
        read_transcript(tmp_path / "none")
    (tmp_path / "empty").touch()
    with pytest.raises(DataError, match="is empty"):
        read_transcript(tmp_path / "empty")
