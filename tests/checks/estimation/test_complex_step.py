"""Complex steps: exact to rounding where the cost allows them, and trusted only when proven."""

import warnings

import numpy as np
import pytest

from checks import Verdict, check_gradient, numerical_gradient
from tests.checks.functions import SMOOTH, X

EPS = np.finfo(float).eps


@pytest.mark.parametrize("name", [n for n in SMOOTH if n not in ("square at 0", "perfect fit")])
def test_the_interval_holds_the_derivative_to_rounding(name):
    cost, gradient, point = SMOOTH[name]
    by_complex_step = 0
    for seed in range(40):
        x = point * np.random.default_rng(seed).uniform(0.8, 1.25, point.shape)
        estimate, exact = numerical_gradient(cost, x, seed=seed), gradient(x)
        excess = np.abs(estimate.value - exact) - 4 * np.spacing(np.abs(exact))
        assert np.all(excess <= estimate.error)
        if estimate.method == "complex-step":
            by_complex_step += 1
            assert estimate.error.max() <= 1e-11 * np.abs(exact).max()
    assert by_complex_step >= 38  # now and then the differences are too inaccurate to prove it


def real_part(x):
    return np.sum(x.real**2)


def raises(x):
    if np.iscomplexobj(x):
        raise TypeError("only real numbers")
    return np.sum(x**2)


def warns(x):
    if np.iscomplexobj(x):
        warnings.warn("complex numbers are slow here", UserWarning, stacklevel=1)
    return np.sum(x.real**2)


def casts(x):
    copy = np.zeros(x.shape)
    copy[...] = x  # a ComplexWarning, and the imaginary part is gone
    return np.sum(copy**2)


# id: (cost that drops imaginary parts somewhere or refuses them, its gradient)
INCAPABLE = {
    "abs": (lambda x: np.sum(np.abs(x) ** 3), lambda x: 3 * x * np.abs(x)),
    "abs of one entry": (
        lambda x: np.sum(x**2) + np.abs(x[1]),
        lambda x: 2 * x + np.array([0, np.sign(x[1]), 0, 0]),
    ),
    "abs of one small term": (
        lambda x: np.sum(x**2) + 1e-6 * np.abs(x[1]),
        lambda x: 2 * x + 1e-6 * np.array([0, np.sign(x[1]), 0, 0]),
    ),
    "float()": (lambda x: float(np.sum(x**2).real), lambda x: 2 * x),
    ".real": (real_part, lambda x: 2 * x),
    "norm": (np.linalg.norm, lambda x: x / np.linalg.norm(x)),
    "conjugate": (lambda x: np.vdot(x, x).real, lambda x: 2 * x),
    "halved": (lambda x: np.sum(x * x.real), lambda x: 2 * x),
    "cast": (casts, lambda x: 2 * x),
    "raises": (raises, lambda x: 2 * x),
    "warns": (warns, lambda x: 2 * x),
    "raises on one entry": (
        lambda x: np.sum(x**2) if x[2].imag == 0 else 1 / 0,
        lambda x: 2 * x,
    ),
    "nan": (lambda x: np.sum(x**2) * (np.nan if np.iscomplexobj(x) else 1), lambda x: 2 * x),
}


@pytest.mark.parametrize("name", INCAPABLE)
def test_an_incapable_cost_falls_back_to_differences_and_is_right(name):
    cost, gradient = INCAPABLE[name]
    estimate = numerical_gradient(cost, X.copy())
    assert estimate.method == "central"
    assert np.all(np.abs(estimate.value - gradient(X)) <= estimate.error + 4 * EPS)
    assert check_gradient(cost, gradient, X.copy())
    assert not check_gradient(cost, lambda x: 1.001 * gradient(x), X.copy())


@pytest.mark.parametrize("name", INCAPABLE)
def test_an_incapable_cost_is_refused_if_asked_for_by_name(name):
    with pytest.raises(ValueError, match="method is 'complex-step', but complex moves of params"):
        numerical_gradient(INCAPABLE[name][0], X.copy(), method="complex-step")


@pytest.mark.parametrize(
    "cost",
    [lambda x: np.sum(np.maximum(x, 0) ** 2), lambda x: np.sum(np.where(x > 0, x, 0) ** 2)],
    ids=["maximum", "where"],
)
def test_maximum_and_where_are_right_by_either_method(cost):
    # numpy orders complex numbers by their real parts first, so both keep the imaginary part
    estimate = numerical_gradient(cost, X.copy())
    assert np.all(np.abs(estimate.value - 2 * np.maximum(X, 0)) <= estimate.error + 4 * EPS)


