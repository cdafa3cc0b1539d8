"""Flagged entries are estimated a second time before they are called wrong."""

import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from checks._types import FloatArray, IntArray
from checks.estimation.cost_rounding import measure_cost_rounding
from checks.estimation.estimates import Estimates
from checks.estimation.finite_differences import Estimate, differences, finest_step
from checks.estimation.hidden_rounding import hidden_errors
from checks.estimation.narrowing import Narrowing
from checks.estimation.noise import Noise
from checks.estimation.oscillation import turning_errors
from checks.estimation.precision import Copies, Lift, coarsest_dtype, copies_of, wider_dtype
from checks.estimation.step_error import LIFTED, SAMPLED
from checks.estimation.step_noise import noise_at_steps
from checks.estimation.step_selection import first_step
from checks.estimation.witness import VISIBLE, confirms
from checks.evaluation.pointwise import Evaluations
from checks.evaluation.result import Contraction
from checks.evaluation.step_sizes import steps_taken
from checks.judgement.step_functions import is_step_function
from checks.report.array_report import ArrayReport
from checks.report.verdict import Verdict
from checks.report.wording import DISAGREE, LOSES_DIGITS, STAIRS, UNEVEN

__all__ = ["mark_uncertain_kinks", "mark_unconfirmed"]

# An entry lies between jumps if the cost has the claimed slope over PIECE units around it, up to a
# part NEAR_ENOUGH of the discrepancy. The ends are sought up to FAR units to either side. A unit is
# a last place of the entry, or so long that a slope of that part of the discrepancy changes the
# cost by VISIBLE_PLACES last places of what it returns.
PIECE, SHORT, FAR, FINE = 1.9, 1 / 4, 2.0, 1 / 32
NEAR_ENOUGH, VISIBLE_PLACES = 1 / 4, 8.0
# Slopes over SHORT last places that are off by BENT of the claim show a bend.
BENT = 2.0**-6
# Where the changes of the cost that claim and estimate expect differ by APART times its noise, one
# is closer to it by more than five standard deviations.
APART = 16.0
# At most so many flagged entries of an array are estimated again. If all of them are confirmed,
# the others are taken as confirmed; if one is not, the others are estimated again too.
CONFIRMED_FIRST = 16
# Noise above MUCH_NOISE of the cost, 1,000 last places of a float32, is more than rounding. A cost
# with a period of up to FASTEST last places of a parameter may pass for noise.
MUCH_NOISE, FASTEST = 2.0**-13, 64
# Around at most so many flagged entries, the noise at the steps of differences is measured.
MEASURED = 2
# The second estimate starts from steps this much smaller: whatever lies far from the point and
# misled the first estimate does not mislead the second.
SMALLER = 1 / 16
# Nothing far from the point misleads complex steps. Where they were first and the second estimate
# is blurred, a third may start with steps that are longer.
LONGER = 1 / 2


