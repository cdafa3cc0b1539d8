"""Costs that are recognised: a row of the tables times a factor, with a penalty or a constant."""

from dataclasses import replace
from itertools import product

import numpy as np
import pytest

from backprop import Network, Parameters
from backprop.activations import ACTIVATIONS
from backprop.costs import COSTS
from checks.conformance.naming.faults import right_target
from checks.conformance.targets.known_costs import (
    PROBLEMS,
    KnownCost,
    factor_names,
    find_known_cost,
    known_cost,
    known_costs,
)
from checks.conformance.targets.log_constant import find_log_constant
from checks.conformance.targets.target import Target
from checks.strategies import Problem

P = Problem.generate((3, 4, 5), 3, seed=1)


@pytest.mark.parametrize(("activation", "cost_name"), list(product(ACTIVATIONS, COSTS)))
def test_a_known_cost_is_the_references(activation, cost_name):
    net, theta = Network(P.sizes, activation, cost_name), Parameters(P.weights, P.biases)
    known = KnownCost(activation, cost_name)
    assert known.cost(P) == pytest.approx(net.cost(theta, P.x, P.y), rel=1e-14)
    last = "identity" if "cross_entropy" in cost_name else activation
    assert known.activations(3) == [activation, activation, last]
    a, slope = known.layers(P)
    assert [v.shape for v in a] == [v.shape for v in slope] == [(3, 3), (3, 4), (3, 5)]
    assert (slope[0] == 1).all()


def test_the_last_layer_may_have_an_activation_of_its_own():
    known = KnownCost("tanh", "mean_squared", output="identity")
    assert known.activations(2) == ["tanh", "identity"]
    hidden = np.tanh(P.x @ P.weights[0].T + P.biases[0])
    last = hidden @ P.weights[1].T + P.biases[1]
    assert known.cost(P) == pytest.approx(np.mean((last - P.y) ** 2))


@pytest.mark.parametrize(
    ("known", "text"),
    [
        (KnownCost("tanh", "mean_squared"), "mean_squared with tanh layers"),
        (KnownCost("relu", "mean_squared", "½/B", "identity"),
         "½/B × mean_squared with relu layers (the last: identity)"),
        (KnownCost("tanh", "half_squared", decay=(0.01, 0.0)),
         "half_squared with tanh layers + ½ 0.01 Σ w²"),
        (KnownCost("tanh", "half_squared", decay=(0.012345, 2.0), decay_per_sample=True),
         "half_squared with tanh layers + ½ 0.0123/B Σ w² + ½ 2/B Σ b²"),
        (KnownCost("tanh", "half_squared", decay=(0.0, 2.0)),
         "half_squared with tanh layers + ½ 2 Σ b²"),
    ],
)  # fmt: skip
def test_a_known_cost_is_said(known, text):
    assert str(known) == text


@pytest.mark.parametrize(
    ("names", "activation", "cost_name", "has"),
    [
        (("activation", "cost_name"), "tanh", "mean_squared", True),
        (("activation", "cost_name"), "tanh", "half_squared", False),
        (("activation", "cost_name"), "relu", "mean_squared", False),
        (("activation",), "tanh", "half_squared", True),
        (("cost_name",), "tanh", "half_squared", False),
        ((), "relu", "half_squared", True),
    ],
)
def test_only_names_that_are_declared_are_compared(names, activation, cost_name, has):
    target = replace(right_target(activation, cost_name), names=frozenset(names))
    assert KnownCost("tanh", "mean_squared").has(target) is has


def test_every_row_is_there_once_and_the_targets_own_first():
    rows = known_costs(right_target("relu", "half_squared"))
    assert (rows[0].activation, rows[0].cost_name, rows[0].output) == ("relu", "half_squared", "")
    linear = [name for name in COSTS if COSTS[name].linear_output]
    plain, count = len(ACTIVATIONS) * len(COSTS), len(ACTIVATIONS)
    assert [row.output != "" for row in rows] == [False] * plain + [True] * (len(rows) - plain)
    assert len(rows) - plain == count * (count - 1) * (len(COSTS) - len(linear))
    assert len({(r.activation, r.cost_name, r.output) for r in rows}) == len(rows)
    assert all(r.output != r.activation for r in rows)
    assert {r.activation == "relu" or r.cost_name == "half_squared" for r in rows[:6]} == {True}


# factors


def test_factors_have_the_values_that_their_names_say():
    factors = factor_names(P)  # 3 samples, 5 outputs
    assert len(factors) == 54
    assert next(iter(factors)) == "1"
    for name, value in factors.items():
        above, _, below = name.lstrip("−").partition("/")
        texts = [t for t in above.split("·") if t]
        number = 1.0
        numbers = {"1": 1, "2": 2, "½": 0.5, "B": 3, "n_L": 5}
        for text in texts:
            number *= numbers[text]
        for text in filter(None, below.split("/")):
            number /= numbers[text]
        assert value == pytest.approx(-number if name.startswith("−") else number), name
    lengths = [len(name.replace("n_L", "n")) for name in list(factors)[1:]]
    assert lengths == sorted(lengths)


