"""``mllmqa score``: parse the options, stream inputs to the scorer, hand results to the sinks."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mllmqa.cli import endpoint
from mllmqa.errors import UsageError

if TYPE_CHECKING:
    from mllmqa.resume import Entry
    from mllmqa.schema import Score, Unscored
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
    model: Annotated[str, typer.Option(metavar="NAME|PATH|HUB-ID|api:NAME", help="See `mllmqa models`.")] = "nano",
    aspect: Annotated[str, typer.Option(help="quality | aesthetics")] = "quality",
    anchors: Annotated[str | None, typer.Option(metavar="FOLDER", help="Score by comparison with these.")] = None,
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
    device: Annotated[str, typer.Option(help="auto | cpu | cuda | cuda:N | mps | balanced")] = "auto",
    dtype: Annotated[str, typer.Option(help="auto | float32 | bfloat16 | float16")] = "auto",
    quantize: Annotated[str | None, typer.Option(metavar="8bit|4bit", help="Of the language model.")] = None,
    quantize_vision: Annotated[bool, typer.Option("--quantize-vision", help="Of the vision tower, too.")] = False,
    base: Annotated[str | None, typer.Option(metavar="MODEL", help="Under an adapter given as --model.")] = None,
    compiled: Annotated[bool, typer.Option("--compile", help="torch.compile: slow start.")] = False,
    batch_size: Annotated[str, typer.Option(metavar="N|auto", help="Requests per forward pass.")] = "auto",
    workers: Annotated[
        int | None, typer.Option(min=1, max=64, help="Decode threads. Default: one per core.")
    ] = None,
    scale: Annotated[int, typer.Option(help="Shown scale: 5 | 100. Records always have 1..5.")] = 5,
    base_url: endpoint.BaseUrl = None,
    concurrency: endpoint.Concurrency = None,
    timeout: endpoint.Timeout = None,
    budget: endpoint.Limit = None,
    price: endpoint.PriceOption = None,
    readout: endpoint.Readout = None,
    cache: endpoint.CacheFolder = None,
    no_cache: endpoint.NoCache = False,
) -> None:
    """Score the quality of images and videos.

    Exit code: 0 all scored, 1 some unscored, 2 usage, 130 interrupted.
    """
    from mllmqa.cli.inputs import Wanted
    from mllmqa.cli.loading import load_model, quantization
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
    wanted = Wanted(tuple(paths or ()), tuple(image or ()), tuple(video or ()), from_file, limit)
    wanted.check(resume=resume)
    api = endpoint.endpoint_options(
        model, base_url, (concurrency, timeout), (budget, price), readout, (cache, no_cache)
    )

    output = _Output(chosen, resume)
    bits = quantization(quantize, quantize_vision)
    rare = {"base": base, "compiled": compiled}
    scorer = load_model(model, rare, api, device=device, dtype=dtype, quantize=bits, anchors=anchors)
    output.open(scorer.plan(options).spec)
    with Screen(as_json=as_json, quiet=bool(chosen), scale=scale, total=wanted.total) as screen:
        for result in scorer.stream(wanted, options, workers=workers, batch_size=size, is_done=output.is_done):
            output.write(result)
            screen.show(result)
        output.close()
    if api is not None:
        screen.note(scorer.backend.usage.line(api.price))  # type: ignore[attr-defined]
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
