"""Tokens and pixels are those of the original's own code, which is written here a second time."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from mllmqa.errors import ModelLoadError, UnknownNameError
from mllmqa.models.llava_original import load
from mllmqa.models.llava_original.processor import load_tokenizer
from mllmqa.models.llava_original.templates import TEMPLATES, template
from mllmqa.models.torchvision_shim import ensure_torchvision
from tests.conftest import photo_pixels
from tests.models.llava_original.made import Made, bytes_tokenizer, make, sentencepiece

QUESTIONS = ("How would you rate the quality of this image?", " begins with a space", "Zwölf  Bäume\n日本 <b>")
VICUNA = (
    "A chat between a curious {0} and an artificial intelligence assistant. "
    "The assistant gives helpful, detailed, and polite answers to the {0}'s questions. "
)
LLAVA_2 = (
    "You are a helpful language and vision assistant. You are able to understand the visual content that the "
    "user provides, and assist the user with a variety of tasks using natural language."
)


def talk(*texts: str, image: bool = True) -> list[dict[str, Any]]:
    first = [{"type": "image"}] * image + [{"type": "text", "text": texts[0]}]
    rest = [{"role": ("user", "assistant")[i % 2], "content": t} for i, t in enumerate(texts)][1:]
    return [{"role": "user", "content": first}, *rest]


EXPECTED = {  # after one question, and after question, answer, question
    "vicuna_v1": (
        VICUNA.format("user") + "USER: <image>\nQ1 ASSISTANT:",
        VICUNA.format("user") + "USER: <image>\nQ1 ASSISTANT: A1</s>USER: Q2 ASSISTANT:",
    ),
    "llava_v1": (
        VICUNA.format("human") + "USER: <image>\nQ1 ASSISTANT:",
        VICUNA.format("human") + "USER: <image>\nQ1 ASSISTANT: A1</s>USER: Q2 ASSISTANT:",
    ),
    "mistral_instruct": (
        "[INST] <image>\nQ1 [/INST]",
        "[INST] <image>\nQ1 [/INST] A1 </s>[INST] Q2 [/INST]",
    ),
    "llava_llama_2": (
        f"[INST] <<SYS>>\n{LLAVA_2}\n<</SYS>>\n\n<image>\nQ1 [/INST]",
        f"[INST] <<SYS>>\n{LLAVA_2}\n<</SYS>>\n\n<image>\nQ1 [/INST] A1 </s><s>[INST] Q2 [/INST]",
    ),
    "qwen_1_5": (
        "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n<|im_start|>user\n<image>\nQ1<|im_end|>\n"
        "<|im_start|>assistant\n",
        "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n<|im_start|>user\n<image>\nQ1<|im_end|>\n"
        "<|im_start|>assistant\nA1<|im_end|>\n<|im_start|>user\nQ2<|im_end|>\n<|im_start|>assistant\n",
    ),
    "chatml_direct": (
        "<|im_start|>system\nAnswer the questions.<|im_end|><|im_start|>user\n<image>\nQ1<|im_end|>"
        "<|im_start|>assistant\n",
        "<|im_start|>system\nAnswer the questions.<|im_end|><|im_start|>user\n<image>\nQ1<|im_end|>"
        "<|im_start|>assistant\nA1<|im_end|><|im_start|>user\nQ2<|im_end|><|im_start|>assistant\n",
    ),
}


def rendered(name: str, *texts: str) -> str:
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, autoescape=False)
    source = environment.from_string(template(name))
    return source.render(messages=talk(*texts), add_generation_prompt=True)


@pytest.mark.parametrize("name", sorted(TEMPLATES))
def test_texts_of_the_templates(name: str) -> None:
    one, three = EXPECTED[name]
    assert rendered(name, "Q1") == one
    assert rendered(name, "Q1", "A1", "Q2") == three


def test_an_unknown_template_lists_the_known() -> None:
    with pytest.raises(UnknownNameError, match="vicuna_v1"):
        template("alpaca")


def test_a_system_message_replaces_the_usual_one(tmp_path: Path) -> None:
    processor = load.open_original(make("llava", tmp_path / "m").folder).processor
    messages = [{"role": "system", "content": "Be brief."}, *talk("Q1")]
    text = processor.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    assert text == "Be brief. USER: <image>\nQ1 ASSISTANT:"


# ---------------------------------------------------------------------------------- tokens


def chunk_by_chunk(file: Path, text: str, image_id: int) -> list[int]:
    """Return the ids as LLaVA makes them: sentencepiece on the text around each placeholder, BOS once."""
    from sentencepiece import SentencePieceProcessor

    pieces = SentencePieceProcessor(model_file=str(file))
    ids = [pieces.bos_id()]
    for index, chunk in enumerate(text.split("<image>")):
        ids += [image_id] * (index > 0) + pieces.encode(chunk)
    return ids


@pytest.mark.parametrize("name", ["vicuna_v1", "llava_v1", "mistral_instruct", "llava_llama_2"])
@pytest.mark.parametrize("question", QUESTIONS)
def test_token_sequence_around_the_picture_is_the_originals(name: str, question: str, tmp_path: Path) -> None:
    made = make("llava", tmp_path / "m")
    processor = load.open_original(made.folder, template=name).processor
    head = processor.apply_chat_template(talk(question), tokenize=False, add_generation_prompt=True)
    text = f"{head} The quality of the image is"
    ours = processor.tokenizer(text)["input_ids"]
    assert ours == chunk_by_chunk(made.folder / "tokenizer.model", text, made.image_id)


def test_a_metaspace_tokenizer_json_gets_a_mark_before_every_part(tmp_path: Path) -> None:
    from tokenizers import Tokenizer, models, pre_tokenizers

    vocabulary = {"<unk>": 0, "</s>": 1, "▁": 2, "a": 3, "b": 4, "<0x0A>": 5}
    core = Tokenizer(models.BPE(vocab=vocabulary, merges=[], byte_fallback=True, unk_token="<unk>"))  # noqa: S106
    core.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first", split=False)
    core.save(str(tmp_path / "tokenizer.json"))
    named = {"eos_token": {"content": "</s>"}, "unk_token": "<unk>"}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(named))
    tokenizer, ids = load_tokenizer(tmp_path, {"model_type": "llava_mistral", "vocab_size": 6}, "llava")
    assert tokenizer("a<image>\nb<image> b")["input_ids"] == [2, 3, ids.image, 2, 5, 4, ids.image, 2, 2, 4]
    assert (tokenizer.eos_token, tokenizer.pad_token, ids.rows) == ("</s>", "<unk>", 64)


def test_tokens_that_were_added_keep_their_ids(tmp_path: Path) -> None:
    sentencepiece(tmp_path / "tokenizer.model")
    (tmp_path / "added_tokens.json").write_text('{"<im_patch>": 301, "<pad>": 300}')
    config = {"model_type": "llava", "vocab_size": 302}
    tokenizer, ids = load_tokenizer(tmp_path, config, "llava")
    assert tokenizer.convert_tokens_to_ids(["<pad>", "<im_patch>", "<image>"]) == [300, 301, 302]
    assert ids.rows == 320
    (tmp_path / "added_tokens.json").write_text('{"<pad>": 305}')
    with pytest.raises(ModelLoadError, match="'<pad>' gets the id 300"):
        load_tokenizer(tmp_path, config, "llava")


def test_qwens_three_files_give_the_same_ids_as_its_tokenizer_json(tmp_path: Path) -> None:
    first, second = tmp_path / "json", tmp_path / "files"
    first.mkdir()
    second.mkdir()
    bytes_tokenizer(first)
    fields = json.loads((first / "tokenizer.json").read_text())
    (second / "vocab.json").write_text(json.dumps(fields["model"]["vocab"]))
    (second / "merges.txt").write_text("#version: 0.2\n")
    added = {entry["content"]: entry["id"] for entry in fields["added_tokens"]}
    (second / "added_tokens.json").write_text(json.dumps(added))
    (second / "tokenizer_config.json").write_text('{"eos_token": "<|im_end|>", "pad_token": "<|endoftext|>"}')
    config = {"model_type": "llava_qwen", "vocab_size": 320}
    text = EXPECTED["qwen_1_5"][0].replace("Q1", QUESTIONS[2])
    ids = [load_tokenizer(f, config, "llava_onevision")[0](text)["input_ids"] for f in (first, second)]
    assert ids[0] == ids[1]
    assert 259 in ids[0] and load_tokenizer(first, config, "llava_onevision")[1].video == 260


@pytest.mark.parametrize("name", ["tokenizer.json", "tokenizer.model"])
def test_a_broken_tokenizer_is_named(name: str, tmp_path: Path) -> None:
    config = {"model_type": "llava", "vocab_size": 300}
    with pytest.raises(ModelLoadError, match="tokenizer cannot be read"):
        load_tokenizer(tmp_path, config, "llava")
    (tmp_path / name).write_text("{")
    with pytest.raises(ModelLoadError, match="tokenizer cannot be read"):
        load_tokenizer(tmp_path, config, "llava")


# ---------------------------------------------------------------------------------- pixels

CLIP_MEAN = np.array([0.48145466, 0.4578275, 0.40821073])
CLIP_STD = np.array([0.26862954, 0.26130258, 0.27577711])
SHAPES = ((90, 60), (60, 90), (50, 50), (25, 100), (24, 24))  # width, height


def clip(image: Image.Image, side: int = 24) -> np.ndarray:
    """Return CLIP's preprocessing: short side to 24, centre crop, normalise."""
    width, height = image.size
    scale = (side, int(side * height / width)) if width <= height else (int(side * width / height), side)
    image = image.resize(scale, Image.Resampling.BICUBIC)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    return normal(image.crop((left, top, left + side, top + side)), CLIP_MEAN, CLIP_STD)


