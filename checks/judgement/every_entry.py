"""Verdicts of every entry from the claim and the estimate, with the reasons."""

import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from operator import itemgetter

import numpy as np

from checks._types import FloatArray
from checks.diagnosis.diagnosis import diagnose
from checks.estimation.estimates import Estimates
from checks.estimation.finite_differences import has_room
from checks.estimation.noise import changes_nothing
from checks.estimation.step_curve import measure_step_curve
from checks.judgement.confirmation import mark_uncertain_kinks, mark_unconfirmed
from checks.parameters.claims import entry_name
from checks.report.array_report import ArrayReport
from checks.report.report import Report
from checks.report.verdict import Verdict, judge
from checks.report.wording import (
    DISAGREE,
    ONLY_ZEROS,
    UNSEEN,
    left_domain,
    no_room,
    nothing_compared,
    stochastic,
)

__all__ = ["judge_gradient"]

OUTSIDE_SLOPES = (
    "at a kink the claim lies outside the slopes on both sides, or these slopes are uncertain: "
    "there is no derivative to compare with. Check at a point beside it."
)
NO_CONVERGENCE = (
    "differences do not converge at any step: a jump, an infinite slope or a fast oscillation at "
    "these entries. Check at a point beside it."
)


def judge_gradient(
    estimates: Estimates,
    claims: dict[str, FloatArray],
    resolution: float,
    started: float,
    findings: Iterable[str] = (),
    claim_error: Mapping[str, FloatArray] | None = None,
) -> Report:
    """Judge the claimed gradient of every array.

    Parameters
    ----------
    estimates
        Derivatives of the cost. Flagged entries and the diagnosis take a few more evaluations.
    claims
        By path, in the shapes of the parameters.
    resolution
        See `checks.report.verdict.judge`.
    started : float
        `time.perf_counter` at the beginning of the check.
    findings
        Sentences of earlier steps of the check, for the report.
    claim_error
        By path, the rounding error of the claims themselves; default 0.
    """
    claim_error = claim_error or {}
    arrays = {
        path: _judge_array(estimates, path, claim, resolution, claim_error.get(path, 0.0))
        for path, claim in claims.items()
    }
    report = Report(
        arrays=arrays,
        rtol=estimates.rtol,
        resolution=resolution,
        method=estimates.method,
        noise=estimates.cost_noise.known.relative,
        evaluations=estimates.evaluations.count,
        seconds=time.perf_counter() - started,
        seed=estimates.seed,
        findings=(*findings, *_findings(estimates, arrays)),
    )
    if report:
        missed = _array_with_missed_error(report)
        if not missed:
            return report
        missed.verdicts[...] = Verdict.UNRESOLVED
        reason = "an error of the size called detectable was not detected."
        arrays[missed.path] = replace(missed, reason=reason)
    worst, evaluations = report.worst, estimates.evaluations
    curve = measure_step_curve(evaluations, worst.path, worst.index, estimates.noise.level)
    return replace(
        report,
        diagnosis=diagnose(arrays, evaluations.values, estimates.rtol),
        step_curve=curve,
        evaluations=evaluations.count,
        seconds=time.perf_counter() - started,
    )


def _findings(estimates: Estimates, arrays: Mapping[str, ArrayReport]) -> Iterator[str]:
    """Report zeros that were not compared, kinks, and a noisy cost: no verdict shows these."""
    zeros = [path for path, a in arrays.items() if a.claimed.size and a.compared_nothing]
    if zeros:
        yield nothing_compared(zeros)
    for path, array in arrays.items():
        if array.slope_jump.any():
            kinks = np.flatnonzero(array.slope_jump)
            left, right = estimates.by_path[path].slopes[kinks[0]]
            index = tuple(int(i) for i in np.unravel_index(kinks[0], array.slope_jump.shape))
            more = f" (and {kinks.size - 1:,} more of {path})" if kinks.size > 1 else ""
            yield (
                f"{entry_name(path, index)} lies on a kink: slope {left:.6g} on the left, "
                f"{right:.6g} on the right; a claim between them is accepted{more}."
            )
    noise = estimates.cost_noise.known
    if noise.stochastic and not any(array.reason for array in arrays.values()):
        yield f"two calls of the cost at one point differ (noise {noise.level:.0e})."


