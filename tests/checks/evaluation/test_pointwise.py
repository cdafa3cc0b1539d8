"""How many evaluations an estimate takes, and moves of whole arrays."""

from functools import partial

import numpy as np
import pytest

from backprop import Network
from benchmarks.calibration import draw_network
from checks import check_gradient, numerical_gradient
from checks.evaluation.pointwise import Evaluations
from checks.evaluation.results import Results
from checks.parameters.nesting import Nesting


def per_entry(problems, method):
    """Return evaluations per entry over all of these checks."""
    reports = [
        check_gradient(
            partial(net.cost, x=x, y=y), partial(net.gradient, x=x, y=y), theta, method=method
        )
        for net, theta, x, y in problems
    ]
    return sum(r.evaluations for r in reports) / sum(r.entries for r in reports)


def test_central_differences_take_at_most_eight_evaluations_an_entry():
    ordinary = [draw_network(np.random.default_rng(n), "ordinary", "float64") for n in range(30)]
    assert per_entry(ordinary, "central") <= 8


def test_the_complex_step_takes_hardly_more_than_one_evaluation_an_entry():
    # proving complex steps takes 16 evaluations an array and ten more: less per entry if there are
    # many entries
    rng = np.random.default_rng(0)
    problems = []
    for sizes in ((64, 30, 10), (20, 20, 20), (32, 24, 16, 8)):
        net = Network(sizes)
        theta = net.random_parameters(rng)
        problems.append((net, theta, rng.random((4, sizes[0])), rng.random((4, sizes[-1]))))
    assert per_entry(problems, "auto") <= 1.2


POINT = {"w": np.array([[0.5, -1.0, 2.0]]), "b": np.float64(0.25)}


def cost(p):
    return np.exp(np.sum(p["w"], axis=(-1, -2)) / 8) + p["b"] ** 2


def moves(numbers):
    return {"w": np.multiply.outer(numbers, [[1.0, 2.0, 4.0]]), "b": numbers.copy()}


class Stacked:
    """A cost that evaluates many points at once, and raises where b is in `fails`."""

    def __init__(self, fails=()):
        self.fails, self.sets = fails, []

    def __call__(self, p):
        if p["b"] in self.fails:
            raise FloatingPointError("no cost here")
        return cost(p)

    def at_points(self, p):
        self.sets.append(len(p["b"]))
        if np.isin(p["b"], self.fails).any():
            raise FloatingPointError("no cost here")
        return cost(p)


@pytest.mark.parametrize("numbers", [np.arange(5) / 16, np.arange(5) * 1e-20j], ids=["real", "i"])
def test_many_moves_of_whole_arrays_give_the_costs_of_one_by_one(numbers):
    one_by_one, stacked = Evaluations(cost, POINT), Evaluations(Stacked(), POINT)
    alone = [one_by_one.cost_moved({p: m[0] for p, m in moves(numbers[k, None]).items()})
             for k in range(5)]  # fmt: skip
    for evaluations in (one_by_one, stacked):
        before = evaluations.count
        costs = evaluations.costs_moved(numbers, moves)
        assert np.array_equal(costs, alone)
        assert costs.dtype == numbers.dtype
        assert evaluations.count == before + 5
    assert stacked.cost.sets == [5]


def test_many_moves_are_done_in_chunks(monkeypatch):
    # a point has four entries, so two points fit
    monkeypatch.setattr("checks.evaluation.pointwise.MAX_NUMBERS", 10)
    evaluations = Evaluations(Stacked(), POINT)
    evaluations.costs_moved(np.arange(5) / 16, moves)
    assert evaluations.cost.sets == [2, 2, 1]


def test_one_point_outside_does_not_lose_the_others():
    evaluations = Evaluations(Stacked(fails=[0.375]), POINT)
    costs = evaluations.costs_moved(np.arange(5) / 16, moves)
    assert np.flatnonzero(np.isnan(costs)).tolist() == [2]
    assert evaluations.outside == {
        "w": "FloatingPointError: no cost here, with w[0, 2] moved from 2.0 to 2.5, the farthest "
        "of all entries moved"
    }


@pytest.mark.parametrize("method", ["auto", "central"])
def test_a_cost_may_return_a_part_of_its_argument(method):
    x = np.array([2.0, 3.0])
    found = numerical_gradient(lambda x: x[1:], x, method=method)
    assert np.all(np.abs(found.value - [0, 1]) <= found.error)
    assert found.error.max() < 1e-11


STEPS = {"w": 2.0**-100, "b": 2.0**-90}


@pytest.mark.parametrize(("fails", "sets"), [((), [4]), ((0.25 + 2.0**-90 * 1j,), [4])])
def test_one_call_moves_each_entry_of_all_arrays_or_each_is_moved_alone(fails, sets):
    evaluations = Evaluations(Stacked(fails), POINT)
    alone = dict(Evaluations(cost, POINT).at_every_entry(STEPS))
    before = evaluations.count
    costs = dict(evaluations.at_every_entry(STEPS))
    assert evaluations.cost.sets == sets
    assert evaluations.count == before + 4
    assert [c.shape for c in costs.values()] == [(3,), (1,)]
    assert np.array_equal(costs["w"], alone["w"])
    assert np.isnan(costs["b"]).all() if fails else np.array_equal(costs["b"], alone["b"])
    assert "no cost here" in evaluations.complex_outside or not fails


