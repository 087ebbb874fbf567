"""``mllmqa eval show|compare``, and how a run talks to people: tables on stdout, progress and notes on stderr."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mllmqa.cli.options import JsonRecord
from mllmqa.errors import UsageError

if TYPE_CHECKING:
    from mllmqa.evaluation.runlog import Log
    from mllmqa.evaluation.spec import EvalSpec, Figures

By = Annotated[
    list[str] | None,
    typer.Option(
        metavar="GROUP", show_default=False,
        help="Figures per group and without each: source, reference, distortion, severity, level, split, "
        "folder, or a column. Repeatable.",
    ),
]  # fmt: skip
Resamples = Annotated[int | None, typer.Option(min=1, help="Of the bootstrap. Default: 10000.", show_default=False)]
Run = Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a run.")]


def show(
    run: Run,
    by: By = None,
    combine: Annotated[
        list[str] | None, typer.Option(help="rank-average | ridge. Repeatable.", show_default=False)
    ] = None,
    resamples: Resamples = None,
    html: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write a page with charts, which needs no network.", show_default=False),
    ] = None,
    markdown: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write a report in Markdown; - is stdout.", show_default=False),
    ] = None,
    thumbnails: Annotated[
        int | None,
        typer.Option(
            min=0, max=60, help="Worst items of each scorer, with pictures. Default: 6.", show_default=False
        ),
    ] = None,
    as_json: JsonRecord = False,
) -> None:
    """Make all figures of a run from its log: no model is asked, no medium is opened.

    But for the pictures on an HTML page. Exit code: 0 all scored, 1 some unscored, 2 usage.
    """
    from mllmqa.evaluation.runlog import read_log

    if as_json and (html or markdown):
        raise UsageError("--json goes to stdout alone", expected="it, or --html and --markdown")
    if thumbnails is not None and not (html or markdown):
        raise UsageError("--thumbnails is said of no report", expected="--html FILE or --markdown FILE with it")
    how = _figures(run, by or [], combine or [], resamples)
    if html or markdown:
        raise typer.Exit(_report(read_log(run), how, html, markdown, thumbnails))
    raise typer.Exit(_show(read_log(run), how, as_json=as_json))


def compare(
    run: Run,
    other: Annotated[
        Path | None, typer.Argument(metavar="[RUN2]", help="Another; else all pairs of RUN.", show_default=False)
    ] = None,
    a: Annotated[str | None, typer.Option(metavar="SCORER", help="Of RUN.", show_default=False)] = None,
    b: Annotated[
        str | None, typer.Option(metavar="SCORER", help="Of RUN2. Default: of the same name.", show_default=False)
    ] = None,
    statistic: Annotated[str, typer.Option(help="srcc | plcc")] = "srcc",
    resamples: Resamples = None,
    items: Annotated[bool, typer.Option("--items", help="Show on which items the two part most.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON record per pair on stdout.")] = False,
) -> None:
    """Compare scorers item by item: paired bootstrap, rank jackknife, Holm's correction over all pairs."""
    from mllmqa.evaluation import compare as comparing
    from mllmqa.evaluation.runlog import read_log

    if statistic not in ("srcc", "plcc"):
        raise UsageError(f"--statistic {statistic}", expected="srcc | plcc")
    how = comparing.How("srcc" if statistic == "srcc" else "plcc", resamples or comparing.How.resamples)
    pairs = comparing.compare_runs(read_log(run), read_log(other) if other else None, how, a=a, b=b)
    if as_json:
        for pair in pairs:
            print(pair.model_dump_json())
        return
    print(comparing.table(pairs).text(), end="")
    for pair in pairs if items else ():
        print(f"\n{pair.a} – {pair.b}, {pair.data}: places 0 (worst) .. 1 (best), opinion 1 .. 5")
        for one in pair.moved:
            print(f"  {one.place_a:.2f} – {one.place_b:.2f}  opinion {one.opinion:.2f}  {one.path}")


def run_and_show(wanted: EvalSpec, out: Path, *, resume: bool, as_json: bool) -> int:
    """Run an evaluation, show its figures and keep them in its folder; return the exit code."""
    from mllmqa.cli.eval_screen import Screen
    from mllmqa.cli.loading import quiet
    from mllmqa.evaluation.run import run as run_evaluation

    if wanted.models:
        quiet()
    with Screen() as screen:
        log = run_evaluation(wanted, out, screen, resume=resume)
    code = _show(log, wanted.figures, as_json=as_json, keep=out)
    print(f"mllmqa: {out}; `mllmqa eval show {out}` makes these figures again", file=sys.stderr)
    return code


def _report(log: Log, how: Figures, html: Path | None, markdown: Path | None, thumbnails: int | None) -> int:
    """Write reports; return the exit code."""
    from mllmqa.cli.ending import EXIT_OK, EXIT_UNSCORED
    from mllmqa.evaluation.report import run_pages
    from mllmqa.evaluation.report.content import content
    from mllmqa.pages import check_free, write_page
    from mllmqa.whole_file import write_whole

    if html is not None:
        check_free(html)
    found = content(log, how)
    most = run_pages.THUMBNAILS if thumbnails is None else thumbnails
    if html is not None:
        write_page(run_pages.as_html(found, most), html)
    if markdown is not None and str(markdown) == "-":
        print(run_pages.as_markdown(found, most), end="")
    elif markdown is not None:
        try:
            write_whole(markdown, run_pages.as_markdown(found, most))
        except OSError as error:
            raise UsageError(f"cannot be written: {error.strerror}", where=markdown) from error
    return EXIT_UNSCORED if any(row.n_unscored for row in found.summary.rows) else EXIT_OK


def _show(log: Log, how: Figures, *, as_json: bool = False, keep: Path | None = None) -> int:
    from mllmqa.cli.ending import EXIT_OK, EXIT_UNSCORED
    from mllmqa.evaluation.summary import SUMMARY_FILE, summarise
    from mllmqa.evaluation.tables import tables
    from mllmqa.whole_file import write_whole

    found = summarise(log, how)
    if keep is not None:
        write_whole(keep / SUMMARY_FILE, found.model_dump_json(indent=1) + "\n")
    if as_json:
        print(found.model_dump_json())
    else:
        print("\n".join(one.text() for one in tables(found)), end="")
    for line in found.notes:
        print(f"note: {line}", file=sys.stderr)
    return EXIT_UNSCORED if any(row.n_unscored for row in found.rows) else EXIT_OK


def _figures(run: Path, by: list[str], combine: list[str], resamples: int | None) -> Figures:
    """Return how figures are made: as the run says, where nothing else is said."""
    from mllmqa.evaluation.run import figures_of

    return figures_of(run, by=by, combine=combine, resamples=resamples)
