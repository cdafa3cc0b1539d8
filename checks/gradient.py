"""The front door: whether a gradient is right."""

import math
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from numbers import Integral, Real
from typing import Any

import numpy as np

from checks._types import FloatArray
from checks.complex_step import complex_step
from checks.differences import Estimate, central_differences, draw_direction
from checks.evaluations import Evaluations
from checks.noise import Noise, measure_noise, typical_size
from checks.parameters import flatten_claim, rebuild
from checks.report import ArrayReport, GradientMismatch, GradientUnresolved, Report
from checks.verdict import Verdict, judge, largest_entry

__all__ = ["NumericalGradient", "assert_gradient", "check_gradient", "numerical_gradient"]

METHODS = ("auto", "complex-step", "central")
# So many accusations of one array are each heard a second time; if all stand, so do the others.
WITNESSED = 16


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
    cost: Callable[[Any], Any], params: Any, *, method: str = "auto", seed: int = 0
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

    Returns
    -------
    NumericalGradient

    Raises
    ------
    TypeError, ValueError
        As `check_gradient`.
    """
    _check_options(method=method, seed=seed)
    evaluations = Evaluations(cost, params)
    with _at_peace(evaluations):
        noise = measure_noise(evaluations, np.random.default_rng(seed))
        goal = _default_rtol(evaluations, noise, {}) / 100
        estimates, used = _estimate_all(evaluations, method, noise, seed, goal)

    def nested(name: str) -> Any:
        shaped = {p: _shaped(getattr(e, name), evaluations, p) for p, e in estimates.items()}
        return rebuild(params, shaped)

    return NumericalGradient(nested("value"), nested("error"), evaluations.count, used)


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
    coverage : {"every"}
        Every entry of every array.
    seed : int
        Draws the directions and the steps.

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
        changes its argument; a cost that is not capable of an explicit ``method="complex-step"``.
    """
    _check_options(method, seed, rtol, resolution, coverage)
    started = time.perf_counter()
    evaluations = Evaluations(cost, params)
    claims, findings = _claim(gradient, evaluations)
    with _at_peace(evaluations):
        noise = measure_noise(evaluations, np.random.default_rng(seed))
        if rtol is None:
            rtol = _default_rtol(evaluations, noise, claims)
        estimates, used = _estimate_all(evaluations, method, noise, seed, rtol / 100)
        arrays = {
            path: _judge_array(
                evaluations, path, claims[path], estimate, noise, rtol, resolution, seed
            )
            for path, estimate in estimates.items()
        }
    zeros = [p for p, a in arrays.items() if a.claimed.size and a.all_zero and not a.reason]
    if zeros:
        findings.append(
            f"{', '.join(zeros)}: zero in every entry, and the cost does not change by a bit "
            "however far they move: nothing was compared."
        )
    return Report(
        arrays=arrays,
        rtol=rtol,
        resolution=resolution,
        method=used,
        noise=noise.relative,
        evaluations=evaluations.count,
        seconds=time.perf_counter() - started,
        seed=seed,
        findings=tuple(findings),
    )


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
    report = check_gradient(cost, gradient, params, **options)
    if report.verdict is Verdict.MISMATCH:
        raise GradientMismatch(report)
    if report.verdict is Verdict.UNRESOLVED:
        raise GradientUnresolved(report)
    return report


def _check_options(
    method: str,
    seed: int,
    rtol: float | None = None,
    resolution: float = 1e-3,
    coverage: str = "every",
) -> None:
    if method not in METHODS:
        raise ValueError(f"method is {method!r}, wanted one of {', '.join(METHODS)}")
    if coverage != "every":
        raise ValueError(f"coverage is {coverage!r}, wanted 'every'")
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


@contextmanager
def _at_peace(evaluations: Evaluations) -> Iterator[None]:
    """Keep the warnings of moved costs from the caller, and restore the parameters at the end."""
    try:
        with np.errstate(all="ignore"), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        evaluations.restore()


def _claim(gradient: Any, evaluations: Evaluations) -> tuple[dict[str, FloatArray], list[str]]:
    """Return the claimed arrays, copied, and findings about their shapes."""
    source = "gradient"
    if callable(gradient):
        source = "gradient(params)"
        try:
            gradient = evaluations.call_unmoved(gradient)
        finally:
            changed = evaluations.restore()
        if changed:
            raise ValueError(
                f"gradient changes its argument ({changed}); the parameters were restored: let it "
                "work on copies of what it assigns to"
            )
    claims, findings = flatten_claim(evaluations.params, gradient, source)
    return {path: claim.copy() for path, claim in claims.items()}, findings


def _default_rtol(evaluations: Evaluations, noise: Noise, claims: dict[str, FloatArray]) -> float:
    """Return √eps of the precision that the cost turns out to have, or of the coarser dtype."""
    dtypes = [array.dtype for array in (*evaluations.values.values(), *claims.values())]
    eps = max(float(np.finfo(dtype).eps) for dtype in dtypes)
    return math.sqrt(min(max(eps, noise.relative, float(np.finfo(np.float64).eps)), 0.01))


