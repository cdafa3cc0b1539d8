"""What calls in a wider dtype show of a cost whose rounding is planted."""

import math
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest

from checks.estimation import cost_rounding as costs
from checks.estimation.precision import LINE, Copies, Lift
from checks.estimation.rounding_mode import toward_zero_is_available
from checks.evaluation.pointwise import Evaluations
from tests.checks.estimation.planted import INF, NAN, NARROW, SIGNS, WIDE, approx, rng


class Line:
    """Copies of a cost that is a function of the multiple t of the moves along the line."""

    eps, narrow_eps, narrowed, always_refused, shared = WIDE, NARROW, [], False, False

    def __init__(self, cost, far=()):
        self.values, self.function, self.far, self.calls = {"w": np.ones(1)}, cost, far, 0
        self.box = self

    def last_places(self, path, move=0):
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
        return np.float64(self.function(float((moves["w"] / self.move).item())))

    def costs(self, moves):
        self.calls += len(moves["w"])
        return moves["w"]


def cost_rounding_of(function, narrow=None, moved=()):
    copies = Line(function)
    at = function(0.0)
    # moved: (narrow, wide) costs far from the point
    far = [({"w": np.float64(wide)}, narrow) for narrow, wide in moved]
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
    for sign in SIGNS:
        assert cost_rounding_of(lambda t, s=sign: 4.0 * s)[0].wide_level == 2 * WIDE * 4
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
        return found

    found = SimpleNamespace(lift=Lift.HIDDEN)
    monkeypatch.setattr(costs, "cost_rounding", rounding)
    x = np.array([1.0, -4.0, 100.0], np.float32)
    evaluations = Evaluations(lambda x: float(np.sum(x.astype(float) ** 2)), x)
    assert costs.measure_cost_rounding(evaluations, rng()) is found
    assert seen["copies"].dtype == np.float64
    assert len(list(seen["moved"])) == 2
    costs.measure_cost_rounding(evaluations, rng(), 5)
    signs, factors, parts = set(), [], 2.0 ** -np.array([6, 8, 7, 12, 16])
    for (moves, cost), part in zip(seen["moved"], parts, strict=True):
        signs.add(tuple(np.sign(moves["params"]).tolist()))
        relative = np.abs(moves["params"]) / np.abs(x)
        assert np.all((relative > 0.74 * part) & (relative < 1.51 * part))
        factors.extend(relative / part)
        moved = (x + moves["params"]).astype(np.float32)
        assert np.array_equal(moved.astype(float) - x, moves["params"])
        assert cost == float(np.sum(moved.astype(float) ** 2))
    assert len(signs) > 2  # of each entry by itself
    assert min(factors) < 1
    assert max(factors) > 1.34


def test_calls_in_the_wider_dtype_and_toward_zero_are_counted():
    calls = []
    evaluations = Evaluations(lambda x: calls.append(1) or np.sum(np.sin(x)), np.ones(3))
    for measure in (partial(costs.measure_cost_rounding, rng=rng()), costs.estimate_cost_rounding):
        calls.clear()
        before = evaluations.count
        with evaluations.restoring_parameters():
            measure(evaluations)
        assert evaluations.count - before == len(calls)


@pytest.mark.parametrize("sign", SIGNS)
def test_much_noise_may_be_that_of_a_smooth_cost_on_shorter_lines(monkeypatch, sign):
    asked = []

    def where_smooth(line_of, noise, least, shortest):
        asked.append((noise, least, shortest))
        return Lift.LIFTS

    monkeypatch.setattr(costs, "_where_smooth", where_smooth)
    for places, lift in ((3.9, Lift.NARROW), (4.1, Lift.LIFTS)):
        noise = sign * places * 4 * NARROW  # last places of the cost
        found, _ = cost_rounding_of(lambda t, noise=noise: 4 + noise * is_third(t))
        assert found.lift is lift
    ((noise, least, shortest),) = asked
    assert noise == approx(4.1 * 4 * NARROW)
    assert least == 2 * WIDE * 4
    assert shortest == 8 * WIDE / NARROW


