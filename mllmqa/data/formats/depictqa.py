"""DepictQA's training records: slots ``image_ref, image_A, image_B`` and no tags in the texts.

Labels: ``distortion_class, distortion_name, severity`` of one distortion, the plural fields of several, per picture
in ``distortions_A`` and ``distortions_B``; a clean picture has null, null, 0; ``A_better_B``. Read as well: test
records (``query``, ``answer``), and ``image`` of the generic descriptions.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mllmqa.data.flaws import shown
from mllmqa.data.formats.form import Context, Format, Row, field, paths, refuse, row_id, turns, validated
from mllmqa.data.sample import Message, Part, Sample
from mllmqa.data.sample_labels import Distortion
from mllmqa.data.tasks.compose import media_parts
from mllmqa.errors import DataError

SLOTS = {"ref": "image_ref", "A": "image_A", "B": "image_B"}
"""Key of a medium → its field, in the order in which the model sees them."""
GENERIC = ("description", "normal")
"""Task types that are about content, not quality."""
_ONE, _SEVERAL = (
    ("distortion_class", "distortion_name", "severity"),
    ("distortion_classes", "distortion_names", "severities"),
)


def row(sample: Sample) -> Row:
    """Return a sample as a training record.

    Raises:
        DataError: Other media than pictures under ref, A and B, media that do not stand first in the question, or
            no messages.
    """
    for medium in sample.media:
        if medium.key not in SLOTS or medium.kind != "image":
            found = f"has the {medium.kind} {medium.key}"
            raise refuse(sample, found, "images under the keys A, B and ref: DepictQA has no other slots")
    keys = [key for key in SLOTS if any(medium.key == key for medium in sample.media)]
    _, messages = turns(sample)
    made: Row = {"id": sample.id, **dict.fromkeys(SLOTS.values())}
    made |= dict(zip((SLOTS[key] for key in keys), paths(sample, map(sample.medium, keys)), strict=True))
    made["task_type"] = sample.task if sample.task in GENERIC else _task_type(keys, sample)
    made["conversations"] = _conversations(messages, keys, sample)
    return made | _labels(sample, keys)


def _task_type(keys: Sequence[str], sample: Sample) -> str:
    sides = [key for key in keys if key != "ref"]
    if not sides:
        raise refuse(sample, "has a reference only", "an image A or B")
    what = "quality_compare" if len(sides) == 2 else f"quality_single_{sides[0]}"
    return what if "ref" in keys else f"{what}_noref"


def _conversations(messages: Sequence[Message], keys: Sequence[str], sample: Sample) -> list[Row]:
    """Return the turns. Names before the media are left out: DepictQA's model puts its own before its slots."""
    content = messages[0].content
    bare = tuple(Part(media=key) for key in keys)
    first = next((parts for parts in (bare, media_parts(sample)) if content[: len(parts)] == parts), None)
    if first is None or [part.media for part in first if part.media] != list(keys):
        raise refuse(sample, "its question does not start with its media", f"{', '.join(keys)}, then the text")
    made = []
    for k, message in enumerate(messages):
        parts = message.content if k else message.content[len(first) :]
        if len(parts) != 1 or parts[0].text is None:
            raise refuse(sample, f"turn {k + 1} is not one text", "one text: DepictQA has no tags for media")
        made.append({"from": ("human", "gpt")[k % 2], "value": parts[0].text})
    return made


def _labels(sample: Sample, keys: Sequence[str]) -> Row:
    labels, made = sample.labels, Row()
    sides = [key for key in ("A", "B") if key in keys]
    if labels.distortions is not None:
        for side in sides:
            fields = _written([one for one in labels.distortions if one.media == side])
            made |= {f"distortions_{side}": fields} if len(sides) == 2 else fields
    preference = labels.preference
    if preference and preference.better and set(preference.among) == {"A", "B"}:
        made["A_better_B"] = preference.better == "A"
    return made


def _written(distortions: Sequence[Distortion]) -> Row:
    ordered = sorted(distortions, key=lambda one: one.order or 0)
    columns: list[list[Any]] = [list(column) for column in zip(*map(_values, ordered), strict=True)]
    if len(ordered) > 1:
        return dict(zip(_SEVERAL, columns, strict=True))
    values = [column[0] for column in columns] if ordered else [None, None, 0]
    return dict(zip(_ONE, values, strict=True))


def _values(one: Distortion) -> tuple[str, str | None, float | int | None]:
    severity = one.severity
    whole = severity is not None and severity.is_integer()
    return one.category, one.name, int(severity) if whole and severity is not None else severity


