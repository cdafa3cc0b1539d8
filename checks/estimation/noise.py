"""How noisy a cost is: Moré and Wild, "Estimating computational noise" (SISC 33, 2011)."""

import math
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any

import numpy as np

from checks._types import FloatArray, IntArray
from checks.estimation.cost_rounding import (
    FAR_MOVES,
    FEW,
    CostRounding,
    estimate_cost_rounding,
    measure_cost_rounding,
)
from checks.estimation.difference_table import (
    DEPTH,
    POINTS,
    SAME_WITHIN,
    Line,
    noise_within,
    take_table,
)
from checks.estimation.precision import EVERY, Lift
from checks.estimation.result_noise import draw_units, measure_result_noise
from checks.evaluation.pointwise import Evaluations
from checks.evaluation.result import Contraction
from checks.evaluation.step_sizes import random_signs

__all__ = [
    "ASSUMED_PLACES",
    "FLOAT32_EPS",
    "CostNoise",
    "Noise",
    "absorbed_change",
    "changes_nothing",
    "measure_noise",
]

DEEPEST = 20  # nested tables, each 1/7 as wide as the one before: 7^-20 is below a last place
# A level that only few difference tables show counts up to OUTLIER times that of the others. Of
# 10,000 tables, one shows less than 1/64 of the noise.
OUTLIER = 64.0
# If rounding toward zero changes the cost by this factor more than a call in the wider dtype does,
# some stage computes in a narrower dtype both times.
NARROW_STAGE = 2.0**10
# Two tables lie beside the point. They are 1/64 to 1/32 of the parameters' size away, about as far
# as the longest steps go.
SIDE_DISTANCE = 2.0**-5
FLOAT32_EPS = 2.0**-23
ASSUMED_PLACES = 64.0  # until the noise is measured, it is taken as 64 last places of the cost
# Whether the cost depends on its parameters at all is tested by moving all entries by these parts
# of the way to an end of the box. The last moves bring half of the entries close to 0, where units
# may be alive that are saturated or dead at the point.
PROBES = (2.0**-2, 1 - 2.0**-10, 1 - 2.0**-10)
# The same is tested at the parameters times each of these, where saturated units are less so.
SHRINK = (1.0, 0.5, 0.125)
# `absorbed_change` tries the parameters times each of these until moves by HIDING_MOVE of an
# entry's size, about as far as steps go, change the cost by more than LAST_PLACES. Where that
# begins is then found by HALVINGS bisections, or fewer where STAYS of them show the same jump.
SHOWN_AT = 2.0 ** -np.array([0, 0.5, 1, 1.5, 2, 2.5, 3, 3.5, 4, 6, 8, 10])
HALVINGS, STAYS, HIDING_MOVE, LAST_PLACES = 48, 6, 2.0**-3, 4.0


@dataclass(frozen=True)
class Noise:
    """The noise of a cost.

    Attributes
    ----------
    level : float
        Standard deviation σ_f of the cost's noise, at least the rounding of its last place.
    relative : float
        level / size, where size is the largest |cost| met near the point.
    stochastic : bool
        Two calls at one point differed.
    is_constant : bool
        No move changed the cost by a single bit: it ignores its argument, or is constant.
    may_jump_above : float
        Noise, relative to the cost, above which it may be jumps away from the point: 64 last places
        of the costs, at most the eps of float32, in which a stage may compute.
    lifts : bool
        The noise is rounding, and less in a wider dtype, as every stage of the cost computes in it.
    """

    level: float
    relative: float
    stochastic: bool
    is_constant: bool
    may_jump_above: float = FLOAT32_EPS
    lifts: bool = False

    def at_least(self, level: float) -> "Noise":
        """Return this noise, or one of that level if it is smaller."""
        if level <= self.level:
            return self
        size = self.level / self.relative if self.relative else level
        return replace(self, level=level, relative=level / size)


