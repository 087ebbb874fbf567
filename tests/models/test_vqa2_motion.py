"""VQA²'s motion branch: published key names and sizes, features, splicing, texts, loading."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mllmqa.errors import InferenceError, ModelLoadError, UnknownNameError
from mllmqa.media import parse_view
from mllmqa.models.base import Clip, ModelInfo, Request
from mllmqa.models.hf import HFBackend
from mllmqa.models.load import load_backend
from mllmqa.models.presets import presets
from mllmqa.models.resolve import resolve
from mllmqa.models.save import save_whole
from mllmqa.models.vqa2_motion import has_motion, load_motion
from mllmqa.models.vqa2_motion.modeling import MotionFeatures, Vqa2Config, Vqa2ForConditionalGeneration
from mllmqa.models.vqa2_motion.processing import Vqa2Processor, chat_template, key_frames, motion_frames
from mllmqa.models.vqa2_motion.slowfast import SlowFast
from mllmqa.prompts import load, render
from tests.conftest import photo_pixels
from tests.models.llava_original.made import Made, make, original_tensors, write

WIDTHS: dict[str, Any] = {"motion_width": 16, "motion_depths": [1, 1, 1, 1], "motion_positions": 40}


@dataclass(frozen=True)
class Published:
    """A tiny checkpoint as VQA² publishes them."""

    made: Made
    tensors: dict[str, torch.Tensor]

    @property
    def folder(self) -> Path:
        return self.made.folder


@pytest.fixture
def published(tmp_path: Path) -> Published:
    made = make("llava_onevision", tmp_path / "m")
    fields = made.source.config.to_dict()
    fields.pop("model_type")
    empty = Vqa2ForConditionalGeneration(Vqa2Config(**fields, **WIDTHS))
    random = torch.Generator().manual_seed(3)
    tensors = original_tensors(made.source, made.rows)
    for key, value in empty.state_dict().items():
        if key.startswith("slowfast"):
            if value.is_floating_point():
                noise = torch.randn(value.shape, generator=random)
                value = 0.2 * noise if value.dim() > 1 else 0.75 + 0.2 * noise.abs()
            tensors["model." + key] = value
    write(made.folder, tensors)
    return Published(made, tensors)


@pytest.fixture
def loaded(published: Published) -> tuple[Any, Any]:
    return load_motion(published.folder, torch.float32, widths=WIDTHS)


def video(count: int, fps: float = 4.0, seed: int = 0) -> tuple[np.ndarray, dict[str, Any]]:
    """Return frames and their times as :class:`HFBackend` states them."""
    frames = np.stack([photo_pixels(60, 40, seed=seed + i) for i in range(count)])
    return frames, {"fps": 1000.0, "frames_indices": [round(1000 * i / fps) for i in range(count)]}


def text_of(processor: Any, question: str = "How good?") -> str:
    content = [{"type": "video"}, {"type": "text", "text": question}]
    return processor.apply_chat_template(  # type: ignore[no-any-return]
        [{"role": "user", "content": content}], tokenize=False, add_generation_prompt=True
    )


def inputs(processor: Any, *clips: tuple[np.ndarray, dict[str, Any]], **options: Any) -> Any:
    return processor(
        text=[text_of(processor)] * len(clips),
        videos=[frames for frames, _ in clips],
        video_metadata=[metadata for _, metadata in clips],
        input_data_format="channels_last",
        **options,
    )


# ---------------------------------------------------------------------------------- SlowFast


def norm(name: str, channels: int) -> dict[str, tuple[int, ...]]:
    values = {f"{name}.{kind}": (channels,) for kind in ("weight", "bias", "running_mean", "running_var")}
    return {**values, f"{name}.num_batches_tracked": ()}


def slowfast_r50() -> dict[str, tuple[int, ...]]:
    """Return keys and shapes of pytorchvideo's slowfast_r50 up to its last stage."""
    shapes: dict[str, tuple[int, ...]] = {}
    for path, (channels, frames) in enumerate(((64, 1), (8, 5))):
        shapes[f"0.multipathway_blocks.{path}.conv.weight"] = (channels, 3, frames, 7, 7)
        shapes |= norm(f"0.multipathway_blocks.{path}.norm", channels)
    for stage, fast in enumerate((8, 32, 64, 128)):
        shapes[f"{stage}.multipathway_fusion.conv_fast_to_slow.weight"] = (2 * fast, fast, 7, 1, 1)
        shapes |= norm(f"{stage}.multipathway_fusion.norm", 2 * fast)
    depths, inside = (3, 4, 6, 3), ((80, 8), (320, 32), (640, 64), (1280, 128))
    for stage, (depth, ins) in enumerate(zip(depths, inside, strict=True), start=1):
        for path, out in enumerate((128 * 2**stage, 16 * 2**stage)):
            frames = 3 if path or stage > 2 else 1
            for i in range(depth):
                block = f"{stage}.multipathway_blocks.{path}.res_blocks.{i}"
                into, inner = out if i else ins[path], out // 4
                if i == 0:
                    shapes[f"{block}.branch1_conv.weight"] = (out, into, 1, 1, 1)
                    shapes |= norm(f"{block}.branch1_norm", out)
                shapes[f"{block}.branch2.conv_a.weight"] = (inner, into, frames, 1, 1)
                shapes[f"{block}.branch2.conv_b.weight"] = (inner, inner, 1, 3, 3)
                shapes[f"{block}.branch2.conv_c.weight"] = (out, inner, 1, 1, 1)
                for letter, channels in zip("abc", (inner, inner, out), strict=True):
                    shapes |= norm(f"{block}.branch2.norm_{letter}", channels)
    return shapes


