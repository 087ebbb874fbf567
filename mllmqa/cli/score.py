"""``mllmqa score``: parse the options, stream inputs to the scorer, hand results to the sinks."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mllmqa.errors import UsageError

if TYPE_CHECKING:
    from mllmqa.prepare import ScoreOptions
    from mllmqa.scoring import Input, Scorer
    from mllmqa.sinks import Sink

_Paths = Annotated[
    list[str] | None,
    typer.Argument(metavar="[PATHS]...", help="Files, folders, globs; - is one file on stdin.", show_default=False),
]


def score(
    paths: _Paths = None,
    image: Annotated[list[str] | None, typer.Option(metavar="FILE", help="An image. Repeatable.")] = None,
    video: Annotated[list[str] | None, typer.Option(metavar="FILE", help="A video. Repeatable.")] = None,
    from_file: Annotated[str | None, typer.Option(metavar="FILE", help="One path per line; - is stdin.")] = None,
    model: Annotated[str, typer.Option(metavar="NAME|PATH|HUB-ID", help="See `mllmqa models`.")] = "nano",
    aspect: Annotated[str, typer.Option(help="quality | aesthetics")] = "quality",
    frames: Annotated[
        str | None,
        typer.Option(metavar="RULE", help="uniform:N, 1fps, fps:X, tsn:K, keyframes, all. Default: the model's."),
    ] = None,
    per_frame: Annotated[bool, typer.Option("--per-frame", help="Score each frame of a video, too.")] = False,
    view: Annotated[
        str | None, typer.Option(metavar="VIEW", help="What the model sees. Default: the model's.")
    ] = None,
    decoder: Annotated[str, typer.Option(help="auto | pyav | torchcodec | decord")] = "auto",
    as_json: Annotated[bool, typer.Option("--json", help="One JSON record per line on stdout.")] = False,
    csv: Annotated[Path | None, typer.Option(metavar="FILE", help="Write a CSV file.")] = None,
    jsonl: Annotated[Path | None, typer.Option(metavar="FILE", help="Write JSON lines.")] = None,
    parquet: Annotated[Path | None, typer.Option(metavar="FILE", help="Write a Parquet file.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Continue the file of a run that was stopped.")] = False,
    limit: Annotated[int | None, typer.Option(min=1, help="Stop after N inputs.")] = None,
    device: Annotated[str, typer.Option(help="auto | cpu | cuda | cuda:N | mps")] = "auto",
    dtype: Annotated[str, typer.Option(help="auto | float32 | bfloat16 | float16")] = "auto",
    batch_size: Annotated[str, typer.Option(metavar="N|auto", help="Requests per forward pass.")] = "auto",
    workers: Annotated[int | None, typer.Option(min=1, help="Decode threads. Default: one per core.")] = None,
    scale: Annotated[int, typer.Option(help="Shown scale: 5 | 100. Records always have 1..5.")] = 5,
) -> None:
    """Score the quality of images and videos.

    Exit code: 0 all scored, 1 some unscored, 2 usage, 130 interrupted.
    """
    from mllmqa.cli.show import Screen
    from mllmqa.prepare import ScoreOptions

    chosen = {kind: path for kind, path in (("csv", csv), ("jsonl", jsonl), ("parquet", parquet)) if path}
    if len(chosen) + as_json > 1:
        raise UsageError("--json, --csv, --jsonl and --parquet exclude each other", expected="one of them")
    if resume and not chosen:
        raise UsageError("--resume continues a file", expected="--csv, --jsonl or --parquet with it")
    if scale not in (5, 100):
        raise UsageError(f"--scale {scale}", expected="5 or 100")
    options = ScoreOptions(aspect=aspect, frames=frames, per_frame=per_frame, view=view, decoder=decoder)
    size = _batch_size(batch_size)
    wanted = _Wanted(paths or [], image or [], video or [], from_file)

    scorer = _load(model, device, dtype)
    sink, done = _open(chosen, resume, scorer, options)
    inputs = itertools.islice((i for i in wanted.inputs() if i.name not in done), limit)
    with Screen(as_json=as_json, quiet=sink is not None, scale=scale, total=wanted.total(limit, done)) as screen:
        try:
            for result in scorer.stream(inputs, options, workers=workers, batch_size=size):
                if sink is not None:
                    sink.write(result)
                screen.show(result)
        finally:
            if sink is not None and not isinstance(sys.exc_info()[1], KeyboardInterrupt):
                sink.close()
    raise typer.Exit(screen.finish(already=len(done)))


class _Wanted:
    """The inputs that the command line names."""

    def __init__(self, paths: list[str], images: list[str], videos: list[str], from_file: str | None) -> None:
        if not (paths or images or videos or from_file):
            raise UsageError("nothing to score", expected="PATHS, --image, --video or --from-file")
        if "-" in paths and from_file == "-":
            raise UsageError("stdin is asked for twice: as PATH - and as --from-file -")
        self._paths, self._images, self._videos, self._from_file = paths, images, videos, from_file

    def inputs(self) -> Iterator[Input]:
        """Yield every input lazily, in the order of the command line."""
        from mllmqa import media
        from mllmqa.scoring import Input

        yield from (Input.of(name, "image") for name in self._images)
        yield from (Input.of(name, "video") for name in self._videos)
        for path in self._paths:
            if path == "-":
                yield Input(sys.stdin.buffer, "-")
                continue
            for item in media.gather([path]):
                named = Input.of(item.source)
                yield named if item.error is None else replace(named, source=item.error)
        if self._from_file is not None:
            yield from (Input.of(name) for name in _lines(self._from_file))

    def total(self, limit: int | None, done: set[str]) -> int | None:
        """Count the inputs to come for the progress bar; None if stdin names them."""
        if self._from_file == "-" or "-" in self._paths or not sys.stderr.isatty():
            return None
        count = sum(1 for item in self.inputs() if item.name not in done)
        return min(count, limit) if limit else count


def _lines(path: str) -> Iterator[str]:
    """Yield the non-empty lines of a list of paths; - is stdin."""
    try:
        with nullcontext(sys.stdin) if path == "-" else Path(path).open(encoding="utf-8") as file:
            yield from (name for line in file if (name := line.rstrip("\r\n")))
    except OSError as error:
        raise UsageError(f"cannot be read: {error.strerror}", where=path) from error
    except UnicodeDecodeError as error:
        raise UsageError("is not UTF-8 text", where=path, expected="one path per line") from error


def _batch_size(text: str) -> int | None:
    if text == "auto":
        return None
    if not text.isdigit() or int(text) < 1:
        raise UsageError(f"--batch-size {text!r}", expected="auto or a whole number from 1")
    return int(text)


def _load(model: str, device: str, dtype: str) -> Scorer:
    from transformers.utils import logging

    from mllmqa.models.presets import DEFAULT_MODEL
    from mllmqa.scoring import load

    if model == DEFAULT_MODEL or not sys.stderr.isatty():
        logging.disable_progress_bar()
    return load(model, device=device, dtype=dtype)


def _open(
    chosen: dict[str, Path], resume: bool, scorer: Scorer, options: ScoreOptions
) -> tuple[Sink | None, set[str]]:
    from mllmqa.sinks import open_sink

    spec = scorer.plan(options).spec
    for kind, path in chosen.items():
        return open_sink(kind, path, continued=resume, spec=spec)
    return None, set()
