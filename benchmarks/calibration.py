"""How honest the errors are: ``python -m benchmarks.calibration [NETWORKS [PICTURE]]``.

Draws networks in all regimes and compares every estimate and its error with the exact gradient
(ball arithmetic). For each method, dtype and regime it prints

- outside: entries whose exact derivative is not in the interval (the aim is none at all);
- sharpness: the median of the error claimed over the error made;
- resolution: the median of the error claimed over the array's largest entry;
- blurred: the share of entries whose error is above a thousandth of that.

The right gradient is the claim, so every MISMATCH is a false alarm. The picture (a file name;
matplotlib is in the extra `plot`) shows error claimed against error made, entry by entry.
"""

import sys
from collections import defaultdict
from functools import partial
from itertools import product

import numpy as np

from backprop import Network, Parameters
from backprop.activations import ACTIVATIONS
from backprop.costs import COSTS
from checks import Verdict, check_gradient
from checks.conformance.reference_cost import RestartedCost
from checks.strategies import REGIMES, Problem
from tests.exact import exact_gradient

METHODS = ("central", "auto")
DTYPES = ("float64", "float32")


def draw_network(rng, regime, dtype, widest=12):
    """Return a network, its parameters and a batch: shapes and functions at random."""
    activation, cost = rng.choice(list(ACTIVATIONS)), rng.choice(list(COSTS))
    layers = rng.integers(2 if regime == "vanishing" else 1, 5)
    sizes = tuple(int(n) for n in rng.integers(1, widest + 1, layers + 1))
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


def compare(net, theta, x, y, method, cost):
    """Check the right gradient; return (method, rows) of every array, and whether it was accused.

    rows (3, m): error claimed, error made and largest entry.
    """
    weights, biases = exact_gradient(net, theta, x, y)
    report = check_gradient(cost, partial(net.gradient, x=x, y=y), theta, method=method)
    found = []
    for exact, array in zip(weights + biases, report.arrays.values(), strict=True):
        made = np.abs(array.numeric - exact).ravel()
        largest = np.full(made.shape, abs(exact).max())
        rows = np.stack([array.error.ravel(), made, largest]).astype(float)
        found.append((array.method, rows))
    return found, report.verdict is Verdict.MISMATCH


def calibrate(networks, seed=0):
    """Compare `networks` networks of each kind.

    Returns {(method, dtype, regime): (3, m) rows of `compare`}, and the false alarms as problems.
    """
    rows, accused = defaultdict(list), []
    for number, regime, dtype, method in product(range(networks), REGIMES, DTYPES, METHODS):
        rng = np.random.default_rng([seed, number, REGIMES.index(regime)])
        net, theta, x, y = draw_network(rng, regime, dtype)
        if lies_on_a_kink(net, theta, x):
            continue
        # one in ten by whole forward passes, the others restarted: for speed
        cost = RestartedCost(net, x, y) if number % 10 else partial(net.cost, x=x, y=y)
        found, alarm = compare(net, theta, x, y, method, cost)
        for used, some in found:
            # what "auto" leaves to differences stands apart: it is a choice of hard arrays
            kind = used if method != "auto" or used != "central" else "left to central"
            rows[kind, dtype, regime].append(some)
        if alarm:
            accused.append((net, method, dtype, regime, number))
    return {kind: np.concatenate(some, axis=1) for kind, some in rows.items()}, accused


def false_alarms(checks, seed=0):
    """Check so many right gradients of small networks; return those accused, and how many ran."""
    kinds, accused, done = list(product(REGIMES, DTYPES, METHODS)), [], 0
    for number in range(checks):
        regime, dtype, method = kinds[number % len(kinds)]
        net, theta, x, y = draw_network(np.random.default_rng([seed, number]), regime, dtype, 3)
        if lies_on_a_kink(net, theta, x):
            continue
        report = check_gradient(
            RestartedCost(net, x, y), partial(net.gradient, x=x, y=y), theta, method=method
        )
        done += 1
        if report.verdict is Verdict.MISMATCH:
            accused.append((net, method, dtype, regime, number))
    return accused, done


def summarize(rows):
    """Return entries outside, median sharpness, median resolution and the share that is blurred."""
    claimed, made, largest = rows
    known, some, sized = np.isfinite(claimed), made > 0, largest > 0
    outside = int(np.sum(made[known] > claimed[known]))
    relative = claimed[sized] / largest[sized]
    blurred = np.mean(relative > 1e-3) if relative.size else np.nan
    return outside, median(claimed[some] / made[some]), median(relative), blurred


def median(values):
    """Return the median, nan of none."""
    return np.median(values) if values.size else np.nan


def draw(rows, picture):
    """Save error claimed against error made, both relative to the array's largest entry."""
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(2, 2, figsize=(9, 8), sharex=True, sharey=True, layout="tight")
    panels = product(("central", "complex-step"), DTYPES)
    for axis, (method, dtype) in zip(axes.flat, panels, strict=True):
        some = [r for (m, d, _), r in sorted(rows.items()) if (m, d) == (method, dtype)]
        claimed, made, largest = np.concatenate(some, axis=1)
        shown = np.isfinite(claimed) & (made > 0) & (largest > 0)
        made, claimed = made[shown] / largest[shown], claimed[shown] / largest[shown]
        axis.loglog(made, claimed, ",", color="tab:blue")
        axis.plot([1e-20, 1], [1e-20, 1], color="tab:red", linewidth=1)
        axis.set(
            title=f"{method}, {dtype}: {shown.sum():,} entries", xlim=(1e-20, 1), ylim=(1e-18, 10)
        )
        axis.set(xlabel="error made", ylabel="error claimed")
    figure.suptitle("Every point above the line: no exact derivative outside its interval")
    figure.savefig(picture, dpi=110)


def main(networks="200", picture=None):
    """Print the table, and draw the picture if it has a name."""
    rows, accused = calibrate(int(networks))
    for method, dtype in product(("central", "complex-step", "left to central"), DTYPES):
        some = [r for (m, d, _), r in rows.items() if (m, d) == (method, dtype)]
        rows[method, dtype, "all regimes"] = np.concatenate(some, axis=1)
    print(f"{'':40}{'entries':>9}{'outside':>9}{'sharpness':>11}{'resolution':>12}{'blurred':>9}")
    for kind, some in sorted(rows.items()):
        if kind[0] == "left to central" and kind[2] in REGIMES:
            continue  # too few to tell apart
        outside, sharpness, resolution, blurred = summarize(some)
        print(
            f"{', '.join(kind):40}{some.shape[1]:9,}{outside:9,}{sharpness:11.0f}"
            f"{resolution:12.1e}{blurred:9.1%}"
        )
    print(f"false alarms: {len(accused)}")
    if picture:
        draw({k: v for k, v in rows.items() if k[2] in REGIMES}, picture)


if __name__ == "__main__":
    main(*sys.argv[1:])
