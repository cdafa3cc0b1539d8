"""Functions of np.linalg in long double: as numpy's in float64, and with the digits beyond."""

import numpy as np
import pytest

from checks import Verdict, check_gradient, check_jacobian, numerical_gradient
from checks.estimation.narrowing import Narrowing
from checks.estimation.precision import wider_dtype
from checks.estimation.wide_linalg import MOST

pytestmark = pytest.mark.skipif(not wider_dtype(np.float64), reason="no dtype is wider here")

SHAPES = [(1, 1), (2, 2), (5, 5), (2, 3, 4, 4), (0, 0), (3, 0, 0)]


def positive(a):
    return a @ a.swapaxes(-1, -2).conj() + np.eye(a.shape[-1], dtype=a.dtype)


def column(a):
    return np.arange(1, 1 + a.shape[-1]).astype(a.dtype)


FUNCTIONS = {
    "det": np.linalg.det,
    "slogdet, sign": lambda a: np.linalg.slogdet(a).sign,
    "slogdet, logarithm": lambda a: np.linalg.slogdet(a).logabsdet,
    "inv": np.linalg.inv,
    "solve, a vector": lambda a: np.linalg.solve(a, column(a)),
    "solve, matrices": lambda a: np.linalg.solve(a=a, b=np.stack([column(a)] * 2, axis=-1)),
    "solve, one a of many b": lambda a: np.linalg.solve(a[(0,) * (a.ndim - 2)], a),
    "cholesky": lambda a: np.linalg.cholesky(positive(a)),
    "cholesky, upper": lambda a: np.linalg.cholesky(positive(a), upper=True),
}


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("dtype", [np.longdouble, np.clongdouble])
def test_it_is_what_numpy_computes_in_float64(name, shape, dtype):
    rng = np.random.default_rng(len(shape) + shape[-1])
    if shape == (3, 0, 0) and name == "solve, one a of many b":
        shape = (0, 0)
    a = rng.normal(size=shape).astype(dtype)
    if dtype is np.clongdouble:
        a = a + 1j * rng.normal(size=shape)
    wide = Narrowing.of(a)
    found = FUNCTIONS[name](wide)
    expected = FUNCTIONS[name](a.astype(complex if dtype is np.clongdouble else float))
    assert found.shape == expected.shape
    assert np.asarray(found).dtype == (np.longdouble if "logarithm" in name else dtype)
    np.testing.assert_allclose(found.astype(expected.dtype), expected, rtol=1e-11, atol=1e-12)
    assert not wide.narrowed


def test_its_digits_are_those_of_long_double():
    n = 6
    hilbert = 1 / (np.add.outer(np.arange(n), np.arange(n)) + np.longdouble(1))
    a = Narrowing.of(hilbert)
    eps = np.finfo(np.longdouble).eps * np.linalg.cond(hilbert.astype(float))
    assert np.abs(np.linalg.inv(a) @ hilbert - np.eye(n)).max() <= 10 * eps
    assert abs(1 / np.linalg.det(a) - 186313420339200000) <= 10 * eps * 186313420339200000
    factor = np.linalg.cholesky(a)
    assert np.abs(factor @ factor.T - hilbert).max() <= 10 * np.finfo(np.longdouble).eps


def test_singular_matrices():
    zero = Narrowing.of(np.ones((2, 2), np.longdouble))
    assert np.linalg.det(zero) == 0
    assert tuple(np.linalg.slogdet(zero)) == (0, -np.inf)
    for function in (np.linalg.inv, lambda a: np.linalg.solve(a, a)):
        with pytest.raises(np.linalg.LinAlgError, match="Singular"):
            function(zero)
    with pytest.raises(np.linalg.LinAlgError, match="positive definite"):
        np.linalg.cholesky(-zero)


def test_a_large_matrix_is_narrow():
    wide = Narrowing.of(np.eye(MOST + 1, dtype=np.longdouble))
    assert np.linalg.det(wide) == 1
    assert wide.narrowed == [np.linalg.det]


X, Y = np.linspace(0, 1, 6), np.array([0.1, 0.5, 0.9, 0.7, 0.2, -0.3])
APART = np.subtract.outer(X, X) ** 2


def covariance(p):
    return p[0] * np.exp(-APART / (2 * p[1] * p[1])) + p[2] * np.eye(6)


def misfit(p):
    """Return half of log det K and of the residuals in its metric, of a Gaussian process."""
    k = covariance(p)
    return Y @ np.linalg.solve(k, Y) / 2 + np.log(np.linalg.det(k)) / 2


def slope_of_misfit(p):
    k = covariance(p)
    alpha, inverse = np.linalg.solve(k, Y), np.linalg.inv(k)
    smooth = k - p[2] * np.eye(6)
    slopes = [smooth / p[0], smooth * APART / p[1] ** 3, np.eye(6, dtype=p.dtype)]
    return np.array([(np.sum(inverse * s) - alpha @ s @ alpha) / 2 for s in slopes])


def test_a_likelihood_lifts():
    p = np.array([1.3, 0.4, 0.01])
    exact = slope_of_misfit(Narrowing.of(p.astype(np.longdouble)))
    found = numerical_gradient(misfit, p)
    assert (np.abs(found.value - exact) <= found.error).all()
    report = check_gradient(misfit, slope_of_misfit, p)
    assert report
    assert report.arrays["params"].precision == "lifted"


@pytest.mark.parametrize("shift", [0.0, 1000.0])
def test_a_result_is_judged_one_precision_up_beside_one_that_is_not(shift):
    """A determinant as a neighbour, and one inside, leave an error of 1e-6 to be seen."""
    x = np.array([1.3, -0.7, 2.1])

    def f(x):
        smooth = np.log(np.sum(np.exp(x) / 10)) + shift
        return np.array([smooth, np.linalg.det(np.diag(x)) * x[0] + shift, np.abs(x).sum()])

    def jacobian(x):
        p = np.exp(x) / np.exp(x).sum()
        det = np.prod(x)
        return np.stack([p, det * x[0] / x + det * np.eye(3, dtype=x.dtype)[0], np.sign(x)])

    assert check_jacobian(f, jacobian, x)
    for row in (0, 1):
        for entry in range(3):

            def wrong(x, row=row, entry=entry):
                found = jacobian(x)
                found[row, entry] *= 1 + 1e-6  # wrong on purpose
                return found

            report = check_jacobian(f, wrong, x)
            assert report.verdict is Verdict.MISMATCH
            assert report.worst.index == (row, entry)
