"""``python -m checks [TARGET]``: judge a target, or the reference on real digits."""

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
from checks.conformance.suite.run import judge
from checks.conformance.targets.target import EXAMPLE
from checks.gradient import check_gradient
from checks.report.report import Report
from checks.strategies import Problem

HELD_OUT = 500
WANTED = 0.90  # of the held-out digits, read right
BATCH = 10
# The textbook's step of 3 is for ① = a − y; with ① = (2/n_L)(a − y) it becomes 3·n_L/2.
LEARNING_RATE = 15.0
MOST_EPOCHS = 30
CHECKED = 25  # digits in the batch on which every entry is checked
NETWORKS = 12  # at random, for each activation and cost


def check_digits() -> Iterator[tuple[str, Report]]:
    """Train 64-30-10 on the digits; yield checks at the start, half-way and at the end."""
    rng = np.random.default_rng(0)
    x, y, labels = load_digits()
    order = rng.permutation(len(x))
    train, test = order[HELD_OUT:], order[:HELD_OUT]
    net = Network(sizes=(64, 30, 10), activation="logistic", cost="mean_squared")
    theta = net.random_parameters(rng)
    gradient = net.gradient(theta, x[train[:BATCH]], y[train[:BATCH]])

    def read() -> float:
        return float(np.mean(net.forward(theta, x[test]).argmax(axis=1) == labels[test]))

    def check(epoch: int) -> tuple[str, Report]:
        some = rng.choice(train, CHECKED, replace=False)
        batch: dict[str, Any] = {"x": x[some], "y": y[some]}
        cost = restarted(partial(net.cost, **batch), net, theta=theta, **batch)
        report = check_gradient(cost, partial(net.gradient, **batch), theta)
        return f"epoch {epoch:2}, {read():5.1%} of the held-out read", report

    yield check(0)
    half_way = False
    for epoch in range(1, MOST_EPOCHS + 1):
        for some in np.split(rng.permutation(train), range(BATCH, len(train), BATCH)):
            net.gradient(theta, x[some], y[some], out=gradient)
            for value, slope in zip(
                theta.weights + theta.biases, gradient.weights + gradient.biases, strict=True
            ):
                np.subtract(value, LEARNING_RATE * slope, out=value)
        if read() >= WANTED:
            yield check(epoch)
            return
        if not half_way and read() >= WANTED / 2:
            half_way = True
            yield check(epoch)
    raise SystemExit(f"only {read():.1%} of the held-out digits read after {MOST_EPOCHS} epochs")


def check_random_networks() -> Iterator[tuple[str, list[Report]]]:
    """Yield checks of random networks, for each activation and cost."""
    for number, (activation, cost) in enumerate(product(ACTIVATIONS, COSTS)):
        reports = []
        for seed in range(number * NETWORKS, (number + 1) * NETWORKS):
            rng = np.random.default_rng(seed)
            sizes = tuple(int(n) for n in rng.integers(2, 9, rng.integers(2, 6)))
            problem = Problem.generate(sizes, samples=int(rng.integers(3, 7)), seed=seed)
            net = Network(sizes, activation, cost)
            batch: dict[str, Any] = {"x": problem.x, "y": problem.y}
            # positive biases keep relus alive: of dead ones there is nothing to compare
            theta = Parameters(problem.weights, [np.abs(b) for b in problem.biases])
            fast = restarted(partial(net.cost, **batch), net, theta=theta, **batch)
            gradient = partial(net.gradient, **batch)
            reports.append(check_gradient(fast, gradient, theta, seed=seed))
        yield f"{activation}, {cost}", reports


def main(arguments: Sequence[str]) -> int:
    """Judge the target that is named, or else do the main job; 0 is right, 1 wrong, 4 usage."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a console may lack ∂ and ±
            stream.reconfigure(errors="replace")
    parser = argparse.ArgumentParser(
        prog="python -m checks",
        description=(
            "Decides whether somebody's backpropagation is right: runs the conformance suite on a "
            "target.\nWithout one: trains the reference on real digits, and checks its gradient."
        ),
        epilog=f"a target:\n\n{textwrap.indent(EXAMPLE, '  ')}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "target", nargs="?", metavar="TARGET", help="mynet, mynet:obj or path/to/mynet.py"
    )
    try:
        target = parser.parse_args(arguments).target
    except SystemExit as stop:  # argparse ends a wrong call with 2, pytest with 4
        return 4 if stop.code else 0
    return do_main_job() if target is None else judge(target)


def do_main_job() -> int:
    """Print a row for each check; return 0 if all match, 1 if not."""
    started = time.perf_counter()
    reports = []
    print(_row("64-30-10 on handwritten digits", "entries", "worst off", "seen from", "verdict"))
    for name, report in check_digits():
        reports.append(report)
        _print(name, [report])
    print("\nrandom networks, every activation and cost")
    for name, some in check_random_networks():
        reports += some
        _print(name, some)
    matches = sum(map(bool, reports))
    entries = sum(report.entries for report in reports)
    print(
        f"\n{matches} of {len(reports)} checks match: {entries:,} entries of ∂C/∂w and ∂C/∂b "
        f"against numerical estimates, in {time.perf_counter() - started:.0f} s.\n"
        '"worst off" and "seen from" are relative to the largest entry of the array: the largest '
        "discrepancy,\nand the smallest error that would have been called a mismatch."
    )
    return 0 if matches == len(reports) else 1


def _row(*cells: str) -> str:
    return "{:40}{:>10}{:>11}{:>11}   {}".format(*cells)


def _print(name: str, reports: list[Report]) -> None:
    """Print one row for some checks, and those that do not match in full."""
    verdicts = Counter(str(report.verdict) for report in reports)
    print(
        _row(
            f"  {name}",
            f"{sum(report.entries for report in reports):,}",
            f"{max(report.discrepancy for report in reports):.0e}",
            f"{max(report.detectable for report in reports):.1e}",
            ", ".join(f"{count} {v}" for v, count in verdicts.items())
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
