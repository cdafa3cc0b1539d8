"""The front door: whether a gradient is right."""

import time
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any

from checks._types import FloatArray
from checks.estimation.estimates import METHODS, estimate_derivatives
from checks.evaluation.executors import ExecutedCost
from checks.evaluation.pointwise import Evaluations
from checks.evaluation.progress import Progress
from checks.evaluation.stacked import StackedCost
from checks.judgement.every_entry import judge_gradient
from checks.judgement.interruption import finish
from checks.judgement.projected import check_projected
from checks.parameters.claims import flatten_claim
from checks.report.report import GradientMismatch, GradientUnresolved, Report
from checks.report.session import record
from checks.report.verdict import Verdict

__all__ = [
    "NumericalGradient",
    "assert_gradient",
    "check_gradient",
    "check_options",
    "numerical_gradient",
    "require_match",
]


@dataclass(frozen=True, eq=False)
class NumericalGradient:
    """An estimate of a gradient.

    Attributes
    ----------
    value, error
        Nested as the parameters: each derivative lies in value ± error, inf where nothing is known.
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
    seed: int = 0,
    executor: Executor | None = None,
    stacked: bool = False,
    progress: bool = True,
) -> NumericalGradient:
    """Estimate the gradient of a cost, with an error for every entry.

    Parameters
    ----------
    cost
        Takes parameters nested as `params`, returns one number; a function of them alone.
    params
        Any nesting of lists, tuples, named tuples, dicts and dataclasses with arrays of floats as
        leaves, at most one leaf an array. Writable arrays are moved in place and restored.
    method : {"auto", "complex-step", "central"}
        "auto" takes the complex step for arrays where it agrees with central differences.
    seed : int
        Draws the directions and the steps.
    executor, stacked, progress
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
    evaluations = _evaluations(cost, params, seed, executor, stacked, progress)
    with evaluations.restoring_parameters():
        found = estimate_derivatives(evaluations, method, seed)

    def nested(name: str) -> Any:
        parts = {path: getattr(estimate, name) for path, estimate in found.by_path.items()}
        shaped = {path: found.shaped(path, part) for path, part in parts.items()}
        return evaluations.nesting.rebuild(shaped)

    return NumericalGradient(nested("value"), nested("error"), evaluations.count, found.method)


def check_gradient(
    cost: Callable[[Any], Any],
    gradient: Any,
    params: Any,
    *,
    rtol: float | None = None,
    resolution: float = 1e-3,
    method: str = "auto",
    coverage: str = "every",
    seed: int = 0,
    executor: Executor | None = None,
    stacked: bool = False,
    progress: bool = True,
) -> Report:
    """Check a gradient against numerical estimates of the cost's derivatives.

    Parameters
    ----------
    cost
        Takes parameters nested as `params`, returns one number; a function of them alone.
    gradient
        Takes the parameters too and returns their gradient in the same nesting; or that nesting.
    params
        Any nesting of lists, tuples, named tuples, dicts and dataclasses with arrays of floats as
        leaves, at most one leaf an array. Writable arrays are moved in place and restored bit for
        bit, also where the cost raises; read-only ones are moved in copies.
    rtol : float, optional
        The accuracy that the claim owes, relative to the largest entry of its array. √eps of the
        coarsest of: the cost's noise, the dtype of the parameters, the dtype of the claim.
    resolution : float
        The accuracy that the estimate owes, likewise relative.
    method : {"auto", "complex-step", "central"}
        "auto" takes the complex step for arrays where it agrees with central differences.
    coverage : {"every", "projected"}
        Every entry of every array; or, for large ones, random directions, and a search for what is
        wrong where they show that something is. Arrays may then be of PyTorch or JAX as well, and
        stay on their devices; the report is a `checks.report.projected_report.ProjectedReport`.
    seed : int
        Draws the directions and the steps.
    executor : concurrent.futures.Executor, optional
        Evaluates the cost: a process pool, or ``get_executor()`` of a Dask client. Each task has
        its own copy of the parameters, so the cost must be a function of its argument; for
        processes cost and parameters must be such as can be pickled. Same numbers, bit for bit.
    stacked : bool
        The cost takes many parameter sets at once, along a leading axis of every leaf, and returns
        an array of their costs. Leaves that do not differ are read-only views of one, repeated.
    progress : bool
        A check of more than a second shows a bar on stderr, where that is a terminal.

    Returns
    -------
    Report
        True only if its verdict is MATCH.

    Raises
    ------
    TypeError
        Leaves, cost or claim of the wrong kind; each error names what it was and what was wanted.
    ValueError
        No entries, shared memory, not finite, another nesting or size; a cost or gradient that
        changes its argument; a cost that is not capable of an explicit ``method="complex-step"``,
        or does not give the same costs by the executor, or stacked.
    CheckInterrupted
        A KeyboardInterrupt, as which it also passes: its text, and its ``report``, are of what was
        compared by then.
    """
    check_options(method, seed, rtol, resolution, coverage)
    if coverage == "projected" and (executor is not None or stacked):
        raise ValueError(
            "coverage is 'projected', which moves whole arrays: wanted neither executor nor stacked"
        )
    if coverage == "projected":
        return record(check_projected(cost, gradient, params, rtol, resolution, method, seed))
    started = time.perf_counter()
    evaluations = _evaluations(cost, params, seed, executor, stacked, progress)
    claims, findings = _claim(gradient, evaluations)
    with evaluations.restoring_parameters():
        with evaluations.patience():
            found = estimate_derivatives(evaluations, method, seed, rtol, claims)
        if isinstance(evaluations.cost, ExecutedCost) and evaluations.cost.lost:
            findings.append(f"Done again here, for the executor failed: {evaluations.cost.lost}.")
        report = judge_gradient(found, claims, resolution, started, findings)
    return finish(report, evaluations)


