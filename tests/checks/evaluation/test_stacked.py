"""Functions of many parameter sets at once."""

import tracemalloc

import numpy as np
import pytest

from checks import Verdict, check_gradient, check_vjp, numerical_gradient
from checks.evaluation import pointwise, results, stacked
from checks.evaluation.pointwise import Evaluations

X = np.random.default_rng(0).normal(size=(6, 4))
Y = np.random.default_rng(1).uniform(size=(6, 3))


def point(dtype=np.float64):
    rng = np.random.default_rng(2)
    return {"w": rng.normal(size=(3, 4)).astype(dtype), "b": [rng.normal(size=3).astype(dtype)]}


def cost(p):
    """Return the costs (...) of w (..., 3, 4) and b (..., 3): one set, or a stack."""
    z = X @ np.swapaxes(p["w"], -1, -2) + p["b"][0][..., None, :]
    return ((np.tanh(z) - Y) ** 2).sum(axis=(-1, -2))


def gradient(p):
    a = np.tanh(X @ p["w"].T + p["b"][0])
    delta = 2 * (a - Y) * (1 - a**2)
    return {"w": delta.T @ X, "b": [delta.sum(axis=0)]}


@pytest.mark.parametrize("method", ["auto", "central"])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_it_is_the_same_check(method, dtype):
    alone = check_gradient(cost, gradient, point(dtype), method=method)
    together = check_gradient(cost, gradient, point(dtype), method=method, stacked=True)
    assert together.verdict is alone.verdict
    assert together.method == alone.method
    for path, array in together.arrays.items():
        other = alone.arrays[path]
        assert (np.abs(array.numeric - other.numeric) <= array.error + other.error).all()
    estimate = numerical_gradient(cost, point(dtype), method=method, stacked=True)
    assert np.array_equal(estimate.value["w"], together.arrays["w"].numeric)


def test_a_wrong_gradient_is_found():
    def wrong(p):
        g = gradient(p)
        g["w"][1, 2] *= 1.01  # wrong on purpose
        return g

    report = check_gradient(cost, wrong, point(), stacked=True)
    assert report.verdict is Verdict.MISMATCH
    assert (report.worst.path, report.worst.index) == ("w", (1, 2))


def test_it_is_called_with_many_at_once():
    sizes = []

    def counting(p):
        sizes.append(len(p["w"]))
        return cost(p)

    report = check_gradient(counting, gradient, point(), stacked=True, method="central")
    assert report
    assert max(sizes) >= 10 * 6  # all entries of w but the first few, six steps each
    # the noise is measured in stacks too; a complex step of each of two arrays is not
    assert len(sizes) - 2 < report.evaluations / 5


def test_chunks_are_of_bounded_memory(monkeypatch):
    monkeypatch.setattr(stacked, "MAX_NUMBERS", 2**12)
    sizes = []

    def cost(p):
        sizes.append(p.shape)
        return (p**2).sum(axis=1)

    x = np.random.default_rng(0).normal(size=500)
    evaluations = Evaluations(stacked.StackedCost(cost), x)
    tracemalloc.start()
    try:
        evaluations.at_entries("params", np.arange(500), np.full((500, 6), 2.0**-5))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert max(n for n, _ in sizes) == 6
    assert peak < 5e5  # all sets at once would take 12e6


def test_a_set_outside_the_domain_does_not_lose_the_others():
    def cost(p):
        if (p < 0).any():
            raise ValueError("negative")
        return np.sqrt(p).sum(axis=-1)

    x = np.array([1.0, 0.0, 2.0])
    slope = np.array([0.5, 1.0, 0.5 / np.sqrt(2)])
    alone = check_gradient(cost, slope, x)
    together = check_gradient(cost, slope, x, stacked=True)
    assert np.array_equal(together.arrays["params"].verdicts, alone.arrays["params"].verdicts)
    evaluations = Evaluations(stacked.StackedCost(cost), x)
    costs = evaluations.at_entries("params", np.arange(3), np.full((3, 2), [0.75, -0.5]))
    with np.errstate(invalid="ignore"):  # the root of -0.5
        expected = np.sqrt(x).sum() + np.sqrt(x[:, None] + [0.75, -0.5]) - np.sqrt(x[:, None])
    np.testing.assert_allclose(costs, expected, rtol=1e-15)


