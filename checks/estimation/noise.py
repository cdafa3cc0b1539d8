"""How noisy a cost is: Moré and Wild, "Estimating computational noise" (SISC 33, 2011)."""

import math
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import numpy as np

from checks._types import FloatArray
from checks.evaluation.pointwise import Evaluations

__all__ = [
    "FEW_PLACES",
    "CostNoise",
    "Noise",
    "difference_table_noise",
    "measure_noise",
]

POINTS = 8  # evaluations of a table besides the point itself: "seven to nine suffice" (section 5)
AWAY = 2.0**-5  # relative: as far as a step may go, and noise be met
FEW_PLACES = 64.0  # of last places: no more noise than that is expected of a cost in its own dtype
ALIKE = 4.0  # what estimates of one noise may differ by: the factor η of section 4


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


class CostNoise:
    """The noise of a cost around its point, measured only if it matters how large it is.

    Parameters
    ----------
    evaluations
    seed : int
        Of the directions.
    """

    def __init__(self, evaluations: Evaluations, seed: int) -> None:
        self._evaluations, self._seed = evaluations, seed

    @cached_property
    def measured(self) -> Noise:
        """As `measure_noise` finds it, at the first use."""
        return measure_noise(self._evaluations, np.random.default_rng(self._seed))

    def compare(self, costs: FloatArray) -> None:
        """Measure it at once if costs at the point differ, or two calls where but one is known."""
        evaluations = self._evaluations
        if np.ptp(costs) if costs.size > 1 else evaluations.again() != evaluations.at_point:
            _ = self.measured

    @property
    def known(self) -> Noise:
        """What was measured; until then, of a cost that repeats itself, a few last places.

        But relative to the cost one of them: below that there is none.
        """
        return self.measured if "measured" in vars(self) else self._assumed

    @cached_property
    def _assumed(self) -> Noise:
        eps = self._evaluations.eps
        level = FEW_PLACES * eps * abs(float(self._evaluations.at_point))
        return Noise(level, eps, stochastic=False, unseen=False)


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
            stairs = np.flatnonzero(differences)
            if (np.diff(stairs) > 1).any():  # and level between: off by up to half a stair
                return float(np.abs(differences[stairs]).min()) / math.sqrt(12), ""
            return None, "near"
        gamma *= k / (2 * (2 * k - 1))
        unit = np.abs(differences).max() or 1.0  # so that squares neither overflow nor vanish
        levels.append(float(unit * np.sqrt(gamma * np.mean((differences / unit) ** 2))))
        changes_sign.append(differences.min() < 0 < differences.max())
    for k in range(len(levels) - 2):
        three = levels[k : k + 3]
        if max(three) <= ALIKE * min(three) and changes_sign[k]:
            return levels[k], ""
    return None, "far"


