"""Functions of JAX as users have them: pytrees, constants, custom rules, 16 bits, any order."""

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pytest

from checks import Verdict
from checks.parameters.nesting import leaves
from checks.report import session

jax = pytest.importorskip("jax", reason="needs the extra gradient-gate[jax]")

from checks.adapters.jax import assert_function, check_function, check_grads  # noqa: E402
from checks.adapters.jax_function import JaxFunction  # noqa: E402

jnp = jax.numpy


def draw(*shape, dtype=np.float32, seed=0):
    values = np.random.default_rng(seed).uniform(0.3, 1.5, shape)
    return jnp.asarray(values, dtype)


def times(factor):
    """Return 2 x, with reverse mode that multiplies by a factor."""
    function = jax.custom_vjp(lambda x: 2 * x)
    function.defvjp(lambda x: (2 * x, None), lambda _, u: (factor * u,))
    return function


def cube(factor):
    """Return x³, with forward mode that is wrong by a factor."""
    function = jax.custom_jvp(lambda x: x**3)
    function.defjvp(lambda p, t: (p[0] ** 3, factor * 3 * p[0] ** 2 * t[0]))
    return function


@dataclass
class Output:
    hidden: Any
    state: Any = None


class Pair(NamedTuple):
    w: Any
    b: Any


NESTED = {
    "a tuple in a tuple": lambda a, b: (a, (b, jnp.cos(a))),
    "a dict in a list": lambda a, b: [{"b": b}, a],
    "a dataclass": lambda a, b: Output(a, (None, b)),
    "a named tuple": Pair,
    "with other things": lambda a, b: (b, "text", 3, None, jnp.argmax(a), a > 0, 2.5),
}


@pytest.mark.parametrize("nested", NESTED.values(), ids=NESTED)
def test_every_output_is_checked_however_it_is_nested(nested):
    x = draw(3)
    assert check_function(lambda x: nested(jnp.sin(x), times(2)(x)), x)
    report = check_function(lambda x: nested(jnp.sin(x), times(3)(x)), x)  # wrong on purpose
    assert report.verdict is Verdict.MISMATCH


def test_inputs_may_be_nested_and_named_and_hold_constants():
    def function(p, count, key, *, scale, name):
        assert name == "a name"
        assert isinstance(count, int)
        noise = jax.random.normal(key, p.w.shape, np.float32)
        return jnp.tanh(p.w + noise) * p.b["b"][0] ** count + times(3)(scale["s"])  # wrong

    p = Pair(draw(2, 3), {"b": (draw(seed=1), True, np.arange(3))})
    kwargs = {"scale": {"s": 1.5}, "name": "a name"}
    for key in (jax.random.key(0), jax.random.PRNGKey(0)):
        report = check_function(function, p, 2, key, kwargs=kwargs)
        assert list(report.arrays) == ["inputs[0].w", "inputs[0].b.b[0]", "kwargs.scale.s"]
        wrong = [path for path, array in report.arrays.items() if array.verdict]
        assert wrong == ["kwargs.scale.s"]


def test_a_dataclass_that_jax_does_not_know_is_an_input():
    report = check_function(lambda p: p.hidden * p.state["s"], Output(draw(3), {"s": draw()}))
    assert report
    assert list(report.arrays) == ["inputs[0].hidden", "inputs[0].state.s"]


def test_outputs_without_a_derivative_are_said_not_to_be_checked():
    report = check_function(lambda x: {"y": x**2, "z": jax.lax.stop_gradient(x)}, draw(3))
    assert report
    assert "output.z has no derivative in JAX" in str(report)
    for function in (jnp.argmax, jnp.floor, jax.lax.stop_gradient, lambda x: None):
        with pytest.raises(ValueError, match="no output of the function has a derivative"):
            check_function(function, draw(3))
    with pytest.raises(ValueError, match="no input is a number or an array of floats"):
        check_function(jnp.sin, np.arange(3))


