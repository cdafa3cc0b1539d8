"""Tables of divided differences against values by hand, and the tables within them."""

import math
from itertools import pairwise

import numpy as np
import pytest

from checks.estimation.difference_table import (
    POINTS,
    DifferenceTable,
    has_jump,
    noise_within,
    take_table,
)

SIGNED_SIZES = [1.0, -1.0, 2.0**-700, -(2.0**700)]


def rng():
    return np.random.default_rng(0)


def line_of(cost):
    return lambda nodes: (nodes, cost(nodes))


@pytest.mark.parametrize("size", SIGNED_SIZES)
def test_differences_at_even_nodes_are_binomial(size):
    costs = np.zeros(9)
    costs[4] = size
    table = DifferenceTable(np.arange(9) * 0.5 - 3, 2.0**52 * size + costs)  # exact
    for k in range(1, 9):
        norm = math.sqrt(math.comb(2 * k, k))  # the root of the sum of their squares
        expected = [
            (-1) ** (k - i) * math.comb(k, i) / norm * size if 0 <= i <= k else 0.0
            for i in (4 - first for first in range(9 - k))
        ]
        np.testing.assert_allclose(table.differences(k), expected, atol=1e-14 * abs(size))
        rms = math.sqrt(sum((d / size) ** 2 for d in expected) / len(expected)) * abs(size)
        assert table.levels[k - 1] == pytest.approx(rms, rel=1e-12)


@pytest.mark.parametrize("size", SIGNED_SIZES)
def test_differences_at_uneven_nodes(size):
    # order 2 at 0, 1, 3: weights 1/3, −1/2, 1/6, of which the squares add up to 14/36
    nodes, costs = np.array([0.0, 1.0, 3.0]), size * np.array([2.0, 5.0, -1.0])
    expected = size * (2 / 3 - 5 / 2 - 1 / 6) / math.sqrt(14 / 36)
    for scale in (1.0, 1e-9, 2.0**40):
        table = DifferenceTable(scale * nodes, costs)
        np.testing.assert_allclose(table.differences(2), [expected], rtol=1e-12)
        np.testing.assert_allclose(table.differences(1), size * np.array([3, -6]) / 2**0.5)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_cost_that_is_not_finite_has_infinite_levels(bad):
    assert DifferenceTable(np.arange(5.0), np.array([1, 2, bad, 1, 2])).levels == [np.inf] * 4


def table_with(levels, differences=(-1.0, 2.0)):
    """Return a table whose levels, and differences of every order, are as given."""
    table = DifferenceTable(np.arange(8.0), np.arange(8.0) ** 9)
    table.levels = levels
    table.differences = lambda k, costs=None: np.array(differences)
    return table


@pytest.mark.parametrize(
    ("levels", "order"),
    [
        ([1, 1, 1, 9, 99, 999, 9999], 1),
        ([1, 4, 2, 9, 99, 999, 9999], 1),  # they differ by no more than a factor of 4
        ([4, 1, 2, 9, 99, 999, 9999], 1),
        ([1, 4.1, 2, 2, 99, 999, 9999], 2),  # the first does not agree
        ([4.1, 1, 2, 3, 99, 999, 9999], 2),
        ([9, 1, 1, 9, 1, 1, 9], 0),  # two that agree are not enough
        ([99, 9, 1, 1, 99, 4, 1], 0),
        ([999, 99, 9, 1, 9, 1, 2], 0),
        ([999, 99, 9, 1, 8, 2, 2], 5),
        ([999, 99, 3, 2, 4, 99, 9], 3),
        ([999, 99, 9, 1, 1, 1, 9], 4),
        ([0, 0, 0, 0, 0, 0, 0], 1),
        ([np.inf] * 7, 0),
    ],
)
def test_noise_is_where_three_successive_levels_agree(levels, order):
    for size in (1, 2.0**-200, 2.0**200):
        table = table_with([level * size for level in levels])
        assert table.agreeing_order() == table.agreeing_order(both_signs=False) == order
        assert table.noise() == (
            (levels[order - 1] * size, "") if 0 < order <= 3 else (None, "too large")
        )


