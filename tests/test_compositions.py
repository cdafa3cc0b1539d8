"""The random costs of the calibration: reproducible, exact, and small once shrunk."""

from collections import Counter

import numpy as np
import pytest

from benchmarks.compositions import Composition, draw, draw_several, shrink
from benchmarks.exact_numpy import NAMESPACE, second_slopes
from benchmarks.jacobians import main, try_hessian

X = np.array([0.3, -1.7, 2.5])


def compose(*lines, x=X, dtype="float64"):
    return Composition(0, dtype, {"a": np.array(x, dtype)}, ('z = np.ravel(p["a"])', *lines))


def quiet(composition, params):
    with np.errstate(all="ignore"):
        return composition.cost(params)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_a_seed_gives_the_same_composition(dtype):
    for seed in range(30):
        one, two = draw(seed, dtype), draw(seed, dtype)
        assert str(one) == str(two)
        assert {x.dtype.name for x in one.params.values()} == {dtype}
        assert np.isfinite(quiet(one, one.params))


def test_what_is_printed_can_be_pasted():
    for seed in range(30):
        one, names = draw(seed, "float32"), {}
        exec(str(one), names)
        with np.errstate(all="ignore"):
            assert names["cost"](names["params"]) == one.cost(one.params)


def softmax(x):
    return np.exp(x) / np.exp(x).sum()


@pytest.mark.parametrize(
    ("lines", "gradient"),
    [
        (["return np.sum(np.tanh(z))"], 1 / np.cosh(X) ** 2),
        (["return np.sum(1 / (1 + np.exp(-z)))"], np.exp(-X) / (1 + np.exp(-X)) ** 2),
        (["return np.sqrt(np.sum(z * z)) + 1e6"], X / np.sqrt(X @ X)),
        (["return np.linalg.norm(z)"], X / np.sqrt(X @ X)),
        (["return np.log(np.sum(np.exp(z)))"], softmax(X)),
        (["m = np.max(z)", "return m + np.log(np.sum(np.exp(z - m)))"], softmax(X)),
        (["return np.prod(z)"], X.prod() / X),
        (["return np.linalg.det(np.diag(z))"], X.prod() / X),
        (["return np.sum(np.logaddexp(0, 3 * z))"], 3 / (1 + np.exp(-3 * X))),
        (["return np.mean((z - np.mean(z)) ** 2)"], 2 / 3 * (X - X.mean())),
        (["return np.sum(2 ** z)"], np.log(2) * 2**X),
        (["return np.sum(np.vectorize(erf)(z))"], 2 / np.sqrt(np.pi) * np.exp(-X * X)),
        (["b = np.zeros(z.shape, np.float64); b[...] = z; return np.dot(b, b)"], 2 * X),
        (["return np.sum(np.maximum(z, 0.125 * z))"], [1, 0.125, 1]),
        (["return np.sum((z + 1000000) - 1000000)"], np.ones(3)),
        (["return np.sum(np.maximum(np.expm1(z), np.roll(np.expm1(z), 3)))"], np.exp(X)),
    ],
)
def test_exact_gradients_are_the_closed_forms(lines, gradient):
    found = compose(*lines)
    high, low = found.exact()["a"]
    np.testing.assert_allclose(high, gradient, rtol=1e-14)
    assert np.all(np.abs(low) <= np.spacing(np.abs(high)))
    assert found.holds("a", gradient, 1e-13).all()


def test_the_whole_truth_is_finer_than_a_float():
    found = compose("return np.sum(z * 0.1)", x=[1 / 3])
    tenth = 0.1000000000000000055511151231257827
    assert found.distance("a", tenth) == 0
    third = compose("return np.sum(z * z * z)", x=[1 / 3])  # 3x², no float
    high, low = third.exact()["a"]
    assert third.distance("a", high) == np.abs(low) > 0
    assert third.ratio("a", high, np.abs(low)) == 1
    assert third.ratio("a", [np.nan], [np.inf]) == 0
    assert third.ratio("a", [np.nan], [1.0]) == np.inf


def test_saturated_costs_have_their_mathematical_derivative():
    found = compose("return np.sum(np.log(1 + np.exp(z)))", x=[-800.0])
    assert found.exact()["a"][0] == pytest.approx(np.exp(-700) * np.exp(-100), rel=1e-4, abs=5e-324)
    found = compose("return np.sum((1 - np.cos(z)) / z)", x=[1e-9])
    assert found.exact()["a"][0] == pytest.approx(0.5)


