"""Terms that are added: their number, and what it costs."""

import math

import numpy as np
import pytest

from checks.diagnosis.terms import added, along_parameters
from tests.checks.diagnosis.cases import case_of

N = np.array([1.3, -0.7, 2.1, 0.45])
THETA = np.array([0.8, 1.7, -0.6, 1.1])
TERMS = {
    "penalty": (6, lambda t: t, "× the parameters θ: the term of a penalty ½ λ Σ θ², λ = {λ}, "
                "once {more} in the gradient than in the cost"),
    "penalty, absolute values": (7, np.sign, "× the signs of the parameters θ: the term of a "
                "penalty λ Σ |θ|, λ = {λ}, once {more} in the gradient than in the cost"),
    "constant": (8, lambda t: t**0, "in every entry"),
    "reciprocal": (10, lambda t: t**-1.0, "÷ the parameters θ: the term of λ Σ ln |θ|, λ = {λ}, "
                "once {more} in the gradient than in the cost"),
}  # fmt: skip


@pytest.mark.parametrize("value", [0.25, -0.25, 0.0123456789, -7.6543210987])
@pytest.mark.parametrize("name", TERMS)
def test_a_term_is_found_with_its_number(name, value):
    cost, term, clause = TERMS[name]
    claimed = N + value * term(THETA)
    (fit,) = added(case_of(claimed, N, THETA))
    sign, more = ("+", "more") if value > 0 else ("−", "less")
    shown = f"{abs(value):.4g}"
    text = clause.format(λ=shown, more=more)
    assert fit.clause == f"the numerical gradient {sign} {shown} {text}"
    bits = 2 + 2 * math.log2(10)
    if abs(value) != 0.25:  # as many as the entry that shows it best
        bits = math.log2(np.abs(claimed - N).max() / (2.0**-40 + 2.0**-54))
    assert (fit.name, fit.rank, fit.number) == (name, 0, pytest.approx(value, rel=1e-9))
    assert fit.cost == pytest.approx(cost + bits, abs=1e-6)
    assert fit.tolerance == pytest.approx(2 * (2.0**-40 + 2.0**-30) / np.abs(term(THETA)).max())


@pytest.mark.parametrize("error", [2.0**-40, 1e-3])
def test_without_a_difference_there_is_no_term(error):
    assert list(added(case_of(N, N, THETA, error=error))) == []


def test_parameters_of_zero_have_no_term_but_a_constant():
    (fit,) = added(case_of(N + 0.25, N, 0 * N))
    assert fit.name == "constant"


@pytest.mark.parametrize(
    ("square", "fits"), [(1 + 1.1e-6, 1), (1 - 1.1e-6, 1), (1 + 0.9e-6, 0), (1 - 0.9e-6, 0)]
)
def test_on_the_unit_sphere_nothing_is_divided(square, fits):
    theta = THETA * math.sqrt(square / np.sum(THETA**2))
    claimed = N - (theta @ N) * theta
    numbers = [fit.number for fit in along_parameters(case_of(claimed, N, theta, limit=1e-3))]
    assert numbers == [0, 1][: 1 + fits]


def test_one_row_off_the_unit_sphere_shows_it():
    theta = np.array([[0.6, 0.8], [3.0, 4.0]])
    n = np.array([[1.3, -0.7], [2.1, 0.45]])
    claimed = n - (theta * n).sum(axis=1, keepdims=True) * theta
    (fit,) = along_parameters(case_of(claimed, n, theta))
    assert fit.clause.startswith("the numerical gradient less θ (θ · gradient) of each row")
