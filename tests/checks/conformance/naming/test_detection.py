"""How small a mistake is caught: counts over ordinary networks."""

import numpy as np
import pytest

from backprop import Network, Parameters
from checks import Verdict, check_gradient
from checks.conformance.naming.faults import right_target
from checks.conformance.reference_cost import RestartedCost
from checks.strategies import Problem

METHODS = ("central", "auto")
TEXTBOOK = right_target()


def ordinary(number, sizes=None):
    """Return the cost of a network, its right gradient as lists, and the point."""
    rng = np.random.default_rng([number, 0])
    if sizes is None:
        sizes = tuple(int(n) for n in rng.integers(1, 5, rng.choice([1, 2, 2]) + 1))
    problem = Problem.generate(sizes, int(rng.integers(1, 4)), seed=int(rng.integers(2**32)))
    params, x, y = Parameters(problem.weights, problem.biases), problem.x, problem.y
    right = TEXTBOOK.gradient(problem.weights, problem.biases, x, y)
    return RestartedCost(Network(sizes), x, y), right, params


def with_one_entry_off(gradient, relative, rng):
    """Return the gradient, one entry off by so much of its array's largest, and the array's path.

    The array is one of those whose derivatives are of ordinary size, at least a thousandth of the
    largest of all.
    """
    arrays = tuple([array.copy() for array in part] for part in gradient)
    largest = max(np.abs(a).max() for part in arrays for a in part)
    places = [
        (f"{kind}[{l}]", array)
        for kind, part in zip(("weights", "biases"), arrays, strict=True)
        for l, array in enumerate(part)  # noqa: E741
        if np.abs(array).max() > 1e-3 * largest
    ]
    path, array = places[rng.integers(len(places))]
    index = tuple(rng.integers(n) for n in array.shape)
    array[index] += rng.choice([-1, 1]) * relative * np.abs(array).max()  # wrong on purpose
    return arrays, path


@pytest.mark.parametrize("method", METHODS)
def test_one_entry_off_by_1e_7_is_caught_in_all_ordinary_networks(method):
    missed = []  # of 300: at least 99.9 % are caught, so all of these
    for number in range(METHODS.index(method), 300, 2):
        cost, gradient, params = ordinary(number)
        wrong, path = with_one_entry_off(gradient, 1e-7, np.random.default_rng(number))
        report = check_gradient(cost, wrong, params, method=method, seed=number)
        if report.arrays[path].verdict is not Verdict.MISMATCH:
            missed.append((number, path, str(report)))
        others = [a.verdict for other, a in report.arrays.items() if other != path]
        assert Verdict.MISMATCH not in others, str(report)
    assert not missed


@pytest.mark.parametrize("method", METHODS)
def test_a_zeroed_first_layer_is_caught_in_all_networks_seven_layers_deep(method):
    for number in range(METHODS.index(method), 30, 2):
        cost, gradient, params = ordinary(number, sizes=(3,) * 8)
        zeroed = [[0 * part[0], *part[1:]] for part in gradient]  # wrong on purpose
        report = check_gradient(cost, zeroed, params, method=method, seed=number)
        for path in ("weights[0]", "biases[0]"):
            assert report.arrays[path].verdict is Verdict.MISMATCH, str(report)


def test_one_entry_off_by_1e_12_is_caught_by_the_complex_step_in_99_percent():
    caught = 0
    for number in range(100):
        cost, gradient, params = ordinary(number)
        wrong, path = with_one_entry_off(gradient, 1e-12, np.random.default_rng(number))
        report = check_gradient(cost, wrong, params, method="complex-step", rtol=1e-13)
        caught += report.arrays[path].verdict is Verdict.MISMATCH
    assert caught >= 99
