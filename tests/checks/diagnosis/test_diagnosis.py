"""Mistakes in gradients of functions other than networks, named by their structure."""

import json
from dataclasses import dataclass
from itertools import cycle
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from checks import Verdict, check_gradient

RNG = np.random.default_rng(0)
A, B = RNG.standard_normal((5, 5)), RNG.standard_normal(5)
X, Y = RNG.standard_normal((7, 4)), RNG.integers(0, 2, 7).astype(float)
M = RNG.standard_normal((4, 4))


def quadratic(p):
    return p["x"] @ A @ p["x"] / 2 - B @ p["x"]


def quadratic_slope(p):
    return {"x": (A + A.T) @ p["x"] / 2 - B}


def regression(p):
    z = X @ p["w"] + p["b"]
    return np.mean(np.log1p(np.exp(z)) - Y * z)


def regression_slope(p):
    error = 1 / (1 + np.exp(-(X @ p["w"] + p["b"]))) - Y
    return {"w": X.T @ error / len(X), "b": error.mean()}


def factorisation(p):
    return np.sum((p["u"] @ p["v"].T - M) ** 2)


def factorisation_slope(p):
    error = 2 * (p["u"] @ p["v"].T - M)
    return {"u": error @ p["v"], "v": error.T @ p["u"]}


@dataclass
class Example:
    cost: Any
    gradient: Any
    params: dict[str, Any]


EXAMPLES = {
    "quadratic form": Example(quadratic, quadratic_slope, {"x": RNG.standard_normal(5)}),
    "logistic regression": Example(
        regression, regression_slope, {"w": RNG.standard_normal(4), "b": np.array(0.3)}
    ),
    "square factors": Example(
        factorisation,
        factorisation_slope,
        {"u": RNG.standard_normal((4, 4)), "v": RNG.standard_normal((4, 4))},
    ),
    "narrow factors": Example(
        factorisation,
        factorisation_slope,
        {"u": RNG.standard_normal((4, 3)), "v": RNG.standard_normal((4, 3))},
    ),
}
LARGE = ["quadratic form", "square factors", "narrow factors"]  # with entries above 1
MATRICES = ["square factors", "narrow factors"]


def each(change):
    """Return a mistake that changes every array alike: g is its gradient, p its values."""
    return lambda grad, params: {k: change(np.asarray(g), params[k]) for k, g in grad.items()}


def first(change):
    """Return a mistake that changes the first array only."""
    return lambda grad, params: {
        k: change(np.asarray(g), params[k]) if k == next(iter(grad)) else g for k, g in grad.items()
    }


def swapped(grad, params):
    return dict(zip(grad, reversed(grad.values()), strict=True))


def clipped_by_norm(grad, params):
    norm = np.sqrt(sum(np.sum(g * g) for g in grad.values()))
    return {k: 0.05 * g / norm for k, g in grad.items()}


def one_zero(g, p):
    return np.where(np.arange(g.size).reshape(g.shape) == 1, 0, g)


def rows_swapped(g, p):
    return g[[0, 3, 2, 1]]


