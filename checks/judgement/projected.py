"""Check a gradient that is too large for every entry along random directions."""

import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from typing import Any

import numpy as np

from checks.estimation.complex_step import PROOF, incapable_error
from checks.estimation.directional import (
    SPREAD_FACTOR,
    SUM_ROUNDING,
    DirectionalDerivative,
    DirectionalEstimator,
)
from checks.estimation.witness import VISIBLE
from checks.evaluation.directional import DirectionalEvaluations
from checks.judgement.interruption import CheckInterrupted
from checks.judgement.localisation import find_nonfinite_blocks, find_wrong_blocks
from checks.parameters.random_directions import MIN_VISIBLE_SHARE
from checks.report.blocks import Block
from checks.report.projected_report import ProjectedArray, ProjectedReport
from checks.report.session import record
from checks.report.verdict import Verdict
from checks.report.wording import (
    DISAGREE,
    ONLY_ZEROS,
    STAIRS,
    UNSEEN,
    left_domain,
    nothing_compared,
    stochastic,
)

__all__ = ["check_projected"]

# If each of P claimed entries is off by at most rtol · s, then g·v along a random direction is off
# by a sum with a standard deviation of at most σ = rtol · s · √P, and a fourth moment of at most
# 3⁴ σ⁴ (hypercontractivity). Its probability to exceed 32 σ is at most 3⁴/32⁴ < 10⁻⁴.
DEVIATIONS = 32.0
UNKNOWN = DirectionalDerivative(np.nan, np.nan, np.inf, "central")
KINK = "the direction meets a kink: check at a point beside it, or compare every entry."


