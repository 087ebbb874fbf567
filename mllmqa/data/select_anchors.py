"""Choose anchor images from rated data, by the rule of Compare2Score (Zhu et al., NeurIPS 2024)."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from mllmqa.anchors import AnchorEntry, AnchorFile, Rule, sha256_of
from mllmqa.data.rate import read_ratings
from mllmqa.data.ratings import Columns, Rating, RatingScale
from mllmqa.errors import DataError, MllmqaError, UsageError


def choose(ratings: Sequence[Rating], scale: RatingScale, n: int, rule: Rule = "variance") -> list[Rating]:
    """Choose n anchors by the rule of Compare2Score (Zhu et al., NeurIPS 2024), worst first.

    The scores are cut into n intervals of equal width between the lowest and the highest one that occurs, and
    of each the image with the smallest variance of opinions is taken; among equals the one nearest to the middle
    of the interval, then the first by name. (The published anchors have the
    MOS 1.09, 2.02, 2.96, 3.21 and 4.01: fifths of the whole scale 1..5 would hold 2.96 and 3.21 both.) A
    deviation of exactly 0 is what data sets write for a single opinion: such images are not candidates.

    Args:
        ratings: The rated images.
        scale: Direction of the scores.
        n: Number of anchors, at least 2.
        rule: ``variance``, or ``middle`` for data without deviations: only nearness to the middle counts.

    Raises:
        UsageError: n is below 2, or the rule needs deviations and the ratings have none.
        DataError: An interval holds no candidate.
    """
    if n < 2:
        raise UsageError(f"{n} anchors", expected="at least 2")
    if rule == "variance" and any(one.std is None for one in ratings):
        raise UsageError(
            "the rule takes the image with the smallest variance of opinions, and the ratings have no deviations",
            hint="name their column with --std-column, or choose --rule middle",
        )
    low, high = min(one.score for one in ratings), max(one.score for one in ratings)
    edges = np.linspace(low, high, n + 1)
    chosen = []
    for k in range(n):
        inside = [one for one in ratings if np.clip(np.searchsorted(edges, one.score, "right") - 1, 0, n - 1) == k]
        candidates = [one for one in inside if rule == "middle" or one.std]
        if low == high or not candidates:
            raise DataError(
                f"none of the {len(inside)} images between {edges[k]:g} and {edges[k + 1]:g} can be an anchor",
                hint="use more data or a smaller --n",
            )
        middle = (edges[k] + edges[k + 1]) / 2
        chosen.append(min(candidates, key=lambda r: (_spread(r, rule), abs(r.score - middle), r.name)))
    return sorted(chosen, key=lambda one: scale.goodness(one.score))


def _spread(rating: Rating, rule: Rule) -> float:
    return rating.std if rule == "variance" and rating.std is not None else 0.0


@contextmanager
def select_set(
    data: Path, columns: Columns, scale: RatingScale, folder: Path, *, n: int = 5, rule: str = "variance"
) -> Iterator[Path]:
    """Choose anchors from a file of ratings and write them to a new folder.

    A context manager: it gives the folder under a temporary name, where it may still be completed (by measuring a
    model), and puts it in its place when that went well. After an error nothing is left.

    Args:
        data: CSV file.
        columns: Which columns hold what.
        scale: What the scores mean.
        folder: To be written; must not exist, or be empty.
        n: Number of anchors.
        rule: See :func:`choose`.

    Raises:
        UsageError: The folder has content or cannot be written, or the rule is unknown or needs deviations.
        DataError: The ratings are malformed, an interval is empty, or a chosen file is no image or shows the same
            picture as another.
    """
    if rule not in ("variance", "middle"):
        raise UsageError(f"unknown rule {rule!r}", expected="variance | middle")
    folder = folder.absolute()
    if folder.exists() and not (folder.is_dir() and not any(folder.iterdir())):
        raise UsageError("exists and is not an empty folder", where=folder, hint="name another with --out")
    ratings = read_ratings(data, columns, scale)
    chosen = choose(ratings, scale, n, "middle" if rule == "middle" else "variance")
    about = AnchorFile(
        data=data.name, data_sha256=sha256_of(data), n_rated=len(ratings), direction=scale.direction,
        range=(scale.low, scale.high), rule="middle" if rule == "middle" else "variance", anchors=entries(chosen),
    )  # fmt: skip
    partial = folder.parent / f".{folder.name}.{os.getpid()}.partial"
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        partial.mkdir()
    except OSError as error:
        raise UsageError(f"cannot be written: {error.strerror}", where=folder) from error
    try:
        for one, entry in zip(chosen, about.anchors, strict=True):
            shutil.copyfile(one.path, partial / entry.file)
        about.write(partial)
        yield partial
        partial.replace(folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def entries(chosen: Sequence[Rating]) -> tuple[AnchorEntry, ...]:
    """Describe chosen images; each is opened, so that what is no image is refused here.

    Raises:
        DataError: A chosen file is not an image that can be read, or shows the same picture as another; names the
            line of the ratings.
    """
    from mllmqa import media

    made = []
    shown: dict[str, Rating] = {}
    for k, one in enumerate(chosen, 1):
        try:
            opened = media.open_media(one.path, name=str(one.path))
            pixels = media.decode_image(opened)
        except MllmqaError as error:
            raise DataError(f"cannot be an anchor ({error})", where=one.where) from error
        first = shown.setdefault(hashlib.sha256(repr(pixels.shape).encode() + pixels.tobytes()).hexdigest(), one)
        if first is not one:
            raise DataError(
                f"{one.name!r} is the same picture as {first.name!r}, which is an anchor already", where=one.where,
                expected="different pictures", hint="leave one of them out of the table",
            )  # fmt: skip
        made.append(
            AnchorEntry(
                file=f"anchor-{k}{one.path.suffix.lower()}", sha256=str(opened.info.sha256), source=one.name,
                score=one.score, std=one.std,
            )
        )  # fmt: skip
    return tuple(made)