def test_an_input_that_is_not_finite_is_a_constant():
    mask = jnp.where(jnp.arange(4) < 3, 0.0, -jnp.inf)
    report = assert_function(lambda x, mask: jax.nn.softmax(x + mask), draw(4), mask)
    assert list(report.arrays) == ["inputs[0]"]
    assert "inputs[1] is not finite everywhere: it is taken for a constant." in report.findings


def test_empty_outputs_and_inputs_are_fine():
    assert check_function(lambda x, y: (x[:0], jnp.sin(x) + y.sum()), draw(3), draw(0, 2))
    assert "All outputs are empty" in str(check_function(lambda x: x[:0] * 2, draw(3)))


@pytest.mark.parametrize(
    ("mode", "order", "named"),
    [
        ("reverse", 2, "second-order vjp"),
        ("reverse", 3, "third-order vjp"),
        ("batched", 1, "batched vjp"),
        ("forward", 2, "second-order jvp"),
        ("linearized", 1, "linearized jvp"),
    ],
)
def test_modes_and_orders(mode, order, named):
    with jax.enable_x64(True):
        report = assert_function(lambda x: x**4, draw(2, dtype=np.float64), mode=mode, order=order)
    assert str(report).startswith(f"{named} check: MATCH")


def test_without_entries_nothing_is_wrong():
    report = check_function(lambda x: x.sum() * 2, draw(0, 3))
    assert report
    assert "All inputs are empty" in str(report)


def test_random_values_are_not_those_of_another_rule():
    rng = np.random.default_rng(0)
    report = check_function(lambda x: x * rng.random(), draw(3))
    assert report.verdict is Verdict.UNRESOLVED
    assert list(report.arrays) == ["inputs[0]"]


def counted(function):
    calls = []

    def counting(*inputs):
        calls.append(inputs)
        return function(*inputs)

    return counting, calls


def test_loops_are_compiled_once_and_not_in_every_call():
    def sums(x):
        return jax.lax.scan(lambda c, y: (jnp.tanh(c + y), c), jnp.zeros(()), x)

    function, calls = counted(lambda x: {"nested": jax.jit(sums)(x)})
    report = check_function(function, draw(5))
    assert report
    assert len(calls) < 12 < 80 < report.evaluations


def test_many_entries_are_moved_in_a_compiled_loop():
    # every entry moves the only result, so that no groups are made
    function, calls = counted(lambda x, w: (jnp.sin(3 * x) @ w).sum())
    report = check_function(function, draw(42, 50), draw(50, seed=1))
    assert report, str(report)
    assert len(calls) < 20 < 2_000 < report.evaluations


@jax.default_matmul_precision("highest")  # not TF32, as by default on an accelerator
@pytest.mark.parametrize("together", [1, 64])
def test_a_loop_over_points_gives_what_single_calls_give(together, monkeypatch):
    monkeypatch.setattr("checks.adapters.jax_loop.TOGETHER", {"cpu": together})
    given = {"x": draw(50, 50), "w": draw(50, seed=1), "k": 2}
    function = JaxFunction.of(lambda p: (jnp.sin(p["x"]) @ p["w"], p["w"] * p["k"]), given)
    rng, count = np.random.default_rng(0), 19
    for dtype in (np.float32, np.float64, np.complex128):
        w = rng.normal(size=(count, 50)).astype(dtype)
        x = np.broadcast_to(np.asarray(given["x"]).astype(dtype), (count, 50, 50))
        found = function.values_at_points({"x": x, "w": w})
        for k in range(count):
            alone = leaves(function.values({"x": x[k], "w": w[k]}))
            for path, one in leaves(found).items():
                atol = 100 * np.finfo(dtype).eps * np.abs(one[k]).max()
                np.testing.assert_allclose(one[k], alone[path], rtol=0, atol=atol)
    with pytest.raises(ValueError, match="few entries"):
        JaxFunction.of(jnp.sin, draw(3)).values_at_points(np.zeros((2, 3)))