def test_keys_and_shapes_of_the_published_branch() -> None:
    with torch.device("meta"):
        features = MotionFeatures(Vqa2Config())
    found = {key: tuple(value.shape) for key, value in features.state_dict().items()}
    expected = {f"feature_extraction.{key}": shape for key, shape in slowfast_r50().items()}
    assert found == {**expected, "position_embedding.weight": (2000, 256)}


def test_keys_of_a_true_size_checkpoint() -> None:
    text = {"model_type": "qwen2", "hidden_size": 3584, "intermediate_size": 18944, "num_hidden_layers": 28}
    text |= {"num_attention_heads": 28, "num_key_value_heads": 4, "vocab_size": 152064}
    with torch.device("meta"):
        model = Vqa2ForConditionalGeneration(Vqa2Config(text_config=text))
    found = {key: tuple(value.shape) for key, value in model.state_dict().items()}
    assert found["slowfast_projector.0.weight"] == (3584, 256)
    assert found["slowfast_projector.2.weight"] == (3584, 3584)
    assert sum(key.startswith("slowfast.") for key in found) == len(slowfast_r50()) + 1
    assert sum(p.numel() for p in model.parameters()) == pytest.approx(8.08e9, rel=0.01)


def test_with_its_head_slowfast_r50_has_the_published_size() -> None:
    with torch.device("meta"):
        parameters = sum(p.numel() for p in SlowFast().parameters())
    head = (2048 + 256) * 400 + 400
    assert round((parameters + head) / 1e6, 2) == 34.57  # pytorchvideo's model zoo


def test_the_fast_features_do_not_depend_on_the_slow_pathway() -> None:
    torch.manual_seed(0)
    net = SlowFast(16, (1, 2, 1, 1)).eval()
    frames = torch.randn(2, 3, 8, 64, 96)
    with torch.inference_mode():
        slow, fast = net.both(frames[:, :, :2], frames)
        other, same = net.both(frames[:, :, 2:4], frames)
    assert slow.shape == (2, 512, 2, 2, 3) and fast.shape == (2, 64, 8, 2, 3)
    assert (slow - other).abs().max() > 0
    assert torch.equal(fast, same)
    torch.testing.assert_close(fast, net.fast(frames))


def test_features_are_means_over_space_with_a_row_per_frame() -> None:
    torch.manual_seed(0)
    branch = MotionFeatures(Vqa2Config(**WIDTHS)).eval()
    frames = torch.randn(8, 3, 64, 64)
    with torch.inference_mode():
        found = branch(frames)
        fast = branch.feature_extraction.both(frames[:2].transpose(0, 1)[None], frames.transpose(0, 1)[None])[1]
    expected = torch.nn.functional.adaptive_avg_pool2d(fast[0].transpose(0, 1), 1)[..., 0, 0]
    torch.testing.assert_close(found, expected + branch.position_embedding.weight[:8])


