"""Flagged entries and their second estimates, which are planted here."""

import math
from dataclasses import replace
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest

from checks import check_gradient
from checks.estimation.finite_differences import Estimate
from checks.estimation.noise import Noise
from checks.estimation.precision import Lift, copies_of, wider_dtype
from checks.evaluation.pointwise import Evaluations
from checks.judgement import confirmation
from checks.judgement.confirmation import mark_uncertain_kinks, mark_unconfirmed
from checks.report.array_report import ArrayReport
from checks.report.verdict import Rule, Verdict
from checks.report.wording import DISAGREE, STAIRS, UNEVEN

MATCH, UNRESOLVED, MISMATCH = Verdict
QUIET = Noise(1e-16, 1e-16, False, False)


class Case:
    """An array with its first estimate, and what second estimates find."""

    def __init__(self, monkeypatch, claimed, numeric, error=1e-9, **options):
        self.claimed, self.numeric = np.asarray(claimed, float), np.asarray(numeric, float)
        m = self.claimed.size
        e = np.broadcast_to(np.asarray(error, float), self.claimed.shape).reshape(-1).copy()
        slopes = options.pop("slopes", np.empty((0, 2)))
        noise = options.pop("noise", QUIET)
        self.found_noise = options.pop("found_noise", noise)
        values = options.pop("values", np.ones(self.claimed.shape))
        estimate = Estimate(self.numeric.reshape(-1), e, slopes, **options)
        self.second = self.numeric.reshape(-1).copy(), np.full(m, 1e-9)
        self.third = self.numeric.reshape(-1).copy(), np.full(m, np.inf)
        self.second_slopes = slopes
        self.on_stairs = np.zeros(m, bool)
        self.estimates = SimpleNamespace(
            by_path={"w": estimate}, seed=0, noise=noise, rtol=1e-4,
            evaluations=SimpleNamespace(values={"w": values}, count=0, shared=False),
        )  # fmt: skip
        jump = estimate.slope_jump.reshape(self.claimed.shape)
        self.array = ArrayReport.judged(
            "w", self.claimed, self.numeric, e.reshape(self.claimed.shape).copy(), Rule(1e-4),
            slope_jump=jump,
        )  # fmt: skip
        self.estimated, self.goals, self.noises, self.measured = [], [], [], []
        monkeypatch.setattr(confirmation, "differences", self.differences)
        monkeypatch.setattr(confirmation, "noise_at_steps", self.noise_at_steps)
        no_errors = np.zeros(m)
        monkeypatch.setattr(confirmation, "_hidden_errors", lambda *_: no_errors)
        for name in ("_is_stepped", "_shows_nearby"):
            monkeypatch.setattr(confirmation, name, lambda *args: np.zeros(args[2].size, bool))
        self.rounding = None
        monkeypatch.setattr(confirmation, "measure_cost_rounding", lambda *_: self.rounding)

    def differences(self, evaluations, path, entries, noise, rng, goal, start):
        # from shorter steps than at first; only a third estimate, after complex steps, is not
        after_complex_steps = self.estimates.by_path["w"].by_complex_steps[entries].all()
        is_third = after_complex_steps and entries.tolist() in self.estimated
        assert start == (1 / 2 if is_third else 1 / 16)
        values = self.third if is_third else self.second
        self.estimated.append(entries.tolist())
        self.goals.append(goal)
        self.noises.append(noise)
        value, error = (part[entries] for part in values)
        slopes = self.second_slopes[entries] if self.second_slopes.size else np.empty((0, 2))
        return Estimate(value, error, slopes, on_stairs=self.on_stairs[entries])

    def noise_at_steps(self, evaluations, path, entry, noise, discrepancy, rng):
        self.measured.append((int(entry), float(discrepancy)))
        return self.found_noise

    def marked(self):
        return bool(mark_unconfirmed(self.estimates, self.array))

    def verdicts(self):
        return self.array.verdicts.tolist()


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("size", [2.0**-60, 1.0, 2.0**60])
def test_entries_are_confirmed_or_unresolved_one_by_one(monkeypatch, sign, size):
    case = Case(
        monkeypatch,
        size * sign * np.array([[1.5, 1.0, 2.0], [0.25, 1.0, 3.0]]),
        size * sign * np.array([[1.0, 1.0, 1.0], [1.0, 1.0, 1.0]]),
        size * 1e-9,
    )
    case.second[0][:] = size * sign * np.array([1.0, 1, 1.5, 1.0, 1, 3.0])
    case.second[1][:] = size * 1e-3
    assert case.marked()
    # where the second finds something else, the error covers both estimates
    assert case.verdicts() == [[MISMATCH, MATCH, UNRESOLVED], [MISMATCH, MATCH, UNRESOLVED]]
    expected = size * np.array([[1e-9, 1e-9, 0.501], [1e-9, 1e-9, 2.001]])
    np.testing.assert_allclose(case.array.error, expected, rtol=1e-9)
    # the most wrong first
    assert case.estimated == [[5, 2, 3, 0]]
    assert case.measured == [(5, 2 * size), (2, size)]
    # a thousandth of the least discrepancy, relative to the largest of the array; at least a
    # hundredth of rtol
    assert case.goals == [pytest.approx(0.5 / 3 / 1000)]