@pytest.mark.parametrize("one_sign", [(1.0, 2.0), (-1.0, -2.0), (0.0, 1.0), (0.0, -1.0)])
def test_noise_has_differences_of_both_signs(one_sign):
    table = table_with([1] * 7, one_sign)
    assert table.agreeing_order() == 0
    assert table.agreeing_order(both_signs=False) == 1


@pytest.mark.parametrize("size", SIGNED_SIZES)
@pytest.mark.parametrize(
    ("costs", "smallest_jump"),
    [
        ([0, 0, 0, 3, 3, 3, 1, 1], 2),  # constant between two jumps
        ([0, 0, 0, -3, -3, -3, -1, -1], 2),
        ([0, 0, 0, 3, 3, 1, 1, 1], 2),
        ([0, 1, 1, 1, 1, 1, 1, 3], 1),
        ([0, 0, 1, 1, 1, 2, 2, 4], 1),  # four of seven differences are 0
        ([0, 0, 0, 0, 0, 0, 0, 0], None),
        ([0, 0, 0, 0, 1, 1, 1, 1], None),
        ([0, 0, 0, 0, 1, 2, 2, 2], None),  # jumps beside each other
    ],
)
def test_a_quantised_cost_has_the_noise_of_its_smallest_jump(costs, smallest_jump, size):
    table = DifferenceTable(np.arange(8.0), size * np.array(costs, float))
    if smallest_jump is None:
        assert table.noise() == (None, "too small")
    else:
        level, unsuitable = table.noise()
        assert unsuitable == ""
        assert level == pytest.approx(abs(size) * smallest_jump / math.sqrt(12))


def test_where_less_than_half_of_the_differences_are_zero_levels_are_compared():
    table = DifferenceTable(np.arange(8.0), np.array([0.0, 0, 1, 1, 0, 1, 1, 2]))
    assert table.noise()[1] == ""
    assert table.noise()[0] == table.levels[0]
    table = DifferenceTable(np.arange(8.0), np.r_[1, np.exp(np.arange(7))])
    assert table.noise() == (None, "too large")


@pytest.mark.parametrize("size", SIGNED_SIZES)
@pytest.mark.parametrize("k", [1, 2, 3])
def test_the_roughest_interval_is_that_of_the_jump(size, k):
    nodes = take_table(line_of(np.zeros_like), -1.0, 6.0, rng()).nodes
    for n in range(POINTS - 1):
        costs = size * (0.25 * nodes + (np.arange(POINTS) > n))
        intervals = DifferenceTable(nodes, costs).rough_intervals(k)
        assert sorted(intervals) == list(pairwise(nodes))
        assert intervals[0] == (nodes[n], nodes[n + 1])
        # of the last three orders, 5 to 7
        assert len(DifferenceTable(nodes, costs).rough_intervals(5)) == POINTS - 1


def test_nodes_are_uneven_and_keep_their_ends():
    taken = [take_table(line_of(np.sin), 2.0, 9.0, np.random.default_rng(s)) for s in range(40)]
    off = np.array([table.nodes - np.arange(2.0, 10.0) for table in taken])
    assert not off[:, [0, -1]].any()
    # by up to a quarter of the spacing
    assert 0.22 < off.max() <= 0.25
    assert -0.25 <= off.min() < -0.22
    for table in taken:
        assert table.nodes.size == POINTS
        assert np.array_equal(table.costs, np.sin(table.nodes))


@pytest.mark.parametrize("size", [1.0, -3.0, 2.0**-60])
def test_a_jump_stays_as_large_in_each_narrower_table(size):
    where = 0.3137

    def cost(t):
        return size * ((t > where) + 0.125 * t)

    noises, place, slope = noise_within(line_of(cost), (-1.0, 1.0), 1e-9, rng())
    assert len(noises) == 4
    assert max(noises) <= 2 * min(noises)
    # a jump in one of 8 intervals is about the root mean square of differences by a third of it
    assert 0.1 * abs(size) < noises[-1] < 0.6 * abs(size)
    assert place[0] <= where <= place[1]
    # each table is as wide as one interval of the one before, of 2/7 at first: 0.5 to 1.5 of 1/7
    assert 2 / 7 * (0.5 / 7) ** 3 <= place[1] - place[0] <= 2 / 7 * 1.5 * (1.5 / 7) ** 3
    assert slope == pytest.approx(0.125 * size)


