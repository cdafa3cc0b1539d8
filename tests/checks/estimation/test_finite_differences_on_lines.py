"""Differences beside bounds and along directions: which stencil, which steps, which sides."""

from functools import partial

import numpy as np
import pytest

from checks.estimation import finite_differences
from checks.estimation.finite_differences import (
    WITHIN,
    Estimate,
    Line,
    _from_both_sides,
    differences,
    directional_difference,
    directional_slopes,
    draw_direction,
    fitted_line,
    has_room,
    straight_line,
)
from checks.estimation.noise import Noise
from checks.estimation.stencils import Trial, central, one_sided
from checks.estimation.step_selection import first_step
from checks.evaluation.pointwise import Evaluations

NAN, INF = np.nan, np.inf
SIGNS = [1, -1]
QUIET = Noise(0.0, 1e-16, False, False)


def rng(seed=0):
    return np.random.default_rng(seed)


def one(x):
    return np.array([float(x)])


def test_the_slope_jump_is_half_of_what_the_slopes_differ_by():
    slopes = np.array([[1.0, 4.0], [4.0, 1.0], [NAN, NAN], [-2.0, 2.0]])
    assert Estimate(np.ones(4), np.ones(4), slopes).slope_jump.tolist() == [1.5, 1.5, 0, 2]
    assert Estimate(np.ones(4), np.ones(4)).slope_jump.tolist() == [0] * 4


def test_which_values_are_by_complex_steps():
    known = np.ones(3), np.ones(3)
    assert Estimate(*known, method="complex-step").by_complex_steps.tolist() == [True] * 3
    assert Estimate(*known).by_complex_steps.tolist() == [False] * 3
    mixed = Estimate(*known, method="mixed", by_differences=np.array([0, 2]))
    assert mixed.by_complex_steps.tolist() == [False, True, False]
    assert mixed.proof == 0


@pytest.mark.parametrize("sign", SIGNS)
@pytest.mark.parametrize(
    ("left", "right", "value", "error", "kink"),
    [
        ((1.0, 0.1), (3.0, 0.2), 2.0, 1.2, True),
        ((3.0, 0.2), (1.0, 0.1), 2.0, 1.2, True),
        ((1.0, 0.1), (1.3, 0.2), 1.15, 0.35, False),  # they agree to within the larger error
        ((1.0, 0.1), (1.5, 0.2), 1.25, 0.45, True),
        ((1.0, 0.1), (NAN, INF), 1.0, 0.1, False),  # the cost is defined on one side
        ((NAN, INF), (3.0, 0.2), 3.0, 0.2, False),
        ((1.0, 0.1), (3.0, INF), 7.0, INF, False),  # one side does not converge
        ((1.0, INF), (3.0, 0.2), 7.0, INF, False),
        ((NAN, INF), (NAN, INF), 7.0, INF, False),
    ],
)
def test_slopes_on_both_sides_are_joined(sign, left, right, value, error, kink):
    found = _from_both_sides(
        (one(sign * left[0]), one(left[1])), (one(sign * right[0]), one(right[1])), one(sign * 7)
    )
    assert found[0].item() == pytest.approx(sign * value)
    assert found[1].item() == pytest.approx(error)
    expected = [sign * left[0], sign * right[0]] if kink else [NAN, NAN]
    np.testing.assert_array_equal(found[2], [expected])


def test_directions_are_uneven_by_a_factor_of_at_most_two():
    drawn = draw_direction((400, 50), rng())
    assert drawn.shape == (400, 50)
    assert 0.75 <= np.abs(drawn).min() < 0.751
    assert 1.499 < np.abs(drawn).max() <= 1.5
    assert abs(np.mean(drawn > 0) - 0.5) < 0.02
    assert abs(np.mean(np.abs(drawn)) - 1.125) < 0.01


# Entries, one by one.


class Selection:
    """Replaces `best_slopes`: the slopes by stencil as planted, by entry."""

    def __init__(self, monkeypatch, middle, left=None, right=None):
        self.planted, self.asked = {0: middle, -1: left, 1: right}, []
        monkeypatch.setattr(finite_differences, "best_slopes", self)

    def __call__(self, at, stencil, rng, goal, start=1.0, sides=(-1, 1)):
        side = 0 if stencil is central else stencil.keywords["side"]
        assert sides == ((-1, 1) if stencil is central else (side,))
        self.asked.append((side, at.x.tolist(), at.longest.tolist(), start))
        value, error, stairs, *kinks = self.planted[side]
        chosen = [int(x) - 1 for x in at.x]
        beside_kink = kinks[0] if kinks else np.zeros(len(value))
        return tuple(
            np.array(part, d)[chosen]
            for part, d in ((value, float), (error, float), (stairs, bool), (beside_kink, bool))
        )


