"""LLaMA-2's tokenizer as sentencepiece has it, from the ``tokenizer.model`` that the checkpoints ship.

transformers 5 reads that file, too, but orders the merges by id instead of by score and leaves out the word
mark before a text that begins with a space. Both change the prompts around a picture: " ASSISTANT:" becomes
other pieces than the checkpoints were trained with.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mllmqa.errors import MissingExtraError, ModelLoadError

WORD_MARK = "▁"
UNKNOWN, BOS, EOS = "<unk>", "<s>", "</s>"
PROBES = (" ASSISTANT: The quality", "  two  spaces ", "\n\t", "ﬁ ① é e\u0301 画 😀", "level")
"""Texts on which models that normalise, trim or lack the word mark differ from LLaMA's."""


def from_sentencepiece(file: Path | str) -> Any:
    """Build a fast tokenizer that gives the ids of the sentencepiece library.

    Args:
        file: ``tokenizer.model``, byte-pair encoding with byte fallback.

    Returns:
        ``PreTrainedTokenizerFast`` without BOS or EOS of its own; padding is :data:`UNKNOWN` (id 0).

    Raises:
        MissingExtraError: sentencepiece is not installed.
        ModelLoadError: The file is broken, or does not take text as it is (normalises, no word mark).
    """
    try:
        from sentencepiece import SentencePieceProcessor
    except ImportError as error:
        raise MissingExtraError("sentencepiece", extra="mplug", purpose="reading tokenizer.model") from error
    try:
        pieces = SentencePieceProcessor(model_file=str(file))
    except (RuntimeError, OSError) as error:
        raise ModelLoadError(
            f"tokenizer cannot be read: {error}", where=file, expected="a sentencepiece model"
        ) from error
    made = _build(pieces)
    if any(made(text, add_special_tokens=False)["input_ids"] != pieces.encode(text) for text in PROBES):
        raise ModelLoadError("is no tokenizer of LLaMA's kind", where=file, expected="BPE, text as it is, bytes")
    return made


def _build(pieces: Any) -> Any:
    from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers
    from transformers import PreTrainedTokenizerFast

    names = [pieces.id_to_piece(i) for i in range(pieces.get_piece_size())]
    scores = [pieces.get_score(i) for i in range(len(names))]
    core = Tokenizer(
        models.BPE(
            vocab={name: i for i, name in enumerate(names)},
            merges=_merges(names, scores),
            unk_token=UNKNOWN,
            fuse_unk=True,
            byte_fallback=True,
        )
    )
    core.normalizer = normalizers.Sequence([normalizers.Prepend(WORD_MARK), normalizers.Replace(" ", WORD_MARK)])
    core.decoder = decoders.Sequence(
        [
            decoders.Replace(WORD_MARK, " "),
            decoders.ByteFallback(),
            decoders.Fuse(),
            decoders.Strip(content=" ", left=1),
        ]
    )
    core.add_special_tokens([AddedToken(name, normalized=False) for name in (UNKNOWN, BOS, EOS)])
    return PreTrainedTokenizerFast(
        tokenizer_object=core,
        unk_token=UNKNOWN,
        bos_token=BOS,
        eos_token=EOS,
        pad_token=UNKNOWN,
        clean_up_tokenization_spaces=False,
    )


def _merges(names: list[str], scores: list[float]) -> list[tuple[str, str]]:
    """Return all ways to make a piece of two, best score first: what sentencepiece merges first."""
    known = {name: i for i, name in enumerate(names)}
    found = []
    for name, score in zip(names, scores, strict=True):
        for cut in range(1, len(name)):
            left, right = name[:cut], name[cut:]
            if left in known and right in known:
                found.append((-score, known[name], known[left], known[right], left, right))
    return [(left, right) for *_, left, right in sorted(found)]
