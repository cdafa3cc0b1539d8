"""JAX's own gradients match, planted mistakes do not, and dtypes are kept."""

from typing import NamedTuple

import numpy as np
import pytest

from backprop import Network
from checks import Verdict, assert_gradient, check_gradient, numerical_gradient

jax = pytest.importorskip("jax", reason="needs the extra gradient-gate[jax]")

from checks.adapters.jax import check_function, from_loss  # noqa: E402
from tests.checks.adapters import jax_net  # noqa: E402

jnp = jax.numpy


@pytest.fixture(autouse=True)
def float64():
    with jax.enable_x64(True):
        yield


class Layer(NamedTuple):
    w: object
    b: object


def layers(dtype=np.float64):
    rng = np.random.default_rng(0)
    shapes = [((4, 5), 4), ((2, 4), 2)]
    draw = lambda *shape: jnp.asarray(rng.standard_normal(shape), dtype)  # noqa: E731
    return {"layers": [Layer(draw(*w), draw(b)) for w, b in shapes]}


@jax.jit
def loss(p):
    a = jnp.linspace(-1, 1, 30, dtype=p["layers"][0].w.dtype).reshape(6, 5)
    for layer in p["layers"]:
        a = jnp.tanh(a @ layer.w.T + layer.b)
    return jnp.mean((a - 0.25) ** 2)


def scaled(factor):
    """Return tanh(x w) with a derivative by w that is wrong by a factor."""

    @jax.custom_vjp
    def function(x, w):
        return jnp.tanh(x * w)

    def forward(x, w):
        a = function(x, w)
        return a, (a, x, w)

    def backward(residuals, u):
        a, x, w = residuals
        delta = u * (1 - a**2)
        return delta * w, factor * (delta * x).sum(0)

    function.defvjp(forward, backward)
    return function


X = np.random.default_rng(1).standard_normal((6, 3))
W = np.random.default_rng(2).standard_normal(3)


def test_a_pytree_matches_under_its_own_names():
    report = assert_gradient(*from_loss(loss, layers()))
    assert list(report.arrays) == [f"layers[{i}].{name}" for i in (0, 1) for name in "wb"]
    assert report.method == "complex-step"


@jax.tree_util.register_pytree_node_class
class Custom:
    """A container that only JAX knows."""

    def __init__(self, *parts):
        self.parts = parts

    def tree_flatten(self):
        return self.parts, None

    @classmethod
    def tree_unflatten(cls, _, parts):
        return cls(*parts)


@pytest.mark.parametrize(
    ("parameters", "of", "names"),
    [
        (W, lambda p: p, ["params"]),
        ({"a": {"b": W}, "c d": [W]}, lambda p: p["a"]["b"] * p["c d"][0], ["a.b", "['c d'][0]"]),
        (Custom(W, {"k": W}), lambda p: p.parts[0] + p.parts[1]["k"], ["[0]", "[1].k"]),
    ],
    ids=["an array", "nested", "a class of its own"],
)
def test_any_pytree_is_accepted(parameters, of, names):
    report = assert_gradient(*from_loss(lambda p: jnp.sum(jnp.sin(of(p))), parameters))
    assert len(report.arrays) == len(names)
    assert all(path.endswith(name) for path, name in zip(report.arrays, names, strict=True))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_dtype_is_the_parameters(dtype):
    cost, gradient, params = from_loss(loss, layers(dtype))
    assert params["layers"][0]["w"].dtype == dtype
    assert gradient(params)["layers"][1]["b"].dtype == cost(params).dtype == dtype


def test_without_x64_float32_is_checked():
    with jax.enable_x64(False):
        _, _, params = from_loss(jnp.sum, W)
        assert params.dtype == np.float32
        assert_gradient(*from_loss(lambda w: jnp.sum(w**2), W))
        report = check_gradient(*from_loss(lambda w: jnp.sum(scaled(1.01)(X, w)), W))
        assert report.verdict is Verdict.MISMATCH


def test_a_wrong_rule_inside_a_loss_is_found():
    function = scaled(1.001)  # wrong on purpose
    p = {"w": W, "out": X[:2].T}
    report = check_gradient(*from_loss(lambda p: jnp.sum((function(X, p["w"]) @ p["out"]) ** 2), p))
    assert report.verdict is Verdict.MISMATCH
    assert report.worst.path == "w"
    assert report.arrays["out"].verdict is Verdict.MATCH


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_right_function_matches_and_a_wrong_one_does_not(dtype):
    x, w = X.astype(dtype), W.astype(dtype)
    report = check_function(scaled(1.0), x, w)
    assert report.verdict is Verdict.MATCH, str(report)
    report = check_function(jax.jit(scaled(1.01)), x, w)  # wrong on purpose
    assert report.verdict is Verdict.MISMATCH, str(report)
    assert report.worst.path == "inputs[1]"
    assert report.arrays["inputs[0]"].verdict is Verdict.MATCH


def test_functions_of_and_into_pytrees():
    def function(p, scale):
        return {"a": p["x"] * scale, "b": (jnp.sum(p["x"]), jnp.exp(scale))}

    report = check_function(function, {"x": X}, 1.5)
    assert report.verdict is Verdict.MATCH, str(report)
    assert list(report.arrays) == ["inputs[0].x", "inputs[1]"]


def test_what_cannot_take_complex_numbers_falls_back_in_silence():
    report = assert_gradient(*from_loss(lambda w: jnp.sum(jnp.abs(w) * jnp.real(w)), W))
    assert report.method == "central"


