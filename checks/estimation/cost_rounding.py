"""What rounding does to a cost, measured in a wider dtype; terms as in `precision`."""

import math
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from checks._types import FloatArray
from checks.estimation.precision import (
    FAR,
    LIFT_LIMIT,
    LINE,
    VISIBLE,
    Copies,
    Lift,
    Moves,
    coarsest_dtype,
    copies_of,
    off_the_line,
    wider_dtype,
)
from checks.estimation.rounding_mode import toward_zero_is_available
from checks.evaluation.pointwise import Evaluations
from checks.evaluation.result import Contraction
from checks.evaluation.step_sizes import random_signs

__all__ = [
    "FAR_MOVES",
    "FEW",
    "CostRounding",
    "cost_rounding",
    "estimate_cost_rounding",
    "measure_cost_rounding",
]

# A cost may read the caller's arrays instead of its argument. To see that, all entries are moved by
# these parts of their own size, in the caller's arrays and in copies. FEW of these points show it;
# more of them show noise better, as rounding at a point may be small by chance. The last are close
# by: at the others, units may be dead whose rounding differences meet.
FAR_MOVES = (2.0**-6, -(2.0**-8), 2.0**-7, -(2.0**-12), 2.0**-16)
FEW = 2
# A cost that is over MUCH last places off its line may be smooth over shorter ones, which are tried
# down to SHORTEST wide last places. It is smooth if the distance falls by 64 from line to line, up
# to a factor SAME, and scaled up again is at least EXPLAINS of that from the longer lines.
MUCH, SHORTEST, SAME, EXPLAINS = 4.0, 8.0, 3.0, 2.0**-10
NO_DIGITS = 2.0**-6  # slopes may not be known if rounding changes this part of the cost
# Factor on moves of 0.75 to 1.5 last places. It makes them at most ⅛ of a last place, so that a
# stage that casts to the narrow dtype rounds them away.
NEAR = 1 / 12


# A change by rounding toward zero of more than BRANCH of the cost may be another choice of entries,
# see `_only_copies`, which moves entries by up to COPIED of their size.
BRANCH, COPIED = 2.0**-26, 2.0**-6

# Where rounding seems to change a cost by more than the part ANOTHER of itself, it is asked at
# BESIDE points near by whether the change is the same up to the part ALIKE of it.
ANOTHER, BESIDE, ALIKE = 2.0**-5, 4, 2.0**-6


@dataclass(frozen=True)
class CostRounding:
    """What rounding does to a cost.

    Attributes
    ----------
    value : float
        The wide cost, computed in the wider dtype, at the point.
    change : float
        The largest |narrow cost − wide cost|, at the point and at moved points.
    level : float
        The noise of the narrow cost: `change`, but at least its last place / √12. nan where the
        cost fails or rounds in the wider dtype, or is another function there.
    relative : float
        level / the largest |narrow cost|, at the point and at moved points.
    wide_level : float
        The noise of the wide cost. It means nothing unless the cost lifts.
    lift : Lift
        HIDDEN if small moves do not show in the wide cost, as beside a large offset.
    has_digits : bool
        False if rounding changes the cost by a part of itself, and by about as much as moves do.
    """

    value: Any
    change: float
    level: float
    relative: float
    wide_level: float
    lift: Lift
    has_digits: bool


