"""Hessians and their products: right ones match, planted mistakes and wrong gradients do not."""

import numpy as np
import pytest
from scipy import sparse

from checks import (
    GradientMismatch,
    Verdict,
    assert_hessian,
    assert_hvp,
    check_hessian,
    check_hvp,
    numerical_hessian,
)

RNG = np.random.default_rng(0)
A, X = RNG.standard_normal((7, 5)), RNG.standard_normal(5)
Z = RNG.standard_normal(12)
Y = (RNG.random(12) > 0.5).astype(float)


def smooth(x):
    return np.sum(np.log(np.cosh(A @ x)))


def real_only(x):
    return np.sum(np.log(np.cosh(np.abs(A @ x))))  # abs drops imaginary parts


def slope(x):
    return A.T @ np.tanh(A @ x)


def curvature(x):
    return A.T @ ((1 - np.tanh(A @ x) ** 2)[:, None] * A)


def product(x, v):
    return curvature(x) @ v


def bilinear(p):
    return np.sum((p["w"] @ p["b"]) ** 2)


def bilinear_gradient(p):
    r = p["w"] @ p["b"]
    return {"w": 2 * np.outer(r, p["b"]), "b": 2 * p["w"].T @ r}


def bilinear_hessian(p):
    w, b = p["w"], p["b"]
    ww = 2 * np.einsum("ik,j,l->ijkl", np.eye(2), b, b)
    wb = 2 * (np.einsum("il,j->ijl", w, b) + np.einsum("i,jl->ijl", w @ b, np.eye(2)))
    return {"w": {"w": ww, "b": wb}, "b": {"w": np.moveaxis(wb, 2, 0), "b": 2 * w.T @ w}}


NESTED = {"w": A[:2, :2].copy(), "b": X[:2].copy()}


def logistic(z):
    return 1 / (1 + np.exp(-z))


def cross_entropy(z):
    return np.sum(np.log1p(np.exp(z)) - Y * z)


def cross_entropy_gradient(z):
    return logistic(z) - Y


def cross_entropy_diagonal(z):
    return logistic(z) * (1 - logistic(z))


# id: (cost, gradient, hessian, params)
RIGHT = {
    "dense": (smooth, slope, curvature, X),
    "values": (smooth, slope, curvature(X), X),
    "incapable of complex numbers": (real_only, slope, curvature, X),
    "blocks": (bilinear, bilinear_gradient, bilinear_hessian, NESTED),
    "a diagonal": (cross_entropy, cross_entropy_gradient, cross_entropy_diagonal, Z),
    "a diagonal in a nesting": (
        bilinear,
        bilinear_gradient,
        lambda p: {"w": 2 * np.tile(p["b"] ** 2, (2, 1)), "b": 2 * np.sum(p["w"] ** 2, axis=0)},
        NESTED,
    ),
    "sparse": (
        cross_entropy,
        cross_entropy_gradient,
        lambda z: sparse.diags(cross_entropy_diagonal(z)),
        Z,
    ),
    "one number": (lambda x: x**3, lambda x: 3 * x**2, lambda x: 6 * x, np.array(0.7)),
    "at a minimum": (lambda x: x @ x, lambda x: 2 * x, lambda x: 2 * np.eye(3), np.zeros(3)),
    "float32": (
        lambda x: np.sum(x**4),
        lambda x: 4 * x**3,
        lambda x: np.diag(12 * x**2),
        X.astype(np.float32),
    ),
}


@pytest.mark.parametrize("given", [True, False], ids=["gradient", "cost alone"])
@pytest.mark.parametrize("name", RIGHT)
def test_right_hessians_match(name, given):
    cost, gradient, hessian, params = RIGHT[name]
    report = check_hessian(cost, hessian, params, gradient=gradient if given else None)
    assert report.verdict is Verdict.MATCH, str(report)
    assert "symmetric" not in str(report)


@pytest.mark.parametrize("order", ["C", "F"])
def test_entries_of_any_memory_layout_are_moved(order):
    x = np.array(A[:2, :3], order=order)
    found = numerical_hessian(lambda x: np.sum(x**3), x)
    exact = np.diag(6 * x.ravel()).reshape(2, 3, 2, 3)
    assert (np.abs(found.value - exact) <= found.error).all()
    assert found.error.max() < 1e-6


