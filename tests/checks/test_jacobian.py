"""Jacobians: right ones match, one wrong entry is named, and rows share evaluations."""

import math
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor

import numpy as np
import pytest
from scipy import sparse
from scipy.sparse.linalg import aslinearoperator

from benchmarks.compositions import draw_several
from checks import (
    GradientMismatch,
    Verdict,
    assert_jacobian,
    check_jacobian,
    numerical_jacobian,
)
from checks.evaluation import results as results_module

RNG = np.random.default_rng(0)
A = RNG.standard_normal((4, 6))
X = RNG.standard_normal(6)
TALL, P = RNG.standard_normal((200, 50)) / 7, RNG.standard_normal(50)


def counted(f):
    def g(x):
        g.calls += 1
        return f(x)

    g.calls = 0
    return g


def dense(x):
    return np.tanh(A @ x)


def dense_jacobian(x):
    return (1 - np.tanh(A @ x) ** 2)[:, None] * A


def nested(p):
    return {"sum": p["w"] @ p["v"], "parts": [p["v"] ** 2, np.sum(p["w"])]}


def nested_jacobian(p):
    w, v = p["w"], p["v"]
    return {
        "sum": {"w": np.einsum("ik,j->ikj", np.eye(2), v), "v": w},
        "parts": [
            {"w": np.zeros((3, 2, 3)), "v": np.diag(2 * v)},
            {"w": np.ones((2, 3)), "v": np.zeros(3)},
        ],
    }


NESTED = {"w": A[:2, :3].copy(), "v": X[:3].copy()}


def square(x):
    return x**2


def square_jacobian(x):
    return np.diag(2 * x)


def rectify(x):
    return np.maximum(x, 0)


# id: (f, its Jacobian, point)
RIGHT = {
    "dense": (dense, dense_jacobian, X),
    "nested": (nested, nested_jacobian, NESTED),
    "0-d result": (lambda x: np.sum(x**2), lambda x: 2 * x, X),
    "0-d argument": (lambda x: np.array([x, x**2]), lambda x: np.array([1.0, 2 * x]), 0.7),
    "matrices in and out": (
        lambda x: x @ x.T,
        lambda x: np.einsum("ik,jl->ijkl", np.eye(2), x) + np.einsum("jk,il->ijkl", np.eye(2), x),
        A[:2, :3].copy(),
    ),
    "the same as a matrix": (
        lambda x: 3 * x,
        lambda x: 3 * np.eye(6),
        A[:2, :3].copy(),
    ),
    "csr": (square, lambda x: sparse.csr_array(square_jacobian(x)), X),
    "coo with twice the same entry": (
        lambda x: 2 * x,
        sparse.coo_array((np.ones(12), (np.tile(np.arange(6), 2),) * 2), shape=(6, 6)),
        X,
    ),
    "dia matrix": (square, lambda x: sparse.diags(2 * x), X),
    "LinearOperator": (square, lambda x: aslinearoperator(square_jacobian(x)), X),
    "incapable of complex numbers": (np.abs, lambda x: np.diag(np.sign(x)), X),
    "dead units": (rectify, lambda x: np.diag((x > 0) * 1.0), X),
    "float32": (rectify, lambda x: np.diag(x > 0).astype(np.float32), X.astype(np.float32)),
    "a constant result": (
        lambda x: np.array([x[0] * 2, 3.0]),
        np.array([[2.0, 0, 0, 0, 0, 0], [0] * 6]),
        X,
    ),
    "an array that is not read": (
        lambda p: 2 * p[0],
        [2 * np.eye(3), np.zeros((3, 6))],
        [X[:3].copy(), X],
    ),
    "at a minimum": (square, square_jacobian, np.array([0.0, 1, 2])),
    "units far apart": (
        lambda x: np.array([1e10 * x[0] * x[1], 1e-10 * x[0] ** 2]),
        lambda x: np.array([[1e10 * x[1], 1e10 * x[0]], [2e-10 * x[0], 0]]),
        X[:2],
    ),
}


