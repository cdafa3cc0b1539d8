"""The case of an array: how far a claim confirms a prediction, and the number that fits best."""

import math
from types import SimpleNamespace

import numpy as np
import pytest

from checks import Verdict
from checks.diagnosis.case import CERTAIN, Case, Fit
from tests.checks.diagnosis.cases import case_of

N = np.array([1.3, -0.7, 2.1, 0.45])


@pytest.mark.parametrize(
    ("other", "agree"),
    [
        (Fit("scale", "", number=2.25, tolerance=0.125), True),
        (Fit("scale", "", number=1.75, tolerance=0.125), True),
        (Fit("scale", "", number=2.26, tolerance=0.125), False),
        (Fit("scale", "", number=1.74, tolerance=0.125), False),
        (Fit("clipped", "", number=2.0, tolerance=0.125), False),
    ],
)
def test_fits_agree_if_their_numbers_do(other, agree):
    assert Fit("scale", "another", number=2.0, tolerance=0.125).agrees(other) is agree


def test_what_is_seen_without_a_comparison_is_certain_and_costs_nothing():
    fit = Fit("zero", "")
    assert (fit.evidence, fit.cost, fit.rank, fit.single) == (CERTAIN, 0, 0, False)
    assert (fit.number, fit.tolerance) == (0, 0)
    assert CERTAIN == 1e6


def report(claimed, numeric, *, scale="entry", rtol=0.125):
    """Return what a case reads of a report whose limit is rtol · max(|claimed|, |numeric|)."""
    claimed, numeric = np.asarray(claimed), np.asarray(numeric, float)
    with np.errstate(invalid="ignore"):
        verdicts = np.where(claimed == numeric, Verdict.MATCH, Verdict.MISMATCH)
    size = np.maximum(np.abs(np.nan_to_num(claimed.astype(float))), np.abs(numeric))
    return SimpleNamespace(
        path="w", claimed=claimed, numeric=numeric, error=0 * numeric + 0.5, limit=rtol * size,
        verdicts=verdicts, rule=SimpleNamespace(scale=scale, rtol=rtol),
    )  # fmt: skip


def test_a_limit_is_that_of_the_claims_size():
    array = report([1.0, -8, 2, np.nan], [4.0, 2, -6, 3])
    case = Case.of(array, np.ones(4), {})
    np.testing.assert_array_equal(case.limit, 0.125 * np.array([1, 8, 2, 0]))
    array = report([1.0, -8, 2], [4.0, 2, -6], scale="array")
    np.testing.assert_array_equal(Case.of(array, np.ones(3), {}).limit, [0.5, 1, 0.75])


def test_a_case_is_in_double_precision_and_has_an_axis():
    case = Case.of(report(np.float32(0.1), 0.3), np.float32(0.7), {"w": None})
    assert case.claimed.dtype == case.theta.dtype == np.float64
    assert case.parameters.dtype == np.float32
    for array in (case.claimed, case.numeric, case.error, case.limit, case.parameters, case.wrong):
        assert array.shape == (1,)
    assert (case.path, case.arrays) == ("w", {"w": None})
    assert case.wrong.all()
    wide = Case.of(report(np.longdouble([0.1]), [0.3]), np.longdouble([0.7]), {})
    assert wide.claimed.dtype == wide.theta.dtype == np.longdouble


def test_which_entries_are_wrong_and_known():
    case = Case.of(report([1.0, 2], [1.0, 3]), np.ones(2), {})
    assert case.wrong.tolist() == [False, True]
    case = case_of([1, 2, 3.0], [1, np.nan, 3], error=[0, 0, np.inf])
    assert case.known.tolist() == [True, False, False]


def test_a_part_has_what_belongs_to_its_entries():
    case = case_of(2 * N, N, np.arange(4.0), error=N**2, limit=np.abs(N))
    part = case.part(np.array([True, False, True, False]))
    np.testing.assert_array_equal(part.claimed, 2 * N[::2])
    np.testing.assert_array_equal(part.numeric, N[::2])
    np.testing.assert_array_equal(part.error, N[::2] ** 2)
    np.testing.assert_array_equal(part.limit, np.abs(N)[::2])
    np.testing.assert_array_equal(part.parameters, [0, 2])
    np.testing.assert_array_equal(part.theta, [0, 2])
    np.testing.assert_array_equal(part.discrepancy, np.abs(N)[::2])
    np.testing.assert_array_equal(part.tolerance, N[::2] ** 2 + np.abs(N)[::2])
    assert part.wrong.shape == (2,)
    assert part.arrays is case.arrays


