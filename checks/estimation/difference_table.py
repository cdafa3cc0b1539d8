"""What costs along a line show of noise: Moré and Wild, "Estimating computational noise" (2011)."""

import math
from collections.abc import Callable
from functools import cached_property

import numpy as np

from checks._types import FloatArray

__all__ = [
    "DEPTH",
    "POINTS",
    "SAME_WITHIN",
    "DifferenceTable",
    "Line",
    "has_jump",
    "noise_within",
    "take_table",
]

POINTS = 8  # costs in a table: "seven to nine suffice" (Moré and Wild, section 5)
JITTER = 0.25  # inner nodes are moved at random by up to this part of their spacing
SAME_WITHIN = 4.0  # two estimates of one noise differ by this factor at most: η of their section 4
HIGHEST = 3  # differences of up to this order show noise; of higher orders there are too few
DEPTH = 4  # nested tables: each is as wide as one interval of the one before, 1/7 of that

# Takes steps along a line; returns the steps as rounding x + step leaves them, and the costs there.
Line = Callable[[FloatArray], tuple[FloatArray, FloatArray]]


class DifferenceTable:
    """Costs at nodes of a line, and what their divided differences show of noise.

    The k-th divided difference of a smooth function shrinks with the spacing. That of noise does
    not: scaled so that the squares of its weights add up to 1, it has the variance σ² of the noise.
    So each k gives an estimate of σ, and where three successive ones agree, it is the noise
    (section 4, there for equal spacings).

    Parameters
    ----------
    nodes, costs : (n,) float
        The nodes ascend.
    """

    def __init__(self, nodes: FloatArray, costs: FloatArray) -> None:
        self.nodes, self.costs = nodes, costs

    @cached_property
    def _weights(self) -> list[FloatArray]:
        """The weights of the costs in the scaled differences: (n − k, n) for k = 1 … n − 1."""
        # long double, so that the weights round by less than the costs
        nodes = (self.nodes / (self.nodes[-1] - self.nodes[0])).astype(np.longdouble)
        rows, weights = np.eye(nodes.size, dtype=np.longdouble), []
        for k in range(1, nodes.size):
            rows = (rows[1:] - rows[:-1]) / (nodes[k:] - nodes[:-k])[:, None]
            weights.append(rows / np.sqrt((rows**2).sum(axis=1, keepdims=True)))
        return weights

    def differences(self, k: int, costs: FloatArray | None = None) -> FloatArray:
        """Return the scaled divided differences of order k, (n − k,); of other `costs` if given."""
        costs = self.costs if costs is None else costs
        return (costs - costs[..., :1]) @ self._weights[k - 1].T

    @cached_property
    def levels(self) -> list[float]:
        """The root mean square of the differences of each order; inf where a cost is not finite."""
        if not np.isfinite(self.costs).all():
            return [math.inf] * (self.costs.size - 1)
        levels = []
        for k in range(1, self.costs.size):
            differences = self.differences(k)
            largest = np.abs(differences).max() or 1.0  # factored out, as squares may overflow
            scaled = differences / largest
            levels.append(float(largest * np.sqrt(scaled @ scaled / scaled.size)))
        return levels

    def agreeing_order(self, both_signs: bool = True) -> int:
        """Return the first k of three successive orders whose levels agree; 0 if there is none.

        With `both_signs`, the differences of order k must have both, as those of noise do. Those of
        a single jump at the end of a table have one sign.
        """
        for k in range(1, len(self.levels) - 1):
            three = self.levels[k - 1 : k + 2]
            if max(three) <= SAME_WITHIN * min(three) < math.inf:
                differences = self.differences(k)
                if not both_signs or differences.min() < 0 < differences.max():
                    return k
        return 0

    def noise(self) -> tuple[float | None, str]:
        """Return the noise and ""; or None and what is wrong: spaced "too small" or "too large"."""
        differences = np.diff(self.costs)
        if 2 * np.count_nonzero(differences == 0) >= len(differences):
            jumps = np.flatnonzero(differences)
            if (np.diff(jumps) > 1).any():  # constant between two jumps: the cost is quantised
                # an error that is uniform within half a jump has the standard deviation jump/√12
                return float(np.abs(differences[jumps]).min()) / math.sqrt(12), ""
            return None, "too small"
        k = self.agreeing_order()
        # of higher orders there are so few differences that all may be small by chance
        return (self.levels[k - 1], "") if 0 < k <= HIGHEST else (None, "too large")

    def rough_intervals(self, k: int) -> list[tuple[float, float]]:
        """Return the intervals between nodes; a jump in the first explains the differences best.

        Orders k to k + 2 agree; differences of order k + 2 are used, which show least of the
        function itself.
        """
        k += 2
        intervals = np.arange(1, self.costs.size)
        jumps = self.differences(k, np.less_equal.outer(intervals, [0, *intervals]).astype(float))
        jumps /= np.sqrt((jumps**2).sum(axis=1, keepdims=True))
        order = np.argsort(-np.abs(jumps @ self.differences(k)), kind="stable")
        return [(float(self.nodes[n]), float(self.nodes[n + 1])) for n in order]


