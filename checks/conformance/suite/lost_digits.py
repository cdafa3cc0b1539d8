"""Whether a mismatch is only the rounding of σ' computed from a, as a (1 − a) or 1 − a²."""

# ruff: noqa: E741 — the notes' letters l and L
from dataclasses import replace
from typing import Any

import numpy as np

from backprop.costs import COSTS
from checks.conformance.suite.smallest_failure import unrecorded
from checks.conformance.suite.trial import Trial, try_out
from checks.conformance.targets.known_costs import KnownCost, known_cost
from checks.conformance.targets.target import Target
from checks.evaluation.cost_value import as_number
from checks.report.verdict import Verdict
from checks.strategies import Problem

__all__ = ["lost_digits"]

# The rounding errors of a and of 1 − a are together at most this many eps.
ULPS = 4
# For each activation a formula for σ' in a, which loses digits where a rounds to 1, and one in z,
# which keeps them.
SLOPES = {
    "logistic": ("a (1 − a)", "σ' = t/(1 + t)², t = e^{−|z|}"),
    "tanh": ("1 − a²", "σ' = 4 t/(1 + t)², t = e^{−2|z|}"),
}
# Large weights amplify rounding errors. If a target's layers are unknown, this factor is allowed.
AMPLIFICATION = 2.0**17


def lost_digits(target: Target, trial: Trial) -> str:
    """Return why rounding explains a mismatch, or an empty text if it does not.

    The text ends with "As here:", so that an example can follow.

    If the cost is one of the reference's up to a factor, recognised by its values or else named by
    the target, its activations are known. Then the rounding of 1 − a in each σ' is propagated to
    every entry of the gradient, and explains a mismatch in which no entry is off by more. With any
    other cost, the same network must be right for smaller parameters, which do not saturate it, and
    the discrepancies must be negligible beside the gradient there.
    """
    if trial.report is None:
        return ""
    known = known_cost(target)
    row = known or KnownCost(target.activation, target.cost_name)
    names = sorted(SLOPES.keys() & {*row.activations(len(trial.problem.weights))})
    if names and _is_explained(target, row, trial):
        return (
            "the gradient is off by no more than digits lost to rounding: where a rounds to 1, "
            f"none are left in {' and in '.join(SLOPES[name][0] for name in names)}. To keep all: "
            f"{'; '.join(SLOPES[name][1] for name in names)}. As here:"
        )
    if not known and trial.problem.regime == "saturated" and _is_negligible(target, trial):
        return (
            "the discrepancies cannot be told from digits lost to rounding where a rounds to 1, "
            "because the cost is none of the reference's; the same network with smaller parameters "
            "is right. As here:"
        )
    return ""


def _is_explained(target: Target, row: KnownCost, trial: Trial) -> bool:
    """Whether every discrepancy is below the bound that rounding in σ' of the known cost gives."""
    assert trial.report is not None
    problem = trial.problem
    with np.errstate(all="ignore"):  # nan compares as false, and so counts as not explained
        known = row.cost(problem)
        cost = as_number(target.cost(problem.weights, problem.biases, problem.x, problem.y))
        # rtol is √eps of the cost's precision, so rtol² is eps
        bounds = _rounding_bounds(row, problem, trial.report.rtol**2)
        return all(
            np.all(
                np.abs(array.claimed - array.numeric)
                <= np.abs(cost / known) * bound + array.error + trial.report.rtol * array.largest
            )
            for array, bound in zip(trial.report.arrays.values(), bounds, strict=True)
        )


def _is_negligible(target: Target, trial: Trial) -> bool:
    """Whether the gradient is right for smaller parameters, and discrepancies small beside it."""
    assert trial.report is not None
    problem = trial.problem
    weights, biases = [w / 10 for w in problem.weights], [b / 20 for b in problem.biases]
    with unrecorded():
        unsaturated = replace(problem, weights=weights, biases=biases)
        other = try_out(target, unsaturated, trial.function)
    if other.report is None or other.report.verdict is not Verdict.MATCH:
        return False
    largest = max(np.abs(array.numeric).max() for array in other.report.arrays.values())
    bound = AMPLIFICATION * trial.report.rtol**2 * largest
    return all(
        bool(np.all(np.abs(array.claimed - array.numeric) <= bound + array.error))
        for array in trial.report.arrays.values()
    )


def _rounding_bounds(row: KnownCost, problem: Problem, eps: float) -> list[Any]:
    """Return bounds of the rounding error of each ∂C/∂w^l, then of each ∂C/∂b^l."""
    a, slope = row.layers(problem)
    w, L = problem.weights, len(problem.weights)  # noqa: N806 — the notes' letter
    names = ["", *row.activations(L)]
    relative = [
        # relative error of σ': for logistic ULPS eps / (1 − a), which is ULPS eps a / σ'; for tanh
        # ULPS eps / (1 − a²), which is ULPS eps / σ'
        ULPS * eps * (a[l] if names[l] == "logistic" else 1) / slope[l]
        if names[l] in SLOPES
        else np.zeros_like(slope[l])
        for l in range(L + 1)
    ]
    # size is a bound of |δ^l|, error of its error Δδ^l; the error of any product u v is
    # Δ(uv) ≤ |u| Δv + Δu (|v| + Δv)
    size = np.abs(COSTS[row.cost_name].slope(a[L], problem.y) / len(problem.x) * slope[L])
    error = size * relative[L]
    dw, db = [np.abs(error.T) @ np.abs(a[L - 1])], [error.sum(axis=0)]
    for l in range(L - 1, 0, -1):
        # w[l] is w^{l+1}, because the list w begins with w^1
        size_above, error_above = size @ np.abs(w[l]), error @ np.abs(w[l])
        size = size_above * slope[l]
        error = size * relative[l] + error_above * slope[l] * (1 + relative[l])
        dw.insert(0, error.T @ np.abs(a[l - 1]))
        db.insert(0, error.sum(axis=0))
    return [*dw, *db]
