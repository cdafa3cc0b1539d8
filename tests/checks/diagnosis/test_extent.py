"""Parts that are wrong: which entries, rows and columns are named, and which have a formula."""

import math
from dataclasses import replace

import numpy as np
import pytest

from checks.diagnosis.extent import formula_of_a_part, masked, one_part, small_everywhere
from checks.diagnosis.hypotheses import fits
from tests.checks.diagnosis.cases import case_of

G = np.random.default_rng(0).uniform(0.5, 2, (6, 5)) * np.where(np.eye(6, 5), -1, 1)
V = np.random.default_rng(1).uniform(0.5, 2, 12) * np.resize([1, -1, 1], 12)


def of(hypothesis, *args, **options):
    return list(hypothesis(case_of(*args, **options)))


def clauses(hypothesis, *args, **options):
    return [fit.clause for fit in of(hypothesis, *args, **options)]


def times(g, factor, *places):
    """Return an array with some places, each a slice or an index, times a factor."""
    g = g.copy()
    for place in places:
        g[place] *= factor
    return g


def bits(total, chosen):
    return math.log2(math.comb(total, chosen))


THREE = "3.000 × the numerical gradient: a factor 3 too many, as a sum over 3 samples where the "
THREE += "cost takes their mean"


@pytest.mark.parametrize(
    ("places", "where", "cost"),
    [
        ([2], "row 2", bits(6, 1) + 1),
        ([2, 4], "rows 2, 4", bits(6, 2) + 1),
        ([0, 1, 3, 4], "rows 0, 1, 3, 4", bits(6, 4) + 1),
        ([0, 1, 3, 4, 5], "rows 0, 1, 3, 4, …", bits(6, 5) + 1),
        ([np.s_[:, 3]], "column 3", bits(5, 1) + 1),
        ([np.s_[:, 3], np.s_[:, 0]], "columns 0, 3", bits(5, 2) + 1),
        ([(0, 1), (2, 3)], "[0, 1] and [2, 3]", bits(30, 2)),
        ([(0, 1), (2, 3), (5, 0)], "[0, 1], [2, 3] and [5, 0]", bits(30, 3)),
        ([(0, 1), (2, 3), (5, 0), (1, 1)], "4 of 30 entries", bits(30, 4)),
    ],
)
def test_a_part_has_a_factor_of_its_own(places, where, cost):
    (fit,) = of(formula_of_a_part, times(G, 3, *places), G)
    assert fit.clause == f"right but for {where}: there it is {THREE}"
    assert (fit.name, fit.rank, fit.number) == ("scale", 1, 3)
    assert fit.cost == pytest.approx(1 + cost, abs=1e-9)


def test_a_part_of_three_axes_is_told_by_its_axis():
    g = G.reshape(2, 3, 5)
    for place, where in ((np.s_[:, 1], "index 1 of axis 1"),
                         (np.s_[:, :, [0, 2]], "indices 0, 2 of axis 2")):  # fmt: skip
        (fit,) = of(formula_of_a_part, times(g, 3, place), g)
        assert fit.clause.startswith(f"right but for {where}: there")
    claimed = times(V, 3, [0, 4])  # of a vector there are no rows
    (fit,) = of(formula_of_a_part, claimed, V)
    assert fit.clause.startswith("right but for [0] and [4]: there")


def test_wrong_signs_of_a_part_are_signs():
    (fit,) = of(formula_of_a_part, times(G, -1, 2), G, np.full(G.shape, 0.7))
    assert (fit.name, fit.clause) == (
        "signs", "right but for row 2: there it is the numerical gradient with the opposite sign"
    )  # fmt: skip


def test_a_part_may_have_a_term_or_a_chain_factor():
    theta = np.random.default_rng(2).uniform(0.5, 2, G.shape)
    n = G.copy()
    n[1, 0] = -0.25 * theta[1, 0]
    claimed = n.copy()
    claimed[1] += 0.25 * theta[1]  # one of them becomes 0
    (fit,) = of(formula_of_a_part, claimed, n, theta)
    assert (fit.name, fit.rank) == ("penalty", 1)
    claimed = G.copy()
    claimed[:, 1] *= theta[:, 1]
    (fit,) = of(formula_of_a_part, claimed, G, theta)
    assert (fit.name, fit.rank) == ("chain factor", 1)
    assert fit.clause.startswith("right but for column 1: there it is the numerical gradient × θ")


