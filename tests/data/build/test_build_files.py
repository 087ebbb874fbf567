"""Media files of a set: names, one file for one object, whole files, nothing unused."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mllmqa.data.build import Picture, Video
from mllmqa.data.build.files import LONGEST_STEM, PER_FOLDER, MediaFolder, printed
from mllmqa.data.sample import Sample
from mllmqa.data.sample_labels import Distortion
from mllmqa.data.video_distortions import Clip, read_clip
from mllmqa.errors import DataError, MediaError
from tests.conftest import photo_pixels
from tests.data.build.built_here import clips, photos
from tests.data.video_distortions.clips import moving

ITEM = "r-0-0000012"
BLUR = (Distortion(media="A", category="blur", severity=1.0),)


def picture(name: str = "a photo.png", seed: int = 0, *, distorted: bool = False) -> Picture:
    return Picture(photo_pixels(40, 36, seed), Path("/photos") / name, "train", BLUR if distorted else ())


def video(clip: Clip | None = None) -> Video:
    return Video(clip or moving(8, width=48, height=32), Path("/clips/c.mp4"), "train", BLUR)


def test_a_picture_becomes_a_png_of_just_these_pixels(tmp_path: Path) -> None:
    one = picture(distorted=True)
    made = MediaFolder(tmp_path).picture("B", "distorted", one, ITEM)
    path = tmp_path / (made.path or "")
    assert made.path == "media/0000/r-0-0000012-1.png"
    assert (made.key, made.role, made.kind, made.width, made.height) == ("B", "distorted", "image", 40, 36)
    assert made.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert np.array_equal(np.asarray(Image.open(path)), one.pixels)


def test_a_clip_becomes_an_mp4_with_its_times(tmp_path: Path) -> None:
    one = video()
    made = MediaFolder(tmp_path).video("A", "distorted", one, ITEM)
    path = tmp_path / (made.path or "")
    assert made.path == "media/0000/r-0-0000012-1.mp4"
    assert made.duration_s == pytest.approx(one.clip.duration_s)
    assert made.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    again = read_clip(path)
    assert np.allclose(again.timestamps_s, one.clip.timestamps_s, atol=1e-4)
    assert np.abs(again.frames_THWC.astype(int) - one.clip.frames_THWC).mean() < 2


def test_the_same_object_is_the_same_file_under_any_key(tmp_path: Path) -> None:
    folder, one, clip = MediaFolder(tmp_path), picture(distorted=True), video()
    a, b = folder.picture("A", "stimulus", one, ITEM), folder.picture("B", "distorted", one, ITEM)
    assert a.path == b.path and (b.key, b.role) == ("B", "distorted")
    assert folder.video("A", "stimulus", clip, ITEM).path == folder.video("B", "distorted", clip, ITEM).path
    equal = folder.picture("C", "distorted", picture(distorted=True), ITEM)
    assert equal.path != a.path and equal.sha256 == a.sha256  # another object is another version


def test_objects_that_are_gone_are_not_taken_for_new_ones(tmp_path: Path) -> None:
    """Python gives the address of a dead object to the next one."""
    folder = MediaFolder(tmp_path)
    shas = [folder.picture("A", "distorted", picture(seed=k, distorted=True), ITEM).sha256 for k in range(30)]
    assert len(set(shas)) == 30
    folder.next_item()
    after = folder.picture("A", "distorted", picture(seed=31, distorted=True), "r-0-0000013")
    assert after.sha256 not in shas and after.path == "media/0000/r-0-0000013-1.png"


def test_a_pristine_photo_is_written_once_for_all_items(tmp_path: Path) -> None:
    folder = MediaFolder(tmp_path)
    one = folder.picture("ref", "reference", picture(), ITEM)
    before = (tmp_path / (one.path or "")).stat()
    folder.next_item()
    again = folder.picture("A", "stimulus", picture(), "r-0-0000099")
    assert one.path == again.path and one.sha256 == again.sha256
    assert (tmp_path / (one.path or "")).stat().st_mtime_ns == before.st_mtime_ns
    other = folder.picture("A", "stimulus", picture(seed=1), "r-0-0000099")
    assert other.path != one.path  # the same name in another folder, other pixels


def test_what_was_left_of_a_file_is_replaced(tmp_path: Path) -> None:
    made = MediaFolder(tmp_path).picture("A", "stimulus", picture(), ITEM)
    path = tmp_path / (made.path or "")
    whole = path.read_bytes()
    path.write_bytes(whole[:50])
    MediaFolder(tmp_path).picture("A", "stimulus", picture(), ITEM)
    assert path.read_bytes() == whole
    assert not list(tmp_path.rglob("*.partial"))


@pytest.mark.parametrize(
    "name",
    ["ä ö/ü.png", "照片.jpg", "a'b\"c.png", "..png", "x" * 240 + ".png", "caf\udce9.png", "-rf .png", "a\nb.png"],
)
def test_names_of_copies_are_taken_by_any_system(name: str, tmp_path: Path) -> None:
    made = MediaFolder(tmp_path).picture("A", "stimulus", picture(name), ITEM)
    stem = Path(made.path or "").name
    assert stem.isascii() and all(c.isalnum() or c in "-_." for c in stem)
    assert len(stem) <= LONGEST_STEM + 17
    assert (tmp_path / (made.path or "")).is_file()


def test_items_are_spread_over_folders(tmp_path: Path) -> None:
    one = MediaFolder(tmp_path).picture("A", "distorted", picture(distorted=True), "my recipe-0-12345678")
    assert one.path == f"media/{12345678 // PER_FOLDER}/my_recipe-0-12345678-1.png"


def test_linked_media_stay_where_they_are(tmp_path: Path) -> None:
    (source,) = sorted(photos(tmp_path / "photos", 1).iterdir())
    folder = MediaFolder(tmp_path / "sets" / "one")
    made = folder.linked("A", source, None)
    assert made.path == "../../photos/photo 00.png"
    assert (made.width, made.height, made.kind) == (80, 60, "image")
    assert made.sha256 == hashlib.sha256(source.read_bytes()).hexdigest()
    (clip,) = sorted(clips(tmp_path / "clips", 1).iterdir())
    made = folder.linked("A", clip, None)
    assert (made.kind, made.path) == ("video", "../../clips/clip0.mp4")
    assert made.duration_s == pytest.approx(2.0, abs=0.11)
    assert folder.linked("A", Path(os.path.relpath(source)), None).path == "../../photos/photo 00.png"


@pytest.mark.parametrize("ending", [".png", ".jpg"])
def test_a_picture_that_was_cut_off_is_found(ending: str, tmp_path: Path) -> None:
    """Its head says all that a sample records, so it has to be decoded."""
    path = tmp_path / f"cut{ending}"
    Image.fromarray(photo_pixels(64, 48)).save(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])
    with pytest.raises(MediaError, match=f"cut.{ending[1:]}"):
        MediaFolder(tmp_path / "set").linked("A", path, None)


def test_linked_media_that_are_not_looked_at_have_no_size(tmp_path: Path) -> None:
    made = MediaFolder(tmp_path / "set").linked("A", tmp_path / "gone.png", "image")
    assert (made.path, made.width, made.sha256) == ("../gone.png", None, None)
    with pytest.raises(MediaError, match=r"gone\.png: no such file"):
        MediaFolder(tmp_path / "set").linked("A", tmp_path / "gone.png", None)


def test_paths_that_json_cannot_hold_are_refused(tmp_path: Path) -> None:
    with pytest.raises(
        DataError, match=r"caf\\xe9\.png: its path is not UTF-8; expected one that JSON can hold; rename"
    ):
        MediaFolder(tmp_path).linked("A", tmp_path / os.fsdecode(b"caf\xe9.png"), "image")
    assert printed(os.fsdecode(b"caf\xe9.png")) == "caf\\xe9.png"
    assert printed("café.png") == "café.png"


def test_a_link_leads_to_its_file(tmp_path: Path) -> None:
    (source,) = sorted(photos(tmp_path / "photos", 1).iterdir())
    (tmp_path / "link.png").symlink_to(source)
    (tmp_path / "real").mkdir()
    (tmp_path / "set").symlink_to(tmp_path / "real")
    made = MediaFolder(tmp_path / "set").linked("A", tmp_path / "link.png", None)
    assert (tmp_path / "set" / (made.path or "")).resolve() == source


def test_photos_are_decoded_once_and_cannot_be_changed(tmp_path: Path) -> None:
    (source,) = sorted(photos(tmp_path, 1).iterdir())
    folder = MediaFolder(tmp_path / "set")
    pixels = folder.decoded(source)
    assert folder.decoded(source) is pixels
    with pytest.raises(ValueError, match="read-only"):
        pixels[0] = 0
    Image.fromarray(photo_pixels(80, 60, seed=9)).save(source)
    assert not np.array_equal(MediaFolder(tmp_path / "set").decoded(source), pixels)  # another build looks again


def test_only_clips_have_a_length(tmp_path: Path) -> None:
    folder = MediaFolder(tmp_path)
    (clip,) = sorted(clips(tmp_path / "clips", 1).iterdir())
    assert folder.duration_s(clip) == pytest.approx(2.0, abs=0.11)
    (photo,) = sorted(photos(tmp_path / "photos", 1).iterdir())
    with pytest.raises(DataError, match="has no length; expected a video"):
        folder.duration_s(photo)


def test_what_no_sample_shows_is_removed(tmp_path: Path) -> None:
    folder = MediaFolder(tmp_path)
    kept = folder.picture("A", "distorted", picture(distorted=True), ITEM)
    tried = folder.picture("A", "distorted", picture(seed=1, distorted=True), ITEM)
    pristine = folder.picture("ref", "reference", picture(), ITEM)
    folder.keep([Sample(id="s", media=(kept,))])
    assert [(tmp_path / (one.path or "")).exists() for one in (kept, tried, pristine)] == [True, False, True]


def test_a_sweep_takes_what_ran_ahead_and_what_is_half(tmp_path: Path) -> None:
    folder = MediaFolder(tmp_path)
    shown = [
        folder.picture("A", "distorted", picture(distorted=True), ITEM),
        folder.picture("B", "stimulus", picture(), ITEM),
    ]
    (tmp_path / "samples.jsonl").write_text(Sample(id="s", media=tuple(shown)).to_json() + "\n", encoding="utf-8")
    gone = [
        "0000/r-0-0000012-9.png",
        "0000/r-0-0000013-1.mp4",
        "0001/r-0-0001000-1.png",
        "pristine/other-0123456789ab.png",
    ]
    gone += ["0000/.r-0-0000003-1.png.55.partial", "pristine/.x.png.1.partial"]
    stays = ["0000/r-0-0000011-1.png", "0000/notes.txt", "README"]
    for name in (*gone, *stays):
        path = tmp_path / "media" / name
        path.parent.mkdir(exist_ok=True)
        path.touch()
    folder.sweep(tmp_path / "samples.jsonl", 12)
    left = {p.relative_to(tmp_path).as_posix() for p in (tmp_path / "media").rglob("*") if p.is_file()}
    assert left == {f"media/{name}" for name in stays} | {one.path for one in shown}
