"""Hostile input: frames or one clear line, nothing else; no warning, no noise on stderr, no hang."""

from __future__ import annotations

import io
import os
import random
import socket
import struct
import zlib
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from mllmqa.errors import (
    MediaAccessError,
    MediaCorruptError,
    MediaError,
    MediaFormatError,
    MediaLimitError,
    MediaNotFoundError,
    UsageError,
)
from mllmqa.media import Limits, decode_frames, open_media, parse_rule
from mllmqa.media.source import printable
from tests.media.made import SHARED, make_video, png_bytes, png_chunk, scene

SHARED_FILES = sorted((SHARED / "media/hostile").glob("*")) + sorted((SHARED / "media/video").glob("*"))
REFUSED = {
    "1x1.png": MediaLimitError,
    "3x1.bmp": MediaLimitError,
    "MANIFEST.csv": MediaFormatError,
    "README.md": MediaFormatError,
    "audio_only.mp3": MediaFormatError,
    "billion_laughs.svg": MediaFormatError,
    "bomb.ico": MediaLimitError,
    "bomb_50000x50000_1bit.png": MediaLimitError,
    "bomb_65536x65536.png": MediaLimitError,
    "bomb_header_only.png": MediaLimitError,
    "bomb_ztxt.png": MediaLimitError,
    "corrupt_header.jpg": MediaCorruptError,
    "extreme_tall_3x3000.jpg": MediaLimitError,
    "extreme_wide_4000x4.png": MediaLimitError,
    "heif_negative_box.heif": MediaCorruptError,
    "html_named.png": MediaFormatError,
    "jpeg_bitflips.jpg": MediaCorruptError,
    "text_named.jpg": MediaFormatError,
    "vector_check.svg": MediaFormatError,
    "vector_embedded.svg": MediaFormatError,
    "video_truncated_1k.mp4": MediaCorruptError,
    "video_zero_byte.mp4": MediaFormatError,
    "video_zero_stsc.mp4": MediaCorruptError,
}


def frames_of(source: object) -> np.ndarray:
    media = open_media(source)
    times = parse_rule("uniform:3").times(media.index) if media.index else ()
    frames = decode_frames(media, times).frames_THWC
    assert frames.shape[1:] == (media.info.height, media.info.width, 3)
    media.info.model_dump_json()
    return frames


def refuse(source: object, kind: type[MediaError], words: str) -> None:
    with pytest.raises(kind, match=words) as caught:
        frames_of(source)
    assert type(caught.value) is kind
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 1000


@pytest.mark.parametrize("path", SHARED_FILES or [None], ids=lambda p: p.name if p else "none")
def test_every_shared_file_gives_frames_or_one_line(path: Path | None, capfd: pytest.CaptureFixture[str]) -> None:
    if path is None:
        pytest.skip("shared media are not on this machine")
    if path.suffix == ".heif":
        pytest.importorskip("pillow_heif", reason="the extra heif is not installed")
    if kind := REFUSED.get(path.name):
        refuse(path, kind, path.name)
    else:
        assert len(frames_of(path)) >= 1
    assert capfd.readouterr() == ("", "")


JPEG, GIF = io.BytesIO(), io.BytesIO()
Image.fromarray(scene(1)).save(JPEG, "JPEG")
Image.fromarray(scene(1)).save(GIF, "GIF")
PNG = png_bytes(scene(1), 2)


def patched(data: bytes, at: int, new: bytes) -> bytes:
    return data[:at] + new + data[at + len(new) :]


def big_jpeg() -> bytes:
    data = JPEG.getvalue()
    return patched(data, data.index(b"\xff\xc0") + 5, struct.pack(">HH", 65500, 65500))


def apng_with_false_count() -> bytes:
    return png_bytes(scene(1), 2, extra=png_chunk(b"acTL", struct.pack(">II", 1000, 0)))


