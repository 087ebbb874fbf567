"""What several prompts on one picture cost, as ratios measured side by side in one run.

    python benchmarks/shared_prompts.py --prompts 4 --pictures 2 --repeats 5

The model is a random LLaVA of about 100 M parameters with 576 picture tokens, as LLaVA-1.5 has. The same
requests are asked (a) one by one, (b) in one batch in which nothing is shared, (c) in one batch with vision
features computed once, (d) as mllmqa does it: vision features and text prefix computed once. All four are
timed in turn, and the minimum of the repeats is shown.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from mllmqa import prompts
from mllmqa.models import passes
from mllmqa.models.base import LevelLogits, Request
from mllmqa.models.batches import Batch
from mllmqa.models.hf import HFBackend
from mllmqa.models.load import load_backend
from mllmqa.models.resolve import resolve
from tests import tiny_models

ASKED = ("sharpness", "noise", "colours", "light", "contrast", "blocks", "banding", "detail")


def make_model(folder: Path) -> HFBackend:
    """Build and load the random model."""
    tower = {"hidden_size": 512, "intermediate_size": 2048, "num_hidden_layers": 8, "num_attention_heads": 8}
    sight = {"image_size": 336, "patch_size": 14}
    tiny_models._TOWER.update(tower)
    tiny_models._SIGHT.update(sight)
    tiny_models._SQUARE.update({"height": 336, "width": 336})
    original = tiny_models._text

    def larger(tokenizer: object, **fields: object) -> dict[str, object]:
        return original(tokenizer, **fields) | {"num_hidden_layers": 12}

    tiny_models._text = larger
    place = tiny_models.build("llava", folder / "model", width=768)
    processor = place / "processor_config.json"
    processor.write_text(
        processor.read_text()
        .replace('"patch_size": 8', '"patch_size": 14')
        .replace('"shortest_edge": 24', '"shortest_edge": 336')
    )
    return load_backend(resolve(str(place)), device="cpu")


def without_sharing(backend: HFBackend, requests: list[Request], *, vision: bool) -> torch.Tensor:
    """Ask in one batch; ``vision``: share vision features, but no prefix."""
    batch = backend.encode(requests)
    kept = passes.PREFIX_FAMILIES
    passes.PREFIX_FAMILIES = frozenset()
    try:
        pictures = (
            batch.pictures if vision else [tuple(f"{i}" for _ in row) for i, row in enumerate(batch.pictures)]
        )
        return backend.logits(Batch(batch.inputs, pictures, batch.counts))
    finally:
        passes.PREFIX_FAMILIES = kept


def main() -> None:
    """Run the recipe; see the module docstring."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--prompts", type=int, default=4)
    parser.add_argument("--pictures", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=5)
    chosen = parser.parse_args()
    rng = np.random.default_rng(0)
    words = prompts.level_scale().words
    asked = [prompts.Prompt("bench", "0", f"Rate the {a} of the picture.", "The answer is") for a in ASKED]
    shown = [rng.integers(0, 256, (336, 336, 3), dtype=np.uint8) for _ in range(chosen.pictures)]
    requests = [Request(prompt, (picture,)) for picture in shown for prompt in asked[: chosen.prompts]]
    with tempfile.TemporaryDirectory() as folder, torch.inference_mode():
        backend = make_model(Path(folder))
        parts: dict[str, Callable[[], object]] = {
            "(a) one by one": lambda: [backend.level_logits([r], words) for r in requests],
            "(b) one batch, nothing shared": lambda: without_sharing(backend, requests, vision=False),
            "(c) one batch, vision features shared": lambda: without_sharing(backend, requests, vision=True),
            "(d) as mllmqa: prefix shared, too": lambda: backend.level_logits(requests, words),
        }
        best = dict.fromkeys(parts, float("inf"))
        for _ in range(chosen.repeats + 1):
            for name, part in parts.items():
                start = time.perf_counter()
                part()
                best[name] = min(best[name], time.perf_counter() - start)
        one = [backend.level_logits([r], words)[0] for r in requests]
        all_ = backend.level_logits(requests, words)
        size = sum(p.numel() for p in backend.model.parameters()) / 1e6
    tokens = len(backend.encode(requests[:1]).inputs["input_ids"][0])
    pairs = [
        (a, b) for a, b in zip(one, all_, strict=True) if isinstance(a, LevelLogits) and isinstance(b, LevelLogits)
    ]
    apart = max(float(np.abs(a.logits - b.logits).max()) for a, b in pairs)
    print(
        f"{size:.0f} M parameters, {tokens} tokens per request, {len(requests)} requests, "
        f"{chosen.prompts} per picture, torch threads {torch.get_num_threads()}\n"
    )
    print("| part | speed ÷ (a) |\n|---|---|")
    for name, seconds in best.items():
        print(f"| {name} | {best['(a) one by one'] / seconds:.2f} |")
    print(f"\nlargest difference of a logit between (a) and (d): {apart:.1e}")


if __name__ == "__main__":
    main()
