"""A gradient from values of the cost, as a function: its steps, its errors and its calls."""

from types import SimpleNamespace

import numpy as np
import pytest

from checks.estimation import numeric_gradient as module
from checks.estimation.numeric_gradient import NumericGradient
from checks.evaluation.pointwise import Evaluations

POINT = {"w": np.array([[1.5, -3.0]]), "b": np.array([0.75])}
SIGNS = [1, -1]


def powers(n, sign=1):
    """Return Σ x^n, which drops imaginary parts, and its gradient."""

    def cost(p):
        return sign * sum(np.sum(np.real(a) ** n) for a in p.values())

    return cost, lambda p: {path: sign * n * a ** (n - 1) for path, a in p.items()}


def numeric(
    monkeypatch,
    cost,
    slopes,
    method="central",
    level=1e-12,
    bounds=None,
    error=1e-9,
    stochastic=False,
):
    """Return the numeric gradient of a cost whose slopes and errors at the point are planted."""
    point = {path: value.copy() for path, value in POINT.items()}
    by_path = {
        path: SimpleNamespace(value=np.ravel(g).astype(float), error=np.full(g.size, error))
        for path, g in slopes.items()
    }
    noise = SimpleNamespace(level=level, relative=level / 8, stochastic=stochastic)
    cost_noise = SimpleNamespace(known=noise)
    estimates = SimpleNamespace(method=method, by_path=by_path, noise=noise, cost_noise=cost_noise)
    monkeypatch.setattr(module, "estimate_derivatives", lambda *_: estimates)
    evaluations = Evaluations(cost, point, bounds=bounds)
    with evaluations.restoring_parameters():
        found = NumericGradient(evaluations, 0)
    return found, point


@pytest.mark.parametrize("sign", SIGNS)
@pytest.mark.parametrize("n", [2, 4, 6])
def test_differences_are_of_order_6(monkeypatch, sign, n):
    cost, gradient = powers(n, sign)
    found, point = numeric(monkeypatch, cost, gradient(POINT))
    before = {path: value.tobytes() for path, value in point.items()}
    for moved in (point, {path: value + 2.0**-8 for path, value in point.items()}):
        for path, g in gradient(moved).items():
            np.testing.assert_allclose(found(moved)[path], g, rtol=1e-11)
    assert {path: value.tobytes() for path, value in point.items()} == before


@pytest.mark.parametrize("sign", SIGNS)
def test_the_lower_order_is_off_by_a_fifth_derivative(monkeypatch, sign):
    cost, gradient = powers(5, sign)
    found, point = numeric(monkeypatch, cost, gradient(POINT))
    # D4 = (4 D_1 − D_2)/3 is off by (4 − 16)/3 h⁴/120 times the fifth derivative, 120
    for path, g in gradient(POINT).items():
        off = found.doubt.low(point)[path] - g
        np.testing.assert_allclose(off, -sign * 4 * found._steps[path] ** 4, rtol=1e-3)


def test_steps_are_the_longest_that_agree_with_the_slopes_at_the_point(monkeypatch):
    cost, gradient = powers(2)
    found, _ = numeric(monkeypatch, cost, gradient(POINT))
    # 2^-7 of each entry, down to a power of two
    assert found._steps["w"].tolist() == [[2.0**-7, 2.0**-6]]
    assert found._steps["b"].tolist() == [2.0**-8]
    # a kink is crossed by three steps of 2^-8 of the entry, not by three of 2^-9
    kinked = lambda p: cost(p) + np.sum(np.maximum(np.real(p["b"]) - 0.7545, 0))  # noqa: E731
    found, _ = numeric(monkeypatch, kinked, gradient(POINT))
    assert found._steps["b"].tolist() == [2.0**-10]
    # a kink is crossed by the third of the steps of 2^-7 and of 2^-9, not of 2^-11
    kinked = lambda p: cost(p) + 1e3 * np.sum(np.maximum(np.real(p["b"]) - 0.75 - 2.0**-9, 0))  # noqa: E731
    found, _ = numeric(monkeypatch, kinked, gradient(POINT))
    assert found._steps["b"].tolist() == [2.0**-12]
    assert found._steps["w"].tolist() == [[2.0**-7, 2.0**-6]]


