"""From a name to a scorer that is ready: on this machine, or behind an endpoint."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Literal

from mllmqa.errors import UsageError
from mllmqa.models.fake import NAME, FakeBackend, is_fake
from mllmqa.models.load import LocalOptions, load_backend
from mllmqa.models.presets import DEFAULT_MODEL, presets
from mllmqa.models.quantize import Quantization
from mllmqa.models.resolve import ModelSource, resolve
from mllmqa.scoring import Scorer

if TYPE_CHECKING:
    from mllmqa.models.api import ApiOptions


def load(
    model: str = DEFAULT_MODEL,
    *,
    device: str = "auto",
    dtype: str = "auto",
    revision: str | None = None,
    quantize: str | Quantization | None = None,
    anchors: str | os.PathLike[str] | Literal[False] | None = None,
    options: LocalOptions | ApiOptions | None = None,
) -> Scorer:
    """Load a scorer.

    Args:
        model: Preset name (``mllmqa models``), folder, or hub id; a folder with ``adapter_config.json`` is
            put on its base; ``api:MODEL`` is a model behind an OpenAI-compatible endpoint; ``fake`` and
            ``fake:noise=0.5,bias=0.3`` a synthetic observer (:mod:`mllmqa.models.fake`).
        device: ``auto``, ``cpu``, ``cuda``, ``cuda:1``, ``mps``, ``balanced`` (layers over all GPUs).
        dtype: ``auto`` (float32 on the CPU, else bfloat16), ``float32``, ``bfloat16``, ``float16``.
        revision: Hub revision.
        quantize: ``8bit`` or ``4bit``: bitsandbytes on the language model, the vision tower stays in
            ``dtype``; a :class:`~mllmqa.models.quantize.Quantization` says more; None: full precision.
        anchors: Folder of anchor images: score by comparison with them (:mod:`mllmqa.anchored`). False: none, not
            even for a model that needs them to score; it can then only compare (:mod:`mllmqa.comparing`).
        options: :class:`~mllmqa.models.load.LocalOptions`, what is rarely said of a model on this machine; or
            :class:`~mllmqa.models.api.ApiOptions`, endpoint, limits and budget of ``api:MODEL``.

    Raises:
        UsageError: Unknown model, device, dtype or quantisation, the model needs anchors and has none, or
            options that the model cannot have.
        MissingExtraError: A package that this needs is not installed.
        DataError: The folder of anchors is malformed.
        ModelLoadError: The model's files cannot be loaded.
        ApiError: The endpoint cannot be used (found out with one tiny picture).
    """
    if is_fake(model):
        return Scorer(FakeBackend(model), presets()[NAME])
    local = options if isinstance(options, LocalOptions) else None
    source = resolve(model, revision, local.base if local else None)
    if source.remote:
        if (device, dtype, quantize, anchors or None, local) != ("auto", "auto", None, None, None):
            raise UsageError(
                "the endpoint chooses device, dtype and quantisation, and compares with no anchors",
                where=model,
                expected="none of these is named",
            )
        return _remote(source, options)  # type: ignore[arg-type]
    if options is not None and local is None:
        raise UsageError("options of an endpoint are given", where=model, expected="--model api:MODEL with them")
    found = None
    if anchors is not False and (anchors is not None or source.preset.anchored is not None):
        from mllmqa.anchored import AnchoredScorer, anchors_for

        found = anchors_for(source.preset, anchors)
    bits = Quantization.of(quantize) if isinstance(quantize, str) else quantize
    backend = load_backend(source, device=device, dtype=dtype, quantization=bits, options=local, answers_only=True)
    if found is None:
        return Scorer(backend, backend.preset)
    return AnchoredScorer(backend, backend.preset, found)


def _remote(source: ModelSource, options: ApiOptions | None) -> Scorer:
    from mllmqa.models.api import load_api

    return Scorer(load_api(source, options), source.preset)
