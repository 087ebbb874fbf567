"""An item: its chance, what it draws, and samples whose keys, roles and parts are right."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mllmqa.data.build import Item, Picture, Source, draw, open_sources
from mllmqa.data.build.files import MediaFolder
from mllmqa.data.build.item import PSEUDO, agreed
from mllmqa.data.build.sources import part_of
from mllmqa.data.fullref.metrics import piq_module
from mllmqa.data.sample_file import read_samples
from mllmqa.data.sample_labels import Preference
from mllmqa.data.video_distortions import Step
from mllmqa.errors import DataError, MediaError, MissingExtraError
from tests.data.build.built_here import COLUMNS, MOS, clips, photos, table


def item(root: Path, number: int = 0, seed: int = 0, **more: Any) -> Item:
    """An item over some photos, clips and rated media, of which those that are there are taken."""
    kinds = [Source(kind, root / kind) for kind in ("photos", "clips") if (root / kind).is_dir()]
    if (root / "rated").is_dir():
        kinds.append(Source("rated", root / "rated" / "scores.csv"))
    sources = open_sources(kinds, columns=COLUMNS, scale=MOS)
    return Item("r", number, seed, sources, {"short_px": 48, **more}, MediaFolder(root / "set"))


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("item")
    photos(made / "photos", 5)
    clips(made / "clips")
    table(made / "rated", [(f"a{k}.png", 1 + k / 2) for k in range(9)])
    return made


def test_chance_is_that_of_seed_item_and_purpose(root: Path) -> None:
    def drawn(number: int, seed: int, *words: str) -> int:
        return int(item(root, number, seed).chance(*words).integers(2**40))

    assert drawn(3, 1, "a") == drawn(3, 1, "a")
    assert len({drawn(3, 1, "a"), drawn(4, 1, "a"), drawn(3, 2, "a"), drawn(3, 1, "b"), drawn(3, 1)}) == 5


def test_photos_have_one_short_side(root: Path) -> None:
    one = item(root)
    names = set()
    for k in range(40):
        photo = one.photo(one.chance(str(k)))
        assert photo.pixels.shape == (48, 64, 3)
        assert photo.part == part_of(photo.path)
        assert photo.distortions == ()
        names.add(photo.path.name)
    assert len(names) == 5


def test_clips_are_parts_of_some_seconds(root: Path) -> None:
    one = item(root, short_px=40)
    short = one.video(one.chance("v"), 0.5)
    assert 0.3 <= short.clip.duration_s <= 0.7
    assert min(short.clip.frames_THWC.shape[1:3]) == 40
    starts = {one.video(one.chance(str(k)), 0.5).clip.frames_THWC[0].tobytes() for k in range(8)}
    assert len(starts) > 4


def test_clips_that_are_too_short_or_too_small_are_named(root: Path) -> None:
    one = item(root, short_px=40)
    with pytest.raises(DataError, match=r"clip\d\.mp4: lasts 2\.00 s; expected at least 60 s"):
        one.video(one.chance("v"), 60)
    large = item(root, short_px=4000)
    with pytest.raises(DataError, match=r"clip\d\.mp4: has frames of .* px; expected a short side of at least"):
        large.video(large.chance("v"), 0.5)


def test_each_pass_takes_every_rated_medium_once(root: Path) -> None:
    passes = [[item(root, 9 * turn + k).rated().path.name for k in range(9)] for turn in range(3)]
    assert all(sorted(one) == [f"a{k}.png" for k in range(9)] for one in passes)
    assert passes[0] != passes[1] != passes[2]
    assert [item(root, k, seed=1).rated().path.name for k in range(9)] != passes[0]


def test_a_fellow_is_another_one_of_the_same_part(root: Path, tmp_path: Path) -> None:
    one = item(root)
    first = one.rated()
    for k in range(20):
        other = one.fellow(first, one.chance(str(k)))
        assert other.path != first.path and other.source == first.source
    table(tmp_path / "rated", [("alone.png", 3)])
    alone = item(tmp_path)
    with pytest.raises(DataError, match=r"alone\.png: is the only medium of its data set and part"):
        alone.fellow(alone.rated(), alone.chance("f"))


def test_nothing_to_draw_from_is_named(tmp_path: Path) -> None:
    empty = item(tmp_path)
    for draws, what in (
        (lambda: empty.photo(empty.chance()), "photos"),
        (lambda: empty.video(empty.chance(), 1), "clips"),
        (empty.rated, "rated media"),
    ):
        with pytest.raises(DataError, match=f"no {what} to draw from"):
            draws()


def test_a_sample_has_keys_roles_part_and_source(root: Path) -> None:
    one = item(root, 7)
    pristine = one.photo(one.chance("p"))
    blurred = pristine.distorted([("blur_gaussian", 4)], one.chance("d"))
    better = Preference(among=("A", "B"), better="A")
    made = one.sample("rate", pristine, blurred, reference=pristine, preference=better)
    assert made.id == "r-0-0000007-1"
    assert [(m.key, m.role) for m in made.media] == [("ref", "reference"), ("A", "stimulus"), ("B", "distorted")]
    assert made.media[0].path == made.media[1].path != made.media[2].path
    assert made.split == part_of(pristine.path) and made.source == pristine.path.name
    assert [(d.media, d.name) for d in made.labels.distortions or ()] == [("B", "blur_gaussian")]
    assert one.sample("identify", blurred).id == "r-0-0000007-2"


def test_clips_and_rated_media_become_samples(root: Path) -> None:
    one = item(root, 1, short_px=40)
    clip = one.video(one.chance("v"), 2).distorted([Step("freeze", 1)], one.chance("f"))
    made = one.sample("identify", clip)
    assert made.media[0].kind == "video" and made.media[0].role == "distorted"
    rated = one.rated()
    made = one.sample("level", rated, levels=[rated.level("A")], mos=[rated.mos("A")])
    assert made.labels.distortions is None  # not known is not clean
    assert made.source == "scores" and made.media[0].role == "stimulus"


def test_media_of_two_parts_are_of_none(root: Path) -> None:
    one = item(root)
    both = [Picture(one.photo(one.chance("p")).pixels, Path(f"{part}.png"), part) for part in ("train", "test")]
    better = Preference(among=("A", "B"), better="A")
    made = one.sample("rate", *both, preference=better)
    assert made.split is None and made.source == "train.png, test.png"


def test_names_that_are_not_utf8_are_written_so(root: Path) -> None:
    one = item(root)
    odd = Picture(one.photo(one.chance("p")).pixels, Path("caf\udce9.png"), "train")
    made = one.sample("identify", odd)
    assert made.source == "caf\\xe9.png"
    (root / "odd.jsonl").write_text(made.to_json() + "\n", encoding="utf-8")
    assert list(read_samples(root / "odd.jsonl")) == [made]


def test_too_many_or_no_media_are_refused(root: Path) -> None:
    one = item(root)
    photo = one.photo(one.chance("p"))
    for count in (0, 9):
        with pytest.raises(DataError, match=f"{count} media are asked about; expected 1 to 8"):
            one.sample("identify", *[photo] * count)


def test_texts_that_do_not_agree_are_no_sample(root: Path) -> None:
    one = item(root)
    made = one.sample("identify", draw.one(one.photo(one.chance("p")), one.chance("d")))
    clean = made.model_copy(update={"labels": made.labels.model_copy(update={"distortions": ()})})
    with pytest.raises(DataError, match=rf"sample {made.id}: field messages\.1 is distortions \[.*as labelled"):
        agreed(clean)


def test_unreadable_photos_are_named(tmp_path: Path) -> None:
    whole = (photos(tmp_path / "all", 1) / "photo 00.png").read_bytes()
    for name, content, message in (
        ("cut.png", whole[: len(whole) // 2], r"cut\.png"),
        ("text.jpg", b"this is a text\n" * 20, r"text\.jpg"),
        ("small.png", (photos(tmp_path / "s", 1, width=40, height=20) / "photo 00.png").read_bytes(), "40×20 px"),
    ):
        folder = tmp_path / name.partition(".")[0]
        (folder / "photos").mkdir(parents=True)
        (folder / "photos" / name).write_bytes(content)
        one = item(folder)
        with pytest.raises((MediaError, DataError), match=message) as caught:
            one.photo(one.chance("p"))
        assert name in str(caught.value)  # which photo it is


def test_pseudo_opinions_do_not_depend_on_threads(root: Path) -> None:
    try:
        piq_module()
    except MissingExtraError:
        pytest.skip('needs piq: pip install "mllmqa[fullref]"')
    one = item(root, short_px=48)
    big = Picture(np.kron(one.photo(one.chance("p")).pixels, np.ones((4, 4, 1), np.uint8)), Path("p.png"), "train")
    worse = big.distorted([("noise_gaussian_rgb", 5)], one.chance("n"))
    before, found = torch.get_num_threads(), []
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            found.append(one.judged(big, worse))
            assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)
    assert found[0] == found[1]
    mos, level = found[0]
    assert (mos.aspect, level.aspect) == (PSEUDO, "quality") and PSEUDO in (level.method or "")
    assert mos.value < 3 and level.word in ("bad", "poor", "fair")
    assert one.judged(big, big)[0].value == pytest.approx(5.0, abs=0.05)