@pytest.mark.parametrize("sign", SIGNS)
@pytest.mark.parametrize(("off", "step"), [(0.9e-5, 2.0**-7), (1.1e-5, 2.0**-13)])
@pytest.mark.parametrize("side", SIGNS)
def test_where_no_step_agrees_the_shortest_is_taken(monkeypatch, sign, off, step, side):
    cost, gradient = powers(2, sign)
    slopes = gradient(POINT)
    slopes["w"][0, 0] += side * off * 6  # the largest slope of the array is ∓6
    cost_of, part = cost, 2.0**-20
    cost = lambda p: part * cost_of(p)  # noqa: E731
    slopes = {path: part * g for path, g in slopes.items()}
    found, _ = numeric(monkeypatch, cost, slopes)
    assert found._steps["w"].tolist() == [[step, 2.0**-6]]
    slopes["w"][0, 0] = np.nan
    found, _ = numeric(monkeypatch, cost, slopes)
    assert found._steps["w"].tolist() == [[2.0**-13, 2.0**-6]]


def test_at_a_minimum_a_step_agrees_by_the_change_of_the_slope(monkeypatch):
    centred = lambda p: sum(np.sum((np.real(p[k]) - POINT[k]) ** 2) for k in p)  # noqa: E731
    found, _ = numeric(monkeypatch, centred, {path: 0 * a + 1e-9 for path, a in POINT.items()})
    assert found._steps["w"].tolist() == [[2.0**-7, 2.0**-6]]
    assert found._steps["b"].tolist() == [2.0**-8]


def test_complex_steps_at_a_minimum_are_tried_beside_it():
    calls = []

    def counted(p):
        calls.append(1)
        return sum(np.sum((p[k] - POINT[k]) ** 2 + 0.25 * (p[k] - POINT[k]) ** 3) for k in p) + 1

    evaluations = Evaluations(counted, {path: value.copy() for path, value in POINT.items()})
    with evaluations.restoring_parameters():
        found = NumericGradient(evaluations, 0)
    assert found.is_complex
    assert evaluations.count == len(calls)
    aside = {path: value + 2.0**-9 for path, value in POINT.items()}
    for g in found(aside).values():
        np.testing.assert_allclose(g, 2.0**-8 + 0.75 * 2.0**-18, rtol=1e-14)


def test_errors_noise_and_bounds_follow_the_steps(monkeypatch):
    cost, gradient = powers(2)
    lower, upper = {"w": None, "b": [0.5]}, {"w": 8.0, "b": None}
    found, _ = numeric(monkeypatch, cost, gradient(POINT), bounds=(lower, upper))
    h = np.array([2.0**-7, 2.0**-6, 2.0**-9])  # an entry has 0.25 of room, a third of its size
    np.testing.assert_allclose(found.doubt.noise, 1.08 * 1e-12 / h)
    costs = [SimpleNamespace(), SimpleNamespace(), SimpleNamespace()]
    assert list(found.doubt.noisy(costs)) == costs
    assert [cost.noise for cost in costs] == found.doubt.noise.tolist()
    assert [cost.terms for cost in costs] == [8 / 1.5, 8 / 3, 8 / 0.75]  # a cost of 8, over sizes
    np.testing.assert_allclose(found.doubt.error(0, "w"), 1e-9 / np.array([1.5, 3]))
    np.testing.assert_allclose(found.doubt.error(2, "b"), 1e-9 / np.array([0.75]))
    assert found.bounds[0]["b"].tolist() == [0.5 + 3 * 2.0**-9]
    # no entry moves by more than its size
    assert found.bounds[1]["w"].tolist() == [[3 - 3 * 2.0**-7, -3 * 2.0**-6]]
    assert found.bounds[0]["w"].tolist() == [[3 * 2.0**-7, -6 + 3 * 2.0**-6]]
    with pytest.raises(ValueError, match=r"^w\[0, 1\] stands on a bound"):
        numeric(monkeypatch, cost, gradient(POINT), bounds=({"w": [[-9, -3]], "b": None}, None))