@pytest.mark.parametrize("method", ["auto", "central"])
@pytest.mark.parametrize("name", RIGHT)
def test_right_jacobians_match(name, method):
    f, jacobian, x = RIGHT[name]
    for seed in range(3):
        report = check_jacobian(f, jacobian, x, method=method, seed=seed)
        assert report.verdict is Verdict.MATCH, str(report)


def test_blocks_are_named_by_results_and_arrays():
    report = check_jacobian(nested, nested_jacobian, NESTED)
    assert list(report.arrays) == [
        f"{result} by {array}"
        for result in ("f(x).sum", "f(x).parts[0]", "f(x).parts[1]")
        for array in ("w", "v")
    ]
    assert report.arrays["f(x).sum by w"].claimed.shape == (2, 6)
    assert str(report).startswith("Jacobian check: MATCH")
    pair = check_jacobian(
        lambda x: (x[0] ** 2, x[1]),
        lambda x: ((2 * np.diag(x[0]), np.zeros((2, 1))), (np.zeros((1, 2)), np.eye(1))),
        (X[:2].copy(), X[:1].copy()),
    )
    assert pair
    assert list(pair.arrays)[1] == "f(x)[0] by x[1]"


@pytest.mark.parametrize("seed", range(5))
def test_one_wrong_entry_is_named_by_row_and_column(seed):
    rng = np.random.default_rng(seed)
    row, column = int(rng.integers(4)), int(rng.integers(6))

    def wrong(x):
        jacobian = dense_jacobian(x)
        jacobian[row, column] *= 1 + 1e-6  # wrong on purpose
        return jacobian

    report = check_jacobian(dense, wrong, X, seed=seed)
    assert report.verdict is Verdict.MISMATCH
    assert (report.worst.path, report.worst.index) == ("f(x) by x", (row, column))
    assert np.sum(report.arrays["f(x) by x"].verdicts) == Verdict.MISMATCH  # of one entry alone
    assert f"[{row}, {column}]" in str(report)
    with pytest.raises(GradientMismatch, match="Jacobian check: MISMATCH"):
        assert_jacobian(dense, wrong, X)


# id: (f, a wrong Jacobian, point, what is named)
WRONG = {  # wrong on purpose, each
    "transpose": (
        lambda x: np.sin(A[:, :4] @ x),
        lambda x: (np.cos(A[:, :4] @ x)[:, None] * A[:, :4]).T,
        X[:4],
        "transpose",
    ),
    "a factor": (dense, lambda x: 2 * dense_jacobian(x), X, "scale"),
    "sign": (dense, lambda x: -dense_jacobian(x), X, "sign"),
    "an entry that a sparse claim leaves out": (
        square,
        lambda x: sparse.csr_array(square_jacobian(x) * (np.arange(6) != 2)),
        X,
        "",
    ),
    "an entry too many": (
        square,
        lambda x: sparse.csr_array(square_jacobian(x) + 1e-3 * np.eye(6, k=1)),
        X,
        "",
    ),
    "a dead unit": (rectify, lambda x: np.diag((x > -1) * 1.0), X, ""),
    "a constant result": (
        lambda x: np.array([x[0] * 2, 3.0]),
        np.array([[2.0, 0], [1, 0]]),
        X[:2],
        "",
    ),
    "the sign of a small unit": (
        lambda x: np.array([1e10 * x[0] * x[1], 1e-10 * x[0] ** 2]),
        lambda x: np.array([[1e10 * x[1], 1e10 * x[0]], [-2e-10 * x[0], 0]]),
        X[:2],
        "",
    ),
    "nan": (dense, lambda x: dense_jacobian(x) * np.where(np.arange(6) == 1, np.nan, 1), X, ""),
}


@pytest.mark.parametrize("method", ["auto", "central"])
@pytest.mark.parametrize("name", WRONG)
def test_wrong_jacobians_are_a_mismatch(name, method):
    f, jacobian, x, named = WRONG[name]
    report = check_jacobian(f, jacobian, x, method=method)
    assert report.verdict is Verdict.MISMATCH, str(report)
    if named:
        assert [mistake.name for mistake in report.diagnosis] == [named], str(report)


