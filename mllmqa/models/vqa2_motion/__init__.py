"""VQA² (Jia et al., ACM MM 2025): LLaVA-OneVision that also sees the motion of all frames."""

from __future__ import annotations

from mllmqa.models.vqa2_motion.load import has_motion, load_motion

__all__ = ["has_motion", "load_motion"]
