"""Checks of folders and of tables of one's own: everything wrong is found, counted and named."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from mllmqa.data.ratings import Columns, RatingScale
from mllmqa.data.registry.check import Report, check_known, check_table
from mllmqa.data.tables import TableForm
from mllmqa.errors import DataError, UsageError
from tests.conftest import photo_pixels
from tests.media.made import make_video

SCALE = RatingScale("mos", 1, 5)


def kinds(report: Report) -> dict[str, int]:
    return {one.kind: one.count for one in report.findings}


def uhd(root: Path, *, train: int = 4269, low: float = 0.2865, high: float = 0.889) -> Path:
    sizes = {"training": train, "validation": 904, "test": 900}
    lines = ["image_name,quality_mos,set"]
    for part, size in sizes.items():
        for k in range(size):
            score = low if (part, k) == ("test", 0) else high if (part, k) == ("test", 1) else 0.3 + 0.5 * k / size
            lines.append(f"{part}{k}-x.jpg,{score:.5f},{part}")
    (root / "uhd-iqa-metadata.csv").write_text("\n".join(lines))
    return root


def test_a_complete_set_of_labels_agrees(tmp_path: Path) -> None:
    report = check_known(uhd(tmp_path), None, None, media="none")
    assert kinds(report) == {}
    record = report.record()
    assert (record["n"], record["errors"], record["measured"]) == (6073, 0, [0.2865, 0.889])
    assert record["parts"] == {"train": 4269, "validation": 904, "test": 900}
    assert record["media_found"] is None
    assert json.loads(json.dumps(record)) == record


def test_counts_and_parts_that_differ(tmp_path: Path) -> None:
    report = check_known(uhd(tmp_path, train=4268), None, None, media="none")
    assert kinds(report) == {"count": 1, "part": 1}
    texts = [one.examples[0] for one in report.findings]
    assert texts[0].endswith("6072 usable rows; expected 6073")
    assert texts[1].endswith("4268 rows in the part train; expected 4269")


def test_ranges_that_differ(tmp_path: Path) -> None:
    report = check_known(uhd(tmp_path, high=0.95), "uhd-iqa", "authors", media="none")
    assert kinds(report) == {"range": 1}
    assert "scores range over 0.2865..0.95; expected 0.2865..0.889" in next(iter(report.findings)).examples[0]


def test_missing_media_are_counted_and_the_first_named(tmp_path: Path) -> None:
    uhd(tmp_path)
    for k in range(3):
        (tmp_path / f"training{k}-x.jpg").touch()
    (tmp_path / "stranger.png").touch()
    report = check_known(tmp_path, None, None)
    assert (report.media_found, report.unlabelled) == (3, 1)
    (missing,) = list(report.findings)
    assert (missing.kind, missing.count, len(missing.examples)) == ("missing-media", 6070, 5)
    assert "no file 'training3-x.jpg'" in missing.examples[0]


def kadid(root: Path, photos: int) -> Path:
    lines = ["dist_img,ref_img,dmos,var"]
    for p in range(1, photos + 1):
        for d in range(1, 26):
            lines += [
                f"I{p:02}_{d:02}_0{s}.png,I{p:02}.png,{4.93 - 0.9 * (s - 1) - (p * d) % 33 / 1000:.3f},0.49"
                for s in range(1, 6)
            ]
    lines[5] = "I01_01_05.png,I01.png,1.0,0.49"
    (root / "dmos.csv").write_text("\n".join(lines))
    return root


def test_originals_are_counted(tmp_path: Path) -> None:
    report = check_known(kadid(tmp_path, 80), None, None, media="none")
    assert kinds(report) == {"count": 1, "references": 1}
    assert report.rows[0].std == pytest.approx(0.7)
    assert kinds(check_known(kadid(tmp_path, 81), None, None, media="none")) == {}


def test_kadid_with_turned_scores_is_doubted(tmp_path: Path) -> None:
    lines = (kadid(tmp_path, 81) / "dmos.csv").read_text().splitlines()
    turned = [
        ",".join((a, b, f"{5.93 - float(c):.3f}", d)) for a, b, c, d in (line.split(",") for line in lines[1:])
    ]
    (tmp_path / "dmos.csv").write_text("\n".join([lines[0], *turned]))
    assert "direction-doubt" in kinds(check_known(tmp_path, None, None, media="none"))


def test_half_of_the_label_files(tmp_path: Path) -> None:
    (tmp_path / "Train (Images and MOS).csv").write_text("Image Name,MOS\na.jpg,0.4\n")
    report = check_known(tmp_path, None, None, media="none")
    assert kinds(report) == {"missing-labels": 1, "part": 1}  # counts of the whole set are not compared


def test_a_table_with_everything_wrong(tmp_path: Path) -> None:
    rows = [
        ("a.png", "3"), ("A.PNG", "2"), ("gone.png", "2"), ("b", "4"), ("a.png", "3"), ("c.png", "nan"),
        ("d.png", "5.5"), ("e.png", "x"), ("", "3"), ("f.png", "1.57 "),
    ]  # fmt: skip
    for name in ("a.png", "b.mp4", "c.png", "sub/d.png", "e.png", "f.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    path = tmp_path / "mine.csv"
    path.write_text("file,mos\n" + "".join(f"{name},{score}\n" for name, score in rows))
    report = check_table(path, Columns("file", "mos"), SCALE, TableForm())
    found = kinds(report)
    cases = found.pop("other-case", 0)  # exact where the file system does not tell case apart
    assert found.pop("duplicate") == 1 + cases  # a.png again, and under its other name
    assert found == {
        "missing-media": 1, "no-path": 1, "not-a-number": 2, "off-scale": 1, "no-extension": 1, "elsewhere": 1,
        "blanks": 1,
    }  # fmt: skip
    assert report.findings.errors == 6 + cases
    again = [] if cases else ["A.PNG"]
    assert [row.name for row in report.rows] == ["a.png", *again, "gone.png", "b", "d.png", "f.png"]


def test_a_table_without_usable_rows(tmp_path: Path) -> None:
    path = tmp_path / "mine.jsonl"
    path.write_text('{"file": "a", "mos": null}\n')
    report = check_table(path, Columns("file", "mos"), SCALE, TableForm(), media="none")
    assert kinds(report) == {"not-a-number": 1, "no-rows": 1}
    assert report.record()["measured"] is None


def test_what_cannot_be_read_at_all_raises(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such folder"):
        check_known(tmp_path / "none", None, None)
    with pytest.raises(UsageError, match="no label file of a known data set"):
        check_known(tmp_path, None, None)
    with pytest.raises(DataError, match="no such label file of kadid10k"):
        check_known(tmp_path, "kadid10k", None)
    (tmp_path / "dmos.csv").write_text("image,score\na,1\n")
    with pytest.raises(DataError, match="line 1: 0 columns are named 'dist_img'; expected one of image, score"):
        check_known(tmp_path, "kadid10k", None)


def test_media_of_a_table_are_opened_where_it_is_asked_for(tmp_path: Path) -> None:
    Image.fromarray(photo_pixels(80, 60)).save(tmp_path / "a.png")
    (tmp_path / "cut.png").write_bytes((tmp_path / "a.png").read_bytes()[:900])
    (tmp_path / "text.jpg").write_text("no picture")
    path = tmp_path / "mine.csv"
    path.write_text("file,mos\na.png,3\ncut.png,3\ntext.jpg,3\ngone.png,3\n")
    looked = check_table(path, Columns("file", "mos"), SCALE, TableForm())
    assert kinds(looked) == {"missing-media": 1}
    assert (looked.media_found, looked.media_readable) == (3, None)
    opened = check_table(path, Columns("file", "mos"), SCALE, TableForm(), media="open")
    assert kinds(opened) == {"missing-media": 1, "unreadable-media": 2}
    assert (opened.media_found, opened.media_readable) == (3, 1) == (3, opened.record()["media_readable"])
    named = next(one for one in opened.findings if one.kind == "unreadable-media").examples
    assert named[0].startswith(f"{path}, line 3: its file cannot be used ({tmp_path / 'cut.png'}: ")
    assert named[1].startswith(f"{path}, line 4: ") and "text.jpg" in named[1]


def test_media_of_a_known_set_are_opened_and_of_its_kind(tmp_path: Path) -> None:
    uhd(tmp_path)
    Image.fromarray(photo_pixels(80, 60)).save(tmp_path / "test0-x.jpg")
    make_video(tmp_path / "clip.mp4", 4)
    (tmp_path / "clip.mp4").rename(tmp_path / "test1-x.jpg")
    (tmp_path / "test2-x.jpg").touch()
    report = check_known(tmp_path, "uhd-iqa", None, media="open")
    assert kinds(report) == {"missing-media": 6070, "unreadable-media": 1, "wrong-kind": 1}
    assert report.media_readable == 2
    wrong = next(one for one in report.findings if one.kind == "wrong-kind")
    assert "test1-x.jpg is of the kind video (mp4); expected image" in wrong.examples[0]
