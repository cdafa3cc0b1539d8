"""``python -m checks [TARGET]``: judge a target or, without one, check the reference."""

import argparse
import io
import sys
import textwrap
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import partial
from itertools import product
from typing import Any

import numpy as np

from backprop import Network, Parameters
from backprop.activations import ACTIVATIONS
from backprop.costs import COSTS
from checks.conformance.reference_cost.restarted_cost import restarted
from checks.conformance.suite.digits import load_digits
from checks.conformance.suite.run import EXIT_INTERRUPTED, judge
from checks.conformance.targets.target import EXAMPLE
from checks.gradient import check_gradient
from checks.report.report import Report
from checks.strategies import Problem

TEST_DIGITS = 500
TARGET_ACCURACY = 0.90  # training stops once this share of the test digits is read correctly
BATCH = 10
# Equivalent to a rate of 3 for the cost ½ Σ (a^L − y)²: the gradient of the mean square is 2/n_L
# times as large, and there are n_L = 10 outputs.
LEARNING_RATE = 15.0
MAX_EPOCHS = 30
CHECKED_BATCH = 25  # digits in the batch on which every entry is checked
NETWORKS = 12  # random networks for each pair of activation and cost
PAIRS = tuple(product(ACTIVATIONS, COSTS))


def check_digits() -> Iterator[tuple[str, list[Report]]]:
    """Train a 64-30-10 network on digits; yield checks at the start, half-way and at the end."""
    rng = np.random.default_rng(0)
    x, y, labels = load_digits()
    order = rng.permutation(len(x))
    train, test = order[TEST_DIGITS:], order[:TEST_DIGITS]
    net = Network(sizes=(64, 30, 10), activation="logistic", cost="mean_squared")
    theta = net.random_parameters(rng)
    gradient = net.gradient(theta, x[train[:BATCH]], y[train[:BATCH]])

    def accuracy() -> float:
        return float(np.mean(net.forward(theta, x[test]).argmax(axis=1) == labels[test]))

    def check(epoch: int) -> tuple[str, list[Report]]:
        chosen = rng.choice(train, CHECKED_BATCH, replace=False)
        batch: dict[str, Any] = {"x": x[chosen], "y": y[chosen]}
        cost = restarted(partial(net.cost, **batch), net, theta=theta, **batch)
        report = check_gradient(cost, partial(net.gradient, **batch), theta)
        return f"epoch {epoch:2}, {accuracy():5.1%} of test digits read", [report]

    yield check(0)
    half_way = False
    for epoch in range(1, MAX_EPOCHS + 1):
        for chosen in np.split(rng.permutation(train), range(BATCH, len(train), BATCH)):
            net.gradient(theta, x[chosen], y[chosen], out=gradient)
            for value, slope in zip(
                theta.weights + theta.biases, gradient.weights + gradient.biases, strict=True
            ):
                np.subtract(value, LEARNING_RATE * slope, out=value)
        if accuracy() >= TARGET_ACCURACY:
            yield check(epoch)
            return
        if not half_way and accuracy() >= TARGET_ACCURACY / 2:
            half_way = True
            yield check(epoch)
    raise SystemExit(f"only {accuracy():.1%} of the test digits read after {MAX_EPOCHS} epochs")


def check_random_networks() -> Iterator[tuple[str, list[Report]]]:
    """Yield checks of random networks, for each pair of activation and cost."""
    for number, (activation, cost_name) in enumerate(PAIRS):
        reports = []
        for seed in range(number * NETWORKS, (number + 1) * NETWORKS):
            rng = np.random.default_rng(seed)
            sizes = tuple(int(n) for n in rng.integers(2, 9, rng.integers(2, 6)))
            problem = Problem.generate(sizes, samples=int(rng.integers(3, 7)), seed=seed)
            net = Network(sizes, activation, cost_name)
            batch: dict[str, Any] = {"x": problem.x, "y": problem.y}
            # positive biases, because a relu with z < 0 for every sample has a zero gradient
            theta = Parameters(problem.weights, [np.abs(b) for b in problem.biases])
            cost = restarted(partial(net.cost, **batch), net, theta=theta, **batch)
            gradient = partial(net.gradient, **batch)
            reports.append(check_gradient(cost, gradient, theta, seed=seed))
        yield f"{activation}, {cost_name}", reports


