"""``mllmqa answers``: ask a model the questions of a file, and report how often it is right."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mllmqa.cli import endpoint

if TYPE_CHECKING:
    from mllmqa.models.api import ApiOptions


def answers(
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE", help="Samples of `mllmqa build`, or questions (see --form).", show_default=False
        ),
    ],
    model: Annotated[str, typer.Option(metavar="NAME|PATH|HUB-ID|api:NAME", help="See `mllmqa models`.")] = "nano",
    tasks: Annotated[str | None, typer.Option(metavar="TASK,…", help="Of samples: only these tasks.")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Ask N questions at most.")] = None,
    out: Annotated[Path | None, typer.Option(metavar="LOG.jsonl", help="Append the answers to this log.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the log of a run that was stopped.")] = False,
    regrade: Annotated[
        bool, typer.Option("--regrade", help="Ask nothing: grade the answers that the log has.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Results as one JSON object on stdout.")] = False,
    graded: Annotated[
        Path | None, typer.Option(metavar="FILE.jsonl", help="Write the grade of each answer.")
    ] = None,
    form: Annotated[
        str, typer.Option(help="Of questions: auto|qbench|qbench-hf|qbench-video|abench|rbench|vlmevalkit.")
    ] = "auto",
    media: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Of questions: where media lie. Default: beside FILE.")
    ] = None,
    grade: Annotated[
        str, typer.Option(help="Of options: text (what is written) | likelihood (of letters).")
    ] = "text",
    orders: Annotated[str, typer.Option(help="Of options: as-given | circular | shuffle:N")] = "as-given",
    seed: Annotated[int, typer.Option(min=0, help="Of shuffled options.")] = 0,
    judge: Annotated[
        str | None, typer.Option(metavar="MODEL", help="Grades descriptions and open answers: 0, 1 or 2.")
    ] = None,
    rounds: Annotated[int, typer.Option(min=1, max=100, help="How often the judge is asked.")] = 5,
    export: Annotated[
        list[str] | None,
        typer.Option(metavar="FORMAT=PATH", help="Of questions: vlmevalkit=FILE, lmms-eval=DIR, inspect=FILE."),
    ] = None,
    max_tokens: Annotated[int, typer.Option(min=1, max=4096, help="Longest answer.")] = 128,
    view: Annotated[
        str | None, typer.Option(metavar="VIEW", help="What the model sees. Default: the model's.")
    ] = None,
    frames: Annotated[str | None, typer.Option(metavar="RULE", help="Of clips. Default: the model's.")] = None,
    device: Annotated[str, typer.Option(help="auto | cpu | cuda | cuda:N | mps | balanced")] = "auto",
    dtype: Annotated[str, typer.Option(help="auto | float32 | bfloat16 | float16")] = "auto",
    quantize: Annotated[str | None, typer.Option(metavar="8bit|4bit", help="Of the language model.")] = None,
    batch_size: Annotated[
        int | None, typer.Option(min=1, max=4096, help="Questions at once.", show_default=False)
    ] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, max=64, help="Decode threads. Default: one per core.")
    ] = None,
    base_url: endpoint.BaseUrl = None,
    concurrency: endpoint.Concurrency = None,
    timeout: endpoint.Timeout = None,
    budget: endpoint.Limit = None,
    price: endpoint.PriceOption = None,
    readout: endpoint.Readout = None,
    cache: endpoint.CacheFolder = None,
    no_cache: endpoint.NoCache = False,
) -> None:
    """Ask a model questions about pictures and clips, and report how often its answers are right.

    Of samples the labels say what is right: distortions that it names, grades, which of two is better.
    Questions are multiple choice. Exit code: 0 all answered, 1 some not, 2 usage, 130 interrupted.
    """
    from mllmqa.cli.answers_show import Progress, finish
    from mllmqa.cli.loading import load_model, quantization
    from mllmqa.errors import UsageError
    from mllmqa.evaluation import answering
    from mllmqa.evaluation.answers.ask import Asker
    from mllmqa.evaluation.answers.run import header_of
    from mllmqa.evaluation.choice.asking import Orders
    from mllmqa.evaluation.choice.exports import parse_export
    from mllmqa.sinks import check_output

    if (resume or regrade) and out is None:
        raise UsageError("--resume and --regrade are about a log", expected="--out LOG.jsonl with them")
    how = answering.Choosing(form, media, grade, Orders.parse(orders, seed))
    targets = [parse_export(text) for text in export or ()]
    asked = answering.open_asked(file, tasks=_names(tasks), limit=limit, how=how)
    remote = next((name for name in (model, judge) if name and name.startswith("api:")), model)
    api = endpoint.endpoint_options(
        remote, base_url, (concurrency, timeout), (budget, price), readout, (cache, no_cache)
    )
    bits, where = quantization(quantize, False), {"device": device, "dtype": dtype}
    if regrade:
        header, known = answering.logged(out)
    else:
        if out is not None:
            check_output("jsonl", out, continued=resume)
        scorer = load_model(model, None, _own(model, api), quantize=bits, **where)
        asker = Asker(scorer, view=view, frames=frames, max_tokens=max_tokens)
        header, log = header_of(scorer, asker), None if out is None else (out, resume)
        with Progress(len(asked)) as progress:
            pace = answering.Pace(workers, batch_size)
            known = answering.run(asked, scorer, asker, log=log, pace=pace, told=progress.told)
        progress.charged(scorer.backend, api)
    results = asked.grade(known)
    if judge is not None:
        judge_model = load_model(judge, None, _own(judge, api), **where).backend
        results = answering.judged(results, asked, known, judge_model, rounds)
    asked.export(known, header, targets)
    raise typer.Exit(finish(results, as_json=as_json, graded=graded))


def _own(model: str, api: ApiOptions | None) -> ApiOptions | None:
    return api if model.startswith("api:") else None


def _names(text: str | None) -> list[str] | None:
    return None if text is None else [name.strip() for name in text.split(",") if name.strip()]
