"""How far the gradient of a fault is from the one that a target returned."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from checks.conformance.naming.faults import Fault
from checks.conformance.naming.observations import LEARNING_RATE, Observation, TextbookCost
from checks.conformance.naming.textbook import Textbook

__all__ = [
    "NEGLIGIBLE",
    "NO_FAULT",
    "TOLERANCE",
    "compare",
    "fault_gradient",
    "has_fitted_constant",
    "relative_distance",
]

# Two gradients are the same if their relative distance is at most this. It is far above the
# rounding error of the networks observed, and far below the effect of every fault except lost
# digits.
TOLERANCE = 1e-9
# A difference is divided by the largest entry of its array, or by this fraction of the gradient's
# largest entry if that is more: a smaller array may be nothing but rounding error. With a softmax,
# for example, ∂C/∂b^L sums to 0 over the nodes, and a fault may return that sum.
NEGLIGIBLE = 1e-5
# A learning rate is fitted by Newton's method, from each guess. A few steps are enough, because the
# gradient is nearly linear in it.
NEWTON_STEPS, GUESSES = 8, (0.01, 0.1, 1.0)

NO_FAULT = Fault("", "", {})


def fault_gradient(
    textbook_cost: TextbookCost,
    fault: Fault,
    observation: Observation,
    constant: float | None = None,
) -> list[Any]:
    """Return the gradient of a target's cost as a fault computes it: ∂C/∂w^l, then ∂C/∂b^l.

    Parameters
    ----------
    textbook_cost
        The target's activation and cost.
    fault, observation
    constant
        Replaces the default of the fault's constant.
    """
    constants: Any = {} if constant is None else {fault.constant or "decay": constant}
    if "penalty" in fault.steps:
        constants["decay"] = observation.decay[0]
    scale = observation.scale
    book = Textbook(*textbook_cost, steps=fault.steps, scale=scale, **constants)
    if "forward" in fault.steps and observation.before:
        book.gradient(*observation.before.copies)  # this earlier call fills the stale cache
    # the penalty's gradient is added below, unless the fault is about the penalty
    weight_decay, bias_decay = (0.0, 0.0) if "penalty" in fault.steps else observation.decay
    weights, biases = observation.weights, observation.biases
    try:
        dw, db = book.gradient(weights, biases, observation.x, observation.y)
        if weight_decay:
            dw = [g + weight_decay * w for g, w in zip(dw, weights, strict=True)]
        if bias_decay:
            db = [g + bias_decay * b for g, b in zip(db, biases, strict=True)]
    except ValueError:  # the steps of two faults together may give shapes that do not fit
        return [np.array([np.nan])] * len(observation.claimed)
    return [*dw, *db] if observation.reads_biases else dw


def has_fitted_constant(fault: Fault, through: str) -> bool:
    """Whether the constant of a fault is unknown until it is fitted to the claimed gradient."""
    is_known = fault.constant == "learning_rate" and through == "step"
    return bool(fault.constant) and "penalty" not in fault.steps and not is_known


def compare(
    textbook_cost: TextbookCost,
    through: str,
    fault: Fault,
    observation: Observation,
    arrays: Sequence[int] | None = None,
    quick: bool = False,
) -> tuple[float, float | None]:
    """Return a fault's relative distance from the claimed gradient, and the fault's constant.

    Parameters
    ----------
    textbook_cost, through, fault, observation
    arrays
        The indices of those arrays that are compared; default all.
    quick
        Whether only the constant that follows from the claim in a line is tried, and no other.
    """
    if fault.constant == "learning_rate" and has_fitted_constant(fault, through) and not quick:
        return _fit_constant(textbook_cost, fault, observation)
    best: tuple[float, float | None] = np.inf, None
    for constant in _constants(textbook_cost, through, fault, observation, arrays):
        predicted = fault_gradient(textbook_cost, fault, observation, constant)
        distance = relative_distance(observation.claimed, predicted, arrays)
        best = min(best, (distance, constant), key=lambda pair: pair[0])
    return best


def _constants(
    textbook_cost: TextbookCost,
    through: str,
    fault: Fault,
    observation: Observation,
    arrays: Sequence[int] | None,
) -> list[float | None]:
    """Return what the constant of a fault may be."""
    claimed = observation.claimed
    if "penalty" in fault.steps:  # the size of the penalty was fitted to the cost
        if not observation.decay[0] or observation.decay[1]:
            return []
        if fault.constant in ("", "decay"):
            return [observation.decay[0]]
    if fault.constant == "limit":
        norm = float(np.sqrt(sum((g * g).sum() for g in claimed)))
        limits: list[float | None] = [max(float(np.abs(g).max()) for g in claimed), norm]
        if not observation.reads_biases and norm:
            # the norm may have been taken with gradients of biases that are not returned
            small = 1e-6 * norm
            p = _joined(fault_gradient(textbook_cost, fault, observation, small)) / small
            g = _joined(claimed)
            limits.append(float(p @ g / (p @ p)) if p.size == g.size and p.any() else norm)
        return limits
    if fault.constant == "learning_rate":
        return [LEARNING_RATE if through == "step" else 1.0]
    if fault.constant == "decay":
        # the gradient is affine in λ
        ends = [fault_gradient(textbook_cost, fault, observation, c) for c in (0.0, 1.0)]
        some = range(len(claimed)) if arrays is None else arrays
        if any(ends[0][i].size != claimed[i].size for i in some):
            return []
        zero, one, g = (_joined([part[i] for i in some]) for part in (*ends, claimed))
        square = float((one - zero) @ (one - zero))
        if not square:  # there is no penalty in these arrays
            return [0.0] if arrays is not None else []
        decay = float((one - zero) @ (g - zero)) / square
        # a penalty that changes nothing explains nothing
        is_small = abs(decay) * np.sqrt(square) <= 1e-6 * np.linalg.norm(g)
        return [] if is_small or not np.isfinite(decay) else [decay]
    return [None]


def _fit_constant(
    textbook_cost: TextbookCost, fault: Fault, observation: Observation
) -> tuple[float, float]:
    """Return the smallest relative distance that was found, and the constant that gives it."""
    claimed = observation.claimed
    best = np.inf, np.nan
    for guess in GUESSES:
        constant = guess
        for _ in range(NEWTON_STEPS):
            if not constant > 0:
                break
            predicted = fault_gradient(textbook_cost, fault, observation, constant)
            distance = relative_distance(claimed, predicted)
            best = min(best, (distance, constant))
            h = 1e-4 * constant
            moved = fault_gradient(textbook_cost, fault, observation, constant + h)
            slope = (_joined(moved) - _joined(predicted)) / h
            if distance <= TOLERANCE / 100 or not slope.any() or not np.isfinite(distance):
                break
            residual = _joined(claimed) - _joined(predicted)
            constant += float(slope @ residual / (slope @ slope))
    return best


def relative_distance(
    claimed: Sequence[Any], predicted: Sequence[Any], arrays: Sequence[int] | None = None
) -> float:
    """Return the largest difference of any entry, relative to the largest entry of its array."""
    worst, largest = 0.0, max(float(np.abs(g).max()) for g in claimed)
    for i in range(len(claimed)) if arrays is None else arrays:
        g, p = claimed[i], predicted[i]
        if g.size != p.size:
            return np.inf
        size = max(float(np.abs(g).max()), float(np.abs(p).max()), NEGLIGIBLE * largest)
        difference = float(np.abs(g.ravel() - p.ravel()).max())
        if not np.isfinite(difference):
            return np.inf
        worst = max(worst, difference / size if size else 0.0)
    return worst


def _joined(arrays: Sequence[Any]) -> Any:
    return np.concatenate([array.ravel() for array in arrays])
