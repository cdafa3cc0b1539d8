"""How honest the errors of the estimates are: ``python -m benchmarks.calibration [NETWORKS]``.

Draws networks in all regimes and compares every estimate and its error with the exact gradient
(ball arithmetic). For each method, dtype and regime it prints

- outside: entries whose exact derivative is not in the interval (the aim is none at all);
- sharpness: the median of the error claimed over the error made;
- resolution: the median of the error claimed over the array's largest entry;
- blurred: the share of entries whose error is above a thousandth of that;
- cost: evaluations per entry.
"""

import sys
from collections import defaultdict
from itertools import product

import numpy as np

from backprop import Network, Parameters
from backprop.activations import ACTIVATIONS
from backprop.costs import COSTS
from checks import numerical_gradient
from checks.strategies import REGIMES, Problem
from tests.exact import exact_gradient

METHODS = ("central", "auto")
DTYPES = ("float64", "float32")


def draw_network(rng, regime, dtype):
    """Return a network, its parameters and a batch: shapes and functions at random."""
    activation, cost = rng.choice(list(ACTIVATIONS)), rng.choice(list(COSTS))
    sizes = tuple(int(n) for n in rng.integers(1, 9, rng.integers(3, 6)))
    samples, seed = int(rng.integers(1, 7)), int(rng.integers(2**32))
    problem = Problem.generate(sizes, samples, regime, seed, dtype)
    theta = Parameters(problem.weights, problem.biases)
    return Network(sizes, str(activation), str(cost)), theta, problem.x, problem.y


def compare(net, theta, x, y, method):
    """Return claimed error, error made and largest entry for every entry, method and evaluations."""
    weights, biases = exact_gradient(net, theta, x, y)
    estimate = numerical_gradient(lambda p: net.cost(p, x, y), theta, method=method)
    rows = []
    for exact, value, error in zip(
        weights + biases,
        estimate.value.weights + estimate.value.biases,
        estimate.error.weights + estimate.error.biases,
        strict=True,
    ):
        made = np.abs(value - exact).ravel()
        rows.append(np.stack([error.ravel(), made, np.full(made.shape, abs(exact).max())]))
    return np.concatenate(rows, axis=1).astype(float), estimate.method, estimate.evaluations


def calibrate(networks, seed=0, report=None):
    """Return (3, m) arrays of `compare` and evaluations by (method, dtype, regime)."""
    rows, evaluations = defaultdict(list), defaultdict(int)
    for number, (regime, dtype) in product(range(networks), product(REGIMES, DTYPES)):
        pass
    return rows, evaluations
