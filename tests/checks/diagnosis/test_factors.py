"""Factors and signs: which are named, what is said of them, and what they cost."""

import math

import numpy as np
import pytest

from checks import Verdict
from checks.diagnosis.factors import row_factors, scaled, signs
from tests.checks.diagnosis.cases import array_like, case_of, edges

N = np.array([1.3, -0.7, 2.1, 0.45])
E = 2.0**-20 * np.arange(1.0, 5)
DIGIT = math.log2(10)
OF_N = "× the numerical gradient in every entry"


def of(hypothesis, *args, **options):
    return list(hypothesis(case_of(*args, **options)))


@pytest.mark.parametrize(
    ("factor", "shown", "cost"),
    [
        (2, "2.000 × N: a factor 2 too many", 1),
        (1 / 2, "0.500 × N: a factor 2 missing, or 1/2 too many", 1),
        (7, "7.000 × N: a factor 7 too many, as a sum over 7 samples "
         "where the cost takes their mean", 1),
        (1 / 7, "0.143 × N: a factor 7 missing, or 1/7 too many", 1),
        (50, "50.000 × N: a factor 50 too many, as a sum over 50 samples "
         "where the cost takes their mean",
         1 + 1.5 * math.log2(50) - 6),
        (1 / 100, "0.010 × N: a factor 100 missing, or 1/100 too many",
         1 + 1.5 * math.log2(100) - 6),
        (1 / 150, "0.00666667 × N: a factor 150 missing, or 1/150 too many",
         1 + 1.5 * math.log2(150) - 6),
        (2 / 3, "0.667 × N: a factor 0.666667", 1),
        (1.3, "1.3 × N", 1 + 2 + 2 * DIGIT),
        (math.pi, "3.142 × N: a factor π, too many", 7),
        (1 / math.pi, "0.318 × N: a factor π, missing", 7),
        (2 * math.pi, "6.283 × N: a factor 2π, too many", 7),
        (0.5 / math.pi, "0.159 × N: a factor 2π, missing", 7),
        (180 / math.pi, "57.296 × N: a factor 180/π, degrees per radian, too many", 7),
        (math.pi / 180, "0.017 × N: a factor 180/π, degrees per radian, missing", 7),
        (math.log(10), "2.303 × N: a factor ln 10, of a logarithm to base 10, too many", 7),
        (1 / math.log(10), "0.434 × N: a factor ln 10, of a logarithm to base 10, missing", 7),
        (math.log(2), "0.693 × N: a factor ln 2, of a logarithm to base 2, too many", 7),
        (1 / math.log(2), "1.443 × N: a factor ln 2, of a logarithm to base 2, missing", 7),
        (2**0.5, "1.414 × N: a factor √2, too many", 7),
        (0.5**0.5, "0.707 × N: a factor √2, missing", 7),
    ],
)  # fmt: skip
@pytest.mark.parametrize("sign", [1, -1])
def test_a_factor_of_few_digits_is_named(factor, shown, cost, sign):
    c = sign * factor
    head, _, remark = shown.replace("N", OF_N[2:]).partition(": ")
    remark = f": {'the wrong sign, and ' * (sign < 0)}{remark}" if remark else ""
    n = np.array([*N, *(2 * N), *(3 * N[:2]), 0])  # 11 is no factor below
    (fit,) = of(scaled, c * n, n)
    assert fit.clause == f"{'-' * (sign < 0)}{head}{remark}"
    assert (fit.name, fit.rank) == ("scale", 0)
    assert (fit.number, fit.cost) == (pytest.approx(c), pytest.approx(cost))
    assert fit.tolerance == pytest.approx(1e-12 * factor, rel=1e-9, abs=0)


@pytest.mark.parametrize("factor", [2, -1.3, 0.730512345, -12.345678])
@pytest.mark.parametrize(("share", "fits"), [(0.9, 1), (-0.9, 1), (1.1, 0), (-1.1, 0)])
def test_an_entry_may_be_off_by_its_error_times_the_factor(factor, share, fits):
    error = np.array([1e-15, 1e-15, 1e-4, 1e-15])  # one of the others shows the factor
    off = share * abs(factor) * error * [0, 0, 1, 0]
    assert len(of(scaled, factor * N + off, N, error=error, limit=0)) == fits


