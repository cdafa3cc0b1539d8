"""The search for jumps, on costs whose jumps are planted: what it takes for one, and what not."""

import numpy as np
import pytest

from checks.estimation.coordinates import Coordinates
from checks.estimation.noise import Noise
from checks.estimation.stairs import slope_of_jumps, slope_where_straight

SIGNS = [1, -1]


def coordinates(costs, x, noise=0.0, longest=np.inf, finest=0.0, calls=None):
    """Return coordinates x of costs (one function each) of a distance from x."""
    x = np.asarray(x, float)

    def at(indices, steps):
        if calls is not None:
            calls.append((indices.tolist(), np.array(steps)))
        rows = zip(indices, steps, strict=True)
        return np.array([[float(costs[i](s)) for s in row] for i, row in rows])

    level = Noise(noise, noise, False, False)
    full = np.full(x.shape, float(finest)), np.full(x.shape, float(longest))
    return Coordinates(at, x, 1.0, *full, 0.0, level)


def searched(cost, slope=0.0, error=1e-9, near=2.0**-16, far=0.25, noise=0.0, calls=None):
    at = coordinates([cost], [4.0], noise, calls=calls)
    one = np.array([0])
    return slope_of_jumps(at, one, *(np.array([v]) for v in (slope, error, near, far))).item()


@pytest.mark.parametrize("sign", SIGNS)
@pytest.mark.parametrize("side", SIGNS)
@pytest.mark.parametrize("where", [0.003, 0.1, 0.2499])
def test_a_jump_adds_its_height_over_the_distance(sign, side, where):
    for slope in (0.0, 3.0, -3.0):
        cost = lambda t, slope=slope: slope * t + sign * 0.5 * (side * t > where)  # noqa: E731
        assert searched(cost, slope, far=side * 0.25) == pytest.approx(0.5 / 0.25)
        assert searched(cost, slope, far=-side * 0.25) == 0


@pytest.mark.parametrize("sign", SIGNS)
def test_jumps_that_cancel_count_by_the_largest(sign):
    cost = lambda t: sign * (0.5 * (t > 0.1) - 0.4 * (t > 0.2))  # noqa: E731
    assert searched(cost) == pytest.approx(0.5 / 0.25)
    # and jumps that add up by their sum
    cost = lambda t: sign * (0.5 * (t > 0.1) + 0.4 * (t > 0.2))  # noqa: E731
    assert searched(cost) == pytest.approx(0.9 / 0.25)


@pytest.mark.parametrize("sign", SIGNS)
def test_a_parabola_is_no_jump(sign):
    for side in SIGNS:
        calls = []
        cost = lambda t: 2 * t + sign * 3 * t**2  # noqa: E731
        assert searched(cost, 2.0, 1e-4, far=side * 0.25, calls=calls) == 0
        assert len(calls) == 1  # what the slopes at both ends explain is not searched
        ((_, steps),) = calls
        near = side * 2.0**-16
        assert steps.tolist() == [[side * 0.25, side * 0.25 + near, side * 0.25 - near]]


@pytest.mark.parametrize("side", SIGNS)
@pytest.mark.parametrize("place", [0.5, -0.5])
def test_a_jump_beside_the_far_end_does_not_spoil_the_slope_there(side, place):
    # within `near` of the end, on one of its sides
    where = 0.25 + place * 2.0**-16
    cost = lambda t: 2 * t + t**2 + (side * t > where)  # noqa: E731
    found = searched(cost, 2.0, far=side * 0.25)
    assert found == pytest.approx(4.0 if place < 0 else 0.0, abs=1e-3)


@pytest.mark.parametrize("sign", SIGNS)
def test_errors_and_noise_hide_small_jumps(sign):
    far, near = 0.25, 2.0**-6
    for error, noise in ((1e-2, 0.0), (0.0, 1e-4), (1e-3, 1e-4)):
        # to be searched, the excess needs the error over the distance and 4 (1 + far/near) sigmas
        least = far * error + 4 * noise * (1 + far / near)
        # to be found, the jump needs 8 sigmas
        least = max(least, far * error, 8 * noise)
        for factor, seen in ((0.99, False), (1.01, True)):
            for side in SIGNS:
                cost = lambda t, h=factor * least, s=side: sign * h * (s * t > 0.1)  # noqa: E731
                found = searched(cost, 0.0, error, near, side * far, noise)
                assert found == pytest.approx(factor * least / far if seen else 0)


