"""Objectives of boosting libraries: the gradient and the diagonal of the Hessian, row by row.

The formulas are those of XGBoost and LightGBM, in numpy. Both libraries replace some Hessians by
larger ones, on purpose, by factors that their sources give.
"""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from checks import Verdict, check_gradient, check_hessian

DELTA = 0.7  # max_delta_step of XGBoost, poisson_max_delta_step of LightGBM


def logistic(f):
    return 1 / (1 + np.exp(-f))


def softmax(f):
    e = np.exp(f - f.real.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def one_hot(f, y):
    return np.eye(f.shape[1])[y]


# id: (loss of all rows, gradient, Hessian, the factor by which the Hessian is enlarged);
# each takes the scores and the labels
OBJECTIVES = {
    "logistic of XGBoost": (
        lambda f, y: np.sum(np.log1p(np.exp(f)) - y * f),
        lambda f, y: logistic(f) - y,
        lambda f, y: logistic(f) * (1 - logistic(f)),
        1,
    ),
    "logistic of LightGBM": (  # with labels ±1
        lambda f, y: np.sum(np.log1p(np.exp(-(2 * y - 1) * f))),
        lambda f, y: -(2 * y - 1) / (1 + np.exp((2 * y - 1) * f)),
        lambda f, y: 1 / (1 + np.exp((2 * y - 1) * f)) * (1 - 1 / (1 + np.exp((2 * y - 1) * f))),
        1,
    ),
    "softmax of XGBoost": (
        lambda f, y: -np.sum(one_hot(f, y) * np.log(softmax(f))),
        lambda f, y: softmax(f) - one_hot(f, y),
        lambda f, y: 2 * softmax(f) * (1 - softmax(f)),
        2,
    ),
    "softmax of LightGBM": (
        lambda f, y: -np.sum(one_hot(f, y) * np.log(softmax(f))),
        lambda f, y: softmax(f) - one_hot(f, y),
        lambda f, y: f.shape[1] / (f.shape[1] - 1) * softmax(f) * (1 - softmax(f)),
        4 / 3,
    ),
    "Poisson": (
        lambda f, y: np.sum(np.exp(f) - y * f),
        lambda f, y: np.exp(f) - y,
        lambda f, y: np.exp(f + DELTA),
        np.exp(DELTA),
    ),
}
SEEDS = st.integers(0, 2**32 - 1)
WHICH = st.sampled_from(["gradient", "Hessian"])
CLASSES = [name for name in OBJECTIVES if "softmax" in name]


def draw(name, seed, rows=6):
    """Return scores and labels; where there are classes, four of them."""
    rng = np.random.default_rng(seed)
    if name in CLASSES:
        return rng.normal(size=(rows, 4)), rng.permutation(np.arange(rows) % 4)
    y = rng.poisson(2, rows) if name == "Poisson" else rng.integers(0, 2, rows)
    return rng.normal(size=rows), y.astype(float)


@given(name=st.sampled_from(list(OBJECTIVES)), seed=SEEDS)
def test_objectives_of_libraries_match(name, seed):
    f, y = draw(name, seed)
    loss, gradient, hessian, factor = OBJECTIVES[name]
    report = check_gradient(lambda f: loss(f, y), lambda f: gradient(f, y), f)
    assert report.verdict is Verdict.MATCH, str(report)
    report = check_hessian(
        lambda f: loss(f, y),
        lambda f: hessian(f, y) / factor,
        f,
        gradient=lambda f: gradient(f, y),
    )
    assert report.verdict is Verdict.MATCH, str(report)


@pytest.mark.parametrize("name", OBJECTIVES)
def test_objectives_match_from_the_loss_alone_and_in_float32(name):
    f, y = draw(name, 0)
    loss, gradient, hessian, factor = OBJECTIVES[name]
    report = check_hessian(lambda f: loss(f, y), lambda f: hessian(f, y) / factor, f)
    assert report.verdict is Verdict.MATCH, str(report)
    f = f.astype(np.float32)
    report = check_gradient(lambda f: loss(f, y), lambda f: gradient(f, y), f)
    assert report.verdict is Verdict.MATCH, str(report)


@pytest.mark.parametrize("name", [name for name, row in OBJECTIVES.items() if row[-1] != 1])
def test_an_enlarged_hessian_is_named_as_a_factor(name):
    f, y = draw(name, 0)
    loss, gradient, hessian, factor = OBJECTIVES[name]
    report = check_hessian(
        lambda f: loss(f, y), lambda f: hessian(f, y), f, gradient=lambda f: gradient(f, y)
    )
    assert [mistake.name for mistake in report.diagnosis] == ["scale"]
    assert f"is {factor:.2f}" in report.diagnosis[0].text, str(report)
    assert "× the numerical Hessian" in report.diagnosis[0].text


def in_order(axis, length, rng):
    order = np.arange(length)
    while (order == np.arange(length)).all():
        order = rng.permutation(length)
    return lambda d, f: np.take(d, order, axis)


ORDERS = {"reversed", "permuted", "transpose", "column-major"}
# id: (what is made of the derivatives d, given the scores too; the names that say so)
MISTAKES = {  # wrong on purpose, each
    "sign": (lambda d, f: -d, {"sign"}),
    "factor 2": (lambda d, f: 2 * d, {"scale"}),
    "p (1 - p) once more": (lambda d, f: d * logistic(f) * (1 - logistic(f)), {"chain factor"}),
    "rows reversed": (lambda d, f: d[::-1], {"reversed"}),
    "classes reversed": (lambda d, f: d[:, ::-1], {"reversed"}),
    "class by class": (lambda d, f: d.reshape(-1, order="F").reshape(d.shape), {"transpose"}),
}


def named(which, name, mistake, f, y):
    """Return the report of a mistake in the gradient or the Hessian of an objective."""
    loss, gradient, hessian, factor = OBJECTIVES[name]
    right = gradient if which == "gradient" else lambda f, y: hessian(f, y) / factor

    def wrong(f):
        return mistake(right(f, y), f)

    if which == "gradient":
        return check_gradient(lambda f: loss(f, y), wrong, f)
    return check_hessian(lambda f: loss(f, y), wrong, f, gradient=lambda f: gradient(f, y))


@given(st.sampled_from(list(MISTAKES)), st.data(), WHICH, SEEDS)
def test_mistakes_are_named(mistake, data, which, seed):
    name = data.draw(st.sampled_from(CLASSES if "class" in mistake else list(OBJECTIVES)))
    f, y = draw(name, seed)
    change, names = MISTAKES[mistake]
    report = named(which, name, change, f, y)
    assert report.verdict is Verdict.MISMATCH
    assert names & {mistake.name for mistake in report.diagnosis}, str(report)


@given(st.sampled_from([0, 1]), st.data(), WHICH, SEEDS)
def test_a_wrong_order_is_named(axis, data, which, seed):
    name = data.draw(st.sampled_from(CLASSES if axis else list(OBJECTIVES)))
    f, y = draw(name, seed)
    report = named(which, name, in_order(axis, f.shape[axis], np.random.default_rng(seed)), f, y)
    assert report.verdict is Verdict.MISMATCH
    assert ORDERS & {mistake.name for mistake in report.diagnosis}, str(report)


@pytest.mark.parametrize("name", OBJECTIVES)
def test_a_hessian_of_1_for_p_1_minus_p_is_named(name):
    f, y = draw(name, 0)
    report = named("Hessian", name, lambda d, f: np.ones_like(d), f, y)
    assert {"one number", "ones"} & {mistake.name for mistake in report.diagnosis}, str(report)


def test_a_hessian_of_p_1_minus_p_for_1_is_named():
    f, y = draw("logistic of XGBoost", 0)
    report = check_hessian(
        lambda f: np.sum((f - y) ** 2) / 2,
        lambda f: logistic(f) * (1 - logistic(f)),  # wrong on purpose
        f,
        gradient=lambda f: f - y,
    )
    assert "chain factor" in {mistake.name for mistake in report.diagnosis}, str(report)


def test_weights_of_samples_that_are_forgotten_are_named():
    rng = np.random.default_rng(3)
    f, labels, weights = rng.normal(size=(8, 3)), rng.integers(3, size=8), rng.uniform(0.2, 3, 8)
    y = np.eye(3)[labels]

    def softmax(f):
        e = np.exp(f - f.real.max(axis=1, keepdims=True))
        return e / e.sum(axis=1, keepdims=True)

    def loss(f):
        return -np.sum(weights[:, None] * y * np.log(softmax(f)))

    report = check_gradient(loss, lambda f: softmax(f) - y, f)  # wrong on purpose
    assert [mistake.name for mistake in report.diagnosis] == ["row factors"]
    assert "weights of samples" in report.diagnosis[0].text
    report = check_hessian(loss, lambda f: softmax(f) * (1 - softmax(f)), f)  # wrong on purpose
    assert [mistake.name for mistake in report.diagnosis] == ["row factors"]


@pytest.mark.parametrize("of", ["gradient", "cost"])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("mistake", ["divided by the rows", "without the last row", "zeros"])
def test_a_diagonal_that_is_too_small_is_wrong(mistake, dtype, of):
    f, y = draw("logistic of XGBoost", 0, rows=9)
    f = f.astype(dtype)
    loss, gradient, hessian, _ = OBJECTIVES["logistic of XGBoost"]

    def wrong(f):
        h = hessian(f, y)
        part = {"divided by the rows": 1 / len(f), "zeros": 0}.get(mistake, 1.0)
        h = h * h.dtype.type(part)
        h[-1] = 0 if mistake == "without the last row" else h[-1]
        return h  # wrong on purpose

    given = {"gradient": lambda f: gradient(f, y)} if of == "gradient" else {}
    report = check_hessian(lambda f: loss(f, y), wrong, f, **given)
    assert report.verdict is Verdict.MISMATCH
    assert report.diagnosis


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_thresholds_of_an_ordinal_objective_may_be_infinite(dtype):
    ends = np.array([-np.inf, -1.0, 0.2, 1.3, np.inf])
    labels = np.array([3, 2, 2, 1, 1, 0, 0])
    low, high = ends[labels], ends[labels + 1]

    def loss(f):
        return -np.sum(np.log(logistic(high - f) - logistic(low - f)))

    def gradient(f):
        return 1 - logistic(high - f) - logistic(low - f)

    f = np.random.default_rng(0).normal(size=7).astype(dtype)
    assert check_gradient(loss, gradient, f)
    assert check_gradient(loss, lambda f: -gradient(f), f).verdict is Verdict.MISMATCH


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("rows", [4, 12])
def test_two_rows_in_each_others_place_are_named(rows, dtype):
    f, y = draw("Poisson", 1, rows)
    f, (loss, gradient, _, _) = f.astype(dtype), OBJECTIVES["Poisson"]

    def swapped(f):
        return gradient(f, y)[[0, 2, 1, *range(3, rows)]]  # wrong on purpose

    (mistake,) = check_gradient(lambda f: loss(f, y), swapped, f).diagnosis
    assert mistake.name == "permuted"
    assert "with the entries [1] and [2] exchanged" in mistake.text


@pytest.mark.parametrize("part", [0.5, 1 / 9, 0])
@pytest.mark.parametrize("seed", range(3))
def test_half_the_second_derivative_of_a_huber_loss_is_wrong(seed, part):
    rng = np.random.default_rng(seed)
    f, y = 2 * rng.normal(size=9), rng.normal(size=9)

    def loss(f):
        off = np.abs(f - y)  # takes no complex numbers
        return np.sum(np.where(off <= 1, off**2 / 2, off - 0.5))

    def hessian(f):
        return (np.abs(f - y) <= 1) * 1.0

    assert check_hessian(loss, hessian, f)
    report = check_hessian(loss, lambda f: part * hessian(f), f)  # wrong on purpose
    assert report.verdict is Verdict.MISMATCH
    assert ((report.arrays["diagonal of params"].verdicts == 2) == (hessian(f) == 1)).all()
