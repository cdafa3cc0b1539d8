"""The choice of steps, with trials that are planted: which is kept, and which step comes next."""

import numpy as np
import pytest

from checks.estimation import step_selection
from checks.estimation.coordinates import Coordinates
from checks.estimation.noise import Noise
from checks.estimation.stencils import Trial
from checks.estimation.step_selection import _StepSelection, first_step
from checks.evaluation.step_sizes import steps_taken

NAN, INF = np.nan, np.inf
SIGNS = [1, -1]


def trial(value, error=1e-9, step_ratio=1.0, slope_jump=0.0, round_off=0.0, terms=(0.0, 0.0, 0.0)):
    """Return a trial of one or more coordinates; terms: curvature, correction, its change."""
    value = np.atleast_1d(np.asarray(value, float))
    rest = (error, step_ratio, slope_jump, round_off, terms[1], terms[0], terms[2])
    return Trial(value, *(np.broadcast_to(np.asarray(r, float), value.shape).copy() for r in rest))


class Planted:
    """A stencil that returns planted trials in turn, or what a function of the steps says."""

    def __init__(self, trials):
        self.trials, self.steps = trials, []

    def __call__(self, costs, x, h, scale, f0, noise):
        self.steps.append(np.array(h))
        if callable(self.trials):
            return self.trials(h / scale, x)
        return self.trials[min(len(self.steps), len(self.trials)) - 1]


def selection(
    x=(1.0,), stencil=None, goal=1e-6, start=1.0, scale=1.0, noise=1e-16, cost=None, seed=0,
    longest=INF, finest=1e-15, cost_moved=None, level=None, stochastic=False, grid=0,
):  # fmt: skip
    x = np.asarray(x, float)
    cost = cost or (lambda i, s: np.zeros(np.shape(s)))
    at = Coordinates(
        cost, x, scale, np.broadcast_to(finest, x.shape), np.broadcast_to(longest, x.shape), 0.0,
        Noise(noise if level is None else level, noise, stochastic, False), cost_moved,
        **({"grid": grid} if grid else {}),
    )  # fmt: skip
    return _StepSelection(
        at, stencil or Planted([trial(0.0)]), np.random.default_rng(seed), goal, start
    )


ONE = np.array([0])


def begin(found):
    """Let the pilots find steps, and try these on the others."""
    found.noise_of_pilots()
    found.find_common_step()


# The first step.


def test_the_first_step_follows_the_noise_of_the_cost():
    for noise, expected in ((1e-7, 0.1), (1e-14, 0.01), (1e-20, 1e-16 ** (1 / 7))):
        assert first_step(noise) == pytest.approx(expected)
    assert first_step(1.0) == first_step(1e-3) == pytest.approx(1e-3 ** (1 / 7))


@pytest.mark.parametrize("sign", SIGNS)
def test_entries_are_stepped_by_their_own_size_or_that_of_the_array(sign):
    # within 1e-20 and 1e-6 of the typical size, 8, by their own
    x = sign * 8.0 * np.array([1.0, 1e-3, 1e-6, 0.99e-6, 1e-12, 1.01e-20, 1e-20, 0.0])
    found = selection(x, scale=8.0)
    expected = 8 * np.array([1, 1, 1, 0.99e-6, 1e-12, 1.01e-20, 1, 1])
    np.testing.assert_allclose(found.scale, expected)
    np.testing.assert_allclose(found.step, expected * 1e-16 ** (1 / 7))
    np.testing.assert_allclose(found.longest_step, expected * 0.1)
    half = selection(x, scale=8.0, start=0.5)
    np.testing.assert_allclose(half.step, expected * 1e-16 ** (1 / 7) / 2)
    assert found.is_first
    assert not half.is_first


def test_steps_are_no_longer_than_a_tenth_or_the_first_or_the_box():
    assert selection(noise=1e-3).longest_step == pytest.approx(1e-3 ** (1 / 7))
    assert selection(noise=1e-16).longest_step == pytest.approx(0.1)
    found = selection(longest=1e-3)
    assert found.longest_step == found.step == 1e-3


