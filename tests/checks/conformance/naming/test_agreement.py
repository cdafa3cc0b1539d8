"""How far a fault is from what a target returned, and the constants that are fitted."""

import math
from dataclasses import replace

import numpy as np
import pytest

from checks.conformance.naming.agreement import (
    NO_FAULT,
    TOLERANCE,
    compare,
    fault_gradient,
    has_fitted_constant,
    relative_distance,
)
from checks.conformance.naming.evidence import CONDITIONS, _common_constant
from checks.conformance.naming.faults import FAULTS, right_target
from checks.conformance.naming.observations import (
    LEARNING_RATE,
    NETWORKS,
    Observation,
    TextbookCost,
    _fit_cost,
    _rounded,
    find_textbook_cost,
    observe,
)
from checks.conformance.naming.textbook import Textbook

BOOK = TextbookCost("logistic", "mean_squared")
A, B = np.array([[1.0, -4.0], [2.0, 0.5]]), np.array([0.25, -0.125])


@pytest.mark.parametrize("sign", [1, -1])
def test_a_distance_is_relative_to_the_largest_entry_of_its_array(sign):
    assert relative_distance([A, B], [A, B]) == 0
    off = A + sign * np.array([[0, 0], [0, 0.5]])
    assert relative_distance([A, B], [off, B]) == 0.125
    assert relative_distance([A, B], [A, B + sign * np.array([0, 0.0625])]) == pytest.approx(
        0.0625 / max(0.25, abs(-0.125 + sign * 0.0625))
    )
    assert relative_distance([A, B], [off, B + 8.0]) == pytest.approx(8 / 8.25)
    assert relative_distance([B, A], [B + 8.0, off]) == pytest.approx(8 / 8.25)
    assert relative_distance([A, B], [off, B + 8.0], [0]) == 0.125
    assert relative_distance([A, B], [A.ravel(), B]) == 0


def test_small_arrays_are_compared_with_the_largest_entry_of_all():
    small = [A, np.array([1e-9, -1e-8])]
    assert relative_distance(small, [A, 0 * B]) == pytest.approx(1e-8 / (1e-5 * 4))
    assert relative_distance([0 * A], [0 * A]) == 0
    assert relative_distance([0 * A], [A]) == 1


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_other_sizes_and_nan_are_infinitely_far(value):
    assert relative_distance([A, B], [A, B[:1]]) == math.inf
    assert relative_distance([A, B], [A, B * [1, value]]) == math.inf


@pytest.mark.parametrize(
    ("name", "through", "is_fitted"),
    [
        ("updated w in the backward pass", "gradient", True),
        ("updated w in the backward pass", "step", False),
        ("penalty in the gradient only", "step", True),
        ("penalty twice", "gradient", False),
        ("clipped by norm", "step", True),
        ("factor 2 extra", "gradient", False),
    ],
)
def test_which_constants_are_fitted(name, through, is_fitted):
    assert has_fitted_constant(FAULTS[name], through) is is_fitted


def observed(fault, constant=None, number=0, **changes):
    """Return a network with what a fault returns on it, with its constant if one is given."""
    (network,) = observe(right_target(*BOOK[:2]), BOOK, "gradient", NETWORKS[number : number + 1])
    network = replace(network, **changes)
    return replace(network, claimed=tuple(fault_gradient(BOOK, fault, network, constant)))


@pytest.mark.parametrize("number", [0, 1, 3])
@pytest.mark.parametrize(
    ("name", "constant"),
    [
        ("updated w in the backward pass", 0.3),
        ("updated w in the backward pass", 4.0),
        ("updated sample by sample", 0.5),
        ("penalty in the gradient only", 0.037),
        ("penalty in the gradient only", -0.2),
        ("penalty in the gradient only, biases too", 2.5),
        ("clipped by norm", 0.003),
        ("clipped by value", 0.0007),
    ],
)
def test_the_constant_of_a_fault_is_found(name, constant, number):
    observation = observed(FAULTS[name], constant, number)
    distance, found = compare(BOOK, "gradient", FAULTS[name], observation)
    assert distance <= TOLERANCE
    assert found == pytest.approx(constant, rel=1e-6)
    assert compare(BOOK, "gradient", NO_FAULT, observation)[0] > TOLERANCE


def test_a_step_has_the_rate_of_its_call():
    fault = FAULTS["updated w in the backward pass"]
    observation = observed(fault, LEARNING_RATE)
    assert compare(BOOK, "step", fault, observation) == (0, LEARNING_RATE)
    assert compare(BOOK, "gradient", fault, observed(fault, 1.0), quick=True) == (0, 1.0)
    assert compare(BOOK, "gradient", fault, observation, quick=True)[0] > 1e-3


