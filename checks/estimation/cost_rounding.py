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
    coarsest_dtype,
    off_the_line,
    wider_dtype,
)
from checks.evaluation.pointwise import Evaluations
from checks.evaluation.step_sizes import entry_sizes

__all__ = ["CostRounding", "cost_rounding", "measure_cost_rounding"]

# All entries are moved so far, relative to their own size, to see a closure over parameters.
FAR_MOVES = (2.0**-6, -(2.0**-8))

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
        nan where the wide cost is none, or another function.
    relative : float
        level over the largest |cost| met.
    wide_level : float
        The noise that remains one precision up; of use where it lifts.
    lift : Lift
        HIDDEN if moves do not show, in the wide dtype, or only far ones: an offset covers the rest.
    """

    value: Any
    change: float
    level: float
    relative: float
    wide_level: float
    lift: Lift


def cost_rounding(
    narrow: Any,
    copies: Copies,
    rng: np.random.Generator,
    moved: Sequence[tuple[Moves, Any]] = (),
) -> CostRounding:
    """Measure what rounding does to a cost; six calls, and one for each moved point.

    Eight more where the cost is so curved that its rounding does not show beside that.

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
    Over a few last places a cost is a straight line, so what leaves the line is noise, unless it is
    curvature, which vanishes over still fewer. And a move of less than half a narrow last place
    must change the cost in proportion to longer ones: a cast shows nothing, or a jump.
    """
    places: dict[str, Any] = {}
    for path in copies.values:
        last_places = copies.last_places(path)
        sign = 2 * rng.integers(2, size=last_places.shape) - 1
        move = last_places * (sign * rng.uniform(0.75, 1.5, last_places.shape))
        places[path] = copies.box.reflected(path, move, reach=FAR * LINE[-1])

    def cost_at(multiple: float) -> Any:
        return copies.cost({path: multiple * move for path, move in places.items()})

    at, near = cost_at(0), cost_at(NEAR)
    changes = [abs(narrow - at), *(abs(cost - copies.cost(moves)) for moves, cost in moved)]
    costs = [narrow, *(cost for _, cost in moved)]
    change = max(float(c) for c in changes)
    largest = float(np.abs(costs).max())
    last_place = copies.narrow_eps * largest
    level = max(change, last_place / math.sqrt(12))
    # twice the last place of the wide cost; and what rounding does to the narrow cost, it does to
    # the wide one by so many places further down
    least_level = max(2 * copies.eps * float(abs(at)), 4 * change * copies.eps / copies.narrow_eps)
    # changes are |narrow cost − wide cost|, at the point and then at the far moves: if they differ
    # by much more there, copies.cost is another function, such as a closure over the parameters
    another = any(float(c) > 2.0**10 * max(float(changes[0]), last_place) for c in changes[1:])
    noise, lift = math.inf, Lift.NARROW
    for length in (FAR, FAR / 8, FAR / 64):
        line = np.array([at, *(cost_at(length * t) for t in LINE[1:])])
        before, noise = noise, float(off_the_line(line))
        if another or copies.rounds(at) or not math.isfinite(noise + change):
            level = math.nan
            break
        is_straight = noise <= LIFTED * max(float(changes[0]), last_place / 4)
        expected = (line[-1] - at) * (NEAR / length) / LINE[-1]
        size = float(abs(expected))
        if is_straight and size > max(2 * noise, least_level, VISIBLE * copies.eps * abs(at)):
            lift = Lift.LIFTS if abs((near - at) - expected) <= size / 4 else Lift.NARROW
            break
        lift = Lift.HIDDEN if is_straight else Lift.NARROW
        if noise <= least_level or noise > before / 16:
            break  # it is no curvature: that shrinks by 64 where the line shrinks by 8
    # twice what is left, for the points are few
    relative = level / largest if largest else 0.0
    return CostRounding(at, change, level, relative, max(2 * noise, least_level), lift)


def measure_cost_rounding(
    evaluations: Evaluations, rng: np.random.Generator
) -> CostRounding | None:
    """Measure what rounding does to a cost around the point; None where no dtype is wider.

    Ten calls: two of the cost as it is, and eight in the wider dtype.
    """
    values = evaluations.values
    wide = wider_dtype(coarsest_dtype(values))
    if wide is None:
        return None
    copies = Copies(evaluations.cost, evaluations.nesting, values, wide, evaluations.box)
    moved = []
    for far in FAR_MOVES:
        moves = {}
        for path, value in values.items():
            sign = 2 * rng.integers(2, size=value.shape) - 1
            move = far * entry_sizes(value) * sign * rng.uniform(0.75, 1.5, value.shape)
            move = evaluations.box.shortened(path, move)
            # the difference of two numbers of the narrow dtype: both costs are at the same point
            moves[path] = (value + move).astype(value.dtype).astype(wide) - value
        moved.append((moves, evaluations.cost_moved(moves)))
    try:
        return cost_rounding(evaluations.at_point, copies, rng, moved)
    finally:
        evaluations.count += copies.calls
