"""Do the texts of a sample say what its labels say? Labels are read back from the texts and compared.

This looks at the texts only, not at how they were made: it also judges texts that a teacher rewrote.
"""

from __future__ import annotations

from mllmqa.data.flaws import Flaw
from mllmqa.data.sample import Sample
from mllmqa.data.tasks.compose import AND
from mllmqa.data.tasks.readers import CHECKS
from mllmqa.errors import DataError


def disagreements(sample: Sample) -> list[Flaw]:
    """Return what the answers of a sample say differently from its labels; empty: they agree.

    Raises:
        DataError: The sample does not say which task it is, it is none of
            :data:`~mllmqa.data.tasks.readers.CHECKS`, or labels that the
            task needs are missing.
    """
    tasks = (sample.task or "").split(AND)
    texts = [message.text for message in sample.messages if message.role != "system"]
    where = f"sample {sample.id}"
    if unknown := [name for name in tasks if name not in CHECKS]:
        expected = "one of " + ", ".join(CHECKS)
        raise DataError(f"task {unknown[0]!r} cannot be checked", where=where, expected=expected)
    if len(texts) != 2 * len(tasks):
        raise DataError(f"{len(texts)} messages for {sample.task}", where=where, expected=f"{2 * len(tasks)}")
    found: list[Flaw] = []
    for k, name in enumerate(tasks):
        question, answer = texts[2 * k], texts[2 * k + 1]
        for flaw in CHECKS[name](sample, question, answer):
            place = len(sample.messages) - len(texts) + 2 * k + 1
            found.append(Flaw(f"messages.{place}", flaw.found, flaw.expected))
    return found