def main(arguments: Sequence[str]) -> int:
    """Judge the target that is named; without one, check the reference and print a table.

    Returns the exit code: 0 right, 1 wrong, 4 usage error, 130 interrupted by Ctrl-C.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a console may be unable to print ∂ and ±
            stream.reconfigure(errors="replace")
    parser = argparse.ArgumentParser(
        prog="python -m checks",
        description=(
            "Decides whether somebody's backpropagation is right: runs the conformance suite on a "
            "target.\nWithout a target, it trains the reference on real digits and checks its "
            "gradient."
        ),
        epilog=f"a whole target:\n\n{textwrap.indent(EXAMPLE, '  ')}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "target", nargs="?", metavar="TARGET", help="mynet, mynet:obj or path/to/mynet.py"
    )
    parser.add_argument(
        "--rtol", help="how far an entry may be off, relative to itself (default: half the digits)"
    )
    parser.add_argument(
        "--time",
        default="30",
        metavar="SECONDS",
        help="when to end; what was not judged by then is listed (default: 30)",
    )
    try:
        given = parser.parse_args(arguments)
    except SystemExit as stop:  # a usage error is 2 for argparse, 4 for pytest and here
        return 4 if stop.code else 0
    return do_main_job() if given.target is None else judge(given.target, given.rtol, given.time)


def do_main_job() -> int:
    """Check the reference and print a table; return 0 if all match, 1 if not, 130 after Ctrl-C."""
    started = time.perf_counter()
    reports: list[Report] = []
    left_out = "the rest of the training and all random networks"
    print(_row("64-30-10 on handwritten digits", "entries", "discrepancy", "detectable", "verdict"))
    try:
        for name, checks in check_digits():
            _print_row(name, checks)
            reports += checks
        print("\nrandom networks, every activation and cost")
        left_out = "all random networks"
        for done, (name, checks) in enumerate(check_random_networks(), start=1):
            _print_row(name, checks)
            reports += checks
            left = f"{len(PAIRS) - done} of {len(PAIRS)}"
            left_out = f"the random networks of {left} pairs of activation and cost"
    except KeyboardInterrupt:
        matches = sum(map(bool, reports))
        print(f"\nInterrupted: {matches} of {len(reports)} checks match; left out: {left_out}.")
        return EXIT_INTERRUPTED
    matches = sum(map(bool, reports))
    entries = sum(report.entries for report in reports)
    print(
        f"\n{matches} of {len(reports)} checks match: {entries:,} entries of ∂C/∂w and ∂C/∂b "
        f"against numerical estimates, in {time.perf_counter() - started:.0f} s.\n"
        "discrepancy: the largest |claimed − numeric|; detectable: the smallest error that would "
        "have been seen.\nBoth are relative to the entry."
    )
    return 0 if matches == len(reports) else 1


def _row(*cells: str) -> str:
    return "{:40}{:>10}{:>13}{:>12}   {}".format(*cells)


def _print_row(name: str, reports: list[Report]) -> None:
    """Print one row for these reports, then in full each report that is not a MATCH."""
    verdicts = Counter(str(report.verdict) for report in reports)
    print(
        _row(
            f"  {name}",
            f"{sum(report.entries for report in reports):,}",
            f"{max(report.discrepancy for report in reports):.0e}",
            f"{max(report.detectable for report in reports):.1e}",
            ", ".join(f"{count} {verdict}" for verdict, count in verdicts.items())
            if len(reports) > 1
            else str(reports[0].verdict),
        ),
        flush=True,
    )
    for report in reports:
        if not report:
            print(f"\n{report}\n", flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
