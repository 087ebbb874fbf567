"""The label files that are really in circulation: counts, ranges, directions and traps (needs ../shared)."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from mllmqa.data import registry
from mllmqa.data.bins import Bins
from mllmqa.data.findings import Findings
from mllmqa.data.labels import soft_labels
from mllmqa.data.ratings import Columns, RatingScale
from mllmqa.data.registry.check import check_known, check_table
from mllmqa.data.splits import PARTS, official_split, split_of
from mllmqa.data.tables import TableForm
from mllmqa.errors import DataError, UsageError

FACTS = "fixtures/classic/dataset_facts_measured.json"
LABELS = "fixtures/labels"

FILES: list[tuple[str, str, str, int, str | None]] = [
    ("agiqa3k", "agiqa3k", "quality", 2982, None),
    ("agiqa3k", "agiqa3k", "alignment", 2982, None),
    ("koniq", "koniq10k", "zscore", 10073, None),
    ("koniq", "koniq10k", "raw", 10073, None),
    ("q_align", "koniq10k", "q-align-test", 2010, None),
    ("spaq_kadid_std", "spaq", "mllms-for-iqa", 11125, "spaq"),
    ("spaq_kadid_std", "kadid10k", "mllms-for-iqa", 10125, "kadid10k"),
    ("live_dmos", "live", "realigned", 779, "live"),
    ("q_align", "live", "q-align", 982, None),
    ("q_align", "csiq", "q-align", 750, "csiq"),
    ("uhd_iqa", "uhd-iqa", "authors", 6073, "uhd_iqa"),
    ("bvqa", "konvid1k", "bvqa", 1200, "kvd_konvid1k"),
    ("bvqa", "live-vqc", "bvqa", 585, "live_vqc"),
    ("bvqa", "youtube-ugc", "bvqa", 1380, "youtube_ugc_1380_MOSFull"),
    ("fastvqa_format/CVD2014", "cvd2014", "fast-vqa", 234, "cvd2014"),
    ("fastvqa_format/KoNViD", "konvid1k", "fast-vqa", 1200, "kvd_konvid1k"),
    ("fastvqa_format/LIVE_VQC", "live-vqc", "fast-vqa", 585, "live_vqc"),
    ("fastvqa_format/YouTubeUGC", "youtube-ugc", "fast-vqa", 1147, "youtube_ugc_1147"),
]


@pytest.fixture(scope="module")
def facts(shared: Path) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = json.loads((shared / FACTS).read_text())
    return found


@pytest.mark.parametrize(("folder", "name", "table", "n", "fact"), FILES, ids=[f"{f[1]}-{f[2]}" for f in FILES])
def test_counts_ranges_and_directions(
    shared: Path, facts: dict[str, Any], folder: str, name: str, table: str, n: int, fact: str | None
) -> None:
    report = check_known(shared / LABELS / folder, name, table, media="none")
    assert [one.kind for one in report.findings if one.error] == []
    scores = [row.score for row in report.rows]
    assert len(scores) == n
    assert all(math.isfinite(score) for score in scores)
    if fact is not None:
        known = facts[fact]
        assert (report.scale.direction == "mos") is known["higher_is_better"]
        assert (min(scores), max(scores)) == pytest.approx((known["min"], known["max"]), abs=1e-4)
        assert n == known["n"] or (name, known["n"]) == ("csiq", 866)
        if known.get("references") and report.record()["references"]:
            assert report.record()["references"] == known["references"]


def test_measured_facts_agree_with_the_cards(facts: dict[str, Any]) -> None:
    """Also for the sets whose labels are not here."""
    same = {
        "tid2008": "tid2008", "tid2013": "tid2013", "kadid10k": "kadid10k", "pipal_train": "pipal", "spaq": "spaq",
        "uhd_iqa": "uhd-iqa", "csiq": "csiq", "live": "live", "ava": "ava", "cvd2014": "cvd2014",
        "live_qualcomm": "live-qualcomm", "live_vqc": "live-vqc", "kvd_konvid1k": "konvid1k",
    }  # fmt: skip
    for fact, name in same.items():
        known, card = facts[fact], registry.data_set(name)
        assert card.items == known["n"], name
        assert (card.opinion == "mos") is known["higher_is_better"], name
        assert (card.references or 0) == known.get("references", 0), name
        measured = card.tables[0].score.measured
        assert measured == pytest.approx((known["min"], known["max"]), rel=1e-3), name
    parts = {table.id: table for table in registry.data_set("lsvq").tables}
    for fact, part in (("lsvq_train", "train"), ("lsvq_test", "test"), ("lsvq_1080p", "test-1080p")):
        assert parts[part].n == facts[fact]["n"]
        assert parts[part].score.measured == pytest.approx((facts[fact]["min"], facts[fact]["max"]))


@pytest.mark.parametrize(("file", "groups"), [("csiq.json", "150 of 150 groups"), ("live.json", "203 of 982 rows")])
def test_dmos_that_is_read_as_mos_is_found(shared: Path, file: str, groups: str) -> None:
    """Q-Align's lists name a DMOS gt_score and are used as MOS: the best image becomes "bad"."""
    path, columns = shared / LABELS / "q_align" / file, Columns("image", "gt_score")
    inverted = check_table(path, columns, RatingScale("mos", 0, 100), TableForm(), media="none")
    assert [one.kind for one in inverted.findings] == ["direction-doubt"]
    assert groups in next(iter(inverted.findings)).examples[0]
    right = check_table(path, columns, RatingScale("dmos", 0, 100), TableForm(), media="none")
    assert right.findings.errors == 0


