"""What calls in a wider dtype show of a cost whose rounding is planted."""

import math

import numpy as np
import pytest

from checks.estimation import cost_rounding as costs
from checks.estimation.precision import Copies, Lift
from checks.evaluation.pointwise import Evaluations
from tests.checks.estimation.planted import INF, NAN, NARROW, SIGNS, WIDE, approx, rng


class Line:
    """Copies of a cost that is a function of the multiple t of the moves along the line."""

    eps, narrow_eps, refused, always_refused = WIDE, NARROW, False, False

    def __init__(self, cost, far=()):
        self.values, self.function, self.far, self.calls = {"w": np.ones(1)}, cost, far, 0
        self.box = self

    def last_places(self, path):
        return np.ones(1)

    def reflected(self, path, move, reach):
        assert reach == approx(37 * 2.25)
        assert 0.75 <= np.abs(move) <= 1.5
        self.move = move
        return move

    def rounds(self, result):
        return bool(getattr(result, "narrow", False))

    def cost(self, moves):
        self.calls += 1
        if "far" in moves:
            return np.float64(moves["far"])
        return np.float64(self.function(float((moves["w"] / self.move).item())))


def cost_rounding_of(function, narrow=None, moved=()):
    copies = Line(function)
    at = function(0.0)
    # moved: (narrow, wide) costs far from the point
    far = [({"far": wide}, narrow) for narrow, wide in moved]
    found = costs.cost_rounding(np.float64(at if narrow is None else narrow), copies, rng(), far)
    return found, copies.calls


@pytest.mark.parametrize("sign", SIGNS)
def test_the_rounding_of_a_cost_is_its_largest_change(sign):
    cost = lambda t: sign * (4 + NARROW * t)  # noqa: E731
    for narrow, moved, change, largest in (
        (sign * (4 + 1e-6), [], 1e-6, 4 + 1e-6),
        (sign * (4 - 1e-6), [], 1e-6, 4 - 1e-6),
        (sign * (4 - 1e-6), [(sign * 8.0, sign * (8 + 3e-6))], 3e-6, 8.0),
        (sign * (4 - 3e-6), [(sign * 2.0, sign * (2 + 1e-6))], 3e-6, 4 - 3e-6),
    ):
        found, calls = cost_rounding_of(cost, narrow, moved)
        assert found.value == sign * 4
        assert found.change == approx(change)
        assert found.level == approx(change)
        assert found.relative == approx(change / largest)
        assert found.lift is Lift.LIFTS
        assert found.has_digits
        assert calls == 6 + len(moved)
    # at least that of a last place
    found, _ = cost_rounding_of(cost)
    assert found.change == 0
    assert found.level == approx(4 * NARROW / math.sqrt(12))
    nothing, _ = cost_rounding_of(lambda t: 0.0)
    assert (nothing.level, nothing.relative) == (0, 0)


@pytest.mark.parametrize("sign", SIGNS)
def test_a_cost_without_digits_is_told(sign):
    # rounding takes more than a 64th, and the cost changes by a quarter of that
    for wide, other, has_digits in (
        (4 * 1.015, 5.0, True),
        (4 * 1.017, 5.0, False),
        (4 * 0.983, 5.0, False),
        (4.0 - 0.1, 3.9 + 0.024, True),
        (4.0 - 0.1, 3.9 + 0.026, False),
    ):
        cost = lambda t, wide=wide: sign * (wide + NARROW * t)  # noqa: E731
        found, _ = cost_rounding_of(cost, sign * 4.0, [(sign * other, sign * other)])
        assert found.has_digits == (has_digits or abs(wide - 4) <= max(4, other) / 64)


def test_a_stage_that_casts_is_seen_by_a_small_move():
    # moves of an eighth of a last place change nothing, or make it jump
    for cost in (
        lambda t: 4 + NARROW * np.round(t),
        lambda t: 4 + NARROW * np.round(t + 0.45),
    ):
        assert cost_rounding_of(cost)[0].lift is Lift.NARROW
    for off, lift in ((0.24, Lift.LIFTS), (0.26, Lift.NARROW)):
        for sign in SIGNS:
            cost = lambda t, c=sign * off: 4 + NARROW * t * (1 + c * (t == 1 / 12))  # noqa: E731
            assert cost_rounding_of(cost, 4 + 4 * NARROW)[0].lift is lift


def test_beside_a_large_offset_small_moves_are_hidden():
    for slope, lift in ((1e-13, Lift.HIDDEN), (0.0, Lift.HIDDEN), (1e-6, Lift.LIFTS)):
        found, _ = cost_rounding_of(lambda t, slope=slope: 4 + slope * t)
        assert found.lift is lift
    # 16 last places, by a move of 1/12
    for factor, lift in ((15.5, Lift.HIDDEN), (16.6, Lift.LIFTS)):
        cost = lambda t, factor=factor: 4 + 12 * factor * 4 * WIDE * t  # noqa: E731
        assert cost_rounding_of(cost)[0].lift is lift