@pytest.mark.parametrize(
    "claimed", [3 * G, times(G, 3, (0, 0)), times(G, 0, 2), times(G, np.nan, 2)]
)
def test_all_or_one_or_zeros_are_no_part_with_a_formula(claimed):
    assert of(formula_of_a_part, claimed, G) == []


def test_what_is_wrong_in_all_rows_is_no_part_of_rows():
    n = G.copy()
    n[0, 0] = 0
    (fit,) = of(formula_of_a_part, 3 * n, n)
    assert fit.clause.startswith("right but for 29 of 30 entries: there")


def test_two_entries_are_a_part():
    assert len(of(formula_of_a_part, times(V, 3, 0, 1), V)) == 1
    claimed = times(V, 3, 1, 2)
    claimed[0] = 0.0
    assert of(formula_of_a_part, claimed, V) == []


# masks


MASKED = V * (np.arange(12) % 3 > 0)  # zero in 4 of 12


@pytest.mark.parametrize("sign", [1, -1])
def test_a_mask_that_is_not_applied(sign):
    claimed = MASKED + sign * np.where(MASKED == 0, 0.7, 0)
    (fit,) = of(masked, claimed, MASKED)
    assert fit.clause == (
        "right but for 4 of 12 entries where the derivative is 0 and the claim is not: a mask that "
        "is not applied, as of a relu, of dropout or of padding"
    )
    assert (fit.name, fit.rank) == ("mask", 1)
    claimed[[0, 3]] = 0  # of four zeros, two are wrong: any two of twelve could be
    assert bool(of(masked, claimed, MASKED)) is (bits(12, 2) - bits(4, 2) >= 4)


@pytest.mark.parametrize(
    ("size", "wrong", "zeros", "named"),
    [(12, 2, 2, True), (12, 2, 3, True), (12, 2, 4, False), (6, 2, 2, False), (7, 2, 2, True)],
)
def test_zeros_at_wrong_entries_are_no_chance_from_four_bits_on(size, wrong, zeros, named):
    n = np.linspace(1, 2, size) * np.where(np.arange(size) < zeros, 0, 1)
    claimed = n + np.where(np.arange(size) < wrong, 0.3, 0)
    assert bool(of(masked, claimed, n)) is named
    assert (bits(size, wrong) - bits(zeros, wrong) >= 4) is named


@pytest.mark.parametrize(
    ("value", "error", "named"),
    [(1e-7, 2e-7, True), (-1e-7, 2e-7, True), (1e-7, 0.5e-7, False), (0, 1.1e-6, False),
     (0, 0.9e-6, True)],
)  # fmt: skip
def test_a_derivative_is_zero_to_its_error_and_known_to_a_millionth(value, error, named):
    n = 8 * np.where(MASKED == 0, value, MASKED / np.abs(MASKED).max())
    claimed = n + np.where(MASKED == 0, 0.7, 0)
    at_zeros = 8 * np.where(MASKED == 0, error, 1e-9)
    assert bool(of(masked, claimed, n, error=at_zeros)) is named
    assert of(masked, -claimed, -n, error=at_zeros) == of(masked, claimed, n, error=at_zeros)


def test_one_wrong_entry_at_a_zero_or_another_elsewhere_is_no_mask():
    one = MASKED.copy()
    one[0] = 0.7
    assert of(masked, one, MASKED) == []
    elsewhere = MASKED + np.where(MASKED == 0, 0.7, 0)
    elsewhere[1] *= 2
    assert of(masked, elsewhere, MASKED) == []
    infinite = MASKED + np.where(MASKED == 0, np.inf, 0)
    assert of(masked, infinite, MASKED) == []


ZERO = "where the claim is zero and the derivative is not: never computed, or a mask where none "
ZERO += "belongs"


