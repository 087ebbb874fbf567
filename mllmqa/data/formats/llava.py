"""LLaVA's conversations: ``{id, image | video, conversations: [{from: human | gpt, value}]}``, tags in the texts.

Read as well: lists of images, ``system_prompt`` (lmms-finetune), ``<|image|>`` (mPLUG-Owl2; eight for a clip in
Q-Align's files), ``<img0>`` (Co-Instruct), clips under ``image`` with ``frames per sec`` (VQA²), and ``gt_score``
(Q-Align, Q-SiT, VQA²), whose scale the caller must state where ``gt_range`` and ``gt_direction`` do not.
"""

from __future__ import annotations

from typing import Any

from mllmqa.data.formats.form import Context, Format, Media, Row, field, paths, row_id, turns, validated
from mllmqa.data.formats.tags import Untagger, media_in_order, messages_of, tagged
from mllmqa.data.sample import Sample
from mllmqa.errors import DataError

_ROLES = {"user": "human", "assistant": "gpt"}
_SPEAKERS = {"human": "user", "user": "user", "gpt": "assistant", "assistant": "assistant", "system": "system"}
_CLIPS = (".mp4", ".webm", ".mkv", ".mov", ".avi", ".m4v", ".yuv", ".flv", ".ts")


def row(sample: Sample) -> Row:
    """Return a sample as a row of LLaVA.

    Raises:
        DataError: No messages, a medium without path, or a text with a tag.
    """
    system, messages = turns(sample)
    made: Row = {"id": sample.id}
    for kind in ("image", "video"):
        keys = media_in_order(messages, sample, kind)
        if found := paths(sample, (sample.medium(key) for key in keys)):
            made[kind] = found[0] if len(found) == 1 else found
    made["conversations"] = [{"from": _ROLES[m.role], "value": tagged(m, sample)} for m in messages]
    if system is not None:
        made["system_prompt"] = system
    return made | _score(sample)


def _score(sample: Sample) -> Row:
    """Return the fields of the score of the first medium in the row, where it is the only one."""
    if len(sample.labels.mos) != 1 or sample.labels.mos[0].aspect != "quality":
        return {}
    mos = sample.labels.mos[0]
    shown_media = [part.media for message in sample.messages for part in message.content if part.media]
    if set(shown_media) != {mos.media}:
        return {}
    scored: Row = {"gt_score": mos.value, "gt_range": [mos.low, mos.high], "gt_direction": mos.direction}
    return scored if mos.std is None else scored | {"gt_std": mos.std}


def parse(row: Row, context: Context) -> Sample:
    """Read a row of LLaVA.

    Raises:
        DataError: It is malformed, tags and media do not agree, or a score comes without its scale.
    """
    media = Media()
    keys = {kind: [media.key(*entry) for entry in _files(row, kind, context)] for kind in ("image", "video")}
    # A clip under `image` is found by _files; its key must not stand among those of images.
    kinds = {entry["key"]: entry["kind"] for entry in media.entries}
    listed = keys["image"] + keys["video"]
    keys = {kind: [key for key in listed if kinds[key] == kind] for kind in ("image", "video")}
    texts = [_said(turn, context) for turn in field(row, "conversations", list, context)]
    if row.get("system_prompt") is not None:
        texts.insert(0, ("system", field(row, "system_prompt", str, context)))
    messages = messages_of(texts, Untagger(keys, context))
    if not media.entries:
        raise DataError("field image is missing", where=context.where, expected="an image or a video")
    data: Row = {"id": row_id(row, context), "media": media.entries, "messages": messages}
    if "gt_score" in row:
        data["labels"] = {"mos": [_mos(row, media.entries[0]["key"], context)]}
    return validated(data, context)


def _files(row: Row, key: str, context: Context) -> list[tuple[str, str]]:
    """Return (kind, path) of the files under a key."""
    value: Any = row.get(key)
    if value is None:
        return []
    found = field(row, key, (str, list), context)
    names = [found] if isinstance(found, str) else found
    for name in names:
        if not isinstance(name, str):
            raise DataError(f"field {key} holds a {type(name).__name__}", where=context.where, expected="paths")
    clips = key == "video" or "frames per sec" in row
    return [("video" if clips or name.lower().endswith(_CLIPS) else "image", name) for name in names]


def _said(turn: Any, context: Context) -> tuple[str, str]:
    speaker = turn.get("from") if isinstance(turn, dict) else None
    value = turn.get("value") if isinstance(turn, dict) else None
    if speaker not in _SPEAKERS or not isinstance(value, str):
        expected = "{from: human | gpt, value: text}"
        raise DataError(f"field conversations holds {str(turn)[:60]}", where=context.where, expected=expected)
    return _SPEAKERS[speaker], value


def _mos(row: Row, key: str, context: Context) -> Row:
    if "gt_range" in row and "gt_direction" in row:
        limits: list[Any] = field(row, "gt_range", list, context)
        if len(limits) != 2:
            raise DataError(f"field gt_range is {limits}", where=context.where, expected="[low, high]")
        low, high = limits
        direction = row["gt_direction"]
    elif context.scale is not None:
        low, high = context.scale.low, context.scale.high
        direction = "higher-better" if context.scale.direction == "mos" else "lower-better"
    else:
        raise DataError(
            "field gt_score has no scale",
            where=context.where,
            expected="gt_range and gt_direction in the row, or the scale stated by the caller",
        )
    return {
        "media": key,
        "value": row["gt_score"],
        "std": row.get("gt_std"),
        "low": low,
        "high": high,
        "direction": direction,
    }


_KEYS = "id image video conversations system_prompt gt_score gt_std gt_range gt_direction"
LLAVA = Format("llava", "LLaVA conversations", "array", row, parse, frozenset([*_KEYS.split(), "frames per sec"]))
