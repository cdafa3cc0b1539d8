"""The noise of every result of a function, of which a sum over results is differentiated."""

import math
from typing import Any

import numpy as np

from checks._types import FloatArray
from checks.estimation.difference_table import POINTS, DifferenceTable, take_table
from checks.estimation.precision import coarsest_dtype, copies_of, wider_dtype
from checks.estimation.rounding_mode import toward_zero_is_available
from checks.evaluation.control_flow import is_control_flow
from checks.evaluation.pointwise import Evaluations
from checks.evaluation.result import UNKNOWN, ResultNoise

__all__ = ["draw_units", "measure_result_noise"]

MOST = 2**20  # of more results, the noise of each is not measured
# The noise of each result is measured if that of their sum exceeds LEAST of the sum's terms.
LEAST = 2.0**-42
# Spacings of the difference tables, relative to the entries, the longest first. In long ones, the
# rounding to a narrower dtype inside the function shows.
SPACINGS = 2.0 ** -np.array([5, 8, 11, 14, 17, 20])
# Noise is as large in a table with an eighth of the spacing, up to a factor STEADY. Curvature and
# kinks are not: at a kink, differences fall by 8, or by 3.8 if it is elsewhere in the table.
STEADY = 3.5
# Every order of differences shows all of the noise, so the least of the first ORDERS is taken. It
# is less than half of the noise in one table of seven, so the largest of all tables counts.
ORDERS = 5
# The change by rounding toward zero is taken as the noise if it exceeds this times the noise found.
NARROW_STAGE = 2.0**10


def draw_units(
    evaluations: Evaluations, largest_multiple: float, rng: np.random.Generator
) -> FloatArray:
    """Draw a small move of all entries, each by two or six of its last places.

    The number is even, so that a move into the next binade, where places are twice as far apart, is
    exact. Near a bound moves are shorter, so that the largest multiple of them stays within.
    """
    ends = np.concatenate([end.ravel() for end in evaluations.box.ends(rng).values()])
    sizes = [
        evaluations.box.sizes[path].astype(value.dtype).ravel()
        for path, value in evaluations.values.items()
    ]
    count = rng.choice([2, 6], evaluations.size)
    units = count * np.concatenate([np.spacing(size) for size in sizes])
    return np.asarray(np.copysign(np.minimum(units, np.abs(ends) / largest_multiple), ends))


def measure_result_noise(evaluations: Evaluations, level: float, seed: Any) -> None:
    """Measure the noise of every result around the point, if that of a sum over them is large.

    It takes about 50 calls of the function. Where a result is not finite at some of them, its noise
    is `UNKNOWN`.

    Parameters
    ----------
    evaluations
        Of a `checks.evaluation.result.Contraction`, whose `results` get the noise.
    level
        The noise of the sum.
    seed
        Draws the direction.
    """
    results = evaluations.cost.results
    if results.size > MOST or not level > LEAST * evaluations.cost.terms:
        return
    at_point = evaluations.call_at_point(results.vector)
    levels, shorter = np.full(at_point.size, np.nan), np.full(at_point.size, np.inf)
    met = [at_point[None]]
    for spacing in SPACINGS[::-1] / (4 * evaluations.eps):  # a unit is about 4 eps of an entry
        table, vectors = _table(evaluations, max(2.0, spacing), seed)
        found = _least_level(table, vectors)
        levels = np.where(found <= STEADY * shorter, np.fmax(levels, found), levels)
        shorter = np.where(np.isnan(found), shorter, found)
        met.append(vectors)
    last_places, is_narrow = _last_places(np.concatenate(met))
    levels = np.maximum(levels, last_places / math.sqrt(12))
    wide = wider_dtype(coarsest_dtype(evaluations.values))
    if wide is not None:
        change = np.abs(_vector(evaluations, wide, False) - at_point)
        levels = np.where(change > levels, change, levels)
    if toward_zero_is_available():
        change = np.abs(_vector(evaluations, None, True) - at_point)
        change = np.where(np.isfinite(change), change, np.abs(at_point))
        levels = np.where(change > NARROW_STAGE * levels, change, levels)
    levels = np.where(np.isfinite(levels), levels, UNKNOWN)
    results.noise = ResultNoise(at_point, levels.astype(float), is_narrow)


def _table(
    evaluations: Evaluations, spacing: float, seed: Any
) -> tuple[DifferenceTable, FloatArray]:
    """Return a table of nodes along one direction, and all results there, (nodes, m).

    They are nan where a sum over them is not finite.
    """
    rng, vectors = np.random.default_rng(seed), list[FloatArray]()
    reach = spacing * (POINTS - 1) / 2
    units = draw_units(evaluations, 2 * reach, rng)

    def line(nodes: FloatArray) -> tuple[FloatArray, FloatArray]:
        nodes = np.round(nodes)  # whole multiples of a unit are exact
        for node in nodes:
            cost = evaluations.cost_moved(evaluations.split(node * units))
            found = np.concatenate(evaluations.cost.results.latest)
            vectors.append(found if np.isfinite(cost) else np.full(found.size, np.nan))
        return nodes, nodes

    return take_table(line, -reach, reach, rng), np.array(vectors)


def _vector(evaluations: Evaluations, dtype: Any, toward_zero: bool) -> FloatArray:
    """Return all results at the point, with parameters in a dtype; nan if the function raises."""
    results = evaluations.cost.results
    try:
        copies = copies_of(evaluations, dtype, results.vector)
        vector: FloatArray = copies.result(toward_zero=toward_zero)
    except Exception as error:  # a library may refuse the dtype
        if is_control_flow(error):
            raise
        return np.full(results.size, np.nan)
    return vector


def _least_level(table: DifferenceTable, vectors: FloatArray) -> FloatArray:
    """Return the least root mean square of differences, over orders, of every column."""
    change = (vectors - vectors[0]).T
    levels = []
    for k in range(1, ORDERS + 1):
        of_units = table.differences(k, np.eye(POINTS)).astype(change.dtype)
        levels.append(np.sqrt(np.mean((change @ of_units) ** 2, axis=1)))
    return np.asarray(np.min(levels, axis=0), float)


def _last_places(vectors: FloatArray) -> tuple[FloatArray, bool]:
    """Return the last place of every column in the narrowest dtype that holds it.

    Also whether float32 holds all columns. One or two numbers may fit a narrow dtype by chance, so
    columns of so few values count as of their own dtype.
    """
    size = np.nan_to_num(np.abs(vectors)).max(axis=0)
    places, is_narrow = np.spacing(size), False
    has_many = (np.diff(np.sort(vectors, axis=0), axis=0) > 0).sum(axis=0) > 1
    for dtype in (np.float32, np.float16):
        with np.errstate(over="ignore"):
            fits = ((vectors.astype(dtype) == vectors) | np.isnan(vectors)).all(axis=0)
        is_narrow |= bool(fits.all())
        fits &= has_many
        places = np.where(fits, np.spacing(np.where(fits, size, 0).astype(dtype)), places)
    return places, is_narrow