def assert_gradient(
    cost: Callable[[Any], Any], gradient: Any, params: Any, **options: Any
) -> Report:
    """Check a gradient, and raise unless it matches.

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
        The gradient is wrong: the text is the whole report.
    GradientUnresolved
        The estimate is too blurred to say, and why.
    """
    __tracebackhide__ = True
    return require_match(check_gradient(cost, gradient, params, **options))


def require_match(report: Report) -> Report:
    """Return a report that is a MATCH; raise any other."""
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
) -> None:
    """Raise a ValueError that names the first option of a check that is out of its range."""
    if method not in METHODS:
        raise ValueError(f"method is {method!r}, wanted one of {', '.join(METHODS)}")
    if coverage not in ("every", "projected"):
        raise ValueError(f"coverage is {coverage!r}, wanted 'every' or 'projected'")
    for name, value in (("rtol", rtol), ("resolution", resolution)):
        if value is None and name == "rtol":
            continue
        if not isinstance(value, Real) or not 0 < value < 1:
            raise ValueError(
                f"{name} is {value!r}, wanted a number between 0 and 1: it is relative to the "
                "largest entry of an array"
            )
    if not isinstance(seed, Integral) or seed < 0:
        raise ValueError(f"seed is {seed!r}, wanted a non-negative integer")


def _evaluations(
    cost: Callable[[Any], Any],
    params: Any,
    seed: int,
    executor: Executor | None,
    stacked: bool,
    progress: bool,
) -> Evaluations:
    """Return the evaluations of a cost, by way of what was asked for, once that is seen to work."""
    own: Any = cost
    if stacked and callable(cost):
        own = stack = StackedCost(cost)
    if executor is not None and callable(cost):
        own = workers = ExecutedCost(own, executor)
    evaluations = Evaluations(own, params, Progress(progress))
    if executor is not None:
        with evaluations.restoring_parameters():
            workers.check(evaluations, seed)
    if stacked:
        with evaluations.restoring_parameters():
            stack.check(evaluations)
    return evaluations


def _claim(gradient: Any, evaluations: Evaluations) -> tuple[dict[str, FloatArray], list[str]]:
    """Return the claimed arrays, copied, and findings about their shapes."""
    source = "gradient"
    if callable(gradient):
        source = "gradient(params)"
        with evaluations.unchanged("gradient"):
            gradient = evaluations.call_unmoved(gradient)
    claims, findings = flatten_claim(evaluations.nesting.params, gradient, source)
    return {path: claim.copy() for path, claim in claims.items()}, findings
