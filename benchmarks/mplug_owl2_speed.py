"""Images per second of a mid-size random mPLUG-Owl2 beside the way the original scripts call the model.

    python benchmarks/mplug_owl2_speed.py TOKENIZER_MODEL --photos 8 --threads 1 --repeats 3

Both run our implementation of the network, in float32, with the same number of threads, in one process. The
original way is one picture per pass, eager attention, logits of the whole sequence, the prompt tokenised
again for each picture. Ours is `level_logits` of the back end. Preprocessing from uint8 pictures is counted
in both. Scores of both are compared. Parts are run in turn, and CPU seconds are counted (all threads together),
so that other processes on the machine hardly matter; the minimum of the repeats is shown.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mllmqa import prompts
from mllmqa.levels import distribution
from mllmqa.models import mplug_owl2
from mllmqa.models.base import LevelLogits, ModelInfo, Request
from mllmqa.models.hf import HFBackend
from mllmqa.models.presets import preset_named

VISION = {
    "hidden_size": 512,
    "intermediate_size": 2048,
    "num_hidden_layers": 12,
    "num_attention_heads": 8,
    "image_size": 448,
    "patch_size": 14,
}
ABSTRACTOR = {
    "num_learnable_queries": 64,
    "hidden_size": 512,
    "intermediate_size": 1408,
    "num_hidden_layers": 3,
    "num_attention_heads": 8,
    "grid_size": 32,
}
LANGUAGE = {"hidden_size": 1024, "intermediate_size": 2752, "num_hidden_layers": 12, "num_attention_heads": 16}


def random_backend(tokenizer_model: Path) -> HFBackend:
    """Build a model of 291 million random parameters with its processor."""
    mplug_owl2.register()
    from mllmqa.models.mplug_owl2.configuration import MplugOwl2Config
    from mllmqa.models.mplug_owl2.modeling import MplugOwl2ForConditionalGeneration
    from mllmqa.models.mplug_owl2.processing import MplugOwl2ImageProcessor, MplugOwl2Processor
    from mllmqa.models.mplug_owl2.tokenizer import from_sentencepiece

    torch.manual_seed(0)
    config = MplugOwl2Config(**LANGUAGE, visual_config={"visual_model": VISION, "visual_abstractor": ABSTRACTOR})
    side = config.input_side
    pictures = MplugOwl2ImageProcessor(size={"shortest_edge": side}, crop_size={"height": side, "width": side})
    processor = MplugOwl2Processor(pictures, from_sentencepiece(tokenizer_model), config.tokens_per_image)
    info = ModelInfo("random", None, None, None, "float32", "cpu")
    preset = preset_named("one-align").fitted("mplug_owl2", side)
    return HFBackend(MplugOwl2ForConditionalGeneration(config).eval(), processor, preset, info)


@torch.inference_mode()
def the_original_way(backend: HFBackend, requests: Sequence[Request], words: Sequence[str]) -> list[list[float]]:
    """Score one by one, with eager attention and the logits of the whole sequence."""
    model: Any = backend.model
    model.set_attn_implementation("eager")
    scores = []
    for request in requests:
        text = backend.text(request)
        inputs = backend.processor(images=[list(request.images)], text=[text])
        ids = [backend.processor.encode(f"{text} {word}")[-1] for word in words]
        logits = model(**inputs, use_cache=False).logits
        scores.append(logits[0, -1, ids].tolist())
    return scores


def our_way(backend: HFBackend, requests: Sequence[Request], words: Sequence[str]) -> list[list[float]]:
    """Score in one call."""
    backend.model.set_attn_implementation("sdpa")
    answers = backend.level_logits(requests, words)
    return [answer.logits.tolist() for answer in answers if isinstance(answer, LevelLogits)]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tokenizer_model", type=Path, help="a sentencepiece model with the level words")
    parser.add_argument("--photos", type=int, default=8)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    backend = random_backend(arguments.tokenizer_model)
    scale = prompts.level_scale()
    prompt = prompts.render(prompts.load("score/quality"), medium="image")
    rng = np.random.default_rng(0)
    photos = [rng.integers(0, 256, (448, 448, 3), dtype=np.uint8) for _ in range(arguments.photos)]
    requests = [Request(prompt, (photo,)) for photo in photos]
    theirs, ours = (way(backend, requests, scale.words) for way in (the_original_way, our_way))
    values = [
        [distribution(np.asarray(row, np.float32), float(np.logaddexp.reduce(row)), scale).value for row in rows]
        for rows in (theirs, ours)
    ]
    print(f"{backend.model.num_parameters() / 1e6:.0f} M parameters, {arguments.threads} threads")
    print(f"largest difference of a score: {np.abs(np.subtract(*values)).max():.1e}")
    seconds = {"original": math.inf, "mllmqa": math.inf}
    for _ in range(arguments.repeats):
        for name, way in (("original", the_original_way), ("mllmqa", our_way)):
            start = time.process_time()
            way(backend, requests, scale.words)
            seconds[name] = min(seconds[name], time.process_time() - start)
    for name, value in seconds.items():
        print(f"{name:10} {len(photos) / value:.3f} images per CPU second")
    print(f"ratio      {seconds['original'] / seconds['mllmqa']:.2f}")


if __name__ == "__main__":
    main()
