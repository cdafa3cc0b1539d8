"""How the noise of a cost follows from tables and roundings, which are planted here."""

import math
from types import SimpleNamespace

import numpy as np
import pytest

from checks.estimation import noise as noise_module
from checks.estimation.noise import (
    CostNoise,
    Noise,
    _narrowest_dtype,
    _noise_along,
    absorbed_change,
    changes_nothing,
    measure_noise,
)
from checks.estimation.precision import Lift
from checks.estimation.result_noise import draw_units
from checks.evaluation.pointwise import Evaluations
from checks.evaluation.results import Results

EPS = 2.0**-52
SIGNS = [1, -1]
INF, NAN = math.inf, math.nan


def rng(seed=0):
    return np.random.default_rng(seed)


# A noise that is known in part.


def test_a_noise_is_raised_to_at_least_another():
    found = Noise(2.0, 0.5, True, True)
    assert found.at_least(1.0) is found.at_least(2.0) is found
    raised = found.at_least(3.0)  # of a cost of 4
    assert raised == Noise(3.0, 0.75, True, True)
    assert Noise(0.0, 0.0, False, False).at_least(3.0) == Noise(3.0, 1.0, False, False)


class Measured:
    """The noise of a cost of size 8 from planted measurements."""

    def __init__(self, monkeypatch, rounding=None, change=0.0, table=1e-9, size=1, repeats=True):
        self.asked = []
        evaluations = SimpleNamespace(
            repeat_at_point=lambda: (self.asked.append("again"), 8.0 if repeats else 8.5)[1],
            at_point=8.0, size=size, eps=EPS, shared=False, cost=SimpleNamespace(),
        )  # fmt: skip
        for name, found in (
            ("measure_noise", Noise(table, table / 8, False, False)),
            ("estimate_cost_rounding", change),
            ("measure_cost_rounding", rounding),
        ):
            monkeypatch.setattr(
                noise_module, name,
                lambda *_, name=name, found=found: (self.asked.append(name), found)[1],
            )  # fmt: skip
        self.noise = CostNoise(evaluations, 0)


def rounding_of(level, lift=Lift.LIFTS, has_digits=True):
    return SimpleNamespace(level=level, relative=level / 8, lift=lift, has_digits=has_digits)


def test_a_cost_that_lifts_has_the_noise_of_its_rounding(monkeypatch):
    found = Measured(monkeypatch, rounding_of(1e-12))
    assert found.noise.measured == Noise(1e-12, 1e-12 / 8, False, False, lifts=True)
    assert "measure_noise" not in found.asked
    # unless rounding toward zero shows a narrow stage, which changes it 1024 times as much
    for factor, level in ((1000, 1e-12), (1030, 1030e-12)):
        found = Measured(monkeypatch, rounding_of(1e-12), change=factor * 1e-12)
        assert found.noise.measured.level == pytest.approx(level)
        assert found.noise.measured.lifts == (factor == 1000)


@pytest.mark.parametrize("lift", [Lift.NARROW, Lift.HIDDEN])
def test_a_cost_that_does_not_lift_has_the_larger_of_table_and_rounding(monkeypatch, lift):
    for level, expected in ((1e-6, 1e-6), (1e-12, 1e-9)):
        found = Measured(monkeypatch, rounding_of(level, lift))
        assert found.noise.measured.level == expected
        assert "measure_noise" in found.asked
    # what rounding toward zero changes counts only where it is far more
    for change, expected in ((1e-7, 1e-9), (2e-6, 2e-6)):
        found = Measured(monkeypatch, rounding_of(1e-12, lift), change=change)
        assert found.noise.measured.level == expected


def test_where_the_rounding_is_not_known_that_toward_zero_counts_fully(monkeypatch):
    for rounding in (None, rounding_of(NAN, Lift.NARROW)):
        for change, expected in ((1e-10, 1e-9), (2e-9, 2e-9)):
            found = Measured(monkeypatch, rounding, change=change)
            assert found.noise.measured.level == expected


