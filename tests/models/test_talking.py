"""Talks with tiny random models: text, tokens, streaming, cancelling, log-probabilities; and with nano."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mllmqa import prompts
from mllmqa.errors import InferenceError, MediaLimitError, UsageError
from mllmqa.models.base import Request, Spoken, Turn
from mllmqa.models.hf import HFBackend
from mllmqa.models.load import load_backend
from mllmqa.models.presets import presets
from mllmqa.models.resolve import resolve
from mllmqa.models.talking import Listener, check_turns, harmless, reserved, written
from mllmqa.models.torchvision_shim import has_torchvision
from mllmqa.scoring import Scorer
from tests import tiny_models
from tests.conftest import photo_pixels

A, B = photo_pixels(56, 56, seed=1), photo_pixels(56, 56, seed=2)
ASKED = (Turn("user", ("Image A:", A, "Image B:", B, "Which is better?")),)
FOLLOWED = (*ASKED, Turn("assistant", ("B is better.",)), Turn("user", ("Why?",)))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("tiny")


@cache
def _load(family: str, folder: Path) -> HFBackend:
    if family in tiny_models.NEEDS_TORCHVISION and not has_torchvision():
        pytest.skip(f"{family}: its processor needs torchvision")
    return load_backend(resolve(str(tiny_models.build(family, folder / family))), device="cpu")


def _text(backend: HFBackend, turns: tuple[Turn, ...], start: str = "") -> str:
    return written(turns, start, backend.preset, backend.processor, backend._templated)


# ---------------------------------------------------------------- text


def test_several_turns_by_the_chat_template(folder: Path) -> None:
    image = "<|vision_start|><|image_pad|><|vision_end|>"
    assert _text(_load("qwen3_vl", folder), FOLLOWED) == (
        f"<|im_start|>user\nImage A:{image}Image B:{image}Which is better?<|im_end|>\n"
        "<|im_start|>assistant\nB is better.<|im_end|>\n<|im_start|>user\nWhy?<|im_end|>\n<|im_start|>assistant\n"
    )


def test_the_start_stands_as_in_scoring(folder: Path) -> None:
    backend = _load("llava", folder)
    prompt = prompts.render(prompts.load("score/quality"), medium="image")
    turn = Turn("user", (A, prompt.question))
    assert _text(backend, (turn,), prompt.answer) == backend.text(Request(prompt, (A,)))
    apart = backend.preset.model_copy(update={"answer_separator": "@"})
    assert written((turn,), "x", apart, backend.processor, backend._templated).endswith("ASSISTANT:@x")


def test_a_layout_serves_single_questions_with_pictures_in_front(folder: Path) -> None:
    backend = _load("llava", folder)
    asked = HFBackend(backend.model, backend.processor, presets()["one-align"], backend.info)
    one = (Turn("user", (A, "What is wrong?")),)
    assert _text(asked, one) == "USER: What is wrong?\n<image>\nASSISTANT:"
    assert _text(asked, one, "It") == "USER: What is wrong?\n<image>\nASSISTANT: It"
    assert _text(asked, ASKED) == _text(backend, ASKED)
    more = (*one, Turn("assistant", ("Noise.",)), Turn("user", ("Where?",)))
    assert _text(asked, more) == _text(backend, more)


def test_tokens_of_the_model_in_a_text_are_read_as_they_look(folder: Path) -> None:
    backend = _load("llava", folder)
    turn = Turn("user", (A, "say <image></s> twice"))
    text = _text(backend, (turn,))
    assert text.count("<image>") == 1
    assert "</s>" not in text
    assert backend.talk([turn], max_new_tokens=1).finished in ("stop", "length")
    tokens = reserved(backend.processor)
    assert {"<image>", "</s>", "<s>"} <= set(tokens)
    assert harmless("".join(tokens), tokens) != "".join(tokens)


@pytest.mark.parametrize("turns", [(), (ASKED[0], ASKED[0]), FOLLOWED[:2], (Turn("user", (A, "x"), ()),)])
def test_turns_that_are_no_talk(turns: tuple[Turn, ...], folder: Path) -> None:
    with pytest.raises(UsageError):
        check_turns(turns)
    with pytest.raises(UsageError):
        _load("llava", folder).talk(turns)


# ---------------------------------------------------------------- answers


@pytest.mark.parametrize("family", tiny_models.FAMILIES)
def test_what_is_told_is_what_the_plain_model_says(family: str, folder: Path) -> None:
    import torch

    backend = _load(family, folder)
    told: list[str] = []
    spoken = backend.talk(FOLLOWED, max_new_tokens=12, on_text=told.append)
    text = _text(backend, FOLLOWED)
    inputs = backend._inputs([Request(prompts.Prompt("", "", "", ""), (A, B))], [text])
    with torch.inference_mode():
        out = backend.model.generate(**inputs, max_new_tokens=12, do_sample=False)
        new = out[0, inputs["input_ids"].shape[1] :]
        expected = backend.processor.tokenizer.decode(new, skip_special_tokens=True).lstrip()
        odd = (new == backend.model.config.image_token_id).nonzero()[:1, 0].tolist()  # a random model may say it
        new = new[: odd[0]] if odd else new
        out = out[:, : inputs["input_ids"].shape[1] + len(new)]
        whole = {**inputs, "input_ids": out, "attention_mask": torch.ones_like(out)}
        for name in ("mm_token_type_ids", "token_type_ids"):
            if name in whole:
                more = out.shape[1] - whole[name].shape[1]
                whole[name] = torch.nn.functional.pad(whole[name], (0, more))
        rows = backend.model(**whole).logits[0, -len(new) - 1 : -1].double().log_softmax(-1)
    assert spoken.text == "".join(told) == expected
    assert spoken.logprobs is not None
    chosen = rows.gather(1, new[:, None])[:, 0].numpy()
    n = min(len(chosen), len(spoken.logprobs))
    assert n > 2
    np.testing.assert_allclose(spoken.logprobs[:n], chosen[:n], atol=1e-4)
    assert odd or len(new) - len(spoken.logprobs) == (spoken.finished == "stop")


def test_pictures_of_each_turn_count(folder: Path) -> None:
    backend = _load("qwen3_vl", folder)
    later = (*FOLLOWED[:2], Turn("user", (B, "And this?")))
    other = (*FOLLOWED[:2], Turn("user", (A, "And this?")))
    first, second = (backend.talk(turns, max_new_tokens=1) for turns in (later, other))
    assert first.logprobs != second.logprobs


def test_a_talk_without_pictures(folder: Path) -> None:
    backend = _load("llava", folder)
    assert isinstance(backend.talk([Turn("user", ("Hello?",))], max_new_tokens=2), Spoken)


def test_cancelled_between_tokens_keeps_what_was_said(folder: Path) -> None:
    backend = _load("llava", folder)
    whole = backend.talk(ASKED, max_new_tokens=20)
    assert whole.finished == "length"
    asked: list[int] = []

    def cancelled() -> bool:
        asked.append(1)
        return len(asked) > 5

    part = backend.talk(ASKED, max_new_tokens=20, cancelled=cancelled)
    assert part.finished == "cancelled"
    assert part.logprobs == (whole.logprobs or ())[:5]  # the first time it is asked is before the first token
    assert whole.text.startswith(part.text.rstrip("\ufffd"))
    assert backend.talk(ASKED, cancelled=lambda: True) == Spoken("", (), "cancelled")


def test_what_the_caller_raises_is_no_failure_of_the_model(folder: Path) -> None:
    backend = _load("llava", folder)

    def hear(piece: str) -> None:
        raise BrokenPipeError(piece)

    with pytest.raises(BrokenPipeError):
        backend.talk(ASKED, on_text=hear)


def test_the_model_ends_its_answer(folder: Path) -> None:
    backend = _load("llava", folder)
    first = backend.talk(ASKED, max_new_tokens=1)
    text = _text(backend, ASKED)
    inputs = backend._inputs([Request(prompts.Prompt("", "", "", ""), (A, B))], [text])
    token = int(backend.model.generate(**inputs, max_new_tokens=1, do_sample=False)[0, -1])
    before = backend.model.generation_config.eos_token_id
    backend.model.generation_config.eos_token_id = [token]
    try:
        assert backend.talk(ASKED, max_new_tokens=5) == Spoken("", (), "stop")
    finally:
        backend.model.generation_config.eos_token_id = before
    assert first.finished == "length"
    assert len(first.logprobs or ()) == 1


def _with_positions(folder: Path, count: int) -> HFBackend:
    place = tiny_models.build("llava", folder)
    path = place / "config.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    config["text_config"]["max_position_embeddings"] = count
    path.write_text(json.dumps(config), encoding="utf-8")
    return load_backend(resolve(str(place)), device="cpu")


def test_no_more_tokens_than_positions(folder: Path, tmp_path: Path) -> None:
    plain = _load("llava", folder)
    text = _text(plain, ASKED)
    n = plain._inputs([Request(prompts.Prompt("", "", "", ""), (A, B))], [text])["input_ids"].shape[1]
    room = _with_positions(tmp_path / "room", n + 3).talk(ASKED, max_new_tokens=9)
    assert (room.finished, room.logprobs) == ("length", plain.talk(ASKED, max_new_tokens=3).logprobs)
    full = _with_positions(tmp_path / "full", n).talk(ASKED)
    assert full == Spoken("", (), "length")
    with pytest.raises(
        MediaLimitError, match=rf"{n} tokens, the model has positions for {n - 1}; use fewer frames"
    ):
        _with_positions(tmp_path / "less", n - 1).talk(ASKED)


def test_a_processor_that_ignores_pictures_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    backend = _load("llava", folder)

    class Blind:
        image_token, tokenizer = backend.processor.image_token, backend.processor.tokenizer
        apply_chat_template = staticmethod(backend.processor.apply_chat_template)

        def __call__(self, images: Any = None, **how: Any) -> Any:
            return self.tokenizer(how["text"], return_tensors="pt")

    blind = HFBackend(backend.model, Blind(), backend.preset, backend.info)
    with pytest.raises(InferenceError, match="no pixels"):
        blind.talk(ASKED)


# ---------------------------------------------------------------- pieces of text


class _Bytes:
    """Tokens are bytes; 256 ends."""

    def decode(self, tokens: list[int], **_: Any) -> str:
        return bytes(t for t in tokens if t < 256).decode("utf-8", "replace")


@pytest.mark.parametrize("text", ["", "plain", " ends in a space ", "é画😀", "a\ufffdb", "  lead"])
@pytest.mark.parametrize("started", [True, False])
def test_pieces_are_whole_characters(text: str, started: bool) -> None:
    import torch

    told: list[str] = []
    listener = Listener(_Bytes(), ord(":"), started, told.append, None, frozenset({256}))
    listener.put(torch.tensor([[1, 2, ord(":")]]))
    for byte in [*text.encode(), 256]:
        listener.put(torch.tensor([byte]))
    listener.end()
    assert "".join(told) == listener.said == (text if started else text.lstrip())
    assert all("\ufffd" not in piece for piece in told) or "\ufffd" in text
    assert listener.spoken == list(text.encode())


def test_half_a_character_at_the_end_is_told_as_such() -> None:
    import torch

    listener = Listener(_Bytes(), 0, True, None, None, frozenset())
    for tokens in ([0], *([byte] for byte in "a画".encode()[:-1])):
        listener.put(torch.tensor(tokens))
    assert listener.said == "a"
    listener.end()
    assert listener.said == "a\ufffd"


# ---------------------------------------------------------------- real checkpoints


def test_nano_talks(nano: Scorer) -> None:
    picture = photo_pixels(512, 512)
    turn = Turn("user", (picture, "Rate the quality of this image."))
    told: list[str] = []
    spoken = nano.backend.talk([turn], max_new_tokens=16, on_text=told.append)
    assert spoken.text == "".join(told)
    assert nano.backend.talk([turn], max_new_tokens=16) == spoken
    prompt = prompts.render(prompts.load("score/quality"), medium="image")
    word = nano.backend.talk([Turn("user", (picture, prompt.question))], max_new_tokens=1, start=prompt.answer)
    (logits,) = nano.backend.level_logits([Request(prompt, (picture,))], nano.scale.words)
    assert word.text.strip() == nano.scale.words[int(np.argmax(logits.logits))]  # type: ignore[union-attr]
    best = float(max(logits.logits) - logits.log_z)  # type: ignore[union-attr, operator]
    assert word.logprobs == pytest.approx((best,), abs=1e-4)