@pytest.mark.parametrize("factor", [0.730512345, -12.345678, 1.0000003])
def test_any_other_factor_costs_what_its_best_entry_says(factor):
    claimed = factor * N
    (fit,) = of(scaled, claimed, N)
    assert fit.clause == f"{'1.0000003' if factor == 1.0000003 else f'{factor:.6g}'} {OF_N}"
    best = math.log2(np.abs(claimed - N).max() / (abs(factor) * 2.0**-40 + 2.0**-54))
    assert (fit.number, fit.cost) == (pytest.approx(factor), pytest.approx(2 + best, abs=1e-3))
    assert fit.tolerance == pytest.approx(2 * (2.0**-40 + 2.0**-30) / 2.1)


def test_a_factor_of_few_digits_may_be_1_to_within_its_uncertainty():
    (fit,) = of(scaled, 1.00001 * N, N, error=0, limit=1e-4 * np.abs(N))
    assert fit.clause == f"1.00001 {OF_N}"


@pytest.mark.parametrize("claimed", [0 * N, N[::-1], np.abs(N)])
def test_what_is_no_multiple_has_no_factor(claimed):
    assert of(scaled, claimed, N) == []


@pytest.mark.parametrize(
    ("claimed", "n", "is_evidence"),
    [(-1.5, 1.5, True), (4.2, 1.4, True), (1.82, 1.4, False), (3.0, 3 / math.pi, False)],
)
def test_of_one_entry_a_ratio_is_evidence_and_another_factor_is_none(claimed, n, is_evidence):
    (fit,) = [f for f in of(scaled, [claimed], [n]) if f.name != "clipped"]
    assert (fit.evidence > 12) is is_evidence


@pytest.mark.parametrize(("uncertainty", "named"), [(0.02, True), (0.05, False)])
def test_a_constant_is_known_to_a_hundredth(uncertainty, named):
    n = np.array([1.0, -1, 1, 0.5])
    (fit,) = of(scaled, math.pi * n, n, error=uncertainty, limit=0)
    assert ("π" in fit.clause) is named


def test_an_exact_claim_has_a_factor_too():
    (fit,) = of(scaled, 2 * N, N, error=0, limit=0)
    assert fit.number == 2


def test_a_derivative_of_zero_has_no_factor():
    assert of(scaled, N, 0 * N) == []
    assert of(scaled, [1.0, 1.0], [1.0, -1.0]) == []  # the factor that fits best is 0


OPPOSITE = "the numerical gradient with the opposite sign"


def test_the_opposite_sign_is_named_to_its_error():
    fits, is_sharp = edges(scaled, OPPOSITE, -N, E, N, None, E)
    assert [(f.name, f.cost, f.number) for f in fits] == [("sign", 1, 0)]
    assert is_sharp


@pytest.mark.parametrize(("share", "name"), [(0.9, "sign"), (-0.9, "sign"), (1.1, None)])
def test_a_sign_is_a_factor_of_minus_1(share, name):
    n = np.array([1.0, 2.0])
    fits = of(scaled, -n * (1 + share * 2.0**-11), n, error=2.0**-10, limit=0)
    assert ("sign" in [f.name for f in fits]) is (name == "sign")


@pytest.mark.parametrize(
    ("path", "other", "verdict", "name"),
    [
        ("z.imag", "z.real", Verdict.MATCH, "conjugate"),
        ("z.imag", "z.real", Verdict.MISMATCH, "sign"),
        ("z.imag", "y.real", Verdict.MATCH, "sign"),
        ("z.imagine", "z.imaginereal", Verdict.MATCH, "sign"),
    ],
)
def test_the_conjugate_has_a_right_real_part(path, other, verdict, name):
    (fit,) = of(scaled, -N, N, path=path, **{other: array_like(N, N, verdict=verdict)})
    assert fit.name == name
    remark = ": the claim is the conjugate of ∂C/∂x + i ∂C/∂y" * (name == "conjugate")
    assert fit.clause == OPPOSITE + remark


