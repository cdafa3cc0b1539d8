"""Check a training step: the gradient that an update implies."""

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from checks._types import FloatArray
from checks.estimation.estimates import estimate_derivatives
from checks.evaluation.pointwise import Evaluations
from checks.evaluation.progress import Progress
from checks.gradient import check_options, require_match
from checks.judgement.every_entry import judge_gradient
from checks.judgement.interruption import finish
from checks.parameters.claims import flatten_claim
from checks.report.report import Report
from checks.report.verdict import Verdict

__all__ = ["assert_step", "check_step"]

# From far below to far above the steps of training. A tiny one hides what is done to the weights
# before they are used again; a huge one shows it, and leaves the plain step its last digits.
LEARNING_RATES = (2.0**-10, 1.0, 2.0**10)


def check_step(
    cost: Callable[[Any], Any],
    step: Callable[[Any, float], Any],
    params: Any,
    *,
    learning_rates: Sequence[float] = LEARNING_RATES,
    rtol: float | None = None,
    resolution: float = 1e-3,
    method: str = "auto",
    seed: int = 0,
) -> Report:
    """Check a step of gradient descent, θ' = θ − η ∇C, against the cost.

    The implied gradient (θ − θ')/η must match at every learning rate η. Where it depends on η, as
    it does when weights are updated before the backward pass uses them again, that is a finding.

    Parameters
    ----------
    cost
        Takes parameters nested as `params`, returns one number; a function of them alone.
    step
        Takes the parameters and a learning rate; returns new parameters in the same nesting, or
        None where it updates its argument in place (which is restored).
    params
        As in `check_gradient`.
    learning_rates
        Positive.
    rtol, resolution, method, seed
        As in `check_gradient`.

    Returns
    -------
    Report
        Of the learning rate with the worst verdict. At one so small that rounding hides the
        update, UNRESOLVED does not count where another is a MATCH.

    Raises
    ------
    TypeError, ValueError
        As `check_gradient`; a learning rate that is not positive.
    """
    check_options(method, seed, rtol, resolution)
    if not learning_rates or not all(0 < eta < np.inf for eta in learning_rates):
        raise ValueError(f"learning_rates is {learning_rates!r}, wanted positive numbers")
    started = time.perf_counter()
    evaluations = Evaluations(cost, params, Progress())
    steps = {float(eta): _implied_gradient(evaluations, step, float(eta)) for eta in learning_rates}
    with evaluations.restoring_parameters():
        with evaluations.patience():
            found = estimate_derivatives(
                evaluations, method, seed, rtol, next(iter(steps.values()))[0]
            )
        reports = {
            eta: judge_gradient(found, claims, resolution, started, findings, errors)
            for eta, (claims, errors, findings) in steps.items()
        }
    return finish(_worst(reports), evaluations)


def assert_step(
    cost: Callable[[Any], Any], step: Callable[[Any, float], Any], params: Any, **options: Any
) -> Report:
    """Check a step of gradient descent, and raise unless it matches.

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
        With the whole report as text.
    """
    __tracebackhide__ = True
    return require_match(check_step(cost, step, params, **options))


def _implied_gradient(
    evaluations: Evaluations, step: Callable[[Any, float], Any], eta: float
) -> tuple[dict[str, FloatArray], dict[str, FloatArray], list[str]]:
    """Return (θ − θ')/η, what rounding θ' leaves unknown of it, and findings, by path."""

    def updated(params: Any) -> tuple[dict[str, FloatArray], list[str]]:
        result = step(params, eta)
        after, findings = flatten_claim(
            evaluations.nesting.params,
            params if result is None else result,
            "step(params, learning_rate)",
        )
        return {path: array.copy() for path, array in after.items()}, findings

    try:
        after, findings = evaluations.call_unmoved(updated)
    finally:
        evaluations.restore()
    claims, errors = {}, {}
    for path, before in evaluations.values.items():
        claims[path] = (before - after[path]) / eta
        with np.errstate(invalid="ignore"):
            last_place = np.spacing(np.maximum(np.abs(before), np.abs(after[path])))
        errors[path] = np.nan_to_num(last_place) / eta
    return claims, errors, findings


def _worst(reports: dict[float, Report]) -> Report:
    """Return the report that counts, and whether the gradient depends on the learning rate."""
    wrong = [eta for eta, report in reports.items() if report.verdict is Verdict.MISMATCH]
    if wrong:
        eta = max(wrong, key=lambda eta: reports[eta].discrepancy)
    else:
        eta = max(reports, key=lambda eta: (bool(reports[eta]), eta))
    findings = [f"At learning rate {eta:g}."]
    if wrong and any(_differs(reports[eta], other) for other in reports.values()):
        findings.append(
            "The implied gradient depends on the learning rate, as where weights are updated "
            "before the backward pass uses them again."
        )
    return replace(reports[eta], findings=(*reports[eta].findings, *findings))


def _differs(one: Report, other: Report) -> bool:
    return any(
        bool(np.any(~(np.abs(a.claimed - b.claimed) <= a.error + b.error + one.rtol * a.largest)))
        for a, b in zip(one.arrays.values(), other.arrays.values(), strict=True)
    )
