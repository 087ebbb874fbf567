"""Starting the recipe: what is run, that as many processes start as are asked for, and that none stays behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from mllmqa import resources
from mllmqa.errors import MissingExtraError, UnknownNameError, UsageError
from mllmqa.training import launch
from mllmqa.training.agent import exit_code
from mllmqa.training.launch import Command, How, command, start
from mllmqa.training.run_folder import prepare_folder
from mllmqa.training.stage import Stage
from tests import tiny_models
from tests.training.runs_made import level_file, stage_of

ROOT = Path(__file__).parents[2]
WORKER = """
import argparse, os, signal, sys, time
from pathlib import Path
from mllmqa.training.agent import follow_agent
follow_agent()
parser = argparse.ArgumentParser()
for name in ("--stage", "--out"): parser.add_argument(name, type=Path)
for name in ("--resume", "--cpu"): parser.add_argument(name, action="store_true")
args = parser.parse_args()
rank, world = int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))
total = 0
if world > 1:
    import torch
    import torch.distributed as dist
    dist.init_process_group("gloo")
    told = torch.tensor(float(rank + 1))
    dist.all_reduce(told)
    total = int(told)
    dist.barrier()
written = args.out / f"{rank}.part"
written.write_text(f"{os.getpid()} {world} {total} {os.environ.get('ACCELERATE_USE_CPU')} {args.resume} {args.cpu}")
written.rename(args.out / f"rank-{rank}")
what = args.stage.read_text()
if "stubborn" in what: signal.signal(signal.SIGINT, signal.SIG_IGN); signal.signal(signal.SIGTERM, signal.SIG_IGN)
if "ready" in what: (args.out / f"ready-{rank}").touch()
try:
    if "wait" in what: time.sleep(300)
except KeyboardInterrupt:
    sys.exit(130)
if world > 1: dist.destroy_process_group()
sys.exit(3 if "fail" in what and rank == 0 else 0)
"""
HOST = """
import json, sys
from mllmqa.training.launch import Command, start
given = json.loads(sys.argv[1])
sys.exit(start(Command(tuple(given["arguments"]), given["environment"]), patience_s=given["patience_s"]))
"""
STAGE = Stage.model_validate(
    {"name": "s", "title": "t", "optimizer": {"rate": 1e-4}, "batch": 1, "train": {"language": None}}
)


def made(folder: Path, what: str, **options: Any) -> Command:
    """A command whose recipe is the worker above, told by its stage file what to do."""
    script, stage = folder / "worker.py", folder / "stage.yaml"
    script.write_text(WORKER, encoding="utf-8")
    stage.write_text(what, encoding="utf-8")
    given = command(STAGE, stage, folder, How(cpu=True, **options), script=script)
    return Command(given.arguments, {**given.environment, "PYTHONPATH": str(ROOT)}, given.processes)


def told(folder: Path, rank: int = 0) -> list[str]:
    return (folder / f"rank-{rank}").read_text(encoding="utf-8").split()


def until(true: Callable[[], bool], what: str, process: subprocess.Popen[bytes] | None = None) -> None:
    """Wait for something that must happen; the limit only keeps a broken test from hanging."""
    end = time.monotonic() + 240
    while not true():
        assert time.monotonic() < end, what
        assert process is None or process.poll() is None, f"ended before: {what}"
        time.sleep(0.05)


def lives(pid: int) -> bool:
    """Whether a process runs; one that has ended and was not waited for does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def hosted(given: Command, patience_s: float = 120) -> subprocess.Popen[bytes]:
    """Start a command in a process of its own, which can be signalled."""
    about = {"arguments": given.arguments, "environment": dict(given.environment), "patience_s": patience_s}
    return subprocess.Popen(
        [sys.executable, "-c", HOST, json.dumps(about)], cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}
    )


