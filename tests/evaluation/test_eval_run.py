"""Runs: every item has one prediction per scorer, a kill costs nothing that was logged, nothing is mixed."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from mllmqa.errors import DataError, UnknownNameError, UsageError
from mllmqa.evaluation import spec
from mllmqa.evaluation.run import SPEC_FILE, figures_of, run
from mllmqa.evaluation.runlog import Prediction, log_path, read_log
from mllmqa.evaluation.summary import summarise
from mllmqa.schema import Score
from mllmqa.scoring import Scorer
from mllmqa.training.samples import make_smoke_set
from tests.eval_logs import Watch


@pytest.fixture(scope="module")
def biq(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight made-up test photos; b5 is broken."""
    root = make_smoke_set(tmp_path_factory.mktemp("biq"), seed=3, photos=8, side=96)
    (root / "Images" / "b5.jpg").write_bytes(b"\xff\xd8\xff\xe0 no photo")
    return root


def wanted(biq: Path, **fields: Any) -> spec.EvalSpec:
    made = {"data": [{"name": "biq2021", "root": str(biq), "part": "test"}], "metrics": ["constant", "sharpness"]}
    return spec.checked({**made, **fields})


class Killed(Watch):
    """Stops the run after some predictions, as Ctrl-C does."""

    def __init__(self, after: int) -> None:
        super().__init__()
        self._after = after

    def made(self, one: Prediction) -> None:
        super().made(one)
        if len(self.predictions) == self._after:
            raise KeyboardInterrupt


def test_every_item_has_one_prediction_of_each_scorer(biq: Path, tmp_path: Path) -> None:
    watch = Watch()
    log = run(wanted(biq), tmp_path / "run", watch)
    assert watch.begun == [("constant", "biq2021", 8), ("sharpness", "biq2021", 8)]
    assert len(watch.predictions) == 16
    assert log.of("sharpness", "biq2021")["b5.jpg"].reason in ("corrupt", "unknown-format")
    assert read_log(tmp_path / "run") == log
    found = {one.scorer: one for one in summarise(log).rows}
    assert (found["sharpness"].n_scored, found["sharpness"].n_unscored) == (7, 1)
    assert spec.checked(spec.read_fields(str(tmp_path / "run" / SPEC_FILE))).metrics == ("constant", "sharpness")


@pytest.mark.parametrize("after", [1, 3, 8, 11])
def test_a_killed_run_goes_on_and_asks_nothing_twice(biq: Path, tmp_path: Path, after: int) -> None:
    whole = run(wanted(biq), tmp_path / "whole", Watch())
    first = Killed(after)
    with pytest.raises(KeyboardInterrupt):
        run(wanted(biq), tmp_path / "run", first)
    log = log_path(tmp_path / "run")
    log.write_bytes(log.read_bytes() + b'{"record":"prediction","sco')  # and the machine lost power
    second = Watch()
    found = run(wanted(biq), tmp_path / "run", second, resume=True)
    assert found.predictions == whole.predictions
    assert summarise(found) == summarise(whole)
    again = {(one.scorer, one.item) for one in first.predictions} & {
        (one.scorer, one.item) for one in second.predictions
    }
    assert not {item for _, item in again} - {"b5.jpg"}  # of an unknown format: looked at again


def test_a_finished_run_is_not_opened_again_and_scorers_can_be_added(biq: Path, tmp_path: Path) -> None:
    root = Path(shutil.copytree(biq, tmp_path / "biq"))
    (root / "Images" / "b5.jpg").write_bytes((root / "Images" / "b4.jpg").read_bytes())
    run(wanted(root), tmp_path / "run", Watch())
    before = log_path(tmp_path / "run").read_bytes()
    shutil.rmtree(root / "Images")  # no medium is opened
    watch = Watch()
    run(wanted(root), tmp_path / "run", watch, resume=True)
    assert watch.begun == []
    assert log_path(tmp_path / "run").read_bytes() == before
    added = run(wanted(root, metrics=["constant", "contrast"]), tmp_path / "run", Watch(), resume=True)
    assert list(added.scorers) == ["constant", "sharpness", "contrast"]
    assert {one.reason for one in added.of("contrast", "biq2021").values()} == {"not-found"}


def test_changed_content_is_measured_again(biq: Path, tmp_path: Path) -> None:
    root = Path(shutil.copytree(biq, tmp_path / "biq"))
    run(wanted(root, metrics=["sharpness"]), tmp_path / "run", Watch())
    shutil.copy(root / "Images" / "b4.jpg", root / "Images" / "b5.jpg")  # mended
    watch = Watch()
    log = run(wanted(root, metrics=["sharpness"]), tmp_path / "run", watch, resume=True)
    if watch.predictions:  # it was of an unknown format, and not broken for good
        assert [one.item for one in watch.predictions] == ["b5.jpg"]
        assert log.of("sharpness", "biq2021")["b5.jpg"].value is not None


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"limit": 3}, "the log has other items of biq2021"),
        ({"part": "train"}, "the log has other items of biq2021"),
        ({"name": "other", "set": "biq2021"}, "the log has the data set biq2021, too"),
    ],
)
def test_a_run_is_only_continued_with_its_data(
    biq: Path, tmp_path: Path, change: dict[str, Any], words: str
) -> None:
    run(wanted(biq), tmp_path / "run", Watch())
    data = {"name": "biq2021", "root": str(biq), "part": "test", **change}
    with pytest.raises(DataError, match=words):
        run(wanted(biq, data=[data]), tmp_path / "run", Watch(), resume=True)
    with pytest.raises(UsageError, match="a run is there already"):
        run(wanted(biq), tmp_path / "run", Watch())


