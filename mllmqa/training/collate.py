"""Rows → one batch of tensors, padded on the right; each kind of media is encoded by the model's own processor."""

from __future__ import annotations

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mllmqa.errors import InferenceError, MllmqaError, error_line
from mllmqa.models.hf import as_clip
from mllmqa.training.conversation import Writer
from mllmqa.training.joining import PER_TOKEN, Encoded, fits, joined, usual
from mllmqa.training.losses import IGNORED
from mllmqa.training.rows import Lost, Row
from mllmqa.training.shown import Look, Shown


@dataclass(frozen=True)
class Targets:
    """What the rows of a batch are to be, beside their tokens. B rows, K level words, P pairs, A answer tokens.

    Attributes:
        places: (B, A + 1) int64, positions whose logits are wanted; the last column is not used.
        tokens: (B, A + 1) int64, token j is predicted by the logits at place j − 1, −100 where there is none.
        level: (B,) int64, column of ``places`` that predicts the level word; −1: none.
        soft: (B, K) float64, NaN where there is no distribution.
        mean: (B,) float64 opinions on 1..5, NaN for none.
        std: (B,) float64, in levels, NaN for none.
        teacher: (B, K) float64, NaN where there is none.
        sets: (B,) int64 ids of the sources.
        pairs: (P, 2) int64 rows that were drawn as pairs.
    """

    places: Tensor
    tokens: Tensor
    level: Tensor
    soft: Tensor
    mean: Tensor
    std: Tensor
    teacher: Tensor
    sets: Tensor
    pairs: Tensor

    def to(self, device: Any, **_: Any) -> Targets:
        """Move to a device; dtypes stay (DeepSpeed would round them to half precision)."""
        return replace(self, **{one.name: getattr(self, one.name).to(device) for one in fields(self)})


