"""Recognising a cross entropy that takes the log of p + ε, where ε is a small constant."""

import numpy as np

from checks.conformance.targets.known_costs import (
    PROBLEMS,
    KnownCost,
    costs_on,
    factor_names,
    known_costs,
)
from checks.conformance.targets.target import Target
from checks.strategies import Problem

__all__ = ["find_log_constant"]

NEAR = 0.05  # a small constant changes the cost by less than this share of it
NEWTON_STEPS = 8
# A fitted constant has to explain the cost's change, to SHARE of it. The change has to be more than
# LAST_PLACES last places of the cost.
SHARE, LAST_PLACES = 1e-4, 1e3


def find_log_constant(target: Target) -> tuple[KnownCost, float, float] | None:
    """Return a cross entropy, its factor and ε, if a target's cost is that of the log of p + ε.

    The factor is that of the first problem, with as many outputs and samples as it has.
    """
    problems, costs = costs_on(target, PROBLEMS)
    factors_of = [factor_names(problem) for problem in problems]
    for known in known_costs(target):
        if known.cost_name not in ("cross_entropy", "softmax_cross_entropy"):
            continue
        exact = np.array([known.cost(problem) for problem in problems])
        for name in factors_of[0]:
            factors = np.array([named[name] for named in factors_of])
            change = costs - factors * exact
            if not (np.abs(change) <= NEAR * np.abs(costs)).all():
                continue
            if not (np.abs(change) > LAST_PLACES * np.spacing(np.abs(costs))).all():
                return None  # it is the cost without a constant
            constant = _fitted(known, problems[0], costs[0] / factors[0])
            fitted = [_cost(known, problem, constant) for problem in problems]
            if constant > 0 and (np.abs(costs - factors * fitted) <= SHARE * np.abs(change)).all():
                return known, float(factors[0]), constant
    return None


def _fitted(known: KnownCost, problem: Problem, cost: float) -> float:
    """Return ε by Newton's method from 0; the cost is nearly linear in it."""
    constant = 0.0
    for _ in range(NEWTON_STEPS):
        value = _cost(known, problem, constant)
        slope = (_cost(known, problem, constant + 1e-4) - value) / 1e-4
        constant += (cost - value) / slope
        if not 0 < constant < 1:
            return 0.0
    return constant


def _cost(known: KnownCost, problem: Problem, constant: float) -> float:
    """Return the cross entropy of the log of p + ε."""
    z, y = known.layers(problem)[0][-1], problem.y
    if known.cost_name == "softmax_cross_entropy":
        e = np.exp(z - z.max(axis=1, keepdims=True))
        terms = y * np.log(e / e.sum(axis=1, keepdims=True) + constant)
    else:
        p = 1 / (1 + np.exp(-z))
        terms = y * np.log(p + constant) + (1 - y) * np.log(1 - p + constant)
    return -float(terms.sum(axis=1).mean())
