"""From estimates and claims to verdicts: two witnesses, reasons, and a control."""

import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from operator import itemgetter

import numpy as np

from checks._types import FloatArray
from checks.diagnosis.diagnosis import diagnose
from checks.estimation.estimates import Estimates
from checks.estimation.finite_differences import differences, draw_direction
from checks.estimation.step_curve import measure_step_curve
from checks.parameters.claims import entry_name
from checks.report.array_report import ArrayReport
from checks.report.report import Report
from checks.report.verdict import Verdict, judge
from checks.report.wording import (
    DISAGREE,
    ONLY_ZEROS,
    UNSEEN,
    left_domain,
    nothing_compared,
    stochastic,
)

__all__ = ["conclude"]

# So many accusations of one array are each heard a second time; if all stand, so do the others.
WITNESSED = 16
# By how much a second estimate begins with smaller steps: away from what may have misled the first.
NEARER = 1 / 16


def conclude(
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
        Of the cost; a few evaluations more are spent where a claim is accused.
    claims
        By path, in the shapes of the parameters.
    resolution
        See `checks.report.verdict.judge`.
    started : float
        `time.perf_counter` at the beginning of the check.
    findings
        What was noticed before.
    claim_error
        What the claims themselves are uncertain by, by path.
    """
    blur = claim_error or {}
    arrays = {
        path: _judge_array(estimates, path, claim, resolution, blur.get(path, 0.0))
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
        escaped = _escaped(report)
        if not escaped:
            return report
        escaped.verdicts[...] = Verdict.UNRESOLVED
        reason = "an error of the size said to be detectable went unseen."
        arrays[escaped.path] = replace(escaped, reason=reason)
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
    """Say what a verdict alone would hide: zeros that were not compared, kinks, a noisy cost."""
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
    # what no move changes says nothing of any claim; complex moves may show where real ones do not
    seen = estimate.method == "complex-step" and numeric.any()
    unseen = not seen and estimates.noise.unseen
    if unseen:
        error = np.full(error.shape, np.inf)
    verdicts = np.empty(claimed.shape, np.int8)
    array = ArrayReport(path, claimed, numeric, error, verdicts, slope_jump, method=estimate.method)
    verdicts[...] = judge(claimed, numeric, error, rtol, resolution, slope_jump, array.largest)
    if not claimed.size:
        return array
    if array.all_zero:
        if not unseen and _is_independent(estimates, path):
            verdicts[...] = Verdict.MATCH
    elif not unseen and _doubtful(estimates, array, rtol):
        return replace(array, reason=DISAGREE)
    if _unsure_kinks(estimates, array, rtol):
        return replace(
            array,
            reason="at a kink the claim lies outside the slopes on both sides, or these are not "
            "certain: there is no derivative to accuse it by. Check at a point beside it.",
        )
    if array.verdict is Verdict.UNRESOLVED:
        return replace(array, reason=_why_unresolved(array, estimates))
    return array


def _is_independent(estimates: Estimates, path: str) -> bool:
    """Whether the cost stays the same, bit for bit, when a whole array moves, a little and far."""
    evaluations = estimates.evaluations
    values, rng = evaluations.values[path], np.random.default_rng(estimates.seed)
    moves = (
        size * evaluations.scales[path] * draw_direction(values.shape, rng)
        for size in (2.0**-8, 2.0**-2, 2.0**4)
    )
    return all(evaluations.along({path: move}) == evaluations.at_point for move in moves)


def _doubtful(estimates: Estimates, array: ArrayReport, rtol: float) -> bool:
    """Hear a second estimate of accused entries; where it does not stand, they are UNRESOLVED.

    It must agree with the first, within a hundredth of what the claim is off by if not within the
    errors, and accuse as well. Beside a complex step it need not be as sharp: there it is enough
    that differences, from steps of their own, do not contradict.
    """
    if array.verdict is not Verdict.MISMATCH:
        return False
    estimate, path = estimates.by_path[array.path], array.path
    claimed, verdicts = array.claimed.reshape(-1), array.verdicts.reshape(-1)
    error = array.error.reshape(-1)
    smooth = array.differentiable.reshape(-1)
    accused = np.flatnonzero((verdicts == Verdict.MISMATCH) & np.isfinite(claimed) & smooth)
    if not accused.size:
        return False
    # the worst first: if they all stand, the rest stands on the same estimate, proven on them
    accused = accused[np.argsort(-np.abs(claimed - estimate.value)[accused])]
    rng = np.random.default_rng([estimates.seed, len(estimates.by_path)])
    doubtful = False
    for some in filter(np.size, (accused[:WITNESSED], accused[WITNESSED:])):
        second = differences(
            estimates.evaluations, path, some, estimates.noise, rng, rtol / 100, start=NEARER
        )
        first = estimate.value[some]
        apart = np.abs(second.value - first) - second.error - estimate.error[some]
        stands = apart <= np.abs(claimed[some] - first) / 100
        off = np.abs(second.value - claimed[some]) - second.error
        # of what differences are too blurred to see, complex steps are no better proven
        proven = np.abs(claimed[some] - first) > estimate.proof * array.largest
        trusted = proven & (estimate.method == "complex-step")
        stands &= trusted | (off > rtol * array.largest)
        verdicts[some[~stands]] = Verdict.UNRESOLVED
        known = np.nan_to_num(np.abs(second.value - first) + second.error, nan=np.inf)
        error[some[~stands]] = np.maximum(error[some], known)[~stands]  # all that both know
        doubtful = doubtful or not stands.all()
        if not doubtful:
            break
    return doubtful


def _unsure_kinks(estimates: Estimates, array: ArrayReport, rtol: float) -> bool:
    """Leave entries at a kink UNRESOLVED, but for claims between slopes that are found twice.

    The gradient that a program returns at a kink is a convention, often neither slope of the cost
    as a whole: it is no ground for an accusation.
    """
    if not array.slope_jump.any():
        return False
    estimate, slope_jump = estimates.by_path[array.path], array.slope_jump.reshape(-1)
    finite = np.isfinite(array.claimed).reshape(-1)  # what is not is wrong at a kink too
    verdicts, kinks = array.verdicts.reshape(-1), np.flatnonzero((slope_jump != 0) & finite)
    if not kinks.size:
        return False
    rng = np.random.default_rng([estimates.seed, len(estimates.by_path), 1])
    second = differences(
        estimates.evaluations,
        array.path,
        kinks,
        estimates.noise,
        rng,
        rtol / 100,
        start=NEARER,
    )
    slopes, error = estimate.slopes[kinks], estimate.error[kinks] - slope_jump[kinks] + second.error
    again = np.all(np.abs(second.slopes - slopes) <= error[:, None], axis=1)
    unsure = (verdicts[kinks] != Verdict.MATCH) | ~again
    verdicts[kinks[unsure]] = Verdict.UNRESOLVED
    return bool(unsure.any())


def _escaped(report: Report) -> ArrayReport | None:
    """Alter one entry of the claim by what is said to be detectable; return where it goes unseen.

    The array whose errors are the least detectable, of those of which anything is said.
    """
    rtol = report.rtol
    known = [
        (array.detectable(rtol), array, array.least_certain)
        for array in report.arrays.values()
        if array.least_certain is not None and array.largest
    ]
    if not known:
        return None
    detectable, array, entry = max(known, key=itemgetter(0))
    claimed, numeric, error = (
        part.reshape(-1)[[entry]] for part in (array.claimed, array.numeric, array.error)
    )
    claimed = claimed.astype(np.result_type(claimed, numeric, error))
    # if it becomes the largest entry itself, what it owes grows with it: by rtol of the change
    change = detectable * array.largest * (1 + 2 * rtol) / (1 - rtol)
    claimed += np.copysign(change, claimed - numeric)
    largest = max(array.largest, float(np.abs(claimed[0])))
    altered = judge(claimed, numeric, error, rtol, report.resolution, largest=largest)
    return None if int(altered[0]) == Verdict.MISMATCH else array


def _why_unresolved(array: ArrayReport, estimates: Estimates) -> str:
    """Say why an array has unresolved entries, and what would resolve them."""
    unresolved = array.verdicts == Verdict.UNRESOLVED
    noise = estimates.noise
    if noise.unseen and np.isinf(array.error).all():
        return UNSEEN
    if noise.stochastic:
        return stochastic(noise.level)
    if np.isnan(array.numeric[unresolved]).any():
        return left_domain(estimates.evaluations.outside)
    if np.isinf(array.error[unresolved]).any():
        return (
            "differences do not converge at any step: a jump, an infinite slope or a fast "
            "oscillation at these entries. Check at a point beside it."
        )
    nothing = ~array.claimed.any() and bool(np.all(np.abs(array.numeric) <= array.error))
    if array.all_zero or nothing:
        return ONLY_ZEROS
    share = float(array.error[unresolved].max()) / array.largest
    return (
        f"blurred: the estimate's error is up to {share:.1e} of the largest entry, from a noise "
        f"of {noise.relative:.0e} in the cost. A cost in higher precision, capable of complex "
        "numbers, or with larger derivatives here would resolve it."
    )
