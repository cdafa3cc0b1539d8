"""Check a gradient, or estimate one: `check_gradient` and what goes with it."""

import time
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any

from checks._types import FloatArray
from checks.estimation.estimates import METHODS, estimate_derivatives
from checks.estimation.widened import restoring_widened
from checks.evaluation.executors import ExecutedCost
from checks.evaluation.pointwise import Evaluations
from checks.evaluation.progress import Progress
from checks.evaluation.stacked import StackedCost
from checks.judgement.claim import Claim
from checks.judgement.every_entry import judge_gradient
from checks.judgement.interruption import finish
from checks.judgement.projected import check_projected
from checks.parameters.claims import flatten_claim
from checks.parameters.complex_parts import ComplexPoint
from checks.report.report import GradientMismatch, GradientUnresolved, Report
from checks.report.session import record
from checks.report.verdict import SCALES, Verdict

__all__ = [
    "NumericalGradient",
    "assert_gradient",
    "check_gradient",
    "check_options",
    "evaluations_around",
    "gradient_report",
    "numerical_gradient",
    "require_match",
]


@dataclass(frozen=True, eq=False)
class NumericalGradient:
    """An estimate of a gradient, as `numerical_gradient` returns it.

    Attributes
    ----------
    value, error
        Nested as the parameters. Each derivative lies in value ± error. The error is inf where
        nothing is known, for instance if moves of the array do not change the cost by a bit.
    evaluations : int
        Calls of the cost.
    method : str
        "central", "complex-step", or "mixed" where arrays differ.
    """

    value: Any
    error: Any
    evaluations: int
    method: str


def numerical_gradient(
    cost: Callable[[Any], Any],
    params: Any,
    *,
    method: str = "auto",
    bounds: Any = None,
    seed: int = 0,
    executor: Executor | None = None,
    stacked: bool = False,
    progress: bool = True,
) -> NumericalGradient:
    """Estimate the gradient of a cost, with an error for every entry.

    Parameters
    ----------
    cost
        Takes parameters nested as `params` and returns one number, which depends on nothing else.
    params
        The point: any nesting of lists, tuples, named tuples, dicts and dataclasses that holds
        arrays of floats or complex numbers, each array once. Writable arrays are moved in place and
        restored.
    method : {"auto", "complex-step", "central"}
        "auto" takes the complex step for arrays where it agrees with central differences, and
        central differences for the others.
    seed : int
        Determines the random directions and step sizes.
    bounds, executor, stacked, progress
        As in `check_gradient`.

    Returns
    -------
    NumericalGradient

    Raises
    ------
    TypeError, ValueError
        As `check_gradient`.
    """
    check_options(method=method, seed=seed)
    point = ComplexPoint(params)
    cost, params, bounds = point.taking_parts(cost), point.params, point.bounds(bounds)
    given = evaluations_around(cost, params, bounds, seed, executor, stacked, progress)
    with given.handing_back(given.cost), restoring_widened(given, seed) as evaluations:
        estimates = estimate_derivatives(evaluations, method, seed)

    def nested(attribute: str) -> Any:
        """Return the values, or the errors, nested as the parameters."""
        arrays = {
            path: estimates.shaped(path, getattr(estimate, attribute))
            for path, estimate in estimates.by_path.items()
        }
        return point.joined(evaluations.nesting.rebuild(arrays))

    return NumericalGradient(nested("value"), nested("error"), evaluations.count, estimates.method)


