"""Parquet and Hugging Face data sets: nothing is lost, columns can be queried, and extras are named."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from mllmqa.data.formats import FORMATS, export_file, import_file
from mllmqa.data.formats.parquet import BATCH, from_dataset, to_dataset, write_rows
from mllmqa.data.sample_labels import Labels
from mllmqa.errors import DataError, MissingExtraError
from tests.data.samples_made import full, mos, plain

PARQUET = FORMATS["parquet"]


def test_a_file_of_parquet_holds_all(tmp_path: Path) -> None:
    path = tmp_path / "s.parquet"
    made = [full(), plain(), *(plain(id=f"n{k}") for k in range(BATCH + 3))]
    report = export_file(made, PARQUET, path)
    assert (report.n, dict(report.lost)) == (len(made), {})
    assert list(import_file(path, PARQUET)) == made


def test_columns_can_be_queried(tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    path = tmp_path / "s.parquet"
    export_file([full(), plain(labels=Labels(mos=(mos(2.5),)))], PARQUET, path)
    rows = pq.read_table(path).to_pylist()
    assert [row["mos_value"] for row in rows] == [3.9, 2.5]
    assert [row["level"] for row in rows] == ["good", None]
    assert rows[0]["images"] == ["ref/boat", "A.png", "B.png"]
    assert rows[0]["videos"] == ["clip.mp4"]
    assert rows[0]["messages"][1]["content"][0] == {"type": "image", "text": None, "path": "ref/boat"}
    assert rows[0]["messages"][2]["content"][0]["text"].startswith("A is better")
    assert (rows[0]["split"], rows[0]["licence"]) == ("train", "CC0-1.0")


def test_an_empty_file_has_its_columns(tmp_path: Path) -> None:
    path = tmp_path / "s.parquet"
    assert export_file([], PARQUET, path).n == 0
    assert list(import_file(path, PARQUET)) == []


def test_files_of_others_are_refused(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    other, text = tmp_path / "other.parquet", tmp_path / "text.parquet"
    pq.write_table(pa.table({"image": ["a"], "mos": [1.0]}), other)
    text.write_text("not parquet")
    with pytest.raises(DataError, match="has the columns image, mos; expected a column record"):
        list(import_file(other, PARQUET))
    for path in (text, tmp_path / "gone.parquet"):
        with pytest.raises(DataError, match="is not a Parquet file"):
            list(import_file(path, PARQUET))
    write_rows([{"record": "{}"}], tmp_path / "bad.parquet")
    with pytest.raises(DataError, match=r"bad.parquet, record 1: field id is missing"):
        list(import_file(tmp_path / "bad.parquet", PARQUET))


def test_hugging_face_data_sets_in_and_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    datasets = pytest.importorskip("datasets")
    made = [full(), plain()]
    dataset = to_dataset(made)
    assert dataset.column_names[:2] == ["id", "task"]
    assert list(from_dataset(dataset)) == made
    assert list(from_dataset(dataset.filter(lambda row: row["level"] == "good"))) == made[:1]
    path = tmp_path / "s.parquet"
    export_file(made, PARQUET, path)
    stream = datasets.load_dataset(
        "parquet", data_files=str(path), split="train", streaming=True, cache_dir=str(tmp_path / "cache")
    )
    assert list(from_dataset(stream)) == made
    with pytest.raises(DataError, match="mine, row 1: field record is missing"):
        next(from_dataset([{"id": "x"}], "mine"))


@pytest.mark.parametrize(("package", "extra"), [("pyarrow", "parquet"), ("datasets", "data")])
def test_missing_extras_are_named(
    package: str, extra: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingExtraError, match=rf"mllmqa\[{extra}\]"):
        to_dataset([plain()]) if package == "datasets" else export_file([plain()], PARQUET, tmp_path / "s.parquet")
    assert list(tmp_path.iterdir()) == []
