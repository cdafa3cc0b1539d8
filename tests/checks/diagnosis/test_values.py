"""Values that were lost, cut or rounded: where each of them is named, and where not."""

import math

import numpy as np
import pytest

from checks.diagnosis.values import (
    clipped,
    in_single_precision,
    not_finite,
    powers,
    rounded,
    zero,
)
from tests.checks.diagnosis.cases import array_like, case_of

DIGIT = math.log2(10)


def clauses(hypothesis, *args, **options):
    return [fit.clause for fit in hypothesis(case_of(*args, **options))]


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_is_counted(value):
    (fit,) = not_finite(case_of([value, 1, value], [1, 2, 3]))
    assert (fit.name, fit.clause) == ("not finite", "nan or infinite in 2 of 3 entries")
    assert clauses(not_finite, [5, 1, 2], [1, 2, 3]) == []


def test_zeros_of_small_derivatives_may_be_truncated():
    small = "zero in every entry (never computed, or truncated to integers)"
    assert clauses(zero, [0, 0], [0.5, -0.9]) == [small]
    for n in ([0.5, -1], [1, 0.5], [0.5, 1.5]):
        assert clauses(zero, [0, 0], n) == ["zero in every entry"]
    assert clauses(zero, [0, 1e-9], [0.5, -0.9]) == []


# clipped


@pytest.mark.parametrize("limit", [2.0, 0.75])
def test_the_limit_of_a_clipped_array_costs_its_digits(limit):
    n = np.array([3, -1, 0.5, -4])
    claimed = np.clip(n, -limit, limit)
    (fit,) = clipped(case_of(claimed, n))
    cut = np.sum(np.abs(n) > limit)
    assert fit.clause == f"cut to ±{limit:.4g} in {cut} of 4 entries"
    count = 1 if limit == 2 else 2
    assert (fit.name, fit.rank, fit.number) == ("clipped", 0, limit)
    assert fit.cost == pytest.approx(4 + 2 + count * DIGIT)


def test_a_limit_without_short_digits_costs_what_its_best_entry_says():
    n, limit = np.array([3, -1, 0.5, -4]), 2.123456789
    (fit,) = clipped(case_of(np.clip(n, -limit, limit), n))
    assert fit.cost == pytest.approx(4 + math.log2((4 - limit) / (2.0**-40 + 2.0**-54)))


def test_a_limit_of_another_array_costs_four_bits():
    n, limit = np.array([3, -1, 0.5, -4]), 2.123456789
    larger = np.nextafter(limit, 3)
    others = {"v": array_like([-larger, 1.0], [9, 1.0]), "empty": array_like([], [])}
    fits = list(clipped(case_of(np.clip(n, -limit, limit), n, **others)))
    assert [fit.number for fit in fits] == [larger, limit]
    assert fits[0].cost == 4 + 4
    assert fits[1].cost > 20


@pytest.mark.parametrize("limit", [1.0, 1.0008, 1.0015, 0.9985])
def test_where_all_entries_are_cut_to_1_they_are_signs(limit):
    n = np.array([3, -2, 1.7, -4])
    named = clauses(clipped, np.clip(n, -limit, limit), n)
    assert named == [f"cut to ±{limit:.4g} in 4 of 4 entries"] * (abs(limit - 1) > 1e-3)
    n[0] = 0.25
    assert len(clauses(clipped, np.clip(n, -limit, limit), n)) == 1


@pytest.mark.parametrize("claimed", [[0, 0, 0], [np.inf, 1, 1], [9, 9, 9]])
def test_what_is_not_cut_has_no_limit(claimed):
    assert clauses(clipped, claimed, [3, -1, 0.5]) == []


@pytest.mark.parametrize("sign", [1, -1])
def test_entries_cut_at_zero_are_enough_to_be_no_chance(sign):
    for size, named in ((12, 1), (10, 0)):  # log2 of 495, and of 210
        n = sign * np.where(np.arange(size) < 4, -1.0, 1.0) * np.linspace(1, 2, size)
        fits = list(clipped(case_of(sign * np.maximum(sign * n, 0), n)))
        which = "negative" if sign > 0 else "positive"
        assert [f.clause for f in fits] == [
            f"cut at 0: 4 of {size} entries, the {which} ones, are zero"
        ] * named
        assert [(f.name, f.cost, f.number) for f in fits] == [("clipped", 4, -sign)] * named


