"""Pixels as Pillow makes them, prompts cut at the placeholders, padding, and counts that must agree."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from mllmqa.errors import InferenceError
from mllmqa.models.mplug_owl2.processing import MplugOwl2ImageProcessor, MplugOwl2Processor
from tests.models.mplug_owl2.conftest import Case, load_processor
from tests.models.mplug_owl2.original import FIXTURES, config, write

PICTURES = FIXTURES / "preprocess_448"
ALL = json.loads((PICTURES / "meta.json").read_text())


def _sha256(pixels: Any) -> str:
    return hashlib.sha256(np.ascontiguousarray(pixels).tobytes()).hexdigest()


def _preprocess(picture: Any, **changes: Any) -> Any:
    made = MplugOwl2ImageProcessor.from_pretrained(PICTURES)
    return np.asarray(made(picture, return_tensors="np", **changes)["pixel_values"][0])


@pytest.mark.parametrize("name", ALL)
def test_pixels_are_exactly_those_of_pillow(name: str) -> None:
    """All modes and odd sizes: the padded square, the resized picture, the final values."""
    want = ALL[name]
    with Image.open(PICTURES / f"{name}.png") as picture:
        assert (picture.mode, list(picture.size)) == (want["mode"], want["size"])
        raw = {"do_rescale": False, "do_normalize": False}
        square = _preprocess(picture, **raw, do_resize=False, do_center_crop=False)
        resized, final = _preprocess(picture, **raw), _preprocess(picture)
    assert _sha256(np.moveaxis(square, 0, -1).astype(np.uint8)) == want["sha256_square_rgb_hwc"]
    assert _sha256(resized.astype(np.uint8)) == want["sha256_resized_uint8_chw"]
    with np.load(PICTURES / "arrays.npz") as stored:
        np.testing.assert_array_equal(final[:, ::16, ::16], stored[name])
    assert final.dtype == np.float32
    assert final.mean(dtype=np.float64) == pytest.approx(want["mean"], abs=1e-5)


def test_arrays_are_as_good_as_pictures() -> None:
    with Image.open(PICTURES / "rgb_120x91.png") as picture:
        want = _preprocess(picture)
        rows = np.asarray(picture)
    np.testing.assert_array_equal(_preprocess(rows, input_data_format="channels_last"), want)
    grey = rows[..., 0]
    want = _preprocess(np.stack([grey] * 3, axis=-1), input_data_format="channels_last")
    np.testing.assert_array_equal(_preprocess(grey[..., None], input_data_format="channels_last"), want)


def test_pictures_that_look_like_channels_first() -> None:
    """A picture of three rows, with the layout stated as the back end states it."""
    rows = np.arange(3 * 200 * 3, dtype=np.uint8).reshape(3, 200, 3)
    np.testing.assert_array_equal(
        _preprocess(rows, input_data_format="channels_last"), _preprocess(Image.fromarray(rows))
    )


def test_prompts_give_the_ids_of_the_original(images: Case, videos: Case) -> None:
    for case in (images, videos):
        for prompt, text in case.meta["prompts"].items():
            ids = case.arrays[f"{prompt.replace('video', 'video4')}__input_ids"][0]
            assert case.processor.encode(text) == ids.tolist(), text


def test_text_is_tokenised_piece_by_piece(images: Case) -> None:
    """Each piece has a word mark of its own, BOS stands in front once, nothing stands between two pictures."""
    from sentencepiece import SentencePieceProcessor

    pieces = SentencePieceProcessor(model_file=str(images.folder / "tokenizer.model"))
    got = images.processor.encode("USER: <|image|> <|image|><|image|> Compared with the first")
    want = [
        1,
        *pieces.encode("USER: "),
        -200,
        *pieces.encode(" "),
        -200,
        -200,
        *pieces.encode(" Compared with the first"),
    ]
    assert got == want
    assert images.processor.encode("<|image|>") == [1, -200]
    assert images.processor.encode("") == [1]


def test_expansion(images: Case) -> None:
    ids = [1, 5, -200, 6, -200, 7]
    assert images.processor.expand(ids, [1, 2]) == [1, 5, *[-200] * 9, 6, *[-200] * 18, 7]
    assert images.processor.expand([1, 5], []) == [1, 5]
    for counts in ([], [1], [1, 1, 1]):
        with pytest.raises(InferenceError, match=f"2 placeholders .* for {len(counts)} pictures"):
            images.processor.expand(ids, counts)


@pytest.mark.parametrize("side", ["left", "right"])
def test_padding(side: str, images: Case) -> None:
    pictures = [[images.picture("raw_0")], []]
    made = images.processor(images=pictures, text=["a <|image|> b", "the image"], padding_side=side)
    ids, mask = made["input_ids"], made["attention_mask"]
    short = int(mask[1].sum())
    where = slice(ids.shape[1] - short, None) if side == "left" else slice(short)
    assert mask[0].all()
    assert ids[1, where].tolist() == images.processor.encode("the image")
    assert ids[1][mask[1] == 0].eq(0).all()
    assert made["pixel_values"].shape == (1, 3, 56, 56)


def test_pictures_in_any_nesting(images: Case) -> None:
    picture = images.picture("raw_0")
    want = images.processor(images=[[picture]], text=["a <|image|> b"])
    for given in (picture, [picture], [[picture]], np.asarray(picture), [np.asarray(picture)]):
        made = images.processor(images=given, text="a <|image|> b", input_data_format="channels_last")
        assert torch.equal(made["pixel_values"], want["pixel_values"])
        assert torch.equal(made["input_ids"], want["input_ids"])
    assert "pixel_values" not in images.processor(text="no picture")


def test_a_video_is_one_placeholder(images: Case) -> None:
    frames = np.random.default_rng(0).integers(0, 255, (4, 30, 40, 3), dtype=np.uint8)
    made = images.processor(videos=[frames], text="a <|image|> b", input_data_format="channels_last")
    assert int((made["input_ids"] == -200).sum()) == 4 * 9
    assert made["pixel_values"].shape == (4, 3, 56, 56)
    single = images.processor(images=Image.fromarray(frames[2]), text="<|image|>")
    assert torch.equal(made["pixel_values"][2], single["pixel_values"][0])


def test_every_mismatch_is_one_clear_line(images: Case) -> None:
    picture, ask = images.picture("raw_0"), images.processor
    for pictures, texts, message in (
        ([[picture, picture]], ["a <|image|>"], "1 placeholders .* for 2 pictures"),
        ([[picture]], ["a <|image|> <|image|>"], "2 placeholders .* for 1 pictures"),
        (None, ["a <|image|>"], "1 placeholders .* for 0 pictures"),
        ([[picture]], ["no placeholder"], "0 placeholders .* for 1 pictures"),
        ([[picture]], ["a <|image|>", "b <|image|>"], "pictures for 1 prompts, but 2 prompts"),
        ([[picture]], [], "no prompt"),
    ):
        with pytest.raises(InferenceError, match=message) as caught:
            ask(images=pictures, text=texts)
        assert "\n" not in str(caught.value)
    with pytest.raises(InferenceError, match="images and videos"):
        ask(images=[[picture]], videos=[[picture]], text=["a <|image|>"])


def test_saved_and_loaded_again(tmp_path: Path, images: Case) -> None:
    images.processor.save_pretrained(tmp_path)
    write(tmp_path / "original", config())  # what AutoProcessor needs beside it is the model's config.json
    (tmp_path / "config.json").write_text((images.folder / "config.json").read_text())
    again = load_processor(tmp_path)
    assert isinstance(again, MplugOwl2Processor)
    assert again.tokens_per_image == 9
    assert again.chat_template == images.processor.chat_template
    picture = images.picture("raw_1")
    text = "USER: <|image|> ASSISTANT: The quality\n<|image|>is"
    made = [p(images=[[picture, picture]], text=text) for p in (images.processor, again)]
    for name in ("input_ids", "attention_mask", "pixel_values"):
        assert torch.equal(made[0][name], made[1][name]), name


def test_without_preprocessor_config_the_pixels_are_the_same(tmp_path: Path) -> None:
    """Folders of training runs have none."""
    folder = write(tmp_path, config(visual__image_size=448, reader__grid_size=None))
    (folder / "preprocessor_config.json").unlink()
    processor = load_processor(folder)
    for name in ("rgb_120x91", "l_80x64", "rgb_449x448"):
        with Image.open(PICTURES / f"{name}.png") as picture:
            made = processor.image_processor(picture, return_tensors="np")["pixel_values"][0]
            np.testing.assert_array_equal(made, _preprocess(picture))


def test_free_questions_by_the_chat_template(images: Case) -> None:
    content = [{"type": "image"}, {"type": "text", "text": "What is it?"}]
    text = images.processor.apply_chat_template([{"role": "user", "content": content}], add_generation_prompt=True)
    assert text == "USER: <|image|>What is it? ASSISTANT:"


def test_ids_of_pictures_are_left_out_of_texts(images: Case) -> None:
    """What generate() returns has them in front of the answer."""
    ids = torch.tensor([[1, *[-200] * 9, *images.processor.encode("the image is good")[1:], 2]])
    assert images.processor.decode(ids[0], skip_special_tokens=True) == "the image is good"
    assert images.processor.batch_decode(ids, skip_special_tokens=True) == ["the image is good"]
    assert (
        images.processor.decode(ids.tolist()) == images.processor.batch_decode(ids) == ["<s> the image is good</s>"]
    )


def test_the_pipeline_of_transformers_answers(images: Case) -> None:
    from transformers import pipeline

    content = [{"type": "image", "image": images.picture("raw_0")}, {"type": "text", "text": "What is it?"}]
    messages = [{"role": "user", "content": content}]
    ask = pipeline("image-text-to-text", model=images.model, processor=images.processor)
    (made,) = ask(text=messages, max_new_tokens=4, return_full_text=False)
    text = images.processor.apply_chat_template(messages, add_generation_prompt=True)
    inputs = images.processor(images=[[images.picture("raw_0")]], text=text)
    out = images.model.generate(**inputs, max_new_tokens=4, do_sample=False)
    want = images.processor.decode(out[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True)
    assert made["generated_text"] == want


def test_answers_of_a_talk_end_with_the_end_token(images: Case) -> None:
    def turn(role: str, *parts: str) -> dict[str, object]:
        return {
            "role": role,
            "content": [{"type": "image"} if p == "@" else {"type": "text", "text": p} for p in parts],
        }

    talk = [turn("user", "A:", "@", "What is it?"), turn("assistant", "A dog."), turn("user", "Sharp?")]
    text = images.processor.apply_chat_template(talk, add_generation_prompt=True)
    assert text == "USER: A:<|image|>What is it? ASSISTANT: A dog.</s>USER: Sharp? ASSISTANT:"
    assert images.processor.tokenizer.eos_token_id in images.processor.encode(text)
    assert images.processor.apply_chat_template(talk[:2]) == "USER: A:<|image|>What is it? ASSISTANT: A dog.</s>"
