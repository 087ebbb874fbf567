"""VQA² (Jia et al., ACM MM 2025): LLaVA-OneVision with a motion branch.

Key frames, one per second, become tokens as in LLaVA-OneVision. All frames go through SlowFast; each gives one
more token, placed where the prompt says "motion features", behind the key frames.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from mllmqa.errors import InferenceError
from mllmqa.models.torchvision_shim import ensure_torchvision
from mllmqa.models.vqa2_motion import MODEL_TYPE
from mllmqa.models.vqa2_motion.slowfast import SLOW_STRIDE, SlowFast

ensure_torchvision()
from transformers import LlavaOnevisionConfig, LlavaOnevisionForConditionalGeneration  # noqa: E402

MOTION_INPUTS = ("pixel_values_frames", "pixel_values_motion", "frame_counts")


class Vqa2Config(LlavaOnevisionConfig):  # type: ignore[misc]  # transformers is not typed here
    """LLaVA-OneVision's configuration, and the widths of the motion branch.

    Attributes:
        motion_token_index: Id of the placeholder of a motion token.
        motion_width: Channels of SlowFast's slow stem.
        motion_depths: Blocks of its stages.
        motion_reduction: Its slow channels per fast channel.
        motion_fusion: Channels of its lateral connections per fast channel.
        motion_positions: Rows of the position table, the most frames of a video.
    """

    model_type = MODEL_TYPE

    motion_token_index: int = 151648
    motion_width: int = 64
    motion_depths: list[int] | tuple[int, ...] = (3, 4, 6, 3)
    motion_reduction: int = 8
    motion_fusion: int = 2
    motion_positions: int = 2000


class MotionFeatures(nn.Module):
    """Features of all frames of a clip, with their positions. Key names of VQA²'s ``slowfast``."""

    def __init__(self, config: Vqa2Config) -> None:
        super().__init__()
        self.feature_extraction = SlowFast(
            config.motion_width, config.motion_depths, config.motion_reduction, config.motion_fusion
        )
        self.position_embedding = nn.Embedding(config.motion_positions, self.feature_extraction.features)

    def forward(self, frames: Tensor) -> Tensor:
        """Return one vector per frame.

        Args:
            frames: (T, 3, H, W), T a multiple of 4.

        Returns:
            (T, 4·width): means over space of the fast pathway's features, plus a learned row per frame.

        Raises:
            InferenceError: T is no multiple of 4, or above the length of the position table.
        """
        count, most = frames.shape[0], self.position_embedding.num_embeddings
        if count % SLOW_STRIDE or not 0 < count <= most:
            raise InferenceError(
                f"a clip of {count} frames", where="VQA²", expected=f"a multiple of {SLOW_STRIDE}, at most {most}"
            )
        features = self.feature_extraction.fast(frames.transpose(0, 1)[None])  # (1, C, T, h, w)
        return features[0].mean(dim=(2, 3)).T + self.position_embedding.weight[:count]