def is_third(t):
    """Whether t is the third point of one of the lines."""
    return np.isclose(t * 8.0 ** np.arange(3), 37).any()


def test_curvature_is_told_from_noise_by_shorter_lines():
    # the line is 37 · 2.25 long; curvature falls by 64 with each that is an eighth as long
    found, calls = cost_rounding_of(lambda t: 4 + 1e-6 * t + 1e-8 * t**2)
    assert (found.lift, calls) == (Lift.LIFTS, 2 + 3 * 4)
    noisy = iter(rng(1).standard_normal(100))
    # noise of a few last places; where it is much more, still shorter lines are looked at
    found, calls = cost_rounding_of(lambda t: 4 + 1e-6 * t + 1e-6 * next(noisy) * (t != 0))
    assert (found.lift, calls) == (Lift.NARROW, 2 + 2 * 4)
    assert 1e-6 < found.wide_level < 2e-5
    # noise of less than an eighth of what rounding changes the narrow cost is none
    for factor, lift in ((1.01, Lift.LIFTS), (0.99, Lift.NARROW)):
        bent = lambda t: 4 + 1e-2 * t + 1e-4 * is_third(t)  # noqa: E731
        assert cost_rounding_of(bent, 4 + factor * 8e-4)[0].lift is lift


def test_the_noise_of_the_wide_cost_is_at_least_that_of_its_last_places():
    assert cost_rounding_of(lambda t: 4.0)[0].wide_level == 2 * WIDE * 4
    for sign in SIGNS:
        found, _ = cost_rounding_of(lambda t: 4 + 1e-3 * t, 4 + sign * 1e-4)
        assert found.wide_level == approx(4 * 1e-4 * WIDE / NARROW)
    bent = lambda t: 4 + 1e-2 * t + 1e-6 * is_third(t)  # noqa: E731
    assert cost_rounding_of(bent, 4 + 1e-3)[0].wide_level == approx(2e-6, rel=1e-3)


@pytest.mark.parametrize("sign", SIGNS)
def test_another_function_in_the_wide_dtype_is_not_measured(sign):
    # a change far from the point of 1,024 times that at it, or of its last place
    cost = lambda t: 4 + NARROW * t  # noqa: E731
    for change, far, known in (
        (1e-5, 1000e-5, True),
        (1e-5, 1030e-5, False),
        (0.0, 1000 * 8 * NARROW, True),
        (0.0, 1030 * 8 * NARROW, False),
    ):
        moved = [(8.0, 8.0 - sign * far)]
        found, _ = cost_rounding_of(cost, 4 + sign * change, moved)
        assert math.isnan(found.level) != known
        if not known:
            assert found.lift is Lift.NARROW
    with np.errstate(invalid="ignore"):
        for bad in (NAN, INF):
            cost = lambda t, bad=bad: bad if t > 30 else 4.0  # noqa: E731
            assert math.isnan(cost_rounding_of(cost)[0].level)


def test_points_far_away_are_moved_by_parts_of_each_entry(monkeypatch):
    seen = {}

    def rounding(narrow, copies, rng, moved):
        seen.update(moved=moved, copies=copies)
        return "found"

    monkeypatch.setattr(costs, "cost_rounding", rounding)
    x = np.array([1.0, -4.0, 100.0], np.float32)
    evaluations = Evaluations(lambda x: float(np.sum(x.astype(float) ** 2)), x)
    assert costs.measure_cost_rounding(evaluations, rng()) == "found"
    assert seen["copies"].dtype == np.float64
    for (moves, cost), part in zip(seen["moved"], (2.0**-6, 2.0**-8), strict=True):
        relative = np.abs(moves["params"]) / np.abs(x)
        assert np.all((relative > 0.7 * part) & (relative < 1.55 * part))
        moved = (x + moves["params"]).astype(np.float32)
        assert np.array_equal(moved.astype(float) - x, moves["params"])
        assert cost == float(np.sum(moved.astype(float) ** 2))


@pytest.mark.parametrize("sign", SIGNS)
def test_the_rounding_is_estimated_by_rounding_toward_zero(monkeypatch, sign):
    monkeypatch.setattr(costs, "toward_zero_is_available", lambda: True)
    planted = {}
    monkeypatch.setattr(
        Copies, "cost", lambda self, moves=None, toward_zero=False: planted[toward_zero]
    )
    evaluations = Evaluations(lambda x: sign * 4.0, np.ones(2))
    for truncated, change in ((sign * 3.75, 0.25), (sign * 4.5, 0.5), (NAN, 4.0), (INF, 4.0)):
        planted[True] = np.float64(truncated)
        assert costs.estimate_cost_rounding(evaluations) == change
    monkeypatch.setattr(costs, "toward_zero_is_available", lambda: False)
    assert costs.estimate_cost_rounding(evaluations) == 0
