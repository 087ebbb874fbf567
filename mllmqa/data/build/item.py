"""One item of a recipe: its chance, its sources, and the way from pictures and labels to samples with files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from importlib.util import find_spec
from typing import TypeVar

import numpy as np

from mllmqa.data import distortions, video_distortions
from mllmqa.data.build.files import MediaFolder, Role, printed
from mllmqa.data.build.opinions import Rated, quality_level
from mllmqa.data.build.pictures import WINDOW, Picture, Video, moving
from mllmqa.data.build.recipe import Value
from mllmqa.data.build.sources import Sources, part_of
from mllmqa.data.sample import Medium, Sample, Split
from mllmqa.data.sample_labels import Distortion, Labels, Level, Mos, Preference
from mllmqa.data.streams import stream
from mllmqa.data.tasks.agreement import disagreements
from mllmqa.data.tasks.compose import possible, told
from mllmqa.errors import DataError

T = TypeVar("T")
Stimulus = Picture | Video | Rated
KEYS = "ABCDEFGH"
UNLABELLED = Labels()
PSEUDO = "pseudo-mos"
"""Aspect and method of scores that full-reference metrics gave: never mixed with opinions."""


@dataclass
class Item:
    """What a recipe's function gets.

    Attributes:
        recipe: Name of the recipe.
        number: Of the item, from 0.
        seed: Of the whole set.
        sources: What may be drawn from.
        options: Of the recipe, as the user set them.
        folder: Where media files are written.
    """

    recipe: str
    number: int
    seed: int
    sources: Sources
    options: Mapping[str, Value]
    folder: MediaFolder
    _made: int = field(default=0, init=False)

    @property
    def name(self) -> str:
        """Begins the ids of the item's samples."""
        return f"{self.recipe}-{self.seed}-{self.number:07d}"

    def chance(self, *words: str) -> np.random.Generator:
        """Return the generator of this item for a purpose; the same words give the same draws again."""
        return stream(self.seed, self.name, *words)

    def share_of(self, option: str) -> float:
        """Return an option that is a number."""
        return float(self.options[option])

    def number_of(self, option: str) -> int:
        """Return an option that is a whole number."""
        return int(self.options[option])

    # -------------------------------------------------------------- sources

    def photo(self, chance: np.random.Generator) -> Picture:
        """Draw a pristine photo, shrunk to the option ``short_px`` as every photo of the set is.

        Raises:
            MediaError: It cannot be decoded.
            DataError: It is smaller than that.
        """
        path = _drawn(self.sources.photos, chance, "photos")
        try:
            pixels = distortions.to_short_side(self.folder.decoded(path), self.number_of("short_px"))
        except DataError as error:
            raise DataError(error.what, where=printed(path), expected=error.expected, hint=error.hint) from error
        return Picture(pixels, path, part_of(path))

    def video(self, chance: np.random.Generator, seconds: float) -> Video:
        """Draw a part of a pristine clip, so many seconds long; frames are shrunk to ``short_px`` likewise.

        Raises:
            MediaError: It cannot be decoded.
            DataError: It is shorter, or smaller than that.
        """
        path = _drawn(self.sources.clips, chance, "clips")
        duration = self.folder.duration_s(path)
        if duration < seconds:
            raise DataError(f"lasts {duration:.4g} s", where=printed(path), expected=f"at least {seconds:g} s")
        start = float(chance.uniform(0, duration - seconds))
        short_px = self.number_of("short_px")
        clip = video_distortions.read_clip(path, short_side=short_px, span_s=(start, start + seconds))
        height, width = clip.frames_THWC.shape[1:3]
        if min(height, width) < short_px:
            expected = f"a short side of at least {short_px} px: an enlarged clip would give itself away"
            raise DataError(f"has frames of {width}×{height} px", where=printed(path), expected=expected)
        return Video(clip, path, part_of(path))

    def moving(self, chance: np.random.Generator, seconds: float, rated: Rated | None = None) -> Video:
        """Return a clip that a camera over a photo would take: frames of ``short_px``, or of a rated picture.

        Raises:
            MediaError: It cannot be decoded.
            DataError: A photo is too small.
        """
        if rated is not None:
            clip = moving(self.folder.decoded(rated.path), chance, seconds)
            return Video(clip, rated.path, rated.part or part_of(rated.path))
        path = _drawn(self.sources.photos, chance, "photos")
        larger = distortions.to_short_side(self.folder.decoded(path), round(self.number_of("short_px") / WINDOW))
        return Video(moving(larger, chance, seconds), path, part_of(path))

    def rated(self) -> Rated:
        """Return the rated medium of this item: each pass over all of them is in an order of its own.

        Raises:
            DataError: There is none.
        """
        rows = self.sources.rated
        if not rows:
            raise DataError("no rated media to draw from")
        turn, place = divmod(self.number, len(rows))
        return rows[_order(self.seed, self.recipe, turn, len(rows))[place]]

    def fellow(self, one: Rated, chance: np.random.Generator) -> Rated:
        """Draw another medium of the same data set and part.

        Raises:
            DataError: There is none.
        """
        others = [other for other in self.sources.groups[one.source, one.part] if other.path != one.path]
        if not others:
            raise DataError("is the only medium of its data set and part", where=printed(one.path.name))
        return _drawn(others, chance, "rated")

    # -------------------------------------------------------------- samples

    def sample(
        self,
        task: str,
        *shown: Stimulus,
        reference: Picture | Video | None = None,
        levels: Sequence[Level] = (),
        mos: Sequence[Mos] = (),
        preference: Preference | None = None,
    ) -> Sample:
        """Make a sample: media files, labels, and messages that were read back and agree with the labels.

        Args:
            task: A name of :data:`mllmqa.data.tasks.makers.TASKS`, or several joined by ``+``.
            shown: The media A, B … that are asked about.
            reference: Shown before them; it is the pristine version.
            levels: Of the media, by their keys.
            mos: Likewise.
            preference: Among the media.

        Raises:
            MediaError: A medium that stays where it is cannot be used.
            DataError: The labels do not allow the task, or the texts do not say what the labels say.
        """
        labels = Labels(mos=tuple(mos), levels=tuple(levels), preference=preference)
        return self.asked(self.plain(shown, labels, reference), task)

    def plain(
        self, shown: Sequence[Stimulus], labels: Labels = UNLABELLED, reference: Picture | Video | None = None
    ) -> Sample:
        """Make the next sample without messages; distortions are added to the labels.

        Args:
            shown: The media A, B … that are asked about.
            labels: What else is known of them.
            reference: As in :meth:`sample`.
        """
        if not 1 <= len(shown) <= len(KEYS):
            raise DataError(f"{len(shown)} media are asked about", expected=f"1 to {len(KEYS)}")
        self._made += 1
        keys = KEYS[: len(shown)]
        media = [self._medium(key, one) for key, one in zip(keys, shown, strict=True)]
        if reference is not None:
            media.insert(0, self._medium("ref", reference))
        if not any(isinstance(one, Rated) for one in shown):
            known = {name: getattr(labels, name) for name in Labels.model_fields}
            labels = Labels(**{**known, "distortions": _distortions(keys, shown)})
        return Sample(
            id=f"{self.name}-{self._made}", media=tuple(media), labels=labels, split=_part(shown),
            source=_source(shown), licence=_licence(shown),
        )  # fmt: skip

    def asked(self, plain: Sample, task: str) -> Sample:
        """Give a sample its messages, and read them back.

        Raises:
            DataError: The labels do not allow the task, or the texts do not say what the labels say.
        """
        return agreed(told(plain, task, self.seed))

    def questions(
        self, count: int, tasks: Sequence[str], shown: Sequence[Stimulus], labels: Labels = UNLABELLED
    ) -> list[Sample]:
        """Make samples about the same media, each with another task: drawn among those that the labels allow.

        Args:
            count: At most so many.
            tasks: To draw from, evenly; a task of several questions is joined by ``+``.
            shown: The media.
            labels: What else is known of them.
        """
        first = self.plain(shown, labels)
        allowed = possible(first, tasks)
        order = self.chance("tasks", first.id).permutation(len(allowed))[:count]
        plains = [first, *(self.plain(shown, labels) for _ in order[1:])]
        return [self.asked(one, allowed[int(k)]) for one, k in zip(plains, order, strict=False)]

    def judged(
        self, reference: Picture | Video, made: Picture | Video, key: str = "A", assumed_std: float = 0.0
    ) -> tuple[Mos, Level]:
        """Return the pseudo opinion score of a distorted version and the level that it gives.

        Nine full-reference metrics, see :mod:`mllmqa.data.fullref.pseudo_mos`. A clean copy gets 5. Of a video one
        frame per second is compared, so it says something of what is wrong with pictures, not of motion. In one
        thread: last digits depend on the number of threads. With an assumed deviation, in levels, the level has a
        soft label.

        Raises:
            MissingExtraError: piq is not installed.
            DataError: Durations differ.
        """
        from mllmqa.data.fullref import PseudoMos, measure, measure_video

        scale = PseudoMos.default()
        with _one_thread():
            if isinstance(reference, Video) and isinstance(made, Video):
                values = measure_video(reference.clip, made.clip, scale.names, fps=1.0).values
            elif isinstance(reference, Picture) and isinstance(made, Picture):
                values = measure(reference.pixels, made.pixels, scale.names)
            else:
                raise DataError("a photo and a clip are compared", expected="two of one kind")
        value = scale.score(values)
        score = Mos(media=key, aspect=PSEUDO, value=value, low=1.0, high=5.0, direction="higher-better")
        return score, quality_level(value, key, PSEUDO, assumed_std)

    def _medium(self, key: str, one: Stimulus) -> Medium:
        if isinstance(one, Rated):
            return self.folder.linked(key, one.path, one.kind)
        role: Role = "reference" if key == "ref" else "distorted" if one.distortions else "stimulus"
        if isinstance(one, Video):
            return self.folder.video(key, role, one, self.name)
        return self.folder.picture(key, role, one, self.name)


