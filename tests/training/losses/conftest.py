"""Numbers of the original DeQA-Score losses."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

FILE = Path(__file__).parents[2] / "fixtures" / "deqa" / "losses.npz"


@pytest.fixture(scope="session")
def deqa() -> dict[str, Tensor]:
    """Name → tensor, see the README beside the file."""
    with np.load(FILE) as arrays:
        return {name: torch.as_tensor(arrays[name]) for name in arrays.files}
