"""Opening: what is recorded, safe in workers, light to import, constant memory."""

from __future__ import annotations

import hashlib
import pickle
import subprocess
import sys
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import mllmqa.media
from mllmqa.errors import MediaError, UsageError
from mllmqa.media import decode_frames, open_media, parse_rule
from mllmqa.media.probe import encoded_bytes
from mllmqa.media.sniff import sniff
from tests.media.made import SHARED, make_video, png_bytes, scene


def test_the_public_face_is_sorted_and_complete() -> None:
    names = mllmqa.media.__all__
    assert names == sorted(names, key=lambda n: (not n.isupper(), not n[0].isupper(), n))
    assert all(getattr(mllmqa.media, name) is not None for name in names)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        mllmqa.media.nothing  # noqa: B018


def test_importing_it_loads_nothing_heavy() -> None:
    code = "import sys, mllmqa.media; print(sorted({'av', 'PIL', 'numpy', 'torch', 'decord'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_decoding_does_not_load_torch(tmp_path: Path) -> None:
    path = make_video(tmp_path / "a.mp4", 3)
    code = (
        "import sys\nfrom mllmqa.media import *\n"
        f"decode_frames(open_media({str(path)!r}), [0])\nprint('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=True)
    assert (done.stdout.strip(), done.stderr) == ("False", "")


@pytest.mark.parametrize("extra", ["torchcodec", "decord"])
def test_a_missing_decoder_names_its_extra(tmp_path: Path, extra: str) -> None:
    path = make_video(tmp_path / "a.mp4", 3)
    code = (
        f"import sys\nsys.modules[{extra!r}] = None\nfrom mllmqa.media import *\n"
        f"try: decode_frames(open_media({str(path)!r}), [0], decoder={extra!r})\n"
        "except Exception as error: print(type(error).__name__, error)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("MissingExtraError")
    assert f'pip install "mllmqa[{extra}]"' in done.stdout


def test_a_heif_picture_without_the_extra_names_it(tmp_path: Path) -> None:
    path = tmp_path / "a.heic"
    path.write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(100))
    code = (
        "import sys\nsys.modules['pillow_heif'] = None\nfrom mllmqa.media import *\n"
        f"try: open_media({str(path)!r})\nexcept Exception as error: print(type(error).__name__, error)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("MediaFormatError")
    assert 'pip install "mllmqa[heif]"' in done.stdout


def test_what_is_recorded_of_a_video(tmp_path: Path) -> None:
    path = make_video(tmp_path / "clip.mp4", 20)
    info = open_media(path).info
    assert info.model_dump() == {
        "kind": "video",
        "name": str(path),
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        "size_bytes": path.stat().st_size,
        "format": "mp4",
        "codec": "h264",
        "pixel_format": "yuv420p",
        "width": 96,
        "height": 64,
        "rotation_deg": 0,
        "duration_s": pytest.approx(2.0, abs=0.11),
        "fps": pytest.approx(10, abs=0.6),
        "n_frames": 20,
    }
    assert open_media(path, name="-").info.name == "-"


@pytest.mark.parametrize(
    ("file", "format", "codec"),
    [
        ("a.mkv", "matroska", "h264"),
        ("a.webm", "webm", "vp9"),
        ("a.mov", "mov", "h264"),
        ("a.avi", "avi", "mpeg4"),
        ("b.webm", "webm", "av1"),
    ],
)
def test_formats_and_codecs_have_their_names(tmp_path: Path, file: str, format: str, codec: str) -> None:
    encoder = {"vp9": "libvpx-vp9", "h264": "libx264", "av1": "libsvtav1"}.get(codec, codec)
    info = open_media(make_video(tmp_path / file, 4, codec=encoder)).info
    assert (info.format, info.codec, info.n_frames) == (format, codec, 4)


def test_what_is_recorded_of_an_image() -> None:
    info = open_media(png_bytes(scene(1), 2)).info
    assert (info.kind, info.format, info.pixel_format, info.width, info.height) == ("image", "png", "RGB", 96, 64)
    assert (info.duration_s, info.fps, info.n_frames) == (None, None, None)


def test_arrays_and_pictures_are_hashed_by_their_pixels() -> None:
    assert open_media(scene(1)).info.sha256 == open_media(scene(1).copy()).info.sha256
    assert open_media(scene(1)).info.sha256 != open_media(scene(2)).info.sha256
    assert open_media(scene(1)).info.sha256 != open_media(scene(1)[None]).info.sha256
    with pytest.raises(UsageError, match="holds pixels"):
        encoded_bytes(open_media(scene(1)))


def test_opened_media_travel_to_worker_processes(tmp_path: Path) -> None:
    path = make_video(tmp_path / "a.mp4", 6)
    for source in (path, path.read_bytes(), scene(1), Image.fromarray(scene(1))):
        media = open_media(source)
        copy = pickle.loads(pickle.dumps(media))  # noqa: S301 - our own object
        assert copy.info == media.info
        times = parse_rule("all").times(media.index) if media.index else ()
        np.testing.assert_array_equal(
            decode_frames(copy, times).frames_THWC, decode_frames(media, times).frames_THWC
        )


def test_threads_share_neither_warnings_nor_errors(tmp_path: Path) -> None:
    files = [make_video(tmp_path / "a.mp4", 12), *sorted((SHARED / "media/hostile").glob("*.[pgj][nip][gf]"))]
    before = list(warnings.filters)

    def line(path: Path) -> str:
        try:
            media = open_media(path)
            times = parse_rule("uniform:2").times(media.index) if media.index else ()
            return hashlib.sha256(decode_frames(media, times).frames_THWC.tobytes()).hexdigest()
        except MediaError as error:
            return str(error)

    alone = [line(f) for f in files]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(line, files * 3)) == alone * 3
    assert list(warnings.filters) == before


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs the peak memory that Linux states")
def test_large_files_are_hashed_in_constant_memory(tmp_path: Path) -> None:
    path = tmp_path / "large.bin"
    with path.open("wb") as file:
        file.truncate(400_000_000)
    code = (
        "from mllmqa.media import open_media\n"
        f"try: open_media({str(path)!r})\nexcept Exception as e: print(type(e).__name__)\n"
        "peak = [l for l in open('/proc/self/status') if l.startswith('VmHWM')][0].split()[1]\n"
        "print(int(peak) < 200_000)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["MediaFormatError", "True"]


@pytest.mark.parametrize(
    ("head", "expected"),
    [
        (b"", ("unknown", None)),
        (b"<HTML>", ("refused", "an HTML or XML page")),
        (b"RIFF....WEBP", ("image", "webp")),
        (b"\0\0\0\x1cftypisom", ("video", "mp4")),
        (b"\0\0\0\x18ftypavif\0\0\0\0avif", ("image", "avif")),
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1", ("image", "heif")),
    ],
)
def test_sniff(head: bytes, expected: tuple[str, str | None]) -> None:
    assert sniff(head) == expected