@pytest.mark.parametrize("count", [0, 3, 6, 44])
def test_clips_of_a_wrong_length(count: int) -> None:
    with pytest.raises(InferenceError, match=f"a clip of {count} frames.*multiple of 4, at most 40"):
        MotionFeatures(Vqa2Config(**WIDTHS))(torch.zeros(count, 3, 32, 32))


# ---------------------------------------------------------------------------------- frames and texts


@pytest.mark.parametrize(
    ("count", "fps", "expected"),
    [
        (50, 25.0, [0, 25]),
        (51, 25.0, [0, 25, 50]),
        (10, 29.97, [0]),
        (7, 0.4, [0, 1, 2, 3, 4, 5, 6]),
        (1, 1.0, [0]),
    ],
)
def test_one_key_frame_per_second(count: int, fps: float, expected: list[int]) -> None:
    assert list(key_frames(count, fps)) == expected


def test_the_motion_branch_sees_a_multiple_of_four() -> None:
    assert motion_frames(11) == list(range(8))
    assert motion_frames(4) == [0, 1, 2, 3]
    assert motion_frames(2) == [0, 1, 1, 1]
    assert motion_frames(1) == [0, 0, 0, 0]


def test_the_text_states_the_counts_and_has_a_place_for_every_token(loaded: tuple[Any, Any]) -> None:
    _, processor = loaded
    encoded = inputs(processor, video(10))
    text = processor.tokenizer.decode(encoded["input_ids"][0])
    assert "You will receive 3 distinct frames" in text and "from all 8 frames" in text
    assert text.count("<video>") == 3 * 4 + 1 and text.count("<motion>") == 8
    assert "The video frames:<video>" in text and "features:<motion>" in text and ".How good?" in text
    assert encoded["frame_counts"].tolist() == [[3, 8]]
    assert encoded["pixel_values_frames"].shape == (3, 3, 24, 24)
    assert torch.equal(encoded["pixel_values_frames"][1], encoded["pixel_values_motion"][4])


def test_scorers_are_asked_without_the_announcement(published: Published) -> None:
    _, processor = load_motion(published.folder, torch.float32, widths=WIDTHS, layout="scorer")
    text = text_of(processor)
    assert "<|im_start|>user\n<video><motion>How good?<|im_end|>\n<|im_start|>assistant\n" in text
    messages = [{"role": "user", "content": [{"type": "video"}]}]
    other = processor.apply_chat_template(messages, layout="assistant", tokenize=False)
    assert "You will receive" in other and "You will receive" not in text
    with pytest.raises(UnknownNameError, match="assistant"):
        chat_template("judge")


def test_a_picture_is_a_video_of_one_key_frame_repeated_four_times(loaded: tuple[Any, Any]) -> None:
    model, processor = loaded
    picture = photo_pixels(60, 40)
    encoded = processor(text=[text_of(processor)], images=[[picture]], input_data_format="channels_last")
    assert encoded["frame_counts"].tolist() == [[1, 4]]
    assert all(torch.equal(frame, encoded["pixel_values_frames"][0]) for frame in encoded["pixel_values_motion"])
    as_video = inputs(processor, (np.stack([picture]), {"fps": 1000.0, "frames_indices": [0]}))
    with torch.inference_mode():
        assert torch.equal(model(**encoded).logits, model(**as_video).logits)


def test_frames_that_the_view_has_resized_are_the_same_input(loaded: tuple[Any, Any]) -> None:
    frames, metadata = video(8)
    small = np.stack([view for frame in frames for view in parse_view("resize:24x24")(frame)])
    large, made = inputs(loaded[1], (frames, metadata)), inputs(loaded[1], (small, metadata))
    assert torch.equal(large["pixel_values_motion"], made["pixel_values_motion"])


