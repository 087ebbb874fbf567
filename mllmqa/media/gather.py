"""Files, folders and globs to a lazy stream of inputs, in constant memory for any number of files."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from mllmqa.errors import MediaError, MediaNotFoundError

IMAGE_EXTENSIONS = frozenset(
    [
        "jpg",
        "jpeg",
        "jpe",
        "jfif",
        "mpo",
        "png",
        "apng",
        "gif",
        "webp",
        "avif",
        "avifs",
        "heic",
        "heif",
        "bmp",
        "dib",
        "tif",
        "tiff",
        "ppm",
        "pgm",
        "pbm",
        "pnm",
        "ico",
        "jp2",
        "j2k",
        "jpx",
        "qoi",
        "svg",  # not read, but reported
    ]
)
VIDEO_EXTENSIONS = frozenset(
    [
        "mp4",
        "m4v",
        "mov",
        "qt",
        "mkv",
        "webm",
        "avi",
        "ts",
        "m2ts",
        "mts",
        "mpg",
        "mpeg",
        "vob",
        "flv",
        "wmv",
        "asf",
        "3gp",
        "3g2",
        "ogv",
        "ogg",
        "ivf",
        "h264",
        "264",
        "hevc",
        "h265",
        "265",
        "mxf",
        "y4m",
        "nut",
        "dv",
        "wtv",
        "rm",
        "rmvb",
    ]
)


@dataclass(frozen=True)
class Item:
    """One input, or the reason why there is none.

    Attributes:
        source: Path as the user named it, extended by what was found inside folders.
        error: Becomes an unscored record; None for an input that can be tried.
    """

    source: str
    error: MediaError | None = None


def gather(paths: Sequence[str], *, recursive: bool = True) -> Iterator[Item]:
    """Yield the inputs that paths stand for, in the order given; inside a folder sorted by name.

    A file is yielded whatever its name (and need not exist: opening it says so). A folder yields its media
    by extension, and files without extension that look like media; hidden files are left out. What does not
    exist but holds ``*``, ``?`` or ``[`` is expanded as a glob, ``**`` for any depth.

    Args:
        paths: Files, folders and globs.
        recursive: Whether folders inside folders are walked.
    """
    for path in paths:
        if os.path.isdir(path):  # noqa: PTH112 - never raises, whatever the string
            yield from _folder(path, recursive)
        elif glob.has_magic(path) and not os.path.lexists(path):
            yield from _pattern(path, recursive)
        else:
            yield Item(path)


def _pattern(pattern: str, recursive: bool) -> Iterator[Item]:
    """Expand a glob; one folder level is sorted at a time only where Python's glob does so, so sort all."""
    found = False
    for path in sorted(glob.iglob(pattern, recursive=True)):  # noqa: PTH207 - keeps the spelling of the user
        found = True
        if os.path.isdir(path):  # noqa: PTH112
            if "**" not in pattern:
                yield from _folder(path, recursive)
        elif "**" not in pattern or _looks_like_media(path):
            yield Item(path)
    if not found:
        yield Item(pattern, MediaNotFoundError("no file matches this pattern", where=pattern))


def _folder(folder: str, recursive: bool) -> Iterator[Item]:
    found = False
    for item in _walk(folder, recursive):
        found = True
        yield item
    if not found:
        hint = "no file in it has the extension of an image or a video"
        yield Item(folder, MediaNotFoundError("folder without media", where=folder, hint=hint))


def _walk(folder: str, recursive: bool) -> Iterator[Item]:
    """Walk a folder in the order of names; a circle of links ends, however deep it goes."""
    stack: list[tuple[str, frozenset[tuple[int, int]]]] = [(folder, frozenset())]
    while stack:
        path, above = stack.pop()
        if path != folder and not os.path.isdir(path):  # noqa: PTH112 - never raises, whatever the string
            if _looks_like_media(path):
                yield Item(path)
            continue
        if path != folder and not recursive:
            continue
        try:
            status = Path(path).stat()
            with os.scandir(path) as listing:
                names = sorted((entry.name for entry in listing if not entry.name.startswith(".")), reverse=True)
        except OSError as error:
            from mllmqa.media.source import access_error, printable

            yield Item(path, access_error(error, printable(path)))
            continue
        here = (status.st_dev, status.st_ino)
        if here not in above:
            inside = above | {here}
            # Joined by hand to keep the spelling of the user.
            stack += [(os.path.join(path, name), inside) for name in names]  # noqa: PTH118


def _looks_like_media(path: str) -> bool:
    """Tell media by extension; without one, by the first bytes of a regular file."""
    extension = os.path.splitext(path)[1].lower().removeprefix(".")  # noqa: PTH122
    if extension:
        return extension in IMAGE_EXTENSIONS or extension in VIDEO_EXTENSIONS
    if not os.path.isfile(path):  # noqa: PTH113 - a FIFO would block
        return False
    from mllmqa.media.sniff import is_media

    return is_media(path)
