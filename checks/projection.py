"""Whether a gradient too large for every entry is right: along random directions."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any

import numpy as np

from checks.differences import Estimate, differences
from checks.directions import Region
from checks.lines import Lines, Moves
from checks.localisation import Block, Entry, locate
from checks.noise import Noise, measure_noise
from checks.projected_report import ProjectedArray, ProjectedReport
from checks.stencils import central
from checks.verdict import Verdict

__all__ = ["check_projected"]

# Differences this accurate, and agreeing, prove that the cost carries imaginary parts through.
PROOF = 1e-3
# Of how much several estimates of one derivative differ, or of how much a claim and an estimate
# differ that agree: what either may be off by, as a factor on the largest of a few.
WIDE = 8.0
ROUNDING = 16.0  # of eps ‖g‖₂: below that no sum over a whole array is known
FEW_PLACES = 64.0  # of last places: no more noise than that is expected of a cost in its own dtype
STEP = 1e-16 ** (1 / 7)  # of differences of order 6, whose truncation then is about their rounding
NEARER = 1 / 16  # of a second opinion
TRIES = 3


@dataclass(frozen=True)
class Along:
    """The claim and an estimate along one direction."""

    claimed: float
    numeric: float
    error: float
    method: str
    kink: bool = False

    @property
    def off(self) -> float:
        """By how much the claim is off."""
        return abs(self.claimed - self.numeric)


class Projection:
    """A check of a claimed gradient along random directions.

    Parameters
    ----------
    lines : Lines
        The cost and the claim.
    method, rtol, resolution
        As in `check_gradient`.
    """

    def __init__(self, lines: Lines, method: str, rtol: float | None, resolution: float) -> None:
        self.lines, self.method, self.resolution = lines, method, resolution
        self.rng = np.random.default_rng(lines.seed)
        self.eps = max(float(np.finfo(leaf.dtype).eps) for leaf in lines.leaves.values())
        self.given_rtol = rtol
        self.level = self.eps  # of noise, relative; more once more has shown
        self.arrays: dict[str, ProjectedArray] = {}

    @property
    def rtol(self) -> float:
        """The accuracy that the claim owes: √eps of dtypes or noise, a few last places aside."""
        coarsest = max(self.eps, float(np.finfo(np.float64).eps))
        if self.level > FEW_PLACES * coarsest:
            coarsest = min(self.level, 0.01)
        return self.given_rtol or float(coarsest) ** 0.5

    @cached_property
    def noise(self) -> Noise:
        """The noise of the cost, met along a direction of all arrays."""
        scales = {path: leaf.scale for path, leaf in self.lines.leaves.items()}
        noise = measure_noise(self.lines.along(self.lines.directions(scales)), self.rng)
        self.level = max(self.level, noise.relative)
        return noise

    def run(self) -> None:
        """Judge every array: all at once where that is enough, else one by one."""
        for path in self.lines.leaves:
            if not np.isfinite(self.lines.norms[path]):
                self.arrays[path] = self._not_finite(path)
        if self.method != "central":
            self._all_at_once()
        for path in self.lines.leaves:
            if path not in self.arrays:
                self.arrays[path] = self._one(path)

    # All arrays at once.

    def _all_at_once(self) -> None:
        """Judge arrays by one complex step that moves them all, where it agrees with the claim.

        How closely they agree shows how accurate both are: an estimate blurred by much more would
        do so by luck only.
        """
        lines = self.lines
        paths = [p for p in lines.leaves if p not in self.arrays and lines.largest[p] > 0]
        scales = {path: lines.leaves[path].scale for path in paths}
        moves = lines.directions(scales)
        numeric = self._slopes([moves]) if paths else None
        if numeric is None:
            return
        along = Along(lines.claimed(moves), float(numeric[0]), np.inf, "complex-step")
        off = along.off
        norm = float(np.sqrt(sum((scales[p] * lines.norms[p]) ** 2 for p in paths)))
        error = WIDE * off + ROUNDING * self.eps * norm
        passed = {}
        for path in paths:
            size = scales[path] * lines.largest[path]
            if off <= self.rtol * size / 2 and 2 * error <= self.resolution * size:
                passed[path] = self._array(path, replace(along, error=error), Verdict.MATCH)
        if not passed:
            return
        least = min(scales[path] * lines.norms[path] for path in passed)
        proven = self.method == "complex-step" or lines.own_slopes
        if proven or self._carried(moves, along.numeric, least):
            self.arrays |= passed

    def _slopes(self, several: Sequence[Moves], nudge: float = 0.0) -> Any:
        """Return complex steps along several directions, None where the cost is not capable."""
        try:
            slopes = self.lines.slopes(several, nudge)
        except Exception:  # whatever a cost says of complex numbers, it is not capable of them
            return None
        return slopes if np.isfinite(slopes).all() and slopes.any() else None

    def _carried(self, moves: Moves, slope: float, least: float) -> bool:
        """Whether differences along a direction agree with the complex step, to a part of `least`.

        Noise can only hide that they do, so it need not be known: few last places are assumed.
        """
        line, h = self.lines.along(moves), STEP
        level = FEW_PLACES * float(np.finfo(line.at_point.dtype).eps) * abs(float(line.at_point))
        noise = Noise(level, FEW_PLACES * self.eps, False, False)

        def costs(steps: Any) -> Any:
            return line.at_entries("params", np.zeros(1, int), steps)

        for _ in range(TRIES):
            trial = central(
                costs, line.values["params"], np.array([h]), np.ones(1), line.at_point, noise
            )
            value, error = float(trial.value[0]), float(trial.error[0])
            if error <= PROOF * least:
                return abs(value - slope) <= error
            h *= float(trial.ratio[0])
        return False

    # One by one.

    def _one(self, path: str) -> ProjectedArray:
        lines = self.lines
        leaf, largest = lines.leaves[path], lines.largest[path]
        own = lines.own_slopes and self.method != "central"
        if not own and self.noise.unseen:
            nothing = Along(0.0, 0.0, np.inf, "central")
            return self._array(
                path,
                nothing,
                Verdict.UNRESOLVED,
                "the cost does not change by a bit however its parameters move: it does not see "
                "them (a closure over other arrays, or copies?), or it is constant.",
            )
        moves = lines.directions({path: leaf.scale})
        along = self._complex(path, moves) if self.method != "central" else None
        if along is None and self.method == "complex-step":
            raise ValueError(
                f"method is 'complex-step', but complex moves of {path} do not show the derivative "
                "that differences do: abs, max, comparisons, casts or .real in the cost drop the "
                "imaginary part, or there is none here to be seen; use method='auto' or 'central'"
            )
        along = along or self._central(path, moves)
        if largest == 0 and self._independent(path):
            return self._array(path, Along(0.0, 0.0, 0.0, along.method), Verdict.MATCH)
        size = leaf.scale * max(largest, self._numeric_size(path, along))
        owed = self.rtol * size / 2 if largest else 0.0
        if along.off - along.error > owed:
            if along.kink:
                reason = "the direction meets a kink: check at a point beside it."
                return self._array(path, along, Verdict.UNRESOLVED, reason)
            # of a cost's own slopes, few differences will do if they agree
            agreed = own and self._carried(moves, along.numeric, abs(along.numeric))
            if not agreed and not self._witnessed(path, moves, along, owed):
                reason = "two estimates by different steps disagree: too little for an accusation."
                return self._array(path, along, Verdict.UNRESOLVED, reason)
            return self._accused(path, along, owed)
        if largest and 2 * along.error <= self.resolution * size:
            return self._array(path, along, Verdict.MATCH)
        return self._array(path, along, Verdict.UNRESOLVED, self._why(along, size))

    def _numeric_size(self, path: str, along: Along) -> float:
        """Return what the largest derivative is at least."""
        leaf = self.lines.leaves[path]
        return max(0.0, abs(along.numeric) - along.error) / (leaf.scale * leaf.whole.size)

    def _complex(self, path: str, moves: Moves) -> Along | None:
        """Return an estimate by the complex step, proven by differences and with an error."""
        lines, proven = self.lines, self.method == "complex-step" or self.lines.own_slopes
        scales = {path: lines.leaves[path].scale}
        slope = self._slopes([moves])
        for attempt in range(TRIES):
            if slope is None or proven:
                break
            other = moves if attempt == 0 else lines.directions(scales)
            there = slope if attempt == 0 else self._slopes([other])
            if there is None:
                return None
            value, error, _ = self._differences(other, PROOF / 10)
            if not abs(there[0] - value) <= error < np.inf:
                return None
            proven = error <= PROOF * abs(there[0])
        if slope is None or not proven:
            return None
        # rounding: the same a few last places away
        eps = float(np.finfo(lines.leaves[path].dtype).eps)
        nearby = [self._slopes([moves], k * eps) for k in (-4, -2, 2, 4)]
        if any(some is None for some in nearby):
            return None
        spread = max(abs(float(some[0] - slope[0])) for some in nearby)
        error = WIDE * spread + ROUNDING * eps * scales[path] * lines.norms[path]
        return Along(lines.claimed(moves), float(slope[0]), error, "complex-step")

    def _central(self, path: str, moves: Moves) -> Along:
        claimed = self.lines.claimed(moves)
        owed = self.rtol * self.lines.leaves[path].scale * self.lines.largest[path] / 8
        goal = owed / abs(claimed) if claimed else self.rtol / 100
        value, error, kink = self._differences(moves, float(np.clip(goal, 1e-14, PROOF)))
        return Along(claimed, value, error, "central", kink)

    def _differences(
        self, moves: Moves, goal: float, start: float = 1.0
    ) -> tuple[float, float, bool]:
        """Return slope and error along a direction, and whether it meets a kink."""
        found: Estimate = differences(
            self.lines.along(moves), "params", np.zeros(1, int), self.noise, self.rng, goal, start
        )
        kink = bool(np.isfinite(found.slopes).any())
        return float(found.value[0]), float(found.error[0]), kink

    def _witnessed(self, path: str, moves: Moves, along: Along, owed: float) -> bool:
        """Hear a second estimate, by differences from nearer by: it must accuse as well.

        Beside a complex step it need not be as sharp: there it is enough that it does not
        contradict.
        """
        goal = float(np.clip(owed / (8 * abs(along.numeric) or 1), 1e-14, PROOF))
        value, error, _ = self._differences(moves, goal, NEARER)
        agrees = abs(value - along.numeric) - error - along.error <= along.off / 100
        accuses = abs(along.claimed - value) - error > owed
        return agrees and (accuses or along.method == "complex-step")

    def _independent(self, path: str) -> bool:
        """Whether the cost stays the same, bit for bit, when an array moves, a little and far."""
        line = self.lines.along(self.lines.directions({path: self.lines.leaves[path].scale}))
        steps = np.array([[2.0**-8, 2.0**-2, 2.0**4]])
        return bool((line.at_entries("params", np.zeros(1, int), steps) == line.at_point).all())

    def _why(self, along: Along, size: float) -> str:
        if self.noise.stochastic:
            return (
                "the cost is not a function of its parameters: two calls at one point differ "
                f"(noise {self.noise.level:.0e}). Fix its random seed, or switch dropout off."
            )
        if np.isnan(along.numeric):
            said = f" ({self.lines.outside})" if self.lines.outside else ""
            return (
                f"steps leave the domain where the cost is finite{said}. Check at a point inside."
            )
        if not np.isfinite(along.error):
            return "differences do not converge along the direction: check at a point beside it."
        if not size or abs(along.numeric) <= along.error:
            return (
                "every entry is zero, as claimed, but only to within rounding: there is nothing "
                "to compare. Check away from a stationary point, dead units or saturation."
            )
        return (
            f"blurred: one entry must be off by {4 * along.error / size:.1e} of the largest to be "
            f"seen, from a noise of {self.noise.relative:.0e} in the cost. Compare every entry, or "
            "use a cost in higher precision or capable of complex numbers."
        )

    # Accused.

    def _accused(self, path: str, along: Along, owed: float) -> ProjectedArray:
        """Find what is wrong in an array; where no entry is by more than it owes, nothing is."""
        leaf = self.lines.leaves[path]
        judge = partial(self._entries, path, along, 2 * owed / leaf.scale)
        wrong = partial(self._wrong, path, along, owed)
        blocks = locate(leaf.whole, wrong, judge, self.rng)
        if blocks:
            return self._array(path, along, Verdict.MISMATCH, blocks=blocks)
        note = "no entry is off by more than it owes, but together they add up along a direction."
        return self._array(path, along, Verdict.UNRESOLVED, note)

    def _each(self, path: str, along: Along, regions: Sequence[Region]) -> list[Along]:
        lines, scale = self.lines, self.lines.leaves[path].scale
        several = [lines.directions({path: scale}, region) for region in regions]
        if along.method == "central":
            return [self._central(path, moves) for moves in several]
        claimed = [lines.claimed(moves) for moves in several]
        slopes = lines.slopes(several)
        return [
            Along(g, float(n), along.error, along.method)
            for g, n in zip(claimed, slopes, strict=True)
        ]

    def _wrong(self, path: str, along: Along, owed: float, regions: Sequence[Region]) -> list[bool]:
        found = self._each(path, along, regions)
        return [not one.off - one.error <= owed for one in found]

    def _entries(
        self, path: str, along: Along, owed: float, regions: Sequence[Region]
    ) -> list[Entry]:
        """Estimate single entries: n·v over the one entry of v."""
        first = self.lines.round
        found = self._each(path, along, regions) if regions else []
        entries = []
        for number, (region, one) in enumerate(zip(regions, found, strict=True), first + 1):
            v = self.lines.entry(path, number, region)
            claimed, numeric, error = one.claimed / v, one.numeric / v, one.error / abs(v)
            wrong = abs(claimed - numeric) - error > owed and not one.kink
            entries.append(Entry(region, claimed, numeric, error, wrong))
        return entries

    def _not_finite(self, path: str) -> ProjectedArray:
        """Find the claimed entries that are not finite, which takes no evaluation."""

        def claimed(regions: Sequence[Region]) -> list[float]:
            moves = (self.lines.directions({path: 1.0}, region) for region in regions)
            return [self.lines.claimed(move) for move in moves]

        def judge(regions: Sequence[Region]) -> list[Entry]:
            return [
                Entry(region, g, np.nan, np.inf, not np.isfinite(g))
                for region, g in zip(regions, claimed(regions), strict=True)
            ]

        def wrong(regions: Sequence[Region]) -> list[bool]:
            return [not np.isfinite(g) for g in claimed(regions)]

        blocks = locate(self.lines.leaves[path].whole, wrong, judge, self.rng)
        nothing = Along(np.nan, np.nan, np.inf, "central")
        return self._array(path, nothing, Verdict.MISMATCH, blocks=blocks)

    def _array(
        self,
        path: str,
        along: Along,
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
    """Check a gradient along random directions; arguments are those of `check_gradient`."""
    started = time.perf_counter()
    lines = Lines(cost, params, gradient, seed)
    projection = Projection(lines, method, rtol, resolution)
    with lines.at_peace():
        projection.run()
    methods = {array.method for array in projection.arrays.values()}
    return ProjectedReport(
        arrays={path: projection.arrays[path] for path in lines.leaves},
        rtol=projection.rtol,
        resolution=resolution,
        method=methods.pop() if len(methods) == 1 else "mixed",
        noise=projection.level,
        evaluations=lines.count,
        seconds=time.perf_counter() - started,
        seed=seed,
        findings=tuple(lines.findings),
    )