class Collator:
    """Makes a batch of items.

    Args:
        processor: Of the model.
        writer: Knows the level words.
        sources: Names of all sources; their place is their id.
        max_tokens: Longer rows are lost.
        companions: Kinds of media (``image``, ``video``) that every batch must hold, so that all processes of a
            distributed run call the same parts of the model. A batch without one gets a grey row of that kind whose
            answer is not learnt.
        filler: Stands in, as such a row, where nothing of a batch can be used; None: that is an error.
    """

    def __init__(
        self,
        processor: Any,
        writer: Writer,
        sources: Sequence[str],
        *,
        max_tokens: int,
        companions: Sequence[Row] = (),
        filler: Row | None = None,
    ) -> None:
        self._processor, self._writer = processor, writer
        self._sources = {name: k for k, name in enumerate(sources)}
        self._max_tokens, self._companions, self._filler = max_tokens, tuple(companions), filler
        self._any_size = getattr(processor.image_processor, "any_size", False)

    def __call__(self, items: Sequence[Sequence[Row | Lost]]) -> dict[str, Any]:
        """Return the batch.

        Returns:
            ``inputs`` (of the model), ``labels`` (B, T) int64, ``targets`` (:class:`Targets`), ``ids`` of the rows,
            ``lost``, ``extra``: how many companion rows (or the filler) stand at the end, and ``slots`` (I,) int64:
            the first row of each item, −1 where it is lost.

        Raises:
            InferenceError: No row is left and there is no filler, or the processor does not encode a text as its
                tokenizer does.
        """
        tried = [[self._try(one) for one in item] for item in items]
        sizes = self._any_size
        shapes = usual([one for item in tried for one in item if not isinstance(one, Lost)], any_size=sizes)
        encoded: list[Encoded] = []
        lost: list[Lost] = []
        pairs: list[tuple[int, int]] = []
        slots: list[int] = []
        for item in tried:
            start = len(encoded)
            for one in item:
                kept = one if isinstance(one, Lost) else fits(one, shapes, any_size=sizes)
                if isinstance(kept, Lost):
                    lost.append(kept)
                else:
                    encoded.append(kept)
            slots.append(start if len(encoded) > start else -1)
            if len(item) == 2 and len(encoded) == start + 2:
                pairs.append((start, start + 1))
        extra = self._extra({row.kind for row, _ in encoded})
        if not encoded and not extra:
            raise InferenceError(
                f"no sample of a batch can be used; the first: {lost[0].message}", hint="mend the data"
            )
        batch = self._batch([*encoded, *extra], pairs, len(extra))
        return {**batch, "lost": lost, "slots": torch.tensor(slots)}

    def _extra(self, kinds: AbstractSet[str]) -> list[Encoded]:
        """Companions of the kinds that are missing, or the filler where nothing is there at all."""
        rows = [row for row in self._companions if row.kind not in kinds]
        if not kinds and not rows and self._filler is not None:
            rows = [self._filler]
        return [(row, self._checked(row, self._processed(row))) for row in rows]

    # ------------------------------------------------------------------ one row

    def _try(self, row: Row | Lost) -> Encoded | Lost:
        """Encode a row by itself: processors pad, tile and batch each in its own way, one row they all agree on."""
        if isinstance(row, Lost):
            return row
        try:
            tokens = self._processed(row)
        except MllmqaError as error:
            return Lost(row.id, row.source, error.code, str(error))
        except Exception as error:  # noqa: BLE001 - whatever a processor refuses costs one sample, never the run
            what = f"sample {row.id}: the model's processor refuses it ({error_line(error)})"
            return Lost(row.id, row.source, InferenceError.code, what)
        if (n := len(tokens["input_ids"])) > self._max_tokens:
            return Lost(row.id, row.source, "too-long", f"{n} tokens, more than max_tokens={self._max_tokens}")
        return row, self._checked(row, tokens)

    def _processed(self, row: Row) -> dict[str, Any]:
        tokenizer = self._processor.tokenizer
        special = not (tokenizer.bos_token and row.written.text.startswith(tokenizer.bos_token))
        how: dict[str, Any] = {"text": [row.written.text], "return_tensors": "pt", "padding": False}
        how |= {"add_special_tokens": special, "input_data_format": "channels_last"}
        if row.kind == "image":
            how["images"] = [[one.images[0] for one in row.shown]]
        elif row.kind == "video":
            clips = [as_clip(one.images, one.clip, self._processor) for one in row.shown]
            how |= {"videos": [frames for frames, _ in clips], "video_metadata": [about for _, about in clips]}
            how["do_sample_frames"] = False
        made = dict(self._processor(**how))
        return {key: value[0] if key in PER_TOKEN else value for key, value in made.items()}

    def _checked(self, row: Row, tokens: dict[str, Any]) -> dict[str, Any]:
        """Make sure that what is learnt is where the text says: behind the last medium nothing may move."""
        if row.shown and not any(key.startswith("pixel_values") for key in tokens):
            raise InferenceError("its processor returned no pixels", where=f"sample {row.id}")
        tail = max((start for start, _ in row.written.learnt), default=0)
        ids = tokens["input_ids"].tolist()
        if ids[len(ids) - tail :] != list(row.written.ids[len(row.written.ids) - tail :]):
            raise InferenceError(
                "its processor encodes the answer differently from its tokenizer", where=f"sample {row.id}"
            )
        return tokens

    # ------------------------------------------------------------------ the batch

    def _batch(
        self, encoded: list[tuple[Row, dict[str, Any]]], pairs: list[tuple[int, int]], extra: int
    ) -> dict[str, Any]:
        rows = [row for row, _ in encoded]
        inputs = joined(
            [tokens for _, tokens in encoded],
            self._processor.tokenizer.pad_token_id or 0,
            any_size=self._any_size,
        )
        length = inputs["input_ids"].shape[1]
        labels = torch.full((len(rows), length), IGNORED)
        for k, (row, tokens) in enumerate(encoded[: len(rows) - extra]):
            n = len(tokens["input_ids"])
            for start, end in row.written.learnt:
                labels[k, n - start : n - end] = tokens["input_ids"][n - start : n - end]
        levels = [self._level_of(row, len(tokens["input_ids"])) for row, tokens in encoded]
        for k in range(len(rows) - extra, len(rows)):
            levels[k] = -1
        return {
            "inputs": inputs,
            "labels": labels,
            "targets": self._targets(rows, labels, levels, pairs),
            "ids": [row.id for row in rows[: len(rows) - extra]],
            "extra": extra,
        }

    @staticmethod
    def _level_of(row: Row, tokens: int) -> int:
        return -1 if row.written.level is None else tokens - row.written.level

    def _targets(
        self, rows: Sequence[Row], labels: Tensor, levels: Sequence[int], pairs: list[tuple[int, int]]
    ) -> Targets:
        places, tokens, column = _wanted(labels, levels)
        words = len(self._writer.words)
        none = (np.nan,) * words
        opinions = [row.opinion for row in rows]
        return Targets(
            places=places,
            tokens=tokens,
            level=column,
            soft=torch.tensor([row.soft or none for row in rows], dtype=torch.float64),
            mean=torch.tensor([np.nan if o is None else o.mean for o in opinions], dtype=torch.float64),
            std=torch.tensor(
                [np.nan if o is None or o.std is None else o.std for o in opinions], dtype=torch.float64
            ),
            teacher=torch.tensor([row.teacher or none for row in rows], dtype=torch.float64),
            sets=torch.tensor([self._sources.get(row.source, -1) for row in rows]),
            pairs=torch.tensor(pairs, dtype=torch.int64).reshape(-1, 2),
        )


