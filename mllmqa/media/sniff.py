"""What a file is, told by its first bytes."""

from __future__ import annotations

import struct
from pathlib import Path

_HEIF_BRANDS = (b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"mif1", b"msf1")
_VIDEO_MAGIC = (
    (4, b"ftyp", "mp4"),
    (4, b"moov", "mov"),
    (4, b"mdat", "mov"),
    (4, b"wide", "mov"),
    (4, b"free", "mov"),
    (4, b"skip", "mov"),
    (0, b"\x1aE\xdf\xa3", "matroska"),
    (8, b"AVI ", "avi"),
    (0, b"FLV\x01", "flv"),
    (0, b"0&\xb2u\x8ef\xcf\x11", "asf"),
    (0, b"\x00\x00\x01\xba", "mpeg"),
    (0, b"DKIF", "ivf"),
    (0, b"OggS", "ogg"),
)
_IMAGE_MAGIC = (
    (b"\xff\xd8\xff", "jpeg"),
    (b"\x89PNG\r\n\x1a\n", "png"),
    (b"GIF8", "gif"),
    (b"BM", "bmp"),
    (b"II*\x00", "tiff"),
    (b"MM\x00*", "tiff"),
    (b"qoif", "qoi"),
    (b"\x00\x00\x01\x00", "ico"),
)
_REFUSED = (
    (b"%PDF", "a PDF document"),
    (b"%!PS", "a PostScript document"),
    (b"PK\x03\x04", "a ZIP archive"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"8BPS", "a Photoshop document"),
    (b"#EXTM3U", "a play list"),
    (b"ID3", "a sound file"),
    (b"fLaC", "a sound file"),
    (b"version https://git-lfs", "a Git LFS pointer, not the file itself"),
)


def sniff(head: bytes) -> tuple[str, str | None]:
    """Tell the kind of content by its first bytes: ("image" | "video" | "refused" | "unknown", format).

    >>> sniff(b"GIF89a"), sniff(b"<svg xmlns=")
    (('image', 'gif'), ('refused', 'an SVG drawing'))
    """
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if text.startswith((b"<?xml", b"<svg", b"<!doctype", b"<html", b"<")):
        return "refused", "an SVG drawing" if b"<svg" in text else "an HTML or XML page"
    for magic, label in _REFUSED:
        if head.startswith(magic):
            return "refused", label
    for magic, label in _IMAGE_MAGIC:
        if head.startswith(magic):
            return "image", label
    if head[:4] == b"RIFF" and head[8:12] == b"WAVE":
        return "refused", "a sound file"
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "image", "webp"
    if is_heif(head) or (head[4:8] == b"ftyp" and head[8:12] in (b"avif", b"avis")):
        return "image", "heif" if is_heif(head) else "avif"
    for offset, magic, label in _VIDEO_MAGIC:
        if head[offset : offset + len(magic)] == magic:
            return "video", label
    return "unknown", None


def is_heif(head: bytes) -> bool:
    """Tell a HEIF file (HEIC and relatives; AVIF has its own brand) by its first bytes."""
    if head[4:8] != b"ftyp" or len(head) < 16:
        return False
    (size,) = struct.unpack(">I", head[:4])
    brands = {head[i : i + 4] for i in (8, *range(16, min(size, len(head), 128), 4))}
    return bool(brands & set(_HEIF_BRANDS)) and not brands & {b"avif", b"avis"} and head[8:12] in _HEIF_BRANDS


def is_media(path: str) -> bool:
    """Tell from the first bytes whether a file without a known extension looks like media."""
    try:
        with Path(path).open("rb") as file:
            head = file.read(64)
    except OSError:
        return False
    return sniff(head)[0] in ("image", "video")
