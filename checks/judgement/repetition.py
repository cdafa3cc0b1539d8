"""Whether two calls of the claimed gradient at one point return the same."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from checks._types import FloatArray
from checks.estimation.estimates import Estimates
from checks.parameters.claims import entry_name
from checks.report.array_report import ArrayReport
from checks.report.report import Diagnosis
from checks.report.verdict import Verdict, relative_discrepancy
from checks.report.wording import stochastic

__all__ = [
    "NOT_REPEATABLE",
    "farthest_claim",
    "mark_unrepeated",
    "not_repeatable",
    "two_calls_differ",
]

NOT_REPEATABLE = "not repeatable"  # the name of this mistake


def farthest_claim(
    estimates: Estimates, path: str, calls: list[FloatArray]
) -> tuple[FloatArray, FloatArray]:
    """Return each entry's claim farthest from the estimate, and by how much its claims differ."""
    numeric = estimates.shaped(path, estimates.by_path[path].value)
    farthest = calls[0]
    difference = np.zeros(farthest.shape)
    for call in calls[1:]:
        if call is calls[0]:  # given as arrays, or the same again
            continue
        same = (call == calls[0]) | (np.isnan(call) & np.isnan(calls[0]))
        if same.all():
            continue
        with np.errstate(invalid="ignore"):
            apart = np.abs(call - calls[0])
            farther = np.abs(call - numeric) > np.abs(farthest - numeric)
        apart = np.where(np.isnan(apart), np.inf, apart)
        difference = np.maximum(difference, np.where(same, 0, apart))
        farthest = np.where(farther | ~np.isfinite(call), call, farthest)
    return farthest, difference


def mark_unrepeated(
    estimates: Estimates, array: ArrayReport, difference: FloatArray
) -> ArrayReport:
    """Make entries a MISMATCH, in place, if two calls of the claim differ by more than the limit.

    If two calls of the cost differ as well, as with dropout, a MATCH becomes UNRESOLVED instead.
    """
    if not difference.any():
        return array
    differ = difference > array.limit
    if not differ.any():
        return array
    if estimates.noise.stochastic:
        array.verdicts[differ & (array.verdicts == Verdict.MATCH)] = Verdict.UNRESOLVED
        return replace(array, reason=array.reason or stochastic(estimates.noise.level))
    array.verdicts[differ] = Verdict.MISMATCH
    return array


def not_repeatable(
    arrays: Mapping[str, ArrayReport], differences: Mapping[str, FloatArray]
) -> tuple[Diagnosis, ...]:
    """Name the mistake if two calls of the claim differ by more than the limit of a MISMATCH."""
    if not any(
        (differences[path] > array.limit)[array.verdicts == Verdict.MISMATCH].any()
        for path, array in arrays.items()
    ):
        return ()
    text = (
        f"{two_calls_differ(arrays, differences)}: the gradient is not a function of its "
        "parameters. Look for a random number, a race between threads, memory that is not set, or "
        "a state that one call leaves to the next."
    )
    return (Diagnosis(NOT_REPEATABLE, text),)


def two_calls_differ(
    arrays: Mapping[str, ArrayReport], differences: Mapping[str, FloatArray]
) -> str:
    """Say where two calls of the claim differ most, relative to the scale of the entry."""
    relative = {
        path: relative_discrepancy(difference, arrays[path].scales)
        for path, difference in differences.items()
        if difference.any()
    }
    path = max(relative, key=lambda path: float(relative[path].max()))
    flat = int(relative[path].argmax())
    index = tuple(int(i) for i in np.unravel_index(flat, relative[path].shape))
    return (
        f"two calls of the gradient at one point differ by up to {differences[path][index]:.1e} in "
        f"{entry_name(path, index)}, {relative[path][index]:.1e} of its size"
    )
