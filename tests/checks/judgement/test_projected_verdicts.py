"""The verdicts of projected checks from planted estimates, with every bound by hand."""

import math
from types import SimpleNamespace

import numpy as np
import pytest

from checks.estimation.complex_step import PROOF
from checks.estimation.directional import DirectionalDerivative
from checks.estimation.noise import Noise
from checks.evaluation.directional import DirectionalEvaluations
from checks.judgement import projected
from checks.judgement.projected import KINK, ProjectedCheck
from checks.report.blocks import Block
from checks.report.verdict import Verdict
from checks.report.wording import DISAGREE, ONLY_ZEROS, STAIRS, UNSEEN

MATCH, UNRESOLVED, MISMATCH = Verdict
RTOL, RESOLUTION = 1e-3, 1e-2


def quiet(**changes):
    return Noise(
        **{"level": 1e-16, "relative": 1e-16, "stochastic": False, "is_constant": False} | changes
    )


class Estimator:
    """Estimates as planted: the derivatives by path, and how closely differences agree."""

    rtol, eps, outside, relative_noise = RTOL, 2.0**-52, "left", 0.0

    def __init__(self, **planted):
        self.together, self.agrees, self.confirmed = None, 0.0, True
        self.by_complex_step, self.by_differences, self.independent = {}, {}, False
        self.noise, self.calls = quiet(), []
        vars(self).update(planted)

    def slopes(self, several):
        self.calls.append(("slopes", [sorted(moves) for moves in several]))
        return None if self.together is None else np.array([self.together])

    def agreement(self, moves, slope, enough):
        self.calls.append(("agreement", sorted(moves), slope, enough))
        return self.agrees

    def complex_step(self, path, moves):
        self.calls.append(("complex_step", path))
        return self.by_complex_step.get(path)

    def central(self, path, moves):
        self.calls.append(("central", path))
        return self.by_differences[path]

    def is_independent(self, path):
        return self.independent

    def is_confirmed(self, moves, derivative, tolerance):
        self.calls.append(("is_confirmed", derivative, tolerance))
        return self.confirmed


X = {"a": np.full((2, 3), 2.0), "b": np.full(4, -0.5)}  # of scales 2 and 1/2
CLAIM = {"a": np.array([[1.0, -4, 1], [1, 1, 2]]), "b": np.array([0.0, 8, 0, 0])}


def checked(method="auto", claim=CLAIM, resolution=RESOLUTION, cost=None, **planted):
    cost = cost or (lambda p: np.sum(p["a"]) + np.sum(p["b"]))
    evaluations = DirectionalEvaluations(cost, X, claim, 0)
    check = ProjectedCheck(evaluations, method, RTOL, resolution)
    check.estimator = Estimator(evaluations=evaluations, rng=np.random.default_rng(0), **planted)
    return check


def found(claimed, numeric, error=0.0, method="central", **options):
    return DirectionalDerivative(claimed, numeric, error, method, **options)


def verdicts(check):
    return {path: array.verdict for path, array in check.arrays.items()}


# One complex step of all arrays.


@pytest.mark.parametrize("sign", [1, -1])
def test_arrays_match_together_if_the_step_agrees_with_the_claim(sign):
    # sizes are scale times largest: 2 · 4 and 8/2. An entry is seen by a quarter of that.
    norm = math.sqrt((2 * math.sqrt(24)) ** 2 + (0.5 * 8) ** 2)
    for d, matched in (
        (0.99 * RTOL * 4 / 4, {"a", "b"}),
        (1.01 * RTOL * 4 / 4, {"a"}),
        (0.99 * RTOL * 8 / 4, {"a"}),
        (1.01 * RTOL * 8 / 4, set()),
    ):
        check = checked(resolution=1.0)
        claimed = check.evaluations.claimed_slope(check.moves)
        check.estimator.together = claimed + sign * d
        check._match_together()
        assert verdicts(check) == dict.fromkeys(matched, MATCH)
        for path in matched:
            array, scale = check.arrays[path], {"a": 2, "b": 0.5}[path]
            assert array.method == "complex-step"
            assert array.claimed * scale == pytest.approx(claimed)
            assert array.numeric * scale == pytest.approx(claimed + sign * d)
            # 8 times the discrepancy, and 16 eps of the norm for the rounding of the sum
            expected = 8 * d + 16 * 2.0**-52 * norm
            assert array.error * scale == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("part", ["discrepancy", "rounding"])
def test_the_error_must_be_within_the_resolution(part):
    norm = math.sqrt((2 * math.sqrt(24)) ** 2 + (0.5 * 8) ** 2)
    for factor, matched in ((0.99, {"a", "b"}), (1.01, {"a"}), (1.99, {"a"}), (2.01, set())):
        check = checked(resolution=1e-4)
        error = factor * 1e-4 * 4 / 4
        claimed = check.evaluations.claimed_slope(check.moves)
        check.estimator.together = claimed + (error / 8 if part == "discrepancy" else 0)
        check.estimator.eps = error / norm / 16 if part == "rounding" else 0.0
        check._match_together()
        assert set(check.arrays) == matched