def estimated(n, bounds=None, goal=1e-3, entries=None, **options):
    """Estimate entries 1, 2, 3, … of an array."""
    evaluations = Evaluations(lambda x: 0.0, np.arange(1.0, n + 1), bounds=bounds)
    entries = np.arange(n) if entries is None else np.array(entries)
    return differences(evaluations, "params", entries, QUIET, rng(), goal, **options)


@pytest.mark.parametrize("sign", SIGNS)
def test_entries_that_fail_are_estimated_on_both_sides(monkeypatch, sign):
    s = sign
    planted = Selection(
        monkeypatch,
        ([s * 5.0, s * 7.0, s * 9.0, s * 5.0], [1e-9, INF, INF, INF], [True, False, False, False]),
        ([0, s * 1.0, s * 2.0, NAN], [0, 0.1, 0.1, INF], [False, True, False, False]),
        ([0, s * 3.0, s * 2.0, NAN], [0, 0.1, 0.1, INF], [False, False, True, False]),
    )
    found = estimated(4, start=0.5)
    np.testing.assert_allclose(found.value, [s * 5, s * 2, s * 2, s * 5])
    np.testing.assert_allclose(found.error, [1e-9, 1.1, 0.1, INF])
    np.testing.assert_array_equal(
        found.slopes, [[NAN] * 2, [s * 1.0, s * 3.0], [NAN] * 2, [NAN] * 2]
    )
    assert found.on_stairs.tolist() == [True, True, True, False]
    assert [(side, x, start) for side, x, _, start in planted.asked] == [
        (0, [1, 2, 3, 4], 0.5),
        (-1, [2, 3, 4], 0.5),
        (1, [2, 3, 4], 0.5),
    ]


def test_the_finest_step_is_of_16_last_places_and_of_zeros_by_the_size_of_the_array(monkeypatch):
    asked, x = [], np.array([0.0, 1.0, -4.0])

    def best_slopes(at, *args, **options):
        asked.append(at.finest.tolist())
        return np.zeros(3), np.zeros(3), *np.zeros((2, 3), bool)

    monkeypatch.setattr(finite_differences, "best_slopes", best_slopes)
    differences(Evaluations(lambda x: 0.0, x.copy()), "params", np.arange(3), QUIET, rng(), 1e-3)
    of_zero = np.spacing(2.0**-10 * np.sqrt(17 / 3))
    assert asked == [(16 * np.array([of_zero, 2.0**-52, 2.0**-50])).tolist()]


@pytest.mark.parametrize("sign", SIGNS)
def test_beside_a_kink_one_side_is_taken_where_it_agrees_and_is_sharper(monkeypatch, sign):
    s, none = sign, [False] * 5
    planted = Selection(
        monkeypatch,
        # the fourth is sharp enough, and the fifth is blurred for another reason
        ([s * 1.0] * 5, [0.1, 0.1, 0.1, 1e-9, 0.1], none, [True, True, True, True, False]),
        ([s * 1.05, s * 1.05, s * 1.5] + [NAN] * 2, [0.01, 0.2, 0.01, INF, INF], none),
        ([s * 1.05, s * 1.05, s * 1.05] + [NAN] * 2, [0.2, 0.01, 0.2, INF, INF], none),
    )
    found = estimated(5)
    np.testing.assert_allclose(found.value, [s * 1.05, s * 1.05, s, s, s])
    np.testing.assert_allclose(found.error, [0.01, 0.01, 0.1, 1e-9, 0.1])
    assert [(side, x) for side, x, *_ in planted.asked][1:] == [(-1, [1, 2, 3]), (1, [1, 2, 3])]


