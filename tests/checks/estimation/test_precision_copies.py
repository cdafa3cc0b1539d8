"""Calls in a wider dtype: what is moved, which results round, and what leaves a line."""

import math

import numpy as np
import pytest

from checks.estimation.precision import LINE, Copies, coarsest_dtype, off_the_line
from checks.evaluation.box import Box
from checks.parameters.nesting import Nesting
from tests.checks.estimation.planted import SIGNS, approx


@pytest.mark.parametrize("sign", SIGNS)
def test_what_leaves_the_line_from_the_first_point_to_the_last(sign):
    t = np.array(LINE)
    line = 3.0 + sign * 2 * t
    assert off_the_line(line) == approx(0, abs=1e-15)
    for k in range(1, 4):
        bent = line.copy()
        bent[k] += sign * 0.25
        assert off_the_line(bent) == approx(0.25)
    several = np.stack([line, line + t * (t - LINE[-1])], axis=1)
    assert off_the_line(several) == approx([0, max(t * (LINE[-1] - t))])


def copies_of(function, values, dtype=np.float64, bounds=None):
    nesting = Nesting(values)
    box = Box(values, bounds) if bounds else None
    return Copies(function, nesting, values, dtype, box)


@pytest.mark.parametrize(
    ("dtypes", "coarsest"),
    [("ef", "e"), ("fe", "e"), ("fd", "f"), ("df", "f"), ("d", "d")],
)
def test_the_coarsest_dtype(dtypes, coarsest):
    values = {str(k): np.ones(1, d) for k, d in enumerate(dtypes)}
    assert np.dtype(coarsest_dtype(values)) == np.dtype(coarsest)
    assert copies_of(lambda p: 0.0, values).narrow_eps == float(np.finfo(coarsest).eps)


@pytest.mark.parametrize("order", ["C", "F"])
def test_entries_of_any_memory_layout_are_moved(order):
    w = np.array([[1.0, -2.0, 0.5], [3.0, 4.0, -1.0]], np.float32, order=order)
    found, _ = copies_of(lambda p: np.sum(p["w"] ** 3), {"w": w}).slopes({"w": np.array([1, 4])})
    np.testing.assert_allclose(found["w"], [3 * 4, 3 * 16], rtol=1e-14)


@pytest.mark.parametrize("scale", [2.0**-70, 3.0, 2.0**70])
def test_a_slope_is_that_of_the_cost_along_a_direction(scale):
    values = {"w": scale * np.array([1.0, -2.0, 0.5], np.float32)}
    copies = copies_of(lambda p: np.sum(p["w"] ** 3), values)
    w = values["w"].astype(float)
    v = scale * np.array([1.0, 3.0, -2.0])
    for moves in ({}, {"w": scale * np.array([0.5, 0.0, 0.25])}):
        x = w + moves.get("w", 0)
        found, cost = copies.slope({"w": v}, moves)
        assert found == approx(float(np.sum(3 * x**2 * v)), rel=1e-14)
        assert cost == approx(float(np.sum(x**3)), rel=1e-14)
    assert copies.calls == 2
    (each,), (at,) = (of.values() for of in copies.slopes({"w": np.array([2, 0])}))
    np.testing.assert_allclose(each, 3 * w[[2, 0]] ** 2, rtol=1e-14)
    np.testing.assert_allclose(at, np.sum(w**3), rtol=1e-14)
    assert not copies.overflowed