def parse(row: Row, context: Context) -> Sample:
    """Read a training or test record.

    Raises:
        DataError: It is malformed, or its task type does not fit its images.
    """
    found = {key: row.get(slot) for key, slot in SLOTS.items()}
    if found["A"] is None and row.get("image") is not None:
        found["A"] = row["image"]
    media = [
        {"key": key, "kind": "image", "path": path, "role": "reference" if key == "ref" else "stimulus"}
        for key, path in found.items()
        if path is not None
    ]
    keys = [str(entry["key"]) for entry in media]
    task = row.get("task_type")
    if task is not None:
        _check_task(field(row, "task_type", str, context), keys, context)
    messages: list[Row] = [
        {"role": role, "content": [*({"media": key} for key in keys if not k), {"text": text}]}
        for k, (role, text) in enumerate(_texts(row, context))
    ]
    labels: Row = {}
    if (distortions := _read_distortions(row, keys, context)) is not None:
        labels["distortions"] = distortions
    if "A_better_B" in row:
        better = "A" if field(row, "A_better_B", bool, context) else "B"
        labels["preference"] = {"among": ["A", "B"], "better": better}
    data = {"id": row_id(row, context), "media": media, "labels": labels, "messages": messages, "task": task}
    return validated(data, context)


def _check_task(task: str, keys: Sequence[str], context: Context) -> None:
    if not task.startswith("quality"):
        return
    right = "quality_compare" if {"A", "B"} <= set(keys) else "quality_single"
    noref = task.endswith("_noref")
    if not task.startswith(right) or noref == ("ref" in keys):
        expected = f"{right}… with{'' if 'ref' in keys else 'out'} reference, as its images are ({', '.join(keys)})"
        raise DataError(f"field task_type is {shown(task)}", where=context.where, expected=expected)


def _texts(row: Row, context: Context) -> list[tuple[str, str]]:
    if "query" in row:
        asked = [("user", field(row, "query", str, context))]
        return [*asked, ("assistant", field(row, "answer", str, context))] if "answer" in row else asked
    roles = {"human": "user", "gpt": "assistant"}
    texts = []
    for turn in field(row, "conversations", list, context):
        turn = turn if isinstance(turn, dict) else {}
        if turn.get("from") not in roles or not isinstance(turn.get("value"), str):
            expected = "{from: human | gpt, value: text}"
            raise DataError(f"field conversations holds {shown(turn)}", where=context.where, expected=expected)
        texts.append((roles[turn["from"]], turn["value"]))
    return texts


def _read_distortions(row: Row, keys: Sequence[str], context: Context) -> list[Row] | None:
    """Return the distortions of all sides; None where the record has no such fields."""
    pair = {side: row[f"distortions_{side}"] for side in ("A", "B") if f"distortions_{side}" in row}
    single = {next((key for key in keys if key != "ref"), "A"): row}
    found: list[Row] = []
    labelled = False
    for side, fields in (pair or single).items():
        if not isinstance(fields, dict):
            what = f"field distortions_{side} is {shown(fields)}"
            raise DataError(what, where=context.where, expected="an object")
        names = next((names for names in (_ONE, _SEVERAL) if names[0] in fields), None)
        labelled |= names is not None
        found += _read_side(side, fields, names, context) if names else []
    return found if labelled else None


def _read_side(side: str, fields: Row, names: Sequence[str], context: Context) -> list[Row]:
    values: list[Any] = [fields.get(name) for name in names]
    if values[0] is None:
        if values[2] not in (0, None, []):
            what = f"field {names[2]} is {shown(values[2])}"
            raise DataError(what, where=context.where, expected="0, as there is no distortion")
        return []
    columns = values if names is _SEVERAL else [[value] for value in values]
    lengths = {len(column) if isinstance(column, list) else -1 for column in columns}
    if len(lengths) != 1 or -1 in lengths:
        what = f"fields {', '.join(names)} are {shown(values)}"
        raise DataError(what, where=context.where, expected="lists of the same length")
    several = names is _SEVERAL
    return [
        {"media": side, "category": category, "name": name, "severity": severity, "order": k if several else None}
        for k, (category, name, severity) in enumerate(zip(*columns, strict=True), 1)
    ]


_KEYS = "id image task_type conversations query answer distortions_A distortions_B A_better_B"
DEPICTQA = Format(
    "depictqa", "DepictQA", "array", row, parse, frozenset([*_KEYS.split(), *SLOTS.values(), *_ONE, *_SEVERAL]),
    slots=2, videos=False,
)  # fmt: skip
