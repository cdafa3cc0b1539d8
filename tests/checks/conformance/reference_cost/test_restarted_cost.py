"""The reference's cost restarted at a moved entry: the plain cost of the same moves, in chunks."""

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
from checks.evaluation.pointwise import Evaluations
from checks.strategies import Problem, layer_sizes, problems

SIZES = layer_sizes(max_layers=3, max_width=5)


def costs(cost, theta, steps):
    """Return the costs of every single move, by path."""
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
        return moves * 2.0**-60 * 1j if kind == "complex" else moves

    state = rng.bit_generator.state
    plain = partial(net.cost, x=problem.x, y=problem.y)
    fast = costs(RestartedCost(net, problem.x, problem.y), theta, steps)
    rng.bit_generator.state = state
    slow = costs(plain, theta, steps)
    # both are right to what a few last places of θ do to the plain one
    nearby = []
    for n in range(2):
        rng.bit_generator.state = state
        nearby.append(costs(plain, last_places(theta, np.random.default_rng(n)), steps))
    finfo = np.finfo(problem.x.dtype)  # where saturated, single precision underflows
    for path, one in slow.items():
        assert fast[path].dtype == one.dtype
        part = np.imag if kind == "complex" else np.real
        blur = max(np.abs(part(other[path]) - part(one)).max() for other in nearby)
        largest = max(np.abs(part(c)).max() for c in slow.values())
        np.testing.assert_allclose(
            part(fast[path]),
            part(one),
            rtol=0,
            atol=64 * (blur + finfo.eps * largest + finfo.smallest_subnormal),
        )


@given(problem=problems(SIZES), cost=st.sampled_from(list(COSTS)))
def test_called_it_is_the_plain_cost_too(problem, cost):
    net = Network(problem.sizes, "tanh", cost)
    theta = Parameters(problem.weights, problem.biases)
    plain = net.cost(theta, problem.x, problem.y)
    known = RestartedCost(net, problem.x, problem.y)(theta)
    assert type(known) is float
    blur = max(
        abs(net.cost(last_places(theta, np.random.default_rng(n)), problem.x, problem.y) - plain)
        for n in range(3)
    )
    assert abs(known - plain) <= 64 * (blur + np.spacing(abs(plain)))


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
    at_once = 512 * 6 * 20 * 128 * np.dtype(type(step)).itemsize
    assert peak < at_once / 4


@pytest.mark.parametrize("step", [1.0, 2.0**-100 * 1j])
@pytest.mark.parametrize("moved", ["theta", "x", "y", "dtype"])
def test_it_follows_what_moves(step, moved):
    problem = Problem.generate((3, 4, 2), seed=1, dtype="float32")
    net, theta = Network(problem.sizes), Parameters(problem.weights, problem.biases)
    cost = RestartedCost(net, problem.x, problem.y)

    def at(cost, theta):
        ((_, costs),) = cost.at_entries(theta, "biases[1]", np.arange(2), np.full((2, 1), step))
        return costs

    at(cost, theta)
    if moved == "dtype":
        theta = Parameters(
            [w.astype(float) for w in theta.weights], [b.astype(float) for b in theta.biases]
        )
    else:
        {"theta": theta.weights[0], "x": problem.x, "y": problem.y}[moved][0, 0] += 1
    kept = at(cost, theta)
    fresh = at(pickle.loads(pickle.dumps(cost)), theta)  # which takes nothing of the point along
    assert np.array_equal(kept, fresh)
    assert kept.dtype == fresh.dtype


def test_another_array_is_refused():
    problem = Problem.generate((2, 3), seed=0)
    theta = Parameters(problem.weights, problem.biases)
    cost = RestartedCost(Network((2, 3)), problem.x, problem.y)
    with pytest.raises(ValueError, match=r"path is 'scale', wanted an array of Parameters"):
        list(cost.at_entries(theta, "scale", np.arange(1), np.ones((1, 1))))


class TestRestarted:
    problem = Problem.generate((4, 5, 3), samples=6, seed=2)
    net = Network(problem.sizes)
    theta = vars(Parameters(problem.weights, problem.biases))  # as the conformance suite has it

    def of(self, cost):
        return restarted(cost, self.net, self.problem.x, self.problem.y, self.theta)

    def right(self, p):
        return self.net.cost(Parameters(*p.values()), self.problem.x, self.problem.y)

    def test_the_reference_is_known_by_its_values(self):
        def by_hand(p):
            a = self.problem.x
            for w, b in zip(p["weights"], p["biases"], strict=True):
                a = 1 / (1 + np.exp(-(a @ w.T + b)))
            return np.mean((a - self.problem.y) ** 2)

        for cost in (self.right, by_hand):
            found = self.of(cost)
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
            lambda right, p: 2 * right(p),
            lambda right, p: right(p) + 1e-9,
            lambda right, p: right(p) + 1e-9 * np.sum(p["biases"][0]),
            lambda right, p: np.float32(right(p)),
            lambda right, p: right(p) + 0 * p["none"],
            lambda right, p: str(right(p)),
        ],
        ids=["factor", "constant", "penalty", "float32", "raises", "no number"],
    )
    def test_any_other_cost_stays(self, other):
        def cost(p):
            return other(self.right, p)

        assert self.of(cost) is cost

    def test_a_cost_that_is_the_reference_at_the_point_alone_stays(self):
        point = self.right(self.theta)

        def cost(p):
            return point

        assert self.of(cost) is cost

    def test_one_that_changes_its_argument_stays_to_be_seen(self):
        def cost(p):
            result = self.right(p)
            p["biases"][0] += 1  # wrong on purpose
            return result

        assert self.of(cost) is cost
        assert np.array_equal(
            self.theta["biases"][0], Problem.generate((4, 5, 3), samples=6, seed=2).biases[0]
        )