def normal(image: Image.Image, mean: Any, std: Any) -> np.ndarray:
    return ((np.asarray(image) / 255 - mean) / std).transpose(2, 0, 1)


def square(image: Image.Image) -> Image.Image:
    side = max(image.size)
    canvas = Image.new("RGB", (side, side), tuple(int(c * 255) for c in CLIP_MEAN))
    canvas.paste(image, ((side - image.width) // 2, (side - image.height) // 2))
    return canvas


def tiles(image: Image.Image, sizes: list[tuple[int, int]], side: int = 24) -> list[Image.Image]:
    """Return the whole picture squeezed, and the tiles of the best size (width, height)."""
    best, most, waste = sizes[0], 0, math.inf
    for width, height in sizes:
        scale = min(width / image.width, height / image.height)
        kept = min(int(image.width * scale) * int(image.height * scale), image.width * image.height)
        if kept > most or (kept == most and width * height - kept < waste):
            best, most, waste = (width, height), kept, width * height - kept
    (width, height), across, down = best, best[0] / image.width, best[1] / image.height
    if across < down:
        fitted = (width, min(math.ceil(image.height * across), height))
    else:
        fitted = (min(math.ceil(image.width * down), width), height)
    canvas = Image.new("RGB", best)
    canvas.paste(image.resize(fitted), ((width - fitted[0]) // 2, (height - fitted[1]) // 2))
    cut = [(x, y) for y in range(0, height, side) for x in range(0, width, side)]
    return [image.resize((side, side)), *(canvas.crop((x, y, x + side, y + side)) for x, y in cut)]


def ours(made: Made, image: Image.Image, **options: Any) -> np.ndarray:
    ensure_torchvision()
    processor = load.open_original(made.folder, **options).processor
    encoded = processor(
        images=[[np.asarray(image)]], text=["<image>"], return_tensors="pt", input_data_format="channels_last"
    )
    return encoded["pixel_values"][0].numpy()


@pytest.mark.parametrize("aspect", ["pad", "square", None])
def test_pixels_of_llava_1_5(aspect: str | None, tmp_path: Path) -> None:
    made = make("llava", tmp_path / "m", image_aspect_ratio=aspect)
    for width, height in SHAPES:
        image = Image.fromarray(photo_pixels(width, height))
        expected = clip(square(image) if aspect == "pad" else image)
        np.testing.assert_allclose(ours(made, image), expected, atol=2e-6)


def test_pixels_of_llava_1_6(tmp_path: Path) -> None:
    made = make("llava_next", tmp_path / "m")
    for width, height in SHAPES:
        image = Image.fromarray(photo_pixels(width, height))
        expected = [clip(tile) for tile in tiles(image, [(72, 24), (24, 48), (48, 48)])]
        np.testing.assert_allclose(ours(made, image), expected, atol=2e-6)


def test_pixels_of_onevision(tmp_path: Path) -> None:
    made = make("llava_onevision", tmp_path / "m")
    for width, height in SHAPES:
        image = Image.fromarray(photo_pixels(width, height))
        sizes = [(24 * a, 24 * b) for a in (1, 2) for b in (1, 2)]
        expected = [normal(tile, 0.5, 0.5) for tile in tiles(image, sizes)]
        np.testing.assert_allclose(ours(made, image), expected, atol=2e-6)