def test_without_a_mismatch_nothing_is_estimated_again(monkeypatch):
    case = Case(monkeypatch, [1.0, 1.0], [1.0, 1.0])
    assert not case.marked()
    assert case.estimated == case.measured == []


def test_all_confirmed(monkeypatch):
    case = Case(monkeypatch, [2.0, 1.0], [1.0, 1.0])
    assert not case.marked()
    assert case.verdicts() == [MISMATCH, MATCH]
    assert case.array.error.tolist() == [1e-9, 1e-9]
    assert case.goals == [pytest.approx(1 / 2 / 1000)]


def test_the_goal_is_no_smaller_than_a_hundredth_of_rtol(monkeypatch):
    case = Case(monkeypatch, [1.0005, 1.0], [1.0, 1.0])
    case.marked()
    assert case.goals == [1e-6]


@pytest.mark.parametrize("wrong", [None, 0, 15, 16, 39])
def test_at_most_sixteen_entries_are_estimated_if_all_of_them_are_confirmed(monkeypatch, wrong):
    claimed = 2.0 + np.arange(40.0)[::-1]  # the first is the most wrong
    case = Case(monkeypatch, claimed, np.ones(40))
    if wrong is not None:
        case.second[0][wrong] = claimed[wrong]
    assert case.marked() == (wrong is not None and wrong < 16)
    first, others = list(range(16)), list(range(16, 40))
    assert case.estimated == ([first, others] if wrong in (0, 15) else [first])
    assert case.verdicts() == [
        UNRESOLVED if k == wrong and wrong < 16 else MISMATCH for k in range(40)
    ]


@pytest.mark.parametrize("sign", [1, -1])
def test_claims_that_are_not_finite_and_kinks_need_no_second_estimate(monkeypatch, sign):
    slopes = np.full((4, 2), np.nan)
    slopes[3] = 0.0, 2.0
    claimed = sign * np.array([np.nan, np.inf, 5.0, 9.0])
    case = Case(monkeypatch, claimed, sign * np.ones(4), [1e-9, 1e-9, 1e-9, 1.0], slopes=slopes)
    assert not case.marked()
    assert case.estimated == [[2]]


