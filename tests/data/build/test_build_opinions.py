"""Rated media as labels: scale, direction, deviation, levels; rows that cannot be used are counted and named."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from mllmqa.data.build.opinions import Rated, of_data_set, of_table, quality_level
from mllmqa.data.findings import Findings
from mllmqa.data.ratings import Columns, Rating, RatingScale
from mllmqa.errors import DataError
from tests.conftest import photo_pixels
from tests.data.build.built_here import COLUMNS, MOS, table

DMOS = RatingScale("dmos", 0.0, 100.0)


def rated(score: float, scale: RatingScale = MOS, **more: Any) -> Rated:
    row = Rating("a.png", Path("a.png"), score, more.pop("std", None), "t.csv, line 2", **more)
    return Rated(row, scale, "t", "train", "CC0-1.0")


def found(path: Path, columns: Columns = COLUMNS, scale: RatingScale = MOS) -> tuple[list[str], Findings]:
    findings = Findings()
    return [one.rating.name for one in of_table(path, columns, scale, findings)], findings


def test_a_score_keeps_its_scale_and_direction() -> None:
    mos = rated(20.0, DMOS, std=5.0, n=12.0).mos("B")
    assert (mos.media, mos.value, mos.std, mos.low, mos.high) == ("B", 20.0, 5.0, 0.0, 100.0)
    assert (mos.direction, mos.n_ratings) == ("lower-better", 12)
    assert mos.goodness == 0.8
    assert rated(4.0).mos("A").direction == "higher-better"


def test_a_deviation_on_another_scale_is_brought_to_this_one() -> None:
    koniq = RatingScale("mos", 0.0, 100.0, std_width=4.0)
    one = rated(60.0, koniq, std=0.5)
    assert one.mos("A").std == pytest.approx(12.5)
    assert one.std == pytest.approx(0.5)
    assert rated(3.0).std is None and rated(3.0).mos("A").std is None


@pytest.mark.parametrize(("n", "kept"), [(None, None), (0.0, None), (0.4, None), (7.0, 7)])
def test_a_number_of_opinions_is_at_least_one(n: float | None, kept: int | None) -> None:
    assert rated(3.0, n=n).mos("A").n_ratings == kept


def test_a_histogram_becomes_shares() -> None:
    histogram = rated(3.0, histogram=(1.0, 0.0, 2.0, 0.0, 1.0)).mos("A").histogram
    assert histogram is not None
    assert histogram.scores == (1.0, 2.0, 3.0, 4.0, 5.0)
    assert histogram.weights == (0.25, 0.0, 0.5, 0.0, 0.25)
    assert rated(3.0, histogram=(0.0, 0.0)).mos("A").histogram is None


@given(st.floats(0, 1), st.booleans(), st.sampled_from([(1.0, 5.0), (0.0, 100.0), (-1.0, 1.0)]))
def test_levels_are_five_bins_whatever_the_direction(share: float, turned: bool, ends: tuple[float, float]) -> None:
    low, high = ends
    score = min(max(low + share * (high - low), low), high)
    scale = RatingScale("dmos" if turned else "mos", low, high)
    one = rated(score, scale)
    level = one.level("A")
    assert level.scale == ("excellent", "good", "fair", "poor", "bad")
    place = 4 - level.scale.index(level.word)
    assert place / 5 - 1e-9 <= one.mos("A").goodness <= (place + 1) / 5 + 1e-9
    assert level.probabilities is None and level.method == "equal-width"
    assert 1 <= one.mean <= 5


@pytest.mark.parametrize("variant", ["tilted", "affine", "deqa"])
def test_a_soft_label_is_best_first_and_says_how_it_was_made(variant: Any) -> None:
    level = rated(4.2, std=0.6).level("A", variant)
    assert level.probabilities is not None
    assert level.probabilities[0] > level.probabilities[-1]
    assert level.method == f"equal-width; soft label {variant}"
    if variant == "tilted":
        mean = sum(p * (5 - k) for k, p in enumerate(level.probabilities))
        assert mean == pytest.approx(4.2, abs=1e-6)
    worse = rated(20.0, DMOS, std=12.0).level("A", variant).probabilities
    assert worse is not None and worse[0] > worse[-1]  # a low DMOS is good
    assert rated(4.2).level("A", variant).probabilities is None


def test_the_level_of_a_pseudo_score() -> None:
    words = [quality_level(value, "A", "pseudo-mos").word for value in (1.0, 1.79, 1.81, 3.0, 4.19, 4.21, 5.0)]
    assert words == ["bad", "bad", "poor", "fair", "good", "excellent", "excellent"]
    assert quality_level(3.0, "A", "pseudo-mos").method == "pseudo-mos; equal-width"


@given(score=st.floats(1, 5), std=st.floats(0.1, 1.5))
def test_an_assumed_deviation_makes_a_soft_label_that_says_so(score: float, std: float) -> None:
    level = rated(score).level("A", variant="tilted", assumed_std=std)
    assert level.probabilities is not None
    assert sum(p * v for p, v in zip(level.probabilities, (5, 4, 3, 2, 1), strict=True)) == pytest.approx(score)
    assert (level.method or "").endswith(f"deviation {std:g} assumed")
    stated = rated(score, std=0.3)
    assert stated.level("A", variant="tilted", assumed_std=std) == stated.level("A", variant="tilted")
    assert rated(score).level("A", variant="tilted").probabilities is None
    assert rated(score).level("A", assumed_std=std).probabilities is None


@given(score=st.floats(0, 100), std=st.floats(0.1, 1.5))
def test_an_assumed_deviation_is_in_levels_on_any_scale(score: float, std: float) -> None:
    other = rated(1 + (100 - score) / 25)
    found = rated(score, DMOS).level("A", variant="tilted", assumed_std=std).probabilities
    assert found == pytest.approx(other.level("A", variant="tilted", assumed_std=std).probabilities, abs=1e-6)


@given(value=st.floats(1, 5), std=st.floats(0.1, 1.5))
def test_a_pseudo_score_may_have_a_soft_label(value: float, std: float) -> None:
    plain, soft = quality_level(value, "A", "pseudo-mos"), quality_level(value, "A", "pseudo-mos", std)
    assert (plain.word, plain.probabilities) == (soft.word, None)
    assert soft.probabilities is not None
    assert sum(p * v for p, v in zip(soft.probabilities, (5, 4, 3, 2, 1), strict=True)) == pytest.approx(value)


def test_bad_rows_of_a_table_are_counted_named_and_left_out(tmp_path: Path) -> None:
    rows = [
        ("a.png", 3),
        ("b.png", "nan"),
        ("c.png", 7),
        ("missing.png", 2),
        ("a.png", 4),
        ("d.png", ""),
        ("e.png", "2.5 "),
    ]
    names, findings = found(table(tmp_path, rows))
    assert names == ["a.png", "e.png"]
    counted = {one.kind: one.count for one in findings if one.error}
    assert counted == {"not-a-number": 2, "off-scale": 1, "missing-media": 1, "duplicate": 1}
    texts = {one.kind: one.examples[0] for one in findings}
    assert "scores.csv, line 3: field mos is 'nan'; expected a number from 1 to 5" in texts["not-a-number"]
    assert "line 4: field mos is '7'" in texts["off-scale"]
    assert "line 5: field file: no file 'missing.png'" in texts["missing-media"]
    assert "line 6: field file: 'a.png' is also in line 2" in texts["duplicate"]


def test_impossible_deviations_and_counts_are_left_out(tmp_path: Path) -> None:
    columns = Columns(path="file", score="mos", std="sd", n="n")
    rows = [
        ("a.png", 3, 0.5, 10),
        ("b.png", 3, 9, 10),
        ("c.png", 3, -1, 10),
        ("d.png", 3, 0.5, -4),
        ("e.png", 3, "", ""),
    ]
    names, findings = found(table(tmp_path, rows, "file,mos,sd,n"), columns)
    assert "a.png" in names and not {"b.png", "c.png", "d.png"} & set(names)
    assert findings.count("off-scale") == 3


def test_a_wrong_direction_is_doubted(tmp_path: Path) -> None:
    rows = [(f"I{k:02d}_{level}.png", 5 - level * 0.8) for k in range(12) for level in range(1, 6)]
    right, wrong = (
        found(table(tmp_path / "a", rows))[1],
        found(table(tmp_path / "b", rows), scale=RatingScale("dmos", 1, 5))[1],
    )
    assert right.count("direction-doubt") == 0
    assert wrong.count("direction-doubt") == 1
    (doubt,) = (one for one in wrong if one.kind == "direction-doubt")
    assert "quality rises with the last number of the name in 12 of 12 groups" in doubt.examples[0]


def test_parts_of_a_table_are_those_of_its_column(tmp_path: Path) -> None:
    columns = Columns(path="file", score="mos", split="part")
    rows = [("a.png", 3, "train"), ("b.png", 3, "validation"), ("c.png", 3, "test")]
    one = of_table(table(tmp_path, rows, "file,mos,part"), columns, MOS, Findings())
    assert [row.part for row in one] == ["train", "val", "test"]
    assert {row.source for row in one} == {"scores"}


def test_a_table_that_is_none_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="0 columns are named 'file'"):
        of_table(table(tmp_path, [("a.png", 3)], "name,mos"), COLUMNS, MOS, Findings())
    with pytest.raises(DataError, match=r"gone\.csv"):
        of_table(tmp_path / "gone.csv", COLUMNS, MOS, Findings())


def biq(root: Path, count: int = 6) -> Path:
    """A small BIQ2021, laid out as its authors do; scores on 0..1."""
    (root / "Images").mkdir(parents=True)
    for part in ("Train", "Test"):
        lines = ["Image Name,MOS"]
        for k in range(count):
            name = f"{part} ({k + 1}).jpg"
            Image.fromarray(photo_pixels(64, 48, seed=k)).save(root / "Images" / name)
            lines.append(f"{name},{0.1 + 0.8 * k / count:.3f}")
        (root / f"{part} (Images and MOS).csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return root


def test_a_registered_data_set_has_its_official_parts(tmp_path: Path) -> None:
    findings = Findings()
    rows = of_data_set(biq(tmp_path), "biq2021", findings)
    assert len(rows) == 12
    assert all(row.part == ("train" if row.rating.name.startswith("Train") else "test") for row in rows)
    assert {row.source for row in rows} == {"biq2021"}
    assert all(row.path.is_file() and row.kind is None for row in rows)
    assert (rows[0].scale.low, rows[0].scale.high) == (0.0, 1.0)
    assert rows[0].licence


def test_labels_are_enough_where_media_are_not_looked_for(tmp_path: Path) -> None:
    root = biq(tmp_path)
    for path in (root / "Images").iterdir():
        path.unlink()
    findings = Findings()
    rows = of_data_set(root, "biq2021", findings, media=False)
    assert len(rows) == 12 and {row.kind for row in rows} == {"image"}
    assert rows[0].path == root / "Images" / "Train (1).jpg"
    assert findings.count("missing-media") == 0
    assert of_data_set(root, "biq2021", findings) == []  # looked for and not there: nothing can be shown
    assert findings.count("missing-media") == 12


def test_real_labels_without_their_media(shared: Path) -> None:
    findings = Findings()
    rows = of_data_set(shared / "fixtures" / "labels" / "koniq", "koniq10k", findings, media=False)
    assert len(rows) > 10_000
    assert {row.part for row in rows} == {None}  # this label file states none, and that is told
    assert findings.count("no-division") == 1
    assert len({row.level("A").word for row in rows}) == 5