@pytest.mark.parametrize("stochastic", [False, True])
def test_complex_steps_are_exact_to_rounding(monkeypatch, stochastic):
    cost = lambda p: np.sum(p["w"] ** 3) + np.sum(p["b"] ** 3)  # noqa: E731
    slopes = {path: 3 * a**2 for path, a in POINT.items()}
    bounds = ({"w": -4, "b": 0.75}, None)
    found, point = numeric(
        monkeypatch, cost, slopes, "complex-step", bounds=bounds, stochastic=stochastic
    )
    for path, g in found(point).items():
        np.testing.assert_allclose(g, slopes[path], rtol=1e-15)
        assert g.dtype == float
    assert found.doubt.low is None
    assert found.doubt.noise.tolist() == [0, 0, 0]
    assert found.bounds[0]["w"].tolist() == [[0, -4]]
    assert found.bounds[0]["b"].tolist() == [0.75]
    calls = found.memo.calls
    assert calls == 3
    found(point)  # asked again, it calls a random cost anew
    assert found.memo.calls == (6 if stochastic else 3)


@pytest.mark.parametrize("stochastic", [False, True])
def test_both_orders_share_their_calls(monkeypatch, stochastic):
    cost, gradient = powers(2)
    found, point = numeric(monkeypatch, cost, gradient(POINT), stochastic=stochastic)
    assert found.memo.calls == 0
    found(point)
    assert found.memo.calls == 6 * 3
    found.doubt.low(point)
    assert found.memo.calls == 6 * 3
    found(point)
    assert found.memo.calls == (12 * 3 if stochastic else 6 * 3)


def test_read_only_parameters_are_moved_in_copies(monkeypatch):
    cost, gradient = powers(2)
    found, _ = numeric(monkeypatch, cost, gradient(POINT))
    fixed = {path: value.copy() for path, value in POINT.items()}
    for array in fixed.values():
        array.flags.writeable = False
    for path, g in found(fixed).items():
        np.testing.assert_allclose(g, gradient(POINT)[path], rtol=1e-12)


def test_one_read_only_array_is_enough_for_copies(monkeypatch):
    cost, gradient = powers(2)
    found, _ = numeric(monkeypatch, cost, gradient(POINT))
    some = {path: value.copy() for path, value in POINT.items()}
    some["w"].flags.writeable = False
    for path, g in found(some).items():
        np.testing.assert_allclose(g, gradient(POINT)[path], rtol=1e-12)


def test_complex_steps_move_entries_of_any_memory_layout(monkeypatch):
    found, point = numeric(monkeypatch, lambda p: np.sum(p["w"] ** 3), POINT, "complex-step")
    w = np.asfortranarray(np.arange(1.0, 7).reshape(2, 3))
    for array in (w, w.copy(order="C"), w[::-1, ::-1]):
        np.testing.assert_allclose(found({**point, "w": array})["w"], 3 * array**2)


def test_a_cost_that_raises_leaves_the_parameters_as_they_were(monkeypatch):
    cost, gradient = powers(2)
    found, point = numeric(monkeypatch, cost, gradient(POINT))
    found.memo.function = lambda p: 1 / 0
    with pytest.raises(ZeroDivisionError):
        found(point)
    assert all(np.array_equal(point[path], value) for path, value in POINT.items())


def test_a_cost_that_ignores_its_argument_takes_the_caller_s_own_arrays_alone(monkeypatch):
    own, first_move, (cost, gradient) = {}, [], powers(2)
    slopes = gradient(POINT)

    def closure(p):
        own.update(p if not own else {})
        move = np.abs(own["w"] / POINT["w"] - 1).ravel()
        first_move.extend(move.tolist() if move.any() and not first_move else [])
        return cost(own)

    found, point = numeric(monkeypatch, closure, slopes)
    assert first_move == [2.0**-6] * 2
    for path, g in found(point).items():
        np.testing.assert_allclose(g, slopes[path], rtol=1e-12)
    with pytest.raises(TypeError, match="closes over its parameters"):
        found({path: value.copy() for path, value in point.items()})
    found, point = numeric(monkeypatch, cost, slopes)
    found({path: value.copy() for path, value in point.items()})
    # a cost that no move changes is no closure
    found, point = numeric(monkeypatch, lambda p: 1.0, slopes)
    found({path: value.copy() for path, value in point.items()})
