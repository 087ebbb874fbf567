"""The whole model: what the original gave, batches that change nothing, counts that must agree."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mllmqa.errors import InferenceError
from tests.models.mplug_owl2.conftest import Case, load, load_processor
from tests.models.mplug_owl2.original import config, weights, write
from tests.models.mplug_owl2.reference import Reference

IMAGE_TOLERANCE, LOGITS_TOLERANCE, SCORE_TOLERANCE = 1e-5, 5e-5, 2e-5
REFERENCE_TOLERANCE = 1e-4  # float32 here, float64 there, all positions of random networks
VIDEO = "USER: How would you rate the quality of this video?\n<|image|>\nASSISTANT: The quality of the video is"


def _inputs(images: Case, prompt: str = "quality") -> Any:
    pictures = [[images.picture(f"raw_{i}")] for i in range(2)]
    return images.processor(images=pictures, text=[images.meta["prompts"][prompt]] * 2)


def _clips(videos: Case) -> list[list[Any]]:
    return [[videos.picture(f"vid{clip}_frame{i}") for i in range(4)] for clip in range(2)]


def _last(mask: torch.Tensor) -> torch.Tensor:
    """Index of the last real token of each row, (B, 1)."""
    return (mask * torch.arange(mask.shape[1])).argmax(1, keepdim=True)


# ---------------------------------------------------------------- what the original gave


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
@pytest.mark.parametrize("prompt", ["quality", "aesthetics", "quality_swapped_words"])
def test_images_from_files_to_scores(prompt: str, attention: str, images: Case) -> None:
    model = load(images.folder, attn_implementation=attention)
    inputs = _inputs(images, prompt)
    with torch.inference_mode():
        logits = model(**inputs, logits_to_keep=1).logits[:, -1]
    np.testing.assert_allclose(logits, images.arrays[f"{prompt}__logits_last"], atol=IMAGE_TOLERANCE, rtol=0)
    scores = images.level_scores(logits)
    np.testing.assert_allclose(scores, images.arrays[f"{prompt}__score_1_5"], atol=SCORE_TOLERANCE, rtol=0)


def test_every_intermediate_of_the_images(images: Case) -> None:
    inputs, want = _inputs(images), images.arrays
    with torch.inference_mode():
        seen = images.model.get_image_features(inputs["pixel_values"])
        out = images.model(**inputs, output_hidden_states=True)
    near = {"atol": IMAGE_TOLERANCE, "rtol": 0}
    np.testing.assert_allclose(seen.last_hidden_state, want["quality__vision_last_hidden"], **near)
    np.testing.assert_allclose(torch.stack(seen.pooler_output), want["quality__image_features"], **near)
    hidden = torch.stack([state[:, -1] for state in out.hidden_states])
    np.testing.assert_allclose(hidden, want["quality__hidden_last_pos"], **near)
    np.testing.assert_allclose(out.logits, want["quality__logits_all"], **near)
    np.testing.assert_array_equal(inputs["input_ids"] == -200, want["quality__modality_indicators"])


def test_text_only(images: Case) -> None:
    with torch.inference_mode():
        logits = images.model(torch.from_numpy(images.arrays["text_only__input_ids"])).logits[:, -1]
    np.testing.assert_allclose(logits, images.arrays["text_only__logits_last"], atol=IMAGE_TOLERANCE, rtol=0)


@pytest.mark.parametrize("options", [{}, {"use_cache": False}, {"cache_implementation": "static"}])
def test_greedy_generation(options: dict[str, Any], images: Case) -> None:
    inputs, want = _inputs(images), images.arrays["greedy_generate_ids"][:, -8:]
    made = images.model.generate(**inputs, max_new_tokens=8, min_new_tokens=8, do_sample=False, **options)
    np.testing.assert_array_equal(made[:, -8:], want)


@pytest.mark.parametrize("frames", [1, 4])
def test_videos(frames: int, videos: Case) -> None:
    inputs = videos.processor(videos=[clip[:frames] for clip in _clips(videos)], text=[VIDEO] * 2)
    expanded = 17 * frames + videos.arrays["video4__input_ids"].shape[1] - 1
    assert inputs["input_ids"].shape == (2, expanded)
    with torch.inference_mode():
        logits = videos.model(**inputs).logits[:, -1]
    want = videos.arrays[f"video{frames}__logits_last"]
    np.testing.assert_allclose(logits, want, atol=LOGITS_TOLERANCE, rtol=0)


def test_videos_as_one_tensor_of_five_axes(videos: Case) -> None:
    ids = [videos.processor.expand(row, [4]) for row in videos.arrays["video4__input_ids"].tolist()]
    pixels = torch.from_numpy(videos.arrays["pixel_values"])
    with torch.inference_mode():
        logits = videos.model(torch.tensor(ids), pixels).logits[:, -1]
    np.testing.assert_allclose(logits, videos.arrays["video4_5d_input__logits_last"], atol=LOGITS_TOLERANCE, rtol=0)


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
@pytest.mark.parametrize("side", ["left", "right"])
def test_ragged_videos_get_the_scores_they_have_alone(side: str, attention: str, videos: Case) -> None:
    model, clips = load(videos.folder, attn_implementation=attention), _clips(videos)
    inputs = videos.processor(videos=[clips[0], clips[1][:2]], text=[VIDEO] * 2, padding_side=side)
    with torch.inference_mode():
        logits = model(**inputs, logits_to_keep=_last(inputs["attention_mask"])).logits[:, 0]
    alone = np.concatenate([videos.arrays[f"ragged_alone_{i}__score_1_5"] for i in range(2)])
    np.testing.assert_allclose(videos.level_scores(logits), alone, atol=SCORE_TOLERANCE, rtol=0)
    wrong = videos.arrays["ragged_batch__score_1_5"][1]  # the original's, read at a padding position
    assert abs(videos.level_scores(logits)[1] - wrong) > 0.1


# ---------------------------------------------------------------- against the reference


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"num_key_value_heads": 2},
        {"num_key_value_heads": 1, "attention_bias": True},
        {"rope_scaling": {"type": "linear", "factor": 2.0}},
        {"rope_theta": 500.0, "rms_norm_eps": 1e-3},
        {"visual__image_size": 70, "reader__grid_size": 5, "reader__num_learnable_queries": 1},
        {"reader__num_attention_heads": 2, "reader__intermediate_size": 31, "visual__num_attention_heads": 8},
        {"max_position_embeddings": 8},
        {"visual__layer_norm_eps": 1e-2},
        {"reader__layer_norm_eps": 1e-2},
    ],
    ids=str,
)
@pytest.mark.parametrize("attention", ["eager", "sdpa"])
def test_other_sizes_agree_with_the_reference(changes: dict[str, Any], attention: str, tmp_path: Path) -> None:
    """Two placeholders of one and of three frames, between texts of odd lengths."""
    shape = config(**changes)
    model = load(write(tmp_path, shape), attn_implementation=attention)
    side, draw = shape["visual_config"]["visual_model"]["image_size"], torch.Generator().manual_seed(5)
    entries = [torch.randn(frames, 3, side, side, generator=draw) for frames in (1, 3)]
    ids = [1, 77, 501, -200, 13, -200, 250, 9, 333]
    want = Reference(shape, weights(shape)).logits(ids, entries)
    expanded = load_processor(tmp_path).expand(ids, [1, 3])
    with torch.inference_mode():
        got = model(torch.tensor([expanded]), torch.cat(entries)).logits[0]
    np.testing.assert_allclose(got, want, atol=REFERENCE_TOLERANCE, rtol=0)
    assert want.abs().max() > 1


@pytest.fixture(scope="module")
def grouped(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A model with grouped queries, and its configuration."""
    shape = config(num_key_value_heads=2)
    return load(write(tmp_path_factory.mktemp("grouped"), shape)), shape