@pytest.mark.parametrize("sign", SIGNS)
def test_a_cost_may_know_its_own_noise(monkeypatch, sign):
    for lift, noise, expected in (
        (Lift.NARROW, 1e-5, Noise(1e-5, 1e-5 / 8, False, False)),
        (Lift.HIDDEN, 16.0, Noise(16.0, 1.0, False, False)),
        (Lift.LIFTS, 1e-5, Noise(1e-12, 1e-12 / 8, False, False, lifts=True)),
        (Lift.NARROW, 0.0, Noise(1e-9, 1e-9 / 8, False, False)),
    ):
        found = Measured(monkeypatch, rounding_of(1e-12, lift))
        found.noise._evaluations.cost.noise = noise
        found.noise._evaluations.at_point = sign * 8.0
        found.noise._repeats = True
        assert found.noise.measured == expected


def test_each_of_several_results_has_to_show_that_it_lifts(monkeypatch):
    memo = SimpleNamespace(lifts=False)
    for lift, tries in (
        (Lift.HIDDEN, 1),
        (Lift.NARROW, 1),
        (Lift.LIFTS, 1),
        (Lift.HIDDEN, 1),  # another has shown it, but may have other stages
        (Lift.NARROW, 2),  # now that another has shown it, a second direction is tried
    ):
        found = Measured(monkeypatch, rounding_of(1e-12, lift))
        found.noise._evaluations.shared = True
        found.noise._evaluations.cost = SimpleNamespace(memo=memo)
        assert (found.noise.measured.level == 1e-12) == (lift is Lift.LIFTS)
        assert found.asked.count("measure_cost_rounding") == tries


def test_a_cost_of_exactly_zero_shows_no_rounding(monkeypatch):
    found = Measured(monkeypatch, rounding_of(0.0))
    assert found.noise.measured.level == 1e-9
    assert "measure_noise" in found.asked


def test_large_costs_are_not_called_in_a_wider_dtype(monkeypatch):
    for size, asked in ((256, True), (257, False)):
        found = Measured(monkeypatch, rounding_of(1e-12), size=size)
        assert (found.noise.measured.level == 1e-12) == asked
        assert ("measure_cost_rounding" in found.asked) == asked


@pytest.mark.parametrize("lift", [Lift.LIFTS, Lift.NARROW])
def test_of_a_cost_without_digits_nothing_is_known(monkeypatch, lift):
    found = Measured(monkeypatch, rounding_of(0.25, lift, has_digits=False)).noise.measured
    assert found == Noise(INF, INF, stochastic=False, is_constant=False)


def test_a_cost_that_does_not_repeat_itself_is_stochastic(monkeypatch):
    found = Measured(monkeypatch, rounding_of(1e-12), repeats=False)
    assert found.noise.measured == Noise(1e-9, 1e-9 / 8, True, False)
    assert found.asked == ["again", "measure_noise"]


def test_noise_is_measured_at_once_where_costs_of_one_point_differ(monkeypatch):
    for costs, measured in (([8.0, 8.0, 8.0], False), ([8.0, 8.0, 8.1], True), ([8.0], False)):
        found = Measured(monkeypatch, rounding_of(1e-12))
        found.noise.measure_if_not_repeatable(np.array(costs))
        assert ("measured" in vars(found.noise)) == measured
        assert found.asked.count("again") == (measured or len(costs) < 2)
        # until then 64 last places are assumed, and told as one
        expected = Noise(64 * EPS * 8, EPS, False, False)
        assert found.noise.known == (found.noise.measured if measured else expected)
    # two calls that were the same need no third
    found = Measured(monkeypatch, rounding_of(1e-12))
    found.noise.measure_if_not_repeatable(np.array([8.0, 8.0]))
    assert found.noise.measured.level == 1e-12
    assert "again" not in found.asked
    found = Measured(monkeypatch, repeats=False)
    found.noise.measure_if_not_repeatable(np.array([8.0]))
    assert found.noise.known.stochastic


@pytest.mark.parametrize("sign", SIGNS)
def test_the_assumed_noise_is_that_of_the_size_of_the_cost(monkeypatch, sign):
    found = Measured(monkeypatch)
    found.noise._evaluations.at_point = sign * 8.0
    assert found.noise.known.level == 64 * EPS * 8


# Tables around the point.


