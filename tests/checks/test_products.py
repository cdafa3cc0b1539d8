"""Vector–Jacobian and Jacobian–vector products: right ones match, planted mistakes do not."""

import numpy as np
import pytest

from checks import GradientMismatch, Verdict, assert_jvp, assert_vjp, check_jvp, check_vjp
from checks.estimation.rounding_mode import call_toward_zero, toward_zero_is_available

RNG = np.random.default_rng(0)
X = RNG.standard_normal((3, 4))  # three samples
W = RNG.standard_normal((5, 4))
SQUARE = RNG.standard_normal((4, 4))


def dense(p):
    return p["x"] @ p["w"].T + p["b"]


def dense_vjp(p, u):
    return {"x": u @ p["w"], "w": u.T @ p["x"], "b": u.sum(axis=0)}


def dense_jvp(p, v):
    return v["x"] @ p["w"].T + p["x"] @ v["w"].T + v["b"]


DENSE = {"x": X, "w": W, "b": RNG.standard_normal(5)}


def softmax(z):
    e = np.exp(z - z.real.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def softmax_vjp(z, u):
    s = softmax(z)
    return s * (u - np.sum(u * s, axis=-1, keepdims=True))


softmax_jvp = softmax_vjp  # its Jacobian is symmetric


def nested(p):
    w, (b, c) = p
    return {"sum": np.tanh(w + b), "parts": [w * c, np.sum(b**2)]}


def nested_vjp(p, u):
    w, (b, c) = p
    of_sum = u["sum"] / np.cosh(w + b) ** 2
    first, second = u["parts"]
    return of_sum + first * c, (of_sum + 2 * b * second, np.sum(first * w))


def nested_jvp(p, v):
    w, (b, c) = p
    dw, (db, dc) = v
    return {
        "sum": (dw + db) / np.cosh(w + b) ** 2,
        "parts": [dw * c + w * dc, np.sum(2 * b * db)],
    }


NESTED = (np.array([0.3, -0.8]), (np.array([0.1, 0.5]), np.array(1.7)))


def norm2(x):
    return np.sum(x**2)  # a 0-d result


def rectify(x):
    return np.maximum(x, 0)


# id: (f, its vjp, its jvp, point)
RIGHT = {
    "dense layer": (dense, dense_vjp, dense_jvp, DENSE),
    "softmax": (softmax, softmax_vjp, softmax_jvp, X),
    "a nesting in and out": (nested, nested_vjp, nested_jvp, NESTED),
    "0-d result": (norm2, lambda x, u: 2 * u * x, lambda x, v: np.sum(2 * x * v), X),
    "0-d argument": (np.exp, lambda x, u: u * np.exp(x), lambda x, v: v * np.exp(x), np.array(0.7)),
    "relu": (rectify, lambda x, u: u * (x > 0), lambda x, v: v * (x > 0), X),
    "linear": (
        lambda x: x @ SQUARE.T,
        lambda x, u: u @ SQUARE,
        lambda x, v: v @ SQUARE.T,
        X,
    ),
    "abs, incapable of complex numbers": (
        np.abs,
        lambda x, u: u * np.sign(x),
        lambda x, v: v * np.sign(x),
        X,
    ),
}


@pytest.mark.parametrize("method", ["auto", "central"])
@pytest.mark.parametrize("name", RIGHT)
def test_right_products_match(name, method):
    f, vjp, jvp, x = RIGHT[name]
    for seed in range(3):
        backward = check_vjp(f, vjp, x, method=method, seed=seed)
        assert backward.verdict is Verdict.MATCH, str(backward)
        forward = check_jvp(f, jvp, x, method=method, seed=seed)
        assert forward.verdict is Verdict.MATCH, str(forward)


@pytest.mark.parametrize("name", RIGHT)
def test_a_factor_is_a_mismatch(name):
    f, vjp, jvp, x = RIGHT[name]

    def scaled(part):
        if isinstance(part, dict):
            return {key: scaled(value) for key, value in part.items()}
        if isinstance(part, (list, tuple)):
            return type(part)(scaled(value) for value in part)
        return 1.0001 * part  # wrong on purpose

    assert check_vjp(f, lambda x, u: scaled(vjp(x, u)), x).verdict is Verdict.MISMATCH
    assert check_jvp(f, lambda x, v: scaled(jvp(x, v)), x).verdict is Verdict.MISMATCH


# id: (f, a wrong vjp, point)
WRONG_VJP = {  # wrong on purpose, each
    "transposed": (lambda x: x @ SQUARE.T, lambda x, u: u @ SQUARE.T, X),
    "a term is missing": (softmax, lambda z, u: softmax(z) * u, X),
    "batch not summed": (dense, lambda p, u: {**dense_vjp(p, u), "b": u[0]}, DENSE),
    "clipped cotangent": (dense, lambda p, u: dense_vjp(p, np.clip(u, -5, 5)), DENSE),
    "|cotangent|": (np.exp, lambda x, u: np.abs(u) * np.exp(x), X),
    "cotangent squared": (norm2, lambda x, u: 2 * u**2 * x, X),
    "cotangent ignored": (norm2, lambda x, u: 2 * x, X),
    "constant added": (np.exp, lambda x, u: u * np.exp(x) + 1e-3, X),
    "constant for a zero cotangent": (
        np.exp,
        lambda x, u: u * np.exp(x) if u.any() else np.ones(x.shape),
        X,
    ),
    "nan for a zero cotangent": (
        np.exp,
        lambda x, u: u * np.exp(x) if u.any() else np.full(x.shape, np.nan),
        X,
    ),
    "of another layer's weights": (
        dense,
        lambda p, u: {**dense_vjp(p, u), "x": u @ W[::-1]},
        DENSE,
    ),
    "sign": (np.sin, lambda x, u: -u * np.cos(x), X),
    "straight through": (np.tanh, lambda x, u: u, X),
}


@pytest.mark.parametrize("name", WRONG_VJP)
def test_a_wrong_vjp_is_a_mismatch(name):
    f, vjp, x = WRONG_VJP[name]
    for seed in range(3):
        report = check_vjp(f, vjp, x, seed=seed)
        assert report.verdict is Verdict.MISMATCH, str(report)


@pytest.mark.parametrize("name", ["constant for a zero cotangent", "nan for a zero cotangent"])
def test_the_report_says_that_a_zero_cotangent_gives_no_zeros(name):
    f, vjp, x = WRONG_VJP[name]
    assert "not linear" in str(check_vjp(f, vjp, x))


# id: (f, a wrong jvp, point)
WRONG_JVP = {  # wrong on purpose, each
    "transposed": (lambda x: x @ SQUARE.T, lambda x, v: v @ SQUARE, X),
    "a term is missing": (dense, lambda p, v: v["x"] @ p["w"].T + v["b"], DENSE),
    "clipped tangent": (np.exp, lambda x, v: np.clip(v, -2, 2) * np.exp(x), X),
    "|tangent|": (np.exp, lambda x, v: np.abs(v) * np.exp(x), X),
    "tangent normalised": (np.exp, lambda x, v: v / (np.linalg.norm(v) or 1) * np.exp(x), X),
    "constant added": (np.exp, lambda x, v: v * np.exp(x) + 1e-3, X),
    "constant for a zero tangent": (
        np.exp,
        lambda x, v: v * np.exp(x) if v.any() else np.ones(x.shape),
        X,
    ),
    "one output": (
        np.exp,
        lambda x, v: np.where(np.arange(12).reshape(3, 4) == 7, 0, v * np.exp(x)),
        X,
    ),
}


@pytest.mark.parametrize("name", WRONG_JVP)
def test_a_wrong_jvp_is_a_mismatch(name):
    f, jvp, x = WRONG_JVP[name]
    for seed in range(3):
        report = check_jvp(f, jvp, x, seed=seed)
        assert report.verdict is Verdict.MISMATCH, str(report)


# Calls of f that a check of a right product takes, and that it took when each cotangent had
# evaluations of its own. The points are those of RIGHT, with seed 0.
CALLS = {
    "dense layer": (69, 223),
    "softmax": (39, 87),
    "a nesting in and out": (25, 83),
    "0-d result": (39, 123),
    "0-d argument": (18, 45),
    "relu": (39, 123),
    "linear": (39, 123),
    "abs, incapable of complex numbers": (109, 183),
}


@pytest.mark.parametrize("name", CALLS)
def test_all_cotangents_share_evaluations(name):
    f, vjp, _, x = RIGHT[name]
    calls = 0

    def counted(x):
        nonlocal calls
        calls += 1
        return f(x)

    report = check_vjp(counted, vjp, x)
    now, before = CALLS[name]
    assert report
    assert report.evaluations == calls <= now
    assert now <= 0.6 * before


def one_output(x, u):
    return u[0] * np.cos(x) + 2 * x * u[1] if u[0].any() else np.zeros_like(x)


# id: (f, a vjp that is wrong for some cotangents only, what the report says)
WRONG_FOR_SOME = {  # wrong on purpose, each
    "zero where an output is not used": (
        lambda x: [np.sin(x), x * x],
        one_output,
        "With a cotangent that is zero in f(x)[0].",
    ),
    "right only while no entry is zero": (
        np.sin,
        lambda x, u: u * np.cos(x) * u.all(),
        "With a cotangent that is zero but for f(x)[",
    ),
    "zero for equal entries": (
        np.sin,
        lambda x, u: u * np.cos(x) * (np.ptp(u) > 0),
        "With a cotangent of equal entries, with stride 0.",
    ),
    "the strides of x for those of u": (
        lambda x: 3 * x,
        lambda x, u: 3 * np.lib.stride_tricks.as_strided(u, x.shape, x.strides),
        "With a cotangent in Fortran order.",
    ),
    "rows taken to lie next to each other": (
        lambda x: 3 * x,
        lambda x, u: (
            3 * np.lib.stride_tricks.as_strided(u, x.shape, (x.shape[1] * 8, 8))
            if u.strides[1] != 8 and u.strides[0] > u.strides[1]
            else 3 * u
        ),
        "With a cotangent that is a read-only slice of a larger array.",
    ),
    "saturates": (np.exp, lambda x, u: np.clip(u, -5, 5) * np.exp(x), "times -1000"),
    "|u|": (np.exp, lambda x, u: np.abs(u) * np.exp(x), "With a random cotangent."),
}


@pytest.mark.parametrize("name", WRONG_FOR_SOME)
def test_a_vjp_that_is_wrong_for_some_cotangents_is_a_mismatch(name):
    f, vjp, said = WRONG_FOR_SOME[name]
    for seed in range(3):
        report = check_vjp(f, vjp, X, seed=seed)
        assert report.verdict is Verdict.MISMATCH, str(report)
        assert said in " ".join(str(report).split()), str(report)
    with pytest.raises(GradientMismatch, match="vjp check: MISMATCH"):
        assert_vjp(f, vjp, X)


def in_place(x, u):
    return np.multiply(u, np.exp(x), out=u)


def test_a_product_that_changes_its_vector_is_named():
    backward, forward = check_vjp(np.exp, in_place, X), check_jvp(np.exp, in_place, X)
    for report, what in ((backward, "cotangent"), (forward, "tangent")):
        assert report.verdict is Verdict.MISMATCH
        assert [mistake.name for mistake in report.diagnosis] == [f"overwritten {what}"]
        assert f"changes its {what}" in str(report)
        assert "its values are right" in " ".join(str(report).split())

    def wrong_besides(x, u):
        return 2 * in_place(x, u)  # wrong on purpose

    names = [mistake.name for mistake in check_vjp(np.exp, wrong_besides, X).diagnosis]
    assert names == ["overwritten cotangent", "scale"]


def test_a_vjp_may_refuse_no_layout():
    def refuses(x, u):
        if not u.flags.c_contiguous:
            raise RuntimeError("wanted a contiguous array")
        return u * np.exp(x)

    with pytest.raises(RuntimeError, match="contiguous") as caught:
        check_vjp(np.exp, refuses, X)
    (note,) = caught.value.__notes__
    assert note == "raised by vjp(x, u) with a cotangent in Fortran order"


def test_dead_units_and_zero_sums_do_not_blur_a_report():
    dead = np.where(np.arange(12).reshape(3, 4) % 2, X, -np.abs(X))
    assert check_vjp(rectify, lambda x, u: u * (x > 0), dead)
    assert check_vjp(softmax, softmax_vjp, X)  # a cotangent of equal entries has the gradient 0


def inside_float32(function):
    """Return a function that rounds its arguments to float32, and computes in that."""
    return lambda *arrays: function(*(array.astype(np.float32) for array in arrays))


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("casts", ["no cast", "casts", "casts of float64"])
@pytest.mark.parametrize("name", ["relu", "tanh", "max pooling", "gelu"])
def test_elementwise_functions_in_float32_get_a_verdict(name, casts, seed):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal(rng.choice([8, 60, 400]))
    x = x if casts == "casts of float64" else x.astype(np.float32)
    f, vjp = FLOAT32[name] if casts == "no cast" else map(inside_float32, FLOAT32[name])
    assert check_vjp(f, vjp, x, seed=seed).verdict is Verdict.MATCH
    wrong = np.where(np.arange(x.size) == x.argmax(), np.float32(1.01), np.float32(1))
    report = check_vjp(f, lambda x, u: vjp(x, u) * wrong, x, seed=seed)
    assert report.verdict is Verdict.MISMATCH
    assert report.worst.index == (int(x.argmax()),)


@pytest.mark.parametrize("seed", [28, 31, 49])
def test_near_ties_do_not_blur_max_pooling_that_casts(seed):
    f, vjp = map(inside_float32, FLOAT32["max pooling"])
    x = np.random.default_rng(seed).standard_normal(400)
    assert check_vjp(f, vjp, x, seed=seed).verdict is Verdict.MATCH
    wrong = lambda x, u: vjp(x, u) * np.where(x == x.max(), np.float32(1.01), np.float32(1))  # noqa: E731
    report = check_vjp(f, wrong, x, seed=seed)
    assert report.verdict is Verdict.MISMATCH
    assert report.worst.index == (int(x.argmax()),)


def gelu_slope(x):
    s = 1 / (1 + np.exp(np.float32(-1.702) * x))
    return s + np.float32(1.702) * x * s * (1 - s)


def pool_vjp(x, u):
    fours = x.reshape(-1, 4)
    return (u[:, None] * (fours == fours.max(axis=1, keepdims=True))).reshape(-1)


FLOAT32 = {
    "relu": (rectify, lambda x, u: u * (x > 0)),
    "tanh": (np.tanh, lambda x, u: u * (1 - np.tanh(x) ** 2)),
    "max pooling": (lambda x: x.reshape(-1, 4).max(axis=1), pool_vjp),
    "gelu": (lambda x: x / (1 + np.exp(np.float32(-1.702) * x)), lambda x, u: u * gelu_slope(x)),
}


def test_saturated_outputs_are_judged_on_the_scale_of_all():
    x = np.array([0.3, -0.7, 9.0, -12.0], np.float32)  # 1 - tanh² rounds to 0 at the last two
    assert check_jvp(np.tanh, lambda x, v: v * (1 - np.tanh(x) ** 2), x)
    wrong = lambda x, v: v * (1 - np.tanh(x) ** 2) * (1 + 0.01 * (x == x[0]))  # noqa: E731
    report = check_jvp(np.tanh, wrong, x)
    assert report.verdict is Verdict.MISMATCH
    assert report.worst.index[0] == 0


def test_the_column_of_a_wrong_tangent_is_named():
    def wrong(p, v):
        product = nested_jvp(p, v)
        product["parts"][1] += 0.1 * np.sum(v[0])  # wrong on purpose
        return product

    report = check_jvp(nested, wrong, NESTED)
    assert report.verdict is Verdict.MISMATCH
    assert report.worst.path == "f(x).parts[1] by t"
    right = [path for path, array in report.arrays.items() if array.verdict is Verdict.MATCH]
    assert right == ["f(x).sum by t", "f(x).parts[0] by t"]
    with pytest.raises(GradientMismatch, match="jvp check: MISMATCH"):
        assert_jvp(nested, wrong, NESTED)
    assert assert_jvp(nested, nested_jvp, NESTED)


def test_float32_stays_float32():
    seen = set()
    x = {key: value.astype(np.float32) for key, value in DENSE.items()}

    def vjp(p, u):
        seen.update({u.dtype, *(value.dtype for value in p.values())})
        return dense_vjp(p, u)

    def jvp(p, v):
        seen.update(value.dtype for value in v.values())
        return dense_jvp(p, v)

    backward, forward = check_vjp(dense, vjp, x), check_jvp(dense, jvp, x)
    assert seen == {np.dtype(np.float32)}
    assert backward.verdict is forward.verdict is Verdict.MATCH
    wrong = check_vjp(dense, lambda p, u: dense_vjp(p, u[:, ::-1]), x)  # wrong on purpose
    assert wrong.verdict is Verdict.MISMATCH


def test_the_argument_is_restored():
    for name, (f, vjp, jvp, x) in RIGHT.items():
        if isinstance(x, np.ndarray):
            before = x.tobytes()
            check_vjp(f, vjp, x)
            check_jvp(f, jvp, x)
            assert x.tobytes() == before, name


@pytest.mark.parametrize(
    ("f", "vjp", "x", "error", "message"),
    [
        (lambda x: x > 0, lambda x, u: u, X, TypeError, "dtype bool"),
        (lambda x: "text", lambda x, u: u, X, TypeError, "wanted an array of floats"),
        (np.exp, lambda x, u: u[0], X, ValueError, r"has shape \(4,\), wanted \(3, 4\)"),
        (np.exp, lambda x, u: None, X, TypeError, "wanted an array of real floats"),
        (dense, lambda p, u: (p, u), DENSE, TypeError, "wanted a dict"),
        (np.exp, lambda x, u: u, X.astype(int), TypeError, "an integer cannot be moved"),
        (lambda x: np.log(x - 99), lambda x, u: u, X, ValueError, "wanted finite"),
        (np.exp, lambda x, u: u * 1j, X, TypeError, "array of real floats"),
        (np.exp, 3.0, X, TypeError, "vjp is a float"),
        (X, lambda x, u: u, X, TypeError, "f is an array"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")
def test_bad_input_is_named(f, vjp, x, error, message):
    with pytest.raises(error, match=message):
        check_vjp(f, vjp, x)


def test_a_jvp_that_is_no_function_is_named():
    with pytest.raises(TypeError, match="jvp is a float"):
        check_jvp(np.exp, 3.0, X)


def test_an_option_that_only_costs_have_is_refused():
    with pytest.raises(ValueError, match="coverage is 'projected'"):
        check_vjp(np.exp, lambda x, u: u * np.exp(x), X, coverage="projected")


def test_a_jvp_of_another_nesting_is_refused():
    with pytest.raises((TypeError, ValueError, KeyError)):
        check_jvp(nested, lambda p, v: nested_jvp(p, v)["sum"], NESTED)


def test_a_report_of_a_vjp_names_its_argument():
    wrong = check_vjp(np.exp, lambda x, u: np.where(x == x[0, 1], 2, 1) * u * np.exp(x), X)
    assert list(wrong.arrays) == ["x"]
    assert "x is wrong in one entry alone, [0, 1]" in str(wrong)
    assert "params" not in str(wrong) + wrong.step_curve.name
    several = check_vjp(lambda x: x[0] * x[1], lambda x, u: [u * x[1], 2 * u * x[0]], [X, X + 1])
    assert list(several.arrays) == ["x[0]", "x[1]"]
    assert "x[1] is 2.000 ×" in " ".join(str(several).split())


@pytest.mark.parametrize("dtype", [None, float], ids=["lifts", "float64"])
def test_results_that_are_zero_at_the_point(dtype):
    x = np.array([0.3, -0.7, 1.1])
    at = x.copy()
    residual = lambda y: np.asarray(y, dtype) - at  # noqa: E731
    assert check_vjp(residual, lambda y, u: u, x)
    report = check_vjp(residual, lambda y, u: 1.01 * u, x)  # wrong on purpose
    assert report.verdict is Verdict.MISMATCH
    kinked = lambda y: np.abs(residual(y))  # noqa: E731
    assert check_vjp(kinked, lambda y, u: 0 * u, x)  # between the slopes -1 and 1


STEP, SHARE = 0.1, 0.6


def nearest(length, scale=10.0):
    """Return which entry each of some results copies: an index that floats decide."""
    return np.floor(np.arange(length) * STEP * scale).astype(int)


def spread(index, x, u):
    slope = np.zeros_like(x)
    np.add.at(slope, index, u)
    return slope


def test_a_function_that_copies_entries_is_not_quantised():
    # rounding toward zero makes 2 of the index 0.1 * 3 * 10, and copies another entry
    x = np.random.default_rng(0).normal(size=8)
    if toward_zero_is_available():
        assert nearest(8)[3] == 3 != call_toward_zero(nearest, 8)[3]
    copied, index = lambda x: x[nearest(8)], nearest(8)
    report = check_vjp(copied, lambda x, u: spread(index, x, u), x, method="central")
    assert report, str(report)

    def wrong(x, u):
        return spread(index, x, u) * np.where(np.arange(8) == 3, 1.001, 1)

    report = check_vjp(copied, wrong, x, method="central")
    assert report.verdict is Verdict.MISMATCH
    assert report.worst.index == (3,)


@pytest.mark.parametrize("method", ["auto", "central"])
def test_a_length_that_floats_decide_is_that_of_the_usual_rounding(method):
    # rounding toward zero makes 0.6 * 5 less than 3, and the results shorter
    x = np.random.default_rng(0).normal(size=3)
    if toward_zero_is_available():
        assert call_toward_zero(lambda n: int(SHARE * n), 5) == 2
    f = lambda x: np.sin(x[: int(SHARE * 5)])  # noqa: E731
    assert check_vjp(f, lambda x, u: u * np.cos(x), x, method=method)
    report = check_vjp(f, lambda x, u: 1.001 * u * np.cos(x), x, method=method)
    assert report.verdict is Verdict.MISMATCH


def test_a_report_says_along_how_many_vectors_a_product_was_tried():
    x = np.array([0.5, -1.5, 2.0])
    right = check_jvp(np.sin, lambda x, v: np.cos(x) * v, x)
    assert right.findings[-1] == "5 vectors v were tried."
    wrong = check_jvp(np.sin, lambda x, v: np.cos(x) * v * [1, 2, 1], x)  # wrong on purpose
    assert "an entry says which" in wrong.findings[-1]
    assert wrong.arrays["f(x) by t"].claimed.shape == (3, 5)