def test_steps_reach_a_third_of_the_room_or_a_quarter_on_one_side(monkeypatch):
    failing = ([0.0] * 2, [INF] * 2, [False] * 2)
    planted = Selection(monkeypatch, failing, failing, failing)
    estimated(2, bounds=([0.5, 1.0], [1.75, 4.0]))
    # rooms: 0.5 below and 0.75 above 1; 1 below and 2 above 2
    by_side = {side: longest for side, _, longest, _ in planted.asked}
    assert by_side[0] == pytest.approx([WITHIN * 0.5 / 3, WITHIN * 1 / 3])
    assert by_side[-1] == pytest.approx([WITHIN * 0.5 / 4, WITHIN * 1 / 4])
    assert by_side[1] == pytest.approx([WITHIN * 0.75 / 4, WITHIN * 2 / 4])
    assert WITHIN == 63 / 64


def test_an_entry_without_room_is_not_known(monkeypatch):
    ok = ([5.0] * 3, [1e-9] * 3, [True] * 3)
    planted = Selection(monkeypatch, ok, ok, ok)
    found = estimated(3, bounds=([1.0, -9, 3.0], [1.0, 9, 3.5]))
    # the first cannot move, the last only up
    np.testing.assert_array_equal(found.value, [NAN, 5, 5])
    np.testing.assert_array_equal(found.error, [INF, 1e-9, 1e-9])
    assert found.on_stairs.tolist() == [False, True, True]
    assert [(side, x) for side, x, _, _ in planted.asked] == [(0, [2]), (1, [3])]


@pytest.mark.parametrize("sign", SIGNS)
@pytest.mark.parametrize("side", SIGNS)
def test_beside_a_bound_the_roomier_side_is_taken_if_its_interval_lies_within(
    monkeypatch, sign, side
):
    for error, value, taken in (
        (0.05, 2.0, True),
        (0.05, 2.04, True),
        (0.05, 1.96, True),
        (0.05, 2.06, False),  # it overlaps
        (0.05, 1.94, False),
        (0.05, 2.16, False),  # it disagrees
        (0.05, 1.84, False),
        (0.1, 2.0, False),  # no better
    ):
        planted = Selection(
            monkeypatch,
            ([sign * 2.0, sign * 2.0], [0.1, 0.1], [False, True]),
            ([sign * value] * 2, [error] * 2, [True, False]),
            ([sign * value] * 2, [error] * 2, [True, False]),
        )
        room = np.array([2.0**-12, 1.0])  # on the narrow side; 1 on the other
        x = np.array([1.0, 2.0])
        bounds = (x - room, x + 1) if side == 1 else (x - 1, x + room)
        found = estimated(2, bounds=bounds)
        assert found.value.tolist() == [sign * (value if taken else 2.0), sign * 2.0]
        assert found.error.tolist() == [error if taken else 0.1, 0.1]
        assert found.on_stairs.tolist() == [taken, True]
        assert (side, [1.0]) in [(s, x) for s, x, _, _ in planted.asked]
    # an entry that is accurate enough, 0.1 · 2, needs none
    planted.asked.clear()
    estimated(2, bounds=bounds, goal=0.051)
    assert [s for s, x, _, _ in planted.asked if x == [1.0]] == []


def test_entries_of_an_array_are_told_apart():
    cost = lambda x: np.sum(np.arange(1.0, 7) * x**2)  # noqa: E731
    evaluations = Evaluations(cost, np.arange(1.0, 7))
    found = differences(evaluations, "params", np.array([4, 1]), QUIET, rng(), 1e-6)
    np.testing.assert_allclose(found.value, [2 * 5 * 5, 2 * 2 * 2], rtol=1e-6)
    assert np.isnan(found.slopes).all()


def test_an_entry_has_room_if_it_can_move_by_64_last_places_to_some_side():
    places = np.array([65, 66, 65, 66])  # four steps of 16, in 63/64 of the room
    x = np.ones(4)
    lower = x - np.where([1, 1, 0, 0], places * 2.0**-52, 0)
    upper = x + np.where([0, 0, 1, 1], places * 2.0**-52, 0)
    evaluations = Evaluations(lambda x: 0.0, x, bounds=(lower, upper))
    assert has_room(evaluations, "params").tolist() == [False, True, False, True]
    zero = Evaluations(lambda x: 0.0, np.array([0.0, 8.0]), bounds=(0.0, np.array([1e-20, 9.0])))
    # of a zero, last places are those of the typical size
    assert has_room(zero, "params").tolist() == [False, True]


# Lines.


