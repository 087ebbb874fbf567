"""A run: ask what the log does not have yet, and append the answers as they come."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from mllmqa.evaluation.answers.ask import VIEW_SEED, Asker
from mllmqa.evaluation.answers.item import Item
from mllmqa.evaluation.answers.log import Answer, Answers, Header

if TYPE_CHECKING:
    from mllmqa.scoring import Scorer


def header_of(scorer: Scorer, asker: Asker, **more: Any) -> Header:
    """Return the header of a run: all that decides an answer but the question.

    Args:
        scorer: Model with its preset.
        asker: How it is asked.
        more: Further settings, e.g. how options are read.
    """
    from importlib.metadata import version

    look = asker.look
    settings = {
        "preset": scorer.preset.model_dump(mode="json"),
        "view": look.view.name,
        "video_view": look.video_view.name,
        "frames": look.rule.name,
        "native_video": look.native,
        "max_tokens": asker.max_tokens,
        "seed": VIEW_SEED,
        "transformers": version("transformers"),
        **more,
    }
    return Header.of(asdict(scorer.backend.info), settings)


def answer_all(
    asker: Asker,
    items: Iterable[Item],
    known: Answers,
    *,
    keep: Callable[[Answer], None] | None = None,
    workers: int | None = None,
    batch_size: int | None = None,
) -> Iterator[Answer]:
    """Yield the answers that are asked for now, in order, each once it is kept.

    Args:
        asker: The model.
        items: All questions; those whose answers are known for good are passed over.
        known: Answers so far, e.g. of a log.
        keep: Keeps an answer, e.g. :meth:`AnswerLog.write`, which adds it to ``known``; None: ``known`` itself.
        workers: Decode threads.
        batch_size: Questions at once.
    """
    for reply in asker.ask(_new(items, known), workers=workers, batch_size=batch_size):
        answer = Answer.of(reply)
        (keep or known.add)(answer)
        yield answer


def _new(items: Iterable[Item], known: Answers) -> Iterator[Item]:
    for item in items:
        answer = known.of(item)
        if answer is None or not answer.final:
            yield item
