"""How far the gradient of a fault is from the one that a target returned."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from checks.conformance.naming.faults import Fault
from checks.conformance.naming.observations import LEARNING_RATE, Observation, Rows
from checks.conformance.naming.textbook import Textbook

__all__ = ["NEGLIGIBLE", "RIGHT", "SAME", "apart", "is_free", "likeness", "predict"]

# Two gradients are the same if no entry differs by more, relative to its array's largest: far above
# rounding in networks such as are watched, far below what any fault does to them but lost digits.
SAME = 1e-9
# An array so small beside the gradient as a whole is compared with that: it may be nothing but
# rounding, as ∂C/∂b^L of a softmax is, when it is summed over the nodes.
NEGLIGIBLE = 1e-5
# Newton's method, for constants in which most faults are linear: so often, from each of these.
ROUNDS, GUESSES = 8, (0.01, 0.1, 1.0)

RIGHT = Fault("", "", {})


def predict(
    rows: Rows, fault: Fault, seen: Observation, constant: float | None = None
) -> list[Any]:
    """Return the gradient that a fault gives, of a target's cost: ∂C/∂w^l and then ∂C/∂b^l.

    Parameters
    ----------
    rows
        The target's activation and cost.
    fault, seen
    constant
        In place of the one that the fault brings along.
    """
    constants: Any = {} if constant is None else {fault.constant: constant}
    book = Textbook(*rows, steps=fault.steps, **constants)
    if "forward" in fault.steps and seen.before:
        book.gradient(*seen.before.copies)
    of_weights, of_biases = (0.0, 0.0) if "penalty" in fault.steps else seen.decay
    try:
        dw, db = book.gradient(seen.weights, seen.biases, seen.x, seen.y)
        return [
            *(seen.scale * g + of_weights * w for g, w in zip(dw, seen.weights, strict=True)),
            *(seen.scale * g + of_biases * b for g, b in zip(db, seen.biases, strict=True)),
        ]
    except ValueError:  # the shapes of two faults do not go together
        return [np.array([np.nan])] * len(seen.claimed)


def is_free(fault: Fault, through: str) -> bool:
    """Whether a fault has a constant that only the gradient itself can tell."""
    stepped = fault.constant == "learning_rate" and through == "step"
    return bool(fault.constant) and "penalty" not in fault.steps and not stepped


def likeness(
    rows: Rows, through: str, fault: Fault, seen: Observation
) -> tuple[float, float | None]:
    """Return how far apart a fault and the target's claim are, and the fault's constant there."""
    if is_free(fault, through):
        return _fitted(rows, fault, seen)
    constant = None
    if "penalty" in fault.steps:  # the cost tells
        constant = seen.decay[0] / seen.scale
        if not constant or seen.decay[1]:
            return np.inf, None
    elif fault.constant:
        constant = LEARNING_RATE
    return apart(seen.claimed, predict(rows, fault, seen, constant)), constant


def _fitted(rows: Rows, fault: Fault, seen: Observation) -> tuple[float, float]:
    """Return the same, for the constant that fits best."""
    largest = max(float(np.abs(g).max()) for g in seen.claimed)
    norm = float(np.sqrt(sum((g * g).sum() for g in seen.claimed)))
    best = np.inf, np.nan
    for guess in (largest, norm) if fault.constant == "limit" else GUESSES:
        constant = guess
        for _ in range(ROUNDS):
            if not constant > 0:
                break
            predicted = predict(rows, fault, seen, constant)
            off = apart(seen.claimed, predicted)
            best = min(best, (off, constant))
            nudge = 1e-4 * constant
            nudged = _joined(predict(rows, fault, seen, constant + nudge))
            slope = (nudged - _joined(predicted)) / nudge
            if off <= SAME / 100 or not slope.any() or not np.isfinite(off):
                break
            left = _joined(seen.claimed) - _joined(predicted)
            constant += float(slope @ left / (slope @ slope))
    return best


def apart(claimed: Sequence[Any], predicted: Sequence[Any]) -> float:
    """Return the largest difference of any entry, relative to its array's largest."""
    worst, whole = 0.0, max(float(np.abs(g).max()) for g in claimed)
    for g, p in zip(claimed, predicted, strict=True):
        if g.size != p.size:
            return np.inf
        size = max(float(np.abs(g).max()), float(np.abs(p).max()), NEGLIGIBLE * whole)
        off = float(np.abs(g.ravel() - p.ravel()).max())
        if not np.isfinite(off):
            return np.inf
        worst = max(worst, off / size if size else 0.0)
    return worst


def _joined(arrays: Sequence[Any]) -> Any:
    return np.concatenate([array.ravel() for array in arrays])
