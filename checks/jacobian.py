"""Check derivatives of functions with many results: Jacobians, and products with vectors."""

from collections.abc import Callable
from concurrent.futures import Executor
from typing import Any

from checks.derivatives.cotangents import judged_vjp
from checks.derivatives.options import Names, Options
from checks.derivatives.rows import NumericalJacobian, estimated_jacobian, judged_jacobian
from checks.derivatives.tangents import judged_jvp
from checks.gradient import require_match
from checks.judgement.interruption import finish
from checks.parameters.complex_parts import ComplexPoint
from checks.report.report import Report

__all__ = [
    "NumericalJacobian",
    "assert_jacobian",
    "assert_jvp",
    "assert_vjp",
    "check_jacobian",
    "check_jvp",
    "check_vjp",
    "numerical_jacobian",
]


def numerical_jacobian(
    f: Callable[[Any], Any],
    x: Any,
    *,
    method: str = "auto",
    bounds: Any = None,
    seed: int = 0,
    executor: Executor | None = None,
    stacked: bool = False,
    progress: bool = True,
) -> NumericalJacobian:
    """Estimate the Jacobian of a function, with an error for every entry.

    Parameters
    ----------
    f
        Takes `x` and returns an array of floats or a nesting of them.
    x
        The point: nested as the params of `check_gradient`.
    method, bounds, seed, executor, stacked, progress
        As in `check_gradient`.

    Returns
    -------
    NumericalJacobian

    Raises
    ------
    TypeError, ValueError
        As `check_jacobian`.
    """
    point = ComplexPoint(x)
    options = Options(
        method=method,
        bounds=bounds,
        seed=seed,
        executor=executor,
        stacked=stacked,
        progress=progress,
    ).by(point)
    return estimated_jacobian(point.taking_parts(options.one_by_one(f)), point.params, options)


def check_jacobian(
    f: Callable[[Any], Any],
    jacobian: Any,
    x: Any,
    *,
    rtol: float | None = None,
    scale: str = "entry",
    resolution: float = 1e-3,
    method: str = "auto",
    bounds: Any = None,
    seed: int = 0,
    executor: Executor | None = None,
    stacked: bool = False,
    progress: bool = True,
) -> Report:
    """Check a Jacobian, all first derivatives of a function with many results.

    Every row, the derivatives of one result, is judged as `check_gradient` judges a gradient: each
    entry on its own scale. Where that is not known well enough, the scale is the largest entry of
    the same row and the same array of x, since results may have different units. All rows share
    the evaluations of f.

    Parameters
    ----------
    f
        Takes `x` and returns an array of floats or a nesting of them, which depends on nothing
        else.
    jacobian
        The claim, or a function that takes x and returns it. Of an array of m results by an array
        of n entries it is a matrix (m, n) of floats, dense or of scipy.sparse, a LinearOperator of
        scipy, or has the shape of the results followed by that of the entries. Where f(x) or x is a
        nesting, such blocks are nested as f(x) and inside as x. What a sparse matrix leaves out is
        checked to be zero. It is called as often as the gradient of `check_gradient`. A complex
        block is ∂f/∂x + i ∂f/∂y of a real f by z = x + iy, and ∂f/∂z of a complex one. Where that
        does not exist, give real blocks, ((∂Re f/∂x, ∂Re f/∂y), (∂Im f/∂x, ∂Im f/∂y)); of a real f,
        (∂f/∂x, ∂f/∂y) may be given as well.
    x
        The point: any nesting of lists, tuples, named tuples, dicts and dataclasses that holds
        arrays of floats. Writable arrays are moved in place and restored bit for bit.
    rtol, scale, resolution, method, bounds, seed, executor, stacked, progress
        As in `check_gradient`. The default of `rtol` follows the noise of each result.

    Returns
    -------
    Report
        Its arrays are the blocks, as matrices: "f(x) by x" of single arrays; of others the path of
        the results and the path in x, as in "f(x).sum by w" or "f(x)[0] by x[1]". The index of an
        entry is its row and its column.

    Raises
    ------
    TypeError, ValueError
        As `check_gradient`; also where f(x) holds something else than finite floats, where a block
        has another shape, and where f returns another nesting at moved points.
    CheckInterrupted
        Ctrl-C ended the check; the report says what was compared by then.
    """
    point = ComplexPoint(x)
    options = Options(rtol, scale, resolution, method, bounds, seed, executor, progress, stacked)
    options = options.by(point)
    f = point.taking_parts(options.one_by_one(f))
    return finish(*judged_jacobian(f, jacobian, point, options))


def assert_jacobian(f: Callable[[Any], Any], jacobian: Any, x: Any, **options: Any) -> Report:
    """Check a Jacobian, and raise an AssertionError unless it is a MATCH.

    Parameters
    ----------
    f, jacobian, x, **options
        As `check_jacobian`.

    Returns
    -------
    Report

    Raises
    ------
    GradientMismatch, GradientUnresolved
        The text is the whole report.
    TypeError, ValueError, CheckInterrupted
        As `check_jacobian`.
    """
    __tracebackhide__ = True
    return require_match(check_jacobian(f, jacobian, x, **options))