@pytest.mark.parametrize(
    ("factor", "shape", "remark"),
    [
        (5, (5,), "a factor 5 too many (5 is a dimension of v)"),
        (1 / 5, (2, 5), "a factor 5 missing, or 1/5 too many (5 is a dimension of v)"),
        (2 / 5, (5,), "a factor 0.4 (5 is a dimension of v)"),
        (10, (5,), "a factor 10 too many (5 is a dimension of v)"),
        (5, (10,), "a factor 5 too many, as a sum over 5 samples where the cost takes their mean"),
        (2, (1,), "a factor 2 too many"),
        (2, (2,), "a factor 2 too many (2 is a dimension of v)"),
        (3, (2,), "a factor 3 too many, as a sum over 3 samples where the cost takes their mean"),
        (1 / 3, (2,), "a factor 3 missing, or 1/3 too many"),
        (50, (50,), "a factor 50 too many (50 is a dimension of v)"),
    ],
)
def test_a_dimension_of_an_array_explains_a_factor(factor, shape, remark):
    v = array_like(np.ones(shape), np.ones(shape))
    (fit,) = of(scaled, factor * N, N, v=v)
    assert fit.clause.partition(": ")[2] == remark
    assert fit.cost == 1


@pytest.mark.parametrize(
    ("claimed", "n", "limit", "alike"),
    [
        ([3.0, 3.0], [1.5, 1.5], 1e-9, True),
        ([3.0], [1.5], 1e-9, False),
        ([3.0, 3.2], [1.5, 1.6], 1e-9, False),
        ([3.0, 3.0], [1.5, 1.5001], 1e-3, True),
        ([3.0, 3.0], [1.5, 1.52], [1e-9, 0.05], True),
        ([3.0, 3.1], [1.5, 1.53], 0.05, False),
    ],
)
def test_entries_that_are_all_alike_say_no_more_than_one(claimed, n, limit, alike):
    fits = of(scaled, claimed, n, limit=limit)
    remarks = ["or a term is added" in f.clause for f in fits]
    assert remarks
    assert remarks[0] is alike


# clipped to a norm


def clipped(*args, **options):
    return [
        (f.clause.partition(": ")[2], f.number, f.cost)
        for f in of(scaled, *args, **options)
        if f.name == "clipped"
    ]


def test_a_gradient_clipped_to_a_norm_is_named():
    c = 0.5 / np.linalg.norm(N)
    fits = [f for f in of(scaled, c * N, N) if f.name == "clipped"]
    assert [f.clause for f in fits] == [
        f"{c:.6g} × the numerical gradient: as clipped to a norm of 0.5 in all"
    ]
    assert (fits[0].number, fits[0].rank) == (pytest.approx(0.5), 0)
    assert fits[0].cost == pytest.approx(3 + 2 + DIGIT)
    assert fits[0].tolerance == pytest.approx(16 * 2.0**-52 * 0.5, rel=1e-9, abs=0)
    assert clipped(-c * N, N) == []
    assert clipped(0.123456 * N, N) == []


@pytest.mark.parametrize(("places", "named"), [(6, True), (-6, True), (10, False), (-10, False)])
def test_a_norm_is_that_of_few_digits_to_eight_last_places(places, named):
    c = 0.5 / np.linalg.norm(N) * (1 + places * 2.0**-52)
    assert bool(clipped(c * N, N)) is named


@pytest.mark.parametrize(("places", "named"), [(8, True), (9, False)])
def test_a_norm_of_float32_is_that_to_its_last_places(places, named):
    claimed = np.array([0.5 + places * 2.0**-24, 2.0**-24, 0])
    fits = [f for f in of(scaled, claimed, 3.21 * claimed) if f.name == "clipped"]
    assert [f.tolerance for f in fits] == [pytest.approx(16 * 2.0**-24, rel=1e-5)] * named


