"""Media files are opened to their end: cut pictures, clips without frames, other kinds."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from mllmqa.data.media_check import opened_media
from mllmqa.schema import Media
from tests.conftest import photo_pixels
from tests.media.made import make_video


@pytest.mark.parametrize("ending", ["png", "jpg", "webp"])
def test_a_picture_is_decoded_to_its_end(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"a.{ending}"
    Image.fromarray(photo_pixels(120, 90)).save(path)
    found = opened_media(path)
    assert isinstance(found, Media) and (found.width, found.height) == (120, 90)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) * 2 // 3])
    found = opened_media(path)
    assert isinstance(found, str) and found.startswith(f"{path}: ") and "\n" not in found


def test_a_clip_and_what_is_none(tmp_path: Path) -> None:
    make_video(tmp_path / "a.mp4", 8)
    found = opened_media(tmp_path / "a.mp4")
    assert isinstance(found, Media) and (found.kind, found.n_frames) == ("video", 8)
    for name, content in (("b.mp4", b"no clip"), ("c.png", b"")):
        (tmp_path / name).write_bytes(content)
        found = opened_media(tmp_path / name)
        assert isinstance(found, str) and name in found