def evaluations_of(cost=lambda x: 0.0, n=4, bounds=None, x=None):
    return Evaluations(cost, np.ones(n) if x is None else np.asarray(x, float), bounds=bounds)


@pytest.mark.parametrize("sign", SIGNS)
def test_steps_along_a_line_are_shorter_by_the_root_of_the_number_of_entries(sign):
    direction = {"params": sign * np.array([1.0, 0.5, -1.0, 0.75])}
    for line in (
        fitted_line(evaluations_of(), direction, QUIET, {}),
        straight_line(evaluations_of(), direction, {}),
    ):
        assert np.array_equal(line.directions["params"], direction["params"])
        assert line.stencil is central
        assert line.scale == 0.5
        assert line.longest == pytest.approx(0.05)


def test_entries_with_little_room_move_less():
    room = 0.02  # more than a 64th of the room on the other side
    upper = np.array([INF, 1 + room, INF, INF])
    evaluations = evaluations_of(bounds=(None, upper))
    direction = {"params": np.array([1.0, -2.0, 1.0, 1.0])}
    line = fitted_line(evaluations, direction, QUIET, {})
    # so that three steps, twice the first, fit
    size = WITHIN * room / (2 * 3 * 0.5 * first_step(1e-16))
    assert 0 < size < 2
    np.testing.assert_allclose(line.directions["params"], [1, -size, 1, 1])
    assert line.stencil is central
    assert line.longest == pytest.approx(0.5 * 2 * first_step(1e-16))
    straight = straight_line(evaluations, direction, {})
    assert np.array_equal(straight.directions["params"], direction["params"])
    assert straight.longest == pytest.approx(WITHIN * room / 2 / 3)
    # an entry that does not move needs no room
    direction["params"][1] = 0
    assert straight_line(evaluations, direction, {}).longest == pytest.approx(0.05)


@pytest.mark.parametrize("side", SIGNS)
def test_on_a_bound_the_line_points_inside(side):
    bounds = (np.array([1.0, -INF, -INF, -INF]), None)
    bounds = bounds if side == 1 else (None, np.array([1.0, INF, INF, INF]))
    evaluations = evaluations_of(bounds=bounds)
    for sign in SIGNS:
        line = fitted_line(evaluations, {"params": sign * np.ones(4)}, QUIET, {})
        assert line.directions["params"].tolist() == [side, sign, sign, sign]
        assert isinstance(line.stencil, partial)
        assert line.stencil.func is one_sided
        assert line.stencil.keywords == {"side": 1}


@pytest.mark.parametrize("size", [8.0, 2.0**-10])
def test_an_entry_with_64_times_as_much_room_on_the_other_side_is_on_a_bound(size):
    point = np.full(2, size)
    evaluations = Evaluations(
        lambda p: 0.0, point, bounds=(point * [1 - 2.0**-7, 1 - 2.0**-5], None)
    )
    line = fitted_line(evaluations, {"params": -size * np.ones(2)}, QUIET, {})
    assert np.sign(line.directions["params"]).tolist() == [1, -1]


@pytest.mark.parametrize("fixed", ["a", "b"])
def test_one_array_on_a_bound_makes_the_line_one_sided(fixed):
    point = {"a": np.ones(2), "b": np.ones((1, 3))}
    lower = {path: 1.0 if path == fixed else None for path in point}
    evaluations = Evaluations(lambda p: 0.0, point, bounds=(lower, None))
    directions = {path: -np.ones(x.shape) for path, x in point.items()}
    line = fitted_line(evaluations, directions, QUIET, {})
    assert line.stencil is not central
    for path, direction in line.directions.items():
        assert (direction == (1 if path == fixed else -1)).all()
    assert line.scale == pytest.approx(5**-0.5)


def test_on_a_bound_four_steps_have_to_fit():
    evaluations = evaluations_of(n=1, bounds=(1.0, 1.01))
    line = fitted_line(evaluations, {"params": np.array([-2.0])}, QUIET, {})
    size = WITHIN * 0.01 / (2 * 4 * first_step(1e-16))
    assert line.directions["params"] == pytest.approx(size)
    assert line.longest == pytest.approx(2 * first_step(1e-16))