class Vqa2ForConditionalGeneration(LlavaOnevisionForConditionalGeneration):  # type: ignore[misc]
    """LLaVA-OneVision with key frames and motion tokens for videos.

    Besides the inputs of LLaVA-OneVision it takes those of :class:`mllmqa.models.vqa2_motion.Vqa2Processor`.
    """

    config_class = Vqa2Config
    input_modalities: ClassVar[tuple[str, ...]] = ("image", "video", "text")

    def __init__(self, config: Vqa2Config) -> None:
        super().__init__(config)
        self.slowfast = MotionFeatures(config)
        width = config.text_config.hidden_size
        self.slowfast_projector = nn.Sequential(
            nn.Linear(self.slowfast.feature_extraction.features, width), nn.GELU(), nn.Linear(width, width)
        )
        self.post_init()

    def frame_tokens(self, frames: Tensor, counts: list[int]) -> list[Tensor]:
        """Return the tokens of each video's key frames, with the newline token behind them.

        Args:
            frames: Key frames of all videos, (K, 3, S, S).
            counts: Key frames of each video.

        Returns:
            Per video (k · n + 1, D), n the tokens of a frame after 2 × 2 pooling.
        """
        tokens = self.model.get_video_features(frames[None], return_dict=True).pooler_output[0]
        newline = tokens[-1:]
        per_frame = tokens[:-1].unflatten(0, (frames.shape[0], -1))
        return [torch.cat([part.flatten(0, 1), newline]) for part in torch.split(per_frame, counts)]

    def motion_tokens(self, frames: Tensor, counts: list[int]) -> list[Tensor]:
        """Return one token per frame of each video.

        Args:
            frames: All frames of all videos, (T, 3, S, S).
            counts: Frames of each video, multiples of 4.

        Returns:
            Per video (t, D).
        """
        return [self.slowfast_projector(self.slowfast(clip)) for clip in torch.split(frames, counts)]

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        pixel_values_frames: Tensor | None = None,
        pixel_values_motion: Tensor | None = None,
        frame_counts: Tensor | None = None,
        logits_to_keep: int | Tensor = 0,
        **inputs: Any,
    ) -> Any:
        """Return what LLaVA-OneVision returns.

        Args:
            input_ids: (B, T).
            attention_mask: (B, T).
            pixel_values_frames: Key frames of all videos, (K, 3, S, S).
            pixel_values_motion: All frames of all videos, (F, 3, S, S).
            frame_counts: Per video its key frames and its frames, (B, 2); the columns sum to K and F.
            logits_to_keep: As in transformers.
            inputs: Further inputs of LLaVA-OneVision.

        Raises:
            InferenceError: The prompt has more or fewer placeholders than there are tokens, or one of the
                three inputs is missing.
        """
        common = {"attention_mask": attention_mask, "logits_to_keep": logits_to_keep, **inputs}
        given = (input_ids, pixel_values_frames, pixel_values_motion, frame_counts)
        if all(value is None for value in given[1:]):
            return super().forward(input_ids=input_ids, **common)
        if input_ids is None or pixel_values_frames is None or pixel_values_motion is None or frame_counts is None:
            raise InferenceError(
                "an input is missing", where="VQA²", expected=", ".join(("input_ids", *MOTION_INPUTS))
            )
        keys, counts = frame_counts.T.tolist()
        embeds = self.get_input_embeddings()(input_ids)
        at_frames = input_ids == self.config.video_token_index
        embeds = _splice(embeds, at_frames, self.frame_tokens(pixel_values_frames, keys))
        at_motion = input_ids == self.config.motion_token_index
        embeds = _splice(embeds, at_motion, self.motion_tokens(pixel_values_motion, counts))
        return super().forward(inputs_embeds=embeds, **common)

    def prepare_inputs_for_generation(self, *args: Any, is_first_iteration: bool = False, **kwargs: Any) -> Any:
        """Give the pictures to the first step only."""
        inputs = super().prepare_inputs_for_generation(*args, is_first_iteration=is_first_iteration, **kwargs)
        if not is_first_iteration and kwargs.get("use_cache", True):
            for name in MOTION_INPUTS:
                inputs.pop(name, None)
        return inputs


def _splice(embeds: Tensor, mask: Tensor, tokens: list[Tensor]) -> Tensor:
    """Put each video's tokens at its placeholders; a whole multiple of placeholders repeats them."""
    rows = torch.cat(list(_repeated(mask.sum(dim=1).tolist(), tokens)))
    return embeds.masked_scatter(mask[..., None], rows.to(embeds))


def _repeated(places: list[int], tokens: list[Tensor]) -> Iterator[Tensor]:
    if len(places) != len(tokens):
        raise InferenceError(f"{len(tokens)} videos for {len(places)} prompts", where="VQA²")
    for count, part in zip(places, tokens, strict=True):
        if count % part.shape[0] or not count:
            raise InferenceError(f"{count} placeholders for {part.shape[0]} tokens", where="VQA²")
        yield part.repeat(count // part.shape[0], 1)
