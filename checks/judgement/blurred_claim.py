"""What a report says where the claim is off by no more than its own rounding explains."""

from collections.abc import Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

from checks.judgement.claim import Claim
from checks.parameters.claims import entry_name
from checks.report.array_report import ArrayReport
from checks.report.verdict import Verdict, entry_size, relative_discrepancy
from checks.report.wording import LOST_DIGITS, plural

__all__ = ["lost_digits", "suspected_entry", "why_claim_is_blurred"]


def lost_digits(arrays: Mapping[str, ArrayReport]) -> Iterator[str]:
    """Yield a finding on entries that are off by no more than twice their claim's rounding."""
    off = {}
    for path, array in arrays.items():
        if not np.asarray(array.rounding).any() or array.compared_nothing:
            continue
        size = entry_size(array.claimed, array.numeric)
        d = array.discrepancies - array.error
        lost = (d > array.rule.rtol * size) & (d <= 2 * np.asarray(array.rounding))
        lost &= array.differentiable & (array.verdicts != Verdict.MISMATCH)
        if lost.any():
            off[path] = np.where(lost, relative_discrepancy(array.discrepancies, size), 0)
    if not off:
        return
    path = max(off, key=lambda path: float(off[path].max()))
    index = tuple(int(i) for i in np.unravel_index(int(off[path].argmax()), off[path].shape))
    count = sum(int(np.sum(relative > 0)) for relative in off.values())
    more = f" (and {plural(count - 1, 'more entry')})" if count > 1 else ""
    yield (
        f"{LOST_DIGITS}: {entry_name(path, index)} is off by "
        f"{off[path][index]:.1e} of its size{more}, and moves by as much when it is computed in a "
        "wider dtype. Digits are lost where near numbers are subtracted, as in a (1 − a) where a "
        "rounds to 1."
    )


def why_claim_is_blurred(array: ArrayReport, unresolved: NDArray[np.bool_], claim: Claim) -> str:
    """Say why entries are UNRESOLVED whose estimates are accurate enough for a MATCH."""
    b = np.broadcast_to(array.rounding, array.claimed.shape)
    off = array.discrepancies - array.error
    if np.isnan(b[unresolved]).any():
        whose = "its array's" if array.seen else "the whole gradient's"
        return (
            f"the claim is off by more than {array.rule.rtol:.0e} of its own size, but not of "
            f"{whose} largest entry, and how much of it is rounding is not known: "
            f"{claim.unmeasured}. A gradient that computes in the dtype of its parameters would "
            'settle it; scale="array" lets errors pass that are small beside the largest entry.'
        )
    what = "its own rounding explains"
    if (off > 2 * b)[unresolved].any():
        what = "rounding of the size of the whole gradient's largest entry may leave"
    remedy = "Keep its digits where numbers nearly cancel, or check at a point where they do not."
    if claim.coarse:
        what = "what so coarse a cost may lose" if claim.unmeasured else what
        remedy = (
            f"The cost loses {claim.coarse:.0e} of itself, more than its dtype: it computes with "
            "fewer digits inside, as under autocast or in TF32, or subtracts near numbers. If that "
            "is meant, say by rtol what the gradient owes; if not, compute in the dtype throughout."
        )
    return f"the claim is blurred: it is off by no more than {what}. {remedy}"


def suspected_entry(arrays: Mapping[str, ArrayReport]) -> tuple[str, tuple[int, ...]] | None:
    """Return the UNRESOLVED entry whose claim is off the most, as path and index; None if none is.

    Relative to its own size, and by more than the tolerance and the error of the estimate.
    """
    worst, entry = 0.0, None
    for path, array in arrays.items():
        off = array.discrepancies - array.error
        off = np.where((array.verdicts == Verdict.UNRESOLVED) & (off > array.tolerance), off, 0)
        relative = relative_discrepancy(off, entry_size(array.claimed, array.numeric))
        if relative.max(initial=0) > worst:
            worst = float(relative.max())
            entry = path, tuple(map(int, np.unravel_index(relative.argmax(), relative.shape)))
    return entry