def test_two_coordinates_whose_steps_are_not_cut_short_find_a_step_for_the_others():
    longest = np.full(6, 1e-4)
    longest[[1, 4]] = 1.0
    for seed in range(5):
        found = selection(np.ones(6), longest=longest, seed=seed)
        assert sorted(found.pilots) == [1, 4]
        assert sorted(found.others) == [0, 2, 3, 5]
    drawn = {tuple(selection(np.ones(6), seed=seed).pilots) for seed in range(20)}
    assert len(drawn) > 5


# A trial.


@pytest.mark.parametrize("size", [1.0, 2.0**-60, 2.0**60])
def test_a_step_is_jittered_and_the_next_follows_the_ratio(size):
    stencil = Planted([trial(3.0, 1e-3, 0.5, terms=(7.0, 8.0, 9.0))])
    seen = set()
    for seed in range(30):
        found = selection([size], stencil, scale=size, seed=seed, finest=0.0)
        first = found.step.item()
        found.advance(ONE)
        taken = stencil.steps[-1].item()
        assert first <= taken <= 1.25 * first
        seen.add(taken / first)
        assert (found.value, found.error) == (3.0, 1e-3)
        assert found.best_step == taken
        assert found.ideal_step == taken / 2
        assert found.step == first / 2
        assert found.best_trial.ravel().tolist() == [7, 8, 9]
    assert max(seen) - min(seen) > 0.2


@pytest.mark.parametrize("scale", [2.0**-20, 8.0])
@pytest.mark.parametrize("longest", [INF, 2.0**-8, 0.5])
def test_steps_on_a_grid_are_relative_to_the_scale(scale, longest):
    at_one = selection([1.0], grid=2, longest=longest).jittered(ONE)
    found = selection([scale], scale=scale, grid=2, longest=scale * longest)
    assert selection([1.0]).grid is None
    assert found.jittered(ONE) == scale * at_one


@pytest.mark.parametrize(
    ("grid", "ratio", "can"), [(0, 3, True), (3, 3, False), (3, 40, True), (3, 1.9, False)]
)
def test_a_longer_step_is_tried_if_the_grid_has_one(grid, ratio, can):
    found = selection([1.0], Planted([trial(3.0, step_ratio=ratio)]), grid=grid)
    found.advance(ONE)
    assert found.can_improve.tolist() == [can]


def test_steps_stay_between_the_finest_and_the_longest():
    for longest, finest, expected in ((2e-3, 1e-15, 2e-3), (INF, 0.01, 0.01), (1.0, 0.5, 0.5)):
        stencil = Planted([trial(3.0, 1e-3, 4.0)])
        found = selection(stencil=stencil, longest=longest, finest=finest)
        found.advance(ONE)
        assert stencil.steps[0] == expected
        assert found.ideal_step == min(4 * expected, 0.1, longest)


def test_nothing_is_tried_of_no_coordinate():
    stencil = Planted([trial(1.0)])
    selection(stencil=stencil).advance(np.array([], int))
    assert stencil.steps == []


@pytest.mark.parametrize(("ratio", "can"), [(0.69, True), (0.71, False), (1.9, False), (2.6, True)])
def test_another_step_may_improve_it_if_it_differs_enough(ratio, can):
    # a longer step has to be twice what was taken, which was up to 1.25 times the one before
    found = selection(stencil=Planted([trial(1.0, step_ratio=ratio)]))
    found.advance(ONE)
    assert found.can_improve == can


def test_a_longer_step_is_tried_only_after_a_better_one_and_a_shorter_only_above_the_finest():
    found = selection(stencil=Planted([trial(1.0, step_ratio=3.0), trial(1.0, 1.0, 3.0)]))
    found.advance(ONE)
    assert found.can_improve
    found.advance(ONE)
    assert not found.can_improve  # its error is larger
    for finest, can in ((1e-2, True), (3e-2, False)):
        first = 1e-16 ** (1 / 7)
        found = selection(stencil=Planted([trial(1.0, step_ratio=0.5)]), finest=finest)
        assert first / 2 < finest / 4 or can
        found.advance(ONE)
        assert found.can_improve == can


