"""Original LLaVA checkpoints of the layouts ``llava``, ``llava_llama``, ``llava_mistral`` and ``llava_qwen``."""

from __future__ import annotations

from mllmqa.models.llava_original.config import is_original
from mllmqa.models.llava_original.load import load_original, open_original, stored_dtype

__all__ = ["is_original", "load_original", "open_original", "stored_dtype"]