@pytest.mark.parametrize("sign", SIGNS)
def test_a_cost_is_smooth_if_shorter_lines_are_straighter_by_the_square_of_their_length(sign):
    t = np.array(LINE)
    bent = float(costs.off_the_line(t**2))  # of a parabola, over a line of length 1

    def where_smooth(power, noise, least=0.0, straight=64.0, shortest=1e-3):
        lengths = []

        def line_of(length):
            lengths.append(length)
            return sign * ((length * t) ** power + straight * length * t + 0.5)

        return costs._where_smooth(line_of, noise, least, shortest), lengths

    first = costs.FAR / 64 / 8
    expected = first / 8.0 ** np.arange(20)
    # the second line is the first that is compared; scaled up to the longest, it is `noise`
    found, lengths = where_smooth(2, bent * (costs.FAR / 64) ** 2)
    assert (found, lengths) == (Lift.LIFTS, expected[:2].tolist())
    for factor, lift in ((1023, Lift.LIFTS), (1025, Lift.NARROW)):
        found, lengths = where_smooth(2, factor * bent * (costs.FAR / 64) ** 2)
        assert found is lift
    assert lengths == expected[expected >= 1e-3].tolist()
    assert where_smooth(2, 1e-9, shortest=first / 8)[0] is Lift.LIFTS
    assert where_smooth(2, 1e-9, shortest=first / 7.9)[0] is Lift.NARROW
    # lines may be straighter by 64 up to a factor of 3, and as long as that shows
    assert [where_smooth(p, 1e-9)[0] for p in (1.4, 1.5, 2.5, 2.6)] == [
        Lift.NARROW, Lift.LIFTS, Lift.LIFTS, Lift.NARROW,
    ]  # fmt: skip
    second = bent * expected[1] ** 2
    assert where_smooth(2, 1e-9, least=0.99 * second)[0] is Lift.LIFTS
    assert where_smooth(2, 1e-9, least=second)[0] is Lift.NARROW
    # and the cost has to change by four times as much from end to end
    for factor, lift in ((4.1, Lift.LIFTS), (3.9, Lift.NARROW)):
        straight = factor * bent * expected[1] / LINE[-1] - LINE[-1] * expected[1]
        assert where_smooth(2, 1e-9, straight=straight, shortest=expected[1])[0] is lift


@pytest.mark.parametrize("sign", SIGNS)
def test_the_rounding_is_estimated_by_rounding_toward_zero(monkeypatch, sign):
    monkeypatch.setattr(costs, "toward_zero_is_available", lambda: True)
    planted = {}
    monkeypatch.setattr(
        Copies, "cost", lambda self, moves=None, toward_zero=False: planted[toward_zero]
    )
    evaluations = Evaluations(lambda x: sign * 4.0, np.ones(2))
    planted[False] = np.float64(4.0)
    for truncated, change in ((sign * 3.75, 0.25), (sign * 4.5, 0.5), (NAN, 4.0), (INF, 4.0)):
        planted[True] = np.float64(truncated)
        assert costs.estimate_cost_rounding(evaluations) == change
    monkeypatch.setattr(costs, "toward_zero_is_available", lambda: False)
    assert costs.estimate_cost_rounding(evaluations) == 0


def copying(x):
    index = np.array([0.1]) * 3 * 10  # less than 3 if rounding is toward zero
    return x[int(index[0])]


@pytest.mark.parametrize("of_copies", [copying, lambda x: copying(x) * 0])
def test_another_choice_of_entries_is_no_rounding(of_copies):
    x = np.array([0.5, -1.5, 2.5, 3.5])
    assert costs.estimate_cost_rounding(Evaluations(of_copies, x)) == 0


def test_what_is_lost_beside_entries_that_are_whole_numbers_is_rounding():
    x = np.array([0.0, 1.0, 2.0, 3.0])
    absorbed = lambda x: (1e16 + x[3]) - 1e16  # noqa: E731 — 4, or 2 toward zero: both are even
    rounding = costs.estimate_cost_rounding(Evaluations(absorbed, np.append(x, 4.0)))
    assert rounding == (2.0 if toward_zero_is_available() else 0.0)


@pytest.mark.parametrize("sign", SIGNS)
@pytest.mark.parametrize("only_copies", [True, False])
def test_a_change_of_more_than_rounding_may_be_another_choice(monkeypatch, sign, only_copies):
    asked, planted = [], {}
    monkeypatch.setattr(costs, "toward_zero_is_available", lambda: True)
    monkeypatch.setattr(costs, "_only_copies", lambda *_: asked.append(1) or only_copies)
    monkeypatch.setattr(
        Copies, "cost", lambda self, moves=None, toward_zero=False: planted[toward_zero]
    )
    evaluations = Evaluations(lambda x: sign * 4.0, np.ones(2))
    for part, is_asked in ((0.99, False), (1.01, True)):
        change = part * 2.0**-26 * 4
        asked.clear()
        planted[True] = np.float64(sign * (4.0 - change))
        found = costs.estimate_cost_rounding(evaluations)
        assert bool(asked) == is_asked
        assert found == approx(0.0 if is_asked and only_copies else change)


@pytest.mark.parametrize("sign", SIGNS)
@pytest.mark.parametrize(
    ("share", "scatter", "lift"),
    [
        (2.0**-4, 0, Lift.NARROW),  # as random numbers that are others in another dtype
        (2.0**-6, 0, Lift.LIFTS),
        (2.0**-4, 2.0**-8, Lift.LIFTS),  # as rounding where terms cancel
    ],
)
def test_a_cost_that_differs_alike_near_by_is_another_function(sign, share, scatter, lift):
    calls = iter(range(1000))

    def cost(x):
        at = float(x[0]) + 0.5 * float(x[1]) ** 2
        if x.dtype == np.float64:
            return sign * at
        return sign * at * (1 + share + scatter * (-1) ** next(calls))

    evaluations = Evaluations(cost, np.array([1.0, -0.75], np.float32))
    before = evaluations.count
    found = costs.measure_cost_rounding(evaluations, rng())
    assert found.lift is lift
    assert math.isnan(found.level) == (lift is Lift.NARROW)
    assert found.relative == approx(share, rel=1 / 16)
    narrow = next(calls) - 1
    assert evaluations.count - before > narrow  # all calls are counted
