"""What a report says of claims that are off by no more than their own rounding."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from checks.judgement.blurred_claim import lost_digits, suspected_entry, why_claim_is_blurred
from checks.report.array_report import ArrayReport
from checks.report.verdict import Rule, Verdict

MATCH, UNRESOLVED, MISMATCH = Verdict
RULE = Rule(1e-6)


def report_of(off, rounding, numeric=1.0, error=0.0, path="w", rule=RULE):
    """Return an array whose entries of size `numeric` are off by so much."""
    off = np.asarray(off, float)
    n = np.full(off.shape, numeric) if np.isscalar(numeric) else np.asarray(numeric, float)
    e = np.full(off.shape, error)
    return ArrayReport.judged(path, n + off, n, e, rule, np.broadcast_to(rounding, off.shape))


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("rounding", [1e-4, 1e-2])
def test_entries_off_by_less_than_twice_their_rounding_are_a_finding(sign, rounding):
    # 1.9 roundings are lost digits; 2.1 are not; nor is what is within rtol of its size
    off = sign * np.array([[1.9 * rounding, 2.1 * rounding, 0.5e-6]])
    (text,) = lost_digits({"w": report_of(off, rounding)})
    size = max(1.0, 1 + sign * 1.9 * rounding)
    assert text.startswith(
        "rounding inside your gradient: w[0, 0] is off by "
        f"{1.9 * rounding / size:.1e} of its size, and moves by as much"
    )
    assert list(lost_digits({"w": report_of(off[:, 1:], rounding)})) == []


@pytest.mark.parametrize("size", [2.0**-30, 2.0**30])
def test_lost_digits_are_relative_to_the_size_of_the_entry(size):
    for factor, lost in ((0.9, False), (1.1, True)):
        array = report_of([factor * 1e-6 * size], size, numeric=size)
        assert bool(list(lost_digits({"w": array}))) == lost
    # what rounding does not explain is no rounding, though it passes beside a larger entry
    loose = Rule(1e-2, scale="array")
    for factor, lost in ((1.9, True), (2.1, False)):
        off, numeric = size * np.array([factor * 0.1, 0.0]), size * np.array([1.0, 100.0])
        array = report_of(off, 0.1 * size, numeric=numeric, rule=loose)
        assert array.verdict is MATCH
        assert bool(list(lost_digits({"w": array}))) == lost


def test_the_worst_of_several_arrays_is_named_and_the_others_are_counted():
    small, large = report_of([1e-5, 0, 2e-5], 1e-4, path="v"), report_of([0, 1e-4, 1.5e-4], 1e-4)
    (text,) = lost_digits({"v": small, "w": large})
    assert "w[2] is off by 1.5e-04 of its size (and 3 more entries), and" in text
    (text,) = lost_digits({"v": report_of([1e-5, 2e-5], 1e-4, path="v")})
    assert "v[1] is off by 2.0e-05 of its size (and 1 more entry), and" in text
    (text,) = lost_digits({"v": report_of([3e-5], 1e-4, path="v")})
    assert "v[0] is off by 3.0e-05 of its size, and" in text


def test_the_error_of_the_estimate_is_no_rounding_of_the_claim():
    assert list(lost_digits({"w": report_of([1e-4], 1e-4, error=1e-4)})) == []
    assert list(lost_digits({"w": report_of([2.5e-4], 1e-4, error=1e-4)})) != []


def test_mistakes_and_kinks_have_lost_no_digits():
    array = report_of([1e-4, 1e-4], 1e-4)
    for mask in ([True, False], [False, True]):
        verdicts = np.where(mask, MISMATCH, array.verdicts).astype(np.int8)
        (text,) = lost_digits({"w": replace(array, verdicts=verdicts)})
        assert f"w[{int(mask[0])}] is off by 1.0e-04 of its size, and" in text
    kinked = replace(array, slope_jump=np.array([0.5, 0.5]))
    assert list(lost_digits({"w": kinked})) == []


CLAIM = SimpleNamespace(unmeasured="it was given as arrays", coarse=0.0)


def test_a_rounding_that_is_not_known_is_the_reason():
    array = report_of([1e-3, 0.0], [np.nan, 0.0], numeric=[1.0, 1e4])
    reason = why_claim_is_blurred(array, np.array([True, False]), CLAIM)
    assert "off by more than 1e-06 of its own size, but not of its array's largest" in reason
    assert "is not known: it was given as arrays." in reason
    # where no derivative of the array is surely not zero, the whole gradient's entries count
    unseen = report_of([1e-3, 0.0], [np.nan, 0.0], numeric=[1.0, 1e4], error=1e5)
    reason = why_claim_is_blurred(unseen, np.array([True, False]), CLAIM)
    assert "but not of the whole gradient's largest entry" in reason
    # of one of two unresolved entries, too
    assert "not known" in why_claim_is_blurred(array, np.array([True, True]), CLAIM)
    # of entries that are unresolved only
    assert "not known" not in why_claim_is_blurred(array, np.array([False, True]), CLAIM)


@pytest.mark.parametrize("sign", [1, -1])
def test_what_explains_the_blur(sign):
    array = report_of(sign * np.array([1.9e-3, 2.1e-3]), 1e-3)
    own, of_all = (
        why_claim_is_blurred(array, np.array(mask), CLAIM) for mask in ([True, False], [True, True])
    )
    assert "no more than its own rounding explains." in own
    assert "no more than rounding of the size of the whole gradient's largest entry may" in of_all
    # beyond the error of the estimate
    array = report_of(sign * np.array([2.1e-3]), 1e-3, error=2e-4)
    assert "its own rounding" in why_claim_is_blurred(array, np.array([True]), CLAIM)


def test_twice_the_rounding_is_explained_by_it():
    array = report_of([2.0**-9], 2.0**-10)
    assert "its own rounding" in why_claim_is_blurred(array, np.array([True]), CLAIM)


@pytest.mark.parametrize("sign", [1, -1])
def test_the_unresolved_entry_whose_claim_is_off_the_most_is_suspected(sign):
    def arrays(off_v, off_w, error=0.0, unresolved=True):
        found = {
            "v": report_of(sign * np.array([off_v]), 1e-3, sign * np.array([1.0]), error, "v"),
            "w": report_of(sign * np.array(off_w), 1e-3, sign * np.array([[1.0, 100.0]]), error),
        }
        for array in found.values():
            array.verdicts[...] = UNRESOLVED if unresolved else MATCH
        return found

    # relative to its own size
    assert suspected_entry(arrays(0.01, [[0.02, 0.5]])) == ("w", (0, 0))
    assert suspected_entry(arrays(0.01, [[0.0, 5.0]])) == ("w", (0, 1))
    assert suspected_entry(arrays(0.03, [[0.02, 0.5]])) == ("v", (0,))
    assert suspected_entry(arrays(0.01, [[0.0, 0.5]])) == ("v", (0,))
    both = arrays(0.01, [[0.02, 0.0]])
    assert suspected_entry(dict(reversed(both.items()))) == ("w", (0, 0))
    # by more than the error and the tolerance, which are 0.01 and 1e-6
    assert suspected_entry(arrays(0.0102, [[0.0099, 0.0]], 0.01)) == ("v", (0,))
    assert suspected_entry(arrays(0.0099, [[0.0099, 0.0]], 0.01)) is None
    assert suspected_entry(arrays(0.9e-6, [[0.9e-6, 0.9e-4]])) is None
    assert suspected_entry(arrays(0.01, [[0.02, 0.0]], unresolved=False)) is None
    assert suspected_entry({}) is None
    exact = report_of(sign * np.array([2.0**-10]), 0.0, -sign * 1.0, rule=Rule(2.0**-10))
    exact.verdicts[...] = UNRESOLVED
    assert suspected_entry({"w": exact}) is None  # at the tolerance, not above it


@pytest.mark.parametrize(
    ("unmeasured", "what"),
    [("", "its own rounding explains"), ("w", "so coarse a cost may lose")],
)
def test_a_cost_that_is_coarser_than_its_dtype_is_said(unmeasured, what):
    array = report_of([0.01], [0.01])
    claim = SimpleNamespace(unmeasured=unmeasured, coarse=2e-4)
    reason = why_claim_is_blurred(array, np.array([True]), claim)
    assert what in reason
    assert "The cost loses 2e-04 of itself" in reason
    assert "say by rtol" in reason
