"""σ and σ' to a few ulp, everywhere, without a warning."""

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from backprop.activations import ACTIVATIONS
from tests.exact import exact_sigma

FLOATS = [np.float32, np.float64]
EXTREMES = [0.0, -0.0, 1e-300, 1e-30, 20.0, 37.0, 88.7, 103.9, 709.8, 745.2, 800.0, 1e4]


def dense(dtype):
    """About 1,700 points of [−1e4, 1e4]: spread evenly near 0, by magnitude, and the extremes."""
    rng = np.random.default_rng(0)
    z = [rng.uniform(-40, 40, 600), 10 ** rng.uniform(-8, 4, 250), EXTREMES, np.geomspace(80, 800)]
    z = np.concatenate(z)
    return np.concatenate([z, -z]).astype(dtype)


def ulps(value, exact):
    """Distance in units of the last place; a place of the subnormals where it underflows."""
    return (
        abs(value.astype(exact.dtype) - exact) / np.spacing(abs(exact.astype(value.dtype)))
    ).max()


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("name", [*ACTIVATIONS])
def test_right_to_a_few_ulp(name, dtype):
    z = dense(dtype)
    exact, exact_slope = exact_sigma(name, z)
    a, slope = ACTIVATIONS[name].value_and_slope(z.copy())
    assert a.dtype == slope.dtype == dtype
    assert ulps(a, exact) <= 4
    assert ulps(slope, exact_slope) <= 8
    np.testing.assert_array_equal(a, ACTIVATIONS[name].value(z))


def test_the_textbooks_slope_loses_every_digit_where_ours_loses_none():
    z = np.array([10.0, 20.0, 30.0, 36.0, 37.0, 40.0, 100.0, 700.0])
    exact = exact_sigma("logistic", z)[1]
    a, slope = ACTIVATIONS["logistic"].value_and_slope(z.copy())
    textbook = a * (1 - a)  # wrong on purpose
    np.testing.assert_allclose(slope, exact.astype(float), rtol=1e-15)
    lost = np.abs(textbook / exact - 1)
    assert lost[1] > 1e-9  # eight digits are gone at z = 20
    assert lost[4] > 0.1  # wrong by a factor at z = 37
    assert (lost[5:] == 1).all()  # then 0


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.longdouble])
def test_infinities(dtype):
    z = np.array([-np.inf, np.inf], dtype)
    for name, ends in {"logistic": (0, 1), "tanh": (-1, 1), "relu": (0, np.inf)}.items():
        a, slope = ACTIVATIONS[name].value_and_slope(z.copy())
        assert a.dtype == slope.dtype == dtype
        np.testing.assert_array_equal(a, ends)
        np.testing.assert_array_equal(slope, (0, name == "relu"))


@pytest.mark.parametrize("name", [*ACTIVATIONS])
def test_nan_stays_nan(name):
    a, slope = ACTIVATIONS[name].value_and_slope(np.array([np.nan, 1.0]))
    assert np.isnan(a[0])
    assert np.isnan(slope[0]) or name == "identity"
    assert np.isfinite([a[1], slope[1]]).all()


@pytest.mark.parametrize("name", [*ACTIVATIONS])
@example(z=-715.3566586950153)
@given(z=st.floats(-1e4, 1e4).filter(bool))
def test_complex_step_sees_the_slope(name, z):
    row = ACTIVATIONS[name]
    a, slope = row.value_and_slope(np.array([z]))
    # σ'(z) = Im σ(z + ih) / h
    stepped = row.value(np.array([z + 1e-30j]))
    # Subnormal numbers, below 2e-308, have no relative accuracy but a spacing of 5e-324. The value
    # may be subnormal, and so may the imaginary part before it is divided by h.
    subnormal = np.finfo(float).smallest_subnormal
    np.testing.assert_allclose(stepped.real, a, rtol=1e-14, atol=4 * subnormal)
    np.testing.assert_allclose(stepped.imag / 1e-30, slope, rtol=1e-12, atol=4 * subnormal / 1e-30)


@given(re=st.floats(-50, 50), im=st.floats(-1.5, 1.5))
def test_complex_logistic_is_the_analytic_function(re, im):
    z = np.array([complex(re, im)])
    a, slope = ACTIVATIONS["logistic"].value_and_slope(z.copy())
    np.testing.assert_allclose(a, 1 / (1 + np.exp(-z)), rtol=1e-13)
    np.testing.assert_allclose(slope, np.exp(-z) / (1 + np.exp(-z)) ** 2, rtol=1e-13)


def test_relu_has_slope_zero_at_its_kink():
    assert ACTIVATIONS["relu"].value_and_slope(np.array([0.0]))[1] == 0


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("zero", [0.0, -0.0])
@pytest.mark.parametrize(
    ("name", "value", "slope"),
    [("logistic", 0.5, 0.25), ("tanh", 0, 1), ("identity", 0, 1), ("relu", 0, 0)],
)
def test_at_zero_an_imaginary_part_carries_the_slope(name, value, slope, zero, sign):
    h = sign * 2.0**-20
    z = np.array([complex(zero, h)])
    for a in (ACTIVATIONS[name].value(z.copy()), ACTIVATIONS[name].value_and_slope(z.copy())[0]):
        assert a.imag.item() == pytest.approx(slope * h)
        assert a.real.item() == pytest.approx(value)
    assert ACTIVATIONS[name].value_and_slope(z.copy())[1].item() == pytest.approx(slope)
