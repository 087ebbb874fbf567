"""Reading tensors: safetensors and .bin, whole and sharded, old and damaged."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import pytest
import torch

from mllmqa.errors import ModelLoadError
from mllmqa.models.llava_original import shards
from tests.models.llava_original.made import write

TENSORS = {name: torch.randn(3, 4, generator=torch.Generator().manual_seed(i)) for i, name in enumerate("abcde")}


@pytest.mark.parametrize("form", ["safetensors", "bin", "old bin"])
@pytest.mark.parametrize("count", [1, 3])
def test_all_forms_give_the_same_tensors(form: str, count: int, tmp_path: Path) -> None:
    write(tmp_path, TENSORS, form=form, shards=count)
    found = shards.open_checkpoint(tmp_path)
    assert set(found) == set(TENSORS)
    for name, stored in found.items():
        assert stored.shape == (3, 4)
        assert torch.equal(stored[...], TENSORS[name])
        assert torch.equal(stored[1:2], TENSORS[name][1:2])


def test_safetensors_come_before_bin(tmp_path: Path) -> None:
    write(tmp_path, {"a": torch.zeros(1)}, form="bin")
    (tmp_path / "pytorch_model.bin").rename(tmp_path / "kept")
    write(tmp_path, {"b": torch.zeros(1)})
    (tmp_path / "kept").rename(tmp_path / "pytorch_model.bin")
    assert set(shards.open_checkpoint(tmp_path)) == {"b"}


def test_no_weights(tmp_path: Path) -> None:
    with pytest.raises(ModelLoadError, match="no weights"):
        shards.open_checkpoint(tmp_path)


@pytest.mark.parametrize("form", ["safetensors", "bin"])
def test_a_missing_shard_is_named(form: str, tmp_path: Path) -> None:
    write(tmp_path, TENSORS, form=form, shards=3)
    lost = next(tmp_path.glob("*-00002-*"))
    lost.unlink()
    with pytest.raises(ModelLoadError, match=lost.name):
        shards.open_checkpoint(tmp_path)


@pytest.mark.parametrize(
    "text", ["{", "[]", "{}", '{"weight_map": 3}', '{"weight_map": {"a": "../x.safetensors"}}']
)
def test_a_malformed_index_is_named(text: str, tmp_path: Path) -> None:
    (tmp_path / "model.safetensors.index.json").write_text(text)
    with pytest.raises(ModelLoadError, match=r"model\.safetensors\.index\.json"):
        shards.open_checkpoint(tmp_path)


@pytest.mark.parametrize("form", ["safetensors", "bin"])
def test_a_truncated_file_is_named(form: str, tmp_path: Path) -> None:
    write(tmp_path, TENSORS, form=form)
    file = next(f for f in tmp_path.iterdir() if f.suffix in (".safetensors", ".bin"))
    file.write_bytes(file.read_bytes()[:-40])
    with pytest.raises(ModelLoadError, match=file.name):
        shards.open_checkpoint(tmp_path)


class _Code:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return Path, ("/",)


def test_a_pickle_with_code_is_refused(tmp_path: Path) -> None:
    (tmp_path / "pytorch_model.bin").write_bytes(pickle.dumps({"a": _Code()}))
    with pytest.raises(ModelLoadError, match="cannot be read"):
        shards.open_checkpoint(tmp_path)


def test_a_key_in_two_shards_is_named(tmp_path: Path) -> None:
    write(tmp_path, {"a": TENSORS["a"], "b": TENSORS["b"]}, shards=2)
    first, second = sorted(tmp_path.glob("*.safetensors"))
    second.write_bytes(first.read_bytes())
    index = json.loads((tmp_path / "model.safetensors.index.json").read_text())
    assert len(index["weight_map"]) == 2
    with pytest.raises(ModelLoadError, match="'a' is in two shards"):
        shards.open_checkpoint(tmp_path)


def test_new_rows_are_the_mean_and_add_little_to_the_sum() -> None:
    stored = shards.Stored((50, 8), lambda: torch.randn(50, 8, generator=torch.Generator().manual_seed(1)))
    grown = shards.with_rows(stored, 64)
    matrix = grown[...]
    assert grown.shape == tuple(matrix.shape) == (64, 8)
    assert torch.equal(matrix[:50], stored[...])
    for seed in range(5):
        state = 3 * torch.randn(8, generator=torch.Generator().manual_seed(seed))
        share = (matrix[50:] @ state).exp().sum() / (matrix[:50] @ state).exp().sum()
        assert share <= 14 / 50
    assert shards.with_rows(stored, 50) is stored
