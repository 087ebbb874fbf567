"""How fast a model scores here: images per second, tokens, FLOP/s against the device's matrix rate, memory.

All figures of a report come from one run. Pictures are seeded random noise of one size; what they show does
not matter for speed. The floating-point operations of the forward pass are counted by
``torch.utils.flop_counter.FlopCounterMode`` on the first batch, which is not timed (matrix products,
convolutions and attention; a multiplication and an addition are two); the matrix rate is that of
the fastest of several square matrix products in the model's dtype on the same device.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from mllmqa.errors import UsageError
from mllmqa.media import Limits
from mllmqa.models.hf import HFBackend
from mllmqa.prepare import Prepared, prepare

if TYPE_CHECKING:
    import torch

    from mllmqa.models.base import Request
    from mllmqa.models.batches import Batch
    from mllmqa.scoring import Scorer

MATRIX_SIZE = {"cpu": 1024, "cuda": 8192}
MATRIX_REPEATS = 8


@dataclass(frozen=True)
class SpeedOptions:
    """What is measured.

    Attributes:
        images: Pictures, at least one batch.
        width: Of each picture, pixels.
        height: Of each picture, pixels.
        batch_size: Requests per batch; None: as for scoring.
        seed: Of the pictures.
    """

    images: int = 32
    width: int = 512
    height: int = 384
    batch_size: int | None = None
    seed: int = 0


@dataclass(frozen=True)
class SpeedReport:
    """One run's figures. Rates are over all timed batches.

    Attributes:
        model: As the user named it.
        device: Name of the processor or GPU kind, e.g. ``cpu``.
        dtype: Of the weights that are not quantised.
        quantization: As in provenance.
        threads: Torch threads.
        images: Pictures timed.
        batch_size: Requests per batch.
        images_per_s: Views, preprocessing and forward pass, one after the other.
        forward_images_per_s: Forward pass only.
        tokens_per_request: Mean number of tokens that the language model reads, pictures included.
        tokens_per_s: In the forward pass.
        view_s: Time spent on hashing and views.
        encode_s: Time spent in the processor: resizing, normalising, tokenising.
        forward_s: Time spent on transfers and the forward pass.
        flop_per_image: Counted in the forward pass; None for quantised models, whose operators torch's counter
            does not know.
        flop_per_s: Reached in the forward pass.
        matrix_flop_per_s: The device's matrix rate.
        share: ``flop_per_s / matrix_flop_per_s``.
        peak_memory_bytes: Allocated on the GPU, or the process's peak resident size on the CPU; None where
            the system does not tell.
    """

    model: str
    device: str
    dtype: str
    quantization: str | None
    threads: int
    images: int
    batch_size: int
    images_per_s: float
    forward_images_per_s: float
    tokens_per_request: float
    tokens_per_s: float
    view_s: float
    encode_s: float
    forward_s: float
    flop_per_image: float | None
    flop_per_s: float | None
    matrix_flop_per_s: float
    share: float | None
    peak_memory_bytes: int | None


def measure_speed(scorer: Scorer, options: SpeedOptions | None = None) -> SpeedReport:
    """Measure how fast a loaded model scores random pictures on this machine.

    Raises:
        UsageError: Not a model that runs here, or nonsensical options.
        MllmqaError: The model cannot take such pictures.
    """
    import torch

    chosen = options or SpeedOptions()
    backend = scorer.backend
    if not isinstance(backend, HFBackend):
        raise UsageError("only a model that runs on this machine has a speed here", where=backend.info.model)
    if min(chosen.images, chosen.width, chosen.height, chosen.batch_size or 1) < 1:
        raise UsageError(f"cannot measure {chosen}", expected="positive numbers")
    if chosen.width * chosen.height > Limits().max_pixels:
        raise UsageError(
            f"pictures of {chosen.width}x{chosen.height}", expected=f"at most {Limits().max_pixels:,} pixels"
        )
    size = min(chosen.images, chosen.batch_size or scorer.default_batch_size)
    run = _Run(scorer, backend, chosen)
    flop = run.warm_up(size)
    _reset_memory(backend.info.device)
    for start in range(0, chosen.images, size):
        run.batch(min(size, chosen.images - start))
    rate = matrix_rate(backend.model.device, backend.model.dtype)
    reached = None if flop is None else flop * chosen.images / run.forward_s
    whole = run.view_s + run.encode_s + run.forward_s
    return SpeedReport(
        model=backend.info.model,
        device=_device_name(backend.model.device),
        dtype=backend.info.dtype,
        quantization=backend.info.quantization,
        threads=torch.get_num_threads(),
        images=chosen.images,
        batch_size=size,
        images_per_s=chosen.images / whole,
        forward_images_per_s=chosen.images / run.forward_s,
        tokens_per_request=run.tokens / chosen.images,
        tokens_per_s=run.tokens / run.forward_s,
        view_s=run.view_s,
        encode_s=run.encode_s,
        forward_s=run.forward_s,
        flop_per_image=flop,
        flop_per_s=reached,
        matrix_flop_per_s=rate,
        share=None if reached is None else reached / rate,
        peak_memory_bytes=_peak_memory(backend.info.device),
    )


class _Run:
    """Times the parts of scoring, batch by batch."""

    def __init__(self, scorer: Scorer, backend: HFBackend, options: SpeedOptions) -> None:
        self._backend, self._options = backend, options
        self._plan = scorer.plan()
        self._rng = np.random.default_rng(options.seed)
        self.view_s = self.encode_s = self.forward_s = 0.0
        self.tokens = 0

    def warm_up(self, size: int) -> float | None:
        """Run one batch twice, untimed, and return the floating-point operations per picture."""
        from torch.utils.flop_counter import FlopCounterMode

        batch = self._backend.encode(self._requests(size))
        self._backend.logits(batch)
        if self._backend.info.quantization is not None:
            return None
        # The counter follows gradients of whatever wants them and stumbles, because here there are none.
        wanting = [p for p in self._backend.model.parameters() if p.requires_grad]
        try:
            for parameter in wanting:
                parameter.requires_grad_(False)
            with FlopCounterMode(display=False, custom_mapping=_uncounted()) as counter:
                self._backend.logits(batch)
        finally:
            for parameter in wanting:
                parameter.requires_grad_(True)
        return float(counter.get_total_flops()) / size

    def batch(self, size: int) -> None:
        """Time one batch. The forward pass ends with a copy to the CPU, which waits for the device."""
        pictures = self._pictures(size)
        start = time.perf_counter()
        requests = self._prepared(pictures)
        viewed = time.perf_counter()
        batch: Batch = self._backend.encode(requests)
        encoded = time.perf_counter()
        self._backend.logits(batch)
        done = time.perf_counter()
        self.view_s += viewed - start
        self.encode_s += encoded - viewed
        self.forward_s += done - encoded
        self.tokens += int(batch.inputs["attention_mask"].sum())

    def _pictures(self, size: int) -> list[np.ndarray[Any, np.dtype[np.uint8]]]:
        shape = (size, self._options.height, self._options.width, 3)
        return list(self._rng.integers(0, 256, shape, dtype=np.uint8))

    def _requests(self, size: int) -> list[Request]:
        return self._prepared(self._pictures(size))

    def _prepared(self, pictures: list[np.ndarray[Any, np.dtype[np.uint8]]]) -> list[Request]:
        requests: list[Request] = []
        for picture in pictures:
            ready = prepare(picture, "random", self._plan)
            if not isinstance(ready, Prepared):
                raise UsageError("nothing to measure") if ready is None else ready.error
            requests += ready.requests
        return requests


def _uncounted() -> dict[Any, Any]:
    """Return the rule for attention on the CPU, which torch's counter (2.13) leaves out."""
    import torch

    def attention(q: Any, k: Any, v: Any, *_: object, **__: object) -> int:
        batch, heads, queries, width = q
        return int(2 * batch * heads * queries * k[-2] * (width + v[-1]))

    return {torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: attention}


def matrix_rate(device: torch.device, dtype: torch.dtype) -> float:
    """Return the FLOP/s of the fastest of several square matrix products on a device."""
    import torch

    n = MATRIX_SIZE.get(device.type, 2048)
    a, b = (torch.ones(n, n, device=device, dtype=dtype) for _ in range(2))
    best = float("inf")
    for _ in range(MATRIX_REPEATS):
        _wait(device)
        start = time.perf_counter()
        torch.mm(a, b)
        _wait(device)
        best = min(best, time.perf_counter() - start)
    return 2 * n**3 / best


def _wait(device: torch.device) -> None:
    import torch

    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


def _device_name(device: torch.device) -> str:
    import torch

    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type


def _reset_memory(device: str) -> None:
    import torch

    if device == "cuda":
        for index in range(torch.cuda.device_count()):
            torch.cuda.reset_peak_memory_stats(index)


def _peak_memory(device: str) -> int | None:
    """Return bytes: the sum over all GPUs, or the peak of this process since it started."""
    import sys

    import torch

    if device == "cuda":
        return sum(torch.cuda.max_memory_allocated(index) for index in range(torch.cuda.device_count()))
    if sys.platform == "win32":
        return None
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
