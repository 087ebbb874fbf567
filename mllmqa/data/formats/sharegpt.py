"""ShareGPT as LLaMA-Factory reads it: ``{messages: [{role, content}], images: […], videos: […]}``.

Tags stand in the texts; their number must be that of the media. Read as well: ``conversations`` with ``from`` and
``value``, ``system``.
"""

from __future__ import annotations

from typing import Any

from mllmqa.data.flaws import shown
from mllmqa.data.formats.form import Context, Format, Media, Row, field, paths, row_id, turns, validated
from mllmqa.data.formats.tags import Untagger, media_in_order, messages_of, tagged
from mllmqa.data.sample import Sample
from mllmqa.errors import DataError

_ROLES = {"human": "user", "user": "user", "gpt": "assistant", "assistant": "assistant", "system": "system"}


def row(sample: Sample) -> Row:
    """Return a sample as a row for LLaMA-Factory.

    Raises:
        DataError: No messages, a medium without path, or a text with a tag.
    """
    turns(sample)  # checks them
    made: Row = {"id": sample.id}
    made["messages"] = [{"role": m.role, "content": tagged(m, sample)} for m in sample.messages]
    for kind in ("image", "video"):
        keys = media_in_order(sample.messages, sample, kind)
        if found := paths(sample, (sample.medium(key) for key in keys)):
            made[f"{kind}s"] = found
    return made


def parse(row: Row, context: Context) -> Sample:
    """Read a row of LLaMA-Factory.

    Raises:
        DataError: It is malformed, or tags and media do not agree.
    """
    media = Media()
    keys = {
        kind: [media.key(kind, path) for path in _files(row, f"{kind}s", context)] for kind in ("image", "video")
    }
    where = "messages" if "messages" in row else "conversations"
    texts = [_said(turn, where, context) for turn in field(row, where, list, context)]
    if row.get("system"):
        texts.insert(0, ("system", field(row, "system", str, context)))
    messages = messages_of(texts, Untagger(keys, context))
    return validated({"id": row_id(row, context), "media": media.entries, "messages": messages}, context)


def dataset_info(name: str, file: str, *, images: bool = True, videos: bool = False) -> Row:
    """Return the entry of ``dataset_info.json`` with which LLaMA-Factory finds an exported file.

    Args:
        name: What the data set is called in its configurations.
        file: Name of the exported file in its data folder.
        images: Whether rows have images.
        videos: Whether rows have clips.
    """
    columns = {"messages": "messages"} | ({"images": "images"} if images else {})
    columns |= {"videos": "videos"} if videos else {}
    tags = {"role_tag": "role", "content_tag": "content", "user_tag": "user", "assistant_tag": "assistant"}
    entry = {
        "file_name": file,
        "formatting": "sharegpt",
        "columns": columns,
        "tags": tags | {"system_tag": "system"},
    }
    return {name: entry}


def _files(row: Row, key: str, context: Context) -> list[str]:
    if row.get(key) is None:
        return []
    found: list[Any] = field(row, key, list, context)
    for path in found:
        if not isinstance(path, str):
            raise DataError(f"field {key} holds {shown(path)}", where=context.where, expected="paths")
    return found


def _said(turn: Any, where: str, context: Context) -> tuple[str, str]:
    turn = turn if isinstance(turn, dict) else {}
    role, text = turn.get("role", turn.get("from")), turn.get("content", turn.get("value"))
    if role not in _ROLES or not isinstance(text, str):
        expected = "{role, content} or {from, value} with texts"
        raise DataError(f"field {where} holds {shown(turn)}", where=context.where, expected=expected)
    return _ROLES[role], text


_KEYS = "id messages conversations system images videos"
SHAREGPT = Format("sharegpt", "ShareGPT (LLaMA-Factory)", "array", row, parse, frozenset(_KEYS.split()))
