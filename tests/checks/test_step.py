"""Training steps: the gradient that an update implies, at every learning rate."""

import numpy as np
import pytest

from checks import (
    GradientMismatch,
    GradientUnresolved,
    Verdict,
    assert_step,
    check_step,
)
from checks.conformance.naming.faults import FAULTS, right_target
from checks.strategies import Problem

TEXTBOOK = right_target()
PROBLEM = Problem.generate((4, 5, 3), samples=3, seed=1)


def network(dtype="float64"):
    """Return a cost and its parameters, (weights, biases)."""
    problem = Problem.generate(PROBLEM.sizes, samples=3, seed=1, dtype=dtype)
    params = (problem.weights, problem.biases)
    return lambda params: TEXTBOOK.cost(*params, problem.x, problem.y), params


def gradient(params):
    return TEXTBOOK.gradient(*params, PROBLEM.x, PROBLEM.y)


def functional(params, eta):
    return tuple(
        [p - eta * g for p, g in zip(part, slopes, strict=True)]
        for part, slopes in zip(params, gradient(params), strict=True)
    )


def in_place(params, eta):
    for part, slopes in zip(params, gradient(params), strict=True):
        for p, g in zip(part, slopes, strict=True):
            p[...] = p - eta * g


def in_place_and_returned(params, eta):
    in_place(params, eta)
    return params


def other_nesting(params, eta):
    weights, biases = functional(params, eta)
    return [tuple(weights), tuple(biases)]


RIGHT = [functional, in_place, in_place_and_returned, other_nesting]


@pytest.mark.parametrize("method", ["auto", "central"])
@pytest.mark.parametrize("step", RIGHT, ids=lambda step: step.__name__)
def test_a_right_step_matches(step, method):
    cost, params = network()
    report = assert_step(cost, step, params, method=method)
    assert report.verdict is Verdict.MATCH
    assert report.detectable < 1e-5


@pytest.mark.parametrize("step", RIGHT, ids=lambda step: step.__name__)
@pytest.mark.parametrize("method", ["auto", "central"])
def test_the_parameters_are_as_before_bit_for_bit(step, method):
    cost, params = network()
    before = [p.tobytes() for part in params for p in part]
    arrays = [p for part in params for p in part]
    check_step(cost, step, params, method=method)
    assert [p.tobytes() for part in params for p in part] == before
    assert all(p is q for p, q in zip((p for part in params for p in part), arrays, strict=True))


def test_the_parameters_are_restored_if_the_step_raises():
    cost, params = network()
    before = params[0][0].copy()

    def step(params, eta):
        params[0][0] -= eta
        raise RuntimeError("the optimizer is broken")

    with pytest.raises(RuntimeError, match="the optimizer is broken"):
        check_step(cost, step, params)
    np.testing.assert_array_equal(params[0][0], before)


def test_cost_and_step_may_close_over_the_parameters():
    cost, params = network()
    report = assert_step(lambda _: cost(params), lambda _, eta: in_place(params, eta), params)
    assert report.verdict is Verdict.MATCH


def test_a_step_that_replaces_arrays_in_their_list():
    cost, params = network()
    first = params[0][0]

    def step(params, eta):
        for part, slopes in zip(params, gradient(params), strict=True):
            part[:] = [p - eta * g for p, g in zip(part, slopes, strict=True)]

    assert assert_step(cost, step, params)
    assert params[0][0] is first


def test_read_only_parameters_match():
    cost, params = network()
    for part in params:
        for p in part:
            p.flags.writeable = False
    assert assert_step(cost, functional, params)


def test_float32_is_a_match_or_a_mismatch():
    cost, params = network("float32")
    report = assert_step(cost, functional, params)
    assert report.verdict is Verdict.MATCH
    assert report.detectable < 1e-2

    def doubled(params, eta):
        return functional(params, 2 * eta)  # wrong on purpose

    assert check_step(cost, doubled, params).verdict is Verdict.MISMATCH