def test_a_penalty_that_changes_nothing_explains_nothing():
    right = observed(NO_FAULT)
    fault = FAULTS["penalty in the gradient only"]
    assert compare(BOOK, "gradient", fault, right) == (math.inf, None)
    zero = replace(right, weights=[0 * w for w in right.weights])
    assert compare(BOOK, "gradient", fault, zero) == (math.inf, None)
    L = len(right.weights)  # noqa: N806
    biases = range(L, 2 * L)  # the penalty has none of these
    assert compare(BOOK, "gradient", fault, right, biases)[0] == 0


@pytest.mark.parametrize("name", ["penalty twice", "penalty with the wrong sign",
                                  "penalty in the cost only", "penalty of biases too"])  # fmt: skip
def test_the_size_of_a_penalty_is_that_of_the_cost(name):
    fault = FAULTS[name]
    observation = observed(fault, decay=(0.3, 0.0))
    assert compare(BOOK, "gradient", fault, observation) == (0, 0.3)
    for decay in ((0.0, 0.0), (0.3, 0.2)):
        assert compare(BOOK, "gradient", fault, replace(observation, decay=decay)) == (
            math.inf, None
        )  # fmt: skip


def test_the_right_gradient_has_the_penalty_of_the_cost():
    plain = observed(NO_FAULT)
    with_penalty = observed(NO_FAULT, decay=(0.3, 0.2))
    L = len(plain.weights)  # noqa: N806
    for l, (g, h) in enumerate(zip(plain.claimed, with_penalty.claimed, strict=True)):  # noqa: E741
        term = 0.3 * plain.weights[l] if l < L else 0.2 * plain.biases[l - L]
        np.testing.assert_allclose(h, g + term, rtol=1e-14)
    no_biases = observed(NO_FAULT, reads_biases=False)
    assert len(no_biases.claimed) == L


def test_faults_whose_shapes_do_not_fit_are_far_away():
    observation = observed(NO_FAULT)
    fault = FAULTS["biases not summed"]
    assert compare(BOOK, "gradient", fault, observation)[0] == math.inf


# constants as text


@pytest.mark.parametrize(
    ("name", "constants", "text"),
    [
        ("decay", [(0.02, 3), (0.02, 5)], "λ = 0.02"),
        ("decay", [(0.02, 3), (0.020019, 5)], "λ = 0.02001"),
        ("decay", [(0.02, 3), (0.02003, 5)], None),
        ("decay", [(0.04, 2), (0.02, 4), (0.016, 5)], "λ/B, λ = 0.08"),
        ("decay", [(-0.04, 2), (-0.02, 4)], "λ/B, λ = -0.08"),
        ("learning_rate", [(0.5, 1)], "η = 0.5"),
        ("limit", [(0.5, 1), (0.5, 2)], "a limit of 0.5"),
    ],
)
def test_a_constant_is_shared_by_all_networks(name, constants, text):
    assert _common_constant(name, constants) == text


# conditions


def network_of(sizes, samples):
    return Observation(sizes, [None] * (len(sizes) - 1), [], np.zeros((samples, 1)), np.zeros(1))


@pytest.mark.parametrize(
    ("sizes", "samples", "held"),
    [
        ((2, 3, 4), 1, "where B = 1|with several outputs|with hidden layers"),
        ((2, 1), 3, "where B > 1|with one output"),
        ((3, 3, 2, 4), 2, "where B > 1|with several outputs|with hidden layers|with three or more "
         "layers|where a layer is square|where B is the width of a layer"),
        ((2, 4, 4), 2, "where B > 1|with several outputs|with hidden layers|where a layer is "
         "square|where a layer above the first is square"),
    ],
)  # fmt: skip
def test_conditions(sizes, samples, held):
    network = network_of(sizes, samples)
    assert [name for name, holds in CONDITIONS.items() if holds(network)] == held.split("|")


# observations


@pytest.mark.parametrize(
    ("number", "rounded"),
    [
        (0.5 + 1e-10, 0.5),
        (2 / 3 + 1e-10, 2 / 3),
        (0.0123 * (1 + 5e-9), 0.0123),
        (0.0123 * (1 + 2e-8), 0.0123 * (1 + 2e-8)),
        (-0.0123 * (1 + 5e-9), -0.0123),
        (1 / 999, 1 / 999),
        (1 / 1009 * (1 + 1e-10), 1 / 1009 * (1 + 1e-10)),
        (math.pi, math.pi),
    ],
)
def test_a_fitted_number_is_a_short_one_where_it_can_be(number, rounded):
    assert _rounded(number) == rounded


