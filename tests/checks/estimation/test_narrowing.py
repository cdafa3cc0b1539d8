"""Functions that refuse long double get float64, and all other stages of a cost stay wide."""

import numpy as np
import pytest

from checks import numerical_gradient
from checks.estimation.cost_rounding import measure_cost_rounding
from checks.estimation.narrowing import Narrowing
from checks.estimation.precision import Copies, Lift, wider_dtype
from checks.evaluation.pointwise import Evaluations
from checks.parameters.nesting import Nesting

pytestmark = pytest.mark.skipif(not wider_dtype(np.float64), reason="no dtype is wider here")

TINY = 2.0**-60  # 1 + TINY is a number of long double, and not of float64


def wide(x, dtype=np.longdouble):
    return np.array(x, dtype).view(Narrowing)


def halved(v):
    if isinstance(v, np.longdouble | np.clongdouble):
        raise TypeError("not supported for the input types")
    return v / 2


@pytest.mark.parametrize("dtype", [np.longdouble, np.clongdouble])
def test_what_takes_the_wide_dtype_computes_in_it(dtype):
    x = wide([1, 2], dtype) + dtype(TINY)
    for result in (x, x * 1, np.roll(x, 1), np.diag(x), x @ np.eye(2), np.concatenate([x, x])):
        assert type(result) is Narrowing
        assert result.dtype == dtype
        assert result.max() - np.rint(result.max().real) == TINY
    x -= 1
    assert x[0] == TINY


@pytest.mark.parametrize("dtype", [np.longdouble, np.clongdouble])
def test_what_refuses_it_gets_the_narrow_dtype_and_returns_the_wide_one(dtype):
    a = wide([[2, 1], [0, 4]], dtype)
    for result, expected in (
        (np.linalg.eigvals(a), [2, 4]),
        (np.linalg.lstsq(a=a, b=a @ np.ones(2))[0], [1, 1]),
        (np.linalg.multi_dot([a, np.linalg.pinv(a), a]) + 1, a + 1),
        (np.linalg.eig(a)[0], [2, 4]),
    ):
        assert np.asarray(result).dtype in (np.longdouble, dtype)
        assert type(result * 1) is Narrowing
        np.testing.assert_allclose(result, expected, rtol=1e-14)
    assert {np.linalg.eigvals, np.linalg.lstsq, np.linalg.eig} <= set(a.narrowed)
    # a ufunc of another library
    assert np.frompyfunc(halved, 1, 1)(a).tolist() == [[1, 0.5], [0, 2]]


def product_of(x):
    return np.prod(np.linalg.eigvals(np.diag(x)))


def copies_of(cost, x, dtype=np.longdouble):
    return Copies(cost, Nesting({"x": x}), {"x": x}, dtype)


def test_a_cost_that_refuses_is_called_again_with_such_arrays():
    x = np.array([2.0, 3.0])
    copies = copies_of(lambda p: product_of(p["x"] + np.longdouble(TINY)), x)
    assert copies.cost() == pytest.approx(6, rel=1e-14)
    assert copies.refused
    assert copies.calls == 2
    assert copies.cost().dtype == np.longdouble
    assert copies.calls == 3

    # a cost that fails for another reason, or in its own dtype, is not
    def fails(p):
        raise TypeError("wrong")

    for cost, dtype in ((fails, np.longdouble), (fails, float), (lambda p: p[1], np.longdouble)):
        copies = copies_of(cost, x, dtype)
        assert np.isnan(copies.cost())
        assert copies.said in ("TypeError: wrong", "KeyError: 1")
        assert copies.refused == (cost is fails and dtype is np.longdouble)


@pytest.mark.parametrize("scale", [1.0, 2.0**40])
def test_such_a_cost_does_not_lift_and_its_other_stages_show_their_rounding(scale):
    x = np.array([3e-6, 1.5, -2.0])

    def cost(p):
        return scale * product_of((1 - np.cos(p["x"])) / p["x"])

    found = measure_cost_rounding(Evaluations(cost, {"x": x}), np.random.default_rng(0))
    assert found.lift is Lift.NARROW
    exact = np.prod([x[0] / 2 - x[0] ** 3 / 24, *(1 - np.cos(x[1:])) / x[1:]]) * scale
    made = abs(cost({"x": x}) - exact)
    assert made > 1e-6 * abs(exact)  # 1 − cos(x) has lost its digits
    assert 0.9 * made <= found.level <= 100 * made


@pytest.mark.parametrize("method", ["auto", "central"])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_intervals_beside_a_function_that_refuses(method, dtype):
    for seed in range(4):
        rng = np.random.default_rng(seed)
        a = (rng.uniform(0.5, 2, 3) * 10.0 ** -np.array([5, 3, 1])).astype(dtype)
        b = (rng.uniform(0.5, 2, 3) * 10.0 ** -np.array([0, 1, 0])).astype(dtype)

        def cost(p):
            narrow = product_of(np.array([float(v.real) for v in p["b"]]))
            return np.sum((1 - np.cos(p["a"])) / p["a"]) * (1 - np.cos(narrow)) / narrow

        def det_of(p):
            return product_of((1 - np.cos(p["a"])) / p["a"])

        wide_a, factor = a.astype(np.longdouble), np.prod(b.astype(np.longdouble))
        # (1 − cos z)/z = z/2 − z³/24 + z⁵/720 − …, and its derivative
        f = wide_a / 2 - wide_a**3 / 24 + wide_a**5 / 720 - wide_a**7 / 40320
        slope = 0.5 - wide_a**2 / 8 + wide_a**4 / 144 - wide_a**6 / 5760
        factor = factor / 2 - factor**3 / 24 + factor**5 / 720 - factor**7 / 40320
        for function, exact in ((cost, slope * factor), (det_of, np.prod(f) / f * slope)):
            found = numerical_gradient(function, {"a": a, "b": b}, method=method)
            assert (np.abs(found.value["a"] - exact) <= found.error["a"]).all()
            if method == "auto" and dtype == "float64":
                assert (found.error["a"] <= 1e-3 * np.abs(exact).max()).all()