@pytest.mark.parametrize("given", [True, False], ids=["gradient", "cost alone"])
def test_one_wrong_entry_is_named_and_asymmetry_is_a_finding(given):
    def wrong(x):
        hessian = curvature(x)
        hessian[1, 3] *= 1 + 1e-5  # wrong on purpose
        return hessian

    report = check_hessian(smooth, wrong, X, gradient=slope if given else None)
    assert report.verdict is Verdict.MISMATCH
    assert (report.worst.path, report.worst.index) == ("gradient by params", (1, 3))
    assert "The claimed Hessian is not symmetric" in str(report)
    with pytest.raises(GradientMismatch, match="Hessian check: MISMATCH"):
        assert_hessian(smooth, wrong, X, gradient=slope)


# id: (a wrong diagonal of the cross entropy, the names of the mistake)
WRONG_DIAGONAL = {  # wrong on purpose, each
    "sign": (lambda z: -cross_entropy_diagonal(z), {"sign"}),
    "factor 2": (lambda z: 2 * cross_entropy_diagonal(z), {"scale"}),
    "1 for p (1 - p)": (np.ones_like, {"one number", "ones"}),
    "order of rows": (lambda z: cross_entropy_diagonal(z)[::-1], {"reversed"}),
}


@pytest.mark.parametrize("name", WRONG_DIAGONAL)
def test_mistakes_of_a_diagonal_are_named(name):
    diagonal, names = WRONG_DIAGONAL[name]
    report = check_hessian(cross_entropy, diagonal, Z, gradient=cross_entropy_gradient)
    assert report.verdict is Verdict.MISMATCH
    assert names & {mistake.name for mistake in report.diagnosis}, str(report)
    assert list(report.arrays) == ["diagonal of params"]


def test_the_hessian_of_a_wrong_gradient_does_not_pass():
    twice = check_hessian(
        smooth, lambda x: 2 * curvature(x), X, gradient=lambda x: 2 * slope(x)
    )  # wrong on purpose
    assert twice.verdict is Verdict.MISMATCH
    assert twice.arrays["gradient"].verdict is Verdict.MISMATCH
    assert twice.arrays["gradient by params"].verdict is Verdict.MATCH
    assert "The gradient is wrong" in str(twice)
    turned = np.triu(np.ones((5, 5)))
    report = check_hessian(smooth, turned, X, gradient=lambda x: turned @ x)  # wrong on purpose
    assert report.verdict is Verdict.MISMATCH
    assert "it is not the gradient of a cost" in " ".join(str(report).split())


@pytest.mark.parametrize("given", [True, False], ids=["gradient", "cost alone"])
def test_products_with_vectors(given):
    gradient = slope if given else None
    assert assert_hvp(smooth, product, X, gradient=gradient)
    wrong = lambda x, v: curvature(x) @ np.abs(v)  # noqa: E731  wrong on purpose
    report = check_hvp(smooth, wrong, X, gradient=gradient)
    assert report.verdict is Verdict.MISMATCH
    assert str(report).startswith("hvp check: MISMATCH")
    half = lambda p, v: {"w": v["w"] * 0, "b": 2 * p["w"].T @ p["w"] @ v["b"]}  # noqa: E731
    assert check_hvp(bilinear, half, NESTED).verdict is Verdict.MISMATCH  # wrong on purpose


def test_a_product_that_changes_its_vector_is_named():
    def in_place(x, v):
        v[...] = curvature(x) @ v  # wrong on purpose
        return v

    report = check_hvp(smooth, in_place, X, gradient=slope)
    assert [mistake.name for mistake in report.diagnosis] == ["overwritten tangent"]


@pytest.mark.parametrize("cost", [smooth, real_only])
def test_numerical_hessians_hold(cost):
    found = numerical_hessian(cost, X)
    assert found.value.shape == (5, 5)
    exact = curvature(X.astype(np.longdouble))
    assert (np.abs(found.value - exact) <= found.error).all()
    assert found.error.max() <= (1e-9 if cost is smooth else 1e-6)
    sharper = numerical_hessian(cost, X, gradient=slope)
    slack = 0 if np.finfo(np.longdouble).eps < np.finfo(float).eps else 1e-14
    assert (np.abs(sharper.value - exact) <= sharper.error + slack).all()
    assert sharper.error.max() <= 1e-12
    assert sharper.evaluations < found.evaluations
    nested = numerical_hessian(bilinear, NESTED)
    assert nested.value["w"]["b"].shape == (2, 2, 2)