def test_steps_that_fail_are_rough_and_the_shortest_is_kept():
    stencil = Planted([trial(1.0, INF, 1 / 8), trial(1.0), trial(1.0, INF)])
    found = selection(stencil=stencil)
    found.advance(ONE)
    assert found.is_rough
    assert found.failed_step == stencil.steps[0]
    found.advance(ONE)
    assert found.is_rough
    assert found.failed_step == stencil.steps[0]
    found.step[:] = stencil.steps[0] / 4
    found.advance(ONE)
    assert found.failed_step == stencil.steps[2]
    found.step[:] = 0.05
    found.advance(ONE)
    assert found.failed_step == stencil.steps[2]
    calm = selection(stencil=Planted([trial(1.0)]))
    calm.advance(ONE)
    assert not calm.is_rough
    assert calm.failed_step == INF


# Which trial is kept.


def replaces(best, step, new, **state):
    """Whether a trial by a step replaces the best trial (value, error) by a step of 1."""
    found = selection()
    found.value[0], found.error[0], found.best_step[0] = *best, 1.0
    for name, value in state.items():
        getattr(found, name)[0] = value
    answer = found._replaces_best(ONE, np.array([step]), new)
    return bool(answer[0]), found


@pytest.mark.parametrize("sign", SIGNS)
@pytest.mark.parametrize("step", [0.5, 2.0])
def test_the_smaller_error_wins_and_in_conflict_the_shorter_step(sign, step):
    best = sign * 1.0, 0.1
    for value, error, smaller in ((1.05, 0.09, True), (0.95, 0.11, False), (1.05, 0.1, False)):
        assert replaces(best, step, trial(sign * value, error))[0] == smaller
    # intervals that touch are not in conflict, disjoint ones are
    for value in (1.5, 0.5):
        assert replaces(best, step, trial(sign * value, 0.41))[0] is False
        assert replaces(best, step, trial(sign * value, 0.39))[0] is (step < 1)
        assert replaces(best, step, trial(sign * value, 0.01))[0] is (step < 1)
    assert replaces((NAN, INF), step, trial(5.0, INF))[0]
    assert replaces((NAN, INF), step, trial(NAN, INF))[0]
    assert not replaces(best, step, trial(sign * 1.0, INF))[0]


@pytest.mark.parametrize("sign", SIGNS)
def test_a_shorter_step_that_does_not_converge_refutes_what_is_far_from_it(sign):
    best = 1.0, 0.1
    for off, refuted in ((0.29, False), (0.31, True)):
        new = trial(1.0 + sign * off, INF, round_off=0.2)
        assert replaces(best, 0.5, new)[0] is refuted
        assert replaces(best, 2.0, new)[0] is False


def test_beside_kinks_a_truncation_error_shows_what_a_longer_step_overlooked():
    best = 1.0, 0.1
    shows, hides = trial(1.0, 0.2, 0.49), trial(1.0, 0.2, 0.51)
    for is_rough, new, expected in (
        (True, shows, True),
        (True, hides, False),
        (False, shows, False),
        (True, trial(1.0, 0.1, 0.49), False),  # not larger
        (True, trial(1.0, INF, 0.125), False),
    ):
        answer, found = replaces(best, 0.5, new, is_rough=is_rough)
        assert answer is expected
        shown = bool(new.step_ratio[0] < 0.5 and np.isfinite(new.error[0]))
        assert found.truncated_step == (0.5 if shown else INF)
        assert found.truncated_error == (new.error if shown else 0)
    # of a longer step, an error smaller than a shorter one has shown is too small
    known = {"is_rough": True, "truncated_step": 1.5, "truncated_error": 0.3}
    assert replaces((1.0, 0.5), 2.0, trial(1.0, 0.29), **known)[0] is False
    assert replaces((1.0, 0.5), 2.0, trial(1.0, 0.31), **known)[0] is True
    assert replaces((1.0, 0.5), 1.4, trial(1.0, 0.29), **known)[0] is True
    known["is_rough"] = False
    assert replaces((1.0, 0.5), 2.0, trial(1.0, 0.29), **known)[0] is True


def test_the_shortest_step_that_shows_truncation_is_kept():
    _, found = replaces((1.0, 1.0), 0.5, trial(1.0, 0.2, 0.1), truncated_step=0.4)
    assert found.truncated_step == 0.4
    _, found = replaces((1.0, 1.0), 0.3, trial(1.0, 0.2, 0.1), truncated_step=0.4)
    assert (found.truncated_step, found.truncated_error) == (0.3, 0.2)


