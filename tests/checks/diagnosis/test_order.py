"""Entries in another order: which order is named, and where none is."""

import math

import numpy as np
import pytest

from checks.diagnosis.order import another_array, exchanged, reordered
from tests.checks.diagnosis.cases import array_like, case_of

ANY = "the entries of the numerical gradient in another order"
N = np.array([70.0, 10, 20, 30])
CLAIM = np.array([10.0, 20, 70, 30])
LAST = np.array([0, 0, 0, 1])


def clauses(claimed, numeric, **options):
    return [fit.clause for fit in reordered(case_of(claimed, numeric, **options))]


@pytest.mark.parametrize(
    ("claimed", "limit", "named"),
    [
        (CLAIM, 0.5, True),
        (CLAIM + LAST * 0.5, 0.5, True),
        (CLAIM - LAST * 0.5, 0.5, True),
        (CLAIM + LAST * 0.6, 0.5, False),
        (CLAIM - LAST * 0.6, 0.5, False),
        (CLAIM, 2.4, True),
        (CLAIM, 2.5, False),  # two entries could be confused
    ],
)
def test_any_order_is_found_by_sorting(claimed, limit, named):
    assert clauses(claimed, N, limit=limit, error=0) == [ANY] * named


@pytest.mark.parametrize(("off", "named"), [(1.25, True), (-1.25, True), (1.7, False)])
def test_what_is_left_over_is_small_beside_what_is_explained(off, named):
    n, claimed = np.array([40.0, 10, 20, 30]), np.array([10.0, 20, 40, 30 + off])
    assert clauses(claimed, n, limit=2.0, error=0) == [ANY] * named


def test_the_largest_tolerance_holds_for_all():
    assert clauses(CLAIM + LAST * 0.4, N, limit=[0.5, 0.1, 0.1, 0.1], error=0) == [ANY]


def test_entries_that_are_close_are_confused():
    n = np.array([70.0, 10, 11, 30])
    assert clauses([10.0, 11, 70, 30], n, limit=2.4, error=0) == []


def test_the_evidence_is_that_of_the_entries_that_moved():
    (fit,) = reordered(case_of(CLAIM, N, limit=0.5, error=0))
    bits = math.log2(60 / 0.5) + math.log2(10 / 0.5) + math.log2(50 / 0.5)
    assert (fit.name, fit.rank) == ("permuted", 1)
    assert (fit.evidence, fit.cost) == (pytest.approx(bits), pytest.approx(math.log2(24)))


def test_three_entries_and_two():
    assert clauses([3, 1, 8.0], [1, 3, 8.0]) == [ANY]
    assert clauses([3, 1.0], [1, 3.0]) == ["the numerical gradient in reverse order"]
    assert clauses([3.0], [3.0]) == []


def test_the_order_itself_is_no_other_order():
    assert clauses(N, N) == [ANY]  # with no evidence
    (fit,) = reordered(case_of(N, N))
    assert fit.evidence == 0


@pytest.mark.parametrize(("shift", "named"), [(1, "1"), (64, "-6"), (66, None), (65, None)])
def test_of_long_arrays_short_shifts_are_named(shift, named):
    n = np.random.default_rng(0).permutation(np.arange(70.0))
    text = f"the numerical gradient shifted by {named}, its entries in another order"
    assert clauses(np.roll(n, shift), n) == [text] * (named is not None) + [ANY]


def test_an_order_costs_no_more_than_one_of_a_hundred():
    rng = np.random.default_rng(0)
    n = rng.permutation(np.arange(300.0)).reshape(150, 2)
    for numeric in (n, n.T):
        order = rng.permutation(np.arange(150))
        claimed = numeric[order] if numeric is n else numeric[:, order]
        costs = [fit.cost for fit in reordered(case_of(claimed, numeric))]
        assert costs == [pytest.approx(math.log2(math.factorial(100)))] * 2