def measured(monkeypatch, tables, cost=None, x=(1.0, 2.0), seed=0):
    """Measure with planted tables: their levels, and whether they were widened."""
    turn, asked = iter(tables), []

    def along(line, side, spacing, largest_spacing, stochastic, _terms, rng):
        line(np.arange(3.0))  # some costs are met
        asked.append((side, spacing, largest_spacing, stochastic))
        return next(turn)

    monkeypatch.setattr(noise_module, "_noise_along", along)
    cost = cost or (lambda x: 4.0 + np.sum(x) * 2.0**-30)
    return measure_noise(Evaluations(cost, np.array(x)), rng(seed)), asked


def test_the_largest_of_three_tables_counts_up_to_64_times_the_others(monkeypatch):
    for levels, expected in (
        ([1e-6, 3e-6, 2e-6], 3e-6),
        ([3e-6, 1e-6, 2e-6], 3e-6),
        ([1e-6, 1e-3, 2e-6], 64 * 2e-6),
        ([0.0, 1e-6, 0.0], 64 * 2.0**-50),  # beside tables that show nothing, of the last place
        ([1e-6, 1e-6, 1.0], 64e-6),
    ):
        found, _ = measured(monkeypatch, [(level, False) for level in levels])
        assert found.level == pytest.approx(expected)
        assert found.relative == pytest.approx(expected / 4, rel=1e-6)
        assert not found.stochastic
        assert not found.is_constant


@pytest.mark.parametrize("sign", SIGNS)
def test_noise_is_relative_to_the_largest_cost_that_was_met(monkeypatch, sign):
    for at_point, beside in ((4.0, -64.0), (64.0, 4.0)):
        cost = lambda x, at=at_point, b=beside: sign * (at if x[0] == 1 else b)  # noqa: E731
        found, _ = measured(monkeypatch, [(1e-6, False)] * 3, cost)
        assert found.relative == pytest.approx(1e-6 / 64)


def test_two_tables_lie_beside_the_point(monkeypatch):
    # 2^-5 of the size times ½ to 1, in units of two or six last places that count as four
    far = []
    for seed in range(20):
        met = []
        measured(
            monkeypatch,
            [(0.0, False)] * 3,
            lambda x, met=met: met.append(x[0]) or 1.0,
            (1.0,),
            seed,
        )
        moves = np.abs(np.array(met[2:11]) - 1).reshape(3, 3)
        assert moves[0].max() < 2.0**-40
        far.extend(moves[1:, 0])
    assert 2.0**-7.01 < min(far) < 2.0**-6.5
    assert 2.0**-5 < max(far) < 1.501 * 2.0**-5


def test_where_no_slope_shows_an_oscillation_is_searched_for_to_the_end(monkeypatch):
    depths = []

    def noise_within(line, place, finest, rng, depth):
        depths.append(depth)
        return [1e-6] * 3, place, 0.0

    monkeypatch.setattr(noise_module, "noise_within", noise_within)
    planted = rng(3).standard_normal(1000)
    for slope, depth in ((0.0, noise_module.DEEPEST), (1e-3, noise_module.DEPTH)):
        depths.clear()
        drawn = iter(planted)
        line = lambda t, s=slope, d=drawn: (t, 1 + s * t + 1e-6 * np.array([next(d) for _ in t]))  # noqa: E731
        _noise_along(line, 0, 64.0, 2.0**30, False, 0.0, rng())
        assert depths[0] == depth


def test_three_more_tables_are_taken_where_one_was_widened(monkeypatch):
    for widened in range(3):
        tables = [(1e-6, k == widened) for k in range(3)] + [(2e-6, False)] * 3
        found, asked = measured(monkeypatch, tables)
        assert len(asked) == 6
        assert found.level == 2e-6
    # more than a third of six have to show it: the third largest counts
    tables = [(1e-2, True), (1e-2, True), (1e-8, True), (1e-8, False), (0.0, True), (0.0, True)]
    assert measured(monkeypatch, tables)[0].level == pytest.approx(64e-8)
    tables[2] = (1e-2, True)
    assert measured(monkeypatch, tables)[0].level == 1e-2


def test_tables_lie_around_the_point_and_beside_it(monkeypatch):
    _, asked = measured(monkeypatch, [(1e-6, False)] * 3)
    unit = 4 * EPS
    spacing, largest = EPS**0.4 / unit, round(2.0**-5 / unit) / 8
    assert asked == [(0, spacing, largest, False)] * 3


