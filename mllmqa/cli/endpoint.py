"""Options of the commands for models behind an endpoint, and the line that says what was asked of one."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mllmqa.cli.groups import OptionGroup, Without
from mllmqa.errors import UsageError

if TYPE_CHECKING:
    from mllmqa.models.api import ApiOptions
    from mllmqa.models.base import Backend

_PANEL = "Models behind an endpoint (--model api:MODEL; the key is in OPENAI_API_KEY)"


def _option(metavar: str | None, text: str, *names: str) -> Any:
    return typer.Option(*names, metavar=metavar, help=text, rich_help_panel=_PANEL)


@dataclass(frozen=True)
class EndpointWishes(OptionGroup):
    """How an endpoint shall be asked; None: as :class:`~mllmqa.models.api.ApiOptions` has it."""

    base_url: Annotated[
        str | None, _option("URL", "Of the endpoint. Default: OPENAI_BASE_URL, else OpenAI's own.")
    ] = None
    concurrency: Annotated[int | None, _option("N", "Requests at the same time. Default: 8.")] = None
    timeout: Annotated[float | None, _option("SECONDS", "For one answer. Default: 120.")] = None
    budget: Annotated[str | None, _option("LIMIT", "Stop asking at e.g. 500req, 2Mtok, 5usd; commas join.")] = None
    price: Annotated[str | None, _option("IN/OUT", "Per million tokens, for budgets in money.")] = None
    readout: Annotated[str | None, _option(None, "auto | decisions | logprobs | text. Default: auto.")] = None
    cache: Annotated[Path | None, _option("DIR", "Where paid answers are kept. Default: the user's cache.")] = None
    no_cache: Annotated[bool, _option(None, "Keep paid answers for this run only.", "--no-cache")] = False

    def options(self, model: str) -> ApiOptions | None:
        """Return the options of an endpoint; None for a model on this machine.

        Args:
            model: As the user named it.

        Raises:
            UsageError: A malformed value, or options of an endpoint for a model on this machine.
        """
        if not model.startswith("api:"):
            if self != EndpointWishes():
                raise UsageError(
                    "options of an endpoint are given", where=model, expected="--model api:MODEL with them"
                )
            return None
        return self.read()

    def read(self) -> ApiOptions:
        """Return the options, checked.

        Raises:
            UsageError: A malformed value.
        """
        from mllmqa.models.api import ApiOptions, Budget, Price

        if self.cache is not None and self.no_cache:
            raise UsageError("--cache and --no-cache exclude each other", expected="one of them")
        plain = ApiOptions()
        options = ApiOptions(
            base_url=self.base_url,
            concurrency=plain.concurrency if self.concurrency is None else self.concurrency,
            timeout_s=plain.timeout_s if self.timeout is None else self.timeout,
            budget=plain.budget if self.budget is None else Budget.parse(self.budget),
            price=None if self.price is None else Price.parse(self.price),
            readout=self.readout or plain.readout,
            cache="off" if self.no_cache else self.cache or "default",
        )
        options.check()
        return options


Speaking = Annotated[EndpointWishes, Without("readout")]
"""Of the commands that read what a model says, and no level scores."""


def spent(backend: Backend) -> list[str]:
    """Return the line that says what was asked of an endpoint, and its cost; none for a model on this machine."""
    if not backend.info.remote:
        return []
    return [backend.usage.line(backend.options.price)]  # type: ignore[attr-defined]
