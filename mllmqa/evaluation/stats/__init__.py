"""Statistics of an evaluation: agreement with opinions, its uncertainty, and comparisons of models.

Scores and opinions are float arrays of shape (N,), higher is better on both sides. A NaN score means "not
scored": functions that return a :class:`Figure` leave it out, count it, and give the figure's bounds with the
unscored at worst and at best. Opinions must be finite, and no score may be infinite: DataError. What cannot be
computed is NaN with a reason, never 0.
"""

from mllmqa.evaluation.stats.band import curve_band
from mllmqa.evaluation.stats.bounds import krcc_bounds, plcc_bounds, rmse_bounds, srcc_bounds
from mllmqa.evaluation.stats.calibration import Coverage, coverage, crps, crps_normal, emd, kl_divergence, moments
from mllmqa.evaluation.stats.ceiling import Ceiling, disattenuated, noise_ceiling
from mllmqa.evaluation.stats.comparison import Comparison, Splits, compare, over_splits, paired_splits
from mllmqa.evaluation.stats.correlation import Correlations, correlate, krcc, plcc, rmse, srcc, tie_share
from mllmqa.evaluation.stats.figure import Figure
from mllmqa.evaluation.stats.grouped import Group, Grouped, mos_bands, per_group
from mllmqa.evaluation.stats.intervals import (
    MIN_FOR_INTERVAL,
    Interval,
    bonett_wright,
    fisher,
    student_half,
    wilson,
)
from mllmqa.evaluation.stats.letters import letters
from mllmqa.evaluation.stats.mapping import LogisticFit, Mapped, fit_logistic, mapped
from mllmqa.evaluation.stats.matching import Agreement, agreement, aligned
from mllmqa.evaluation.stats.outliers import half_width, outlier_ratio, rmse_beyond
from mllmqa.evaluation.stats.pairs import PairAccuracy, PairBin, pair_accuracy
from mllmqa.evaluation.stats.power import detectable_difference, power_of_difference, sample_size, simulated_power
from mllmqa.evaluation.stats.published import wu2024_curve
from mllmqa.evaluation.stats.rank_difference import rank_difference
from mllmqa.evaluation.stats.reliability import Retest, retest
from mllmqa.evaluation.stats.resampling import Bootstrap, Resampled, bootstrap, bootstrap_statistic
from mllmqa.evaluation.stats.roc import Krasula, auc, delong, krasula, resolving_power
from mllmqa.evaluation.stats.significance import (
    Test,
    binomial_shares,
    fisher_independent,
    holm,
    mcnemar,
    meng_rosenthal_rubin,
    steiger,
    variance_ratio,
    williams,
)

__all__ = [
    "MIN_FOR_INTERVAL",
    "Agreement",
    "Bootstrap",
    "Ceiling",
    "Comparison",
    "Correlations",
    "Coverage",
    "Figure",
    "Group",
    "Grouped",
    "Interval",
    "Krasula",
    "LogisticFit",
    "Mapped",
    "PairAccuracy",
    "PairBin",
    "Resampled",
    "Retest",
    "Splits",
    "Test",
    "agreement",
    "aligned",
    "auc",
    "binomial_shares",
    "bonett_wright",
    "bootstrap",
    "bootstrap_statistic",
    "compare",
    "correlate",
    "coverage",
    "crps",
    "crps_normal",
    "curve_band",
    "delong",
    "detectable_difference",
    "disattenuated",
    "emd",
    "fisher",
    "fisher_independent",
    "fit_logistic",
    "half_width",
    "holm",
    "kl_divergence",
    "krasula",
    "krcc",
    "krcc_bounds",
    "letters",
    "mapped",
    "mcnemar",
    "meng_rosenthal_rubin",
    "moments",
    "mos_bands",
    "noise_ceiling",
    "outlier_ratio",
    "over_splits",
    "pair_accuracy",
    "paired_splits",
    "per_group",
    "plcc",
    "plcc_bounds",
    "power_of_difference",
    "rank_difference",
    "resolving_power",
    "retest",
    "rmse",
    "rmse_beyond",
    "rmse_bounds",
    "sample_size",
    "simulated_power",
    "srcc",
    "srcc_bounds",
    "steiger",
    "student_half",
    "tie_share",
    "variance_ratio",
    "williams",
    "wilson",
    "wu2024_curve",
]