def test_differences_must_agree_to_a_part_of_the_norm_of_each_array():
    # PROOF · scale · norm: 2 √24 and 4
    for agrees, matched in (
        (0.99 * 4, {"a", "b"}),
        (1.01 * 4, {"a"}),
        (0.99 * 2 * math.sqrt(24), {"a"}),
        (1.01 * 2 * math.sqrt(24), set()),
        (math.inf, set()),
    ):
        check = checked(agrees=PROOF * agrees)
        check.estimator.together = check.evaluations.claimed_slope(check.moves)
        check._match_together()
        assert set(check.arrays) == matched
        (asked,) = (call for call in check.estimator.calls if call[0] == "agreement")
        assert asked[1:] == (["a", "b"], check.estimator.together, pytest.approx(PROOF * 4))


def test_arrays_of_zeros_and_those_judged_already_are_not_moved():
    check = checked(claim={"a": CLAIM["a"], "b": np.zeros(4)})
    check._match_together()
    assert check.estimator.calls == [("slopes", [["a"]])]
    check = checked(claim={"a": np.zeros((2, 3)), "b": np.zeros(4)})
    check._match_together()
    assert check.estimator.calls == []
    small = {"a": CLAIM["a"], "b": CLAIM["b"] / 64}
    check = checked(claim=small)
    check._match_together()
    assert check.estimator.calls == [("slopes", [["a", "b"]])]
    nan = {"a": CLAIM["a"] * np.nan, "b": CLAIM["b"]}
    check = checked(claim=nan, by_differences={"b": found(4.0, 4.0)})
    check.run()
    assert check.estimator.calls[0] == ("slopes", [["b"]])
    assert verdicts(check) == {"a": MISMATCH, "b": MATCH}


def test_a_cost_that_supplies_slopes_is_not_proven_together():
    class Cost:
        def __call__(self, p):
            return np.sum(p["a"])

        def slopes(self, p):
            return lambda several: np.zeros(len(several))

    check = checked(cost=Cost(), agrees=math.inf)
    check.estimator.together = check.evaluations.claimed_slope(check.moves)
    check._match_together()
    assert set(check.arrays) == {"a", "b"}
    assert [call[0] for call in check.estimator.calls] == ["slopes"]


def test_central_takes_no_complex_step():
    right = {path: found(4.0, 4.0) for path in "ab"}
    check = checked("central", by_differences=right)
    check.run()
    assert check.estimator.calls == [("central", "a"), ("central", "b")]
    assert set(verdicts(check).values()) == {MATCH}
    check = checked(by_differences=right, by_complex_step={"a": found(1.0, 1.0)})
    check.run()
    expected = [("complex_step", "a"), ("complex_step", "b"), ("central", "b")]
    assert check.estimator.calls[1:] == expected
    with pytest.raises(ValueError, match="complex moves of a do not give"):
        checked("complex-step").run()


# One array along a direction.


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("numeric", [1.0, -3.0])
def test_the_claim_of_an_array_may_be_off_by_its_error_and_a_quarter_of_its_largest(sign, numeric):
    tolerance = RTOL * 8 / 4  # the size of "a" is 8
    for error in (0.0, 1e-4):
        for off, verdict in ((0.99, MATCH), (1.01, MISMATCH)):
            claimed = numeric + sign * (error + off * tolerance)
            check = checked("central", by_differences={"a": found(claimed, numeric, error)})
            check._judged_flagged = lambda *_: SimpleNamespace(verdict=MISMATCH)
            assert check._judged("a").verdict is verdict


@pytest.mark.parametrize(("factor", "verdict"), [(0.99, MATCH), (1.01, UNRESOLVED)])
def test_an_estimate_must_be_within_the_resolution(factor, verdict):
    error = factor * RESOLUTION * 8 / 4
    check = checked("central", by_differences={"a": found(1.0, 1.0, error)})
    array = check._judged("a")
    assert array.verdict is verdict
    assert ("blurred" in array.reason) == (verdict is UNRESOLVED)
    # the scale of 2 is taken out of what is reported
    assert (array.claimed, array.numeric, array.error) == (0.5, 0.5, error / 2)


