"""Complex parameters: their gradient is ∂C/∂x + i ∂C/∂y, and they come back bit for bit."""

import pickle
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from scipy import sparse

from checks import (
    Verdict,
    check_gradient,
    check_jacobian,
    check_jvp,
    check_vjp,
    numerical_gradient,
    numerical_jacobian,
)
from checks.parameters.complex_parts import ComplexPoint, jacobian_in_parts

RNG = np.random.default_rng(0)
A = RNG.standard_normal((4, 4)) + 1j * RNG.standard_normal((4, 4))
Z = RNG.standard_normal(4) + 1j * RNG.standard_normal(4)
W = RNG.standard_normal(3)

# cost and gradient by z = x + iy; neither but the first is a polynomial of z alone
FUNCTIONS = {
    "Re z²": (lambda z: np.sum(z**2).real, lambda z: 2 * z.conj()),
    "|z|²": (lambda z: np.sum(np.abs(z) ** 2), lambda z: 2 * z),
    "|A z|²": (lambda z: np.sum(np.abs(A @ z) ** 2), lambda z: 2 * A.conj().T @ (A @ z)),
    "x³ y": (
        lambda z: np.sum(z.real**3 * z.imag),
        lambda z: 3 * z.real**2 * z.imag + 1j * z.real**3,
    ),
    "arg z": (lambda z: np.sum(np.angle(z)), lambda z: 1j * z / np.abs(z) ** 2),
    "Im exp z": (lambda z: np.sum(np.exp(z)).imag, lambda z: 1j * np.exp(z).conj()),
}


@pytest.mark.parametrize("method", ["auto", "central"])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_gradients_by_complex_arrays(name, method):
    cost, gradient = FUNCTIONS[name]
    z, before = Z.copy(), Z.tobytes()
    right = check_gradient(cost, gradient, z, method=method)
    assert right.verdict is Verdict.MATCH
    assert set(right.arrays) == {"real", "imag"}
    found = numerical_gradient(cost, z, method=method)
    off = found.value - gradient(Z)
    assert np.all(np.abs(off.real) <= found.error.real)
    assert np.all(np.abs(off.imag) <= found.error.imag)
    conjugate = check_gradient(cost, lambda z: gradient(z).conj(), z, method=method)
    assert conjugate.verdict is Verdict.MISMATCH
    assert conjugate.diagnosis[0].name == "conjugate"
    assert z.tobytes() == before


def mixed(p):
    return float(np.sum(np.abs(p["z"]) ** 2) * np.sum(p["w"] ** 2))


def mixed_gradient(p):
    return {"z": 2 * p["z"] * np.sum(p["w"] ** 2), "w": 2 * p["w"] * np.sum(np.abs(p["z"]) ** 2)}


@pytest.mark.parametrize("coverage", ["every", "projected"])
def test_complex_and_real_arrays_together(coverage):
    p = {"z": Z.reshape(2, 2).copy(), "w": W.copy()}
    right = check_gradient(mixed, mixed_gradient, p, coverage=coverage)
    assert right.verdict is Verdict.MATCH
    assert set(right.arrays) == {"z.real", "z.imag", "w"}
    claim = mixed_gradient(p)
    claim["z"][1, 0] += 0.1j
    wrong = check_gradient(mixed, claim, p)
    assert wrong.worst.path == "z.imag"
    assert wrong.worst.index == (1, 0)