@pytest.mark.parametrize("error", [0.3, 0.9, math.inf, math.nan])
@pytest.mark.parametrize("sign", [1, -1])
def test_a_second_estimate_that_is_blurred_confirms_a_proven_complex_step_alone(
    monkeypatch, sign, error
):
    for method, proof, expected in (
        ("central", 0.0, UNRESOLVED),
        (
            "complex-step",
            0.6,
            UNRESOLVED,
        ),  # proven to more than the discrepancy, half of the largest
        ("complex-step", 0.4, UNRESOLVED if math.isnan(error) else MISMATCH),
    ):
        case = Case(monkeypatch, [sign * 2.0], [sign * 1.0], method=method, proof=proof)
        case.second[1][:] = error
        assert case.marked() == (expected is UNRESOLVED)
        assert case.verdicts() == [expected]
        if expected is UNRESOLVED:
            assert case.array.error.tolist() == [error if error < math.inf else math.inf]


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize(
    ("lift", "precision", "expected"),
    [
        (Lift.LIFTS, "", MISMATCH),
        (Lift.HIDDEN, "lifted", MISMATCH),  # beside an offset the complex steps show it
        (Lift.HIDDEN, "sampled", MISMATCH),
        (Lift.HIDDEN, "estimated", UNRESOLVED),
        (Lift.NARROW, "lifted", UNRESOLVED),
    ],
)
def test_a_blurred_second_estimate_is_taken_in_the_wider_dtype(
    monkeypatch, lift, precision, expected, sign
):
    case = Case(monkeypatch, [sign * 2.0], [sign * 1.0], precision=precision)
    case.second[1][:] = 0.3
    case.rounding = SimpleNamespace(lift=lift, wide_level=1e-20)
    asked = []

    def in_dtype(dtype, view):
        asked.append(dtype)
        case.second[1][:] = 1e-6
        return SimpleNamespace(at_point=np.longdouble(4.0), count=50)

    case.estimates.evaluations.in_dtype = in_dtype
    assert case.marked() == (expected is UNRESOLVED)
    assert case.verdicts() == [expected]
    if expected is MISMATCH:
        assert asked == [wider_dtype(np.float64)]
        assert case.noises[-1] == Noise(1e-20, 0.25e-20, False, False)
        assert case.estimates.evaluations.count == 50


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize(
    ("method", "by_differences", "expected"),
    [
        ("complex-step", [], [[0], [0]]),
        ("mixed", [1], [[0], [0]]),
        ("mixed", [0], [[0]]),
        ("central", [], [[0]]),
    ],
)
def test_after_complex_steps_a_blurred_second_estimate_is_followed_by_longer_steps(
    monkeypatch, method, by_differences, expected, sign
):
    case = Case(
        monkeypatch, [sign * 2.0, sign], [sign, sign], method=method, proof=9.0,
        by_differences=np.array(by_differences, int), on_stairs=np.zeros(2, bool),
    )  # fmt: skip
    case.second[1][:] = 0.3
    case.third[1][:] = 0.2
    is_seen = len(expected) == 2
    assert case.marked() != is_seen
    assert case.estimated == expected
    assert case.verdicts() == [MISMATCH if is_seen else UNRESOLVED, MATCH]
    # what contradicts the second is not believed
    case = Case(monkeypatch, [2.0], [1.0], method="complex-step", proof=9.0)
    case.second[1][:] = 0.3
    case.third[0][:], case.third[1][:] = 1.4, 0.01
    assert case.marked()


def test_an_estimate_in_the_wider_dtype_that_contradicts_the_second_is_not_believed(monkeypatch):
    case = Case(monkeypatch, [2.0], [1.0])
    case.second[1][:] = 0.3
    case.rounding = SimpleNamespace(lift=Lift.LIFTS, wide_level=1e-20)

    def in_dtype(dtype, view):
        case.second[0][:], case.second[1][:] = 1.5, 1e-6
        return SimpleNamespace(at_point=np.longdouble(0.0), count=50)

    case.estimates.evaluations.in_dtype = in_dtype
    assert case.marked()
    assert case.array.error.tolist() == [0.3]


def test_on_stairs_or_beside_more_noise_a_complex_step_is_not_trusted_alone(monkeypatch):
    options = {"method": "complex-step", "proof": 1e-6}
    case = Case(monkeypatch, [2.0, 1.0], [1.0, 1.0], on_stairs=np.zeros(2, bool), **options)
    case.second[1][:] = 0.9
    case.on_stairs[0] = True
    assert case.marked()
    assert case.estimates.by_path["w"].on_stairs.tolist() == [True, False]
    more = Noise(1e-6, 1e-6, False, False)
    case = Case(monkeypatch, [2.0, 1.0], [1.0, 1.0], found_noise=more, **options)
    case.second[1][:] = 0.9
    assert case.marked()
    assert case.noises == [more]
    assert case.measured == [(0, 1.0)]


def test_stairs_are_kept_where_the_first_estimate_was_on_them(monkeypatch):
    stairs = np.array([True, False])
    case = Case(monkeypatch, [2.0, 3.0], [1.0, 1.0], on_stairs=stairs)
    case.second[0][:] = 5.0
    case.on_stairs[:] = False
    assert case.marked()
    assert case.estimates.by_path["w"].on_stairs.tolist() == [True, False]


@pytest.mark.parametrize(("relative", "rtol"), [(1e-4, 1e-2), (0.09, 0.1), (math.inf, 0.1)])
@pytest.mark.parametrize("sign", [1, -1])
def test_the_tolerance_follows_the_noise_at_steps(monkeypatch, relative, rtol, sign):
    noise = Noise(relative, relative, False, False)
    for off, expected in ((0.99 * rtol, UNRESOLVED), (1.01 * rtol, MISMATCH)):
        case = Case(monkeypatch, [sign * 1.0, 4.0], [sign * 1.0, 4.0], found_noise=noise)
        claimed = np.array([sign * (1 + 4 * off), 4.0])
        case.array = ArrayReport.judged("w", claimed, case.numeric, case.array.error, Rule(1e-4))
        case.marked()
        assert case.verdicts() == [expected, MATCH]