def measure_noise(evaluations: Evaluations, rng: np.random.Generator) -> Noise:
    """Measure the noise of a cost around its point, along random directions of all parameters.

    Three tables: at the point, and a little away from it, where steps will go: at a perfect fit the
    cost is exact and its neighbours are not. Each has a direction of its own, for along one of them
    rounding may repeat itself at every spacing, and not show.

    Parameters
    ----------
    evaluations
        The cost; about 28 evaluations are spent, more where it is flat or quantised.
    rng
        Draws the directions.
    """
    center = evaluations.at_point
    stochastic = bool(evaluations.again() != center)
    met = [center]
    coarsest = evaluations.eps
    few = (20, 60) if coarsest < 1e-5 else (1, 3)  # half precision has but 2^10 last places
    # away from the point, with steps whose third differences vanish in rounding: noise may be
    # frozen over the few last places that the table at the point spans
    coarse = 2.0 ** max(0, round(math.log2(2 * coarsest**-0.6 / sum(few))))
    away = round(2 * AWAY / (coarsest * sum(few)))

    def tables() -> list[float]:
        units = (_draw_units(evaluations, few, rng) for _ in range(3))
        origins = (0, away, -away)
        return [
            _noise_at(evaluations, unit, origin, coarse if origin else 1.0, away / POINTS, met)
            for unit, origin in zip(units, origins, strict=True)
        ]

    levels = tables()
    if any(levels) and len(met) > 1 + 3 * POINTS:
        levels += tables()  # a staircase: 1 in 4 of its tables happens on regular stairs
    far = _draw_units(evaluations, few, rng)
    beyond = evaluations.along_each(
        np.array([8, 512]) * away, partial(_multiples, evaluations, far)
    )
    finite = np.array([value for value in met if np.isfinite(value)])
    size = float(np.abs(finite).max())
    # a correctly rounded result is off by up to half its last place: uniform, so ulp/√12
    dtype = _grain(np.array([*finite, *beyond]), evaluations)
    level = max(levels)
    stairs = np.diff(np.unique(finite))
    if level == 0 and 0 < stairs.size < finite.size / 2:  # flat, but for stairs: all of one counts
        level = float(np.median(stairs))
    last_place = float(np.spacing(dtype(size)))
    level = max(level, last_place / math.sqrt(12)) or last_place  # a part of the smallest is 0
    if stochastic:  # its noise may be too far for a table of neighbours
        level = max(level, float(np.std([evaluations.again() for _ in range(POINTS)])))
    unseen = not stochastic and all(value == center for value in (*met, *beyond))
    return Noise(level, level / size if size > 0 else 0.0, stochastic, unseen)


def _grain(values: FloatArray, evaluations: Evaluations) -> Any:
    """Return the narrowest dtype that holds all values: float32 may hide in Python floats.

    Of a constant that may be chance: then only if parameters have it.
    """
    finite, own = values[np.isfinite(values)], {v.dtype.type for v in evaluations.values.values()}
    for dtype in (np.float16, np.float32):
        with np.errstate(over="ignore"):
            held = np.array_equal(finite.astype(dtype), finite)
        if held and (np.ptp(finite) or dtype in own):
            return dtype
    return values.dtype.type


def _draw_units(
    evaluations: Evaluations, few: tuple[int, int], rng: np.random.Generator
) -> FloatArray:
    """Draw a move of every entry: a few of its last places, to show rounding, not the cost."""
    sizes = [
        np.maximum(np.abs(value), value.dtype.type(evaluations.scales[path])).reshape(-1)
        for path, value in evaluations.values.items()
        if value.size
    ]
    # odd: multiples of a power of two would leave many a product exact
    count = 2 * (rng.integers(*few, evaluations.size, endpoint=True) // 2) + 1
    sign = 2 * rng.integers(2, size=evaluations.size) - 1
    return sign * count * np.concatenate([np.spacing(size) for size in sizes])  # type: ignore[no-any-return]


def _multiples(
    evaluations: Evaluations, units: FloatArray, numbers: FloatArray
) -> dict[str, FloatArray]:
    return evaluations.split(np.multiply.outer(numbers, units))


def _noise_at(
    evaluations: Evaluations,
    units: FloatArray,
    origin: int,
    spacing: float,
    largest: float,
    met: list[Any],
) -> float:
    """Return the noise along `units` from `origin`, 0 where none shows; add all values to `met`."""
    coarse, found = False, 0.0
    while True:
        places = origin + spacing * (np.arange(POINTS) - POINTS // 2)
        values = evaluations.along_each(places, partial(_multiples, evaluations, units))
        met.extend(values)
        noise, fault = difference_table_noise(values)
        if found and not (noise and noise <= found / ALIKE):
            return found  # as much at an eighth of the spacing: it was noise
        if noise is not None:
            if noise <= ALIKE * np.spacing(np.abs(values).max()) or spacing < 8:
                return noise
            # kinks look like noise too, but in proportion to the spacing
            found, spacing = noise, spacing / 8
        elif fault == "near" and not coarse and spacing * 2.0**5 <= largest:
            spacing *= 2.0**5
        elif fault == "far" and spacing > 1:
            coarse = True  # between two spacings lies the one at which the noise shows
            spacing = max(1.0, spacing / 4)
        else:
            return 0.0