def test_prompts_and_videos_that_do_not_fit(loaded: tuple[Any, Any]) -> None:
    model, processor = loaded
    frames, metadata = video(8)
    with pytest.raises(InferenceError, match="0 placeholders <video>"):
        processor(text=["hello"], videos=[frames], video_metadata=[metadata])
    with pytest.raises(InferenceError, match="without times"):
        processor(text=[text_of(processor)], videos=[frames])
    with pytest.raises(InferenceError, match="several pictures"):
        processor(text=[text_of(processor)], images=[[frames[0], frames[1]]])
    with pytest.raises(InferenceError, match="1 videos or pictures for 2 prompts"):
        processor(text=["a", "b"], videos=[frames], video_metadata=[metadata])
    encoded = inputs(processor, (frames, metadata))
    with pytest.raises(InferenceError, match="an input is missing"):
        model(**{name: value for name, value in encoded.items() if name != "frame_counts"})
    with pytest.raises(InferenceError, match="placeholders for"):
        model(**{**encoded, "input_ids": encoded["input_ids"][:, :-30].clamp(max=250)})


# ---------------------------------------------------------------------------------- the whole model


def test_logits_are_those_of_tokens_put_together_by_hand(published: Published, loaded: tuple[Any, Any]) -> None:
    (model, processor), source = loaded, published.made.source
    encoded, rows = inputs(processor, video(10)), []
    with torch.inference_mode():
        found = model(**encoded).logits[0]
        pixels = encoded["pixel_values_frames"][None]
        frames = source.model.get_video_features(pixels, return_dict=True).pooler_output
        motion = model.slowfast(encoded["pixel_values_motion"])
        for layer in (0, 2):
            weight, bias = (published.tensors[f"model.slowfast_projector.{layer}.{n}"] for n in ("weight", "bias"))
            motion = torch.nn.functional.linear(motion, weight, bias)
            motion = torch.nn.functional.gelu(motion) if layer == 0 else motion
        streams = {processor.tokenizer.convert_tokens_to_ids("<video>"): iter(frames[0])}
        streams[processor.tokenizer.convert_tokens_to_ids("<motion>")] = iter(motion)
        for token in encoded["input_ids"][0].tolist():
            rows.append(next(streams[token]) if token in streams else source.get_input_embeddings().weight[token])
        expected = source(inputs_embeds=torch.stack(rows)[None]).logits[0]
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)


def test_motion_counts(loaded: tuple[Any, Any]) -> None:
    model, processor = loaded
    encoded = inputs(processor, video(8))
    still = {**encoded, "pixel_values_motion": encoded["pixel_values_motion"][:1].repeat(8, 1, 1, 1)}
    with torch.inference_mode():
        assert (model(**encoded).logits - model(**still).logits).abs().max() > 1e-4


def test_a_ragged_batch_gives_what_each_gives_alone(loaded: tuple[Any, Any]) -> None:
    model, processor = loaded
    clips = [video(10), video(22, fps=7.0, seed=30)]
    with torch.inference_mode():
        together = model(**inputs(processor, *clips)).logits[:, -1]
        alone = torch.cat([model(**inputs(processor, clip)).logits[:, -1] for clip in clips])
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=0)


def test_generation_with_and_without_a_cache(loaded: tuple[Any, Any]) -> None:
    model, processor = loaded
    encoded = inputs(processor, video(8))
    encoded |= {"max_new_tokens": 4, "do_sample": False}
    cached, plain = (model.generate(**encoded, use_cache=cache) for cache in (True, False))
    assert torch.equal(cached, plain)


def test_the_assistants_inference_code_repeats_the_motion_tokens(loaded: tuple[Any, Any]) -> None:
    model, processor = loaded
    once = inputs(processor, video(8))
    processor.repeat_motion = True
    twice = inputs(processor, video(8))
    token = processor.tokenizer.convert_tokens_to_ids("<motion>")
    assert [(e["input_ids"] == token).sum().item() for e in (once, twice)] == [8, 16]
    with torch.inference_mode():
        assert model(**twice).logits.shape[1] == once["input_ids"].shape[1] + 8