def test_kinks_of_one_size_are_counted():
    found = selection()
    for jump, count, last in (
        (0.0, 0, 0.0),
        (1.0, 1, 1.0),
        (1.4, 2, 1.4),
        (0.71, 3, 0.71),
        (0.0, 3, 0.71),  # none was seen: nothing changes
        (0.71, 4, 0.71),
        (1.1, 1, 1.1),  # more than half as large again
        (0.5, 1, 0.5),
    ):
        found._count_kinks(ONE, np.array([jump]))
        assert (found.kink_count, found.slope_jump) == (count, last)


def test_a_kink_that_five_steps_have_seen_is_at_x():
    stencil = Planted([trial(1.0, INF, 1 / 8, 0.5)])
    found = selection(stencil=stencil)
    begin(found)
    assert len(stencil.steps) == 5
    assert not found.can_improve


# Which coordinate needs another step.


@pytest.mark.parametrize("sign", SIGNS)
def test_an_error_above_the_goal_relative_to_the_largest_slope_needs_a_step(sign):
    found = selection(np.ones(4))
    found.value[:], found.error[:] = sign * np.array([1.0, -4.0, 1e9, NAN]), [0.39, 0.41, INF, INF]
    assert found.needs_step(0.1).tolist() == [False, True, True, True]
    found.error[0] = 0.5
    assert not found.needs_step(0.125)[0]  # it just reaches it
    found.can_improve[:] = False
    assert not found.needs_step(0.1).any()
    assert selection().needs_step(0.1)


@pytest.mark.parametrize("goal", [1e-10, 1e-13])
@pytest.mark.parametrize("scale", [1.0, 2.0**-20, 2.0**20])
def test_pilots_find_the_geometric_mean_of_their_steps_for_the_others(goal, scale):
    points = np.array([1.0, 2.0, 3.0])
    ideal = {1.0: 0.5, 2.0: 0.125, 3.0: 1.0}

    def planted(h, x):
        ratio = [ideal[v] for v in x / scale]
        return trial(np.ones(x.size), 0.99 * goal / 10, ratio)

    for seed in range(6):
        stencil = Planted(planted)
        found = selection(scale * points, stencil, goal, scale=scale, seed=seed)
        pilots = found.pilots
        begin(found)
        relative = found.ideal_step[pilots] / scale
        assert len(stencil.steps) == 2  # one for the pilots together, and one for the other
        common = min(np.sqrt(relative[0] * relative[1]), 0.1)
        assert common <= stencil.steps[1].item() / scale <= 1.25 * common


@pytest.mark.parametrize(
    ("goal", "start", "others", "accurate"),
    [
        (1e-12, 1.0, 1, 1e-12),
        (1e-3, 1.0, 0, 1e-3),
        (1e-3, 1.0, 1, 1.5e-10),  # what float64 asks: others start with their step
        (1e-3, 1 / 16, 1, 1e-3),  # but not of a second estimate
    ],
)
def test_pilots_are_ten_times_as_accurate_as_the_goal(goal, start, others, accurate):
    errors = iter([0.5, 0.2, 0.11, 0.09, 0.0])

    def planted(h, x):
        return trial(np.ones(x.size), accurate * next(errors), np.full(x.size, 0.5))

    stencil = Planted(planted)
    found = selection(np.ones(2 + others), stencil, goal, start=start)
    found.noise_of_pilots()
    assert found.error[found.pilots] == pytest.approx(0.09 * accurate, abs=0)
    assert len(stencil.steps) == 4


