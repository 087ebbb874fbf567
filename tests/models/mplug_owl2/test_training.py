"""One training step: loss, labels and gradients as the original's; checkpointing, accumulation, adapters."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.models.mplug_owl2.conftest import Case, load, load_processor
from tests.models.mplug_owl2.original import config, weights, write

LORA_TARGETS = r".*layers\.\d+\.self_attn\.(q_proj|v_proj\.multiway\.1)"  # of Q-Align and DeQA-Score


def _batch(training: Case) -> dict[str, torch.Tensor]:
    """The original's samples, expanded by our processor, padded on the right."""
    arrays = training.arrays
    ids = torch.zeros(arrays["expanded_labels"].shape, dtype=torch.long)
    for i, row in enumerate(arrays["input_ids"]):
        expanded = training.processor.expand(row[arrays["attention_mask"][i]].tolist(), [1])
        ids[i, : len(expanded)] = torch.tensor(expanded)
    return {
        "input_ids": ids,
        "attention_mask": torch.from_numpy(arrays["expanded_attention_mask"]).long(),
        "labels": torch.from_numpy(arrays["expanded_labels"]),
        "pixel_values": torch.from_numpy(arrays["pixel_values"]),
    }


def _step(model: Any, batch: dict[str, torch.Tensor], **options: Any) -> tuple[Any, dict[str, torch.Tensor]]:
    model.zero_grad()
    out = model.train()(**batch, **options)
    out.loss.backward()
    gradients = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
    model.zero_grad()
    model.eval()
    return out, gradients


@pytest.fixture
def model(training: Case) -> Any:
    return load(training.folder)


def test_texts_give_the_ids_and_the_pictures_their_places(training: Case) -> None:
    for i, text in enumerate(training.meta["formatted_texts"]):
        want = training.arrays["input_ids"][i][training.arrays["attention_mask"][i]]
        assert training.processor.encode(text) == want.tolist()
    np.testing.assert_array_equal(
        _batch(training)["input_ids"] == -200, training.arrays["modality_indicators"].astype(bool)
    )


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
def test_loss_logits_and_gradients_of_one_step(attention: str, training: Case) -> None:
    model, mask = load(training.folder, attn_implementation=attention), training.arrays["expanded_attention_mask"]
    out, gradients = _step(model, _batch(training))
    np.testing.assert_allclose(out.loss.item(), training.arrays["loss"], atol=5e-6)
    np.testing.assert_allclose(out.logits.detach()[mask], training.arrays["logits"][mask], atol=5e-5, rtol=0)
    norms = {name: gradient.norm().item() for name, gradient in gradients.items()}
    assert norms.keys() == training.meta["grad_norms"].keys()
    for name, norm in norms.items():
        assert norm == pytest.approx(training.meta["grad_norms"][name], rel=2e-5, abs=1e-6), name


@pytest.mark.parametrize("reentrant", [False, True])
def test_gradient_checkpointing_changes_nothing(reentrant: bool, model: Any, training: Case) -> None:
    from transformers.modeling_layers import GradientCheckpointingLayer

    batch = _batch(training)
    plain, wanted = _step(model, batch, use_cache=False)
    model.gradient_checkpointing_enable({"use_reentrant": reentrant})
    if reentrant:
        model.enable_input_require_grads()
    layers = [module for module in model.modules() if isinstance(module, GradientCheckpointingLayer)]
    assert [layer.gradient_checkpointing for layer in layers] == 6 * [True], (
        "two layers each of the language model, the tower and the abstractor"
    )
    out, gradients = _step(model, batch, use_cache=False)
    assert out.loss.item() == plain.loss.item()
    if (
        reentrant
    ):  # the tower's pixels need no gradient, so reentrant checkpoints cut it off, as documented by torch
        wanted = {name: g for name, g in wanted.items() if ".vision_model." not in name}
    for name, gradient in wanted.items():
        torch.testing.assert_close(gradients[name], gradient, atol=1e-6, rtol=1e-5, msg=name)


def test_accumulated_steps_are_one_step(model: Any, training: Case) -> None:
    """Trainer divides the sum of all micro-batches by their number of labels, given to each of them."""
    batch = _batch(training)
    count = (batch["labels"][:, 1:] != -100).sum()
    whole = model(**batch).loss
    parts = [{name: tensor[i : i + 1] for name, tensor in batch.items()} for i in range(3)]
    summed = sum(model(**part, num_items_in_batch=count).loss for part in parts)
    torch.testing.assert_close(summed, whole, atol=1e-5, rtol=0)


def test_text_without_a_picture_trains_every_way(model: Any) -> None:
    """The picture's way takes part with gradient zero: processes of one run must agree on the parameters."""
    ids = torch.tensor([[1, 5, 9, 200, 33, 2]])
    out, gradients = _step(model, {"input_ids": ids, "labels": ids})
    assert torch.isfinite(out.loss)
    pictures = {name: g for name, g in gradients.items() if "multiway.1" in name}
    assert len(pictures) == 2 * 6  # per layer two norms, and keys and values with biases
    assert all(g.abs().sum() == 0 for g in pictures.values())
    assert all(
        g.abs().sum() > 0 for name, g in gradients.items() if "multiway.0" in name and "k_proj.b" not in name
    )


def test_lora_on_the_original_targets(tmp_path: Path) -> None:
    """Attach, train a step, save, load the adapter again, merge, save the whole, reload."""
    from peft import LoraConfig, PeftModel, get_peft_model

    base = write(tmp_path / "base", config())
    processor = load_processor(base)
    ids = torch.tensor([processor.expand([1, 55, -200, 13, 99, 375, 2], [1])])
    pixels = torch.randn(1, 3, 42, 42, generator=torch.Generator().manual_seed(1))
    batch = {"input_ids": ids, "pixel_values": pixels, "labels": ids.masked_fill(ids < 0, -100)}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        settings = LoraConfig(r=4, lora_alpha=8, target_modules=LORA_TARGETS, task_type="CAUSAL_LM")
        tuned = get_peft_model(load(base), settings)
    trained = {name.split("base_model.model.")[1] for name, p in tuned.named_parameters() if p.requires_grad}
    assert len(trained) == 2 * 2 * 2
    assert all("self_attn.q_proj" in name or "self_attn.v_proj.multiway.1" in name for name in trained)
    optimizer = torch.optim.AdamW(tuned.parameters(), lr=1e-2)
    losses = []
    for _ in range(3):
        loss = tuned(**batch).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    assert losses[2] < losses[1] < losses[0]
    tuned.save_pretrained(tmp_path / "adapter")
    with torch.inference_mode():
        want = tuned.eval()(input_ids=ids, pixel_values=pixels).logits
        merged = PeftModel.from_pretrained(load(base), tmp_path / "adapter").merge_and_unload().eval()
        torch.testing.assert_close(merged(ids, pixels).logits, want, atol=1e-5, rtol=0)
        merged.save_pretrained(tmp_path / "merged")
        torch.testing.assert_close(load(tmp_path / "merged")(ids, pixels).logits, want, atol=1e-5, rtol=0)
        before = load(base)(ids, pixels).logits
    assert (want - before).abs().max() > 1e-2
    assert set(merged.state_dict()) == set(weights(config())), "the names are the original's again"
