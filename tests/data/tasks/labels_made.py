"""Random labels, as Hypothesis draws them for the tests of tasks."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

from mllmqa import prompts
from mllmqa.data.tasks.truth import Finding
from mllmqa.data.tasks.wording import vocabulary

CATEGORIES = sorted(vocabulary().categories)
LEVELS = prompts.level_scale().words
DURATION_S = 60.0
shares = st.floats(0, 1)
pairs = st.tuples(shares, shares).map(lambda pair: (min(pair), max(pair)))
boxes = st.tuples(pairs, pairs).map(lambda axes: (axes[0][0], axes[1][0], axes[0][1], axes[1][1]))
spans = st.tuples(st.floats(0, DURATION_S), st.floats(0, DURATION_S)).map(lambda s: (min(s), max(s)))
severities = st.floats(1, 5)
levels = st.sampled_from(LEVELS)
media = st.sampled_from(["image", "video"])
rngs = st.integers(0, 2**32 - 1).map(np.random.default_rng)
categories = st.sampled_from(CATEGORIES)
one = st.builds(Finding, categories, severities, st.none() | boxes, st.none() | spans)


def findings(least: int = 0, most: int = 5) -> st.SearchStrategy[list[Finding]]:
    """Findings in any order; a category may come more than once."""
    return st.lists(one, min_size=least, max_size=most)
