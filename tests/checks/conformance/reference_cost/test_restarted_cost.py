"""`RestartedCost` equals the plain cost of the reference, in bounded memory."""

import pickle
import tracemalloc
from functools import partial

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backprop import Network, Parameters
from backprop.activations import ACTIVATIONS
from backprop.costs import COSTS
from checks import check_gradient
from checks.conformance.reference_cost.restarted_cost import RestartedCost, restarted
from checks.estimation.random_rounding import Operations
from checks.estimation.rounding_mode import call_toward_zero, toward_zero_is_available
from checks.evaluation.pointwise import Evaluations
from checks.evaluation.step_sizes import entry_sizes
from checks.strategies import Problem, layer_sizes, problems

SIZES = layer_sizes(max_layers=3, max_width=5)


def costs(cost, theta, steps):
    """Return, by path, the costs with each entry moved on its own."""
    evaluations = Evaluations(cost, theta)
    return {
        path: evaluations.at_entries(path, np.arange(value.size), steps(value))
        for path, value in evaluations.values.items()
    }


def last_places(theta, rng):
    """Return θ with every entry moved by one unit in its last place."""
    moved = [
        [a + rng.choice([-1, 1], a.shape).astype(a.dtype) * np.spacing(a) for a in part]
        for part in (theta.weights, theta.biases)
    ]
    return Parameters(*moved)


@pytest.mark.parametrize("kind", ["real", "complex"])
@given(
    problem=st.sampled_from(["float64", "float32"]).flatmap(lambda d: problems(SIZES, dtype=d)),
    activation=st.sampled_from(list(ACTIVATIONS)),
    cost=st.sampled_from(list(COSTS)),
    seed=st.integers(0, 2**32 - 1),
)
def test_it_is_the_plain_cost(kind, problem, activation, cost, seed):
    net, rng = Network(problem.sizes, activation, cost), np.random.default_rng(seed)
    theta = Parameters(problem.weights, problem.biases)

    def steps(value):
        moves = rng.normal(size=(value.size, 3)) / 10
        if kind == "complex":
            return moves * 2.0**-60 * 1j
        return moves * entry_sizes(value).reshape(-1, 1)  # no entry is moved by more than its size

    state = rng.bit_generator.state
    plain = partial(net.cost, x=problem.x, y=problem.y)
    fast = costs(RestartedCost(net, problem.x, problem.y), theta, steps)
    rng.bit_generator.state = state
    slow = costs(plain, theta, steps)
    # rounding errors are about as large as the effect of a last place of θ on the plain cost
    nearby = []
    for n in range(2):
        rng.bit_generator.state = state
        nearby.append(costs(plain, last_places(theta, np.random.default_rng(n)), steps))
    finfo = np.finfo(problem.x.dtype)  # float32 underflows in saturated networks
    for path, one in slow.items():
        assert fast[path].dtype == one.dtype
        part = np.imag if kind == "complex" else np.real
        rounding = max(np.abs(part(other[path]) - part(one)).max() for other in nearby)
        largest = max(np.abs(part(c)).max() for c in slow.values())
        np.testing.assert_allclose(
            part(fast[path]),
            part(one),
            rtol=0,
            atol=64 * (rounding + finfo.eps * largest + finfo.smallest_subnormal),
        )


@given(problem=problems(SIZES), cost=st.sampled_from(list(COSTS)))
def test_without_a_moved_entry_it_is_the_plain_cost_too(problem, cost):
    net = Network(problem.sizes, "tanh", cost)
    theta = Parameters(problem.weights, problem.biases)
    plain = net.cost(theta, problem.x, problem.y)
    restarted_value = RestartedCost(net, problem.x, problem.y)(theta)
    assert type(restarted_value) is float
    rounding = max(
        abs(net.cost(last_places(theta, np.random.default_rng(n)), problem.x, problem.y) - plain)
        for n in range(3)
    )
    assert abs(restarted_value - plain) <= 64 * (rounding + np.spacing(abs(plain)))


@pytest.mark.parametrize("method", ["auto", "central"])
def test_a_check_finds_a_wrong_entry(method):
    problem = Problem.generate((20, 8, 6, 4), samples=7, seed=3)
    net, theta = Network(problem.sizes), Parameters(problem.weights, problem.biases)
    cost = RestartedCost(net, problem.x, problem.y)
    gradient = net.gradient(theta, problem.x, problem.y)
    assert check_gradient(cost, gradient, theta, method=method)
    largest = np.abs(gradient.weights[1]).max()
    gradient.weights[1][2, 5] += largest / 8  # wrong on purpose
    report = check_gradient(cost, gradient, theta, method=method)
    assert (report.worst.path, report.worst.index) == ("weights[1]", (2, 5))


@pytest.mark.parametrize("step", [1.0, 1j])
def test_memory_is_bounded(step):
    problem = Problem.generate((64, 8, 128), samples=20, seed=0)
    net, theta = Network(problem.sizes), Parameters(problem.weights, problem.biases)
    evaluations = Evaluations(RestartedCost(net, problem.x, problem.y), theta)
    tracemalloc.start()
    try:
        evaluations.at_entries("weights[0]", np.arange(512), np.full((512, 6), step / 64))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    unchunked = 512 * 6 * 20 * 128 * np.dtype(type(step)).itemsize
    assert peak < unchunked / 4