def updated_too_early():
    """Return a step whose backward pass uses weights that it has already updated."""

    def step(params, eta):
        early = FAULTS["updated w in the backward pass"].textbook(learning_rate=eta)
        slopes = early.gradient(*params, PROBLEM.x, PROBLEM.y)
        return tuple(
            [p - eta * g for p, g in zip(part, parts, strict=True)]
            for part, parts in zip(params, slopes, strict=True)
        )

    return step


@pytest.mark.parametrize("method", ["auto", "central"])
def test_weights_updated_before_they_are_used_are_caught_and_named(method):
    cost, params = network()
    report = check_step(cost, updated_too_early(), params, method=method)
    assert report.verdict is Verdict.MISMATCH
    assert "depends on the learning rate" in str(report)
    assert report.worst.path.endswith("[0]")  # the layer below is wrong, the last is right
    assert report.arrays["params[0][1]"].verdict is Verdict.MATCH


def test_weights_updated_too_early_show_at_large_learning_rates_only():
    cost, params = network()
    step = updated_too_early()
    tiny = check_step(cost, step, params, learning_rates=[1e-7], rtol=1e-3)
    assert tiny.verdict is Verdict.MATCH
    both = check_step(cost, step, params, learning_rates=[1e-7, 10.0], rtol=1e-3)
    assert both.verdict is Verdict.MISMATCH
    assert "At learning rate 10." in str(both)


WRONG = {
    "twice": lambda params, eta: functional(params, 2 * eta),
    "ascent": lambda params, eta: functional(params, -eta),
    "a thousandth": lambda params, eta: functional(params, 1.001 * eta),
    "nothing": lambda params, eta: None,
    "not by the learning rate": lambda params, eta: functional(params, 0.1),
    "weights only": lambda params, eta: (functional(params, eta)[0], params[1]),
    "decay": lambda params, eta: tuple(
        [p - 1e-3 * eta * q for p, q in zip(part, old, strict=True)]
        for part, old in zip(functional(params, eta), params, strict=True)
    ),
    "momentum": lambda params, eta: functional(params, eta / (1 - 0.9)),
}  # wrong on purpose, each


@pytest.mark.parametrize("method", ["auto", "central"])
@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_step_is_a_mismatch(name, method):
    cost, params = network()
    with pytest.raises(GradientMismatch, match="At learning rate"):
        assert_step(cost, WRONG[name], params, method=method)


def test_a_learning_rate_too_small_for_rounding_is_unresolved():
    cost, params = network()
    with pytest.raises(GradientUnresolved):
        assert_step(cost, functional, params, learning_rates=[1e-20])
    assert check_step(cost, WRONG["twice"], params, learning_rates=[1e-20]).verdict is not (
        Verdict.MATCH
    )


def test_a_learning_rate_too_small_does_not_count_beside_a_match():
    cost, params = network()
    assert assert_step(cost, functional, params, learning_rates=[1e-20, 1.0])


@pytest.mark.parametrize("rates", [[], [0.0], [-0.1], [np.inf], [np.nan], [0.1, 0.0]], ids=repr)
def test_learning_rates_that_are_not_positive_are_refused(rates):
    cost, params = network()
    with pytest.raises(ValueError, match=r"learning_rates is .*, wanted positive numbers"):
        check_step(cost, functional, params, learning_rates=rates)


def test_a_step_of_another_size_is_refused_with_both_shapes():
    cost, params = network()
    with pytest.raises(ValueError, match=r"step\(params, learning_rate\)\[0\]\[0\] has shape"):
        check_step(cost, lambda params, _: ([p[:1] for p in params[0]], params[1]), params)


def test_a_step_that_returns_nan_is_a_mismatch():
    cost, params = network()
    report = check_step(
        cost, lambda params, eta: functional(params, np.nan), params
    )  # wrong on purpose
    assert report.verdict is Verdict.MISMATCH
