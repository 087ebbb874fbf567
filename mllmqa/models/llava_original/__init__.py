"""Original LLaVA checkpoints of the layouts ``llava``, ``llava_llama``, ``llava_mistral`` and ``llava_qwen``."""

from __future__ import annotations

from mllmqa.models.llava_original.config import is_original
from mllmqa.models.llava_original.load import convert_original, load_original

__all__ = ["convert_original", "is_original", "load_original"]
