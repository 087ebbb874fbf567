"""Every shipped recipe builds a set from real files: texts agree with labels, and can be made again from them."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from mllmqa.data.build import Source, build, load_recipe, open_sources, recipes
from mllmqa.data.build.run import Order
from mllmqa.data.fullref.metrics import piq_module
from mllmqa.data.ratings import Columns, RatingScale
from mllmqa.data.sample import Sample
from mllmqa.data.sample_file import read_samples
from mllmqa.data.tasks.agreement import disagreements
from mllmqa.data.tasks.compose import rebuilt
from mllmqa.errors import MissingExtraError, UsageError
from tests.conftest import photo_pixels
from tests.media.made import make_video

STATED = {"columns": Columns("file", "mos", std="std"), "scale": RatingScale("mos", 1, 5)}
CASES: dict[str, tuple[str, dict[str, Any], set[str]]] = {
    # recipe, options, tasks that have to be there
    "qalign": ("qalign", {}, {"level"}),
    "deqa": ("deqa", {}, {"level"}),
    "compare2score": ("compare2score", {}, {"comparative"}),
    "depictqa": ("depictqa", {"short_px": 168}, {"identify", "rate", "compare"}),
    "depictqa_wild": ("depictqa_wild", {"short_px": 168}, {"identify", "rate"}),
    "qinstruct": ("qinstruct", {"short_px": 64}, {"how", "yes_no", "level"}),
    "coinstruct": ("coinstruct", {"short_px": 64}, {"best_of", "rank", "rate"}),
    "vida": ("vida", {"short_px": 168}, {"reason_five", "ground"}),
    "vqa2, stage 1": ("vqa2", {"stage": 1, "short_px": 48, "clips": 0.3}, {"dominant"}),
    "vqa2, stage 2": ("vqa2", {"stage": 2}, {"level"}),
    "vqa2, stage 3": ("vqa2", {"stage": 3, "short_px": 168}, {"yes_no", "ground"}),
    "nano": ("nano", {"short_px": 168}, {"level", "rate", "yes_no"}),
    "levels": ("levels", {"short_px": 168}, {"level"}),
}
N = 24


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sources")
    for name in ("photos", "clips", "rated"):
        (folder / name).mkdir()
    for k in range(6):
        Image.fromarray(photo_pixels(220, 180, seed=k)).save(folder / "photos" / f"{k}.png")
    for k in range(2):
        make_video(folder / "clips" / f"{k}.mp4", 40, size=(224, 176))
    rows = ["file,mos,std"]
    for k in range(16):
        Image.fromarray(photo_pixels(64, 48, seed=100 + k)).save(folder / "rated" / f"{k}.png")
        rows.append(f"{k}.png,{1.1 + 0.25 * k:.2f},{0.1 + 0.02 * k:.2f}")
    (folder / "rated" / "scores.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    return folder


def built(case: str, here: Path, out: Path, n: int = N, seed: int = 0) -> list[Sample]:
    """The samples of a case, or a skip where piq is missing."""
    name, options, _ = CASES[case]
    try:
        piq_module()
    except MissingExtraError:
        pytest.skip('needs piq: pip install "mllmqa[fullref]"')
    recipe = load_recipe(name).recipe
    settings = {**recipe.options, **options}
    kinds = {"photos": "photos", "clips": "clips", "rated": "rated/scores.csv"}
    wanted = [kind for kind in kinds if kind in (*recipe.needed(settings), *recipe.uses)]
    sources = open_sources([Source(kind, here / kinds[kind]) for kind in wanted], **STATED)
    return list(read_samples(build(Order(name, sources, out, n, seed, settings)).path))


def test_every_recipe_has_a_case() -> None:
    assert {name for name, _, _ in CASES.values()} == set(recipes())


@pytest.mark.parametrize("case", CASES)
def test_texts_say_what_labels_say_and_can_be_made_again(case: str, here: Path, tmp_path: Path) -> None:
    made = built(case, here, tmp_path / "out")
    assert len(made) == N
    assert [flaw for one in made for flaw in disagreements(one)] == []
    assert [rebuilt(one) for one in made] == made
    there = Counter(name for one in made for name in (one.task or "").split("+"))
    assert CASES[case][2] <= set(there)
    for one in made:
        assert one.source and all((tmp_path / "out" / str(medium.path)).is_file() for medium in one.media)


def test_another_seed_is_another_set(here: Path, tmp_path: Path) -> None:
    one, other = (built("qinstruct", here, tmp_path / str(seed), seed=seed) for seed in (0, 1))
    assert not {sample.id for sample in one} & {sample.id for sample in other}
    assert [sample.messages for sample in one] != [sample.messages for sample in other]


def test_pictures_of_a_pair_have_one_size_and_one_function(here: Path, tmp_path: Path) -> None:
    pairs = [one for one in built("depictqa", here, tmp_path, 40) if one.labels.preference]
    assert len(pairs) > 5
    for one in pairs:
        assert len({(medium.width, medium.height) for medium in one.media}) == 1
        found = one.labels.distortions or ()
        assert len({distortion.name for distortion in found}) == 1
        worst = max(found, key=lambda distortion: distortion.severity or 0).media
        assert one.labels.preference is not None and one.labels.preference.better != worst


def test_boxes_of_vida_do_not_overlap(here: Path, tmp_path: Path) -> None:
    seen = 0
    for one in built("vida", here, tmp_path):
        boxes = [distortion.box for distortion in one.labels.distortions or () if distortion.box]
        seen += len(boxes)
        for k, (x0, y0, x1, y1) in enumerate(boxes):
            assert all(x1 <= a0 or a1 <= x0 or y1 <= b0 or b1 <= y0 for a0, b0, a1, b1 in boxes[:k])
    assert seen > N


def test_an_unknown_stage_is_named(here: Path, tmp_path: Path) -> None:
    sources = open_sources([Source("photos", here / "photos")])
    with pytest.raises(UsageError, match=r"stage=4; expected 1, 2 or 3"):
        build(Order("vqa2", sources, tmp_path, 2, 0, {**load_recipe("vqa2").recipe.options, "stage": 4}))


@pytest.mark.parametrize(
    ("options", "needed"),
    [
        (["stage=1"], ("photos", "clips")),
        (["stage=1", "clips=0"], ("photos",)),
        (["stage=1", "clips=1"], ("clips",)),
        (["stage=2"], ("rated",)),
        (["stage=3"], ("clips",)),
    ],
)
def test_vqa2_needs_what_its_stage_and_share_of_clips_use(options: list[str], needed: tuple[str, ...]) -> None:
    recipe = load_recipe("vqa2").recipe
    assert recipe.needed(recipe.settings(options)) == needed


def test_coinstruct_states_how_many_pictures_it_shows() -> None:
    assert load_recipe("coinstruct").recipe.most == 4
