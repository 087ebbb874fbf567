"""A pseudo opinion score from several full-reference metrics, for pictures that nobody has rated.

The idea is that of KADIS-700k and DeepFL-IQA (Lin, Hosu and Saupe, arXiv 2001.08113): metrics are brought to one
scale by their ranks over many distorted pictures and stand in for opinions. The formula here:

    score = 1 + 4 · mean over the metrics m of F_m(x_m),

x_m the value with the sign that makes higher better (at most that of equal pictures), F_m the cumulative
distribution of x_m over the pictures that it was fitted on: linear between 201 quantiles, 0 below the lowest
and 1 at and above the highest. So each metric is uniform over the reference distribution, weights are equal,
and 5 is reached only by what no metric finds worse than the best fitted picture. The score is a rank among the
fitted pictures and no MOS: do not mix both.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mllmqa.data.fullref.metrics import METRICS, known
from mllmqa.errors import DataError
from mllmqa.whole_file import write_whole

FORMAT = "mllmqa-pseudo-mos-1"
LOW, HIGH = 1.0, 5.0
N_KNOTS = 201
MIN_FITTED = 20


@dataclass(frozen=True, eq=False)
class PseudoMos:
    """A fitted combination.

    Attributes:
        knots: For each metric, ascending quantiles of its values with higher = better; float64, at most 201, and
            the share of fitted pictures at or below each, 0..1.
        n_fitted: Number of pictures.
        source: What they were, in words.
    """

    knots: Mapping[str, tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]]
    n_fitted: int
    source: str

    @classmethod
    def fit(cls, measured: Sequence[Mapping[str, float]], *, source: str) -> PseudoMos:
        """Take the distributions of the metrics over some distorted pictures.

        Args:
            measured: Values by metric (of :func:`mllmqa.data.fullref.measure`), the same metrics for every picture.
                They should hold all kinds and strengths of distortion in the shares that the scores shall reflect.
            source: What the pictures are: it is written into the file.

        Raises:
            UnknownNameError: A metric that is none.
            DataError: Fewer than 20 pictures, other metrics in one of them, or values that are not finite.
        """
        if len(measured) < MIN_FITTED:
            raise DataError(f"{len(measured)} measured pictures", expected=f"at least {MIN_FITTED}")
        names = known(measured[0])
        for place, row in enumerate(measured):
            if set(row) != set(names) or not all(np.isfinite(value) for value in row.values()):
                raise DataError(f"picture {place} has {dict(row)}", expected="finite values of " + ", ".join(names))
        knots = {name: _knots([METRICS[name].goodness(row[name]) for row in measured]) for name in names}
        return cls(knots, len(measured), source)

    @classmethod
    def default(cls) -> PseudoMos:
        """Return the fit that comes with mllmqa (data_builders/pseudo_mos.py); ``source`` says on what."""
        return cls.load(Path(__file__).with_name("pristine.json"))

    @property
    def min_side_px(self) -> int:
        """Smallest side that all of its metrics take."""
        return max(METRICS[name].min_side_px for name in self.names)

    @property
    def names(self) -> tuple[str, ...]:
        """The metrics that are combined."""
        return tuple(self.knots)

    def ranks(self, values: Mapping[str, float]) -> dict[str, float]:
        """Return F_m for each metric, 0 (worst) .. 1.

        Raises:
            DataError: A metric is missing or not finite.
        """
        found = {}
        for name, (points, shares) in self.knots.items():
            value = values.get(name, float("nan"))
            if not np.isfinite(value):
                raise DataError(f"no finite value of {name}", expected="values of " + ", ".join(self.knots))
            good = METRICS[name].goodness(value)
            share = np.interp(good, points, shares, left=0.0, right=1.0)
            found[name] = float(np.clip(share, 0.0, 1.0))  # between subnormal knots the slope is infinite
        return found

    def score(self, values: Mapping[str, float]) -> float:
        """Return the pseudo opinion score, 1 (worst) .. 5.

        Raises:
            DataError: See :meth:`ranks`.
        """
        ranks = self.ranks(values)
        return LOW + (HIGH - LOW) * sum(ranks.values()) / len(ranks)

    def scores(self, values: Mapping[str, npt.NDArray[np.float64]]) -> npt.NDArray[np.float64]:
        """Return the scores of many pictures from (n,) values by metric; NaN where one of them is not finite."""
        rows = [dict(zip(values, row, strict=True)) for row in zip(*values.values(), strict=True)]
        return np.array([self.score(row) if np.isfinite([*row.values()]).all() else np.nan for row in rows])

    def transform(self, measured: Iterable[Mapping[str, float]]) -> npt.NDArray[np.float64]:
        """Return the scores of many pictures; (n,) float64."""
        return np.array([self.score(values) for values in measured], dtype=np.float64)

    def as_dict(self) -> dict[str, Any]:
        """Return JSON types, with the variant of every metric."""
        metrics = {
            name: {"variant": METRICS[name].variant, "points": points.tolist(), "shares": shares.tolist()}
            for name, (points, shares) in self.knots.items()
        }
        return {"format": FORMAT, "n_fitted": self.n_fitted, "source": self.source, "metrics": metrics}

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write JSON; the file appears when it is complete."""
        write_whole(Path(path), json.dumps(self.as_dict(), ensure_ascii=False) + "\n")

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> PseudoMos:
        """Read what :meth:`save` wrote.

        Raises:
            DataError: Unreadable, another format, or fitted on another variant of a metric.
        """
        try:
            data = json.loads(Path(path).read_text(encoding="utf-8"))
            if data["format"] != FORMAT:
                raise DataError(f"format {data['format']!r}", where=path, expected=FORMAT)
            knots = {name: _stored(name, entry, path) for name, entry in data["metrics"].items()}
            known(knots)
            return cls(knots, int(data["n_fitted"]), str(data["source"]))
        except OSError as error:
            raise DataError(f"cannot be read: {error.strerror}", where=path) from error
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise DataError(f"is no fitted pseudo-MOS ({error!r})", where=path, expected=FORMAT) from error


def _stored(name: str, entry: Mapping[str, Any], path: object) -> tuple[Any, Any]:
    known([name])
    if entry["variant"] != METRICS[name].variant:
        raise DataError(
            f"{name} was fitted as {entry['variant']!r}",
            where=path,
            expected=METRICS[name].variant,
            hint="fit again",
        )
    points, shares = np.array(entry["points"], np.float64), np.array(entry["shares"], np.float64)
    if points.ndim != 1 or points.shape != shares.shape or not len(points) or np.any(np.diff(points) <= 0):
        raise DataError(f"the knots of {name} do not ascend", where=path)
    if np.any(np.diff(shares) < 0) or shares[0] < 0 or shares[-1] != 1:
        raise DataError(f"the shares of {name} do not ascend to 1", where=path)
    return points, shares


def _knots(values: list[float]) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return distinct quantiles, ascending, and the share of values at or below each."""
    ordered = np.sort(np.array(values, dtype=np.float64))
    points = np.unique(np.quantile(ordered, np.linspace(0, 1, min(N_KNOTS, len(ordered))), method="lower"))
    return points, np.searchsorted(ordered, points, side="right") / len(ordered)