def mark_unconfirmed(estimates: Estimates, array: ArrayReport) -> str:
    """Make flagged entries that a second estimate does not confirm UNRESOLVED, in place.

    An entry is confirmed if the two estimates agree, and the second sees that the claim is wrong
    (`checks.estimation.witness.confirms`). Of a complex step that is proven to less than the
    discrepancy, the agreement is enough: it is more accurate than the differences. Where a table at
    the steps of differences shows more noise than is known, as of a solver that stops at a
    tolerance, the second estimate counts with it, whatever the first is.

    Returns
    -------
    str
        Why there are such entries; empty if there are none. Their errors cover both estimates.
    """
    if array.verdict is not Verdict.MISMATCH:
        return ""
    estimate = estimates.by_path[array.path]
    limit: Any = array.limit.ravel()
    # views: what is assigned to them below changes the report
    verdicts, error = array.verdicts.ravel(), array.error.ravel()
    claimed = array.claimed.ravel()
    differentiable = array.differentiable.ravel()
    flagged = np.flatnonzero((verdicts == Verdict.MISMATCH) & np.isfinite(claimed) & differentiable)
    discrepancy = np.abs(claimed - estimate.value)
    flagged = flagged[np.argsort(-discrepancy[flagged])]
    rng = np.random.default_rng([estimates.seed, len(estimates.by_path)])
    noise = estimates.noise
    for entry in flagged[:MEASURED]:
        if noise is estimates.noise:
            noise = noise_at_steps(
                estimates.evaluations, array.path, entry, noise, discrepancy[entry], rng
            )
    if noise is not estimates.noise:  # the default rtol follows the noise
        limit = np.maximum(limit, math.sqrt(min(noise.relative, 0.01)) * array.largest)
    loses_digits = False
    for entries in filter(np.size, (flagged[:CONFIRMED_FIRST], flagged[CONFIRMED_FIRST:])):
        # a thousandth of the discrepancy is accurate enough to confirm it
        goal = float(discrepancy[entries].min()) / array.largest / 1000
        second = _second_estimate(estimates, array.path, entries, noise, rng, goal)

        def are_confirmed(second: Estimate, entries: IntArray = entries) -> NDArray[np.bool_]:
            # Differences have shown complex steps to be right to within `proof`, and no further. On
            # stairs of rounding a complex step is coarse as well.
            above_proof = discrepancy[entries] > estimate.proof * array.largest
            above_proof &= ~second.on_stairs & (noise is estimates.noise)
            confirmed = confirms(
                claimed[entries],
                (estimate.value[entries], estimate.error[entries]),
                (second.value, second.error),
                limit[entries],
                is_proven=above_proof & (estimate.method == "complex-step"),
            )
            oscillate = _may_oscillate(estimates, array.path, entries, claimed[entries])
            is_stepped = _is_stepped(estimates, array.path, entries, claimed, confirmed)
            shows = _shows_nearby(estimates, array.path, entries, claimed[entries])
            return np.asarray(confirmed & ~oscillate & ~is_stepped & ~shows)

        confirmed = are_confirmed(second)
        blurred = ~(second.error <= VISIBLE * discrepancy[entries])
        if (blurred & ~confirmed).any() and noise is estimates.noise:
            second = _sharper(estimates, array.path, entries, second, rng, goal)
            confirmed = are_confirmed(second)
        turning = _turning_errors(estimates, array.path, entries[confirmed])
        confirmed &= turning[entries] == 0
        hidden = _hidden_errors(estimates, array.path, entries[confirmed])
        off = discrepancy[entries] - estimate.error[entries] - hidden[entries]
        is_off = off > limit[entries]
        loses_digits |= bool((confirmed & ~is_off).any())
        confirmed &= is_off
        if confirmed.all():
            break
        unconfirmed = entries[~confirmed]
        verdicts[unconfirmed] = Verdict.UNRESOLVED
        difference = np.abs(second.value - estimate.value[entries])
        both = (difference + second.error + (turning + hidden)[entries])[~confirmed]
        both = np.where(np.isnan(both), np.inf, both)
        error[unconfirmed] = np.maximum(error[unconfirmed], both)
        if estimate.on_stairs.size:
            estimate.on_stairs[unconfirmed] |= second.on_stairs[~confirmed]
    if not np.any(verdicts[flagged] == Verdict.UNRESOLVED):
        return ""
    if estimate.on_stairs.any():
        return STAIRS
    if noise is not estimates.noise:
        return UNEVEN
    return LOSES_DIGITS if loses_digits else DISAGREE


def _sharper(
    estimates: Estimates,
    path: str,
    entries: IntArray,
    second: Estimate,
    rng: np.random.Generator,
    goal: float,
) -> Estimate:
    """Return a second estimate with smaller errors, where another agrees with it.

    After complex steps, longer steps are tried. Others are taken in the wider dtype, if the cost
    lifts, or if an offset of the cost hides this but complex steps lift.
    """
    evaluations, estimate = estimates.evaluations, estimates.by_path[path]
    start = LONGER if estimate.by_complex_steps[entries].all() else SMALLER

    def others() -> Iterator[tuple[Evaluations, Noise]]:
        if start == LONGER:
            yield evaluations, estimates.noise
        rounding = measure_cost_rounding(evaluations, np.random.default_rng(estimates.seed))
        steps_lift = estimate.precision in (LIFTED, SAMPLED)
        lifts = {Lift.LIFTS, Lift.HIDDEN} if steps_lift else {Lift.LIFTS}
        if rounding is not None and rounding.lift in lifts:
            dtype = wider_dtype(coarsest_dtype(evaluations.values))
            wide = evaluations.in_dtype(dtype, Narrowing.of)
            level = rounding.wide_level
            relative = level / (abs(float(wide.at_point)) or level)
            yield wide, Noise(level, relative, False, False)

    for at, noise in others():
        found = differences(at, path, entries, noise, rng, goal, start=start)
        evaluations.count = at.count
        agrees = np.abs(found.value - second.value) <= found.error + second.error
        sharper = (agrees & (found.error < second.error)) | np.isnan(second.value)
        parts = ("value", "error", "on_stairs")
        chosen = {p: np.where(sharper, getattr(found, p), getattr(second, p)) for p in parts}
        second = replace(second, **chosen)
    return second


