"""Expert metrics as scorers of an evaluation: full-reference ones, plain numbers of a picture, and those of pyiqa.

A clip has the mean over a few frames at equal distances, of both clips at the same times.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from importlib.metadata import version
from typing import Any

import numpy as np
import numpy.typing as npt
from pydantic import JsonValue

from mllmqa import media
from mllmqa._version import __version__
from mllmqa.data.fullref import metrics as fullref
from mllmqa.errors import (
    DataError,
    InferenceError,
    MediaFormatError,
    MediaLimitError,
    MissingExtraError,
    MllmqaError,
    UnknownNameError,
    UsageError,
    error_line,
)
from mllmqa.evaluation.baselines import BASELINES
from mllmqa.evaluation.items import Item
from mllmqa.evaluation.runlog import Prediction, ScorerRecord
from mllmqa.evaluation.scorers import IsDone, Judge, spec_hash, unscored

Pixels = npt.NDArray[np.uint8]
FRAMES = "uniform:8"
"""Frames of a clip."""
PYIQA = "pyiqa:"
PYIQA_LICENCE = "PolyForm Noncommercial 1.0.0 and S-Lab License 1.0: not for commercial use"
Measure = Callable[[media.OpenMedia, Item], float]


def names() -> tuple[str, ...]:
    """Return the names of the metrics that need no further package but the extra ``fullref``."""
    return (*BASELINES, *fullref.NAMES)


class MetricJudge:
    """A function of one file, or of a file and its reference.

    Args:
        record: Who it is.
        measure: Computes its value for an open file.
    """

    def __init__(self, record: ScorerRecord, measure: Measure) -> None:
        self._record, self._measure = record, measure

    @property
    def record(self) -> ScorerRecord:
        """Who it is."""
        return self._record

    def predict(self, data: str, items: Sequence[Item], is_done: IsDone) -> Iterator[Prediction]:
        """Measure the items; see :class:`mllmqa.evaluation.scorers.Judge`."""
        for item in items:
            made = self._one(item, is_done)
            if made is not None:
                yield made

    def _one(self, item: Item, is_done: IsDone) -> Prediction | None:
        sha256: str | None = None
        try:
            opened = media.open_media(item.path, name=item.id)
            sha256 = opened.info.sha256
            if is_done(item.id, sha256):
                return None
            if opened.info.kind != item.kind:
                raise MediaFormatError(
                    f"its content is of the kind {opened.info.kind}", where=item.id, expected=item.kind
                )
            value = self._measure(opened, item)
            if not np.isfinite(value):
                raise DataError(f"{self._record.name} is {value}", where=item.id, expected="a finite number")
        except MllmqaError as error:
            return unscored(item, self._record, error, sha256)
        except MemoryError:
            error_ = MediaLimitError("not enough memory to measure it", where=item.id)
            return unscored(item, self._record, error_, sha256)
        except Exception as error:  # noqa: BLE001 - a decoder's or metric's surprise costs one item, never the run
            wrong = InferenceError(f"cannot be measured ({error_line(error)})", where=item.id)
            return unscored(item, self._record, wrong, sha256)
        return Prediction(
            scorer=self._record.name, data=item.data, item=item.id, spec=self._record.spec, value=float(value),
            sha256=sha256,
        )  # fmt: skip


def open_metric(name: str) -> Judge:
    """Return the metric of this name.

    Args:
        name: A name of :func:`names`, or ``pyiqa:NAME``.

    Raises:
        UnknownNameError: There is none.
        MissingExtraError: Its package is not installed.
    """
    if name.startswith(PYIQA):
        return _pyiqa(name)
    if name in BASELINES:
        one = BASELINES[name]
        about: dict[str, JsonValue] = {"variant": one.variant, "paper": one.paper}
        record = ScorerRecord(
            name=name, kind="baseline", spec=spec_hash(name, one.variant, FRAMES, __version__), about=about
        )

        def plain(opened: media.OpenMedia, item: Item) -> float:
            if not one.of_pixels:
                return one.of(np.zeros((0, 0, 3), np.uint8), opened.info)
            return float(np.mean([one.of(frame, opened.info) for frame in _frames(opened)[0]]))

        return MetricJudge(record, plain)
    if name not in fullref.METRICS:
        known = ", ".join(names())
        raise UnknownNameError(f"no metric {name!r}", expected=f"one of {known}, or {PYIQA}NAME")
    return _full_reference(name)


def _full_reference(name: str) -> Judge:
    metric = fullref.METRICS[name]
    library = __version__
    if name != "psnr":
        fullref.piq_module()
        library = f"{__version__}, piq {version('piq')}"
    record = ScorerRecord(
        name=name, kind="metric", spec=spec_hash(name, metric.variant, FRAMES, library),
        direction="higher-better" if metric.higher_is_better else "lower-better",
        about={"variant": metric.variant, "paper": metric.paper, "library": library, "reference": "full"},
    )  # fmt: skip

    def measured(opened: media.OpenMedia, item: Item) -> float:
        return _over_pairs(lambda a, b: fullref.measure(a, b, [name])[name], opened, item)

    return MetricJudge(record, measured)


def _over_pairs(of: Callable[[Pixels, Pixels], float], opened: media.OpenMedia, item: Item) -> float:
    """Return the mean over the pairs of frames of the reference and the item."""
    if item.reference_path is None:
        raise DataError("the data set has no reference picture of it", where=item.id, expected="a full reference")
    original = media.open_media(item.reference_path, name=item.reference_path)
    seconds, own = original.info.duration_s or 0.0, opened.info.duration_s or 0.0
    if abs(seconds - own) > 0.5 / (original.info.fps or 1.0):
        raise DataError(f"it lasts {own:g} s, its reference {seconds:g} s", where=item.id, expected="the same")
    shown, times = _frames(opened)
    beside = media.decode_frames(original, times).frames_THWC
    return float(np.mean([of(a, b) for a, b in zip(beside, shown, strict=True)]))


def _frames(opened: media.OpenMedia) -> tuple[Pixels, tuple[float, ...]]:
    """Return the picture, or a few frames of a clip, uint8 (T, H, W, 3), and when they are shown."""
    times: tuple[float, ...] = ()
    if opened.info.kind == "video":
        times = media.parse_rule(FRAMES).times(media.video_index(opened))
    return media.decode_frames(opened, times).frames_THWC, times


def _pyiqa(name: str) -> Judge:
    """Open a metric of pyiqa (Chen & Mo). It fetches its weights from the hub by itself, as pyiqa does."""
    try:
        import pyiqa
    except ImportError as error:
        missing = MissingExtraError("pyiqa", extra="pyiqa", purpose=f"the metric {name} ({PYIQA_LICENCE})")
        raise missing from error
    inner = name.removeprefix(PYIQA)
    if inner not in pyiqa.list_models():
        raise UnknownNameError(f"pyiqa has no metric {inner!r}", expected="a name of pyiqa.list_models()")
    try:
        metric: Any = pyiqa.create_metric(inner, device="cpu")
    except Exception as error:
        raise UsageError(f"pyiqa cannot open it ({error_line(error)})", where=name) from error
    found = version("pyiqa")
    record = ScorerRecord(
        name=name, kind="metric", spec=spec_hash(name, found, FRAMES),
        direction="lower-better" if metric.lower_better else "higher-better",
        about={
            "variant": f"pyiqa {found}", "licence": PYIQA_LICENCE,
            "reference": "full" if metric.metric_mode == "FR" else "none",
        },
    )  # fmt: skip

    def tensor(pixels: Pixels) -> Any:
        import torch

        return torch.from_numpy(np.ascontiguousarray(pixels.transpose(2, 0, 1)))[None].float() / 255

    def measured(opened: media.OpenMedia, item: Item) -> float:
        import torch

        with torch.inference_mode():
            if metric.metric_mode == "FR":
                return _over_pairs(lambda a, b: float(metric(tensor(b), tensor(a))), opened, item)
            return float(np.mean([float(metric(tensor(frame))) for frame in _frames(opened)[0]]))

    return MetricJudge(record, measured)