def test_a_table_lies_on_one_side_where_the_box_ends():
    spaced = []

    def along(line, side, spacing, largest_spacing, stochastic, _terms, rng):
        line(np.array([0.0]))
        spaced.append(side)
        return 1e-6, False

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(noise_module, "_noise_along", along)
        point = np.array([1.0, 2.0])
        evaluations = Evaluations(np.sum, point, bounds=(np.array([1.0, -INF]), None))
        measure_noise(evaluations, rng())
    assert spaced == [1, 0, 0]


@pytest.mark.parametrize("sign", SIGNS)
def test_noise_is_at_least_that_of_a_last_place(monkeypatch, sign):
    found, _ = measured(monkeypatch, [(0.0, False)] * 3, cost=lambda x: sign * (4 + x[0]))
    assert found.level == 2.0**-50 / math.sqrt(12)
    assert found.relative == pytest.approx(found.level / 5, rel=0.1)
    # of a number that rounds to the smallest subnormal, that
    tiny = lambda x: sign * 5e-324 * (1 + (x[0] > 1))  # noqa: E731
    assert measured(monkeypatch, [(0.0, False)] * 3, cost=tiny)[0].level == 5e-324


def test_a_few_jumps_count_whole(monkeypatch):
    # each table takes three costs; only at units of 0, one cost differs
    met = iter(range(1000))

    def cost(x):
        return 4.0 + (0.5 if next(met) == 5 else 0.0)

    found, _ = measured(monkeypatch, [(0.0, False)] * 3, cost=cost)
    assert found.level == 0.5
    # where most costs differ, tables would have shown it
    found, _ = measured(monkeypatch, [(0.0, False)] * 3, cost=lambda x: 4 + x[0])
    assert found.level < 1e-15


def test_a_cost_that_is_flat_at_zero_has_half_of_its_digits(monkeypatch):
    tables = [(0.0, False)] * 3
    # √(1 + z) − √z of large z, which is 2^-10 and 2^-8 at smaller parameters
    cost = lambda x: {1.0: 0.0, 0.5: -(2.0**-10), 0.125: 2.0**-8}.get(float(x[0]), 0.0)  # noqa: E731
    found, _ = measured(monkeypatch, tables, cost=cost, x=(1.0,))
    assert found.level == math.sqrt(EPS) * 2.0**-8
    assert found.relative == math.sqrt(EPS)
    assert not found.is_constant
    undefined = lambda x: math.nan if x[0] == 0.125 else cost(x)  # noqa: E731
    assert measured(monkeypatch, tables, undefined, (1.0,))[0].level == math.sqrt(EPS) * 2.0**-10
    assert measured(monkeypatch, tables, lambda x: 0.0)[0] == Noise(5e-324, 0.0, False, True)
    assert measured(monkeypatch, tables, lambda x: 4.0)[0].is_constant


def test_repeated_calls_show_the_noise_of_a_stochastic_cost(monkeypatch):
    values = iter([4.0, *([4.0 + 2.0**-3, 4.0 - 2.0**-3] * 500)])
    found, asked = measured(monkeypatch, [(1e-9, False)] * 3, cost=lambda x: next(values))
    assert found.stochastic
    assert found.level == 2.0**-3
    assert all(stochastic for *_, stochastic in asked)
    values = iter([4.0, *([4.0 + 2.0**-3, 4.0 - 2.0**-3] * 500)])
    found, _ = measured(monkeypatch, [(0.5, False)] * 3, cost=lambda x: next(values))
    assert found.level == 0.5


# One table along a line.


def noise_along(cost, spacing=16.0, largest=2.0**40, side=0, stochastic=False, terms=0.0, seed=0):
    taken = []

    def line(nodes):
        nodes = np.round(nodes)
        taken.append(nodes)
        return nodes, cost(nodes)

    return *_noise_along(line, side, spacing, largest, stochastic, terms, rng(seed)), taken


def rough(nodes, size=1.0):
    """Return noise that is a function of the node."""
    return size * np.array([rng(int(n) + 2**40).standard_normal() for n in nodes])