def test_an_error_says_what_a_loss_lacks():
    with pytest.raises(
        TypeError, match=r"a\[0\] has dtype bfloat16, wanted 32 bits or more: check_f"
    ):
        from_loss(lambda p: p["a"][0].sum(), {"a": [jnp.ones(2, jnp.bfloat16)]})
    with pytest.raises(TypeError, match=r"float64\[2\], float64\[\], wanted one .* has_aux=True"):
        from_loss(lambda w: (w[:2], w.sum()), W)
    with pytest.raises(ValueError, match="no input is a number or an array of floats"):
        from_loss(jnp.sum, np.arange(3))


def test_a_loss_may_return_other_things_and_take_constants():
    p = {"w": W, "step": 3, "key": jax.random.key(0), "mask": np.array([True, False, True])}

    def loss(p):
        assert isinstance(p["step"], int)
        return jnp.sum(p["mask"] * jnp.sin(p["w"])) * p["step"], {"aux": "text"}

    report = assert_gradient(*from_loss(loss, p, has_aux=True))
    assert list(report.arrays) == ["w"]


def test_complex_parameters_have_the_gradient_that_descends():
    z = jnp.asarray([0.5 + 1j, -0.3 - 0.2j])
    cost, gradient, params = from_loss(lambda p: jnp.sum(jnp.abs(p["z"]) ** 2), {"z": z})
    np.testing.assert_allclose(gradient(params)["z"], 2 * z)
    assert list(assert_gradient(cost, gradient, params).arrays) == ["z.real", "z.imag"]
    conjugate = lambda p: {"z": np.conj(gradient(p)["z"])}  # noqa: E731
    assert check_gradient(cost, conjugate, params).verdict is Verdict.MISMATCH


def large(dtype, factor=1.0):
    """Return a loss of more entries than are called one by one, and its parameters."""
    rng, product = np.random.default_rng(3), scaled(factor)
    p = {"w": rng.standard_normal((48, 48)) / 7, "b": rng.standard_normal(48)}
    x = jnp.asarray(rng.standard_normal((2, 48)), dtype)
    loss = lambda p: jnp.mean(product(x @ p["w"], p["b"]) ** 2)  # noqa: E731
    return loss, jax.tree.map(lambda a: jnp.asarray(a, dtype), p)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_many_points_are_evaluated_by_a_compiled_loop(dtype):
    calls = []
    with jax.enable_x64(dtype is np.float64):
        loss, p = large(dtype, 1.01)  # wrong on purpose

        def counted(p):
            calls.append(p)
            return loss(p)

        report = check_gradient(*from_loss(counted, p))
    wrong = [path for path, array in report.arrays.items() if array.verdict is Verdict.MISMATCH]
    assert wrong == ["b"]
    assert report.method == "complex-step"
    assert len(calls) < 200 < 2000 < report.evaluations


def test_a_loop_gives_what_single_calls_give(monkeypatch):
    loss, p = large(np.float64)
    compiled = numerical_gradient(*from_loss(loss, p)[::2])
    for together in (64, None):
        if together:
            monkeypatch.setattr("checks.adapters.jax_loop.TOGETHER", {"cpu": together})
        else:
            monkeypatch.setattr("checks.adapters.jax_function.LEAST", 10**9)
        single = numerical_gradient(*from_loss(loss, p)[::2])
        for one, other in zip(*map(jax.tree.leaves, (compiled.value, single.value)), strict=True):
            # on an accelerator sums are in another order, and short steps amplify that
            rtol = 1e-12 if jax.default_backend() == "cpu" else 1e-8
            np.testing.assert_allclose(one, other, rtol=0, atol=rtol * np.abs(other).max())


def test_what_cannot_be_compiled_is_called_as_it_is():
    loss, p = large(np.float64)
    rng = np.random.default_rng(0)

    def branching(p):
        return loss(p) if p["b"][0] < 2 else jnp.inf

    def noisy(p):
        return loss(p) * (1 + 1e-4 * rng.standard_normal())

    cost, _, params = from_loss(branching, p)
    entries, steps = np.arange(3), np.array([[1e-3, 0.0, 4.0]] * 3)
    ((rows, losses),) = cost.at_entries(params, "b", entries, steps)
    assert (rows.start, rows.stop, losses.shape) == (0, 3, (3, 3))
    assert losses[1, 1] == cost(params) == loss(p)
    assert np.isinf(losses[0, 2])
    cost, _, params = from_loss(noisy, p)
    assert cost(params) != cost(params)


@jax.default_matmul_precision("highest")  # not TF32, as by default on an accelerator
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_notes_network_is_the_references(dtype):
    rng = np.random.default_rng(0)
    net = Network((784, 30, 10))
    theta = net.random_parameters(rng, dtype=dtype)
    x, y = rng.random((5, 784)).astype(dtype), rng.random((5, 10)).astype(dtype)
    weights, biases = jax_net.gradient(theta.weights, theta.biases, x, y)
    reference = net.gradient(theta, x, y)
    for jax_array, expected in zip(
        (*weights, *biases), (*reference.weights, *reference.biases), strict=True
    ):
        assert jax_array.dtype == dtype
        largest = np.abs(expected).max()
        assert np.abs(jax_array - expected).max() <= 50 * np.finfo(dtype).eps * largest


def test_the_notes_network_is_a_target():
    rng = np.random.default_rng(0)
    theta = Network((12, 7, 3)).random_parameters(rng)
    x, y = rng.random((5, 12)), rng.random((5, 3))
    point = [list(theta.weights), list(theta.biases)]
    report = assert_gradient(
        lambda p: jax_net.cost(*p, x, y), lambda p: jax_net.gradient(*p, x, y), point
    )
    assert report.method == "complex-step"