def _judge_array(
    estimates: Estimates,
    path: str,
    claimed: FloatArray,
    resolution: float,
    claim_error: FloatArray | float,
) -> ArrayReport:
    estimate, rtol = estimates.by_path[path], estimates.rtol
    numeric = estimates.shaped(path, estimate.value)
    error = estimates.shaped(path, estimate.error) + claim_error
    slope_jump = estimates.shaped(path, estimate.slope_jump)
    # A cost that no real move changes resolves nothing, unless complex steps see its derivatives.
    # Then the noise is not needed, and asking for it would measure it.
    complex_sees = estimate.method == "complex-step" and numeric.any()
    unseen = not complex_sees and estimates.noise.is_constant
    if unseen:
        error = np.full(error.shape, np.inf)
    verdicts = np.empty(claimed.shape, np.int8)
    array = ArrayReport(path, claimed, numeric, error, verdicts, slope_jump, method=estimate.method)
    verdicts[...] = judge(claimed, numeric, error, rtol, resolution, slope_jump, array.largest)
    if not claimed.size:
        return array
    if array.all_zero:
        rng = np.random.default_rng(estimates.seed)
        if not unseen and changes_nothing(estimates.evaluations, [path], rng):
            verdicts[has_room(estimates.evaluations, path)] = Verdict.MATCH
    elif not unseen and mark_unconfirmed(estimates, array):
        return replace(array, reason=DISAGREE)
    if mark_uncertain_kinks(estimates, array):
        return replace(array, reason=OUTSIDE_SLOPES)
    if array.verdict is Verdict.UNRESOLVED:
        return replace(array, reason=_why_unresolved(array, estimates))
    return array


def _array_with_missed_error(report: Report) -> ArrayReport | None:
    """Test the report: return an array whose stated detectable error would not be a MISMATCH.

    The claim of one entry is altered by that error and judged again: the least certain entry of
    the array with the largest detectable error. None if it is a MISMATCH, as it should be.
    """
    rtol = report.rtol
    candidates = [
        (array.detectable(rtol), array, array.least_certain)
        for array in report.arrays.values()
        if array.least_certain is not None and array.largest
    ]
    if not candidates:
        return None
    detectable, array, entry = max(candidates, key=itemgetter(0))
    claimed, numeric, error = (
        values.reshape(-1)[[entry]] for values in (array.claimed, array.numeric, array.error)
    )
    claimed = claimed.astype(np.result_type(claimed, numeric, error))
    # The altered entry may become the largest, s; the tolerance rtol · s then grows by rtol times
    # the change, so the change is made larger by that.
    change = detectable * array.largest * (1 + 2 * rtol) / (1 - rtol)
    claimed += np.copysign(change, claimed - numeric)
    largest = max(array.largest, float(np.abs(claimed[0])))
    altered = judge(claimed, numeric, error, rtol, report.resolution, largest=largest)
    return None if int(altered[0]) == Verdict.MISMATCH else array


def _why_unresolved(array: ArrayReport, estimates: Estimates) -> str:
    """Say why an array has unresolved entries, and what would resolve them."""
    unresolved = array.verdicts == Verdict.UNRESOLVED
    noise = estimates.noise
    fixed = np.flatnonzero(unresolved & ~has_room(estimates.evaluations, array.path))
    if fixed.size:
        index = tuple(int(i) for i in np.unravel_index(fixed[0], unresolved.shape))
        return no_room(entry_name(array.path, index), fixed.size - 1)
    if noise.is_constant and np.isinf(array.error).all():
        return UNSEEN
    if noise.stochastic:
        return stochastic(noise.level)
    if np.isnan(array.numeric[unresolved]).any():
        return left_domain(estimates.evaluations.outside.get(array.path, ""))
    if np.isinf(array.error[unresolved]).any():
        return NO_CONVERGENCE
    claimed_zero = not array.claimed.any()
    if array.all_zero or (claimed_zero and bool(np.all(np.abs(array.numeric) <= array.error))):
        return ONLY_ZEROS
    share = float(array.error[unresolved].max()) / array.largest
    return (
        f"blurred: the estimate's error is up to {share:.1e} of the largest entry, from a noise "
        f"of {noise.relative:.0e} in the cost. A cost in higher precision, capable of complex "
        "numbers, or with larger derivatives here would resolve it."
    )
