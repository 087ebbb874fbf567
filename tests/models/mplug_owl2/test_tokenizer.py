"""The tokenizer gives the ids of the sentencepiece library, whatever the text."""

from __future__ import annotations

import sys
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from sentencepiece import SentencePieceProcessor, SentencePieceTrainer

from mllmqa.errors import MissingExtraError, ModelLoadError
from mllmqa.models.mplug_owl2.tokenizer import from_sentencepiece
from tests.models.mplug_owl2.original import FIXTURES

MODEL = FIXTURES / "img_mha_q8" / "tokenizer.model"
WORDS = st.sampled_from(
    ["quality", " the", "image", "  ", " ", "\n", "\t", "▁", "é", "画", "😀", "How", "?", "\x00", "s"]
)
TEXTS = st.one_of(st.text(max_size=40), st.lists(WORDS, max_size=12).map("".join))


@cache
def _both() -> tuple[Any, SentencePieceProcessor]:
    return from_sentencepiece(MODEL), SentencePieceProcessor(model_file=str(MODEL))


PROSE = [
    "The quality of the image is good.",
    "How would you rate the quality of this image?",
    "A chat between a curious user and an artificial intelligence assistant.",
    "USER: Rate the aesthetics ASSISTANT: The level of the image is excellent",
]


def _ids(text: str) -> list[int]:
    return list(_both()[0](text, add_special_tokens=False)["input_ids"])


@given(TEXTS.filter(lambda text: not any(mark in text for mark in ("<s>", "</s>", "<unk>"))))
@example(" ASSISTANT: The quality of the image is")
@example("\nASSISTANT:")
@example(" ")
@example("  two  spaces  ")
@example("ﬁ ① ｗide \u00a0 \u2028 \ufeff e\u0301")
def test_ids_are_those_of_sentencepiece(text: str) -> None:
    assert _ids(text) == _both()[1].encode(text)


@given(TEXTS)
def test_text_comes_back(text: str) -> None:
    """But for the word mark itself, which is read as a space."""
    tokenizer, pieces = _both()
    ids = pieces.encode(text)
    assert tokenizer.decode(ids) == pieces.decode(ids)


def test_special_tokens_in_a_text_are_single_tokens() -> None:
    """Training texts end with ``</s>``."""
    tokenizer, pieces = _both()
    assert _ids("is good.</s>") == [*pieces.encode("is good."), 2]
    assert [tokenizer.convert_tokens_to_ids(t) for t in ("<unk>", "<s>", "</s>")] == [0, 1, 2]
    assert (tokenizer.pad_token_id, tokenizer.bos_token_id, tokenizer.eos_token_id) == (0, 1, 2)
    assert len(tokenizer) == 600


def test_a_saved_tokenizer_is_the_same(tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    _both()[0].save_pretrained(tmp_path)
    again = AutoTokenizer.from_pretrained(tmp_path)
    for text in (" ASSISTANT:", "\nASSISTANT:", " ", "  a", "The quality of the image is good.</s>", "画 😀\x00"):
        assert again(text, add_special_tokens=False)["input_ids"] == _ids(text), repr(text)


def test_without_sentencepiece_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sentencepiece", None)
    with pytest.raises(MissingExtraError, match=r"tokenizer\.model needs .*sentencepiece.*mllmqa\[mplug\]"):
        from_sentencepiece(MODEL)


@pytest.mark.parametrize(
    "options",
    [
        {"normalization_rule_name": "nmt_nfkc"},
        {"remove_extra_whitespaces": True},
        {"add_dummy_prefix": False},
    ],
    ids=str,
)
def test_tokenizers_of_another_kind_are_refused(options: dict[str, Any], tmp_path: Path) -> None:
    llama = {"model_type": "bpe", "normalization_rule_name": "identity", "remove_extra_whitespaces": False}
    SentencePieceTrainer.train(
        sentence_iterator=iter(PROSE * 20),
        model_prefix=str(tmp_path / "other"),
        minloglevel=2,
        **{**llama, "vocab_size": 340, "byte_fallback": True, "hard_vocab_limit": False, **options},
    )
    with pytest.raises(ModelLoadError, match="no tokenizer of LLaMA's kind"):
        from_sentencepiece(tmp_path / "other.model")


def test_a_broken_file(tmp_path: Path) -> None:
    (tmp_path / "tokenizer.model").write_bytes(MODEL.read_bytes()[:500])
    with pytest.raises(ModelLoadError, match=r"tokenizer\.model: tokenizer cannot be read"):
        from_sentencepiece(tmp_path / "tokenizer.model")