def test_a_zero_derivative_is_not_cut():
    n = np.array([0.0] * 4 + [1.5, 2, 2.5, 3, 3.5, 4, 4.5, 5])
    assert clauses(clipped, n, n) == []
    assert clauses(clipped, np.maximum(-n, 0), -n) == []


def test_negative_entries_are_cut_alike():
    n = np.array([-3, -1, -0.5, -4])
    v = array_like([9.0], [9.0])
    (fit,) = clipped(case_of(np.maximum(n, -2), n, v=v))
    assert fit.cost == pytest.approx(4 + 2 + DIGIT)


@pytest.mark.parametrize(("places", "count"), [(4, 1), (6, math.inf)])
def test_a_limit_is_short_to_a_few_last_places(places, count):
    n, limit = np.array([3, -1, 0.5, -4]), 2 + places * 2.0**-51
    (fit,) = clipped(case_of(np.clip(n, -limit, limit), n))
    assert (fit.cost < 10) is (count == 1)


# powers


@pytest.mark.parametrize(("size", "named"), [(1.1e-5, True), (0.9e-5, False)])
def test_signs_are_1_to_a_thousandth(size, named):
    n = np.array([size, -3.0, 1.0])
    fits = clauses(powers, n / (np.abs(n) + 1e-8), n, limit=2.0**-50)
    assert bool(fits) is named


SIGNS = "the signs of the numerical gradient's entries, ±1, without their sizes, as the first step "


@pytest.mark.parametrize("small", [0, 1e-10, 1e-8, 1e-7])
def test_signs_are_those_of_a_first_step_of_adam(small):
    n = np.array([3e-4, -2e-4, 1e-3])
    fits = list(powers(case_of(n / (np.abs(n) + small), n, limit=2.0**-50, error=1e-6)))
    assert [(f.name, f.clause, f.cost) for f in fits] == [("ones", f"{SIGNS}of Adam", 4)]


@pytest.mark.parametrize(("off", "named"), [(0, 1), (2e-9, 1), (2e-8, 0), (2e-3, 0)])
def test_signs_are_known_without_the_error_of_the_estimate(off, named):
    n = np.array([3.0, -2, 1])
    fits = clauses(powers, np.sign(n) * (1 + off), n, limit=2.0**-28, error=0.125)
    assert bool(fits) is bool(named)


# rounded


N = np.array([1.2345678, -0.8765432, 2.3456789])


@pytest.mark.parametrize(("dtype", "bits"), [(np.float16, 42), (np.float32, 29)])
def test_each_number_that_ends_early_is_evidence(dtype, bits):
    claimed = N.astype(dtype).astype(float)
    (fit,) = rounded(case_of(claimed, N))
    name = np.dtype(dtype).name
    assert (fit.name, fit.clause) == ("dtype", f"rounded to {name}: its digits end there")
    assert (fit.rank, fit.evidence, fit.cost) == (0, 3 * bits, 4)
    twice = np.array([N[0], -N[0], N[1]])
    (fit,) = rounded(case_of(twice.astype(dtype), twice))
    assert fit.evidence == 2 * bits


@pytest.mark.parametrize(
    ("dtype", "parameters", "named"),
    [("float16", "float32", 1), ("float32", "float32", 0), ("float16", "float16", 0)],
)
def test_parameters_of_the_same_dtype_are_rounded_anyway(dtype, parameters, named):
    case = case_of(N.astype(dtype), N, N.astype(parameters))
    assert len(list(rounded(case))) == named


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize(
    ("share", "limit", "named"),
    [(1.0008, 0, 1), (1.0015, 0, 0), (1.4, 2.0**-12, 1), (1.6, 2.0**-12, 0)],
)
def test_rounding_is_half_of_a_last_place(sign, share, limit, named):
    claimed = sign * np.array([1.2998046875, 1.7001953125])  # numbers of float16
    n = claimed + sign * np.array([share, 0.5]) * 2.0**-11
    assert len(clauses(rounded, claimed, n, limit=limit, error=0)) == named