def test_tables_end_at_the_depth_or_at_the_finest_spacing():
    def cost(t):
        return (t > 0.3) + t

    for depth in (1, 2, 3, 7):
        noises, _, _ = noise_within(line_of(cost), (0.0, 1.0), 1e-12, rng(), depth)
        assert len(noises) == depth
    # a table with a spacing of 1/7 is made where that is allowed, and none that is finer
    for finest, tables in ((0.999 / 7, 1), (1.001 / 7, 0)):
        noises, place, slope = noise_within(line_of(cost), (0.0, 1.0), finest, rng())
        assert len(noises) == tables
        if not tables:
            assert (place, slope) == ((0.0, 1.0), 0.0)


def test_a_smooth_cost_shows_no_noise_and_equal_costs_end_the_search():
    noises, _, _ = noise_within(line_of(lambda t: np.exp(3 * t)), (0.0, 1.0), 1e-9, rng())
    assert noises == [0.0]
    # beside so long a spacing the period is short, which looks like noise; then it is long
    noises, _, _ = noise_within(line_of(lambda t: np.sin(40 * t)), (0.0, 1.0), 1e-9, rng())
    assert noises[0] > 0
    assert noises[-1] == 0
    assert len(noises) < 4
    assert noise_within(line_of(np.ones_like), (0.0, 1.0), 1e-9, rng()) == ([], (0.0, 1.0), 0.0)


@pytest.mark.parametrize("size", [1.0, -1.0, 2.0**-50, -(2.0**50)])
@pytest.mark.parametrize("where", [0.3001, -0.7, 1.9])
def test_a_jump_is_found_by_bisection_and_a_kink_is_not(size, where):
    def jump(t):
        return size * (3 * t + (t > where))

    def kink(t):
        return size * (3 * t + np.abs(t - where))

    place, slope, finest = (-1.0, 2.0), 3 * size, 2.0**-20
    for height, found in ((0.5, True), (0.99, True), (1.01, False)):
        assert has_jump(line_of(jump), place, slope, height * abs(size), finest) is found
    # far higher than what is asked for, too
    assert has_jump(line_of(jump), place, slope, 1e-3 * abs(size), finest)
    assert not has_jump(line_of(kink), place, slope, 0.5 * abs(size), finest)
    # a smooth cost of that slope has none, however low
    assert not has_jump(line_of(lambda t: slope * t), place, slope, 1e-3 * abs(size), finest)
    outside = line_of(lambda t: np.where(t > 1, np.nan, jump(t)))
    assert not has_jump(outside, (-1.0, 2.5), slope, 0.5 * abs(size), finest) or where < 0.75


@pytest.mark.parametrize("size", [1.0, -1.0])
def test_a_jump_may_be_a_sixteenth_of_the_first_change(size):
    # from −1 to 2 the cost changes by 1 + 3 c, and the curved part leads to the jump
    for c, found in ((4.9, True), (5.1, False)):
        line = line_of(lambda t, c=c: size * ((t > 1.9) + c * t**2))
        assert has_jump(line, (-1.0, 2.0), 0.0, 0.5, 2.0**-20) is found


@pytest.mark.parametrize("size", [1.0, -1.0, 2.0**-50])
@pytest.mark.parametrize("power", [1, 2, 3])
def test_a_pole_is_no_jump(size, power):
    line = line_of(lambda t: size / (t - 0.3001) ** power)
    for place in ((-1.0, 2.0), (0.2, 0.5), (0.3, 0.3002)):
        assert not has_jump(line, place, 0.0, 0.5 * abs(size), 2.0**-30)


def test_bisection_takes_a_call_for_each_halving():
    assert has_jump(line_of(lambda t: 1.0 * (t > 0.3)), (0.0, 1.0), 0.0, 1.0, 2.0**-10)
    calls = []

    def line(nodes):
        calls.append(nodes.size)
        return nodes, np.where(nodes > 0.3, 1.0, 0.0)

    assert has_jump(line, (0.0, 1.0), 0.0, 0.5, 2.0**-10)
    assert calls == [2] + 10 * [1]
    # it ends where rounding leaves no point between
    calls.clear()
    assert has_jump(lambda t: line(np.round(8 * t) / 8), (0.0, 1.0), 0.0, 0.5, 2.0**-40)
    assert len(calls) < 8