@pytest.mark.parametrize("side", SIGNS)
def test_a_line_may_begin_beside_the_point(side):
    evaluations = evaluations_of(bounds=(0.0, 2.0))
    base = {"params": side * np.array([0.0, 0.75, 0.0, 0.0])}
    direction = {"params": np.full(4, 4.0)}
    # a quarter of room is left on one side
    line = fitted_line(evaluations, direction, QUIET, base)
    size = WITHIN * 0.25 / (2 * 3 * 0.5 * first_step(1e-16))
    np.testing.assert_allclose(line.directions["params"], [4, min(4, size), 4, 4])
    straight = straight_line(evaluations, direction, base)
    assert straight.longest == pytest.approx(WITHIN * 0.25 / 4 / 3)


class Trials:
    """A stencil that returns planted errors and step ratios."""

    def __init__(self, planted):
        self.planted, self.steps = planted, []

    def __call__(self, costs, x, h, scale, f0, noise):
        self.steps.append(float(h.item()))
        self.scale, self.f0 = scale.item(), f0
        error, ratio = self.planted[len(self.steps) - 1]
        zero = np.zeros(1)
        return Trial(one(len(self.steps)), one(error), one(ratio), *[zero] * 5)


def along(planted, longest=1.0, noise=QUIET, cost=lambda x: float(np.sum(x)), base=None):
    trials = Trials(planted)
    line = Line({"params": np.ones(4)}, trials, 0.5, longest)
    found = directional_difference(evaluations_of(cost), line, noise, base or {})
    return found, trials


def test_the_best_of_five_steps_is_taken():
    found, trials = along([(0.5, 0.5), (0.2, 0.5), (0.3, 0.5), (0.1, 0.5), (0.4, 0.5)])
    assert found == (4, 0.1)
    first = 0.5 * first_step(1e-16)
    assert trials.steps == pytest.approx([first / 2**k for k in range(5)])
    assert (trials.scale, trials.f0) == (0.5, 4.0)
    found, _ = along([(INF, 1 / 8)] * 5)
    assert np.isnan(found[0])
    assert found[1] == INF


@pytest.mark.parametrize(
    ("ratio", "steps"), [(0.69, 5), (0.7, 5), (0.71, 1), (1.99, 1), (2.0, 5), (2.01, 5)]
)
def test_a_step_that_is_good_enough_ends_it(ratio, steps):
    _, trials = along([(0.5, ratio)] * 5)
    assert len(trials.steps) == steps


def test_steps_are_no_longer_than_the_line_and_no_shorter_than_last_places():
    _, trials = along([(0.5, 4.0)] * 5, longest=0.003)
    assert trials.steps[1:] == [0.003] * 4
    _, trials = along([(0.5, 1e-6)] * 5)
    assert min(trials.steps) == pytest.approx(16 * 2.0**-52)
    _, trials = along([(0.5, 1.0)], noise=Noise(1e-7, 1e-7, False, False))
    assert trials.steps == pytest.approx([0.5 * 0.1])


@pytest.mark.parametrize("sign", SIGNS)
def test_the_derivative_along_a_line_at_the_point_and_beside_it(sign):
    evaluations = evaluations_of(lambda x: float(np.sum(x**3)), 3)
    direction = {"params": sign * np.array([1.0, 2.0, -0.5])}
    for base in ({}, {"params": np.array([0.5, 0.0, -0.25])}):
        line = straight_line(evaluations, direction, base)
        value, error = directional_difference(evaluations, line, QUIET, base)
        x = 1 + base.get("params", np.zeros(3))
        exact = float(np.sum(3 * x**2 * direction["params"]))
        assert abs(value - exact) <= error <= 1e-8


# Several directions.


@pytest.mark.parametrize("sign", SIGNS)
def test_slopes_along_several_directions_and_on_both_sides(sign):
    x = {"a": np.array([1.0, 2.0]), "b": np.array([[0.5]])}

    def cost(p):
        return float(sign * abs(p["a"][0] - 1) + p["a"][1] ** 2 + 3 * p["b"][0, 0])

    directions = {
        "a": np.array([[1.0, 0.0], [0.0, 1.0], [-1.0, 1.0]]),
        "b": np.array([[[1.0]], [[-1.0]], [[1.0]]]),
    }
    found = directional_slopes(Evaluations(cost, x), directions, QUIET, rng(), 1e-6)
    np.testing.assert_allclose(found.value, [3, 4 - 3, 4 + 3], atol=1e-6)
    np.testing.assert_allclose(found.slopes[0], [3 - sign, 3 + sign], atol=1e-6)
    assert np.isnan(found.slopes[1]).all()
    np.testing.assert_allclose(found.slopes[2], [7 - sign, 7 + sign], atol=1e-6)
    np.testing.assert_allclose(found.error, [1, 0, 1], atol=1e-6)
    assert not found.on_stairs.any()


