"""Stairs: a cost that is smooth but for jumps within reach of a step, as rounding makes them."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from checks._types import FloatArray, IntArray
from checks.estimation.coordinates import Coordinates
from checks.estimation.stencils import steps_taken

__all__ = ["slope_of_jumps", "slope_where_straight"]

# A jump is searched for by halving an interval HALVINGS times. Over the last EIGHT of them a jump
# keeps its size, while the change that a smooth cost or a kink makes falls to 2^-8.
HALVINGS, EIGHT = 16, 8
KEPT = 1 / 4  # the part of its size that a jump keeps: in the wider interval there may be others
SEVERAL = 4.0  # standard deviations of the noise
# The cost is straight over steps of 2^-22 of the scale if it bends by 1/64 of its noise at most.
# float32 numbers are 2^-24 apart, so where these make the noise, it is not.
STRAIGHT_STEP, STRAIGHT = 2.0**-22, 1 / 64
UNEVEN_STEPS = (0.5, 0.84, 1.37, 2.0)  # of no period that stairs may have


def slope_of_jumps(
    at: Coordinates,
    indices: IntArray,
    slope: FloatArray,
    error: FloatArray,
    near: FloatArray,
    far: FloatArray,
) -> FloatArray:
    """Return what jumps between x and x + far add to the slope, on average; 0 where none is found.

    Rounding inside a cost, as in log(1 − σ(z)), makes stairs of it, or of a part of it: between two
    jumps this part is level, and short steps see the slope of the rest alone. A function that
    rounds on purpose, as floor does, cannot be told from it.

    Parameters
    ----------
    at
        The coordinates.
    indices : (r,) int
        Some of them.
    slope, error : (r,) float
        Their slopes at x.
    near : (r,) float
        A step within which the cost is smooth.
    far : (r,) float
        Where the search ends, with the sign of its side.

    Returns
    -------
    (r,) float
        Not negative; nan where the cost is not finite at far.
    """
    noise, x = at.noise.level, at.x[indices]
    near = np.copysign(near, far)

    def changes(rows: IntArray, steps: FloatArray) -> tuple[Any, Any]:
        """Return the steps that rounding leaves, and the changes of the cost by them."""
        taken = steps_taken(x[rows][:, None], steps)
        return taken, at.costs(indices[rows], taken) - at.at_point

    taken, change = changes(np.arange(x.size), np.stack([far, far + near, far - near], axis=1))
    with np.errstate(invalid="ignore"):
        # the slope at far, from the side that has no jump close by
        slopes = (change[:, 1:] - change[:, :1]) / (taken[:, 1:] - taken[:, :1])
        closer = np.abs(slopes - slope[:, None]).argmin(axis=1)
        bend = (np.take_along_axis(slopes, closer[:, None], 1)[:, 0] - slope) / (2 * far)

    def lacking(rows: IntArray, taken: Any, change: Any) -> Any:
        """Return what a slope that goes evenly from here to there does not explain."""
        return change - taken * (slope[rows] + bend[rows] * taken)

    lack = lacking(np.arange(x.size), taken[:, 0], change[:, 0])
    least = np.maximum(np.abs(far) * error, 2 * SEVERAL * noise)  # a smaller jump does not matter
    low, high = np.zeros(x.size), far.copy()
    at_low, at_high = np.zeros(x.size), lack.copy()
    # the noise of the slope at far counts as well
    searched = np.abs(lack) > np.abs(far) * error + SEVERAL * noise * (1 + far / near)
    wider = np.zeros(x.size)
    for n in range(HALVINGS):
        searched &= np.abs(at_high - at_low) > least
        rows = np.flatnonzero(searched)
        if not rows.size:
            break
        taken, change = changes(rows, ((low + high)[rows] / 2)[:, None])
        middle, at_middle = taken[:, 0], lacking(rows, taken[:, 0], change[:, 0])
        first = ~(np.abs(at_high[rows] - at_middle) > np.abs(at_middle - at_low[rows]))
        above, below = rows[~first], rows[first]
        low[above], at_low[above] = middle[~first], at_middle[~first]
        high[below], at_high[below] = middle[first], at_middle[first]
        if n == HALVINGS - EIGHT - 1:
            wider = np.abs(at_high - at_low)
    jump = np.abs(at_high - at_low)
    # a change that grows as the interval shrinks is a pole
    found = searched & (jump > least) & (jump >= KEPT * wider) & (jump <= wider / KEPT)
    slopes = np.where(found, np.maximum(np.abs(lack), jump) / np.abs(far), 0)
    return np.where(np.isnan(lack), np.nan, slopes)


def slope_where_straight(
    at: Coordinates, indices: IntArray, scale: FloatArray
) -> tuple[FloatArray, NDArray[np.bool_]]:
    """Return the slopes by very short steps, and where the cost is straight over these.

    If it is, on either side, in spite of its noise, then this noise is not at x: it is jumps
    further off.
    """
    step = np.maximum(STRAIGHT_STEP * scale, at.finest[indices])
    step = np.minimum(step, at.longest[indices])  # the side that is out of the box is nan
    steps = np.multiply.outer(step, [-1, 1])[..., None] * np.array(UNEVEN_STEPS)
    x = at.x[indices]
    steps = steps_taken(x[:, None], steps.reshape(x.size, 2 * len(UNEVEN_STEPS)))
    change = (at.costs(indices, steps) - at.at_point).reshape(x.size, 2, -1)
    steps = steps.reshape(change.shape)
    slopes = change[..., -1] / steps[..., -1]
    bent = np.abs(change - slopes[..., None] * steps).max(axis=-1)
    is_straight = bent <= STRAIGHT * at.noise.level
    slope = np.where(is_straight[:, 0], slopes[:, 0], slopes[:, 1])
    return slope, is_straight.any(axis=1)