def test_one_process_runs_the_recipe_directly(tmp_path: Path) -> None:
    given = command(STAGE, tmp_path / "stage.yaml", tmp_path, How(resume=True))
    recipe = resources.folder("train") / "finetune.py"
    assert given.arguments == (
        *(sys.executable, str(recipe), "--stage", str(tmp_path / "stage.yaml"), "--out", str(tmp_path), "--resume"),
    )
    assert (
        given.processes == 1 and "RANK" not in given.environment and "ACCELERATE_USE_CPU" not in given.environment
    )


def test_several_go_through_accelerate_with_our_own_file_and_never_its_cpu_flag(tmp_path: Path) -> None:
    given = command(STAGE, tmp_path / "s.yaml", tmp_path, How(processes=2, cpu=True, workers=3))
    flags = given.arguments[: given.arguments.index(str(launch.recipe()))]
    assert flags[:3] == (sys.executable, "-m", "mllmqa.training.agent")
    assert "--cpu" not in flags and flags[flags.index("--num_processes") + 1] == "2"
    assert flags[flags.index("--config_file") + 1] == str(resources.folder("train") / "accelerate" / "multi.yaml")
    assert given.environment["ACCELERATE_USE_CPU"] == "true" and int(given.environment["OMP_NUM_THREADS"]) >= 1
    assert given.arguments[-3:] == ("--workers", "3", "--cpu")  # of the recipe


def test_what_the_user_has_set_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    assert Command(("x",), {"OMP_NUM_THREADS": "1", "NEW": "2"}).environ()["OMP_NUM_THREADS"] == "7"
    assert Command(("x",), {"NEW": "2"}).environ()["NEW"] == "2"


def test_a_command_is_shown_as_one_would_type_it() -> None:
    assert Command(("python", "a b.py"), {"A": "x y"}).shown() == "A='x y' python 'a b.py'"


def test_deepspeed_in_one_process_gets_a_group_of_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: name)
    stage = STAGE.model_copy(update={"deepspeed": "zero2"})
    given = command(stage, tmp_path / "s.yaml", tmp_path, How(cpu=True))
    assert {given.environment[key] for key in ("RANK", "LOCAL_RANK")} == {"0"}
    assert given.environment["WORLD_SIZE"] == "1" and int(given.environment["MASTER_PORT"]) > 0
    assert given.environment["DS_ACCELERATOR"] == "cpu"
    # With this variable accelerate leaves DeepSpeed out and runs plain data parallel, without a word.
    assert "ACCELERATE_USE_CPU" not in given.environment
    several = command(stage, tmp_path / "s.yaml", tmp_path, How(processes=2, cpu=True))
    assert "RANK" not in several.environment and several.environment["DS_ACCELERATOR"] == "cpu"


def test_what_cannot_be_started_is_refused_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match="0 processes; expected 1 or more"):
        command(STAGE, tmp_path / "s.yaml", tmp_path, How(processes=0))
    monkeypatch.setattr("torch.cuda.device_count", lambda: 1)
    with pytest.raises(UsageError, match=r"2 processes want a GPU each, and 1 are here; .*--processes 1 or fewer"):
        command(STAGE, tmp_path / "s.yaml", tmp_path, How(processes=2))
    with pytest.raises(UnknownNameError, match=r"no DeepSpeed file 'zero4'; expected zero2 \| zero3 \| zero3-off"):
        command(STAGE.model_copy(update={"deepspeed": "zero4"}), tmp_path / "s.yaml", tmp_path)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == "deepspeed" else name)
    with pytest.raises(
        MissingExtraError, match=r"deepspeed=zero3 needs the package deepspeed.*mllmqa\[deepspeed\]"
    ):
        command(STAGE.model_copy(update={"deepspeed": "zero3"}), tmp_path / "s.yaml", tmp_path)


def test_two_processes_really_start_and_reduce_together(tmp_path: Path) -> None:
    """T6 of the facts: `accelerate launch --cpu --num_processes 2` runs one process and says nothing."""
    assert start(made(tmp_path, "", processes=2, resume=True)) == 0
    first, second = told(tmp_path, 0), told(tmp_path, 1)
    assert first[0] != second[0], "one process wrote both"
    assert first[1:] == second[1:] == ["2", "3", "true", "True", "True"]