@pytest.mark.parametrize("toward_zero", [False, True])
def test_an_analytic_cost_is_called_once_for_all_entries_or_directions(toward_zero):
    asked = []

    class Cubes:
        analytic = True

        def __call__(self, p):
            return np.sum(p["w"] ** 3)

        def complex_steps(self, p, steps):
            asked.append(p["w"].dtype)
            rest = self(p) - p["w"] ** 3
            return {"w": (p["w"] + 1j * steps["w"]) ** 3 + rest}

        def at_points(self, p):
            asked.append(p["w"].shape)
            return np.sum(p["w"] ** 3, axis=1)

    values, some = {"w": np.array([1.0, -2.0, 0.5, 0.1])}, np.array([3, 0, 1])
    wide = np.longdouble
    copies, alone = copies_of(Cubes(), values, wide), copies_of(Cubes().__call__, values, wide)
    for moves in ({}, {"w": np.array([0.5, 0.0, 0.25, -0.01])}):
        found, cost = copies.slopes({"w": some}, moves, toward_zero=toward_zero)
        expected, at = alone.slopes({"w": some}, moves, toward_zero=toward_zero)
        np.testing.assert_allclose(found["w"], expected["w"], rtol=16 * copies.eps)
        np.testing.assert_allclose(cost["w"], at["w"], rtol=16 * copies.eps)
    assert asked == [np.dtype(wide)] * 2
    assert copies.calls == alone.calls == 6
    directions = {"w": np.arange(-3.0, 5.0).reshape(2, 4)}
    for moves in ({}, {"w": np.array([[0.5, 0, 0, 0.01], [0, 0, 0.25, 0]])}):
        along = [list(of.slopes_along(directions, moves)) for of in (copies, alone)]
        np.testing.assert_allclose(*along, rtol=16 * copies.eps)
    assert asked[2:] == [(2, 4)] * 2
    assert copies.calls == alone.calls == 10


def test_an_analytic_cost_that_takes_one_point_is_called_for_each():
    def cost(p):
        return np.sum(p["w"] ** 3)

    cost.analytic = True
    w = np.array([1.0, -2.0, 0.5])
    copies = copies_of(cost, {"w": w})
    found, _ = copies.slopes({"w": np.arange(3)})
    np.testing.assert_allclose(found["w"], 3 * w**2)
    along = list(copies.slopes_along({"w": np.eye(3)}))
    np.testing.assert_allclose(along, 3 * w**2)
    assert copies.calls == 6


def test_the_complex_step_is_short_beside_the_smallest_array_that_moves():
    met = []

    def cost(p):
        met.append(float(np.abs(p["a"].imag).max()))
        return np.sum(p["a"]) + np.sum(p["b"])

    for size, step in ((2.0**-30, 2.0**-129), (1.0, 2.0**-99), (2.0**30, 2.0**-99)):
        copies = copies_of(cost, {"a": np.array([size]), "b": np.array([1.0])})
        copies.slope({"a": np.ones(1)})
        assert met[-1] == step


def test_what_is_no_number_of_the_wider_dtype_is_not_known():
    values = {"w": np.ones(2, np.float32)}
    for cost, said in (
        (lambda p: np.sum(p["w"].real), "cost(params) is"),
        (lambda p: np.complex64(np.sum(p["w"])), "cost(params) is"),
        (lambda p: p["nothing"], "KeyError"),
    ):
        copies = copies_of(cost, values)
        found, at = copies.slope({"w": np.ones(2)})
        assert np.isnan(found)
        assert np.isnan(at)
        assert copies.said.startswith(said)


@pytest.mark.parametrize(
    ("dtype", "rounds"), [("d", False), ("D", False), ("f", True), ("F", True), ("i", True)]
)
def test_a_result_in_a_narrower_dtype_rounds(dtype, rounds):
    copies = copies_of(lambda p: 0.0, {"w": np.ones(1, np.float32)})
    assert copies.rounds(np.ones(2, dtype)) == rounds


def test_last_places_are_those_of_each_entry_and_for_zeros_typical():
    copies = copies_of(lambda p: 0.0, {"w": np.array([1.0, -8.0, 0.0], np.float32)})
    typical = np.spacing(np.float32(math.sqrt(65 / 3)))
    assert copies.last_places("w").tolist() == [2.0**-23, 2.0**-20, typical]
    shrunken = np.array([-0.75, 7.0, 0.0])  # to 0.25 and −1
    assert copies.last_places("w", shrunken).tolist() == [2.0**-25, 2.0**-23, typical]


