"""The rule of the verdict: a claim is compared with the interval of an estimate."""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from checks.report.verdict import Verdict, detectable_error, judge, largest_entry

MATCH, UNRESOLVED, MISMATCH = Verdict
RTOL, RESOLUTION = 1e-6, 1e-3
NAN, INF = np.nan, np.inf


def judged(claimed, numeric, error, rtol=RTOL, resolution=RESOLUTION, slope_jump=0.0):
    """Judge one entry of an array whose largest entry is 1."""
    arrays = (np.array([1.0, value]) for value in (claimed, numeric))
    return Verdict(judge(*arrays, np.array([0.0, error]), rtol, resolution, slope_jump)[1])


# claimed, numeric, error, verdict; the largest entry is 1, so t = 1e-6 and resolution·s = 1e-3
TABLE = [
    (0.5, 0.5, 0.0, MATCH),
    (0.5, 0.5, 1e-3, MATCH),  # the error is just small enough
    (0.5, 0.5, 1.01e-3, UNRESOLVED),  # right, but the error is too large to show it
    (0.5 + 0.9e-6, 0.5, 0.0, MATCH),  # within the tolerance
    (0.5 + 1.1e-6, 0.5, 0.0, MISMATCH),
    (0.5 - 1.1e-6, 0.5, 0.0, MISMATCH),
    (0.5 + 1.1e-6, 0.5, 0.2e-6, MATCH),  # the true derivative may lie within the tolerance
    (0.6, 0.5, 0.05, MISMATCH),  # wrong wherever in the interval the true derivative lies
    (0.6, 0.5, 0.2, UNRESOLVED),
    (0.0, 1e-7, 0.0, MATCH),  # so small beside the largest entry that a zero passes
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


def test_verdicts_are_ordered_and_named():
    assert MATCH < UNRESOLVED < MISMATCH
    assert [str(verdict) for verdict in Verdict] == ["MATCH", "UNRESOLVED", "MISMATCH"]


def test_the_largest_entry_is_claimed_or_numeric_and_finite():
    assert largest_entry(np.array([1.0, -3.0]), np.array([2.0, NAN])) == 3
    assert largest_entry(np.array([1.0, INF]), np.array([-4.0, 2.0])) == 4
    assert largest_entry(np.zeros((2, 2)), np.zeros((2, 2))) == 0
    assert largest_entry(np.empty(0), np.empty(0)) == 0


def test_an_array_keeps_its_shape():
    ones = np.ones((2, 3))
    assert judge(ones, ones, 0 * ones, RTOL, RESOLUTION).shape == (2, 3)
    assert judge(np.empty((0, 3)), np.empty((0, 3)), np.empty((0, 3)), RTOL, RESOLUTION).size == 0


numbers = st.floats(-1e3, 1e3).filter(lambda x: x == 0 or abs(x) > 1e-100)
errors = st.floats(0, 10) | st.just(INF)
arrays = st.lists(st.tuples(numbers, numbers, errors), min_size=1, max_size=5).map(
    lambda entries: tuple(np.array(column) for column in zip(*entries, strict=True))
)
small = st.floats(1e-10, 0.1)


@given(arrays, small, small)
def test_the_rule_holds_as_it_is_written(array, rtol, resolution):
    s = max(np.abs(array[0]).max(), np.abs(array[1]).max())
    for g, n, e, verdict in zip(*array, judge(*array, rtol, resolution), strict=True):
        d, t = abs(g - n), rtol * s
        expected = MISMATCH if d - e > t else MATCH if e <= resolution * s else UNRESOLVED
        assert verdict == expected


@given(arrays, small, small)
def test_a_smaller_error_takes_no_mismatch_back(array, rtol, resolution):
    claimed, numeric, error = array
    before = judge(claimed, numeric, error, rtol, resolution)
    after = judge(claimed, numeric, error / 2, rtol, resolution)
    assert np.all(after[before == MISMATCH] == MISMATCH)


@given(arrays, small, small)
def test_a_larger_tolerance_makes_no_new_mismatch(array, rtol, resolution):
    strict = judge(*array, rtol, resolution)
    wide = judge(*array, 2 * rtol, resolution)
    assert not np.any((wide == MISMATCH) & (strict != MISMATCH))


@given(arrays, small, small, st.sampled_from([2.0**-40, 2.0**-3, -1.0, 2.0**50]))
def test_units_do_not_matter(array, rtol, resolution, unit):
    claimed, numeric, error = array
    changed = judge(unit * claimed, unit * numeric, abs(unit) * error, rtol, resolution)
    np.testing.assert_array_equal(changed, judge(*array, rtol, resolution))


@given(arrays, small, small)
def test_the_true_derivative_is_never_a_mismatch(array, rtol, resolution):
    _, numeric, error = array
    for truth in (numeric - error, numeric, numeric + error):
        if np.isfinite(truth).all():
            # n ± e is rounded, so the error is a little larger
            verdicts = judge(truth, numeric, error * (1 + 1e-12), rtol, resolution)
            assert not np.any(verdicts == MISMATCH)


@given(arrays, small, small, st.floats(1.001, 10), st.integers(0, 4), st.sampled_from([-1, 1]))
def test_an_error_of_the_detectable_size_is_a_mismatch(
    array, rtol, resolution, factor, entry, sign
):
    # a large entry is added: the altered one must not become the largest and raise the tolerance
    numeric, error = np.append(array[1], 1e9), np.append(np.minimum(array[2], 10), 0)
    truth = numeric + sign * error  # at an end of the interval
    entry %= numeric.size - 1
    claimed = truth.copy()
    s = largest_entry(claimed, numeric)
    claimed[entry] -= sign * factor * detectable_error(s, error.max(), rtol) * s
    assume(largest_entry(claimed, numeric) == s)
    assert judge(claimed, numeric, error, rtol, resolution)[entry] == MISMATCH


def test_nothing_is_detectable_if_nothing_is_known():
    assert detectable_error(0.0, 1.0, RTOL) == INF
    assert detectable_error(1.0, INF, RTOL) == INF
    assert detectable_error(1.0, 0.0, RTOL) == RTOL
