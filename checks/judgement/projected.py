"""Whether a gradient too large for every entry is right: along random directions."""

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from checks.estimation.complex_step import PROOF, incapable
from checks.estimation.directional import (
    ROUNDING,
    WIDE,
    DirectionalDerivative,
    DirectionalEstimator,
)
from checks.evaluation.directional import DirectionalEvaluations
from checks.judgement.interruption import CheckInterrupted
from checks.judgement.localisation import not_finite, wrong
from checks.parameters.random_directions import SURE
from checks.report.blocks import Block
from checks.report.projected_report import ProjectedArray, ProjectedReport
from checks.report.session import record
from checks.report.verdict import Verdict
from checks.report.wording import (
    DISAGREE,
    ONLY_ZEROS,
    UNSEEN,
    left_domain,
    nothing_compared,
    stochastic,
)

__all__ = ["check_projected"]

# Standard deviations that a sum along a random direction exceeds once in 10⁴ at most: its fourth
# moment is at most 3⁴ σ⁴ (hypercontractivity), and σ ≤ rtol s √P if every entry is within rtol s.
CHANCE = 32.0
NOTHING = DirectionalDerivative(np.nan, np.nan, np.inf, "central")
KINK = "the direction meets a kink: check at a point beside it, or compare every entry."


class Projection:
    """A check of a claimed gradient along random directions.

    Parameters
    ----------
    lines : Lines
        The cost and the claim.
    method, rtol, resolution
        As in `check_gradient`.
    """

    def __init__(
        self, lines: DirectionalEvaluations, method: str, rtol: float | None, resolution: float
    ) -> None:
        self.lines, self.method, self.resolution = lines, method, resolution
        self.at = DirectionalEstimator(lines, method, rtol)
        # one for all that is asked of whole arrays: a second would be a second chance to cancel
        self.moves = lines.directions({path: leaf.scale for path, leaf in lines.leaves.items()})
        self.arrays: dict[str, ProjectedArray] = {}

    def run(self) -> None:
        """Judge every array: all at once where that is enough, else one by one."""
        for path in self.lines.leaves:
            if not np.isfinite(self.lines.largest[path]):
                blocks = not_finite(self.at, path)
                self.arrays[path] = self._array(path, NOTHING, Verdict.MISMATCH, blocks=blocks)
        if self.method != "central":
            self._all_at_once()
        for path in self.lines.leaves:
            if path not in self.arrays:
                self.arrays[path] = self._one(path)

    def give_up(self) -> str:
        """Leave UNRESOLVED what an interruption left unjudged, and say how much was compared."""
        said = f"{len(self.arrays):,} of {len(self.lines.leaves):,} arrays were compared"
        reason = "interrupted: not compared."
        for path in self.lines.leaves:
            if path not in self.arrays:
                self.arrays[path] = self._array(path, NOTHING, Verdict.UNRESOLVED, reason)
        return f"Interrupted: {said}."

    # All arrays at once.

    def _all_at_once(self) -> None:
        """Judge arrays by one complex step that moves them all, where it agrees with the claim.

        How closely they agree shows how accurate both are: an estimate blurred by much more would
        do so by luck only.
        """
        lines = self.lines
        paths = [p for p in lines.leaves if p not in self.arrays and lines.largest[p] > 0]
        scales = {path: lines.leaves[path].scale for path in paths}
        moves = {path: self.moves[path] for path in paths}
        numeric = self.at.slopes([moves]) if paths else None
        if numeric is None:
            return
        along = DirectionalDerivative(
            lines.claimed(moves), float(numeric[0]), np.inf, "complex-step"
        )
        off = along.discrepancy
        norm = float(np.sqrt(sum((scales[p] * lines.norms[p]) ** 2 for p in paths)))
        error = WIDE * off + ROUNDING * self.at.eps * norm
        passed = {}
        for path in paths:
            size = scales[path] * lines.largest[path]
            if off <= SURE * self.at.rtol * size and error <= SURE * self.resolution * size:
                passed[path] = self._array(path, replace(along, error=error), Verdict.MATCH)
        if not passed:
            return
        # an array whose imaginary part is dropped would show by about its norm
        sizes = {path: PROOF * scales[path] * lines.norms[path] for path in passed}
        enough = min(sizes.values())
        shown = 0.0 if lines.own_slopes else self.at.proof(moves, along.numeric, enough)
        self.arrays |= {path: array for path, array in passed.items() if shown <= sizes[path]}

    # One by one.

    def _one(self, path: str) -> ProjectedArray:
        lines = self.lines
        leaf, largest = lines.leaves[path], lines.largest[path]
        own = lines.own_slopes and self.method != "central"
        if not own and self.at.noise.unseen:
            nothing = DirectionalDerivative(0.0, 0.0, np.inf, "central")
            return self._array(path, nothing, Verdict.UNRESOLVED, UNSEEN)
        moves = {path: self.moves[path]}
        along = self.at.complex_step(path, moves) if self.method != "central" else None
        if along is None and self.method == "complex-step":
            raise incapable([path])
        along = along or self.at.central(path, moves)
        if largest == 0 and self.at.is_independent(path):
            return self._array(
                path, DirectionalDerivative(0.0, 0.0, 0.0, along.method), Verdict.MATCH
            )
        size = leaf.scale * max(largest, self._numeric_size(path, along))
        owed = SURE * self.at.rtol * size if largest else 0.0
        if along.discrepancy - along.error > owed:
            if along.kink:
                return self._array(path, along, Verdict.UNRESOLVED, KINK)
            self._accuse(path, along, "one estimate; a second was not heard")
            # of a cost's own slopes, few differences will do if they agree
            enough = PROOF * abs(along.numeric)
            agreed = own and self.at.proof(moves, along.numeric, enough) <= enough
            if not agreed and not self.at.is_witnessed(path, moves, along, owed):
                return self._array(path, along, Verdict.UNRESOLVED, DISAGREE)
            # entries that are all off by what they may be come to less than this
            spread = CHANCE * self.at.rtol * size * leaf.whole.size**0.5
            proven = along.discrepancy - along.error > spread
            self._accuse(path, along, "two estimates; where was not found", proven)
            blocks = wrong(self.at, path, along, owed)
            if blocks:
                return self._array(path, along, Verdict.MISMATCH, blocks=blocks)
            reason = (
                "no entry is off by more than it owes, but all together are, along a direction."
            )
            return self._array(path, along, Verdict.UNRESOLVED, reason)
        if largest and along.error <= SURE * self.resolution * size:
            return self._array(path, along, Verdict.MATCH)
        return self._array(path, along, Verdict.UNRESOLVED, self._why(along, size))

    def _accuse(
        self, path: str, along: DirectionalDerivative, witnesses: str, proven: bool = False
    ) -> None:
        """Note what is known of an array, should an interruption come before its verdict."""
        reason = (
            f"interrupted: off along a random direction (claimed {along.claimed:.9g}, numeric "
            f"{along.numeric:.9g} ± {along.error:.0e}), by {witnesses}."
        )
        verdict = Verdict.MISMATCH if proven else Verdict.UNRESOLVED
        self.arrays[path] = self._array(path, along, verdict, reason)

    def _numeric_size(self, path: str, along: DirectionalDerivative) -> float:
        """Return what the largest derivative is at least."""
        leaf = self.lines.leaves[path]
        return max(0.0, abs(along.numeric) - along.error) / (leaf.scale * leaf.whole.size)

    def _why(self, along: DirectionalDerivative, size: float) -> str:
        if self.at.noise.stochastic:
            return stochastic(self.at.noise.level)
        if np.isnan(along.numeric):
            return left_domain(self.at.outside)
        if not np.isfinite(along.error):
            return "differences do not converge along the direction: check at a point beside it."
        if along.kink:
            return KINK
        if not along.claimed and abs(along.numeric) <= along.error:
            return ONLY_ZEROS
        return (
            f"blurred: one entry must be off by {2 * along.error / (SURE * size):.1e} of the "
            f"largest to be seen, from a noise of {self.at.noise.relative:.0e} in the cost. "
            "Compare every entry, or use a cost in higher precision or capable of complex numbers."
        )

    def _array(
        self,
        path: str,
        along: DirectionalDerivative,
        verdict: Verdict,
        reason: str = "",
        blocks: Sequence[Block] = (),
    ) -> ProjectedArray:
        leaf = self.lines.leaves[path]
        return ProjectedArray(
            path=path,
            shape=leaf.shape,
            claimed=along.claimed / leaf.scale,
            numeric=along.numeric / leaf.scale,
            error=along.error / leaf.scale,
            largest=max(self.lines.largest[path], self._numeric_size(path, along)),
            verdict=verdict,
            blocks=tuple(blocks),
            reason=reason,
            method=along.method,
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
        After the first verdict. A second interruption leaves at once, with the parameters restored.
    """
    started = time.perf_counter()
    lines = DirectionalEvaluations(cost, params, gradient, seed)
    projection = Projection(lines, method, rtol, resolution)
    interrupted = False
    with lines.restoring_parameters():
        try:
            projection.run()
        except KeyboardInterrupt:
            if not projection.arrays:
                raise
            interrupted = True
    methods = {array.method for array in projection.arrays.values()}
    findings = [*lines.findings]
    if interrupted:
        findings.append(projection.give_up())
    if zeros := [path for path, array in projection.arrays.items() if array.compared_nothing]:
        findings.append(nothing_compared(zeros))
    report = ProjectedReport(
        arrays={path: projection.arrays[path] for path in lines.leaves},
        rtol=projection.at.rtol,
        resolution=resolution,
        method=methods.pop() if len(methods) == 1 else "mixed",
        noise=projection.at.level,
        evaluations=lines.count,
        seconds=time.perf_counter() - started,
        seed=seed,
        findings=tuple(findings),
    )
    if interrupted:
        raise CheckInterrupted(record(report))
    return report
