"""The cards of the data sets, and reading by them: what they say, and that nothing is guessed."""

from __future__ import annotations

import logging
import re
from pathlib import Path

import pytest

from mllmqa.data import registry
from mllmqa.data.findings import Findings
from mllmqa.data.registry import text
from mllmqa.data.registry.schema import DataSet
from mllmqa.errors import DataError, UnknownNameError, UsageError

SURVEY = [
    "kadid10k",
    "tid2013",
    "tid2008",
    "csiq",
    "live",
    "livec",
    "koniq10k",
    "spaq",
    "flive",
    "pipal",
    "pieapp",
    "para",
    "ava",
    "uhd-iqa",
    "biq2021",
    "kadis700k",
    "agiqa3k",
    "cvd2014",
    "live-qualcomm",
    "konvid1k",
    "live-vqc",
    "youtube-ugc",
    "lsvq",
    "msu-vqmb",
    "divide-maxwell",
    "youtube-sfv-hdr",
    "kvq",
]
DOCS = Path(__file__).parents[3] / "docs" / "datasets.md"


def test_every_data_set_of_the_survey_has_a_card() -> None:
    assert sorted(registry.data_sets()) == sorted(SURVEY)


@pytest.mark.parametrize("name", SURVEY)
def test_cards_are_complete_and_consistent(name: str) -> None:
    card = registry.data_set(name)
    assert card.traps
    assert card.split.rule in ("official", "reference", "item", "none")
    assert (card.opinion == "none") == (card.split.rule == "none")
    for table in card.tables:
        assert table.score.direction == card.opinion
        low, high = table.score.measured or table.score.scale or (0, 0)
        scale = table.score.rating_scale()
        assert scale.low <= low < high <= scale.high
        assert set(table.columns.columns().named())
        for entry in table.files:
            table.reading(entry)
    if card.split.rule == "reference" and card.tables:
        assert card.tables[0].columns.reference or "reference" in card.tables[0].patterns


def test_sets_with_dmos_say_so() -> None:
    lower = {card.name for card in registry.data_sets().values() if card.opinion == "dmos"}
    assert lower == {"live", "csiq"}
    assert registry.data_set("kadid10k").opinion == "mos"  # although its column is called dmos


def test_names_that_are_not_known_get_help() -> None:
    with pytest.raises(UnknownNameError, match="did you mean koniq10k"):
        registry.data_set("KonIQ-10k")
    with pytest.raises(UnknownNameError, match="`mllmqa data ls` lists them"):
        registry.data_set("x")


def minimal(**changes: object) -> dict[str, object]:
    table = {
        "id": "a", "source": "b", "files": ["c.csv"], "columns": {"path": "d", "score": "e"},
        "score": {"direction": "mos", "scale": [1, 5]},
    }  # fmt: skip
    card: dict[str, object] = dict.fromkeys(("items", "references", "scale", "std", "licence", "access", "layout"))
    card |= {"name": "x", "title": "x", "kind": "image", "about": "x", "opinion": "mos", "split": {"rule": "item"}}
    return {**card, "tables": [{**table, **changes}]}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"score": {"direction": "dmos", "scale": [0, 1]}}, "another direction"),
        ({"score": {"direction": "mos"}}, "neither the scale nor the measured range"),
        ({"score": {"direction": "up", "scale": [0, 1]}}, "direction"),
        ({"parts": {"d.csv": "train"}}, "not in files"),
        ({"patterns": {"reference": "^a"}}, "has no group"),
        ({"files": []}, "files"),
        ({"colour": 1}, "colour"),
    ],
)
def test_wrong_cards_are_refused(changes: dict[str, object], message: str) -> None:
    DataSet.model_validate(minimal())
    with pytest.raises(ValueError, match=message):
        DataSet.model_validate(minimal(**changes))


def test_tables_of_one_card_have_different_ids() -> None:
    card = minimal()
    card["tables"] = [*card["tables"], *card["tables"]]  # type: ignore[misc]
    with pytest.raises(ValueError, match="share an id"):
        DataSet.model_validate(card)


