"""Verdicts of every entry from the claim and the estimate, with the reasons."""

import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from checks._types import FloatArray
from checks.diagnosis.diagnosis import diagnose
from checks.estimation.estimates import Estimates
from checks.estimation.finite_differences import has_room
from checks.estimation.noise import changes_nothing
from checks.estimation.step_curve import measure_step_curve
from checks.judgement.blurred_claim import lost_digits, why_claim_is_blurred
from checks.judgement.claim import Claim
from checks.judgement.confirmation import mark_uncertain_kinks, mark_unconfirmed
from checks.judgement.elsewhere import WRONG_ELSEWHERE, mark_wrong_elsewhere
from checks.judgement.kinks import judge_kinks_together, mark_tied
from checks.judgement.repetition import (
    farthest_claim,
    mark_unrepeated,
    not_repeatable,
    two_calls_differ,
)
from checks.parameters.claims import entry_name
from checks.report.array_report import ArrayReport, joined, judge_by_rule
from checks.report.report import Report
from checks.report.verdict import LAST_PLACES, Rule, Verdict, entry_size, is_seen, judge
from checks.report.wording import (
    ONLY_ZEROS,
    STAIRS,
    UNSEEN,
    left_domain,
    no_room,
    nothing_compared,
    stochastic,
)

__all__ = ["judge_arrays", "judge_gradient", "judged_elsewhere", "off_kinks"]

# Derivatives that change the cost by less than this part of it, where their array moves by its own
# size, are as small as saturated units leave them.
SATURATED = 2.0**-20
NOT_NOISE = 8.0  # standard deviations of the cost's noise: the difference of two costs has √2
OUTSIDE_SLOPES = (
    "at a kink the claim does not lie between the slopes on both sides, or these slopes are "
    "uncertain: there is no derivative to compare with. Check at a point beside the kink."
)
NO_DIGITS = (
    "the cost has no digits here: noise changes it about as much as its parameters do. If it is "
    "rounding, check at another point, or the same formula in higher precision."
)
WITHOUT_DIGITS = (
    "a number inside the cost has lost all digits by cancellation, and the cost divides by it, or "
    "takes a function of it: the derivatives may be anything. Write the formula without the "
    "cancellation, as np.expm1(z) for exp(z) - 1, or check at another point."
)
MAY_BE_NOISE = (
    "moves of this array change the cost by about as much as its noise, so they may be what makes "
    "it. Check with less noise, or at another point."
)
TIED = (
    "the slopes along each entry alone do not add up to that along all of them, as where numbers "
    "are equal of which a median is taken, or that are sorted: there is no derivative to compare "
    "with. Check at a point without ties."
)
NO_CONVERGENCE = (
    "differences do not converge at any step: there may be a jump, an infinite slope or a fast "
    "oscillation at these entries. Check at a point beside it."
)