def test_large_arrays_and_costs_that_move_entries_themselves_are_not_stacked(monkeypatch):
    analytic = Evaluations(Stacked(), POINT)
    analytic.cost.analytic = True
    dict(analytic.at_every_entry(STEPS))
    assert analytic.cost.sets == []
    monkeypatch.setattr("checks.evaluation.pointwise.MAX_NUMBERS", 15)  # 4 points of 4 entries
    large = Evaluations(Stacked(), POINT)
    dict(large.at_every_entry(STEPS))
    assert large.cost.sets == []


DIRECTION = {"w": np.array([[0.5, -1.0, 0.25]]), "b": np.array(2.0)}


@pytest.mark.parametrize("factor", [1, -1, 0, np.nan])
def test_one_move_along_a_direction_may_show_that_no_entry_has_an_imaginary_part(factor):
    seen = []

    def along(p):
        seen.append({path: array.imag.copy() for path, array in p.items()})
        return cost(p).real + 1j * factor * cost(p).imag if np.iscomplexobj(p["w"]) else cost(p)

    evaluations = Evaluations(along, POINT)
    seen.clear()
    costs = dict(evaluations.at_every_entry(STEPS, DIRECTION))
    for path, direction in DIRECTION.items():
        np.testing.assert_array_equal(seen[0][path], 2.0**-100 * direction)
    has_imaginary_parts = factor in (1, -1)
    assert len(seen) == (5 if has_imaginary_parts else 1)
    assert list(costs) == (["w", "b"] if has_imaginary_parts else [])
    stacked = Evaluations(Stacked(), POINT)
    before = stacked.count
    assert list(dict(stacked.at_every_entry(STEPS, DIRECTION))) == ["w", "b"]
    assert stacked.count == before + 4  # of all entries at once, without a move before


def test_an_interruption_of_the_one_call_ends_the_moving_of_entries(monkeypatch):
    evaluations = Evaluations(Stacked(), POINT)

    def interrupted(points):
        raise KeyboardInterrupt

    monkeypatch.setattr(evaluations.cost, "at_points", interrupted)
    with pytest.raises(KeyboardInterrupt):
        next(evaluations.at_every_entry(STEPS))
    before = evaluations.count
    with evaluations.tolerating_interrupt():
        costs = dict(evaluations.at_every_entry(STEPS, DIRECTION))
    assert evaluations.count == before
    assert all(np.isnan(of_array).all() for of_array in costs.values())
    assert evaluations.interrupted


def test_an_interruption_while_restoring_waits_until_the_point_is_back(monkeypatch):
    params, restore, calls = {"w": np.ones(2)}, Nesting.restore, []
    evaluations = Evaluations(lambda p: np.sum(p["w"]), params)

    def interrupting(nesting):
        calls.append(nesting)
        if len(calls) == 1:
            raise KeyboardInterrupt
        return restore(nesting)

    monkeypatch.setattr(Nesting, "restore", interrupting)
    with pytest.raises(KeyboardInterrupt), evaluations.restoring_parameters():
        params["w"][0] = 5.0
    assert len(calls) == 2
    assert params["w"].tolist() == [1.0, 1.0]


def test_elsewhere_the_callers_own_arrays_are_moved_and_restored():
    w = np.array([1.0, 2.0])
    evaluations = Evaluations(lambda _: (w**2).sum(), w)
    with evaluations.elsewhere({"params": np.array([0.5, -1.0])}) as there:
        assert there.at_point == 1.5**2 + 1
        assert there.cost_moved({"params": np.array([0.25, 0])}) == 1.75**2 + 1
        assert np.isnan(there.cost_moved({"params": np.array([0.75, 0])}))  # beyond 2 × the point
        assert there.call_at_point(lambda params: params) is w
    np.testing.assert_array_equal(w, [1.0, 2.0])
    assert evaluations.repeat_at_point() == evaluations.at_point


def test_elsewhere_arrays_are_restored_whatever_is_raised():
    def cost(w):
        if w[0] < 1:
            raise RuntimeError("diverged")
        return (w**2).sum()

    w = np.array([1.0, 2.0])
    evaluations = Evaluations(cost, w)
    with (
        pytest.raises(RuntimeError, match="diverged"),
        evaluations.elsewhere({"params": np.array([-0.5, 0.0])}),
    ):
        pass
    np.testing.assert_array_equal(w, [1.0, 2.0])


def test_elsewhere_moves_of_entries_are_not_those_at_the_point():
    x = np.array([1.0, 2.0])
    (cost,) = Results(lambda x: np.array([x @ x]), x).costs()
    evaluations = Evaluations(cost, x)
    entries, steps = np.array([0]), np.array([[0.25]])
    assert evaluations.at_entries("params", entries, steps) == 1.25**2 + 4
    with evaluations.elsewhere({"params": np.array([-0.5, -1.0])}) as there:
        assert there.at_entries("params", entries, steps) == 0.75**2 + 1
        copies = there.in_dtype(np.float64)
        assert copies.at_entries("params", entries, steps) == 0.75**2 + 1
    assert evaluations.in_dtype(np.float64).at_entries("params", entries, steps) == 1.25**2 + 4
    assert evaluations.at_entries("params", entries, steps) == 1.25**2 + 4
