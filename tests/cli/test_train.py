"""`mllmqa train` as a user meets it: listing, dumping, planning, and a real run with a tiny model."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from mllmqa.training import stages
from tests import tiny_models
from tests.conftest import Run
from tests.training.runs_made import level_file

GOLDEN = Path(__file__).parents[1] / "golden"
SMALL = """
title: small
preset: generic
data: []
train: {projector: null}
lora: {rank: 2}
losses: {answer: 1.0, distance: 0.1}
optimizer: {rate: 1e-3}
batch: 2
global_batch: 8
precision: fp32
save_every: 2
log_every: 1
report_to: none
max_tokens: 4096
"""


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_models.build("llava", tmp_path_factory.mktemp("llava"))


@pytest.fixture
def small(tmp_path: Path) -> Path:
    path = tmp_path / "small.yaml"
    path.write_text(SMALL, encoding="utf-8")
    return path


def test_help_is_as_committed(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "dumb")
    monkeypatch.setenv("NO_COLOR", "1")
    assert run("train", "--help").out == (GOLDEN / "help-train.txt").read_text(encoding="utf-8")


def test_stages_are_listed(run: Run) -> None:
    done = run("train", "--list")
    assert done.code == 0 and not done.err
    for name in stages.names():
        assert re.search(rf"^{re.escape(name)} ", done.out, re.MULTILINE), name
    assert "LoRA 128 in 4bit" in done.out and "vqa2-assistant" in done.out


def test_a_stage_is_needed(run: Run) -> None:
    done = run("train")
    assert (done.code, done.out) == (2, "")
    assert done.err == "mllmqa: a stage is needed; `mllmqa train --list` names them\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("deqa-lara",), "mllmqa: no stage 'deqa-lara'; expected compare2score | "),
        (("deqa", "batch"), "mllmqa: setting 'batch'; expected key=value"),
        (("deqa", "bach=3"), "deqa.yaml: bach: Extra inputs are not permitted"),
        (("deqa", "train={}"), "deqa.yaml: stage: trains nothing"),
        (("deqa", "deepspeed=zero9"), "mllmqa: no DeepSpeed file 'zero9'; expected zero2 | zero3 | zero3-offload"),
    ],
)
def test_what_is_refused_is_one_line_and_leaves_nothing(
    run: Run, arguments: tuple[str, ...], message: str, tmp_path: Path
) -> None:
    done = run("train", *arguments, "--out", tmp_path / "run")
    assert done.code == 2 and message in done.err
    assert done.err.count("\n") == 1 and not (tmp_path / "run").exists()


def test_a_dump_is_a_stage_again(run: Run, tmp_path: Path) -> None:
    done = run("train", "deqa-lora", "lora.rank=8", "--dump")
    assert done.code == 0 and not done.err
    path = tmp_path / "dumped.yaml"
    path.write_text(done.out, encoding="utf-8")
    assert stages.digest(stages.read(str(path))) == stages.digest(stages.read("deqa-lora", ["lora.rank=8"]))


def test_a_dry_run_tells_parameters_samples_steps_tokens_and_memory(
    run: Run, small: Path, model: Path, tmp_path: Path
) -> None:
    data = level_file(tmp_path / "set", 10)
    done = run("train", small, f"model={model}", f"data={data}", "--dry-run", "--processes", 2)
    assert done.code == 0, done.out + done.err
    rows = dict(re.findall(r"^(\S*) +(.*)$", done.out, re.MULTILINE))
    assert rows["stage"].endswith(": small") and rows["model"] == f"{model}, asked as generic"
    assert re.fullmatch(r"[\d,]+  trained ([\d,]+) at 0.001", rows["projector"])
    assert rows["language"].endswith("frozen") and rows["lora"].endswith("at 0.001")
    assert re.search(r"trained [\d,]+ \(\d+\.\d\d%\)", rows["parameters"])
    assert rows["set"] == f"set: 10 samples (level 10), {data}"
    assert rows["steps"] == "3 of 4 samples (batch 2 × accumulate 1 × processes 2)"
    assert rows[""] == "published with 8 samples in a step: accumulate=2"
    assert re.match(r"\d+ per sample, at most \d+, \d+\.\d of them learnt \(of 10 samples\)", rows["tokens"])
    assert re.match(r"about [\d.]+ GB per process with the longest samples seen \(weights ", rows["memory"])
    assert not (tmp_path / "runs").exists()


def test_a_dry_run_says_what_it_cannot_tell(run: Run, small: Path, model: Path) -> None:
    done = run("train", "q-instruct", "--dry-run")
    assert done.code == 1
    assert "parameters   not known: llava-1.5: is not on this machine" in done.out
    assert "samples      not known: data/qinstruct/samples.jsonl: cannot be read" in done.out
    assert "deepspeed" not in done.err
    half = run("train", small, f"model={model}", "data=nowhere.jsonl", "--dry-run")
    assert half.code == 1 and "memory       about" in half.out and "with samples of max_tokens" in half.out


def test_a_run_trains_saves_and_scores(run: Run, small: Path, model: Path, tmp_path: Path) -> None:
    data, out = level_file(tmp_path / "set", 8), tmp_path / "run"
    command = ("train", small, f"model={model}", f"data={data}", "--cpu", "--out", out)
    done = run(*command)
    assert done.code == 0, done.err
    assert done.out == f"{out / 'model'}\n"
    assert "finetune.py --stage" in done.err.splitlines()[0]
    assert stages.read(str(out / "stage.yaml")).batch == 2
    steps = [json.loads(line) for line in (out / "log.jsonl").read_text(encoding="utf-8").splitlines()]
    assert {record["step"] for record in steps if "loss" in record} == {1, 2, 3, 4}
    picture = tmp_path / "set" / "made-0.png"
    scored = run("score", "--model", out / "model", "--device", "cpu", "--json", picture)
    assert scored.code == 0, scored.err
    again = run(*command)
    assert again.code == 2 and "a run is there already; continue it with --resume" in again.err
    other = run(*command, "--resume", "--processes", 2)
    assert other.code == 2 and "the run there has 1 processes, not 2" in other.err
    resumed = run(*command, "--resume")
    assert resumed.code == 0, resumed.err
