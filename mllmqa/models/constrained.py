"""Answers of a transformers model that follow a JSON Schema: tokens that would leave it are never chosen.

llguidance turns schema and vocabulary into the set of allowed tokens at each step; all others get probability 0.
So the answer follows the schema whatever the model would rather say, unless its limit of tokens ends it before.
Between values stand ", " and ": " and no other white space: a model could write that without end.
"""

from __future__ import annotations

from copy import copy
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mllmqa.answer_schema import EXTRA, AnswerSchema
from mllmqa.errors import InferenceError, MissingExtraError, ModelLoadError

if TYPE_CHECKING:
    from torch import Tensor

_WRITTEN = {"whitespace_flexible": False, "item_separator": ", ", "key_separator": ": "}


def library() -> Any:
    """Return the library.

    Raises:
        MissingExtraError: It is not installed.
    """
    try:
        import llguidance
    except ImportError as error:
        raise MissingExtraError("llguidance", extra=EXTRA, purpose="an answer by a JSON Schema") from error
    return llguidance


def enforced_by() -> str:
    """Return name and version of the library, for records."""
    return f"llguidance {library().__version__}"


def grammar_problem(schema: AnswerSchema) -> str | None:
    """Return why decoding cannot be held to a schema; None: it can."""
    failed, said = library().LLMatcher.validate_grammar_with_warnings(_grammar(schema))
    return " ".join(said) if failed else None


def _grammar(schema: AnswerSchema) -> str:
    return str(library().LLMatcher.grammar_from_json_schema(schema.text, overrides=_WRITTEN))


class Vocabulary:
    """The vocabulary of one model as bytes: made once, used for every schema.

    Args:
        tokenizer: Of the model: a fast one (byte-level BPE, or SentencePiece with byte fallback).
        ends: Tokens that end an answer.
        model: Name, for messages.

    Raises:
        MissingExtraError: llguidance is not installed.
        ModelLoadError: The tokenizer does not tell the bytes of its tokens, or no token ends an answer.
    """

    def __init__(self, tokenizer: Any, ends: frozenset[int], model: str) -> None:
        llguidance = library()
        if not ends:
            raise ModelLoadError("no token ends its answers", where=model, expected="eos_token_id in its settings")
        core = getattr(tokenizer, "backend_tokenizer", None)
        if core is None:
            raise _unfit(f"{type(tokenizer).__name__} is no fast tokenizer", model)
        plain = copy(core)  # how batches are padded or cut is no matter of the vocabulary
        plain.no_padding()
        plain.no_truncation()
        try:
            self.core = llguidance.LLTokenizer(plain.to_str(), eos_token=sorted(ends))
        except ValueError as error:
            raise _unfit(str(error), model) from error

    def constraint(self, schema: AnswerSchema) -> Constraint:
        """Return what holds one answer to a schema."""
        matcher = library().LLMatcher(self.core, _grammar(schema), log_level=0)
        return Constraint(matcher, self.core.vocab_size)


class Constraint:
    """A logits processor for ``generate``, for one answer.

    Args:
        matcher: At the start of the schema's grammar.
        size: Tokens of the vocabulary; what a model has beyond (padding) is never allowed.
    """

    def __init__(self, matcher: Any, size: int) -> None:
        self._matcher, self._size = matcher, size
        self._length: int | None = None

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """Set the scores of tokens that the schema does not allow next to minus infinity.

        Args:
            input_ids: Prompt and answer so far, (1, T).
            scores: Of the next token, (1, V).

        Raises:
            InferenceError: The grammar has become too complex to go on.
        """
        import torch

        if self._length is not None:
            self._matcher.consume_tokens(input_ids[0, self._length :].tolist())
        self._length = input_ids.shape[1]
        allowed = torch.zeros(scores.shape[1], dtype=torch.bool)
        mask = self._allowed()[: scores.shape[1]]
        allowed[: len(mask)] = torch.from_numpy(mask)
        return scores.masked_fill(~allowed.to(scores.device), float("-inf"))

    def _allowed(self) -> NDArray[np.bool_]:
        """Return which tokens may come next, (size,)."""
        bits = np.frombuffer(self._matcher.compute_bitmask(), dtype=np.uint8)
        if self._matcher.is_error():
            raise InferenceError(
                f"decoding cannot go on by the schema: {self._matcher.get_error()[:200]}",
                hint="use a simpler schema",
            )
        return np.unpackbits(bits, bitorder="little")[: self._size].astype(np.bool_)


def _unfit(why: str, model: str) -> ModelLoadError:
    return ModelLoadError(
        f"its tokenizer cannot be held to a JSON Schema: {' '.join(why.split())[:160]}",
        where=model,
        expected="a fast tokenizer: byte-level BPE, or SentencePiece with byte fallback",
    )