class ProjectedCheck:
    """A check of a claimed gradient along random directions.

    Parameters
    ----------
    evaluations : DirectionalEvaluations
        The cost and the claim.
    method, rtol, resolution
        As in `check_gradient`.

    Attributes
    ----------
    arrays : dict of str to ProjectedArray
        By path, the arrays judged so far.
    """

    def __init__(
        self,
        evaluations: DirectionalEvaluations,
        method: str,
        rtol: float | None,
        resolution: float,
    ) -> None:
        self.evaluations, self.method, self.resolution = evaluations, method, resolution
        self.estimator = DirectionalEstimator(evaluations, method, rtol)
        # An array has to match along this direction. If a match along any of several were enough,
        # errors of several entries would cancel, and pass, more often.
        self.moves = evaluations.directions(
            {path: array.scale for path, array in evaluations.arrays.items()}
        )
        self.arrays: dict[str, ProjectedArray] = {}

    def run(self) -> None:
        """Judge every array: together those that one complex step of all matches, then the rest."""
        for path in self.evaluations.arrays:
            if not np.isfinite(self.evaluations.largest[path]):
                blocks = find_nonfinite_blocks(self.estimator, path)
                self.arrays[path] = self._array(path, UNKNOWN, Verdict.MISMATCH, blocks=blocks)
        if self.method != "central":
            self._match_together()
        for path in self.evaluations.arrays:
            if path not in self.arrays:
                self.arrays[path] = self._judged(path)

    def give_up(self) -> str:
        """Make arrays that were not judged UNRESOLVED; return a finding on the interruption."""
        count = f"{len(self.arrays):,} of {len(self.evaluations.arrays):,} arrays were compared"
        reason = "interrupted: not compared."
        for path in self.evaluations.arrays:
            if path not in self.arrays:
                self.arrays[path] = self._array(path, UNKNOWN, Verdict.UNRESOLVED, reason)
        return f"Interrupted: {count}."

    def _match_together(self) -> None:
        """Match arrays by one complex step that moves them all, if it agrees with the claim.

        The error is taken to be 8 times the discrepancy (`SPREAD_FACTOR`) and rounding: if claim
        or estimate were off by much more than they differ, they would agree only by chance.
        """
        evaluations, estimator = self.evaluations, self.estimator
        paths = [
            path
            for path in evaluations.arrays
            if path not in self.arrays and evaluations.largest[path] > 0
        ]
        scales = {path: evaluations.arrays[path].scale for path in paths}
        moves = {path: self.moves[path] for path in paths}
        slopes = estimator.slopes([moves]) if paths else None
        if slopes is None:
            return
        claimed, numeric = evaluations.claimed_slope(moves), float(slopes[0])
        discrepancy = abs(claimed - numeric)
        norm = float(np.sqrt(sum((scales[p] * evaluations.norms[p]) ** 2 for p in paths)))
        error = SPREAD_FACTOR * discrepancy + SUM_ROUNDING * estimator.eps * norm
        derivative = DirectionalDerivative(claimed, numeric, error, "complex-step")
        matches = {}
        for path in paths:
            size = scales[path] * evaluations.largest[path]
            if (
                discrepancy <= MIN_VISIBLE_SHARE * estimator.rtol * size
                and error <= MIN_VISIBLE_SHARE * self.resolution * size
            ):
                matches[path] = self._array(path, derivative, Verdict.MATCH)
        if not matches:
            return
        # If the cost drops the imaginary part of an array, the complex step is off by about the
        # norm of that array's gradient. Differences that agree more closely exclude it.
        allowed = {path: PROOF * scales[path] * evaluations.norms[path] for path in matches}
        agreement = 0.0
        if not evaluations.supplies_slopes:
            agreement = estimator.agreement(moves, numeric, min(allowed.values()))
        self.arrays |= {path: a for path, a in matches.items() if agreement <= allowed[path]}

    def _judged(self, path: str) -> ProjectedArray:
        """Judge one array."""
        evaluations, estimator = self.evaluations, self.estimator
        array, largest = evaluations.arrays[path], evaluations.largest[path]
        supplies_slopes = evaluations.supplies_slopes and self.method != "central"
        if not supplies_slopes and estimator.noise.is_constant:
            unseen = DirectionalDerivative(0.0, 0.0, np.inf, "central")
            return self._array(path, unseen, Verdict.UNRESOLVED, UNSEEN)
        moves = {path: self.moves[path]}
        derivative = estimator.complex_step(path, moves) if self.method != "central" else None
        if derivative is None and self.method == "complex-step":
            raise incapable_error([path])
        derivative = derivative or estimator.central(path, moves)
        if not derivative.numeric and estimator.is_independent(path):
            if largest:
                unseen = DirectionalDerivative(derivative.claimed, 0.0, np.inf, "central")
                return self._array(path, unseen, Verdict.UNRESOLVED, UNSEEN)
            zero = DirectionalDerivative(0.0, 0.0, 0.0, derivative.method)
            return self._array(path, zero, Verdict.MATCH)
        size = array.scale * max(largest, self._lower_bound_of_largest(path, derivative))
        tolerance = MIN_VISIBLE_SHARE * estimator.rtol * size if largest else 0.0
        if derivative.discrepancy - derivative.error > tolerance:
            return self._judged_flagged(path, derivative, size, tolerance)
        if largest and derivative.error <= MIN_VISIBLE_SHARE * self.resolution * size:
            return self._array(path, derivative, Verdict.MATCH)
        reason = self._why_unresolved(derivative, size)
        return self._array(path, derivative, Verdict.UNRESOLVED, reason)

    def _judged_flagged(
        self, path: str, derivative: DirectionalDerivative, size: float, tolerance: float
    ) -> ProjectedArray:
        """Judge an array whose claim lies outside the interval: confirm it, and search it."""
        if derivative.kink:
            return self._array(path, derivative, Verdict.UNRESOLVED, KINK)
        self._note_flagged(path, derivative, "one estimate; a second was not made")
        if not self._is_confirmed(path, derivative, tolerance):
            return self._array(path, derivative, Verdict.UNRESOLVED, DISAGREE)
        # errors of entries that are each within their tolerance add up to less than this
        entries = self.evaluations.arrays[path].whole.size
        limit = DEVIATIONS * self.estimator.rtol * size * entries**0.5
        certain = derivative.discrepancy - derivative.error > limit
        self._note_flagged(path, derivative, "two estimates; where was not found", certain)
        blocks = find_wrong_blocks(self.estimator, path, derivative, tolerance)
        if blocks:
            return self._array(path, derivative, Verdict.MISMATCH, blocks=blocks)
        reason = (
            "no entry alone is wrong by more than its tolerance, but all together are, along a "
            "random direction."
        )
        return self._array(path, derivative, Verdict.UNRESOLVED, reason)

    def _is_confirmed(self, path: str, derivative: DirectionalDerivative, tolerance: float) -> bool:
        moves = {path: self.moves[path]}
        if self.evaluations.supplies_slopes and self.method != "central":
            # slopes that the cost supplies are confirmed by a few differences that agree closely
            allowed = min(PROOF * abs(derivative.numeric), VISIBLE * derivative.discrepancy)
            if self.estimator.agreement(moves, derivative.numeric, allowed) <= allowed:
                return True
        return self.estimator.is_confirmed(moves, derivative, tolerance)

    def _note_flagged(
        self, path: str, derivative: DirectionalDerivative, by: str, certain: bool = False
    ) -> None:
        """Store what is known of a flagged array by now, in case of an interruption."""
        reason = (
            f"interrupted: wrong along a random direction (claimed {derivative.claimed:.9g}, "
            f"numeric {derivative.numeric:.9g} ± {derivative.error:.0e}), by {by}."
        )
        verdict = Verdict.MISMATCH if certain else Verdict.UNRESOLVED
        self.arrays[path] = self._array(path, derivative, verdict, reason)

    def _lower_bound_of_largest(self, path: str, derivative: DirectionalDerivative) -> float:
        """Return a lower bound of the largest derivative of an array.

        An entry of v is at most the scale, so |g·v| ≤ scale × P × the largest of P derivatives.
        """
        array = self.evaluations.arrays[path]
        return max(0.0, abs(derivative.numeric) - derivative.error) / (
            array.scale * array.whole.size
        )

    def _why_unresolved(self, derivative: DirectionalDerivative, size: float) -> str:
        noise = self.estimator.noise
        if noise.stochastic:
            return stochastic(noise.level)
        if np.isnan(derivative.numeric):
            return left_domain(self.estimator.outside)
        if not np.isfinite(derivative.error):
            return "differences do not converge along the direction: check at a point beside it."
        if derivative.kink:
            return KINK
        if derivative.on_stairs:
            return STAIRS
        if not derivative.claimed and abs(derivative.numeric) <= derivative.error:
            return ONLY_ZEROS
        visible = 2 * derivative.error / (MIN_VISIBLE_SHARE * size)
        return (
            f"blurred: an error in one entry is seen only above {visible:.1e} of the largest "
            f"entry, with a noise of {noise.relative:.0e} in the cost. "
            "Compare every entry, or use a cost in higher precision or capable of complex numbers."
        )

    def _array(
        self,
        path: str,
        derivative: DirectionalDerivative,
        verdict: Verdict,
        reason: str = "",
        blocks: Sequence[Block] = (),
    ) -> ProjectedArray:
        array = self.evaluations.arrays[path]
        return ProjectedArray(
            path=path,
            shape=array.shape,
            claimed=derivative.claimed / array.scale,
            numeric=derivative.numeric / array.scale,
            error=derivative.error / array.scale,
            largest=max(
                self.evaluations.largest[path], self._lower_bound_of_largest(path, derivative)
            ),
            verdict=verdict,
            blocks=tuple(blocks),
            reason=reason,
            method=derivative.method,
        )