def check_vjp(
    f: Callable[[Any], Any],
    vjp: Callable[[Any, Any], Any],
    x: Any,
    *,
    seed: int = 0,
    **options: Any,
) -> Report:
    """Check a vector–Jacobian product, the backward pass of a function with many results.

    Every entry of vjp(x, u) must match the gradient of ⟨u, f(x)⟩ for a random cotangent u. For
    others it must be as linear as the product is: for -1000 times u and another random cotangent;
    for some that are zero but for one array of f(x), or one entry; for one of equal entries; and
    for zeros. Two of them are handed over in other memory layouts, in Fortran order and as a
    read-only slice of a larger array; that of equal entries has stride 0. Where the product is not
    linear, it is compared with the gradient for these as well, and for the first in these layouts.
    It must not change its cotangent. All share the evaluations of f.

    Parameters
    ----------
    f
        Takes `x` and returns an array of floats or a nesting of them.
    vjp
        Takes `x` and a cotangent nested as f(x), and returns a result nested as `x`. It is called
        about once for each cotangent, more often where an entry is off. Of complex arrays, ⟨u, f⟩
        is Re Σ ū f, and the gradient by z = x + iy is that by x plus i times that by y.
    x
        The point: the argument of f, nested as the params of `check_gradient`.
    seed : int
        Determines the cotangents, the random directions and step sizes.
    **options
        rtol, scale, resolution, method, bounds, executor, stacked and progress, as in
        `check_gradient`.

    Returns
    -------
    Report
        That of the cotangent with the worst verdict; a finding names the cotangent. Its arrays are
        those of x, by path: "x" of a single array, "x[0]" and so on of several.

    Raises
    ------
    TypeError, ValueError, CheckInterrupted
        As `check_gradient`; also if f(x) is not an array of floats or a nesting of them.
    """
    return finish(*judged_vjp(f, vjp, x, Options.of("check_vjp", {"seed": seed, **options})))


def assert_vjp(
    f: Callable[[Any], Any], vjp: Callable[[Any, Any], Any], x: Any, **options: Any
) -> Report:
    """Check a vector–Jacobian product, and raise an AssertionError unless it is a MATCH.

    Parameters
    ----------
    f, vjp, x, **options
        As `check_vjp`.

    Returns
    -------
    Report

    Raises
    ------
    GradientMismatch, GradientUnresolved
        The text is the whole report.
    TypeError, ValueError, CheckInterrupted
        As `check_vjp`.
    """
    __tracebackhide__ = True
    return require_match(check_vjp(f, vjp, x, **options))


def check_jvp(
    f: Callable[[Any], Any],
    jvp: Callable[[Any, Any], Any],
    x: Any,
    *,
    bounds: Any = None,
    seed: int = 0,
    **options: Any,
) -> Report:
    """Check a Jacobian–vector product, the forward derivative of a function with many results.

    For tangents v_j, jvp(x, v_j) must match the derivative of f(x + Σ t_j v_j) by t_j at t = 0, in
    every result. They are random ones of different sizes, in C and Fortran order and as a read-only
    slice of a larger array; where x has several arrays, some that are zero but for one of them;
    and zeros, for which the product must be zero. It must not change its tangent.

    Parameters
    ----------
    f
        Takes `x` and returns an array of floats or a nesting of them.
    jvp
        Takes `x` and a tangent nested as `x`, and returns a result nested as f(x).
    x
        The point: the argument of f, nested as the params of `check_gradient`.
    bounds
        As in `check_gradient`, for x. At a bound the tangents point inside.
    seed : int
        Determines the tangents, the random directions and step sizes.
    **options
        rtol, scale, resolution, method, executor, stacked and progress, as in
        `check_gradient`.

    Returns
    -------
    Report
        Its arrays are "f(x) by t", or of several results "f(x)[0] by t" and so on, as matrices: a
        row for each result, a column for each tangent.

    Raises
    ------
    TypeError, ValueError, CheckInterrupted
        As `check_vjp`.
    """
    point = ComplexPoint(x)
    given = Options.of("check_jvp", {"seed": seed, "bounds": bounds, **options}).by(point)
    names = Names("jvp", "jvp(x, v)", x="t")
    f = point.taking_parts(given.one_by_one(f))
    return finish(*judged_jvp(f, jvp, point, given, names))


def assert_jvp(
    f: Callable[[Any], Any], jvp: Callable[[Any, Any], Any], x: Any, **options: Any
) -> Report:
    """Check a Jacobian–vector product, and raise an AssertionError unless it is a MATCH.

    Parameters
    ----------
    f, jvp, x, **options
        As `check_jvp`.

    Returns
    -------
    Report

    Raises
    ------
    GradientMismatch, GradientUnresolved
        The text is the whole report.
    TypeError, ValueError, CheckInterrupted
        As `check_jvp`.
    """
    __tracebackhide__ = True
    return require_match(check_jvp(f, jvp, x, **options))
