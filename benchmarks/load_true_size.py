"""Load a checkpoint of OneAlign's true size (8.2 B parameters) in bfloat16: time and peak memory.

    python benchmarks/load_true_size.py --stored bfloat16

The checkpoint has the keys, shapes and sharding of the published one. Its weights are zeros: the files are
sparse and take no room on the disk. Needs 17 GB of free memory. Memory is that of this process: ``anonymous``
cannot be given back; ``file`` are mapped pages of the checkpoint, which the system takes back when it needs
them. Weights that are stored in bfloat16 stay in the mapped file and are read when they are first used, so
memory is shown after loading and again after every page of every weight was read once.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import struct
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

import mllmqa
from mllmqa.models import mplug_owl2
from mllmqa.models.mplug_owl2.configuration import MplugOwl2Config
from mllmqa.models.mplug_owl2.modeling import MplugOwl2ForConditionalGeneration

TOKENIZER = Path(__file__).parents[1] / "tests" / "fixtures" / "mplug_owl2" / "img_mha_q8" / "tokenizer.model"
SHARD_BYTES = 10_000_000_000
NAMES = {"bfloat16": "BF16", "float16": "F16", "float32": "F32"}
CONFIG = {
    "model_type": "mplug_owl2",
    "architectures": ["MPLUGOwl2LlamaForCausalLM"],
    **{"hidden_size": 4096, "intermediate_size": 11008, "num_hidden_layers": 32, "num_attention_heads": 32},
    **{"num_key_value_heads": 32, "vocab_size": 32000, "rms_norm_eps": 1e-5, "max_position_embeddings": 4096},
    "visual_config": {
        "visual_model": {
            **{"hidden_size": 1024, "intermediate_size": 4096, "num_hidden_layers": 24},
            **{"num_attention_heads": 16, "image_size": 448, "patch_size": 14},
        },
        "visual_abstractor": {
            **{"hidden_size": 1024, "intermediate_size": 2816, "num_hidden_layers": 6},
            **{"num_attention_heads": 16, "num_learnable_queries": 64, "grid_size": 32},
        },
    },
}
PICTURES = {
    **{"image_processor_type": "CLIPImageProcessor", "size": 448, "crop_size": 448, "resample": 3},
    "image_mean": [0.48145466, 0.4578275, 0.40821073],
    "image_std": [0.26862954, 0.26130258, 0.27577711],
}


def shards(shapes: dict[str, tuple[int, ...]], width: int) -> Iterator[dict[str, tuple[int, ...]]]:
    """Yield the tensors of each file."""
    part: dict[str, tuple[int, ...]] = {}
    size = 0
    for name, shape in shapes.items():
        count = width * torch.Size(shape).numel()
        if size + count > SHARD_BYTES:
            yield part
            part, size = {}, 0
        part[name] = shape
        size += count
    yield part


def write_sparse(path: Path, shapes: dict[str, tuple[int, ...]], dtype: str, width: int) -> None:
    """Write a safetensors file of zeros: its header, then a hole."""
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    end = 0
    for name, shape in shapes.items():
        start, end = end, end + width * torch.Size(shape).numel()
        header[name] = {"dtype": NAMES[dtype], "shape": list(shape), "data_offsets": [start, end]}
    text = json.dumps(header).encode()
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        file.truncate(8 + len(text) + end)


def write_checkpoint(folder: Path, dtype: str) -> int:
    """Write everything that the loader wants and return the size of the weights in bytes."""
    with torch.device("meta"):
        model = MplugOwl2ForConditionalGeneration(MplugOwl2Config(**CONFIG))
    shapes = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    width = getattr(torch, dtype).itemsize
    parts = list(shards(shapes, width))
    places = {}
    for number, part in enumerate(parts, 1):
        name = f"model-{number:05}-of-{len(parts):05}.safetensors"
        write_sparse(folder / name, part, dtype, width)
        places |= dict.fromkeys(part, name)
    size = width * sum(torch.Size(shape).numel() for shape in shapes.values())
    index = {"metadata": {"total_size": size}, "weight_map": places}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    (folder / "config.json").write_text(json.dumps(CONFIG))
    (folder / "preprocessor_config.json").write_text(json.dumps(PICTURES))
    shutil.copy(TOKENIZER, folder)
    return size


class Memory:
    """Watches this process every 20 ms."""

    def __init__(self) -> None:
        self.peak = {"VmRSS": 0, "RssAnon": 0, "RssFile": 0}
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Memory:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._done.wait(0.02):
            status = Path("/proc/self/status").read_text()
            for name, kib in re.findall(r"^(VmRSS|RssAnon|RssFile):\s+(\d+) kB", status, re.MULTILINE):
                self.peak[name] = max(self.peak[name], int(kib))

    def __str__(self) -> str:
        total, anonymous, file = (kib * 1024 / 1e9 for kib in self.peak.values())
        return f"{total:.2f} GB resident; anonymous {anonymous:.2f} GB, file {file:.2f} GB, each at its own peak"


def read_all(model: torch.nn.Module) -> None:
    """Touch every page of every weight."""
    for tensor in model.state_dict().values():
        tensor.flatten().view(torch.uint8)[::4096].sum()


def main() -> None:
    """Write, load, report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--stored", choices=NAMES, default="bfloat16", help="dtype of the files")
    parser.add_argument("--folder", type=Path, help="where to write them; default: a temporary folder")
    options = parser.parse_args()
    mplug_owl2.register()
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        folder = Path(name)
        size = write_checkpoint(folder, options.stored)
        start = time.perf_counter()
        with Memory() as loading:
            scorer = mllmqa.load(name, device="cpu", dtype="bfloat16")
        took = time.perf_counter() - start
        model: Any = scorer.backend.model  # type: ignore[attr-defined]
        with Memory() as reading:
            read_all(model)
        print(f"stored     {len(model.state_dict())} tensors, {size / 1e9:.2f} GB {options.stored}")
        print(f"parameters {model.num_parameters():,} in {model.dtype}, preset {scorer.preset.name}")
        print(f"load       {took:.1f} s, SHA-256 of the files included")
        print(f"peak       {loading} (loading)")
        print(f"peak       {reading} (reading every weight once)")


if __name__ == "__main__":
    main()
