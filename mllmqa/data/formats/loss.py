"""What of a sample a format does not hold: found by writing it, reading it back, and comparing every field."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from mllmqa.data.formats.form import Context, Format
from mllmqa.data.ratings import RatingScale
from mllmqa.data.sample import Sample
from mllmqa.schema import Record

Place = tuple[str | int, ...]


def lost_fields(sample: Sample, form: Format) -> tuple[str, ...]:
    """Return the fields that do not come back from a format, e.g. ``labels.mos.std``; sorted.

    Media that get another key there are compared under their old one, and ``media.key`` is named.

    Raises:
        DataError: The format cannot express the sample at all.
    """
    return compared(sample, form.parse(form.row(sample), Context(f"sample {sample.id}", scale=_scale(sample))))


def compared(sample: Sample, back: Sample) -> tuple[str, ...]:
    """Return the fields of a sample that another one does not have alike."""
    keys = _keys(sample, back)
    after = dict(leaves(keyed(back), ()))
    missing = object()
    lost = {"media.key"} if any(old != new for old, new in keys.items() if new is not None) else set()
    for place, value in leaves(keyed(sample), ()):
        if place[0] == "media" and keys[str(place[1])] is None:
            lost.add("media")
            continue
        moved: Place = place if place[0] != "media" else ("media", str(keys[str(place[1])]), *place[2:])
        if place[-1] != "key" and after.get(moved, missing) != _moved(value, place, keys):
            lost.add(".".join(str(part) for k, part in enumerate(place) if not _is_index(place, k)))
    return tuple(sorted(lost))


def _scale(sample: Sample) -> RatingScale | None:
    mos = next(iter(sample.labels.mos), None)
    return RatingScale("mos" if mos.direction == "higher-better" else "dmos", mos.low, mos.high) if mos else None


def _keys(sample: Sample, back: Sample) -> dict[str, str | None]:
    """Map each key to the one that the same file has after; None where it is not there."""
    after: dict[tuple[str, str | None], list[str]] = {}
    for medium in back.media:
        after.setdefault((medium.kind, medium.path), []).append(medium.key)
    found: dict[str, str | None] = {}
    for medium in sample.media:  # one file may be there under two keys: its own key is the same medium
        keys = after.get((medium.kind, medium.path), [])
        found[medium.key] = medium.key if medium.key in keys else keys[-1] if keys else None
    return found


def keyed(sample: Sample) -> dict[str, Any]:
    """Return fields that are not at their defaults, with media by key instead of by place."""
    fields = {name: getattr(sample, name) for name in type(sample).model_fields if name != "sample_version"}
    return fields | {"media": {medium.key: medium for medium in sample.media}}


def leaves(value: Any, place: Place) -> Iterator[tuple[Place, Any]]:
    """Yield every value that is not at its default, with its place."""
    if isinstance(value, Record):
        for name, info in type(value).model_fields.items():
            inner = getattr(value, name)
            default = info.get_default(call_default_factory=True, validated_data={})
            if inner != default:
                yield from leaves(inner, (*place, name))
    elif isinstance(value, dict) and "parameters" not in place:
        for key, inner in value.items():
            if inner is not None:
                yield from leaves(inner, (*place, key))
    elif isinstance(value, tuple) and value and isinstance(value[0], Record):
        for k, inner in enumerate(value):
            yield from leaves(inner, (*place, k))
    else:
        yield place, value


def _moved(value: Any, place: Place, keys: dict[str, str | None]) -> Any:
    """Return a value that names media by their new keys."""
    if place[-1] in ("media", "better"):
        return keys.get(value, value)
    return tuple(keys.get(key) for key in value) if place[-1] == "among" else value


def _is_index(place: Place, k: int) -> bool:
    return isinstance(place[k], int) or (k == 1 and place[0] == "media")