INVENTED = {
    "idat_checksum": (patched(PNG, PNG.index(b"IEND") - 8, b"\0\0\0\0"), MediaCorruptError, "broken"),
    "ihdr_checksum": (patched(PNG, 29, b"\0\0\0\0"), MediaCorruptError, "header is broken|broken or cut off"),
    "png_without_pixels": (PNG[:33] + png_chunk(b"IEND", b""), MediaCorruptError, "broken"),
    "png_of_width_0": (
        b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", struct.pack(">IIBBBBB", 0, 9, 8, 2, 0, 0, 0)) + PNG[33:],
        MediaError,
        "header is broken|too small",
    ),
    "gif_without_frames": (GIF.getvalue()[:13] + b";", MediaCorruptError, "broken"),
    "jpeg_65500": (big_jpeg(), MediaLimitError, "4,290,250,000 pixels"),
    "jpeg_magic_only": (b"\xff\xd8\xff", MediaCorruptError, "header is broken|broken"),
    "pnm_bomb": (b"P6 99999 99999 255\n" + bytes(99), MediaLimitError, "pixels"),
    "bmp_bomb": (
        b"BM" + struct.pack("<IHHIIiiHHIIiiII", 99, 0, 0, 54, 40, 60000, 60000, 1, 24, 0, 0, 0, 0, 0, 0),
        MediaLimitError,
        "3,600,000,000 pixels",
    ),
    "deflate_bomb": (
        PNG[:8]
        + png_chunk(b"IHDR", struct.pack(">IIBBBBB", 30000, 30000, 8, 2, 0, 0, 0))
        + png_chunk(b"IDAT", zlib.compress(bytes(10**7))),
        MediaLimitError,
        "900,000,000 pixels",
    ),
    "pdf": (b"%PDF-1.7\n%stuff", MediaFormatError, "a PDF document"),
    "zip": (b"PK\x03\x04" + bytes(60), MediaFormatError, "a ZIP archive"),
    "lfs_pointer": (
        b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n",
        MediaFormatError,
        "Git LFS pointer",
    ),
    "hls": (
        b"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n/etc/passwd\n#EXT-X-ENDLIST\n",
        MediaFormatError,
        "a play list",
    ),
    "concat": (b"ffconcat version 1.0\nfile /etc/passwd\n", MediaFormatError, "neither an image nor a video"),
    "dash": (b'<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011"/>', MediaFormatError, "HTML or XML"),
    "sdp": (b"v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nm=video 5004 RTP/AVP 96\n", MediaFormatError, "neither"),
    "mkv_header": (b"\x1aE\xdf\xa3" + bytes(2000), MediaCorruptError, "matroska"),
    "avi_header": (b"RIFF\xff\0\0\0AVI LIST" + bytes(2000), MediaCorruptError, "avi"),
    "wav": (b"RIFF\xff\0\0\0WAVEfmt " + bytes(200), MediaFormatError, "a sound file"),
    "nulls": (bytes(5000), MediaFormatError, "neither"),
    "one_byte": (b"x", MediaFormatError, "neither"),
    "empty": (b"", MediaFormatError, r"empty \(0 bytes\)"),
}