def judge_gradient(
    estimates: Estimates,
    claim: Claim,
    resolution: float,
    scale: str,
    started: float,
    findings: Iterable[str] = (),
    claim_error: Mapping[str, FloatArray] | None = None,
) -> Report:
    """Judge the claimed gradient of every array.

    Parameters
    ----------
    estimates
        Derivatives of the cost. Flagged entries and the diagnosis take a few more evaluations.
    claim
        It is called once more at the point. If its rounding matters, it is then called six times
        with parameters of a wider dtype, and again at the point.
    resolution, scale
        See `checks.report.verdict.Rule`.
    started : float
        `time.perf_counter` at the beginning of the check.
    findings
        Sentences for the report, from earlier steps of the check.
    claim_error
        By path, a rounding error of the claims that the caller knows of; default 0.
    """
    compared, flat = _compared_arrays(estimates, claim, resolution, scale, claim_error)
    arrays, differences = _judged_arrays(estimates, claim, compared, flat, claim_error)
    if not claim_error:
        findings = [*findings, *judged_elsewhere(estimates, claim, arrays, resolution, scale)]
    report = Report(
        arrays=arrays,
        rtol=estimates.rtol,
        resolution=resolution,
        method=estimates.method,
        noise=estimates.cost_noise.known.relative,
        evaluations=estimates.evaluations.count,
        seconds=time.perf_counter() - started,
        seed=estimates.seed,
        findings=(*findings, *_findings(estimates, claim, arrays, differences)),
        scale=scale,
    )
    if report:
        is_same = flat.verdict is Verdict.MATCH and all(arrays[p] is a for p, a in compared.items())
        missed = _array_with_missed_error(report, flat if is_same else None)
        if not missed:
            return report
        missed.verdicts[...] = Verdict.UNRESOLVED
        reason = "an error of the size called detectable was not detected."
        arrays[missed.path] = replace(missed, reason=reason)
    worst, evaluations = report.worst, estimates.evaluations
    curve = None
    if not evaluations.interrupted:  # whoever has pressed Ctrl-C waits for no more than needed
        curve = measure_step_curve(evaluations, worst.path, worst.index, estimates.noise.level)
    return replace(
        report,
        diagnosis=not_repeatable(arrays, differences)
        or diagnose(off_kinks(arrays), evaluations.values),
        step_curve=curve,
        evaluations=evaluations.count,
        seconds=time.perf_counter() - started,
    )


def judge_arrays(
    estimates: Estimates,
    claim: Claim,
    resolution: float,
    scale: str,
    claim_error: Mapping[str, FloatArray] | None = None,
) -> tuple[dict[str, ArrayReport], dict[str, FloatArray]]:
    """Judge the claimed gradient of every array.

    Returns
    -------
    tuple
        By path: what was found in each array, and by how much calls of the claim differ.
    """
    compared, flat = _compared_arrays(estimates, claim, resolution, scale, claim_error)
    return _judged_arrays(estimates, claim, compared, flat, claim_error)


def _compared_arrays(
    estimates: Estimates,
    claim: Claim,
    resolution: float,
    scale: str,
    claim_error: Mapping[str, FloatArray] | None,
) -> tuple[dict[str, ArrayReport], ArrayReport]:
    """Return what the rule alone says of every array, by path, and all of them as one."""
    found = [estimates.by_path[path] for path in claim.arrays]
    claimed, numeric, slope_jump = map(
        np.concatenate,
        (
            [g.ravel() for g in claim.arrays.values()],
            [estimate.value for estimate in found],
            [estimate.slope_jump for estimate in found],
        ),
    )
    largest = float(entry_size(claimed, numeric, slope_jump).max(initial=0))
    rule = Rule(estimates.rtol, resolution, scale, eps=claim.eps, largest=largest)
    arrays = {
        path: _compared(estimates, path, g, rule, claim_error or {})
        for path, g in claim.arrays.items()
    }
    return arrays, judge_by_rule(arrays.values())


def _judged_arrays(
    estimates: Estimates,
    claim: Claim,
    compared: Mapping[str, ArrayReport],
    flat: ArrayReport,
    claim_error: Mapping[str, FloatArray] | None,
) -> tuple[dict[str, ArrayReport], dict[str, FloatArray]]:
    """Judge arrays as `judge_arrays` does that were compared by the rule alone."""
    arrays, doubtful = dict(compared), list[ArrayReport]()
    if flat.verdict is not Verdict.MATCH:
        doubtful = [array for array in arrays.values() if array.verdict is not Verdict.MATCH]
    calls, rounding = [claim.arrays, claim.again()], dict[str, FloatArray]()
    if any(_is_flagged(array).any() or _may_be_zero(array) for array in doubtful):
        rounding = claim.rounding(estimates.seed)
        calls.append(claim.again())
    differences = dict[str, FloatArray]()
    for path in arrays:
        claimed, differences[path] = farthest_claim(estimates, path, [call[path] for call in calls])
        if rounding or claimed is not claim.arrays[path]:
            b = rounding.get(path, 0.0)
            rule = replace(arrays[path].rule, lost=_lost_by_saturation(estimates, arrays[path]))
            arrays[path] = _compared(estimates, path, claimed, rule, claim_error or {}, b)
            judge_by_rule([arrays[path]])
            doubtful.append(arrays[path])
        if doubtful or arrays[path].slope_jump.any():
            arrays[path] = _judge_array(estimates, claim, arrays[path])
        arrays[path] = mark_unrepeated(estimates, arrays[path], differences[path])
    return judge_kinks_together(estimates, arrays), differences


