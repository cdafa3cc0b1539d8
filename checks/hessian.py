"""Check second derivatives of a cost: a Hessian, or its products with vectors."""

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from checks.derivatives.options import Names, Options
from checks.derivatives.rows import NumericalJacobian, estimated_jacobian, judged_jacobian
from checks.derivatives.slopes import slopes_of, with_symmetry
from checks.derivatives.tangents import judged_jvp
from checks.gradient import require_match
from checks.judgement.diagonal import judged_diagonal
from checks.judgement.interruption import finish
from checks.parameters.complex_parts import ComplexPoint
from checks.report.report import Report

__all__ = ["assert_hessian", "assert_hvp", "check_hessian", "check_hvp", "numerical_hessian"]

NAMES = Names("Hessian", "hessian", "gradient", "params")


def numerical_hessian(
    cost: Callable[[Any], Any],
    params: Any,
    *,
    gradient: Callable[[Any], Any] | None = None,
    **options: Any,
) -> NumericalJacobian:
    """Estimate the Hessian of a cost, with an error for every entry.

    Parameters
    ----------
    cost, params
        As in `check_gradient`.
    gradient
        The gradient as a function, if there is one: then its derivatives are estimated, which is
        sharper and faster. It is taken to be right: `check_hessian` judges it.
    **options
        method, bounds, seed, executor and progress, as in `check_gradient`.

    Returns
    -------
    NumericalJacobian
        `value` and `error` are nested as the parameters, and inside as the parameters again; of a
        single array of shape a, they have the shape (*a, *a). `evaluations` counts calls of the
        cost and of the gradient.

    Raises
    ------
    TypeError, ValueError
        As `check_hessian`.
    """
    given = Options.of("numerical_hessian", options)
    with slopes_of(cost, gradient, params, given) as slopes:
        found = estimated_jacobian(slopes.function, params, slopes.options, slopes.doubt)
    return replace(found, evaluations=slopes.calls(found.evaluations))


def check_hessian(
    cost: Callable[[Any], Any],
    hessian: Any,
    params: Any,
    *,
    gradient: Callable[[Any], Any] | None = None,
    **options: Any,
) -> Report:
    """Check a Hessian, all second derivatives of a cost.

    It is compared with the derivatives of the gradient, each row as `check_jacobian` does. If
    `gradient` is given, that is judged as well, since a Hessian of a wrong gradient is wrong. If
    not, the gradient is taken from values of the cost: by complex steps where the cost carries
    imaginary parts through, else by differences, and then the second derivatives are known to fewer
    digits.

    Parameters
    ----------
    cost, params
        As in `check_gradient`.
    hessian
        The claim, or a function that takes the parameters and returns it. Of a single array of n
        entries it is a matrix (n, n), dense or of scipy.sparse, or has the array's shape twice; of
        a nesting, such blocks, nested as the parameters and inside as the parameters again. Arrays
        of the shapes of the parameters are the diagonal, the convention of boosting libraries: then
        only the diagonal is judged.
    gradient
        The gradient as a function: takes the parameters, returns arrays nested alike.
    **options
        rtol, scale, resolution, method, bounds, seed, executor and progress, as in
        `check_gradient`.

    Returns
    -------
    Report
        Its arrays are blocks, as "gradient by params" or "gradient.w by b", with row and column as
        the index; of a diagonal, the arrays of the parameters. Those of the gradient, if that is
        given and wrong, are "gradient" and so on. A finding names where the claim is not symmetric.

    Raises
    ------
    TypeError, ValueError, CheckInterrupted
        As `check_jacobian`. From values of the cost alone, no entry may stand on a bound, but for a
        diagonal.
    """
    given, started = Options.of("check_hessian", options), time.perf_counter()
    with slopes_of(cost, gradient, params, given, hessian) as slopes:
        hessian = slopes.after_cost(hessian)
        if slopes.own is not None:
            report, evaluations = judged_diagonal(slopes.own, hessian, params, slopes.options)
        else:
            report, evaluations = judged_jacobian(
                slopes.function,
                hessian,
                ComplexPoint(params),
                slopes.options,
                NAMES,
                slopes.doubt,
            )
            report = with_symmetry(report, gradient is not None)
        report = slopes.finished(report, started)
    return finish(report, evaluations)


def check_hvp(
    cost: Callable[[Any], Any],
    hvp: Callable[[Any, Any], Any],
    params: Any,
    *,
    gradient: Callable[[Any], Any] | None = None,
    **options: Any,
) -> Report:
    """Check a Hessian–vector product.

    For the vectors v_j of `check_jvp`, hvp(params, v_j) must match the derivative of the gradient
    at params + Σ t_j v_j by t_j. The gradient is that of `check_hessian`.

    Parameters
    ----------
    cost, params
        As in `check_gradient`.
    hvp
        Takes the parameters and a vector nested as the parameters, and returns a result nested
        alike.
    gradient, **options
        As in `check_hessian`.

    Returns
    -------
    Report
        Its arrays are "gradient by t", or of several arrays "gradient.w by t" and so on, as
        matrices: a row for each entry of the gradient, a column for each vector.

    Raises
    ------
    TypeError, ValueError, CheckInterrupted
        As `check_hessian`.
    """
    given, started = Options.of("check_hvp", options), time.perf_counter()
    names = replace(NAMES, kind="hvp", claim="hvp(params, v)", x="t")
    with slopes_of(cost, gradient, params, given) as slopes:
        report, evaluations = judged_jvp(
            slopes.function,
            slopes.after_cost(hvp),
            ComplexPoint(params),
            slopes.options,
            names,
            slopes.doubt,
        )
        report = slopes.finished(report, started)
    return finish(report, evaluations)


def assert_hessian(cost: Callable[[Any], Any], hessian: Any, params: Any, **options: Any) -> Report:
    """Check a Hessian, and raise an AssertionError unless it is a MATCH.

    Parameters
    ----------
    cost, hessian, params, **options
        As `check_hessian`.

    Returns
    -------
    Report

    Raises
    ------
    GradientMismatch, GradientUnresolved
        The text is the whole report.
    TypeError, ValueError, CheckInterrupted
        As `check_hessian`.
    """
    __tracebackhide__ = True
    return require_match(check_hessian(cost, hessian, params, **options))


def assert_hvp(
    cost: Callable[[Any], Any], hvp: Callable[[Any, Any], Any], params: Any, **options: Any
) -> Report:
    """Check a Hessian–vector product, and raise an AssertionError unless it is a MATCH.

    Parameters
    ----------
    cost, hvp, params, **options
        As `check_hvp`.

    Returns
    -------
    Report

    Raises
    ------
    GradientMismatch, GradientUnresolved
        The text is the whole report.
    TypeError, ValueError, CheckInterrupted
        As `check_hvp`.
    """
    __tracebackhide__ = True
    return require_match(check_hvp(cost, hvp, params, **options))