def agreed(sample: Sample) -> Sample:
    """Return the sample if its texts say what its labels say.

    Raises:
        DataError: They do not: a fault of a wording or of a task.
    """
    for flaw in disagreements(sample):
        raise flaw.error(f"sample {sample.id}")
    return sample


@contextmanager
def _one_thread() -> Iterator[None]:
    """Let torch use one thread, where it is installed; what the caller had set comes back."""
    if not find_spec("torch"):
        yield
        return
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@lru_cache(maxsize=2)
def _order(seed: int, recipe: str, turn: int, count: int) -> list[int]:
    return [int(k) for k in stream(seed, recipe, "pass", str(turn)).permutation(count)]


def _drawn(among: Sequence[T], chance: np.random.Generator, what: str) -> T:
    if not among:
        raise DataError(f"no {what} to draw from")
    return among[int(chance.integers(len(among)))]


def _distortions(keys: str, shown: Sequence[Stimulus]) -> tuple[Distortion, ...]:
    return tuple(
        one.model_copy(update={"media": key})
        for key, medium in zip(keys, shown, strict=True)
        if not isinstance(medium, Rated)
        for one in medium.distortions
    )


def _part(shown: Sequence[Stimulus]) -> Split | None:
    parts = {one.part for one in shown}
    return parts.pop() if len(parts) == 1 else None


def _source(shown: Sequence[Stimulus]) -> str:
    names = dict.fromkeys(one.source if isinstance(one, Rated) else printed(one.path.name) for one in shown)
    return ", ".join(names)


def _licence(shown: Sequence[Stimulus]) -> str | None:
    found = {one.licence for one in shown if isinstance(one, Rated)}
    return found.pop() if len(found) == 1 else None