def test_other_kinds_of_complex_numbers():
    def cost(z):
        return np.sum(np.abs(z) ** 2)

    read_only, strided = Z.copy(), np.repeat(Z, 3)[::3]
    read_only.flags.writeable = False
    for z in (read_only, strided, Z.astype(np.complex64), 1 + 2j, np.complex64(1 - 2j), Z[:0]):
        if np.size(z):
            assert check_gradient(cost, lambda z: 2 * z, z).verdict is Verdict.MATCH
    z = Z.copy()
    closed_over = check_gradient(lambda _: cost(z), lambda _: 2 * z, z)
    assert closed_over.verdict is Verdict.MATCH
    with ThreadPoolExecutor(2) as pool:
        assert check_gradient(cost, 2 * Z, read_only, executor=pool).verdict is Verdict.MATCH
    moved = []
    check_gradient(lambda z: moved.append(z.copy()) or cost(z), 2 * Z, z, bounds=(Z, Z + 1 + 1j))
    assert all((m.real >= Z.real).all() and (m.imag >= Z.imag).all() for m in moved)
    assert ComplexPoint(W).taking_parts(cost) is cost
    point = ComplexPoint(z)
    assert pickle.loads(pickle.dumps(point.taking_parts(mixed)))


def test_the_bits_of_zeros_stay_and_what_the_cost_changes_is_named():
    z = np.array([-0.0 + 1j, complex(1, -0.0)])
    before, seen = z.tobytes(), []
    check_gradient(lambda z: seen.append(z.tobytes()) or np.sum(np.abs(z) ** 2), 2 * z, z)
    assert seen[0] == seen[-1] == z.tobytes() == before

    def changes(z):
        z *= 2
        return np.sum(np.abs(z) ** 2)

    with pytest.raises(ValueError, match=r"cost changes its argument \(real\[1\] from 1.0 to 2.0"):
        check_gradient(changes, 2 * z, z)
    assert z.tobytes() == before


@pytest.mark.parametrize(
    ("cost", "gradient", "params", "text"),
    [
        (np.sum, np.conj, Z, "take the real part or the modulus"),
        (lambda z: abs(z[0]), lambda z: 2 * z.real, Z, "wanted complex numbers: the derivative"),
        (lambda x: np.sum(x**2), lambda x: 2 * x + 0j, W, "wanted an array of real floats"),
        (lambda p: abs(p[0][0]), lambda p: p, [Z, Z], "share memory"),
        (lambda z: abs(z[0]), lambda z: z, np.array([1j, np.nan]), r"real\[1\] is nan"),
    ],
)
def test_bad_input(cost, gradient, params, text):
    with pytest.raises((TypeError, ValueError), match=text):
        check_gradient(cost, gradient, params)


X = RNG.standard_normal(4)
EYE, ZERO = np.eye(4), np.zeros((4, 4))

# f, its Jacobian, vjp, jvp, and the point
RESULTS = {
    "holomorphic": (
        lambda z: A @ z**2,
        lambda z: A * (2 * z),
        lambda z, u: 2 * z.conj() * (A.conj().T @ u),
        lambda z, v: A @ (2 * z * v),
        Z,
    ),
    "complex of real": (
        lambda x: np.exp(1j * x),
        lambda x: np.diag(1j * np.exp(1j * x)),
        lambda x, u: (np.conj(1j * np.exp(1j * x)) * u).real,
        lambda x, v: 1j * np.exp(1j * x) * v,
        X,
    ),
    "real of complex": (
        lambda z: np.abs(z) ** 2,
        lambda z: np.diag(2 * z),
        lambda z, u: 2 * z * u,
        lambda z, v: 2 * (z.conj() * v).real,
        Z,
    ),
    "conjugate": (
        np.conj,
        ((EYE, ZERO), (ZERO, -EYE)),
        lambda z, u: u.conj(),
        lambda z, v: v.conj(),
        Z,
    ),
    "nested": (
        lambda p: {"a": p["z"] * p["w"], "b": p["w"] ** 2},
        lambda p: {
            "a": {"z": np.diag(p["w"]) + 0j, "w": np.diag(p["z"])},
            "b": {"z": ZERO + 0j, "w": np.diag(2 * p["w"])},
        },
        lambda p, u: {
            "z": p["w"] * u["a"],
            "w": (p["z"].conj() * u["a"]).real + 2 * p["w"] * u["b"],
        },
        lambda p, v: {
            "a": p["w"] * v["z"] + p["z"] * v["w"],
            "b": 2 * p["w"] * v["w"],
        },
        {"z": Z, "w": X},
    ),
}


