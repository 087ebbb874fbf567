"""A built set in the formats of others: every format opens again with every sample."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from mllmqa.data.build import Recipe, Source, build, open_sources
from mllmqa.data.build.export import check_formats, export_set, formats_named
from mllmqa.data.build.recipe import Kind
from mllmqa.data.formats import FORMATS, import_file
from mllmqa.data.ratings import RatingScale
from mllmqa.data.sample_file import write_samples
from mllmqa.errors import DataError, UnknownNameError, UsageError
from tests.data.build.built_here import COLUMNS, MOS, clips, order, photos, recipe, samples, table
from tests.data.samples_made import medium, plain


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("export")
    build(order(recipe(root), root / "out", [Source("photos", photos(root / "photos"))], 9))
    return root / "out"


@pytest.mark.parametrize("name", sorted(FORMATS))
def test_every_format_opens_again_with_every_sample(name: str, built: Path) -> None:
    pytest.importorskip("pyarrow")
    (line,) = export_set(built / "samples.jsonl", formats_named([name]))
    path = Path(line.partition(": ")[0])
    assert path.parent == built and path.stem == name and ": 9 samples" in line
    again = list(import_file(path, formats_named([name])[0]))
    whole = samples(built)
    assert len(again) == len(whole) == 9
    for one, other in zip(again, whole, strict=True):
        for read, told in zip(one.messages, other.messages, strict=True):  # DepictQA writes no names of media
            assert told.text.endswith(read.text) if name == "depictqa" else told.text.strip() == read.text.strip()
        assert {medium.path for medium in one.media} == {medium.path for medium in other.media}
        assert all((built / (medium.path or "")).is_file() for medium in one.media)


def test_what_is_there_is_replaced_and_what_is_lost_is_told(built: Path) -> None:
    form = formats_named(["llava"])
    (first,) = export_set(built / "samples.jsonl", form)
    path = built / "llava.json"
    before = path.read_bytes()
    path.write_text("old", encoding="utf-8")
    assert list(export_set(built / "samples.jsonl", form)) == [first]
    assert path.read_bytes() == before
    assert "llava does not hold" in first and "labels" in first
    assert not list(built.glob("*.partial"))


def test_several_formats_at_once(built: Path) -> None:
    lines = list(export_set(built / "samples.jsonl", formats_named(["llava", "messages", "sharegpt"])))
    assert [Path(line.partition(": ")[0]).name for line in lines] == [
        "llava.json",
        "messages.jsonl",
        "sharegpt.json",
    ]


def test_rated_media_are_exported_with_their_paths(tmp_path: Path) -> None:
    path = table(tmp_path / "rated", [(f"a{k}.png", 1 + k) for k in range(4)])
    opened = {"columns": COLUMNS, "scale": RatingScale("mos", 1.0, 5.0)}
    build(order("qalign", tmp_path / "out", [Source("rated", path)], opened=opened))
    list(export_set(tmp_path / "out" / "samples.jsonl", formats_named(["messages"])))
    again = list(import_file(tmp_path / "out" / "messages.jsonl", formats_named(["messages"])[0], scale=MOS))
    assert {medium.path for one in again for medium in one.media} == {f"../rated/a{k}.png" for k in range(4)}


def test_what_a_format_cannot_say_is_an_error(tmp_path: Path) -> None:
    text = (samples_file := tmp_path / "samples.jsonl").write_text("{}\n", encoding="utf-8")
    assert text
    with pytest.raises(DataError, match=r"samples\.jsonl, line 1"):
        list(export_set(samples_file, formats_named(["llava"])))
    assert not (tmp_path / "llava.json").exists()


def test_unknown_formats_are_named() -> None:
    with pytest.raises(UnknownNameError, match="llava"):
        formats_named(["llama"])


def test_what_cannot_be_written_is_refused_before_it_is_built(tmp_path: Path) -> None:
    sources = open_sources([Source("photos", photos(tmp_path / "photos", 1))])
    four = Recipe("Up to four", lambda made: [], ("photos",), most=4)
    with pytest.raises(UsageError, match="depictqa has 2 slots for media, and samples of this recipe show up to 4"):
        check_formats(formats_named(["llava", "depictqa"]), four, {}, sources)
    check_formats(formats_named(["llava", "messages", "sharegpt", "parquet"]), four, {}, sources)
    for unknown in (None, 2):
        check_formats(formats_named(["depictqa"]), replace(four, most=unknown), {}, sources)


@pytest.mark.parametrize(("needs", "uses"), [(("clips",), ()), (("photos",), ("clips",)), (("rated",), ())])
def test_formats_without_clips_are_refused_where_clips_come(
    tmp_path: Path, needs: tuple[Kind, ...], uses: tuple[Kind, ...]
) -> None:
    clips(tmp_path / "clips")
    (tmp_path / "clips" / "t.csv").write_text("file,mos\nclip0.mp4,3\n")
    given = [Source("clips", tmp_path / "clips"), Source("rated", tmp_path / "clips" / "t.csv")]
    sources = open_sources(given, columns=COLUMNS, scale=MOS)
    made = Recipe("Some", lambda made: [], needs, uses)
    with pytest.raises(UsageError, match=r"depictqa has no slot for clips.*expected --format llava \| messages"):
        check_formats(formats_named(["depictqa"]), made, {}, sources)
    without = open_sources([Source("photos", photos(tmp_path / "photos", 1))])
    check_formats(formats_named(["depictqa"]), replace(made, needs=("photos",)), {}, without)


def test_a_set_stays_complete_where_a_format_fails(tmp_path: Path) -> None:
    write_samples([plain(media=(medium(), medium("C")))], path := tmp_path / "samples.jsonl")
    before = path.read_bytes()
    with pytest.raises(DataError, match=r"sample one: depictqa is not written: .*is complete; .*--resume --format"):
        list(export_set(path, formats_named(["depictqa"])))
    assert path.read_bytes() == before and [one.name for one in tmp_path.iterdir()] == ["samples.jsonl"]
