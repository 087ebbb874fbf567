"""What a frozen vision tower says of a picture is computed once and kept: later epochs only look it up."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from mllmqa.errors import UsageError
from mllmqa.models.torchvision_shim import ensure_torchvision
from mllmqa.whole_file import write_whole

ensure_torchvision()  # before any model class of transformers is imported

from transformers.modeling_outputs import BaseModelOutputWithPooling  # noqa: E402


def remember(model: nn.Module, folder: Path) -> None:
    """Make the tower of a LLaVA-type model look up pictures that it has seen.

    New ones are computed as in scoring, without gradients and without autocast.

    A picture is known by the hash of its pixels as the tower gets them, so equal pictures are one, and a changed
    file or another view is another picture. Processes of a run share the folder. Only the layers are kept that the
    projector reads (``vision_feature_layer``), one file each of N × width × 4 bytes for N tokens.

    Args:
        model: From :func:`mllmqa.training.adapt.prepare`; its tower's ``forward`` is replaced.
        folder: Where outputs are kept. It must hold nothing of another tower.

    Raises:
        UsageError: The model has no tower that can be looked behind, or the tower is trained.
    """
    config: Any = model.config
    towers = [(name, module) for name, module in model.named_modules() if name.endswith("vision_tower")]
    if len(towers) != 1 or not hasattr(config, "vision_feature_layer"):
        raise UsageError(
            "`remember_vision` is for models of LLaVA's kind, with one `vision_tower`",
            where=type(model).__name__, hint="leave it out",
        )  # fmt: skip
    tower = towers[0][1]
    if trained := next((name for name, one in tower.named_parameters() if one.requires_grad), None):
        raise UsageError(f"`remember_vision` needs a frozen tower, and {trained} is trained", hint="leave it out")
    wanted: int | list[int] = config.vision_feature_layer
    memory = _Memory(tower, [wanted] if isinstance(wanted, int) else wanted, folder)
    tower.forward = memory.forward


class _Memory:
    """A tower's forward pass, looked up where it can be."""

    def __init__(self, tower: nn.Module, layers: list[int], folder: Path) -> None:
        self._compute, self._layers, self._folder = tower.forward, layers, folder
        folder.mkdir(parents=True, exist_ok=True)

    @torch.no_grad()
    def forward(self, pixel_values: Tensor, **how: Any) -> BaseModelOutputWithPooling:
        """``hidden_states`` holds the wanted layers, and None in the place of all others."""
        names = [_name(picture) for picture in pixel_values]
        found = {name: self._folder / name for name in names if (self._folder / name).is_file()}
        new = {name: row for row, name in enumerate(names) if name not in found}
        kept = {
            name: torch.load(io.BytesIO(place.read_bytes()), weights_only=True) for name, place in found.items()
        }
        if new:
            kept |= self._computed(pixel_values[list(new.values())], list(new), how)
        of_first = kept[names[0]]
        states: list[Tensor | None] = [None] * of_first["states"]
        for k, layer in enumerate(self._layers):
            rows = torch.stack([kept[name]["layers"][k] for name in names])
            states[layer] = rows.to(pixel_values.device)
        last = states[-1] if states[-1] is not None else states[self._layers[0]]
        return BaseModelOutputWithPooling(last_hidden_state=last, hidden_states=tuple(states))

    def _computed(self, pixels: Tensor, names: list[str], how: dict[str, Any]) -> dict[str, Any]:
        """Run the tower on new pictures and keep what it says."""
        with torch.autocast(pixels.device.type, enabled=False):
            said = self._compute(pixels, **{**how, "output_hidden_states": True}).hidden_states
        made = {}
        for row, name in enumerate(names):
            layers = [said[layer][row].cpu().clone() for layer in self._layers]
            made[name] = {"states": len(said), "layers": layers}
            file = io.BytesIO()
            torch.save(made[name], file)
            write_whole(self._folder / name, file.getvalue())
        return made


def _name(picture: Tensor) -> str:
    """Hash of a picture (3, H, W) without the NaN that fills it up to the size of its neighbours."""
    there = ~picture[0].isnan()
    inside = picture[:, : int(there[:, 0].sum()), : int(there[0].sum())].contiguous().cpu()
    digest = hashlib.blake2b(str((tuple(inside.shape), inside.dtype)).encode(), digest_size=16)
    digest.update(inside.flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
