"""Where the bytes of one input come from: a path, a stream, a PIL image or an array.

Paths are looked at before they are opened, so that a FIFO, a socket or a device never blocks or floods us.
Decoders get :class:`ByteReader`: neither names nor extensions nor protocols take part in what follows.
"""

from __future__ import annotations

import errno
import hashlib
import io
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from mllmqa.errors import MediaAccessError, MediaError, MediaFormatError, MediaLimitError, MediaNotFoundError

if TYPE_CHECKING:
    pass

Source = "str | os.PathLike[str] | bytes | BinaryIO | Image.Image | NDArray[np.uint8]"
"""What can be opened: a path, encoded bytes, a binary stream, a PIL image, a uint8 array (HW, HWC, THWC)."""

CHUNK = 1 << 20
HEAD = 4096
"""Bytes that are read to tell the format."""


@dataclass(frozen=True)
class Limits:
    """What is too small, too large or too narrow to be scored. Checked from the header, before decoding."""

    min_side_px: int = 16
    max_pixels: int = 120_000_000
    """Width × height of one picture; 120 Mpx lets 108 Mpx phone photos in and keeps memory below 2 GB."""
    max_aspect: float = 50.0
    """Long side ÷ short side."""
    max_stream_bytes: int = 1 << 29
    """Streams are held in memory; files are not."""

    def check(self, width: int, height: int, name: str) -> None:
        """Check the size of a picture.

        Raises:
            MediaLimitError: Too small, too narrow or too many pixels.
        """
        what, short, long = f"{width}×{height} pixels", min(width, height), max(width, height)
        if short < self.min_side_px:
            raise MediaLimitError(
                f"{what} is too small",
                where=name,
                expected=f"at least {self.min_side_px} pixels on the short side",
            )
        if long > short * self.max_aspect:
            raise MediaLimitError(
                f"{what} is too narrow", where=name, expected=f"at most {self.max_aspect:g}:1, crop it first"
            )
        if width * height > self.max_pixels:
            raise MediaLimitError(
                f"{what} is too large",
                where=name,
                expected=f"at most {self.max_pixels:,} pixels, scale it down or raise Limits.max_pixels",
            )


DEFAULT_LIMITS = Limits()


@dataclass(frozen=True)
class Encoded:
    """Encoded bytes, on disk (``path``) or in memory (``data``).

    Attributes:
        name: As the user named it, always valid Unicode on one line.
        sha256: Of all bytes.
        head: The first 4096 bytes or fewer.
    """

    name: str
    path: str | None = None
    data: bytes | None = field(default=None, repr=False)
    size_bytes: int = 0
    sha256: str = ""
    head: bytes = field(default=b"", repr=False)

    @contextmanager
    def open(self) -> Iterator[ByteReader]:
        """Open the bytes for reading, from the start.

        Raises:
            MediaError: The file cannot be opened (any more).
        """
        try:
            raw: BinaryIO = io.BytesIO(self.data or b"") if self.path is None else Path(self.path).open("rb")  # noqa: SIM115
        except OSError as error:
            raise access_error(error, self.name) from error
        with raw:
            yield ByteReader(raw)


class ByteReader:
    """A binary reader without a name: no decoder can be swayed by an extension or a protocol prefix."""

    def __init__(self, raw: BinaryIO) -> None:
        self._raw = raw

    def read(self, size: int = -1) -> bytes:
        """Return up to ``size`` bytes, all that are left for -1."""
        return self._raw.read(size)

    def seek(self, offset: int, whence: int = 0) -> int:
        """Move to an offset as :meth:`io.IOBase.seek` does."""
        return self._raw.seek(offset, whence)

    def tell(self) -> int:
        """Return the offset."""
        return self._raw.tell()


def printable(name: object) -> str:
    """Return a name as valid Unicode on one line, for records and messages.

    >>> printable("a\\nb.png")
    'a\\\\nb.png'
    """
    text = os.fsdecode(name) if isinstance(name, (bytes, os.PathLike)) else str(name)
    text = text.encode("utf-8", "backslashreplace").decode("utf-8")
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def access_error(error: OSError, name: str) -> MediaError:
    """Return the error of mllmqa for a failed look at a path."""
    if isinstance(error, PermissionError):
        return MediaAccessError("may not be read", where=name, hint="check the permissions of file and folder")
    if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG, errno.EINVAL):
        url = "://" in name
        hint = "download it first: mllmqa opens no addresses" if url else "check the spelling"
        return MediaNotFoundError("no such file", where=name, hint=hint)
    if error.errno == errno.ELOOP:
        return MediaNotFoundError("the symbolic link leads in a circle", where=name)
    return MediaAccessError(f"cannot be read ({error.strerror or error})", where=name)


def _check_regular(path: str, name: str) -> None:
    try:
        mode = Path(path).stat().st_mode
    except (OSError, ValueError) as error:
        raise access_error(error if isinstance(error, OSError) else OSError(errno.EINVAL, ""), name) from error
    if stat.S_ISDIR(mode):
        raise MediaError(
            "is a folder",
            where=name,
            expected="a file",
            hint="name the files, or the folder as a path to `mllmqa score`",
        )
    if not stat.S_ISREG(mode):
        raise MediaFormatError("is a device, pipe or socket", where=name, expected="a file; pipe data in as -")


def read_path(path: str | os.PathLike[str], name: str | None = None) -> Encoded:
    """Look at a file and hash it in constant memory.

    Raises:
        MediaError: Missing, unreadable, empty, or not a regular file.
    """
    text = os.fspath(path)
    shown = printable(text if name is None else name)
    if not text:
        raise MediaNotFoundError("no such file", where="''", expected="a path that is not empty")
    _check_regular(text, shown)
    digest, size, head = hashlib.sha256(), 0, b""
    try:
        with Path(text).open("rb") as file:
            while chunk := file.read(CHUNK):
                head = head or chunk[:HEAD]
                digest.update(chunk)
                size += len(chunk)
    except OSError as error:
        raise access_error(error, shown) from error
    if size == 0:
        raise MediaFormatError("the file is empty (0 bytes)", where=shown, expected="an image or a video")
    return Encoded(shown, text, None, size, digest.hexdigest(), head)


def read_stream(stream: Any, limits: Limits, name: str | None = None) -> Encoded:
    """Read encoded bytes, or a binary stream to its end, into memory.

    Raises:
        MediaError: Empty, larger than ``limits.max_stream_bytes``, or a text stream.
    """
    shown = printable(name or "<stream>")
    try:
        data = stream if isinstance(stream, bytes) else stream.read(limits.max_stream_bytes + 1)
    except OSError as error:
        raise access_error(error, shown) from error
    except ValueError as error:
        raise MediaAccessError(f"cannot be read ({error})", where=shown, hint="pass an open stream") from error
    if not isinstance(data, (bytes, bytearray, memoryview)):
        raise MediaFormatError("the stream gives text", where=shown, expected="a stream opened in binary mode")
    data = bytes(data)
    if len(data) > limits.max_stream_bytes:
        raise MediaLimitError(
            f"the stream has more than {limits.max_stream_bytes:,} bytes", where=shown, expected="a file instead"
        )
    if not data:
        raise MediaFormatError(
            "the stream is empty (0 bytes)",
            where=shown,
            expected="an image or a video",
            hint=None if name == "-" else "at its end? seek(0)",
        )
    return Encoded(shown, None, data, len(data), hashlib.sha256(data).hexdigest(), data[:HEAD])