MISTAKES = [
    ("scale", "2.000 ×", EXAMPLES, each(lambda g, p: 2 * g)),
    ("scale", "a factor 2 missing", EXAMPLES, each(lambda g, p: g / 2)),
    ("scale", "a factor 7 missing", EXAMPLES, each(lambda g, p: g / 7)),
    ("scale", "the wrong sign, and a factor 2", EXAMPLES, each(lambda g, p: -2 * g)),
    ("scale", "0.730512 ×", EXAMPLES, each(lambda g, p: 0.730512 * g)),
    ("scale", "3 is a dimension of u and v", ["narrow factors"], each(lambda g, p: 3 * g)),
    ("scale", " is right.", ["logistic regression", *MATRICES], first(lambda g, p: 3 * g)),
    ("sign", "opposite sign", EXAMPLES, each(lambda g, p: -g)),
    ("signs", "the sign of", MATRICES, each(lambda g, p: np.abs(g))),
    ("zero", "zero in every entry", EXAMPLES, each(lambda g, p: 0 * g)),
    ("zero", "is zero in every entry", EXAMPLES, first(lambda g, p: 0 * g)),
    ("transpose", "the transpose", ["square factors"], each(lambda g, p: g.T)),
    (
        "transpose",
        "row by row (as in column-major order)",
        ["narrow factors"],
        each(lambda g, p: g.reshape(-1, order="F").reshape(g.shape)),
    ),
    ("transpose", "row by row", ["narrow factors"], each(lambda g, p: g.T)),
    (
        "column-major",
        "filled in in column-major order",
        ["narrow factors"],
        each(lambda g, p: g.reshape(-1).reshape(g.shape, order="F")),
    ),
    ("reversed", "in reverse order", EXAMPLES, first(lambda g, p: g[::-1])),
    (
        "permuted",
        "in another order",
        EXAMPLES,
        first(lambda g, p: np.roll(g.ravel(), 1).reshape(g.shape)),
    ),
    ("permuted", "rows in another order (row 1 is row 3 of it)", MATRICES, first(rows_swapped)),
    (
        "permuted",
        "columns in another order (column 0 is column 1 of it)",
        ["square factors"],
        first(lambda g, p: g[:, [1, 0, *range(2, g.shape[1])]]),
    ),
    ("order", "u is the gradient of v; v is the gradient of u", MATRICES, swapped),
    ("penalty", "+ 0.01 × the parameters", EXAMPLES, each(lambda g, p: g + 0.01 * p)),
    (
        "penalty",
        "once less in the gradient than in the cost",
        EXAMPLES,
        each(lambda g, p: g - 0.25 * p),
    ),
    ("penalty", "λ = 0.0001", EXAMPLES, first(lambda g, p: g + 1e-4 * p)),
    ("clipped", "cut to ±0.1", EXAMPLES, each(lambda g, p: np.clip(g, -0.1, 0.1))),
    ("clipped", "a norm of 0.05", EXAMPLES, clipped_by_norm),
    (
        "dtype",
        "float32",
        ["logistic regression", *MATRICES],
        each(lambda g, p: g.astype(np.float32).astype(np.float64)),
    ),
    ("dtype", "float16", EXAMPLES, each(lambda g, p: g.astype(np.float16).astype(np.float64))),
    ("dtype", "truncated to integers", LARGE, each(lambda g, p: np.trunc(g))),
    ("dtype", "rounded to integers", LARGE, each(lambda g, p: np.round(g))),
    ("one number", "the sum", LARGE, each(lambda g, p: np.full_like(g, g.sum()))),
    ("one entry", "[0, 1]: 0 where", MATRICES, first(one_zero)),
    ("one row", "row 1 (zero there)", MATRICES, first(lambda g, p: g * [[1], [0], [1], [1]])),
    ("not finite", "nan or infinite", EXAMPLES, first(lambda g, p: g / 0)),
    (
        "small",
        "small and everywhere",
        EXAMPLES,
        each(lambda g, p: g * (1 + 1e-5 * np.linspace(0.5, 1, g.size).reshape(g.shape))),
    ),
]


def check(example, mistake, **options):
    with np.errstate(all="ignore"):
        wrong = mistake(example.gradient(example.params), example.params)
    return check_gradient(example.cost, wrong, example.params, **options)


@pytest.mark.parametrize(
    ("name", "text", "examples", "mistake"), MISTAKES, ids=[f"{m[0]}: {m[1]}" for m in MISTAKES]
)
def test_a_mistake_is_named_and_nothing_else_is(name, text, examples, mistake):
    for example, method in zip(examples, cycle(["auto", "central"]), strict=False):
        report = check(EXAMPLES[example], mistake, method=method)
        assert report.verdict is Verdict.MISMATCH
        assert [found.name for found in report.diagnosis] == [name], example
        assert text in report.diagnosis[0].text


@pytest.mark.parametrize("off", [[3e-4], [-3e-4, 2e-4], [5e-3, 4e-3]])
def test_an_approximation_of_few_entries_is_told_to_say_what_it_owes(off):
    x = np.array([0.7, 1.3])[: len(off)]
    report = check_gradient(
        lambda x: np.sum(np.exp(x)), lambda x: np.exp(x) * (1 + np.array(off)), x
    )
    assert [found.name for found in report.diagnosis] == ["small"]
    assert "a solver's (say what that owes by rtol)" in report.diagnosis[0].text
    right = check_gradient(
        lambda x: np.sum(np.exp(x)), lambda x: np.exp(x) * (1 + np.array(off)), x, rtol=1e-2
    )
    assert right.verdict is Verdict.MATCH


def test_each_array_may_have_a_mistake_of_its_own():
    def both(grad, params):
        return {"u": 2 * grad["u"], "v": grad["v"] + 0.1 * params["v"]}

    report = check(EXAMPLES["narrow factors"], both)
    assert [found.name for found in report.diagnosis] == ["scale", "penalty"]
    assert [found.text[:2] for found in report.diagnosis] == ["u ", "v "]


def test_what_can_be_explained_is_also_where_another_array_cannot_be():
    def half(grad, params):
        return {"w": 2 * grad["w"], "b": grad["b"] + np.exp(1.234567)}

    (found,) = check(EXAMPLES["logistic regression"], half).diagnosis
    assert found.name == "scale"
    assert found.text.startswith("w is 2.000 ×")
    assert "Not explained by this: b; b: claimed 3.32" in found.text


