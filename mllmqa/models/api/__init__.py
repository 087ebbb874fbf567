"""Models behind OpenAI-compatible endpoints, as a back end like any other.

=================  ===================================================================================
``options``        what the user may choose: endpoint, limits, budget, readout, cache
``pictures``       the user's own bytes, or lossless PNG
``messages``       a request as the body of a call
``transport``      one call: retries, timeouts, and what each failure becomes
``window``         how many calls are in flight: adapted to what the endpoint bears
``meter``          budget and counts
``cache``          answers that were paid for, by content
``readout``        an answer as level logits: decisions, log-probabilities, one word
``probe``          what an endpoint can do, found out once with a tiny picture
``events``         a streamed answer: its pieces, and the whole
``ear``            who listens to it, and may have heard enough
``talking``        a talk of several turns
``backend``        all of it behind :class:`mllmqa.models.base.Backend`
=================  ===================================================================================
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mllmqa.models.api.options import ApiOptions, Budget, Price

if TYPE_CHECKING:
    from mllmqa.models.api.backend import ApiBackend
    from mllmqa.models.resolve import ModelSource

__all__ = ["ApiOptions", "Budget", "Price", "load_api"]


def load_api(source: ModelSource, options: ApiOptions | None = None) -> ApiBackend:
    """Connect to the endpoint of ``api:MODEL`` and find out how level scores can be read from it.

    Raises:
        MissingExtraError: The openai package is not installed.
        UsageError: An option is malformed.
        ApiError: The endpoint cannot be used.
    """
    from mllmqa.models.api.backend import ApiBackend

    return ApiBackend.connect(source, options or ApiOptions())
