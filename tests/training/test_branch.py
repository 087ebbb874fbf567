"""How the branch for distortions learns: losses by hand, batch norms that come to rest, runs that were killed."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from mllmqa.data.distortions import CATEGORIES, NAMES, category_of
from mllmqa.models.nano.blocks import DctStem
from mllmqa.models.nano.categories import CategoryTokens
from mllmqa.training import branch
from mllmqa.training.branch import Learning, branch_losses, by_category, learn
from mllmqa.training.loop import Losses, load_state
from mllmqa.training.wholes import Format, Lot, Wholes
from tests.conftest import photo_pixels

HOW: Mapping[str, Any] = {
    "batch": 8, "repeats": 4, "kept": 3, "drop": 0.1, "clean": 2.0, "weight_decay": 0.01,
    "average": 0.5, "bf16": False,
    "weights": {
        "presence": 5.0, "severity": 1.0, "fidelity": 1.0, "named": 5.0, "pair": 1.0, "order": 1.0, "damage": 1.0,
    },
    "heads": {"steps": 60, "rate": 1e-2}, "settled": {"steps": 12, "rate": 1e-4},
}  # fmt: skip


def learning() -> Learning:
    torch.manual_seed(0)
    stem = DctStem(2, 4, 8)
    categories = CategoryTokens(stem.norm.num_features, (8, 8, 12), 8, len(CATEGORIES), 4)
    return Learning(stem, categories, 8)


def lot_of(severity: Mapping[int, Mapping[str, float]], fidelity: list[float], gap: tuple[float, ...] = ()) -> Lot:
    """Grey pictures of which this is said."""
    rows = torch.zeros(len(fidelity), len(NAMES))
    for row, named in severity.items():
        for name, strong in named.items():
            rows[row, NAMES.index(name)] = strong
    none = torch.empty(0, 3, 0, 0, dtype=torch.uint8)
    pixels = torch.full((len(fidelity), 3, 16, 16), 128, dtype=torch.uint8)
    gaps = torch.tensor(gap or len(rows) // 2 * (math.nan,))
    return Lot(pixels, rows, torch.full((len(rows),), 448.0), torch.tensor(fidelity), gaps, 0, none, none)


def constant(presence: float, severity: float, fidelity: float) -> Learning:
    """Heads that say the same of every picture, and name nothing."""
    model = learning().eval()
    heads = model.heads
    parts = (heads.presence, presence), (heads.severity, severity), (heads.fidelity, fidelity), (model.named, 0.0)
    with torch.no_grad():
        for part, value in parts:
            part.weight.zero_()
            part.bias.fill_(value)
    return model


def plain(found: Losses) -> dict[str, float]:
    return {name: float(value.detach()) for name, value in found.items()}


# ------------------------------------------------------------------ losses


def test_severities_of_categories_are_those_of_their_distortions() -> None:
    (wanted,) = by_category(lot_of({0: {"blur_lens": 2.5, "noise_poisson": 4.0}}, [3.0]).severity).tolist()
    expected = {category_of("blur_lens"): 2.5, category_of("noise_poisson"): 4.0}
    assert dict(zip(CATEGORIES, wanted, strict=True)) == {name: expected.get(name, 0.0) for name in CATEGORIES}


def test_losses_by_hand() -> None:
    """Of what is not there no severity is asked, and the ends of the scale count twice."""
    lot = lot_of({0: {"blur_lens": 2.0}, 1: {"noise_poisson": 5.0}}, [math.nan, 4.0, 2.9, math.nan])
    found = plain(branch_losses(constant(1.0, 2.5, 3.0), lot, drop=0.0, clean=1.0))
    yes, no = math.log1p(math.exp(-1)), math.log1p(math.exp(1))
    assert found["presence"] == pytest.approx((2 * yes + 46 * no) / 48, rel=1e-5)
    assert found["severity"] == pytest.approx(((0.5 - 0.15) + 2 * (2.5 - 0.15)) / 3, rel=1e-5)
    assert found["fidelity"] == pytest.approx(((1 - 0.15) + 0.5 * 0.1**2 / 0.3) / 2, rel=1e-4)
    assert found["named"] == pytest.approx(math.log(2), rel=1e-5)


def test_losses_of_two_versions_by_hand() -> None:
    """A ladder that is read the wrong way round, one that is read right, two of which only fidelity is known."""
    fidelity, damage = torch.tensor([3.0, 3.5, 5.0, 2.0, 4.0, 3.0]), torch.tensor([2.0, 1.0, 0.0, 4.0, 1.0, 9.0])
    lot = lot_of({}, [math.nan, 3.0, 5.0, 3.0, 2.0, 4.0], gap=(2.0, 3.0, math.nan))
    found = plain(branch.pair_losses(fidelity, damage, lot))
    assert found["pair"] == pytest.approx(((1 - 0.15) + (3 - 0.15)) / 2)
    assert found["order"] == pytest.approx(((0.2 + 0.5) + 0) / 2)
    assert found["damage"] == pytest.approx(((0.6 + 1) + 0) / 2)


def test_the_damage_is_presence_times_severity_over_all_categories() -> None:
    """Heads that say the same of both: there is no step between them."""
    lot = lot_of({0: {"blur_lens": 2.0}, 1: {"blur_lens": 5.0}}, [math.nan, math.nan], gap=(3.0,))
    found = plain(branch_losses(constant(1.0, 2.5, 3.0), lot, drop=0.0, clean=1.0))
    assert (found["pair"], found["order"]) == (0, pytest.approx(0.3))
    assert found["damage"] == pytest.approx(0.9)


def test_fidelity_is_that_of_the_size_at_which_it_was_measured() -> None:
    model = constant(0.0, 3.0, 3.0)
    with torch.no_grad():
        model.heads.fidelity.bias[:] = torch.tensor([2.0, 3.0, 4.0, 5.0])
    lot = lot_of({}, [4.0, 4.0])
    for sides, far in (((384, 384), 0.0), ((224, 384), (2 - 0.15) / 2), ((416, 352), 0.5 - 0.15)):
        at = replace(lot, short_side=torch.tensor(sides, dtype=torch.float32))
        assert plain(branch_losses(model, at, drop=0.0, clean=1.0))["fidelity"] == pytest.approx(far, abs=1e-5)


def test_undistorted_pictures_count_as_much_as_is_said() -> None:
    lot = lot_of({0: {"blur_lens": 3.0}}, [math.nan, math.nan])
    found = plain(branch_losses(constant(1.0, 3.0, 3.0), lot, drop=0.0, clean=4.0))
    yes, no = math.log1p(math.exp(-1)), math.log1p(math.exp(1))
    assert found["presence"] == pytest.approx(((yes + 11 * no) / 12 + 4 * no) / 5, rel=1e-5)


def test_nothing_there_and_nothing_judged_costs_nothing() -> None:
    found = plain(branch_losses(constant(0.0, 3.0, 3.0), lot_of({}, [math.nan, math.nan]), drop=0.0, clean=1.0))
    assert (found["severity"], found["fidelity"]) == (0, 0)
    assert found["presence"] == pytest.approx(math.log(2))


def test_severities_are_spread_about_the_middle() -> None:
    heads = learning().eval().heads
    statistics = torch.randn(4, 40)
    with torch.no_grad():
        heads.severity.weight.normal_()
        before = heads(statistics)
        branch.stretch(heads, 1.5)
        after = heads(statistics)
    assert torch.allclose(after[1], 3 + 1.5 * (before[1] - 3), atol=1e-4)
    assert torch.equal(after[0], before[0]) and torch.equal(after[2], before[2])


# ------------------------------------------------------------------ training


def test_the_stem_never_learns_and_norms_rest_when_settled() -> None:
    model = learning()
    model.train()
    assert not model.stem.norm.training and not any(p.requires_grad for p in model.stem.parameters())
    norms = [one for one in (*model.branch.modules(), *model.heads.modules()) if isinstance(one, branch.NORMS)]
    assert len(norms) == 7
    assert all(norm.training for norm in norms)
    model.settle(True)
    assert not any(norm.training for norm in norms)
    assert model.branch.mix.training
    branch_losses(model, lot_of({0: {"blur_lens": 2.0}}, [3.0, 5.0]), drop=0.0, clean=1.0)
    assert all(int(norm.num_batches_tracked) == 0 for norm in norms)
    model.settle(False)
    assert all(norm.training for norm in norms)


@pytest.fixture(scope="module")
def lots(tmp_path_factory: pytest.TempPathFactory) -> Wholes:
    folder = tmp_path_factory.mktemp("photos")
    paths = [folder / f"{seed}.png" for seed in range(3)]
    for seed, path in enumerate(paths):
        Image.fromarray(photo_pixels(72, 64, seed)).save(path)
    return Wholes(paths, [], [], [Format(48, 1.0, {"pristine": [(48, 48)]})], lot=12, zoom=0.9, judged=0.0, seed=1)


def states(folder: Path) -> dict[str, torch.Tensor]:
    return dict(load_state(folder / "settled.pt")["model"])


@dataclass(frozen=True)
class Ends(Wholes):
    """Lots that end the process at one of them, as a kill would."""

    at: int = 0

    def __getitem__(self, index: int) -> Lot:
        if index == self.at:
            raise KeyboardInterrupt
        return super().__getitem__(index)


def test_learning_lowers_losses_and_a_killed_run_ends_the_same(
    lots: Wholes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed in both stages, behind a checkpoint; what is dropped out is the same, too."""
    through, killed = tmp_path / "through", tmp_path / "killed"
    monkeypatch.setattr(branch, "SAVE_EVERY", 5)
    learn(learning(), lots, HOW, through, share=(0, 1), workers=0)
    first, *_, last = map(json.loads, (through / "heads.jsonl").read_text().splitlines())
    assert (first["step"], last["step"]) == (20, HOW["heads"]["steps"])
    told = ("presence", "severity", "fidelity", "named")  # in sixty steps there is no order yet
    assert all(last[name] < 0.9 * first[name] for name in told), (first, last)
    assert HOW["weights"].keys() < last.keys()
    own = {field.name: getattr(lots, field.name) for field in fields(lots)}
    for at, saved in ((3, ("heads", 10)), (17, ("settled", 5))):
        with pytest.raises(KeyboardInterrupt):
            learn(learning(), Ends(**own, at=at), HOW, killed, share=(0, 1), workers=0)
        assert int(load_state(killed / f"{saved[0]}.pt")["step"]) == saved[1]
    learn(learning(), lots, HOW, killed, share=(0, 1), workers=0)
    for name, value in states(through).items():
        assert torch.allclose(value, states(killed)[name], atol=1e-5), name