@pytest.mark.parametrize(
    ("places", "where"),
    [
        ([2], "row 2"),
        ([2, 4], "rows 2, 4"),
        ([np.s_[:, 3]], "column 3"),
        ([(0, 1), (2, 3)], "[0, 1] and [2, 3]"),
        ([(0, 1), (2, 3), (4, 4), (5, 0)], "4 of 30 entries"),
    ],
)
def test_zeros_where_the_derivative_is_none(places, where):
    (fit,) = of(masked, times(G, 0, *places), G)
    assert fit.clause == f"right but for {where}, {ZERO}"
    assert (fit.name, fit.rank, fit.cost) == ("zeros", 2, 12)


@pytest.mark.parametrize(("sign", "which"), [(1, "negative"), (-1, "positive")])
def test_zeros_of_one_sign_are_said_to_be(sign, which):
    n = sign * V
    (fit,) = of(masked, sign * np.maximum(V, 0), n)
    assert fit.clause == f"right but for 4 of 12 entries, all that are {which}, {ZERO}"
    some = np.maximum(V, 0)
    some[1] = V[1]  # one of them is right
    (fit,) = of(masked, sign * some, n)
    assert fit.clause == f"right but for [4], [7] and [10], {ZERO}"


def test_zeros_of_both_signs_are_not_all_of_one():
    n = np.array([1.0, -1, -2, -3])
    (fit,) = of(masked, [0, 0, -2, -3], n)
    assert fit.clause == f"right but for [0] and [1], {ZERO}"


def test_all_zeros_are_not_a_part():
    assert of(masked, 0 * V, V) == []
    assert of(masked, times(V, 0, 1), V) == []
    assert len(of(masked, times(V, 0, 1, 3), V)) == 1
    claimed = times(V, 0, 1, 3)
    claimed[5] *= 2
    assert of(masked, claimed, V) == []


# one part


@pytest.mark.parametrize(
    ("claimed", "shown"),
    [
        (3.5, "3.5 where 0.25 is right"),
        (0.25 + 1e-7, "0.2500001 where 0.25 is right"),
        (-0.25, "-0.25 where 0.25 is right, the opposite sign"),
        (-0.25 + 1e-3, "-0.249 where 0.25 is right"),
        (0.0, "0 where 0.25 is right"),
        (0.12345678, "0.1235 where 0.25 is right"),
        (0.25 + 1e-12, "0.250000000001 where 0.25 is right"),
        (-0.5, "-0.5 where 0.25 is right"),
    ],
)
@pytest.mark.parametrize("index", [(1,), (0, 2)])
def test_one_wrong_entry_is_shown_beside_the_right_one(claimed, shown, index):
    n = np.array([1.5, -0.75, 2.5, 0.5]) if len(index) == 1 else G.copy()
    n[index] = 0.25
    wrong = n.copy()
    wrong[index] = claimed
    (fit,) = of(one_part, wrong, n, error=1e-15, limit=1e-15)
    assert fit.clause == f"wrong in one entry alone, {list(index)}: {shown}"
    assert (fit.name, fit.rank) == ("one entry", 2)


def test_two_zeros_are_not_of_opposite_sign():
    (fit,) = of(one_part, [0.0, 1.0], [1e-6, 1.0], error=1e-7, limit=2e-6 * np.array([0.1, 1]))
    assert "opposite" not in fit.clause


@pytest.mark.parametrize("claimed", [[2.0], [2.0, 2.0], [1.0, np.nan]])
def test_all_entries_or_nan_are_no_part(claimed):
    assert of(one_part, claimed, [1.0, 1.0][: len(claimed)]) == []


