"""Structured assessments, and how they are shown."""

from __future__ import annotations

import io
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mllmqa.asking import pages
from mllmqa.asking.explain import Assessment, ExplainOptions, explain
from mllmqa.asking.pictures import colour, heat_map, picture_of, timeline
from mllmqa.asking.records import TileMap
from mllmqa.asking.texts import effects
from mllmqa.data.tasks.wording import vocabulary
from mllmqa.data.teacher.claims import mentions
from mllmqa.errors import MediaError, UsageError
from mllmqa.scoring import Scorer
from tests.asking.conftest import Eye, Make
from tests.conftest import photo_pixels


@pytest.fixture
def bad(scorer: Scorer, eye: Eye, make: Make) -> Assessment:
    eye.says.append("There is serious blur and slight noise; so the quality of the image is poor.")
    return explain(scorer, make("a<b>.png", "poor", blur="serious", noise="slight"))


def test_an_assessment_is_made_of_readings(bad: Assessment) -> None:
    assert (bad.level, round(bad.score, 1)) == ("poor", 2.1)
    first, second = bad.distortions
    assert (first.category, first.grade, first.severity, first.boxes) == ("blur", "serious", 4, ())
    assert (second.label, second.grade, second.effect) == ("noise", "slight", effects()["noise"])
    assert bad.paragraph == bad.answer.text
    assert bad.answer.source == "model"
    assert Assessment.model_validate_json(bad.model_dump_json()) == bad


def test_a_paragraph_that_does_not_hold_is_composed(scorer: Scorer, eye: Eye, make: Make) -> None:
    eye.says += ["There is no distortion.", "There is no distortion."]
    it = explain(scorer, make("a.png", "poor", blur="serious"))
    assert it.answer.source == "evidence"
    stated = "The quality of the image is poor (2.1 of 5). The image shows serious blur."
    assert it.paragraph == f"{stated} Edges and fine texture are lost."


def test_steps_are_the_reasoning_forms(scorer: Scorer, eye: Eye, make: Make) -> None:
    one = make("a.png", "poor", blur="serious")
    eye.says += ["There is blur.", "1. Content: a house.\n2. There is serious blur.\n5. Thus the quality is poor."]
    it = explain(scorer, one, options=ExplainOptions(steps="five"))
    assert it.reasoning is not None
    assert it.reasoning.startswith("1. Content")
    assert "0 to 1000" in eye.spoken_to[1].texts[-1]
    eye.says += ["There is serious blur.", "1. There is one region of blur. 3. In sum, the blur is serious."]
    three = explain(scorer, one, options=ExplainOptions(steps="three", max_new_tokens=99))
    assert three.reasoning is not None
    assert "blur" in eye.spoken_to[3].texts[-1].split("Question: ")[1]
    eye.says.append("There is no distortion.")
    clean = explain(scorer, make("b.png", "good", 1), options=ExplainOptions(steps="three"))
    assert clean.reasoned is None


def test_nano_does_not_reason_in_steps(nano: Scorer, photo: Path) -> None:
    with pytest.raises(UsageError, match=r"nano: reasoning in five steps; expected a model that follows"):
        explain(nano, photo, options=ExplainOptions(steps="five"))


def test_a_video_has_a_timeline(scorer: Scorer, eye: Eye) -> None:
    clip = np.stack([photo_pixels(64, 64, seed=k) for k in range(4)])
    eye.says.append("There is no distortion.")
    it = explain(scorer, clip, options=ExplainOptions(frames="uniform:4"))
    assert it.evidence.score.frames is not None
    assert it.worst_spans_s == ()
    picture = Image.open(io.BytesIO(picture_of(clip, it.evidence, ((), ()))))
    assert picture.format == "PNG"
    assert picture.width == 960
    assert pages.caption_of(it).startswith("Quality over time")


def test_what_cannot_be_read_is_an_error_of_its_own(scorer: Scorer, tmp_path: Path) -> None:
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no")
    with pytest.raises(MediaError, match=r"broken\.png"):
        explain(scorer, broken)