@pytest.mark.parametrize("output", [jnp.sin, lambda x: x[:0] * 2], ids=["sin", "empty"])
@pytest.mark.parametrize("reference", [None, jnp.sin])
def test_a_check_is_recorded_once(output, reference, monkeypatch):
    reports = []
    monkeypatch.setattr(session, "listeners", [reports.append])
    checked = lambda x: (output(x), jnp.floor(x))  # noqa: E731 — a finding says that it is constant
    kept = None if reference is None else checked
    assert check_function(checked, draw(3), reference=kept) is reports[-1]
    assert len(reports) == 1
    assert str(reports[0]).startswith("vjp check: ")


def second(factor):
    """Return x³ with a derivative that is right, but whose own derivative is wrong by a factor."""
    slope = jax.custom_jvp(lambda x: 3 * x**2)
    slope.defjvp(lambda p, t: (3 * p[0] ** 2, factor * 6 * p[0] * t[0]))
    function = jax.custom_jvp(lambda x: x**3)
    function.defjvp(lambda p, t: (p[0] ** 3, slope(p[0]) * t[0]))
    return function


@pytest.mark.parametrize("mode", ["reverse", "forward"])
def test_a_wrong_derivative_is_found_in_its_order(mode):
    x = draw(3)
    assert check_function(second(1.01), x, mode=mode)
    report = check_function(second(1.01), x, mode=mode, order=2)  # wrong on purpose
    assert report.verdict is Verdict.MISMATCH
    assert check_function(cube(1.01), x, mode=mode).verdict is Verdict.MISMATCH
    with pytest.raises(ValueError, match="order is 0, wanted a positive integer"):
        check_function(jnp.sin, x, order=0)
    with pytest.raises(ValueError, match="mode is 'fwd', wanted one of 'reverse', 'batched'"):
        check_function(jnp.sin, x, mode="fwd")


def test_the_rule_of_a_custom_function_must_return_its_values():
    function = jax.custom_vjp(jnp.sin)
    function.defvjp(lambda x: (1.1 * jnp.sin(x), x), lambda x, u: (u * jnp.cos(x),))  # wrong
    report = check_function(function, draw(3))
    assert [p for p, a in report.arrays.items() if a.verdict is Verdict.MISMATCH] == ["output"]
    assert report.diagnosis[0].name == "values"


@pytest.mark.parametrize("bits", [False, True])
def test_complex_inputs_and_outputs(bits):
    with jax.enable_x64(bits):
        z = jnp.asarray([0.4 + 1j, 1.2 - 0.3j, -0.5 + 0.8j])
        report = check_function(lambda z, x: (z * x, jnp.abs(z), jnp.exp(z)), z, draw(3))
        assert report, str(report)
        assert report.arrays["inputs[0]"].claimed.shape == (3, 2)
        square = jax.custom_vjp(lambda z: z * z)
        square.defvjp(lambda z: (z * z, z), lambda z, u: (2 * jnp.conj(z) * u,))  # wrong
        assert check_function(square, z).verdict is Verdict.MISMATCH
        assert check_function(lambda z: z**3, z, mode="forward")


def test_bits_are_as_they_were_and_float32_is_estimated_in_float64():
    for bits in (False, True):
        with jax.enable_x64(bits):
            report = assert_function(jnp.sin, draw(3))
            assert report.arrays["inputs[0]"].dtype == "float64"
            assert jnp.zeros(()).dtype == (np.float64 if bits else np.float32)


def test_other_random_numbers_in_float64_are_not_taken_for_the_function():
    def function(x, key):
        return jnp.sin(x) * jax.random.uniform(key, x.shape, minval=0.5)  # of float64 with 64 bits

    report = check_function(function, draw(3), jax.random.key(1))
    assert report.verdict is not Verdict.MISMATCH
    assert report.arrays["inputs[0]"].dtype == ""
    with pytest.raises(ValueError, match=r"other values: does it draw .* give reference="):
        check_function(function, draw(3, dtype=jnp.bfloat16), jax.random.key(1))


