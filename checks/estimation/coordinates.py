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
        Takes indices (r,) into x and steps (r, k), returns costs (r, k).
    x : (m,) float
    scale : float
        Typical size of x.
    finest, longest : (m,) float
        The shortest steps: below them, rounding would merge x + h and x + 2h. The longest: beyond
        them, a point of the stencil would leave the box in which the cost may be called.
    at_point : float
        The cost at x.
    noise : Noise
    """

    costs: Callable[[IntArray, Any], Any]
    x: FloatArray
    scale: float
    finest: FloatArray
    longest: FloatArray
    at_point: Any
    noise: Noise
