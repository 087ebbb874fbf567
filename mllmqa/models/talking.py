"""Conversations with a transformers model: turns as one text, answers token by token.

The text is the one that training writes (:mod:`mllmqa.training.conversation`): a preset's layout for a single
question with all pictures in front, else the processor's chat template.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from mllmqa.errors import UsageError
from mllmqa.models.base import ImageHWC, Spoken, Turn
from mllmqa.models.presets import Preset, lay_out

if TYPE_CHECKING:
    from torch import Tensor

    from mllmqa.answer_schema import AnswerSchema
    from mllmqa.models.constrained import Constraint

HALF = "\ufffd"
"""What a tokenizer gives for the first bytes of a character."""


def check_turns(turns: Sequence[Turn], start: str = "", schema: AnswerSchema | None = None) -> None:
    """Refuse turns that are no talk.

    Raises:
        UsageError: They do not alternate, do not end with the user, or an answer holds a picture; or the answer
            shall both begin somehow and follow a schema.
    """
    if start and schema is not None:
        raise UsageError("an answer with a start and a schema", expected="one of them")
    roles = [turn.role for turn in turns]
    if roles != ["user", "assistant"] * (len(roles) // 2) + ["user"]:
        raise UsageError(f"turns of {', '.join(roles) or 'nobody'}", expected="user, assistant, …, user")
    for turn in turns:
        if turn.role == "assistant" and turn.pictures:
            raise UsageError("a picture in an answer", expected="pictures in the user's turns")
        if turn.encoded is not None and len(turn.encoded) != len(turn.pictures):
            raise UsageError(f"{len(turn.encoded)} files for {len(turn.pictures)} pictures", expected="one each")


def written(turns: Sequence[Turn], start: str, preset: Preset, processor: Any, template: Callable[..., str]) -> str:
    """Return a talk as text with placeholders of pictures, up to the end of the answer's start.

    Args:
        turns: Checked ones.
        start: Of the answer.
        preset: How the model is asked.
        processor: Of the model.
        template: Messages → text with generation prompt.
    """
    laid_out = _laid_out(turns, preset, processor)
    head = template(list(_messages(turns, reserved(processor)))) if laid_out is None else laid_out
    if not start:
        return head
    separator = preset.answer_separator
    if separator is None:
        separator = "" if head[-1:].isspace() else " "
    return f"{head}{separator}{start}"


def _laid_out(turns: Sequence[Turn], preset: Preset, processor: Any) -> str | None:
    """Return a single question in the preset's layout; None where that has no place for what is asked."""
    kinds = [isinstance(part, str) for turn in turns for part in turn.content]
    if preset.layout is None or len(turns) != 1 or kinds != sorted(kinds):
        return None
    media = preset.media_separator.join([processor.image_token] * kinds.count(False))
    (said,) = _messages(turns, reserved(processor))
    question = "".join(part["text"] for part in said["content"] if part["type"] == "text")
    return lay_out(preset.layout, media=media, question=question, answer="").rstrip(" ")


def _messages(turns: Sequence[Turn], tokens: Sequence[str]) -> Iterable[dict[str, Any]]:
    for turn in turns:
        parts = [
            {"type": "text", "text": harmless(part, tokens)} if isinstance(part, str) else {"type": "image"}
            for part in turn.content
        ]
        yield {"role": turn.role, "content": parts}


def reserved(processor: Any) -> tuple[str, ...]:
    """Return what no text may hold: placeholders would be taken for pictures, special tokens for ends of turns."""
    names = ("image_token", "video_token", "start_image_token", "end_image_token")
    named = [getattr(processor, name, None) for name in names]
    return tuple(token for token in dict.fromkeys([*named, *processor.tokenizer.all_special_tokens]) if token)


def harmless(text: str, tokens: Iterable[str]) -> str:
    """Return a text in which tokens of the model are broken by a space, so that they are read as they look.

    >>> harmless("what does <image> mean?", ["<image>", "</s>"])
    'what does < image> mean?'
    """
    for token in tokens:
        text = text.replace(token, f"{token[:1]} {token[1:]}")
    return text


