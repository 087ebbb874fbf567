"""Files of a model that a library could not read: the file is named, and what to do."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from mllmqa.errors import ModelLoadError
from mllmqa.models.diagnosis import broken_weights, cannot_load, check_tokenizer, said


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    save_file({"a": torch.zeros(4)}, tmp_path / "model-1.safetensors")
    save_file({"b": torch.zeros(4)}, tmp_path / "model-2.safetensors")
    return tmp_path


def test_whole_files_are_not_the_cause(folder: Path) -> None:
    torch.save({"c": torch.zeros(2)}, folder / "pytorch_model.bin")
    assert broken_weights(folder) is None
    error = cannot_load(KeyError("c"), "mine", folder)
    assert str(error).startswith("mine: cannot be loaded: KeyError: 'c'; expected config.json")


def test_a_cut_file_is_named_among_many(folder: Path) -> None:
    path = folder / "model-2.safetensors"
    path.write_bytes(path.read_bytes()[:-4])
    error = cannot_load(ValueError("whatever"), "mine", folder)
    assert str(error).startswith(f"{path}: cannot be loaded, cut off or damaged")
    assert str(error).endswith("download it again")


@pytest.mark.parametrize("name", ["pytorch_model-00001.bin", "adapter_model.bin"])
def test_code_in_a_pickle_is_not_run(folder: Path, name: str) -> None:
    torch.save({"a": SimpleNamespace(x=1)}, folder / name)
    found = broken_weights(folder)
    assert found is not None and name in str(found) and "code in it is never run" in str(found)


def test_pickles_alone_are_told_as_such(tmp_path: Path) -> None:
    torch.save({"a": torch.zeros(1)}, tmp_path / "pytorch_model.bin")
    assert "pytorch_model.bin is a pickle" in str(cannot_load(OSError("no file"), "mine", tmp_path))


@pytest.mark.parametrize(
    ("there", "hint"),
    [
        ((), "of its weights no file is there: none of *.safetensors, *.bin"),
        (("model.safetensors",), "of its tokenizer no file is there: none of tokenizer.json, *.model, "),
        (
            ("model.safetensors", "tokenizer.model"),
            "of its image processor no file is there: none of preprocessor_config.json",
        ),
        (("model.safetensors", "tokenizer.json", "processor_config.json"), "without remote code"),
    ],
)
def test_what_is_not_there_is_named(there: tuple[str, ...], hint: str, tmp_path: Path) -> None:
    for name in there:
        save_file({"a": torch.zeros(1)}, tmp_path / name)
    line = str(cannot_load(OSError("no such file"), "mine", tmp_path))
    assert hint in line
    assert ("no file is there" in line) == ("no file is there" in hint)


def test_a_model_on_the_hub_may_be_out_of_reach() -> None:
    assert "offline" in str(cannot_load(OSError("no connection"), "org/name", None))


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (ValueError("It fails. Then this. And that."), "ValueError: It fails."),
        (ValueError("Wrong:\n   the value\nmore"), "ValueError: Wrong: the value"),
        (ValueError("One of: (1) a file,\n (2) another"), "ValueError: One of: (1) a file"),
        (RuntimeError(""), "RuntimeError: no message"),
        (RuntimeError("x" * 400), f"RuntimeError: {'x' * 300}"),
    ],
)
def test_the_first_sentence_is_said(error: Exception, line: str) -> None:
    assert said(error) == line


def test_a_tokenizer_that_knows_nothing() -> None:
    def made(ids: list[int]) -> Any:
        return SimpleNamespace(tokenizer=lambda text, add_special_tokens: {"input_ids": ids})

    check_tokenizer(made([3]), "mine")
    with pytest.raises(ModelLoadError, match=r"mine: its tokenizer is empty; expected tokenizer\.json"):
        check_tokenizer(made([]), "mine")


def test_a_tokenizer_that_fails() -> None:
    from tokenizers import Tokenizer, models

    broken = Tokenizer(models.WordLevel({}, unk_token="<unk>"))  # noqa: S106
    tokenizer = lambda text, add_special_tokens: {"input_ids": broken.encode(text).ids}  # noqa: E731
    with pytest.raises(ModelLoadError, match="mine: its tokenizer fails: Exception: WordLevel error: Missing"):
        check_tokenizer(SimpleNamespace(tokenizer=tokenizer), "mine")
