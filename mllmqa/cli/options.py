"""Options that several commands share; those of a model are in loading, those of an endpoint in endpoint."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from mllmqa.cli.groups import OptionGroup
from mllmqa.errors import UsageError

if TYPE_CHECKING:
    from mllmqa.data.ratings import Columns, RatingScale
    from mllmqa.prepare import ScoreOptions

NAMES = "NAME|PATH|HUB-ID|api:NAME"
"""What ``--model`` takes."""

Model = Annotated[str, typer.Option(metavar=NAMES, help="See `mllmqa models`.")]
Anchors = Annotated[str | None, typer.Option(metavar="FOLDER", help="Score by comparison with these.")]
Aspect = Annotated[str, typer.Option(help="quality | aesthetics")]
Reference = Annotated[str | None, typer.Option(metavar="FILE", help="The pristine original.")]
View = Annotated[str | None, typer.Option(metavar="VIEW", help="What the model sees. Default: the model's.")]
Workers = Annotated[int | None, typer.Option(min=1, max=64, help="Decode threads. Default: one per core.")]
JsonRecord = Annotated[bool, typer.Option("--json", help="One JSON record on stdout.")]


@dataclass(frozen=True)
class Seeing(OptionGroup):
    """What of a file is shown to the model; None: as its preset says."""

    frames: Annotated[
        str | None,
        typer.Option(metavar="RULE", help="uniform:N, 1fps, fps:X, tsn:K, keyframes, all. Default: the model's."),
    ] = None
    per_frame: Annotated[bool, typer.Option("--per-frame", help="Score each frame of a video, too.")] = False
    view: View = None
    decoder: Annotated[str, typer.Option(help="auto | pyav | torchcodec | decord")] = "auto"

    def options(self, aspect: str) -> ScoreOptions:
        """Return this as the options of a scorer."""
        from mllmqa.prepare import ScoreOptions

        return ScoreOptions(aspect=aspect, **asdict(self))


@dataclass(frozen=True)
class OwnTable(OptionGroup):
    """A table of the user's own: what its columns hold and what its scores mean."""

    columns: Annotated[
        str | None, typer.Option(metavar="path=NAME,score=NAME,…", help="A table of one's own: what holds what.")
    ] = None
    direction: Annotated[str | None, typer.Option(help="mos: higher is better | dmos: lower is better.")] = None
    limits: Annotated[str | None, typer.Option("--range", metavar="LOW:HIGH", help="Its rating scale.")] = None

    def read(self) -> tuple[Columns, RatingScale] | None:
        """Return what is said of the table; None for nothing.

        Raises:
            UsageError: Something is missing or malformed.
        """
        from mllmqa.data.ratings import Columns, RatingScale

        if self.columns is None:
            if self.direction or self.limits:
                raise UsageError("--direction and --range belong to --columns")
            return None
        if self.direction is None or self.limits is None:
            raise UsageError("--columns needs --direction and --range: what scores mean is never guessed")
        return Columns.parse(self.columns), RatingScale.parse(self.direction, self.limits)
