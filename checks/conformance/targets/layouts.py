"""Recognising a target whose arguments have other shapes than the suite passes."""

import numpy as np

from checks._types import FloatArray
from checks.conformance.targets.known_costs import with_shares
from checks.conformance.targets.target import Target
from checks.strategies import Problem

__all__ = ["layout_hint"]


def layout_hint(target: Target) -> str:
    """Return what to change in a target whose cost takes arrays of other shapes.

    The text is empty if the cost takes the suite's shapes, or no shapes that are known here.
    """
    p = with_shares(Problem.generate((2, 3, 4), samples=5))
    w, b, x, y = p.weights, p.biases, p.x, p.y
    if _accepts(target, w, b, x, y):
        return ""
    if _accepts(target, [v.T for v in w], b, x, y):
        shapes, change = (
            "w of the shape (n_{l−1}, n_l)",
            "w.T for w, and return the ∂C/∂w transposed",
        )
    elif _accepts(target, w, [v[:, None] for v in b], x.T, y.T):
        shapes = "one sample per column, and b of the shape (n_l, 1)"
        change = "x.T, y.T and b[:, None] for x, y and b, and return the ∂C/∂b as (n_l,)"
    else:
        return ""
    return (
        f"other shapes. The cost takes {shapes}; the suite passes w (n_l, n_{{l−1}}), b (n_l,) and "
        f"one sample per row, so z = x @ w.T + b. Use {change}."
    )


def _accepts(
    target: Target, w: list[FloatArray], b: list[FloatArray], x: FloatArray, y: FloatArray
) -> bool:
    try:
        with np.errstate(all="ignore"):
            return bool(np.size(target.cost(w, b, x, y)) == 1)
    except Exception:  # the target may raise anything; the suite reports it
        return False
