"""Check a training step by the gradient that its update implies."""

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from checks._types import FloatArray
from checks.diagnosis.steps import Call, diagnose_step, small_rates
from checks.estimation.estimates import estimate_derivatives
from checks.estimation.widened import restoring_widened
from checks.evaluation.pointwise import Evaluations
from checks.evaluation.progress import Progress
from checks.gradient import check_options, require_match
from checks.judgement.claim import Claim
from checks.judgement.every_entry import judge_gradient
from checks.judgement.interruption import finish
from checks.parameters.claims import flatten, flatten_claim
from checks.report.report import Report
from checks.report.verdict import Verdict

__all__ = ["assert_step", "check_step"]

# Far below, near and far above the rates of training. A large rate shows whether the step uses
# weights that it has already updated; at a small one, rounding hides the update.
LEARNING_RATES = (2.0**-10, 1.0, 2.0**10)


def check_step(
    cost: Callable[[Any], Any],
    step: Callable[[Any, float], Any],
    params: Any,
    *,
    learning_rates: Sequence[float] = LEARNING_RATES,
    rtol: float | None = None,
    scale: str = "entry",
    resolution: float = 1e-3,
    method: str = "auto",
    bounds: Any = None,
    seed: int = 0,
) -> Report:
    """Check a step of gradient descent, θ' = θ − η ∇C, against the cost.

    At every learning rate η, the implied gradient (θ − θ')/η must match. A finding says if it
    depends on η, as it does if weights are updated before the backward pass uses them again.

    Parameters
    ----------
    cost
        Takes parameters nested as `params` and returns one number, which depends on nothing else.
    step
        Takes the parameters and a learning rate. Returns new parameters in the same nesting, or
        updates its argument in place and returns None; the parameters are restored. At every
        learning rate it is called as often as the gradient in `check_gradient`, and where it is
        wrong seven times more.
    params
        As in `check_gradient`.
    learning_rates
        Positive numbers; the default spans 2⁻¹⁰ to 2¹⁰.
    rtol, scale, resolution, method, bounds, seed
        As in `check_gradient`.

    Returns
    -------
    Report
        The report of the rate with the worst verdict. UNRESOLVED counts only if no learning rate is
        a MATCH: at small rates, rounding hides the update.

    Raises
    ------
    TypeError, ValueError
        As `check_gradient`; also if a learning rate is not positive.
    CheckInterrupted
        As `check_gradient`.
    """
    check_options(method, seed, rtol, resolution, scale=scale)
    if not learning_rates or not all(0 < eta < np.inf for eta in learning_rates):
        raise ValueError(f"learning_rates is {learning_rates!r}, wanted positive numbers")
    started = time.perf_counter()
    given = Evaluations(cost, params, Progress(), bounds)
    implied = {float(eta): _implied_gradient(given, step, float(eta)) for eta in learning_rates}
    with given.handing_back(given.cost):
        with restoring_widened(given, seed) as evaluations:
            with evaluations.tolerating_interrupt():
                any_claim = next(iter(implied.values()))[0]  # dtypes are the same at every rate
                estimates = estimate_derivatives(evaluations, method, seed, rtol, any_claim.arrays)
            reports = {
                eta: judge_gradient(estimates, claim, resolution, scale, started, findings, errors)
                for eta, (claim, errors, findings) in implied.items()
            }
        worst = _worst(reports)
        if worst.verdict is Verdict.MISMATCH and not evaluations.interrupted:
            first: list[Call] = [(eta, claim.arrays) for eta, (claim, _, _) in implied.items()]
            worst = _named(worst, given, step, first)
    return finish(worst, evaluations)


def assert_step(
    cost: Callable[[Any], Any], step: Callable[[Any, float], Any], params: Any, **options: Any
) -> Report:
    """Check a step of gradient descent, and raise an AssertionError unless it is a MATCH.

    Parameters
    ----------
    cost, step, params, **options
        As `check_step`.

    Returns
    -------
    Report

    Raises
    ------
    GradientMismatch, GradientUnresolved
        The text is the whole report.
    TypeError, ValueError, CheckInterrupted
        As `check_step`.
    """
    __tracebackhide__ = True
    return require_match(check_step(cost, step, params, **options))


def _implied_gradient(
    evaluations: Evaluations, step: Callable[[Any, float], Any], eta: float
) -> tuple[Claim, dict[str, FloatArray], list[str]]:
    """Return the claim (θ − θ')/η, its rounding error by path, and findings about shapes."""

    def updated(params: Any) -> tuple[dict[str, FloatArray], dict[str, FloatArray], list[str]]:
        """Return θ and θ', copied before the point is restored."""
        before = {path: array.copy() for path, array in flatten(params).items()}
        result = step(params, eta)
        after, findings = flatten_claim(
            evaluations.nesting.params,
            params if result is None else result,
            "step(params, learning_rate)",
        )
        if result is None and all(np.array_equal(a, before[path]) for path, a in after.items()):
            findings.append(
                "step returned None, and left the parameters as they were: is a return "
                "forgotten, or is the learning rate too small?"
            )
        return before, {path: array.copy() for path, array in after.items()}, findings

    def implied(params: Any) -> dict[str, FloatArray]:
        before, after, _ = updated(params)
        return {path: (theta - after[path]) / eta for path, theta in before.items()}

    try:
        before, after, findings = evaluations.call_at_point(updated)
    finally:
        evaluations.restore()
    claims, errors = {}, {}
    for path, theta in before.items():
        claims[path] = (theta - after[path]) / eta
        with np.errstate(invalid="ignore"):
            last_place = np.spacing(np.maximum(np.abs(theta), np.abs(after[path])))
        errors[path] = np.nan_to_num(last_place) / eta
    return Claim(evaluations, claims, implied), errors, findings


def _named(
    report: Report, given: Evaluations, step: Callable[[Any, float], Any], first: list[Call]
) -> Report:
    """Return the report with the name of a mistake that only steps have; it takes 7 more calls."""

    def calls(rates: Sequence[float]) -> list[Call]:
        return [(eta, _implied_gradient(given, step, eta)[0].arrays) for eta in rates]

    repeated = calls([min(first, key=lambda call: abs(np.log(call[0])))[0]] * 4)
    values = given.values
    found = diagnose_step(
        first,
        repeated,
        lambda: calls(small_rates(report.arrays, values)),
        report.arrays,
        values,
    )
    return replace(report, diagnosis=found) if found else report


def _worst(reports: dict[float, Report]) -> Report:
    """Return the worst report; a finding says whether the gradient depends on the rate."""
    wrong = [eta for eta, report in reports.items() if report.verdict is Verdict.MISMATCH]
    if wrong:
        eta = max(wrong, key=lambda eta: reports[eta].discrepancy)
    else:
        eta = max(reports, key=lambda eta: (bool(reports[eta]), eta))
    findings = [f"At learning rate {eta:g}."]
    if wrong and any(_differ(reports[eta], other) for other in reports.values()):
        findings.append("The implied gradient depends on the learning rate.")
    return replace(reports[eta], findings=(*reports[eta].findings, *findings))


def _differ(one: Report, other: Report) -> bool:
    """Whether the claims of two reports differ by more than their errors and the tolerance."""
    return any(
        bool(np.any(~(np.abs(a.claimed - b.claimed) <= a.error + b.error + a.limit)))
        for a, b in zip(one.arrays.values(), other.arrays.values(), strict=True)
    )