def test_why_entries_are_unconfirmed(monkeypatch):
    found = Noise(0.5, 0.5, False, False)
    for options, reason in (
        ({}, DISAGREE),
        ({"found_noise": found}, UNEVEN),
        ({"found_noise": found, "on_stairs": np.array([True, False])}, STAIRS),
    ):
        case = Case(monkeypatch, [1.0, 2.0], [1.5, 2.0], **options)
        claimed = np.array([1.1, 2.0])
        case.array = ArrayReport.judged("w", claimed, case.numeric, case.array.error, Rule(1e-4))
        case.second = np.array([3.0, 2.0]), case.second[1]
        assert mark_unconfirmed(case.estimates, case.array) == reason


@pytest.mark.parametrize("sign", [1, -1])
def test_noise_may_be_an_oscillation_with_the_claimed_slope(monkeypatch, sign):
    # the period of an oscillation may be 64 last places of x = 3, each 2^-51
    period = 64 * 2.0**-51
    for relative, level, expected in (
        (2.0**-12, 0.99 * 2 * period, UNRESOLVED),
        (2.0**-12, 1.01 * 2 * period, MISMATCH),
        (2.0**-13, 0.99 * 2 * period, MISMATCH),  # the rounding of a float32
    ):
        noise = Noise(level, relative, False, False)
        for x in (3.0, -3.0):
            options = {"noise": noise, "values": np.array([x])}
            case = Case(monkeypatch, [sign * 2.0], [sign * 1.0], **options)
            case.marked()
            assert case.verdicts() == [expected]
        stochastic = Noise(level, relative, True, False)
        case = Case(monkeypatch, [2.0], [1.0], noise=stochastic, values=np.array([3.0]))
        case.marked()
        assert case.verdicts() == [MISMATCH]


def kinked(monkeypatch, claimed, slopes, second=None, error=5e-4):
    slopes = np.asarray(slopes, float)
    jump = np.nan_to_num(np.abs(slopes[:, 1] - slopes[:, 0]) / 2)
    numeric = np.where(np.isnan(slopes[:, 0]), claimed, slopes.mean(axis=1))
    case = Case(monkeypatch, claimed, numeric, jump + error, slopes=slopes)
    case.second_slopes = slopes if second is None else np.asarray(second, float)
    case.second = numeric, np.full(numeric.size, error)
    return case


@pytest.mark.parametrize("sign", [1, -1])
def test_at_a_kink_only_a_certain_match_stays_one(monkeypatch, sign):
    claimed = sign * np.array([0.5, 5.0, 1.0, 0.0])
    slopes = sign * np.array([[0.0, 1.0], [0.0, 1.0], [np.nan, np.nan], [0.0, 1.0]])
    second = slopes.copy()
    second[3] = sign * np.array([0.5, 1.0])  # another slope on the left
    case = kinked(monkeypatch, claimed, slopes, second)
    assert mark_uncertain_kinks(case.estimates, case.array)
    assert case.verdicts() == [MATCH, UNRESOLVED, MATCH, UNRESOLVED]
    assert case.estimated == [[0, 1, 3]]
    assert case.goals == [1e-6]


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("side", [0, 1])
@pytest.mark.parametrize(("apart", "certain"), [(0.9e-3, True), (1.1e-3, False)])
def test_slopes_agree_to_within_both_errors(monkeypatch, sign, side, apart, certain):
    second = np.array([[0.0, 1.0]])
    second[0, side] += sign * apart
    case = kinked(monkeypatch, [0.5], [[0.0, 1.0]], second)
    assert mark_uncertain_kinks(case.estimates, case.array) == (not certain)
    assert case.verdicts() == [MATCH if certain else UNRESOLVED]


def test_a_claim_that_is_not_finite_is_wrong_at_a_kink_too(monkeypatch):
    case = kinked(monkeypatch, [np.nan, 1.0], [[0.0, 1.0], [np.nan, np.nan]])
    assert not mark_uncertain_kinks(case.estimates, case.array)
    assert case.verdicts() == [MISMATCH, MATCH]
    assert case.estimated == []


X = np.array([3.3, -1.7, 12.9])
needs_long_double = pytest.mark.skipif(not wider_dtype(np.float64), reason="no dtype is wider here")


