"""What `--model` can name: presets, folders, hub ids; what is wrong with a folder is one clear line."""

from __future__ import annotations

from pathlib import Path

import pytest

from mllmqa.errors import ModelLoadError, UnknownNameError
from mllmqa.models.presets import DEFAULT_MODEL, GENERIC_PRESET, presets
from mllmqa.models.resolve import MARKER_FILE, on_this_machine, resolve


def test_the_default_is_on_this_machine_and_hub_models_are_not() -> None:
    known = presets()
    assert on_this_machine(known[DEFAULT_MODEL])
    assert not on_this_machine(known["llava-1.5"])
    assert not on_this_machine(known[GENERIC_PRESET])


def test_a_preset_name_comes_before_a_folder_of_that_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "nano").mkdir()
    monkeypatch.chdir(tmp_path)
    assert resolve("nano").preset.name == "nano"
    with pytest.raises(ModelLoadError, match=r"config\.json"):
        resolve("./nano")


def test_a_folder_gets_the_generic_preset_or_the_one_that_it_names(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    assert resolve(str(tmp_path)).preset.name == GENERIC_PRESET
    (tmp_path / MARKER_FILE).write_text('{"preset": "nano"}')
    found = resolve(str(tmp_path))
    assert (found.preset.name, found.local, found.location) == ("nano", True, str(tmp_path))


@pytest.mark.parametrize("text", ["{", "[]", '{"preset": "none such"}', '{"name": "nano"}'])
def test_a_malformed_marker_is_named(text: str, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / MARKER_FILE).write_text(text)
    with pytest.raises(ModelLoadError, match=MARKER_FILE):
        resolve(str(tmp_path))


def test_hub_ids() -> None:
    known = resolve("llava-hf/llava-1.5-7b-hf", revision="abc")
    assert (known.preset.name, known.local, known.revision) == ("llava-1.5", False, "abc")
    other = resolve("someone/some-model_1.0")
    assert other.preset.name == GENERIC_PRESET


@pytest.mark.parametrize("name", ["nanno", "a/b/c", "../x/y", "/no/such/folder", "", "generic"])
def test_what_cannot_be_named(name: str) -> None:
    with pytest.raises(UnknownNameError, match="mllmqa models"):
        resolve(name)


def test_the_nearest_name_is_offered() -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'qwen3-vl'"):
        resolve("qwen3vl")
