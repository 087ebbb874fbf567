"""The log of an evaluation: typed lines of JSON, appended and flushed one by one, from which all figures are made.

Lines are a header; the items of each data set, and then the data set; each scorer; and one prediction for each item
and scorer. Where a line is there again (an input was tried again), the last one counts. A killed run leaves at most
one torn line, which is cut off when it is continued. With the log alone every figure can be computed anew; neither
models nor media are needed (as with inspect_ai: raw outcomes are kept, and scored as often as one likes).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, JsonValue, TypeAdapter, ValidationError, model_validator

from mllmqa import resume, sinks
from mllmqa._version import __version__
from mllmqa.errors import DataError, UsageError
from mllmqa.evaluation.items import DataRecord, Item
from mllmqa.schema import Record, Result

LOG_VERSION: Literal[1] = 1
"""Version of the records below and of those of :mod:`mllmqa.evaluation.items`."""
LOG_FILE = "log.jsonl"
START = b'{"record":"'


class Header(Record):
    """First line of a log."""

    record: Literal["header"] = "header"
    log_version: Literal[1] = LOG_VERSION
    mllmqa_version: str = __version__
    title: str = ""


class ScorerRecord(Record):
    """One scorer of a run: a model with its prompt, a metric, or predictions that others made.

    Combinations are made of the log and do not stand in it.
    """

    record: Literal["scorer"] = "scorer"
    name: str
    kind: Literal["model", "metric", "baseline", "predictions", "combination"]
    spec: str
    """Hash of all that decides its predictions but the input."""
    direction: Literal["higher-better", "lower-better"] = "higher-better"
    """Of its values, as stated; a wrong one is flagged by the figures, never turned round."""
    scale: tuple[float, float] | None = None
    """Least and greatest possible value; None: none, or not known."""
    about: dict[str, JsonValue] = Field(default_factory=dict)
    """What it is, in words and numbers: version, paper, file, licence."""


class Prediction(Record):
    """What one scorer says of one item."""

    record: Literal["prediction"] = "prediction"
    scorer: str
    data: str
    item: str
    spec: str
    value: float | None = None
    """In the scorer's own units and direction; None: unscored."""
    std: float | None = None
    """Of the predicted distribution, where the scorer has one."""
    reason: str | None = None
    """Why there is no value: stable short name."""
    message: str | None = None
    """The same in one line for people."""
    sha256: str | None = None
    """Of the file that was scored."""
    result: Result | None = None
    """Of models: the whole record with media, distribution and provenance, as ``mllmqa score`` writes it."""

    @model_validator(mode="after")
    def _either(self) -> Prediction:
        if (self.value is None) == (self.reason is None):
            raise ValueError("a prediction has a value, or a reason why not")
        return self

    @property
    def is_final(self) -> bool:
        """Whether asking again about the same content could not help."""
        return self.reason is None or self.reason in resume.FINAL_REASONS


Line = Annotated[Header | Item | DataRecord | ScorerRecord | Prediction, Field(discriminator="record")]
_LINE: TypeAdapter[Header | Item | DataRecord | ScorerRecord | Prediction] = TypeAdapter(Line)


@dataclass
class Log:
    """All that a log says, by name.

    Attributes:
        header: First line.
        data: Data sets that are complete.
        items: Of each data set, by id, in their order.
        scorers: In their order.
        predictions: By (scorer, data set), then by item.
    """

    header: Header
    data: dict[str, DataRecord] = field(default_factory=dict)
    items: dict[str, dict[str, Item]] = field(default_factory=dict)
    scorers: dict[str, ScorerRecord] = field(default_factory=dict)
    predictions: dict[tuple[str, str], dict[str, Prediction]] = field(default_factory=dict)

    def add(self, line: Item | DataRecord | ScorerRecord | Prediction) -> None:
        """Take a further line in."""
        if isinstance(line, Item):
            self.items.setdefault(line.data, {})[line.id] = line
        elif isinstance(line, DataRecord):
            self.data[line.name] = line
        elif isinstance(line, ScorerRecord):
            self.scorers[line.name] = line
        else:
            self.predictions.setdefault((line.scorer, line.data), {})[line.item] = line

    def of(self, scorer: str, data: str) -> dict[str, Prediction]:
        """Return the predictions of a scorer for a data set, by item; empty where it has none."""
        return self.predictions.get((scorer, data), {})

    def missing(self, scorer: str, data: str) -> list[str]:
        """Return the items of a data set about which this scorer has not said anything yet."""
        found = self.of(scorer, data)
        return [name for name in self.items.get(data, {}) if name not in found]


