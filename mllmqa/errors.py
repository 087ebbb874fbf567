"""Errors that mllmqa raises. All derive from :class:`MllmqaError`.

::

    MllmqaError
    ├── UsageError                 the call itself is wrong (exit code 2)
    │   ├── UnknownNameError       no such model, prompt, frame rule, view, decoder
    │   └── MissingExtraError      an optional package is needed: names the extra to install
    ├── MediaError                 one input cannot be used: it becomes an unscored record
    │   ├── MediaNotFoundError     no such file, or a folder without media
    │   ├── MediaAccessError       the file exists but may not be read
    │   ├── MediaFormatError       neither an image nor a video that we read
    │   ├── MediaCorruptError      right format, broken content
    │   └── MediaLimitError        too small, too large, too long, too narrow
    ├── PromptError                a prompt file is malformed
    ├── DataError                  a label or data file is malformed
    ├── TrainingError              a training run cannot go on: its loss is not finite, data are lost
    └── ModelError
        ├── ModelLoadError         weights, configuration or tokenizer cannot be loaded
        ├── LevelTokenError        the level words are not distinct single tokens there
        ├── InferenceError         the forward pass failed, or gave NaN
        └── ApiError               something between us and a remote model
            ├── ApiAuthError           the endpoint refuses the key: the run stops
            ├── ApiModelError          the endpoint has no such model, or no such path
            ├── ApiRejectedError       the endpoint rejects this request (400, 413, 422 …)
            ├── ApiUnreachableError    no answer after all tries (429, 5xx, cut, slow, no connection)
            ├── ApiAnswerError         a body that is no answer: HTML, no choices, odd numbers
            ├── ApiRefusedError        the model or a content filter declines
            ├── ApiTruncatedError      the answer was cut off before a level word
            ├── ApiUnparsedError       an answer in words, but no level word
            └── BudgetError            not asked: the budget of the run is spent

A message is one line: what is wrong, where, what was expected, what to do.
"""

from __future__ import annotations


class MllmqaError(Exception):
    """Base of all errors of mllmqa.

    Args:
        what: What is wrong, without a final full stop.
        where: The file, input or option concerned.
        expected: What would have been right.
        hint: What the user can do.

    Attributes:
        code: Short stable name of the kind of error, used as ``reason`` in unscored records.
    """

    code = "error"

    def __init__(
        self, what: str, *, where: object = None, expected: str | None = None, hint: str | None = None
    ) -> None:
        self.what = what
        self.where = None if where is None else str(where)
        self.expected = expected
        self.hint = hint
        parts = [what if where is None else f"{self.where}: {what}"]
        if expected:
            parts.append(f"expected {expected}")
        if hint:
            parts.append(hint)
        super().__init__(" ".join("; ".join(parts).split()))


class UsageError(MllmqaError):
    """The call itself is wrong: bad option value, contradictory arguments."""

    code = "usage"


class UnknownNameError(UsageError):
    """No model, prompt, rule, view or decoder has this name."""

    code = "unknown-name"


class MissingExtraError(UsageError):
    """An optional package is needed.

    Args:
        package: Name of the missing distribution.
        extra: The extra of mllmqa that installs it.
        purpose: What it is needed for.
    """

    code = "missing-extra"

    def __init__(self, package: str, *, extra: str, purpose: str) -> None:
        super().__init__(
            f"{purpose} needs the package {package}, which is not installed or does not load here",
            hint=f'install it with: pip install "mllmqa[{extra}]"',
        )


class MediaError(MllmqaError):
    """One input cannot be used. In a batch it becomes an unscored record and the rest goes on."""

    code = "media"


class MediaNotFoundError(MediaError):
    """No such file, or a folder without media."""

    code = "not-found"


class MediaAccessError(MediaError):
    """The file exists but may not be read."""

    code = "no-access"


class MediaFormatError(MediaError):
    """The content is neither an image nor a video that mllmqa reads."""

    code = "unknown-format"


class MediaCorruptError(MediaError):
    """The format is known, the content is broken or truncated."""

    code = "corrupt"


class MediaLimitError(MediaError):
    """Too small, too large, too narrow or too long to be scored."""

    code = "limit"


class PromptError(MllmqaError):
    """A prompt file is malformed or lacks a block."""

    code = "prompt"


class DataError(MllmqaError):
    """A label or data file is malformed; names file, line and field."""

    code = "data"


class TrainingError(MllmqaError):
    """A training run cannot go on."""

    code = "training"


class ModelError(MllmqaError):
    """Something is wrong with a model."""

    code = "model"


class ModelLoadError(ModelError):
    """Weights, configuration, processor or tokenizer cannot be loaded."""

    code = "model-load"


class LevelTokenError(ModelError):
    """The level words are not distinct single tokens at the answer position."""

    code = "level-tokens"


class InferenceError(ModelError):
    """The forward pass failed or gave values that are not finite."""

    code = "inference"


class ApiError(ModelError):
    """Something went wrong between us and a remote model."""

    code = "api"
    status: int | None = None
    """HTTP status, where there was one."""


class ApiAuthError(ApiError):
    """The endpoint refuses the key, or wants one. Every further request would fail: the run stops."""

    code = "api-auth"


class ApiModelError(ApiError):
    """The endpoint has no such model, or nothing at this path."""

    code = "api-model"


class ApiRejectedError(ApiError):
    """The endpoint rejects this very request: sending it again cannot help."""

    code = "api-rejected"


class ApiUnreachableError(ApiError):
    """No answer after all tries: too many requests, server errors, cut or slow connections."""

    code = "api-unreachable"


class ApiAnswerError(ApiError):
    """What came back with status 200 is no answer: HTML, no choices, probabilities that are none."""

    code = "api-answer"


class ApiRefusedError(ApiError):
    """The model declines to answer, or a content filter does. An answer that is paid for."""

    code = "api-refused"


class ApiTruncatedError(ApiError):
    """The answer was cut off by its length before a level word was said. Paid for."""

    code = "truncated"


class ApiUnparsedError(ApiError):
    """The answer is not a level word. It is never guessed what was meant. Paid for."""

    code = "unparsed"


class BudgetError(ApiError):
    """Not asked, because the budget of the run (or the account's quota) is spent."""

    code = "budget"


def error_line(error: BaseException) -> str:
    """Return one line that names the error, for records and the command line.

    Errors of mllmqa say all in their message; for others the class name is put in front.

    >>> error_line(MediaNotFoundError("no such file", where="a.png"))
    'a.png: no such file'
    >>> error_line(ValueError("two\\nlines"))
    'ValueError: two lines'
    """
    text = " ".join(str(error).split())
    return text if isinstance(error, MllmqaError) else f"{type(error).__name__}: {text}"
