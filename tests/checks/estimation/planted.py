"""What tests with planted rounding share: dtypes of two precisions, and comparisons."""

import math
from functools import partial

import numpy as np
import pytest

# the numbers are small: only relative differences count
approx = partial(pytest.approx, rel=1e-6, abs=0)
SIGNS = [1, -1]
NARROW, WIDE = 2.0**-23, 2.0**-52
INF, NAN = math.inf, math.nan


def rng(seed=0):
    return np.random.default_rng(seed)
