"""``mllmqa answers``: ask a model the questions of a file, and report how often it is right."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mllmqa.cli.endpoint import EndpointWishes, spent
from mllmqa.cli.groups import OptionGroup, unfolded
from mllmqa.cli.loading import Loading, LoadingWishes
from mllmqa.cli.options import Model, View, Workers
from mllmqa.errors import UsageError

if TYPE_CHECKING:
    from mllmqa.evaluation.answering import Asked, Choosing, Pace
    from mllmqa.evaluation.answers.log import Answers, Header
    from mllmqa.models.api import ApiOptions
    from mllmqa.scoring import Scorer


@dataclass(frozen=True)
class Log(OptionGroup):
    """Where answers are kept."""

    out: Annotated[Path | None, typer.Option(metavar="LOG.jsonl", help="Append the answers to this log.")] = None
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the log of a run that was stopped.")] = False
    regrade: Annotated[bool, typer.Option("--regrade", help="Ask nothing: grade the answers that the log has.")] = (
        False
    )

    def check(self) -> None:
        """Check that there is a log where one is spoken of."""
        if (self.resume or self.regrade) and self.out is None:
            raise UsageError("--resume and --regrade are about a log", expected="--out LOG.jsonl with them")

    def opened(self) -> tuple[Path, bool] | None:
        """Return the log and whether it goes on, once it is known that it can be written; None for none."""
        from mllmqa.sinks import check_output

        if self.out is None:
            return None
        check_output("jsonl", self.out, continued=self.resume)
        return self.out, self.resume


@dataclass(frozen=True)
class Questions(OptionGroup):
    """How questions are read and their options shown."""

    form: Annotated[
        str, typer.Option(help="Of questions: auto|qbench|qbench-hf|qbench-video|abench|rbench|vlmevalkit.")
    ] = "auto"
    media: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Of questions: where media lie. Default: beside FILE.")
    ] = None
    grade: Annotated[str, typer.Option(help="Of options: text (what is written) | likelihood (of letters).")] = (
        "text"
    )
    orders: Annotated[str, typer.Option(help="Of options: as-given | circular | shuffle:N")] = "as-given"
    seed: Annotated[int, typer.Option(min=0, help="Of shuffled options.")] = 0

    def choosing(self) -> Choosing:
        """Return how multiple choice is asked."""
        from mllmqa.evaluation.answering import Choosing
        from mllmqa.evaluation.choice.asking import Orders

        return Choosing(self.form, self.media, self.grade, Orders.parse(self.orders, self.seed))


@dataclass(frozen=True)
class Judging(OptionGroup):
    """Which model grades answers in words."""

    judge: Annotated[
        str | None, typer.Option(metavar="MODEL", help="Grades descriptions and open answers: 0, 1 or 2.")
    ] = None
    rounds: Annotated[int, typer.Option(min=1, max=100, help="How often the judge is asked.")] = 5


@dataclass(frozen=True)
class Asking(OptionGroup):
    """What the model sees, and how much it may say."""

    max_tokens: Annotated[int, typer.Option(min=1, max=4096, help="Longest answer.")] = 128
    view: View = None
    frames: Annotated[str | None, typer.Option(metavar="RULE", help="Of clips. Default: the model's.")] = None


@unfolded
def answers(
    *,
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE", help="Samples of `mllmqa build`, or questions (see --form).", show_default=False
        ),
    ],
    model: Model = "nano",
    tasks: Annotated[str | None, typer.Option(metavar="TASK,…", help="Of samples: only these tasks.")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Ask N questions at most.")] = None,
    log: Log,
    as_json: Annotated[bool, typer.Option("--json", help="Results as one JSON object on stdout.")] = False,
    graded: Annotated[
        Path | None, typer.Option(metavar="FILE.jsonl", help="Write the grade of each answer.")
    ] = None,
    questions: Questions,
    judging: Judging,
    export: Annotated[
        list[str] | None,
        typer.Option(metavar="FORMAT=PATH", help="Of questions: vlmevalkit=FILE, lmms-eval=DIR, inspect=FILE."),
    ] = None,
    asking: Asking,
    loading: Loading,
    batch_size: Annotated[
        int | None, typer.Option(min=1, max=4096, help="Questions at once.", show_default=False)
    ] = None,
    workers: Workers = None,
    endpoint: EndpointWishes,
) -> None:
    """Ask a model questions about pictures and clips, and report how often its answers are right.

    Of samples the labels say what is right: distortions that it names, grades, which of two is better.
    Questions are multiple choice. Exit code: 0 all answered, 1 some not, 2 usage, 130 interrupted.
    """
    from mllmqa.cli.answers_show import finish
    from mllmqa.evaluation import answering
    from mllmqa.evaluation.choice.exports import parse_export

    log.check()
    how, targets = questions.choosing(), [parse_export(text) for text in export or ()]
    asked = answering.open_asked(file, tasks=_names(tasks), limit=limit, how=how)
    api = endpoint.options(
        next((name for name in (model, judging.judge) if name and name.startswith("api:")), model)
    )
    if log.regrade:
        header, known = answering.logged(log.out)
    else:
        place = log.opened()
        scorer = loading.load(model, _own(model, api))
        header, known = _answered(asked, scorer, asking, place, answering.Pace(workers, batch_size))
    results = asked.grade(known)
    if (judge := judging.judge) is not None:
        judging_model = LoadingWishes(loading.device, loading.dtype).load(judge, _own(judge, api)).backend
        results = answering.judged(results, asked, known, judging_model, judging.rounds)
    asked.export(known, header, targets)
    raise typer.Exit(finish(results, as_json=as_json, graded=graded))


def _answered(
    asked: Asked, scorer: Scorer, asking: Asking, log: tuple[Path, bool] | None, pace: Pace
) -> tuple[Header, Answers]:
    """Ask what the log does not know yet; return header and answers."""
    from mllmqa.cli.answers_show import Progress
    from mllmqa.evaluation.answering import run
    from mllmqa.evaluation.answers.ask import Asker
    from mllmqa.evaluation.answers.run import header_of

    asker = Asker(scorer, view=asking.view, frames=asking.frames, max_tokens=asking.max_tokens)
    header = header_of(scorer, asker)
    with Progress(len(asked)) as progress:
        known = run(asked, scorer, asker, log=log, pace=pace, told=progress.told)
    for line in spent(scorer.backend):
        progress.note(line)
    return header, known


def _own(model: str, api: ApiOptions | None) -> ApiOptions | None:
    return api if model.startswith("api:") else None


def _names(text: str | None) -> list[str] | None:
    return None if text is None else [name.strip() for name in text.split(",") if name.strip()]
