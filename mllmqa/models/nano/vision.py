"""Nano's vision tower: DCT coefficients, a small residual network, pooled tokens.

The mean and standard deviation of the last two stages give the global tokens, average pooling gives the local ones;
a branch from the coefficients gives a token for each category of distortion. Nothing depends on the input size, so
it trains on crops.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mllmqa.media import slices
from mllmqa.models.torchvision_shim import ensure_torchvision

ensure_torchvision()  # before any model class of transformers is imported

from transformers import PreTrainedModel  # noqa: E402
from transformers import initialization as init  # noqa: E402
from transformers.modeling_outputs import BaseModelOutputWithPooling  # noqa: E402

from mllmqa.models.nano.blocks import BLOCK, DctStem, Residual, fixed_filters, mean_and_std  # noqa: E402
from mllmqa.models.nano.categories import CategoryTokens, Found  # noqa: E402
from mllmqa.models.nano.configuration import NanoVisionConfig  # noqa: E402
from mllmqa.models.nano.timing import TimeHeads  # noqa: E402

NARROW_PX = 64
"""Pictures with a shorter side are computed in full precision: oneDNN's bfloat16 convolution of stride 2 reads past
its input where maps are 17 or more high and come out one wide (torch 2.13)."""


@cache
def multiplies_bfloat16() -> bool:
    """Tell whether this machine's CPU has instructions for products of bfloat16; others would be slower with it."""
    able: dict[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()  # newer torch only
    return bool(able.get("avx512_bf16") or able.get("amx_bf16"))


def rows_by_size(pixels: Tensor) -> dict[tuple[int, int], list[int]]:
    """Return the rows of each (height, width) among pictures (B, 3, H, W) that are filled up with NaN."""
    heights, widths = (edge.isnan().logical_not().sum(1).tolist() for edge in (pixels[:, 0, :, 0], pixels[:, 0, 0]))
    rows: dict[tuple[int, int], list[int]] = {}
    for row, size in enumerate(zip(heights, widths, strict=True)):
        rows.setdefault(size, []).append(row)
    return rows


def _by_size(pixel_values: Tensor, look: Callable[[Tensor], Tensor]) -> Tensor:
    """Look at pictures of one size together, without what fills them up; what is seen, in the order of the rows."""
    rows = rows_by_size(pixel_values)
    if len(rows) == 1:
        ((height, width),) = rows
        return look(pixel_values[:, :, :height, :width])
    seen = [look(pixel_values[of, :, :height, :width]) for (height, width), of in rows.items()]
    order = torch.tensor([row for of in rows.values() for row in of], device=pixel_values.device)
    return torch.cat(seen)[order.argsort()]


class NanoVisionModel(PreTrainedModel):  # type: ignore[misc]  # transformers is not typed here
    """The tower: pixel_values (B, 3, H, W) float in -1..1 → (B, N, hidden_size).

    N = global_tokens + patch_grid² + category_tokens.

    Pictures of any size give equally many tokens. Where sizes differ in a batch, each picture lies in the upper
    left corner and NaN fills the rest, which is never looked at: tokens do not depend on the neighbours.
    `pooler_output` is the global tokens side by side, (B, global_tokens * hidden_size): what the training heads
    read, and what the language model sees too.
    Sides below 8 pixels are padded by replication.
    """

    config_class = NanoVisionConfig
    base_model_prefix = "nano_vision"
    main_input_name = "pixel_values"
    input_modalities = ("image",)
    _no_split_modules: ClassVar[list[str]] = ["Residual"]

    def __init__(self, config: NanoVisionConfig) -> None:
        super().__init__(config)
        channels = config.stage_channels
        self.stem = DctStem(config.chroma_coefficients, config.learned_channels, channels[0])
        stages, previous = [], channels[0]
        for index, (width, depth) in enumerate(zip(channels, config.stage_depths, strict=True)):
            layers = [Residual(previous, width, stride=2)] if index else []
            layers += [Residual(width, width) for _ in range(depth if not index else depth - 1)]
            stages.append(nn.Sequential(*layers))
            previous = width
        self.stages = nn.ModuleList(stages)
        pooled = 2 * (channels[-1] + channels[-2])
        self.global_hidden = nn.Linear(pooled, config.global_tokens * config.hidden_size)
        self.local_hidden = nn.Linear(channels[-1] + channels[-2], config.hidden_size)
        self.norm = nn.LayerNorm(config.hidden_size)
        if config.category_tokens:
            coefficients, hidden = self.stem.norm.num_features, config.heads_hidden
            shape = (coefficients, config.branch_channels, hidden, config.category_tokens, config.hidden_size)
            self.categories = CategoryTokens(*shape)
        if config.time_categories:
            self.in_time = TimeHeads(slices.WIDTH, config.time_channels, config.time_categories)
        self.post_init()

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        """Only through transformers' functions: they leave alone what was loaded from a file."""
        if isinstance(module, nn.Conv2d):
            init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            if module.bias is not None:
                init.zeros_(module.bias)
        elif isinstance(module, nn.Linear):
            init.normal_(module.weight, std=self.config.initializer_range)
            init.zeros_(module.bias)
        elif isinstance(module, nn.Conv1d):
            init.kaiming_normal_(module.weight, mode="fan_in", nonlinearity="linear")
            init.zeros_(module.bias)
        elif isinstance(module, (nn.BatchNorm2d, nn.LayerNorm)):
            init.ones_(module.weight)
            init.zeros_(module.bias)
        if isinstance(module, (nn.BatchNorm1d, nn.BatchNorm2d)):
            init.zeros_(module.running_mean)
            init.ones_(module.running_var)
            init.zeros_(module.num_batches_tracked)
        if isinstance(module, CategoryTokens):
            for codes in (module.names, module.present, module.grades):
                init.normal_(codes, std=1.0)
        if isinstance(module, DctStem):  # not persistent: rebuilt after a load on the meta device
            init.copy_(module.fixed, fixed_filters(module.chroma))

    def train(self, mode: bool = True) -> NanoVisionModel:
        """As any module's; the convolutions' weights are put channels last, as the pictures are: a third faster."""
        super().train(mode)
        self.to(memory_format=torch.channels_last)
        return self

    def _looked(self, pixels: Tensor, look: Callable[[Tensor], tuple[Tensor, ...]]) -> tuple[Tensor, ...]:
        """Look at the coefficients of pictures of one size, (B, 3, H, W); what is seen, in the weights' dtype.

        In eval mode without gradients all is computed in :attr:`computes_in`; else as the caller's autocast has it.
        Narrow pictures are computed in full precision.
        """
        height, width = pixels.shape[-2:]
        if min(height, width) < BLOCK:
            pad = (0, max(0, BLOCK - width), 0, max(0, BLOCK - height))
            pixels = F.pad(pixels, pad, mode="replicate")
        pixels = pixels.contiguous(memory_format=torch.channels_last)
        asked = torch.is_autocast_enabled("cpu")
        answers = not (self.training or torch.is_grad_enabled()) and self.computes_in != self.dtype
        reduced = (asked or answers) and min(height, width) >= NARROW_PX
        with torch.autocast("cpu", torch.get_autocast_dtype("cpu") if asked else torch.bfloat16, enabled=reduced):
            return tuple(seen.to(self.dtype) for seen in look(self.stem.coefficients(pixels)))

    def _maps(self, coefficients: Tensor) -> tuple[Tensor, ...]:
        """The maps of the last two stages, and the statistics of the branch if there is one."""
        x, maps = self.stem.mixed(coefficients), []
        for stage in self.stages:
            x = stage(x)
            maps.append(x)
        return (*maps[-2:], *((self.categories.branch(coefficients),) if self.config.category_tokens else ()))

    def _parts(self, coefficients: Tensor) -> tuple[Tensor]:
        return (self.categories.branch.whole_and_parts(coefficients),)

    @property
    def computes_in(self) -> torch.dtype:
        """Of the convolutions where no gradient is wanted: bfloat16 for float32 weights on a CPU that has it."""
        plain = self.device.type == "cpu" and self.dtype == torch.float32
        reduced = plain and self.config.bfloat16_on_cpu and multiplies_bfloat16()
        return torch.bfloat16 if reduced else self.dtype

    def pooled_hidden(self, middle: Tensor, deep: Tensor) -> Tensor:
        """Global tokens before the last norm, (B, global_tokens, hidden_size), of the last two maps' statistics."""
        hidden = F.gelu(self.global_hidden(torch.cat([middle, deep], dim=1)))
        return hidden.view(len(hidden), self.config.global_tokens, self.config.hidden_size)

    def forward(
        self,
        pixel_values: Tensor,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
        **kwargs: object,
    ) -> BaseModelOutputWithPooling:
        """See the class; `hidden_states` holds the output tokens only, whatever is asked for."""
        tokens = _by_size(pixel_values, self._tokens)
        return BaseModelOutputWithPooling(
            last_hidden_state=tokens,
            pooler_output=tokens[:, : self.config.global_tokens].flatten(1),
            hidden_states=(tokens,),
        )

    def found(self, pixel_values: Tensor) -> Found:
        """What the heads find of distortions; only with `category_tokens`."""
        statistics = _by_size(pixel_values, lambda pixels: self._looked(pixels, self._parts)[0])
        sides = _by_size(pixel_values, lambda pixels: pixels.new_full((len(pixels),), min(pixels.shape[-2:])))
        return self.categories.heads.found(statistics, sides)

    def _tokens(self, pixels: Tensor) -> Tensor:
        """Pictures of one size, (B, 3, H, W) → (B, N, hidden_size)."""
        middle, deep, *of_branch = self._looked(pixels, self._maps)
        globals_ = self.pooled_hidden(mean_and_std(middle), mean_and_std(deep))
        grid = self.config.patch_grid
        local = [F.adaptive_avg_pool2d(m, grid).flatten(2).transpose(1, 2) for m in (middle, deep)]
        tokens: Tensor = self.norm(torch.cat([globals_, self.local_hidden(torch.cat(local, dim=2))], dim=1))
        return torch.cat([tokens, *(self.categories(one) for one in of_branch)], dim=1)
