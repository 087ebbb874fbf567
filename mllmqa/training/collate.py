"""Rows → one batch of tensors, padded on the right; each kind of media is encoded by the model's own processor."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mllmqa.errors import InferenceError, UsageError
from mllmqa.models.hf import as_clip
from mllmqa.training.conversation import Writer
from mllmqa.training.losses import IGNORED
from mllmqa.training.rows import Lost, Row
from mllmqa.training.shown import Shown

_PER_TOKEN = frozenset({"input_ids", "attention_mask", "mm_token_type_ids", "token_type_ids"})


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
    """

    def __init__(
        self,
        processor: Any,
        writer: Writer,
        sources: Sequence[str],
        *,
        max_tokens: int,
        companions: Sequence[Row] = (),
    ) -> None:
        self._processor, self._writer = processor, writer
        self._sources = {name: k for k, name in enumerate(sources)}
        self._max_tokens, self._companions = max_tokens, tuple(companions)

    def __call__(self, items: Sequence[Sequence[Row | Lost]]) -> dict[str, Any]:
        """Return the batch.

        Returns:
            ``inputs`` (of the model), ``labels`` (B, T) int64, ``targets`` (:class:`Targets`), ``ids`` of the rows,
            ``lost``, ``extra``: how many companion rows stand at the end, and ``slots`` (I,) int64: the first row of
            each item, −1 where it is lost.

        Raises:
            InferenceError: No row is left, or the processor does not encode a text as its tokenizer does.
        """
        encoded: list[tuple[Row, dict[str, Any]]] = []
        lost: list[Lost] = []
        pairs: list[tuple[int, int]] = []
        slots: list[int] = []
        for item in items:
            start = len(encoded)
            kept = [one for one in item if isinstance(one, Row)]
            lost += [one for one in item if isinstance(one, Lost)]
            for row, tokens in self._encode(kept):
                if len(tokens["input_ids"]) > self._max_tokens:
                    what = f"{len(tokens['input_ids'])} tokens, more than max_tokens={self._max_tokens}"
                    lost.append(Lost(row.id, row.source, "too-long", what))
                else:
                    encoded.append((row, tokens))
            slots.append(start if len(encoded) > start else -1)
            if len(item) == 2 and len(encoded) == start + 2:
                pairs.append((start, start + 1))
        kinds = {row.kind for row, _ in encoded}
        extra = [row for row in self._companions if row.kind not in kinds]
        encoded += self._encode(extra)
        if not encoded:
            raise InferenceError(
                f"no sample of a batch can be used; the first: {lost[0].message}", hint="mend the data"
            )
        batch = self._batch(encoded, pairs, len(extra))
        return {**batch, "lost": lost, "slots": torch.tensor(slots)}

    # ------------------------------------------------------------------ one row

    def _encode(self, rows: Sequence[Row]) -> list[tuple[Row, dict[str, Any]]]:
        """Encode rows one by one: processors pad, tile and batch each in its own way, one row they all agree on."""
        return [(row, self._checked(row, self._processed(row))) for row in rows]

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
        if row.shown and not any(key.startswith("pixel_values") for key in made):
            raise InferenceError("its processor returned no pixels", where=f"sample {row.id}")
        return {key: value[0] if key in _PER_TOKEN else value for key, value in made.items()}

    def _checked(self, row: Row, tokens: dict[str, Any]) -> dict[str, Any]:
        """Make sure that what is learnt is where the text says: behind the last medium nothing may move."""
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
        inputs = _joined([tokens for _, tokens in encoded], self._processor.tokenizer.pad_token_id or 0)
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


def _joined(rows: Sequence[dict[str, Any]], pad: int) -> dict[str, Any]:
    """Pad tokens on the right and put the pictures of all rows behind one another."""
    longest = max(len(row["input_ids"]) for row in rows)
    joined: dict[str, list[Any]] = defaultdict(list)
    for row in rows:
        for key, value in row.items():
            if key in _PER_TOKEN:
                fill = pad if key == "input_ids" else 0
                joined[key].append(torch.nn.functional.pad(value, (0, longest - len(value)), value=fill))
            else:
                joined[key].append(torch.as_tensor(value))
    return {key: torch.stack(v) if key in _PER_TOKEN else _behind(key, v) for key, v in joined.items()}


def _behind(key: str, values: list[Tensor]) -> Tensor:
    """Join along the first axis; tiles of pictures (N, tiles, 3, S, S) are filled up to the most tiles."""
    shapes = {value.shape[2:] if key == "pixel_values" and value.dim() == 5 else value.shape[1:] for value in values}
    if len(shapes) > 1:
        raise UsageError(
            f"{key} of different shapes in one batch: {sorted(map(tuple, shapes))}",
            hint="use batch=1, or a frame rule with a fixed number of frames (frames=uniform:8)",
        )
    if key == "pixel_values" and values[0].dim() == 5:
        most = max(value.shape[1] for value in values)
        values = [torch.nn.functional.pad(v, (0, 0, 0, 0, 0, 0, 0, most - v.shape[1])) for v in values]
    return torch.cat(values)


def companion(kind: str, writer: Writer, look: Any) -> Row:
    """A grey row of a kind of media, to keep processes in step; nothing of it is learnt."""
    from mllmqa.data.sample import Sample
    from mllmqa.models.base import Clip

    grey = np.full((64, 64, 3), 128, dtype=np.uint8)
    chance = np.random.default_rng(0)
    if kind == "video":
        images = tuple(look.video_view(grey, chance)) * 2
        shown: tuple[Shown, ...] = (Shown(images, Clip((0.0, 1.0), 2.0)),)
        tags = ("video",)
    else:
        images = tuple(look.view(grey, chance))
        shown, tags = tuple(Shown((image,)) for image in images), ("image",) * len(images)
    sample = Sample.model_validate(
        {
            "id": f"companion-{kind}",
            "media": [{"key": "A", "kind": kind, "path": "-"}],
            "messages": [
                {"role": "user", "content": [{"media": "A"}, {"text": "?"}]},
                {"role": "assistant", "content": [{"text": "."}]},
            ],
        }
    )
    return Row(sample.id, "", "", writer.write(sample, {"A": tags}), shown)