def check_gradient(
    cost: Callable[[Any], Any],
    gradient: Any,
    params: Any,
    *,
    rtol: float | None = None,
    scale: str = "entry",
    resolution: float = 1e-3,
    method: str = "auto",
    coverage: str = "every",
    bounds: Any = None,
    seed: int = 0,
    executor: Executor | None = None,
    stacked: bool = False,
    progress: bool = True,
) -> Report:
    """Check a gradient against numerical estimates of the cost's derivatives.

    Each entry gets a verdict from the claim g, the estimate n, its error e, and the largest entry s
    of its array: MISMATCH if |g − n| − e > rtol · max(|g|, |n|); otherwise MATCH if e ≤
    resolution · s, and UNRESOLVED if not. A claim may be off by its own rounding besides, which is
    measured where the verdict depends on it: see `checks.report.verdict.Rule`. The report's verdict
    is the worst of all entries.

    Parameters
    ----------
    cost
        Takes parameters nested as `params` and returns one number, which depends on nothing else.
        The last call is with `params` itself, so an object that keeps its argument has yours.
    gradient
        The claim: arrays nested as `params`, or a function that takes the parameters and returns
        these. It is called twice at the point, and must give the same. Where an entry is off by
        more than rtol of itself, it is called seven more times: six times with copies of the
        parameters in a wider dtype, and again at the point; where its rounding may explain that, as
        often at each of up to three other points. Projected checks call it once. It is called once
        more where arrays are read-only, as the cost is. It may read what the cost kept of its last
        call, as a backward pass does: if that explains why the second call differs or raises, the
        cost is called before each further call.
    params
        The point: any nesting of lists, tuples, named tuples, dicts and dataclasses that holds
        arrays of floats or complex numbers, each array once. Writable arrays are moved in place and
        restored bit for bit, even if the cost raises; read-only arrays are moved in copies. The
        gradient by a complex z = x + iy is ∂C/∂x + i ∂C/∂y, which is PyTorch's convention and the
        conjugate of JAX's. Its parts stand in the report as ``z.real`` and ``z.imag``.
    rtol : float, optional
        How accurate the claim must be, relative to each entry. Default: √eps of the coarsest of the
        cost's noise, the dtype of the parameters, and that of the claim.
    scale : {"entry", "array"}
        "array" makes `rtol` relative to the largest entry of an array: for a gradient that is an
        approximation, as one with a solver's tolerance. Projected checks always do that.
    resolution : float
        How accurate the estimate must be for a MATCH, relative to the largest entry of its array.
    method : {"auto", "complex-step", "central"}
        "auto" takes the complex step for arrays where it agrees with central differences, and
        central differences for the others.
    coverage : {"every", "projected"}
        "every" compares every entry. "projected" is for large arrays: it compares along random
        directions, and searches for the wrong entries only where these show a mistake. It also
        takes arrays of PyTorch and JAX, which stay on their devices, and it returns a
        `checks.report.projected_report.ProjectedReport`.
    bounds : (lower, upper), optional
        The cost is called nowhere outside. Each of the two is a number, or None or an infinity for
        no bound; or it is nested as `params`, with one of these or an array of its shape for every
        array. Bounds are rounded to the dtype of their array. At a bound, derivatives are
        one-sided. Even without bounds no entry is moved by more than its own size, and zeros, or
        what rounding has left of zeros, by no more than the typical size of their array (1 if that
        is all zero).
    seed : int
        Determines the random directions and step sizes.
    executor : concurrent.futures.Executor, optional
        Evaluates the cost: a process pool, or ``get_executor()`` of a Dask client. Each task gets
        a copy of the parameters, so the cost must use its argument, not arrays that it closes over.
        For processes, cost and parameters must be picklable. The numbers are the same, bit for bit.
    stacked : bool
        The cost takes many parameter sets at once, along a leading axis of every array, and returns
        an array of their costs. Arrays that are the same in all sets are read-only broadcasts.
    progress : bool
        Show a bar on stderr, if that is a terminal and the check takes more than a second.

    Returns
    -------
    Report
        True only if its verdict is MATCH.

    Raises
    ------
    TypeError
        The parameters, the cost, the claim or the bounds are of a wrong kind; the message says what
        was wanted.
    ValueError
        The parameters have no entries, share memory, are not finite, or not within the bounds;
        claim or bounds have another nesting or size; bounds are crossed or nan; an option is out of
        range; the cost or the gradient changes its argument; the cost does not take the complex
        steps of an explicit ``method="complex-step"``; the cost gives other numbers by the
        executor, or stacked.
    CheckInterrupted
        Ctrl-C, a KeyboardInterrupt, ended the check. The text and the attribute ``report`` say what
        had been compared by then.
    """
    check_options(method, seed, rtol, resolution, coverage, scale)
    point = ComplexPoint(params)
    cost, gradient = point.taking_parts(cost), point.claim(gradient)
    params, bounds = point.params, point.bounds(bounds)
    if coverage == "projected" and (executor is not None or stacked or bounds is not None):
        raise ValueError(
            "coverage is 'projected', which moves whole arrays, one at a time: wanted neither "
            "executor nor stacked nor bounds"
        )
    if coverage == "projected":
        return record(check_projected(cost, gradient, params, rtol, resolution, method, seed))
    options = (rtol, resolution, scale, method, bounds, seed, executor, stacked, progress)
    return finish(*gradient_report(cost, gradient, params, *options))