def judged_elsewhere(
    estimates: Estimates,
    claim: Claim,
    arrays: dict[str, ArrayReport],
    resolution: float,
    scale: str,
) -> list[str]:
    """Judge suspected entries at other points, in place; return a finding if one is wrong there."""

    def judge(found: Estimates, there: Claim) -> Mapping[str, ArrayReport]:
        return judge_arrays(found, there, resolution, scale)[0]

    is_wrong = mark_wrong_elsewhere(estimates, claim, arrays, judge)
    return [WRONG_ELSEWHERE] if is_wrong else []


def _lost_by_saturation(estimates: Estimates, array: ArrayReport) -> float:
    """Return what terms that cancel may lose of a claim whose rounding is not known.

    That is 0 unless all derivatives of the array are SATURATED beside the cost. The last places are
    those of float64: a claim in a narrower dtype has its rounding measured in float64. They are
    taken over the smallest entry whose claim is off: tanh at 17 loses digits where others are 7000.
    """
    cost = abs(float(estimates.evaluations.at_point))
    scale = estimates.evaluations.scales[array.path]
    if array.largest > SATURATED * cost / scale:
        return 0.0
    flagged = estimates.evaluations.box.sizes[array.path][_is_flagged(array)]
    return LAST_PLACES * float(np.finfo(np.float64).eps) * cost / float(flagged.min(initial=scale))


def _may_be_zero(array: ArrayReport) -> bool:
    """Whether an array is unresolved whose claims and derivatives may all be the rounding of 0.

    So are those by a bias before batch normalisation, or by what shifts all arguments of a softmax.
    Their claims are no larger than the rounding of the whole gradient and, once that is measured,
    than their own. Exact zeros have none: they are as likely a term that was forgotten.
    """
    if array.verdict is not Verdict.UNRESOLVED or array.seen or not array.claimed.any():
        return False
    size, b = np.abs(array.claimed), np.asarray(array.rounding)
    of_terms = LAST_PLACES * array.rule.eps * array.rule.largest
    return bool((size <= of_terms).all() and (b.ndim == 0 or (size <= 2 * b).all()))


def _is_zero(estimates: Estimates, array: ArrayReport) -> bool:
    """Whether claims are zero to rounding, by an array that changes the cost by no more than that.

    Other arrays have to change it, and its noise has to be small enough to be rounding.
    """
    noise, by_path, evaluations = estimates.noise, estimates.by_path, estimates.evaluations
    if noise.stochastic or noise.relative > LAST_PLACES * evaluations.eps:
        return False
    others = [e for path, e in by_path.items() if path != array.path and is_seen(e.value, e.error)]
    rng = np.random.default_rng([estimates.seed, list(by_path).index(array.path)])
    return bool(others) and changes_nothing(
        evaluations, [array.path], rng, within=NOT_NOISE * noise.relative
    )


def _is_flagged(array: ArrayReport) -> NDArray[np.bool_]:
    """Return which entries, on no kink, are off by more than their error and their tolerance.

    None of them is a MATCH. The rounding of the claim is measured only if there are such entries.
    """
    with np.errstate(invalid="ignore"):
        off = np.abs(array.claimed - array.numeric) - array.error > array.tolerance
    return off & np.isfinite(array.claimed) & array.differentiable


def off_kinks(arrays: Mapping[str, ArrayReport]) -> dict[str, ArrayReport]:
    """Leave out arrays that are wrong at a kink, where no estimate says by how much they are."""
    return {
        path: array
        for path, array in arrays.items()
        if not np.any(
            (array.verdicts == Verdict.MISMATCH)
            & ~array.differentiable
            & np.isfinite(array.claimed)
        )
    }


