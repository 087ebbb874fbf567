"""What the labels of a sample say, as far as its task is about it: what an answer may and must claim."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from mllmqa.data.sample import Sample
from mllmqa.data.tasks import subject
from mllmqa.data.tasks.phrases import written
from mllmqa.data.tasks.truth import Finding, Side
from mllmqa.errors import DataError

ABOUT: Mapping[str, frozenset[str]] = {
    "assess": frozenset({"findings", "level"}),
    "causal": frozenset({"findings", "level"}),
    "compare": frozenset({"findings", "better"}),
    "identify": frozenset({"findings"}),
    "level": frozenset({"level"}),
    "rate": frozenset({"better"}),
}
"""Task → labels that it is made of."""

_NONE: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Truth:
    """Labels in the terms of texts.

    Attributes:
        kind: ``image`` or ``video``.
        keys: Media that are asked about.
        findings: Key → distortions with whole grades 1..5, in order; None: the task is not about them.
        level: Level word; None: the task is not about it.
        scale: Words of its scale.
        better: The better side; None: the task is not about it.
        reference: ``shown`` with the question, ``hidden`` (the teacher alone gets it), or ``none``.
    """

    kind: str
    keys: tuple[str, ...]
    findings: dict[str, tuple[Finding, ...]] | None
    level: str | None
    scale: tuple[str, ...]
    better: Side | None
    reference: Literal["shown", "hidden", "none"]

    @property
    def most(self) -> int:
        """Number of distortions on the medium that has the most."""
        return max((len(many) for many in (self.findings or {}).values()), default=0)


def truth_of(sample: Sample) -> Truth:
    """Return what the labels say about the task of a sample.

    Raises:
        DataError: A label that the task needs is missing.
    """
    about = ABOUT.get(sample.task or "", _NONE)
    keys = subject.stimuli(sample)
    if "better" not in about:
        keys = (subject.the_one(sample),)
    elif keys != ("A", "B"):
        raise DataError(f"media {', '.join(keys)}", where=f"sample {sample.id}", expected="A, B")
    named = keys if "findings" in about else ()
    found = {key: tuple(written(one) for one in subject.findings(sample, key)) for key in named}
    label = subject.level(sample, keys[0]) if "level" in about else None
    return Truth(
        kind=subject.kind(sample),
        keys=keys,
        findings=found if "findings" in about else None,
        level=label.word if label else None,
        scale=label.scale if label else (),
        better=subject.better_side(sample) if "better" in about else None,
        reference=_reference(sample),
    )


def _reference(sample: Sample) -> Literal["shown", "hidden", "none"]:
    keys = {medium.key for medium in sample.media if medium.role == "reference"}
    if not keys:
        return "none"
    mentioned = {part.media for message in sample.messages for part in message.content}
    return "shown" if keys & mentioned else "hidden"
