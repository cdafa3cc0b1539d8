"""The wrong backpropagations of the catalogue of faults: the checker has to catch them all."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backprop.activations import ACTIVATIONS
from backprop.costs import COSTS
from checks import Verdict, check_gradient
from checks.conformance.naming.faults import FAULTS, right_target
from checks.conformance.naming.textbook import Constants
from checks.strategies import Problem, layer_sizes, problems

METHODS = ("auto", "central")
ROWS = list(product(ACTIVATIONS, COSTS))
# With some activation and cost, every fault changes the gradient of one of these.
REVEALING = [
    Problem.generate((3, 3, 3, 3), samples=3, seed=0),
    Problem.generate((4, 5, 1), samples=4, seed=1),
    Problem.generate((2, 4, 3), samples=1, seed=2),
    # a rounds to 1 in every node
    Problem(
        sizes=(2, 2, 1),
        weights=[np.full((2, 2), 0.5), np.full((1, 2), 4.0)],
        biases=[np.full(2, 16.0), np.full(1, 24.0)],
        x=np.array([[0.3, -0.2], [0.1, 0.4]]),
        y=np.array([[0.0], [0.5]]),
        regime="saturated",
    ),
]
# What a network needs for the fault to change its gradient.
NEEDED = {
    "a (1 − a) loses digits": {"regime": "saturated"},
    "(B,) against (B, 1)": {"outputs": 1},
    "batch of one squeezed": {"samples": 1},
}
OPTIONS = {
    # by default the claim's dtype sets rtol, and float32 is then accurate enough
    "float32 inside": {"rtol": 1e-9},
    # the cost is so flat that differences do not resolve it
    "a (1 − a) loses digits": {"method": "auto"},
}


@st.composite
def networks(draw, regime="ordinary", outputs=None, samples=None):
    """Draw a network; half of them have one width, where most mistakes in shapes can happen."""
    sizes = draw(layer_sizes(max_layers=3, max_width=5) | st.integers(2, 4).map(lambda n: (n,) * 4))
    # without tiny problems: their numbers are up to 5, so most of them are saturated
    drawn = problems((*sizes[:-1], outputs or sizes[-1]), max_samples=samples or 4, regime=regime)
    return draw(drawn.filter(lambda problem: problem.seed is not None))


def call(target, problem):
    """Return the gradient of a target, called before with another network of these shapes."""
    before = [[value + 0.5 for value in part] for part in (problem.weights, problem.biases)]
    target.gradient(*before, problem.x + 0.5, problem.y)
    return target.gradient(problem.weights, problem.biases, problem.x, problem.y)


def right_gradient(fault, rows, problem):
    """Return the right gradient of the cost of a faulty target."""
    dw, db = call(right_target(*rows), problem)
    if "penalty" in fault.steps:
        dw = [g + Constants.decay * w for g, w in zip(dw, problem.weights, strict=True)]
    return [*dw, *db]


def check(target, problem, **options):
    return check_gradient(
        lambda params: target.cost(*params, problem.x, problem.y),
        lambda _: call(target, problem),
        (problem.weights, problem.biases),
        **options,
    )


def makes_a_difference(fault, rows, problem):
    """Whether the claimed gradient is wrong by more than rounding."""
    with np.errstate(all="ignore"):
        claimed = [g for part in call(fault.target(*rows), problem) for g in part]
    return any(
        g.size != right.size
        or np.abs(g.reshape(right.shape) - right).max() > 1e-12 * np.abs(right).max()
        for g, right in zip(claimed, right_gradient(fault, rows, problem), strict=True)
    )


def least_verdict(report, right):
    """Return the verdict that a report owes: of a gradient that is off by more than it detects."""
    verdicts = [Verdict.MATCH]
    for array, true in zip(report.arrays.values(), right, strict=True):
        off = np.abs(array.claimed - true.reshape(array.claimed.shape))
        if (off > array.tolerance + 2 * array.error).any():
            verdicts.append(Verdict.UNRESOLVED)
        if (off > array.limit + 2 * array.error).any():
            verdicts.append(Verdict.MISMATCH)
    return max(verdicts)


def outcome(name, method, rows, problem):
    """Return what a check says of a fault, after asserting that it says no less than it owes."""
    fault = FAULTS[name]
    target = fault.target(*rows)
    difference = makes_a_difference(fault, rows, problem)
    if name == "biases not summed" and difference:
        with pytest.raises(ValueError, match="shape"):
            check(target, problem)
        return "caught"
    report = check(target, problem, **{"method": method} | OPTIONS.get(name, {}))
    if not difference:
        assert report.verdict is not Verdict.MISMATCH, str(report)
        return "harmless"
    least = least_verdict(report, right_gradient(fault, rows, problem))
    assert report.verdict >= least, str(report)
    return {Verdict.MISMATCH: "caught", Verdict.UNRESOLVED: "open"}.get(least, "too small to see")


def revealing(name, number):
    """Return (activation, cost) and a network for which a fault changes the gradient.

    The number says with which activation and cost to begin, so that faults vary in them.
    """
    fault = FAULTS[name]
    rotated = ROWS[number % len(ROWS) :] + ROWS[: number % len(ROWS)]
    candidates = [
        (rows, problem)
        for rows, problem in product(rotated, REVEALING)
        if makes_a_difference(fault, rows, problem)
    ]
    # if it can be, one in which no array is dead: of such an array nothing is known
    return min(candidates, key=lambda c: not all(map(np.any, right_gradient(fault, *c))))


@pytest.mark.parametrize("method", METHODS)
@settings(max_examples=20)
@given(rows=st.sampled_from(ROWS), problem=networks())
def test_the_right_gradient_is_never_a_mismatch(method, rows, problem):
    assert check(right_target(*rows), problem, method=method).verdict is not Verdict.MISMATCH


@pytest.mark.parametrize(
    ("name", "number"), [pytest.param(name, i, id=name) for i, name in enumerate(FAULTS)]
)
def test_a_fault_is_caught(name, number):
    # digits that cancelling terms lose are rounding, as in a library's 1 − tanh²
    expected = "open" if "loses digits" in name else "caught"
    assert outcome(name, METHODS[number % 2], *revealing(name, number)) == expected


@pytest.mark.parametrize("method", METHODS)
@given(name=st.sampled_from(list(FAULTS)), rows=st.sampled_from(ROWS), data=st.data())
def test_a_fault_is_caught_on_every_network_whose_gradient_it_changes(method, name, rows, data):
    outcome(name, method, rows, data.draw(networks(**NEEDED.get(name, {}))))