def koniq(root: Path, rows: int = 3) -> Path:
    lines = ["image_name,c1,c2,c3,c4,c5,c_total,MOS,SD,set"]
    for k in range(rows):
        lines.append(f"{k}.jpg,0,10,30,50,10,100,{20 + 10 * k},0.6,{('training', 'validation', 'test')[k % 3]}")
        (root / "1024x768").mkdir(exist_ok=True)
        (root / "1024x768" / f"{k}.jpg").touch()
    (root / "koniq10k_distributions_sets.csv").write_text("\n".join(lines))
    return root


def test_reading_by_a_card(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        rated = registry.read(koniq(tmp_path), "koniq10k")
    assert rated.table.id == "distributions"
    first = rated.rows[0]
    assert (first.score, first.std, first.n, first.split) == (20.0, 0.6, 100.0, "train")
    assert first.histogram == (0, 10, 30, 50, 10)
    assert rated.scale.std_levels(0.6) == pytest.approx(0.6)  # on 1..5 already, although scores are on 0..100
    assert [one.level for one in rated.levelled()] == pytest.approx([1.8, 2.2, 2.6])
    assert first.path == tmp_path / "1024x768" / "0.jpg"
    assert "koniq10k: 3 x elsewhere, first" in caplog.text  # found in another folder: said, not silent


def test_one_part(tmp_path: Path) -> None:
    rated = registry.read(koniq(tmp_path, 7), "koniq10k", part="test")
    assert [row.name for row in rated.rows] == ["2.jpg", "5.jpg"]


def test_a_strict_reader_stops_and_a_lenient_one_counts(tmp_path: Path) -> None:
    (koniq(tmp_path) / "1024x768" / "1.jpg").unlink()
    with pytest.raises(DataError, match=r"line 3: field image_name: no file '1.jpg'"):
        registry.read(tmp_path, "koniq10k")
    findings = Findings()
    assert len(registry.read(tmp_path, "koniq10k", findings=findings).rows) == 3
    assert (findings.count("missing-media"), findings.count("duplicate")) == (1, 0)


def test_names_repeated_in_another_file_are_duplicates(tmp_path: Path) -> None:
    for part in ("Train", "Test"):
        (tmp_path / f"{part} (Images and MOS).csv").write_text("Image Name,MOS\na.jpg,0.5\n")
    findings = Findings()
    assert len(registry.read(tmp_path, "biq2021", findings=findings, media=False).rows) == 1
    assert findings.count("duplicate") == 1


def test_data_sets_are_recognised_by_their_files(tmp_path: Path) -> None:
    assert registry.recognise(koniq(tmp_path)).name == "koniq10k"
    (tmp_path / "labels.txt").touch()
    with pytest.raises(UsageError, match=r"fit koniq10k, cvd2014, konvid1k, .*say which with --name"):
        registry.recognise(tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match="no label file of a known data set"):
        registry.recognise(tmp_path / "empty")


def test_tables_are_chosen_by_what_is_there_or_by_name(tmp_path: Path) -> None:
    card = registry.data_set("koniq10k")
    with pytest.raises(
        DataError, match=r"no such label file of koniq10k; expected koniq10k_distributions_sets.csv, k"
    ):
        registry.choose_table(tmp_path, card)
    (tmp_path / "koniq10k_scores.csv").touch()
    assert registry.choose_table(tmp_path, card).id == "zscore"
    assert registry.choose_table(tmp_path, card, "raw").id == "raw"
    with pytest.raises(DataError, match=r"no such label file of koniq10k; expected test_koniq.json; get it from"):
        registry.choose_table(tmp_path, card, "q-align-test")
    with pytest.raises(UsageError, match=r"no table 'mos'; expected distributions \| zscore"):
        registry.choose_table(tmp_path, card, "mos")
    with pytest.raises(UsageError, match="no layout of kvq is known; give its label file with --columns"):
        registry.choose_table(tmp_path, registry.data_set("kvq"))


def test_the_documentation_holds_the_registry() -> None:
    """docs/datasets.md between its marks is what the registry says; write it anew with the command named there."""
    match = re.search(r"<!-- registry -->\n(.*)<!-- end -->", DOCS.read_text(encoding="utf-8"), re.DOTALL)
    assert match is not None
    assert match[1] == text.markdown()