@pytest.mark.parametrize("side", [-1, 0, 1])
def test_a_table_lies_around_the_origin_or_on_one_side(side):
    level, grown, taken = noise_along(lambda t: 1 + rough(t, 1e-6), side=side)
    assert not grown
    assert 2e-7 < level < 5e-6
    assert (taken[0][0], taken[0][-1]) == ((side - 1) * 56, (side + 1) * 56)


def test_the_spacing_shrinks_while_the_function_shows():
    level, grown, taken = noise_along(lambda t: np.exp(t / 64), spacing=2.0**10)
    assert not grown
    spacings = [(nodes[-1] - nodes[0]) / 7 for nodes in taken]
    assert spacings == pytest.approx([2.0**10, 2.0**8, 2.0**6, 2.0**4, 4, 2], rel=0.1)
    assert level == 0


def test_the_spacing_grows_while_the_cost_is_constant():
    for largest, tables in ((2.0**9 * 0.99, 1), (2.0**9, 2), (2.0**14, 3), (2.0**19, 4)):
        level, grown, taken = noise_along(lambda t: np.ones(t.size), largest=largest)
        assert level == 0
        assert grown == (tables > 1)
        spacings = [(nodes[-1] - nodes[0]) / 7 for nodes in taken]
        assert spacings == pytest.approx([16 * 32.0**k for k in range(tables)], rel=0.05)


def test_a_spacing_that_has_shrunk_does_not_grow_again():
    # smooth over the first spacing, and constant over a shorter one
    cost = lambda t: np.where(np.abs(t) < 300, 0.0, np.exp(np.abs(t) / 100))  # noqa: E731
    level, grown, taken = noise_along(cost, spacing=2.0**8)
    assert (level, grown) == (0, False)
    assert np.ptp(taken[-1]) == 7 * 2.0**6


def test_quantised_costs_have_the_noise_of_their_jumps():
    for width in (2.0**9, 2.0**14):
        level, grown, _ = noise_along(lambda t, width=width: np.floor((t + 77) / width))
        assert grown
        assert level == pytest.approx(1 / math.sqrt(12), rel=0.7)
    # coarser jumps of another term show at longer spacings
    cost = lambda t: 1e-6 * np.floor((t + 77) / 2.0**9) + np.floor((t + 77) / 2.0**18)  # noqa: E731
    assert noise_along(cost)[0] == pytest.approx(1 / math.sqrt(12), rel=0.7)


@pytest.mark.parametrize("size", SIGNS)
def test_a_kink_is_no_noise(size):
    for where in (0.0, 17.0, -30.0):
        cost = lambda t, where=where: size * np.abs(t - where - 0.5)  # noqa: E731
        # only at last places it cannot be told from noise, which is what it changes there
        assert noise_along(cost, spacing=2.0**12)[0] < 2


def test_an_oscillation_is_no_noise_but_one_within_last_places_is():
    assert noise_along(lambda t: np.sin(t / 16), spacing=2.0**12)[0] == 0
    level, _, _ = noise_along(lambda t: np.sin(2.5 * t), spacing=2.0**12)
    assert 0.2 < level < 2


def test_noise_of_few_last_places_of_the_cost_is_believed_at_once():
    last_place = 2.0**-52
    level, _, taken = noise_along(lambda t: 1 + last_place * np.round(rough(t, 2)))
    assert last_place / 2 < level < 8 * last_place
    assert len(taken) == 1
    level, _, taken = noise_along(lambda t: 1 + rough(t, 1e-9))
    assert len(taken) > 1  # it may be the function: finer tables are taken
    level, _, taken = noise_along(lambda t: 1 + rough(t, 1e-9), stochastic=True)
    assert len(taken) == 1
    for terms, at_once in ((4e6, True), (4e3, False)):  # last places of what the cost adds up
        taken = noise_along(lambda t: 1 + rough(t, 1e-9), terms=terms)[-1]
        assert (len(taken) == 1) is at_once


def test_outside_of_the_domain_nothing_is_found():
    level, grown, taken = noise_along(lambda t: np.full(t.size, NAN))
    assert (level, grown, len(taken)) == (0, False, 1)


# Whether a cost depends on some arrays.


