"""The report of a benchmark: JSON with every figure, Markdown and HTML for people, CSV of the scores.

No clock, no order of arrival and no cache hits are in it: a run that was killed twice gives the same bytes as one
that was not.
"""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mllmqa._version import __version__
from mllmqa.evaluation.prompting import pages, published_figures
from mllmqa.evaluation.prompting.bench import Bench
from mllmqa.evaluation.prompting.charts import interval as interval_of
from mllmqa.evaluation.prompting.charts import none_because
from mllmqa.evaluation.prompting.log import Head
from mllmqa.evaluation.prompting.measure import Contrast, ModeReport, contrasts, letters, scores_table
from mllmqa.whole_file import write_whole

VERSION = 1


@dataclass(frozen=True)
class Report:
    """All that a run found.

    Attributes:
        head: What was asked of whom.
        bench: The plan.
        modes: One per mode.
        contrasts: One per pair of modes.
    """

    head: Head
    bench: Bench
    modes: tuple[ModeReport, ...]
    contrasts: tuple[Contrast, ...]

    @classmethod
    def of(cls, head: Head, bench: Bench, modes: Sequence[ModeReport]) -> Report:
        """Compare the modes and put all together."""
        return cls(head, bench, tuple(modes), tuple(contrasts(bench, modes)))

    @property
    def letters(self) -> dict[str, str]:
        """Modes that share no letter differ significantly."""
        names, values = [m.mode for m in self.modes], [m.srcc.value for m in self.modes]
        return letters(names, values, self.contrasts)

    def write(self, folder: Path) -> None:
        """Write ``report.json``, ``report.html``, ``report.md`` and ``scores.csv``, each whole or not at all."""
        write_whole(folder / "report.json", self.to_json())
        write_whole(folder / "scores.csv", self.to_csv())
        write_whole(folder / "report.html", self.to_html())
        write_whole(folder / "report.md", self.to_markdown())

    def to_html(self) -> str:
        """Return one self-contained page with charts."""
        return pages.as_html(self)

    def to_json(self) -> str:
        """Return every figure; what does not exist is null."""
        design = asdict(self.bench.design)
        made = {
            "prompt_report": VERSION,
            "mllmqa_version": __version__,
            "spec": self.head.spec,
            "model": self.head.model,
            "design": design,
            "pictures": len(self.bench.items.rated),
            "exemplars": [item.id for item in self.bench.items.exemplars],
            "left_out": self.bench.items.left_out,
            "unreadable": dict(self.bench.unreadable),
            "modes": [_plain(_without_scores(mode)) for mode in self.modes],
            "published": {
                m.mode: published_figures.figures(self.bench, m.scores.values)
                for m in self.modes
                if self.bench.design.compat
            },
            "letters": self.letters,
            "contrasts": [_plain(asdict(one)) for one in self.contrasts],
        }
        return json.dumps(made, indent=1, ensure_ascii=False, allow_nan=False, default=_plain) + "\n"

    def to_csv(self) -> str:
        """Return the scores and their standard errors by picture and mode."""
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\n")
        names = [m.mode for m in self.modes]
        writer.writerow(["id", "opinion", *names, *(f"{name}_se" for name in names)])
        scores = scores_table(self.bench, self.modes)
        errors = np.stack([m.scores.errors for m in self.modes], axis=1)
        for item, row, error in zip(self.bench.items.rated, scores, errors, strict=True):
            cells = ["" if math.isnan(x) else f"{x:.10g}" for x in (*row, *error)]
            writer.writerow([item.id, f"{item.opinion:.10g}", *cells])
        return out.getvalue()

    def to_markdown(self) -> str:
        """Return the tables for people."""
        items = self.bench.items
        kind = "against references" if items.reference else "without references"
        lines = [
            f"# Prompt benchmark: {self.head.model}",
            "",
            f"{len(items.rated)} pictures {kind}, {len(items.exemplars)} exemplars held out, "
            f"{len(self.bench.work):,} questions, seed {self.bench.design.seed}"
            + (f", protocol {self.bench.design.compat}" if self.bench.design.compat else "")
            + f"; spec {self.head.spec}.",
            "",
            *_agreement(self),
            "",
            *_failures(self.modes),
            "",
            *_habits(self.modes),
            "",
            *_cost(self.modes),
        ]
        if self.bench.unreadable:
            lines += ["", f"{len(self.bench.unreadable)} pictures cannot be read and were not asked about:", ""]
            lines += [f"- {name}: {why}" for name, why in self.bench.unreadable]
        return "\n".join(lines) + "\n"