def log_path(run: Path) -> Path:
    """Return where the log of a run lies: in its folder, or the file itself."""
    return run / LOG_FILE if run.is_dir() else run


def read_log(run: Path) -> Log:
    """Read the log of a run; a torn last line of a run that is going on, or was killed, is left out.

    Args:
        run: Folder of the run, or the log itself.

    Raises:
        DataError: There is none, or it is not a log of this version; names file and line.
    """
    path = log_path(run)
    if not path.is_file():
        raise DataError("no log of an evaluation", where=path, expected="the folder of a run of `mllmqa eval`")
    log: Log | None = None
    for line, _ in _parsed(path):
        if isinstance(line, Header):
            log = log or Log(line)
        elif log is None:
            raise DataError("line 1 is no header", where=path, expected="a log of `mllmqa eval`")
        else:
            log.add(line)
    if log is None:
        raise DataError("is empty", where=path, expected="a log of `mllmqa eval`")
    return log


class LogWriter:
    """An open log; one process at a time may write it.

    Args:
        folder: Of the run; it is made.
        title: For the header of a new log.
        continued: Go on with a log that is there.

    Attributes:
        log: What it says so far, what is written here included.

    Raises:
        UsageError: There is a log and ``continued`` is off, it cannot be written, or another process writes it.
        DataError: What is to be continued is not a log of this version.
    """

    def __init__(self, folder: Path, *, title: str = "", continued: bool = False) -> None:
        path = folder / LOG_FILE
        if path.exists() and not continued:
            raise UsageError(
                "a run is there already", where=folder, hint="continue it with --resume, or name another --out"
            )
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._file = path.open("ab")
        except OSError as error:
            raise UsageError(f"cannot be written: {error.strerror}", where=path) from error
        try:
            sinks.lock(self._file, path)
            _cut_torn(path)
            fresh = path.stat().st_size == 0
            self.log = Log(Header(title=title)) if fresh else read_log(path)
            if fresh:
                self._write(self.log.header)
        except BaseException:
            self._file.close()
            raise

    def write(self, line: Item | DataRecord | ScorerRecord | Prediction) -> None:
        """Append one line and flush it.

        Raises:
            OSError: The disk is full; what was written before can be continued.
        """
        self._write(line)
        self.log.add(line)

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _write(self, line: Record) -> None:
        self._file.write(line.model_dump_json().encode() + b"\n")
        self._file.flush()


def _parsed(path: Path) -> Iterator[tuple[Header | Item | DataRecord | ScorerRecord | Prediction, int]]:
    """Yield each whole line with the position after it."""
    for number, (line, after) in enumerate(resume.lines(path), 1):
        if not line.endswith(b"\n"):
            resume.check_start(path, line, START, "a log of `mllmqa eval`")
            return
        try:
            yield _LINE.validate_json(line), after
        except ValidationError as error:
            first = error.errors()[0]
            what = ".".join(str(part) for part in first["loc"])
            raise DataError(
                f"line {number} is not of a log: {what} {first['msg']}".replace("  ", " "), where=path,
                expected=f"version {LOG_VERSION}, as `mllmqa eval` of this version writes it",
            ) from error  # fmt: skip


def _cut_torn(path: Path) -> None:
    """Cut off a torn last line, after all of the file was found to be ours."""
    end = 0
    for _, after in _parsed(path):
        end = after
    if end < path.stat().st_size:
        with path.open("rb+") as file:
            file.truncate(end)
