"""Expert metrics: hand-made pictures with known numbers, references, broken files, clips, pyiqa's licence."""

from __future__ import annotations

import math
import sys
import types
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mllmqa.data.fullref import psnr
from mllmqa.data.fullref.metrics import piq_module
from mllmqa.errors import MissingExtraError, UnknownNameError
from mllmqa.evaluation.baselines import BASELINES, bits_per_pixel, colourfulness, contrast, entropy, luma, sharpness
from mllmqa.evaluation.metrics import PYIQA_LICENCE, names, open_metric
from mllmqa.evaluation.runlog import Prediction
from mllmqa.schema import Media
from tests import eval_logs
from tests.conftest import photo_pixels

CLIP = Path(__file__).parents[1] / "fixtures" / "media" / "cockatoo.mp4"


def grey(values: np.ndarray) -> np.ndarray:
    return np.repeat(values.astype(np.uint8)[..., None], 3, axis=2)


def one(name: str, path: Path, **fields: object) -> Prediction:
    item = eval_logs.item(0, path=str(path), **fields)
    (found,) = open_metric(name).predict("set", [item], lambda *_: False)
    return found


def save(path: Path, pixels: np.ndarray) -> Path:
    Image.fromarray(pixels).save(path)
    return path


# ---------------------------------------------------------------- plain numbers


def test_luma_is_that_of_bt601() -> None:
    assert luma(np.array([[[255, 0, 0], [0, 255, 0], [255, 255, 255]]], np.uint8))[0] == pytest.approx(
        [76.245, 149.685, 255]
    )


def test_sharpness_is_the_log_variance_of_the_laplacian() -> None:
    dot = np.zeros((5, 5))
    dot[2, 2] = 100
    laplacian = np.array([[0, 100, 0], [100, -400, 100], [0, 100, 0]])
    assert sharpness(grey(dot)) == pytest.approx(math.log10(laplacian.var()))
    assert sharpness(grey(np.full((8, 8), 7))) == -3
    photo = photo_pixels(64, 64)
    blurred = photo.astype(float)
    for axis in (0, 1):
        blurred = (np.roll(blurred, 1, axis) + blurred + np.roll(blurred, -1, axis)) / 3
    assert sharpness(blurred.astype(np.uint8)) < sharpness(photo) - 0.5


def test_contrast_entropy_and_colourfulness() -> None:
    halves = grey(np.tile([50, 150], (4, 2)))
    assert contrast(halves) == pytest.approx(50)
    assert entropy(halves) == pytest.approx(1)
    assert entropy(grey(np.arange(256).reshape(16, 16))) == pytest.approx(8)
    assert entropy(grey(np.full((4, 4), 9))) == 0
    assert colourfulness(halves) == pytest.approx(0, abs=1e-9)
    red = np.zeros((4, 4, 3), np.uint8)
    red[..., 0] = 200  # one colour: no spread, distance from grey (200, 100)
    assert colourfulness(red) == pytest.approx(0.3 * math.hypot(200, 100))


def test_numbers_of_the_file() -> None:
    image = Media(kind="image", name="x", sha256=None, size_bytes=100, format="png", width=20, height=10)
    assert bits_per_pixel(image) == pytest.approx(2)  # 800 bits, 200 pixels
    clip = image.model_copy(update={"kind": "video", "duration_s": 4.0})
    assert bits_per_pixel(clip) == pytest.approx(0)
    blank = np.zeros((0, 0, 3), np.uint8)
    assert BASELINES["resolution"].of(blank, image) == pytest.approx(math.log10(200))
    assert BASELINES["constant"].of(blank, image) == 3


@pytest.mark.parametrize("name", list(BASELINES))
def test_every_baseline_measures_pictures_and_clips(name: str, photo: Path) -> None:
    found = one(name, photo)
    assert found.value is not None
    assert math.isfinite(found.value)
    assert found.sha256 is not None
    assert open_metric(name).record.about["variant"]
    assert one(name, CLIP, kind="video").value is not None


# ---------------------------------------------------------------- with a reference


def test_a_full_reference_metric_is_that_of_the_data_module(tmp_path: Path) -> None:
    clean, noisy = photo_pixels(64, 48), photo_pixels(64, 48, seed=1)
    ref, dist = save(tmp_path / "r.png", clean), save(tmp_path / "d.png", noisy)
    assert one("psnr", dist, reference_path=str(ref)).value == pytest.approx(psnr(clean, noisy))
    assert one("psnr", ref, reference_path=str(ref)).value == 80
    assert open_metric("psnr").record.direction == "higher-better"


