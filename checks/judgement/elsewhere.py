"""Small errors that rounding may explain at the point are looked for at other points as well."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from checks._types import FloatArray
from checks.estimation.estimates import Estimates, estimate_derivatives
from checks.estimation.precision import EVERY
from checks.estimation.widened import restoring_widened
from checks.evaluation.control_flow import is_control_flow
from checks.judgement.claim import Claim
from checks.report.array_report import ArrayReport
from checks.report.verdict import Verdict, relative_discrepancy
from checks.report.wording import STAIRS, UNEVEN

__all__ = ["WRONG_ELSEWHERE", "mark_wrong_elsewhere"]

WRONG_ELSEWHERE = (
    "Rounding, or estimates that disagree, might explain an entry that is called wrong. Where the "
    "parameters are smaller it is off by about the same part of itself, and nothing explains that."
)
# All parameters are multiplied by HALF, then by FAR; or all but the entry that is off most by AWAY.
HALF, FAR, AWAY = 2.0**-1, 2.0**-4, 2.0**-2
# A claim that is off by up to SMALL of itself at the point, and by at most SIMILAR times as much
# elsewhere, follows the derivative. Others may have been computed for the point alone, as from
# activations that were kept.
SMALL, SIMILAR = 2.0**-6, 16.0
# Where a cost is uneven over longer steps, the claim follows the short ones if it is off from these
# by so many times less than the long ones are.
FOLLOWS = 2.0**10


def mark_wrong_elsewhere(
    estimates: Estimates,
    claim: Claim,
    arrays: dict[str, ArrayReport],
    judge: Callable[[Estimates, Claim], Mapping[str, ArrayReport]],
) -> bool:
    """Make suspected entries a MISMATCH, in place, if the same claim is one at another point.

    Suspected are entries that are off by more than the error of the first estimate and the
    tolerance, but not by more than what may be rounding of the claim, or without a second estimate
    that sees it. A function whose code is wrong is wrong at other points too, and there digits are
    lost less, or another share of the cost comes from the entry.

    Parameters
    ----------
    judge
        Judges a claim by estimates at its own point; returns what it found by path.

    Returns
    -------
    bool
        Whether there were such entries; they have the error of the first estimate.
    """
    function, evaluations = claim.function, estimates.evaluations
    if function is None or evaluations.interrupted or evaluations.size > EVERY:
        return False
    if all(array.verdict is Verdict.MATCH for array in arrays.values()):
        return False
    off = {path: _off(estimates, array) for path, array in arrays.items()}
    if not any(part.any() for part in off.values()) or estimates.noise.stochastic:
        return False
    for moves in _points(claim, off):
        for path, there in _judged_at(moves, estimates, claim, function, judge).items():
            here, apart = arrays[path], relative_discrepancy(there.discrepancies, there.sizes)
            wrong = (there.verdicts == Verdict.MISMATCH) & (apart <= SIMILAR * off[path])
            wrong &= there.differentiable
            here.verdicts[wrong] = Verdict.MISMATCH
            here.error[wrong] = estimates.shaped(path, estimates.by_path[path].error)[wrong]
            if not (here.verdicts == Verdict.UNRESOLVED).any():
                arrays[path] = replace(here, reason="")
        if any(array.verdict is Verdict.MISMATCH for array in arrays.values()):
            return True
    return False


def _off(estimates: Estimates, array: ArrayReport) -> FloatArray:
    """Return by what part of themselves suspected entries are off, 0 for others."""
    error = estimates.shaped(array.path, estimates.by_path[array.path].error)
    suspected = (array.verdicts == Verdict.UNRESOLVED) & array.differentiable
    suspected &= array.discrepancies - error > array.tolerance
    if array.reason in (STAIRS, UNEVEN):  # the claim may be right of what has the jumps
        suspected &= (array.reason == UNEVEN) & (array.error > FOLLOWS * array.discrepancies)
    off = relative_discrepancy(array.discrepancies, array.sizes)
    return np.where(suspected & (off <= SMALL), off, 0)


def _points(claim: Claim, off: Mapping[str, FloatArray]) -> Iterator[dict[str, FloatArray]]:
    """Yield the moves to other points, by path."""
    box = claim.evaluations.box
    for shrink in (HALF, FAR):
        yield box.shrunken(shrink)
    moves = {path: np.array(move) for path, move in box.shrunken(AWAY).items()}
    worst = max(off, key=lambda path: float(off[path].max(initial=0)))
    moves[worst].flat[off[worst].argmax()] = 0
    yield moves


def _judged_at(
    moves: Mapping[str, FloatArray],
    estimates: Estimates,
    claim: Claim,
    function: Callable[[Any], dict[str, FloatArray]],
    judge: Callable[[Estimates, Claim], Mapping[str, ArrayReport]],
) -> Mapping[str, ArrayReport]:
    """Return what is found at a moved point; nothing where the cost or the claim is not defined."""
    method = "central" if estimates.method == "central" else "auto"
    try:
        with claim.evaluations.elsewhere(moves) as given:
            with restoring_widened(given, estimates.seed) as evaluations:
                there = Claim(given, given.call_at_point(function), function)
                if all(np.array_equal(g, claim.arrays[p]) for p, g in there.arrays.items()):
                    return {}  # it does not use its argument
                found = estimate_derivatives(
                    evaluations, method, estimates.seed, estimates.rtol, there.arrays
                )
                judged = judge(found, there)
            estimates.evaluations.count += evaluations.count
            return judged
    except Exception as error:
        if is_control_flow(error):
            raise
        return {}