def gradient_report(
    cost: Callable[[Any], Any],
    gradient: Any,
    params: Any,
    rtol: float | None,
    resolution: float,
    scale: str,
    method: str,
    bounds: Any,
    seed: int,
    executor: Executor | None,
    stacked: bool,
    progress: bool,
) -> tuple[Report, Evaluations]:
    """Return the report of `check_gradient`, not recorded yet, and the cost's evaluations."""
    started = time.perf_counter()
    given = evaluations_around(cost, params, bounds, seed, executor, stacked, progress)
    claim, findings = _claim(gradient, given)
    with (
        given.handing_back(given.cost, gradient),
        restoring_widened(given, seed) as evaluations,
    ):
        with evaluations.tolerating_interrupt():
            estimates = estimate_derivatives(evaluations, method, seed, rtol, claim.arrays)
        if isinstance(evaluations.cost, ExecutedCost) and evaluations.cost.worker_error:
            error = evaluations.cost.worker_error
            findings.append(f"Evaluated again in this process, as the executor failed: {error}.")
        report = judge_gradient(estimates, claim, resolution, scale, started, findings)
    return report, evaluations


def assert_gradient(
    cost: Callable[[Any], Any], gradient: Any, params: Any, **options: Any
) -> Report:
    """Check a gradient, and raise an AssertionError unless it is a MATCH.

    Parameters
    ----------
    cost, gradient, params, **options
        As `check_gradient`.

    Returns
    -------
    Report

    Raises
    ------
    GradientMismatch
        The gradient is wrong. The text is the whole report.
    GradientUnresolved
        The estimates are too uncertain to tell. The text is the whole report, with the reasons.
    TypeError, ValueError, CheckInterrupted
        As `check_gradient`.
    """
    __tracebackhide__ = True
    return require_match(check_gradient(cost, gradient, params, **options))


def require_match(report: Report) -> Report:
    """Return a report whose verdict is MATCH; raise any other as an error."""
    __tracebackhide__ = True
    if report.verdict is Verdict.MISMATCH:
        raise GradientMismatch(report)
    if report.verdict is Verdict.UNRESOLVED:
        raise GradientUnresolved(report)
    return report


def check_options(
    method: str,
    seed: int,
    rtol: float | None = None,
    resolution: float = 1e-3,
    coverage: str = "every",
    scale: str = "entry",
) -> None:
    """Raise a ValueError that names the first option that is out of range."""
    if method not in METHODS:
        raise ValueError(f"method is {method!r}, wanted one of {', '.join(METHODS)}")
    if coverage not in ("every", "projected"):
        raise ValueError(f"coverage is {coverage!r}, wanted 'every' or 'projected'")
    if scale not in SCALES:
        raise ValueError(f"scale is {scale!r}, wanted 'entry' or 'array'")
    for name, value in (("rtol", rtol), ("resolution", resolution)):
        if name == "rtol" and value is None:
            continue
        if not isinstance(value, Real) or not 0 < value < 1:
            raise ValueError(
                f"{name} is {value!r}, wanted a number between 0 and 1: it is relative to the "
                "entries of the gradient"
            )
    if not isinstance(seed, Integral) or seed < 0:
        raise ValueError(f"seed is {seed!r}, wanted a non-negative integer")


def evaluations_around(
    cost: Callable[[Any], Any],
    params: Any,
    bounds: Any,
    seed: int,
    executor: Executor | None,
    stacked: bool,
    progress: bool,
) -> Evaluations:
    """Return the evaluations of a cost; test that executor and stacking give the same numbers."""
    evaluated: Any = cost
    if stacked and callable(cost):
        evaluated = stacked_cost = StackedCost(cost)
    if executor is not None and callable(cost):
        evaluated = executed_cost = ExecutedCost(evaluated, executor)
    # raises a TypeError if the cost is not callable
    evaluations = Evaluations(evaluated, params, Progress(progress), bounds)
    if executor is not None:
        with evaluations.restoring_parameters():
            executed_cost.check(evaluations, seed)
    if stacked:
        with evaluations.restoring_parameters():
            stacked_cost.check(evaluations)
    return evaluations


def _claim(gradient: Any, evaluations: Evaluations) -> tuple[Claim, list[str]]:
    """Return the claim, after its first call if it is a function, and findings on its shapes."""
    params = evaluations.nesting.params
    source = "gradient(params)" if callable(gradient) else "gradient"
    result = gradient
    if callable(gradient):
        with evaluations.unchanged("gradient"):
            result = evaluations.call_at_point(gradient)
    arrays, findings = flatten_claim(params, result, source)
    copies = {path: g.copy() for path, g in arrays.items()}
    if not callable(gradient):
        return Claim(evaluations, copies), findings

    def claimed(at: Any) -> dict[str, FloatArray]:
        again, _ = flatten_claim(params, gradient(at), source)
        return {path: g.copy() for path, g in again.items()}

    return Claim(evaluations, copies, claimed), findings