def test_a_norm_may_be_that_of_all_arrays_or_of_one():
    m = np.array([2.0, -3.0])
    c = 0.5 / np.sqrt(np.sum(N**2) + np.sum(m**2))
    together = [("as clipped to a norm of 0.5 in all", pytest.approx(0.5))]
    v = array_like(c * m, m)
    assert [f[:2] for f in clipped(c * N, N, v=v)] == together
    c = 0.5 / np.linalg.norm(N)
    alone = [("as clipped to a norm of 0.5", pytest.approx(0.5))]
    for claimed in (m, c * m):  # the other is right, or clipped alike
        assert [f[:2] for f in clipped(c * N, N, v=array_like(claimed, m))] == alone


@pytest.mark.parametrize(
    ("off", "error", "named"),
    [(0.04, 0, 1), (-0.04, 0, 1), (0.06, 0, 0), (-0.06, 0, 0), (0.2, 0.2, 1), (-0.3, 0.2, 0)],
)
def test_in_all_means_that_every_array_is_scaled_alike(off, error, named):
    m = np.array([-1.0, 0.0])
    norm = np.sqrt(np.sum(N**2) + 1 + off**2)
    c = 0.5 / norm
    v = array_like([c * -1.0, c * off], m, error=c * error)
    assert bool([f for f in clipped(c * N, N, v=v) if "in all" in f[0]]) is bool(named)


def test_an_array_without_entries_is_scaled_as_any():
    c = 0.5 / np.linalg.norm(N)
    assert "in all" in clipped(c * N, N, v=array_like(np.zeros(0), np.zeros(0)))[0][0]


def test_numbers_of_float16_show_no_norm():
    n = np.array([3.0, 4.0])
    assert clipped(0.1 * n * 1.28, n * 1.28, v=array_like([1], [1])) != []
    assert clipped([0.75, 1.0], [3.0 * 1.25, 4.0 * 1.25]) == []


# signs


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize(("size", "flipped"), [(12, 4), (10, 4), (5, 2)])
def test_signs_are_counted(sign, size, flipped):
    n = sign * np.where(np.arange(size) < flipped, -1, 1) * np.linspace(1, 2, size)
    fits = of(signs, sign * np.abs(n), n)
    clause = f"right but for the sign of {flipped} of {size} entries"
    expected = [("signs", clause, 2, size)]
    if size == 12:
        what = "positive" if sign > 0 else "negative"
        expected.insert(0, ("signs", f"{clause}: all are {what}, as absolute values are", 0, 3))
    assert [(f.name, f.clause, f.rank, f.cost) for f in fits] == expected


def test_some_signs_are_no_absolute_values():
    n = np.linspace(1, 2, 12) * np.where(np.arange(12) % 3, 1, -1)
    claimed = n * np.where(np.arange(12) < 5, -1, 1)
    (fit,) = of(signs, claimed, n)
    assert fit.clause == "right but for the sign of 5 of 12 entries"


@pytest.mark.parametrize("flipped", [0, 1, 4])
def test_one_sign_or_all_are_named_by_others(flipped):
    assert of(signs, N * np.where(np.arange(4) < flipped, -1, 1), N) == []


def test_a_zero_has_no_sign():
    n = np.array([1.0, 2, 3, 0, 0])
    assert of(signs, -n, n)[0].clause == "right but for the sign of 3 of 5 entries"


# rows and columns


G = np.array([[1.3, -0.7, 2.1], [0.4, -1.9, 0.65], [0.9, 1.7, -1.1]])
F = np.array([2.5, -3.7, 6.1])


