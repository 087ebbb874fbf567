"""Splits: no content on both sides, the same everywhere, official ones as stated."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mllmqa.data.ratings import Rating
from mllmqa.data.registry import data_set
from mllmqa.data.splits import ROOT_SEED, SPLITS, Split, child, official_split, seeded_split, split_of
from mllmqa.errors import DataError, UsageError


def rating(name: str, reference: str | None = None, split: str | None = None) -> Rating:
    return Rating(name, Path(name), 3.0, None, f"labels.csv, {name}", reference=reference, split=split)


def distorted(references: int, each: int) -> list[Rating]:
    return [
        rating(f"i{r:02}_{k}.bmp", f"I{r:02}.BMP" if k else f"i{r:02}.bmp")
        for r in range(references)
        for k in range(each)
    ]


def parts(split: Split) -> list[set[str]]:
    return [set(split.train), set(split.validation), set(split.test)]


@given(
    references=st.lists(st.integers(1, 30), min_size=3, max_size=80).filter(lambda r: len(set(r)) >= 3),
    index=st.integers(0, 9),
    shares=st.sampled_from([(0.8, 0.0, 0.2), (0.7, 0.1, 0.2), (0.5, 0.25, 0.25), (1.0, 0.0, 0.0)]),
)
def test_no_reference_is_on_both_sides(
    references: list[int], index: int, shares: tuple[float, float, float]
) -> None:
    rows = [rating(f"{k}.png", str(r)) for k, r in enumerate(references)]
    split = seeded_split(rows, "made", index, by="reference", shares=shares)
    of = {row.name: row.reference for row in rows}
    found = parts(split)
    assert sum(map(len, found)) == len(rows)
    assert set().union(*found) == set(of)
    contents = [{of[name] for name in part} for part in found]
    assert not (contents[0] & contents[1] or contents[0] & contents[2] or contents[1] & contents[2])
    assert [bool(part) for part in found] == [share > 0 for share in shares]


def test_the_case_of_a_reference_does_not_divide_it() -> None:
    split = seeded_split(distorted(25, 6), "tid2013", 0, by="reference")
    assert (len(split.train), len(split.test)) == (20 * 6, 5 * 6)


def test_kadid_has_65_and_16_references() -> None:
    split = seeded_split(distorted(81, 2), "kadid10k", 3, by="reference")
    assert (len(split.train), len(split.test)) == (65 * 2, 16 * 2)
    assert split.name == f"seed {ROOT_SEED}, split 3 of kadid10k, by reference"


def test_the_order_of_rows_does_not_matter_but_is_kept() -> None:
    rows = distorted(20, 4)
    mixed = Random(5).sample(rows, len(rows))
    first, second = (seeded_split(some, "made", 2, by="reference") for some in (rows, mixed))
    assert parts(first) == parts(second)
    assert list(first.train) == [row.name for row in rows if row.name in set(first.train)]


def test_the_ten_splits_differ_and_so_do_data_sets_and_seeds() -> None:
    rows = distorted(40, 1)
    made = [seeded_split(rows, "made", k, by="item").test for k in range(SPLITS)]
    made.append(seeded_split(rows, "other", 0, by="item").test)
    made.append(seeded_split(rows, "made", 0, by="item", seed=1).test)
    assert len(set(made)) == len(made)


def test_streams_are_the_same_in_another_process() -> None:
    """Published "seed 123" splits depend on PYTHONHASHSEED, because they shuffle a set."""
    code = "from mllmqa.data.splits import child; print(child(7, 'live', 4).integers(0, 10**9, 3).tolist())"
    ran = [
        subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True,
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": ":".join(sys.path)},
        ).stdout
        for seed in ("1", "2")
    ]  # fmt: skip
    assert ran[0] == ran[1] == f"{child(7, 'live', 4).integers(0, 10**9, 3).tolist()}\n"


def test_a_golden_split_stays() -> None:
    split = seeded_split([rating(f"{k}") for k in range(10)], "golden", 0, by="item")
    assert split.test == GOLDEN


GOLDEN = ("0", "5")


def test_rows_without_reference_are_named() -> None:
    with pytest.raises(DataError, match=r"labels.csv, b: b has no reference to divide by; divide by item"):
        seeded_split([rating("a", "r"), rating("b")], "made", 0, by="reference")


def test_too_few_contents_are_named() -> None:
    with pytest.raises(DataError, match="made: 1 references cannot be divided into 2 parts"):
        seeded_split([rating("a", "r"), rating("b", "R")], "made", 0, by="reference")


@pytest.mark.parametrize("shares", [(0.8, 0.0, 0.3), (0.0, 0.5, 0.5), (1.2, -0.2, 0.0)])
def test_shares_are_shares(shares: tuple[float, float, float]) -> None:
    with pytest.raises(UsageError, match="sum 1"):
        seeded_split(distorted(5, 1), "made", 0, by="item", shares=shares)


def test_two_groups_give_each_part_one() -> None:
    split = seeded_split(distorted(2, 3), "made", 0, by="reference", shares=(0.1, 0.0, 0.9))
    assert (len(split.train), len(split.test)) == (3, 3)


def test_official_parts() -> None:
    rows = [rating("a", split="train"), rating("b", split="test"), rating("c", split="validation")]
    assert official_split(rows, "made") == Split("official", ("a",), ("c",), ("b",))
    for part, message in ((None, "d states no part"), ("val", "d is in the part 'val'")):
        with pytest.raises(DataError, match=f"{message}; expected train | validation | test"):
            official_split([*rows, rating("d", split=part)], "made")
    with pytest.raises(DataError, match="no rows"):
        official_split([], "made")


def test_a_card_says_how_to_divide() -> None:
    assert split_of(data_set("tid2013"), distorted(25, 2), 9).name.endswith("by reference")
    assert split_of(data_set("spaq"), distorted(25, 2), 1).name.endswith("by item")
    assert split_of(data_set("koniq10k"), [rating("a", split="train")]).name == "official"
    with pytest.raises(UsageError, match="kadis700k: has no opinions"):
        split_of(data_set("kadis700k"), [])
    for name, index in (("tid2013", 10), ("tid2013", -1), ("koniq10k", 1)):
        with pytest.raises(UsageError, match="no split"):
            split_of(data_set(name), distorted(25, 2), index)
