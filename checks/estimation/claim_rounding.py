"""What rounding does to a claimed gradient, measured one precision up."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from checks._types import FloatArray
from checks.estimation.precision import LINE, VISIBLE, Copies, Lift, off_the_line
from checks.estimation.rounding_mode import toward_zero_is_available
from checks.evaluation.control_flow import is_control_flow

__all__ = ["ClaimRounding", "claim_rounding"]

# Parameters are moved by about PLACES last places of the narrow dtype: so few that a function with
# condition number 100, such as a sigmoid at z = 100 in float32, is linear over them. Moves are
# whole multiples of 1/PARTS of a last place, so that all points are exact in the wide dtype: if
# points were rounded, an ill-conditioned function would amplify that rounding.
PLACES, PARTS = 8.0, 64
# What is left over what the narrow claim rounds by, in the geometric mean of an array's entries.
# Above this a stage is narrow: of 2,400 claims with one such stage 0.5 % stay below. Of 400 naive
# gradients of saturated networks 2 % lie above in float64, 1 % in float32.
STRAIGHT = 1 / 32
# Last places of the wide dtype that terms may lose in both dtypes. The terms are, at a guess, as
# large as the derivatives of a cost that changes by itself when its parameters do.
LOST = 32.0


@dataclass(frozen=True, eq=False)
class ClaimRounding:
    """What rounding does to a claimed gradient.

    Attributes
    ----------
    rounding : dict of str to ndarray
        |g − g one precision up| of every entry, and what is seen of the rounding there; nan where
        that cannot be had: the claim does not lift, or nothing shows that the entry does.
    lifts : dict of str to Lift
    said : str
        What the gradient raised in the wider dtype, if that is why.
    """

    rounding: dict[str, FloatArray]
    lifts: dict[str, Lift]
    said: str


def claim_rounding(
    narrow: Mapping[str, FloatArray],
    copies: Copies,
    flatten: Callable[[Any], Mapping[str, FloatArray]],
    rng: np.random.Generator,
    cost: float = 0.0,
) -> ClaimRounding:
    """Measure what rounding does to a claim; six calls of it, five without rounding modes.

    Parameters
    ----------
    narrow
        The claim, by path.
    copies
        The claimed gradient in the wider dtype.
    flatten
        Returns the arrays of its result, by path.
    rng
        Draws the direction.
    cost
        At the point.

    Notes
    -----
    Along a line the wide claim is straight to its own rounding, and rounding toward zero changes it
    by no more: far less than the narrow claim rounds, unless a stage is narrow. The line shows
    stages that depend on the parameters, rounding toward zero the others. What they show counts as
    rounding besides, so that it is not too small where a narrow stage was not recognised, nor where
    the digits are lost in both dtypes.
    """
    unknown = {path: np.full(g.shape, np.nan) for path, g in narrow.items()}
    far = {}
    for path in copies.values:
        places = copies.last_places(path)
        size = np.copysign(rng.uniform(0.75, 1.5, places.shape), rng.uniform(-1, 1, places.shape))
        move = places * np.rint(PLACES * PARTS * size) / PARTS
        far[path] = copies.box.reflected(path, move, reach=LINE[-1])
    try:
        line = [flatten(copies.result({p: t * m for p, m in far.items()})) for t in LINE]
        at, last = line[0], line[-1]
        cut = flatten(copies.result(toward_zero=True)) if toward_zero_is_available() else at
    except Exception as error:  # a library that refuses the dtype is an answer
        if is_control_flow(error):
            raise
        said = f"{type(error).__name__}: {error}"
        return ClaimRounding(unknown, dict.fromkeys(narrow, Lift.NARROW), said)
    changes: dict[str, tuple[FloatArray, FloatArray]] = {}
    lifts = dict.fromkeys(narrow, Lift.NARROW)
    for path, claimed in narrow.items():
        wide = at[path]
        if copies.rounds(wide) or not wide.size:
            continue
        change, size = np.abs(claimed - wide), np.abs(wide)
        left = off_the_line(np.array([arrays[path] for arrays in line]))
        left = np.maximum(left, np.abs(cut[path] - wide))
        lost = LOST * copies.eps * abs(cost) / copies.scales[path]
        changes[path] = change, left + lost
        # an entry whose digits are lost in the wide dtype too does not tell what lifts
        tells = left < STRAIGHT * size
        unit = np.maximum(change, copies.narrow_eps / 4 * size)[tells]
        residual = np.log(np.maximum(left[tells] - lost, copies.eps * unit) / unit)
        if not np.isfinite(left).all() or (
            residual.size and np.mean(residual) > math.log(STRAIGHT)
        ):
            # a stage of one array may be a stage of all, and not show in a few entries
            return ClaimRounding(unknown, lifts, "")
    rounding = dict(unknown)
    for path, (change, left) in changes.items():
        shows = np.abs(last[path] - at[path]) > VISIBLE * copies.eps * np.abs(at[path])
        lifts[path] = Lift.LIFTS if shows.any() else Lift.HIDDEN
        # a change shows that the entry lifts, though it may be too saturated to move; and what is 0
        # in both dtypes has no digits to lose
        known = shows | (change > 0) | (at[path] == 0)
        rounding[path] = np.where(known, change + left, np.nan)
    return ClaimRounding(rounding, lifts, "")