def test_at_a_kink_all_between_the_slopes_is_true():
    found = compose("return np.sum(np.abs(z)) + np.sum(np.maximum(z, 0))", x=[0.0, -1.0])
    np.testing.assert_array_equal(found.distance("a", [0.5, -1.0]), [0, 0])
    np.testing.assert_array_equal(found.distance("a", [-1.5, -1.25]), [0.5, 0.25])
    np.testing.assert_array_equal(found.ratio("a", [3.0, -1.0], [0.5, 0.0]), [2, 0])
    assert found.claim()["a"][0] in (-1, 2)


def test_a_claim_at_a_tie_is_a_gradient_on_one_side():
    claim = compose("return np.max(z)", x=[2.0, 2.0]).claim()["a"]
    assert sorted(claim) == [0, 1]


def test_no_derivative_is_an_error():
    with pytest.raises(ArithmeticError, match="no certain derivative"):
        compose("return np.sum(np.sqrt(z))", x=[0.0]).exact()


def test_what_lifts_computes_in_long_double():
    if np.finfo(np.longdouble).eps == np.finfo(float).eps:
        pytest.skip("long double is float64 here")
    changed = lifting = 0
    for found in map(draw, range(200)):
        wide = {name: x.astype(np.longdouble) for name, x in found.params.items()}
        if found.lifts:
            value = np.asarray(quiet(found, wide))
            assert value.dtype == np.longdouble, found
            changed += value != quiet(found, found.params)
            lifting += 1
    assert 100 < lifting < 190
    assert changed > 0.8 * lifting


def test_results_of_one_function_share_their_parameters():
    sizes = set()
    for seed in range(30):
        found = draw_several(seed, most=5)
        sizes.add(len(found))
        assert all(one.params is found[0].params for one in found)
        assert [str(one) for one in found] == [str(one) for one in draw_several(seed, most=5)]
        assert all(np.ndim(quiet(one, one.params)) == 0 for one in found)
    assert sizes == {1, 2, 3, 4, 5}


def test_jacobians_of_random_functions(capsys):
    main(["3", "--most", "3"])
    counts = dict(line.rsplit(maxsplit=1) for line in capsys.readouterr().out.splitlines())
    assert int(counts["right claims"]) == 3
    assert int(counts["entries"]) > 10
    assert "outside" not in counts


def test_float32_stays_float32():
    for seed in range(100):
        found = draw(seed, "float32")
        if found.lifts and "return c.item()" not in found.lines:
            assert np.asarray(quiet(found, found.params)).dtype == np.float32, found


def test_shrinking_leaves_what_fails():
    found = Composition(
        0,
        "float64",
        {"a": np.array([1.25, -3.5, 2.125]), "b": np.array([0.7, 0.1])},
        (
            'z = np.ravel(p["a"])',
            "z = z * 0.123456",
            "z = np.sin(z)",
            "z = np.abs(z)",
            "c = np.sum(z)",
            'z = np.ravel(p["b"])',
            "z = np.sum(z)",
            "c = c * z",
            "return c",
        ),
    )
    small = shrink(found, lambda c: any("abs" in line for line in c.lines))
    assert small.lines == ('z = np.ravel(p["a"])', "z = np.abs(z)", "c = np.sum(z)", "return c")
    assert list(small.params) == ["a"]
    np.testing.assert_array_equal(small.params["a"], [1.0])


def test_exact_second_derivatives_of_known_functions():
    source = ["def cost(p):", "z = p['a']", "return np.exp(z[0]) * np.sin(z[1]) + z[0] * z[2] ** 3"]
    names = dict(NAMESPACE)
    exec("\n    ".join(source), names)
    x, y, z = a = np.array([0.3, -1.2, 0.7])
    exact = np.array(
        [
            [np.exp(x) * np.sin(y), np.exp(x) * np.cos(y), 3 * z**2],
            [np.exp(x) * np.cos(y), -np.exp(x) * np.sin(y), 0],
            [3 * z**2, 0, 6 * x * z],
        ]
    )
    np.testing.assert_allclose(second_slopes(names["cost"], {"a": a}), exact, rtol=1e-15)


def test_exact_second_derivatives_at_a_tie_do_not_exist():
    cost = NAMESPACE["np"].max
    assert second_slopes(lambda p: cost(p["a"]), {"a": np.ones(2)}) is None


def test_hessians_of_random_costs_hold():
    with np.errstate(all="ignore"):
        counts = sum((try_hessian(seed) for seed in (0, 1, 2, 10, 18)), Counter())
    assert counts["Hessian entries"] > 200
    assert counts["Hessian entries outside"] == 0
    assert counts["right Hessians"] == 5
    assert counts["right Hessians accused"] == 0
