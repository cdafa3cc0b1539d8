"""Derivatives by differences, with an error: central ones, and one-sided where these fail."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from checks._types import FloatArray, IntArray
from checks.estimation.coordinates import Coordinates
from checks.estimation.noise import Noise
from checks.estimation.stencils import Stencil, central, one_sided
from checks.estimation.step_selection import FEW_JUMPS, LONGEST, best_slopes, first_step
from checks.estimation.wide_costs import WideCosts
from checks.evaluation.box import ON_BOUND
from checks.evaluation.pointwise import Evaluations

__all__ = [
    "WITHIN",
    "Estimate",
    "Line",
    "differences",
    "directional_difference",
    "directional_slopes",
    "draw_direction",
    "finest_step",
    "fitted_line",
    "has_room",
    "straight_line",
]

WITHIN = 1 - 2.0**-6  # the part of its room that an entry uses: the rest is kept for rounding
NEAR_ZERO = 2.0**-10  # of the typical size: a 0 counts as so large where the finest step is chosen
FINEST = 16.0  # last places of an entry: of shorter steps, some may round alike
MUCH_NOISE = 4.0  # a cost of so many times its noise is little more than noise
STEPS = 5  # tried for a directional difference; the last is down to 8^-4 of the first
# Costs that share evaluations take steps that are powers of 2^-3, or of 2^-1: see `Grid`.
COARSE_GRID, FINE_GRID = 3, 1


# of estimates that have none
NO_SLOPES, NO_STAIRS, NO_ENTRIES = np.empty((0, 2)), np.zeros(0, bool), np.zeros(0, int)


@dataclass(frozen=True)
class Estimate:
    """Derivatives: each lies in value ± error.

    Attributes
    ----------
    value : (m,) float
        nan where the cost was not finite; a mere guess where the error is inf.
    error : (m,) float
        inf where differences do not converge.
    slopes : (m, 2) float
        The slopes on the left and on the right of an entry that lies on a kink, nan for other
        entries; empty, (0, 2), from complex steps. value ± error holds both and all between them.
    method : str
        "central", "complex-step" or "mixed".
    proof : float
        Of complex steps: by how much a single one may be off, relative to the largest of the array,
        without the differences that prove them showing it.
    precision : str
        How the rounding of complex steps is known: "lifted", measured in a wider dtype for all
        entries; "sampled", for some of them; or "estimated". Empty for differences.
    on_stairs : (m,) bool
        Where the cost has jumps within reach, see `checks.estimation.stairs`; empty, (0,), from
        complex steps.
    unseen : bool
        No move of the whole array changes the cost by a single bit. Nothing is known of the
        derivatives then: the cost may not read the array, or lose its effect to rounding.
    may_be_noise : bool
        Moves of the whole array change the cost by about as much as its noise. Nothing is known of
        the derivatives then.
    without_digits : bool
        Inside the cost, a function that is not linear has an argument without digits, as a divisor
        that cancels. Nothing is known of the derivatives then.
    by_differences : (k,) int
        Of a "mixed" estimate, the entries that are not by complex steps.
    """

    value: FloatArray
    error: FloatArray
    slopes: FloatArray = field(default_factory=lambda: NO_SLOPES)
    method: str = "central"
    proof: float = 0.0
    precision: str = ""
    on_stairs: NDArray[np.bool_] = field(default_factory=lambda: NO_STAIRS)
    unseen: bool = False
    may_be_noise: bool = False
    without_digits: bool = False
    by_differences: IntArray = field(default_factory=lambda: NO_ENTRIES)

    @property
    def by_complex_steps(self) -> NDArray[np.bool_]:
        """Which values are by complex steps, (m,)."""
        found = np.full(self.value.shape, self.method != "central")
        found[self.by_differences] = False
        return found

    @property
    def slope_jump(self) -> FloatArray:
        """Half of the difference of the slopes on both sides, (m,); 0 where there is no kink."""
        if not self.slopes.size:
            return np.zeros(self.value.shape)
        left, right = self.slopes.T
        slope_jump = np.abs(right - left) / 2
        return np.where(np.isnan(slope_jump), 0, slope_jump)


def differences(
    evaluations: Evaluations,
    path: str,
    entries: IntArray,
    noise: Noise,
    rng: np.random.Generator,
    goal: float,
    start: float = 1.0,
    wide: WideCosts | None = None,
) -> Estimate:
    """Estimate the derivatives of the cost by some entries of an array.

    Parameters
    ----------
    evaluations
        The cost. Each step of an entry takes six evaluations, and most entries need one step.
    path, entries
        The array, and (m,) flat indices into it.
    noise
        The noise of the cost.
    rng
        Jitters the steps, so that a period of the cost cannot hide between them.
    goal
        An error of at most `goal` × the largest value found needs no further step.
    start
        Factor on the first step: a second estimate begins with a shorter one.
    wide
        The cost in a wider dtype, if rounding of differences is to be measured by it.

    Returns
    -------
    Estimate
    """
    found = _differences(evaluations, path, entries, noise, rng, goal, start, wide)
    stuck = np.flatnonzero((found.value == 0) | found.on_stairs)
    if path not in evaluations.narrow or not stuck.size:
        return found
    # short steps may lie between two numbers of a narrow stage: those for its noise do not
    noise = noise.at_least(evaluations.narrow[path])
    noise = replace(noise, may_jump_above=max(noise.may_jump_above, noise.relative))
    again = _differences(evaluations, path, entries[stuck], noise, rng, goal, start, None)
    # all that an entry does without a change of the cost is below that noise
    least = FEW_JUMPS * noise.level / evaluations.box.sizes[path].ravel()[entries[stuck]]
    flat = (again.value == 0) & np.isfinite(again.error)
    again.error[flat] = np.minimum(again.error, least)[flat]
    for name in ("value", "error", "slopes", "on_stairs"):
        getattr(found, name)[stuck] = getattr(again, name)
    return found


def _differences(
    evaluations: Evaluations,
    path: str,
    entries: IntArray,
    noise: Noise,
    rng: np.random.Generator,
    goal: float,
    start: float,
    wide: WideCosts | None,
) -> Estimate:
    """Return `differences` with steps for one noise."""
    x = evaluations.values[path].ravel()[entries]
    scale = evaluations.scales[path]
    finest = finest_step(np.where(x == 0, x.dtype.type(NEAR_ZERO * scale), x))
    below, above = (room.ravel()[entries] for room in evaluations.box.room(path))
    sizes = evaluations.box.sizes[path].ravel()[entries]
    nothing_known = np.full(x.size, np.nan), np.full(x.size, np.inf)
    # a second estimate, of few entries, is on a finer grid: it must see small discrepancies
    grid = (COARSE_GRID if start == 1 else FINE_GRID) if evaluations.shared else 0

    def slopes_by(
        stencil: Stencil, subset: IntArray, room: FloatArray, points: int, sides: tuple[int, ...]
    ) -> tuple[FloatArray, FloatArray, NDArray[np.bool_], NDArray[np.bool_]]:
        """Return `best_slopes` of some entries; nan, inf without room for `points` steps each."""
        value, error = (unknown[subset] for unknown in nothing_known)
        on_stairs, beside_kink = np.zeros((2, subset.size), bool)
        longest = WITHIN * room / points
        movable = longest[subset] >= finest[subset]
        some = subset[movable]
        if some.size:

            def cost_moved(steps: FloatArray) -> Any:
                move = np.zeros(evaluations.values[path].size, steps.dtype)
                move[entries[some]] = steps
                return evaluations.cost_moved({path: move.reshape(evaluations.values[path].shape)})

            at = Coordinates(
                lambda indices, steps: evaluations.at_entries(path, entries[some[indices]], steps),
                x[some],
                scale,
                finest[some],
                longest[some],
                evaluations.at_point,
                noise,
                cost_moved,
                grid,
                lambda indices: evaluations.noise_of(path, entries[some[indices]], noise.level),
                sizes=sizes[some],
            )
            if wide is not None:
                in_wider = partial(wide.at_entries, path)
                of_wider = replace(
                    at,
                    costs=lambda indices, steps: in_wider(entries[some[indices]], steps),
                    at_point=wide.at_point,
                    noise=wide.noise,
                    noise_of=None,
                )
                at = replace(at, wide=of_wider)
            found = best_slopes(at, stencil, rng, goal, start, sides)
            value[movable], error[movable], on_stairs[movable], beside_kink[movable] = found
        return value, error, on_stairs, beside_kink

    def use_one_side() -> None:
        """Replace slopes beside a bound or a kink by one-sided ones.

        Their intervals have to lie within those found before, as away from a kink at longer steps.
        A cost of little more than its noise may be flat over these, and not at the point.
        """
        if 0 < abs(float(evaluations.at_point)) <= MUCH_NOISE * noise.level:
            return
        largest = np.abs(value[np.isfinite(error)]).max(initial=0)
        blurred = np.isfinite(error) & (error > goal * largest)
        for side, room, other in ((-1, below, above), (1, above, below)):
            at_kink = beside_kink & ~on_stairs  # a jump looks like a kink from one side
            near = np.flatnonzero(blurred & (at_kink | (other < ON_BOUND * room)))
            stencil = partial(one_sided, side=side)
            its_value, its_error, its_stairs, _ = slopes_by(stencil, near, room, 4, (side,))
            better = np.abs(its_value - value[near]) + its_error < error[near]
            value[near[better]], error[near[better]] = its_value[better], its_error[better]
            on_stairs[near[better]] = its_stairs[better]

    narrower = np.minimum(below, above)
    value, error, on_stairs, beside_kink = slopes_by(
        central, np.arange(x.size), narrower, 3, (-1, 1)
    )
    use_one_side()
    slopes = np.full((x.size, 2), np.nan)
    failed = np.flatnonzero(~np.isfinite(error))
    if failed.size:
        left = slopes_by(partial(one_sided, side=-1), failed, below, 4, (-1,))
        right = slopes_by(partial(one_sided, side=1), failed, above, 4, (1,))
        value[failed], error[failed], slopes[failed] = _from_both_sides(
            left[:2], right[:2], value[failed]
        )
        on_stairs[failed] = left[2] | right[2]
    return Estimate(value, error, slopes, on_stairs=on_stairs)


def directional_slopes(
    evaluations: Evaluations,
    directions: Mapping[str, FloatArray],
    noise: Noise,
    rng: np.random.Generator,
    goal: float,
) -> Estimate:
    """Estimate the slopes along some directions, on both sides of the point.

    Parameters
    ----------
    evaluations, noise, rng, goal
        As in `differences`.
    directions
        By path, (k, ...): k directions. The largest entry is about the typical size of its array.

    Returns
    -------
    Estimate
        Of the k directional derivatives; `slopes` are nan where both sides agree.
    """
    count = len(next(iter(directions.values())))
    finest = np.zeros(count)
    for path, several in directions.items():
        size = np.abs(several.reshape(count, -1))
        shortest = finest_step(np.abs(evaluations.values[path]).max())
        finest = np.maximum(finest, shortest / size.max(axis=1))

    def moves(which: int, steps: FloatArray) -> dict[str, Any]:
        return {p: np.multiply.outer(steps, several[which]) for p, several in directions.items()}

    def costs(indices: IntArray, steps: Any) -> Any:
        rows = zip(indices, steps, strict=True)
        return np.stack([evaluations.costs_moved(row, partial(moves, i)) for i, row in rows])

    longest = np.array(
        [
            _longest_step(evaluations, {path: several[i] for path, several in directions.items()})
            for i in range(count)
        ]
    )
    nothing_known = np.full(count, np.nan)
    if np.any(longest / 4 < finest):
        return Estimate(nothing_known, np.full(count, np.inf))
    at = Coordinates(costs, np.zeros(count), 1.0, finest, longest / 4, evaluations.at_point, noise)
    left, right = (
        best_slopes(at, partial(one_sided, side=side), rng, goal, 1.0, (side,)) for side in (-1, 1)
    )
    value, error, slopes = _from_both_sides(left[:2], right[:2], nothing_known)
    return Estimate(value, error, slopes, on_stairs=left[2] | right[2])


def has_room(evaluations: Evaluations, path: str) -> NDArray[np.bool_]:
    """Whether bounds leave the entries of an array room for the points of a difference."""
    value, rooms = evaluations.values[path], evaluations.box.room(path)
    scale = NEAR_ZERO * evaluations.scales[path]
    finest = finest_step(np.where(value == 0, value.dtype.type(scale), value))
    return np.asarray(WITHIN * np.maximum(*rooms) / 4 >= finest)


def draw_direction(shape: int | tuple[int, ...], rng: np.random.Generator) -> FloatArray:
    """Draw entries from ±[¾, 1½]: so unequal in size that a few of them hardly ever cancel."""
    drawn = rng.uniform(-1, 1, shape)
    return np.asarray(np.copysign(0.75 + 0.75 * np.abs(drawn), drawn))


@dataclass(frozen=True, eq=False)
class Line:
    """A direction of some arrays, and how far a stencil may reach along it within the box.

    Attributes
    ----------
    directions : dict of str to ndarray
        By path.
    stencil : Stencil
        Central, or one-sided where bounds leave entries room on one side alone.
    scale : float
        The unit of steps: 1/√P, because all P entries move at once, each by 1/√P of what it would
        move alone.
    longest : float
        The longest step within the box.
    """

    directions: dict[str, FloatArray]
    stencil: Stencil
    scale: float
    longest: float


def fitted_line(
    evaluations: Evaluations,
    directions: Mapping[str, FloatArray],
    noise: Noise,
    base: Mapping[str, FloatArray],
) -> Line:
    """Return a line along a direction, with those entries made smaller that have little room.

    Parameters
    ----------
    evaluations, noise
        As in `differences`.
    directions
        By path; each entry is about the typical size of its array. Entries that stand on a bound
        get the sign that points inside.
    base
        By path, the moves from the point to where the line begins.
    """
    entries, box = evaluations.entries, evaluations.box
    v, from_point = entries.joined(directions), entries.joined(base) if base else 0.0
    below, above = box.below + from_point, box.above - from_point
    room, larger = np.minimum(below, above), np.maximum(below, above)
    on_bound = (room < ON_BOUND * larger) & (v != 0)
    one_way = bool(on_bound.any())
    scale = 1 / np.sqrt(sum(direction.size for direction in directions.values()))
    points = 4 if one_way else 3
    if one_way:
        room = np.where(on_bound, larger, room)
        v = np.where(on_bound, np.copysign(v, above - below), v)
    room = WITHIN * room
    # so small that there is room for twice the first step
    size = np.minimum(np.abs(v), room / (2 * points * scale * first_step(noise.relative)))
    moved = size > 0
    longest = min(LONGEST * scale, np.min(room[moved] / size[moved], initial=np.inf) / points)
    fitted = entries.split(np.copysign(size, v))
    stencil: Stencil = partial(one_sided, side=1) if one_way else central
    return Line({path: fitted[path] for path in directions}, stencil, scale, longest)


def straight_line(
    evaluations: Evaluations, directions: Mapping[str, FloatArray], base: Mapping[str, FloatArray]
) -> Line:
    """Return the line along a direction as it is, with steps as short as its entries have room."""
    scale = 1 / np.sqrt(sum(direction.size for direction in directions.values()))
    longest = min(LONGEST * scale, _longest_step(evaluations, directions, base) / 3)
    return Line(dict(directions), central, scale, longest)


def _longest_step(
    evaluations: Evaluations,
    directions: Mapping[str, FloatArray],
    base: Mapping[str, FloatArray] | None = None,
) -> float:
    """Return how far one may go along a direction, to both sides, without leaving the box."""
    longest = np.inf
    for path, direction in directions.items():
        below, above = evaluations.box.room(path)
        from_point = (base or {}).get(path, 0.0)
        room = WITHIN * np.minimum(below + from_point, above - from_point)
        moves = direction != 0
        longest = min(
            longest, float(np.min(room[moves] / np.abs(direction[moves]), initial=np.inf))
        )
    return longest


def directional_difference(
    evaluations: Evaluations, line: Line, noise: Noise, base: Mapping[str, FloatArray]
) -> tuple[float, float]:
    """Estimate the derivative along a line, as value and error.

    The best of a few steps, without the checks of `best_slopes`: the result is only compared with
    another estimate.

    Parameters
    ----------
    evaluations, noise
        As in `differences`.
    line, base
        As in `fitted_line`.
    """
    entries, box = evaluations.entries, evaluations.box
    v, start = entries.joined(line.directions), entries.joined(base) if base else 0.0

    def moves(steps: FloatArray) -> Any:
        return start + np.multiply.outer(steps, v)

    def costs(steps: Any) -> Any:
        return evaluations.costs_moved(steps[0], moves)[None]

    scale = np.array([line.scale])
    finest = FINEST * evaluations.eps * float((np.abs(box.vector) / box.typical).max())
    f0 = evaluations.costs_moved(np.zeros(1), moves)[0] if base else evaluations.at_point
    first = first_step(noise.relative)
    h, best = scale * (_power(first) if evaluations.shared else first), (np.nan, np.inf)
    for _ in range(STEPS):
        trial = line.stencil(costs, np.zeros(1), np.maximum(h, finest), scale, f0, noise)
        if trial.error < best[1]:
            best = trial.value.item(), trial.error.item()
        ratio = _power(trial.step_ratio) if evaluations.shared else trial.step_ratio
        if 0.7 < trial.step_ratio < 2 or ratio == 1:
            break  # the step is good enough
        h = np.minimum(h * ratio, line.longest)
    return best


def _power(step: Any) -> Any:
    """Return the power of 8 just below a step: costs that share evaluations take the same steps."""
    return 8.0 ** np.floor(np.log2(step) / 3)


def _from_both_sides(
    left_slope: tuple[FloatArray, FloatArray],
    right_slope: tuple[FloatArray, FloatArray],
    guess: FloatArray,
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Join one-sided slopes and their errors to value, error, and the slopes of kinks.

    Where both sides are known, value ± error reaches from one slope to the other. Where the cost is
    defined on one side only, the slope there is the value. Elsewhere `guess` is, with error inf.
    """
    (left, left_error), (right, right_error) = left_slope, right_slope
    larger_error = np.maximum(left_error, right_error)
    slope_jump = np.abs(right - left) / 2
    known = [
        np.isfinite(larger_error),
        np.isfinite(left_error) & np.isnan(right),
        np.isfinite(right_error) & np.isnan(left),
    ]
    value = np.select(known, [(left + right) / 2, left, right], guess)
    error = np.select(known, [slope_jump + larger_error, left_error, right_error], np.inf)
    is_kink = np.isfinite(larger_error) & (slope_jump > larger_error)
    slopes = np.where(is_kink[:, None], np.stack([left, right], axis=1), np.nan)
    return value, error, slopes


def finest_step(x: FloatArray) -> Any:
    """Return the shortest steps from x, `FINEST` of its last places."""
    return FINEST * np.spacing(np.abs(x)).astype(np.result_type(x.dtype, np.float64))
