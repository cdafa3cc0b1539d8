"""What rounding does to a claimed gradient, measured one precision up."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from checks._types import FloatArray
from checks.estimation.precision import FAR, LIFTED, LINE, VISIBLE, Copies, Lift, off_the_line
from checks.estimation.rounding_mode import toward_zero_is_available

__all__ = ["ClaimRounding", "claim_rounding"]


@dataclass(frozen=True, eq=False)
class ClaimRounding:
    """What rounding does to a claimed gradient.

    Attributes
    ----------
    rounding : dict of str to ndarray
        |g − g one precision up| of every entry, nan where that cannot be had: the array does not
        lift, or nothing moves the entry that could show it.
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
    """
    unknown = {path: np.full(g.shape, np.nan) for path, g in narrow.items()}
    far = {}
    for path in copies.values:
        places = copies.last_places(path)
        far[path] = (
            FAR
            * places
            * np.copysign(rng.uniform(0.75, 1.5, places.shape), rng.uniform(-1, 1, places.shape))
        )
    try:
        line = [flatten(copies.result({p: t * m for p, m in far.items()})) for t in LINE]
        at, last = line[0], line[-1]
        cut = flatten(copies.result(toward_zero=True)) if toward_zero_is_available() else at
    except Exception as error:  # a library that refuses the dtype is an answer
        said = f"{type(error).__name__}: {error}"
        return ClaimRounding(unknown, dict.fromkeys(narrow, Lift.NARROW), said)
    changes: dict[str, FloatArray] = {}
    lifts = dict.fromkeys(narrow, Lift.NARROW)
    doubt = False
    for path, claimed in narrow.items():
        wide = at[path]
        if copies.rounds(wide) or not wide.size:
            continue
        changes[path] = np.abs(claimed - wide)
        unit = np.maximum(changes[path], copies.narrow_eps / 4 * np.abs(wide))
        left = off_the_line(np.array([arrays[path] for arrays in line]))
        residual = np.maximum(left, np.abs(cut[path] - wide)) / np.where(unit > 0, unit, np.inf)
        # clipped: an entry whose change is small by luck proves nothing
        off = math.sqrt(float(np.mean(np.minimum(residual, 4.0) ** 2)))
        doubt = doubt or not off <= LIFTED  # nan too
    if doubt:  # a stage of one array may be a stage of all, and not show in a few entries
        return ClaimRounding(unknown, lifts, "")
    rounding = dict(unknown)
    for path, change in changes.items():
        moved = np.abs(last[path] - at[path])
        shows = moved > VISIBLE * copies.eps * np.abs(at[path])
        lifts[path] = Lift.LIFTS if shows.any() else Lift.HIDDEN
        rounding[path] = np.where(shows, change, np.nan)
    return ClaimRounding(rounding, lifts, "")
