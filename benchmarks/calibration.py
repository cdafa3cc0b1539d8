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
from functools import partial
from itertools import product

import numpy as np

from backprop import Network, Parameters
from backprop.activations import ACTIVATIONS
from backprop.costs import COSTS
from checks import check_gradient
from checks.strategies import REGIMES, Problem
from tests.exact import exact_gradient

METHODS = ("central", "auto")
DTYPES = ("float64", "float32")


def draw_network(rng, regime, dtype):
    """Return a network, its parameters and a batch: shapes and functions at random."""
    activation, cost = rng.choice(list(ACTIVATIONS)), rng.choice(list(COSTS))
    layers = rng.integers(2 if regime == "vanishing" else 1, 5)
    sizes = tuple(int(n) for n in rng.integers(1, 9, layers + 1))
    samples, seed = int(rng.integers(1, 7)), int(rng.integers(2**32))
    problem = Problem.generate(sizes, samples, regime, seed, dtype)
    theta = Parameters(problem.weights, problem.biases)
    return Network(sizes, str(activation), str(cost)), theta, problem.x, problem.y


def lies_on_a_kink(net, theta, x):
    """Whether a relu's input is exactly 0: there the notes' gradient need not be a derivative."""
    a = x
    for w, b in zip(theta.weights, theta.biases, strict=True):
        z = a @ w.T + b
        if net.activation == "relu" and not z.all():
            return True
        a = np.maximum(z, 0)
    return False


def compare(net, theta, x, y, method):
    """Return (method, rows) of every array, rows (3, m): error claimed, error made, largest entry.

    And the evaluations that it took.
    """
    weights, biases = exact_gradient(net, theta, x, y)
    zero = Parameters([0 * w for w in theta.weights], [0 * b for b in theta.biases])
    report = check_gradient(partial(net.cost, x=x, y=y), zero, theta, method=method)
    found = []
    for exact, array in zip(weights + biases, report.arrays.values(), strict=True):
        made = np.abs(array.numeric - exact).ravel()
        largest = np.full(made.shape, abs(exact).max())
        rows = np.stack([array.error.ravel(), made, largest]).astype(float)
        found.append((array.method, rows))
    return found, report.evaluations


def calibrate(networks, seed=0):
    """Compare `networks` networks of each kind; return {(method, dtype, regime): (3, m)}."""
    rows = defaultdict(list)
    for number, regime, dtype, method in product(range(networks), REGIMES, DTYPES, METHODS):
        rng = np.random.default_rng([seed, number, REGIMES.index(regime)])
        net, theta, x, y = draw_network(rng, regime, dtype)
        if lies_on_a_kink(net, theta, x):
            continue
        found, _ = compare(net, theta, x, y, method)
        for used, some in found:
            rows[used, dtype, regime].append(some)
    return {kind: np.concatenate(some, axis=1) for kind, some in rows.items()}


def summarize(rows):
    """Return entries outside, median sharpness, median resolution and the share that is blurred."""
    claimed, made, largest = rows
    known = np.isfinite(claimed)
    with np.errstate(divide="ignore", invalid="ignore"):
        relative = np.where(largest > 0, claimed / largest, np.nan)
        outside = int(np.sum(made[known] > claimed[known]))
        sharpness = np.nanmedian(np.where(made > 0, claimed / made, np.nan))
    return outside, sharpness, np.nanmedian(relative), np.nanmean(relative > 1e-3)


def main(networks=200):
    """Print the table."""
    print(f"{'':40}{'entries':>9}{'outside':>9}{'sharpness':>11}{'resolution':>12}{'blurred':>9}")
    for kind, rows in sorted(calibrate(networks).items()):
        outside, sharpness, resolution, blurred = summarize(rows)
        print(
            f"{', '.join(kind):40}{rows.shape[1]:9,}{outside:9,}{sharpness:11.0f}"
            f"{resolution:12.0e}{blurred:9.1%}"
        )


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