@pytest.mark.parametrize(
    ("claims", "dtype"),
    [([0.5, 3], "float16"), ([0.1], "float64"), ([np.float32(0.1)], "float32"),
     ([1e5], "float32"), ([1e39], "float64"), ([0.5, np.float32(0.1)], "float32")],
)  # fmt: skip
def test_the_narrowest_dtype_holds_all_claims(claims, dtype):
    case = case_of(claims, np.ones(len(claims)), limit=0.25)
    assert case.narrowest.dtype == dtype
    narrow = case.in_narrow_dtype()
    assert (narrow is None) is (dtype == "float64")
    if narrow is not None:
        half = np.abs(np.spacing(np.array(claims, dtype))).astype(float) / 2
        np.testing.assert_array_equal(narrow.limit, 0.25 + half)


def test_half_of_a_last_place_of_a_negative_claim():
    narrow = case_of([-0.75, 3], [1, 1], limit=0).in_narrow_dtype()
    np.testing.assert_array_equal(narrow.limit, [2.0**-12, 2.0**-10])
    narrow = case_of([-0.75 - 2.0**-20, 3], [1, 1], limit=0).in_narrow_dtype()
    np.testing.assert_array_equal(narrow.limit, [2.0**-25, 2.0**-23])


# evidence

P = N + 1  # a prediction that is 1 off the estimate in every entry
EXACT = 2.0**-20  # a binary number, so that bits are whole


def evidence(claimed, prediction, n=N, **options):
    case = case_of(claimed, n, **{"error": EXACT, "limit": EXACT} | options)
    return case.evidence(np.asarray(prediction), plain=options.pop("plain", False))


def test_every_entry_gives_the_bits_of_its_discrepancy_over_its_tolerance():
    n = np.array([0.0, 10, 20, 30])
    claimed = n + np.array([1, 2, 4, -8])
    case = case_of(claimed, n, error=EXACT, limit=2.0**-20)
    total, largest = case.evidence(claimed)
    tolerance = EXACT + 2.0**-24 * 2.0**-20
    bits = np.log2(np.array([1, 2, 4, 8]) / tolerance)
    assert total == pytest.approx(bits.sum() - 4, abs=1e-9)
    assert largest == pytest.approx(bits.max(), abs=1e-9)


@pytest.mark.parametrize("sign", [1, -1])
def test_a_share_of_the_limit_that_is_used_counts_as_tolerance(sign):
    n = np.array([0.0, 10, 20, 30])
    claimed = n + np.array([1, 2, 4, 8])
    off = sign * np.array([0, 0.75 * 2.0**-10, 0, 0])
    case = case_of(claimed + off, n, error=2.0**-20, limit=[0.125, 2.0**-10, 0.125, 0.125])
    total, _ = case.evidence(claimed)
    share = 0.75 - 2.0**-10
    tolerance = 2.0**-20 + share * np.array([0.125, 2.0**-10, 0.125, 0.125])
    assert total == pytest.approx(np.log2([1, 2, 4, 8] / tolerance).sum() - 4, abs=1e-2)


@pytest.mark.parametrize(
    ("off", "explains"), [(2.0, True), (2.1, False), (-2.0, True), (-2.1, False)]
)
def test_every_entry_is_explained_to_its_error_and_limit(off, explains):
    n = np.array([0.0, 100, 200, 300])
    claimed = n + np.array([100, 100, 100, 100 + off * 0.5])
    found = case_of(claimed, n, error=0.5, limit=0.5).evidence(n + 100)
    assert (found is not None) is explains


@pytest.mark.parametrize(
    ("claimed", "n", "off", "explains"),
    [
        ([50, 20, -100.0], [0.0, 0, 0], 4.9, True),
        ([50, 20, -100.0], [0.0, 0, 0], -5.1, False),
        ([1.0, 1.5, -2.0], [0.0, 0, 50], 0.09, True),  # a twentieth of the largest claim too
        ([1.0, 1.5, -2.0], [0.0, 0, 50], 0.15, False),
        ([0.0, 0.0, 0.0], [0.0, 0, 100], 4.9, True),
        ([0.0, 0.0, 0.0], [0.0, 0, 100], 5.1, False),
    ],
)
def test_a_twentieth_may_be_left_over(claimed, n, off, explains):
    found = case_of(claimed, n, error=0, limit=10).evidence(np.add(claimed, [0, off, 0]))
    assert (found is not None) is explains


def test_an_infinite_claim_confirms_nothing():
    case = case_of([np.inf, 2, 3], [1, 1, 1], limit=[np.inf, 1e-9, 1e-9])
    assert case.evidence(np.array([5.0, 2, 3])) is None


def test_equal_entries_are_evidence_once():
    n, claimed = np.full(6, 0.1), np.full(6, 1.1)
    alike = case_of(claimed, n).evidence(claimed, plain=True)
    one = case_of(claimed[:1], n[:1]).evidence(claimed[:1], plain=True)
    assert alike == one
    other = case_of(claimed, n + np.array([0, 0, 0, 0, 0, 1e-2])).evidence(claimed, plain=True)
    assert other[0] > alike[0] + 20
    # to about three digits they are the same
    assert (
        case_of(claimed, n + np.array([0, 0, 0, 0, 0, 1e-5])).evidence(claimed, plain=True)[0] < 40
    )


