"""Answers of random models follow every schema: their weights mean nothing, so only the decoder can see to it."""

from __future__ import annotations

import json
import sys
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mllmqa.answer_schema import AnswerSchema, Broken
from mllmqa.errors import InferenceError, MissingExtraError, ModelLoadError, UsageError
from mllmqa.models.base import Spoken, Turn
from mllmqa.models.constrained import Constraint, Vocabulary, enforced_by, grammar_problem
from mllmqa.models.fake import FakeBackend
from mllmqa.models.hf import HFBackend
from mllmqa.models.load import load_backend
from mllmqa.models.resolve import resolve
from mllmqa.scoring import Scorer
from tests import tiny_models
from tests.conftest import photo_pixels
from tests.models.mplug_owl2.original import FIXTURES

ASKED = (Turn("user", (photo_pixels(56, 56, seed=1), "How good is it?")),)
LEVEL = AnswerSchema.of(
    {
        "type": "object",
        "properties": {
            "level": {"enum": ["good", "bad"]},
            "why": {"type": "string", "maxLength": 12},
            "n": {"type": "integer", "minimum": 1, "maximum": 5},
            "named": {"type": "array", "maxItems": 2, "items": {"enum": ["naïve é 画", '"quoted"\\', None]}},
        },
        "required": ["level", "why", "n", "named"],
        "additionalProperties": False,
    }
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("tiny")


@cache
def _load(family: str, folder: Path) -> HFBackend:
    return load_backend(resolve(str(tiny_models.build(family, folder / family))), device="cpu")


@cache
def _byte_vocabulary(name: str) -> Any:
    """A vocabulary of each kind: byte-level BPE, and SentencePiece with byte fallback (LLaMA-2's)."""
    if name == "byte-level":
        tokenizer = tiny_models._tokenizer("llava", padding_side="left", split_levels=False)
    else:
        from mllmqa.models.mplug_owl2.tokenizer import from_sentencepiece

        tokenizer = from_sentencepiece(FIXTURES / "img_mha_q8" / "tokenizer.model")
    return tokenizer, Vocabulary(tokenizer, frozenset({tokenizer.eos_token_id}), name)


# ------------------------------------------------------------------ models


def test_a_random_llava_answers_by_the_schema(folder: Path) -> None:
    backend, told = _load("llava", folder), list[str]()
    spoken = backend.talk(ASKED, max_new_tokens=120, on_text=told.append, schema=LEVEL)
    found = LEVEL.parsed(spoken.text)
    assert not isinstance(found, Broken), found.problem
    assert list(found) == ["level", "why", "n", "named"]
    assert "".join(told) == spoken.text == json.dumps(found, ensure_ascii=False)
    assert (spoken.finished, spoken.held_by) == ("stop", enforced_by())
    assert spoken.logprobs is not None
    assert all(-20 < value <= 0 for value in spoken.logprobs)
    assert max(spoken.logprobs) == 0  # of what the schema leaves no choice
    assert isinstance(LEVEL.parsed(backend.talk(ASKED, max_new_tokens=24).text), Broken)  # by itself it would not


def test_half_an_answer_is_known_to_be_half(folder: Path) -> None:
    spoken = _load("llava", folder).talk(ASKED, max_new_tokens=6, schema=LEVEL)
    assert spoken.finished == "length"
    found = LEVEL.parsed(spoken.text, truncated=True)
    assert isinstance(found, Broken)
    assert found.kind == "truncated"


def test_cancelling_ends_it(folder: Path) -> None:
    told: list[str] = []
    spoken = _load("llava", folder).talk(ASKED, on_text=told.append, cancelled=lambda: len(told) >= 3, schema=LEVEL)
    assert (spoken.finished, spoken.text) == ("cancelled", "".join(told))


def test_nano_answers_by_the_schema(nano: Scorer) -> None:
    spoken = nano.backend.talk(ASKED, max_new_tokens=120, schema=LEVEL)
    assert not isinstance(LEVEL.parsed(spoken.text), Broken)
    assert spoken.finished == "stop"


def test_a_start_and_a_schema_exclude_each_other(folder: Path) -> None:
    with pytest.raises(UsageError, match="a start and a schema"):
        _load("llava", folder).talk(ASKED, start="It is", schema=LEVEL)


def test_a_synthetic_observer_says_no_json() -> None:
    with pytest.raises(UsageError, match="never JSON"):
        FakeBackend().talk(ASKED, schema=LEVEL)


# ------------------------------------------------------------------ any schema, any vocabulary

_WORDS = st.text(st.characters(codec="utf-8", exclude_characters="\x7f"), max_size=5)
_LEAVES = st.one_of(
    st.lists(st.one_of(_WORDS, st.integers(-99, 99), st.none(), st.booleans()), min_size=1, max_size=3).map(
        lambda values: {"enum": values}
    ),
    st.builds(lambda n: {"type": "string", "maxLength": n}, st.integers(0, 4)),
    st.builds(
        lambda a, n: {"type": "integer", "minimum": a, "maximum": a + n}, st.integers(-9, 9), st.integers(0, 9)
    ),
    st.sampled_from([{"type": "boolean"}, {"type": "null"}, {"type": "string", "pattern": "^[a-c]{2}$"}]),
)


def _grown(inner: st.SearchStrategy[dict[str, Any]]) -> st.SearchStrategy[dict[str, Any]]:
    lists = st.builds(
        lambda one, n: {"type": "array", "items": one, "minItems": n, "maxItems": n + 1}, inner, st.integers(0, 2)
    )
    return st.one_of(
        lists, st.lists(inner, min_size=1, max_size=2).map(lambda some: {"anyOf": some}), _objects(inner)
    )


def _objects(inner: st.SearchStrategy[dict[str, Any]]) -> st.SearchStrategy[dict[str, Any]]:
    named = st.dictionaries(_WORDS, inner, min_size=1, max_size=3)
    return named.map(
        lambda some: {
            "type": "object",
            "properties": some,
            "required": list(some),
            "additionalProperties": False,
        }
    )


SCHEMAS = _objects(st.recursive(_LEAVES, _grown, max_leaves=4))


def _walked(name: str, schema: AnswerSchema, seed: int, limit: int = 600) -> str:
    """Choose among all tokens by chance, as a model would that knows nothing; return what it says."""
    tokenizer, vocabulary = _byte_vocabulary(name)
    held, chance = vocabulary.constraint(schema), torch.Generator().manual_seed(seed)
    said = torch.tensor([[1, 2, 3]])  # a prompt
    for _ in range(limit):
        scores = held(said, torch.randn(1, len(tokenizer) + 5, generator=chance))
        token = int(scores.argmax())
        assert scores[0, token] > float("-inf")
        if token == tokenizer.eos_token_id:
            break
        said = torch.cat([said, torch.tensor([[token]])], dim=1)
    assert token == tokenizer.eos_token_id
    return str(tokenizer.decode([1, *said[0, 3:].tolist()], skip_special_tokens=True))


@settings(max_examples=15)
@pytest.mark.parametrize("name", ["byte-level", "sentencepiece"])
@given(body=SCHEMAS, seed=st.integers(0, 99))
def test_chance_follows_every_schema(name: str, body: dict[str, Any], seed: int) -> None:
    schema = AnswerSchema.of(body)
    said = _walked(name, schema, seed)
    assert not isinstance(schema.parsed(said), Broken), said


def test_tokens_beyond_the_vocabulary_are_never_chosen() -> None:
    tokenizer, vocabulary = _byte_vocabulary("byte-level")
    scores = torch.zeros(1, len(tokenizer) + 7)
    scores[0, len(tokenizer) :] = 9.0
    held = vocabulary.constraint(LEVEL)(torch.tensor([[1]]), scores)
    assert torch.isinf(held[0, len(tokenizer) :]).all()
    (first,) = {tokenizer.decode([i])[:1] for i in torch.isfinite(held[0]).nonzero()[:, 0].tolist()}
    assert first == "{"
    assert torch.isfinite(scores).all()  # what was given is left as it was


# ------------------------------------------------------------------ failures


def test_tokenizers_that_do_not_tell_their_bytes() -> None:
    from tokenizers import Tokenizer, decoders, models
    from transformers import PreTrainedTokenizerFast

    core = Tokenizer(models.WordPiece({"[UNK]": 0, "good": 1, "##s": 2}))
    core.decoder = decoders.WordPiece()
    fast = PreTrainedTokenizerFast(tokenizer_object=core)
    with pytest.raises(ModelLoadError, match=r"eye: its tokenizer cannot be held to a JSON Schema: .*decoder"):
        Vocabulary(fast, frozenset({0}), "eye")
    with pytest.raises(ModelLoadError, match="object is no fast tokenizer; expected a fast tokenizer"):
        Vocabulary(object(), frozenset({0}), "eye")
    with pytest.raises(ModelLoadError, match="no token ends its answers"):
        Vocabulary(fast, frozenset(), "eye")


def test_a_grammar_that_cannot_go_on_is_an_error() -> None:
    tokenizer, vocabulary = _byte_vocabulary("byte-level")
    held = vocabulary.constraint(LEVEL)
    prompt, scores = torch.tensor([[1]]), torch.zeros(1, len(tokenizer))
    held(prompt, scores)
    wrong = tokenizer("x", add_special_tokens=False)["input_ids"][0]  # chosen against the mask
    with pytest.raises(InferenceError, match="decoding cannot go on"):
        held(torch.tensor([[1, wrong]]), scores)


def test_problems_of_grammars() -> None:
    assert grammar_problem(LEVEL) is None
    assert "look-around" in str(
        grammar_problem(AnswerSchema("x", {"type": "object", "properties": {"a": {"pattern": "(?=a)"}}}))
    )


def test_without_the_library_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "llguidance", None)
    with pytest.raises(MissingExtraError, match=r'pip install "mllmqa\[json\]"'):
        enforced_by()


def test_spoken_without_a_schema_is_held_by_nothing() -> None:
    assert Spoken("x", None, "stop").held_by is None
    assert Constraint(None, 0)._length is None