@needs_long_double
@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("offset", [0.0, 2.0**20, -(2.0**20)])
def test_between_jumps_a_cost_has_about_the_claimed_slope(monkeypatch, sign, offset):
    moves, slope = [], 0.0
    monkeypatch.setattr(confirmation, "is_step_function", lambda *_: False)

    def cost(p):
        moves.append(p[1] - 3)
        return offset + slope * (p[1] - 3)

    def stepped(claimed=1.0, bounds=None, method="central", confirmed=True, interrupted=False):
        estimate = SimpleNamespace(value=np.array([9.0, 0.5 * sign]), method=method)
        evaluations = Evaluations(cost, np.array([2.0, 3.0]), bounds=bounds)
        evaluations.interrupted = interrupted
        estimates = SimpleNamespace(evaluations=evaluations, by_path={"params": estimate})
        moves.clear()
        before = evaluations.count
        claims = sign * np.array([9.0, claimed])
        (found,) = confirmation._is_stepped(
            estimates, "params", np.array([1]), claims, np.array([confirmed])
        )
        assert evaluations.count - before == len(moves)
        return found

    # within a quarter of claimed − numeric, which is ½; in last places of the entry, or, beside an
    # offset, in units so long that an eighth changes the cost by 8 last places
    unit = max(2.0**-51, 8 * 2.0**20 * float(np.finfo(np.longdouble).eps) * 8 if offset else 0)
    shortest = 1 / 4 if offset else 1 / 64
    # the cost beside an offset is rounded to a quarter of what a slope of an eighth changes it by
    within, beyond = (0.09, 0.16) if offset else (0.12, 0.13)
    for off, expected in (
        (within, True), (beyond, False), (-within, True), (-beyond, False), (-2, False),
    ):  # fmt: skip
        slope = sign * (1 + off)
        assert stepped() == expected
        tried = [0, shortest, -shortest, *([2, -2] if expected else [])]
        assert moves == [units * unit for units in tried]
    slope = sign
    assert stepped(bounds=(None, [2.0, 3.0]))
    assert moves[1:] == [-shortest * unit, -2 * unit]
    assert not stepped(method="complex-step")
    assert not stepped(confirmed=False)
    assert not stepped(interrupted=True)
    assert moves == []


@needs_long_double
@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("below", [0.0, 0.1, 0.6, 1.3, 2.5])
def test_a_piece_between_jumps_is_as_long_as_two_last_places(below, sign):
    place = 2.0**-51

    def reach(length):
        def cost(p):  # level from `below` places below 3 to `length` − `below` above
            units = sign * (p[0] - 3) / place
            return np.where(units < -below, -9.0, np.where(units >= length - below, 9.0, 0.0))

        copies = copies_of(Evaluations(cost, np.array([3.0])), np.longdouble)
        slope = partial(confirmation._slope_over, copies, "params", 0, 0.0)
        return confirmation._has_claimed_slope(slope, 0.0, 0.1, place, 1 / 64)

    # a side counts up to 2 last places; the bisection ends a 32nd before the jump
    for length in (1.7, 2.1, 2.8, 6.0):
        assert below >= length or reach(length) == (min(below, 2) + min(length - below, 2) > 1.95)


@needs_long_double
@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("radians", [1.6, 3.0])  # by which a last place turns the oscillation
def test_an_oscillation_within_last_places_may_have_the_claimed_slope(radians, sign):
    place = 2.0**-51
    for phase in (0.0, 1.0, 2.0, 4.0, 5.0):

        def cost(p, phase=phase):
            return np.sin(sign * radians * (p[0] - 3) / place + phase) - math.sin(phase)

        copies = copies_of(Evaluations(cost, np.array([3.0])), np.longdouble)
        slope = partial(confirmation._slope_over, copies, "params", 0, 0.0)
        claim = sign * radians / place * math.cos(phase)
        for claimed, expected in ((claim, True), (3 * claim, False)):
            apart = abs(claimed) / 4
            assert confirmation._has_claimed_slope(slope, claimed, apart, place, 1 / 64) == expected


@needs_long_double
def test_a_straight_cost_that_jumps_has_no_bend():
    place = 2.0**-51
    for ends in ((-0.5, 0.5), (-0.2, 0.6), (-0.6, 0.2)):

        def cost(p, ends=ends):  # straight, and a part that casts, of which the claim says nothing
            t = (p[0] - 3) / place
            return t + np.where(t < ends[0], -1.0, np.where(t >= ends[1], 1.0, 0.0))

        copies = copies_of(Evaluations(cost, np.array([3.0])), np.longdouble)
        slope = partial(confirmation._slope_over, copies, "params", 0, 0.0)
        assert not confirmation._has_claimed_slope(slope, 1 / place, 0.25 / place, place, 1 / 64)


