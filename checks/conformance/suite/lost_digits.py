"""What σ' loses where it is computed from a rounded a, as a (1 − a) or 1 − a²: digits only."""

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

# How many units in the last place of 1 an activation and 1 − a may be off by together.
ULPS = 4
# σ' of a rounded a, and of z.
SLOPES = {
    "logistic": ("a (1 − a)", "σ' = t/(1 + t)², t = e^{−|z|}"),
    "tanh": ("1 − a²", "σ' = 4 t/(1 + t)², t = e^{−2|z|}"),
}
# What large weights may make of a few units, where the layers are not known.
AMPLIFIED = 2.0**17


def lost_digits(target: Target, trial: Trial) -> str:
    """Return how rounding explains a mismatch, up to the words "as here:"; or nothing.

    It does where what is off is no larger than the rounding of 1 − a in σ' makes it. That takes a
    cost which is, up to a factor, the reference's of some activations, found by its values or else
    named by the target: then the losses of each σ' are known, and carried down to every entry of
    the gradient. Of any other cost no more is asked than that the same network is right with
    parameters which do not saturate it, and wrong by next to nothing with these.
    """
    if trial.report is None:
        return ""
    known = known_cost(target)
    row = known or KnownCost(target.activation, target.cost_name)
    names = sorted(SLOPES.keys() & {*row.activations(len(trial.problem.weights))})
    if names and _is_explained(target, row, trial):
        return (
            "what is off is no more than digits lost to rounding: where a rounds to 1, none are "
            f"left in {' and in '.join(SLOPES[name][0] for name in names)}. To keep them all: "
            f"{'; '.join(SLOPES[name][1] for name in names)}. As here:"
        )
    if not known and trial.problem.regime == "saturated" and _is_next_to_nothing(target, trial):
        return (
            "what is off cannot be told from digits lost to rounding, where a rounds to 1, as the "
            "cost is none of the reference's tables; the same network with smaller parameters is "
            "right. As here:"
        )
    return ""


def _is_explained(target: Target, row: KnownCost, trial: Trial) -> bool:
    """Whether no entry is further off than the losses of the layers of a row."""
    assert trial.report is not None
    problem = trial.problem
    with np.errstate(all="ignore"):  # what is not finite explains nothing
        known = row.cost(problem)
        cost = as_number(target.cost(problem.weights, problem.biases, problem.x, problem.y))
        # rtol is √eps of the precision that the cost has
        bounds = _losses(row, problem, trial.report.rtol**2)
        return all(
            np.all(
                np.abs(array.claimed - array.numeric)
                <= np.abs(cost / known) * bound + array.error + trial.report.rtol * array.largest
            )
            for array, bound in zip(trial.report.arrays.values(), bounds, strict=True)
        )


def _is_next_to_nothing(target: Target, trial: Trial) -> bool:
    """Whether what is off is nothing beside the gradient, right, of an unsaturated network."""
    assert trial.report is not None
    problem = trial.problem
    weights, biases = [w / 10 for w in problem.weights], [b / 20 for b in problem.biases]
    with unrecorded():
        calm = try_out(target, replace(problem, weights=weights, biases=biases), trial.through)
    if calm.report is None or calm.report.verdict is not Verdict.MATCH:
        return False
    largest = max(np.abs(array.numeric).max() for array in calm.report.arrays.values())
    off = AMPLIFIED * trial.report.rtol**2 * largest
    return all(
        bool(np.all(np.abs(array.claimed - array.numeric) <= off + array.error))
        for array in trial.report.arrays.values()
    )


def _losses(row: KnownCost, problem: Problem, eps: float) -> list[Any]:
    """Return by how much each ∂C/∂w^l, then each ∂C/∂b^l, may be off."""
    a, slope = row.layers(problem)
    w, L = problem.weights, len(problem.weights)  # noqa: N806 — the notes' letter
    names = ["", *row.activations(L)]
    relative = [
        # logistic: 1 − a = σ'/a; tanh: 1 − a² = σ'
        ULPS * eps * (a[l] if names[l] == "logistic" else 1) / slope[l]
        if names[l] in SLOPES
        else np.zeros_like(slope[l])
        for l in range(L + 1)
    ]
    # the sizes of the terms of δ, and how far these may be off: Δ(uv) ≤ |u| Δv + Δu (|v| + Δv)
    size = np.abs(COSTS[row.cost_name].slope(a[L], problem.y) / len(problem.x) * slope[L])
    off = size * relative[L]
    dw, db = [np.abs(off.T) @ np.abs(a[L - 1])], [off.sum(axis=0)]
    for l in range(L - 1, 0, -1):
        # w^{l+1} is w[l]
        up_size, up_off = size @ np.abs(w[l]), off @ np.abs(w[l])
        size = up_size * slope[l]
        off = size * relative[l] + up_off * slope[l] * (1 + relative[l])
        dw.insert(0, off.T @ np.abs(a[l - 1]))
        db.insert(0, off.sum(axis=0))
    return [*dw, *db]