@dataclass
class Listener:
    """A streamer for ``generate``: turns tokens into whole pieces of text.

    Attributes:
        tokenizer: Of the model, or its processor: has ``decode``.
        before: Last token of the prompt: by itself a first word loses the space in front of it.
        started: Whether the answer has a start; without one, white space in front of it says nothing.
        on_text: Given the pieces.
        cancelled: Asked after each token.
        ends: Tokens that end an answer.
    """

    tokenizer: Any
    before: int
    started: bool
    on_text: Callable[[str], None] | None
    cancelled: Callable[[], bool] | None
    ends: frozenset[int]
    tokens: list[int] = field(default_factory=list)
    said: str = ""
    was_cancelled: bool = False
    failure: BaseException | None = None
    """What ``on_text`` or ``cancelled`` raised: not the model's failure, so it goes around it."""
    _prompt_seen: bool = False

    def put(self, value: Tensor) -> None:
        """Take the prompt first, then one token at a time."""
        if not self._prompt_seen:
            self._prompt_seen = True
            return
        self.tokens += value.flatten().tolist()
        if self.tokens[-1] not in self.ends:
            self._guarded(lambda: self._tell(whole=False))

    def end(self) -> None:
        """Tell the rest, whole or not: no more will come."""
        self._guarded(lambda: self._tell(whole=True))

    def stops(self) -> bool:
        """Tell whether generation shall stop here."""
        self._guarded(self._ask)
        return self.was_cancelled or self.failure is not None

    @property
    def spoken(self) -> list[int]:
        """The tokens without the one that ended the answer."""
        return self.tokens[:-1] if self.tokens and self.tokens[-1] in self.ends else self.tokens

    def _ask(self) -> None:
        self.was_cancelled = self.was_cancelled or (self.cancelled is not None and self.cancelled())

    def _tell(self, *, whole: bool) -> None:
        text = self._text()
        if text.endswith(HALF) and not whole:
            return
        new = text[len(self.said) :]
        self.said = text
        if new and self.on_text is not None:
            self.on_text(new)

    def _text(self) -> str:
        how = {"skip_special_tokens": True, "clean_up_tokenization_spaces": False}
        head = self.tokenizer.decode([self.before], **how)
        text = str(self.tokenizer.decode([self.before, *self.spoken], **how)).removeprefix(head)
        return text if self.started else text.lstrip()

    def _guarded(self, do: Callable[[], None]) -> None:
        if self.failure is not None:
            return
        try:
            do()
        except BaseException as error:  # noqa: BLE001 - raised again behind the model
            self.failure = error


def generate(
    model: Any, inputs: dict[str, Any], most: int, listener: Listener, constraint: Constraint | None = None
) -> Sequence[Tensor]:
    """Let the model answer greedily; return its own logits of each token, (1, V).

    Args:
        model: With ``generate``.
        inputs: Of one talk, on the model's device.
        most: Tokens of the answer at most.
        listener: Given the tokens; it stops the answer.
        constraint: Which tokens are allowed; then the logits are those of the allowed ones, the others −inf.
    """
    import torch
    from transformers import LogitsProcessorList, StoppingCriteria, StoppingCriteriaList

    class Asked(StoppingCriteria):  # type: ignore[misc]  # transformers is not typed here
        def __call__(self, input_ids: Tensor, scores: Any, **_: Any) -> Tensor:
            return torch.full((len(input_ids),), listener.stops(), dtype=torch.bool, device=input_ids.device)

    with torch.inference_mode():
        output = model.generate(
            **inputs,
            max_new_tokens=most,
            do_sample=False,
            streamer=listener,
            stopping_criteria=StoppingCriteriaList([Asked()]),
            logits_processor=LogitsProcessorList([] if constraint is None else [constraint]),
            output_logits=constraint is None,
            output_scores=constraint is not None,
            return_dict_in_generate=True,
        )
    return tuple(output.logits if constraint is None else output.scores)


def spoken(listener: Listener, logits: Sequence[Tensor], held_by: str | None = None) -> Spoken:
    """Return what was said, or raise what the caller's functions raised meanwhile.

    Args:
        listener: After the answer.
        logits: One (1, V) per token, as :func:`generate` returns them.
        held_by: What held it to a schema.
    """
    if listener.failure is not None:
        raise listener.failure
    finished: Literal["stop", "length", "cancelled"] = "length"
    if len(listener.spoken) < len(listener.tokens):
        finished = "stop"
    elif listener.was_cancelled:
        finished = "cancelled"
    return Spoken(listener.said, logprobs_of(listener.spoken, logits), finished, held_by)


def end_tokens(model: Any, tokenizer: Any) -> frozenset[int]:
    """Return the tokens that end an answer, as ``generate`` takes them."""
    named = getattr(model.generation_config, "eos_token_id", None)
    if named is None:
        named = getattr(tokenizer, "eos_token_id", None)
    if named is None:
        return frozenset()
    return frozenset(named if isinstance(named, list | tuple) else [named])


def pictures_of(turns: Sequence[Turn]) -> tuple[ImageHWC, ...]:
    """Return all pictures of a talk, in order."""
    return tuple(picture for turn in turns for picture in turn.pictures)


def logprobs_of(tokens: Sequence[int], logits: Sequence[Tensor]) -> tuple[float, ...]:
    """Return the natural log-probability of each token.

    Args:
        tokens: N token ids.
        logits: At least N tensors (1, V).
    """
    found = []
    for token, row in zip(tokens, logits, strict=False):
        values = row[0].double()
        found.append(min(0.0, float(values[token] - values.logsumexp(-1))))
    return tuple(found)
