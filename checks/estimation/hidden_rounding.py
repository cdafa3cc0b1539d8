"""Digits that a cost loses alike at every point near by, shown by rounding at random.

(exp(z) − 1)/z is 0 where |z| is below a last place of 1, in a wider dtype and beside the point too.
As a factor of derivatives by other parameters it makes them wrong, though differences and complex
steps agree on them.
"""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from checks._types import FloatArray
from checks.estimation.finite_differences import Estimate, draw_direction
from checks.estimation.noise import ASSUMED_PLACES, Noise
from checks.estimation.precision import EVERY, copies_of
from checks.estimation.random_rounding import Operations, TooManyOperations
from checks.estimation.step_error import LIFTED, SAMPLED
from checks.evaluation.pointwise import Evaluations
from checks.evaluation.result import Contraction

__all__ = ["hidden_errors"]

FEW = 2**5  # the most entries by which several results are tried, see `EVERY` for a single one
SAMPLES = 3  # calls with other random changes
# A change of the cost, or of a difference of costs, by up to MUCH times the noise is a part of the
# errors already.
MUCH = 8.0
# Factor from the largest change seen to the error. Every inexact operation changes by at least as
# much as it may round by, so that too little shows only where changes of several cancel.
CAUTION = 2.0
CANCELS = 16.0  # terms of a sum may cancel to this part; if to less, errors would be too large
KNOWN = 4.0  # complex steps that lift have errors of all other rounding: up to KNOWN times that
STEP = 2.0**-7  # of differences, times the size of each entry


def hidden_errors(
    evaluations: Evaluations,
    estimates: Mapping[str, Estimate],
    noise: Noise,
    seed: int,
    accuses: bool = False,
) -> dict[str, FloatArray]:
    """Return errors of estimates for digits that are lost without showing, by path.

    Nothing is done where the complex steps of all entries lift (of one of several results, of some
    entries) and change the cost visibly, nor of sums over results. Elsewhere it takes four calls of
    the cost, and three to eight more for each array whose derivatives may be off. Several results
    share these calls.

    Digits may be lost by a part of the cost that nothing shows, as where another factor is 0. If a
    function that is not linear has an argument without digits, nothing is known of any derivative.

    Parameters
    ----------
    evaluations
        The cost.
    estimates
        Its derivatives, by path.
    noise
        Of the cost.
    seed
        Draws changes and directions.
    accuses
        A claim is about to be called wrong by them, so that they are doubted even where they lift.
    """
    settled = (LIFTED, SAMPLED) if evaluations.shared else (LIFTED,)
    lifts = all(estimate.precision in settled for estimate in estimates.values())
    if lifts and not accuses and (evaluations.shared or _change_the_cost(evaluations, estimates)):
        return {}
    if isinstance(evaluations.cost, Contraction):
        return {}
    most = FEW if evaluations.shared and not accuses else EVERY
    if noise.stochastic or math.isinf(noise.level) or evaluations.size > most:
        return {}
    at_random = _AtRandom(evaluations, seed)
    try:
        found = at_random.errors(estimates, MUCH * noise.level) if at_random.repeats() else {}
        return {} if at_random.copies.said else found  # it may refuse what is not quite a sum of 1
    except TooManyOperations:
        return {}
    finally:
        evaluations.count += at_random.copies.calls


def _change_the_cost(evaluations: Evaluations, estimates: Mapping[str, Estimate]) -> bool:
    """Whether each array has a derivative that differences can see beside the rounding of the cost.

    Others are proven where the parameters are smaller, and digits are not lost. A cost of 0 may
    have lost all of them.
    """
    if not evaluations.at_point:
        return False
    least = ASSUMED_PLACES * evaluations.eps * abs(float(evaluations.at_point))
    sizes = evaluations.box.sizes
    return all(
        float(np.abs(estimate.value * sizes[path].ravel()).max(initial=0)) > least
        for path, estimate in estimates.items()
        if estimate.value.size
    )


