"""Hand-made logs, items and watches for the tests of an evaluation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from mllmqa.evaluation.items import DataRecord, Item, Opinion
from mllmqa.evaluation.runlog import Header, Log, Prediction, ScorerRecord


def item(number: int, mos: float = 3.0, data: str = "set", **fields: Any) -> Item:
    """Return an item ``iNUMBER`` with an opinion on 1..5."""
    opinion = Opinion(mos=mos, low=1, high=5, direction="mos", **fields.pop("opinion", {}))
    made = {
        "kind": "image",
        "id": f"i{number}",
        "path": f"/media/{data}/i{number}.png",
        "level": "fair",
        "source": data,
        **fields,
    }
    return Item(data=data, opinion=opinion, **made)


def record(items: Sequence[Item], **fields: Any) -> DataRecord:
    """Return the record of a data set."""
    name = items[0].data
    made = {"name": name, "set": name, "root": "/data", "n_items": len(items), "n_available": len(items)}
    return DataRecord(**{**made, **fields})


def scorer(
    name: str, direction: Literal["higher-better", "lower-better"] = "higher-better", **fields: Any
) -> ScorerRecord:
    """Return a scorer."""
    return ScorerRecord(**{"name": name, "kind": "metric", "spec": name, "direction": direction, **fields})


def prediction(who: str, what: Item, value: float | None, **fields: Any) -> Prediction:
    """Return what a scorer says; None is unscored."""
    lost = {} if value is not None else {"reason": "corrupt", "message": "broken"}
    return Prediction(
        scorer=who, data=what.data, item=what.id, spec=who, value=value, **{**lost, "sha256": "0" * 64, **fields}
    )


def log(
    mos: Sequence[float],
    scores: Mapping[str, Sequence[float | None]],
    data: str = "set",
    into: Log | None = None,
    **fields: Sequence[Any],
) -> Log:
    """Return a log of one more data set.

    Args:
        mos: Opinions on 1..5.
        scores: Of each scorer; None is unscored.
        data: Name of the data set.
        into: Log to add it to.
        fields: Of the items: a value for each.
    """
    made = into or Log(Header())
    items = [
        item(i, value, data, **{key: values[i] for key, values in fields.items()}) for i, value in enumerate(mos)
    ]
    for one in items:
        made.add(one)
    made.add(record(items))
    for name, values in scores.items():
        made.scorers.setdefault(name, scorer(name))
        for one, value in zip(items, values, strict=True):
            made.add(prediction(name, one, value))
    return made


class Watch:
    """Keeps what a run tells."""

    def __init__(self) -> None:
        self.begun: list[tuple[str, str, int]] = []
        self.predictions: list[Prediction] = []
        self.notes: list[str] = []

    def begins(self, who: str, data: str, todo: int) -> None:
        self.begun.append((who, data, todo))

    def made(self, one: Prediction) -> None:
        self.predictions.append(one)

    def note(self, line: str) -> None:
        self.notes.append(line)