def test_moves_that_leave_the_bounds_are_refused_and_overflow_is_noted():
    values = {"w": np.array([1.0, 2.0])}
    bounds = ({"w": np.zeros(2)}, {"w": np.array([2.0, 3.0])})
    copies = copies_of(lambda p: np.sum(p["w"]), values, bounds=bounds)
    assert copies.result({"w": np.array([1.0, 1.0])}) == 5
    with pytest.raises(ValueError, match="leaves the bounds"):
        copies.result({"w": np.array([0.0, 1.5])})
    assert not copies.overflowed
    for cost in (lambda p: np.exp(p["w"] * 1e3).sum(), lambda p: (1 / (p["w"] - 1)).sum()):
        copies = copies_of(cost, values)
        copies.cost()
        assert copies.overflowed


@pytest.mark.parametrize("toward_zero", [False, True])
def test_complex_steps_of_all_arrays_are_taken_in_one_call_if_the_function_takes_many_points(
    toward_zero,
):
    calls = []

    def together(points):
        calls.append(points["a"].shape)
        return points["a"].sum(axis=-1) ** 3 * points["b"][..., 0]

    x = {"a": np.array([0.7, 0.1, 1.3]), "b": np.array([0.3, 2.0])}
    alone = Copies(lambda p: p["a"].sum() ** 3 * p["b"][0], Nesting(x), x, np.float64)

    class Cost:
        at_points = staticmethod(together)

    copies = Copies(Cost(), Nesting(x), x, np.float64)
    entries = {"b": np.array([1, 0]), "a": np.array([0, 2])}
    moves = {"b": np.array([0.125, 0.0])}
    found = copies.slopes(entries, moves, toward_zero=toward_zero)
    wanted = alone.slopes(entries, moves, toward_zero=toward_zero)
    for one, other in zip(found, wanted, strict=True):
        assert [*one] == [*other] == ["b", "a"]
        for path in x:
            np.testing.assert_allclose(one[path], other[path], rtol=1e-15)
    assert calls == [(4, 3)]
    assert copies.calls == alone.calls == 4


@pytest.mark.parametrize("fails", [False, True])
def test_points_are_taken_one_by_one_where_a_call_for_many_fails(fails):
    class Cost:
        def __call__(self, x):
            return np.sum(x, axis=-1) ** 2

        def at_points(self, x):
            if fails:
                raise ValueError("not all of them")
            return self(x)

    x = np.array([0.7, 0.1, 1.3])
    copies = Copies(Cost(), Nesting(x), {"params": x}, np.float64)
    found, _ = copies.slopes({"params": np.arange(3)})
    np.testing.assert_allclose(found["params"], 2 * x.sum())
    assert copies.calls == 3
    moves = np.array([[0.5, 0, 0], [0, 0.0625, 0.25]])
    along = list(copies.slopes_along({"params": np.eye(3)[:2]}, {"params": moves}))
    np.testing.assert_allclose(along, 2 * (x + moves).sum(axis=1))
    assert copies.calls == 5


def test_moves_along_directions_are_made_in_parts_of_bounded_memory(monkeypatch):
    monkeypatch.setattr("checks.estimation.precision.MAX_STACKED", 7)  # two points of three entries
    sizes = []

    class Cost:
        def __call__(self, x):
            return np.sum(x, axis=-1) ** 2

        def at_points(self, x):
            sizes.append(len(x))
            return self(x)

    x = np.array([0.7, 0.1, 1.3])
    copies = Copies(Cost(), Nesting(x), {"params": x}, np.float64)
    along = list(copies.slopes_along({"params": np.eye(3)}))
    np.testing.assert_allclose(along, 2 * x.sum())
    assert sizes == [2, 1]


def test_a_cost_that_refuses_the_wider_dtype_is_not_asked_again():
    calls = 0

    def refusing(x):
        nonlocal calls
        calls += 1
        if x.dtype.itemsize > 8:
            raise TypeError("no long doubles")
        return x.sum()

    x = np.array([0.7, 0.1, 1.3])
    copies = Copies(refusing, Nesting(x), {"params": x}, np.longdouble)
    assert np.isnan(copies.cost())
    assert copies.always_refused
    assert all(np.isnan(of["params"]).all() for of in copies.slopes({"params": np.arange(3)}))
    assert calls == 2  # the second time with arrays that narrow where they are refused