def kernel(mistake=""):
    """Return x / √(mean x² + ε) · w as fused kernels have it, computed in float32."""

    def forward(x, w):
        wide = x.astype(np.float32)
        scale = jax.lax.rsqrt(jnp.square(wide).mean(-1, keepdims=True) + 1e-5)
        y = wide * scale * w.astype(np.float32)
        return (1.1 * y if mistake == "values" else y).astype(x.dtype), (x, w, scale)

    def backward(residuals, u):
        x, w, scale = residuals
        wide, u = x.astype(np.float32), u.astype(np.float32)
        v = u * w.astype(np.float32)
        mean = 0 if mistake == "a dropped term" else (v * wide).mean(-1, keepdims=True)
        dx, dw = scale * v - scale**3 * wide * mean, (u * wide * scale).sum(0)
        dw = dw / len(x) if mistake == "the wrong reduction" else dw
        return dx.astype(x.dtype), dw.astype(w.dtype)

    function = jax.custom_vjp(lambda x, w: forward(x, w)[0])
    function.defvjp(forward, backward)
    return function


def plain(x, w):
    return x * jax.lax.rsqrt(jnp.square(x).mean(-1, keepdims=True) + 1e-5) * w


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16, jnp.float16])
def test_right_kernels_match_their_reference(dtype):
    x, w = draw(4, 6, dtype=dtype), draw(6, dtype=dtype, seed=1)
    report = assert_function(kernel(), x, w, reference=plain)
    assert list(report.arrays) == ["output", "inputs[0]", "inputs[1]"]


@pytest.mark.parametrize(
    ("mistake", "dtype", "where"),
    [
        ("values", jnp.float16, "output"),
        ("a dropped term", jnp.bfloat16, "inputs[0]"),
        ("the wrong reduction", jnp.float32, "inputs[1]"),
    ],
)
def test_wrong_kernels_are_found(mistake, dtype, where):
    x, w = draw(4, 6, dtype=dtype), draw(6, dtype=dtype, seed=1)
    report = check_function(kernel(mistake), x, w, reference=plain)
    wrong = [path for path, array in report.arrays.items() if array.verdict is Verdict.MISMATCH]
    assert wrong == [where], str(report)


def test_without_a_reference_the_function_itself_is_evaluated_in_float64():
    x = draw(4, dtype=jnp.bfloat16)
    assert_function(cube(1), x)
    assert check_function(cube(1.1), x).verdict is Verdict.MISMATCH
    assert_function(cube(1), x, mode="forward")
    report = check_function(cube(1.1), x, mode="forward")  # wrong on purpose
    assert report.verdict is Verdict.MISMATCH


def refuses_float64(x):
    if x.dtype == np.float64:
        raise RuntimeError("this kernel refuses float64")
    return jnp.sin(x)


def test_a_kernel_may_refuse_float64_and_a_reference_all_else():
    x = draw(4, dtype=jnp.bfloat16)
    with pytest.raises(
        ValueError, match=r"fails in float64 \(this kernel refuses.*give reference="
    ):
        check_function(refuses_float64, x)

    def reference(x):
        assert x.dtype == np.float64
        return jnp.sin(x)

    assert_function(refuses_float64, x, reference=reference)
    assert check_function(refuses_float64, x, reference=jnp.cos).verdict is Verdict.MISMATCH


def test_constants_are_given_back():
    donating = jax.jit(lambda x, n: jnp.sin(x) * n.sum(), donate_argnums=1)
    ones = jnp.ones(3, np.int32)
    assert_function(donating, draw(3), ones)
    assert not ones.is_deleted()

    def writing(x, counts):
        counts += 1
        return x**2

    counts = np.zeros(2, int)
    assert_function(writing, draw(3), counts)
    assert not counts.any()