def test_complex_costs_of_real_moves_are_outside_the_domain():
    def cost(p):
        return np.lib.scimath.sqrt(p).sum(axis=-1)

    evaluations = Evaluations(stacked.StackedCost(cost), np.zeros(3))
    costs = evaluations.at_entries("params", np.arange(3), np.array([[0.5], [-0.5], [0.5]]))
    assert np.isnan(costs[1, 0])


@pytest.mark.parametrize(
    ("wrong", "error", "message"),
    [
        (lambda p: cost(p).sum(), TypeError, r"returned shape \(\), wanted \(1,\)"),
        (lambda p: cost(p)[:1], TypeError, r"returned shape \(1,\), wanted \(2,\)"),
        (lambda p: cost(p)[:, None], TypeError, r"returned shape \(1, 1\), wanted \(1,\)"),
        (lambda p: np.full(len(p["w"]), cost(p).mean()), ValueError, "must not mix"),
        (lambda p: cost(p)[::-1], ValueError, "must not mix"),
    ],
    ids=["one number", "the first", "a column", "their mean", "reversed"],
)
def test_a_cost_that_is_not_stacked_is_refused(wrong, error, message):
    with pytest.raises(error, match=message):
        check_gradient(wrong, gradient, point(), stacked=True)


def test_biases_that_spread_over_samples_are_refused():
    def wrong(p):
        # (S, 3) beside (S, 6, 3): fits where S is the number of samples, or 1
        z = X @ np.swapaxes(p["w"], -1, -2) + p["b"][0]  # wrong on purpose
        return ((np.tanh(z) - Y) ** 2).sum(axis=(-1, -2))

    with pytest.raises(ValueError, match="broadcast") as told:
        check_gradient(wrong, gradient, point(), stacked=True)
    assert "a leading axis of 2 parameter sets" in str(told.value.__notes__)


def test_errors_of_a_plain_cost_name_stacked():
    def plain(p):
        return np.sum((p["w"].reshape(3, 4) @ X.T)[:, 10])

    with pytest.raises(IndexError) as told:
        check_gradient(plain, gradient, point(), stacked=True)
    assert "stacked=True: every array had a leading axis of 1 parameter sets" in str(
        told.value.__notes__
    )


class Layer:
    """The hidden units of the network, at one point or at many; it counts what it is called with.

    `spoilt` takes the results at many points, and returns those that are given out.
    """

    def __init__(self, spoilt=lambda results: results):
        self.spoilt, self.alone, self.points = spoilt, 0, []
        self.function = stacked.StackedFunction(self.at_one, self.at_many)

    def at_one(self, p):
        self.alone += 1
        return {"a": np.tanh(p["w"] * 2 + p["b"][0][:, None]), "b": p["b"][0]}

    def at_many(self, p):
        assert not any(array.flags.writeable for array in (p["w"], p["b"][0]) if 0 in array.strides)
        self.points.append(len(p["w"]))
        results = {"a": np.tanh(p["w"] * 2 + p["b"][0][..., None]), "b": p["b"][0]}
        return self.spoilt(results)

    def vjp(self, p, u):
        delta = u["a"] * (1 - np.tanh(p["w"] * 2 + p["b"][0][:, None]) ** 2)
        return {"w": 2 * delta, "b": [delta.sum(axis=1) + u["b"]]}


