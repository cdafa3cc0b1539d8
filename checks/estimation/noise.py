"""How noisy a cost is: Moré and Wild, "Estimating computational noise" (SISC 33, 2011)."""

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any

import numpy as np

from checks._types import FloatArray
from checks.estimation.cost_rounding import measure_cost_rounding
from checks.estimation.precision import EVERY, Lift
from checks.evaluation.pointwise import Evaluations
from checks.evaluation.step_sizes import entry_sizes

__all__ = [
    "ASSUMED_PLACES",
    "CostNoise",
    "Noise",
    "changes_nothing",
    "difference_table_noise",
    "measure_noise",
]

POINTS = 8  # costs in a difference table: "seven to nine suffice" (section 5)
SIDE_DISTANCE = 2.0**-5  # of the side tables from the point, relative: about the longest step
ASSUMED_PLACES = 64.0  # noise, in last places of the cost, that is assumed until it is measured
# Parts of the way to the ends of the box at which it is seen whether the cost depends on its
# parameters at all. The last all but undoes half of the entries: units that are saturated or dead
# at the point need not be so there.
PROBES = (2.0**-2, 1 - 2.0**-10, 1 - 2.0**-10)
# Factors on all parameters: whether the cost depends on its parameters is tested at the point, and
# again where all of them are smaller.
SHRINK = (1.0, 0.5, 0.125)
SAME_WITHIN = 4.0  # two estimates of one noise differ by this factor at most: η of section 4


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
    """

    level: float
    relative: float
    stochastic: bool
    is_constant: bool


class CostNoise:
    """The noise of a cost around the point, measured only when it is needed.

    Parameters
    ----------
    evaluations
        The cost.
    seed : int
        Draws the directions of the measurement.
    """

    def __init__(self, evaluations: Evaluations, seed: int) -> None:
        self._evaluations, self._seed = evaluations, seed
        self._repeats = False  # two calls at the point gave the same number

    @cached_property
    def measured(self) -> Noise:
        """The noise of the cost; the first use measures it.

        One precision up, where the cost lifts; by `measure_noise` elsewhere.
        """
        evaluations = self._evaluations
        rounding = None
        repeats = self._repeats or bool(evaluations.repeat_at_point() == evaluations.at_point)
        if repeats and evaluations.size <= EVERY:
            rounding = measure_cost_rounding(evaluations, np.random.default_rng(self._seed))
            if rounding is not None and rounding.lift is Lift.LIFTS:
                return Noise(rounding.level, rounding.relative, False, False)
        noise = measure_noise(evaluations, np.random.default_rng(self._seed))
        noise = replace(noise, stochastic=noise.stochastic or not repeats)
        if rounding is None or math.isnan(rounding.level):
            return noise
        # tables do not see rounding that repeats over a few last places
        level, relative = max(noise.level, rounding.level), max(noise.relative, rounding.relative)
        return replace(noise, level=level, relative=relative)

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


def difference_table_noise(costs: FloatArray) -> tuple[float | None, str]:
    """Return the noise of equally spaced costs; None if their spacing is unsuitable.

    The k-th differences of a smooth function shrink with the spacing. Those of noise do not: their
    mean square is σ²·(2k)!/(k!)². So each k gives an estimate of σ, and where three successive
    ones agree, it is the noise (section 4).

    Returns
    -------
    tuple
        The noise and "", or None and what is wrong with the spacing: "too small" or "too large".
    """
    # section 5: if so few costs vary by more than a tenth, the function varies, not its noise
    if not np.ptp(costs) <= 0.1 * np.abs(costs).max():
        return None, "too large"
    differences, levels, changes_sign = costs, [], []
    gamma = 1.0  # (k!)²/(2k)!
    for k in range(1, len(costs)):
        differences = np.diff(differences)
        if k == 1 and 2 * np.count_nonzero(differences == 0) >= len(differences):
            jumps = np.flatnonzero(differences)
            if (np.diff(jumps) > 1).any():  # level between two jumps: the cost is quantised
                # a quantised cost is off by up to half a jump: uniform, so jump/√12
                return float(np.abs(differences[jumps]).min()) / math.sqrt(12), ""
            return None, "too small"
        gamma *= k / (2 * (2 * k - 1))
        largest = np.abs(differences).max() or 1.0  # so that squares neither overflow nor underflow
        levels.append(float(largest * np.sqrt(gamma * np.mean((differences / largest) ** 2))))
        changes_sign.append(differences.min() < 0 < differences.max())
    for k in range(len(levels) - 2):
        three = levels[k : k + 3]
        if max(three) <= SAME_WITHIN * min(three) and changes_sign[k]:
            return levels[k], ""
    return None, "too large"


def measure_noise(evaluations: Evaluations, rng: np.random.Generator) -> Noise:
    """Measure the noise of a cost around the point, along random directions of all parameters.

    The noise is the largest of three difference tables. One surrounds the point. Two lie beside it,
    as far away as steps go, since a cost may be exact at the point alone, as at a perfect fit. Each
    table has its own direction, since along one of them rounding may repeat and so not show.

    Parameters
    ----------
    evaluations
        The cost; about 28 evaluations are spent, more where it is flat or quantised.
    rng
        Draws the directions.
    """
    at_point = evaluations.at_point
    stochastic = bool(evaluations.repeat_at_point() != at_point)
    costs = [at_point]
    eps = evaluations.eps
    places = (20, 60) if eps < 1e-5 else (1, 3)  # float16 has only 2^10 last places in 1 … 2
    unit_size = eps * sum(places) / 2  # relative
    # the side tables have steps of eps^0.4, whose third differences vanish in rounding: over the
    # few last places that the table at the point spans, rounding may stay the same
    side_spacing = 2.0 ** max(0, round(math.log2(eps**0.4 / unit_size)))
    side_distance = round(SIDE_DISTANCE / unit_size)

    def measure_tables() -> list[float]:
        directions = [_draw_units(evaluations, places, 2 * side_distance, rng) for _ in range(3)]
        origins = (0, side_distance, side_distance)
        return [
            _noise_along(
                evaluations,
                units,
                origin,
                spacing=side_spacing if origin else 1.0,
                largest_spacing=side_distance / POINTS,
                costs_met=costs,
            )
            for units, origin in zip(directions, origins, strict=True)
        ]

    levels = measure_tables()
    if any(levels) and len(costs) > 1 + 3 * POINTS:
        # a table needed several spacings: perhaps the cost is quantised, and one table in four of
        # a quantised cost happens to look regular
        levels += measure_tables()
    finite = np.array([cost for cost in costs if np.isfinite(cost)])
    size = float(np.abs(finite).max())
    level = max(levels)
    jumps = np.diff(np.unique(finite))
    if level == 0 and 0 < jumps.size < finite.size / 2:
        level = float(np.median(jumps))  # too few jumps for a table: a whole jump counts as noise
    dtype = _narrowest_dtype(finite, evaluations)
    last_place = float(np.spacing(dtype(size)))
    # a correctly rounded cost is off by up to half its last place: uniform, so last place/√12,
    # which underflows to 0 for the smallest subnormal
    level = max(level, last_place / math.sqrt(12)) or last_place
    # the noise of a stochastic cost may be so large that a table takes it for variation of the
    # function itself: repeated calls at the point show this noise alone
    if stochastic:
        level = max(level, float(np.std([evaluations.repeat_at_point() for _ in range(POINTS)])))
    unseen = not stochastic and all(cost == at_point for cost in costs)
    unseen = unseen and changes_nothing(evaluations, evaluations.values, rng)
    return Noise(level, level / size if size > 0 else 0.0, stochastic, unseen)


def changes_nothing(
    evaluations: Evaluations, paths: Iterable[str], rng: np.random.Generator
) -> bool:
    """Whether no move of some arrays, by up to their own size, changes the cost by a single bit.

    The arrays are moved at the point, and where all arrays are smaller: there units that are
    saturated at the point are less so. False where bounds leave no room to see it.
    """
    box, paths = evaluations.box, list(paths)
    sizes = {path: entry_sizes(evaluations.values[path]) for path in paths}
    aside = {
        path: np.copysign(rng.uniform(0.5, 1, size.shape), rng.uniform(-1, 1, size.shape)) * size
        for path, size in sizes.items()
    }
    moved_at_all = False
    for shrink in SHRINK:
        base = box.shrunken(shrink)
        if shrink != 1 and not any(move.any() for move in base.values()):
            break
        unmoved = evaluations.cost_moved(base) if shrink != 1 else evaluations.at_point
        if not np.isfinite(unmoved):
            continue
        if len(paths) == len(base) and unmoved != evaluations.at_point:
            return False
        for part in (2.0**-8, shrink / 2, 0.125):
            for side in (part, -part):
                moves = {p: box.clipped(p, base[p] + side * aside[p]) for p in paths}
                if any(np.any(move != base[path]) for path, move in moves.items()):
                    moved_at_all = True
                    if evaluations.cost_moved(base | moves) != unmoved:
                        return False
    for part in PROBES if moved_at_all else ():
        ends = box.ends(rng)
        moves = {path: part * ends[path] for path in paths}
        if evaluations.cost_moved(moves) != evaluations.at_point:
            return False
    return moved_at_all


def _narrowest_dtype(costs: FloatArray, evaluations: Evaluations) -> Any:
    """Return the narrowest dtype that holds all costs: Python floats may hold float32 results.

    Equal costs may fit a narrow dtype by chance, so for them only dtypes of parameters count.
    """
    finite = costs[np.isfinite(costs)]
    parameter_dtypes = {values.dtype.type for values in evaluations.values.values()}
    for dtype in (np.float16, np.float32):
        with np.errstate(over="ignore"):
            fits = np.array_equal(finite.astype(dtype), finite)
        if fits and (np.ptp(finite) or dtype in parameter_dtypes):
            return dtype
    return costs.dtype.type


def _draw_units(
    evaluations: Evaluations,
    places: tuple[int, int],
    largest_multiple: float,
    rng: np.random.Generator,
) -> FloatArray:
    """Draw a small move of all entries, each by a number of its last places within `places`.

    Such moves change the rounding of the cost, and hardly its exact value. Near a bound they are
    shorter, so that the largest multiple of them stays within.
    """
    ends = np.concatenate([end.reshape(-1) for end in evaluations.box.ends(rng).values()])
    sizes = [
        entry_sizes(value).astype(value.dtype).reshape(-1) for value in evaluations.values.values()
    ]
    # odd numbers: with multiples of a power of two many products would be exact
    count = 2 * (rng.integers(*places, evaluations.size, endpoint=True) // 2) + 1
    units = count * np.concatenate([np.spacing(size) for size in sizes])
    return np.asarray(np.copysign(np.minimum(units, np.abs(ends) / largest_multiple), ends))


def _multiples(
    evaluations: Evaluations, units: FloatArray, multiples: FloatArray
) -> dict[str, FloatArray]:
    """Return moves by multiples (k,) of `units`, by path."""
    return evaluations.split(np.multiply.outer(multiples, units))


def _noise_along(
    evaluations: Evaluations,
    units: FloatArray,
    origin: int,
    spacing: float,
    largest_spacing: float,
    costs_met: list[Any],
) -> float:
    """Return the noise that a difference table shows, 0 where no spacing shows any.

    The table holds costs at `origin` + `spacing` · j, in multiples of `units`. The spacing grows
    while the cost stays level, and shrinks while the function itself shows. All costs are appended
    to `costs_met`.
    """
    suspected, has_shrunk = 0.0, False
    while True:
        multiples = origin + spacing * (np.arange(POINTS) - POINTS // 2)
        if not evaluations.box.holds_moved(_multiples(evaluations, units, multiples[:1])):
            multiples += spacing * (POINTS // 2)  # bounds leave room on one side alone
        costs = evaluations.costs_moved(multiples, partial(_multiples, evaluations, units))
        costs_met.extend(costs)
        if np.isnan(costs).all():
            return 0.0  # outside, whatever the spacing
        noise, unsuitable = difference_table_noise(costs)
        if suspected and not (noise and noise <= suspected / SAME_WITHIN):
            return suspected  # it did not shrink with the spacing, so it is noise
        if noise is not None:
            if noise <= SAME_WITHIN * np.spacing(np.abs(costs).max()) or spacing < 8:
                return noise
            # kinks look like noise too, but shrink with the spacing: compare with a finer table
            suspected, spacing = noise, spacing / 8
        elif unsuitable == "too small" and not has_shrunk and spacing * 2.0**5 <= largest_spacing:
            spacing *= 2.0**5
        elif unsuitable == "too large" and spacing > 1:
            has_shrunk = True  # the right spacing was jumped over: from now on only shrink
            spacing = max(1.0, spacing / 4)
        else:
            return 0.0
