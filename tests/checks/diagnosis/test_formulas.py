"""Every formula: what it predicts, to which error, what it costs and how it is told from others."""

import math
import re

import numpy as np
import pytest

from checks.diagnosis import factors
from checks.diagnosis.axes import centred, one_number, reduced
from checks.diagnosis.matrices import triangles
from checks.diagnosis.order import reordered
from checks.diagnosis.terms import along_parameters
from checks.diagnosis.values import powers
from tests.checks.diagnosis.cases import case_of, edges

G = {
    "vector": np.array([1.3, -0.7, 2.1, 0.45]),
    "wide": np.array([[1.3, -0.7, 2.1], [0.4, -1.9, 0.65]]),
    "square": np.array([[1.3, -0.7, 2.1], [0.4, -1.9, 0.65], [0.9, 1.7, -1.1]]),
}
THETA = {
    "vector": np.array([0.8, 1.7, -0.6, 1.1]),
    "wide": np.array([[0.8, 1.7, -0.6], [1.1, -0.9, 0.5]]),
    "square": np.array([[0.8, 1.7, -0.6], [1.1, -0.9, 0.5], [1.4, 0.7, -1.2]]),
}
E = {shape: 2.0**-20 * (1 + np.arange(g.size).reshape(g.shape)) for shape, g in G.items()}
N = "the numerical gradient"


def diagonal(g):
    return np.diag(np.diag(g))


def all_in_one(number):
    return lambda g, t: np.full_like(g, number(g))


def total_error(e, g, t):
    return np.full_like(e, e.sum())


def own(e, g, t):
    return e


def both(e, g, t):
    return e + e.T


def along(t, g, axis=None):
    square = (t * t).sum(axis=axis, keepdims=True)
    return (t * g).sum(axis=axis, keepdims=True) / square * t


def off_sphere(axis=None):
    def error(e, g, t):
        square = (t * t).sum(axis=axis, keepdims=True)
        return e + abs(t) * (abs(t) * e).sum(axis=axis, keepdims=True) / square

    return error


def off_undivided(axis=None):
    def error(e, g, t):
        return e + abs(t) * (abs(t) * e).sum(axis=axis, keepdims=True)

    return error