@pytest.mark.parametrize("wrong", [1.3, [1.2, 1, 1]], ids=["a factor", "one entry"])
def test_a_wrong_gradient_in_float16_is_not_called_rounded(wrong):
    g, p = np.array([0.61, 0.3, -0.9]), np.array([0.3, 1.2, -0.7])
    claim = (np.cos(p) * g * wrong).astype(np.float16)
    (found,) = check_gradient(lambda p: np.sum(np.sin(p) * g), claim, p).diagnosis
    if wrong == 1.3:
        assert found.text == "params is 1.3 × the numerical gradient in every entry."
    else:
        assert found.name == "one entry"


def test_small_integers_are_not_called_rounded_to_float16():
    params = np.array([1.0, 1.0])
    report = check_gradient(lambda x: x[0] ** 2 + 4 * x[1], np.array([3.0, 4.0]), params)
    assert [found.text for found in report.diagnosis] == [
        "params is wrong in one entry alone, [0]: 3 where 2 is right."
    ]


def test_an_opposite_sign_is_no_factor_1_beside_a_dimension_of_2():
    params = {"w": np.array([0.3, -0.2, 0.5]), "v": np.array([1.0, 2.0])}
    report = check_gradient(
        lambda p: np.sum(p["w"] ** 2) + np.sum(p["v"] ** 3),
        lambda p: {"w": -2 * p["w"], "v": 3 * p["v"] ** 2},
        params,
    )
    assert [found.text for found in report.diagnosis] == [
        "w is the numerical gradient with the opposite sign. v is right."
    ]


@pytest.mark.parametrize(
    "mistake",
    [
        each(lambda g, p: np.random.default_rng(1).standard_normal(g.shape)),
        each(lambda g, p: g + np.exp(p)),
        each(lambda g, p: g**3),
    ],
    ids=["noise", "plus exp θ", "cubed"],
)
def test_unknown_is_an_answer_and_the_worst_entry_is_shown(mistake):
    report = check(EXAMPLES["logistic regression"], mistake)
    assert report.diagnosis == ()
    assert f"  {report.worst}." in str(report)


def test_integers_that_are_not_the_nearest_ones_are_not_rounded():
    report = check_gradient(lambda p: np.sum(p**2), lambda p: 3 * p, np.ones(3))
    assert [mistake.name for mistake in report.diagnosis] == ["scale"]
    assert "or a term is added to it: its entries are all alike" in report.diagnosis[0].text


def test_a_single_entry_is_explained_by_a_plain_factor_only():
    """A single entry is always some multiple of its estimate, so only plain factors count."""
    cost, params = (lambda p: p[0] ** 2), [np.array(0.7)]
    assert check_gradient(cost, [np.array(1.23)], params).diagnosis == ()
    (found,) = check_gradient(cost, [np.array(4.2)], params).diagnosis
    assert found.text.startswith("params[0] is 3.000 × the numerical gradient")


@settings(max_examples=max(5, settings().max_examples // 5))
@given(seed=st.integers(0, 2**32 - 1))
def test_random_factors_have_no_name(seed):
    rng = np.random.default_rng(seed)

    def noise(grad, params):
        return {k: g * rng.uniform(0.3, 3, np.shape(g)) for k, g in grad.items()}

    report = check(EXAMPLES["narrow factors"], noise)
    assert report.verdict is Verdict.MISMATCH
    assert report.diagnosis == ()


def test_entries_that_are_all_alike_leave_several_names():
    params = np.full(3, np.sqrt(0.1))
    report = check_gradient(lambda p: np.sum(p**2), lambda p: 2 * p + 0.5, params)
    assert [found.name for found in report.diagnosis] == ["penalty, absolute values", "constant"]
    assert all("Nothing here tells" in found.text for found in report.diagnosis)


def test_a_check_that_passes_diagnoses_nothing(monkeypatch):
    monkeypatch.setattr("checks.judgement.every_entry.diagnose", None)
    for example in EXAMPLES.values():
        assert check(example, each(lambda g, p: g))


def test_the_diagnosis_is_printed_and_in_the_json():
    report = check(EXAMPLES["logistic regression"], each(lambda g, p: 2 * g))
    text = "w and b are 2.000 × the numerical gradient in every entry: a factor 2 too many."
    assert text in str(report)
    assert json.loads(report.to_json())["diagnosis"] == [{"name": "scale", "text": text}]


@pytest.mark.parametrize(("size", "names"), [(2, []), (3, ["one number"]), (4, ["one number"])])
def test_three_entries_that_are_alike_are_one_number(size, names):
    numeric = np.array([1.3, -0.7, 2.9, 0.45])[:size]
    report = check_gradient(lambda p: np.sum(numeric * p), np.full(size, 2.5), np.ones(size))
    assert [mistake.name for mistake in report.diagnosis] == names
