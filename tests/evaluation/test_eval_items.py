"""Items from label files and from samples: opinions, references, draws, what is wrong, near-duplicates."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from mllmqa.errors import DataError, UsageError
from mllmqa.evaluation.items import Chosen, from_registry, from_samples
from mllmqa.evaluation.overlap import is_near, with_distances
from mllmqa.training.samples import make_smoke_set
from tests.conftest import photo_pixels

TEST = Chosen(part="test")


@pytest.fixture(scope="module")
def biq(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six made-up photos each for training and test; test photo b4 is training photo a3."""
    root = make_smoke_set(tmp_path_factory.mktemp("biq"), seed=3, photos=6, side=128)
    shutil.copy(root / "Images" / "a3.jpg", root / "Images" / "b4.jpg")
    return root


@pytest.fixture
def kadid(tmp_path: Path) -> Path:
    """Two originals with two versions each, in KADID-10k's layout."""
    root = tmp_path / "kadid"
    (root / "images").mkdir(parents=True)
    lines = ["dist_img,ref_img,dmos,var"]
    for content in ("I01", "I02"):
        Image.fromarray(photo_pixels(40, 40)).save(root / "images" / f"{content}.png")
        for k, kind in enumerate(("01_03", "09_05")):
            name = f"{content}_{kind}.png"
            Image.fromarray(photo_pixels(40, 40, k + 1)).save(root / "images" / name)
            lines.append(f"{name},{content}.png,{4.5 - 2 * k},{0.25}")
    (root / "dmos.csv").write_text("\n".join(lines) + "\n")
    return root


def test_rows_of_the_registry_become_items(biq: Path) -> None:
    items, record = from_registry("mine", "biq2021", biq, TEST)
    assert [one.id for one in items] == [f"b{k}.jpg" for k in range(6)]
    first = items[0]
    assert (first.data, first.source, first.split, first.kind) == ("mine", "biq2021", "test", "image")
    assert Path(first.path) == biq / "Images" / "b0.jpg"
    assert (first.opinion.low, first.opinion.high, first.opinion.direction) == (0, 1, "mos")
    assert first.opinion.level == pytest.approx(1 + 4 * first.opinion.mos)
    assert first.level == "excellent"  # 0.9 of 0..1
    assert (record.name, record.set, record.part, record.n_items, record.n_available) == (
        "mine", "biq2021", "test", 6, 6,
    )  # fmt: skip
    labels = biq / "Test (Images and MOS).csv"
    assert record.files == {labels.name: hashlib.sha256(labels.read_bytes()).hexdigest()}


def test_references_deviations_and_other_columns(kadid: Path) -> None:
    items, _ = from_registry("kadid10k", "kadid10k", kadid, Chosen())
    assert [one.reference for one in items] == ["I01.png", "I01.png", "I02.png", "I02.png"]
    assert items[0].reference_path == str(kadid / "images" / "I01.png")
    assert items[0].opinion.std == pytest.approx(0.5)
    assert items[0].distortions is not None
    (kadid / "images" / "I02.png").unlink()
    lost, _ = from_registry("kadid10k", "kadid10k", kadid, Chosen())
    assert [one.reference_path is None for one in lost] == [False, False, True, True]


def test_a_draw_depends_on_seed_and_name_alone_and_keeps_the_order(biq: Path) -> None:
    def drawn(seed: int, limit: int = 3, name: str = "a") -> list[str]:
        items, record = from_registry(name, "biq2021", biq, Chosen(part="test", limit=limit, seed=seed))
        assert (record.n_items, record.n_available) == (min(limit, 6), 6)
        return [one.id for one in items]

    assert drawn(0) == drawn(0) == sorted(drawn(0))
    assert len({tuple(drawn(seed)) for seed in range(8)}) > 1
    assert len({tuple(drawn(0, name=name)) for name in "abcdefgh"}) > 1
    assert len(drawn(0, 99)) == 6
    with pytest.raises(UsageError, match="limit 0; expected 1 or more"):
        drawn(0, 0)


def test_missing_media_stay_and_all_other_mistakes_stop(biq: Path, tmp_path: Path) -> None:
    root = Path(shutil.copytree(biq, tmp_path / "copy"))
    (root / "Images" / "b2.jpg").unlink()
    items, record = from_registry("biq2021", "biq2021", root, TEST)
    assert len(items) == 6
    assert record.notes[0].startswith("1 x missing-media")
    labels = root / "Test (Images and MOS).csv"
    good = labels.read_text()
    for bad, words in (
        ("b9.jpg,nan", "not-a-number.*nan"), ("b1.jpg,0.5", "duplicate"), ("b0.jpg,7", "duplicate|off-scale"),
    ):  # fmt: skip
        labels.write_text(f"{good}{bad}\n")
        with pytest.raises(DataError, match=words):
            from_registry("biq2021", "biq2021", root, TEST)


def test_near_duplicates_of_training_photos_are_told(biq: Path) -> None:
    items, record = from_registry("biq2021", "biq2021", biq, TEST)
    made, after = with_distances(items, record, 6)
    assert after.duplicates_within == 6
    assert made[4].duplicate_bits == 0
    assert is_near(made[4], after)
    assert all(one.duplicate_bits is not None and 0 <= one.duplicate_bits <= 64 for one in made)
    assert not is_near(items[4], after)  # not looked for
    assert not is_near(made[4], record)