# u, how the claim without the factor is shown, the factor, ∂u/∂θ
CHAINS = [
    ("exp θ", "without the chain factor exp θ", "exp θ", lambda t: math.e**t),
    ("θ²", "without the chain factor 2 θ", "2 θ", lambda t: t + t),
    ("ln θ", "× θ", "1/θ", lambda t: t**-1.0),
    ("log10 θ", "× θ ln 10", "1/(θ ln 10)", lambda t: 0.4342944819032518 / t),
    ("log2 θ", "× θ ln 2", "1/(θ ln 2)", lambda t: 1.4426950408889634 / t),
    ("10^θ", "without the chain factor 10^θ ln 10", "10^θ ln 10",
     lambda t: 10**t / 0.4342944819032518),
    ("2^θ", "without the chain factor 2^θ ln 2", "2^θ ln 2",
     lambda t: 2**t / 1.4426950408889634),
    ("√θ", "without the chain factor 1/(2 √θ)", "1/(2 √θ)", lambda t: t**-0.5 / 2),
    ("1/θ", "without the chain factor −1/θ²", "−1/θ²", lambda t: -(t**-2.0)),
    ("1/(1 + exp(−θ))", "without the chain factor σ(θ) (1 − σ(θ))",
     "σ(θ) (1 − σ(θ))", lambda t: 1 / (2 + 2 * np.cosh(t))),
    ("ln(1 + exp θ)", "without the chain factor 1/(1 + exp(−θ))",
     "1/(1 + exp(−θ))", lambda t: (1 + np.tanh(t / 2)) / 2),
    ("tanh θ", "without the chain factor 1 − tanh² θ", "1 − tanh² θ",
     lambda t: 1 - np.tanh(t) ** 2),
    ("sin θ", "without the chain factor cos θ", "cos θ",
     lambda t: np.sin(t + np.pi / 2)),
    ("cos θ", "without the chain factor −sin θ", "−sin θ",
     lambda t: np.cos(t + np.pi / 2)),
]  # fmt: skip
# hypothesis, array, name, clause, prediction, its error, cost, number
ROWS = [
    *[
        (one_number, shape, "one number", f"one number in every entry, {what} {N}{end}",
         all_in_one(f), total_error, 3, number)
        for shape in ("vector", "wide")
        for number, (what, end, f) in enumerate([
            ("the sum of", "'s entries: an axis too many", lambda g: g.sum()),
            ("the mean of", "'s entries: an axis too many", lambda g: g.mean()),
            ("the norm of", "", lambda g: np.linalg.norm(g.ravel())),
            ("the largest of", "'s entries", lambda g: g.max()),
            ("the smallest of", "'s entries", lambda g: g.min()),
            ("the first of", "'s entries", lambda g: g.ravel()[0]),
            ("the last of", "'s entries", lambda g: g.ravel()[-1]),
        ])
    ],
    *[
        (reduced, "wide", "axis", f"{N} {what} along axis {axis}, repeated along it",
         lambda g, t, f=f, axis=axis: f(g, axis, keepdims=True) + 0 * g,
         lambda e, g, t, axis=axis: e.sum(axis, keepdims=True) + 0 * g, 3, 2 * axis + number)
        for axis in (0, 1)
        for number, (what, f) in enumerate([("summed", np.sum), ("averaged", np.mean)])
    ],
    *[
        (reduced, shape, "running sum",
         f"the running sum of {N}{place}, from the {what} entry on",
         lambda g, t, axis=axis, s=s: np.cumsum(g[s], axis)[s],
         lambda e, g, t, axis=axis, s=s: np.cumsum(e[s], axis)[s], 4, 2 * axis + number)
        for shape, place, axis in (("vector", "", 0), ("wide", " along axis 0", 0),
                                   ("wide", " along axis 1", 1))
        for number, (what, s) in enumerate([
            ("first", np.s_[:]), ("last", np.s_[::-1] if axis == 0 else np.s_[:, ::-1])
        ])
    ],
    *[
        (centred, shape, "centred", f"{N} less its mean{place}: centred, where it should not be",
         lambda g, t, axis=axis: g - g.mean(axis, keepdims=True),
         lambda e, g, t, axis=axis: e + e.mean(axis, keepdims=True), 4, number)
        for shape, place, axis, number in (
            ("vector", "", None, -1), ("wide", "", None, -1), ("wide", " along axis 0", 0, 0),
            ("wide", " along axis 1", 1, 1))
    ],
    *[
        (triangles, "square", name, clause, lambda g, t, f=f: f(g), both, 3, number)
        for number, (name, clause, f) in enumerate([
            ("triangle", f"the lower triangle of {N}, and 0 above it", np.tril),
            ("triangle", f"the upper triangle of {N}, and 0 below it", np.triu),
            ("triangle", f"{N} below its diagonal, and 0 elsewhere",
             lambda g: np.tril(g) - diagonal(g)),
            ("triangle", f"{N} above its diagonal, and 0 elsewhere",
             lambda g: np.triu(g) - diagonal(g)),
            ("triangle", f"{N} and its transpose added in the lower triangle, and 0 above it: as "
             "of a symmetric matrix that is given by that triangle",
             lambda g: np.tril(g) + np.triu(g, 1).T),
            ("triangle", f"{N} and its transpose added in the upper triangle, and 0 below it: as "
             "of a symmetric matrix that is given by that triangle",
             lambda g: np.triu(g) + np.tril(g, -1).T),
            ("symmetric", f"{N} plus its transpose less its diagonal: as of a symmetric matrix "
             "each of whose entries moves together with the one across the diagonal",
             lambda g: g + g.T - diagonal(g)),
            ("symmetric", f"the symmetric part of {N}, (G + Gᵀ)/2", lambda g: (g + g.T) / 2),
            ("symmetric", f"{N} plus its transpose", lambda g: g + g.T),
            ("antisymmetric", "the antisymmetric part of the gradient, (G − Gᵀ)/2",
             lambda g: (g - g.T) / 2),
            ("antisymmetric", f"{N} less its transpose, G − Gᵀ", lambda g: g - g.T),
            ("diagonal", f"the diagonal of {N}, and 0 elsewhere", diagonal),
            ("diagonal", "right but for its diagonal, which is 0", lambda g: g - diagonal(g)),
            ("diagonal", "right but for its diagonal, which is twice the numerical",
             lambda g: g + diagonal(g)),
            ("diagonal", "right but for its diagonal, which is half the numerical",
             lambda g: g - diagonal(g) / 2),
        ])
    ],
    (reordered, "square", "transpose", f"the transpose of {N}",
     lambda g, t: g.T, lambda e, g, t: e.T, 3, 0),
    (reordered, "wide", "transpose",
     f"the transpose of {N}, its entries read row by row (as in column-major order)",
     lambda g, t: g.T.reshape(g.shape), lambda e, g, t: e.T.reshape(g.shape), 3, 0),
    (reordered, "wide", "column-major", f"{N}, but filled in in column-major order",
     lambda g, t: g.ravel().reshape(g.shape[::-1]).T,
     lambda e, g, t: e.ravel().reshape(g.shape[::-1]).T, 3, 0),
    *[
        (reordered, shape, "reversed", f"{N} in reverse order{place}",
         lambda g, t, axis=axis: np.flip(g, axis), lambda e, g, t, axis=axis: np.flip(e, axis),
         3, axis)
        for shape, place, axis in (("vector", "", 0), ("wide", " along axis 0", 0),
                                   ("wide", " along axis 1", 1))
    ],
    *[
        (reordered, shape, "permuted", f"{N} shifted by {by}{place}, its entries in another order",
         lambda g, t, by=by, axis=axis: np.roll(g, by, axis),
         lambda e, g, t, by=by, axis=axis: np.roll(e, by, axis), 3 + math.log2(length), by)
        for shape, place, axis, length, by in (
            ("vector", "", 0, 4, 1), ("vector", "", 0, 4, 2), ("vector", "", 0, 4, -1),
            ("wide", " along axis 1", 1, 3, 1), ("wide", " along axis 1", 1, 3, -1),
            ("square", " along axis 0", 0, 3, 1))
    ],
    (reordered, "square", "permuted",
     f"{N} with its rows in another order (row 1 is row 2 of it)",
     lambda g, t: g[[0, 2, 1]], lambda e, g, t: e[[0, 2, 1]], math.log2(6), 0),
    (reordered, "square", "permuted",
     f"{N} with its columns in another order (column 0 is column 1 of it)",
     lambda g, t: g[:, [1, 0, 2]], lambda e, g, t: e[:, [1, 0, 2]], math.log2(6), 0),
    *[
        (along_parameters, shape, name, clause, f, error, cost, number)
        for shape, where, axis in (("vector", "", None), ("wide", "", None),
                                   ("wide", " of each row", 1), ("wide", " of each column", 0))
        for name, clause, f, error, cost, number in [
            ("sphere",
             f"{N} less its part along the parameters θ{where}: claimed · θ = 0, as for the "
             "gradient on a sphere" + (
                 f", |θ| = {np.linalg.norm(THETA[shape].ravel()):.4g}" if axis is None else ""),
             lambda g, t, axis=axis: g - along(t, g, axis), off_sphere(axis), 3, 0),
            ("only along the parameters",
             f"only the part of {N} along the parameters θ{where}",
             lambda g, t, axis=axis: along(t, g, axis), off_sphere(axis), 4, 0),
            ("sphere",
             f"{N} less θ (θ · gradient){where}, θ the parameters: the part along them, but for a "
             "division by |θ|²",
             lambda g, t, axis=axis: g - (t * g).sum(axis=axis, keepdims=True) * t,
             off_undivided(axis), 4, 1),
        ]
    ],
    (powers, "vector", "squared", f"the squares of {N}'s entries",
     lambda g, t: g * g, lambda e, g, t: 2 * abs(g) * e + e * e, 6, 0),
    *[
        (factors.chain_factor, "vector", "chain factor",
         f"{N} {shown}: the derivative by {u}, not by θ, the parameters",
         lambda g, t, f=f: g / f(abs(t)), lambda e, g, t, f=f: e / abs(f(abs(t))), 8, number)
        for number, (u, shown, _, f) in enumerate(
            CHAINS,
            1,
        )
    ],
    *[
        (factors.chain_factor, "vector", "chain factor",
         f"{N} × {factor}: the chain factor of {u}, θ the parameters, once too many",
         lambda g, t, f=f: g * f(abs(t)), lambda e, g, t, f=f: e * abs(f(abs(t))), 8, -number)
        for number, (u, _, factor, f) in enumerate(CHAINS, 1)
    ],
]  # fmt: skip


