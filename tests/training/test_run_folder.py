"""The folder of a run: begun once, continued only as what it is."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mllmqa.errors import UsageError
from mllmqa.training import stages
from mllmqa.training.run_folder import RUN_FILE, STAGE_FILE, default_out, prepare_folder
from tests.training.runs_made import stage_of


def test_a_new_run_writes_what_it_was_started_with(tmp_path: Path) -> None:
    stage, out = stage_of(batch=3, lora={"rank": 2}), tmp_path / "deep" / "run"
    file = prepare_folder(stage, out, processes=2, resume=False)
    assert file == out / STAGE_FILE
    assert stages.read(str(file)) == stage
    about = json.loads((out / RUN_FILE).read_text(encoding="utf-8"))
    assert about["stage"] == stages.digest(stage) and about["processes"] == 2 and about["mllmqa"]


def test_a_run_is_not_begun_twice_by_accident(tmp_path: Path) -> None:
    prepare_folder(stage_of(), tmp_path, processes=1, resume=False)
    with pytest.raises(UsageError, match="a run is there already; continue it with --resume, or name another"):
        prepare_folder(stage_of(), tmp_path, processes=1, resume=False)
    prepare_folder(stage_of(), tmp_path, processes=1, resume=True)


def test_resume_begins_where_nothing_is(tmp_path: Path) -> None:
    assert prepare_folder(stage_of(), tmp_path / "new", processes=1, resume=True).is_file()


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"batch": 4}, "the run there has batch=2, not 4; expected the same stage and settings"),
        ({"batch": 4, "seed": 9}, r"the run there has batch=2 \(and seed\), not 4"),
        ({"train": {"head": 1e-3}}, r'has train={"head": null}, not {"head": 0.001}'),
        ({"epochs": 7}, "has epochs=1.0, not 7.0"),
        ({"model": "m" * 200}, 'has model=null, not "m+…'),
    ],
)
def test_another_stage_does_not_continue_it(fields: dict[str, object], message: str, tmp_path: Path) -> None:
    prepare_folder(stage_of(), tmp_path, processes=1, resume=False)
    before = (tmp_path / STAGE_FILE).read_bytes()
    with pytest.raises(UsageError, match=message):
        prepare_folder(stage_of(**fields), tmp_path, processes=1, resume=True)
    assert (tmp_path / STAGE_FILE).read_bytes() == before


def test_what_no_weight_depends_on_may_change(tmp_path: Path) -> None:
    prepare_folder(stage_of(), tmp_path, processes=1, resume=False)
    other = stage_of(title="other", name="other", log_every=1, keep=9, report_to=["none"])
    prepare_folder(other, tmp_path, processes=1, resume=True)
    assert stages.read(str(tmp_path / STAGE_FILE)).keep == 9


def test_another_number_of_processes_does_not_continue_it(tmp_path: Path) -> None:
    prepare_folder(stage_of(), tmp_path, processes=2, resume=False)
    with pytest.raises(UsageError, match="the run there has 2 processes, not 1; expected --processes 2"):
        prepare_folder(stage_of(), tmp_path, processes=1, resume=True)
    (tmp_path / RUN_FILE).write_text("{}", encoding="utf-8")
    with pytest.raises(UsageError, match=r"run\.json: malformed"):
        prepare_folder(stage_of(), tmp_path, processes=2, resume=True)
    (tmp_path / RUN_FILE).unlink()  # started by hand
    prepare_folder(stage_of(), tmp_path, processes=1, resume=True)


def test_a_place_that_cannot_be_used(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x", encoding="utf-8")
    with pytest.raises(UsageError, match="cannot be written"):
        prepare_folder(stage_of(), tmp_path / "file" / "run", processes=1, resume=False)


def test_runs_lie_in_runs() -> None:
    assert default_out(stage_of(name="deqa")) == Path("runs/deqa")
