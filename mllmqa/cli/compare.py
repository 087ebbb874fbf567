"""``mllmqa compare``: which of two is better, or many in the order of their quality."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from mllmqa.cli import endpoint
from mllmqa.cli.inputs import Wanted, one_input
from mllmqa.errors import UsageError

if TYPE_CHECKING:
    from mllmqa.cli.show_compared import Screen
    from mllmqa.prepare import ScoreOptions
    from mllmqa.scoring import Scorer

_Files = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[FILES]...",
        help="Two files, A and B. With --many: files, folders, globs; - is a list on stdin.",
        show_default=False,
    ),
]


def compare(
    files: _Files = None,
    reference: Annotated[
        str | None, typer.Option(metavar="FILE", help="The pristine original, for models that can be shown one.")
    ] = None,
    many: Annotated[bool, typer.Option("--many", help="Rank any number of files.")] = False,
    from_file: Annotated[
        str | None, typer.Option(metavar="FILE", help="With --many: one path per line; - is stdin.")
    ] = None,
    budget: Annotated[
        str | None,
        typer.Option(
            metavar="N|LIMIT",
            help="With --many: ask about N pairs at most. Of an endpoint: e.g. 500req, 2Mtok, 5usd. Commas join.",
        ),
    ] = None,
    model: Annotated[str, typer.Option(metavar="NAME|PATH|HUB-ID|api:NAME", help="See `mllmqa models`.")] = "nano",
    aspect: Annotated[str, typer.Option(help="quality | aesthetics")] = "quality",
    anchors: Annotated[
        str | None, typer.Option(metavar="FOLDER", help="Score each by comparison with these.")
    ] = None,
    frames: Annotated[
        str | None,
        typer.Option(metavar="RULE", help="uniform:N, 1fps, fps:X, tsn:K, keyframes, all. Default: the model's."),
    ] = None,
    view: Annotated[
        str | None, typer.Option(metavar="VIEW", help="What the model sees. Default: the model's.")
    ] = None,
    decoder: Annotated[str, typer.Option(help="auto | pyav | torchcodec | decord")] = "auto",
    as_json: Annotated[bool, typer.Option("--json", help="One JSON record on stdout.")] = False,
    device: Annotated[str, typer.Option(help="auto | cpu | cuda | cuda:N | mps | balanced")] = "auto",
    dtype: Annotated[str, typer.Option(help="auto | float32 | bfloat16 | float16")] = "auto",
    quantize: Annotated[str | None, typer.Option(metavar="8bit|4bit", help="Of the language model.")] = None,
    quantize_vision: Annotated[bool, typer.Option("--quantize-vision", help="Of the vision tower, too.")] = False,
    base: Annotated[str | None, typer.Option(metavar="MODEL", help="Under an adapter given as --model.")] = None,
    base_url: endpoint.BaseUrl = None,
    concurrency: endpoint.Concurrency = None,
    timeout: endpoint.Timeout = None,
    price: endpoint.PriceOption = None,
    readout: endpoint.Readout = None,
    cache: endpoint.CacheFolder = None,
    no_cache: endpoint.NoCache = False,
) -> None:
    """Say which of two images or videos is better, and by how much; or rank many.

    A model trained to compare is shown both, in both orders; of others the scores are compared.
    Sizes and lengths may differ.

    Exit code: 0 compared, 1 a file could not be used, 2 usage, 130 interrupted.
    """
    from mllmqa.cli.loading import load_model, quantization
    from mllmqa.cli.show_compared import Screen
    from mllmqa.prepare import ScoreOptions

    pairs, limits = _budget(budget)
    job = _Job(tuple(files or ()), reference, many, from_file, pairs)
    job.check()
    api = endpoint.endpoint_options(
        model, base_url, (concurrency, timeout), (limits, price), readout, (cache, no_cache)
    )
    options = ScoreOptions(aspect=aspect, frames=frames, view=view, decoder=decoder)
    bits = quantization(quantize, quantize_vision)
    scorer = load_model(
        model, {"base": base}, api, device=device, dtype=dtype, quantize=bits, anchors=anchors or _none(model)
    )
    screen = Screen(as_json)
    code = job.run(scorer, options, screen)
    if api is not None:
        screen.note(scorer.backend.usage.line(api.price))  # type: ignore[attr-defined]
    raise typer.Exit(code)


@dataclass(frozen=True)
class _Job:
    """What shall be compared."""

    files: tuple[str, ...]
    reference: str | None
    many: bool
    from_file: str | None
    pairs: int | None

    def check(self) -> None:
        """Check that there is something to compare, and that stdin is asked for once."""
        if not self.many:
            if self.from_file is not None or self.pairs is not None:
                raise UsageError(
                    "a list of files or a budget of pairs is for many files", expected="--many with it"
                )
            if len(self.files) != 2:
                raise UsageError(f"{len(self.files)} files to compare", expected="two, or --many with any number")
        named = [*self.files, *([self.reference] if self.reference is not None else [])]
        if named.count("-") + (self.from_file == "-") > 1:
            raise UsageError("stdin is asked for more than once", expected="- in one place")
        if self.many and not self.files and self.from_file is None:
            raise UsageError("nothing to rank", expected="PATHS or --from-file")

    def run(self, scorer: Scorer, options: ScoreOptions, screen: Screen) -> int:
        """Compare and show; return the exit code."""
        from mllmqa.comparing import compare, rank_many

        third = None if self.reference is None else one_input(self.reference)
        if not self.many:
            a, b = (one_input(name) for name in self.files)
            return screen.compared(compare(scorer, a, b, reference=third, options=options))
        listed = self.from_file or ("-" if "-" in self.files else None)
        wanted = Wanted(tuple(name for name in self.files if name != "-"), (), (), listed)
        with screen.progress() as progress:
            found = rank_many(scorer, wanted, options, reference=third, budget=self.pairs, progress=progress)
        return screen.ranked(found)


def _budget(text: str | None) -> tuple[int | None, str | None]:
    """Split ``--budget`` into pairs to ask about and limits of an endpoint."""
    parts = [] if text is None else text.replace(" ", "").split(",")
    numbers = [part for part in parts if part.isascii() and part.isdecimal()]
    if len(numbers) > 1 or "0" in numbers:
        raise UsageError(f"--budget {text!r}", expected="one number of pairs, at least 1")
    limits = ",".join(part for part in parts if part not in numbers)
    return (int(numbers[0]) if numbers else None), (limits if limits or text == "" else None)


def _none(model: str) -> bool | None:
    """Tell that no anchors are needed: False says so, and an endpoint has none to be told about."""
    return None if model.startswith("api:") else False
