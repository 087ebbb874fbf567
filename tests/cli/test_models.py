"""`mllmqa models`: every preset with weights, once, in any width; the JSON form holds the whole preset."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable

import pytest

from mllmqa.cli.app import main
from mllmqa.models.presets import Preset, presets
from mllmqa.models.resolve import on_this_machine, resolve
from tests.terminal import python_on_a_terminal


@pytest.fixture
def listed(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    def call(*arguments: str, columns: int = 100) -> str:
        monkeypatch.setenv("COLUMNS", str(columns))
        monkeypatch.setattr(sys, "argv", ["mllmqa", "models", *arguments])
        with pytest.raises(SystemExit) as stopped:
            main()
        out, err = capsys.readouterr()
        assert (stopped.value.code or 0, err) == (0, "")
        return out

    return call


def named() -> dict[str, Preset]:
    return {name: preset for name, preset in presets().items() if preset.weights is not None}


def test_json_holds_every_preset_with_weights_once(listed: Callable[..., str]) -> None:
    records = [json.loads(line) for line in listed("--json").splitlines()]
    assert sorted(record["name"] for record in records) == sorted(named())
    for record in records:
        here = record.pop("on_this_machine")
        assert here is on_this_machine(named()[record["name"]])
        assert Preset.model_validate(record) == named()[record["name"]]


def test_the_embedded_model_comes_first_and_is_here(listed: Callable[..., str]) -> None:
    rows = listed(columns=250).splitlines()
    assert rows[0].split()[:4] == ["name", "size", "here", "aspects"]
    first = rows[1].split()
    assert (first[0], first[3]) == ("nano", "yes")
    assert sum(row.split()[:1] == ["nano"] for row in rows) == 1


@pytest.mark.parametrize("columns", [100, 250])
def test_no_name_is_cut_off_on_a_terminal(columns: int) -> None:
    """Cells are folded, not shortened: joined again, the first column holds every name."""
    rows = python_on_a_terminal("-m", "mllmqa", "models", columns=columns).plain.split("\n\n")[0].splitlines()
    assert all(len(row) <= columns for row in rows)
    edge = rows[0].index("size")
    column = "".join(row[:edge].strip() for row in rows)
    for name in named():
        assert name in column
    assert "…" not in column


def test_every_listed_name_can_be_resolved(listed: Callable[..., str]) -> None:
    for line in listed("--json").splitlines():
        name = json.loads(line)["name"]
        assert resolve(name).preset.name == name


def test_show_tells_how_a_model_is_asked(listed: Callable[..., str]) -> None:
    shown = listed("show", "one-align-eval", columns=160)
    assert (
        r"USER: How would you rate the quality of this image?\n<image> ASSISTANT: The quality of the image is"
        in shown
    )
    assert "KonIQ-10k: SRCC 0.941, PLCC 0.95 (Q-Align, table 7)" in shown
    record = json.loads(listed("show", "one-align-eval", "--json"))
    assert record["extends"] == "one-align"
    assert record["prompts"] == presets()["one-align-eval"].prompt_texts()


def test_every_preset_can_be_shown(listed: Callable[..., str]) -> None:
    for name, preset in presets().items():
        record = json.loads(listed("show", name, "--json"))
        assert list(record["prompts"]) == list(preset.aspects)


def test_show_offers_the_nearest_name(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "argv", ["mllmqa", "models", "show", "one-aling"])
    with pytest.raises(SystemExit) as stopped:
        main()
    assert stopped.value.code == 2
    assert "did you mean 'one-align'?" in capsys.readouterr().err