@pytest.mark.parametrize("sign", SIGNS)
def test_pilots_whose_steps_all_fail_may_meet_noise(sign):
    # the corrections are noise/h; times their steps they are the same for short and long steps
    def met(*changes, error=INF, finest=1e-15):
        turn = iter(np.array(changes) * 1e-3)

        def planted(h, x):
            return trial(np.full(x.size, sign), error, 1 / 8, terms=(0, next(turn) / h.item(), 0))

        return selection(stencil=Planted(planted), finest=finest).noise_of_pilots()

    n = 14  # trials, by steps down to below the finest
    assert met(*[1, 3] * n) == pytest.approx(3e-3)
    assert met(*[1] * n * 2) == 0  # a jump at x would not change
    assert met(*[1, 2.01] * n) == pytest.approx(2.01e-3)
    assert met(*[1, 1.99] * n) == 0
    long, short = [1, 1, 3, 1, 1, 1, 1], [1] * n  # the medians of both halves count
    for factor, is_noise in ((7, True), (1 / 7, True), (9, False), (1 / 9, False)):
        assert (met(*(factor * np.array(long)), *short) > 0) == is_noise
    late = np.array([1, 1, 20, 20, 20, 20, 20])
    assert met(*(late * 7 / 20), *short) > 0
    assert met(*(late * 9 / 20), *short) == 0
    assert met(*[1, 3] * n, error=1e-9) == 0  # the steps do not fail
    assert met(*[1, 3] * n, finest=1e-6) == 0  # there are too few steps
    for trials, is_noise in ((7, False), (8, True)):
        # the next step would be shorter than a quarter of the finest
        finest = 0.00518 / 8.0 ** (trials - 1)
        stencil = Planted(lambda h, x: trial(np.full(x.size, sign), INF, 1 / 8))
        few = selection(stencil=stencil, finest=finest)
        few.noise_of_pilots()
        assert len(stencil.steps) == trials
        assert (met(*[1, 3] * n, finest=finest) > 0) == is_noise


# Checks of what may be luck.


def test_a_slope_that_a_near_cost_contradicts_is_checked_by_a_shorter_step():
    # 3 coordinates: one pilot is checked by a shorter step in any case, the others by near costs
    def cost(indices, steps):
        slopes = np.where(np.asarray(indices) == wrong, 2.0, 1.0)[:, None]
        return slopes * steps

    for wrong in (-1, 0, 1, 2):

        def stencil(costs, x, h, scale, f0, noise):
            return trial(np.ones(x.size), 1e-9, 1.0)

        found = selection(np.ones(3), stencil, cost=cost)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(step_selection, "central", stencil)
            begin(found)
            found.refine()
        pilot = found.pilots[0]
        assert found.passed_check.all()
        assert found.is_rough.tolist() == [k == wrong and k != pilot for k in range(3)]


@pytest.mark.parametrize("sign", SIGNS)
def test_a_near_cost_may_differ_by_error_truncation_and_noise(sign):
    found = selection([1.0], level=1e-6)
    h, slope = 0.08, sign * 3.0
    found.value[0], found.error[0], found.best_step[0] = slope, 1e-3, h
    found.best_trial[:, 0] = 2.0, 0.64, 0.32  # curvature, first correction, change of curvature
    t = h / 8
    # twice the correction/64, half of the change · t, and 10 levels/t
    allowed = 1e-3 + 2 * 0.64 / 64 + 0.32 * t / 2 + 10 * 1e-6 / t
    for off, contradicts in ((0.999, False), (1.001, True)):
        for side in SIGNS:

            def cost(i, s, off=off, side=side):
                return s * (slope + side * off * allowed) + s**2

            at = found.coordinates
            object.__setattr__(at, "costs", cost)
            assert found._contradicts_near_cost(ONE).tolist() == [contradicts]


def test_rounding_of_the_cost_counts_as_noise_of_a_near_cost():
    found = selection([1.0], level=0.0)
    found.value[0], found.error[0], found.best_step[0] = 1.0, 0.0, 0.08
    offset = 2.0**20
    object.__setattr__(found.coordinates, "at_point", offset)
    allowed = 10 * 2.0**-52 * offset / 0.01
    for off, contradicts in ((0.9, False), (1.1, True)):
        cost = lambda i, s, off=off: offset + s * (1 + off * allowed)  # noqa: E731
        object.__setattr__(found.coordinates, "costs", cost)
        assert found._contradicts_near_cost(ONE).tolist() == [contradicts]


@pytest.mark.parametrize("x", [2.0, -2.0, 0.25, -0.25, 0.0])
def test_a_near_step_is_an_eighth_of_the_step_or_of_x(x):
    sides = set()
    for seed in range(12):
        found = selection([x], scale=8.0, seed=seed)
        found.best_step[0] = 0.5
        (step,) = found._near_steps(ONE)
        assert abs(step) == (0.5 if abs(x) > 0.5 or not x else abs(x)) / 8
        sides.add(np.sign(step))
    assert sides == {1, -1}
    found = selection([x], scale=8.0, finest=0.25)
    assert abs(found._near_steps(ONE)) == 0.25