@needs_long_double
@pytest.mark.parametrize("step", [1e-7, 1e-9, 1e-11])
@pytest.mark.parametrize("offset", [0.0, 1e4])
@pytest.mark.parametrize("rounds", [np.floor, np.ceil, np.trunc, np.rint])
def test_between_fine_steps_a_slope_of_zero_is_not_called_wrong(rounds, offset, step):
    def cost(p):
        return np.sum(rounds(np.exp(p / 10) / step)) * step + offset

    assert check_gradient(cost, np.zeros(3), X).verdict is not Verdict.MISMATCH
    trend = np.exp(X / 10) / 10
    assert check_gradient(cost, 2 * trend, X).verdict is Verdict.MISMATCH


@needs_long_double
@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("rounds", [np.floor, np.ceil, np.trunc, np.rint])
def test_steps_of_a_few_last_places_are_not_called_a_slope(rounds, dtype, seed):
    # steps of 1, which are 2 to 64 last places of x, from wherever they begin
    rng = np.random.default_rng(seed)
    places = np.exp2(rng.integers(1, 7, 4))
    x = (rng.choice([-1, 1], 4) * rng.uniform(1, 2, 4) / places / np.finfo(dtype).eps).astype(dtype)
    w = rng.normal(size=4).astype(dtype)
    assert check_gradient(lambda p: w @ rounds(p), 0 * w, x).verdict is not Verdict.MISMATCH
    report = check_gradient(lambda p: w @ (rounds(p) + p), w, x)
    assert report.verdict is not Verdict.MISMATCH


@pytest.mark.parametrize("returned", [float, np.float64, np.asarray])
def test_a_missing_gradient_is_wrong_where_the_cost_returns_a_float(returned):
    # an entry changes a cost that is rounded when it is returned only after many last places
    x = np.random.default_rng(0).normal(size=30)
    for dtype in (np.float64, np.float32):
        claim = 2 * x.astype(dtype)
        claim[3] = 0  # wrong on purpose
        report = check_gradient(
            lambda p: returned(np.sum(p**2)), claim, x.astype(dtype), method="central"
        )
        assert report.verdict is Verdict.MISMATCH
        assert report.worst.index == (3,)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_a_missing_gradient_is_wrong_where_a_stage_casts_to_the_dtype_of_the_parameters(dtype):
    def cost(p):
        buffer = np.zeros(3, dtype)
        buffer[...] = np.exp(p / 10)
        return np.sum(buffer * buffer)

    report = check_gradient(cost, np.zeros(3, dtype), X.astype(dtype))
    assert report.verdict is Verdict.MISMATCH


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_the_shortest_steps_that_tell_them_apart_show_the_slope_of_an_oscillation(dtype, sign):
    # its amplitude is 32 last places of the cost, its period far below a step of differences
    x, offset = np.array([3.0, 300.0]), 1 / (64 * np.finfo(dtype).eps)
    evaluations = Evaluations(
        lambda p: (sign * np.cos(50 * p[1]) - dtype(offset) + 0 * p[0]).astype(dtype),
        x.astype(dtype),
    )
    slope = -sign * 50 * math.sin(50 * 300)
    path = next(iter(evaluations.values))
    noise = Noise(float(np.finfo(dtype).eps) * offset, 2.0**-24, False, False)

    def shows(numeric, claimed, noise=noise, **options):
        estimate = Estimate(np.array([0.0, numeric]), np.full(2, 0.1), **options)
        estimates = SimpleNamespace(by_path={path: estimate}, evaluations=evaluations, noise=noise)
        entries = np.array([1])
        return confirmation._shows_nearby(estimates, path, entries, np.array([claimed])).tolist()

    assert shows(0.01, slope) == [True]
    assert shows(0.01, 1.05 * slope) == [True]
    assert shows(slope, 0.01) == [False]  # wrong on purpose
    assert shows(slope, 1.05 * slope) == [False]  # wrong on purpose
    # complex steps are no differences; a random cost has no slope to show
    assert shows(0.01, slope, method="complex-step") == [False]
    assert shows(0.01, slope, noise=replace(noise, stochastic=True)) == [False]
    # a step that differences take themselves shows nothing new
    assert shows(0.01, slope, noise=replace(noise, level=1e3 * abs(slope))) == [False]
