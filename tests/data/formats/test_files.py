"""Whole files: written at once or not at all, read lazily, losses counted, paths that follow the file."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

from mllmqa.data.formats import FORMATS, Format, export_file, format_named, import_file, lost_fields
from mllmqa.data.formats.files import rebased
from mllmqa.data.formats.loss import keyed, leaves
from mllmqa.data.ratings import RatingScale
from mllmqa.data.sample import Sample
from mllmqa.data.sample_labels import Distortion, Labels
from mllmqa.errors import DataError, UnknownNameError, UsageError
from tests.data.samples_made import full, medium, mos, plain, said


@pytest.mark.parametrize("name", sorted(FORMATS))
@pytest.mark.parametrize("n", [0, 1, 3])
def test_files_of_every_format_are_read_again(name: str, n: int, tmp_path: Path) -> None:
    path, form = tmp_path / "out", FORMATS[name]
    made = [plain(id=f"s{k}") for k in range(n)]
    assert export_file(iter(made), form, path).n == n
    if form.container == "array":
        assert len(json.loads(path.read_text(encoding="utf-8"))) == n
    if n or name == "parquet":
        back = [sample.model_copy(update={"task": None}) for sample in import_file(path, form)]
        assert back == made


def test_arrays_have_one_record_per_line(tmp_path: Path) -> None:
    export_file([plain(id="a"), plain(id="b")], FORMATS["llava"], tmp_path / "x.json")
    lines = (tmp_path / "x.json").read_text(encoding="utf-8").splitlines()
    assert [line[:1] for line in lines] == ["[", "{", "{", "]"]
    assert json.loads(lines[1].rstrip(","))["id"] == "a"


def test_losses_are_counted(tmp_path: Path) -> None:
    made = [plain(id="a", source="x", labels=Labels(mos=(mos(),))), plain(id="b", source="y"), plain(id="c")]
    report = export_file(made, FORMATS["messages"], tmp_path / "x.jsonl")
    assert report.n == 3
    assert report.lost["source"] == 2
    assert report.lost["labels.mos.value"] == 1
    assert "media" not in report.lost


def test_a_sample_that_cannot_be_expressed_leaves_no_file(tmp_path: Path) -> None:
    bad = plain(id="b", messages=(said("user", "@A", "<image>"),))
    with pytest.raises(DataError, match="sample b: a text holds the tag"):
        export_file([plain(), bad], FORMATS["llava"], tmp_path / "x.json")
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "x.json").write_text("mine")
    with pytest.raises(UsageError, match="exists already"):
        export_file([plain()], FORMATS["llava"], tmp_path / "x.json")
    assert (tmp_path / "x.json").read_text() == "mine"


def test_fields_that_are_not_read_are_counted(tmp_path: Path) -> None:
    turns = [{"from": "human", "value": "<image>"}, {"from": "gpt", "value": "Good."}]
    rows = [{"id": "a", "image": "a", "conversations": turns, "model": "x", "gt_score": 3}]
    path = tmp_path / "x.json"
    path.write_text(json.dumps(rows * 2))
    unread: Counter[str] = Counter()
    found = list(import_file(path, FORMATS["llava"], scale=RatingScale("mos", 1, 5), unread=unread))
    assert len(found) == 2
    assert unread == {"model": 2}


def test_errors_name_file_and_record(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    path.write_text('[{"id": "a", "image": "a", "conversations": []}]')
    with pytest.raises(DataError, match=r"x\.json, record 1: 1 images without a tag"):
        list(import_file(path, FORMATS["llava"]))
    path.write_text('[{"id": "a"}, 3]')
    with pytest.raises(DataError, match=r"x\.json, record 1: field messages is missing"):
        list(import_file(path, FORMATS["messages"]))
    path.write_text("[3]")
    with pytest.raises(DataError, match=r"x\.json, record 1: is 3; expected an object"):
        list(import_file(path, FORMATS["messages"]))


def test_paths_follow_the_file(tmp_path: Path) -> None:
    data, out = tmp_path / "data", tmp_path / "out" / "deep"
    data.mkdir()
    out.mkdir(parents=True)
    labels = Labels(distortions=(Distortion(media="A", category="blur", mask="m/a.png"),))
    sample = plain(media=(medium(path="p/a.png"),), labels=labels)
    moved = rebased(sample, data, out)
    assert moved.media[0].path == "../../data/p/a.png"
    assert (moved.labels.distortions or ())[0].mask == "../../data/m/a.png"
    assert rebased(moved, out, data) == sample
    assert rebased(sample, data, data) is sample
    fixed = plain(media=(medium(path="/abs/a.png"), medium("B", path=None, sha256="0" * 64)))
    assert rebased(fixed, data, out) == fixed
    export_file([sample], FORMATS["messages"], out / "x.jsonl", folder=data)
    (back,) = import_file(out / "x.jsonl", FORMATS["messages"])
    assert back.media[0].path == "../../data/p/a.png"


def test_formats_by_name() -> None:
    assert sorted(FORMATS) == ["depictqa", "llava", "messages", "parquet", "sharegpt"]
    with pytest.raises(UnknownNameError, match="no format is called csv; expected llava"):
        format_named("csv")
    assert format_named("llava") is FORMATS["llava"]


def measured(field: str, form: Format, made: list[Sample]) -> str:
    """Whether a field comes back: always, never, of some samples only, or not at stake."""
    kept = set()
    for sample in made:
        names = {
            ".".join(str(p) for p in place if not isinstance(p, int)) for place, _ in leaves(keyed(sample), ())
        }
        names = {".".join(n.split(".")[:1] + n.split(".")[2:]) if n.startswith("media.") else n for n in names}
        some = {name for name in names if name == field or name.startswith(f"{field}.")}
        if some:
            lost = lost_fields(sample, form)
            kept.add(not any(one == field or one.startswith(f"{field}.") for one in lost))
    return {0: "n/a", 1: "yes" if True in kept else "–", 2: "partly"}[len(kept)]


def test_the_documented_losses_are_the_measured_ones() -> None:
    """The table in docs/data.md says what comes back of samples with every field set."""
    text = (Path(__file__).parents[3] / "docs" / "data.md").read_text(encoding="utf-8")
    lines = [line.strip().strip("|").split("|") for line in text.splitlines() if line.startswith("| `")]
    table = {cells[0].strip("` "): [cell.strip() for cell in cells[1:]] for cells in lines if len(cells) == 6}
    assert len(table) > 15
    whole = full()
    labels = whole.labels.model_copy(update={"distortions": (whole.labels.distortions or ())[:3], "stalls": ()})
    words = (said("user", "@ref", "@A", "@B", "Which is better?"), said("assistant", "A."))
    still = whole.model_copy(update={"media": whole.media[:3], "messages": words, "labels": labels})
    one = plain(labels=Labels(mos=(mos(std=0.5),)))
    for k, name in enumerate(("llava", "messages", "sharegpt", "depictqa", "parquet")):
        made = [still, one] if name == "depictqa" else [whole, still, one]
        found = {field: measured(field, FORMATS[name], made) for field in table}
        assert found == {field: cells[k] for field, cells in table.items()}, name
