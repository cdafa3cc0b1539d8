"""Oscillations that no difference shows, because they are smaller than the noise of the cost.

At z = 10^16, z − sin z is z in float64, but its slope is anything from 0 to 2. Complex steps show
the slope at the point itself, and another one close by. So do steps in the wider dtype that are
much shorter than those of differences, for costs that take no complex numbers.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from checks._types import FloatArray, IntArray
from checks.estimation.finite_differences import Estimate
from checks.estimation.noise import Noise
from checks.estimation.precision import (
    EVERY,
    Copies,
    coarsest_dtype,
    copies_of,
    real_if_possible,
    wider_dtype,
)
from checks.evaluation.pointwise import Evaluations
from checks.evaluation.step_sizes import random_signs

__all__ = ["oscillation_errors", "turning_errors"]

# Neighbours are as far from the point as these parts of each entry, but at least SHORTEST last
# places. They are so close that the slope of a cost that differences follow hardly changes.
NEAR, SHORTEST = 2.0 ** -np.array([12, 20, 30, 40, 64]), 1.71
# A slope turns if it changes by TURNS times what it differs from that by differences, and by CURVED
# times as much as that of x² does.
TURNS, CURVED = 1 / 2, 16.0
# Complex steps in the wider dtype are known to the part EXACT of the largest, as they round.
EXACT = 2.0**-10
# Short steps that test all arrays at once change the cost by EXPECTED times its noise for each
# entry, if the estimates are right. Beyond UNEXPECTED times its noise, a change contradicts them.
# By short steps, oscillations change the cost by less than FAR_LARGER times what is expected.
FAR_LARGER = 4.0
# Where the noise is large, a neighbour is asked too, the one of index BESIDE.
EXPECTED, UNEXPECTED, BESIDE = 64.0, 8.0, 1
# Where the slope at the point does not show, nor do those at so many neighbours, the farthest ones.
DISTANT = 2
# Short steps are at least FINEST last places of the wider dtype. What an entry does shows in
# changes of VISIBLE last places of the cost. Steps are tried, each LONGER times the one before,
# until slopes over a step and over the PART of it are the SAME, twice. If a stage rounds, changes
# are k and j jumps. For small whole numbers j/k is not near PART, the golden ratio: k is at least 8
# for the shorter of the two steps, and 32 for the longer, so that the slope is KNOWN.
FINEST, VISIBLE, LONGER = 16.0, 8.0, 4.0
PART, SAME, KNOWN = (5**0.5 - 1) / 2, 2.0**-6, 2.0**-4


def oscillation_errors(
    evaluations: Evaluations, estimates: Mapping[str, Estimate], noise: Noise, seed: int
) -> dict[str, FloatArray]:
    """Return errors of differences, by path, where short steps contradict them, and slopes turn.

    The errors cover the slopes at the point and at neighbours, if these are unlike each other.
    Where they are alike, as complex steps for |z|, the short steps may be what is wrong: one stage
    of the cost may drop imaginary parts, or round.

    Parameters
    ----------
    evaluations
        The cost. A complex step for each array shows whether it contradicts the differences. Where
        it does, each entry is stepped, and those that contradict at five neighbours too. Two real
        steps in the wider dtype test the other arrays together.
    estimates
        Its derivatives, by path. Those by complex steps are left alone.
    noise
        Of the cost.
    seed
        Draws the moves.
    """
    # costs that know the noise of single moves, as the slopes by each entry, are 0 for copies
    no_copies = getattr(evaluations.cost, "levels", None) is not None
    if evaluations.shared or evaluations.size > EVERY or no_copies:
        return {}
    rng, errors = np.random.default_rng(seed), dict[str, FloatArray]()
    by_real_steps = dict[str, IntArray]()
    takes_complex = not evaluations.complex_outside
    for path, estimate in estimates.items():
        known = np.flatnonzero(np.isfinite(estimate.error) & ~estimate.by_complex_steps)
        if not known.size:
            continue
        found = None
        if takes_complex:
            found, takes_complex = _by_complex_steps(evaluations, path, estimate, known, rng)
        if not takes_complex and len(evaluations.values) > 1:  # it may refuse another array alone
            found, _ = _by_complex_steps(evaluations, path, estimate, known, rng, real_if_possible)
        if found is None:
            by_real_steps[path] = known
        else:
            errors[path] = found
    if by_real_steps:
        copies = _wide_copies(evaluations)
        try:
            short = _ShortSteps(copies, estimates, float(evaluations.at_point), noise, rng)
            if short.contradict(by_real_steps):
                errors |= {path: short.errors(path, known) for path, known in by_real_steps.items()}
        finally:
            evaluations.count += copies.calls
    return errors


def _wide_copies(evaluations: Evaluations) -> Copies:
    return copies_of(evaluations, wider_dtype(coarsest_dtype(evaluations.values)))


def _by_complex_steps(
    evaluations: Evaluations,
    path: str,
    estimate: Estimate,
    known: IntArray,
    rng: np.random.Generator,
    follow: Callable[[Any], Any] | None = None,
) -> tuple[FloatArray | None, bool]:
    """Return the errors of an array by complex steps, and whether the cost takes these.

    None where complex steps are refused, or contradict the estimates without turning.
    """
    copies = _wide_copies(evaluations)
    found: FloatArray = np.zeros(estimate.value.size)
    copies.follow = follow
    try:
        is_contradicted = _is_contradicted(copies, path, estimate, known, rng)
        if is_contradicted and not copies.said:
            found = _errors(copies, path, estimate, known, rng)
    finally:
        evaluations.count += copies.calls
    tells = not copies.said and (found.any() or not is_contradicted)
    return found if tells else None, not copies.said


def turning_errors(
    evaluations: Evaluations, path: str, estimate: Estimate, entries: IntArray, seed: int
) -> FloatArray:
    """Return what `oscillation_errors` does of some entries of an array, also of several results.

    Of these, only entries that are about to be called wrong are worth the calls.
    """
    if not entries.size:
        return np.zeros(estimate.value.size)
    copies = _wide_copies(evaluations)
    try:
        found = _errors(copies, path, estimate, entries, np.random.default_rng(seed))
        return np.zeros(found.size) if copies.said else found
    finally:
        evaluations.count += copies.calls


def _is_contradicted(
    copies: Copies, path: str, estimate: Estimate, known: IntArray, rng: np.random.Generator
) -> bool:
    """Whether a complex step along a direction in which all errors count alike exceeds them."""
    shape, scale = copies.values[path].shape, copies.scales[path]
    direction: Any = np.zeros(estimate.value.size)
    direction[known] = 1 / np.maximum(estimate.error[known], np.finfo(float).tiny)
    unit = scale / direction.max()
    direction *= unit * random_signs(direction.shape, rng)
    along = copies.slope({path: direction.reshape(shape)})[0]
    return bool(abs(along - estimate.value[known] @ direction[known]) > unit)


def _errors(
    copies: Copies, path: str, estimate: Estimate, known: IntArray, rng: np.random.Generator
) -> FloatArray:
    """Return the errors of an array, 0 where complex steps agree, or do not turn."""
    at = copies.slopes({path: known})[0][path]
    off = np.abs(at - estimate.value[known])
    entries = known[off > estimate.error[known]]
    errors = np.zeros(estimate.value.size)
    if not entries.size:
        return errors
    found, distances = [at[off > estimate.error[known]]], list[Any]()
    for move in _moves_to_neighbours(copies, path, rng):
        distances.append(np.abs(move / copies.box.sizes[path]).ravel()[entries])
        found.append(copies.slopes({path: entries}, {path: move})[0][path])
    # among neighbours: the point itself may stand on a bound, where the cost drops imaginary parts
    turning = _turning_errors(
        np.array(found), np.array(distances), estimate.value[entries], EXACT, skipped=1
    )
    if turning.any():  # complex steps are right of these, and so of others that happen to be alike
        off = np.abs(found[0] - estimate.value[entries])
        errors[entries] = np.maximum(turning, off + EXACT * np.abs(found[0]))
    return errors


def _moves_to_neighbours(copies: Copies, path: str, rng: np.random.Generator) -> list[Any]:
    """Return the moves of an array to neighbours, the farthest first."""
    value, last_places = copies.values[path], copies.last_places(path)
    sign, sizes = random_signs(value.shape, rng), copies.box.sizes[path]
    lengths = [np.maximum(part * sizes, SHORTEST * last_places) for part in NEAR]
    return [copies.box.clipped(path, sign * length) for length in lengths]


def _turning_errors(
    slopes: Any, distances: Any, values: FloatArray, doubt: float, skipped: int = 0
) -> FloatArray:
    """Return errors of `values` (m,) that cover slopes (k + 1, m) if they turn, else 0.

    The slopes are those at the point and at k neighbours, as far away as `distances`; each is
    known to the part `doubt` of the largest, or nan. Whether they turn is asked without the first
    ones that are `skipped`.
    """
    off, largest = np.abs(slopes - values), np.nanmax(np.abs(slopes), axis=0)
    distances = np.concatenate([np.zeros((1, off.shape[1])), distances])[skipped:]
    smooth = np.maximum(TURNS * np.nan_to_num(off[0]), CURVED * distances * largest)
    smooth = np.maximum(smooth, 2 * doubt * largest)
    change = np.abs(slopes[skipped:, None] - slopes[skipped:])
    turns = (change > np.maximum(smooth[:, None], smooth)).any(axis=(0, 1))
    # a slope that is not known is as far off as those near by, up to a factor
    errors = (np.nanmax(off, axis=0) + doubt * largest) * np.where(np.isnan(off[0]), 2, 1)
    return np.where(turns, errors, 0)


class _ShortSteps:
    """Slopes by real steps in the wider dtype, down to a few last places of it.

    Over a short step a cost changes little, so that only large deviations from what estimates
    expect show: those of an oscillation.
    """

    def __init__(
        self,
        copies: Copies,
        estimates: Mapping[str, Estimate],
        at_point: float,
        noise: Noise,
        rng: np.random.Generator,
    ) -> None:
        self.copies, self.estimates, self.rng = copies, estimates, rng
        self.rounding = copies.narrow_eps * abs(at_point)
        # a cost that is small at the point alone has less noise there
        self.level = max(min(noise.level, noise.relative * abs(at_point)), self.rounding)
        self.rounds = False  # whether the cost returns its results in the narrow dtype
        self.lifts, self.wide_part = noise.lifts, copies.eps / copies.narrow_eps
        # so short that the cubic term of a smooth cost is below last places of the wider dtype
        self.longest = copies.eps ** (1 / 3)
        self.neighbours = {p: _moves_to_neighbours(copies, p, rng) for p in copies.values}

    def contradict(self, known: Mapping[str, IntArray]) -> bool:
        """Whether short moves of some entries change the cost by other than is expected.

        Where a stage rounds, this does not show slopes that are off by a little, as by chance those
        of an oscillation are: it is asked beside the point. Shorter moves, by which such a cost
        jumps or stays the same, show whether a stage rounds. What is taken for noise may be an
        oscillation too. Then it is far less over steps by which the cost changes by a few last
        places.
        """
        if self.lifts:
            return self._is_off(known, self.level, self.level * self.wide_part)[0]
        beside = {path: self.neighbours[path][BESIDE] for path in known}
        if self._is_off(known, self.level, self.level, beside)[0]:
            return True
        least = self.rounding * self.wide_part
        if not self.rounds and any(
            all(self._is_off(known, least, least, at)) for at in ({}, beside)
        ):
            return True
        is_quiet = self.level == self.rounding
        if is_quiet or not self._is_off(known, self.rounding, self.rounding, beside)[0]:
            return False
        moves = self._moves(known, self.rounding)
        change, of_part = self._change(moves), self._change(moves, PART)
        return bool(abs(of_part - PART * change) <= self.level / UNEXPECTED**2)

    def _is_off(
        self,
        known: Mapping[str, IntArray],
        level: float,
        noise: float,
        base: Mapping[str, Any] | None = None,
    ) -> tuple[bool, bool]:
        """Whether moves change the cost by other than is expected, and as slopes do.

        Those of an oscillation are seldom far larger than their mean; jumps of rounding may be.
        """
        moves, owed, size, allowed = self._moves(known, level), 0.0, 0.0, UNEXPECTED * noise
        change = self._change(moves, 1.0, base)
        least = allowed
        for path, entries in known.items():
            estimate, moved = self.estimates[path], moves[path].ravel()[entries]
            owed += moved @ estimate.value[entries]
            size += np.abs(moved) @ np.abs(estimate.value[entries])
            allowed += np.abs(moved) @ estimate.error[entries]
        shows = least < abs(change) < FAR_LARGER * size
        self.rounds = self.copies.rounds(change)
        return bool(abs(change - owed) > allowed), bool(shows)

    def _moves(self, known: Mapping[str, IntArray], level: float) -> dict[str, Any]:
        """Return short moves of arrays, 0 for entries that bounds leave no room on one side.

        Each entry changes the cost by `EXPECTED` times `level`, if the estimates are right. Left
        out are entries whose errors allow changes above `level`.
        """
        copies, moves = self.copies, {}
        # so short that curvature changes the cost by last places, at a neighbour too
        farthest = self.longest
        if not self.lifts:
            farthest = min(farthest, UNEXPECTED * copies.narrow_eps / NEAR[BESIDE])
        for path, entries in known.items():
            values, estimate = copies.values[path], self.estimates[path]
            sizes = copies.box.sizes[path].ravel()
            move: Any = np.zeros(sizes.size, copies.dtype)
            shortest, longest = FINEST * copies.eps * sizes[entries], farthest * sizes[entries]
            with np.errstate(divide="ignore"):
                length = EXPECTED * level / np.abs(estimate.value[entries])
                longest = np.minimum(longest, level / estimate.error[entries])
            length = np.minimum(np.maximum(length, shortest), longest)
            move[entries] = np.where(longest >= shortest, length, 0)
            move = move.reshape(values.shape) * random_signs(values.shape, self.rng)
            moves[path] = np.where(np.abs(move) < np.minimum(*copies.box.room(path)), move, 0)
        return moves

    def errors(self, path: str, known: IntArray) -> FloatArray:
        """Return the errors of an array, 0 where slopes over short steps agree, or do not turn."""
        values, estimate = self.copies.values[path], self.estimates[path]
        errors, sizes = np.zeros(values.size), self.copies.box.sizes[path]
        neighbours = self.neighbours[path]
        for entry in known:
            if not self.contradict({path: np.array([entry])}):
                continue
            direction = np.zeros_like(sizes)
            size = direction.flat[entry] = sizes.flat[entry]
            one, places = {path: direction}, [{}, *({path: move} for move in neighbours)]
            # beside a point where the slope vanishes by chance, shorter steps show it
            length = min(self._shortest(one, base) for base in places[:2])
            if math.isinf(length):
                continue
            slopes = [self._slope_over(one, length, base, KNOWN) for base in places]
            at, value = slopes[0], size * estimate.value[entry]
            if abs(at - value) <= size * estimate.error[entry] + KNOWN / 2 * abs(at):
                continue
            # a cost that seems to lift may have a narrow stage that is a small part of the slope
            if self.lifts and abs(at - value) > abs(value) / 2:
                errors[entry] = (abs(at - value) + KNOWN * abs(at)) / size
                continue
            if math.isnan(at):  # only those next to the point tell of it
                slopes[1 : 1 + DISTANT] = [np.nan] * DISTANT
            if not np.isnan(slopes).all():
                distances = np.array([[abs(move.flat[entry]) / size] for move in neighbours])
                found = _turning_errors(np.array(slopes)[:, None], distances, value, KNOWN)[0]
                errors[entry] = found / size
        return errors

    def _change(
        self,
        direction: Mapping[str, Any],
        length: float = 1.0,
        base: Mapping[str, Any] | None = None,
    ) -> Any:
        """Return half of what the cost changes by over a step to both sides of a moved point."""

        def cost(length: float) -> Any:
            moves = {path: (base or {}).get(path, 0) + length * v for path, v in direction.items()}
            return self.copies.cost(moves)

        return (cost(length) - cost(-length)) / 2

    def _slope_over(
        self, direction: Mapping[str, Any], length: float, base: Mapping[str, Any], same: float
    ) -> float:
        """Return the slope over a step along a direction; nan where the cost is not straight."""
        slope, shorter = (self._change(direction, t, base) / t for t in (length, PART * length))
        return float(slope) if abs(slope - shorter) <= same * abs(slope) else np.nan

    def _shortest(self, direction: Mapping[str, Any], base: Mapping[str, Any]) -> float:
        """Return the longer of the two shortest steps that show the same slope; inf if none do."""
        copies, at = self.copies, self.copies.cost(base)
        visible = VISIBLE * float(np.finfo(at.dtype).eps) * abs(at)
        invisible, length = FINEST * copies.eps, self.longest
        while length > LONGER * invisible:
            middle = math.sqrt(invisible * length)
            shows = abs(self._change(direction, middle, base)) > visible
            invisible, length = (invisible, middle) if shows else (middle, length)
        # where a stage rounds to the narrow dtype, so much longer ones show as many jumps
        longest = min(self.longest, LONGER * length * copies.narrow_eps / copies.eps)
        shorter = np.nan
        while length <= longest:
            slope = self._slope_over(direction, length, base, SAME)
            if abs(slope - shorter) <= 2 * KNOWN * abs(slope):
                return float(length)
            shorter, length = slope, LONGER * length
        return math.inf