def test_directions_are_those_of_the_metrics() -> None:
    try:
        piq_module()
    except MissingExtraError:
        pytest.skip('needs piq: pip install "mllmqa[fullref]"')
    assert open_metric("gmsd").record.direction == "lower-better"
    assert open_metric("ssim").record.about["library"]


def test_a_clip_is_compared_at_the_same_times() -> None:
    assert one("psnr", CLIP, kind="video", reference_path=str(CLIP)).value == 80


def test_what_cannot_be_measured_is_unscored_with_a_reason(tmp_path: Path, photo: Path) -> None:
    small = save(tmp_path / "small.png", photo_pixels(40, 40))
    broken = tmp_path / "broken.png"
    broken.write_bytes(photo.read_bytes()[:200])
    for path, reason, fields, words in (
        (photo, "data", {}, "no reference picture of it"),
        (photo, "not-found", {"reference_path": str(tmp_path / "none.png")}, "none.png"),
        (photo, "data", {"reference_path": str(small)}, "one size for both"),
        (broken, "corrupt", {"reference_path": str(photo)}, "i0"),
        (tmp_path / "none.png", "not-found", {}, "i0: no such file"),
        (photo, "unknown-format", {"kind": "video"}, "its content is of the kind image; expected video"),
    ):
        found = one("psnr", path, **fields)
        assert (found.value, found.reason) == (None, reason)
        assert words in (found.message or "")


def test_a_clip_of_another_length_is_no_reference(photo: Path) -> None:
    found = one("psnr", CLIP, kind="video", reference_path=str(photo))
    assert found.reason == "data"
    assert "its reference 0 s" in (found.message or "")


def test_done_items_give_nothing(photo: Path) -> None:
    items = [eval_logs.item(k, path=str(photo)) for k in range(2)]
    asked = []

    def is_done(name: str, sha256: str | None) -> bool:
        asked.append((name, sha256 is not None))
        return name == "i0"

    assert [made.item for made in open_metric("sharpness").predict("set", items, is_done)] == ["i1"]
    assert asked == [("i0", True), ("i1", True)]


# ---------------------------------------------------------------- names and pyiqa


def test_unknown_names() -> None:
    assert {"constant", "sharpness", "psnr", "gmsd"} <= set(names())
    with pytest.raises(UnknownNameError, match=r"no metric 'brisque'; expected one of constant, .*, or pyiqa:NAME"):
        open_metric("brisque")


def test_the_specs_of_metrics_differ() -> None:
    assert len({open_metric(name).record.spec for name in BASELINES}) == len(BASELINES)


def test_without_pyiqa_the_error_names_extra_and_licence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyiqa", None)
    with pytest.raises(MissingExtraError, match=r"Noncommercial.*mllmqa\[pyiqa\]"):
        open_metric("pyiqa:niqe")


def test_pyiqa_metrics_are_asked_as_pyiqa_wants(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A stand-in for the library (nobody of ours), which is not installed here: distance of the means."""

    def create(name: str, device: str) -> object:
        def metric(*pictures: object) -> float:
            means = [float(picture.mean()) for picture in pictures]  # type: ignore[attr-defined]
            return 255 * (abs(means[0] - means[1]) if len(means) == 2 else means[0])

        metric.lower_better, metric.metric_mode = name == "far", "FR" if name == "far" else "NR"  # type: ignore[attr-defined]
        return metric

    fake = types.SimpleNamespace(list_models=lambda: ["far", "bright"], create_metric=create)
    monkeypatch.setitem(sys.modules, "pyiqa", fake)
    monkeypatch.setattr("mllmqa.evaluation.metrics.version", lambda _: "0.1.16")
    a, b = (
        save(tmp_path / "a.png", grey(np.full((32, 32), 40))),
        save(tmp_path / "b.png", grey(np.full((32, 32), 60))),
    )
    assert one("pyiqa:far", b, reference_path=str(a)).value == pytest.approx(20, abs=1e-4)
    assert one("pyiqa:bright", b).value == pytest.approx(60, abs=1e-4)
    record = open_metric("pyiqa:far").record
    assert (record.direction, record.about["licence"]) == ("lower-better", PYIQA_LICENCE)
    with pytest.raises(UnknownNameError, match="pyiqa has no metric 'near'"):
        open_metric("pyiqa:near")
