"""Reading rated pictures, holding exemplars out, taking a part."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from mllmqa.data.sample import Medium, Sample
from mllmqa.data.sample_file import write_samples
from mllmqa.data.sample_labels import Labels, Mos
from mllmqa.errors import DataError, UsageError
from mllmqa.evaluation.prompting.items import hold_out, read_items, subset
from tests.evaluation.prompting.synthetic import samples, without_files


def test_pictures_with_opinions_are_read(tmp_path: Path) -> None:
    items = read_items(samples(tmp_path, 6))
    assert [item.id for item in items.rated] == [f"p{i}" for i in range(6)]
    assert not items.reference
    assert items.left_out == 0
    assert items.rated[0].std == pytest.approx(0.15)  # 0.6 on a scale of 4
    assert all(item.path.is_file() for item in items.rated)


def test_references_are_found_and_can_be_left_aside(tmp_path: Path) -> None:
    path = samples(tmp_path, 3, references=2)
    items = read_items(path)
    assert items.reference
    assert items.groups == [[0, 1, 2], [3, 4, 5]]
    assert read_items(path, reference=False).groups == [list(range(6))]
    assert read_items(path, reference=False).group_names() is None


def _one(name: str, direction: str = "higher-better", **medium: object) -> Sample:
    mos = Mos(media="A", value=2, low=1, high=5, direction=direction)  # type: ignore[arg-type]
    found = {"key": "A", "kind": "image", "path": f"{name}.png", **medium}
    return Sample(id=name, media=(Medium.model_validate(found),), labels=Labels(mos=(mos,)))


def test_what_cannot_be_asked_about_is_counted(tmp_path: Path) -> None:
    clip = _one("c", kind="video", path="c.mp4")
    bare = Sample(id="b", media=(Medium(key="A", kind="image", path="b.png"),))
    write_samples([_one("a"), _one("d", direction="lower-better"), clip, bare], tmp_path / "s.jsonl")
    items = read_items(tmp_path / "s.jsonl")
    assert [item.opinion for item in items.rated] == [0.25, 0.75]
    assert items.left_out == 2


def test_nothing_rated_and_ids_that_come_twice_are_errors(tmp_path: Path) -> None:
    write_samples([Sample(id="b", media=(Medium(key="A", kind="image", path="b.png"),))], tmp_path / "s.jsonl")
    with pytest.raises(DataError, match="no rated picture"):
        read_items(tmp_path / "s.jsonl")
    with pytest.raises(DataError, match="beside a reference"):
        read_items(samples(tmp_path, 3), reference=True)


def test_exemplars_are_spread_over_the_opinions_and_no_longer_rated() -> None:
    items = replace(without_files(40), exemplars=())
    held = hold_out(items)
    assert [round(item.opinion, 1) for item in held.exemplars] == [0.1, 0.4, 0.6, 0.9]
    assert len(held.rated) == 36
    assert not set(held.exemplars) & set(held.rated)


def test_with_references_a_whole_reference_is_held_out() -> None:
    held = hold_out(replace(without_files(30, references=5), exemplars=()))
    assert len(held.rated) == 24
    references = {item.reference for item in held.exemplars}
    assert len(references) == 1
    assert not references & {item.reference for item in held.rated}


@pytest.mark.parametrize("items", [without_files(4), without_files(6, references=1)])
def test_too_few_pictures_for_exemplars(items: object) -> None:
    with pytest.raises(UsageError, match="too few"):
        hold_out(items)  # type: ignore[arg-type]


def test_a_part_keeps_the_order_and_whole_references() -> None:
    items = without_files(20)
    part = subset(items, 8, 3)
    assert len(part.rated) == 8
    assert [item for item in items.rated if item in part.rated] == list(part.rated)
    assert subset(items, None, 0) is items
    assert subset(items, 99, 0) is items
    by_reference = subset(without_files(20, references=4), 11, 0)
    assert [len(group) for group in by_reference.groups] == [5, 5]
    with pytest.raises(UsageError):
        subset(items, 1, 0)