class CostNoise:
    """The noise of a cost around the point, measured only when it is needed.

    Parameters
    ----------
    evaluations
        The cost.
    seed : int
        Draws the directions of the measurement.

    Attributes
    ----------
    far : int
        At how many far points the rounding is measured: at more for differences, as it sets their
        errors.
    """

    def __init__(self, evaluations: Evaluations, seed: int) -> None:
        self._evaluations, self._seed = evaluations, seed
        self.far = len(FAR_MOVES) if evaluations.shared else FEW
        self._repeats = False  # set when two calls at the point gave the same number

    @cached_property
    def measured(self) -> Noise:
        """The noise of the cost; the first use measures it.

        It is measured in the wider dtype if every stage of the cost computes in that (the cost
        lifts), and by `measure_noise` elsewhere.
        """
        evaluations, rounding = self._evaluations, None
        repeats = self._repeats or bool(evaluations.repeat_at_point() == evaluations.at_point)
        if not repeats:
            noise = measure_noise(evaluations, np.random.default_rng(self._seed))
            return replace(noise, stochastic=True)
        change = estimate_cost_rounding(evaluations)
        if evaluations.size <= EVERY:
            rounding = self._rounding(self._seed)
            others_lift = evaluations.shared and evaluations.cost.memo.lifts
            if rounding is not None and rounding.lift is Lift.NARROW and others_lift:
                # where other results lift, one may be doubted by chance: try another direction
                rounding = self._rounding(self._seed + 1)
        if rounding is not None and not rounding.has_digits:
            return Noise(math.inf, math.inf, stochastic=False, is_constant=False)
        # a cost of 0 shows no rounding: what it is beside smaller parameters counts
        if rounding is not None and rounding.lift is Lift.LIFTS and rounding.level > 0:
            if evaluations.shared:
                evaluations.cost.memo.lifts = True
            noise = Noise(rounding.level, rounding.relative, False, False, lifts=True)
        elif level := getattr(evaluations.cost, "noise", 0.0):
            terms = getattr(evaluations.cost, "terms", 0.0)
            size = max(abs(float(evaluations.at_point)), terms, min(level, sys.float_info.max))
            return Noise(level, level / size, False, False)
        else:
            noise = measure_noise(evaluations, np.random.default_rng(self._seed))
            if rounding is None or math.isnan(rounding.level):
                return self._of_results(noise.at_least(change))
            # difference tables do not see rounding that is the same over a few last places
            noise = self._of_results(noise.at_least(rounding.level))
        is_narrow = change > NARROW_STAGE * noise.level
        return replace(noise.at_least(change), lifts=False) if is_narrow else noise

    def _of_results(self, noise: Noise) -> Noise:
        """Return the noise of the cost; of a sum over results, relative to the size of its terms.

        The noise of each result is measured as well, for an entry that moves only some of them.
        """
        cost = self._evaluations.cost
        if not isinstance(cost, Contraction):
            return noise
        if cost.results.noise is None:
            measure_result_noise(self._evaluations, noise.level, [self._seed, 1])
        known = cost.results.noise
        if known is None:
            return noise
        relative = noise.level / cost.terms if cost.terms else noise.relative
        places = FLOAT32_EPS if known.is_narrow else noise.may_jump_above
        return replace(noise, relative=relative, may_jump_above=places)

    def _rounding(self, seed: int) -> CostRounding | None:
        return measure_cost_rounding(self._evaluations, np.random.default_rng(seed), self.far)

    def measure_if_not_repeatable(self, costs: FloatArray) -> None:
        """Measure the noise at once if costs of the same point differ.

        Where `costs` holds only one cost, the cost is called at the point once more instead.
        """
        evaluations = self._evaluations
        if costs.size < 2:
            costs = np.array([evaluations.at_point, evaluations.repeat_at_point()])
        self._repeats = not np.ptp(costs)
        if not self._repeats:
            _ = self.measured

    @property
    def known(self) -> Noise:
        """The measured noise; before that, the rounding that is assumed of a repeatable cost.

        The assumed `level` is 64 last places, so that differences get an error large enough. The
        assumed `relative` is one last place, so that the default rtol, which follows it, is tight.
        """
        return self.measured if "measured" in vars(self) else self._assumed

    @cached_property
    def _assumed(self) -> Noise:
        eps = self._evaluations.eps
        level = ASSUMED_PLACES * eps * abs(float(self._evaluations.at_point))
        return Noise(level, eps, stochastic=False, is_constant=False)