def _agreement(report: Report) -> list[str]:
    what = "mean over references" if report.bench.items.reference else "over all pictures"
    rows = [f"SRCC ({what}, 95 % bootstrap interval); modes that share no letter differ at 5 % (Holm).", ""]
    rows += ["| mode | SRCC | interval | letters | n | n_unscored | with the unscored | PLCC |", "| --- " * 8 + "|"]
    for m in report.modes:
        if m.srcc.reason is not None:
            rows.append(f"| {m.mode} | none: {none_because(m)} | | | {m.srcc.n} | {m.srcc.n_unscored} | | |")
            continue
        low, high = interval_of(m)
        interval = "" if low is None or high is None else f"{low:.3f} … {high:.3f}"
        bounds = f"{m.srcc.worst:.3f} … {m.srcc.best:.3f}" if m.srcc.n_unscored else ""
        plcc = f"{m.overall.plcc.value:.3f}" if m.overall else ""
        rows.append(
            f"| {m.mode} | {m.srcc.value:.3f} | {interval} | {report.letters[m.mode]} | {m.srcc.n} "
            f"| {m.srcc.n_unscored} | {bounds} | {plcc} |"
        )
    return rows


def _failures(modes: Sequence[ModeReport]) -> list[str]:
    kinds = [kind for kind in modes[0].failures if any(m.failures[kind].k for m in modes)] if modes else []
    head = "| mode | planned | asked | answered |" + "".join(f" {kind} |" for kind in kinds)
    rows = ["Answers that cannot be used; none is replaced.", "", head, "| --- " * (4 + len(kinds)) + "|"]
    for m in modes:
        shares = "".join(f" {_percent(m.failures[kind].value)} |" for kind in kinds)
        rows.append(f"| {m.mode} | {m.planned:,} | {m.asked:,} | {m.answered:,} |{shares}")
    return rows


def _habits(modes: Sequence[ModeReport]) -> list[str]:
    rows = [
        "How it answers: first place preferred (1/2 is right), order effect (in deviations of a difference), same "
        "verdict after a swap, cycles of three (coins: 25 %), three most used scores, multiples of ten, repeats.",
        "",
        "| mode | first | order effect | swap same | kappa | ties | cycles | top 3 scores | tens | retest ICC |",
        "| --- " * 10 + "|",
    ]
    for m in modes:
        place, number = m.places, m.numbers
        effect = "" if math.isnan(m.scores.order) else f"{m.scores.order:+.2f} ± {m.scores.order_error:.2f}"
        cells = [
            _percent(place.first.value) if place else "",
            effect,
            _percent(place.consistent.value) if place else "",
            f"{place.kappa:.2f}" if place and not math.isnan(place.kappa) else "",
            _percent(place.ties.value) if place else "",
            _percent(m.cycles.cyclic.value) if m.cycles else "",
            _percent(number.top_three.value) if number else "",
            _percent(number.tens.value) if number else "",
            f"{m.retest.icc_agreement.value:.3f}" if m.retest and m.retest.icc_agreement.reason is None else "",
        ]
        rows.append(f"| {m.mode} | " + " | ".join(cells) + " |")
    return rows


def _cost(modes: Sequence[ModeReport]) -> list[str]:
    rows = [
        "Cost of all answers, whichever run paid for them.",
        "",
        "| mode | images | tokens in | tokens out | uncounted | money | SRCC per unit of money |",
        "| --- " * 7 + "|",
    ]
    for m in modes:
        s = m.spent
        money = "" if s.money is None else f"{s.money:.4f}"
        per = "" if s.srcc_per_unit is None else f"{s.srcc_per_unit:.3g}"
        rows.append(
            f"| {m.mode} | {s.images:,} | {s.tokens_in:,} | {s.tokens_out:,} | {s.uncounted:,} | {money} | {per} |"
        )
    return rows


def _percent(value: float) -> str:
    return "" if math.isnan(value) else f"{100 * value:.1f} %"


def _without_scores(mode: ModeReport) -> dict[str, Any]:
    """Return all but the arrays, which are in the CSV."""
    made = asdict(mode)
    scores = made.pop("scores")
    made["order_effect"], made["order_error"], made["parts"] = (
        scores[k] for k in ("order", "order_error", "parts")
    )
    return made


def _plain(value: Any) -> Any:
    """Return JSON without NaN and numpy."""
    if isinstance(value, dict):
        return {str(key): _plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    if isinstance(value, np.ndarray):
        return _plain(value.tolist())
    if isinstance(value, np.generic):
        return _plain(value.item())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