@pytest.mark.parametrize("side", SIGNS)
def test_a_jump_may_be_less_than_what_the_slope_is_off_by(side):
    # 0.1 over the distance is the error's; of three jumps of a third more each is less than that
    far, error = side * 0.25, 0.4
    cost = lambda t: 0.09 * ((side * t > 0.03) + 0.0 + (side * t > 0.11) + (side * t > 0.2))  # noqa: E731
    assert searched(cost, 0.0, error, far=far) == 0
    cost = lambda t: 0.11 * ((side * t > 0.03) + 0.0 + (side * t > 0.11) + (side * t > 0.2))  # noqa: E731
    assert searched(cost, 0.0, error, far=far) == pytest.approx(0.33 / 0.25)


def test_smaller_jumps_are_not_searched_on_both_sides_of_a_large_one():
    # 16 halvings, and three costs at the end
    calls = []
    searched(lambda t: 0.5 * (t > 0.1), calls=calls)
    assert len(calls) == 1 + 16
    low, high = 0.0, 0.25
    for _, steps in calls[1:]:
        assert steps.item() == (low + high) / 2
        low, high = (low, steps.item()) if steps.item() > 0.1 else (steps.item(), high)


@pytest.mark.parametrize("sign", SIGNS)
def test_what_shrinks_with_the_interval_is_no_jump(sign):
    # over the last 8 halvings a jump keeps a quarter of the change at least: 2^-2
    for power, jump in ((0.24, True), (0.26, False), (1.0, False)):
        cost = lambda t, p=power: sign * np.sign(t - 0.1) * abs(t - 0.1) ** p  # noqa: E731
        assert (searched(cost) > 0) == jump
    # what grows is a pole
    pole = lambda t: sign / (t - 0.1003)  # noqa: E731
    assert searched(pole) == 0


def test_several_coordinates_are_searched_each_by_itself():
    costs = [lambda t: 0.5 * (t > 0.1), lambda t: t, lambda t: -0.25 * (t > 0.2), lambda t: np.nan]
    at = coordinates(costs, [4.0] * 4)
    slope = np.array([-0.25, 0.0, 0.0, 1.0])
    found = slope_of_jumps(at, np.array([2, 0, 3, 1]), slope * 0 + [0, 0, 0, 1], *[
        np.full(4, v) for v in (1e-9, 2.0**-16, 0.25)
    ])  # fmt: skip
    np.testing.assert_allclose(found, [1.0, 2.0, np.nan, 0.0])


# Straight close to x.


def straight(cost, noise=1.0, longest=np.inf, finest=0.0, scale=4.0, calls=None):
    at = coordinates([cost], [4.0], noise, longest, finest, calls)
    slope, error, is_straight = slope_where_straight(at, np.array([0]), np.array([scale]))
    assert error >= 0
    return slope.item(), bool(is_straight.item())


def test_the_steps_are_uneven_and_very_short():
    for longest, finest, step in ((np.inf, 0, 2.0**-20), (2.0**-22, 0, 2.0**-22), (1, 0.5, 0.5)):
        calls = []
        straight(lambda t: t, longest=longest, finest=finest, calls=calls)
        ((_, steps),) = calls
        expected = [-0.5, -0.84, -1.37, -2.0, 0.5, 0.84, 1.37, 2.0]
        np.testing.assert_allclose(steps / step, [expected], rtol=1e-6)


@pytest.mark.parametrize("sign", SIGNS)
@pytest.mark.parametrize("side", SIGNS)
def test_a_cost_is_straight_that_leaves_the_line_by_a_64th_of_its_noise(sign, side):
    for factor, is_straight in ((0.99, True), (1.01, False)):

        def cost(t, factor=factor):
            bend = sign * factor / 64 * (abs(t) < 1.9 * 2.0**-20) * (abs(t) > 1.2 * 2.0**-20)
            far_off = 1e3 * (abs(t) < 1.0 * 2.0**-20) * (side * t < 0)  # on the other side
            return sign * 5 * t + bend + far_off

        slope, found = straight(cost)
        assert found == is_straight
        if found:
            assert slope == pytest.approx(sign * 5)


@pytest.mark.parametrize("sign", SIGNS)
def test_the_slope_is_that_of_the_straight_side(sign):
    kinked = lambda t: sign * (7 * t if t > 0 else 3 * t)  # noqa: E731
    assert straight(kinked) == (pytest.approx(sign * 3), True)  # both are straight
    only_right = lambda t: sign * 7 * t if t > 0 else t * t * 1e15  # noqa: E731
    assert straight(only_right) == (pytest.approx(sign * 7), True)
    ends = lambda t: sign * 7 * t if t > 0 else np.nan  # noqa: E731
    assert straight(ends) == (pytest.approx(sign * 7), True)
