"""Any transformers image-text-to-text model as a back end.

Logits are computed at the answer positions only, never over the sequence; what several requests of a batch
share is computed once (:mod:`mllmqa.models.passes`).
Frames and their times come from us: processors are told not to sample (``do_sample_frames=False``).
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mllmqa.errors import InferenceError, MediaLimitError, MllmqaError, ModelLoadError, UsageError
from mllmqa.levels import Encode, token_ids
from mllmqa.models import talking
from mllmqa.models import turns as said_turns
from mllmqa.models.base import (
    Clip,
    Examined,
    ExaminedInTime,
    ImageHWC,
    LevelLogits,
    ModelInfo,
    Request,
    Spoken,
    Turn,
)
from mllmqa.models.batches import Batch, to_device
from mllmqa.models.devices import input_device
from mllmqa.models.generation import equal_shapes, stacked, until_end
from mllmqa.models.passes import run
from mllmqa.models.presets import Preset, lay_out
from mllmqa.prompts import Prompt

if TYPE_CHECKING:
    import torch

    from mllmqa.answer_schema import AnswerSchema
    from mllmqa.models.constrained import Vocabulary

log = logging.getLogger(__name__)


class HFBackend:
    """A loaded model with its processor; see :class:`mllmqa.models.base.Backend`.

    Args:
        model: ``AutoModelForImageTextToText``, on its device, in eval mode.
        processor: Its processor, with a chat template.
        preset: How it is asked.
        info: Identity for provenance.
    """

    def __init__(self, model: Any, processor: Any, preset: Preset, info: ModelInfo) -> None:
        self.model = model
        self.processor = processor
        self.preset = preset
        self.info = info
        self.native_video = takes_clips(model, processor)
        self._ids: dict[tuple[str, tuple[str, ...]], list[int]] = {}
        self._vocabulary: Vocabulary | None = None
        self._texts: dict[tuple[tuple[str, ...], Prompt, tuple[str, ...]], str] = {}

    # ------------------------------------------------------------------ prompt text

    def text(self, request: Request) -> str:
        """Return the full prompt text up to the end of the answer start, image tags not yet expanded."""
        tags = ("video",) if request.clip else ("image",) * len(request.images)
        if request.messages is None:
            return self._text(tags, request.prompt, tuple(request.labels))
        said = said_turns.turns_of(request.messages, "video" if request.clip else "image")
        if (n := said_turns.media_in(said)) != len(tags):
            raise UsageError(f"{n} places for {len(tags)} pictures or clips", where=self.info.model)
        return said_turns.started(self.processor, self.preset, said, request.prompt.answer, self.info.model)

    def _text(self, tags: tuple[str, ...], prompt: Prompt, labels: tuple[str, ...]) -> str:
        """Return the text of a prompt, laid out once: the frames of a clip are all asked the same."""
        key = (tags, prompt, labels)
        if key not in self._texts:
            self._texts[key] = self._laid_out(*key)
        return self._texts[key]

    def _laid_out(self, tags: tuple[str, ...], prompt: Prompt, labels: tuple[str, ...]) -> str:
        named = list(zip(labels or [""] * len(tags), tags, strict=True))
        if self.preset.layout is not None:
            media = self.preset.media_separator.join(f"{label}{self.processor.image_token}" for label, _ in named)
            return lay_out(self.preset.layout, media=media, question=prompt.question, answer=prompt.answer)
        content: list[dict[str, str]] = []
        for label, tag in named:
            content += [{"type": "text", "text": label}] if label else []
            content.append({"type": tag})
        content.append({"type": "text", "text": prompt.question})
        head = self._templated([{"role": "user", "content": content}])
        self._check_labels(head, labels)
        if not prompt.answer:
            return head
        separator = self.preset.answer_separator
        if separator is None:
            separator = "" if head[-1:].isspace() else " "
        return f"{head}{separator}{prompt.answer}"

    def _templated(self, messages: list[dict[str, Any]]) -> str:
        return said_turns.rendered(self.processor, self.preset, messages, generate=True, where=self.info.model)

    def _check_labels(self, head: str, labels: Sequence[str]) -> None:
        """Refuse templates that tear pictures and the texts in front of them apart (LLaVA-1.5's does)."""
        place = 0
        for label in labels:
            start = head.find(label, place)
            picture = head.find(self.processor.image_token, place)
            if not 0 <= start <= picture:
                raise ModelLoadError(
                    "its chat template does not keep pictures behind the texts that name them",
                    where=self.info.model,
                    expected="one that renders the parts of a message in their order",
                )
            place = picture + len(self.processor.image_token)

    def check_words(self, prompt: Prompt, words: Sequence[str]) -> None:
        """Raise LevelTokenError unless ``words`` are distinct single tokens after this prompt."""
        self.level_ids(self._text(("image",), prompt, ()), words)

    def level_ids(self, text: str, words: Sequence[str]) -> list[int]:
        """Return the checked token ids of ``words`` after ``text``.

        Raises:
            LevelTokenError: The words are not distinct single tokens there.
        """
        key = (text, tuple(words))
        if key not in self._ids:
            apart = self._alone if self.preset.words_apart else None
            self._ids[key] = token_ids(self._encoder(text), text, words, model=self.info.model, alone=apart)
        return self._ids[key]

    def _alone(self, word: str) -> list[int]:
        return list(self.processor.tokenizer(word, add_special_tokens=False)["input_ids"])

    def _encoder(self, text: str) -> Encode:
        """Return what turns texts that begin like ``text`` into token ids."""
        if own := getattr(self.processor, "encode", None):  # mPLUG-Owl2 tokenises piece by piece
            return own  # type: ignore[no-any-return]
        tokenizer, special = self.processor.tokenizer, self._add_special(text)
        return lambda t: list(tokenizer(t, add_special_tokens=special)["input_ids"])

    def _add_special(self, text: str) -> bool:
        """Tell whether the tokenizer shall put BOS in front: not where the chat template did."""
        bos = self.processor.tokenizer.bos_token
        return not (bos and text.startswith(bos))

    # ------------------------------------------------------------------ level logits

    def level_logits(self, requests: Sequence[Request], words: Sequence[str]) -> list[LevelLogits | MllmqaError]:
        """Return the logits of ``words`` at the answer position of each request, or why there are none.

        Requests of equal shape share a batch. When a batch fails, its requests are tried one by
        one, so that only the culprit is lost.
        """
        results: dict[int, LevelLogits | MllmqaError] = {}
        for indices in _groups(requests):
            results.update(zip(indices, self._guarded([requests[i] for i in indices], words), strict=True))
        return [results[i] for i in range(len(requests))]

    def _guarded(self, batch: list[Request], words: Sequence[str]) -> list[LevelLogits | MllmqaError]:
        import torch

        try:
            return list(self._forward(batch, words))
        except MllmqaError as error:
            if len(batch) == 1:
                return [error]
        except torch.cuda.OutOfMemoryError as error:
            torch.cuda.empty_cache()
            if len(batch) == 1:
                return [InferenceError(f"out of GPU memory: {error}", hint="use fewer frames or another view")]
            log.warning("out of GPU memory with %d requests: halving the batch", len(batch))
            half = len(batch) // 2
            return self._guarded(batch[:half], words) + self._guarded(batch[half:], words)
        except Exception as error:  # noqa: BLE001 - whatever a model's code raises becomes a record
            if len(batch) == 1:
                return [InferenceError(f"the model failed: {type(error).__name__}: {error}")]
            log.warning("a batch of %d failed (%s): trying one by one", len(batch), error)
        return [result for request in batch for result in self._guarded([request], words)]

    def _forward(self, batch: list[Request], words: Sequence[str]) -> Iterator[LevelLogits]:
        import torch

        encoded = self.encode(batch)
        ids = torch.tensor([self.level_ids(self.text(request), words) for request in batch])  # (B, L)
        rows = self.logits(encoded)  # (B, V)
        log_z = torch.logsumexp(rows.double(), dim=-1)
        chosen = rows.gather(1, ids)
        for row, z in zip(chosen.numpy().astype(np.float32), log_z.tolist(), strict=True):
            yield LevelLogits(logits=row, log_z=z)

    def encode(self, requests: Sequence[Request]) -> Batch:
        """Tokenise and preprocess requests of equal shape, on the CPU."""
        texts = [self.text(request) for request in requests]
        return Batch.of(requests, self._encode(list(requests), texts), self.processor)

    def logits(self, batch: Batch) -> torch.Tensor:
        """Return the logits at the answer position of each request, float32 on the CPU, (B, V)."""
        return run(self.model, batch, input_device(self.model), self.processor.tokenizer.pad_token_id or 0)

    def _inputs(self, batch: list[Request], texts: list[str]) -> dict[str, Any]:
        """Tokenise and preprocess; tensors on the model's device, floats in the model's dtype."""
        return to_device(self._encode(batch, texts), input_device(self.model), self.model.dtype)

    def _encode(self, batch: list[Request], texts: list[str]) -> dict[str, Any]:
        """Tokenise and preprocess, on the CPU."""
        # Without the stated layout, pictures of height 1 or 3 are read as channels first.
        common: dict[str, Any] = {"text": texts, "padding": True, "return_tensors": "pt"}
        common["input_data_format"] = "channels_last"
        common["add_special_tokens"] = self._add_special(texts[0])
        if batch[0].clip is None and not batch[0].images:  # a talk without pictures
            return dict(self.processor(**common))
        if batch[0].clip is None:
            # Nested lists: a flat one makes LLaVA-OneVision tile each picture of a pair by itself.
            encoded = self.processor(images=[list(request.images) for request in batch], **common)
        elif self.native_video:
            clips = [as_clip(request.images, request.clip, self.processor) for request in batch]
            encoded = self.processor(
                videos=[frames for frames, _ in clips],
                video_metadata=[metadata for _, metadata in clips],
                do_sample_frames=False,
                **common,
            )
        else:
            raise UsageError("this model has no video input", where=self.info.model)
        if not any(key.startswith("pixel_values") for key in encoded):
            raise InferenceError("its processor returned no pixels for the pictures", where=self.info.model)
        self._check_length(encoded["input_ids"].shape[1])
        return dict(encoded)

    def _positions(self) -> int | None:
        """Return how many tokens the model has positions for; None: no limit is known."""
        settings = self.model.config.get_text_config()
        rotary = getattr(settings, "rope_parameters", None) or {}
        limit = getattr(settings, "max_position_embeddings", None)
        return limit if rotary.get("rope_type", "default") == "default" else None

    def _check_length(self, tokens: int) -> None:
        """Refuse what is longer than the model has positions for: it would still answer, but nonsense."""
        limit = self._positions()
        if limit is not None and tokens > limit:
            raise MediaLimitError(
                f"pictures and prompt are {tokens} tokens, the model has positions for {limit}",
                hint="use fewer frames (--frames) or another view",
            )

    @property
    def examines(self) -> bool:
        """Whether it is nano, with heads for distortions of pictures."""
        return self._part("categories") is not None

    def examine(self, images: Sequence[ImageHWC]) -> list[Examined]:
        """Return what the heads of nano's tower find in each picture."""
        from mllmqa.models.nano.diagnosis import examined

        return examined(self.model, self.processor, images)

    @property
    def examines_time(self) -> bool:
        """Whether it is nano, with heads for distortions in time."""
        return self._part("in_time") is not None

    def examine_in_time(self, slices: ImageHWC) -> list[ExaminedInTime]:
        """Return what nano's heads find in slices of a clip."""
        from mllmqa.models.nano.diagnosis import examined_in_time

        return examined_in_time(self._part("in_time"), slices)

    def _part(self, name: str) -> Any:
        """Return a part that only nano's tower has."""
        return getattr(getattr(self.model.base_model, "vision_tower", None), name, None)

    # ------------------------------------------------------------------ text

    def generate(self, requests: Sequence[Request], max_new_tokens: int = 128) -> list[str]:
        """Continue each request's answer greedily; returns only the new text.

        Requests of equal shape run together, without padding, so that a batch changes nothing.

        Raises:
            InferenceError: The model failed.
        """
        import torch

        texts = [""] * len(requests)
        encoded = [self._encode([request], [self.text(request)]) for request in requests]
        for rows in equal_shapes(encoded):
            inputs = to_device(stacked([encoded[i] for i in rows]), input_device(self.model), self.model.dtype)
            with torch.inference_mode():
                output = self.model.generate(**inputs, max_new_tokens=max_new_tokens, do_sample=False)
            for i, new in zip(rows, output[:, inputs["input_ids"].shape[1] :], strict=True):
                kept = until_end(new.tolist(), self.model.generation_config.eos_token_id)
                texts[i] = self.processor.tokenizer.decode(kept, skip_special_tokens=True)
        return texts

    def talk(
        self,
        turns: Sequence[Turn],
        *,
        max_new_tokens: int = 256,
        start: str = "",
        on_text: Callable[[str], None] | None = None,
        cancelled: Callable[[], bool] | None = None,
        schema: AnswerSchema | None = None,
    ) -> Spoken:
        """Answer the last turn greedily; see :meth:`mllmqa.models.base.Backend.talk`."""
        talking.check_turns(turns, start, schema)
        if cancelled is not None and cancelled():
            return Spoken("", (), "cancelled")
        text = talking.written(turns, start, self.preset, self.processor, self._templated)
        inputs = self._inputs([Request(_TALK, talking.pictures_of(turns))], [text])
        length = inputs["input_ids"].shape[1]
        most = min(max_new_tokens, (self._positions() or length + max_new_tokens) - length)
        ends = talking.end_tokens(self.model, self.processor.tokenizer)
        before = int(inputs["input_ids"][0, -1])
        listener = talking.Listener(self.processor, before, bool(start), on_text, cancelled, ends)
        if most < 1:
            return Spoken("", (), "length")
        return self._said(inputs, most, listener, schema)

    def _said(
        self, inputs: dict[str, Any], most: int, listener: talking.Listener, schema: AnswerSchema | None
    ) -> Spoken:
        import torch

        from mllmqa.models import constrained

        held = None if schema is None else self._bytes(listener.ends).constraint(schema)
        held_by = None if held is None else constrained.enforced_by()
        try:
            logits = talking.generate(self.model, inputs, most, listener, held)
        except MllmqaError:
            raise
        except torch.cuda.OutOfMemoryError as error:
            torch.cuda.empty_cache()
            raise InferenceError(f"out of GPU memory: {error}", hint="use fewer frames or another view") from error
        except Exception as error:
            raise InferenceError(f"the model failed: {type(error).__name__}: {error}") from error
        return talking.spoken(listener, logits, held_by)

    def _bytes(self, ends: frozenset[int]) -> Vocabulary:
        """Return the vocabulary as bytes, for answers by a schema."""
        from mllmqa.models.constrained import Vocabulary

        if self._vocabulary is None:
            self._vocabulary = Vocabulary(self.processor.tokenizer, ends, self.info.model)
        return self._vocabulary


_TALK = Prompt("chat", "", "", "")
"""Stands for the prompt where a talk is encoded: its text is made of its turns."""


def takes_clips(model: Any, processor: Any) -> bool:
    """Tell whether a model has a video input of its own.

    T5 of the facts: LLaVA and LLaVA-NeXT processors accept ``videos=`` and silently ignore it.
    """
    takes_videos = getattr(processor, "video_processor", None) or getattr(processor, "takes_videos", False)
    return bool(takes_videos) and "video" in (getattr(type(model), "input_modalities", None) or ())


def as_clip(
    images: Sequence[ImageHWC], clip: Clip | None, processor: Any
) -> tuple[NDArray[np.uint8], dict[str, Any]]:
    """Return frames (T, H, W, 3) and their description: a 1000-fps source, indices in milliseconds.

    A model that merges frames in pairs gets a single frame twice, at the same time.
    """
    frames, times = list(images), list(clip.timestamps_s if clip else ())
    merged = getattr(getattr(processor, "video_processor", None), "temporal_patch_size", 1) or 1
    while len(frames) < merged:
        frames.append(frames[-1])
        times.append(times[-1])
    duration_ms = round(1000 * (clip.duration_s if clip else 0))
    return np.stack(frames), {
        "fps": 1000.0,
        "total_num_frames": max(duration_ms, len(frames), 1),
        "frames_indices": [round(1000 * t) for t in times],
    }


def _groups(requests: Sequence[Request]) -> list[list[int]]:
    """Group request indices that one processor call can take: same number of pictures, same kind.

    Videos must also agree in frame size: several processors cannot batch unequal clips (T8 of the facts).
    """
    groups: dict[Any, list[int]] = defaultdict(list)
    for index, request in enumerate(requests):
        shape = request.images[0].shape if request.clip else None
        groups[len(request.images), request.clip is not None, shape].append(index)
    return list(groups.values())