def test_what_just_reaches_a_bound_passes():
    # 2^-7 of 8, seen by a quarter: all numbers are exact
    error = 2.0**-7 * 8 / 4
    check = checked("central", resolution=2.0**-7, by_differences={"a": found(1.0, 1.0, error)})
    assert check._judged("a").verdict is MATCH
    # both arrays have a size of 2; the discrepancy of 1 makes the error 8
    ones = {"a": np.ones((2, 3)), "b": np.full(4, 4.0)}
    for rtol, resolution in ((2.0, 100.0), (100.0, 16.0)):
        check = checked(claim=ones, resolution=resolution, together=2.0)
        check.estimator.rtol, check.estimator.eps = rtol, 0.0
        check.evaluations.claimed_slope = lambda moves: 1.0
        check._match_together()
        assert set(check.arrays) == {"a", "b"}


@pytest.mark.parametrize("sign", [1, -1])
def test_derivatives_are_at_least_as_large_as_the_estimate_shows(sign):
    # |g·v| ≤ scale · P · largest: (|n| − e)/(2 · 6) here
    check = checked()
    assert check._lower_bound_of_largest("a", found(0.0, sign * 25.0, 1.0)) == 2
    assert check._lower_bound_of_largest("a", found(0.0, sign * 1.0, 1.5)) == 0
    # with it, 24/12 · 8, the tolerance is larger than by the claim
    n, e = sign * 97.0, 1.0
    tolerance = RTOL * 16 / 4
    for off, verdict in ((0.99, UNRESOLVED), (1.01, MISMATCH)):
        claimed = n + sign * (e + off * tolerance)
        check = checked("central", by_differences={"a": found(claimed, n, e)})
        check._judged_flagged = lambda *_: SimpleNamespace(verdict=MISMATCH)
        found_array = check._judged("a")
        assert found_array.verdict is verdict
        if verdict is UNRESOLVED:
            assert found_array.largest == 8


@pytest.mark.parametrize("numeric", [1.0, -1.0])
def test_a_claim_of_zeros_has_no_tolerance_and_no_match(numeric):
    zeros = {"a": np.zeros((2, 3)), "b": CLAIM["b"]}
    check = checked("central", zeros, by_differences={"a": found(0.0, 1e-9 * numeric, 2e-9)})
    array = check._judged("a")
    assert (array.verdict, array.reason) == (UNRESOLVED, ONLY_ZEROS)
    check = checked("central", zeros, by_differences={"a": found(0.0, numeric, 0.9)})
    check._judged_flagged = lambda *_: SimpleNamespace(verdict=MISMATCH)
    assert check._judged("a").verdict is MISMATCH


def test_where_no_move_changes_the_cost_zeros_match_and_others_are_unseen():
    nothing = {"by_differences": {"a": found(0.0, 0.0, 1e-9)}}
    zeros = {"a": np.zeros((2, 3)), "b": CLAIM["b"]}
    array = checked("central", zeros, independent=True, **nothing)._judged("a")
    assert (array.verdict, array.numeric, array.error) == (MATCH, 0, 0)
    array = checked("central", independent=True, **nothing)._judged("a")
    assert (array.verdict, array.reason, array.error) == (UNRESOLVED, UNSEEN, math.inf)
    # a derivative that is not zero is one
    some = {"by_differences": {"a": found(1.0, 1.0)}}
    assert checked("central", independent=True, **some)._judged("a").verdict is MATCH
    # the cost is constant altogether: it is not even estimated
    check = checked(noise=quiet(is_constant=True))
    array = check._judged("a")
    assert (array.verdict, array.reason) == (UNRESOLVED, UNSEEN)
    assert (array.claimed, array.numeric, array.error) == (0, 0, math.inf)
    assert check.estimator.calls == []


# A flagged array.


def flagged(monkeypatch, derivative, blocks=(), method="central", **planted):
    """Judge the array "a", and return what is stored of it when the search begins."""
    check = checked(method, by_differences={"a": derivative}, **planted)
    stored = []

    def search(estimator, path, whole, tolerance):
        stored.append((check.arrays["a"], whole, tolerance))
        return list(blocks)

    monkeypatch.setattr(projected, "find_wrong_blocks", search)
    return check, check._judged("a"), stored


def test_a_flagged_array_is_a_mismatch_where_wrong_entries_are_found(monkeypatch):
    derivative = found(2.0, 1.0, 1e-4)
    block = Block(projected.MIN_VISIBLE_SHARE, ())
    check, array, stored = flagged(monkeypatch, derivative, [block])
    assert array.verdict is MISMATCH
    assert array.blocks == (block,)
    assert stored[0][1:] == (derivative, RTOL * 8 / 4)
    assert check.estimator.calls[-1] == ("is_confirmed", derivative, RTOL * 8 / 4)
    _, array, _ = flagged(monkeypatch, derivative)
    assert array.verdict is UNRESOLVED
    assert "no entry alone is wrong" in array.reason