def _row(model: Any, frames: int, text: int, seed: int) -> tuple[list[int], torch.Tensor]:
    draw = torch.Generator().manual_seed(seed)
    words = torch.randint(3, 600, (text,), generator=draw).tolist()
    count = frames * model.config.tokens_per_image
    return [1, *words[:2], *[-200] * count, *words[2:]], torch.randn(frames, 3, 42, 42, generator=draw)


@pytest.mark.parametrize("side", ["left", "right"])
def test_a_row_alone_is_the_row_in_a_batch(side: str, grouped: Any) -> None:
    """Rows of 8, 0 and 1 pictures: padding, pictures and neighbours change nothing; nor does their order."""
    model, shape = grouped
    rows = [_row(model, frames, text, seed) for seed, (frames, text) in enumerate([(8, 5), (0, 9), (1, 30)])]
    longest = max(len(ids) for ids, _ in rows)
    ids, mask = torch.zeros(3, longest, dtype=torch.long), torch.zeros(3, longest, dtype=torch.long)
    for i, (row, _) in enumerate(rows):
        place = slice(longest - len(row), None) if side == "left" else slice(len(row))
        ids[i, place], mask[i, place] = torch.tensor(row), 1
    pixels = torch.cat([pictures for _, pictures in rows])
    with torch.inference_mode():
        batch = model(ids, pixels, mask).logits
        for i, (row, pictures) in enumerate(rows):
            alone = model(torch.tensor([row]), pictures if len(pictures) else None).logits[0]
            torch.testing.assert_close(batch[i][mask[i].bool()], alone, atol=LOGITS_TOLERANCE, rtol=0)
    short = Reference(shape, weights(shape)).logits([*rows[2][0][:3], -200, *rows[2][0][9:]], [rows[2][1]])
    np.testing.assert_allclose(batch[2][mask[2].bool()], short, atol=REFERENCE_TOLERANCE, rtol=0)