def many(m=17, **options):
    found = selection(np.ones(m), **options)
    found.value[:], found.error[:], found.best_step[:] = np.arange(m) + 1.0, 1e-3, 0.08
    found.best_trial[1] = 0.64
    return found


@pytest.mark.parametrize("sign", SIGNS)
def test_many_coordinates_are_compared_with_two_costs(sign):
    m, t = 17, 0.01
    calls = []

    def cost_moved(steps):
        calls.append(steps)
        return 3.0 + np.dot(steps, np.arange(m) + 1.0) + off * np.sign(steps[0]) + steps[0] ** 2

    found = many(m, cost_moved=cost_moved, level=1e-3)
    # the truncation of each, and that of mixed derivatives; rounding of x; 5 levels
    allowed = m * t * (1e-3 + m**1.5 * 0.64 / 64) + 5e-3
    allowed += 2.0**-52 * np.sum(np.arange(m) + 1.0)
    for factor, contradicts in ((0.999, False), (1.001, True)):
        off = sign * factor * allowed
        assert found._contradicts_near_costs(np.arange(m)) is contradicts
        assert np.array_equal(calls[-1], -calls[-2])
        np.testing.assert_allclose(np.abs(calls[-1]), t)
    off = NAN
    assert found._contradicts_near_costs(np.arange(m)) is True
    # a few are compared one by one, as are all where they cannot be moved at once
    assert found._contradicts_near_costs(np.arange(16)) is True
    assert many(m)._contradicts_near_costs(np.arange(m)) is True
    assert len(calls) == 6


# What widens errors.


@pytest.mark.parametrize("off", [0.25, -0.25])
def test_long_steps_are_compared_with_steps_a_third_as_long(off):
    for noise, rough, widened in ((1e-12, True, True), (1e-16, True, False), (1e-12, False, False)):
        stencil = Planted([trial([1.0 + off, 2.0], [1e-3, 1e-3], round_off=0.5)])
        found = selection([1.0, 1.0], stencil, noise=noise)
        assert (found.first_step > 1e-2) == (noise > 1e-14)
        found.value[:], found.error[:], found.best_step[:] = [1.0, 2.0], 1e-6, 0.03
        found.is_rough[0] = rough
        found.compare_with_shorter_steps()
        expected = [1e-6 + 0.25 + 0.25, 1e-6] if widened else [1e-6, 1e-6]
        assert found.error.tolist() == pytest.approx(expected)
        if widened:
            np.testing.assert_allclose(stencil.steps[0], 0.01)
    stencil = Planted([trial([1.0, 2.0], [INF, 1e-3])])
    found = selection([1.0, 1.0], stencil, noise=1e-12)
    found.value[:], found.error[:], found.is_rough[1] = [1.0, 2.0], 1e-6, True
    found.compare_with_shorter_steps()
    assert found.error.tolist() == [INF, 1e-6]


def test_a_kink_that_several_steps_saw_is_not_hidden_by_noise():
    found = selection(np.ones(4))
    found.error[:], found.slope_jump[:] = [0.51, 0.49, 0.51, 0.51], 1.0
    found.kink_count[:] = [2, 2, 1, 3]
    found.compare_with_shorter_steps()
    assert found.error.tolist() == [INF, 0.49, 0.51, INF]


def test_beside_jumps_the_error_covers_four_times_their_slope(monkeypatch):
    found = selection(np.full(4, 2.0), scale=2.0, longest=0.5)
    found.value[:], found.error[:] = 1.0, [1e-3, 1e-3, INF, 1e-3]
    found.best_step[:], found.is_rough[:] = 0.008, [True, True, True, False]
    found.failed_step[:] = [0.016, INF, 0.016, 0.016]
    asked = []

    def slope(at, indices, value, error, near, far):
        asked.append((indices.tolist(), near.tolist(), far.tolist()))
        return np.array([0.5, 0.0]) if far[0] > 0 else np.array([0.25, 0.0])

    monkeypatch.setattr(step_selection, "slope_of_jumps", slope)
    found.widen_beside_jumps((-1, 1))
    np.testing.assert_allclose(found.error, [1e-3 + 4 * 0.5, 1e-3, INF, 1e-3])
    assert found.on_stairs.tolist() == [True, False, False, False]
    # four times the step that failed, or eight times the best
    near = [0.001, 0.001]
    assert asked == [([0, 1], near, [-0.064, -0.064]), ([0, 1], near, [0.064, 0.064])]
    found.widen_beside_jumps((1,))
    assert len(asked) == 3
    calm = selection()
    calm.error[:] = 1e-3
    calm.widen_beside_jumps((-1, 1))
    assert len(asked) == 3