@pytest.mark.parametrize("name", RESULTS)
def test_complex_results(name):
    f, jacobian, vjp, jvp, x = RESULTS[name]
    assert check_jacobian(f, jacobian, x).verdict is Verdict.MATCH
    assert check_vjp(f, vjp, x).verdict is Verdict.MATCH
    assert check_jvp(f, jvp, x).verdict is Verdict.MATCH


@pytest.mark.parametrize("name", ["holomorphic", "conjugate"])
def test_conjugates_of_right_products(name):
    f, jacobian, vjp, jvp, x = RESULTS[name]
    wrong = check_vjp(f, lambda z, u: vjp(z, u).conj(), x)
    assert wrong.verdict is Verdict.MISMATCH
    assert wrong.diagnosis[0].name == "conjugate"
    assert check_jvp(f, lambda z, v: jvp(z, v).conj(), x).verdict is Verdict.MISMATCH
    if callable(jacobian):
        wrong = check_jacobian(f, lambda z: jacobian(z).conj(), x)
        assert wrong.verdict is Verdict.MISMATCH
        assert wrong.diagnosis[0].name == "conjugate"


def test_the_numerical_jacobian_has_real_blocks():
    f, jacobian, *_, z = RESULTS["holomorphic"]
    found = numerical_jacobian(f, z)
    exact = jacobian(z)
    for block, error, right in (
        (found.value.real.real, found.error.real.real, exact.real),
        (found.value.real.imag, found.error.real.imag, -exact.imag),
        (found.value.imag.real, found.error.imag.real, exact.imag),
        (found.value.imag.imag, found.error.imag.imag, exact.real),
    ):
        assert np.all(np.abs(block - right) <= error)


@pytest.mark.parametrize("claim", [[1.0, 2.0, 3.0], 5.0])
def test_a_jacobian_of_another_nesting_is_left_to_be_refused(claim):
    assert jacobian_in_parts(claim, [Z, Z], X) is claim


@pytest.mark.parametrize("name", ["holomorphic", "real of complex"])
@pytest.mark.parametrize(
    "form", [sparse.csr_array, sparse.dok_matrix, sparse.linalg.aslinearoperator, np.ndarray.tolist]
)
def test_a_complex_jacobian_may_be_sparse_an_operator_or_lists(form, name):
    f, jacobian, *_, z = RESULTS[name]
    assert check_jacobian(f, lambda z: form(jacobian(z)), z).verdict is Verdict.MATCH
    wrong = check_jacobian(f, lambda z: form(jacobian(z) * 1j), z)  # wrong on purpose
    assert wrong.verdict is Verdict.MISMATCH


def test_a_real_function_of_complex_numbers_may_have_real_blocks():
    def f(p):
        return {"square": np.abs(p["z"]) ** 2, "sum": p["w"] * p["z"].real}

    def jacobian(p, sign=1):
        x, y, w = p["z"].real, p["z"].imag, p["w"]
        return {
            "square": {"z": (np.diag(2 * x), sign * np.diag(2 * y)), "w": ZERO},
            "sum": {"z": (np.diag(w), ZERO), "w": np.diag(x)},
        }

    point = {"z": Z, "w": X}
    assert check_jacobian(f, jacobian, point).verdict is Verdict.MATCH
    report = check_jacobian(f, lambda p: jacobian(p, -1), point)
    assert report.worst.path == "f(x).square by z.imag"
    assert [mistake.name for mistake in report.diagnosis] == ["conjugate"]


@pytest.mark.parametrize("claim", [None, "ab", {"a": 1.0}, np.ones((4, 4), bool)])
@pytest.mark.parametrize("name", ["holomorphic", "real of complex"])
def test_a_complex_jacobian_that_holds_no_numbers_is_refused(name, claim):
    f, *_, z = RESULTS[name]
    with pytest.raises(TypeError, match=r"^jacobian\(x\)(\.real)? is "):
        check_jacobian(f, lambda z: claim, z)
