"""The pseudo opinion score: the formula, its limits, its file."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mllmqa.data.fullref import METRICS, NAMES, PseudoMos, measure
from mllmqa.data.fullref.metrics import piq_module
from mllmqa.errors import DataError, MissingExtraError, UnknownNameError
from tests.conftest import photo_pixels
from tests.data.fullref.pictures import PHOTO, SPOILERS, STEPS


def row(x: float) -> dict[str, float]:
    """Values of two metrics that agree: higher x is better."""
    return {"psnr": x / 2, "gmsd": -x / 100}


EVEN = PseudoMos.fit([row(float(x)) for x in range(1, 101)], source="one to a hundred")


@pytest.mark.parametrize(
    ("x", "score"), [(0.5, 1.0), (1, 1.04), (50, 3.0), (50.5, 3.02), (75, 4.0), (99, 4.96), (100, 5.0), (300, 5.0)]
)
def test_formula_by_hand(x: float, score: float) -> None:
    assert EVEN.score(row(x)) == pytest.approx(score, abs=1e-9)


def test_metrics_have_equal_weight() -> None:
    assert EVEN.ranks({"psnr": 12.5, "gmsd": -0.75}) == pytest.approx({"psnr": 0.25, "gmsd": 0.75})
    assert EVEN.score({"psnr": 12.5, "gmsd": -0.75}) == pytest.approx(3.0)
    assert EVEN.names == ("psnr", "gmsd")


def test_many_are_scored_as_each_alone_and_what_is_not_finite_has_no_score() -> None:
    values = {"psnr": np.array([12.5, 40.0, np.nan]), "gmsd": np.array([-0.75, -0.1, -0.2])}
    found = EVEN.scores(values)
    assert found[:2].tolist() == [EVEN.score({"psnr": p, "gmsd": g}) for p, g in ((12.5, -0.75), (40.0, -0.1))]
    assert np.isnan(found[2])


def test_stronger_contrast_is_not_better_than_the_reference() -> None:
    fitted = PseudoMos.fit([{"vif": v / 20} for v in range(1, 31)], source="VIF up to 1.5")
    assert fitted.score({"vif": 1.0}) == fitted.score({"vif": 1.5}) == 5
    assert fitted.score({"vif": 0.95}) < 4


def test_the_fit_that_comes_with_mllmqa() -> None:
    fitted = PseudoMos.default()
    assert fitted.names == NAMES
    assert fitted.n_fitted >= 1000
    assert "severity 1..5" in fitted.source
    assert fitted.score({name: METRICS[name].perfect for name in NAMES}) == 5
    worst = {"psnr": 5.0, "ssim": 0.0, "ms_ssim": 0.0, "vsi": 0.3, "fsim": 0.2, "gmsd": 0.4, "vif": 0.0,
             "mdsi": 0.8, "haarpsi": 0.05}  # fmt: skip
    assert fitted.score(worst) < 1.05


def test_ties_count_as_at_or_below() -> None:
    tied = PseudoMos.fit([{"psnr": v} for v in [20.0] * 50 + [80.0] * 50], source="two values")
    assert tied.ranks({"psnr": 20}) == {"psnr": 0.5}
    assert tied.ranks({"psnr": 80}) == {"psnr": 1.0}
    assert tied.ranks({"psnr": 19.9}) == {"psnr": 0.0}


@settings(max_examples=60)
@example([0.0] * 19 + [2.225073858507e-311], 0.0, 5e-324)
@given(st.lists(st.floats(0, 80), min_size=20, max_size=60), st.floats(-10, 90), st.floats(-10, 90))
def test_score_is_monotone_and_bounded(values: list[float], a: float, b: float) -> None:
    fitted = PseudoMos.fit([{"psnr": v} for v in values], source="any")
    low, high = (fitted.score({"psnr": v}) for v in sorted((a, b)))
    assert 1 <= low <= high <= 5
    assert fitted.score({"psnr": max(values)}) == 5


@given(st.permutations(range(30)))
@settings(max_examples=20)
def test_order_of_the_fitted_pictures_does_not_matter(order: list[int]) -> None:
    values = np.random.default_rng(0).uniform(10, 50, 30)
    a = PseudoMos.fit([{"psnr": float(v)} for v in values], source="s")
    b = PseudoMos.fit([{"psnr": float(values[k])} for k in order], source="s")
    assert a.as_dict() == b.as_dict()


def test_fitted_pictures_are_uniform_over_the_scale() -> None:
    values = np.random.default_rng(3).gamma(2, 10, 5000)
    fitted = PseudoMos.fit([{"psnr": float(v)} for v in values], source="skewed")
    scores = fitted.transform({"psnr": float(v)} for v in values)
    assert np.histogram(scores, 4, (1, 5))[0] == pytest.approx(1250, abs=10)
    assert len(fitted.knots["psnr"][0]) <= 201


def test_file_gives_the_same_scores(tmp_path: Path) -> None:
    path = tmp_path / "fit.json"
    EVEN.save(path)
    again = PseudoMos.load(path)
    assert again.as_dict() == EVEN.as_dict()
    assert again.score(row(33.3)) == EVEN.score(row(33.3))
    assert again.n_fitted == 100
    assert again.source == "one to a hundred"
    assert json.loads(path.read_text())["metrics"]["gmsd"]["variant"] == METRICS["gmsd"].variant
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d.update(format="other-2"), "format 'other-2'; expected mllmqa-pseudo-mos-1"),
        (lambda d: d.pop("n_fitted"), "is no fitted pseudo-MOS"),
        (lambda d: d["metrics"]["psnr"].update(variant="piq 0.9: luma"), r"fitted as 'piq 0.9: luma'.*fit again"),
        (lambda d: d["metrics"]["psnr"]["points"].reverse(), "knots of psnr do not ascend"),
        (lambda d: d["metrics"]["psnr"]["shares"].reverse(), "shares of psnr do not ascend"),
        (lambda d: d["metrics"]["psnr"]["shares"].pop(), "knots of psnr"),
        (lambda d: d.update(metrics=7), "is no fitted pseudo-MOS"),
    ],
)
def test_broken_files_are_refused(change: object, message: str, tmp_path: Path) -> None:
    data = EVEN.as_dict()
    change(data)  # type: ignore[operator]
    path = tmp_path / "fit.json"
    path.write_text(json.dumps(data))
    with pytest.raises(DataError, match=message):
        PseudoMos.load(path)


def test_files_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be read"):
        PseudoMos.load(tmp_path / "none.json")
    (tmp_path / "bad.json").write_text("{")
    with pytest.raises(DataError, match="is no fitted pseudo-MOS"):
        PseudoMos.load(tmp_path / "bad.json")
    (tmp_path / "list.json").write_text("[]")
    with pytest.raises(DataError, match="is no fitted pseudo-MOS"):
        PseudoMos.load(tmp_path / "list.json")


def test_refusals() -> None:
    with pytest.raises(DataError, match="19 measured pictures; expected at least 20"):
        PseudoMos.fit([row(1.0)] * 19, source="few")
    with pytest.raises(DataError, match=r"picture 20 has .*expected finite values of psnr, gmsd"):
        PseudoMos.fit([row(1.0)] * 20 + [{"psnr": 3.0}], source="mixed")
    with pytest.raises(DataError, match="picture 0 has"):
        PseudoMos.fit([row(float("nan"))] * 20, source="nan")
    with pytest.raises(UnknownNameError, match="'lpips'"):
        PseudoMos.fit([{"lpips": 0.1}] * 20, source="other")
    with pytest.raises(DataError, match="no finite value of gmsd; expected values of psnr, gmsd"):
        EVEN.score({"psnr": 3.0})


@cache
def made_fit() -> PseudoMos:
    photos = [photo_pixels(192, 176, seed) for seed in (1, 2)]
    pairs = [(p, spoil(p, step)) for p in photos for spoil in SPOILERS.values() for step in STEPS]
    return PseudoMos.fit([measure(a, b) for a, b in pairs], source="two made photos, blur, noise, JPEG")


class TestWithAllMetrics:
    @pytest.fixture
    def fitted(self) -> PseudoMos:
        try:
            piq_module()
        except MissingExtraError:
            pytest.skip('needs piq: pip install "mllmqa[fullref]"')
        return made_fit()

    def test_all_metrics_are_combined(self, fitted: PseudoMos) -> None:
        assert fitted.names == NAMES

    def test_identity_has_the_best_score(self, fitted: PseudoMos) -> None:
        assert fitted.score(measure(PHOTO, PHOTO)) == 5.0

    @pytest.mark.parametrize("spoiler", SPOILERS)
    @pytest.mark.usefixtures("fitted")
    def test_more_damage_is_worse_by_the_default_fit(self, spoiler: str) -> None:
        scores = PseudoMos.default().transform(measure(PHOTO, SPOILERS[spoiler](PHOTO, step)) for step in STEPS)
        assert np.all(np.diff(scores) < 0)
        assert PseudoMos.default().score(measure(PHOTO, PHOTO)) == 5.0

    @pytest.mark.parametrize("spoiler", SPOILERS)
    def test_more_damage_is_worse(self, fitted: PseudoMos, spoiler: str) -> None:
        scores = fitted.transform(measure(PHOTO, SPOILERS[spoiler](PHOTO, step)) for step in STEPS)
        assert np.all(np.diff(scores) < 0)
        assert 1 <= scores[-1] < scores[0] < 5


def test_pictures_must_be_large_enough_for_the_hungriest_metric() -> None:
    scale = PseudoMos.default()
    side = scale.min_side_px
    photo = photo_pixels(side, side)
    assert scale.score(measure(photo, photo, scale.names)) == pytest.approx(5)
    with pytest.raises(DataError):
        measure(photo[1:], photo[1:], scale.names)
