"""From a drawn sample to a row: text with answers to learn, pictures, and what is known of its quality."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from torch.utils.data import Dataset

from mllmqa.data.sample import Sample
from mllmqa.data.sample_labels import Level, Mos
from mllmqa.data.streams import stream
from mllmqa.errors import DataError, MediaError, MllmqaError, error_line
from mllmqa.training.conversation import Writer, Written, asked_level
from mllmqa.training.mixture import Draw, Mixture
from mllmqa.training.shown import Look, Shown, show_all, tags_of

LOWEST, HIGHEST = 1.0, 5.0
"""Opinions of all sets are brought to this scale: levels."""


@dataclass(frozen=True)
class Opinion:
    """What people think of the medium whose level is asked.

    Attributes:
        mean: 1 (worst) .. 5 (best).
        std: Deviation of the opinions, in levels; None: not stated.
    """

    mean: float
    std: float | None = None


@dataclass(frozen=True)
class Row:
    """One sample, ready for the collator.

    Attributes:
        id: Of the sample.
        source: Opinions are compared within one source only.
        task: Of the sample.
        written: Text and what of it is learnt.
        shown: Media in the order of their placeholders.
        soft: Probabilities of the level words, best first; None where there is no distribution.
        opinion: None where there is none.
        teacher: Probabilities that a teacher gave, best first; None where it was not asked.
    """

    id: str
    source: str
    task: str
    written: Written
    shown: tuple[Shown, ...]
    soft: tuple[float, ...] | None = None
    opinion: Opinion | None = None
    teacher: tuple[float, ...] | None = None

    @property
    def kind(self) -> str:
        """``video`` for a clip of a video input, ``image`` for pictures, ``text`` for neither."""
        if not self.shown:
            return "text"
        return "video" if self.shown[0].clip is not None else "image"


@dataclass(frozen=True)
class Lost:
    """A sample that could not be used, and why; the batch goes on without it."""

    id: str
    source: str
    reason: str
    message: str


Teacher = Mapping[str, tuple[float, ...]]
"""SHA-256 of a medium's file → probabilities of the level words, best first."""


class Rows(Dataset[list[Row | Lost]]):
    """The items of a mixture. Every item is a pure function of the stage and its number.

    Args:
        mixture: Which samples.
        writer: How they are written.
        look: How media are looked at.
        length: Number of items.
        teacher: Distributions of a teacher.
    """

    def __init__(
        self, mixture: Mixture, writer: Writer, look: Look, length: int, teacher: Teacher | None = None
    ) -> None:
        self._mixture, self._writer, self._look = mixture, writer, look
        self._length, self._teacher = length, teacher

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, item: int) -> list[Row | Lost]:
        return [self._row(draw, item) for draw in self._mixture.draws(item)]

    def _row(self, draw: Draw, item: int) -> Row | Lost:
        of = self._mixture.sets[draw.of]
        sample, source = of[draw.number], of.sources[draw.number]
        try:
            return self._made(sample, source, of.path.parent, item)
        except (MediaError, DataError) as error:
            return Lost(sample.id, source, error.code, str(error))
        except MllmqaError:
            raise
        except Exception as error:  # noqa: BLE001 - a decoder's surprise costs one sample, never the run
            return Lost(
                sample.id, source, MediaError.code, f"sample {sample.id}: cannot be read ({error_line(error)})"
            )

    def _made(self, sample: Sample, source: str, folder: Path, item: int) -> Row:
        used = [p.media for m in sample.messages for p in m.content if p.media is not None]
        seen = show_all(
            sample, folder, self._look, lambda key: stream(self._mixture.seed, "view", str(item), sample.id, key)
        )
        shown = tuple(part for key in used for part in _apart(seen[key]))
        if len({part.clip is None for part in shown}) > 1:
            raise DataError(
                "shows a picture beside a clip, which cannot be trained on", where=f"sample {sample.id}"
            )
        written = self._writer.write(sample, tags_of(seen))
        label = asked_level(sample)
        teacher = self._of_teacher(sample, label) if self._teacher is not None else None
        soft = None if label is None else label.probabilities
        return Row(
            sample.id, source, sample.task or "", written, shown, soft, _opinion(sample, label), teacher
        )  # fmt: skip

    def _of_teacher(self, sample: Sample, label: Level | None) -> tuple[float, ...] | None:
        if label is None:
            return None
        digest = sample.medium(label.media).sha256
        found = (self._teacher or {}).get(digest or "")
        if found is None:
            raise DataError(
                "its medium is not in the teacher's results", where=f"sample {sample.id}",
                expected="a scored record with the same sha256", hint="score the media of `data` with the teacher",
            )  # fmt: skip
        return found


def _apart(shown: Shown) -> list[Shown]:
    """A clip of a video input is one; pictures are each for themselves."""
    return [shown] if shown.clip else [Shown((image,)) for image in shown.images]


def _opinion(sample: Sample, label: Level | None) -> Opinion | None:
    if label is None:
        return None
    mos: Mos | None = sample.behind(label)
    if mos is None:
        return None
    step = (HIGHEST - LOWEST) / (mos.high - mos.low)
    return Opinion(LOWEST + (HIGHEST - LOWEST) * mos.goodness, None if mos.std is None else mos.std * step)