def test_an_array_that_no_result_reads_is_unresolved():
    report = check_jacobian(lambda p: 2 * p[0], [2 * np.eye(3), np.ones((3, 6))], [X[:3].copy(), X])
    assert report.verdict is Verdict.UNRESOLVED
    assert "does not see them" in report.arrays["f(x) by x[1]"].reason


def test_an_unresolved_entry_beside_a_mistake_is_not_said_to_change_nothing():
    weights = np.array([[1e6, 1.0]])
    claimed = weights * [1.001, 1.0001]  # of values, no rounding is known
    report = check_jacobian(lambda x: weights @ x, claimed, np.ones(2))
    (block,) = report.arrays.values()
    assert block.verdicts.tolist() == [[Verdict.MISMATCH, Verdict.UNRESOLVED]]
    assert "does not change" not in str(report)


def test_a_claim_that_is_not_repeatable_is_named():
    rng = np.random.default_rng(0)
    report = check_jacobian(dense, lambda x: dense_jacobian(x) * (1 + 1e-3 * rng.random()), X)
    assert [mistake.name for mistake in report.diagnosis] == ["not repeatable"]


def test_few_evaluations_serve_all_rows():
    f = counted(lambda x: np.tanh(TALL @ x))
    jacobian = lambda x: (1 - np.tanh(TALL @ x) ** 2)[:, None] * TALL  # noqa: E731
    report = check_jacobian(f, jacobian, P)
    assert report
    assert report.evaluations == f.calls <= 50 + 20
    f.calls = 0
    assert check_jacobian(f, jacobian, P, method="central")
    assert f.calls <= 8 * 50 + 40


@pytest.mark.parametrize("seed", range(4))
def test_estimates_of_random_functions_hold(seed):
    with np.errstate(all="ignore"):
        parts = [one for one in draw_several(seed, most=12) if has_claim(one)]
        x = parts[0].params
        found = numerical_jacobian(lambda p: np.array([one.cost(p) for one in parts]), x)
        for row, one in enumerate(parts):
            for name in x:
                assert one.holds(name, found.value[name][row], found.error[name][row]).all()


def has_claim(composition):
    try:
        return all(np.isfinite(array).all() for array in composition.claim().values())
    except ArithmeticError:
        return False


def test_numerical_jacobian_is_nested_as_results_and_inside_as_x():
    found, right = numerical_jacobian(nested, NESTED), nested_jacobian(NESTED)
    for value, error, truth in (
        (found.value["sum"], found.error["sum"], right["sum"]),
        (found.value["parts"][1], found.error["parts"][1], right["parts"][1]),
    ):
        for name in ("w", "v"):
            assert value[name].shape == error[name].shape == truth[name].shape
            assert (np.abs(value[name] - truth[name]) <= error[name]).all()
    assert numerical_jacobian(dense, X).value.shape == (4, 6)


def test_memory_is_bounded_by_blocks_of_results(monkeypatch):
    whole = numerical_jacobian(nested, NESTED)
    monkeypatch.setattr(results_module, "MAX_NUMBERS", 16 * 9 * 2)
    in_blocks = numerical_jacobian(nested, NESTED)
    assert in_blocks.evaluations > whole.evaluations
    assert np.array_equal(in_blocks.value["sum"]["w"], whole.value["sum"]["w"])
    assert np.array_equal(in_blocks.error["parts"][0]["v"], whole.error["parts"][0]["v"])


def test_results_are_those_of_an_executor():
    alone = numerical_jacobian(square, X)
    with ThreadPoolExecutor(2) as threads, ProcessPoolExecutor(1) as processes:
        for executor in (threads, processes):
            found = numerical_jacobian(square, X[:2], executor=executor)
            assert np.array_equal(found.value, alone.value[:2, :2])


