"""The registry as a table in Markdown, for the documentation."""

from __future__ import annotations

from collections.abc import Iterator

from mllmqa.data.registry import data_sets
from mllmqa.data.registry.schema import DataSet

NOT_STATED = "not stated"
COLUMNS = ("name", "what", "rated items / originals", "scores", "better", "std", "division", "licence")
_SPLITS = {
    "official": "official",
    "reference": "by reference, ten seeded",
    "item": "by item, ten seeded",
    "none": "none",
}
_BETTER = {"mos": "high", "dmos": "low", "preference": "pairs", "none": "no opinions"}


BRIEF = ("name", "kind", "rated items", "originals", "better", "std", "division", "what")


def brief(card: DataSet) -> tuple[str, ...]:
    """The cells of a data set in a terminal, in the order of :data:`BRIEF`."""
    items = f"{card.items:,}" if card.items is not None else NOT_STATED
    originals = f"{card.references:,}" if card.references is not None else ""
    std = NOT_STATED if card.std is None else "yes" if card.std else "no"
    return card.name, card.kind, items, originals, _BETTER[card.opinion], std, _SPLITS[card.split.rule], card.title


def row(card: DataSet) -> tuple[str, ...]:
    """The cells of a data set in the documentation, in the order of :data:`COLUMNS`."""
    _, _, items, originals, better, std, division, title = brief(card)
    return (
        card.name, f"{title}: {card.about}", f"{items} / {originals}" if originals else items,
        card.scale or NOT_STATED, better, std, division, card.licence or NOT_STATED,
    )  # fmt: skip


def markdown() -> str:
    """All data sets: a table of the image sets, one of the video sets, and the traps."""
    return "\n".join(_lines()) + "\n"


def _lines() -> Iterator[str]:
    for kind, heading in (("image", "Images"), ("video", "Videos")):
        yield from (f"## {heading}", "", f"| {' | '.join(COLUMNS)} |", "|" + "---|" * len(COLUMNS))
        for card in data_sets().values():
            if card.kind == kind:
                yield "| " + " | ".join(cell.replace("|", "\\|") for cell in row(card)) + " |"
        yield ""
    yield from (
        "## Layouts that are read",
        "",
        "| name | table | from | label files | rows | scale |",
        "|" + "---|" * 6,
    )
    for card in data_sets().values():
        for table in card.tables:
            files = ", ".join(f"`{entry}`" for entry in table.files)
            scale = table.score.rating_scale()
            ends = f"{scale.direction} {scale.low:.4g}..{scale.high:.4g}"
            yield f"| {card.name} | {table.id} | {table.source} | {files} | {table.n or NOT_STATED} | {ends} |"
    yield from ("", "## Traps", "")
    for card in data_sets().values():
        for trap in card.traps:
            yield f"- **{card.name}**: {trap}"
