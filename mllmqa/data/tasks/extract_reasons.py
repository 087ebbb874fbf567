"""Read reasoning in numbered steps back: step by step, so that a caption in the first is no claim."""

from __future__ import annotations

import re
from dataclasses import dataclass

from mllmqa.data.tasks import extract
from mllmqa.data.tasks.truth import Finding
from mllmqa.data.tasks.wording import vocabulary

_STEP = re.compile(r"^(\d+)\. ", re.MULTILINE)


@dataclass(frozen=True)
class Five:
    """What an answer of :func:`~mllmqa.data.tasks.reasoning.reason_five` says.

    Attributes:
        content: Of step 1, behind the colon.
        findings: Of step 2, with grades as severities.
        clean: Step 2 says that there is no distortion.
        key: Categories of step 3.
        kinds: Number of kinds in step 4; None where it gives none.
        level: Of step 5.
    """

    content: str
    findings: list[Finding]
    clean: bool
    key: list[str]
    kinds: int | None
    level: str | None


@dataclass(frozen=True)
class Region:
    """One finding of step 2, and its position and extent in words where it has them."""

    finding: Finding
    position: str | None
    extent: str | None


@dataclass(frozen=True)
class Three:
    """What an answer of :func:`~mllmqa.data.tasks.reasoning.reason_three` says.

    Attributes:
        category: Of steps 1 and 3; None where they differ or name no single one.
        count: Of step 1.
        regions: Of step 2, in order.
        worst: Grade 1..5 of step 3.
    """

    category: str | None
    count: int | None
    regions: list[Region]
    worst: int | None


def steps(text: str) -> list[str]:
    """Return the texts of steps numbered 1, 2, 3 … at the beginnings of lines; none where numbers are missing."""
    parts = _STEP.split(text.strip())
    numbers, texts = parts[1::2], parts[2::2]
    good = parts[0] == "" and numbers == [str(k) for k in range(1, len(numbers) + 1)]
    return [part.strip() for part in texts] if good else []


def five(text: str) -> Five | None:
    """Return what five steps say; None where the text has not just five."""
    found = steps(text)
    if len(found) != 5:
        return None
    content, types, key, overall, level = found
    return Five(
        content=content.partition(": ")[2].removesuffix("."),
        findings=extract.findings(types),
        clean=extract.says_clean(types),
        key=extract.categories(key),
        kinds=extract.count(overall, "kind"),
        level=extract.level(level),
    )


def three(text: str) -> Three | None:
    """Return what three steps say; None where the text has not just three."""
    found = steps(text)
    if len(found) != 3:
        return None
    count, places, summary = found
    strength = extract.strength(summary)
    named = {*extract.categories(count), *extract.categories(summary)}
    numbers = [extract.count(count, noun) for noun in ("region", "passage")]
    return Three(
        category=named.pop() if len(named) == 1 else None,
        count=next((number for number in numbers if number is not None), None),
        regions=[region for part in places.split(";") for region in _regions(part)],
        worst=strength[1] if strength else None,
    )


def worst(text: str) -> int | None:
    """Return the grade 1..5 that a text says without a distortion ("serious at worst"), if it says just one."""
    words = vocabulary().severities
    said = set(re.findall(rf"\b({'|'.join(words)})\b", text, re.IGNORECASE))
    return 1 + words.index(said.pop().lower()) if len(said) == 1 else None


def placed(finding: Finding) -> Region:
    """Return what step 2 says of a finding, as written; one without a box has no words for its place."""
    if finding.box is None:
        return Region(finding, None, None)
    return Region(finding, vocabulary().position(finding.box), vocabulary().extent(finding.box))


def _regions(part: str) -> list[Region]:
    words = vocabulary()
    position = re.search(rf"\bin the ({'|'.join(words.positions)})\b", part, re.IGNORECASE)
    extent = re.search(rf"\bof ({'|'.join(words.extents)}) extent\b", part, re.IGNORECASE)
    return [
        Region(one, position[1].lower() if position else None, extent[1].lower() if extent else None)
        for one in extract.findings(part)
    ]