# ------------------------------------------------------------------ effects


def test_every_category_has_an_effect_that_names_no_other() -> None:
    assert set(effects()) == set(vocabulary().categories)
    for category, text in effects().items():
        assert {one.category for one in mentions(text)} <= {category}, text


# ------------------------------------------------------------------ pages


def test_text(bad: Assessment) -> None:
    lines = pages.as_text(bad, "a.png").splitlines()
    assert lines[0] == "a.png: poor, 2.05 ± 0.22 of 5"
    assert [line.split()[0] for line in lines[4:6]] == ["blur", "noise"]
    assert lines[-1].startswith("Written by the model and held against its readings, confidence 0.")


def test_markdown_escapes_names(bad: Assessment) -> None:
    text = pages.as_markdown(bad, "a|b<i>.png", "map.png")
    assert text.startswith("# a\\|b\\<i\\>.png\n")
    assert "![Quality by place, 1 bad to 5 excellent](map.png)" in text
    assert "| blur | serious (4.0 of 5) | 0.95 | everywhere | edges and fine texture are lost |" in text


def test_html_needs_nothing_else_and_escapes_all(bad: Assessment) -> None:
    hostile = '<script>alert("x")</script>.png'
    text = pages.as_html(bad, hostile, heat_map(photo_pixels(64, 64), TileMap(rows=1, columns=1, values=(2.0,))))
    assert "<script" not in text
    assert "&lt;script&gt;" in text
    assert re.findall(r'(?:src|href)="([^"]{0,22})', text) == ["data:image/png;base64,"]
    assert not re.search(r"https?://", text)


def test_pages_of_a_clean_file(scorer: Scorer, eye: Eye, make: Make) -> None:
    eye.says.append("There is no distortion; so the quality of the image is excellent.")
    it = explain(scorer, make("a.png", "excellent"))
    for page in (pages.as_text(it, "a"), pages.as_markdown(it, "a"), pages.as_html(it, "a")):
        assert "No distortion" in page


# ------------------------------------------------------------------ pictures


def test_colours_run_from_red_to_green() -> None:
    assert colour(1)[0] > 150 > colour(1)[1]
    assert colour(5)[1] > 100 > colour(5)[0]
    assert colour(0) == colour(1)
    assert colour(9) == colour(5)


def test_the_heat_map_colours_each_tile_and_frames_the_worst() -> None:
    grey = np.full((120, 240, 3), 128, np.uint8)
    made = heat_map(grey, TileMap(rows=1, columns=2, values=(1.0, 5.0)), [(0, 0, 500, 1000)])
    pixels = np.asarray(Image.open(io.BytesIO(made)))
    assert pixels.shape == (120 + 34, 240, 3)
    assert tuple(pixels[20, 60]) == tuple(round(0.58 * 128 + 0.42 * c) for c in colour(1.0))
    assert tuple(pixels[20, 180]) == tuple(round(0.58 * 128 + 0.42 * c) for c in colour(5.0))
    assert tuple(pixels[1, 60]) == colour(1.0)  # the frame
    assert tuple(pixels[1, 180]) != colour(1.0)


def test_the_timeline_shades_the_worst_span() -> None:
    frames = [photo_pixels(64, 48, seed=k) for k in range(2)]
    plain = np.asarray(Image.open(io.BytesIO(timeline(frames, [0.5, 1.5], [4.0, 2.0], [], 2.0))))
    shaded = np.asarray(Image.open(io.BytesIO(timeline(frames, [0.5, 1.5], [4.0, 2.0], [(1.0, 2.0)], 2.0))))
    assert plain.shape == shaded.shape
    changed = np.flatnonzero((plain != shaded).any(axis=(0, 2)))
    assert 480 <= changed.min() <= 482  # the middle of the axis
    assert changed.max() <= 926


def test_one_frame_is_a_timeline_too() -> None:
    assert timeline([photo_pixels(64, 48)], [0.0], [3.0], [], 0.0).startswith(b"\x89PNG")
