"""What a file is by its first bytes: every writer we have agrees, and texts and archives are named."""

from __future__ import annotations

import gzip
import io
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from mllmqa.media.sniff import is_heif, is_media, sniff
from tests.media.made import make_video, scene

PICTURES = {
    "JPEG": "jpeg", "PNG": "png", "GIF": "gif", "BMP": "bmp", "TIFF": "tiff", "ICO": "ico", "WEBP": "webp",
    "AVIF": "avif", "QOI": "qoi",
}  # fmt: skip
VIDEOS = {
    "a.mp4": ("libx264", "mp4"), "a.mov": ("libx264", "mp4"), "a.mkv": ("libx264", "matroska"),
    "a.webm": ("libvpx-vp9", "matroska"), "a.avi": ("mpeg4", "avi"), "a.flv": ("flv", "flv"),
    "a.asf": ("msmpeg4", "asf"), "a.mpg": ("libx264", "mpeg"), "a.ivf": ("libvpx-vp9", "ivf"),
}  # fmt: skip


def head_of(name: str) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(scene(1)).save(buffer, name)
    return buffer.getvalue()[:64]


@pytest.mark.parametrize("name", PICTURES)
def test_what_pillow_writes_is_known(name: str) -> None:
    assert sniff(head_of(name)) == ("image", PICTURES[name])


@pytest.mark.parametrize("name", VIDEOS)
def test_what_libav_writes_is_known(tmp_path: Path, name: str) -> None:
    codec, expected = VIDEOS[name]
    path = make_video(tmp_path / name, 3, codec=codec)
    assert sniff(path.read_bytes()[:64]) == ("video", expected)
    assert is_media(str(path))


@pytest.mark.parametrize("order", ["<", ">"])
def test_both_byte_orders_of_tiff(order: str) -> None:
    mark = b"II" if order == "<" else b"MM"
    assert sniff(mark + struct.pack(f"{order}HI", 42, 8)) == ("image", "tiff")
    assert sniff(mark + struct.pack(f"{order}HI", 43, 8)) == ("unknown", None)


@pytest.mark.parametrize(
    ("text", "label"),
    [
        (b"<svg xmlns='x'>", "an SVG drawing"),
        (b"\xef\xbb\xbf <?xml version='1.0'?><svg>", "an SVG drawing"),
        (b"\r\n\t<!DOCTYPE html>", "an HTML or XML page"),
        (b"<HTML><body>", "an HTML or XML page"),
        (b"<?xml version='1.0'?><MPD/>", "an HTML or XML page"),
        (b"%!PS-Adobe-3.0", "a PostScript document"),
        (b"8BPS\0\1", "a Photoshop document"),
        (b"ID3\x03", "a sound file"),
        (b"fLaC\0", "a sound file"),
        (b"RIFF\x24\0\0\0WAVEfmt ", "a sound file"),
    ],
)
def test_what_is_refused_has_a_name(text: bytes, label: str) -> None:
    assert sniff(text) == ("refused", label)


def test_archives_are_refused_by_name() -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("a.png", b"x")
    assert sniff(packed.getvalue()) == ("refused", "a ZIP archive")
    assert sniff(gzip.compress(b"x")) == ("refused", "a gzip archive")


def heif(major: bytes, *others: bytes) -> bytes:
    body = b"ftyp" + major + bytes(4) + b"".join(others)
    return struct.pack(">I", len(body) + 4) + body + b"heic" * 4  # the last ones lie behind the box


@pytest.mark.parametrize(
    ("head", "expected"),
    [
        (heif(b"heic", b"mif1"), True),
        (heif(b"mif1", b"heic", b"miaf"), True),
        (heif(b"mif1", b"avif", b"miaf"), False),
        (heif(b"avif", b"mif1"), False),
        (heif(b"isom", b"heic"), False),
        (heif(b"isom"), False),
        (heif(b"heic", b"mif1")[:15], False),
    ],
)
def test_heif_is_told_by_its_brands(head: bytes, expected: bool) -> None:
    assert is_heif(head) is expected
    if expected:
        assert sniff(head) == ("image", "heif")


@given(st.binary(max_size=200))
def test_any_bytes_have_an_answer_of_the_stated_form(head: bytes) -> None:
    kind, label = sniff(head)
    assert kind in ("image", "video", "refused", "unknown")
    assert (label is None) == (kind == "unknown")


@given(st.sampled_from(sorted(PICTURES)), st.binary(max_size=30))
def test_what_follows_the_first_bytes_plays_no_part(name: str, more: bytes) -> None:
    assert sniff(head_of(name) + more) == ("image", PICTURES[name])


def test_files_without_an_extension(tmp_path: Path) -> None:
    picture, text = tmp_path / "picture", tmp_path / "text"
    Image.fromarray(np.zeros((20, 20, 3), np.uint8)).save(picture, "PNG")
    text.write_text("plain words")
    assert is_media(str(picture))
    assert not is_media(str(text))
    assert not is_media(str(tmp_path))
    assert not is_media(str(tmp_path / "missing"))
