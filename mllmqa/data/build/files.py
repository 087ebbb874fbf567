"""The media files of a set: written once, whole, under names that their item gives."""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Literal

import numpy as np

from mllmqa.data.build.pictures import Picture, Video
from mllmqa.data.distortions import Pixels
from mllmqa.data.sample import Medium
from mllmqa.errors import DataError

Role = Literal["stimulus", "reference", "distorted"]
PER_FOLDER = 1000
CACHED_PHOTOS = 8


class MediaFolder:
    """Writes pictures and clips below the folder of a set.

    Photos become PNG, clips MP4 (H.264 4:4:4 at crf 4: visually lossless). Pristine versions are written once,
    whoever shows them. Files appear when they are complete.

    Args:
        root: Folder of the set.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._written: dict[int, tuple[object, Medium]] = {}

    def decoded(self, path: Path) -> Pixels:
        """Return the pixels of a photo.

        Raises:
            MediaError: It cannot be used.
        """
        return _decoded(path)

    def duration_s(self, path: Path) -> float:
        """Return the length of a clip.

        Raises:
            MediaError: It cannot be used.
            DataError: It is a photo, or its length is not known.
        """
        return _duration_s(path)

    def picture(self, key: str, role: Role, one: Picture, item: str) -> Medium:
        """Write a picture; the same object again is the same file."""
        if known := self._known(one):
            return known.model_copy(update={"key": key, "role": role})
        height, width = one.pixels.shape[:2]
        content = _png(one.pixels)
        sha256 = hashlib.sha256(content).hexdigest()
        where = self._place(item, ".png")
        if not one.distortions:
            where = Path("media", "pristine", f"{_plain(one.path.stem)}-{sha256[:12]}.png")
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
            kind: What it is, without a look at the file; None: the file is opened and described.

        Raises:
            MediaError: It cannot be used.
        """
        from mllmqa.media import open_media

        relative = Path(os.path.relpath(path.resolve(), self.root.resolve())).as_posix()
        if kind is not None:
            return Medium(key=key, kind=kind, path=relative)
        info = open_media(path).info
        return Medium(
            key=key, kind=info.kind, path=relative, width=info.width, height=info.height, sha256=info.sha256,
            duration_s=info.duration_s,
        )  # fmt: skip

    def next_item(self) -> None:
        """Forget which objects were written: those of an item are not seen again."""
        self._written.clear()

    def of_items_after(self, last: int) -> Iterator[Path]:
        """Yield the files of items with a higher number: made by workers that ran ahead."""
        for folder in sorted((self.root / "media").glob("[0-9]*")):
            if folder.name.isdigit() and int(folder.name) >= last // PER_FOLDER:
                for path in sorted(folder.iterdir()):
                    if int(path.name.split("-")[-2]) > last:
                        yield path

    def _known(self, one: object) -> Medium | None:
        found = self._written.get(id(one))
        return found[1] if found is not None and found[0] is one else None

    def _place(self, item: str, ending: str) -> Path:
        number = int(item.rsplit("-", 1)[1])
        return Path("media", f"{number // PER_FOLDER:04d}", f"{item}-{len(self._written) + 1}{ending}")


def _plain(stem: str) -> str:
    """Return a file name that every system and format takes."""
    return "".join(c if c.isascii() and (c.isalnum() or c in "-_.") else "_" for c in stem)


@lru_cache(maxsize=CACHED_PHOTOS)
def _decoded(path: Path) -> Pixels:
    from mllmqa.media import decode_image, open_media

    pixels = decode_image(open_media(path))
    pixels.flags.writeable = False
    return np.asarray(pixels)


@lru_cache(maxsize=1024)
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
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    partial.write_bytes(content)
    partial.replace(path)
