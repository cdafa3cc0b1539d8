"""Whether a cost has steps that are as wide at smaller parameters, as those of floor are."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from checks.estimation.precision import Copies

__all__ = ["is_step_function"]

# How far a step reaches is found up to WITHIN of it; one shorter than SEEN times the shortest move
# is not seen.
WITHIN, SEEN = 1.1, 4.0
# The shortest moves are at least so many last places of the wider dtype.
MULTIPLE = 64.0
# All parameters are shrunk until a step spans SPANS last places, and FURTHER: a function that is
# flat where it saturates, and casts, is not so flat there. Slopes over SHORT of a
# step, at TRIED places, are compared with that over LONG steps. They are alike if they differ by
# the part SAME of what they differ from that.
SPANS, FURTHER, SHORT, TRIED, LONG, SAME = 64.0, 2.0**-6, 1 / 15, 7, 5.7, 2.0**-6


def is_step_function(
    copies: Copies, path: str, entry: int, at: Any, shortest: float, claim: float, apart: float
) -> bool:
    """Whether a cost is straight between jumps, which are as far apart at smaller parameters.

    A cost that casts a part to the dtype of the parameters jumps as well, at about every last place
    of these: more densely if all of them are smaller. There it is not straight over longer moves.

    Parameters
    ----------
    copies
        The cost in a wider dtype than that of the parameters, so that moves shorter than a last
        place show.
    path, entry
        The array, and the flat index of the entry that is moved.
    at : float
        The cost at the point.
    shortest : float
        The shortest move by which slopes are known up to `apart`.
    claim, apart : float
        The slope that the cost may have at the point between jumps, up to `apart`.
    """
    last_place = float(copies.last_places(path).flat[entry])
    # what a multiple of the entry rounds is far less than the move
    shortest = max(shortest, MULTIPLE * copies.eps / copies.narrow_eps * last_place)

    def is_claimed(move: float) -> bool:
        return bool(abs((_cost(copies, path, entry, move, {}) - at) / move - claim) <= apart)

    reach = 0.0
    for side in (1, -1):
        near, far = shortest, SPANS * last_place
        if not is_claimed(side * near):
            continue
        while far > WITHIN * near:
            middle = math.sqrt(near * far)
            near, far = (middle, far) if is_claimed(side * middle) else (near, middle)
        reach += near
    if reach < SEEN * shortest:
        return False
    shrink = min(reach / (SPANS * last_place), 1.0)
    return all(_has_steps(copies, path, entry, reach, shrink * more) for more in (1.0, FURTHER))


def _has_steps(copies: Copies, path: str, entry: int, reach: float, shrink: float) -> bool:
    """Whether a cost at parameters times `shrink` is straight but for jumps a `reach` apart."""
    smaller = copies.box.shrunken(2.0 ** math.floor(math.log2(shrink)))
    outward = math.copysign(1, copies.values[path].flat[entry])

    def slope(start: float, length: float) -> float:
        near, far = (
            _cost(copies, path, entry, outward * t, smaller) for t in (start, start + length)
        )
        return float(far - near) / (outward * length)

    short = [slope(k * LONG / TRIED * reach, SHORT * reach) for k in range(TRIED)]
    typical, over_many = float(np.median(short)), slope(0.0, LONG * reach)
    differs = abs(over_many - typical)
    alike = sum(abs(one - typical) <= SAME * differs for one in short)
    return alike > TRIED / 2 and differs > SAME * max(abs(over_many), abs(typical))


def _cost(copies: Copies, path: str, entry: int, move: float, base: Mapping[str, Any]) -> Any:
    """Return the cost with arrays moved by `base`, and an entry by more."""
    value = copies.values[path]
    moved = np.zeros(value.size, copies.dtype)
    moved[entry] = move
    return copies.cost({**base, path: base.get(path, 0) + moved.reshape(value.shape)})
