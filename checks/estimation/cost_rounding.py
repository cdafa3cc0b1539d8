"""What rounding does to a cost, measured one precision up."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from checks.estimation.precision import (
    FAR,
    LIFTED,
    LINE,
    VISIBLE,
    Copies,
    Lift,
    Moves,
    off_the_line,
)

__all__ = ["CostRounding", "cost_rounding"]

NEAR = 1 / 12  # with a factor of at most 1½, less than a narrow cast would round back


@dataclass(frozen=True)
class CostRounding:
    """What rounding does to a cost.

    Attributes
    ----------
    value : float
        The cost one precision up.
    change : float
        The most that the cost differs from it, at the point and where it was moved to.
    level : float
        The noise of the narrow cost, as a difference meets it: never below its last place / √12.
    wide_level : float
        The noise that remains one precision up; of use where it lifts.
    lift : Lift
        HIDDEN if moves do not show, in the wide dtype, or only far ones: an offset covers the rest.
    """

    value: Any
    change: float
    level: float
    wide_level: float
    lift: Lift


def cost_rounding(
    narrow: Any,
    copies: Copies,
    rng: np.random.Generator,
    moved: Sequence[tuple[Moves, Any]] = (),
) -> CostRounding:
    """Measure what rounding does to a cost; six calls, and one for each moved point.

    Parameters
    ----------
    narrow
        The cost at the point.
    copies
        The cost in the wider dtype.
    rng
        Draws the direction.
    moved
        Moves and the cost there: a closure over the parameters, which do not move in copies, shows
        where all have moved far.

    Notes
    -----
    Over a few last places a cost is linear to far below the wide dtype, so what a straight line
    leaves is noise. And a move of less than half a narrow last place must change the cost in
    proportion to longer ones: a cast shows nothing, or a jump.
    """
    far: dict[str, Any] = {}
    for path in copies.values:
        places = copies.last_places(path)
        sign = 2 * rng.integers(2, size=places.shape) - 1
        far[path] = FAR * places * (sign * rng.uniform(0.75, 1.5, places.shape))
    line = np.array([copies.cost({p: t * move for p, move in far.items()}) for t in LINE])
    near = copies.cost({path: (NEAR / FAR) * move for path, move in far.items()})
    at, last = line[0], line[-1]
    changes = [abs(narrow - at), *(abs(cost - copies.cost(moves)) for moves, cost in moved)]
    costs = [narrow, *(cost for _, cost in moved)]
    change = max(float(c) for c in changes)
    last_place = copies.narrow_eps * float(np.abs(costs).max())
    level = max(change, last_place / math.sqrt(12))
    noise = float(off_the_line(line))
    # twice what is left, for the points are few; and what rounding does to the narrow cost, it does
    # to the wide one by so many places further down
    wide_level = max(
        2 * noise,
        2 * copies.eps * float(abs(at)),
        4 * change * copies.eps / copies.narrow_eps,
    )
    if copies.rounds(at) or not math.isfinite(noise + change):
        return CostRounding(at, change, level, wide_level, Lift.NARROW)
    if noise > LIFTED * max(float(changes[0]), last_place / 4):
        return CostRounding(at, change, level, wide_level, Lift.NARROW)
    # a last place, and less, was moved: what differs by much more there is another function
    if any(float(c) > 2.0**10 * max(float(changes[0]), last_place) for c in changes[1:]):
        return CostRounding(at, change, level, wide_level, Lift.NARROW)
    expected = (last - at) * (NEAR / FAR) / LINE[-1]
    visible = VISIBLE * copies.eps * float(abs(at))
    if float(abs(expected)) <= max(visible, wide_level):
        return CostRounding(at, change, level, wide_level, Lift.HIDDEN)
    lifts = abs((near - at) - expected) <= abs(expected) / 4
    return CostRounding(at, change, level, wide_level, Lift.LIFTS if lifts else Lift.NARROW)
