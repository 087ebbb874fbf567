"""The media files of a set: written once, whole, under names that their item gives."""

from __future__ import annotations

import hashlib
import io
import os
import re
from collections.abc import Collection, Iterable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import Literal

import numpy as np

from mllmqa.data.build.pictures import Picture, Video
from mllmqa.data.distortions import Pixels
from mllmqa.data.sample import Medium, Sample
from mllmqa.errors import DataError
from mllmqa.whole_file import write_whole

Role = Literal["stimulus", "reference", "distorted"]
PER_FOLDER = 1000
CACHED_PHOTOS = 8
LOOKED_AT = 20_000
"""Media with opinions that are remembered: later passes do not decode them again."""
LONGEST_STEM = 80
"""Letters that are kept of the name of a photo: file systems take 255 bytes."""
PRISTINE = Path("media", "pristine")
_OURS = re.compile(r"-(\d{7,})-\d+\.(?:png|mp4)$")
"""End of the name of a file that an item made: number of the item, number of the file."""
_USED = re.compile(rb'"path":"(media/[^"]+)"')


class MediaFolder:
    """Writes pictures and clips below the folder of a set.

    Photos become PNG, clips MP4 (H.264 4:4:4 at crf 4: visually lossless). A pristine photo is written once,
    whoever shows it; a part of a pristine clip belongs to its item. Files appear when they are complete.

    Args:
        root: Folder of the set.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._written: dict[int, tuple[object, Medium]] = {}
        self._decode = lru_cache(maxsize=CACHED_PHOTOS)(_decoded)
        self._look = lru_cache(maxsize=LOOKED_AT)(_looked_at)
        self._time = lru_cache(maxsize=1024)(_duration_s)

    def decoded(self, path: Path) -> Pixels:
        """Return the pixels of a photo, read-only.

        Raises:
            MediaError: It cannot be used.
        """
        return self._decode(path)

    def duration_s(self, path: Path) -> float:
        """Return the length of a clip.

        Raises:
            MediaError: It cannot be used.
            DataError: It is a photo, or its length is not known.
        """
        return self._time(path)

    def picture(self, key: str, role: Role, one: Picture, item: str) -> Medium:
        """Write a picture; the same object again is the same file."""
        if known := self._known(one):
            return known.model_copy(update={"key": key, "role": role})
        height, width = one.pixels.shape[:2]
        content = _png(one.pixels)
        sha256 = hashlib.sha256(content).hexdigest()
        where = self._place(item, ".png")
        if not one.distortions:
            where = PRISTINE / f"{_plain(one.path.stem)[:LONGEST_STEM]}-{sha256[:12]}.png"
        _write(self.root / where, content)
        made = Medium(
            key=key, role=role, kind="image", path=where.as_posix(), width=width, height=height, sha256=sha256
        )
        self._written[id(one)] = (one, made)
        return made

    def video(self, key: str, role: Role, one: Video, item: str) -> Medium:
        """Write a clip; the same object again is the same file."""
        from mllmqa.data.video_distortions import write_clip

        if known := self._known(one):
            return known.model_copy(update={"key": key, "role": role})
        height, width = one.clip.frames_THWC.shape[1:3]
        where = self._place(item, ".mp4")
        path = self.root / where
        path.parent.mkdir(parents=True, exist_ok=True)
        write_clip(one.clip, path)
        made = Medium(
            key=key, role=role, kind="video", path=where.as_posix(), width=width, height=height,
            duration_s=round(one.clip.duration_s, 6), sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
        )  # fmt: skip
        self._written[id(one)] = (one, made)
        return made

    def linked(self, key: str, path: Path, kind: Literal["image", "video"] | None) -> Medium:
        """Return a medium that stays where it is; its path is relative to the set.

        Args:
            key: Of the medium.
            path: Of its file.
            kind: What it is, without a look at the file; None: the file is opened, pictures decoded.

        Raises:
            MediaError: It cannot be used.
            DataError: A sample cannot name it: its path is not UTF-8.
        """
        relative = Path(os.path.relpath(path.resolve(), self.root.resolve())).as_posix()
        if not _is_text(relative):
            hint = "rename the file, or the folder that it is in"
            raise DataError(
                "its path is not UTF-8", where=printed(path), expected="one that JSON can hold", hint=hint
            )
        if kind is not None:
            return Medium(key=key, kind=kind, path=relative)
        return self._look(path).model_copy(update={"key": key, "path": relative})

    def next_item(self) -> None:
        """Forget which objects were written: those of an item are not seen again."""
        self._written.clear()

    def keep(self, samples: Iterable[Sample]) -> None:
        """Remove what the item wrote and none of its samples shows: it was left out, or tried again."""
        used = {medium.path for sample in samples for medium in sample.media}
        for _, medium in self._written.values():
            if medium.path and medium.path not in used and not medium.path.startswith(PRISTINE.as_posix()):
                (self.root / medium.path).unlink(missing_ok=True)

    def sweep(self, samples: Path, last: int) -> None:
        """Remove what no sample shows: made by workers that ran ahead, or half made when a run was killed.

        Args:
            samples: The file of samples, complete.
            last: Number of the last item; what earlier ones left is right (:meth:`keep`).
        """
        used = set(_shown_from(samples, last))
        for path in self._unsure(last):
            if path.relative_to(self.root).as_posix() not in used:
                path.unlink()

    def _unsure(self, last: int) -> Iterator[Path]:
        media = self.root / "media"
        for folder in sorted(media.iterdir()) if media.is_dir() else ():
            for path in sorted(folder.iterdir()) if folder.is_dir() else ():
                number = _number_of(path.name)
                half = path.name.startswith(".") and path.name.endswith(".partial")
                if half or folder.name == PRISTINE.name or (number is not None and number >= last):
                    yield path

    def _known(self, one: object) -> Medium | None:
        found = self._written.get(id(one))
        return found[1] if found is not None and found[0] is one else None

    def _place(self, item: str, ending: str) -> Path:
        number = int(item.rsplit("-", 1)[1])
        return Path("media", f"{number // PER_FOLDER:04d}", f"{_plain(item)}-{len(self._written) + 1}{ending}")


def printed(path: Path | str) -> str:
    """Return a path as text that JSON and terminals take: bytes that are no UTF-8 are written as \\xff."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def _is_text(path: str) -> bool:
    return not any("\ud800" <= c <= "\udfff" for c in path)