def nothing(cost, x, paths=("a",), bounds=None, seed=0):
    evaluations = Evaluations(cost, x, bounds=bounds)
    before = evaluations.count
    return changes_nothing(evaluations, paths, rng(seed)), evaluations.count - before


X = {"a": np.array([2.0, -3.0]), "b": np.array([0.5])}


def test_an_array_that_is_read_changes_something():
    for cost in (
        lambda p: np.sum(p["a"]),
        lambda p: p["a"][1] ** 2,
        lambda p: float(p["a"][0] > 2.05) + np.sum(p["b"]),
        lambda p: float(p["a"][0] < 1.95),
        lambda p: float(abs(p["a"][1]) < 0.2),  # close to zero
        lambda p: float(p["a"][0] > 3.9),
    ):
        assert not nothing(cost, X)[0]
    assert nothing(lambda p: 1.0, X)[0]
    # the other array moves with this one towards zero; alone it is told apart
    assert nothing(lambda p: np.sum(p["b"]), X)[0]
    assert not nothing(lambda p: np.sum(p["b"]), X, ("a", "b"))[0]
    assert not nothing(lambda p: np.sum(p["a"]), X, ("b", "a"))[0]
    assert nothing(lambda p: 1.0, X, ("a", "b"))[0]


def test_units_that_are_saturated_at_the_point_are_seen_where_they_are_not():
    # alive below half, or an eighth, of the parameters alone, and only beside other small ones
    for limit in (0.6, 0.14):
        cost = lambda p, limit=limit: float(  # noqa: E731
            p["a"][0] * (abs(p["b"][0]) < 0.5 * limit)
        )
        assert not nothing(cost, X)[0]


def test_bounds_that_leave_no_room_show_nothing():
    ones = {"a": X["a"], "b": X["b"]}
    fixed = ({"a": X["a"], "b": None}, {"a": X["a"], "b": None})
    assert not nothing(lambda p: 1.0, ones, bounds=fixed)[0]
    assert nothing(lambda p: 1.0, ones, ("b",), bounds=fixed)[0]


def test_where_the_cost_is_not_finite_at_smaller_parameters_it_is_not_moved_there():
    cost = lambda p: 1.0 if abs(p["b"][0]) > 0.3 else NAN  # noqa: E731
    found, calls = nothing(cost, X)
    assert not found or calls  # nan differs from the cost: moves toward zero see it
    complete = nothing(lambda p: 1.0, X)[1]
    assert calls < complete == 2 + 3 * 6 + 3


def test_the_last_moves_lead_a_quarter_of_the_way_to_an_end_and_almost_all_of_it():
    moved, at = [], X["a"].copy()
    assert nothing(lambda p: moved.append(p["a"] / at - 1) or 1.0, X)[0]
    parts = np.abs(moved[-3:])
    np.testing.assert_allclose(parts, np.repeat([[0.25], [1 - 2.0**-10], [1 - 2.0**-10]], 2, 1))
    assert min(map(np.min, moved[-3:])) < 0  # half of the entries come close to 0


@pytest.mark.parametrize(
    ("cost", "above"),
    [
        (lambda x: float(np.sum(np.sin(x))), 64 * EPS),
        (lambda x: float(np.float32(np.sum(np.sin(x)))), 2.0**-23),
        (lambda x: float(np.sin(x[0] - 0.5)), 2.0**-23),  # beside 0 a kink is many last places high
    ],
    ids=["float64", "float32", "zero"],
)
def test_more_noise_than_places_of_the_costs_may_be_jumps(cost, above):
    found = measure_noise(Evaluations(cost, np.array([0.5, -1.25, 2.0])), rng())
    assert found.may_jump_above == above


@pytest.mark.parametrize(("dtype", "above"), [(np.float32, 2.0**-23), (np.float64, 2.0**-30)])
def test_more_noise_than_a_float32_has_may_be_jumps_of_results(monkeypatch, dtype, above):
    results = Results(lambda x: np.sin(x).astype(dtype), np.array([0.5, -1.25, 2.0]))
    contraction = results.contractions([{"f(x)": np.ones(3)}])[0]
    evaluations = Evaluations(contraction, np.array([0.5, -1.25, 2.0]))
    noise = Noise(1e-9, 1e-9, False, False, 2.0**-30)
    monkeypatch.setattr(noise_module, "measure_noise", lambda *_: noise)
    monkeypatch.setattr(noise_module, "measure_cost_rounding", lambda *_: None)
    with evaluations.restoring_parameters():
        assert CostNoise(evaluations, 0).measured.may_jump_above == above
    assert Noise(1.0, 1.0, False, False).may_jump_above == 2.0**-23