@pytest.mark.parametrize(
    ("failed", "scale", "longest", "far"),
    [
        (0.004, 2.0, 1.0, 0.064),  # a shorter step failed: eight times the best step
        (0.1, 2.0, 1.0, 0.4),
        (0.1, 0.25, 1.0, 0.25),  # not beyond the size of x
        (0.1, 2.0, 0.125, 0.25),  # nor twice the longest step
    ],
)
def test_how_far_jumps_are_searched_for(monkeypatch, failed, scale, longest, far):
    found = selection([1.0], scale=scale, longest=longest, finest=1e-2)
    found.value[:], found.error[:], found.best_step[:] = 1.0, 1e-3, 0.008
    found.is_rough[:], found.failed_step[:] = True, failed
    asked = []

    def slope(at, indices, value, error, near, far):
        asked.append((near.item(), far.item()))
        return np.zeros(1)

    monkeypatch.setattr(step_selection, "slope_of_jumps", slope)
    found.widen_beside_jumps((1,))
    assert asked == [(0.01, pytest.approx(far))]


def test_where_the_cost_ends_jumps_are_searched_for_further_away(monkeypatch):
    found = selection(np.ones(2), scale=0.5, longest=1.0)
    found.value[:], found.error[:], found.best_step[:], found.is_rough[:] = 1.0, 1e-3, 0.004, True
    asked = []

    def slope(at, indices, value, error, near, far):
        asked.append((indices.tolist(), far.tolist()))
        if len(indices) == 2:
            return np.array([NAN, 0.25]) if far[0] > 0 else np.array([0.125, 0.5])
        return np.array([1.0]) if far[0] > 0 else np.array([NAN])

    monkeypatch.setattr(step_selection, "slope_of_jumps", slope)
    found.widen_beside_jumps((-1, 1))
    assert [far for _, far in asked[2:]] == [[-0.05], [0.05]]
    assert found.error.tolist() == pytest.approx([1e-3 + 4, 1e-3 + 2])
    assert found.on_stairs.all()


def test_jumps_up_and_down_that_cancel_are_searched_for_further_away(monkeypatch):
    # level to the last bit, where a longer step failed: not so if it has a slope, if no longer step
    # failed, or if jumps are found near by
    found = selection(np.ones(4), scale=2.0, longest=1.0)
    found.value[:], found.error[:] = [0.0, 0.5, 0.0, 0.0], 1e-3
    found.best_step[:], found.is_rough[:] = 0.004, True
    found.failed_step[:] = [0.008, 0.008, INF, 0.008]
    asked = []

    def slope(at, indices, value, error, near, far):
        asked.append((indices.tolist(), far.tolist()))
        return np.array([0, 0, 0, 0.25]) if len(indices) == 4 else np.array([0.125])

    monkeypatch.setattr(step_selection, "slope_of_jumps", slope)
    found.widen_beside_jumps((-1, 1))
    assert asked[2:] == [([0], [-0.256]), ([0], [0.256])]
    assert found.error.tolist() == pytest.approx([1e-3 + 4 * 0.125, 1e-3, 1e-3, 1e-3 + 4 * 0.25])


