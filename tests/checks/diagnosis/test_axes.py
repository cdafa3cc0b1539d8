"""Sums, means and single numbers: when nothing is said of them."""

import numpy as np
import pytest

from checks.diagnosis.axes import centred, one_number, reduced
from tests.checks.diagnosis.cases import case_of


def found(hypothesis, *args, **options):
    return [(f.clause, f.number) for f in hypothesis(case_of(*args, **options))]


MEAN = "one number in every entry, the mean of the numerical gradient's entries: an axis too many"


@pytest.mark.parametrize(
    ("claimed", "limit", "fits"),
    [
        ([4, 4.125, 4], 0.125, True),
        ([4, 3.875, 4], 0.125, True),
        ([4, 4.126, 4], 0.125, False),
        ([4.1, 4, 4], [0.125, 0.0625, 0.125], True),
        ([3.9, 4.1, 4], 0.125, False),  # each is near 4, but they are not one number
    ],
)
def test_one_number_is_one_to_within_the_limit(claimed, limit, fits):
    assert found(one_number, claimed, [1, 3, 8], limit=limit) == [(MEAN, 1)] * fits


@pytest.mark.parametrize(
    ("claimed", "numeric", "clauses"),
    [
        ([9, 9, 9], [1, 3, 8], ["one number in every entry, 9"]),
        ([9, 9], [1, 3], []),
        ([9, 9, 9 + 1e-5], [1, 3, 8], []),
        ([0, 0, 0], [1, -3, 2], []),
        ([np.inf] * 3, [1, 3, 8], []),
        ([np.nan, 9, 9], [1, 3, 8], []),
        ([9, 9, 9], [4, 4, 4.25], []),
        ([9, 9, 9], [4, 4, 4.26], ["one number in every entry, 9"]),
        ([9.0], [4.0], []),
    ],
)
def test_a_number_without_a_formula_is_told_of_three_entries(claimed, numeric, clauses):
    error = [0.125, 0.0625, 0.0625][: len(numeric)]
    fits = found(one_number, claimed, numeric, limit=0.125, error=error)
    assert [clause for clause, _ in fits] == clauses


def test_the_sum_of_a_vector_is_one_number_and_no_axis():
    n = np.array([1.3, -0.7, 2.1])
    assert found(reduced, np.full(3, n.sum()), n) == []


@pytest.mark.parametrize("shape", [(3,), (1, 3)])
def test_a_vector_is_centred_once(shape):
    n = np.array([1.3, -0.7, 2.2]).reshape(shape)
    assert len(found(centred, n - n.mean(), n)) == len(shape)


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize(
    ("mean", "error", "fits"),
    [(2.9e-6, 0, True), (3.2e-6, 0, False), (0.9e-3, 1e-3, True), (1.1e-3, 1e-3, False)],
)
def test_not_centred_is_what_is_right_once_its_mean_is_subtracted(sign, mean, error, fits):
    n = np.array([3.0, -3, 4, -4, 2, -2]) + sign * mean
    clause = "right once its mean is subtracted: not centred"
    fit = [
        f for f in centred(case_of(n + sign * 7, n, error=error, limit=1e-5)) if f.clause == clause
    ]
    assert [(f.name, f.cost, f.number) for f in fit] == [("not centred", 4, -1)] * fits


def test_a_mean_along_one_axis_is_subtracted_there():
    n = np.array([[1.0, -3, 2], [-1, 3, -2]])
    claimed = np.add(n, [5, 0, -2])
    assert found(centred, claimed, n) == [
        ("right once its mean along axis 0 is subtracted: not centred", 0)
    ]
    assert found(centred, claimed.T, n.T) == [
        ("right once its mean along axis 1 is subtracted: not centred", 1)
    ]
    off = np.add(n, [[0.5, 0, 0], [0, 0, 0]])  # not every column of the derivative has a mean of 0
    assert found(centred, np.add(off, [5, 0, -2]), off) == []


def test_of_zeros_no_mean_is_missed():
    assert found(centred, np.ones(3), np.zeros(3)) == []
    assert len(found(centred, np.array([0, 3.0, -3]) + 7, [0, 3, -3])) == 1


def test_a_number_with_a_formula_is_told_once():
    assert found(one_number, [4, 4, 4], [1, 3, 8]) == [(MEAN, 1)]