def test_the_cache_gives_what_the_whole_sequence_gives(grouped: Any) -> None:
    """The prompt in three parts, cut inside the picture tokens of neither."""
    model, _ = grouped
    ids, pixels = _row(model, 2, 12, seed=3)
    with torch.inference_mode():
        whole = model(torch.tensor([ids]), pixels).logits
        cache, parts = None, []
        for start, end in pairwise([0, 15, 20, len(ids)]):
            pictures = pixels if start == 0 else None
            out = model(torch.tensor([ids[start:end]]), pictures, cache=cache, use_cache=True)
            cache = out.cache
            parts.append(out.logits)
    torch.testing.assert_close(torch.cat(parts, 1), whole, atol=LOGITS_TOLERANCE, rtol=0)


def test_the_cache_under_its_former_name(grouped: Any) -> None:
    """transformers 5 renames it; the old word is not ignored."""
    model, _ = grouped
    ids, pixels = _row(model, 1, 6, seed=3)
    with torch.inference_mode():
        cache = model(torch.tensor([ids]), pixels, use_cache=True).cache
        with pytest.warns(FutureWarning, match="past_key_values"):
            after = model(torch.tensor([[9]]), past_key_values=cache).logits
        whole = model(torch.tensor([[*ids, 9]]), pixels).logits[:, -1:]
    torch.testing.assert_close(after, whole, atol=LOGITS_TOLERANCE, rtol=0)


def test_features_encoded_before_serve_many_questions(grouped: Any) -> None:
    model, _ = grouped
    ids, pixels = _row(model, 2, 12, seed=4)
    with torch.inference_mode():
        seen = model.get_image_features(pixels)
        again = model(torch.tensor([ids]), mm_encoder_outputs={"image": seen}).logits
        torch.testing.assert_close(again, model(torch.tensor([ids]), pixels).logits, atol=0, rtol=0)
        made = [
            model.generate(torch.tensor([ids]), max_new_tokens=4, do_sample=False, **source)
            for source in ({"mm_encoder_outputs": {"image": seen}}, {"pixel_values": pixels})
        ]
    assert made[0].tolist() == made[1].tolist()


def test_beams_of_several_pictures_see_them_in_order(grouped: Any) -> None:
    """Repeating the pictures one by one would give the first beam the first picture twice."""
    model, _ = grouped
    rows = [_row(model, 2, 12, seed) for seed in (6, 7)]
    ids, pixels = torch.tensor([row for row, _ in rows]), torch.cat([pictures for _, pictures in rows])
    options = {"max_new_tokens": 5, "min_new_tokens": 5, "num_beams": 3, "do_sample": False}
    made = model.generate(ids, pixel_values=pixels, return_dict_in_generate=True, output_scores=True, **options)
    for i in range(2):
        with torch.inference_mode():
            logits = model(made.sequences[i : i + 1], rows[i][1]).logits[0, -6:-1].log_softmax(-1)
        own = logits.gather(1, made.sequences[i, -5:, None]).sum() / 5
        torch.testing.assert_close(made.sequences_scores[i], own, atol=1e-4, rtol=0)


def test_generation_in_a_padded_batch(grouped: Any) -> None:
    """Rows of unequal length, padded on the left, continue as they do alone."""
    model, _ = grouped
    rows = [_row(model, frames, text, seed) for seed, (frames, text) in enumerate([(3, 4), (1, 9), (0, 6)])]
    longest = max(len(ids) for ids, _ in rows)
    ids = torch.tensor([[0] * (longest - len(row)) + row for row, _ in rows])
    mask = torch.tensor([[0] * (longest - len(row)) + [1] * len(row) for row, _ in rows])
    options = {"max_new_tokens": 6, "min_new_tokens": 6, "do_sample": False}
    pixels = torch.cat([pictures for _, pictures in rows])
    made = model.generate(ids, pixel_values=pixels, attention_mask=mask, **options)
    for i, (row, pictures) in enumerate(rows):
        given = {"pixel_values": pictures} if len(pictures) else {}
        alone = model.generate(torch.tensor([row]), **given, **options)
        assert made[i, -6:].tolist() == alone[0, -6:].tolist()