def test_items_of_a_run_that_was_killed_while_it_read_them_are_not_mixed(biq: Path, tmp_path: Path) -> None:
    run(wanted(biq), tmp_path / "run", Watch())
    path = log_path(tmp_path / "run")
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(lines[:4]))  # header and three items
    data = {"name": "biq2021", "root": str(biq), "part": "test", "limit": 2}
    with pytest.raises(DataError, match="which is not asked for"):
        run(wanted(biq, data=[data]), tmp_path / "run", Watch(), resume=True)
    assert len(run(wanted(biq), tmp_path / "run", Watch(), resume=True).items["biq2021"]) == 8


def test_a_scorer_of_the_same_name_but_other_settings_is_refused(biq: Path, tmp_path: Path) -> None:
    table = tmp_path / "p.csv"
    table.write_text("name,score\nb0.jpg,1\nb1.jpg,2\n")
    both = wanted(biq, metrics=[], predictions=[f"p={table}"])
    run(both, tmp_path / "run", Watch())
    table.write_text("name,score\nb0.jpg,1\nb1.jpg,3\n")
    with pytest.raises(DataError, match=r"the log has p with other settings.*may not be mixed"):
        run(both, tmp_path / "run", Watch(), resume=True)


def test_mistakes_are_found_before_anything_is_written(biq: Path, tmp_path: Path) -> None:
    for fields, kind, words in (
        ({"metrics": ["nosuch"]}, UnknownNameError, "no metric 'nosuch'"),
        ({"predictions": ["p=/none.csv"]}, DataError, "cannot be read"),
        ({"data": ["biq2021"]}, UsageError, "where the data set biq2021 lies is not said; --data biq2021=ROOT"),
    ):
        with pytest.raises(kind, match=words):
            run(wanted(biq, **fields), tmp_path / "run", Watch())  # type: ignore[arg-type]
    assert not (tmp_path / "run").exists()


def test_a_model_is_asked_by_its_own_and_by_other_prompts(biq: Path, tmp_path: Path, nano: Scorer) -> None:
    data = {"name": "biq2021", "root": str(biq), "part": "test", "limit": 3}
    models = [{"model": "nano", "device": "cpu"}]
    log = run(wanted(biq, data=[data], metrics=[], models=models), tmp_path / "run", Watch())
    said = log.of("nano", "biq2021")
    assert len(said) == 3
    for name, one in said.items():
        item = log.items["biq2021"][name]
        if one.value is None:
            continue
        expected = nano.score(item.path)
        assert (one.value, one.std) == pytest.approx((expected.value, expected.std), abs=1e-5)
        assert isinstance(one.result, Score)
        assert one.result.levels == pytest.approx(expected.levels, abs=1e-5)
        assert one.result.provenance.spec == log.scorers["nano"].spec == expected.provenance.spec
        assert one.sha256 == expected.media.sha256
    assert log.scorers["nano"].scale == (1, 5)
    own = str(log.scorers["nano"].about["prompt_id"]).partition("@")[0]
    asked = wanted(biq, data=[data], metrics=[], models=models, prompts=[own, "score/aesthetics"])
    log = run(asked, tmp_path / "prompts", Watch())
    same, other = log.scorers[f"nano + {own}"], log.scorers["nano + score/aesthetics"]
    assert same.spec != other.spec
    assert str(other.about["prompt_id"]).startswith("score/aesthetics@")
    for name, one in log.of(same.name, "biq2021").items():
        assert one.value == pytest.approx(said[name].value)


def test_figures_are_made_as_the_run_says_where_nothing_else_is_said(biq: Path, tmp_path: Path) -> None:
    asked = wanted(biq, figures={"by": ["level"], "resamples": 77})
    run(asked, tmp_path / "run", Watch())
    plain = figures_of(tmp_path / "run", by=[], combine=[], resamples=None)
    assert plain == asked.figures
    other = figures_of(tmp_path / "run", by=["folder"], combine=["ridge"], resamples=5)
    assert (other.by, other.combine, other.resamples) == (("folder",), ("ridge",), 5)
    with pytest.raises(UsageError, match=r"combine.0"):
        figures_of(tmp_path / "run", by=[], combine=["mean"], resamples=None)
    assert figures_of(tmp_path, by=[], combine=[], resamples=None) == spec.Figures()


def test_samples_and_near_duplicates_through_a_run(biq: Path, tmp_path: Path) -> None:
    label = {"media": "A", "value": 2.0, "low": 1, "high": 5, "direction": "higher-better"}
    media = [{"key": "A", "kind": "image", "path": str(biq / "Images" / "b1.jpg")}]
    sample = {"sample_version": 1, "id": "s", "media": media, "labels": {"mos": [label]}}
    (tmp_path / "s.jsonl").write_text(json.dumps(sample) + "\n")
    data = [
        {"name": "mine", "root": str(tmp_path / "s.jsonl")},
        {"name": "biq2021", "root": str(biq), "part": "test", "near_duplicates": 64},
    ]
    watch = Watch()
    log = run(wanted(biq, data=data, metrics=["constant"]), tmp_path / "run", watch)
    assert list(log.data) == ["mine", "biq2021"]
    assert log.of("constant", "mine")["s"].value == 3
    assert "biq2021: looking for near-duplicates of its training photos" in watch.notes
    assert log.data["biq2021"].duplicates_within == 64
    again = Watch()
    run(wanted(biq, data=data, metrics=["constant"]), tmp_path / "run", again, resume=True)
    assert not any("near-duplicates" in note for note in again.notes)  # the log has them
