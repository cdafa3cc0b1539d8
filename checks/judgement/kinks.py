"""Whether the claims at kinks are possible together, along directions beside the axes."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from checks._types import FloatArray
from checks.estimation.estimates import Estimates
from checks.estimation.finite_differences import (
    directional_difference,
    directional_slopes,
    draw_direction,
    straight_line,
)
from checks.report.array_report import ArrayReport
from checks.report.verdict import Verdict

__all__ = ["judge_kinks_together"]

RANDOM_DIRECTIONS = 2  # besides that of the claim's signs, and that of equal signs
# Entries are moved by so much of their typical size to points beside the kink: much further than
# the steps there, so that these stay on one side of it.
BESIDE = 2.0**-4
PAIRS = 4  # of such points, on opposite sides; at half of them the slope has to be known
# A slope jump, an error or a difference of slopes is small if it is at most this part of what the
# claim is off by.
SMALL = 1 / 8
# Weights of entries differ by this factor at most: an entry with a slope jump far below that of
# others would be moved too far.
UNEVEN = 2.0**20


def judge_kinks_together(
    estimates: Estimates, arrays: Mapping[str, ArrayReport]
) -> dict[str, ArrayReport]:
    """Judge claims at kinks again, along directions of several of these entries at once.

    Each of these claims lies between the slopes by its entry. At a tie of max(a, b) so does (1, 1),
    but along (1, 1) the cost is smooth and has the slope 1. Entries whose slope grows across the
    kink and entries whose slope falls are judged apart: among the first the cost is taken to be
    convex, so that a possible claim g has ⟨g, v⟩ between the slopes on both sides along every v;
    among the others, concave. Where slopes along v, at the point or beside it, say otherwise,
    nothing is concluded: relus at 0 with weights of both signs are neither.

    A claim that is not possible is a MISMATCH if the cost is smooth along v, at the point and at
    points beside it; else it is UNRESOLVED.

    Returns
    -------
    dict of str to ArrayReport
        By path; verdicts and reasons differ where a claim is not possible.
    """
    judged = dict(arrays)
    for sign in (1, -1):
        at_kinks = {path: _kinks(estimates, array, sign) for path, array in arrays.items()}
        at_kinks = {path: kinks for path, kinks in at_kinks.items() if kinks.any()}
        if sum(int(kinks.sum()) for kinks in at_kinks.values()) < 2:
            continue
        found = _Group(estimates, judged, at_kinks, sign).judged()
        if found is None:
            continue
        verdict, reason = found
        for path, kinks in at_kinks.items():
            judged[path].verdicts[kinks] = verdict
            judged[path] = replace(judged[path], reason=judged[path].reason or reason)
    return judged


def _kinks(estimates: Estimates, array: ArrayReport, sign: int) -> NDArray[np.bool_]:
    """Return where an array lies on kinks across which the slope changes with this sign."""
    slopes = estimates.by_path[array.path].slopes
    if not slopes.size:
        return np.zeros(array.claimed.shape, bool)
    with np.errstate(invalid="ignore"):
        changes = (slopes[:, 1] - slopes[:, 0]).reshape(array.claimed.shape)
        return np.asarray((np.sign(changes) == sign) & (array.verdicts == Verdict.MATCH))


class _Group:
    """Entries at kinks across which the slope grows, or across which it falls.

    A direction v is stored by path, in the shapes of the arrays; entries of no kink are 0.
    """

    def __init__(
        self,
        estimates: Estimates,
        arrays: Mapping[str, ArrayReport],
        at_kinks: Mapping[str, NDArray[np.bool_]],
        sign: int,
    ) -> None:
        self.estimates, self.at_kinks, self.sign = estimates, at_kinks, sign
        self.arrays = {path: arrays[path] for path in at_kinks}
        self.rng = np.random.default_rng([estimates.seed, 2 + sign])

    def judged(self) -> tuple[Verdict, str] | None:
        """Return the verdict and the reason, or None where the claims are possible."""
        directions = self._directions()
        along = directional_slopes(
            self.estimates.evaluations,
            directions,
            self.estimates.noise,
            self.rng,
            self.estimates.rtol / 100,
        )
        known = np.isfinite(along.error)
        jump = np.nan_to_num(self.sign * (along.slopes[:, 1] - along.slopes[:, 0]))
        if np.any(jump[known] < 0):
            return None  # neither convex nor concave
        off, claimed = self._off(directions, along.value), self._claimed(directions)
        excess = np.where(known, off - along.error - self._tolerance(directions), 0)
        if not np.any(excess > 0):
            return None
        # the direction along which the cost is smoothest, and the claim clearly impossible
        clearest = int(np.argmax(np.where(excess > 0, excess / (excess + along.error), -1)))
        one = {path: several[clearest] for path, several in directions.items()}
        value, error, far_off = along.value[clearest], along.error[clearest], off[clearest]
        beside = self._slopes_beside(one)
        clear = beside[beside[:, 1] <= SMALL * far_off, 0]
        if np.any(np.abs(clear - value) > error + 2 * SMALL * far_off):
            return None
        is_smooth = error <= SMALL * far_off and clear.size >= PAIRS
        reason = (
            f"at {self._count()} kinks each claim lies between the slopes on both sides, but "
            "together they are not possible: along one direction of all of these entries the slope "
            f"of the cost is {value:.6g} ± {error:.0e}, and by the claims "
            f"{claimed[clearest]:.6g}. At a tie one entry carries the derivative, or each a share "
            "of it."
        )
        return Verdict.MISMATCH if is_smooth else Verdict.UNRESOLVED, reason

    def _count(self) -> int:
        return sum(int(kinks.sum()) for kinks in self.at_kinks.values())

    def _directions(self) -> dict[str, FloatArray]:
        """Return the directions that are tried, by path, (k, ...).

        An entry is moved by the inverse of its slope jump. So the kink of a tie of two entries, on
        which they move one cost, vanishes along two of four signs.
        """
        jumps = {path: array.slope_jump for path, array in self.arrays.items()}
        smallest = min(jumps[path][kinks].min() for path, kinks in self.at_kinks.items())
        weights = {
            path: np.where(
                kinks, 1 / np.where(kinks, np.minimum(jumps[path], UNEVEN * smallest), 1), 0
            )
            for path, kinks in self.at_kinks.items()
        }
        signs = {
            # the claim's place between the slopes
            path: np.stack(
                [
                    np.where(array.claimed < array.numeric, -1.0, 1.0),
                    np.ones(array.claimed.shape),
                    *self.rng.choice([-1.0, 1.0], (RANDOM_DIRECTIONS, *array.claimed.shape)),
                ]
            )
            for path, array in self.arrays.items()
        }
        scales = self.estimates.evaluations.scales
        largest = max(float(weight.max()) / scales[path] for path, weight in weights.items())
        return {path: signs[path] * weight / largest for path, weight in weights.items()}

    def _claimed(self, directions: Mapping[str, FloatArray]) -> FloatArray:
        return self._sum(directions, {path: a.claimed for path, a in self.arrays.items()})

    def _off(self, directions: Mapping[str, FloatArray], slopes: FloatArray) -> FloatArray:
        return np.abs(self._claimed(directions) - slopes)

    def _tolerance(self, directions: Mapping[str, FloatArray]) -> FloatArray:
        """Return by how much the claims may be off along each direction, each by its own."""
        owed = {
            path: array.error - array.slope_jump + self.estimates.rtol * array.largest
            for path, array in self.arrays.items()
        }
        return self._sum({path: np.abs(v) for path, v in directions.items()}, owed)

    def _sum(
        self, directions: Mapping[str, FloatArray], values: Mapping[str, FloatArray]
    ) -> FloatArray:
        """Return the sum of values · direction over all entries at kinks, for each direction."""
        parts = [
            several[:, self.at_kinks[path]] @ values[path][self.at_kinks[path]]
            for path, several in directions.items()
        ]
        return np.asarray(np.sum(parts, axis=0, dtype=float))

    def _slopes_beside(self, direction: Mapping[str, FloatArray]) -> FloatArray:
        """Return slopes along a direction at points beside the kinks, with their errors: (k, 2).

        At the point alone, kinks of opposite sign may cancel along the direction. Beside them, the
        slopes of a convex cost lie between those at the point.
        """
        evaluations, found = self.estimates.evaluations, []
        for _ in range(PAIRS):
            base = {
                path: self._aside(path) * draw_direction(kinks.shape, self.rng) * kinks
                for path, kinks in self.at_kinks.items()
            }
            for side in (1, -1):
                moved = {path: side * move for path, move in base.items()}
                noise = self.estimates.noise
                line = straight_line(evaluations, direction, moved)
                found.append(directional_difference(evaluations, line, noise, moved))
        return np.array(found)

    def _aside(self, path: str) -> FloatArray:
        """Return by how much entries are moved beside the kinks: by less where they lack room."""
        evaluations = self.estimates.evaluations
        narrower = np.minimum(*evaluations.box.room(path))
        return np.minimum(BESIDE * evaluations.scales[path], narrower / 4)