def test_by_the_card_an_undistorted_live_image_is_excellent(shared: Path) -> None:
    rated = registry.read(shared / LABELS / "q_align", "live", "q-align", findings=Findings(), media=False)
    best = [one.level for row, one in zip(rated.rows, rated.levelled(), strict=True) if row.score == 0]
    assert len(best) == 203
    assert min(best) > 4.99


def test_live_leaves_203_undistorted_copies_out(shared: Path) -> None:
    report = check_known(shared / LABELS / "live_dmos", None, None, media="none")
    assert (report.name, report.table, len(report.rows)) == ("live", "realigned", 779)
    assert not any(row.score == 0 for row in report.rows)
    assert report.findings.count("no-references") == 1
    with pytest.raises(DataError, match="has no reference to divide by"):
        split_of(registry.data_set("live"), report.rows)


def test_kadid_is_divided_by_its_81_photos(shared: Path) -> None:
    report = check_known(shared / LABELS / "spaq_kadid_std", "kadid10k", None, media="none")
    assert report.findings.count("zero-std") == 2
    for index in range(10):
        split = split_of(registry.data_set("kadid10k"), report.rows, index)
        assert (len(split.train), len(split.test)) == (65 * 125, 16 * 125)
        assert not {name[:3] for name in split.train} & {name[:3] for name in split.test}


def test_uhd_iqa_has_official_parts(shared: Path) -> None:
    rated = registry.read(shared / LABELS / "uhd_iqa", "uhd-iqa", findings=Findings(), media=False)
    split = official_split(rated.rows, "uhd-iqa")
    assert tuple(len(getattr(split, part)) for part in PARTS) == (4269, 904, 900)


def test_names_without_extension_become_clips(shared: Path) -> None:
    rated = registry.read(shared / LABELS / "bvqa", "youtube-ugc", findings=Findings(), media=False)
    assert rated.rows[0].path.as_posix() == "Animation_1080P-01b3.mp4"
    assert (rated.rows[0].std, rated.rows[0].n) == (0.468, 125)


def test_the_last_column_of_maxwell_is_overall(shared: Path) -> None:
    report = check_known(
        shared / LABELS / "fastvqa_format" / "DIVIDE_MaxWell", "divide-maxwell", None, media="none"
    )
    assert (len(report.rows), report.rows[0].score) == (909, 1.028571429)
    assert report.record()["parts"] == {"validation": 909}
    assert [(one.kind, one.count) for one in report.findings] == [("missing-labels", 1)]


@pytest.mark.parametrize("folder", ["q_align", "bvqa", "fastvqa_format/KoNViD", "spaq_kadid_std"])
def test_folders_that_fit_several_data_sets_are_not_guessed(shared: Path, folder: str) -> None:
    with pytest.raises(UsageError, match="say which with --name"):
        check_known(shared / LABELS / folder, None, None, media="none")


def test_soft_labels_of_all_real_deviations(shared: Path) -> None:
    for name in ("spaq", "kadid10k"):
        rated = registry.read(shared / LABELS / "spaq_kadid_std", name, findings=Findings(), media=False)
        levels = [one.level for one in rated.levelled()]
        stds = [rated.scale.std_levels(row.std or 0.0) for row in rated.rows]
        made = soft_labels(levels, stds)
        assert made is not None
        assert abs(made.mean - levels).max() < 1e-9
        assert abs(made.probabilities.sum(1) - 1).max() < 1e-12
        hard = Bins.equal_width(1, 5).index(levels)
        assert set(hard.tolist()) == {0, 1, 2, 3, 4}
