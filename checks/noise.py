"""How noisy a cost is: Moré and Wild, "Estimating computational noise" (SISC 33, 2011)."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from checks._types import FloatArray
from checks.evaluations import Evaluations

__all__ = ["Noise", "difference_table_noise", "measure_noise", "typical_size"]

POINTS = 8  # evaluations of a table besides the point itself: "seven to nine suffice" (section 5)
LEVELS = 12  # spacings tried, each 2^5 of the last: from 2^4 to 2^59 units in the last place


@dataclass(frozen=True)
class Noise:
    """The noise of a cost.

    Attributes
    ----------
    level : float
        Standard deviation σ_f of the cost's noise, never below the rounding of its own last place.
    relative : float
        level / size, where size is the largest |cost| met.
    stochastic : bool
        Two calls at one point differed.
    unseen : bool
        No spacing changed the cost by a bit: it does not see its argument, or is constant.
    """

    level: float
    relative: float
    stochastic: bool
    unseen: bool


def typical_size(values: FloatArray) -> float:
    """Return the scale of an array's entries, their root mean square; 1 for zeros."""
    size = float(np.abs(values).max(initial=0))
    # scaled by the largest, so that squares neither overflow nor vanish
    return size * float(np.sqrt(np.mean((values.astype(float) / size) ** 2))) if size > 0 else 1.0


def difference_table_noise(values: FloatArray) -> tuple[float | None, str]:
    """Return the noise of equally spaced values, or None and whether they are too "near" or "far".

    The k-th differences of a smooth function fall off with the spacing, those of noise do not:
    their mean square is σ²·(2k)!/(k!)², so three successive levels that agree show σ (section 4).
    """
    # section 5: over a tenth of its size in so few points is not noise but the function
    if not np.ptp(values) <= 0.1 * np.abs(values).max():
        return None, "far"
    differences, levels, changes_sign = values, [], []
    gamma = 1.0  # (k!)²/(2k)!
    for k in range(1, len(values)):
        differences = np.diff(differences)
        if k == 1 and 2 * np.count_nonzero(differences == 0) >= len(differences):
            return None, "near"
        gamma *= k / (2 * (2 * k - 1))
        levels.append(math.sqrt(gamma * float(np.mean(differences**2))))
        changes_sign.append(differences.min() < 0 < differences.max())
    for k in range(len(levels) - 2):
        three = levels[k : k + 3]
        if max(three) <= 4 * min(three) and changes_sign[k]:  # section 4, the factor η = 4
            return levels[k], ""
    return None, "far"


def measure_noise(evaluations: Evaluations, rng: np.random.Generator) -> Noise:
    """Measure the noise of a cost around its point, along a random direction of all parameters.

    Two tables: at the point, and a little away from it, where steps will go: at a perfect fit the
    cost is exact and its neighbours are not.

    Parameters
    ----------
    evaluations
        The cost; about 18 evaluations are spent, more where it is flat or quantised.
    rng
        Draws the direction.
    """
    center = evaluations.at_point
    stochastic = bool(evaluations.again() != center)
    units = {}  # of each entry: whole multiples of its last place, equally spaced in any dtype
    for path, value in evaluations.values.items():
        last_place = np.spacing(np.maximum(np.abs(value), value.dtype.type(typical_size(value))))
        units[path] = rng.choice([-3, -2, -1, 1, 2, 3], value.shape) * last_place
    # few last places, so that rounding and not the function shows; half precision has only 2^10
    coarsest = max(float(np.finfo(value.dtype).eps) for value in evaluations.values.values())
    fine = 2.0**4 if coarsest < 1e-5 else 1.0
    away = 2.0**-6 / coarsest
    met = [center]
    tables = [_noise_at(evaluations, units, origin, fine, met) for origin in (0.0, away)]
    # a correctly rounded result is off by up to half its last place: uniform, so ulp/√12
    level = max(*tables, float(np.spacing(np.abs(center))) / math.sqrt(12))
    size = float(max(abs(value) for value in met if np.isfinite(value)))
    unseen = not stochastic and all(value == center for value in met)
    return Noise(level, level / size if size > 0 else 0.0, stochastic, unseen)


def _noise_at(
    evaluations: Evaluations,
    units: dict[str, Any],
    origin: float,
    spacing: float,
    met: list[Any],
) -> float:
    """Return the noise along `units` from `origin`, 0 where none shows; add all values to `met`."""
    coarse = False
    for _ in range(LEVELS):
        places = origin + spacing * (np.arange(POINTS) - POINTS // 2)
        values = np.array(
            [evaluations.along({path: t * unit for path, unit in units.items()}) for t in places]
        )
        met.extend(values)
        noise, fault = difference_table_noise(values)
        if noise is not None:
            return noise
        if fault == "near" and not coarse:
            spacing *= 2.0**5
        elif fault == "far" and spacing > 1:
            coarse = True  # between two spacings lies the one at which the noise shows
            spacing /= 2.0**2
        else:
            break
    return 0.0
