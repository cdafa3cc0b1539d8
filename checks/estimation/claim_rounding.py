"""What rounding does to a claimed gradient, measured in a wider dtype; terms as in `precision`."""

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
# The residual of the wide claim (see `claim_rounding`) is divided by the rounding of the narrow
# claim. If the geometric mean over an array exceeds NARROW_STAGE, some stage is taken to be narrow.
# Of 2,400 claims with one narrow stage, 0.5 % are below; of naive gradients of 400 saturated
# networks, which have none, 2 % are above in float64 and 1 % in float32.
NARROW_STAGE = 1 / 32
# Terms that cancel inside a claim lose digits in both dtypes. They are taken to be as large as
# |cost| / the typical parameter, and to lose LOST_PLACES wide last places of that size.
LOST_PLACES = 32.0


@dataclass(frozen=True, eq=False)
class ClaimRounding:
    """What rounding does to a claimed gradient.

    Attributes
    ----------
    rounding : dict of str to ndarray
        |narrow claim − wide claim| of every entry, plus what is seen of the rounding of the wide
        claim. nan where the claim does not lift, or where nothing shows that the entry does.
    lifts : dict of str to Lift
        By path.
    said : str
        What the gradient raised in the wider dtype; empty if it raised nothing.
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
    """Measure what rounding does to a claim by six calls; five if the rounding mode is fixed.

    Parameters
    ----------
    narrow
        The claim in the dtype of the parameters, by path.
    copies
        Calls the claimed gradient in the wider dtype.
    flatten
        Takes what the gradient returns; returns its arrays by path.
    rng
        Draws the line along which parameters are moved.
    cost
        The cost at the point.

    Notes
    -----
    Two residuals of the wide claim show whether some stage is narrow: by how much it leaves a
    straight line along moves so short that it is linear, and by how much rounding toward zero
    changes it. Without a narrow stage both are wide last places. Any narrow stage makes the second
    as large as narrow last places; if the stage depends on the parameters, the first too. The
    larger one is added to the rounding, in case a narrow stage is overlooked, or digits are lost in
    both dtypes.
    """
    unknown = {path: np.full(g.shape, np.nan) for path, g in narrow.items()}
    moves = {}
    for path in copies.values:
        places = copies.last_places(path)
        size = np.copysign(rng.uniform(0.75, 1.5, places.shape), rng.uniform(-1, 1, places.shape))
        move = places * np.rint(PLACES * PARTS * size) / PARTS
        moves[path] = copies.box.reflected(path, move, reach=LINE[-1])
    try:
        line = [flatten(copies.result({p: t * m for p, m in moves.items()})) for t in LINE]
        at, last = line[0], line[-1]
        truncated = flatten(copies.result(toward_zero=True)) if toward_zero_is_available() else at
    except Exception as error:  # a library may refuse the dtype
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
        residual = off_the_line(np.array([arrays[path] for arrays in line]))
        residual = np.maximum(residual, np.abs(truncated[path] - wide))
        lost = LOST_PLACES * copies.eps * abs(cost) / copies.scales[path]
        changes[path] = change, residual + lost
        # with a large residual, digits may be lost in both dtypes: no evidence of a narrow stage
        is_evidence = residual < NARROW_STAGE * size
        unit = np.maximum(change, copies.narrow_eps / 4 * size)[is_evidence]
        ratios = np.maximum(residual[is_evidence] - lost, copies.eps * unit) / unit
        if not np.isfinite(residual).all() or (
            ratios.size and np.mean(np.log(ratios)) > math.log(NARROW_STAGE)
        ):
            # other arrays may depend on the same narrow stage without showing it: all are unknown
            return ClaimRounding(unknown, lifts, "")
    rounding = dict(unknown)
    for path, (change, wide_rounding) in changes.items():
        moves_visibly = np.abs(last[path] - at[path]) > VISIBLE * copies.eps * np.abs(at[path])
        lifts[path] = Lift.LIFTS if moves_visibly.any() else Lift.HIDDEN
        # An entry lifts if it moves visibly, or differs in the two dtypes. One that is 0 in both
        # has no digits to lose.
        known = moves_visibly | (change > 0) | (at[path] == 0)
        rounding[path] = np.where(known, change + wide_rounding, np.nan)
    return ClaimRounding(rounding, lifts, "")
