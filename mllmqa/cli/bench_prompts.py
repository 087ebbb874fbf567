"""``mllmqa bench prompts``: how well a model judges when it is asked in nine ways and more."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mllmqa.cli import endpoint as ep
from mllmqa.errors import UsageError

if TYPE_CHECKING:
    from mllmqa.evaluation.prompting.bench import Bench
    from mllmqa.models.api import ApiOptions

_PLAN = "Plan"
_RUN = "Run"


def _plan(metavar: str | None, text: str, **more: Any) -> Any:
    return typer.Option(metavar=metavar, help=text, rich_help_panel=_PLAN, **more)


def prompts(
    data: Annotated[Path, typer.Option(metavar="FILE", help="Samples (JSONL) with opinions: mllmqa data.")],
    model: Annotated[str, typer.Option(metavar="MODEL", help="As for `mllmqa score`, or fake:noise=0.5,bias=0.3.")],
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Of log and report; the same command goes on there.")
    ] = None,
    modes: Annotated[
        str, _plan("LIST", "nine | all | single,double-ic,multiple-cot,levels,anchored,2afc")
    ] = "nine",
    reference: Annotated[str, _plan(None, "auto | nr | fr: with the references of the samples.")] = "auto",
    limit: Annotated[int | None, _plan("N", "At most so many pictures, drawn at random.")] = None,
    opponents: Annotated[float, _plan(None, "Questions about pairs, per picture.")] = 5,
    groups: Annotated[int, _plan(None, "Groups that each picture leads.")] = 2,
    size: Annotated[int, _plan(None, "Pictures of a group.")] = 4,
    repeats: Annotated[int, _plan(None, "Times that a question is asked, for test-retest.")] = 1,
    seed: Annotated[int, _plan(None, "Of pairs, groups, examples.", min=0)] = 0,
    compat: Annotated[
        str | None, _plan("wu2024", "The published protocol with its flaws, for old numbers.")
    ] = None,
    max_tokens: Annotated[int, _plan(None, "Length of an answer in words.")] = 256,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show the plan and ask nothing.", rich_help_panel=_RUN)
    ] = False,
    device: Annotated[str, typer.Option(help="For a model on this machine.", rich_help_panel=_RUN)] = "auto",
    base_url: ep.BaseUrl = None,
    concurrency: ep.Concurrency = None,
    timeout: ep.Timeout = None,
    budget: ep.Limit = None,
    price: ep.PriceOption = None,
    cache: ep.CacheFolder = None,
    no_cache: ep.NoCache = False,
) -> None:
    """Ask a model about rated pictures in nine ways, and report how well each way works and what it costs.

    Every answer is logged at once: the same command continues a run that was killed.
    """
    from mllmqa.evaluation.prompting import bench as benches
    from mllmqa.evaluation.prompting.items import read_items

    if compat not in (None, "wu2024"):
        raise UsageError(f"--compat {compat!r}", expected="wu2024")
    if reference not in ("auto", "nr", "fr"):
        raise UsageError(f"--reference {reference!r}", expected="auto | nr | fr")
    design = benches.Design(
        benches.parse_modes(modes), opponents, groups, size, repeats, limit, seed,
        "wu2024" if compat else None, max_tokens,
    )  # fmt: skip
    design.check()
    remote = model.startswith("api:")
    options = ep.endpoint_options(
        model if remote else "api:-", base_url, (concurrency, timeout), (budget, price), None, (cache, no_cache)
    )
    if not remote and any(x is not None for x in (base_url, concurrency, timeout, cache)):
        raise UsageError("options of an endpoint are given", where=model, expected="--model api:MODEL with them")
    if out is None and not dry_run:
        raise UsageError("no place for log and report", expected="--out DIR")
    items = read_items(data, reference={"auto": None, "nr": False, "fr": True}[reference])
    _work(benches.make(items, design), model, out, dry_run, device, options)


def _work(
    bench: Bench, model: str, out: Path | None, dry_run: bool, device: str, options: ApiOptions | None
) -> None:
    from mllmqa.cli.loading import load_model
    from mllmqa.evaluation.prompting import estimate
    from mllmqa.evaluation.prompting.asking import Asker
    from mllmqa.evaluation.prompting.log import AnswerLog, known_lines
    from mllmqa.evaluation.prompting.runner import Limits, run

    remote, price = model.startswith("api:"), options.price if options else None
    threads = options.concurrency if remote and options else 1
    if dry_run:
        print(estimate.table(estimate.estimate(bench, known_lines(out), price, threads)))
        return
    if out is None:
        raise UsageError("no place for log and report", expected="--out DIR")
    scorer = load_model(model, None, options if remote else None, device=device)
    asker = Asker(scorer, bench.items, bench.design.max_tokens)
    head = bench.head(asker.info)
    out.mkdir(parents=True, exist_ok=True)
    try:
        with AnswerLog(out / "answers.jsonl", head) as log:
            print(estimate.table(estimate.estimate(bench, log.lines, price, threads)), file=sys.stderr)
            budget = options.budget if options else None
            limits = Limits(threads, budget, price) if budget else Limits(threads)
            stopped = run(bench.work, asker, log, limits, _progress())
            known = dict(log.lines)
    finally:
        if remote:
            usage = scorer.backend.usage  # type: ignore[attr-defined]
            print(usage.line(price), file=sys.stderr)
            scorer.backend.close()  # type: ignore[attr-defined]
    _report(bench, head, known, out, price)
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