@pytest.mark.parametrize(
    ("hypothesis", "shape", "name", "clause", "prediction", "error", "cost", "number"),
    [pytest.param(*row, id=f"{row[1]}: {row[3][:90]}") for row in ROWS],
)
def test_a_formula_fits_what_it_predicts_and_nothing_else(
    hypothesis, shape, name, clause, prediction, error, cost, number
):
    g, e, theta = G[shape], E[shape], THETA[shape]
    theta = np.abs(theta) if hypothesis is factors.chain_factor else theta
    fits, is_sharp = edges(
        hypothesis, clause, prediction(g, theta), error(e, g, theta), g, theta, e
    )
    assert [(f.name, f.rank, f.number, f.tolerance) for f in fits] == [(name, 0, number, 0)]
    assert fits[0].cost == pytest.approx(cost, abs=1e-12)
    assert is_sharp


HYPOTHESES = [one_number, reduced, centred, triangles, reordered, along_parameters, powers,
              factors.chain_factor]  # fmt: skip


@pytest.mark.parametrize("hypothesis", HYPOTHESES)
@pytest.mark.parametrize("shape", [(1,), (1, 1)])
def test_of_a_single_entry_most_formulas_say_nothing(hypothesis, shape):
    n = np.full(shape, 1.3)
    theta = np.full(shape, 0.7)
    for factor in (1, 2, 0.5, 0):
        case = case_of(factor * n, n, theta)
        assert not [f for f in hypothesis(case) if f.name not in ("squared", "chain factor")]


@pytest.mark.parametrize("hypothesis", [reduced, reordered])
@pytest.mark.parametrize("shape", [(1, 3), (3, 1)])
def test_along_an_axis_of_one_entry_there_is_nothing_to_say(hypothesis, shape):
    n = np.array([1.3, -0.7, 2.1]).reshape(shape)
    axis = 1 - shape.index(1)
    for fit in hypothesis(case_of(n, n)):
        assert f"along axis {1 - axis}" not in fit.clause


def test_every_hypothesis_of_this_file_is_silent_on_noise():
    rng = np.random.default_rng(0)
    for hypothesis in HYPOTHESES:
        for shape, g in G.items():
            claim = rng.standard_normal(g.shape)
            assert not list(hypothesis(case_of(claim, g, THETA[shape]))), re.sub(" .*", "", shape)


def test_two_rows_and_columns_are_a_square_matrix():
    n = np.array([[1.3, -0.7], [0.4, 2.1]])
    (fit,) = triangles(case_of(n + n.T, n))
    assert fit.clause == f"{N} plus its transpose"