def _wanted(labels: Tensor, levels: Sequence[int]) -> tuple[Tensor, Tensor, Tensor]:
    """Where logits are wanted: one place before each learnt token, and before the level word."""
    learnt = [(row != IGNORED).nonzero()[:, 0].tolist() for row in labels]
    most = max(1, *(len(one) for one in learnt))
    places = torch.zeros(len(labels), most + 1, dtype=torch.int64)
    tokens = torch.full((len(labels), most + 1), IGNORED)
    column = torch.full((len(labels),), -1)
    for k, positions in enumerate(learnt):
        for j, position in enumerate(positions):
            places[k, j], tokens[k, j + 1] = position - 1, labels[k, position]
            if position == levels[k]:
                column[k] = j
    return places, tokens, column


def companion(kind: str, writer: Writer, look: Look) -> Row:
    """A row of a kind of media, grey, to keep processes in step or to fill a batch; nothing of it is learnt.

    Args:
        kind: ``image``, ``video``, or ``text`` for one without media.
        writer: Writes its text.
        look: How media are looked at.
    """
    from mllmqa.data.sample import Sample
    from mllmqa.models.base import Clip

    grey = np.full((64, 64, 3), 128, dtype=np.uint8)
    chance = np.random.default_rng(0)
    shown: tuple[Shown, ...] = ()
    tags: tuple[str, ...] = ()
    if kind == "video":
        images = tuple(look.video_view(grey, chance)) * 2
        shown, tags = (Shown(images, Clip((0.0, 1.0), 2.0)),), ("video",)
    elif kind == "image":
        images = tuple(look.view(grey, chance))
        shown, tags = tuple(Shown((image,)) for image in images), ("image",) * len(images)
    sample = Sample.model_validate(
        {
            "id": f"companion-{kind}",
            "media": [{"key": "A", "kind": "image" if kind == "text" else kind, "path": "-"}],
            "messages": [
                {"role": "user", "content": [{"media": "A"}] * bool(shown) + [{"text": "?"}]},
                {"role": "assistant", "content": [{"text": "."}]},
            ],
        }
    )
    return Row(sample.id, "", "", writer.write(sample, {"A": tags}), shown)