@pytest.mark.parametrize(
    ("digit", "dtype", "named"),
    [(2.0**-5, "float16", 0), (2.0**-6, "float16", 1),
     (2.0**-18, "float32", 0), (2.0**-19, "float32", 1)],
)  # fmt: skip
def test_short_numbers_do_not_show_that_they_were_rounded(digit, dtype, named):
    claimed = np.array([1 + digit, -0.5])
    n = claimed * (1 + np.finfo(dtype).eps / 4)
    assert len(clauses(rounded, claimed, n, limit=0, error=0)) == named


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize(("places", "named"), [(63, 1), (65, 0)])
def test_numbers_of_float32_may_be_off_by_64_last_places(sign, places, named):
    claimed = np.array([1.1, 0.3, -2.0], np.float32).astype(float)
    n = claimed - sign * places * 2.0**-23 * np.array([0.0, 2, 0])
    fits = list(rounded(case_of(claimed, n)))
    share = places * 2.0**-23
    assert [(f.name, f.rank, f.clause) for f in fits] == [
        ("dtype", 2, f"off by up to {share:.1e} of its largest entry: the rounding of float32, in "
         "which its numbers are")
    ] * named  # fmt: skip


@pytest.mark.parametrize("claimed", [[0, 0, 0], [np.nan, 0, 0], [np.inf, 0, np.float32(0.4)]])
def test_zeros_and_nan_are_not_rounded(claimed):
    assert clauses(rounded, claimed, [0.25, 0.3, 0.4]) == []


@pytest.mark.parametrize(
    ("how", "function"),
    [("rounded", np.round), ("truncated", np.trunc), ("rounded down", np.floor),
     ("rounded up", np.ceil)],
)  # fmt: skip
def test_whole_numbers_are_named_by_how_they_were_made(how, function):
    n = np.array([1.7, -1.4, 2.4, 1.7, 3.0 - 1e-12, 1e-12])
    claimed = function(n)
    claimed[-2:] = 3, 0
    fits = [f for f in rounded(case_of(claimed, n)) if "integers" in f.clause]
    assert [(f.name, f.clause, f.rank) for f in fits] == [("dtype", f"{how} to integers", 0)]
    number = ["rounded", "truncated", "rounded down", "rounded up"].index(how)
    assert (fits[0].evidence, fits[0].cost) == (3 * 12, 1 + 2 * number)


@pytest.mark.parametrize("claimed", [[2, -1, 3.5], [3, -2, 2], [1, -1, 3]])
def test_other_numbers_are_no_rounding_to_whole_ones(claimed):
    assert not any("integers" in c for c in clauses(rounded, claimed, [1.7, -1.4, 2.4]))


def test_an_estimate_beside_a_whole_number_may_be_truncated_to_it():
    for n, named in ((3 - 0.1, 1), (3 - 0.2, 0), (3.1, 1)):
        fits = clauses(rounded, [1, 3], [1.7, n], error=[1e-9, 0.125], limit=0)
        assert (fits == ["truncated to integers"]) is bool(named)


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize(("share", "count"), [(0.1, 1), (3.9, 1), (4.1, 0)])
def test_errors_that_float32_makes_are_named(share, count, sign):
    n = 3 * np.array([0.1, -1.0, 0.7])
    claimed = n + sign * share * 2.0**-23 * np.array([0, 3.0, 0.01])
    fits = list(in_single_precision(case_of(claimed, n, error=0.0)))
    assert [fit.name for fit in fits] == ["small"] * count
    for fit in fits:
        assert fit.clause.startswith(f"off by up to {share * 2.0**-23:.1e} of its largest entry")
    tiny = n * [1, 1, 1e-9]  # a sign is no rounding, however small the entry
    assert not [*in_single_precision(case_of(tiny * [1, 1, -1], tiny, error=0.0, limit=0.0))]
    narrow = n.astype(np.float32)
    assert not [*in_single_precision(case_of(narrow + narrow * np.float32(2e-7), narrow))]
    assert not [*in_single_precision(case_of(claimed, 0 * n))]
