"""Oscillations that no difference shows, because they are smaller than the noise of the cost.

At z = 10^16, z − sin z is z in float64, but its slope is anything from 0 to 2. Complex steps show
the slope at the point itself, and another one close by.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from checks._types import FloatArray, IntArray
from checks.estimation.finite_differences import Estimate
from checks.estimation.precision import EVERY, Copies, coarsest_dtype, copies_of, wider_dtype
from checks.evaluation.pointwise import Evaluations
from checks.evaluation.step_sizes import random_signs

__all__ = ["oscillation_errors", "turning_errors"]

# Neighbours are as far from the point as these parts of each entry, but at least SHORTEST last
# places. They are so close that the slope of a cost that differences follow hardly changes.
NEAR, SHORTEST = 2.0 ** -np.array([12, 20, 30, 40, 64]), 1.71
# A slope turns if it changes by TURNS times what it differs from that by differences, and by CURVED
# times as much as that of x² does.
TURNS, CURVED = 1 / 2, 16.0


def oscillation_errors(
    evaluations: Evaluations, estimates: Mapping[str, Estimate], seed: int
) -> dict[str, FloatArray]:
    """Return errors of differences, by path, where complex steps contradict them, and turn.

    The errors cover the complex steps at the point and at neighbours, if these are unlike each
    other. Where they are alike, as for |z|, the complex steps may be what is wrong.

    Parameters
    ----------
    evaluations
        The cost. A complex step for each array shows whether it contradicts the differences. Where
        it does, each entry is stepped, and those that contradict at five neighbours too.
    estimates
        Its derivatives, by path. Those by complex steps are left alone.
    seed
        Draws the moves.
    """
    if evaluations.shared or evaluations.complex_outside or evaluations.size > EVERY:
        return {}
    copies = copies_of(evaluations, wider_dtype(coarsest_dtype(evaluations.values)))
    rng, errors = np.random.default_rng(seed), dict[str, FloatArray]()
    try:
        for path, estimate in estimates.items():
            known = np.flatnonzero(np.isfinite(estimate.error) & ~estimate.by_complex_steps)
            if known.size and _is_contradicted(copies, path, estimate, known, rng):
                errors[path] = _errors(copies, path, estimate, known, rng)
            if copies.said:  # the cost refuses complex numbers, or the neighbours are outside
                return {}
    finally:
        evaluations.count += copies.calls
    return errors


def turning_errors(
    evaluations: Evaluations, path: str, estimate: Estimate, entries: IntArray, seed: int
) -> FloatArray:
    """Return what `oscillation_errors` does of some entries of an array, also of several results.

    Of these, only entries that are about to be called wrong are worth the calls.
    """
    if not entries.size:
        return np.zeros(estimate.value.size)
    copies = copies_of(evaluations, wider_dtype(coarsest_dtype(evaluations.values)))
    try:
        found = _errors(copies, path, estimate, entries, np.random.default_rng(seed))
        return np.zeros(found.size) if copies.said else found
    finally:
        evaluations.count += copies.calls


def _is_contradicted(
    copies: Copies, path: str, estimate: Estimate, known: IntArray, rng: np.random.Generator
) -> bool:
    """Whether a complex step along a direction in which all errors count alike exceeds them."""
    shape, scale = copies.values[path].shape, copies.scales[path]
    direction: Any = np.zeros(estimate.value.size)
    direction[known] = 1 / np.maximum(estimate.error[known], np.finfo(float).tiny)
    unit = scale / direction.max()
    direction *= unit * random_signs(direction.shape, rng)
    along = copies.slope({path: direction.reshape(shape)})[0]
    return bool(abs(along - estimate.value[known] @ direction[known]) > unit)


def _errors(
    copies: Copies, path: str, estimate: Estimate, known: IntArray, rng: np.random.Generator
) -> FloatArray:
    """Return the errors of an array, 0 where complex steps agree, or do not turn."""
    at = copies.slopes({path: known})[0][path]
    off = np.abs(at - estimate.value[known])
    entries = known[off > estimate.error[known]]
    errors = np.zeros(estimate.value.size)
    if not entries.size:
        return errors
    value, last_places = copies.values[path], copies.last_places(path)
    sign, sizes = random_signs(value.shape, rng), copies.box.sizes[path]
    found, distances = [at[off > estimate.error[known]]], list[Any]()
    for part in NEAR:
        move = copies.box.clipped(path, sign * np.maximum(part * sizes, SHORTEST * last_places))
        distances.append(np.abs(move / sizes).ravel()[entries])
        found.append(copies.slopes({path: entries}, {path: move})[0][path])
    slopes, near = np.array(found), np.array(distances[:-1])
    off = np.abs(slopes - estimate.value[entries])
    # among neighbours: the point itself may stand on a bound, where the cost drops imaginary parts
    change = np.abs(slopes[1:-1] - slopes[-1])
    smooth = CURVED * near * np.abs(slopes).max(axis=0)
    turns = (change > np.maximum(TURNS * off[0], smooth)).any(axis=0)
    errors[entries] = np.where(turns, off.max(axis=0), 0)
    return errors