def test_the_exit_code_of_a_worker_is_passed_on_through_accelerate(tmp_path: Path) -> None:
    assert start(made(tmp_path, "fail", processes=2)) == 3


@pytest.mark.parametrize(("what", "code"), [("", 0), ("fail", 3)])
def test_the_exit_code_of_one_process_is_passed_on(what: str, code: int, tmp_path: Path) -> None:
    assert start(made(tmp_path, what)) == code
    assert told(tmp_path)[1] == "1"


def test_a_process_that_was_killed_has_a_shells_exit_code(tmp_path: Path) -> None:
    killed = Command((sys.executable, "-c", "import os; os.kill(os.getpid(), 9)"))
    assert start(killed) == 137 == exit_code(-9)


def test_the_handlers_of_signals_are_put_back() -> None:
    before = [signal.getsignal(number) for number in launch.PASSED_ON]
    start(Command((sys.executable, "-c", "")))
    assert [signal.getsignal(number) for number in launch.PASSED_ON] == before


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_reaches_the_one_process(number: signal.Signals, code: int, tmp_path: Path) -> None:
    host = hosted(made(tmp_path, "wait"))
    until((tmp_path / "rank-0").exists, "the worker starts", host)
    host.send_signal(number)
    assert host.wait() == code
    assert not lives(int(told(tmp_path)[0]))


def test_a_process_that_does_not_heed_is_killed(tmp_path: Path) -> None:
    host = hosted(made(tmp_path, "wait stubborn ready"), patience_s=0.3)
    until((tmp_path / "ready-0").exists, "the worker starts", host)
    host.send_signal(signal.SIGINT)
    assert host.wait() == 130
    assert not lives(int(told(tmp_path)[0]))


def test_ctrl_c_ends_two_workers_and_their_agent(tmp_path: Path) -> None:
    host = hosted(made(tmp_path, "wait", processes=2))
    until(lambda: (tmp_path / "rank-0").exists() and (tmp_path / "rank-1").exists(), "both start", host)
    host.send_signal(signal.SIGINT)
    assert host.wait() == 130
    assert not any(lives(int(told(tmp_path, rank)[0])) for rank in (0, 1))


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends the children of a killed process")
def test_killing_the_command_leaves_no_orphans(tmp_path: Path) -> None:
    host = hosted(made(tmp_path, "wait", processes=2))
    until(lambda: (tmp_path / "rank-0").exists() and (tmp_path / "rank-1").exists(), "both start", host)
    workers = [int(told(tmp_path, rank)[0]) for rank in (0, 1)]
    host.kill()
    host.wait()
    until(lambda: not any(map(lives, workers)), "both workers end")


@pytest.mark.skipif(find_spec("deepspeed") is None, reason="needs the extra deepspeed")
@pytest.mark.parametrize("processes", [1, 2])
def test_deepspeed_is_really_used(processes: int, tmp_path: Path) -> None:
    """By shards of the optimiser's states, one for each process: accelerate can leave DeepSpeed out silently."""
    model = tiny_models.build("llava", tmp_path / "llava", width=64)
    data = level_file(tmp_path / "set", 8)
    stage = stage_of(
        model=str(model), data=[{"samples": str(data)}], deepspeed="zero3", precision="fp32", save_every=1,
        report_to="none", max_tokens=4096, batch=4 // processes, keep=1,
    )  # fmt: skip
    out = tmp_path / "run"
    file = prepare_folder(stage, out, processes=processes, resume=False)
    given = command(stage, file, out, How(processes=processes, cpu=True))
    assert start(Command(given.arguments, {**given.environment, "PYTHONPATH": str(ROOT)}, processes)) == 0
    assert len(list(out.glob("checkpoint-2/global_step2/zero_pp_rank_*_optim_states.pt"))) == processes
    assert (out / "model" / "config.json").is_file()
