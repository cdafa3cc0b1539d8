"""Whether the errors are true bounds: ``python -m benchmarks.calibration [NETWORKS [PICTURE]]``.

Draws networks in all regimes and compares every estimate and its error with the exact gradient
(ball arithmetic). For each method, dtype and regime it prints

- outside: entries whose exact derivative is not in the interval (there should be none);
- sharpness: the median of the error bound over the actual error;
- resolution: the median of the error bound over the array's largest entry;
- blurred: the share of entries whose error bound is above a thousandth of that largest entry.

The right gradient is the claim, so every MISMATCH is a false alarm. PICTURE, a file name, shows
the error bound against the actual error of every entry (matplotlib is in the extra `plot`).
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
    """Return a network with random sizes and functions, its parameters and a batch."""
    activation, cost = rng.choice(list(ACTIVATIONS)), rng.choice(list(COSTS))
    layers = rng.integers(2 if regime == "vanishing" else 1, 5)
    sizes = tuple(int(n) for n in rng.integers(1, widest + 1, layers + 1))
    samples, seed = int(rng.integers(1, 7)), int(rng.integers(2**32))
    problem = Problem.generate(sizes, samples, regime, seed, dtype)
    theta = Parameters(problem.weights, problem.biases)
    return Network(sizes, str(activation), str(cost)), theta, problem.x, problem.y


def lies_on_a_kink(net, theta, x):
    """Whether a relu's input is exactly 0, where the notes' gradient need not be a derivative."""
    a = x
    for w, b in zip(theta.weights, theta.biases, strict=True):
        z = a @ w.T + b
        if net.activation == "relu" and not z.all():
            return True
        a = np.maximum(z, 0)
    return False


def compare(net, theta, x, y, method, cost):
    """Check the right gradient; return (method, errors) of every array, and whether it is MISMATCH.

    errors (3, m): for each entry the error bound, the actual error and the array's largest entry.
    """
    weights, biases = exact_gradient(net, theta, x, y)
    report = check_gradient(cost, partial(net.gradient, x=x, y=y), theta, method=method)
    found = []
    for exact, array in zip(weights + biases, report.arrays.values(), strict=True):
        actual = np.abs(array.numeric - exact).ravel()
        largest = np.full(actual.shape, abs(exact).max())
        errors = np.stack([array.error.ravel(), actual, largest]).astype(float)
        found.append((array.method, errors))
    return found, report.verdict is Verdict.MISMATCH


def calibrate(networks, seed=0):
    """Compare `networks` networks of each kind.

    Returns {(method, dtype, regime): (3, m) errors of `compare`}, and a list of the false alarms.
    """
    errors, alarms = defaultdict(list), []
    for number, regime, dtype, method in product(range(networks), REGIMES, DTYPES, METHODS):
        rng = np.random.default_rng([seed, number, REGIMES.index(regime)])
        net, theta, x, y = draw_network(rng, regime, dtype)
        if lies_on_a_kink(net, theta, x):
            continue
        # one network in ten has the plain cost, which takes longer
        cost = RestartedCost(net, x, y) if number % 10 else partial(net.cost, x=x, y=y)
        found, is_mismatch = compare(net, theta, x, y, method, cost)
        for used, of_array in found:
            # arrays that "auto" leaves to central differences are harder, so they are counted apart
            kind = used if method != "auto" or used != "central" else "left to central"
            errors[kind, dtype, regime].append(of_array)
        if is_mismatch:
            alarms.append((net, method, dtype, regime, number))
    return {kind: np.concatenate(parts, axis=1) for kind, parts in errors.items()}, alarms


def false_alarms(checks, seed=0):
    """Check right gradients of small networks; return the false alarms, and how many checks ran."""
    kinds, alarms, done = list(product(REGIMES, DTYPES, METHODS)), [], 0
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
            alarms.append((net, method, dtype, regime, number))
    return alarms, done


def summarize(errors):
    """Return entries outside, median sharpness, median resolution and the blurred share."""
    bound, actual, largest = errors
    known, inexact, nonzero = np.isfinite(bound), actual > 0, largest > 0
    outside = int(np.sum(actual[known] > bound[known]))
    relative = bound[nonzero] / largest[nonzero]
    blurred = np.mean(relative > 1e-3) if relative.size else np.nan
    return outside, median(bound[inexact] / actual[inexact]), median(relative), blurred


def median(values):
    """Return the median, or nan if there are no values."""
    return np.median(values) if values.size else np.nan


def draw(errors, picture):
    """Save error bound against actual error, both relative to the array's largest entry."""
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(2, 2, figsize=(9, 8), sharex=True, sharey=True, layout="tight")
    panels = product(("central", "complex-step"), DTYPES)
    for axis, (method, dtype) in zip(axes.flat, panels, strict=True):
        parts = [e for (m, d, _), e in sorted(errors.items()) if (m, d) == (method, dtype)]
        bound, actual, largest = np.concatenate(parts, axis=1)
        shown = np.isfinite(bound) & (actual > 0) & (largest > 0)
        actual, bound = actual[shown] / largest[shown], bound[shown] / largest[shown]
        axis.loglog(actual, bound, ",", color="tab:blue")
        axis.plot([1e-20, 1], [1e-20, 1], color="tab:red", linewidth=1)
        axis.set(
            title=f"{method}, {dtype}: {shown.sum():,} entries", xlim=(1e-20, 1), ylim=(1e-18, 10)
        )
        axis.set(xlabel="actual error", ylabel="error bound")
    figure.suptitle("Every point above the line: no exact derivative outside its interval")
    figure.savefig(picture, dpi=110)


def main(networks="200", picture=None):
    """Print the table, and draw the picture if it has a name."""
    errors, alarms = calibrate(int(networks))
    for method, dtype in product(("central", "complex-step", "left to central"), DTYPES):
        parts = [e for (m, d, _), e in errors.items() if (m, d) == (method, dtype)]
        errors[method, dtype, "all regimes"] = np.concatenate(parts, axis=1)
    print(f"{'':40}{'entries':>9}{'outside':>9}{'sharpness':>11}{'resolution':>12}{'blurred':>9}")
    for kind, found in sorted(errors.items()):
        if kind[0] == "left to central" and kind[2] in REGIMES:
            continue  # too few entries in a single regime
        outside, sharpness, resolution, blurred = summarize(found)
        print(
            f"{', '.join(kind):40}{found.shape[1]:9,}{outside:9,}{sharpness:11.3g}"
            f"{resolution:12.1e}{blurred:9.1%}"
        )
    print(f"false alarms: {len(alarms)}")
    if picture:
        draw({kind: found for kind, found in errors.items() if kind[2] in REGIMES}, picture)


if __name__ == "__main__":
    main(*sys.argv[1:])
