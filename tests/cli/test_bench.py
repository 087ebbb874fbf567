"""``mllmqa bench`` as a user meets it."""

from __future__ import annotations

import functools
import json
from pathlib import Path

import pytest

from mllmqa import benchmark
from tests import tiny_models
from tests.conftest import Run

GOLDEN = Path(__file__).parents[1] / "golden"


@pytest.fixture
def run(run: Run, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Call ``mllmqa bench``."""
    monkeypatch.setitem(benchmark.MATRIX_SIZE, "cpu", 64)
    return functools.partial(run, "bench")


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_models.build("llava", tmp_path_factory.mktemp("tiny") / "tiny", width=64)


@pytest.mark.parametrize("command", [[], ["speed"]])
def test_help_is_as_committed(command: list[str], run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "dumb")
    golden = GOLDEN / f"help-{'-'.join(['bench', *command])}.txt"
    assert run(*command, "--help").out == golden.read_text(encoding="utf-8")


@pytest.mark.parametrize("words", [(), ("speed",)])
def test_a_model_is_measured_with_and_without_the_word(words: tuple[str, ...], run: Run, tiny: Path) -> None:
    ran = run(*words, tiny, "--images", 3, "--size", "40x30", "--batch-size", 2, "--json", "--device", "cpu")
    assert ran.code == 0, ran.err
    report = json.loads(ran.out)
    assert (report["images"], report["batch_size"], report["model"]) == (3, 2, str(tiny))


def test_options_may_come_first(run: Run, tiny: Path) -> None:
    assert run("--images", 1, "--device", "cpu", "--json", tiny).code == 0


def test_the_table_says_what_was_measured(run: Run, tiny: Path) -> None:
    ran = run(tiny, "--images", 2, "--size", "40x30", "--device", "cpu", "--dtype", "float32")
    names = [line[:12].strip() for line in ran.out.splitlines()]
    assert names == ["model", "device", "images", "images/s", "time", "tokens", "FLOP/s", "peak memory"]
    assert "per image" in ran.out


def test_a_quantised_model_says_so(run: Run, tiny: Path) -> None:
    pytest.importorskip("bitsandbytes")
    out = run(tiny, "--images", 1, "--quantize", "8bit", "--device", "cpu").out
    assert "bitsandbytes llm.int8 threshold 6, vision float32" in out
    assert "not counted for quantised models" in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nano", "--size", "big"], "WIDTHxHEIGHT"),
        (["nano", "--size", "0x5"], "WIDTHxHEIGHT"),
        (["nanno"], "did you mean 'nano'"),
        (["nano", "--quantize", "2bit"], "8bit | 4bit"),
        (["nano", "--quantize-vision"], "--quantize with it"),
        (["nano", "--base", "nano"], "--base is for adapters"),
        (["nano", "--device", "abacus"], "device 'abacus'"),
        (["api:gpt"], "api:gpt: only a model that runs on this machine"),
        (["nano", "--size", "99999x99999"], "pictures of 99999x99999; expected at most"),
    ],
)
def test_usage_errors_are_one_line_and_exit_2(arguments: list[str], message: str, run: Run) -> None:
    ran = run(*arguments)
    assert (ran.code, ran.out) == (2, "")
    assert message in ran.err
    assert ran.err.count("\n") == 1