def _findings(
    estimates: Estimates,
    claim: Claim,
    arrays: Mapping[str, ArrayReport],
    differences: Mapping[str, FloatArray],
) -> Iterator[str]:
    """Yield sentences on what no verdict shows.

    These are zeros that were not compared, kinks, digits that the claim loses, and a cost or a
    claim of which two calls at one point differ a little.
    """
    if any(d.any() for d in differences.values()) and not not_repeatable(arrays, differences):
        yield f"{two_calls_differ(arrays, differences)}."
    if not claim.is_given:  # else its rounding was not measured
        yield from lost_digits(arrays)
    zeros = [path for path, a in arrays.items() if a.claimed.size and a.compared_nothing]
    for exact in (True, False):
        if some := [path for path in zeros if arrays[path].all_zero is exact]:
            yield nothing_compared(some, exact)
    for path, array in arrays.items():
        if array.slope_jump.any():
            kinks = np.flatnonzero(array.slope_jump)
            left, right = estimates.by_path[path].slopes[kinks[0]]
            index = tuple(int(i) for i in np.unravel_index(kinks[0], array.slope_jump.shape))
            more = f" (and {kinks.size - 1:,} more of {path})" if kinks.size > 1 else ""
            accepted = "a claim between them is accepted"
            if array.verdicts.flat[kinks[0]] == Verdict.MISMATCH:
                accepted = "not every claim between them is possible"
            yield (
                f"{entry_name(path, index)} lies on a kink: slope {left:.6g} on the left, "
                f"{right:.6g} on the right; {accepted}{more}."
            )
    noise = estimates.cost_noise.known
    if noise.stochastic and not any(array.reason for array in arrays.values()):
        yield f"two calls of the cost at one point differ (noise {noise.level:.0e})."


def _compared(
    estimates: Estimates,
    path: str,
    claimed: FloatArray,
    rule: Rule,
    claim_error: Mapping[str, FloatArray],
    rounding: FloatArray | float = 0.0,
) -> ArrayReport:
    """Return the claim of an array beside its estimate; the verdicts are not given yet."""
    estimate = estimates.by_path[path]
    # an array also of shape (), as errors are changed in place later
    error = np.asarray(estimates.shaped(path, estimate.error) + claim_error.get(path, 0.0))
    return ArrayReport(
        path=path,
        claimed=claimed,
        numeric=estimates.shaped(path, estimate.value),
        error=error,
        verdicts=np.empty(claimed.shape, np.int8),
        slope_jump=estimates.shaped(path, estimate.slope_jump),
        rule=rule,
        rounding=rounding,
        method=estimate.method,
        precision=estimate.precision,
        dtype=estimates.other_dtype,
    )


def _judge_array(estimates: Estimates, claim: Claim, array: ArrayReport) -> ArrayReport:
    """Estimate flagged entries of an array again, and say why entries are UNRESOLVED."""
    if array.verdict is Verdict.MATCH and not array.slope_jump.any():
        return array
    estimate = estimates.by_path[array.path]
    if array.all_zero:
        # a claim of 0 is right where the cost changes with other arrays but not with this one
        if estimate.unseen and not all(e.unseen for e in estimates.by_path.values()):
            array.verdicts[has_room(estimates.evaluations, array.path)] = Verdict.MATCH
    elif reason := mark_unconfirmed(estimates, array):
        return replace(array, reason=reason)
    elif array.verdict is Verdict.MISMATCH and mark_tied(estimates, array):
        return replace(array, reason=TIED)
    if mark_uncertain_kinks(estimates, array):
        return replace(array, reason=OUTSIDE_SLOPES)
    if _may_be_zero(array) and _is_zero(estimates, array):
        array.verdicts[has_room(estimates.evaluations, array.path)] = Verdict.MATCH
    if array.verdict is Verdict.UNRESOLVED:
        return replace(array, reason=_why_unresolved(array, estimates, claim))
    return array


