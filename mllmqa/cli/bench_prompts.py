"""``mllmqa bench prompts``: how well a model judges when it is asked in nine ways and more."""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mllmqa.cli.endpoint import EndpointWishes, Speaking, spent
from mllmqa.cli.groups import OptionGroup, unfolded
from mllmqa.cli.loading import Loading
from mllmqa.errors import UsageError

if TYPE_CHECKING:
    from mllmqa.evaluation.prompting.bench import Bench, Design
    from mllmqa.evaluation.prompting.runner import Limits
    from mllmqa.scoring import Scorer

REFERENCES = {"auto": None, "nr": False, "fr": True}


def _plan(metavar: str | None, text: str, **more: Any) -> Any:
    return typer.Option(metavar=metavar, help=text, rich_help_panel="Plan", **more)


@dataclass(frozen=True)
class Plan(OptionGroup):
    """What is asked."""

    modes: Annotated[str, _plan("LIST", "nine | all | single,double-ic,multiple-cot,levels,anchored,2afc")] = "nine"
    reference: Annotated[str, _plan(None, "auto | nr | fr: with the references of the samples.")] = "auto"
    limit: Annotated[int | None, _plan("N", "At most so many pictures, drawn at random.")] = None
    opponents: Annotated[float, _plan(None, "Questions about pairs, per picture.")] = 5
    groups: Annotated[int, _plan(None, "Groups that each picture leads.")] = 2
    size: Annotated[int, _plan(None, "Pictures of a group.")] = 4
    repeats: Annotated[int, _plan(None, "Times that a question is asked, for test-retest.")] = 1
    seed: Annotated[int, _plan(None, "Of pairs, groups, examples.", min=0)] = 0
    compat: Annotated[str | None, _plan("wu2024", "The published protocol with its flaws, for old numbers.")] = None
    max_tokens: Annotated[int, _plan(None, "Length of an answer in words.")] = 256

    def design(self) -> Design:
        """Return it checked."""
        from mllmqa.evaluation.prompting.bench import Design, parse_modes

        if self.compat not in (None, "wu2024"):
            raise UsageError(f"--compat {self.compat!r}", expected="wu2024")
        if self.reference not in REFERENCES:
            raise UsageError(f"--reference {self.reference!r}", expected=" | ".join(REFERENCES))
        design = Design(
            parse_modes(self.modes), self.opponents, self.groups, self.size, self.repeats, self.limit, self.seed,
            "wu2024" if self.compat else None, self.max_tokens,
        )  # fmt: skip
        design.check()
        return design


@unfolded
def prompts(
    *,
    data: Annotated[Path, typer.Option(metavar="FILE", help="Samples (JSONL) with opinions: mllmqa data.")],
    model: Annotated[str, typer.Option(metavar="MODEL", help="As for `mllmqa score`, or fake:noise=0.5,bias=0.3.")],
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Of log and report; the same command goes on there.")
    ] = None,
    plan: Plan,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the plan and ask nothing.")] = False,
    loading: Loading,
    endpoint: Speaking,
) -> None:
    """Ask a model about rated pictures in nine ways, and report how well each way works and what it costs.

    Every answer is logged at once: the same command continues a run that was killed.
    """
    from mllmqa.evaluation.prompting import estimate
    from mllmqa.evaluation.prompting.bench import make
    from mllmqa.evaluation.prompting.items import read_items
    from mllmqa.evaluation.prompting.log import known_lines

    design, limits = plan.design(), _limits(model, endpoint)
    if out is None and not dry_run:
        raise UsageError("no place for log and report", expected="--out DIR")
    bench = make(read_items(data, reference=REFERENCES[plan.reference]), design)
    if out is None or dry_run:
        print(estimate.table(estimate.estimate(bench, known_lines(out), limits.price, limits.concurrency)))
        return
    _ask(bench, loading.load(model, endpoint.options(model) if model.startswith("api:") else None), out, limits)


def _limits(model: str, endpoint: EndpointWishes) -> Limits:
    """Return concurrency, budget and price; the last two are also for a model on this machine."""
    from mllmqa.evaluation.prompting.runner import Limits

    if not model.startswith("api:"):
        replace(endpoint, budget=None, price=None, no_cache=False).options(model)
    asked = endpoint.read()
    return Limits(asked.concurrency if model.startswith("api:") else 1, asked.budget, asked.price)


def _ask(bench: Bench, scorer: Scorer, out: Path, limits: Limits) -> None:
    """Ask what the log does not know yet, and write the report."""
    from mllmqa.evaluation.prompting import estimate
    from mllmqa.evaluation.prompting.asking import Asker
    from mllmqa.evaluation.prompting.log import AnswerLog
    from mllmqa.evaluation.prompting.runner import run

    asker = Asker(scorer, bench.items, bench.design.max_tokens)
    head = bench.head(asker.info)
    out.mkdir(parents=True, exist_ok=True)
    try:
        with AnswerLog(out / "answers.jsonl", head) as log:
            found = estimate.estimate(bench, log.lines, limits.price, limits.concurrency)
            print(estimate.table(found), file=sys.stderr)
            stopped = run(bench.work, asker, log, limits, _progress())
            known = dict(log.lines)
    finally:
        for line in spent(scorer.backend):
            print(line, file=sys.stderr)
    _report(bench, head, known, out, limits.price)
    if stopped is not None:
        print(f"mllmqa: {stopped}", file=sys.stderr)
        raise typer.Exit(1)


def _report(bench: Bench, head: Any, known: dict[str, Any], out: Path, price: Any) -> None:
    from mllmqa.evaluation.prompting.measure import measure
    from mllmqa.evaluation.prompting.report import Report

    report = Report.of(head, bench, measure(bench, known, price))
    report.write(out)
    print(report.to_markdown(), end="")


def _progress() -> Any:
    step = {"last": -1}

    def tell(done: int, total: int) -> None:
        percent = 100 * done // max(total, 1)
        if percent != step["last"]:
            step["last"] = percent
            end = "\r" if sys.stderr.isatty() and done < total else "\n"
            if sys.stderr.isatty() or percent % 10 == 0:
                print(f"{done:,} of {total:,} questions", end=end, file=sys.stderr, flush=True)

    return tell