def measure_noise(evaluations: Evaluations, rng: np.random.Generator) -> Noise:
    """Measure the noise of a cost around the point, along random directions of all parameters.

    The noise is the largest of three difference tables. One surrounds the point. Two lie beside it,
    as far away as steps go, because a cost may be exact at the point alone, as at a perfect fit.
    Each table has its own direction, because rounding may be the same along one of them, and not
    show. What a single table shows may be a jump or a pole, so it counts up to a factor only.

    Parameters
    ----------
    evaluations
        The cost; about 26 evaluations are spent, more where it is flat, quantised, or noisier than
        the rounding of a result.
    rng
        Draws the directions.
    """
    at_point = evaluations.at_point
    stochastic = bool(evaluations.repeat_at_point() != at_point)
    costs = [at_point]
    eps = evaluations.eps
    unit_size = 4 * eps  # a unit, two or six last places, is about this part of an entry
    # at a spacing of eps^0.4, third differences of a smooth function, eps^1.2, are below rounding
    spacing = max(2.0, eps**0.4 / unit_size)
    side_distance = round(SIDE_DISTANCE / unit_size)
    terms = getattr(evaluations.cost, "terms", 0.0)

    def measure_tables() -> list[tuple[float, bool]]:
        tables = []
        for origin in np.round(side_distance * np.array([0, *rng.uniform(0.5, 1, 2)])):
            units = draw_units(evaluations, 2 * side_distance, rng)
            line = partial(_costs_along, evaluations, units, origin, costs)
            # bounds may leave room on one side alone
            reach = 4 * spacing if origin == 0 else 0.0
            in_box = evaluations.box.holds_moved(_multiples(evaluations, units, np.array([-reach])))
            side = 0 if in_box else 1
            tables.append(
                _noise_along(line, side, spacing, side_distance / 8, stochastic, terms, rng)
            )
        return tables

    tables = measure_tables()
    if any(has_grown for _, has_grown in tables):
        # the cost may be quantised, and of such a cost one table in four looks smooth by chance
        tables += measure_tables()
    finite = np.array([cost for cost in costs if np.isfinite(cost)])
    size = float(np.abs(finite).max())
    narrowest = _narrowest_dtype(finite, evaluations)
    last_place = float(np.spacing(narrowest(size)))
    levels = sorted(level for level, _ in tables)
    # the largest level; beyond OUTLIER, more than a third of the tables have to show it
    level = min(levels[-1], OUTLIER * max(levels[-1 - len(levels) // 3], last_place))
    jumps = np.diff(np.unique(finite))
    if level == 0 and 0 < jumps.size < finite.size / 2:
        level = float(np.median(jumps))  # too few jumps for a table: a whole jump counts as noise
    is_flat = not stochastic and all(cost == at_point for cost in costs)
    if is_flat and not size:
        # a cost of 0 may cancel, as √(1 + z) − √z: √eps of its size at smaller parameters is noise
        smaller = [evaluations.cost_moved(evaluations.box.shrunken(s)) for s in SHRINK[1:]]
        size = float(np.abs(smaller, where=np.isfinite(smaller), out=np.zeros(len(smaller))).max())
        level = math.sqrt(eps) * size
    # An error that is uniform within half a last place has the standard deviation last place/√12.
    # That of the smallest subnormal underflows to 0.
    level = max(level, last_place / math.sqrt(12)) or last_place
    # A table may take the large noise of a stochastic cost for the function itself. Repeated calls
    # at the point show the noise alone.
    if stochastic:
        level = max(level, float(np.std([evaluations.repeat_at_point() for _ in range(POINTS)])))
    unseen = is_flat and changes_nothing(evaluations, evaluations.values, rng)
    relative = level / size if size > 0 else 0.0
    # beside a cost of 0 even a kink is many last places high
    places = 64 * float(np.finfo(narrowest).eps)
    jumps_above = min(places, FLOAT32_EPS) if at_point else FLOAT32_EPS
    return Noise(level, relative, stochastic, unseen, jumps_above)


def changes_nothing(
    evaluations: Evaluations,
    paths: Iterable[str],
    rng: np.random.Generator,
    within: float = 0.0,
) -> bool:
    """Whether no move of some arrays, by up to their own size, changes the cost by a single bit.

    Changes up to the part `within` of the cost do not count. The arrays are moved at the point, and
    where all arrays are smaller: there units that are saturated at the point are less so. A cost
    that is not finite there does not tell. False where none tells, also because bounds leave no
    room.
    """
    box, paths = evaluations.box, list(paths)
    tells = False

    def is_other(moved: Any, cost: Any) -> bool:
        return bool(abs(moved - cost) > within * abs(cost))

    def differs(moves: Mapping[str, FloatArray], cost: Any) -> bool:
        nonlocal tells
        moved = evaluations.cost_moved(moves)
        tells = tells or bool(np.isfinite(moved))
        return bool(np.isfinite(moved) and is_other(moved, cost))

    sizes = {path: evaluations.box.sizes[path] for path in paths}
    aside = {
        path: np.copysign(rng.uniform(0.5, 1, size.shape), rng.uniform(-1, 1, size.shape)) * size
        for path, size in sizes.items()
    }
    for shrink in SHRINK:
        base = box.shrunken(shrink)
        if shrink != 1 and not any(move.any() for move in base.values()):
            break
        unmoved = evaluations.cost_moved(base) if shrink != 1 else evaluations.at_point
        if not np.isfinite(unmoved):
            continue
        if len(paths) == len(base) and is_other(unmoved, evaluations.at_point):
            return False
        for part in (2.0**-8, shrink / 2, 0.125):
            for side in (part, -part):
                moves = {p: box.clipped(p, base[p] + side * aside[p]) for p in paths}
                is_moved = any(np.any(move != base[path]) for path, move in moves.items())
                if is_moved and differs(base | moves, unmoved):
                    return False
    for part in PROBES if tells else ():
        ends = box.ends(rng)
        moves = {path: part * ends[path] for path in paths}
        if differs(moves, evaluations.at_point):
            return False
    return tells


def absorbed_change(
    evaluations: Evaluations, entries: Mapping[str, IntArray], rng: np.random.Generator
) -> float:
    """Return by how much the cost changes where entries that it absorbs at the point first show.

    A cost may be flat to the last bit because it loses digits inside, as √(1 + z) − √z at large z,
    or because units are saturated or dead. As all parameters shrink, the entries show again: if
    digits were lost, by a jump as large as those; if not, by last places of the cost at first.

    Parameters
    ----------
    evaluations
        The cost; 36 evaluations are spent where nothing shows, at most 183 elsewhere.
    entries
        Flat indices of entries whose moves do not change the cost at the point, by path.
    rng
        Draws the moves.

    Returns
    -------
    float
        0 where moves of the entries show nowhere, or by last places at first.
    """
    box, aside = evaluations.box, {}
    for path, flat in entries.items():
        drawn = np.zeros(evaluations.values[path].shape)
        drawn.flat[flat] = rng.uniform(0.5, 1, flat.size) * random_signs(flat.shape, rng)
        aside[path] = drawn * evaluations.box.sizes[path]

    def change(shrink: float, places: float = LAST_PLACES) -> float:
        base = box.shrunken(shrink)
        unmoved, found = evaluations.cost_moved(base), [0.0]
        for part in (shrink * HIDING_MOVE, -shrink * HIDING_MOVE):
            moves = {p: box.clipped(p, base[p] + part * aside[p]) for p in aside}
            found.append(abs(float(evaluations.cost_moved(base | moves) - unmoved)))
        largest = max(size for size in found if math.isfinite(size))
        return largest if largest > places * evaluations.eps * abs(float(unmoved)) else 0.0

    shown = next((float(shrink) for shrink in SHOWN_AT if change(shrink)), None)
    if shown in (None, 1):  # moves that show at the point itself are left to `stairs`
        return 0.0
    hidden, sizes = min(1.0, 4 * shown), list[float]()
    # What grows from zero, as where a dead unit comes to life, falls to last places. A jump stays.
    for _ in range(HALVINGS):
        middle = math.sqrt(hidden * shown)
        if size := change(middle):
            shown, sizes = middle, [*sizes, size]
            if len(sizes) > STAYS and sizes[-1 - STAYS] <= 2 * size:
                break
        else:
            hidden = middle
    return change(shown, 2 * LAST_PLACES)  # without a jump, it has only just passed LAST_PLACES


def _narrowest_dtype(costs: FloatArray, evaluations: Evaluations) -> Any:
    """Return the narrowest dtype that holds all costs: Python floats may hold float32 results.

    One or two numbers may fit a narrow dtype by chance, so then only dtypes of parameters count.
    """
    finite = costs[np.isfinite(costs)]
    parameter_dtypes = {values.dtype.type for values in evaluations.values.values()}
    for dtype in (np.float16, np.float32):
        with np.errstate(over="ignore"):
            fits = np.array_equal(finite.astype(dtype), finite)
        if fits and (np.unique(finite).size > 2 or dtype in parameter_dtypes):
            return dtype
    return costs.dtype.type


def _multiples(
    evaluations: Evaluations, units: FloatArray, multiples: FloatArray
) -> dict[str, FloatArray]:
    """Return moves by multiples (k,) of `units`, by path."""
    return evaluations.split(np.multiply.outer(multiples, units))


def _costs_along(
    evaluations: Evaluations,
    units: FloatArray,
    origin: float,
    costs_met: list[Any],
    nodes: FloatArray,
) -> tuple[FloatArray, FloatArray]:
    """Take costs at whole multiples of `units` from `origin` on, as a `Line`, and append them."""
    nodes = np.round(nodes)  # whole multiples of a unit are exact
    costs = evaluations.costs_moved(origin + nodes, partial(_multiples, evaluations, units))
    costs_met.extend(costs)
    return nodes, costs


def _noise_along(
    line: Line,
    side: int,
    spacing: float,
    largest_spacing: float,
    stochastic: bool,
    terms: float,
    rng: np.random.Generator,
) -> tuple[float, bool]:
    """Return the noise of a difference table, 0 where none shows any, and whether it was widened.

    The spacing grows while the cost is constant, and shrinks while the function itself shows. What
    looks like noise may be an oscillation or a kink of the function: it is believed where it is a
    few last places of the cost, or of the `terms` that this adds up, and where finer tables, each
    in the roughest interval of the one before, show it as well. The tables lie around the origin,
    or on one `side` of it.
    """
    has_grown = has_shrunk = False
    of_shorter = 0.0  # the noise at the first spacing that showed any
    while True:
        reach = spacing * (POINTS - 1) / 2
        table = take_table(line, (side - 1) * reach, (side + 1) * reach, rng)
        if np.isnan(table.costs).all():
            return of_shorter, has_grown  # no cost is finite here, whatever the spacing
        noise, unsuitable = table.noise()
        if noise is not None:
            size = np.maximum(np.abs(table.costs).max(), terms)
            is_noise = stochastic or noise <= SAME_WITHIN * np.spacing(size)
            if not is_noise:
                # where no slope shows, look DEEPEST: an oscillation may be a few last places long
                depth = DEPTH if np.ptp(table.costs) > POINTS * noise else DEEPEST
                place = table.rough_intervals(table.agreeing_order() or 1)[0]
                noises, _, _ = noise_within(line, place, 2.0, rng, depth)
                # each narrower table would show at most half as much at a kink
                is_noise = not noises or noises[-1] > noise / 2 ** len(noises)
                has_grown = has_grown or not noises
            if is_noise and (not has_grown or of_shorter or spacing * 2.0**5 > largest_spacing):
                return max(noise, of_shorter), has_grown
            if is_noise:  # coarser jumps of other terms may show at longer spacings only
                of_shorter = noise
            unsuitable = "too small" if is_noise else "too large"
        if unsuitable == "too small" and not has_shrunk and spacing * 2.0**5 <= largest_spacing:
            has_grown = True
            spacing *= 2.0**5
        elif unsuitable == "too large" and spacing > 2 and not of_shorter:
            has_shrunk = True  # the spacing has grown beyond the right one, and only shrinks now
            spacing = max(2.0, spacing / 4)
        else:
            return of_shorter, has_grown
