"""Sources: what a path is, which files are in it, which part they belong to, what is wrong with labels."""

from __future__ import annotations

import os
import pickle
from collections import Counter
from pathlib import Path

import pytest

from mllmqa.data.build import Source, open_sources
from mllmqa.data.build.sources import part_named, part_of
from mllmqa.data.ratings import RatingScale
from mllmqa.errors import MediaError, UsageError
from tests.data.build.built_here import COLUMNS, MOS, clips, photos, table
from tests.data.build.test_build_opinions import biq


def test_kinds_are_named_or_told_by_what_is_there(tmp_path: Path) -> None:
    photos(tmp_path / "p", 1)
    clips(tmp_path / "c", 1)
    biq(tmp_path / "b")
    rated = table(tmp_path / "t", [("a.png", 3)])
    for text, kind, path in (
        (f"photos={tmp_path / 'p'}", "photos", tmp_path / "p"),
        (str(tmp_path / "p"), "photos", tmp_path / "p"),
        (str(tmp_path / "c"), "clips", tmp_path / "c"),
        (str(tmp_path / "b"), "biq2021", tmp_path / "b"),
        (f"biq2021={tmp_path / 'b'}", "biq2021", tmp_path / "b"),
        (f"rated={rated}", "rated", rated),
        (str(rated), "rated", rated),
    ):
        assert Source.parse(text) == Source(kind, path)


def test_a_path_may_hold_an_equals_sign(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    photos(tmp_path / "short=224" / "sub", 1)
    monkeypatch.chdir(tmp_path)
    assert Source.parse("short=224") == Source("photos", Path("short=224"))
    assert Source.parse("short=224/sub") == Source("photos", Path("short=224/sub"))
    assert Source.parse("photos=short=224") == Source("photos", Path("short=224"))
    assert Source.parse("./short=224").path == Path("./short=224")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("photos=gone", "^gone: no such source$"),
        ("gone", "^gone: no such source$"),
        ("empty", "empty: holds no photos, clips or labels that are known; say which: photos=empty"),
        ("both", "both: holds photos and clips; say which: photos=both | clips=both"),
    ],
)
def test_what_cannot_be_told_is_asked_for(
    text: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "empty").mkdir()
    photos(tmp_path / "both", 1)
    clips(tmp_path / "both", 1)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match=message.replace("|", r"\|")):
        Source.parse(text)


def test_files_are_found_in_all_folders_and_through_links_but_not_hidden_ones(tmp_path: Path) -> None:
    root = photos(tmp_path / "in", 2)
    photos(root / "deep" / "er", 1, start=5)
    photos(tmp_path / "elsewhere", 1, start=7)
    (root / "linked").symlink_to(tmp_path / "elsewhere")
    (root / "circle").symlink_to(root)
    (root / "one.PNG").symlink_to(tmp_path / "elsewhere" / "photo 07.png")
    for name in ("._photo 00.png", ".hidden.jpg", "notes.txt", "clip.mp4", "gone.png"):
        (root / name).touch()
    (root / "gone.png").unlink()
    (root / "gone.png").symlink_to(tmp_path / "nowhere.png")
    (root / "folder.png").mkdir()
    found = open_sources([Source("photos", root)])
    names = [path.relative_to(root).as_posix() for path in found.photos]
    assert names == ["deep/er/photo 05.png", "linked/photo 07.png", "one.PNG", "photo 00.png", "photo 01.png"]
    assert found.clips == () and found.rated == ()
    assert found.count("photos") == 5


def test_names_of_any_bytes_are_found(tmp_path: Path) -> None:
    root = photos(tmp_path / "in", 1)
    odd = root / os.fsdecode(b"caf\xe9.png")
    odd.write_bytes((root / "photo 00.png").read_bytes())
    (root / "照片.png").write_bytes(odd.read_bytes())
    found = open_sources([Source("photos", root)])
    assert odd in found.photos and len(found.photos) == 3
    assert part_of(odd) in ("train", "val", "test")
    assert found.described[0]["n"] == 3


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_folder_that_may_not_be_read_is_no_empty_one(tmp_path: Path) -> None:
    root = photos(tmp_path / "in", 1)
    closed = root / "closed"
    closed.mkdir(mode=0)
    try:
        with pytest.raises(MediaError, match="closed"):
            open_sources([Source("photos", root)])
    finally:
        closed.chmod(0o755)