@pytest.mark.parametrize(
    ("places", "names"),
    [
        ([2], [("one row", "wrong in one row alone, row 2", 0)]),
        ([np.s_[:, 3]], [("one column", "wrong in one column alone, column 3", 0)]),
        ([2, 4], [("rows", "wrong in rows 2, 4 alone", 2)]),
        ([0, 2, 4], [("rows", "wrong in rows 0, 2, 4 alone", 2)]),
        ([0, 2, 4, 5], []),  # more than half
        ([np.s_[:, [0, 1]]], [("columns", "wrong in columns 0, 1 alone", 2)]),
        ([np.s_[2, :3]], [("one row", "wrong in one row alone, row 2", 0)]),
        ([np.s_[2, :2]], []),  # less than half of it
        ([np.s_[:3, 3]], []),  # half of it
        ([np.s_[:4, 3]], [("one column", "wrong in one column alone, column 3", 0)]),
        ([np.s_[2, :4], np.s_[4, :4]], []),  # two rows have to be wrong throughout
    ],
)
def test_wrong_rows_and_columns_are_named(places, names):
    claimed = G.copy()
    rng = np.random.default_rng(3)
    for place in places:
        claimed[place] += rng.uniform(1, 2, claimed[place].shape)
    found = of(one_part, claimed, G)
    assert [(f.name, f.clause, f.cost) for f in found] == names
    assert {f.rank for f in found} <= {2}


def test_zeros_in_one_row_are_said_and_in_several_are_named_by_others():
    (fit,) = of(one_part, times(G, 0, 2), G)
    assert fit.clause == "wrong in one row alone, row 2 (zero there)"
    claimed = times(G, 0, 2)
    claimed[2, 1] = 5
    (fit,) = of(one_part, claimed, G)
    assert fit.clause == "wrong in one row alone, row 2"
    assert of(one_part, times(G, 0, 2, 4), G) == []


def test_one_index_of_three_axes():
    g = G.reshape(2, 3, 5)
    claimed = g.copy()
    claimed[:, 1] += np.random.default_rng(3).uniform(1, 2, (2, 5))
    (fit,) = of(one_part, claimed, g)
    assert (fit.name, fit.clause) == (
        "one index", "wrong in one index alone, index 1 of axis 1"
    )  # fmt: skip


# small


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize(("off", "small"), [(0.009, True), (0.011, False)])
def test_an_error_below_a_hundredth_is_small(sign, off, small):
    n = sign * np.array([8.0, -4, 2])
    claimed = n - 8 * sign * off * np.array([0.5, 1, 0.25])
    found = of(small_everywhere, claimed, n)
    assert [f.clause for f in found] == [
        f"off by up to {off:.1e} of its largest entry, in 3 of 3: small and everywhere, as from a "
        "constant within a log or a division, from a lower precision, or from an approximation "
        "such as a solver's (say what that owes by rtol)"
    ] * small
    assert [(f.name, f.rank) for f in found] == [("small", 3)] * small


@pytest.mark.parametrize(("wrong", "named"), [(3, True), (2, False)])
def test_small_errors_are_in_most_entries(wrong, named):
    n = np.array([1.0, -0.5, 0.25, 2])
    assert bool(of(small_everywhere, n + 1e-3 * (np.arange(4) < wrong), n)) is named


def test_the_error_of_one_entry_is_one_of_its_size():
    (fit,) = of(small_everywhere, [2.002], [2.0])
    assert fit.clause.startswith("off by 1.0e-03 of its size: small")
    (fit,) = of(small_everywhere, [-2.002], [-2.0])
    assert fit.clause.startswith("off by 1.0e-03 of its size: small")


def test_entries_that_could_not_be_judged_are_not_said_to_be_right():
    claimed = np.array([1.00001, 2.02])
    case = case_of(claimed, [1.0, 2.0])
    judged = np.array([True, False])
    case = replace(case, wrong=judged, unresolved=~judged)
    assert not [*one_part(case), *formula_of_a_part(case), *masked(case)]
    (fit,) = small_everywhere(case)  # by how much the first one is off, not the second
    assert "5.0e-06 of its largest entry, in 1 of 2" in fit.clause
    (fit, *_) = fits(case)
    assert fit.clause.endswith("(1 of 2 entries could not be judged)")


def test_a_part_is_told_where_some_of_the_others_could_not_be_judged():
    case = case_of(times(G, 3, 2), G)
    unresolved = np.zeros(G.shape, bool)
    unresolved[0, 1] = True
    fit = fits(replace(case, unresolved=unresolved))[0]
    assert (
        fit.clause
        == f"right but for row 2: there it is {THREE} (1 of 30 entries could not be judged)"
    )
    assert fits(case)[0].clause == f"right but for row 2: there it is {THREE}"