def cost_rounding(
    narrow: Any,
    copies: Copies,
    rng: np.random.Generator,
    moved: Iterable[tuple[Moves, Any]] = (),
    paths: Collection[str] = (),
    base: Mapping[str, FloatArray] | None = None,
) -> CostRounding:
    """Measure what rounding does to a cost.

    The wide cost is called six times, and once for each moved point; for a strongly curved cost,
    whose curvature could be taken for noise, up to eight times more.

    Parameters
    ----------
    narrow
        The cost at the point, in the dtype of the parameters.
    copies
        Calls the cost in the wider dtype.
    rng
        Draws the line along which parameters are moved.
    moved
        Points far from this one, each as the moves of all parameters and the narrow cost there. It
        is not read if the cost refuses the wider dtype.
    paths
        The arrays that are moved along the line. Default: all of them.
    base
        Moves of all parameters from the point to where `narrow` was computed and the line begins.

    Notes
    -----
    Over a few last places a cost is a straight line. What leaves the line is noise, or curvature;
    curvature falls by 64 when the line becomes an eighth as long. The cost lifts if a move of less
    than half a narrow last place changes it in proportion to longer moves. If it casts to the
    narrow dtype, such a move changes nothing, or makes it jump by a last place.
    """
    moves: dict[str, Any] = {}
    base = base or {}
    for path in paths or copies.values:
        last_places = copies.last_places(path, base.get(path, 0))
        sign = random_signs(last_places.shape, rng)
        move = last_places * (sign * rng.uniform(0.75, 1.5, last_places.shape))
        moves[path] = copies.box.reflected(path, move, reach=FAR * LINE[-1])

    def cost_at(multiple: float) -> Any:
        along = {path: base.get(path, 0) + multiple * move for path, move in moves.items()}
        return copies.cost({**base, **along})

    at = cost_at(0)
    if copies.always_refused:
        return CostRounding(at, math.nan, math.nan, math.nan, math.nan, Lift.NARROW, True)
    near, moved = cost_at(NEAR), list(moved)
    costs = np.array([narrow, *(cost for _, cost in moved)])
    far = {path: np.stack([moves[path] for moves, _ in moved]) for path in copies.values if moved}
    wide_costs = np.array([at, *(copies.costs(far) if moved else ())])
    changes = np.abs(costs - wide_costs)
    change = float(changes.max())
    largest = float(np.abs(costs).max())
    has_digits = not (change > NO_DIGITS * largest and float(np.ptp(wide_costs)) >= change / 4)
    last_place = copies.narrow_eps * largest
    level = max(change, last_place / math.sqrt(12))
    # The noise of the wide cost is taken as at least two of its last places, and at least four
    # times the rounding of the narrow cost, times the wide eps / the narrow eps.
    least_level = max(2 * copies.eps * float(abs(at)), 4 * change * copies.eps / copies.narrow_eps)
    # Rounding far from the point is about as large as at the point. A change 1,000 times as large
    # means two functions, as where the cost reads the caller's arrays instead of its argument.
    differs = bool((changes > 2.0**10 * max(float(changes[0]), last_place)).any())

    def line_of(length: float) -> NDArray[Any]:
        return np.array([at, *(cost_at(length * t) for t in LINE[1:])])

    noise, lift = math.inf, Lift.NARROW
    for length in (FAR, FAR / 8, FAR / 64):
        line = line_of(length)
        before, noise = noise, float(off_the_line(line))
        if differs or copies.rounds(at) or not math.isfinite(noise + change):
            level = math.nan
            break
        is_straight = noise <= LIFT_LIMIT * max(float(changes[0]), last_place / 4)
        expected = (line[-1] - at) * (NEAR / length) / LINE[-1]
        size = float(abs(expected))
        # a cost that casts to a narrower dtype than its own rounds much less where it does not
        seen = min(least_level, 8 * noise)
        if is_straight and size > max(2 * noise, seen, VISIBLE * copies.eps * abs(at)):
            lift = Lift.LIFTS if abs((near - at) - expected) <= size / 4 else Lift.NARROW
            break
        lift = Lift.HIDDEN if is_straight else Lift.NARROW
        if noise <= least_level or noise > before / 16:
            break  # curvature would have fallen by 64 on a line an eighth as long: this is noise
    if lift is Lift.NARROW and MUCH * last_place < noise < math.inf:
        shortest = SHORTEST * copies.eps / copies.narrow_eps
        lift = _where_smooth(line_of, noise, least_level, shortest)
    if copies.narrowed and not copies.shared:  # of several results, others may be narrow
        lift = Lift.NARROW
    relative = level / largest if largest else 0.0
    # the noise is doubled, because five points may show too little of it by chance
    wide_level = max(2 * noise, least_level)
    return CostRounding(at, change, level, relative, wide_level, lift, has_digits)


def _where_smooth(
    line_of: Callable[[float], NDArray[Any]], noise: float, least: float, shortest: float
) -> Lift:
    """Return whether a cost that is far from straight is smooth over small parts of a last place.

    So is sin(1/x) at a small x, which oscillates within a last place. A cost that casts to the
    narrow dtype is constant there, between jumps. The distance of a smooth cost from a straight
    line falls by 64 from line to line; scaled up again, it explains the `noise` of longer lines.
    """
    before, length = math.inf, FAR / 64
    while (length := length / 8) >= shortest:
        line = line_of(length)
        bend, change = float(off_the_line(line)), float(abs(line[-1] - line[0]))
        if not bend > least:
            break
        is_smooth = 64 / SAME <= before / bend <= 64 * SAME and bend < change / 4
        if is_smooth and bend * (FAR / 64 / length) ** 2 >= EXPLAINS * noise:
            return Lift.LIFTS
        before = bend
    return Lift.NARROW