def test_kinks_and_unconfirmed_claims_are_not_searched(monkeypatch):
    _, array, stored = flagged(monkeypatch, found(2.0, 1.0, kink=True))
    assert (array.verdict, array.reason, stored) == (UNRESOLVED, KINK, [])
    check, array, stored = flagged(monkeypatch, found(2.0, 1.0), confirmed=False)
    assert (array.verdict, array.reason, stored) == (UNRESOLVED, DISAGREE, [])
    noted = check.arrays["a"]
    assert noted.verdict is UNRESOLVED
    assert "(claimed 2, numeric 1 ± 0e+00), by one estimate; a second was not" in noted.reason


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize(("factor", "verdict"), [(0.99, UNRESOLVED), (1.01, MISMATCH)])
def test_an_interruption_is_certain_beyond_32_standard_deviations(
    monkeypatch, sign, factor, verdict
):
    # six entries, each off by rtol of the size: their sum has a deviation of √6 rtol size
    limit = 32 * RTOL * 8 * math.sqrt(6)
    derivative = found(1.0 + sign * (factor * limit + 0.01), 1.0, 0.01)
    _, _, stored = flagged(monkeypatch, derivative)
    assert stored[0][0].verdict is verdict
    assert "by two estimates; where was not found." in stored[0][0].reason


class Supplying:
    def __call__(self, p):
        return np.sum(p["a"])

    def slopes(self, p):
        return lambda several: np.zeros(len(several))


@pytest.mark.parametrize("sign", [1, -1])
def test_slopes_that_the_cost_supplies_are_confirmed_by_close_agreement(sign):
    for d in (1.0, PROOF * 100):
        derivative = found(sign * 100 + d, sign * 100.0, method="complex-step")
        # PROOF of the slope, or a quarter of the discrepancy if that is less
        allowed = min(PROOF * 100, derivative.discrepancy / 4)
        assert (allowed < PROOF * 100) == (d < 1)
        for agrees, confirmed, expected in (
            (allowed, False, True),
            (1.01 * allowed, False, False),
            (1.01 * allowed, True, True),
        ):
            check = checked(cost=Supplying(), agrees=agrees, confirmed=confirmed)
            assert check._is_confirmed("a", derivative, 1e-3) == expected
            assert check.estimator.calls[0] == ("agreement", ["a"], sign * 100.0, allowed)
    # other estimates are confirmed by a second one
    for check in (checked(agrees=0.0), checked("central", cost=Supplying(), agrees=0.0)):
        check.estimator.confirmed = False
        assert not check._is_confirmed("a", derivative, 1e-3)
        assert [call[0] for call in check.estimator.calls] == ["is_confirmed"]


@pytest.mark.parametrize(
    ("method", "asked"), [("auto", ["complex_step"]), ("central", ["central"])]
)
def test_supplied_slopes_are_taken_also_where_the_cost_seems_constant(method, asked):
    check = checked(method, cost=Supplying(), noise=quiet(is_constant=True))
    check.estimator.by_complex_step = check.estimator.by_differences = {"a": found(1.0, 1.0)}
    array = check._judged("a")
    if method == "auto":
        assert array.verdict is MATCH
        assert [call[0] for call in check.estimator.calls] == asked
    else:
        assert (array.verdict, array.reason) == (UNRESOLVED, UNSEEN)


# Reasons.


@pytest.mark.parametrize(
    ("derivative", "noise", "reason"),
    [
        (found(1.0, np.nan, np.inf), quiet(stochastic=True), "not a function of its parameters"),
        (found(1.0, np.nan, np.inf), quiet(), "left"),
        (found(1.0, 1.0, np.inf, kink=True), quiet(), "differences do not converge along"),
        (found(1.0, 1.0, 1.0, kink=True, on_stairs=True), quiet(), KINK),
        (found(0.0, 0.5, 1.0, on_stairs=True), quiet(), STAIRS),
        (found(0.0, 1.0, 1.0), quiet(), ONLY_ZEROS),
        (found(0.0, -1.0, 1.0), quiet(), ONLY_ZEROS),
        (found(0.0, -1.1, 1.0), quiet(), "blurred"),
        (found(0.5, 0.5, 1.0), quiet(), "blurred"),
        (
            found(2.0, 2.0, 0.03),
            quiet(relative=3e-5),
            "seen only above 3.0e-02 of the largest entry, with a noise of 3e-05 in the cost.",
        ),
    ],
)
def test_the_first_reason_that_applies_is_given(derivative, noise, reason):
    check = checked(noise=noise)
    # twice the error is seen in a quarter of the size of 8
    assert reason in check._why_unresolved(derivative, 8.0)


def test_what_was_not_judged_when_a_check_ends_is_unresolved():
    check = checked("central", by_differences={"a": found(4.0, 4.0)})
    check.arrays["a"] = check._judged("a")
    assert check.give_up() == "Interrupted: 1 of 2 arrays were compared."
    assert verdicts(check) == {"a": MATCH, "b": UNRESOLVED}
    assert check.arrays["b"].reason == "interrupted: not compared."
    assert check.arrays["b"].error == math.inf