def test_the_back_end_asks_it_about_videos(loaded: tuple[Any, Any]) -> None:
    model, processor = loaded
    info = ModelInfo("vqa2", None, None, None, "float32", "cpu")
    backend = HFBackend(model, processor, presets()["vqa2-ugc-scorer"], info)
    assert backend.native_video
    frames, metadata = video(9)
    times = tuple(i / 1000 for i in metadata["frames_indices"])
    prompt = render(load("score/quality"), medium="video")
    request = Request(prompt, tuple(frames), Clip(times, times[-1]))
    assert "<video><motion>How would you rate" in backend.text(request)
    answer = backend.generate([request], max_new_tokens=3)[0]
    assert answer == backend.generate([request], max_new_tokens=3)[0]


# ---------------------------------------------------------------------------------- loading


def test_a_checkpoint_is_known_by_its_keys(published: Published, tmp_path: Path) -> None:
    assert has_motion(published.folder)
    assert not has_motion(make("llava_onevision", tmp_path / "other" / "m").folder)


def test_counters_stay_whole_numbers_in_half_precision(published: Published) -> None:
    model, _ = load_motion(published.folder, torch.bfloat16, widths=WIDTHS)
    state = model.slowfast.state_dict()
    assert {v.dtype for k, v in state.items() if "num_batches" in k} == {torch.int64}
    assert {v.dtype for k, v in state.items() if "num_batches" not in k} == {torch.bfloat16}


@pytest.mark.parametrize(
    ("key", "shape", "message"),
    [
        ("model.slowfast.position_embedding.weight", None, r"missing keys: 'slowfast\.position_embedding\.weight'"),
        ("model.slowfast_projector.2.bias", None, r"missing keys: 'slowfast_projector\.2\.bias'"),
        ("model.slowfast.feature_extraction.5.x", (1,), r"unexpected key 'slowfast\.feature_extraction\.5\.x'"),
        (
            "model.slowfast_projector.0.weight",
            (32, 65),
            r"'slowfast_projector\.0\.weight' has the shape \[32, 65\]",
        ),
        ("model.norm.weight", None, r"missing keys: 'model\.norm\.weight'"),
    ],
)
def test_loading_is_strict(key: str, shape: Any, message: str, published: Published) -> None:
    tensors = dict(published.tensors)
    if shape is None:
        del tensors[key]
    else:
        tensors[key] = torch.zeros(shape)
    write(published.folder, tensors)
    with pytest.raises(ModelLoadError, match=message):
        load_motion(published.folder, torch.float32, widths=WIDTHS)


def test_only_onevision_has_a_motion_branch(tmp_path: Path) -> None:
    with pytest.raises(ModelLoadError, match="the family llava"):
        load_motion(make("llava", tmp_path / "m").folder, torch.float32)


# ---------------------------------------------------------------------------------- saved by us


@pytest.fixture
def saved(loaded: tuple[Any, Any], tmp_path: Path) -> Path:
    save_whole(*loaded, presets()["vqa2-ugc-scorer"], tmp_path / "saved")
    return tmp_path / "saved"


def test_saved_it_is_loaded_by_its_folder(loaded: tuple[Any, Any], saved: Path) -> None:
    model, processor = loaded
    backend = load_backend(resolve(str(saved)), device="cpu")
    assert backend.preset.name == "vqa2-ugc-scorer"
    asked, again = inputs(processor, video(9)), inputs(backend.processor, video(9))
    assert asked.keys() == again.keys()
    assert all(torch.equal(asked[name], again[name]) for name in asked)
    with torch.no_grad():
        assert torch.equal(model(**asked).logits, backend.model(**again).logits)


def test_a_saved_processor_keeps_its_settings(loaded: tuple[Any, Any], saved: Path) -> None:
    processor = loaded[1]
    processor.repeat_motion = True
    processor.save_pretrained(saved)
    again = Vqa2Processor.from_pretrained(str(saved))
    for name in ("tokens_per_frame", "layout", "repeat_motion", "chat_template"):
        assert getattr(again, name) == getattr(processor, name)


@pytest.mark.parametrize("content", ["{", '{"tokens_per_frame": 4, "colour": 1}', '{"layout": "assistant"}'])
def test_malformed_settings_of_a_processor(content: str, saved: Path) -> None:
    (saved / "vqa2_processor.json").write_text(content)
    with pytest.raises(ModelLoadError, match=r"vqa2_processor\.json: malformed"):
        load_backend(resolve(str(saved)), device="cpu")
