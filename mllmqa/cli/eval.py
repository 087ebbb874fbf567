"""``mllmqa eval``: data sets × models × prompts beside expert metrics and the predictions of others."""

from __future__ import annotations

import functools
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from mllmqa.cli import eval_figures
from mllmqa.cli.groups import OptionGroup, unfolded
from mllmqa.cli.loading import BITS, DEVICES, DTYPES
from mllmqa.cli.options import NAMES, JsonRecord


class _RunByDefault(TyperGroup):
    """``mllmqa eval SPEC`` means ``mllmqa eval run SPEC``."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Put ``run`` in front of what is no command of the group."""
        if args and args[0] not in {*self.commands, "--help"}:
            args = ["run", *args]
        return super().parse_args(ctx, args)


evaluate = typer.Typer(
    cls=_RunByDefault,
    no_args_is_help=True,
    help="Measure agreement with people. `mllmqa eval …` is short for `mllmqa eval run …`.",
)


@evaluate.callback()
def _root() -> None:
    pass


_option = functools.partial(typer.Option, show_default=False)


@dataclass(frozen=True)
class Data(OptionGroup):
    """What is scored."""

    data: Annotated[
        list[str] | None,
        _option(
            metavar="NAME=ROOT",
            help="A data set of `mllmqa data ls` and its folder; or a folder, or samples.jsonl. Repeatable.",
        ),
    ] = None
    part: Annotated[str | None, _option(help="train | validation | test. Default: all.")] = None
    limit: Annotated[int | None, _option(min=1, help="So many items of each data set, drawn by --seed.")] = None
    near_duplicates: Annotated[
        int | None,
        _option(
            "--exclude-near-duplicates",
            metavar="BITS",
            min=0,
            max=64,
            help="Give the figures also without items this near to a training photo, e.g. 10.",
        ),
    ] = None


@dataclass(frozen=True)
class Scorers(OptionGroup):
    """What scores."""

    model: Annotated[list[str] | None, _option(metavar=NAMES, help="See `mllmqa models`. Repeatable.")] = None
    prompt: Annotated[
        list[str] | None, _option(metavar="ID", help="Ask each model by these prompts, not by its own. Repeatable.")
    ] = None
    metric: Annotated[
        list[str] | None,
        _option(metavar="NAME", help="psnr, ssim …, sharpness, constant …, pyiqa:NAME. Repeatable."),
    ] = None
    predictions: Annotated[
        list[str] | None,
        _option(metavar="[NAME=]FILE", help="A table that others made: item, score[, std]. Repeatable."),
    ] = None
    columns: Annotated[
        str | None, _option(metavar="item=NAME,score=NAME", help="What holds what in these tables.")
    ] = None
    lower_better: Annotated[
        list[str] | None, _option(metavar="NAME", help="Predictions whose scores fall with quality.")
    ] = None
    combine: Annotated[
        list[str] | None, _option(help="rank-average | ridge (nested folds): all scorers as one. Repeatable.")
    ] = None


@dataclass(frozen=True)
class OfModels(OptionGroup):
    """Fields of the models; what is not said is as the specification says, or as they have it themselves."""

    device: Annotated[str | None, _option(help=DEVICES)] = None
    dtype: Annotated[str | None, _option(help=DTYPES)] = None
    quantize: Annotated[str | None, _option(metavar=BITS, help="Of the language models.")] = None
    batch_size: Annotated[int | None, _option(min=1, max=4096, help="Requests per forward pass.")] = None
    base_url: Annotated[str | None, _option(metavar="URL", help="Of the endpoint of api: models.")] = None
    budget: Annotated[str | None, _option(metavar="LIMIT", help="Stop asking at e.g. 500req, 2Mtok, 5usd.")] = None
    price: Annotated[str | None, _option(metavar="IN/OUT", help="Per million tokens, for budgets in money.")] = None


@evaluate.command("run")
@unfolded
def run(
    *,
    spec: Annotated[
        str | None,
        typer.Argument(metavar="[SPEC]", help="A name of `mllmqa eval ls`, or a YAML file.", show_default=False),
    ] = None,
    data: Data,
    scorers: Scorers,
    by: eval_figures.By = None,
    out: Annotated[Path | None, _option(metavar="DIR", help="Folder of the run; else runs/NAME.")] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Continue a run that was stopped, or add scorers.")
    ] = False,
    models: OfModels,
    resamples: eval_figures.Resamples = None,
    seed: Annotated[int | None, _option(min=0, help="Of the draw of items. Default: 0.")] = None,
    dump: Annotated[bool, typer.Option("--dump", help="Print the specification as YAML and exit.")] = False,
    as_json: JsonRecord = False,
) -> None:
    """Evaluate models, metrics and predictions on data with opinions of people.

    Everything goes to DIR/log.jsonl, from which `mllmqa eval show DIR` makes all figures again, without models.
    Exit code: 0 all scored, 1 some unscored, 2 usage, 130 interrupted.
    """
    from mllmqa.evaluation import spec as specs
    from mllmqa.evaluation.arguments import Arguments, specified

    wanted = specified(
        Arguments(
            spec, data.data or (), data.part, data.limit, data.near_duplicates, scorers.model or (), asdict(models),
            scorers.prompt or (), scorers.metric or (), scorers.predictions or (), scorers.columns,
            scorers.lower_better or (), by or (), scorers.combine or (), resamples, seed,
        )
    )  # fmt: skip
    if dump:
        print(specs.to_yaml(wanted), end="")
        return
    raise typer.Exit(
        eval_figures.run_and_show(wanted, out or Path("runs") / wanted.name, resume=resume, as_json=as_json)
    )


@evaluate.command("ls")
def list_specs() -> None:
    """List the shipped specifications."""
    from mllmqa.evaluation import spec as specs

    for name in specs.names():
        print(f"{name:<20} {specs.read_fields(name).get('title', '')}".rstrip())


evaluate.command("show")(eval_figures.show)
evaluate.command("compare")(eval_figures.compare)
