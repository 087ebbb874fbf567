"""The card of a trained model: what it is, what it was trained on and how, what it scores."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from mllmqa._version import __version__
from mllmqa.models.base import ModelInfo
from mllmqa.training import stages
from mllmqa.training.stage import Stage
from mllmqa.whole_file import write_whole

BASE = ("model", "revision", "weights_sha256", "settings_sha256", "adapter_sha256", "quantization")
"""What is told of the model at the start."""
LIBRARIES = ("torch", "transformers", "peft", "accelerate", "bitsandbytes", "deepspeed")
LISTED = 8
"""Sources of a set that the table names; photos that samples were made of can be thousands."""
FIGURES = ("srcc", "plcc", "_n", "_n_unscored", "_n_lost")


def write(
    folder: Path, stage: Stage, base: ModelInfo, data: Sequence[Mapping[str, Any]], metrics: Mapping[str, Any]
) -> None:
    """Write ``README.md`` for people, ``stage.yaml`` to train again, ``training.json`` for machines.

    Args:
        folder: Of the model.
        stage: What was run.
        base: Identity of the model that it started from.
        data: Of :func:`mllmqa.training.assemble.describe_data`.
        metrics: Of the evaluation; empty: not evaluated. What is not finite is written as null.
    """
    record = {
        "mllmqa_version": __version__,
        "versions": {name: _version(name) for name in LIBRARIES},
        "stage": stage.name,
        "stage_sha256": stages.digest(stage),
        "base": {name: getattr(base, name) for name in BASE},
        "data": [dict(one) for one in data],
        "metrics": {name: _number(value) for name, value in metrics.items()},
    }
    write_whole(folder / "training.json", json.dumps(record, indent=1, allow_nan=False) + "\n")
    write_whole(folder / "stage.yaml", stages.to_yaml(stage))
    write_whole(folder / "README.md", text(stage, record))


def text(stage: Stage, record: Mapping[str, Any]) -> str:
    """Return the card as Markdown."""
    base, data, metrics = record["base"], record["data"], record["metrics"]
    lines = ["---", "library_name: mllmqa", "tags: [image-quality-assessment, mllmqa]", "---", ""]
    lines += [f"# {stage.title}", "", f"Stage `{stage.name}` of mllmqa {record['mllmqa_version']}."]
    lines += [f"Paper: {stage.paper}." if stage.paper else "", "", "```sh"]
    lines += ["mllmqa score --model . photo.jpg", "```", "", "## Trained from", ""]
    lines += [f"- {key}: `{value}`" for key, value in base.items() if value is not None]
    lines += [
        "",
        "## Trained on",
        "",
        "| samples | n | weight | tasks | sources | sha256 |",
        "|---|---|---|---|---|---|",
    ]
    for one in data:
        tasks = ", ".join(f"{task} {n}" for task, n in one["tasks"].items())
        named, more = one["sources"][:LISTED], len(one["sources"]) - LISTED
        sources = ", ".join([*named, f"{more} more"] if more > 0 else named)
        cells = (one["samples"], one["n"], f"{one['weight']:g}", tasks, sources, f"`{one['sha256'][:16]}`")
        lines.append("| " + " | ".join(str(cell).replace("|", "\\|") for cell in cells) + " |")
    lines += ["", "The licences of these data sets hold for the weights, too.", "", "## Measured", ""]
    lines += _figures(metrics) or ["Not evaluated: the stage names no `evaluate`."]
    lines += ["", "The whole recipe is in `stage.yaml`, all figures and hashes in `training.json`.", ""]
    return "\n".join(lines)


def _figures(metrics: Mapping[str, Any]) -> list[str]:
    found = []
    for key, value in metrics.items():
        if key.endswith(FIGURES):
            form = ".4f" if key.endswith(("srcc", "plcc")) else "g"
            found.append(
                f"- {key.removeprefix('eval_')}: {'not defined' if _number(value) is None else f'{value:{form}}'}"
            )
    return found


def _number(value: Any) -> Any:
    """JSON has no NaN: a correlation of equal scores is none."""
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _version(name: str) -> str | None:
    from importlib.metadata import PackageNotFoundError

    try:
        return version(name)
    except PackageNotFoundError:
        return None