def _array_with_missed_error(report: Report, flat: ArrayReport | None = None) -> ArrayReport | None:
    """Return an array in which an error of the size that the report calls detectable would pass.

    The entry with the largest detectable error is judged again, with its claim altered by that
    error. If it is no MATCH, as it should be, None is returned. `flat` are the arrays of the report
    as one, if the caller has that.
    """
    rtol, arrays = report.rtol, [a for a in report.arrays.values() if a.claimed.size]
    if not arrays:
        return None
    flat = flat or joined(arrays)
    # a report does not ask how small an error of zeros shows, as nothing tells their scale
    asked = flat.differentiable & (flat.largest_beside > 0)
    detectable = np.where(asked, flat.detectable_errors, -1)
    worst = int(detectable.argmax())
    if not asked.flat[worst]:
        return None
    of_all: Any = (flat.claimed, flat.numeric, flat.error, flat.scales)
    claimed, numeric, error, scale = (values.flat[worst] for values in of_all)
    b, s = (np.broadcast_to(values, asked.shape) for values in (flat.rounding, flat.largest_beside))
    claimed = claimed.astype(np.result_type(claimed, numeric, error))
    # The tolerance rtol·max(|g|, |n|) + min(2b, rtol·s) grows with the altered claim g: its first
    # term by at most rtol times the change, and its second by as much if g becomes the largest, s.
    growth = 2 * rtol if b.flat[worst] else rtol
    if growth >= 1:
        return None
    altered = detectable.flat[worst] * scale * (1 + 2 * rtol) / (1 - growth)
    claimed += np.copysign(altered, claimed - numeric)
    ends = np.cumsum([a.claimed.size for a in arrays])
    array = arrays[int(np.searchsorted(ends, worst, side="right"))]
    largest = float(max(s.flat[worst], abs(claimed)))
    verdict = judge(claimed, numeric, error, array.rule, b.flat[worst], largest=largest)
    return array if int(verdict) == Verdict.MATCH else None


def _why_unresolved(array: ArrayReport, estimates: Estimates, claim: Claim) -> str:
    """Say why an array has unresolved entries, and what would resolve them."""
    unresolved = array.verdicts == Verdict.UNRESOLVED
    noise, estimate = estimates.noise, estimates.by_path[array.path]
    fixed = np.flatnonzero(unresolved & ~has_room(estimates.evaluations, array.path))
    if fixed.size:
        index = tuple(int(i) for i in np.unravel_index(fixed[0], unresolved.shape))
        return no_room(entry_name(array.path, index), fixed.size - 1)
    if estimate.unseen:
        return UNSEEN
    if noise.stochastic:
        return stochastic(noise.level)
    if estimate.on_stairs.size and estimate.on_stairs[unresolved.ravel()].any():
        return STAIRS
    if np.isnan(array.numeric[unresolved]).any():
        return left_domain(estimates.evaluations.outside.get(array.path, ""))
    if np.isinf(noise.level):
        return NO_DIGITS
    if estimate.without_digits:
        return WITHOUT_DIGITS
    if estimate.may_be_noise:
        return MAY_BE_NOISE
    if np.isinf(array.error[unresolved]).any():
        return NO_CONVERGENCE
    claimed_zero = not array.claimed.any()
    if array.all_zero or (claimed_zero and bool(np.all(np.abs(array.numeric) <= array.error))):
        return ONLY_ZEROS
    blurred = unresolved & (array.error - array.slope_jump > array.rule.resolution * array.largest)
    if not blurred.any():
        return why_claim_is_blurred(array, unresolved, claim)
    share = float(array.error[unresolved].max()) / array.largest
    return (
        f"blurred: the estimate's error is up to {share:.1e} of the largest entry, with a noise "
        f"of {noise.relative:.0e} in the cost. A cost in higher precision, capable of complex "
        "numbers, or with larger derivatives here would resolve it."
    )
