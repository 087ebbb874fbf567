"""HF chat messages: ``{id, messages: [{role, content: [{type: text, text}, {type: image, path}]}]}``.

What ``apply_chat_template`` of transformers' processors and trl take. Read as well: content that is one text, media
under ``image``, ``video``, ``url`` or OpenAI's ``image_url``. Addresses and inline data are refused: a sample names
files.
"""

from __future__ import annotations

from typing import Any

from mllmqa.data.flaws import shown
from mllmqa.data.formats.form import Context, Format, Media, Row, field, paths, refuse, row_id, validated
from mllmqa.data.sample import Sample
from mllmqa.errors import DataError


def row(sample: Sample) -> Row:
    """Return a sample as a row of messages.

    Raises:
        DataError: No messages, or a medium without path.
    """
    if not sample.messages:
        raise refuse(sample, "has no messages", "messages: build them first")
    made = []
    for message in sample.messages:
        content: list[Row] = []
        for part in message.content:
            if part.media is None:
                content.append({"type": "text", "text": part.text})
            else:
                medium = sample.medium(part.media)
                content.append({"type": medium.kind, "path": paths(sample, [medium])[0]})
        made.append({"role": message.role, "content": content})
    return {"id": sample.id, "messages": made}


def parse(row: Row, context: Context) -> Sample:
    """Read a row of messages.

    Raises:
        DataError: It is malformed, or a medium is no path of a file.
    """
    media = Media()
    messages = []
    for message in field(row, "messages", list, context):
        if not isinstance(message, dict):
            raise DataError(f"field messages holds {shown(message)}", where=context.where, expected="objects")
        content = field(message, "content", (str, list), context)
        parts = [{"text": content}] if isinstance(content, str) else [_part(p, media, context) for p in content]
        messages.append({"role": message.get("role"), "content": _joined(parts)})
    return validated({"id": row_id(row, context), "media": media.entries, "messages": messages}, context)


def _part(part: Any, media: Media, context: Context) -> Row:
    kind = part.get("type") if isinstance(part, dict) else None
    if kind == "text":
        return {"text": field(part, "text", str, context)}
    named = {"image": "image", "video": "video", "image_url": "image", "video_url": "video"}
    if kind not in named:
        expected = "type text, image or video"
        raise DataError(f"field content holds {shown(part)}", where=context.where, expected=expected)
    values = [part.get(key) for key in ("path", "image", "video", "url", "image_url", "video_url")]
    value = next((v for v in values if v is not None), None)
    path = value.get("url") if isinstance(value, dict) else value
    if isinstance(path, str) and path.startswith("file://"):
        path = path.removeprefix("file://")
    if not isinstance(path, str) or "://" in path or path.startswith("data:"):
        found = f"a part of type {kind} has {shown(path)}"
        raise DataError(found, where=context.where, expected="a path of a file")
    return {"media": media.key(named[kind], path)}


def _joined(parts: list[Row]) -> list[Row]:
    """Join texts that stand side by side (chat templates do the same), and leave out empty ones."""
    joined: list[Row] = []
    for part in parts:
        if part.get("text") == "":
            continue
        if joined and "text" in part and "text" in joined[-1]:
            joined[-1] = {"text": joined[-1]["text"] + part["text"]}
        else:
            joined.append(part)
    return joined


MESSAGES = Format("messages", "HF chat messages", "lines", row, parse, frozenset(["id", "messages"]))
