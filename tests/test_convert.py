"""Conversion: a clean copy that stock transformers loads, complete or not there at all."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import mllmqa
from mllmqa.convert import convert
from mllmqa.errors import ModelLoadError, UnknownNameError, UsageError
from tests.conftest import photo_pixels
from tests.tiny_models import build


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny LLaVA whose configuration asks for remote code, as many published ones do."""
    folder = build("llava", tmp_path_factory.mktemp("llava"))
    config = json.loads((folder / "config.json").read_text())
    config["auto_map"] = {"AutoModelForCausalLM": "modeling_evil.Evil"}
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def test_a_copy_scores_the_same_and_names_no_remote_code(tiny: Path, tmp_path: Path) -> None:
    made = convert(str(tiny), tmp_path / "deep" / "copy")
    assert made.folder == tmp_path / "deep" / "copy"
    assert (made.dtype, made.preset) == ("float32", None)
    assert made.size_bytes == sum(p.stat().st_size for p in made.folder.rglob("*") if p.is_file())
    assert "auto_map" not in json.loads((made.folder / "config.json").read_text())
    photo = photo_pixels()
    assert mllmqa.load(str(made.folder)).score(photo).value == mllmqa.load(str(tiny)).score(photo).value


def test_stock_transformers_loads_the_copy(tiny: Path, tmp_path: Path) -> None:
    from transformers import AutoModelForImageTextToText, AutoProcessor

    made = convert(str(tiny), tmp_path / "copy", dtype="bfloat16")
    assert made.dtype == "bfloat16"
    model, report = AutoModelForImageTextToText.from_pretrained(made.folder, output_loading_info=True)
    assert not report["missing_keys"] | report["unexpected_keys"]
    assert model.num_parameters() == made.parameters
    assert AutoProcessor.from_pretrained(made.folder).chat_template


def test_the_copy_keeps_the_preset(tiny: Path, tmp_path: Path) -> None:
    made = convert("nano", tmp_path / "nano")
    assert made.preset == "nano"
    assert mllmqa.load(str(made.folder)).preset.view == mllmqa.load("nano").preset.view


def test_what_stands_in_the_way(tiny: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="exists already"):
        convert(str(tiny), tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="cannot be written"):
        convert(str(tiny), tmp_path / "file" / "copy")
    with pytest.raises(UnknownNameError, match="no model"):
        convert("no-such", tmp_path / "copy")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ModelLoadError, match=r"config\.json"):
        convert(str(tmp_path / "empty"), tmp_path / "copy")
    assert not (tmp_path / "copy").exists()


def test_what_a_stopped_conversion_left_is_replaced(tiny: Path, tmp_path: Path) -> None:
    part = tmp_path / "copy.part"
    part.mkdir()
    (part / "left-over.safetensors").write_bytes(b"half")
    made = convert(str(tiny), tmp_path / "copy")
    assert not part.exists()
    assert not (made.folder / "left-over.safetensors").exists()