@pytest.mark.parametrize("name", INVENTED)
def test_invented_files(name: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    data, kind, words = INVENTED[name]
    for source in (data, io.BytesIO(data), tmp_path / f"{name}.mp4"):
        if isinstance(source, Path):
            source.write_bytes(data)
        with pytest.raises(kind, match=words) as caught:
            frames_of(source)
        assert "\n" not in str(caught.value)
    assert capfd.readouterr() == ("", "")


def test_an_apng_that_promises_too_much() -> None:
    with pytest.raises(MediaError):
        frames_of(apng_with_false_count())


@pytest.mark.parametrize(
    ("width", "height", "words"),
    [
        (1, 1, "too small"),
        (3, 1, "too small"),
        (3, 3000, "too small"),
        (4000, 4, "too small"),
        (30000, 10, "too small"),
        (1700, 20, "too narrow"),
    ],
)
def test_odd_sizes_are_named(width: int, height: int, words: str) -> None:
    refuse(png_bytes(np.zeros((height, width, 3)), 2), MediaLimitError, f"{width}×{height} pixels is {words}")
    refuse(np.zeros((height, width, 3), np.uint8), MediaLimitError, words)
    refuse(Image.new("RGB", (width, height)), MediaLimitError, words)


def test_limits_can_be_moved() -> None:
    assert open_media(png_bytes(np.zeros((8, 8, 3)), 2), limits=Limits(min_side_px=8)).info.width == 8
    with pytest.raises(MediaLimitError, match="expected at most 1,000 pixels"):
        open_media(scene(1), limits=Limits(max_pixels=1000))
    with pytest.raises(MediaLimitError, match="more than 10 bytes"):
        open_media(PNG, limits=Limits(max_stream_bytes=10))


def test_a_small_video_is_refused(tmp_path: Path) -> None:
    refuse(make_video(tmp_path / "small.mp4", 2, size=(64, 8)), MediaLimitError, "64×8 pixels is too small")


def test_the_extension_plays_no_part(tmp_path: Path) -> None:
    video = make_video(tmp_path / "a.mp4", 3)
    for name in ("video.jpg", "video.png", "video.txt", "video", "video.m3u8"):
        copy = tmp_path / name
        copy.write_bytes(video.read_bytes())
        assert open_media(copy).info.kind == "video"
    for name in ("picture.mp4", "picture.h264", "picture%03d", "picture.gif"):
        copy = tmp_path / name
        copy.write_bytes(PNG)
        assert open_media(copy).info.format == "png"


NAMES = [
    "-dash.png",
    "new\nline.png",
    "späce ü 漢字 🎞.png",
    "concat:a|b.png",
    "file:x.png",
    "%03d.png",
    "'quote\".png",
    "tab\t.png",
]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("kind", ["picture", "video"])
def test_names_that_confuse_tools(name: str, kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    data = PNG if kind == "picture" else make_video(tmp_path / "a.mp4", 3).read_bytes()
    Path(name).write_bytes(data)
    assert len(frames_of(name)) >= 1
    assert "\n" not in open_media(name).info.name


def test_a_name_that_is_no_unicode(tmp_path: Path) -> None:
    path = os.fsdecode(os.fsencode(tmp_path) + b"/\xff\xfe.mp4")
    try:
        Path(path).write_bytes(make_video(tmp_path / "a.mp4", 3).read_bytes())
    except OSError:
        pytest.skip("this file system refuses such names")
    assert len(frames_of(path)) == 3
    assert open_media(path).info.name.endswith("\\udcff\\udcfe.mp4")
    assert printable("a\udcffb") == "a\\udcffb"


def test_what_is_no_file(tmp_path: Path) -> None:
    refuse(tmp_path, MediaError, "is a folder")
    refuse(tmp_path / "missing.png", MediaNotFoundError, "no such file")
    refuse("https://example.org/a.png", MediaNotFoundError, "download it first")
    refuse(str(tmp_path / "nul\0byte.png"), MediaNotFoundError, "no such file")
    refuse(str(tmp_path / ("x" * 300)), MediaNotFoundError, "no such file")
    refuse("", MediaNotFoundError, "no such file")
    (tmp_path / "circle").symlink_to(tmp_path / "circle")
    refuse(tmp_path / "circle", MediaNotFoundError, "leads in a circle")
    (tmp_path / "dangling").symlink_to(tmp_path / "gone")
    refuse(tmp_path / "dangling", MediaNotFoundError, "no such file")
    os.mkfifo(tmp_path / "fifo.mp4")
    refuse(tmp_path / "fifo.mp4", MediaFormatError, "a device, pipe or socket")
    refuse("/dev/zero", MediaFormatError, "a device, pipe or socket")


def test_a_socket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # socket names are short
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("s.mp4")
        refuse("s.mp4", MediaFormatError, "a device, pipe or socket")


@pytest.mark.skipif(os.name == "posix" and os.geteuid() == 0, reason="root may read everything")
def test_permissions(tmp_path: Path) -> None:
    path = tmp_path / "secret.png"
    path.write_bytes(PNG)
    path.chmod(0)
    refuse(path, MediaAccessError, "may not be read")


def test_streams_and_objects_of_the_wrong_kind() -> None:
    refuse(io.StringIO("text"), MediaFormatError, "binary mode")
    for thing in (5, None, ["a.png"], {}):
        with pytest.raises(UsageError, match="cannot open an object of type"):
            open_media(thing)


def test_an_mp4_without_its_data(tmp_path: Path) -> None:
    path = make_video(tmp_path / "a.mp4", 12, container={"movflags": "faststart"})
    data = path.read_bytes()
    path.write_bytes(data[: data.index(b"mdat") - 4])
    refuse(path, MediaCorruptError, "no frame can be decoded|broken or cut-off|cut off")


def test_a_video_without_a_frame_rate(tmp_path: Path) -> None:
    path = make_video(tmp_path / "one.mkv", pts_ms=[0])
    media = open_media(path)
    assert media.info.n_frames == 1
    for rule in ("1fps", "uniform:8", "fps:2", "tsn:4", "keyframes", "all"):
        assert decode_frames(media, parse_rule(rule).times(media.index)).frames_THWC.shape[1:] == (64, 96, 3)


def test_a_sound_file_with_a_cover(tmp_path: Path) -> None:
    from av.stream import Disposition

    path = tmp_path / "song.mp4"
    with av.open(str(path), "w") as out:
        sound = out.add_stream("aac", rate=16000)
        cover = out.add_stream("mjpeg", rate=1)
        cover.width, cover.height, cover.pix_fmt = 64, 64, "yuvj420p"  # type: ignore[union-attr]
        cover.disposition = Disposition.attached_pic
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        frame.sample_rate = 16000
        out.mux(cover.encode(av.VideoFrame.from_ndarray(scene(1, 64, 64), format="rgb24")))  # type: ignore[union-attr]
        out.mux(sound.encode(frame))  # type: ignore[union-attr]
        out.mux(sound.encode(None))  # type: ignore[union-attr]
    refuse(path, MediaFormatError, "no video stream, only sound")


def seeds(tmp_path: Path) -> dict[str, bytes]:
    picture = Image.fromarray(scene(3))
    made = {"png": PNG, "jpeg": JPEG.getvalue()}
    for format in ("WEBP", "TIFF", "BMP", "AVIF"):
        file = io.BytesIO()
        picture.save(file, format)
        made[format] = file.getvalue()
    file = io.BytesIO()
    picture.save(file, "GIF", save_all=True, append_images=[Image.fromarray(scene(4))])
    made["gif"] = file.getvalue()
    for name in ("a.mp4", "a.mkv", "a.avi", "a.ts"):
        made[name] = make_video(tmp_path / name, 6, codec="mpeg4" if name == "a.avi" else "libx264").read_bytes()
    return made


def test_damaged_files_give_frames_or_a_media_error(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """25 random damages per format, half of them in the header."""
    rng = random.Random(0)
    for name, whole in seeds(tmp_path).items():
        for trial in range(25):
            data = bytearray(whole)
            reach = len(data) if trial % 2 else min(300, len(data))
            for _ in range(rng.choice((1, 3, 30))):
                data[rng.randrange(reach)] = rng.randrange(256)
            if trial % 5 == 0:
                del data[rng.randrange(len(data)) :]
            try:
                frames_of(bytes(data))
            except MediaError as error:
                assert "\n" not in str(error), name
    assert capfd.readouterr() == ("", "")
