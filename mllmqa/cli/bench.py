"""``mllmqa bench``: how fast a model scores here. Further benchmarks are further commands of this group."""

from __future__ import annotations

import json
import re
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from mllmqa.cli.bench_prompts import prompts
from mllmqa.cli.groups import unfolded
from mllmqa.cli.loading import LoadingWishes
from mllmqa.cli.options import JsonRecord
from mllmqa.errors import UsageError
from mllmqa.models.devices import BATCH, BATCH_ON_CPU

if TYPE_CHECKING:
    from mllmqa.benchmark import SpeedReport


class _SpeedByDefault(TyperGroup):
    """``mllmqa bench MODEL`` means ``mllmqa bench speed MODEL``."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Put ``speed`` in front of what is no command of the group."""
        if args and args[0] not in {*self.commands, "--help"}:
            args = ["speed", *args]
        return super().parse_args(ctx, args)


bench = typer.Typer(
    cls=_SpeedByDefault,
    no_args_is_help=True,
    help="Measure. `mllmqa bench MODEL` is short for `mllmqa bench speed MODEL`.",
)


@bench.callback()
def _root() -> None:
    pass


bench.command("prompts")(prompts)


@bench.command("speed")
@unfolded
def speed(
    *,
    model: Annotated[str, typer.Argument(metavar="MODEL", help="As after --model of `mllmqa score`.")],
    images: Annotated[int, typer.Option(min=1, help="Random pictures to score.")] = 32,
    size: Annotated[str, typer.Option(metavar="WxH", help="Of each picture.")] = "512x384",
    batch_size: Annotated[
        int | None,
        typer.Option(
            min=1, max=4096, help=f"Default: {BATCH_ON_CPU} on the CPU, else {BATCH}.", show_default=False
        ),
    ] = None,
    loading: LoadingWishes,
    seed: Annotated[int, typer.Option(min=0, help="Of the pictures.")] = 0,
    as_json: JsonRecord = False,
) -> None:
    """Measure images/s, tokens, FLOP/s against the device's matrix rate, and memory, in one run."""
    from mllmqa.benchmark import SpeedOptions, measure_speed
    from mllmqa.models.resolve import API_PREFIX

    width, height = _size(size)
    if model.startswith(API_PREFIX):  # said before it is asked and paid
        raise UsageError("only a model that runs on this machine has a speed here", where=model)
    scorer = loading.load(model)
    report = measure_speed(scorer, SpeedOptions(images, width, height, batch_size, seed))
    if as_json:
        print(json.dumps(asdict(report)))
    else:
        _show(report)


def _size(text: str) -> tuple[int, int]:
    found = re.fullmatch(r"([1-9][0-9]{0,4})x([1-9][0-9]{0,4})", text)
    if found is None:
        raise UsageError(f"--size {text!r}", expected="WIDTHxHEIGHT in pixels, e.g. 512x384")
    return int(found[1]), int(found[2])


def _show(r: SpeedReport) -> None:
    whole = r.view_s + r.encode_s + r.forward_s
    parts = [("views", r.view_s), ("processor", r.encode_s), ("forward", r.forward_s)]
    rows = [
        ("model", f"{r.model}, {r.dtype}" + (f", {r.quantization}" if r.quantization else "")),
        ("device", f"{r.device}, {r.threads} CPU threads"),
        ("images", f"{r.images}, {r.batch_size} per batch"),
        ("images/s", f"{r.images_per_s:.3g} in all, {r.forward_images_per_s:.3g} in the forward pass"),
        ("time", ", ".join(f"{name} {seconds / whole:.0%}" for name, seconds in parts)),
        ("tokens", f"{r.tokens_per_request:.4g} per request, {r.tokens_per_s:.4g}/s"),
        ("FLOP/s", _flop(r)),
        ("peak memory", f"{r.peak_memory_bytes / 1e9:.3g} GB" if r.peak_memory_bytes else "not told here"),
    ]
    for name, text in rows:
        print(f"{name:<12} {text}")


def _flop(r: SpeedReport) -> str:
    matrix = f"matrix products {r.matrix_flop_per_s / 1e12:.3g} T/s"
    if r.flop_per_image is None or r.flop_per_s is None or r.share is None:
        return f"not counted for quantised models; {matrix}"
    return f"{r.flop_per_s / 1e12:.3g} T/s = {r.share:.0%} of {matrix}, {r.flop_per_image / 1e9:.4g} G per image"
