"""Stairs: a cost that is smooth but for jumps close to the point, as rounding inside it makes."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from checks._types import FloatArray, IntArray
from checks.estimation.coordinates import Coordinates
from checks.evaluation.step_sizes import steps_taken

__all__ = ["slope_of_jumps", "slope_where_straight"]

# A jump is located by halving an interval HALVINGS times. Over the last EIGHT halvings, the change
# of the cost across the interval falls to 2^-8 if the cost is smooth or has a kink. If it jumps,
# the change stays the same, within a factor of KEPT for other jumps that the interval had at first.
HALVINGS, EIGHT = 16, 8
KEPT = 1 / 4
SEVERAL = 4.0  # a change of more standard deviations than this is not noise
# A cost is straight at x if, over steps of STRAIGHT_STEP times the scale, it leaves a straight line
# by at most STRAIGHT times its noise. A cost that rounds to float32 is not: such a step spans
# several float32 numbers.
STRAIGHT_STEP, STRAIGHT = 2.0**-22, 1 / 64
UNEVEN_STEPS = (0.5, 0.84, 1.37, 2.0)  # at multiples of one width, stairs would look straight


def slope_of_jumps(
    at: Coordinates,
    indices: IntArray,
    slope: FloatArray,
    error: FloatArray,
    near: FloatArray,
    far: FloatArray,
) -> FloatArray:
    """Return the mean slope that jumps between x and x + far add; 0 where no jump is found.

    Rounding inside a cost, as of 1 − σ(z) in log(1 − σ(z)), makes a term constant between two
    jumps, so that short steps miss its slope. Functions that round on purpose, as floor does, look
    the same.

    Parameters
    ----------
    at
        The coordinates.
    indices : (r,) int
        Which of the coordinates to look at.
    slope, error : (r,) float
        Estimates of their slopes at x, from short steps.
    near : (r,) float
        The length of a step without a jump.
    far : (r,) float
        How far to search: positive above x, negative below.

    Returns
    -------
    (r,) float
        Absolute values of the slopes; nan where the cost is not finite at far or far ± near.
    """
    noise, x = at.noise_at(indices).level, at.x[indices]
    near = np.copysign(near, far)

    def changes(rows: IntArray, steps: FloatArray) -> tuple[Any, Any]:
        """Return steps as x + step is rounded, and the changes of the cost by them."""
        taken = steps_taken(x[rows][:, None], steps)
        return taken, at.costs(indices[rows], taken) - at.at_point

    taken, change = changes(np.arange(x.size), np.stack([far, far + near, far - near], axis=1))
    with np.errstate(invalid="ignore"):
        # The slope at far is taken on both sides of it, as a jump may be within `near` on one.
        # The slope that is closer to the one at x counts.
        slopes = (change[:, 1:] - change[:, :1]) / (taken[:, 1:] - taken[:, :1])
        closer = np.abs(slopes - slope[:, None]).argmin(axis=1)
        bend = (np.take_along_axis(slopes, closer[:, None], 1)[:, 0] - slope) / (2 * far)

    def excess_of(rows: IntArray, taken: Any, change: Any) -> Any:
        """Return the change minus that of a parabola with the slopes found at x and at x + far."""
        return change - taken * (slope[rows] + bend[rows] * taken)

    excess = excess_of(np.arange(x.size), taken[:, 0], change[:, 0])
    # a smaller jump is noise, or the error covers the slope that it adds
    least_jump = np.maximum(np.abs(far) * error, 2 * SEVERAL * noise)
    low, high = np.zeros(x.size), far.copy()
    at_low, at_high = np.zeros(x.size), excess.copy()
    # the excess has the noise of the cost, plus far/near times that from the slope taken at far
    searched = np.abs(excess) > np.abs(far) * error + SEVERAL * noise * (1 + far / near)
    earlier_jump = np.zeros(x.size)
    for n in range(HALVINGS):
        searched &= np.abs(at_high - at_low) > least_jump
        rows = np.flatnonzero(searched)
        if not rows.size:
            break
        taken, change = changes(rows, ((low + high)[rows] / 2)[:, None])
        middle, at_middle = taken[:, 0], excess_of(rows, taken[:, 0], change[:, 0])
        # the half across which the excess changes more is searched further
        lower = ~(np.abs(at_high[rows] - at_middle) > np.abs(at_middle - at_low[rows]))
        in_upper, in_lower = rows[~lower], rows[lower]
        low[in_upper], at_low[in_upper] = middle[~lower], at_middle[~lower]
        high[in_lower], at_high[in_lower] = middle[lower], at_middle[lower]
        if n == HALVINGS - EIGHT - 1:
            earlier_jump = np.abs(at_high - at_low)
    jump = np.abs(at_high - at_low)
    found = searched & (jump > least_jump)
    # one that grew as the interval shrank is a pole
    found &= (jump >= KEPT * earlier_jump) & (jump <= earlier_jump / KEPT)
    slopes = np.where(found, np.maximum(np.abs(excess), jump) / np.abs(far), 0)
    return np.where(np.isnan(excess), np.nan, slopes)


def slope_where_straight(
    at: Coordinates, indices: IntArray, scale: FloatArray
) -> tuple[FloatArray, FloatArray, NDArray[np.bool_]]:
    """Return slopes (r,) by very short steps, their errors, and whether the cost is straight there.

    If a noisy cost is straight on either side of x, its noise consists of jumps further away.
    """
    step = np.maximum(STRAIGHT_STEP * scale, at.finest[indices])
    step = np.minimum(step, at.longest[indices])  # a side out of the box is nan, so not straight
    steps = np.multiply.outer(step, [-1, 1])[..., None] * np.array(UNEVEN_STEPS)
    x = at.x[indices]
    steps = steps_taken(x[:, None], steps.reshape(x.size, 2 * len(UNEVEN_STEPS)))
    change = (at.costs(indices, steps) - at.at_point).reshape(x.size, 2, -1)
    steps = steps.reshape(change.shape)
    slopes = change[..., -1] / steps[..., -1]
    bent = np.abs(change - slopes[..., None] * steps).max(axis=-1)
    level = np.broadcast_to(at.noise_at(indices).level, x.shape)
    is_straight = bent <= STRAIGHT * level[:, None]
    # a parabola leaves its chord over a step by a quarter of what the slope differs, times the step
    error = 4 * bent / np.abs(steps[..., -1])
    slope, error = (np.where(is_straight[:, 0], *of.T) for of in (slopes, error))
    return slope, error, is_straight.any(axis=1)
