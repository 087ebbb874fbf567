"""The speed report: what it counts is right and its figures fit together. No figure is compared with a time."""

from __future__ import annotations

import math
from dataclasses import asdict
from pathlib import Path

import pytest
import torch

from mllmqa import benchmark, loading
from mllmqa.benchmark import SpeedOptions, measure_speed
from mllmqa.errors import MediaLimitError, UsageError
from mllmqa.scoring import Scorer
from tests import tiny_models
from tests.models.mplug_owl2 import original as owl


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Scorer:
    place = tiny_models.build("llava", tmp_path_factory.mktemp("tiny") / "tiny", width=64)
    return loading.load(str(place), device="cpu")


@pytest.fixture(autouse=True)
def small_matrices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(benchmark.MATRIX_SIZE, "cpu", 64)


def test_the_figures_fit_together(tiny: Scorer) -> None:
    report = measure_speed(tiny, SpeedOptions(images=5, width=60, height=40, batch_size=2))
    assert (report.images, report.batch_size, report.dtype, report.device) == (5, 2, "float32", "cpu")
    assert report.model == tiny.backend.info.model
    whole = report.view_s + report.encode_s + report.forward_s
    assert min(report.view_s, report.encode_s, report.forward_s) > 0
    assert report.images_per_s == pytest.approx(5 / whole)
    assert report.forward_images_per_s == pytest.approx(5 / report.forward_s)
    assert report.tokens_per_s == pytest.approx(report.tokens_per_request * 5 / report.forward_s)
    assert report.flop_per_image is not None
    assert report.flop_per_s == pytest.approx(report.flop_per_image * 5 / report.forward_s)
    assert report.share == pytest.approx(report.flop_per_s / report.matrix_flop_per_s)
    assert report.peak_memory_bytes is None or report.peak_memory_bytes > 50e6  # torch alone is more


def test_tokens_are_those_that_the_processor_made(tiny: Scorer) -> None:
    report = measure_speed(tiny, SpeedOptions(images=2, width=60, height=40))
    text = tiny.backend.text(benchmark._Run(tiny, tiny.backend, SpeedOptions())._requests(1)[0])  # type: ignore[attr-defined, arg-type]
    ids = tiny.backend.processor.tokenizer(text)["input_ids"]  # type: ignore[attr-defined]
    assert report.tokens_per_request == len(ids) - 1 + 9  # one tag becomes 3 × 3 tokens


def test_operations_are_counted_as_by_hand(tiny: Scorer) -> None:
    """Matrix products of all linear layers and attention: 2·rows·in·out, and 4·heads·T²·d per attention."""
    report = measure_speed(tiny, SpeedOptions(images=1, width=60, height=40))
    model = tiny.backend.model  # type: ignore[attr-defined]
    tokens, patches = round(report.tokens_per_request), 9
    flop = 2 * patches * model.model.vision_tower.embeddings.patch_embedding.weight.numel()
    for name, module in model.named_modules():
        if isinstance(module, torch.nn.Linear):
            in_tower = "vision_tower" in name
            rows = patches + 1 if in_tower else patches if "projector" in name else tokens
            flop += 2 * (1 if name == "lm_head" else rows) * module.weight.numel()
    flop += 2 * 4 * 24 * (patches + 1) ** 2 + 2 * 4 * 64 * tokens**2
    assert report.flop_per_image == pytest.approx(flop, rel=0.01)


def test_operations_of_quantised_models_are_not_told() -> None:
    pytest.importorskip("bitsandbytes")
    report = measure_speed(loading.load("nano", device="cpu", quantize="8bit"), SpeedOptions(images=1))
    assert (report.flop_per_image, report.flop_per_s, report.share) == (None, None, None)
    assert report.quantization == "bitsandbytes llm.int8 threshold 6, vision float32"
    assert report.matrix_flop_per_s > 0


def test_the_pictures_are_seeded_and_all_different(tiny: Scorer) -> None:
    def pictures(seed: int) -> list[bytes]:
        run = benchmark._Run(tiny, tiny.backend, SpeedOptions(width=8, height=6, seed=seed))  # type: ignore[arg-type]
        return [p.tobytes() for _ in range(2) for p in run._pictures(2)]

    assert pictures(1) == pictures(1)
    assert len({*pictures(1), *pictures(2)}) == 8


@pytest.mark.parametrize("options", [SpeedOptions(images=0), SpeedOptions(width=0), SpeedOptions(batch_size=-1)])
def test_nonsense_is_refused(options: SpeedOptions, tiny: Scorer) -> None:
    with pytest.raises(UsageError, match="positive numbers"):
        measure_speed(tiny, options)


def test_pictures_that_the_model_cannot_take_say_so(tiny: Scorer) -> None:
    with pytest.raises(MediaLimitError):
        measure_speed(tiny, SpeedOptions(images=1, width=1, height=1))


def test_the_matrix_rate_is_a_rate() -> None:
    for dtype in (torch.float32, torch.bfloat16):
        assert math.isfinite(benchmark.matrix_rate(torch.device("cpu"), dtype))


def test_an_untold_size_of_batch_is_that_of_scoring(tiny: Scorer, tmp_path: Path) -> None:
    assert tiny.default_batch_size == 8
    assert measure_speed(tiny, SpeedOptions(images=9, width=40, height=40)).batch_size == 8
    assert measure_speed(tiny, SpeedOptions(images=2, width=40, height=40)).batch_size == 2
    assert set(asdict(SpeedOptions())) == {"images", "width", "height", "batch_size", "seed"}


def test_mplug_owl2_is_counted_and_left_as_it_was(tmp_path: Path) -> None:
    """Its parameters want gradients, which the counter of operations stumbled over."""
    scorer = loading.load(str(owl.write(tmp_path / "owl", owl.config())), device="cpu")
    model = scorer.backend.model  # type: ignore[attr-defined]
    before = {name: parameter.requires_grad for name, parameter in model.named_parameters()}
    report = measure_speed(scorer, SpeedOptions(images=2, width=60, height=40))
    # At least the matrices of the language model, once per token.
    weights = sum(
        p.numel() for n, p in model.named_parameters() if "layers" in n and "vision" not in n and p.ndim == 2
    )
    assert report.flop_per_image is not None
    assert report.flop_per_image > report.tokens_per_request * weights / 2
    assert {name: parameter.requires_grad for name, parameter in model.named_parameters()} == before


def test_pictures_larger_than_any_that_are_scored_are_refused(tiny: Scorer) -> None:
    with pytest.raises(UsageError, match=r"pictures of 99999x99999; expected at most [\d,]+ pixels"):
        measure_speed(tiny, SpeedOptions(images=1, width=99999, height=99999))
