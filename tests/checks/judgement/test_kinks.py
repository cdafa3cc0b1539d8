"""Claims at several kinks: what is possible together passes, what is not does not."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from checks import Verdict, check_gradient, check_jacobian

SEEDS = range(3)


def relu(z):
    return np.maximum(z, 0)


def pooled(x):
    """Return the maxima of pairs, with the weights 1, 2, 3 and so on."""
    return np.max(x.reshape(-1, 2), axis=1) @ np.arange(1.0, x.size / 2 + 1)


def larger(p):
    return np.sum(np.maximum(p["a"], p["b"]))


A = np.array
TIES = {"a": A([1.0, -2.0, 3.0]), "b": A([1.0, -2.0, 3.0])}
WEIGHTS = A([1.0, -2.0, 3.0, 0.5, -1.0])
ROWS = A([[2.0, -2.6, 0.4], [-0.6, -0.5, -0.2], [-2.0, -0.2, -0.9]])
SIGNED = A([1.0, -0.7, 0.4])
DEEP = np.random.default_rng(1).normal(size=(5, 4))

# id: (cost, point, claim); at every kink, each claim by itself is between the slopes
POSSIBLE = {
    "all to the first": (np.max, A([1.0, 1.0]), A([1.0, 0.0])),
    "all to the second": (np.max, A([1.0, 1.0]), A([0.0, 1.0])),
    "shares": (np.max, A([1.0, 1.0]), A([0.3, 0.7])),
    "equal shares of three": (np.max, A([2.0, 2.0, 2.0]), np.full(3, 1 / 3)),
    "a minimum": (np.min, A([-1.0, -1.0]), A([0.0, 1.0])),
    "minus a maximum": (lambda x: -np.max(x), A([1.0, 1.0]), A([-1.0, 0.0])),
    "pooling": (pooled, A([1.0, 1, 2, 2, 3, 3]), A([1.0, 0, 0, 2, 1.5, 1.5])),
    "two arrays": (larger, TIES, {"a": A([1.0, 0, 0.5]), "b": A([0.0, 1, 0.5])}),
    "inputs that move it unequally": (
        lambda x: np.maximum(3 * x[0] ** 2, 1e3 * x[1]),
        A([1.0, 0.003]),
        A([1.5, 750.0]),
    ),
    "a distance": (lambda x: np.abs(x[0] - x[1]), A([2.0, 2.0]), A([0.3, -0.3])),
    "abs": (lambda x: np.abs(x) @ A([1.0, -1, 2]), np.zeros(3), np.zeros(3)),
    "relus, off": (lambda x: relu(x) @ WEIGHTS, np.zeros(5), np.zeros(5)),
    "relus, on": (lambda x: relu(x) @ WEIGHTS, np.zeros(5), WEIGHTS),
    "relus, anything between": (
        lambda x: relu(x) @ WEIGHTS,
        np.zeros(5),
        WEIGHTS * A([0, 0.2, 0.5, 0.9, 1]),
    ),
    "relus with common inputs and weights of both signs": (
        lambda w: SIGNED @ relu(ROWS @ w),
        np.zeros(3),
        np.zeros(3),
    ),
    "two layers of relus at 0": (
        lambda b: np.sum(relu(DEEP @ relu(b)) * [1, -1, 2, -2, 1]),
        np.zeros(4),
        np.zeros(4),
    ),
    # (1, −1) is the gradient where a > b > 0
    "kinks of both signs": (
        lambda x: np.abs(np.abs(x[0]) - np.abs(x[1])),
        np.zeros(2),
        A([1.0, -1.0]),
    ),
}
# wrong on purpose: along some direction the cost is smooth, and its slope another
IMPOSSIBLE = {
    "twice": (np.max, A([1.0, 1.0]), A([1.0, 1.0])),
    "not at all": (np.max, A([1.0, 1.0]), A([0.0, 0.0])),
    "less than all": (np.max, A([1.0, 1.0]), A([0.7, 0.2])),
    "twice, far from 0": (np.max, A([1e6, 1e6]), A([1.0, 1.0])),
    "twice, close to 0": (np.max, A([-1e-6, -1e-6]), A([1.0, 1.0])),
    "a minimum, twice": (np.min, A([1.0, 1.0]), A([1.0, 1.0])),
    "minus a maximum, twice": (lambda x: -np.max(x), A([1.0, 1.0]), A([-1.0, -1.0])),
    "three times": (np.max, A([2.0, 2.0, 2.0]), np.ones(3)),
    "two of three": (np.max, A([2.0, 2.0, 2.0]), A([1.0, 1.0, 0.0])),
    "pooling, all": (pooled, A([1.0, 1, 2, 2, 3, 3]), A([1.0, 1, 2, 2, 3, 3])),
    "pooling, one pair": (pooled, A([1.0, 1, 2, 2, 3, 3]), A([1.0, 0, 2, 2, 3, 0])),
    "two arrays, twice": (larger, TIES, {"a": np.ones(3), "b": np.ones(3)}),
    "inputs that move it unequally, twice": (
        lambda x: np.maximum(3 * x[0] ** 2, 1e3 * x[1]),
        A([1.0, 0.003]),
        A([6.0, 1e3]),
    ),
    "a distance, of one sign": (lambda x: np.abs(x[0] - x[1]), A([2.0, 2.0]), A([1.0, 1.0])),
    "a sum, of two signs": (lambda x: np.abs(x[0] + x[1]), A([2.0, -2.0]), A([1.0, -1.0])),
}


@pytest.mark.parametrize("method", ["auto", "central"])
@pytest.mark.parametrize("name", POSSIBLE)
def test_claims_that_are_possible_together_are_a_match(name, method):
    cost, point, claim = POSSIBLE[name]
    for seed in SEEDS:
        report = check_gradient(cost, claim, point, method=method, seed=seed)
        assert report.verdict is Verdict.MATCH, str(report)
        assert report.kinks == report.entries


@pytest.mark.parametrize("method", ["auto", "central"])
@pytest.mark.parametrize("name", IMPOSSIBLE)
def test_claims_that_are_not_possible_together_are_a_mismatch(name, method):
    cost, point, claim = IMPOSSIBLE[name]
    for seed in SEEDS:
        report = check_gradient(cost, claim, point, method=method, seed=seed)
        assert report.verdict is Verdict.MISMATCH, str(report)
        reasons = " ".join(array.reason for array in report.arrays.values())
        assert "together they are not possible" in reasons
        assert f"at {report.kinks} kinks" in reasons
        assert not report.diagnosis  # no estimate says what the claim should be


def test_beside_another_kink_an_impossible_claim_is_unresolved():
    # max(a, b) + relu(c): no direction that moves c is smooth
    cost = lambda x: np.maximum(x[0], x[1]) + relu(x[2] - 1)  # noqa: E731
    for claim in (0.0, 0.4, 1.0):
        for seed in SEEDS:
            report = check_gradient(cost, A([1.0, 1.0, claim]), np.ones(3), seed=seed)
            assert report.verdict is Verdict.UNRESOLVED
            assert check_gradient(cost, A([0.0, 1.0, claim]), np.ones(3), seed=seed)


def test_a_wrong_entry_that_is_nan_at_a_kink_is_named_as_before():
    report = check_gradient(np.max, A([1.0, np.nan]), A([1.0, 1.0]))
    assert report.verdict is Verdict.MISMATCH
    assert report.diagnosis[0].name == "not finite"


@given(
    seed=st.integers(0, 2**32 - 1),
    ways=st.integers(2, 4),
    windows=st.integers(1, 6),
    kind=st.sampled_from(["winner", "shares"]),
    method=st.sampled_from(["auto", "central"]),
)
def test_pooling_with_ties_is_never_accused(seed, ways, windows, kind, method):
    rng = np.random.default_rng(seed)
    weights, x = rng.normal(size=windows), rng.normal(size=windows)
    shares = rng.dirichlet(np.ones(ways), windows)
    if kind == "winner":
        shares = np.eye(ways)[rng.integers(ways, size=windows)]
    cost = lambda x: weights @ np.max(x, axis=1)  # noqa: E731
    point = np.repeat(x[:, None], ways, axis=1)
    report = check_gradient(cost, weights[:, None] * shares, point, seed=seed, method=method)
    assert report.verdict is not Verdict.MISMATCH, str(report)


@given(seed=st.integers(0, 2**32 - 1), method=st.sampled_from(["auto", "central"]))
def test_relu_networks_at_zero_are_not_accused_of_their_convention(seed, method):
    rng = np.random.default_rng(seed)
    n, m = rng.integers(1, 5, 2)
    w, v = rng.normal(size=(m, n)), rng.normal(size=m)

    def cost(b):
        return v @ relu(w @ relu(b)) + np.sum(b)

    def gradient(b):  # with the derivative 0 of relu at 0
        return (v * (w @ relu(b) > 0)) @ w * (b > 0) + 1

    report = check_gradient(cost, gradient, np.zeros(n), seed=seed, method=method)
    assert report.verdict is not Verdict.MISMATCH, str(report)


TIED = {
    "median": (np.median, [1.0, 1.0, 1.0, 0.0, 3.0], 1),
    "sorted": (lambda x: np.sort(x)[1], [2.0, 2.0, 2.0], 1),
    "trimmed mean": (lambda x: np.mean(np.sort(x)[1:-1]), [0.0, 0.0, 0.0], 2),
}


@pytest.mark.parametrize("name", TIED)
def test_a_derivative_that_ties_hold_at_zero_along_every_axis_is_not_told(name):
    function, x, given = TIED[name]
    claim = np.where(np.arange(len(x)) == given, 1.0, 0.0)
    report = check_gradient(function, claim, np.array(x))
    assert report.verdict is Verdict.UNRESOLVED
    assert "do not add up" in str(report)
    apart = np.array(x) + np.linspace(0, 0.3, len(x))
    wrong = check_gradient(function, claim + 1, apart)  # wrong on purpose
    assert wrong.verdict is Verdict.MISMATCH


def test_a_mistake_at_a_slope_of_zero_is_still_one():
    x, slopes = np.array([-1.0, 2.0, -3.0, 0.5]), np.arange(1.0, 5)
    report = check_gradient(lambda x: slopes @ relu(x), slopes, x)  # wrong on purpose: no mask
    assert report.verdict is Verdict.MISMATCH
    # beside a tie, an entry that is not held is judged
    held = check_gradient(
        lambda x: np.median(x[:3]) * x[3], [0, 0.5, 0, 2.0], np.array([1.0, 1, 1, 0.5])
    )
    assert held.verdict is Verdict.MISMATCH
    assert held.worst.index == (3,)


@pytest.mark.parametrize(
    ("function", "slope", "x"),
    [
        (np.sort, 1.0, [1.0, 1.0, 1.0, 2.0]),
        (lambda x: np.sort(np.exp(-(x**2))), -2 / np.e, [1.0, 1.0, 1.0, 1.0]),
        (lambda x: np.sort(np.abs(x)), 1.0, [0.0, 0.0, 0.0, 0.0]),  # with a kink along all entries
    ],
)
def test_the_jacobian_of_a_sort_at_ties_is_not_accused(function, slope, x):
    report = check_jacobian(function, slope * np.eye(4), np.array(x))
    assert report.verdict is Verdict.UNRESOLVED