def test_parts_go_by_name_alone_and_no_photo_is_in_two(tmp_path: Path) -> None:
    counts = Counter(part_of(Path(f"photo {k}.png")) for k in range(4000))
    assert 0.77 < counts["train"] / 4000 < 0.83 and 0.08 < counts["val"] / 4000 < 0.12
    assert part_of(Path("/a/photo.png")) == part_of(Path("b/photo.png"))
    root = photos(tmp_path / "in", 40, width=8, height=8)
    by_part = {part: open_sources([Source("photos", root)], part=part).photos for part in ("train", "val", "test")}
    everything = open_sources([Source("photos", root)]).photos
    assert sorted(path for paths in by_part.values() for path in paths) == list(everything)
    assert all(part_of(path) == part for part, paths in by_part.items() for path in paths)
    assert all(by_part.values())


def test_rated_media_are_in_their_official_part(tmp_path: Path) -> None:
    source = Source("biq2021", biq(tmp_path / "b"))
    for part, first in (("train", "Train"), ("test", "Test")):
        rows = open_sources([source], part=part).rated  # type: ignore[arg-type]
        assert len(rows) == 6 and all(row.rating.name.startswith(first) for row in rows)
    assert open_sources([source], part="val").rated == ()


def test_part_names() -> None:
    assert [part_named(one) for one in ("train", "val", "test", None)] == ["train", "val", "test", None]
    with pytest.raises(UsageError, match=r"part 'validation'; expected train \| val \| test"):
        part_named("validation")


def test_several_sources_are_taken_together(tmp_path: Path) -> None:
    a, b = photos(tmp_path / "a", 2), photos(tmp_path / "b", 1)
    rated = table(tmp_path / "t", [("a.png", 3), ("b.png", "nan")])
    wanted = [Source("photos", b), Source("photos", a), Source("rated", rated)]
    found = open_sources([*wanted, Source("biq2021", biq(tmp_path / "biq"))], columns=COLUMNS, scale=MOS)
    assert [path.parent.name for path in found.photos] == ["b", "a", "a"]  # in the order given
    assert [one.source for one in found.rated] == ["scores", *["biq2021"] * 12]
    assert [(one["kind"], one["n"]) for one in found.described] == [
        ("photos", 1),
        ("photos", 2),
        ("rated", 1),
        ("biq2021", 12),
    ]
    assert found.findings.count("not-a-number") == 1


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (
            ("rated", "t/scores.csv"),
            "a table of one's own needs --columns, --direction and --range; what scores mean",
        ),
        (
            ("nonsense", "p"),
            "source of the kind 'nonsense'; expected photos, clips, rated, a name of `mllmqa data ls`",
        ),
        (("photos", "t/scores.csv"), "is not a folder; expected a folder of pristine photos"),
        (("clips", "t/scores.csv"), "is not a folder; expected a folder of pristine clips"),
    ],
)
def test_sources_that_are_none_are_refused(source: tuple[str, str], message: str, tmp_path: Path) -> None:
    photos(tmp_path / "p", 1)
    table(tmp_path / "t", [("a.png", 3)])
    with pytest.raises(UsageError, match=message):
        open_sources([Source(source[0], tmp_path / source[1])])


def test_the_files_of_a_table_are_looked_at(tmp_path: Path) -> None:
    rated = table(tmp_path / "t", [("a.png", 3)])
    with pytest.raises(UsageError, match=r"labels are enough for data sets of `mllmqa data ls` only: .*leave out"):
        open_sources([Source("rated", rated)], columns=COLUMNS, scale=MOS, media=False)


def test_the_description_tells_other_files_sizes_and_labels_apart(tmp_path: Path) -> None:
    def digest(kind: str, path: Path, scale: RatingScale = MOS) -> str:
        (one,) = open_sources([Source(kind, path)], columns=COLUMNS, scale=scale).described
        return str(one["files_sha256"])

    root = photos(tmp_path / "p", 2)
    first = digest("photos", root)
    assert digest("photos", root) == first
    (root / "photo 00.png").rename(root / "photo.png")
    renamed = digest("photos", root)
    (root / "photo.png").write_bytes(b"short")
    assert len({first, renamed, digest("photos", root)}) == 3
    rated = table(tmp_path / "t", [("a.png", 3), ("b.png", 4)])
    first = digest("rated", rated)
    assert digest("rated", rated, RatingScale("dmos", 1.0, 5.0)) != first
    table(tmp_path / "t", [("a.png", 3), ("b.png", 4.5)])
    assert digest("rated", rated) != first  # the same files with other opinions


def test_sources_go_to_other_processes(tmp_path: Path) -> None:
    found = open_sources([Source("photos", photos(tmp_path / "p", 2)), Source("biq2021", biq(tmp_path / "b"))])
    again = pickle.loads(pickle.dumps(found))  # noqa: S301 - made here
    assert (again.photos, again.rated, again.described) == (found.photos, found.rated, found.described)