@pytest.mark.parametrize("decay", [(0.0, 0.0), (0.02, 0.0), (0.0, 0.3), (0.02, 0.3), (-0.5, 0)])
@pytest.mark.parametrize("scale", [1.0, 0.5, -2.5])
def test_the_scale_and_the_penalty_of_a_cost_are_fitted(scale, decay):
    right = right_target(*BOOK[:2])

    def cost(weights, biases, x, y):
        sums = [sum((v**2).sum() for v in part) / 2 for part in (weights, biases)]
        return scale * right.cost(weights, biases, x, y) + np.dot(decay, sums)

    network = observed(NO_FAULT)
    fitted = _fit_cost(replace(right, cost=cost), BOOK, network)
    assert (fitted.scale, fitted.decay) == (scale, decay)
    off = lambda *given: cost(*given) + 1e-6 * np.sin(given[0][0].sum())  # noqa: E731
    assert _fit_cost(replace(right, cost=off), BOOK, network) is None


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_cost_that_is_not_finite_is_not_fitted(value):
    right = right_target(*BOOK[:2])
    target = replace(right, cost=lambda *given: right.cost(*given) * value)
    assert _fit_cost(target, BOOK, observed(NO_FAULT)) is None
    book = TextbookCost("logistic", "softmax_cross_entropy")
    one_output = observed(NO_FAULT, number=9)
    assert _fit_cost(right_target(*book[:2]), book, one_output) is None


@pytest.mark.parametrize("through", ["gradient", "step"])
def test_what_is_observed_is_what_the_target_returned_after_another_call(through):
    right, calls = right_target("tanh", "half_squared"), []

    def record(*given):
        calls.append(given[2])
        return right.gradient(*given[:4]) if through == "gradient" else right.step(*given)

    target = replace(right, **{through: record})
    observations = list(observe(target, TextbookCost("tanh", "half_squared"), through,
                                NETWORKS[:3], seed=5))  # fmt: skip
    assert len(observations) == 3
    for k, o in enumerate(observations):
        np.testing.assert_array_equal(calls[2 * k], o.before.x)
        np.testing.assert_array_equal(calls[2 * k + 1], o.x)
        assert o.before.sizes == o.sizes
        assert not np.array_equal(o.before.x, o.x)
        dw, db = right.gradient(*o.copies)
        assert len(o.claimed) == len(dw) + len(db)
        for g, h in zip(o.claimed, [*dw, *db], strict=True):
            np.testing.assert_allclose(g, h, rtol=1e-12, atol=1e-15)
    (again,) = observe(target, TextbookCost("tanh", "half_squared"), through, NETWORKS[:1], seed=5)
    np.testing.assert_array_equal(again.x, observations[0].x)


def test_a_step_in_place_is_observed_too():
    right = right_target(*BOOK[:2])

    def step(weights, biases, x, y, rate):
        dw, db = right.gradient(weights, biases, x, y)
        for value, g in zip((*weights, *biases), (*dw, *db), strict=True):
            np.subtract(value, rate * g, out=value)

    (o,) = observe(replace(right, step=step), BOOK, "step", NETWORKS[:1])
    dw, db = right.gradient(*o.copies)
    for g, h in zip(o.claimed, [*dw, *db], strict=True):
        np.testing.assert_allclose(g, h, rtol=1e-11, atol=1e-15)


def test_networks_on_which_a_target_raises_are_left_out():
    right = right_target(*BOOK[:2])

    def gradient(weights, *given):
        _, _ = weights
        return right.gradient(weights, *given)

    found = list(observe(replace(right, gradient=gradient), BOOK, "gradient", NETWORKS))
    assert [len(o.weights) for o in found] == [2] * len([s for s, _, _ in NETWORKS if len(s) == 3])


@pytest.mark.parametrize("cost_name", ["mean_squared", "cross_entropy", "softmax_cross_entropy"])
@pytest.mark.parametrize("activation", ["relu", "tanh"])
def test_batches_suit_the_cost(activation, cost_name):
    book = TextbookCost(activation, cost_name)
    network = ((5, 2, 4), 7, 100)
    (o,) = observe(right_target(*book[:2]), book, "gradient", [network])
    assert (o.sizes, len(o.x)) == ((5, 2, 4), 7)
    assert all((b >= 0).all() for b in o.biases) is (activation == "relu")
    if cost_name == "mean_squared":
        assert 10 < np.abs(o.y).max() <= 100
    elif cost_name == "cross_entropy":
        assert 0 <= o.y.min() < o.y.max() <= 1
    else:
        np.testing.assert_allclose(o.y.sum(axis=1), 1)


@pytest.mark.parametrize("book", [("tanh", "half_squared", ""), ("relu", "mean_squared", "softmax"),
                                  ("leaky relu, 0.1", "mean_squared", "linear"),
                                  ("logistic", "cross_entropy", "")])  # fmt: skip
def test_the_cost_of_a_stranger_is_found(book):
    own = Textbook(*book)
    target = replace(right_target(), cost=own.cost, gradient=own.gradient)
    assert find_textbook_cost(target) == book


def test_a_cost_times_a_factor_is_found_where_none_fits_without():
    own = Textbook("tanh", "cross_entropy", scale=3)
    target = replace(right_target(), cost=own.cost, gradient=own.gradient)
    assert find_textbook_cost(target) == ("tanh", "cross_entropy", "")
    none = replace(right_target(), cost=lambda *given: np.sin(own.cost(*given)))
    assert find_textbook_cost(none) is None