def test_an_executor_moves_entries_of_any_memory_layout():
    x = np.asfortranarray(A[:2, :3])
    with ThreadPoolExecutor(2) as threads:
        report = check_jacobian(
            lambda x: np.abs(x).ravel() ** 3,
            lambda x: np.diag(3 * x.ravel() * np.abs(x).ravel()),
            x,
            executor=threads,
        )
    assert report, str(report)


def test_a_function_of_a_stack():
    calls = 0

    def stack(x):  # of many x, along the first axis
        nonlocal calls
        calls += 1
        return np.tanh(x @ A.T)

    report = check_jacobian(stack, dense_jacobian, X, stacked=True, method="central")
    assert report
    assert calls < report.evaluations / 2
    assert check_jacobian(stack, dense_jacobian, X, stacked=True)
    alone, found = numerical_jacobian(dense, X), numerical_jacobian(stack, X, stacked=True)
    assert np.allclose(found.value, alone.value, rtol=1e-12)


def test_noise_of_a_result_is_no_reason_to_expect_less():
    def small(x):  # the difference of large terms, so that its own rounding is large
        return np.array([(1e4 + x[0]) - 1e4 - 0.4 * x[1], x[1]])

    x = np.array([0.35, 0.9])
    right = np.array([[1.0, -0.4], [0, 1]])
    report = check_jacobian(small, lambda x: right + 0 * x[0], x)
    assert report, str(report)
    assert report.rtol < 1e-7
    wrong = check_jacobian(small, lambda x: right * (1 + 1e-6) + 0 * x[0], x)  # on purpose
    assert wrong.verdict is Verdict.MISMATCH


def test_an_executor_calls_the_function_once_for_all_results():
    f = counted(lambda x: np.abs(TALL[:20] @ x))
    jacobian = np.sign(TALL[:20] @ P)[:, None] * TALL[:20]
    with ThreadPoolExecutor(2) as threads:
        report = check_jacobian(f, jacobian, P, executor=threads)
    assert report, str(report)
    assert f.calls <= 12 * P.size


def test_bounds_are_kept():
    seen = []

    def f(x):
        seen.append(x.real.copy())
        return np.sqrt(x)

    x = np.array([1e-8, 1.0, 4])
    assert check_jacobian(f, lambda x: np.diag(0.5 / np.sqrt(x)), x, bounds=(0, 4))
    assert np.min(seen) >= 0
    assert np.max(seen) <= 4


def test_x_is_restored():
    x = X.copy()

    def closure(_):
        return np.tanh(A @ x)

    assert check_jacobian(closure, dense_jacobian, x)
    assert x.tobytes() == X.tobytes()


def test_an_interrupt_reports_the_rows_compared():
    from checks import CheckInterrupted

    def f(x):
        f.calls += 1
        if f.calls == 40:
            raise KeyboardInterrupt
        return np.abs(x)

    f.calls = 0
    with pytest.raises(CheckInterrupted) as caught:
        check_jacobian(f, lambda x: np.diag(np.sign(x)), X)
    assert "Interrupted" in str(caught.value)


def flip(x):
    return x if math.isclose(x[0], 0.5, abs_tol=1e-12) else x[:1]


