"""``mllmqa score``: parse the options, stream inputs to the scorer, hand results to the sinks."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mllmqa.cli.endpoint import EndpointWishes, spent
from mllmqa.cli.groups import OptionGroup, unfolded
from mllmqa.cli.inputs import Wanted
from mllmqa.cli.loading import LoadingWishes
from mllmqa.cli.options import Anchors, Aspect, Model, Seeing, Workers
from mllmqa.errors import UsageError

if TYPE_CHECKING:
    from mllmqa.resume import Entry
    from mllmqa.schema import Score, Unscored
    from mllmqa.sinks import Sink


@dataclass(frozen=True)
class Into(OptionGroup):
    """The file that results go to, if any."""

    csv: Annotated[Path | None, typer.Option(metavar="FILE", help="Write a CSV file.")] = None
    jsonl: Annotated[Path | None, typer.Option(metavar="FILE", help="Write JSON lines.")] = None
    parquet: Annotated[Path | None, typer.Option(metavar="FILE", help="Write a Parquet file.")] = None
    resume: Annotated[bool, typer.Option("--resume", help="Continue the file of a run that was stopped.")] = False

    def check(self, *, as_json: bool) -> None:
        """Check that results go to one place."""
        if len(self.chosen) + as_json > 1:
            raise UsageError("--json, --csv, --jsonl and --parquet exclude each other", expected="one of them")
        if self.resume and not self.chosen:
            raise UsageError("--resume continues a file", expected="--csv, --jsonl or --parquet with it")

    @property
    def chosen(self) -> dict[str, Path]:
        """The file by its kind; empty for none."""
        named = (("csv", self.csv), ("jsonl", self.jsonl), ("parquet", self.parquet))
        return {kind: path for kind, path in named if path}


_Paths = Annotated[
    list[str] | None,
    typer.Argument(metavar="[PATHS]...", help="Files, folders, globs; - is one file on stdin.", show_default=False),
]


@unfolded
def score(
    *,
    paths: _Paths = None,
    image: Annotated[list[str] | None, typer.Option(metavar="FILE", help="An image. Repeatable.")] = None,
    video: Annotated[list[str] | None, typer.Option(metavar="FILE", help="A video. Repeatable.")] = None,
    from_file: Annotated[str | None, typer.Option(metavar="FILE", help="One path per line; - is stdin.")] = None,
    model: Model = "nano",
    aspect: Aspect = "quality",
    anchors: Anchors = None,
    seeing: Seeing,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON record per line on stdout.")] = False,
    into: Into,
    limit: Annotated[int | None, typer.Option(min=1, help="Stop after N inputs.")] = None,
    loading: LoadingWishes,
    batch_size: Annotated[str, typer.Option(metavar="N|auto", help="Requests per forward pass.")] = "auto",
    workers: Workers = None,
    scale: Annotated[int, typer.Option(help="Shown scale: 5 | 100. Records always have 1..5.")] = 5,
    endpoint: EndpointWishes,
) -> None:
    """Score the quality of images and videos.

    Exit code: 0 all scored, 1 some unscored, 2 usage, 130 interrupted.
    """
    from mllmqa.cli.show import Screen

    into.check(as_json=as_json)
    if scale not in (5, 100):
        raise UsageError(f"--scale {scale}", expected="5 or 100")
    size = _batch_size(batch_size)
    wanted = Wanted(tuple(paths or ()), tuple(image or ()), tuple(video or ()), from_file, limit)
    wanted.check(resume=into.resume)
    api = endpoint.options(model)
    output = _Output(into.chosen, into.resume)
    scorer, options = loading.load(model, api, anchors), seeing.options(aspect)
    output.open(scorer.plan(options).spec)
    with Screen(as_json=as_json, quiet=bool(into.chosen), scale=scale, total=wanted.total) as screen:
        for result in scorer.stream(wanted, options, workers=workers, batch_size=size, is_done=output.is_done):
            output.write(result)
            screen.show(result)
        output.close()
    for line in spent(scorer.backend):
        screen.note(line)
    raise typer.Exit(screen.finish(already=output.already, already_unscored=output.already_unscored))


class _Output:
    """The file that results go to, if any, and what it has already."""

    def __init__(self, chosen: dict[str, Path], resume: bool) -> None:
        from mllmqa.sinks import check_output

        self._chosen, self._resume = chosen, resume
        self._sink: Sink | None = None
        self._known: dict[str, Entry] = {}
        self.already = self.already_unscored = 0
        for kind, path in chosen.items():
            check_output(kind, path, continued=resume)

    def open(self, spec: str) -> None:
        """Open the file for a run with this spec."""
        from mllmqa.sinks import open_sink

        for kind, path in self._chosen.items():
            self._sink, self._known = open_sink(kind, path, continued=self._resume, spec=spec)

    def is_done(self, name: str, sha256: str | None) -> bool:
        """Tell whether the file has this input already, and count it."""
        entry = self._known.get(name)
        if entry is None or not entry.is_done(sha256):
            return False
        self.already += 1
        self.already_unscored += entry.reason is not None
        return True

    def write(self, result: Score | Unscored) -> None:
        """Write one result."""
        if self._sink is not None:
            self._sink.write(result)

    def close(self) -> None:
        """Finish the file; not called after an error, so that what is written can be continued."""
        if self._sink is not None:
            self._sink.close()


MAX_BATCH = 4096


def _batch_size(text: str) -> int | None:
    if text == "auto":
        return None
    if not (text.isascii() and text.isdecimal() and 1 <= int(text) <= MAX_BATCH):
        raise UsageError(f"--batch-size {text!r}", expected=f"auto or a whole number from 1 to {MAX_BATCH}")
    return int(text)