def take_table(line: Line, first: float, last: float, rng: np.random.Generator) -> DifferenceTable:
    """Return a table of `POINTS` uneven nodes.

    At even nodes, rounding may not show: if their spacing is a power of two times a few last
    places, products of them with short constants are exact.
    """
    nodes = np.linspace(first, last, POINTS)
    # the ends stay, so that a jump between them stays within the table
    nodes[1:-1] += (nodes[1] - nodes[0]) * rng.uniform(-JITTER, JITTER, POINTS - 2)
    return DifferenceTable(*line(nodes))


def noise_within(
    line: Line,
    place: tuple[float, float],
    finest: float,
    rng: np.random.Generator,
    depth: int = DEPTH,
) -> tuple[list[float], tuple[float, float], float]:
    """Return the noise of tables each within the roughest interval of the one before.

    From table to table, noise and jumps stay about as large, and a kink shrinks with the spacing. A
    smooth table shows 0, as of an oscillation at spacings short beside its period. A table of equal
    costs ends the search: such a cost is not smooth, but has jumps elsewhere.

    Parameters
    ----------
    place
        Where the first of at most `depth` tables lies.
    finest
        The smallest spacing.

    Returns
    -------
    tuple
        The noise of each table, up to the first that is 0, the roughest interval of the last one,
        and the median slope there.
    """
    noises, slope = list[float](), 0.0
    while len(noises) < depth and place[1] - place[0] >= finest * (POINTS - 1):
        table = take_table(line, *place, rng)
        if not table.levels[0]:
            break  # all costs are equal: the jump lies in another interval
        k = table.agreeing_order(both_signs=False)
        noises.append(table.levels[k - 1] if k else 0.0)
        if not noises[-1]:
            break
        place = table.rough_intervals(k)[0]
        slope = float(np.median(np.diff(table.costs) / np.diff(table.nodes)))
    return noises, place, slope


def has_jump(
    line: Line, place: tuple[float, float], slope: float, height: float, finest: float
) -> bool:
    """Whether a cost of a known slope jumps by at least `height`; bisection finds the jump.

    A jump is as high in all intervals around it. A pole is higher in narrower ones, and a slope
    beside it is lower.

    Parameters
    ----------
    place
        Where the jump lies, if there is one.
    finest
        The width of the interval to which it is traced.
    """
    nodes, costs = line(np.array(place))
    (low, high), (below, above) = nodes.tolist(), costs.tolist()
    change = abs(above - below - slope * (high - low))
    least, highest = max(height, change / SAME_WITHIN**2), SAME_WITHIN * max(height, change)
    while high - low > finest:
        (middle,), (between,) = (values.tolist() for values in line(np.array([(low + high) / 2])))
        if not low < middle < high:
            break
        left = abs(between - below - slope * (middle - low))
        right = abs(above - between - slope * (high - middle))
        if not least <= max(left, right) <= highest:
            return False
        if left >= right:
            high, above = middle, between
        else:
            low, below = middle, between
    return True