@pytest.mark.parametrize("method", ["auto", "central"])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_a_function_of_many_points_is_the_same_check(method, dtype):
    layer = Layer()
    alone = check_vjp(layer.at_one, layer.vjp, point(dtype), method=method)
    calls, layer.alone = layer.alone, 0
    together = check_vjp(layer.function, layer.vjp, point(dtype), method=method)
    assert alone
    assert together.verdict is Verdict.MATCH
    for path, array in together.arrays.items():
        assert np.array_equal(array.numeric, alone.arrays[path].numeric)
    assert layer.alone < (calls if method == "auto" else calls / 2)
    assert max(layer.points) >= 12


SPOILT = {  # wrong on purpose
    "mixes the points": lambda r: {**r, "a": r["a"][::-1]},
    "returns the first point": lambda r: {**r, "a": np.repeat(r["a"][:1], len(r["a"]), axis=0)},
    "returns the last point": lambda r: {**r, "a": np.repeat(r["a"][-1:], len(r["a"]), axis=0)},
    "raises": lambda r: 1 / 0,
    "is another function": lambda r: {**r, "a": r["a"] * (1 + 1e-12)},
    "has another dtype": lambda r: {**r, "a": r["a"].astype(np.longdouble)},
    "has another shape": lambda r: {**r, "a": r["a"][..., :1]},
    "has other results": lambda r: {"a": r["a"]},
}


@pytest.mark.parametrize("spoilt", SPOILT.values(), ids=SPOILT)
def test_a_function_that_differs_at_many_points_is_called_one_by_one(spoilt):
    layer = Layer(spoilt)
    report = check_vjp(layer.function, layer.vjp, point(), method="central")
    alone = check_vjp(layer.at_one, layer.vjp, point(), method="central")
    assert report
    for path, array in report.arrays.items():
        assert np.array_equal(array.numeric, alone.arrays[path].numeric)
    # it is tried for each array that moves, and for both, in their dtype and in the wider one
    assert len(layer.points) <= 4


def test_moves_that_are_asked_for_again_are_made_again_at_many_points():
    layer, entries = Layer(), np.arange(12)
    cost = next(results.Results(layer.function, point()).costs())
    evaluations = Evaluations(cost, point())
    found = []
    for other in (-1, 2):
        steps = np.full((12, 2), [2.0**-9, other * 2.0**-9])
        before = layer.alone, len(layer.points)
        found.append(evaluations.at_entries("w", entries, steps))
    assert np.array_equal(found[0][:, 0], found[1][:, 0])
    assert (layer.alone, len(layer.points)) == (before[0], before[1] + 1)
    assert layer.points[-2:] == [24, 24]


def test_a_function_that_keeps_nothing_is_not_called_before_its_claim():
    calls = []

    def f(x):
        calls.append("f")
        return np.sin(x)

    def vjp(x, u):
        calls.append("vjp")
        return u * np.cos(x)

    x, found = np.array([0.5, 1.0, 2.0]), []
    for keeps_nothing in (False, True):
        calls.clear()
        function = stacked.StackedFunction(f, np.sin, keeps_nothing=keeps_nothing)
        assert check_vjp(function, vjp, x)
        last = len(calls) - 1 - calls[::-1].index("vjp")
        found.append(calls[:last].count("f"))
    assert found[0] == found[1] + 1  # after estimates at moved points


def test_points_where_one_raises_are_evaluated_one_by_one():
    def root(x):
        return np.sqrt(x)

    function = stacked.StackedFunction(root, root)
    x = np.array([0.5, 1e-3, 2.0])
    with np.errstate(invalid="raise"):
        report = check_vjp(function, lambda x, u: u / (2 * np.sqrt(x)), x, method="central")
    assert report


def test_the_memory_of_many_points_is_bounded(monkeypatch):
    monkeypatch.setattr(results, "MAX_STACKED", 64)
    monkeypatch.setattr(pointwise, "MAX_NUMBERS", 32)
    layer = Layer()
    assert check_vjp(layer.function, layer.vjp, point(), method="central")
    assert max(layer.points) == 64 // 30  # 15 entries and as many results
