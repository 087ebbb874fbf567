"""Statistics."""

from mllmqa.evaluation.stats.agreement import Agreement, agreement
from mllmqa.evaluation.stats.correlation import correlate, krcc, plcc, rmse, srcc, tie_share

__all__ = ["Agreement", "agreement", "correlate", "krcc", "plcc", "rmse", "srcc", "tie_share"]
