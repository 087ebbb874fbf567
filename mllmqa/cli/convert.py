"""``mllmqa convert``: a clean copy of a published checkpoint."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def convert_model(
    source: Annotated[str, typer.Argument(metavar="SRC", help="Name, folder or hub id; see `mllmqa models`.")],
    destination: Annotated[Path, typer.Argument(metavar="DST", help="Folder to be made.")],
    dtype: Annotated[str, typer.Option(help="stored | float32 | bfloat16 | float16")] = "stored",
    revision: Annotated[str | None, typer.Option(help="Revision on the hub.")] = None,
    base: Annotated[str | None, typer.Option(metavar="MODEL", help="Under an adapter given as SRC.")] = None,
    vision_tower: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Of an original LLaVA checkpoint that comes without.")
    ] = None,
) -> None:
    """Write a copy of a model that stock transformers loads: safetensors, no remote code."""
    from mllmqa.cli.loading import quiet

    quiet()
    from mllmqa.convert import convert
    from mllmqa.models.load import LocalOptions

    options = LocalOptions(base=base, vision_tower=vision_tower)
    made = convert(source, destination, dtype=dtype, revision=revision, options=options)
    print(
        f"{made.folder}: {made.parameters:,} parameters in {made.dtype}, {made.size_bytes:,} bytes, "
        f"preset {made.preset or 'none'}"
    )