def test_an_unreadable_test_photo_has_no_distance(biq: Path, tmp_path: Path) -> None:
    root = Path(shutil.copytree(biq, tmp_path / "copy"))
    (root / "Images" / "b2.jpg").write_bytes(b"no picture")
    (root / "Images" / "a0.jpg").write_bytes(b"no picture")
    made, _ = with_distances(*from_registry("biq2021", "biq2021", root, TEST))
    assert [one.duplicate_bits is None for one in made] == [False, False, True, False, False, False]
    for k in range(6):
        (root / "Images" / f"a{k}.jpg").write_bytes(b"no picture")
    with pytest.raises(DataError, match="no photo of the training part can be read"):
        with_distances(*from_registry("biq2021", "biq2021", root, TEST))


@pytest.mark.parametrize("part", [None, "train"])
def test_near_duplicates_need_a_test_part(biq: Path, part: Any) -> None:
    items, record = from_registry("biq2021", "biq2021", biq, Chosen(part=part, limit=2))
    with pytest.raises(UsageError, match=r"name the part, e.g. --part test"):
        with_distances(items, record)
    with pytest.raises(UsageError, match=r"near-duplicates within 65 bits; expected 0..64"):
        with_distances(items, record, 65)


# ---------------------------------------------------------------- samples


def sample(number: int, value: float | None = 3.0, **more: Any) -> dict[str, Any]:
    mos = {"media": "A", "value": value, "low": 1, "high": 5, "direction": "higher-better"}
    labels: dict[str, Any] = {"mos": [] if value is None else [mos]}
    media = [{"key": "A", "role": "distorted", "kind": "image", "path": f"p{number}.png"}]
    return {"sample_version": 1, "id": f"s{number}", "media": media, "labels": labels, **more}


def write(path: Path, *samples: dict[str, Any]) -> Path:
    path.write_text("".join(json.dumps(one) + "\n" for one in samples))
    return path


def test_samples_become_items_with_what_they_know(tmp_path: Path) -> None:
    full = sample(1, 2.0, split="test", source="kadid10k")
    full["media"].append({"key": "R", "role": "reference", "kind": "image", "path": "ref/r.png"})
    full["labels"]["distortions"] = [{"media": "A", "category": "blur", "severity": 4}]
    file = write(tmp_path / "samples.jsonl", sample(0), full, sample(2, None))
    items, record = from_samples("mine", file, Chosen())
    assert [one.id for one in items] == ["s0", "s1"]
    assert (items[0].reference, items[0].distortions, items[0].source) == (None, None, "mine")
    one = items[1]
    assert (one.path, one.reference_path) == (str(tmp_path / "p1.png"), str(tmp_path / "ref" / "r.png"))
    assert (one.reference, one.distortions, one.severity, one.split) == ("ref/r.png", ("blur",), 4, "test")
    assert (one.source, one.level) == ("kadid10k", "poor")
    assert (record.set, record.n_items, record.n_without_opinion) == (None, 2, 1)
    assert [one.id for one in from_samples("mine", file, Chosen(part="test"))[0]] == ["s1"]


def test_dmos_and_several_opinions_of_one_sample(tmp_path: Path) -> None:
    both = sample(0, 2.0)
    both["media"].append({"key": "B", "kind": "image", "path": "q.png"})
    both["labels"]["mos"].append({"media": "B", "value": 80, "low": 0, "high": 100, "direction": "lower-better"})
    both["labels"]["mos"].append({**both["labels"]["mos"][0], "aspect": "aesthetics", "value": 5})
    file = write(tmp_path / "s.jsonl", both)
    items, _ = from_samples("mine", file, Chosen())
    assert [one.id for one in items] == ["s0:A", "s0:B"]
    assert items[1].opinion.level == pytest.approx(1.8)
    assert [one.opinion.mos for one in from_samples("mine", file, Chosen(aspect="aesthetics"))[0]] == [5]


def test_a_medium_of_several_samples_is_one_item_with_one_opinion(tmp_path: Path) -> None:
    again = {**sample(0), "id": "other"}
    items, _ = from_samples("mine", write(tmp_path / "s.jsonl", sample(0), again, sample(1)), Chosen())
    assert [one.id for one in items] == ["s0", "s1"]
    again["labels"]["mos"][0]["value"] = 3.5
    with pytest.raises(DataError, match=r"other and s0 give .*p0.png the opinions 3.5 and 3"):
        from_samples("mine", write(tmp_path / "s.jsonl", sample(0), again), Chosen())


def test_samples_that_cannot_be_evaluated(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no item with an opinion"):
        from_samples("mine", write(tmp_path / "s.jsonl", sample(0, None)), Chosen())
    with pytest.raises(DataError, match=r"two items are called 's0'"):
        other = sample(1)
        other["id"] = "s0"
        from_samples("mine", write(tmp_path / "s.jsonl", sample(0), other), Chosen())
    bad = sample(0)
    bad["labels"]["mos"][0]["value"] = float("nan")
    with pytest.raises(DataError, match="line 1"):
        from_samples("mine", write(tmp_path / "s.jsonl", bad), Chosen())
    with pytest.raises(DataError, match="cannot be read"):
        from_samples("mine", tmp_path / "none.jsonl", Chosen())
