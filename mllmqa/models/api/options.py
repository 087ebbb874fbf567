"""What a user may choose about an endpoint. Nothing here is secret: the key is read from the environment."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from mllmqa.errors import UsageError

READOUTS = ("auto", "decisions", "logprobs", "text")
OPENAI_URL = "https://api.openai.com/v1"

CacheChoice = Path | Literal["default", "off"]


@dataclass(frozen=True)
class Price:
    """Money per million tokens.

    Attributes:
        tokens_in: Per million tokens sent, pictures among them.
        tokens_out: Per million tokens answered.
    """

    tokens_in: float
    tokens_out: float

    @classmethod
    def parse(cls, text: str) -> Price:
        """Read ``IN/OUT``, e.g. ``2.50/10``.

        Raises:
            UsageError: Something else.
        """
        found = re.fullmatch(r"(\d+(?:\.\d+)?)/(\d+(?:\.\d+)?)", text.strip())
        if not found:
            raise UsageError(f"--price {text!r}", expected="IN/OUT per million tokens, e.g. 2.50/10")
        return cls(float(found[1]), float(found[2]))


@dataclass(frozen=True)
class Budget:
    """What one run may spend; None: no limit.

    Attributes:
        requests: Calls that were answered, or may have been (their answer was lost on the way).
        tokens: Sent and answered, as the endpoint counts them.
        cost: Money, with a :class:`Price`.
    """

    requests: int | None = None
    tokens: int | None = None
    cost: float | None = None

    @classmethod
    def parse(cls, text: str) -> Budget:
        """Read e.g. ``500req``, ``2Mtok``, ``5usd``, or several with commas.

        Raises:
            UsageError: Something else.
        """
        limits: dict[str, float] = {}
        for part in text.lower().replace(" ", "").split(","):
            found = re.fullmatch(r"(\d+(?:\.\d+)?)(k|m)?(req|tok|usd)", part)
            if not found or found[3] in limits:
                raise UsageError(f"--budget {text!r}", expected="e.g. 500req, 2Mtok, 5usd, or 500req,5usd")
            limits[found[3]] = float(found[1]) * {"k": 1e3, "m": 1e6}.get(found[2], 1.0)
        return cls(
            requests=int(limits["req"]) if "req" in limits else None,
            tokens=int(limits["tok"]) if "tok" in limits else None,
            cost=limits.get("usd"),
        )


@dataclass(frozen=True)
class ApiOptions:
    """How an endpoint is used.

    Attributes:
        base_url: Of the endpoint, e.g. ``http://localhost:8000/v1``; None: ``OPENAI_BASE_URL``, else OpenAI's own.
        concurrency: Calls in flight at the same time.
        timeout_s: From sending a request to the end of its answer.
        retries: Further tries after 408, 409, 429, 5xx and failed connections.
        budget: What the run may spend.
        price: Needed for a budget in money.
        readout: How level scores are read; ``auto`` takes the best that the endpoint offers.
        cache: Folder of paid answers; ``default``: in the user's cache folder; ``off``: for this run only.
        max_tokens: Length of an answer in words, reasoning included.
    """

    base_url: str | None = None
    concurrency: int = 8
    timeout_s: float = 120.0
    retries: int = 5
    budget: Budget = Budget()
    price: Price | None = None
    readout: str = "auto"
    cache: CacheChoice = "default"
    max_tokens: int = 512

    def check(self) -> None:
        """Refuse values that make no sense.

        Raises:
            UsageError: Names the option.
        """
        if self.readout not in READOUTS:
            raise UsageError(f"no readout {self.readout!r}", expected=" | ".join(READOUTS))
        if not 1 <= self.concurrency <= 256:
            raise UsageError(f"concurrency {self.concurrency}", expected="1 to 256")
        if not 0 < self.timeout_s < 1e6 or self.retries < 0 or self.max_tokens < 1:
            raise UsageError("timeout, retries or max_tokens is out of range", expected="timeout > 0, retries ≥ 0")
        if self.budget.cost is not None and self.price is None:
            raise UsageError("a budget in money needs prices", expected="--price IN/OUT per million tokens")
        self.url()

    def url(self) -> str:
        """Return the base URL, without a slash at its end.

        Raises:
            UsageError: Not http(s), or with credentials in it (which the message does not repeat).
        """
        text = (self.base_url or os.environ.get("OPENAI_BASE_URL") or OPENAI_URL).strip()
        try:
            parts = urlsplit(text)
            port = parts.port
        except ValueError as error:
            raise UsageError("the base URL is malformed", expected="http(s)://HOST[:PORT]/v1") from error
        if parts.username or parts.password or parts.query or parts.fragment or "@" in parts.netloc:
            raise UsageError(
                "the base URL has more in it than host and path",
                expected="no user, password, query or fragment",
                hint="put the key into the environment variable OPENAI_API_KEY",
            )
        if parts.scheme not in ("http", "https") or not parts.hostname or port == 0:
            raise UsageError(f"the base URL is {text!r}", expected="http(s)://HOST[:PORT]/v1")
        return text.rstrip("/")

    def cache_file(self) -> Path | None:
        """Return where paid answers are kept; None: in memory."""
        if self.cache == "off":
            return None
        if isinstance(self.cache, Path):
            return self.cache.expanduser() / "answers.sqlite"
        root = os.environ.get("XDG_CACHE_HOME") or ""
        home = Path(root) if root.startswith("/") else Path.home() / ".cache"
        return home / "mllmqa" / "api" / "answers.sqlite"