# What a cost absorbs.


def absorbed(cost, x=(4.0, -2.0), entries=(1,), seed=0):
    """Return what shows of entries, and how they moved relative to the size of all, shrunken."""
    x, moved = np.array(x), []

    def of_shrink(p):
        shrink = p[0] / x[0]  # entry 0 only shrinks
        off = p[1:] / (shrink * x[1:]) - 1
        moved.append((shrink, off))
        return cost(shrink, off)

    evaluations = Evaluations(of_shrink, x.copy())
    moved.clear()
    with evaluations.restoring_parameters():
        found = absorbed_change(evaluations, {"params": np.array(entries)}, rng(seed))
    return found, moved


@pytest.mark.parametrize("sign", SIGNS)
@pytest.mark.parametrize("at", [0.9, 0.3, 0.06, 0.002])
def test_what_a_cost_absorbs_is_the_jump_where_it_first_shows(sign, at):
    # the change is proportional to the move where it shows, and the jump to where that is
    cost = lambda shrink, off: sign * (1 + 1e-3 * (shrink < at) * shrink * off[0])  # noqa: E731
    for seed in range(4):
        found, moved = absorbed(cost, seed=seed)
        offs = [abs(off[0]) for _, off in moved[1:] if off[0]]
        assert len(offs) == len(moved) - -(len(moved) // -3)  # two of three
        assert all(1 / 16 <= off <= 1 / 8 for off in offs)
        # the search ends when the jump stays: six halvings of a factor of up to 4 on the parameters
        assert found == pytest.approx(1e-3 * at * offs[-1], rel=4**2.0**-6 - 1)
        first, second = (off[0] for _, off in moved[1:3])
        assert first == pytest.approx(-second)
        assert len(moved) <= 105


def test_entries_that_may_be_absorbed_move_to_either_side():
    ratios = []
    for seed in range(8):
        _, moved = absorbed(lambda shrink, off: 1.0, (4.0, -2.0, 3.0), (1, 2), seed)
        ratios.append(moved[1][1][0] / moved[1][1][1])
    assert min(ratios) < 0 < max(ratios)


@pytest.mark.parametrize("sign", SIGNS)
@pytest.mark.parametrize("size", [1.0, 2.0**20, 2.0**-20])
def test_what_grows_from_nothing_is_not_absorbed(sign, size):
    def jump(places, at=0.3):
        return lambda shrink, off: sign * size * (1 + places * EPS * (shrink < at) * bool(off[0]))

    # where a change begins without a jump, it is of 4 to 8 last places
    for places, shows in ((0, False), (4, False), (8, False), (9, True), (13, True)):
        found, moved = absorbed(jump(places))
        assert found == (places * EPS * size if shows else 0)
        if places <= 4:
            shrinks = 2.0 ** -np.append(np.arange(0, 4.1, 0.5), [6, 8, 10])
            np.testing.assert_allclose([shrink for shrink, _ in moved], np.repeat(shrinks, 3))
    assert absorbed(jump(100, at=2.0))[0] == 0  # it shows at the point
    one_side = lambda shrink, off: 1 + 100 * EPS * (shrink < 0.3) * (off[0] * sign > 0)  # noqa: E731
    assert absorbed(one_side)[0] == 100 * EPS
    nan = lambda shrink, off: NAN if off[0] * sign > 0 else jump(100)(shrink, off)  # noqa: E731
    assert absorbed(nan)[0] == 100 * EPS * size


# Small parts.


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_the_narrowest_dtype_that_holds_all_costs(dtype):
    costs = np.array([1.1, 2.3, -3.7]).astype(dtype).astype(float)
    evaluations = SimpleNamespace(values={"w": np.ones(1)})
    assert _narrowest_dtype(costs, evaluations) is np.dtype(dtype).type
    assert _narrowest_dtype(np.append(costs, INF), evaluations) is np.dtype(dtype).type
    # one or two numbers may fit by chance
    few = costs[:2]
    assert _narrowest_dtype(few, evaluations) is np.float64
    evaluations = SimpleNamespace(values={"v": np.ones(1), "w": np.ones(1, dtype)})
    assert _narrowest_dtype(few, evaluations) is np.dtype(dtype).type
    assert _narrowest_dtype(np.array([1e39, 1.0, 2.0]), evaluations) is np.float64
    assert _narrowest_dtype(np.array([1e5, 1.0, 2.0]), evaluations) is np.float32


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_unit_is_two_or_six_last_places(dtype):
    x = {"a": np.array([1.0, -3.0, 0.0] * 40, dtype), "b": np.array([1e3] * 40, dtype)}
    evaluations = Evaluations(lambda p: 0.0, x)
    units = draw_units(evaluations, 2.0**10, rng())
    size_of_a = np.sqrt(10 / 3)
    sizes = np.r_[[1.0, 3.0, size_of_a] * 40, [1e3] * 40].astype(dtype)
    ratios = np.abs(units) / np.spacing(sizes)
    assert set(ratios.tolist()) == {2, 6}
    assert 0.3 < np.mean(ratios == 2) < 0.7
    assert 0.3 < np.mean(units > 0) < 0.7


def test_units_are_shorter_beside_a_bound():
    room = 2.0**-40
    evaluations = Evaluations(lambda p: 0.0, np.ones(2), bounds=(1.0, np.array([1 + room, 2.0])))
    units = draw_units(evaluations, 2.0**20, rng())
    assert units[0] == pytest.approx(room / 2.0**20)
    assert units[1] in (2 * EPS, 6 * EPS)
    assert (units > 0).all()


@pytest.mark.parametrize("side", SIGNS)
@pytest.mark.parametrize("window", [(0.0038, 0.0079), (0.49, 1.01), (0.124, 0.251)])
def test_moves_of_several_sizes_are_tried_to_both_sides(side, window):
    # 2^-8, a half and an eighth of the size, 2, times ½ to 1
    low, high = window
    for seed in range(30):
        cost = lambda x: float(low < side * (x[0] - 2) < high)  # noqa: E731
        assert not nothing(cost, np.array([2.0]), ("params",), seed=seed)[0]


def test_two_numbers_that_are_not_finite_show_no_dtype():
    evaluations = SimpleNamespace(values={"w": np.ones(1)})
    assert _narrowest_dtype(np.array([0.1, 0.2, 0.3]), evaluations) is np.float64
    assert _narrowest_dtype(np.array([1.0, 1.0, 2.0, 2.0]), evaluations) is np.float64
    assert _narrowest_dtype(np.array([1.0, 2.0, 3.0]), evaluations) is np.float16


def test_a_cost_that_is_flat_at_some_of_the_points_is_not_constant(monkeypatch):
    tables = [(0.0, False)] * 3
    found, _ = measured(monkeypatch, tables, cost=lambda x: 0.0)
    assert found.is_constant
    jumps = iter([0.0, 0.0, 0.0, 0.0, 1e-3] + [0.0] * 1000)
    found, _ = measured(monkeypatch, tables, cost=lambda x: next(jumps))
    assert not found.is_constant
    assert found.level == 1e-3


@pytest.mark.parametrize(("within", "nothing"), [(0.0, False), (2.0**-44, False), (2.0**-38, True)])
def test_changes_within_a_part_of_the_cost_do_not_count(within, nothing):
    # the largest move, by b, changes the cost by 2^-40 of itself
    evaluations = Evaluations(lambda p: 8 + 2.0**-37 * p["b"][0], {"b": np.ones(1)})
    rng = np.random.default_rng(0)
    assert changes_nothing(evaluations, ["b"], rng, within=within) is nothing


@pytest.mark.parametrize("sign", SIGNS)
@pytest.mark.parametrize("at", [0.9, 0.3, 0.06])
def test_what_grows_from_zero_where_it_first_shows_is_no_jump(sign, at):
    """So does a dead relu that comes to life as parameters shrink."""
    cost = lambda shrink, off: sign * (1 + max(at - shrink, 0) * off[0])  # noqa: E731
    assert absorbed(cost)[0] <= 2.0**-49
