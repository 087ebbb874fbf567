"""Are the media of a sample what it says: there, readable, of its kind, size, length and content."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Literal

from mllmqa.data.flaws import Flaw, shown
from mllmqa.data.media_index import is_there
from mllmqa.data.sample import Medium, Sample, path_of
from mllmqa.errors import MediaError, error_line
from mllmqa.schema import Media

Depth = Literal["none", "exists", "open"]
"""What is done with media: nothing; see whether the files exist; open those that do, and decode pictures."""
DURATION_TOLERANCE_S = 0.1
"""Containers and label files round durations."""


class MediaCheck:
    """Looks at the media of samples; the last files are remembered, so that shared references are opened once.

    Args:
        folder: Of the sample file.
        opened: Whether files are opened, or only looked for.
    """

    def __init__(self, folder: Path, *, opened: bool) -> None:
        self._folder, self._opened = folder, opened
        self._open = lru_cache(maxsize=4096)(opened_media)

    def flaws(self, sample: Sample) -> Iterator[Flaw]:
        """Yield what is wrong with the files that a sample names."""
        for k, medium in enumerate(sample.media):
            yield from self._medium_flaws(f"media.{k}", medium)
        for k, one in enumerate(sample.labels.distortions or ()):
            if one.mask is not None:
                field, path = f"labels.distortions.{k}.mask", self._folder / one.mask
                if not is_there(path):
                    yield Flaw(field, f"no file {shown(one.mask)}", "a picture")
                elif self._opened:
                    yield from mask_flaws(field, path, sample.medium(one.media))

    def _medium_flaws(self, field: str, medium: Medium) -> Iterator[Flaw]:
        path = path_of(medium, self._folder)
        if path is None:
            yield Flaw(f"{field}.path", "missing", "a path: the content cannot be found by its hash alone")
        elif not is_there(path):
            yield Flaw(f"{field}.path", f"no file {shown(medium.path)}", f"a file in {self._folder}")
        elif self._opened:
            found = self._open(path)
            if isinstance(found, Media):
                yield from _differences(field, medium, found)
            else:
                yield Flaw(f"{field}.path", found, f"a readable {medium.kind}")


def opened_media(path: Path) -> Media | str:
    """Return what a file is, or in one line why it cannot be used; pictures are decoded."""
    from mllmqa.media import decode_image, open_media

    try:
        opened = open_media(path)
        if opened.info.kind == "image":
            decode_image(opened)
    except MediaError as error:
        return error_line(error)
    if opened.info.kind == "video" and not (opened.info.n_frames and opened.info.duration_s):
        return f"{path}: a clip of zero length"
    return opened.info


def _differences(field: str, medium: Medium, found: Media) -> Iterator[Flaw]:
    if medium.kind != found.kind:
        yield Flaw(f"{field}.kind", shown(medium.kind), f"{found.kind}, as the content is ({found.format})")
    for name in ("width", "height", "sha256"):
        said, is_ = getattr(medium, name), getattr(found, name)
        if said is not None and said != is_:
            yield Flaw(f"{field}.{name}", shown(said), f"{is_}, as the file has")
    if abs((medium.duration_s or 0) - (found.duration_s or 0)) > DURATION_TOLERANCE_S and medium.duration_s:
        yield Flaw(f"{field}.duration_s", f"{medium.duration_s:g}", f"{found.duration_s}, as the file has")
    if medium.span_s and found.duration_s and medium.span_s[1] > found.duration_s + DURATION_TOLERANCE_S:
        yield Flaw(f"{field}.span_s", shown(medium.span_s), f"an end before {found.duration_s:g} s, the file's")


def mask_flaws(field: str, path: Path, medium: Medium) -> Iterator[Flaw]:
    """Yield what is wrong with a mask: no picture, empty, or of another size than its medium."""
    from mllmqa.media import decode_image, open_media

    try:
        pixels = decode_image(open_media(path), background=(0, 0, 0))
    except MediaError as error:
        yield Flaw(field, error_line(error), "a picture")
        return
    if not pixels.any():
        yield Flaw(field, f"an empty mask ({path.name} is black)", "a mask with at least one pixel")
    height, width = pixels.shape[:2]
    if medium.width and medium.height and (width, height) != (medium.width, medium.height):
        yield Flaw(field, f"{width}×{height} pixels", f"{medium.width}×{medium.height} pixels, as {medium.key} has")
