"""What σ' loses where it is computed from a rounded a, as a (1 − a) or 1 − a²: digits only."""

# ruff: noqa: E741 — the notes' letters l and L
from typing import Any

import numpy as np

from backprop import Network, Parameters
from backprop.costs import COSTS
from checks.conformance.target import Target
from checks.conformance.trial import Trial
from checks.evaluations import as_number

__all__ = ["loses_digits_only"]

# How many units in the last place of 1 an activation and 1 − a may be off by together.
ULPS = 4


def loses_digits_only(target: Target, trial: Trial) -> bool:
    """Whether a mismatch is no larger than the rounding of 1 − a in σ' makes it.

    That takes a cost which is, up to a factor, the reference's of the names that the target gives:
    then the losses of each σ' are known, and carried down to every entry of the gradient.
    """
    if trial.report is None or target.activation not in ("logistic", "tanh"):
        return False
    problem = trial.problem
    net = Network(problem.sizes, target.activation, target.cost_name)
    theta = Parameters(problem.weights, problem.biases)
    with np.errstate(all="ignore"):  # what is not finite explains nothing
        known = as_number(net.cost(theta, problem.x, problem.y))
        cost = as_number(target.cost(problem.weights, problem.biases, problem.x, problem.y))
        # rtol is √eps of the precision that the cost has
        bounds = _losses(net, theta, problem.x, problem.y, trial.report.rtol**2)
        return all(
            np.all(
                np.abs(array.claimed - array.numeric)
                <= np.abs(cost / known) * bound + array.error + trial.report.rtol * array.largest
            )
            for array, bound in zip(trial.report.arrays.values(), bounds, strict=True)
        )


def _losses(net: Network, theta: Parameters, x: Any, y: Any, eps: float) -> list[Any]:
    """Return by how much each ∂C/∂w^l, then each ∂C/∂b^l, may be off."""
    a, slope = net.layers(theta, x)
    w, L = theta.w, net.L  # noqa: N806 — the notes' letter
    relative = [
        # logistic: 1 − a = σ'/a; tanh: 1 − a² = σ'
        ULPS * eps * (a[l] if net.activation == "logistic" else 1) / slope[l]
        for l in range(L + 1)
    ]
    if COSTS[net.cost_name].linear_output:
        relative[L] = 0 * relative[L]
    # the sizes of the terms of δ, and how far these may be off: Δ(uv) ≤ |u| Δv + Δu (|v| + Δv)
    size = np.abs(COSTS[net.cost_name].slope(a[L], y) / len(x) * slope[L])
    off = size * relative[L]
    dw, db = [np.abs(off.T) @ np.abs(a[L - 1])], [off.sum(axis=0)]
    for l in range(L - 1, 0, -1):
        up_size, up_off = size @ np.abs(w[l + 1]), off @ np.abs(w[l + 1])
        size = up_size * slope[l]
        off = size * relative[l] + up_off * slope[l] * (1 + relative[l])
        dw.insert(0, off.T @ np.abs(a[l - 1]))
        db.insert(0, off.sum(axis=0))
    return [*dw, *db]