def check_projected(
    cost: Callable[[Any], Any],
    gradient: Any,
    params: Any,
    rtol: float | None,
    resolution: float,
    method: str,
    seed: int,
) -> ProjectedReport:
    """Check a gradient along random directions; arguments are those of `check_gradient`.

    Raises
    ------
    CheckInterrupted
        Ctrl-C after the first verdict. A second Ctrl-C ends the check without a report; the
        parameters are restored all the same.
    """
    started = time.perf_counter()
    evaluations = DirectionalEvaluations(cost, params, gradient, seed)
    check = ProjectedCheck(evaluations, method, rtol, resolution)
    interrupted = False
    # a cost that supplies its slopes may not have been called at all
    supplied = evaluations.supplies_slopes
    with (
        nullcontext() if supplied else evaluations.handing_back(cost, gradient),
        evaluations.restoring_parameters(),
    ):
        try:
            check.run()
        except KeyboardInterrupt:
            if not check.arrays:
                raise
            interrupted = True
    methods = {array.method for array in check.arrays.values()}  # before give_up adds arrays
    findings = [*evaluations.findings]
    if interrupted:
        findings.append(check.give_up())
    if zeros := [path for path, array in check.arrays.items() if array.compared_nothing]:
        findings.append(nothing_compared(zeros))
    report = ProjectedReport(
        arrays={path: check.arrays[path] for path in evaluations.arrays},
        rtol=check.estimator.rtol,
        resolution=resolution,
        method=methods.pop() if len(methods) == 1 else "mixed",
        noise=check.estimator.relative_noise,
        evaluations=evaluations.count,
        seconds=time.perf_counter() - started,
        seed=seed,
        findings=tuple(findings),
        scale="array",
    )
    if interrupted:
        raise CheckInterrupted(record(report))
    return report
