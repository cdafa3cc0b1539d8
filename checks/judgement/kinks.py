"""Whether claims at several kinks are possible together, along directions that move all of them."""

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

__all__ = ["judge_kinks_together", "mark_tied"]

RANDOM_DIRECTIONS = 2  # tried besides two others, see `_directions`
# Slopes are also taken at points beside the kinks, to which entries are moved by about this part of
# their array's typical size. The steps there are much shorter, so that they cross no kink.
BESIDE = 2.0**-4
PAIRS = 4  # pairs of opposite points beside the kinks; at 4 of the 8 the slope has to be known
# An error or a difference of slopes counts as small if it is at most this part of the discrepancy.
SMALL = 1 / 8
COARSELY = 1e-2  # the relative error with which it is asked whether slopes add up
# Along a direction no entry moves more than this many times as far as another. Without this limit,
# an entry whose slope jump is far larger than others would move by less than a last place.
UNEVEN = 2.0**20


def mark_tied(estimates: Estimates, array: ArrayReport) -> bool:
    """Make a MISMATCH UNRESOLVED, in place, where slopes along axes do not add up to a derivative.

    At three equal numbers the median has no kink along any axis: its slope is 0, as the other two
    hold it. But along (1, 1, 1) its slope is 1. So there is no derivative, and programs give the
    whole of it to one entry. Such entries are those with a slope of 0 and another claim. Complex
    steps are proven along a direction of all entries, differences are not.

    Returns
    -------
    bool
        Whether there were such entries.
    """
    estimate, evaluations = estimates.by_path[array.path], estimates.evaluations
    by_differences = ~estimate.by_complex_steps.reshape(array.claimed.shape)
    known = array.differentiable & np.isfinite(array.error) & by_differences
    held = known & (array.verdicts == Verdict.MISMATCH) & (np.abs(array.numeric) <= array.error)
    held &= np.isfinite(array.claimed)
    # costs that know the noise of single moves, as a diagonal's do, cannot move several entries
    moves_one = getattr(evaluations.cost, "levels", None) is not None
    if moves_one or not held.any() or np.sum(known) < 3:
        return False
    rng = np.random.default_rng([estimates.seed, len(estimates.by_path), 2])
    v = draw_direction((RANDOM_DIRECTIONS, *held.shape), rng)
    v *= evaluations.box.sizes[array.path] * known
    along = directional_slopes(evaluations, {array.path: v}, estimates.noise, rng, COARSELY)
    of_known = v[:, known]
    # at a kink along v, the slope of one side at least is off by the slope jump more
    off = np.abs(along.value - of_known @ array.numeric[known]) + along.slope_jump
    error = along.error - along.slope_jump + np.abs(of_known) @ array.error[known]
    # a mistake is not hidden by what is far smaller
    stake = (np.abs(v[:, held]) * array.discrepancies[held]).max(axis=1)
    if not np.any((error < SMALL * off) & (SMALL * stake < off)):
        return False
    array.verdicts[held] = Verdict.UNRESOLVED
    return True


def judge_kinks_together(
    estimates: Estimates, arrays: Mapping[str, ArrayReport]
) -> dict[str, ArrayReport]:
    """Judge claims at kinks again, along directions v that move several of these entries at once.

    Between the slopes on both sides of its entry, each claim is possible; together they may not be.
    At a tie of max(a, b), 1 is possible for a and for b. But along (1, 1) the cost is smooth and
    its slope is 1, not 1 + 1.

    Entries whose slope grows across the kink are judged apart from those whose slope falls. In the
    first the cost is taken to be convex, in the others concave. Then possible claims g have ⟨g, v⟩
    between the slopes on both sides along every v. If slopes show that the cost is neither, nothing
    is concluded: relus at 0 with weights of both signs, for instance.

    Returns
    -------
    dict of str to ArrayReport
        By path. Claims that are not possible together are a MISMATCH if the cost is smooth along v,
        at the point and beside it; otherwise they are UNRESOLVED.
    """
    judged = dict(arrays)
    if not any(estimates.by_path[path].slopes.size for path in arrays):
        return judged
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
    """Return which entries match at a kink across which the slope grows (sign 1) or falls (−1)."""
    slopes = estimates.by_path[array.path].slopes
    if not slopes.size:
        return np.zeros(array.claimed.shape, bool)
    with np.errstate(invalid="ignore"):
        changes = (slopes[:, 1] - slopes[:, 0]).reshape(array.claimed.shape)
        return np.asarray((np.sign(changes) == sign) & (array.verdicts == Verdict.MATCH))


class _Group:
    """Entries at kinks across which the slope grows, or across which it falls.

    A direction v is stored by path, in the shapes of the arrays; it is 0 at entries of no kink.
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
        """Return verdict and reason, or None if nothing shows that the claims are impossible."""
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
            return None  # the cost is neither convex nor concave
        off, claimed = self._off(directions, along.value), self._claimed(directions)
        excess = np.where(known, off - along.error - self._tolerance(directions), 0)
        if not np.any(excess > 0):
            return None
        # the direction along which the claims are farthest off, relative to the error there
        clearest = int(np.argmax(np.where(excess > 0, excess / (excess + along.error), -1)))
        one = {path: several[clearest] for path, several in directions.items()}
        value, error, far_off = along.value[clearest], along.error[clearest], off[clearest]
        beside = self._slopes_beside(one)
        known_beside = beside[beside[:, 1] <= SMALL * far_off, 0]
        if np.any(np.abs(known_beside - value) > error + 2 * SMALL * far_off):
            return None  # the cost is neither convex nor concave
        is_smooth = error <= SMALL * far_off and known_beside.size >= PAIRS
        reason = (
            f"at {self._count()} kinks each claim lies between the slopes on both sides, but "
            "together they are not possible: along one direction of all of these entries the slope "
            f"of the cost is {value:.6g} ± {error:.0e}, and the claims make it "
            f"{claimed[clearest]:.6g}. At a tie, give the whole derivative to one entry, or a "
            "share to each."
        )
        return Verdict.MISMATCH if is_smooth else Verdict.UNRESOLVED, reason

    def _count(self) -> int:
        return sum(int(kinks.sum()) for kinks in self.at_kinks.values())

    def _directions(self) -> dict[str, FloatArray]:
        """Return the directions that are tried, by path, (k, ...).

        An entry is moved by the inverse of its slope jump, up or down. At a tie of two entries, as
        in max(2a, 3b), the cost is then smooth along two of the four choices of signs.
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
            # down where the claim is nearer to the lower slope, else up; then all up; then random
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
        """Return by how much the claims may be off along each direction: what each may, summed."""
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

        At the point, kinks of opposite sign may cancel along the direction, so that the cost seems
        smooth. Then slopes beside it differ from that at the point, as a convex cost's do not.
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