def _estimate_all(
    evaluations: Evaluations, method: str, noise: Noise, seed: int, goal: float
) -> tuple[dict[str, Estimate], str]:
    """Estimate every entry of every array; return the method as well."""
    estimates, used = {}, set()
    for number, (path, values) in enumerate(evaluations.values.items()):
        rng = np.random.default_rng([seed, number])
        entries = np.arange(values.size)
        estimate = None
        if method != "central" and values.size:
            estimate = complex_step(evaluations, path, entries, noise, rng)
        if method == "complex-step" and values.size and estimate is None:
            raise ValueError(
                f"method is 'complex-step', but complex moves of {path} do not give the derivative "
                "that differences show: abs, max, comparisons, casts or .real in the cost drop the "
                "imaginary part; use method='auto' or 'central'"
            )
        used.add("central" if estimate is None else "complex-step")
        if estimate is None:
            estimate = central_differences(evaluations, path, entries, noise, rng, goal)
        estimates[path] = estimate
    return estimates, used.pop() if len(used) == 1 else "mixed"


def _judge_array(
    evaluations: Evaluations,
    path: str,
    claimed: FloatArray,
    estimate: Estimate,
    noise: Noise,
    rtol: float,
    resolution: float,
    seed: int,
) -> ArrayReport:
    numeric = _shaped(estimate.value, evaluations, path)
    error = _shaped(estimate.error, evaluations, path)
    verdicts = judge(claimed, numeric, error, rtol, resolution)
    rng = np.random.default_rng([seed, len(path), claimed.size])
    reason = ""
    if noise.unseen:
        verdicts[...] = Verdict.UNRESOLVED
        reason = (
            "the cost does not change by a bit however its parameters move: it does not see them "
            "(a closure over other arrays, or copies?), or it is constant."
        )
    elif claimed.size and largest_entry(claimed, numeric) == 0:
        if _is_independent(evaluations, path, rng):
            verdicts[...] = Verdict.MATCH
    else:
        kinked = _shaped(estimate.kinked, evaluations, path) & (verdicts == Verdict.MISMATCH)
        kinked &= np.isfinite(claimed)
        verdicts[kinked] = Verdict.UNRESOLVED
        refuted = _second_witness(
            evaluations, path, claimed, estimate, verdicts, noise, rtol, resolution, rng
        )
        if kinked.any():
            reason = (
                "a kink at the point: the slopes on its two sides differ, so there is no "
                "derivative to compare with. Check at a point beside it."
            )
        elif refuted:
            reason = "two estimates by different steps disagree: too little for an accusation."
    array = ArrayReport(path, claimed, numeric, error, verdicts, reason)
    if not reason and (verdicts == Verdict.UNRESOLVED).any():
        array = replace(array, reason=_why_unresolved(array, evaluations, noise))
    return array


def _is_independent(evaluations: Evaluations, path: str, rng: np.random.Generator) -> bool:
    """Whether the cost stays the same, bit for bit, when a whole array moves, a little and far."""
    values = evaluations.values[path]
    moves = (
        size * typical_size(values) * draw_direction(values, rng)
        for size in (2.0**-8, 2.0**-2, 2.0**4)
    )
    return all(evaluations.along({path: move}) == evaluations.at_point for move in moves)


def _second_witness(
    evaluations: Evaluations,
    path: str,
    claimed: FloatArray,
    estimate: Estimate,
    verdicts: Any,
    noise: Noise,
    rtol: float,
    resolution: float,
    rng: np.random.Generator,
) -> bool:
    """Hear a second estimate before a MISMATCH; where it does not agree, the entry is UNRESOLVED.

    Central differences from other steps. Where these are too blurred to see the discrepancy, it is
    enough that they do not contradict the first estimate.
    """
    flat_claim, flat_verdicts = claimed.reshape(-1), verdicts.reshape(-1)
    accused = np.flatnonzero((flat_verdicts == Verdict.MISMATCH) & np.isfinite(flat_claim))
    # the worst first: if they all stand, the rest stands on the same estimate, proven on them
    accused = accused[np.argsort(-np.abs(flat_claim - estimate.value)[accused])]
    refuted = False
    for some in (accused[:WITNESSED], accused[WITNESSED:]):
        second = central_differences(evaluations, path, some, noise, rng, rtol / 100, start=1 / 3)
        agree = np.abs(second.value - estimate.value[some]) <= second.error + estimate.error[some]
        flat_verdicts[some[~agree]] = Verdict.UNRESOLVED
        refuted = refuted or not agree.all()
        if not refuted:
            break
    return refuted


def _why_unresolved(array: ArrayReport, evaluations: Evaluations, noise: Noise) -> str:
    """Say why an array has unresolved entries, and what would resolve them."""
    unresolved = array.verdicts == Verdict.UNRESOLVED
    if noise.stochastic:
        return (
            "the cost is not a function of its parameters: two calls at one point differ "
            f"(noise {noise.level:.0e}). Fix its random seed, or switch dropout off."
        )
    if np.isnan(array.numeric[unresolved]).any():
        said = f" ({evaluations.outside})" if evaluations.outside else ""
        return f"steps leave the domain where the cost is finite{said}. Check at a point inside."
    if np.isinf(array.error[unresolved]).any():
        return (
            "differences do not converge at any step: a kink, a jump or a fast oscillation at "
            "these entries. Check at a point beside it."
        )
    if array.all_zero:
        return (
            "every entry is zero, as claimed, but only to within rounding: there is nothing to "
            "compare. Check away from a stationary point, dead units or saturation."
        )
    share = float(array.error[unresolved].max()) / array.largest
    return (
        f"blurred: the estimate's error is up to {share:.1e} of the largest entry, from a noise "
        f"of {noise.relative:.0e} in the cost. A cost in higher precision, capable of complex "
        "numbers, or with larger derivatives here would resolve it."
    )


def _shaped(values: Any, evaluations: Evaluations, path: str) -> Any:
    return values.reshape(evaluations.values[path].shape)