@pytest.mark.parametrize("step", [1.0, 2.0**-100 * 1j])
@pytest.mark.parametrize("changed", ["theta", "x", "y", "dtype"])
def test_a_change_of_theta_or_batch_is_noticed(step, changed):
    problem = Problem.generate((3, 4, 2), seed=1, dtype="float32")
    net, theta = Network(problem.sizes), Parameters(problem.weights, problem.biases)
    cost = RestartedCost(net, problem.x, problem.y)

    def at(cost, theta):
        ((_, costs),) = cost.at_entries(theta, "biases[1]", np.arange(2), np.full((2, 1), step))
        return costs

    at(cost, theta)
    if changed == "dtype":
        theta = Parameters(
            [w.astype(float) for w in theta.weights], [b.astype(float) for b in theta.biases]
        )
    else:
        {"theta": theta.weights[0], "x": problem.x, "y": problem.y}[changed][0, 0] += 1
    costs = at(cost, theta)
    fresh = at(pickle.loads(pickle.dumps(cost)), theta)  # a copy has no forward pass yet
    assert np.array_equal(costs, fresh)
    assert costs.dtype == fresh.dtype


@pytest.mark.skipif(not toward_zero_is_available(), reason="the rounding mode is fixed here")
def test_a_forward_pass_serves_one_rounding_mode_only():
    problem = Problem.generate((3, 4, 2), seed=1)
    net, theta = Network(problem.sizes), Parameters(problem.weights, problem.biases)
    cost = RestartedCost(net, problem.x, problem.y)

    def slopes(theta):
        steps = np.full((12, 1), 2.0**-100 * 1j)
        ((_, costs),) = cost.at_entries(theta, "weights[0]", np.arange(12), steps)
        return costs.imag

    nearest = slopes(theta)
    truncated = call_toward_zero(slopes, theta)
    assert (truncated != nearest).any()
    np.testing.assert_allclose(truncated, nearest, rtol=1e-12, atol=0)
    assert np.array_equal(slopes(theta), nearest)
    assert np.array_equal(call_toward_zero(slopes, theta), truncated)


def test_a_subclass_of_arrays_that_rounds_in_its_own_way_leaves_nothing_behind():
    problem = Problem.generate((3, 4, 2), seed=1)
    net, theta = Network(problem.sizes), Parameters(problem.weights, problem.biases)
    cost = RestartedCost(net, problem.x, problem.y)
    at_random = Operations(0, 2**20).follow
    arrays = [list(map(at_random, part)) for part in (theta.weights, theta.biases)]
    followed = Parameters._unchecked(*arrays)
    cost(followed)
    h = dict.fromkeys(["weights[0]", "biases[1]"], 2.0**-100)
    found = cost.complex_steps(theta, h)
    fresh = RestartedCost(net, problem.x, problem.y).complex_steps(theta, h)
    for path, costs in found.items():
        assert type(costs) is np.ndarray
        assert np.array_equal(costs, fresh[path])
    assert cost(followed) != cost(theta)


def test_another_array_is_refused():
    problem = Problem.generate((2, 3), seed=0)
    theta = Parameters(problem.weights, problem.biases)
    cost = RestartedCost(Network((2, 3)), problem.x, problem.y)
    with pytest.raises(ValueError, match=r"path is 'scale', wanted an array of Parameters"):
        list(cost.at_entries(theta, "scale", np.arange(1), np.ones((1, 1))))


class TestRestarted:
    problem = Problem.generate((4, 5, 3), samples=6, seed=2)
    net = Network(problem.sizes)
    theta = vars(Parameters(problem.weights, problem.biases))  # a mapping, as the suite passes it

    def restarted(self, cost):
        return restarted(cost, self.net, self.problem.x, self.problem.y, self.theta)

    def reference(self, p):
        return self.net.cost(Parameters(*p.values()), self.problem.x, self.problem.y)

    def test_the_reference_is_recognised_by_its_values(self):
        def by_hand(p):
            a = self.problem.x
            for w, b in zip(p["weights"], p["biases"], strict=True):
                a = 1 / (1 + np.exp(-(a @ w.T + b)))
            return np.mean((a - self.problem.y) ** 2)

        for cost in (self.reference, by_hand):
            found = self.restarted(cost)
            assert isinstance(found, RestartedCost)
            gradient = self.net.gradient(
                Parameters(*self.theta.values()), self.problem.x, self.problem.y
            )
            report = check_gradient(found, vars(gradient), self.theta)
            assert report
            assert report.method == "complex-step"

    @pytest.mark.parametrize(
        "other",
        [
            lambda reference, p: 2 * reference(p),
            lambda reference, p: reference(p) + 1e-9,
            lambda reference, p: reference(p) + 1e-9 * np.sum(p["biases"][0]),
            lambda reference, p: np.float32(reference(p)),
            lambda reference, p: reference(p) + 0 * p["none"],
            lambda reference, p: str(reference(p)),
        ],
        ids=["factor", "constant", "penalty", "float32", "raises", "no number"],
    )
    def test_any_other_cost_stays(self, other):
        def cost(p):
            return other(self.reference, p)

        assert self.restarted(cost) is cost

    def test_a_cost_that_is_the_reference_at_the_point_alone_stays(self):
        point = self.reference(self.theta)

        def cost(p):
            return point

        assert self.restarted(cost) is cost

    def test_a_cost_that_changes_its_argument_stays(self):
        def cost(p):
            result = self.reference(p)
            p["biases"][0] += 1  # wrong on purpose
            return result

        assert self.restarted(cost) is cost
        assert np.array_equal(
            self.theta["biases"][0], Problem.generate((4, 5, 3), samples=6, seed=2).biases[0]
        )
