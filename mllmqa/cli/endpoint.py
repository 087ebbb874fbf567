"""Options of ``mllmqa score`` for ``--model api:MODEL``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mllmqa.errors import UsageError

if TYPE_CHECKING:
    from mllmqa.models.api import ApiOptions

_PANEL = "Models behind an endpoint (--model api:MODEL; the key is in OPENAI_API_KEY)"


def _option(metavar: str | None, text: str) -> typer.models.OptionInfo:
    found: typer.models.OptionInfo = typer.Option(metavar=metavar, help=text, rich_help_panel=_PANEL)
    return found


BaseUrl = Annotated[str | None, _option("URL", "Of the endpoint. Default: OPENAI_BASE_URL, else OpenAI's own.")]
Concurrency = Annotated[int | None, _option("N", "Requests at the same time. Default: 8.")]
Timeout = Annotated[float | None, _option("SECONDS", "For one answer. Default: 120.")]
Limit = Annotated[str | None, _option("LIMIT", "Stop asking at e.g. 500req, 2Mtok, 5usd; commas join.")]
PriceOption = Annotated[str | None, _option("IN/OUT", "Per million tokens, for budgets in money.")]
Readout = Annotated[str | None, _option(None, "auto | decisions | logprobs | text. Default: auto.")]
CacheFolder = Annotated[Path | None, _option("DIR", "Where paid answers are kept. Default: the user's cache.")]
NoCache = Annotated[
    bool, typer.Option("--no-cache", help="Keep paid answers for this run only.", rich_help_panel=_PANEL)
]


def endpoint_options(
    model: str,
    base_url: str | None,
    numbers: tuple[int | None, float | None],
    budget: tuple[str | None, str | None],
    readout: str | None,
    cache: tuple[Path | None, bool],
) -> ApiOptions | None:
    """Return the options of an endpoint; None for a model on this machine.

    Args:
        model: As the user named it.
        base_url: Of the endpoint.
        numbers: Concurrency and timeout.
        budget: Budget and price.
        readout: How level scores are read.
        cache: Folder, and whether there shall be none.

    Raises:
        UsageError: A malformed value, or options of an endpoint for a model on this machine.
    """
    if not model.startswith("api:"):
        if any(x is not None for x in (base_url, *numbers, *budget, readout, cache[0])) or cache[1]:
            raise UsageError(
                "options of an endpoint are given", where=model, expected="--model api:MODEL with them"
            )
        return None
    from mllmqa.models.api import ApiOptions, Budget, Price

    folder, off = cache
    if folder is not None and off:
        raise UsageError("--cache and --no-cache exclude each other", expected="one of them")
    plain = ApiOptions()
    options = ApiOptions(
        base_url=base_url,
        concurrency=plain.concurrency if numbers[0] is None else numbers[0],
        timeout_s=plain.timeout_s if numbers[1] is None else numbers[1],
        budget=plain.budget if budget[0] is None else Budget.parse(budget[0]),
        price=None if budget[1] is None else Price.parse(budget[1]),
        readout=readout or plain.readout,
        cache="off" if off else folder or "default",
    )
    options.check()
    return options