def test_no_two_factors_are_equal_on_every_network():
    values = [tuple(named.values()) for named in map(factor_names, PROBLEMS)]
    columns = [tuple(round(v, 9) for v in column) for column in zip(*values, strict=True)]
    assert len(set(columns)) == len(columns)


NAMES = ["1", "−1", "2", "½", "B", "n_L", "2·B/n_L", "−½/B/n_L"]


@pytest.mark.parametrize("name", NAMES)
def test_a_cost_times_a_factor_is_found(name):
    right = right_target("tanh", "cross_entropy")

    def cost(weights, biases, x, y):
        sizes = (3, *(len(w) for w in weights))
        p = Problem(sizes, weights, biases, x, y)
        return factor_names(p)[name] * right.cost(weights, biases, x, y)

    found = find_known_cost(replace(right, cost=cost))
    assert (found.activation, found.cost_name, found.factor) == ("tanh", "cross_entropy", name)
    assert (found.output, found.decay) == ("", (0, 0))


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize(("off", "found"), [(1.5e-6, True), (3e-6, False)])
def test_costs_are_equal_to_sixteen_last_places_of_float32(sign, off, found):
    right = right_target("tanh", "mean_squared")
    target = replace(right, cost=lambda *g: (1 + sign * off) * right.cost(*g))
    assert (find_known_cost(target) is not None) is found


@pytest.mark.parametrize("per_sample", [True, False])
@pytest.mark.parametrize("decay", [(0.02, 0.0), (0.02, 0.3)])
@pytest.mark.parametrize("factor", ["1", "½"])
def test_a_penalty_is_found_beside_a_factor(decay, per_sample, factor):
    right = right_target("tanh", "mean_squared")

    def cost(weights, biases, x, y):
        sums = [sum((v**2).sum() for v in part) / 2 for part in (weights, biases)]
        penalty = np.dot(decay, sums) / (len(x) if per_sample else 1)
        return (0.5 if factor == "½" else 1) * right.cost(weights, biases, x, y) + penalty

    found = find_known_cost(replace(right, cost=cost))
    assert (found.factor, found.decay_per_sample) == (factor, per_sample)
    assert found.decay == pytest.approx(decay, rel=1e-4)


def test_a_negative_penalty_and_other_costs_are_none():
    right = right_target("tanh", "mean_squared")
    for cost in (
        lambda w, *g: right.cost(w, *g) - 0.02 * sum((v**2).sum() for v in w),
        lambda *g: np.sqrt(right.cost(*g)),
        lambda w, *g: right.cost(w, *g) + 0.02 * sum(abs(v).sum() for v in w),
    ):
        assert find_known_cost(replace(right, cost=cost)) is None

    def raising(*given):
        raise ZeroDivisionError

    assert known_cost(Target("mynet", raising, None, None)) is None
    assert known_cost(right).cost_name == "mean_squared"


# a constant inside the log


def softmax(z):
    e = np.exp(z - z.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def with_constant(constant, cost_name, factor=1.0):
    def cost(weights, biases, x, y):
        for w, b in zip(weights[:-1], biases[:-1], strict=True):
            x = np.tanh(x @ w.T + b)
        z = x @ weights[-1].T + biases[-1]
        if cost_name == "cross_entropy":
            p = 1 / (1 + np.exp(-z))
            terms = y * np.log(p + constant) + (1 - y) * np.log(1 - p + constant)
        else:
            terms = y * np.log(softmax(z) + constant)
        return -factor * terms.sum(axis=1).mean()

    return Target("mynet", cost, None, None)


@pytest.mark.parametrize("cost_name", ["cross_entropy", "softmax_cross_entropy"])
@pytest.mark.parametrize("constant", [3e-3, 1e-6, 1e-9])
@pytest.mark.parametrize("factor", [1.0, 0.5])
def test_a_constant_inside_the_log_is_found(cost_name, constant, factor):
    known, found_factor, found = find_log_constant(with_constant(constant, cost_name, factor))
    assert (known.activation, known.cost_name) == ("tanh", cost_name)
    assert (found_factor, found) == (factor, pytest.approx(constant, rel=1e-3))


@pytest.mark.parametrize("cost_name", ["cross_entropy", "softmax_cross_entropy"])
def test_without_a_constant_none_is_found(cost_name):
    assert find_log_constant(with_constant(0.0, cost_name)) is None
    assert find_log_constant(with_constant(-1e-3, cost_name)) is None
    right = with_constant(0.0, cost_name).cost
    for change in (lambda c, g: c * 1.001, lambda c, g: c + 1e-3 * (g[0][0] ** 2).sum()):
        target = Target("mynet", lambda *g, f=change: f(right(*g), g), None, None)
        assert find_log_constant(target) is None