def test_what_a_large_term_absorbs_is_in_the_error():
    x = np.array([1.0, 2.0])

    def norm(x):  # the second entry is lost in the first, in every dtype
        return np.sqrt((1e30 * x[0]) ** 2 + x[1] ** 2)

    found = numerical_hessian(norm, x)
    exact = 1 / 1e30  # ∂²/∂x₁², to the first order
    assert abs(found.value[1, 1] - exact) <= found.error[1, 1]
    assert check_hessian(norm, np.array([[0.0, 0], [0, exact]]), x).verdict is not Verdict.MISMATCH


def test_bounds_are_kept():
    seen = []

    def cost(x):
        seen.append(np.real(x).copy())
        return np.sum(np.abs(x) ** 1.5)

    x = np.array([0.01, 1.0])
    diagonal = lambda x: np.diag(0.75 / np.sqrt(x))  # noqa: E731
    assert check_hessian(cost, diagonal, x, bounds=(0.005, 1.01))
    assert np.min(seen) >= 0.005
    assert np.max(seen) <= 1.01
    with pytest.raises(ValueError, match=r"params\[0\] stands on a bound.*pass gradient="):
        check_hessian(cost, diagonal, x, bounds=(0.01, 2))


def test_params_are_restored():
    x = X.copy()
    assert check_hessian(lambda _: real_only(x), curvature, x)  # a closure, moved in place
    assert x.tobytes() == X.tobytes()