def _number_of(name: str) -> int | None:
    found = _OURS.search(name)
    return int(found[1]) if found else None


def _shown_from(samples: Path, last: int) -> Iterator[str]:
    """Yield the pristine photos that samples show, and the files of items from one on; all others are forgotten."""
    pristine = f"{PRISTINE.as_posix()}/"
    with samples.open("rb") as file:
        for line in file:
            for path in _paths(line):
                number = _number_of(path)
                if path.startswith(pristine) or (number is not None and number >= last):
                    yield path


def _paths(line: bytes) -> Collection[str]:
    return {found.decode() for found in _USED.findall(line)}


def _plain(stem: str) -> str:
    """Return a file name that every system and format takes."""
    return "".join(c if c.isascii() and (c.isalnum() or c in "-_.") else "_" for c in stem)


def _looked_at(path: Path) -> Medium:
    """Describe a medium; a picture is decoded, as one that was cut off has a whole head."""
    from mllmqa.media import decode_image, open_media

    media = open_media(path)
    info = media.info
    if info.kind == "image":
        decode_image(media)
    return Medium(
        key="A", kind=info.kind, width=info.width, height=info.height, sha256=info.sha256,
        duration_s=info.duration_s,
    )  # fmt: skip


def _decoded(path: Path) -> Pixels:
    from mllmqa.media import decode_image, open_media

    pixels = decode_image(open_media(path))
    pixels.flags.writeable = False
    return np.asarray(pixels)


def _duration_s(path: Path) -> float:
    from mllmqa.media import open_media

    info = open_media(path).info
    if info.duration_s is None:
        raise DataError("has no length", where=path, expected="a video")
    return info.duration_s


def _png(pixels: Pixels) -> bytes:
    from PIL import Image

    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG", compress_level=1)
    return out.getvalue()


def _write(path: Path, content: bytes) -> None:
    """Write a file so that it is there whole or not at all."""
    if path.is_file() and path.stat().st_size == len(content) and path.read_bytes() == content:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, content)
