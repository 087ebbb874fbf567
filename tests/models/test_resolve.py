"""What `--model` can name: presets, folders, hub ids; what is wrong with a folder is one clear line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mllmqa import loading
from mllmqa.errors import ModelLoadError, UnknownNameError, UsageError
from mllmqa.models.load import load_backend
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


@pytest.fixture
def adapter(tmp_path: Path) -> Path:
    folder = tmp_path / "adapter"
    folder.mkdir()
    return folder


def _on(adapter: Path, base: object) -> str:
    (adapter / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": base}))
    return str(adapter)


@pytest.mark.parametrize("text", ["{", "[]", '{"preset": "none such"}', '{"name": "nano"}', "[" * 100_000])
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


@pytest.mark.parametrize("name", ["nanno", "a/b/c", "../x/y", "/no/such/folder", "", "generic", "~nobody-here/x"])
def test_what_cannot_be_named(name: str) -> None:
    with pytest.raises(UnknownNameError, match="mllmqa models"):
        resolve(name)


def test_the_nearest_name_is_offered() -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'qwen3-vl'"):
        resolve("qwen3vl")


@pytest.mark.parametrize("name", ["api", '["api"]', "apl"])
def test_no_marker_sends_pictures_to_an_endpoint(name: str, tmp_path: Path, adapter: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    for folder, asked in ((tmp_path, str(tmp_path)), (adapter, _on(adapter, "org/base"))):
        (folder / MARKER_FILE).write_text(json.dumps({"preset": name}))
        with pytest.raises(ModelLoadError, match=f"{MARKER_FILE}: no preset .* for a model in a folder") as caught:
            loading.load(asked, device="cpu")
        assert "did you mean 'api'" not in str(caught.value)


def test_no_adapter_sends_pictures_to_an_endpoint(adapter: Path) -> None:
    with pytest.raises(ModelLoadError, match=r"adapter_config\.json: its base 'api:gpt' is behind an endpoint"):
        resolve(_on(adapter, "api:gpt"))
    with pytest.raises(ModelLoadError, match="its base 'api:gpt' is behind an endpoint"):
        resolve(_on(adapter, "org/base"), base="api:gpt")


def test_an_endpoint_has_no_files_here() -> None:
    source = resolve("api:gpt")
    assert source.remote
    assert not resolve("nano").remote
    with pytest.raises(UsageError, match="api:gpt: a model behind an endpoint has no files here"):
        load_backend(source)
    with pytest.raises(UsageError, match="no revisions and no base"):
        resolve("api:gpt", revision="main")
    with pytest.raises(UsageError, match="no model is named after api:"):
        resolve("api: ")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "cannot be loaded as JSON"),
        ("[]", "is a JSON list; expected a JSON object"),
        ("[" * 100_000, "cannot be loaded as JSON"),
        ("\udcff", "cannot be loaded as JSON"),
    ],
)
def test_a_config_that_is_none_is_named(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(ModelLoadError, match=rf"config\.json: {message}"):
        resolve(str(tmp_path))


@pytest.mark.parametrize("base", ["gpt4", "../gone", "m" * 5000, "x\0y", "~nobody-here/x"])
def test_a_base_that_is_no_model_names_the_file_that_names_it(base: str, adapter: Path) -> None:
    with pytest.raises(
        ModelLoadError, match=r"adapter_config\.json: its base .* is no model here; say which"
    ) as caught:
        resolve(_on(adapter, base))
    assert "\n" not in str(caught.value)


def test_a_base_that_the_user_named_wrongly(adapter: Path) -> None:
    with pytest.raises(UnknownNameError, match=r"no model 'nanno'.*did you mean 'nano'"):
        resolve(_on(adapter, "org/base"), base="nanno")


def test_adapters_in_a_circle(adapter: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    for base in (adapter, Path(_on(other, str(adapter)))):
        with pytest.raises(ModelLoadError, match="is an adapter itself; expected a whole model"):
            resolve(_on(adapter, str(base)))


def test_an_adapter_on_a_published_adapter(adapter: Path) -> None:
    name = next(name for name, preset in presets().items() if preset.base is not None)
    with pytest.raises(ModelLoadError, match=f"its base '{name}' is an adapter itself"):
        resolve(_on(adapter, name))