class _AtRandom:
    """Calls a cost whose operations round at random: in every call of one sample alike."""

    def __init__(self, evaluations: Evaluations, seed: int) -> None:
        self._evaluations, self._seed = evaluations, seed
        self.copies, self._most, self._exact = copies_of(evaluations), 0, Operations()

    def repeats(self) -> bool:
        """Whether the operations can be followed, and the cost is what it is at the point."""
        self._exact = followed = Operations()
        self.copies.follow = followed.follow
        # leaves room for loops that take a few turns more
        cost, count = self.copies.cost(), followed.count
        if self._evaluations.shared:  # only the first of several results makes the call
            memo = self._evaluations.cost.memo
            memo.operations = count = count or memo.operations
        self._most = 2 * count + 16
        return bool(count and cost == self._evaluations.at_point)

    def errors(self, estimates: Mapping[str, Estimate], least: float) -> dict[str, FloatArray]:
        """Return errors by path; changes of costs up to `least` do not count."""
        at, errors = self._evaluations.at_point, dict[str, FloatArray]()
        change, is_lost = 0.0, False
        for k in range(SAMPLES):
            operations = Operations(self._seed + k, self._most, self._exact)
            self.copies.follow = operations.follow
            change = max(change, _size(self.copies.cost() - at))
            is_lost |= operations.lost
        if is_lost:
            return {p: np.full(e.value.size, np.inf) for p, e in estimates.items()}
        for path, estimate in estimates.items():
            slopes = np.nan_to_num(estimate.value)
            part = self._part_lost(path, slopes, estimate.method, change, least)
            lost = np.where(slopes, part * np.abs(slopes), 0)
            known = estimate.error.max(where=np.isfinite(estimate.error), initial=0)
            is_known = estimate.precision == LIFTED and lost.max(initial=0) <= KNOWN * known
            errors[path] = np.zeros(lost.size) if is_known else CAUTION * lost
            if change > least:
                # What is lost may hide a slope as large as this from differences. Complex steps
                # show it, unless they are 0: the imaginary part is not added to a large term.
                hidden = CAUTION * change / self._evaluations.box.sizes[path].ravel()
                shown = estimate.by_complex_steps & (slopes != 0)
                errors[path] = np.maximum(errors[path], np.where(shown, 0, hidden))
        return errors

    def _part_lost(
        self, path: str, slopes: FloatArray, method: str, change: float, least: float
    ) -> float:
        """Return by what part of themselves the derivatives of an array change at random."""
        if not slopes.any() or (method != "complex-step" and change <= least):
            return 0.0
        evaluations, copies = self._evaluations, self.copies
        value = evaluations.values[path]
        rng = np.random.default_rng([self._seed, list(evaluations.values).index(path)])
        slopes = slopes.reshape(value.shape)
        direction = draw_direction(value.shape, rng)
        if not evaluations.shared:  # several results are moved along the same direction
            direction = np.where(slopes, np.copysign(direction, slopes), 0)
        move = evaluations.box.clipped(path, STEP * direction * evaluations.box.sizes[path])
        terms = float(np.abs(slopes * move).sum())
        if method == "complex-step":
            total, found = float((slopes * move).sum()), list[Any]()
            for k in range(SAMPLES):
                copies.follow = self._operations(k)
                found.append(copies.slope({path: move})[0])
            least = 0.0
        else:
            ends = {path: move}, {path: -move}
            total, *found = (
                self._cost(k, ends[0]) - self._cost(k, ends[1]) for k in (None, *range(SAMPLES))
            )
        off = max(_size(each - total) for each in found)
        return off / max(abs(float(total)), terms / CANCELS) if off > least else 0.0

    def _operations(self, sample: int | None) -> Any:
        if sample is None:
            return None
        return Operations(self._seed + sample, self._most).follow

    def _cost(self, sample: int | None, moves: Mapping[str, Any] | None = None) -> Any:
        self.copies.follow = self._operations(sample)
        return self.copies.cost(moves)


def _size(change: Any) -> float:
    """Return the absolute value of a change, inf where it is not finite."""
    return abs(float(change)) if np.isfinite(change) else math.inf
