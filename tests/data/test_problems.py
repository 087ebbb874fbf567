"""Everything that is wrong with a file is listed, counted and named; what is allowed is not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from mllmqa.data.problems import Depth, iter_problems
from mllmqa.data.sample import Sample
from mllmqa.data.sample_labels import Distortion, Labels
from mllmqa.errors import DataError
from tests.conftest import photo_pixels
from tests.data.samples_made import changed, medium, mos, plain


def picture(path: Path, width: int = 64, height: int = 48) -> None:
    Image.fromarray(photo_pixels(width, height)).save(path, "PNG")


def write(path: Path, *lines: str | Sample) -> Path:
    texts = [line if isinstance(line, str) else line.to_json() for line in lines]
    path.write_text("".join(f"{text}\n" for text in texts), encoding="utf-8")
    return path


def listed(path: Path, media: Depth = "none") -> list[tuple[int | None, str, str]]:
    return [(p.line, p.flaw.field, p.flaw.found) for p in iter_problems(path, media)]


def test_a_sound_file_has_none(tmp_path: Path) -> None:
    picture(tmp_path / "A.png")
    picture(tmp_path / "no_extension")
    named = plain(id="b", media=(medium(path="no_extension", width=64, height=48),))  # allowed: YT-UGC's files
    assert listed(write(tmp_path / "s.jsonl", plain(), named), "open") == []


def test_all_problems_of_all_lines_are_listed_in_order(tmp_path: Path) -> None:
    scored = plain(labels=Labels(mos=(mos(),)))
    path = write(
        tmp_path / "s.jsonl",
        plain(),
        plain(),
        changed(scored, "labels.mos.0.value", "2.82 "),
        changed(scored, "labels.mos.0.value", float("nan")),
        changed(scored, "labels.mos.0.direction", "better"),
        '{"id": ',
        changed(changed_id(scored, "f"), "labels.mos.0.value", 7),
        plain(id="g"),
    )
    assert [(line, field) for line, field, _ in listed(path)] == [
        (2, "id"),
        (3, "labels.mos.0.value"),
        (4, "labels.mos.0.value"),
        (5, "labels.mos.0.direction"),
        (6, ""),
        (7, "labels.mos.0.value"),
    ]
    assert listed(path)[0][2] == "'one', as in line 1"
    assert listed(path)[1][2] == "'2.82 '"


def changed_id(sample: Sample, name: str) -> Sample:
    return sample.model_copy(update={"id": name})


def test_a_problem_says_what_the_reader_would(tmp_path: Path) -> None:
    path = write(tmp_path / "s.jsonl", changed(plain(), "split", "dev"))
    (problem,) = iter_problems(path)
    assert str(problem) == f"{path}, line 1: field split is 'dev'; expected 'train', 'val' or 'test'"
    assert isinstance(problem.error(), DataError)
    assert problem.id is None


def test_gbk_lines_are_named_and_the_rest_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "s.jsonl"
    other = plain(id="b").to_json().replace("Good.", "图像模糊")
    path.write_bytes(plain().to_json().encode() + b"\n" + other.encode("gbk") + b"\n" + plain().to_json().encode())
    (encoding, repeated) = listed(path)
    assert encoding[0] == 2
    assert "decodes as GBK: '图像模糊'" in encoding[2]
    assert repeated[:2] == (3, "id")


def test_an_empty_file_is_a_problem_and_a_missing_one_an_error(tmp_path: Path) -> None:
    assert listed(write(tmp_path / "s.jsonl")) == [(None, "", "an empty file")]
    with pytest.raises(DataError, match="cannot be read"):
        list(iter_problems(tmp_path / "no.jsonl"))


def test_missing_media_are_named_once_per_sample(tmp_path: Path) -> None:
    hashed = plain(id="b", media=(medium(path=None, sha256="0" * 64),))
    path = write(tmp_path / "s.jsonl", plain(), hashed)
    assert listed(path) == []
    found = listed(path, "exists")
    assert [(line, field) for line, field, _ in found] == [(1, "media.0.path"), (2, "media.0.path")]
    assert found[0][2] == "no file 'A.png'"


@pytest.mark.parametrize(
    ("given", "field", "expected"),
    [
        ({"width": 65}, "media.0.width", "64, as the file has"),
        ({"height": 64}, "media.0.height", "48, as the file has"),
        ({"sha256": "0" * 64}, "media.0.sha256", "as the file has"),
        ({"kind": "video"}, "media.0.kind", "image, as the content is (png)"),
    ],
)
def test_media_are_compared_with_the_record(
    tmp_path: Path, given: dict[str, Any], field: str, expected: str
) -> None:
    picture(tmp_path / "A.png")
    path = write(tmp_path / "s.jsonl", plain(media=(medium(**given),)))
    assert listed(path, "exists") == []
    (problem,) = iter_problems(path, "open")
    assert problem.flaw.field == field
    assert expected in problem.flaw.expected


def test_broken_and_empty_media_say_why(tmp_path: Path) -> None:
    (tmp_path / "A.png").write_bytes(b"")
    (tmp_path / "B.png").write_bytes(b"not a picture at all")
    path = write(tmp_path / "s.jsonl", plain(), plain(id="b", media=(medium(), medium("B"))))
    found = listed(path, "open")
    assert [(line, field) for line, field, _ in found] == [
        (1, "media.0.path"), (2, "media.0.path"), (2, "media.1.path"),
    ]  # fmt: skip
    assert "empty" in found[0][2]


def masked(name: str) -> Sample:
    labels = Labels(distortions=(Distortion(media="A", category="blur", mask=name),))
    return plain(media=(medium(width=64, height=48),), labels=labels)


def test_masks(tmp_path: Path) -> None:
    picture(tmp_path / "A.png")
    one = np.zeros((48, 64), np.uint8)
    Image.fromarray(one).save(tmp_path / "empty.png")
    one[3, 4] = 1
    Image.fromarray(one).save(tmp_path / "one.png")
    Image.fromarray(one[:40]).save(tmp_path / "small.png")
    (tmp_path / "text.png").write_text("x")
    names = ["one.png", "empty.png", "small.png", "text.png", "gone.png"]
    path = write(tmp_path / "s.jsonl", *(changed_id(masked(name), name) for name in names))
    assert [line for line, _, _ in listed(path, "exists")] == [5]
    found = listed(path, "open")
    assert [line for line, _, _ in found] == [2, 3, 4, 5]
    assert "empty mask" in found[0][2]
    assert found[1][2] == "64×40 pixels"
    assert {field for _, field, _ in found} == {"labels.distortions.0.mask"}


def test_clips(shared: Path, tmp_path: Path) -> None:
    clip = shared / "media" / "video" / "carphone_pristine.mp4"

    def one(name: str, **given: Any) -> str:
        return changed_id(plain(media=(medium(kind="video", path=str(clip), **given),)), name).to_json()

    path = write(
        tmp_path / "s.jsonl", one("a"), one("b", duration_s=99.0), one("c", span_s=(0.0, 99.0)),
        changed(plain(media=(medium(kind="video", path="x", duration_s=1.0),)), "media.0.duration_s", 0),
    )  # fmt: skip
    found = listed(path, "open")
    assert [(line, field) for line, field, _ in found] == [
        (2, "media.0.duration_s"), (3, "media.0.span_s"), (4, "media.0.duration_s"),
    ]  # fmt: skip


def test_json_of_another_kind(tmp_path: Path) -> None:
    path = write(tmp_path / "s.jsonl", json.dumps([1]), json.dumps({"status": "scored"}))
    fields = {(line, field) for line, field, _ in listed(path)}
    assert {(1, ""), (2, "id"), (2, "media"), (2, "status")} == fields
