"""The rule of the verdict: a claim is compared with the interval of an estimate."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from checks.report.array_report import ArrayReport
from checks.report.verdict import (
    LAST_PLACES,
    Rule,
    Verdict,
    judge,
    largest_entry,
    relative_discrepancy,
)

MATCH, UNRESOLVED, MISMATCH = Verdict
RTOL, RESOLUTION = 1e-6, 1e-3
NAN, INF = np.nan, np.inf


RULE, BY_ARRAY = Rule(RTOL, RESOLUTION), Rule(RTOL, RESOLUTION, "array")


def judged(claimed, numeric, error, rule=RULE, rounding=0.0, slope_jump=0.0):
    """Judge one entry of an array whose largest entry is 1."""
    arrays = (np.array([1.0, value]) for value in (claimed, numeric))
    both = (np.array([0.0, value]) for value in (rounding, slope_jump))
    return Verdict(judge(*arrays, np.array([0.0, error]), rule, *both)[1])


# claimed, numeric, error, verdict; the array's largest entry is 1, so resolution·s = 1e-3; of the
# entry itself rtol is 0.5e-6
TABLE = [
    (0.5, 0.5, 0.0, MATCH),
    (0.5, 0.5, 1e-3, MATCH),  # the error is just small enough
    (0.5, 0.5, 1.01e-3, UNRESOLVED),  # right, but the error is too large to show it
    (0.5 + 0.4e-6, 0.5, 0.0, MATCH),  # within the tolerance
    (0.5 + 0.6e-6, 0.5, 0.0, MISMATCH),
    (0.5 - 0.6e-6, 0.5, 0.0, MISMATCH),
    (0.5 + 0.6e-6, 0.5, 0.2e-6, MATCH),  # the true derivative may lie within the tolerance
    (0.6, 0.5, 0.05, MISMATCH),  # wrong wherever in the interval the true derivative lies
    (0.6, 0.5, 0.2, UNRESOLVED),
    (0.0, 1e-7, 0.0, MISMATCH),  # small beside the largest entry, but a zero is wrong
    (-1e-9, 1e-9, 1e-12, MISMATCH),
    (0.0, 1e-7, 2e-7, MATCH),  # the error is too large for the entry, not for the array
    (0.0, 1e-5, 1e-9, MISMATCH),
    (0.5, 0.5, INF, UNRESOLVED),
    (0.5, NAN, INF, UNRESOLVED),
    (0.5, 5.0, INF, UNRESOLVED),
    (NAN, 0.5, 0.0, MISMATCH),
    (INF, 0.5, 0.0, MISMATCH),
    (-INF, 0.5, INF, MISMATCH),
    (NAN, NAN, INF, MISMATCH),
]


@pytest.mark.parametrize(("claimed", "numeric", "error", "verdict"), TABLE)
def test_truth_table(claimed, numeric, error, verdict):
    assert judged(claimed, numeric, error) is verdict


def test_a_kink_widens_the_interval_but_does_not_count_against_the_resolution():
    # slopes 0.3 and 0.7: the interval is 0.5 ± 0.2, all of which is the slope jump
    for claimed, verdict in ((0.3, MATCH), (0.45, MATCH), (0.7, MATCH), (0.71, MISMATCH)):
        assert judged(claimed, 0.5, 0.2, slope_jump=0.2) is verdict
    assert judged(0.5, 0.5, 0.202, slope_jump=0.2) is UNRESOLVED


@pytest.mark.parametrize("sign", [-1, 1])
@pytest.mark.parametrize(
    ("off", "rounding", "verdict"),
    [
        (1e-7, 0.0, MISMATCH),
        (1e-7, 0.6e-7, MATCH),  # 2 b is 1.2e-7, and below rtol·s
        (1e-7, 0.4e-7, MISMATCH),
        (3e-6, 1e-6, MISMATCH),
        (
            3e-6,
            2e-6,
            UNRESOLVED,
        ),  # above rtol·s, so the claim is not right, but rounding explains it
        (0.9e-6, NAN, UNRESOLVED),  # below rtol·s: rounding may explain it
        (1.1e-6, NAN, MISMATCH),
        (1e-14, NAN, MATCH),  # below rtol of the entry, whatever it rounds
        (0.0, NAN, MATCH),
    ],
)
def test_the_rounding_of_the_claim_may_explain_what_it_is_off_by(off, rounding, verdict, sign):
    assert judged(sign * (1e-7 + off), sign * 1e-7, 1e-14, RULE, rounding) is verdict
    assert judged(1e-7 + sign * off, 1e-7, 1e-14, RULE, rounding) is verdict
    # by the array's scale all passes below rtol·s, whatever it rounds
    by_array = judged(1e-7 + sign * off, 1e-7, 1e-14, BY_ARRAY, rounding)
    assert by_array is (verdict if off > RTOL else MATCH)


@pytest.mark.parametrize("sign", [-1, 1])
def test_what_is_far_below_the_last_place_of_the_gradient_is_no_mismatch(sign):
    for largest, verdict in ((1.0, MISMATCH), (4.0, UNRESOLVED)):
        rule = Rule(RTOL, RESOLUTION, eps=1e-12, largest=largest)
        off = sign * 2 * LAST_PLACES * 1e-12
        assert judged(1e-11 + off, 1e-11, 0.0, rule) is verdict
        # unless its rounding is known to be much less
        for rounding, expected in ((1e-14, MISMATCH), (4e-12, verdict), (NAN, UNRESOLVED)):
            assert judged(1e-11 + off, 1e-11, 0.0, rule, rounding) is expected


def test_an_array_of_derivatives_that_may_all_be_zero_has_no_scale_of_its_own():
    rule = Rule(RTOL, RESOLUTION, largest=1.0)
    for numeric, verdict in ((0.0, UNRESOLVED), (5e-9, MISMATCH)):
        array = [np.array([value]) for value in (2e-8, numeric, 1e-9)]
        assert judge(*array, rule, np.array([NAN]))[0] == verdict
        assert judge(*array, rule, np.array([1e-9]))[0] == MISMATCH


@pytest.mark.parametrize("sign", [-1, 1])
def test_what_cancelling_terms_may_lose_is_open_where_rounding_is_not_known(sign):
    rule = Rule(RTOL, RESOLUTION, lost=1e-6)
    for off, verdict in ((0.9e-6, UNRESOLVED), (1.1e-6, MISMATCH)):
        array = [np.array([value]) for value in (1e-4 + sign * off, 1e-4, 0.0)]
        assert judge(*array, rule, np.array([NAN]))[0] == verdict
        assert judge(*array, rule, np.array([0.0]))[0] == MISMATCH


def test_verdicts_are_ordered_and_named():
    assert MATCH < UNRESOLVED < MISMATCH
    assert [str(verdict) for verdict in Verdict] == ["MATCH", "UNRESOLVED", "MISMATCH"]


def test_the_largest_entry_is_claimed_or_numeric_and_finite():
    assert largest_entry(np.array([1.0, -3.0]), np.array([2.0, NAN])) == 3
    assert largest_entry(np.array([1.0, INF]), np.array([-4.0, 2.0])) == 4
    assert largest_entry(np.zeros((2, 2)), np.zeros((2, 2))) == 0
    assert largest_entry(np.empty(0), np.empty(0)) == 0


def test_an_array_keeps_its_shape():
    ones, empty = np.ones((2, 3)), np.empty((0, 3))
    assert judge(ones, ones, 0 * ones, RULE).shape == (2, 3)
    assert judge(empty, empty, empty, RULE).size == 0


numbers = st.floats(-1e3, 1e3).filter(lambda x: x == 0 or abs(x) > 1e-100)
errors = st.floats(0, 10) | st.just(INF)
arrays = st.lists(st.tuples(numbers, numbers, errors), min_size=1, max_size=5).map(
    lambda entries: tuple(np.array(column) for column in zip(*entries, strict=True))
)
small = st.floats(1e-10, 0.1)
scales = st.sampled_from(["entry", "array"])
rules = st.builds(Rule, small, small, scales, small, st.floats(0, 1e3), st.floats(0, 1))
roundings = st.floats(0, 1) | st.just(NAN)


@given(arrays, rules, roundings)
def test_the_rule_holds_as_it_is_written(array, rule, b):
    s = max(np.abs(array[0]).max(), np.abs(array[1]).max())
    unseen = not (np.abs(array[1]) > array[2]).any()
    verdicts = judge(*array, rule, np.full(array[0].shape, b))
    for g, n, e, verdict in zip(*array, verdicts, strict=True):
        d, known = abs(g - n), 0 if np.isnan(b) else b
        t = rule.rtol * max(abs(g), abs(n)) + min(2 * known, rule.rtol * s)
        t = rule.rtol * s if rule.scale == "array" else t
        floor = rule.eps * rule.largest
        limit = max(t, 2 * known, 2**6 * (min(floor, known) if known else floor))
        if np.isnan(b):
            limit = max(limit, rule.rtol * (max(s, rule.largest) if unseen else s), rule.lost)
        right = d - e <= t and e <= rule.resolution * s
        assert verdict == (MISMATCH if d - e > limit else MATCH if right else UNRESOLVED)


@given(arrays, rules, roundings)
def test_a_smaller_error_takes_no_mismatch_back(array, rule, b):
    claimed, numeric, error = array
    before = judge(claimed, numeric, error, rule, b)
    after = judge(claimed, numeric, error / 2, rule, b)
    assert np.all(after[before == MISMATCH] == MISMATCH)


@given(arrays, rules, roundings)
def test_a_larger_tolerance_makes_no_new_mismatch(array, rule, b):
    strict, wide = judge(*array, rule, b), judge(*array, replace(rule, rtol=2 * rule.rtol), b)
    assert not np.any((wide == MISMATCH) & (strict != MISMATCH))


@given(arrays, rules, st.floats(0, 1))
def test_more_rounding_makes_no_new_mismatch_and_takes_no_match_back(array, rule, b):
    little, much = judge(*array, rule, b), judge(*array, rule, 2 * b)
    assert not np.any((much == MISMATCH) & (little != MISMATCH))
    assert not np.any((little == MATCH) & (much != MATCH))


@given(arrays, rules, roundings, st.sampled_from([2.0**-40, 2.0**-3, -1.0, 2.0**50]))
def test_units_do_not_matter(array, rule, b, unit):
    claimed, numeric, error = array
    size = abs(unit)
    for part in array:  # in any unit, they are zeros or have all digits
        assume(np.all((part == 0) | (np.abs(part) * size > 2.0**-1000)))
    changed = replace(rule, largest=size * rule.largest, lost=size * rule.lost)
    np.testing.assert_array_equal(
        judge(unit * claimed, unit * numeric, size * error, changed, size * b),
        judge(*array, rule, b),
    )


@given(arrays, rules, roundings)
def test_the_true_derivative_is_never_a_mismatch(array, rule, b):
    _, numeric, error = array
    for truth in (numeric - error, numeric, numeric + error):
        if np.isfinite(truth).all():
            # n ± e is rounded, so the error is a little larger
            verdicts = judge(truth, numeric, error * (1 + 1e-12), rule, b)
            assert not np.any(verdicts == MISMATCH)


@given(arrays, rules, roundings, st.floats(1.001, 10), st.integers(0, 4), st.sampled_from([-1, 1]))
def test_an_error_of_the_detectable_size_is_no_match(array, rule, b, factor, entry, sign):
    # a large entry is added: the altered one must not become the largest and raise the tolerance
    numeric, error = np.append(array[1], 1e9), np.append(np.minimum(array[2], 10), 0)
    truth = numeric + sign * error  # at an end of the interval
    entry %= numeric.size - 1
    report = ArrayReport.judged("w", truth, numeric, error, rule, b)
    assume(report.scales[entry] > 0)
    claimed = truth.copy()
    growth = 1 / (1 - rule.rtol)  # of the tolerance of an entry that grows
    off = factor * growth * report.detectable_errors[entry] * report.scales[entry]
    claimed[entry] -= sign * off
    assume(largest_entry(claimed, numeric) == report.largest)
    assert judge(claimed, numeric, error, rule, b)[entry] != MATCH


def test_nothing_is_detectable_if_nothing_is_known():
    def detectable(numeric, error, rule=RULE):
        values = (np.array([value]) for value in (numeric, numeric, error))
        return ArrayReport.judged("w", *values, rule).detectable

    for rule in (RULE, BY_ARRAY):
        assert detectable(0.0, 1.0, rule) == INF
        assert detectable(1.0, INF, rule) == INF
        assert detectable(1.0, 0.0, rule) == RTOL


def test_a_discrepancy_has_a_ratio_where_it_has_a_scale():
    found = relative_discrepancy(np.array([0.0, 0.0, 1.0, 1.0, INF]), np.array([0, 1, 0, 2, 1]))
    np.testing.assert_array_equal(found, [0, 0, INF, 0.5, INF])


def test_an_entry_is_relative_to_itself_where_it_is_known_well_enough():
    numeric, error = np.array([-8.0, 1e-3, 1e-3, 0.0]), np.array([0, 0.9e-6, 1.1e-6, 0.0])
    array = ArrayReport.judged("w", numeric, numeric, error, RULE)
    np.testing.assert_array_equal(array.coarse, [False, False, True, False])
    np.testing.assert_array_equal(array.scales, [8, 1e-3, 8, 0])
    # half of what the claim rounds by may be right by luck: it counts as the error does
    array = ArrayReport.judged("w", numeric, numeric, 0 * error, RULE, np.array([0, 0, 1e-6, 0]))
    np.testing.assert_array_equal(array.coarse, [False, False, True, False])
    array = ArrayReport.judged("w", numeric, numeric, error, BY_ARRAY)
    assert not array.coarse.any()
    np.testing.assert_array_equal(array.scales, 8)