@pytest.mark.parametrize(
    ("rough", "slope"),
    [
        (lambda x: np.sum(np.abs(x) ** 3), lambda x: 3 * x * np.abs(x)),
        (lambda x: np.sum(x * x.real), lambda x: 2 * x),
    ],
    ids=["dropped", "halved"],
)
def test_each_array_has_its_own_method(rough, slope):
    params = {"smooth": X.copy(), "rough": X.copy()}
    estimate = numerical_gradient(lambda p: np.sum(p["smooth"] ** 2) + rough(p["rough"]), params)
    assert estimate.method == "mixed"
    assert estimate.error["smooth"].max() < 1e-14 < estimate.error["rough"].max()
    np.testing.assert_allclose(estimate.value["rough"], slope(X), rtol=1e-8)


def test_closures_over_real_arrays_fall_back():
    x = X.copy()
    estimate = numerical_gradient(lambda _: np.sum(np.exp(x)), x)
    assert estimate.method == "central"
    np.testing.assert_allclose(estimate.value, np.exp(X), rtol=1e-9)


def test_leaving_the_domain_by_a_complex_step_is_not_a_slope_of_zero():
    def cost(x):
        if np.iscomplexobj(x) and x[3].imag:
            raise ValueError("no logarithm here")
        return np.sum(x**2)

    estimate = numerical_gradient(cost, X.copy())
    assert np.all(np.abs(estimate.value - 2 * X) <= estimate.error)


def exponential(p):
    return np.sum(np.exp(p))


# Terms whose imaginary parts are dropped in two entries, with slopes of opposite sign.
OPPOSITE = {
    "|w0 - w1|": (
        {"w": np.array([0.7, 1.1])},
        lambda p: np.abs(p["w"][0] - p["w"][1]),
        lambda p: {"w": np.array([-1.0, 1.0])},
    ),
    "|a - b|": (
        {"a": np.array([0.7]), "b": np.array([0.9])},
        lambda p: np.sum(np.abs(p["a"] - p["b"])),
        lambda p: {"a": np.array([-1.0]), "b": np.array([1.0])},
    ),
    "|w|_1": (
        {"w": np.array([0.5, -1.2, 0.3, -0.1, 0.9, -0.7])},
        lambda p: 0.1 * np.sum(np.abs(p["w"])),
        lambda p: {"w": 0.1 * np.sign(p["w"])},
    ),
}


@pytest.mark.parametrize("name", OPPOSITE)
def test_slopes_dropped_in_several_entries_do_not_cancel(name):
    params, term, slope = OPPOSITE[name]

    def cost(p):
        return sum(map(exponential, p.values())) + term(p)

    wrong = {path: np.exp(value) for path, value in params.items()}
    right = {path: wrong[path] + part for path, part in slope(params).items()}
    for seed in range(40):
        assert check_gradient(cost, right, params, seed=seed)
        assert check_gradient(cost, wrong, params, seed=seed).verdict is Verdict.MISMATCH


def test_a_slope_dropped_in_one_of_many_entries_is_seen():
    for seed in range(2):
        rng = np.random.default_rng(seed)
        a, w = rng.standard_normal((8, 720)) * 0.6, rng.standard_normal(720)
        t = np.tanh(a @ w)
        slope = a.T @ (2 * t * (1 - t**2))
        dropped = np.abs(slope).max() / 100

        def cost(p, a=a, dropped=dropped):
            return np.sum(np.tanh(a @ p) ** 2) + dropped * np.abs(p[0])

        report = check_gradient(cost, slope, w, seed=seed)
        assert report.worst.index == (0,)
        assert report.verdict is Verdict.MISMATCH


def test_where_the_cost_is_too_flat_it_is_proven_at_smaller_parameters():
    x = np.array([25.0, 28.0])
    estimate = numerical_gradient(lambda x: np.sum(np.tanh(x)), x)
    assert estimate.method == "complex-step"
    np.testing.assert_allclose(estimate.value, 4 * np.exp(-2 * x), rtol=1e-13)


def test_the_error_quotes_what_the_cost_raised_for_complex_numbers():
    with pytest.raises(ValueError, match=r"\(TypeError: only real numbers, with .*\); use method="):
        numerical_gradient(raises, X.copy(), method="complex-step")