@pytest.mark.parametrize(
    ("order", "clause"),
    [
        ([2, 0, 1], "the numerical gradient shifted by 1 along axis 0, its entries in another or"),
        ([1, 2, 0], "the numerical gradient shifted by -1 along axis 0, its entries in another o"),
        ([2, 1, 0], "the numerical gradient in reverse order along axis 0"),
        ([0, 2, 1], "the numerical gradient with its rows in another order (row 1 is row 2 of it"),
        ([0, 2, 1, 3], "the numerical gradient with its rows in another order (row 1 is row 2 of"),
        ([3, 1, 2, 0], "the numerical gradient with its rows in another order (row 0 is row 3 of"),
    ],
)
def test_rows_have_one_name(order, clause):
    n = np.random.default_rng(0).permutation(np.arange(8.0 * len(order))).reshape(len(order), 8)
    (found,) = [c for c in clauses(n[order], n) if c != ANY]
    assert found.startswith(clause)


def test_rows_that_are_taken_twice_are_no_order():
    n = np.random.default_rng(0).permutation(np.arange(12.0)).reshape(4, 3)
    assert clauses(n[[0, 1, 1, 3]], n) == []


@pytest.mark.parametrize(("shape", "compared"), [((128, 256), True), ((200, 200), False)])
def test_of_large_arrays_rows_are_not_compared(shape, compared):
    n = np.arange(float(np.prod(shape))).reshape(shape)
    order = [1, 0, *range(2, shape[0])]
    found = any("with its rows" in clause for clause in clauses(n[order], n))
    assert found is compared


def test_small_squares_are_transposed():
    n = np.array([[1.0, 3], [8, 4]])
    found = clauses(n.T, n)
    assert found[0] == "the transpose of the numerical gradient"
    assert not any("row by row" in clause for clause in found)
    assert clauses(n, n) == [ANY]


OTHER = np.array([[1.3, -0.7, 2.1], [0.4, -1.9, 0.65]])


@pytest.mark.parametrize("number", [1, 2])
def test_the_gradient_of_another_array_is_named(number):
    e = 2.0**-20 * np.arange(1.0, 7).reshape(2, 3)
    between = {"u": array_like([1.0, 2], [1.0, 2])} if number == 2 else {}
    others = between | {"v": array_like(OTHER, OTHER, e)}
    fits = list(another_array(case_of(OTHER, 9 * OTHER, **others)))
    assert [(f.name, f.clause, f.cost, f.number) for f in fits] == [
        ("order", "the gradient of v", 3, 0)
    ]
    fits = list(another_array(case_of(OTHER.T, 9 * OTHER.T, **others)))
    assert [(f.name, f.clause, f.cost, f.number) for f in fits] == [
        ("order", "the transpose of the gradient of v", 3, number)
    ]
    for claim in (lambda a: a, lambda a: a.T):
        for share, fitting in ((0.999, 1), (-0.999, 1), (1.001, 0), (-1.001, 0)):
            case = case_of(claim(OTHER + share * e), 9 * claim(OTHER), limit=0, **others)
            assert len(list(another_array(case))) == fitting


def test_an_array_is_not_named_as_itself_nor_as_a_single_entry_nor_as_another_shape():
    n = np.array([1.3, -0.7])
    for other in ([1.3], [1.3, -0.7, 2.1], [[1.3, -0.7]]):
        v = array_like(other, other)
        assert list(another_array(case_of(n, n, v=v))) == []
    v = array_like([2.5], [2.5])
    assert list(another_array(case_of([2.5], [1.0], v=v))) == []
    v = array_like(n, n)
    assert [f.clause for f in another_array(case_of(n, 9 * n, v=v))] == ["the gradient of v"]


def test_a_square_array_may_be_the_transpose_of_another():
    n = np.array([[1.0, 3], [8, 4]])
    v = array_like(n, n)
    (fit,) = another_array(case_of(n.T, 9 * n, v=v))
    assert fit.clause == "the transpose of the gradient of v"


def test_two_entries_in_each_others_place():
    n = np.array([[3.0, 7.0, 1.5], [2.25, 9.0, 4.0]])
    claimed = n.copy()
    claimed[0, 1], claimed[1, 2] = n[1, 2], n[0, 1]
    (fit,) = exchanged(case_of(claimed, n))
    assert fit.clause == "the numerical gradient with the entries [0, 1] and [1, 2] exchanged"
    assert (fit.rank, fit.cost) == (1, math.log2(15))
    claimed[0, 1] += 0.5
    assert not list(exchanged(case_of(claimed, n)))  # it is not the other number
    claimed[0, 0] = 5
    assert not list(exchanged(case_of(claimed, n)))  # three are wrong
