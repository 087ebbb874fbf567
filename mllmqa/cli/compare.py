"""``mllmqa compare``: which of two is better, or many in the order of their quality."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from mllmqa.cli.endpoint import EndpointWishes, spent
from mllmqa.cli.groups import OptionGroup, Without, unfolded
from mllmqa.cli.inputs import Wanted, one_input
from mllmqa.cli.loading import Loading
from mllmqa.cli.options import Anchors, Aspect, Model, Seeing
from mllmqa.errors import UsageError

if TYPE_CHECKING:
    from mllmqa.cli.show_compared import Screen
    from mllmqa.prepare import ScoreOptions
    from mllmqa.schema import Verdict
    from mllmqa.scoring import Scorer


@dataclass(frozen=True)
class Job(OptionGroup):
    """What shall be compared."""

    files: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[FILES]...",
            help="Two files, A and B. With --many: files, folders, globs; - is a list on stdin.",
            show_default=False,
        ),
    ] = None
    reference: Annotated[
        str | None, typer.Option(metavar="FILE", help="The pristine original, for models that can be shown one.")
    ] = None
    why: Annotated[bool, typer.Option("--why", help="And say why, in words that rest on readings.")] = False
    many: Annotated[bool, typer.Option("--many", help="Rank any number of files.")] = False
    from_file: Annotated[
        str | None, typer.Option(metavar="FILE", help="With --many: one path per line; - is stdin.")
    ] = None
    budget: Annotated[
        str | None,
        typer.Option(
            metavar="N|LIMIT",
            help="With --many: ask about N pairs at most. Of an endpoint: e.g. 500req, 2Mtok, 5usd. Commas join.",
        ),
    ] = None

    @property
    def named(self) -> tuple[str, ...]:
        """The files that the command line names."""
        return tuple(self.files or ())

    def check(self, pairs: int | None) -> None:
        """Check that there is something to compare, by so many pairs at most, and that stdin is asked for once."""
        if not self.many and (self.from_file is not None or pairs is not None):
            raise UsageError("a list of files or a budget of pairs is for many files", expected="--many with it")
        if not self.many and len(self.named) != 2:
            raise UsageError(f"{len(self.named)} files to compare", expected="two, or --many with any number")
        shown = [*self.named, *([self.reference] if self.reference is not None else [])]
        if self.why and (self.many or "-" in shown):
            raise UsageError("--why is about two files that have names", expected="mllmqa compare --why A B")
        if shown.count("-") + (self.from_file == "-") > 1:
            raise UsageError("stdin is asked for more than once", expected="- in one place")
        if self.many and not self.named and self.from_file is None:
            raise UsageError("nothing to rank", expected="PATHS or --from-file")

    def run(self, scorer: Scorer, options: ScoreOptions, screen: Screen, pairs: int | None) -> int:
        """Compare and show; return the exit code."""
        from mllmqa.asking import ask
        from mllmqa.comparing import compare, rank_many
        from mllmqa.schema import Comparison

        third = None if self.reference is None else one_input(self.reference)
        if not self.many:
            a, b = (one_input(name) for name in self.named)
            found = compare(scorer, a, b, reference=third, options=options)
            code = screen.compared(found)
            if self.why and isinstance(found, Comparison):
                screen.reasons(ask(scorer, _question(found.verdict), self.named, reference=self.reference))
            return code
        listed = self.from_file or ("-" if "-" in self.named else None)
        wanted = Wanted(tuple(name for name in self.named if name != "-"), (), (), listed)
        with screen.progress() as progress:
            ranked = rank_many(scorer, wanted, options, reference=third, budget=pairs, progress=progress)
        return screen.ranked(ranked)


@unfolded
def compare(
    *,
    job: Job,
    model: Model = "nano",
    aspect: Aspect = "quality",
    anchors: Anchors = None,
    seeing: Annotated[Seeing, Without("per_frame")],
    as_json: Annotated[bool, typer.Option("--json", help="One JSON record on stdout; --why: a second.")] = False,
    loading: Loading,
    endpoint: Annotated[EndpointWishes, Without("budget")],
) -> None:
    """Say which of two images or videos is better, and by how much; or rank many.

    A model trained to compare is shown both, in both orders; of others the scores are compared.
    Sizes and lengths may differ.

    Exit code: 0 compared, 1 a file could not be used, 2 usage, 130 interrupted.
    """
    from mllmqa.cli.show_compared import Screen

    pairs, limits = _budget(job.budget)
    job.check(pairs)
    api = replace(endpoint, budget=limits).options(model)
    scorer = loading.load(model, api, anchors or _none(model))
    screen = Screen(as_json)
    code = job.run(scorer, seeing.options(aspect), screen, pairs)
    for line in spent(scorer.backend):
        screen.note(line)
    raise typer.Exit(code)


def _question(verdict: Verdict) -> str:
    """Ask for the reasons of a verdict."""
    if verdict == "tie":
        return "Which is better, A or B, and why?"
    worse = "B" if verdict == "A" else "A"
    return f"Why is {worse} worse than {verdict}?"


def _budget(text: str | None) -> tuple[int | None, str | None]:
    """Split ``--budget`` into pairs to ask about and limits of an endpoint."""
    parts = [] if text is None else text.replace(" ", "").split(",")
    numbers = [part for part in parts if part.isascii() and part.isdecimal()]
    if len(numbers) > 1 or "0" in numbers:
        raise UsageError(f"--budget {text!r}", expected="one number of pairs, at least 1")
    limits = ",".join(part for part in parts if part not in numbers)
    return (int(numbers[0]) if numbers else None), (limits if limits or text == "" else None)


def _none(model: str) -> Literal[False] | None:
    """Tell that no anchors are needed: False says so, and an endpoint has none to be told about."""
    return None if model.startswith("api:") else False