def _turning_errors(estimates: Estimates, path: str, entries: IntArray) -> FloatArray:
    """Return the errors of oscillations; those of a cost alone are a part of its estimates."""
    evaluations, estimate = estimates.evaluations, estimates.by_path[path]
    entries = entries[~estimate.by_complex_steps[entries]]
    if not evaluations.shared or isinstance(evaluations.cost, Contraction):
        entries = entries[:0]
    return turning_errors(evaluations, path, estimate, entries, estimates.seed)


def _hidden_errors(estimates: Estimates, path: str, entries: IntArray) -> FloatArray:
    """Return errors for digits that are lost in every dtype, as of √(1 + z) − √z at 10²⁰.

    Those of a cost alone are a part of its estimates; of several results only few are looked for.
    """
    evaluations, estimate = estimates.evaluations, estimates.by_path[path]
    lost = dict[str, FloatArray]()
    if entries.size and evaluations.shared and not evaluations.interrupted:
        noise = estimates.cost_noise.known
        lost = hidden_errors(evaluations, {path: estimate}, noise, estimates.seed, accuses=True)
    return lost.get(path, np.zeros(estimate.value.size))


def _may_oscillate(
    estimates: Estimates, path: str, entries: IntArray, claimed: FloatArray
) -> NDArray[np.bool_]:
    """Whether what passes for noise may be an oscillation that has the claimed slopes.

    No difference tells one from the other if the period is a few last places of a parameter, as of
    sin(400 x) in float32 at x = 10,000. Its slope is then about the noise over the last place.
    """
    evaluations, noise = estimates.evaluations, estimates.noise
    value = evaluations.values[path].ravel()[entries]
    if noise.stochastic or noise.relative <= MUCH_NOISE:
        return np.zeros(entries.size, bool)
    period = FASTEST * np.spacing(np.abs(value)).astype(np.float64)
    return np.asarray(np.abs(claimed) * period >= noise.level)


def _shows_nearby(
    estimates: Estimates, path: str, entries: IntArray, claimed: FloatArray
) -> NDArray[np.bool_]:
    """Whether the shortest steps that tell claim and estimate apart show the claimed slopes.

    Over these steps, the changes of the cost that the two expect differ by `APART` times its noise.
    Longer ones may span periods of an oscillation, and agree by chance if it is little above noise.
    """
    evaluations, estimate = estimates.evaluations, estimates.by_path[path]
    value, numeric = evaluations.values[path], estimate.value[entries]
    sizes = evaluations.box.sizes[path].ravel()[entries]
    steps = APART / 2 * estimates.noise.level / np.abs(claimed - numeric)
    steps = np.maximum(steps, finest_step(sizes.astype(value.dtype)))
    is_short = steps < sizes * first_step(estimates.noise.relative) * SMALLER
    is_short &= ~estimate.by_complex_steps[entries] & (not estimates.noise.stochastic)
    # costs that know the noise of single moves have more of it at shorter steps
    is_short &= getattr(evaluations.cost, "levels", None) is None
    x = value.ravel()[entries]
    ends = steps_taken(x[:, None], np.multiply.outer(steps, [1, -1]))
    shows = np.zeros(entries.size, bool)
    if is_short.any():
        costs = evaluations.at_entries(path, entries[is_short], ends[is_short])
        slopes = (costs[:, 0] - costs[:, 1]) / (ends[is_short, 0] - ends[is_short, 1])
        nearer = np.abs(slopes - claimed[is_short]) < np.abs(slopes - numeric[is_short])
        shows[is_short] = nearer
    return shows


