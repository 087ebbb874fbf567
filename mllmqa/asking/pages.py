"""An assessment as text, Markdown or one HTML file that needs nothing else."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

from mllmqa.asking.compose import places_text
from mllmqa.data.tasks.phrases import capital
from mllmqa.data.tasks.wording import vocabulary
from mllmqa.pages import render

if TYPE_CHECKING:
    from mllmqa.asking.explain import Assessment, Distortion


UNCHECKED = "Written by the model; its places are not checked."


def as_text(it: Assessment, name: str) -> str:
    """Return a few lines for a terminal."""
    lines = [f"{name}: {it.level}, {it.score:.2f} ± {it.std:.2f} of 5", "", it.paragraph, ""]
    if it.reasoning:
        lines += [it.reasoning, ""]
    rows = [(one.label, severity_of(one), f"{one.probability:.2f}", place_of(one)) for one in it.distortions]
    widths = [max(len(row[k]) for row in rows) for k in range(3)] if rows else []
    lines += ["  ".join([*(c.ljust(w) for c, w in zip(row, widths, strict=False)), row[3]]) for row in rows]
    lines += [] if rows else [capital(_clean(it))]
    if it.worst_boxes or it.worst_spans_s:
        lines.append(f"lowest quality:{places_text(it.worst_boxes, it.worst_spans_s)}")
    return "\n".join([*lines, "", origin_of(it)]) + "\n"


def as_markdown(it: Assessment, name: str, picture: str | None = None) -> str:
    """Return Markdown.

    Args:
        it: The assessment.
        name: Of the file.
        picture: Path or data URI of its picture.
    """
    lines = [f"# {_escaped(name)}", "", f"**{it.level}**, {it.score:.2f} ± {it.std:.2f} of 5", ""]
    lines += [it.paragraph, "", f"*{origin_of(it)}*", ""]
    if it.reasoning:
        lines += [
            "## Step by step",
            "",
            it.reasoning,
            "",
            f"*{UNCHECKED}*",
            "",
        ]
    if picture:
        lines += [f"![{caption_of(it)}]({picture})", ""]
    lines += ["## Distortions", ""]
    if it.distortions:
        lines += ["| what | severity | probability | where and when | effect |", "|---|---|---|---|---|"]
        for one in it.distortions:
            cells = (one.label, severity_of(one), f"{one.probability:.2f}", place_of(one), one.effect)
            lines.append(f"| {' | '.join(cells)} |")
    else:
        lines.append(capital(_clean(it)))
    return "\n".join([*lines, "", provenance_of(it)]) + "\n"


def as_html(it: Assessment, name: str, picture_png: bytes | None = None) -> str:
    """Return one HTML page with the picture inside: no script, no network.

    Args:
        it: The assessment.
        name: Of the file; escaped.
        picture_png: Heat map or timeline.
    """
    return render(
        "mllmqa.asking", "explain.html.j2",
        it=it, name=name, uri=data_uri(picture_png) if picture_png else None,
        caption=caption_of(it), origin=origin_of(it), clean=capital(_clean(it)), provenance=provenance_of(it),
        severity=severity_of, unchecked=UNCHECKED, place=place_of,
    )  # fmt: skip


def data_uri(picture_png: bytes) -> str:
    """Return a PNG as a ``data:`` URI."""
    return f"data:image/png;base64,{base64.b64encode(picture_png).decode('ascii')}"


def severity_of(one: Distortion) -> str:
    """Return the word and the number of a severity, or that it was not read."""
    return "not read" if one.severity is None else f"{one.grade} ({one.severity:.1f} of 5)"


def place_of(one: Distortion) -> str:
    """Return where and when a distortion is."""
    return places_text(one.boxes, one.spans_s).strip() or "everywhere"


def caption_of(it: Assessment) -> str:
    """Return what the picture shows."""
    video = it.evidence.medium == "video"
    return "Quality over time, 1 bad to 5 excellent" if video else "Quality by place, 1 bad to 5 excellent"


def origin_of(it: Assessment) -> str:
    """Return whose words the paragraph is, and how sure."""
    sure = "" if it.answer.confidence is None else f", confidence {it.answer.confidence:.2f}"
    if it.answer.source == "model":
        return f"Written by the model and held against its readings{sure}."
    return f"Composed of the readings ({it.answer.in_words}){sure}."


def provenance_of(it: Assessment) -> str:
    """Return model, view and frames in one line."""
    made = it.evidence.score.provenance
    frames = f", frames {made.frame_rule}" if made.frame_rule else ""
    return f"mllmqa {made.mllmqa_version}, model {made.model}, view {made.view}{frames}, spec {made.spec}"


def _clean(it: Assessment) -> str:
    unread = it.evidence.why_unread
    return vocabulary().clean if unread is None else f"distortions were not read: {unread}"


def _escaped(text: str) -> str:
    return "".join(f"\\{c}" if c in "\\`*_{}[]<>()#+!|" else c for c in text)