def test_stairs_on_either_side_of_a_direction_are_told(monkeypatch):
    ok = ([1.0] * 2, [1e-9] * 2)

    def best(at, stencil, rng, goal, start=1.0, sides=(-1, 1)):
        assert sides == (stencil.keywords["side"],)
        assert at.longest == pytest.approx([WITHIN * 0.5 / 2 / 4, WITHIN * 0.5 / 1 / 4])
        assert at.finest == pytest.approx([16 * 2.0**-52 / 2, 16 * 2.0**-52])
        stairs = [sides == (-1,), sides == (1,)]
        return np.array(ok[0]), np.array(ok[1]), np.array(stairs), np.zeros(2, bool)

    monkeypatch.setattr(finite_differences, "best_slopes", best)
    evaluations = evaluations_of(n=3, bounds=(0.5, 1.5))
    directions = {"params": np.array([[0.0, 2.0, -0.5], [1.0, 0.0, -1.0]])}
    found = directional_slopes(evaluations, directions, QUIET, rng(), 1e-6)
    assert found.on_stairs.tolist() == [True, True]


def test_nothing_is_known_where_one_direction_has_no_room():
    directions = {"params": np.array([[1.0, 0.0], [0.0, 1.0]])}
    for places, known in ((66, True), (65, False)):
        room = places * 2.0**-52
        evaluations = evaluations_of(
            lambda x: float(x[0]), 2, bounds=(None, np.array([INF, 1 + room]))
        )
        with np.errstate(all="ignore"):
            found = directional_slopes(evaluations, directions, QUIET, rng(), 1e-6)
        assert (found.slopes.size > 0) == known
        if not known:
            assert np.isnan(found.value).all()
            assert found.error.tolist() == [INF, INF]


# Costs that share evaluations.


def test_steps_of_costs_that_share_evaluations_are_powers_of_eight():
    for step, power in ((8.0, 8), (7.9, 1), (1.0, 1), (0.99, 1 / 8), (1 / 8, 1 / 8), (2e-3, 8**-3)):
        assert finite_differences._power(step) == power
    evaluations = evaluations_of()
    evaluations.shared = True
    trials = Trials([(0.5, 0.3), (0.4, 0.125), (0.3, 8.5), (0.2, 2.5), (0.1, 0.3)])
    line = Line({"params": np.ones(4)}, trials, 0.5, 1.0)
    assert directional_difference(evaluations, line, QUIET, {}) == (4, 0.2)
    # the first is 8^-3 · ½; a ratio between 1 and 8 is good enough
    assert trials.steps == [0.5 * 8.0**-k for k in (3, 4, 5, 4)]


@pytest.mark.parametrize(("start", "grid"), [(1.0, 3), (0.5, 1)])
def test_their_grid_is_coarse_at_first_and_fine_for_a_second_estimate(monkeypatch, start, grid):
    grids = []

    def best(at, stencil, rng, goal, start=1.0, sides=(-1, 1)):
        grids.append(at.grid)
        none = np.zeros(at.x.size, bool)
        return np.ones(at.x.size), np.zeros(at.x.size), none, none

    monkeypatch.setattr(finite_differences, "best_slopes", best)
    evaluations = evaluations_of(n=2)
    for shared in (True, False):
        evaluations.shared = shared
        differences(evaluations, "params", np.arange(2), QUIET, rng(), 1e-3, start)
    assert grids == [grid, 0]


@pytest.mark.parametrize("size", [2.0**-30, 2.0**30])
@pytest.mark.parametrize(("places", "room"), [(60, False), (70, True)])
def test_the_room_of_a_zero_is_measured_by_the_size_of_its_array(size, places, room):
    # a zero counts as 2^-10 of the root mean square; 64 last places of that
    distance = places * np.spacing(size * 2.0**-10 / np.sqrt(2))
    params = np.array([0.0, size])
    bounds = np.array([-distance, -np.inf]), np.array([distance, np.inf])
    bounded = Evaluations(np.sum, params, bounds=bounds)
    found = has_room(bounded, "params")
    assert found.tolist() == [room, True]