# id: (f, jacobian, x, error, fragment of its text)
BAD = {
    "f a value": (X, np.eye(6), X, TypeError, "f is an array"),
    "transposed": (
        dense,
        A.T.copy(),
        X,
        ValueError,
        r"has shape \(6, 4\), wanted \(4, 6\).*transpose",
    ),
    "too few rows": (dense, A[:3], X, ValueError, r"jacobian has shape \(3, 6\), wanted \(4, 6\)"),
    "one row for a vector of one": (lambda x: x[:1], np.ones(6), X, ValueError, r"wanted \(1, 6\)"),
    "integers": (dense, np.ones((4, 6), int), X, TypeError, "dtype int64.*lost the fractions"),
    "truth values": (dense, np.ones((4, 6), bool), X, TypeError, "dtype bool"),
    "complex": (dense, np.ones((4, 6)) * 1j, X, TypeError, "dtype complex128.*real part"),
    "None": (dense, lambda x: None, X, TypeError, r"jacobian\(x\) is None"),
    "a string": (dense, "J", X, TypeError, "jacobian is a str"),
    "ragged": (dense, [[1.0], [1.0, 2.0]], X, TypeError, "jacobian is a list"),
    "sparse, transposed": (dense, sparse.csr_array(A.T), X, ValueError, "transpose"),
    "sparse integers": (square, sparse.csr_array(np.eye(6, dtype=int)), X, TypeError, "int64"),
    "a key is missing": (
        nested,
        lambda p: {"sum": nested_jacobian(p)["sum"]},
        NESTED,
        ValueError,
        "lacks 'parts'",
    ),
    "an inner key is missing": (
        nested,
        lambda p: nested_jacobian(p) | {"sum": {"w": 0}},
        NESTED,
        ValueError,
        r"jacobian\(x\).sum lacks 'v'",
    ),
    "an array for a nesting": (nested, np.eye(6), NESTED, TypeError, "wanted a dict of 'sum'"),
    "no results": (lambda x: x[:0], np.eye(6), X, ValueError, r"f\(x\) has no entries"),
    "integer results": (
        lambda x: [x, np.array([1, 2])],
        np.eye(6),
        X,
        TypeError,
        r"f\(x\)\[1\] is an array of dtype int64",
    ),
    "a result None": (
        lambda x: {"a": None},
        np.eye(6),
        X,
        TypeError,
        "f.x..a is None, wanted an array of floats",
    ),
    "a result of text": (lambda x: "text", np.eye(6), X, TypeError, r"f\(x\) is a str"),
    "a truth value": (lambda x: x > 0, np.eye(6), X, TypeError, "truth values have no derivative"),
    "a result nan": (
        lambda x: np.where(x == x[1], np.nan, x),
        np.eye(6),
        X,
        ValueError,
        r"f\(x\)\[1\] is nan",
    ),
    "a shape that changes": (flip, np.eye(2), np.array([0.5, 1]), ValueError, "where x is moved"),
    "f changes x": (
        lambda x: x.__setitem__(0, 7.0) or x * 2,
        np.eye(2),
        np.array([0.5, 1]),
        ValueError,
        "f changes its argument",
    ),
    "the claim changes x": (
        np.sin,
        lambda x: x.__setitem__(0, 7.0) or np.eye(2),
        np.array([0.5, 1]),
        ValueError,
        "jacobian changes its argument",
    ),
    "x of integers": (np.sin, np.eye(2), np.array([1, 2]), TypeError, "^x has dtype.* be moved"),
    "x without numbers": (
        np.sin,
        np.eye(2),
        [1.0, None],
        TypeError,
        r"^x\[1\] is None.*give numpy",
    ),
    "rtol": (np.sin, np.eye(2), {"rtol": 2.0}, ValueError, "rtol is 2.0"),
    "resolution": (np.sin, np.eye(2), {"resolution": "x"}, ValueError, "resolution is 'x'"),
    "scale": (np.sin, np.eye(2), {"scale": "row"}, ValueError, "scale is 'row'"),
    "method": (np.sin, np.eye(2), {"method": "forward"}, ValueError, "method is 'forward'"),
    "seed": (np.sin, np.eye(2), {"seed": -1}, ValueError, "seed is -1"),
    "bounds crossed": (np.sin, np.eye(2), {"bounds": (1, -1)}, ValueError, "lower ≤ upper"),
    "bounds without x": (np.sin, np.eye(2), {"bounds": (50, 60)}, ValueError, "below its lower"),
    "bounds of another nesting": (
        np.sin,
        np.eye(2),
        {"bounds": ({"w": 1}, None)},
        TypeError,
        "bounds",
    ),
    "an executor's class": (
        np.sin,
        np.eye(2),
        {"executor": ThreadPoolExecutor},
        TypeError,
        "executor is the class",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_named(name):
    f, jacobian, x, error, message = BAD[name]
    x, options = (X[:2], x) if isinstance(x, dict) and "w" not in x else (x, {})
    before = x.tobytes() if isinstance(x, np.ndarray) else b""
    with pytest.raises(error, match=message) as caught:
        check_jacobian(f, jacobian, x, **options)
    if "result" in name:
        assert "params" not in str(caught.value)
    assert not before or x.tobytes() == before


def offset(x):
    return np.array([np.sin(x[0]) * x[1], np.cosh(x[0]) - x[1] ** 3 + 5840.0])


def offset_jacobian(x):
    return np.array([[np.cos(x[0]) * x[1], np.sin(x[0])], [np.sinh(x[0]), -3 * x[1] ** 2]], x.dtype)


@pytest.mark.parametrize("entry", [(0, 0), (0, 1), (1, 0), (1, 1)])
def test_a_millionth_of_one_entry_is_seen_beside_an_offset(entry):
    def wrong(x):
        jacobian = offset_jacobian(x)
        jacobian[entry] *= 1 + 1e-6  # wrong on purpose
        return jacobian

    x = np.array([0.7, -1.3])
    assert check_jacobian(offset, offset_jacobian, x)
    report = check_jacobian(offset, wrong, x)
    assert report.verdict is Verdict.MISMATCH, str(report)
    assert report.worst.index == entry


def test_a_millionth_of_a_tiny_entry_is_seen_though_another_row_refuses_a_wider_dtype():
    def f(x):
        return np.array([np.linalg.det(np.diag(x[:2])), np.sin(1e4 * x[2]) + 1e-5 * x[1]])

    def jacobian(x):
        rows = np.zeros((2, 3), x.dtype)
        rows[0, :2] = np.linalg.det(np.diag(x[:2])) / x[:2]
        rows[1, 1:] = 1e-5, 1e4 * np.cos(1e4 * x[2])
        return rows

    def wrong(x):
        # wrong on purpose: by less than 2⁶ last places of the row's largest entry
        return jacobian(x) * np.where(np.arange(6).reshape(2, 3) == 4, 1 + 1e-6, 1)

    x = np.array([0.7, -1.3, 1e-4])
    assert check_jacobian(f, jacobian, x)
    report = check_jacobian(f, wrong, x)
    assert report.verdict is Verdict.MISMATCH, str(report)
    assert report.worst.index == (1, 1)


def test_a_result_that_rounds_to_zero_may_have_a_derivative():
    def f(x):
        z = x * (1 - x)
        return np.append(np.log(1 + np.exp(z)), x[0])

    x = np.array([-20.1, -19.8])
    s = np.exp(x * (1 - x)) * (1 - 2 * x)
    exact = np.append(np.diag(s), [[1.0, 0.0]], axis=0)
    assert check_jacobian(f, exact, x).verdict is not Verdict.MISMATCH
    found = numerical_jacobian(f, x)
    assert (np.abs(found.value - exact) <= found.error).all()


def test_a_result_with_a_narrow_stage_is_not_taken_to_lift_as_others_do():
    def f(x):
        z = 1000 * x
        return np.array([np.sin(z[0]), *(z - np.sin(z)).astype(np.float64)])

    x = np.array([4.3e-4, 3.1e-4])
    exact = np.array([[1000 * np.cos(0.43), 0], [1000 * (1 - np.cos(0.43)), 0], [0, 0]])
    exact[2, 1] = 2000 * np.sin(0.155) ** 2
    for seed in range(10):
        found = numerical_jacobian(f, x, method="central", seed=seed)
        assert (np.abs(found.value - exact) <= found.error + 1e-15 * np.abs(exact)).all()


def test_exact_zeros_are_not_counted_as_known_by_their_arrays_scale():
    report = check_jacobian(np.sin, lambda x: np.diag(np.cos(x)), X)
    assert report
    assert report.coarse == 0
    assert "scale" not in str(report)


def test_results_may_be_larger_than_float32_holds():
    x = np.array([1.5, -0.5])
    assert check_jacobian(lambda x: 1e45 * x**2, np.diag(2e45 * x), x)