@pytest.mark.parametrize(("count", "few"), [(2, True), (3, True), (4, False)])
def test_of_three_entries_short_numbers_are_little_evidence(count, few):
    n = np.array([1.3, -0.7, 2.1, 0.45])[:count]
    claimed = np.array([2.5, -1.25, 3, 4])[:count]
    total, largest = case_of(claimed, n).evidence(claimed)
    if few:
        assert total == pytest.approx([5, 6][count - 2] * math.log2(10) - 4)
        assert largest == pytest.approx(3 * math.log2(10))
    else:
        assert total > 100
    assert case_of(claimed, n).evidence(claimed, plain=True)[0] > 50


def test_entries_that_are_right_are_no_evidence():
    n = np.array([0.0, 10, 20, 30])
    one = case_of(n + np.array([1, 0, 0, 0]), n, error=EXACT).evidence(n + np.array([1, 0, 0, 0]))
    assert one == (pytest.approx(20 - 4, abs=1e-3), pytest.approx(20, abs=1e-3))


def test_what_has_no_estimate_is_left_out():
    n = np.array([0.0, 10, 20, np.nan])
    claimed = np.array([1.0, 12, 24, 7])
    case = case_of(claimed, n, error=EXACT)
    assert case.evidence(np.array([1.0, 12, 24, -5])) is not None
    assert case_of(claimed, n * np.nan).evidence(claimed) is None
    assert case_of(claimed * [1, 1, np.inf, 1], n).evidence(claimed) is None


def test_another_error_than_the_estimates_may_be_given():
    case = case_of(P, N, error=0, limit=0)
    assert case.evidence(P + 1e-3) is None
    assert case.evidence(P + 1e-3, np.full(4, 2e-3)) is not None


def test_a_fit_costs_the_bits_of_its_number_or_of_its_best_entry():
    case = case_of(P, N)
    _, largest = case.evidence(P)
    for bits, cost in ((0, 3), (5, 8), (math.inf, 3 + largest)):
        (fit,) = case.fit("name", "clause", P, 3, bits=bits, rank=1, number=7, tolerance=0.5)
        assert (fit.name, fit.clause, fit.rank) == ("name", "clause", 1)
        assert (fit.cost, fit.number, fit.tolerance) == (cost, 7, 0.5)
        assert fit.evidence == case.evidence(P)[0]
    (fit,) = case.fit("name", "clause", P, 3)
    assert (fit.cost, fit.rank, fit.number, fit.tolerance) == (3, 0, 0, 0)
    assert list(case.fit("name", "clause", N, 3)) == []
    few = case_of([2.5], [1.0])
    assert [f.evidence for f in few.fit("name", "", np.array([2.5]), 3)] == [
        few.evidence(np.array([2.5]))[0]
    ]


# the number that fits best


def test_the_number_is_weighted_by_what_each_entry_knows():
    x, y = np.array([1.0, -2, 4]), np.array([3.0, -7, 10])
    error = np.array([0.5, 0.5, 2.0])
    uncertainty = error / np.abs(x)
    weights = (0.25 / uncertainty) ** 2
    c, uncertain = case_of(y, x).number(x, y, error)
    assert c == pytest.approx((weights * y / x).sum() / weights.sum())
    assert uncertain == 0.25


@pytest.mark.parametrize("place", [0, 1, 2])
def test_an_entry_that_is_exact_decides_alone(place):
    x, y = np.array([1.0, -2, 4]), np.array([3.0, -7, 10])
    error = np.where(np.arange(3) == place, 0, 0.5)
    assert case_of(y, x).number(x, y, error) == (pytest.approx((y / x)[place]), 0)
    assert case_of(y, x).number(x, y, 0 * error) == (pytest.approx((y / x).mean()), 0)


def test_what_is_zero_or_not_finite_gives_no_number():
    x, y = np.array([1.0, 0, 4, 2]), np.array([3.0, 5, np.inf, 8])
    error = np.array([0.5, 0.5, 0.5, np.inf])
    assert case_of(y, x).number(x, y, error) == (3, 0.5)
    assert case_of(y, x).number(0 * x, y, error) is None
    unknown = case_of(np.ones(4), [1, np.nan, 1, 1], error=[0, 0, np.inf, 0])
    c = unknown.number(np.ones(4), np.array([1.0, 9, 9, 2]), np.full(4, 0.5))
    assert c == (1.5, 0.5)
    assert case_of([1.0], [1.0]).number(np.array([5e-324]), np.array([1e300]), np.ones(1)) is None
