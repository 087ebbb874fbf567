"""Losses for quality models: pure functions of tensors, each with the paper that it follows.

Two kinds. The functions of :mod:`~mllmqa.training.losses.batch` are plain means over a batch in which every row
counts. All others take masks, so that data sets without deviations, without mean opinions, or without a level word
mix in one batch; they return a :class:`Part`, value and how many counted, and :func:`combine` weighs and adds them.

==============  ========================================================================================
``tokens``      next-token cross entropy of the answer; where the level word stands
``distributions``  KL of the level distribution (full vocabulary, closed set), EMD, distillation
``pairs``       fidelity, cross entropy and ranking over pairs inside a data set
``scores``      L1, L2, smooth L1, Huber; PLCC and norm-in-norm inside a data set
==============  ========================================================================================

Half precision is computed in float32, correlations in float64. What does not count may be NaN.
"""

from mllmqa.training.losses.batch import (
    coverage,
    expectation,
    fidelity_loss,
    plcc_loss,
    rank_hinge,
    rank_loss,
    soft_cross_entropy,
    soft_levels,
)
from mllmqa.training.losses.distributions import (
    distil_expectation,
    distil_levels,
    emd,
    level_kl,
    level_kl_open,
    moments,
    outside_mass,
)
from mllmqa.training.losses.pairs import (
    Opinions,
    Pairs,
    fidelity,
    pairs_within,
    preference_cross_entropy,
    preference_loss,
    ranking_loss,
)
from mllmqa.training.losses.parts import Combined, Part, Term, combine, known
from mllmqa.training.losses.scores import huber, l1, l2, norm_in_norm, plcc, smooth_l1
from mllmqa.training.losses.tokens import IGNORED, answer_cross_entropy, level_positions, logits_at

__all__ = [
    "IGNORED",
    "Combined",
    "Opinions",
    "Pairs",
    "Part",
    "Term",
    "answer_cross_entropy",
    "combine",
    "coverage",
    "distil_expectation",
    "distil_levels",
    "emd",
    "expectation",
    "fidelity",
    "fidelity_loss",
    "huber",
    "known",
    "l1",
    "l2",
    "level_kl",
    "level_kl_open",
    "level_positions",
    "logits_at",
    "moments",
    "norm_in_norm",
    "outside_mass",
    "pairs_within",
    "plcc",
    "plcc_loss",
    "preference_cross_entropy",
    "preference_loss",
    "rank_hinge",
    "rank_loss",
    "ranking_loss",
    "smooth_l1",
    "soft_cross_entropy",
    "soft_levels",
]
