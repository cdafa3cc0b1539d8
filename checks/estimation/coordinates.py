"""The coordinates by which a cost is differentiated."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from checks._types import FloatArray, IntArray
from checks.estimation.noise import Noise

__all__ = ["Coordinates", "Grid"]

UNEVEN = 1.25  # steps are made longer by a random factor from 1 to this
POWERS = 96  # steps in a grid: the shortest, 2^-95 of the scale or less, is below a last place


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
    grid : int
        If not 0, the same evaluations serve other costs, and steps are those of a `Grid`.
    noise_of : callable, optional
        Takes indices (r,), returns the noise that differences by these meet, (r,) or one number.
    wide : Coordinates, optional
        The same with costs in a wider dtype, and with less noise.
    sizes : (m,) float, optional
        The size of each x, or what takes its place where x counts as zero; default `entry_sizes`.
    """

    costs: Callable[[IntArray, Any], Any]
    x: FloatArray
    scale: float
    finest: FloatArray
    longest: FloatArray
    at_point: Any
    noise: Noise
    cost_moved: Callable[[FloatArray], Any] | None = None
    grid: int = 0
    noise_of: Callable[[IntArray], Any] | None = None
    wide: "Coordinates | None" = None
    sizes: FloatArray | None = None

    def noise_at(self, indices: IntArray) -> "NoiseAt":
        """Return the noise that some coordinates meet, to be read once they have been moved."""
        return NoiseAt(self, indices)


@dataclass(frozen=True)
class NoiseAt:
    """The noise that differences by some coordinates meet.

    Attributes
    ----------
    level : float or (r,) float
        As `checks.estimation.noise.Noise` has it. Of a sum over results, only those count that the
        coordinate moves. Its first moves show which, so the level may be smaller after them.
    """

    coordinates: Coordinates
    indices: IntArray

    @property
    def level(self) -> Any:
        at = self.coordinates
        return at.noise.level if at.noise_of is None else at.noise_of(self.indices)


class Grid:
    """Steps for costs that share their evaluations: powers of 2^-spacing, each with its own jitter.

    The jitters depend on the seed of a generator, but not on what was drawn from it before. So two
    costs that want steps of about the same length get the same.
    """

    def __init__(self, rng: np.random.Generator, spacing: int) -> None:
        self._spacing = spacing
        seed = rng.bit_generator.seed_seq.entropy  # type: ignore[attr-defined]
        self._jitters = np.random.default_rng(seed).uniform(1, UNEVEN, POWERS)

    def __call__(self, steps: Any, longest: Any = np.inf) -> Any:
        """Return the steps of the grid just below some steps, relative to a scale, up to jitter.

        Where a step is the longest that there is room for, it is that for all costs, up to jitter.
        """
        with np.errstate(divide="ignore"):
            power = np.clip(np.ceil(-np.log2(steps) / self._spacing), 0, POWERS - 1).astype(int)
        below = 2.0 ** -(self._spacing * power)
        return np.where(steps < longest, below, longest / UNEVEN) * self._jitters[power]
