"""Configuration of nano's vision tower, what `LlavaConfig.vision_config` holds."""

from __future__ import annotations

from typing import Any

from mllmqa.models.torchvision_shim import ensure_torchvision

ensure_torchvision()  # before any model class of transformers is imported

from transformers import PreTrainedConfig  # noqa: E402

MODEL_TYPE = "mllmqa_nano_vision"


class NanoVisionConfig(PreTrainedConfig):  # type: ignore[misc]  # transformers is not typed here
    """Shape of the tower.

    Args:
        hidden_size: width of every output token.
        stage_channels: channels at 1/4, 1/8, 1/16 and 1/32 of the input size.
        stage_depths: residual blocks per stage (0 = only the down-sampling layer).
        learned_channels: channels of the learned 8×8/4 convolution beside the fixed DCT.
        chroma_coefficients: how many low-frequency DCT coefficients of Cb and of Cr are kept (≤ 64).
        global_tokens: tokens made from the pooled statistics of the whole tile.
        category_tokens: C; one token for each category of distortion, made from what heads find of it; 0: none.
        branch_channels: of the branch that these heads read, at 1/4, 1/8, … of the input size.
        heads_hidden: width of the layer inside these heads.
        time_categories: K; heads that read slices of clips tell K categories of distortion in time; 0: none.
        time_channels: width of these.
        patch_grid: g; the map is average-pooled to g × g local tokens.
        bfloat16_on_cpu: compute the convolutions in bfloat16 where a CPU multiplies it itself (the weights stay in
            float32): nearly twice as fast.
        image_size: short side in pixels that pictures should not pass; any size works.
    """

    model_type = MODEL_TYPE
    base_config_key = "vision_config"

    def __init__(
        self,
        hidden_size: int = 256,
        stage_channels: tuple[int, ...] | list[int] = (64, 96, 192, 256),
        stage_depths: tuple[int, ...] | list[int] = (0, 2, 2, 1),
        learned_channels: int = 32,
        chroma_coefficients: int = 16,
        global_tokens: int = 2,
        category_tokens: int = 0,
        branch_channels: tuple[int, ...] | list[int] = (48, 96, 160, 224),
        heads_hidden: int = 224,
        time_categories: int = 0,
        time_channels: int = 96,
        patch_grid: int = 4,
        bfloat16_on_cpu: bool = True,
        image_size: int = 512,
        num_channels: int = 3,
        initializer_range: float = 0.02,
        **kwargs: Any,
    ) -> None:
        self.hidden_size = hidden_size
        self.stage_channels = list(stage_channels)
        self.stage_depths = list(stage_depths)
        self.learned_channels = learned_channels
        self.chroma_coefficients = chroma_coefficients
        self.global_tokens = global_tokens
        self.category_tokens = category_tokens
        self.branch_channels = list(branch_channels)
        self.heads_hidden = heads_hidden
        self.time_categories = time_categories
        self.time_channels = time_channels
        self.patch_grid = patch_grid
        self.bfloat16_on_cpu = bfloat16_on_cpu
        self.image_size = image_size
        self.num_channels = num_channels
        self.initializer_range = initializer_range
        super().__init__(**kwargs)