def measure_cost_rounding(
    evaluations: Evaluations, rng: np.random.Generator, far: int = FEW
) -> CostRounding | None:
    """Measure what rounding does to a cost around the point; None where no dtype is wider.

    It takes six calls in the wider dtype, two for each of `far` points, and more for a strongly
    curved cost.
    """
    values = evaluations.values
    wide = wider_dtype(coarsest_dtype(values))
    if wide is None:
        return None
    copies = copies_of(evaluations, wide)
    far_moves = []
    for part in FAR_MOVES[:far]:
        moves = {}
        for path, value in values.items():
            sign = random_signs(value.shape, rng)
            move = part * evaluations.box.sizes[path] * sign * rng.uniform(0.75, 1.5, value.shape)
            move = evaluations.box.shortened(path, move)
            # rounded to the narrow dtype, so that both costs are taken at the same point
            moves[path] = (value + move).astype(value.dtype).astype(wide) - value
        far_moves.append(moves)

    def moved() -> Iterator[tuple[Moves, Any]]:
        numbers = np.arange(len(far_moves))
        yield from zip(
            far_moves,
            evaluations.costs_moved(
                numbers, lambda some: {p: np.stack([far_moves[k][p] for k in some]) for p in values}
            ),
            strict=True,
        )

    try:
        found = cost_rounding(evaluations.at_point, copies, rng, moved())
        is_much = found.lift is Lift.LIFTS and found.relative > ANOTHER
        if is_much and _differs_alike(evaluations, copies, found.value, rng):
            return replace(found, level=math.nan, lift=Lift.NARROW)
        return found
    finally:
        evaluations.count += copies.calls


def _differs_alike(
    evaluations: Evaluations, copies: Copies, wide: Any, rng: np.random.Generator
) -> bool:
    """Whether a cost in the wider dtype differs by the same at points a few last places apart.

    Rounding differs from point to point. So it is another function, as where random numbers that
    are drawn in another dtype are others, though their seed is the same.
    """
    differences = [float(evaluations.at_point - wide)]
    for _ in range(BESIDE):
        moves = {}
        for path, value in evaluations.values.items():
            places = copies.last_places(path) * rng.integers(-8, 9, value.shape)
            move = evaluations.box.shortened(path, places)
            moves[path] = (value + move).astype(value.dtype).astype(places.dtype) - value
        differences.append(float(evaluations.cost_moved(moves) - copies.cost(moves)))
    return float(np.ptp(differences)) < ALIKE * abs(differences[0])


def estimate_cost_rounding(evaluations: Evaluations) -> float:
    """Return by how much the cost at the point changes when every operation rounds toward zero.

    |cost| if it is not finite then, as log(1 − 1/(1 + t)) where 1 + t is cut to 1. 0 where the
    rounding mode cannot be changed, and of a function that only copies its parameters.
    """
    if not toward_zero_is_available():
        return 0.0
    copies, at_point = copies_of(evaluations), abs(float(evaluations.at_point))
    try:
        change = abs(float(copies.cost(toward_zero=True) - evaluations.at_point))
        if change > BRANCH * max(at_point, getattr(evaluations.cost, "terms", 0.0)):
            change = 0.0 if _only_copies(evaluations, copies) else change
    finally:
        evaluations.count += copies.calls
    return change if math.isfinite(change) else at_point


def _only_copies(evaluations: Evaluations, copies: Copies) -> bool:
    """Whether all results are entries of the parameters, or 0, in both modes of rounding.

    Such a function may choose other entries when rounding is toward zero, because it computes an
    index in floats, as nearest-neighbour interpolation does. That is no rounding of its results.
    They are taken at a moved point, where they are hardly equal to entries by chance.
    """
    moves, rng = dict[str, Any](), np.random.default_rng(0)
    for path, value in copies.values.items():
        move = copies.box.sizes[path] * rng.uniform(-COPIED, COPIED, value.shape)
        moves[path] = evaluations.box.shortened(path, move)
    entries = [np.zeros(1), *((value + moves[p]).ravel() for p, value in copies.values.items())]
    for toward_zero in (False, True):
        found = copies.cost(moves, toward_zero=toward_zero)
        if isinstance(evaluations.cost, Contraction):
            found = np.concatenate(evaluations.cost.results.latest)
        if not np.isin(found, np.concatenate(entries)).all():
            return False
    return True
