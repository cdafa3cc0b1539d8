from functools import partial

import numpy as np
import pytest

from checks.estimation.random_rounding import Operations, TooManyOperations

EPS = float(np.finfo(float).eps)
Z = np.array([0.3, 1.7, 5e-30, 0.0])


def rounded(function, *arrays, seed=0):
    follow = Operations(seed).follow
    return np.asarray(function(*(follow(np.array(x)) for x in arrays)))


def evaluated(expression, *arrays):
    return eval(expression, {"np": np}, dict(zip("zw", arrays, strict=False)))


@pytest.mark.parametrize(
    "expression",
    [
        "-z",
        "abs(z)",
        "z + z",
        "4 * z",
        "z / 2",
        "np.maximum(z, np.roll(z, 1))",
        "z[1] - np.max(z)",
        "np.sqrt(4 + 0 * z)",
        "np.round(z)",
        "np.where(z > 0, z, 0.0)",
        "np.exp(0 * z) + np.arange(4)",
    ],
)
def test_exact_results_stay(expression):
    for seed in range(8):
        found = rounded(partial(evaluated, expression), Z, seed=seed)
        assert np.array_equal(found, evaluated(expression, Z))


@pytest.mark.parametrize(
    "expression",
    [
        "np.exp(z)",
        "np.tanh(z)",
        "1 + z",
        "z * 0.1",
        "z / 7",
        "np.sqrt(2 + np.floor(z))",
        "np.cumsum(np.exp(z))",
    ],
)
def test_inexact_results_change_by_about_a_last_place(expression):
    function = partial(evaluated, expression)
    exact = function(Z)[:3]
    changes = np.array([rounded(function, Z, seed=k)[:3] / exact - 1 for k in range(32)])
    assert (np.abs(changes) <= 32 * EPS).all()
    assert (changes.min(axis=0)[:2] < 0).all()
    assert (changes.max(axis=0)[:2] > 0).all()
    # so does what a tiny argument leaves of 1, in every dtype
    assert exact[2] != 1 or np.abs(changes[:, 2]).max() >= EPS / 2
    assert np.array_equal(rounded(function, Z, seed=5), rounded(function, Z, seed=5))


@pytest.mark.parametrize(
    "expression",
    [
        "np.sum(z * w)",
        "z @ w",
        "np.dot(z, w)",
        "np.inner(z, w)",
        "np.einsum('i,i', z, w)",
        "np.add.reduce(z * w, keepdims=True)",
    ],
)
def test_sums_round_as_their_terms_do(expression):
    a, b = np.array([1e8, 1.0, 1e8]), np.array([1 / 3, 1 / 7, -1 / 3])
    exact, function = evaluated(expression, a, b), partial(evaluated, expression)
    changes = [abs(rounded(function, a, b, seed=k) - exact).max() for k in range(32)]
    assert 0.5 * EPS * 1e8 / 3 <= max(changes) <= 4 * EPS * 1e8


def test_imaginary_parts_keep_their_size():
    z = np.array([0.7 + 1e-25j, -0.2 + 3e-25j])
    for function in (np.exp, np.sum, lambda z: z * z, lambda z: z @ z, lambda z: np.dot(z, 1 / z)):
        exact = function(z)
        for k in range(8):
            found = rounded(function, z, seed=k)
            assert (abs(found.real - exact.real) <= 16 * EPS).all()
            assert (abs(found.imag - exact.imag) <= 1e-25 * 64 * EPS).all()


def test_other_results_are_left_as_they_are():
    follow = Operations(0).follow
    a = follow(np.array([3, 4]))
    assert np.array_equal(np.asarray(a * 7), [21, 28])
    assert (a > 3).tolist() == [False, True]
    assert np.asarray(np.divmod(follow(np.array([7.0])), 2.0)).tolist() == [[3.0], [1.0]]


def test_what_is_written_into_arrays_rounds_too():
    x = Operations(0).follow(np.array([0.1, 0.2, 0.3]))
    out = np.zeros(3)
    assert np.multiply(x, 0.7, out=out) is out
    assert (out != np.array([0.1, 0.2, 0.3]) * 0.7).all()
    assert np.allclose(out, np.array([0.1, 0.2, 0.3]) * 0.7, rtol=4 * EPS)


def test_a_loop_that_no_longer_ends_is_left():
    def last_place(operations):
        t = operations.follow(np.array(0.3))
        while 1 + t != 1:  # rounded at random, it is 1 by luck only
            t = t / 2

    ordinary = Operations()
    last_place(ordinary)
    assert ordinary.count == 3 * 52 + 2
    left = 0
    for seed in range(8):
        operations = Operations(seed, most=2 * ordinary.count)
        try:
            last_place(operations)
        except TooManyOperations:
            left += 1
        assert operations.count <= 2 * ordinary.count + 1
    assert left


@np.errstate(invalid="ignore")
def test_infinities_are_exact():
    for seed in range(8):
        found = rounded(lambda z: 1 / (1 + np.exp(-z)), [np.inf, -np.inf], seed=seed)
        np.testing.assert_allclose(found, [1, 0], rtol=8 * EPS)


@pytest.mark.parametrize(
    ("function", "is_lost"),
    [
        (lambda d: 1 / d, True),
        (np.reciprocal, True),
        (lambda d: d**-2.0, True),
        (lambda d: np.exp(d * 1e18), True),
        (lambda d: np.sin(d) * 3, False),
        (lambda d: d**2.0, False),
        (lambda d: d / 7, False),
        (lambda d: 1 / (1 + d), False),
        (np.exp, False),
    ],
    ids=["quotient", "reciprocal", "power", "large", "linear", "square", "part", "sum", "exp"],
)
def test_functions_that_make_anything_of_an_argument_without_digits_are_noticed(function, is_lost):
    x = np.array([0.3, 1.0])
    exact = Operations()
    several = [exact, *(Operations(seed, exact=exact) for seed in range(3))]
    for operations in several:
        z = operations.follow(x)
        function((z * 0.1 + 1) - 1 - z / 10)
    assert not exact.lost
    assert any(operations.lost for operations in several) == is_lost