def test_any_attention_of_transformers_is_used_in_all_parts(images: Case) -> None:
    """One that is registered by name, as kernels are: who calls it, and what it is told."""
    from transformers import AttentionInterface
    from transformers.models.llama.modeling_llama import eager_attention_forward

    seen = []

    def recorded(module: Any, query: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
        causal = kwargs.get("is_causal", module.is_causal)
        seen.append((type(module).__name__, causal, kwargs["scaling"] == query.shape[-1] ** -0.5))
        return eager_attention_forward(module, query, *args, **kwargs)

    AttentionInterface.register("recorded", recorded)
    model = load(images.folder, attn_implementation="recorded")
    with torch.inference_mode():
        model(**_inputs(images))
    names = {name: causal for name, causal, scaled in seen if scaled}
    assert names == {"VisionAttention": False, "AbstractorAttention": False, "MplugOwl2Attention": True}


@pytest.mark.parametrize("keep", [1, 3, torch.tensor([[4], [20]]), torch.tensor([0, 7, 2])], ids=str)
def test_logits_are_computed_where_they_are_wanted(keep: int | torch.Tensor, images: Case) -> None:
    inputs = _inputs(images)
    with torch.inference_mode():
        whole, some = images.model(**inputs).logits, images.model(**inputs, logits_to_keep=keep).logits
    if isinstance(keep, int):
        want = whole[:, -keep:]
    else:
        want = whole[:, keep] if keep.dim() == 1 else whole[torch.arange(2)[:, None], keep]
    torch.testing.assert_close(some, want, atol=IMAGE_TOLERANCE, rtol=0)


def test_embeddings_instead_of_ids(images: Case) -> None:
    inputs = _inputs(images)
    embeds, where = torch.from_numpy(images.arrays["quality__inputs_embeds"]), inputs["input_ids"] == -200
    with torch.inference_mode():
        logits = images.model(inputs_embeds=embeds, is_image=where).logits[:, -1]
        without = images.model(inputs_embeds=embeds).logits[:, -1]
    np.testing.assert_allclose(logits, images.arrays["quality__logits_last"], atol=IMAGE_TOLERANCE, rtol=0)
    assert not np.allclose(without, logits, atol=0.1), "pictures went the way of text"


@pytest.mark.parametrize(("dtype", "coarser"), [(torch.bfloat16, 2**16), (torch.float16, 2**13)], ids=str)
def test_half_precision_is_near(dtype: torch.dtype, coarser: int, images: Case, videos: Case) -> None:
    """Within the error of float32 on these networks, which was measured, times what rounding is coarser."""
    for case, inputs, prompt in (
        (images, _inputs(images), "quality"),
        (videos, videos.processor(videos=_clips(videos), text=[VIDEO] * 2), "video4"),
    ):
        model = load(case.folder, dtype=dtype)
        assert {tensor.dtype for tensor in model.state_dict().values()} == {dtype}
        with torch.inference_mode():
            logits = model(**inputs).logits[:, -1]
        assert logits.dtype == dtype
        off = np.abs(logits.float().numpy() - case.arrays[f"{prompt}__logits_last"])
        assert off.max() < coarser * case.meta["repeatability"]["max_abs_fp32_vs_fp64"]
        assert off.mean() < 0.1
        scores = case.level_scores(logits.float())
        np.testing.assert_allclose(scores, case.arrays[f"{prompt}__score_1_5"], atol=0.1, rtol=0)


# ---------------------------------------------------------------- what does not fit


@pytest.mark.parametrize("pictures", [0, 1, 3])
def test_pictures_and_placeholders_must_agree(pictures: int, images: Case) -> None:
    inputs = _inputs(images)
    pixels = inputs["pixel_values"][:1].repeat(pictures, 1, 1, 1) if pictures else None
    with pytest.raises(
        InferenceError, match=f"18 picture tokens in the prompts, {9 * pictures} from the"
    ) as caught:
        images.model(inputs["input_ids"], pixels)
    assert "9 per picture" in str(caught.value)


def test_pictures_of_another_size(images: Case) -> None:
    with pytest.raises(InferenceError, match="pictures of 70x56; expected 56x56"):
        images.model(_inputs(images)["input_ids"], torch.zeros(2, 3, 56, 70))


def test_contradictory_inputs(images: Case) -> None:
    inputs = _inputs(images)
    embeds = torch.from_numpy(images.arrays["quality__inputs_embeds"])
    seen = {"image": images.model.get_image_features(inputs["pixel_values"])}
    with pytest.raises(InferenceError, match="neither input_ids nor inputs_embeds"):
        images.model()
    with pytest.raises(InferenceError, match="input_ids beside inputs_embeds"):
        images.model(inputs["input_ids"], inputs_embeds=embeds)
    for wrong in ({"inputs_embeds": embeds}, {"input_ids": inputs["input_ids"], "mm_encoder_outputs": seen}):
        with pytest.raises(InferenceError, match="pixel_values beside"):
            images.model(pixel_values=inputs["pixel_values"], **wrong)