@pytest.mark.parametrize("off", [0.25, -0.25])
def test_between_jumps_the_error_covers_the_straight_slope(monkeypatch, off):
    asked = []

    def straight(at, indices, scale):
        asked.append(indices.tolist())
        return at.x[indices] + off, np.full(len(indices), 2.0**-5), is_straight[indices]

    monkeypatch.setattr(step_selection, "slope_where_straight", straight)
    x = np.arange(1.0, 6.0)
    is_straight = np.array([True, True, True, False, True])
    for noise, stochastic, tried in ((2.0**-22, False, 2), (2.0**-23, False, 0), (0.1, True, 0)):
        asked.clear()
        found = selection(x, noise=noise, stochastic=stochastic)
        found.value[:], found.error[:] = x, 1e-3
        found.pilots, found.others = np.array([0, 1]), np.array([2, 3, 4])
        found.widen_between_jumps()
        assert len(asked) == tried
        if tried:
            expected = [1e-3 + 0.25 + 2.0**-5] * 3 + [INF, 1e-3 + 0.25 + 2.0**-5]
            assert found.error.tolist() == pytest.approx(expected)
            assert found.on_stairs.all()
        else:
            assert found.error.tolist() == [1e-3] * 5
            assert not found.on_stairs.any()
    # where the cost is straight beside no pilot, the others are not tried
    asked.clear()
    is_straight = np.array([False, False, True, True, True])
    found = selection(x, noise=0.01)
    found.value[:], found.error[:] = x, 1e-3
    found.pilots, found.others = np.array([0, 1]), np.array([2, 3, 4])
    found.widen_between_jumps()
    assert asked == [[0, 1]]
    assert not found.on_stairs.any()
    # coordinates without an error are left out
    asked.clear()
    found.error[[0, 1]] = INF
    found.widen_between_jumps()
    assert asked == [[2, 3, 4]]


def test_noise_of_single_precision_is_no_jumps(monkeypatch):
    asked = []
    monkeypatch.setattr(
        step_selection, "slope_where_straight",
        lambda at, indices, scale: (asked.append(1), (*np.zeros((2, 1)), np.zeros(1, bool)))[1],
    )  # fmt: skip
    for noise, tried in ((64 * 2.0**-23, 0), (65 * 2.0**-23, 1)):
        x = np.ones(1, np.float32)
        found = selection([1.0], noise=noise)
        object.__setattr__(found.coordinates, "x", x)
        found.error[:] = 1e-3
        found.widen_between_jumps()
        assert len(asked) == tried


def test_steps_are_as_the_dtype_of_x_rounds_them():
    found = selection([1.0])
    object.__setattr__(found.coordinates, "x", np.ones(1, np.float32))
    found.best_step[0] = 1e-3
    (step,) = found._near_steps(ONE)
    assert abs(step) != 1.25e-4
    assert step == steps_taken(np.float32(1), np.copysign(1.25e-4, step))


def test_a_check_is_by_a_step_an_eighth_as_long():
    ratios = []
    for seed in range(30):
        stencil = Planted([trial(1.0)])
        found = selection(stencil=stencil, seed=seed)
        begin(found)
        best = found.best_step.item()
        found.refine()
        ratios.append(8 * stencil.steps[-1].item() / best)
    assert 1 <= min(ratios) < 1.05  # with a jitter of up to a quarter
    assert 1.2 < max(ratios) <= 1.25


def test_a_second_estimate_checks_only_what_converged_after_failures():
    for start, rough, checks in ((1.0, False, 1), (0.5, False, 0), (0.5, True, 1)):
        trials = [trial(1.0, INF, 1 / 8)] * rough + [trial(1.0)]
        stencil = Planted(trials)
        found = selection(stencil=stencil, start=start)
        begin(found)
        before = len(stencil.steps)
        best = found.best_step.item()
        found.refine()
        assert len(stencil.steps) - before == checks
        if checks:
            assert best / 8 <= stencil.steps[-1].item() <= 1.25 * best / 8
            assert found.passed_check


@pytest.mark.parametrize("sign", SIGNS)
@pytest.mark.parametrize(("off", "passed"), [(1.9e-6, True), (2.1e-6, False)])
def test_a_check_passes_if_both_steps_agree(sign, off, passed):
    # the shorter step wins in conflict, so after a failure the next check is of that one
    stencil = Planted([trial(1.0, 1e-6)] + [trial(1.0 + sign * off, 1e-6)] * 9)
    found = selection(stencil=stencil, goal=1e-3)
    begin(found)
    found.refine()
    assert len(stencil.steps) == (2 if passed else 3)
    assert found.is_rough == (not passed)
