"""The page: self-contained, everything on it, and no text of a sample can act on it."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mllmqa.data.formats import FORMATS, export_file
from mllmqa.data.sample import Sample
from mllmqa.data.sample_file import write_samples
from mllmqa.data.sample_labels import Caption, Distortion, Labels, Mcq, Preference, Stall
from mllmqa.data.sheet import look_at, write_sheet
from mllmqa.data.sheet.page import MOST_ERRORS, page
from mllmqa.errors import DataError, UsageError
from tests.conftest import photo_pixels
from tests.data.samples_made import full, medium, mos, plain, said
from tests.pages_read import Elements

EVIL = '"><script>alert(1)</script><img src=x onerror=alert(1)>&{{ 7 * 7 }}'
CLIP = Path(__file__).parents[3] / "docs" / "samples" / "flower.mp4"


def media(folder: Path) -> None:
    (folder / "ref").mkdir(exist_ok=True)
    for name in ("ref/boat", "A.png", "B.png"):
        Image.fromarray(photo_pixels(64, 48)).save(folder / name, "PNG")
    (folder / "clip.mp4").write_bytes(CLIP.read_bytes())
    (folder / "masks").mkdir(exist_ok=True)
    Image.fromarray(np.full((48, 64), 255, np.uint8)).save(folder / "masks" / "b.png")


def html(folder: Path, *made: Sample, limit: int = 50) -> str:
    path = folder / "s.jsonl"
    path.unlink(missing_ok=True)
    write_samples(made, path)
    return page(look_at(path, limit=limit))


def test_everything_of_a_sample_is_on_the_page(tmp_path: Path) -> None:
    media(tmp_path)
    text = html(tmp_path, full())
    elements = Elements(text)
    assert elements.open == []
    words = " ".join(" ".join(elements.texts).split())
    for expected in (
        "1 samples", "rate", "train", "made up", "CC0-1.0",
        "MOS A", "3.9 ± 0.5 on 1–5, higher-better", "10 ratings",
        "good (deqa)", "A of A, B, 80 %, better", "blur_lens, severity 1", '"radius": 2', "box 4 6 20 30", "mask",
        "1.0–1.5 s", "clip at 0.5 s for 2.0 s", "Which is sharper?", "✓ A", "A boat.", "Three versions of a boat.",
        "You judge pictures.", "Which is better, and what is in the clip?", "A is better; the clip freezes.",
        "ref reference, 64×48", "Distortions × severity", "Words per assistant message",
    ):  # fmt: skip
        assert expected in words, expected
    pictures = [attrs["href"] for tag, attrs in elements.found if tag == "image"]
    assert len(pictures) == 3 + 4
    assert all(str(uri).startswith("data:image/jpeg;base64,") for uri in pictures)
    boxes = [attrs for tag, attrs in elements.found if tag == "rect" and attrs.get("class") == "mark"]
    assert [(b["x"], b["y"], b["width"], b["height"]) for b in boxes] == [("4", "6", "16", "24")]


def test_the_page_needs_nothing_from_outside_and_runs_nothing(tmp_path: Path) -> None:
    media(tmp_path)
    elements = Elements(html(tmp_path, full()))
    assert not {"script", "link", "iframe", "object", "img"} & {tag for tag, _ in elements.found}
    for _, attrs in elements.found:
        assert not [name for name in attrs if name.startswith("on") or name == "src"]
        assert not [v for v in attrs.values() if v and re.search(r"https?:|url\(|javascript:", v)]
    assert "default-src 'none'" in str([attrs for tag, attrs in elements.found if tag == "meta"])


def test_texts_are_shown_not_obeyed(tmp_path: Path) -> None:
    labels = Labels(
        mos=(mos(aspect=EVIL),),
        distortions=(Distortion(media="A", category=EVIL, name=EVIL, severity=1.0, parameters={EVIL: EVIL}),),
        mcq=Mcq(question=EVIL, options=(EVIL, "b"), answer=0),
        captions=(Caption(text=EVIL),),
    )
    sample = plain(
        id=EVIL, labels=labels, task=EVIL, source=EVIL, licence=EVIL, media=(medium(path=EVIL),),
        messages=(said("user", "@A", EVIL), said("assistant", EVIL)),
    )  # fmt: skip
    elements = Elements(html(tmp_path, sample))
    assert "script" not in {tag for tag, _ in elements.found}
    assert not [attrs for _, attrs in elements.found if "onerror" in attrs]
    assert any("{{ 7 * 7 }}" in text for text in elements.texts)
    assert "49" not in elements.texts


def test_preferences_and_stalls_of_a_pair(tmp_path: Path) -> None:
    pair = plain(media=(medium(), medium("B")), labels=Labels(preference=Preference(among=("A", "B"))))
    assert "a tie of A, B" in html(tmp_path, pair)
    media(tmp_path)
    stall = Labels(stalls=(Stall(media="A", start_s=1.0, duration_s=2.5),))
    elements = Elements(html(tmp_path, plain(media=(medium(kind="video", path="clip.mp4"),), labels=stall)))
    (mark,) = [attrs for tag, attrs in elements.found if tag == "u"]
    assert mark["title"] == "stall of 2.5 s"


def test_boxes_of_a_clip_are_drawn_while_they_last(tmp_path: Path) -> None:
    media(tmp_path)
    box = Distortion(media="A", category="blur", box=(0, 0, 9, 9), span_s=(0.0, 0.5))
    clip = plain(media=(medium(kind="video", path="clip.mp4"),), labels=Labels(distortions=(box,)))
    assert html(tmp_path, clip).count('class="mark"') == 0  # the first of four frames is later
    later = Distortion(media="A", category="blur", box=(0, 0, 9, 9), span_s=(0.0, 1.0))
    assert (
        html(tmp_path, clip.model_copy(update={"labels": Labels(distortions=(later,))})).count('class="mark"') == 1
    )


def test_missing_media_are_told_in_their_place(tmp_path: Path) -> None:
    assert "no such file" in html(tmp_path, plain())


def test_all_are_counted_and_some_are_shown(tmp_path: Path) -> None:
    path = tmp_path / "s.jsonl"
    write_samples((plain(id=f"s{k}") for k in range(300)), path)
    sheet = look_at(path, limit=20, seed=1)
    lines = [line for line, _ in sheet.chosen]
    assert sheet.summary.n == 300
    assert len(lines) == 20
    assert lines == sorted(set(lines))
    assert [line for line, _ in look_at(path, limit=20, seed=1).chosen] == lines
    assert [line for line, _ in look_at(path, limit=20, seed=2).chosen] != lines
    assert look_at(path, limit=0).chosen == []
    assert len(look_at(path, limit=999).chosen) == 300
    assert all(sample.id == f"s{line - 1}" for line, sample in sheet.chosen)


def test_every_line_has_the_same_chance(tmp_path: Path) -> None:
    path = tmp_path / "s.jsonl"
    write_samples((plain(id=f"s{k}") for k in range(10)), path)
    counts = np.zeros(10)
    for seed in range(400):
        counts[[line - 1 for line, _ in look_at(path, limit=3, seed=seed).chosen]] += 1
    assert counts.sum() == 1200
    assert counts.min() > 85  # 120 ± 9
    assert counts.max() < 155


def test_unreadable_lines_are_counted_and_shown(tmp_path: Path) -> None:
    path = tmp_path / "s.jsonl"
    bad = b'{"id": "\xff"}\n' + b'{"id": 3}\n' * 30
    path.write_bytes(plain().to_json().encode() + b"\n" + bad)
    sheet = look_at(path)
    assert (sheet.summary.n, sheet.n_unreadable, len(sheet.errors)) == (1, 31, MOST_ERRORS)
    text = page(sheet)
    assert "31 unreadable lines" in text
    assert "line 2: the record is not UTF-8" in text
    assert "and 11 more" in text


def test_a_file_without_any_valid_sample_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "s.jsonl"
    path.write_text("[]\n")
    with pytest.raises(DataError, match=r"holds no sample; line 1: the record is \[\]; expected an object"):
        look_at(path)
    path.write_text("")
    with pytest.raises(DataError, match="an empty file"):
        look_at(path)


def test_parquet_is_shown_as_well(tmp_path: Path) -> None:
    export_file([plain(), full()], FORMATS["parquet"], tmp_path / "s.parquet")
    sheet = look_at(tmp_path / "s.parquet")
    assert [sample.id for _, sample in sheet.chosen] == ["one", "all"]


def test_only_our_own_pages_are_replaced(tmp_path: Path) -> None:
    path, out = tmp_path / "s.jsonl", tmp_path / "s.html"
    write_samples([plain()], path)
    write_sheet(look_at(path), out)
    write_sheet(look_at(path), out)
    assert out.read_text(encoding="utf-8").startswith("<!doctype html>")
    out.write_text("<html>my thesis</html>")
    for taken in (out, tmp_path):
        with pytest.raises(UsageError, match="no page of mllmqa"):
            write_sheet(look_at(path), taken)
    with pytest.raises(UsageError, match="cannot be written"):
        write_sheet(look_at(path), tmp_path / "no" / "s.html")
    assert out.read_text() == "<html>my thesis</html>"