# id: (hessian, options, error, fragment of its text)
BAD = {
    "not square": (np.ones((5, 4)), {}, ValueError, r"hessian has shape \(5, 4\), wanted \(5, 5\)"),
    "a vector too short": (np.ones(4), {}, ValueError, r"hessian has shape \(4,\)"),
    "integers": (np.ones((5, 5), int), {}, TypeError, "lost the fractions"),
    "None": (lambda x: None, {}, TypeError, "hessian.* is None"),
    "a gradient of values": (curvature, {"gradient": X}, TypeError, "gradient is a ndarray"),
    "a gradient of another size": (
        curvature,
        {"gradient": lambda x: x[:3]},
        ValueError,
        r"gradient\(params\) has shape \(3,\)",
    ),
    "method": (curvature, {"method": "best"}, ValueError, "method is 'best'"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_named(name):
    hessian, options, error, message = BAD[name]
    with pytest.raises(error, match=message):
        check_hessian(smooth, hessian, X, **options)


def test_a_product_of_another_nesting_is_named():
    with pytest.raises(TypeError, match=r"hvp\(params, v\) is a list"):
        check_hvp(bilinear, lambda p, v: [1.0], NESTED)


def test_a_diagonal_of_several_numbers():
    p = {"a": np.array(1.5), "b": np.array(2.0)}
    diagonal = {"a": 2 * p["b"] ** 2, "b": 2 * p["a"] ** 2}
    for factor, verdict in ((1.0, Verdict.MATCH), (2.0, Verdict.MISMATCH)):
        claim = {name: factor * entry for name, entry in diagonal.items()}
        report = check_hessian(lambda p: p["a"] ** 2 * p["b"] ** 2, claim, p)
        assert report.verdict is verdict


ROWS = np.random.default_rng(5).normal(size=60)


def plain_cross_entropy(z):
    return float(np.sum(np.logaddexp(0, np.real(z)) - np.resize(Y, 60) * np.real(z)))


def complex_cross_entropy(z):
    return np.sum(np.log1p(np.exp(z)) - np.resize(Y, 60) * z)


# id: (cost, gradient, the most calls of either for each entry, and besides)
DIAGONALS = {
    "cost alone": (plain_cross_entropy, None, 16, 80),
    "complex cost alone": (complex_cross_entropy, None, 10, 80),
    "gradient": (complex_cross_entropy, lambda z: logistic(z) - np.resize(Y, 60), 10, 160),
}


@pytest.mark.parametrize("name", DIAGONALS)
def test_a_diagonal_takes_a_few_calls_for_each_entry(name):
    cost, gradient, each, besides = DIAGONALS[name]
    calls = 0

    def counted(function):
        def called(z):
            nonlocal calls
            calls += 1
            return function(z)

        return called

    slopes = gradient and counted(gradient)
    right = check_hessian(counted(cost), cross_entropy_diagonal, ROWS, gradient=slopes)
    assert right.verdict is Verdict.MATCH, str(right)
    assert calls <= each * ROWS.size + besides
    # the gradient as a claim is not counted
    assert right.evaluations == calls or gradient
    for entry in (3, 40):

        def wrong(z, entry=entry):
            return cross_entropy_diagonal(z) * (1 + 0.01 * (np.arange(60) == entry))

        report = check_hessian(cost, wrong, ROWS, gradient=gradient)  # wrong on purpose
        assert report.verdict is Verdict.MISMATCH
        assert (report.worst.path, report.worst.index) == ("diagonal of params", (entry,))


@pytest.mark.parametrize("given", [True, False], ids=["gradient", "cost alone"])
def test_a_diagonal_at_and_beside_a_kink_of_the_gradient(given):
    x = np.array([0.3, 1.0, 1.0003, 2.0])  # Huber's cost, from squares to a line at 1

    def huber(x):
        r = np.abs(x)
        return np.sum(np.where(r < 1, x**2 / 2, r - 0.5))

    gradient = (lambda x: np.clip(x, -1, 1)) if given else None
    for at_kink, verdicts in ((1.0, {Verdict.MATCH}), (0.0, {Verdict.MATCH}), (7.0, set(Verdict))):
        claim = np.array([1.0, at_kink, 0.0, 0.0])
        report = check_hessian(huber, claim, x, gradient=gradient)
        assert report.verdict in verdicts - {Verdict.MATCH} if at_kink == 7 else verdicts


def test_a_diagonal_on_a_bound_is_one_sided():
    x = np.array([0.01, 1.0])
    seen = []

    def cost(x):
        seen.append(np.real(x).copy())
        return float(np.sum(np.abs(x) ** 1.5))

    assert check_hessian(cost, 0.75 / np.sqrt(x), x, bounds=(0.01, 2))
    assert np.min(seen) >= 0.01


@pytest.mark.parametrize("takes_complex", [True, False])
def test_at_a_minimum_a_hessian_takes_hundreds_of_calls(takes_complex):
    design = np.random.default_rng(0).normal(size=(20, 3))

    def cost(p):  # a perfect fit: the cost and all of its slopes are zero at the point
        residuals = design @ (p if takes_complex else np.real(p)) - design @ np.ones(3)
        return np.mean(residuals**2)

    hessian = 2 * design.T @ design / 20
    report = check_hessian(cost, hessian, np.ones(3))
    assert report.verdict is Verdict.MATCH
    assert report.evaluations <= (400 if takes_complex else 1500)
    wrong = check_hessian(cost, hessian + 1e-5 * np.eye(3), np.ones(3))
    assert wrong.verdict is Verdict.MISMATCH


@pytest.mark.parametrize("sides", [(1, 0), (0, 1), (1, 1)], ids=["lower", "upper", "both"])
@pytest.mark.parametrize("room", [1e-6, 1e-3, 0.5])
def test_the_hessian_of_a_cost_moves_nothing_out_of_bounds(sides, room):
    x = np.array([1.5, -0.5, 2.5])
    lower, upper = x - room if sides[0] else None, x + room if sides[1] else None
    seen = [x]

    def cost(p):
        seen.append(p.real.copy())
        return np.sum(np.exp(p) * np.cos(p[::-1])).real

    numerical_hessian(cost, x, bounds=(lower, upper))
    assert len(seen) > 3
    assert sides[0] == 0 or (np.min(seen, axis=0) >= lower).all()
    assert sides[1] == 0 or (np.max(seen, axis=0) <= upper).all()


def test_a_gradient_with_infinite_noise_is_unknown():
    def cost(p):
        z = np.exp(p["b"]) / np.sum(np.exp(p["b"]))
        z = np.mean(np.minimum((np.exp(z) - 1) / z, 1))  # its digits are lost
        c = np.log(np.log1p(np.exp(1e6 * p["a"])) ** 2 + (1 - 1 / (1 + np.exp(-z))) ** 2)
        return c * np.linalg.det(np.diag(np.expm1(p["c"]) + 0.14)) - 0.02

    params = {
        "a": np.array(8.9e-7),
        "b": np.array([-59.7, -26.8, -4.3, 1.6, 6.8, -36.3]),
        "c": np.array([0.39, 0.37, 0.35]),
    }
    with np.errstate(all="ignore"):
        found = numerical_hessian(cost, params, progress=False)
    assert np.isfinite(found.value["c"]["c"]).any()


def test_at_a_minimum_a_diagonal_by_the_gradient_is_judged_to_its_digits():
    """There, slopes are rounding; what they are relative to is their size beside the minimum."""
    t = np.linspace(0, 4, 30)
    noise = 0.01 * np.sin(13 * t)

    def parts(p):
        decay = np.exp(-p[1] * t)
        r = p[0] * decay + p[2] - (2.3 * np.exp(-0.9 * t) + 0.2 + noise)
        return r, np.stack([decay, -t * p[0] * decay, np.ones_like(t)], axis=1), decay

    def cost(p):
        return np.sum(parts(p)[0] ** 2) / 2

    def gradient(p):
        r, j, _ = parts(p)
        return j.T @ r

    def gauss_newton(p):
        return np.sum(parts(p)[1] ** 2, axis=0)

    def diagonal(p):
        r, _, decay = parts(p)
        curved = np.zeros(3, p.dtype)
        curved[1] = np.sum(r * t**2 * p[0] * decay)
        return gauss_newton(p) + curved

    p = np.array([2.3, 0.9, 0.2])
    for _ in range(30):  # Gauss–Newton
        r, j, _ = parts(p)
        p = p - np.linalg.lstsq(j, r)[0]
    assert np.abs(gradient(p)).max() < 1e-14
    assert check_hessian(cost, diagonal, p, gradient=gradient)
    report = check_hessian(cost, gauss_newton, p, gradient=gradient)  # wrong on purpose
    assert report.verdict is Verdict.MISMATCH
    assert report.worst.index == (1,)


@pytest.mark.parametrize("x", [2e-5, -3e-6, 0.0056])
def test_oscillations_within_the_steps_of_a_numeric_gradient_are_in_the_errors(x):
    """sin(1/x), in a cost that takes no complex numbers: a period is 2π x of x."""
    point = np.array([x, 1.5, -0.7])

    def cost(p):
        return np.abs(2 + np.sin(1 / p[0])) * np.abs(p[1]) + p[2] ** 2

    value, slope = 2 + np.sin(1 / x), -np.cos(1 / x) / x**2
    bend = -np.sin(1 / x) / x**4 + 2 * np.cos(1 / x) / x**3
    exact = np.array([[bend * 1.5, slope, 0], [slope, 0, 0], [0, 0, 2]])
    found = numerical_hessian(cost, point)
    assert value > 0
    assert (np.abs(found.value - exact) <= found.error + 1e-12 * np.abs(exact)).all()
    assert check_hessian(cost, exact, point).verdict is not Verdict.MISMATCH
    assert found.error[2, 2] < 1e-4


@pytest.mark.parametrize("x", [{"a": np.array(0.3)}, [np.array(0.3)], np.array(0.3), 0.3])
def test_one_number_has_a_matrix_and_a_diagonal(x):
    def cost(p):
        return np.sin(number(p))

    def number(p):
        return p["a"] if isinstance(p, dict) else p[0] if isinstance(p, list) else p

    def nested(h):
        return {"a": h} if isinstance(x, dict) else [h] if isinstance(x, list) else h

    right = np.array(-np.sin(0.3))
    for gradient in (None, lambda p: nested(np.cos(number(p)))):
        for claim, name in ((nested(right), "diagonal of"), (nested(nested(right)), "gradient")):
            report = check_hessian(cost, claim, x, gradient=gradient)
            assert report.verdict is Verdict.MATCH
            if isinstance(x, dict | list):  # of a bare number both are the same
                assert next(iter(report.arrays)).startswith(name)
        wrong = nested(right * 1.001)  # wrong on purpose
        assert check_hessian(cost, wrong, x, gradient=gradient).verdict is Verdict.MISMATCH
