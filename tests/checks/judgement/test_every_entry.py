"""What a report says of its entries, from planted estimates."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from checks import check_gradient
from checks.estimation.estimates import estimate_derivatives
from checks.estimation.finite_differences import Estimate
from checks.estimation.noise import Noise
from checks.evaluation.pointwise import Evaluations
from checks.judgement import every_entry
from checks.judgement.claim import Claim
from checks.judgement.every_entry import (
    NO_CONVERGENCE,
    _array_with_missed_error,
    _compared,
    _findings,
    _is_flagged,
    _judge_array,
    _lost_by_saturation,
    _why_unresolved,
    judge_gradient,
    off_kinks,
)
from checks.report.array_report import ArrayReport
from checks.report.verdict import Rule, Verdict
from checks.report.wording import DISAGREE, ONLY_ZEROS, STAIRS, UNSEEN

MATCH, UNRESOLVED, MISMATCH = Verdict
NAN, INF = np.nan, np.inf
RULE = Rule(1e-4)


def report_of(claimed, numeric, error=1e-9, path="w", rule=RULE, jump=None, rounding=0.0):
    claimed, numeric = np.asarray(claimed, float), np.asarray(numeric, float)
    error = np.broadcast_to(np.asarray(error, float), claimed.shape).copy()
    jump = None if jump is None else np.asarray(jump, float)
    return ArrayReport.judged(path, claimed, numeric, error, rule, rounding, jump)


def estimates_of(arrays, stochastic=False, bounds=None, **options):
    """Return estimates of reported arrays at a point of ones."""
    point = {path: np.ones(array.claimed.shape) for path, array in arrays.items()}
    noise = Noise(1e-3, 2e-3, stochastic, False)
    by_path = {
        path: Estimate(
            array.numeric.reshape(-1),
            array.error.reshape(-1),
            options.get("slopes", {}).get(path, np.full((array.claimed.size, 2), NAN)),
            on_stairs=options.get("on_stairs", np.zeros(array.claimed.size, bool)),
            unseen=path in options.get("unseen", ()),
        )
        for path, array in arrays.items()
    }
    evaluations = Evaluations(lambda p: 0.0, point, bounds=bounds)
    return SimpleNamespace(
        evaluations=evaluations, by_path=by_path, noise=noise, rtol=1e-4, seed=0,
        cost_noise=SimpleNamespace(known=noise), other_dtype="",
        shaped=lambda path, values: values.reshape(point[path].shape),
    )  # fmt: skip


@pytest.mark.parametrize("sign", [1, -1])
def test_the_rounding_is_measured_for_entries_off_by_more_than_error_and_tolerance(sign):
    off = sign * np.array([0.9, 1.1, 1.1, 1.1, NAN])
    error = np.array([0.0, 0.0, 1e-4, 0.0, 0.0])
    jump = np.array([0.0, 0.0, 0.0, 1.0, 0.0])
    array = report_of(1 + 1e-4 * off, np.ones(5), error, jump=jump)
    assert _is_flagged(array).tolist() == [False, True, False, False, False]


def test_arrays_that_are_wrong_at_a_kink_are_not_diagnosed():
    jump = [0.5, 0.0]
    arrays = {
        "right at a kink": report_of([1.0, 1.0], [1.0, 1.0], [0.5, 0.0], jump=jump),
        "wrong beside it": report_of([1.0, 2.0], [1.0, 1.0], [0.5, 0.0], jump=jump),
        "wrong at it": report_of([9.0, 1.0], [1.0, 1.0], [0.5, 0.0], jump=jump),
        "nan at it": report_of([NAN, 1.0], [1.0, 1.0], [0.5, 0.0], jump=jump),
    }
    assert list(off_kinks(arrays)) == ["right at a kink", "wrong beside it", "nan at it"]


# Findings.


def findings(arrays, differences=None, is_given=False, **options):
    differences = differences or {p: np.zeros(a.claimed.shape) for p, a in arrays.items()}
    claim = SimpleNamespace(is_given=is_given)
    return list(_findings(estimates_of(arrays, **options), claim, arrays, differences))


def test_nothing_is_found_of_ordinary_arrays():
    assert findings({"w": report_of([1.0, 2.0], [1.0, 2.0])}) == []


def test_zeros_that_were_not_compared_are_a_finding():
    zeros = report_of([0.0, 0.0], [0.0, 0.0], 0.0, path="v")
    assert zeros.verdict is MATCH
    arrays = {"v": zeros, "w": report_of([1.0], [1.0]), "e": report_of([], [], path="e")}
    (text,) = findings(arrays)
    assert text.startswith("v: zero in every entry")


@pytest.mark.parametrize("kinks", [1, 2, 3])
def test_the_first_kink_of_an_array_is_described_and_the_others_are_counted(kinks):
    jump = np.zeros((2, 3))
    jump.flat[2 : 2 + kinks] = 0.5
    slopes = np.full((6, 2), NAN)
    slopes[2:] = 0.25, 1.25
    array = report_of(np.ones((2, 3)), np.ones((2, 3)), jump + 1e-9, jump=jump)
    (text,) = findings({"w": array}, slopes={"w": slopes})
    more = f" (and {kinks - 1} more of w)" if kinks > 1 else ""
    assert text == (
        "w[0, 2] lies on a kink: slope 0.25 on the left, 1.25 on the right; a claim between them "
        f"is accepted{more}."
    )
    array.verdicts[0, 2] = MISMATCH
    (text,) = findings({"w": array}, slopes={"w": slopes})
    assert f"; not every claim between them is possible{more}." in text


def test_a_claim_or_a_cost_that_differs_a_little_is_a_finding():
    arrays = {"v": report_of([1.0], [1.0], path="v"), "w": report_of([2.0], [2.0])}
    differences = {"v": np.zeros(1), "w": np.array([1e-6])}
    (text,) = findings(arrays, differences)
    assert text == (
        "two calls of the gradient at one point differ by up to 1.0e-06 in w[0], 5.0e-07 of its "
        "size."
    )
    (text,) = findings(arrays, stochastic=True)
    assert text == "two calls of the cost at one point differ (noise 1e-03)."
    arrays["w"] = replace(arrays["w"], reason="known")
    assert findings(arrays, stochastic=True) == []
    # what is a mistake is no finding
    arrays["w"].verdicts[0] = MISMATCH
    assert findings(arrays, {"v": np.zeros(1), "w": np.array([1.0])}) == []


# Comparing with an estimate.


def test_errors_that_the_caller_knows_of_are_added():
    array = report_of([[1.0, 2.0]], [[1.0, 2.5]], [[0.25, 0.5]])
    estimates = estimates_of({"w": array})
    found = _compared(estimates, "w", array.claimed, RULE, {"w": np.array([[0.5, 0.0]])})
    assert found.error.tolist() == [[0.75, 0.5]]
    assert found.numeric.tolist() == [[1.0, 2.5]]
    found = _compared(estimates, "w", array.claimed, RULE, {"v": np.ones(1)})
    assert found.error.tolist() == [[0.25, 0.5]]


# The control after every match.


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("rounding", [0.0, 1e-8])
def test_the_control_alters_the_least_certain_claim_by_what_is_detectable(
    monkeypatch, sign, rounding
):
    claimed = sign * np.array([1.0, 2.0, 4.0])
    worse = report_of(claimed, 0.999999 * claimed, [1e-9, 1e-6, 1e-9], rounding=rounding)
    better = report_of(sign * np.ones(2), sign * np.ones(2), path="v")
    asked = []

    def judged(claimed, numeric, error, rule, rounding, largest):
        asked.append((claimed.item(), numeric.item(), error.item(), rounding.item(), largest))
        return verdicts[0]

    verdicts = np.zeros(1, np.int8)
    monkeypatch.setattr(every_entry, "judge", judged)
    for verdicts[0], missed in ((MATCH, worse), (UNRESOLVED, None), (MISMATCH, None)):
        for arrays in ((worse, better), (better, worse)):
            report = SimpleNamespace(rtol=1e-4, arrays={a.path: a for a in arrays})
            assert _array_with_missed_error(report) is missed
    growth = 2e-4 if rounding else 1e-4  # of the tolerance with the claim
    step = worse.detectable * worse.scales[1] * (1 + 2e-4) / (1 - growth)
    altered = sign * (2.0 + step)
    assert asked[0] == pytest.approx((altered, sign * 1.999998, 1e-6, rounding, 4.0), rel=1e-12)
    assert len(set(asked)) == 1


def test_the_altered_claim_may_become_the_largest_of_its_array():
    found = []

    def judged(claimed, numeric, error, rule, rounding, largest):
        found.append((claimed.item(), largest))
        return np.int8(UNRESOLVED)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(every_entry, "judge", judged)
        for sign in (1, -1):
            claimed = [sign * (1 + 1e-6)]
            array = report_of(claimed, [sign * 1.0], 0.25, rule=Rule(1e-4, resolution=1.0))
            _array_with_missed_error(SimpleNamespace(rtol=1e-4, arrays={"w": array}))
    for claimed, largest in found:
        assert largest == abs(claimed) > 1.4


def test_there_is_no_control_of_zeros_kinks_or_a_tolerance_of_everything():
    zeros = report_of([0.0], [0.0], 0.0)
    kink = report_of([1.0], [1.0], 0.5, jump=[0.5])
    loose = report_of([1.0], [1.0], rule=Rule(1.0))
    for array in (zeros, kink):
        report = SimpleNamespace(rtol=1e-4, arrays={"w": array})
        assert _array_with_missed_error(report) is None
    assert _array_with_missed_error(SimpleNamespace(rtol=1.0, arrays={"w": loose})) is None
    assert _array_with_missed_error(SimpleNamespace(rtol=1e-4, arrays={})) is None


# Reasons.

CLAIM = SimpleNamespace(unmeasured="", coarse=0.0)


def why(array, **options):
    return _why_unresolved(array, estimates_of({"w": array}, **options), CLAIM)


def test_the_first_reason_that_applies_is_given():
    blurred = report_of([1.0, 1.0], [1.0, 1.0], [0.5, 1e-9])
    assert blurred.verdicts.tolist() == [UNRESOLVED, MATCH]
    on_stairs = np.array([True, False])
    lower = np.array([1.0, 0.0])
    upper = np.array([1.0, 2.0])
    everything = {
        "bounds": (lower, upper), "unseen": {"w"}, "stochastic": True, "on_stairs": on_stairs
    }  # fmt: skip
    assert "bound" in why(blurred, **{**everything, "bounds": ({"w": lower}, {"w": upper})})
    del everything["bounds"]
    assert why(blurred, **everything) == UNSEEN
    del everything["unseen"]
    assert "not a function of its parameters" in why(blurred, **everything)
    del everything["stochastic"]
    assert why(blurred, **everything) == STAIRS
    assert why(blurred, on_stairs=~on_stairs).startswith("blurred")  # of another entry


def test_entries_without_room_are_counted():
    array = report_of(np.ones((2, 2)), np.ones((2, 2)), INF)
    array.verdicts[0, 0] = MATCH
    ones, open_ = np.ones((2, 2)), np.array([[1.0, 1.0], [9.0, 1.0]])
    reason = why(array, bounds=({"w": ones}, {"w": open_}))
    assert reason.startswith("bounds leave w[0, 1] and 1 other entry no room")


@pytest.mark.parametrize("resolved", [0, 1])
def test_reasons_are_those_of_unresolved_entries(resolved):
    other = 1 - resolved

    def at(value):
        values = np.ones(2)
        values[other] = value
        return values

    outside = report_of(np.ones(2), at(NAN), at(INF))
    outside.verdicts[resolved] = MATCH
    assert "domain" in why(outside) or "not finite" in why(outside)
    jump = report_of(np.ones(2), np.ones(2), at(INF))
    jump.verdicts[:] = MATCH
    jump.verdicts[other] = UNRESOLVED
    assert why(jump) == NO_CONVERGENCE


@pytest.mark.parametrize("sign", [1, -1])
def test_only_zeros_and_blurred_claims(sign):
    zeros = report_of([0.0, 0.0], [sign * 0.5, 0.0], [0.5, 1.0])
    assert why(zeros) == ONLY_ZEROS
    seen = report_of([0.0, 0.0], [sign * 0.5, 0.0], [0.49, 1.0])
    assert why(seen).startswith("blurred: the estimate's error is up to 2.0e+00 of the largest")
    claimed = report_of([0.0, 1.0], [sign * 0.5, 0.0], [0.5, 1.0])
    assert why(claimed).startswith("blurred")
    assert "with a noise of 2e-03 in the cost" in why(claimed)
    # estimates that are accurate enough: it is the claim
    known = report_of([1.001, 1.0], [1.0, 1.0], 1e-9, rounding=1e-3)
    known.verdicts[0] = UNRESOLVED
    assert why(known).startswith("the claim is blurred")


@pytest.mark.parametrize(("factor", "blurred"), [(0.99, False), (1.01, True)])
def test_the_resolution_counts_what_a_kink_does_not_explain(factor, blurred):
    array = report_of([2.0], [2.0], [0.5 + factor * 1e-3 * 2.5], jump=[0.5])
    array.verdicts[0] = UNRESOLVED
    assert why(array).startswith("blurred") == blurred


# A second estimate and zeros.


def test_an_empty_array_is_left_as_it_is():
    arrays = {"v": report_of([1.0], [1.0], path="v"), "w": report_of([], [])}
    assert _judge_array(estimates_of(arrays), CLAIM, arrays["w"]) is arrays["w"]


def test_zeros_match_where_the_cost_sees_another_array():
    arrays = {"v": report_of([1.0], [1.0], path="v"), "w": report_of([0.0, 0.0], [0.0, 0.0], INF)}
    for unseen, verdict in (({"w"}, MATCH), ({"v", "w"}, UNRESOLVED), ((), UNRESOLVED)):
        arrays["w"].verdicts[:] = UNRESOLVED
        found = _judge_array(estimates_of(arrays, unseen=unseen), CLAIM, arrays["w"])
        assert found.verdict is verdict
        assert bool(found.reason) == (verdict is UNRESOLVED)


def test_entries_are_unresolved_as_unconfirmed_or_at_kinks(monkeypatch):
    array = report_of([1.0, 2.0], [1.0, 1.0])
    monkeypatch.setattr(every_entry, "mark_unconfirmed", lambda *_: DISAGREE)
    estimates = estimates_of({"w": array})
    assert _judge_array(estimates, CLAIM, array).reason == DISAGREE
    monkeypatch.setattr(every_entry, "mark_unconfirmed", lambda *_: "")
    monkeypatch.setattr(every_entry, "mark_uncertain_kinks", lambda *_: True)
    assert _judge_array(estimates, CLAIM, array).reason == every_entry.OUTSIDE_SLOPES
    monkeypatch.setattr(every_entry, "mark_uncertain_kinks", lambda *_: False)
    assert _judge_array(estimates, CLAIM, array) is array


def test_what_the_caller_knows_of_the_claims_errors_is_no_mistake():
    x = np.array([1.0, 2.0])
    evaluations = Evaluations(lambda x: float(np.sum(x**2)), x)
    estimates = estimate_derivatives(evaluations, "auto", 0)
    claimed = 2 * x + [0.0, 1e-3]
    for error, verdict in ((None, MISMATCH), (1e-4, MISMATCH), (1.1e-3, MATCH)):
        claim = Claim(evaluations, {"params": claimed})
        known = None if error is None else {"params": np.full(2, error)}
        report = judge_gradient(estimates, claim, 1e-3, "entry", 0.0, claim_error=known)
        assert report.verdict is verdict
        assert report.seconds > 0


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize(("cost", "scale"), [(4.0, 1.0), (4.0, 2.0**-10), (2.0**-30, 2.0**10)])
def test_terms_that_cancel_lose_digits_only_where_all_derivatives_are_small(sign, cost, scale):
    of_cost = cost / scale  # as large as derivatives by this array would be
    box = SimpleNamespace(sizes={"w": np.array([scale / 8, scale])})
    evaluations = SimpleNamespace(at_point=sign * cost, scales={"w": scale}, box=box)
    for part, lost in ((1.0, 64 * 2.0**-52), (1.01, 0.0)):
        g = np.array([0.0, sign * part * 2.0**-20 * of_cost])
        array = ArrayReport.judged("w", g, g, 0 * g, Rule(1e-6))
        found = _lost_by_saturation(SimpleNamespace(evaluations=evaluations), array)
        assert found == pytest.approx(lost * of_cost)
        off = ArrayReport.judged("w", g + np.array([g[1] / 16, 0]), g, 0 * g, Rule(1e-6))
        found = _lost_by_saturation(SimpleNamespace(evaluations=evaluations), off)
        assert found == pytest.approx(lost * of_cost * 8)  # over the size of the one that is off


@pytest.mark.parametrize("x", [[17.1581962, -7258.2], [-16.9, 350.0]])
def test_digits_that_a_given_claim_loses_are_no_mistake_beside_larger_parameters(x):
    x = np.array(x)
    report = check_gradient(lambda p: 4 + np.sum(np.tanh(p)), 1 - np.tanh(x) ** 2, x)
    assert report.verdict is Verdict.UNRESOLVED
    wrong = check_gradient(lambda p: 4 + np.sum(np.tanh(p)), 2 * np.ones(2), x)
    assert wrong.verdict is MISMATCH


def test_a_report_says_how_long_the_check_took():
    report = check_gradient(lambda p: np.sum(p**2), lambda p: 2 * p, np.ones(2))
    assert report
    assert 0 < report.seconds < 60