def _is_stepped(
    estimates: Estimates,
    path: str,
    entries: IntArray,
    claimed: FloatArray,
    confirmed: NDArray[np.bool_],
) -> NDArray[np.bool_]:
    """Whether entries have the claimed slopes between jumps, while differences step over these.

    A function that rounds, as floor does, has such jumps, and its derivative is that between them.
    So has a cost in a wider dtype if it casts a part to the dtype of the parameters. The part that
    is a power of an entry, or a multiple, jumps then at every second last place of it at least.
    """
    evaluations, estimate = estimates.evaluations, estimates.by_path[path]
    wide = wider_dtype(coarsest_dtype(evaluations.values))
    stepped, possible = np.zeros(entries.size, bool), np.flatnonzero(confirmed)
    # costs that know the noise of single moves, as the slopes by each entry, are 0 for copies
    no_copies = getattr(evaluations.cost, "levels", None) is not None
    if no_copies or estimate.method == "complex-step":
        return stepped
    if wide is None or evaluations.interrupted or not possible.size:
        return stepped
    copies = copies_of(evaluations, wide)
    cost, last_places = copies.cost(), copies.last_places(path).ravel()
    last_place = float(np.finfo(cost.dtype).eps) * abs(float(evaluations.at_point))
    for k in possible:
        entry, claim = entries[k], claimed[entries[k]]
        apart = NEAR_ENOUGH * abs(claim - estimate.value[entry])
        visible = VISIBLE_PLACES * last_place / apart
        unit = max(last_places[entry], visible)
        slope = partial(_slope_over, copies, path, entry, cost)
        shortest = SHORT / 16 if unit >= 16 * visible else SHORT
        stepped[k] = _has_claimed_slope(slope, claim, apart, unit, shortest)
        if not stepped[k]:
            stepped[k] = is_step_function(copies, path, entry, cost, visible, claim, apart)
    evaluations.count += copies.calls
    return stepped


def _slope_over(copies: Copies, path: str, entry: int, cost: Any, step: float) -> float:
    """Return the slope of the wide cost over a step of one entry from the point."""
    value = copies.values[path]
    move = np.zeros(value.size, copies.dtype)
    move[entry] = step
    return float((copies.cost({path: move.reshape(value.shape)}) - cost) / move[entry])


def _has_claimed_slope(
    slope: Callable[[float], float], claim: float, apart: float, unit: float, shortest: float
) -> bool:
    """Whether the cost has the claimed slope, up to `apart`, over a `PIECE` around an entry.

    Its ends are found by bisection, from the `shortest` steps in units to `FAR` ones. The slope at
    the point alone is enough where it bends within a last place. So does an oscillation whose
    period is a few last places, which no cost at parameters of their dtype shows. A cost that casts
    is straight between its jumps, and does not jump so close by on both sides.
    """

    def off(units: float) -> float:
        return abs(slope(units * unit) - claim)

    reach, sides = 0.0, [side for side in (1, -1) if off(side * shortest) <= apart]
    for side in sides:
        if off(side * FAR) <= apart:
            reach += FAR
            continue
        near, far = shortest, FAR
        while far - near > FINE:
            middle = (near + far) / 2
            near, far = (middle, far) if off(side * middle) <= apart else (near, middle)
        reach += near
    if reach >= PIECE or len(sides) < 2 or shortest == SHORT:
        return reach >= PIECE
    return min(off(side * SHORT) for side in sides) > BENT * abs(claim)


def mark_uncertain_kinks(estimates: Estimates, array: ArrayReport) -> bool:
    """Make entries at a kink UNRESOLVED, in place, except certain matches.

    A match is certain if the claim lies between the slopes on both sides, and a second estimate
    finds the same slopes. No other claim is called wrong: what a program returns at a kink is a
    convention, and often neither slope of the whole cost.

    Returns
    -------
    bool
        Whether there were such entries.
    """
    slope_jump = array.slope_jump.ravel()
    if not slope_jump.any():
        return False
    finite = np.isfinite(array.claimed).ravel()  # a claim of nan is wrong at a kink too
    kinks = np.flatnonzero((slope_jump != 0) & finite)
    if not kinks.size:
        return False
    estimate, verdicts = estimates.by_path[array.path], array.verdicts.ravel()
    rng = np.random.default_rng([estimates.seed, len(estimates.by_path), 1])
    second = _second_estimate(estimates, array.path, kinks, estimates.noise, rng)
    error = estimate.error[kinks] - slope_jump[kinks] + second.error
    agree = np.all(np.abs(second.slopes - estimate.slopes[kinks]) <= error[:, None], axis=1)
    uncertain = kinks[(verdicts[kinks] != Verdict.MATCH) | ~agree]
    verdicts[uncertain] = Verdict.UNRESOLVED
    return bool(uncertain.size)


def _second_estimate(
    estimates: Estimates,
    path: str,
    entries: IntArray,
    noise: Noise,
    rng: np.random.Generator,
    goal: float = 0.0,
) -> Estimate:
    """Estimate entries by differences, from smaller steps than at first."""
    goal = max(goal, estimates.rtol / 100)
    return differences(estimates.evaluations, path, entries, noise, rng, goal, start=SMALLER)
