"""The coordinates by which a cost is differentiated."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from checks._types import FloatArray, IntArray
from checks.estimation.noise import Noise

__all__ = ["Coordinates"]


@dataclass(frozen=True)
class Coordinates:
    """The coordinates x (m,) by which a cost is differentiated, one at a time.

    Attributes
    ----------
    costs : callable
        Takes indices (r,) into x and steps (r, k). Returns the costs (r, k) with x[indices] moved
        by each step.
    x : (m,) float
    scale : float
        The typical size of x.
    finest : (m,) float
        The shortest steps h: with shorter ones, x + h and x + 2h could round to the same number.
    longest : (m,) float
        The longest steps h: with longer ones, the farthest point of a stencil, such as x + 3h,
        would leave the box in which the cost may be called.
    at_point : float
        The cost at x.
    noise : Noise
        The noise of the cost.
    cost_moved : callable, optional
        Takes steps (m,), returns the cost with all coordinates moved at once.
    """

    costs: Callable[[IntArray, Any], Any]
    x: FloatArray
    scale: float
    finest: FloatArray
    longest: FloatArray
    at_point: Any
    noise: Noise
    cost_moved: Callable[[FloatArray], Any] | None = None