@pytest.mark.parametrize(
    ("axis", "name", "whose"), [(0, "row", "samples"), (1, "column", "outputs or classes")]
)
def test_factors_of_rows_are_found(axis, name, whose):
    factors = np.expand_dims(F, 1 - axis)
    (fit,) = of(row_factors, factors * G, G)
    assert fit.name == f"{name} factors"
    assert fit.clause == (
        f"the numerical gradient with a factor of its own in each {name}, from -3.7 to 6.1: are "
        f"the weights of {whose} forgotten, or taken twice?"
    )
    uncertainty = (2.0**-40 + 2.0**-30) / np.abs(G).max(axis=1 - axis)
    assert fit.cost == pytest.approx(4 + np.log2(np.abs(F) / uncertainty).sum())
    e = 2.0**-20 * np.arange(1.0, 10).reshape(3, 3)
    for place in range(3):  # one entry of each row is off, another shows the factor
        off = np.zeros((3, 3))
        index = (place, (place + 1) % 3) if axis == 0 else ((place + 1) % 3, place)
        small = e.copy()
        others = [k for k in range(3) if k != index[1 - axis]]
        for k in others:
            small[(place, k) if axis == 0 else (k, place)] = 1e-15
        for share, fits in ((0.9, 1), (-0.9, 1), (1.1, 0), (-1.1, 0)):
            off[index] = share * abs(F[place]) * e[index]
            found = of(row_factors, factors * G + off, G, error=small, limit=0)
            assert len(found) == fits


@pytest.mark.parametrize(
    ("factors", "count"),
    [
        ([2.5, 1, 1], 0),  # a wrong part
        ([2.5, 3.5, 1], 1),
        ([2.5, 2.5, 2.5], 0),
        ([2.5, 2.5, 3.5], 1),
        ([2.5, -2.5, 2.5], 0),  # wrong signs
        ([2.5, 0, 3.5], 0),
        ([0.5, 0.25, 0.125], 1),
    ],
)
def test_few_different_factors_have_other_names(factors, count):
    assert len(of(row_factors, np.array(factors)[:, None] * G, G)) == count


def test_a_large_enough_matrix_whose_rows_differ_is_needed():
    for g in (G[0], G[:1], G[:, :1], np.outer(G[0], G[1]), G[None]):
        factors = np.array([2.5, 3.5, 6.1])
        claimed = g * factors[: g.shape[0]].reshape(-1, *[1] * (g.ndim - 1))
        assert of(row_factors, claimed, g) == []
    assert len(of(row_factors, F[:2, None] * G[:2, :2], G[:2, :2])) == 1


@pytest.mark.parametrize(("size", "count"), [(1.2e-6, 1), (0.8e-6, 0)])
def test_rank_one_is_judged_by_the_second_singular_value(size, count):
    u, v = np.linalg.qr(G)[0], np.linalg.qr(G.T)[0]
    for scale in (1, 100):
        g = scale * u[:, :2] * [1, size] @ v[:, :2].T
        case = case_of(F[:, None] * g, g, error=1e-12, limit=1e-12)
        assert len(list(row_factors(case))) == count


def test_a_matrix_in_long_double_has_factors_too():
    wide = G.astype(np.longdouble)
    assert len(of(row_factors, F[:, None] * wide, wide)) == 1


def test_a_row_of_zeros_and_an_entry_without_an_estimate_have_no_factor():
    g = G * [[1], [0], [1]]
    assert of(row_factors, F[:, None] * g, g) == []
    error = np.full((3, 3), 2.0**-40)
    error[0, 0] = np.inf
    assert of(row_factors, F[:, None] * G, G, error=error) == []


def test_factors_are_different_beyond_their_uncertainty():
    for apart, count in ((1.9, 0), (2.2, 1)):
        n = np.array([[1.0, 0.5], [0.25, 1.0]])
        u = 2.0**-12
        factors = np.array([[3.0], [3.0 + apart * u]])
        assert len(of(row_factors, factors * n, n, error=u, limit=0)) == count
        n[0, 0] = 2.0  # that row's factor is known better, which does not help
        assert len(of(row_factors, factors * n, n, error=u, limit=0)) == count


def test_factors_in_half_of_the_rows_are_those_of_a_part():
    n = np.array([[1.3, -0.7, 2.1], [0.4, -1.9, 0.65], [0.9, 1.7, -1.1], [2.2, -0.3, 0.8]])
    for factors, count in (([2.5, 3.5, 1, 1], 0), ([2.5, 3.5, 4.5, 1], 1)):
        assert len(of(row_factors, np.array(factors)[:, None] * n, n)) == count
