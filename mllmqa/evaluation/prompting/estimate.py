"""What a plan will ask, send, cost and take, per mode, before anything is sent.

Tokens of pictures follow a published rule: tiles of 512 pixels (85 + 170 per tile, after fitting into 2048 and a
short side of 768), or patches of 32 pixels. Rules differ between models and are no promise; where the log of the
run holds answers of a mode, their measured means replace the rule.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mllmqa.evaluation.prompting.bench import Bench
from mllmqa.evaluation.prompting.log import Line
from mllmqa.evaluation.prompting.trials import LOGITS, Trial, files, prompt_of
from mllmqa.models.api.options import Price

TOKENS_OUT = {"standard": 12, "cot": 120, "logits": 1}
"""Assumed length of an answer."""
SECONDS = 3.0
"""Assumed time of one answer, where none was measured."""
LETTERS_PER_TOKEN = 4


@dataclass(frozen=True)
class Estimate:
    """One mode.

    Attributes:
        mode: Its name.
        requests: Questions in all.
        left: Of them not answered yet; the rest of the figures is about these.
        images: Pictures sent.
        tokens_in: Tokens sent.
        tokens_out: Tokens answered.
        money: At the price; None without.
        seconds: At the concurrency.
        measured: Whether tokens and seconds come from answers of this run.
    """

    mode: str
    requests: int
    left: int
    images: int
    tokens_in: int
    tokens_out: int
    money: float | None
    seconds: float
    measured: bool


def tile_tokens(width: int, height: int) -> int:
    """Return the tokens of a picture of models with tiles.

    >>> tile_tokens(1024, 1024), tile_tokens(512, 384), tile_tokens(4096, 8192)
    (765, 255, 1105)
    """
    shrink = min(1.0, 2048 / max(width, height))
    width, height = max(1, int(width * shrink)), max(1, int(height * shrink))
    shrink = min(1.0, 768 / min(width, height))
    width, height = max(1, int(width * shrink)), max(1, int(height * shrink))
    return 85 + 170 * math.ceil(width / 512) * math.ceil(height / 512)


def patch_tokens(width: int, height: int, factor: float = 1.0) -> int:
    """Return the tokens of a picture of models with patches of 32 pixels, times the model's own factor."""
    return math.ceil(math.ceil(width / 32) * math.ceil(height / 32) * factor)


def estimate(
    bench: Bench, known: Mapping[str, Line], price: Price | None = None, concurrency: int = 1
) -> list[Estimate]:
    """Return the estimate of each mode.

    Args:
        bench: The plan.
        known: Lines of the log by trial.
        price: Per million tokens.
        concurrency: Questions at the same time.
    """
    return [_mode(s.name, bench.of(s.name), bench, known, price, concurrency) for s in bench.strategies]


def _mode(
    mode: str,
    trials: Sequence[Trial],
    bench: Bench,
    known: Mapping[str, Line],
    price: Price | None,
    concurrency: int,
) -> Estimate:
    lines = [known[trial.id] for trial in trials if trial.id in known and known[trial.id].done]
    done = {line.trial for line in lines}
    left = [trial for trial in trials if trial.id not in done]
    counted = [(x.tokens_in, x.tokens_out) for x in lines if x.tokens_in is not None and x.tokens_out is not None]
    if counted:
        into = round(len(left) * sum(a for a, _ in counted) / len(counted))
        out = round(len(left) * sum(b for _, b in counted) / len(counted))
    else:
        into = sum(_tokens_in(trial, bench) for trial in left)
        out = len(left) * TOKENS_OUT[_how(trials[0])] if trials else 0
    waited = [line.seconds for line in lines if not line.from_cache]
    each = sum(waited) / len(waited) if waited else SECONDS
    money = None if price is None else (into * price.tokens_in + out * price.tokens_out) / 1e6
    images = sum(len(files(trial, bench.items)) for trial in left)
    return Estimate(
        mode, len(trials), len(left), images, into, out, money, len(left) * each / concurrency, bool(counted)
    )


def _how(trial: Trial) -> str:
    return "logits" if trial.stimulus in LOGITS else "cot" if trial.think else "standard"


def _tokens_in(trial: Trial, bench: Bench) -> int:
    pictures = sum(tile_tokens(*bench.pictures[path][1:]) for path in files(trial, bench.items))
    return pictures + len(prompt_of(trial, bench.items).question) // LETTERS_PER_TOKEN


def table(found: Sequence[Estimate]) -> str:
    """Return the plan as Markdown."""
    head = "| mode | requests | left | images | tokens in | tokens out | money | time |"
    rows = [head, "| --- |" + " ---: |" * 7]
    total = Estimate(
        "all",
        sum(e.requests for e in found),
        sum(e.left for e in found),
        sum(e.images for e in found),
        sum(e.tokens_in for e in found),
        sum(e.tokens_out for e in found),
        None if any(e.money is None for e in found) else sum(e.money or 0 for e in found),
        sum(e.seconds for e in found),
        all(e.measured for e in found),
    )
    for e in (*found, total):
        money = "-" if e.money is None else f"{e.money:.4f}"
        mark = "" if e.measured else "~"
        rows.append(
            f"| {e.mode} | {e.requests:,} | {e.left:,} | {e.images:,} | {mark}{e.tokens_in:,} "
            f"| {mark}{e.tokens_out:,} | {mark if e.money is not None else ''}{money} | {mark}{_time(e.seconds)} |"
        )
    return "\n".join(rows)


def _time(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