def test_norms_that_rest_keep_what_they_had(lots: Wholes, tmp_path: Path) -> None:
    learn(learning(), lots, HOW, tmp_path, share=(0, 1), workers=0)
    heads, settled = load_state(tmp_path / "heads.pt")["model"], states(tmp_path)
    kept = [name for name in settled if "running" in name and not name.startswith("stem")]
    assert len(kept) == 14
    assert all(torch.equal(heads[name], settled[name]) for name in kept)
    assert not torch.equal(heads["branch.mix.weight"], settled["branch.mix.weight"])


def test_processes_that_make_lots_change_nothing(lots: Wholes, tmp_path: Path) -> None:
    short = {**HOW, "heads": {"steps": 5, "rate": 1e-3}, "settled": {"steps": 2, "rate": 1e-4}}
    for workers in (0, 2):
        learn(learning(), lots, short, tmp_path / str(workers), share=(0, 1), workers=workers)
    one, other = states(tmp_path / "0"), states(tmp_path / "2")
    assert all(torch.allclose(one[name], other[name], atol=1e-6) for name in one)


def test_each_process_has_lots_of_its_own(lots: Wholes) -> None:
    found = [
        next(iter(branch._lots(lots, 2, (process, 2), 0, torch.device("cpu"), 1))).pixels for process in (0, 1)
    ]
    for pixels, number in zip(found, (6, 7), strict=True):
        assert torch.equal(pixels, lots[number].pixels)


def test_a_done_stage_is_not_run_again(lots: Wholes, tmp_path: Path) -> None:
    short = {**HOW, "heads": {"steps": 3, "rate": 1e-3}, "settled": {"steps": 2, "rate": 1e-4}}
    model, again = learning(), learning()
    learn(model, lots, short, tmp_path, share=(0, 1), workers=0)
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    learn(again, lots, short, tmp_path, share=(0, 1), workers=0)
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before
    assert all(map(torch.equal, model.state_dict().values(), again.state_dict().values()))


def test_statistics_that_never_varied_are_not_read() -> None:
    heads = learning().eval().heads
    heads.standard.running_var[::2] = 1e-9
    branch.mute(heads)
    statistics = torch.randn(3, 40)
    woken = statistics.clone()
    woken[:, ::2] += 5
    with torch.no_grad():
        assert torch.equal(heads(statistics)[0], heads(woken)[0])
        assert not torch.equal(heads(statistics)[0], heads(statistics + 0.1)[0])