def test_weak_numbers_and_devices_are_kept():
    seen = []

    def function(x, scale):
        if not isinstance(x, jax.core.Tracer):
            seen.append((scale.weak_type, x.committed, x.sharding))
        return x * scale

    x = jax.device_put(draw(3, dtype=jnp.float16), jax.devices()[0])
    assert_function(function, x, 1.5)
    assert seen[0] == (True, True, x.sharding)


GRADS = {
    "right": (lambda x, y: jnp.sin(x) @ y, True),
    "wrong in forward mode": (lambda x, y: cube(1.1)(x) @ y, False),
    "wrong in the second order": (lambda x, y: second(1.1)(x) @ y, False),
}


@pytest.mark.parametrize(("function", "right"), GRADS.values(), ids=GRADS)
def test_check_grads_answers_as_that_of_jax(function, right):
    from jax.test_util import check_grads as of_jax

    args = draw(1, 2), draw(2, seed=1)
    for check, tolerance in ((of_jax, {"atol": 1e-2, "rtol": 1e-2}), (check_grads, {})):
        if right:
            assert check(function, args, 2, **tolerance) is None
        else:
            with pytest.raises(AssertionError):
                check(function, args, 2, **tolerance)


def test_what_check_grads_cannot_honour_is_said():
    args = (draw(2),)
    with pytest.warns(UserWarning, match="atol and eps of check_grads: not used"):
        check_grads(jnp.sin, args, 1, modes="rev", atol=1e-3, rtol=1e-3, eps=1e-4)
    with pytest.raises(ValueError, match="modes has 'reverse', wanted some of 'fwd'"):
        check_grads(jnp.sin, args, 1, modes=["reverse"])
    with pytest.raises(TypeError, match="forward-mode"):
        check_grads(times(2), args, 1)
    check_grads(times(2), args, 1, modes=["rev"])


def in_tf32(x):
    """Return what a matrix product of float32 on an accelerator reads of a factor by default."""
    return jax.lax.reduce_precision(x, 8, 10) if x.dtype == jnp.float32 else x


@jax.custom_jvp
def layer(x, w):
    return jnp.tanh(in_tf32(x) @ in_tf32(w))


@layer.defjvp
def _(primals, tangents):
    x, w = primals
    y = jnp.tanh(jnp.matmul(x, w))  # rounded otherwise than where it is not differentiated
    return y, (1 - y**2) * (tangents[0] @ w + x @ tangents[1])


@pytest.mark.parametrize("mode", ["reverse", "forward"])
def test_fewer_digits_inside_than_float32_has_are_no_accusation(mode):
    rng = np.random.default_rng(0)
    x, w = (jnp.asarray(rng.normal(size=s), jnp.float32) for s in ((4, 20), (20, 5)))
    report = check_function(layer, x, w, mode=mode)
    assert report.verdict is not Verdict.MISMATCH, str(report)
    assert "in float64" in str(report)

    def wrong(x, w):
        return 1.25 * layer(x, w) - 0.25 * jax.lax.stop_gradient(layer(x, w))

    assert check_function(wrong, x, w, mode=mode).verdict is Verdict.MISMATCH


@pytest.mark.parametrize(
    ("backend", "off", "verdict"),
    [
        ("cpu", 2e-3, Verdict.MISMATCH),
        ("gpu", 2e-3, Verdict.MATCH),
        ("gpu", 2e-2, Verdict.MISMATCH),
        ("tpu", 2e-2, Verdict.MATCH),
        ("tpu", 2e-1, Verdict.MISMATCH),
    ],
)
def test_values_of_a_rule_may_round_as_products_do_there(monkeypatch, backend, off, verdict):
    @jax.custom_jvp
    def double(x):
        return 2 * x

    double.defjvp(lambda p, t: ((2 + off) * p[0], 2 * t[0]))
    monkeypatch.setattr(jax, "default_backend", lambda: backend)
    x = jnp.asarray([0.5, -1.5], jnp.float32)
    assert check_function(double, x, mode="forward").verdict is verdict
    with jax.default_matmul_precision("highest"):
        assert check_function(double, x, mode="forward").verdict is Verdict.MISMATCH
