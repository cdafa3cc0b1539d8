"""Estimates of how a cost changes along a direction: by complex steps, and by differences."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from checks.estimation.complex_step import PROOF
from checks.estimation.finite_differences import differences
from checks.estimation.noise import FEW_PLACES, Noise, measure_noise
from checks.estimation.stencils import central as central_trial
from checks.evaluation.directional import DirectionalEvaluations, Moves
from checks.parameters.random_directions import SURE

__all__ = ["ROUNDING", "WIDE", "DirectionalDerivative", "DirectionalEstimator"]

# Of how much several estimates of one derivative differ, or of how much a claim and an estimate
# differ that agree: what either may be off by, as a factor on the largest of a few.
WIDE = 8.0
ROUNDING = 16.0  # of eps ‖g‖₂: below that no sum over a whole array is known
# Of differences of order 6, whose truncation then is about their rounding; and of two moves beside
# the point, as a power of eps: between the best of one-sided slopes, ½, and of their mean, ⅓.
STEP, NEAR = 1e-16 ** (1 / 7), 0.4
NEARER = 1 / 16  # of a second opinion
TRIES = 3


@dataclass(frozen=True)
class DirectionalDerivative:
    """The claim and an estimate along one direction."""

    claimed: float
    numeric: float
    error: float
    method: str
    kink: bool = False

    @property
    def discrepancy(self) -> float:
        """By how much the claim is off."""
        return abs(self.claimed - self.numeric)


class DirectionalEstimator:
    """Estimates along directions, and the noise that they meet.

    Parameters
    ----------
    lines : Lines
        The cost and the claim.
    method, rtol
        As in `check_gradient`.

    Attributes
    ----------
    eps : float
        Of the coarsest array.
    level : float
        Of noise, relative: `eps` until more has shown.
    outside : str
        What the cost said last where it was moved out of its domain; empty otherwise.
    """

    def __init__(self, lines: DirectionalEvaluations, method: str, rtol: float | None) -> None:
        self.lines, self.method, self.given_rtol = lines, method, rtol
        self.rng = np.random.default_rng(lines.seed)
        self.eps = max(float(np.finfo(leaf.dtype).eps) for leaf in lines.leaves.values())
        self.level = self.eps
        self.outside = ""

    @property
    def rtol(self) -> float:
        """The accuracy that the claim owes: √eps of dtypes or noise, a few last places aside."""
        coarsest = max(self.eps, *map(_eps, self.lines.claims.values()), _eps(np.zeros(1)))
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

    def slopes(self, several: Sequence[Moves], nudge: float = 0.0) -> Any:
        """Return complex steps along several directions, None where the cost is not capable."""
        try:
            slopes = self.lines.slopes(several, nudge)
        except Exception:  # whatever a cost says of complex numbers, it is not capable of them
            return None
        return slopes if np.isfinite(slopes).all() and slopes.any() else None

    def proof(self, moves: Moves, slope: float, enough: float) -> float:
        """Return how closely differences along a direction agree with the complex step.

        Two moves beside the point are enough where the slopes on either side agree to `enough`, and
        their mean to rounding. Else differences of order 6 are tried, with their error. Noise can
        only hide that they agree, so it need not be known: few last places are assumed.
        """
        line, f0 = self.lines.along(moves), self.lines.at_point

        def costs(steps: Any) -> Any:
            return line.at_entries("params", np.zeros(1, int), steps)

        level = FEW_PLACES * float(np.finfo(f0.dtype).eps) * abs(float(f0))
        h = self.eps**NEAR
        below, above = costs(np.array([[-h, h]]))[0]
        left, right = (f0 - below) / h - slope, (above - f0) / h - slope
        shown = float(max(abs(left), abs(right))) if abs(left + right) <= 2 * level / h else np.inf
        noise, h = Noise(level, FEW_PLACES * self.eps, False, False), STEP
        x = line.values["params"]
        for _ in range(TRIES):
            if shown <= enough:
                break
            trial = central_trial(costs, x, np.array([h]), np.ones(1), f0, noise)
            value, error = float(trial.value[0]), float(trial.error[0])
            if not abs(value - slope) <= error:
                return np.inf
            shown = min(shown, error)
            h *= float(trial.ratio[0])
        return shown

    def complex_step(self, path: str, moves: Moves) -> DirectionalDerivative | None:
        """Return an estimate by the complex step, proven by differences and with an error."""
        lines, proven = self.lines, self.lines.own_slopes
        scales = {path: lines.leaves[path].scale}
        slope = self.slopes([moves])
        for attempt in range(TRIES):
            if slope is None or proven:
                break
            other = moves if attempt == 0 else lines.directions(scales)
            there = slope if attempt == 0 else self.slopes([other])
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
        nearby = [self.slopes([moves], k * eps) for k in (-4, -2, 2, 4)]
        if any(some is None for some in nearby):
            return None
        spread = max(abs(float(some[0] - slope[0])) for some in nearby)
        error = WIDE * spread + ROUNDING * eps * scales[path] * lines.norms[path]
        return DirectionalDerivative(lines.claimed(moves), float(slope[0]), error, "complex-step")

    def central(self, path: str, moves: Moves) -> DirectionalDerivative:
        """Return an estimate by central differences."""
        claimed = self.lines.claimed(moves)
        owed = SURE * self.rtol * self.lines.leaves[path].scale * self.lines.largest[path] / 4
        goal = owed / abs(claimed) if claimed else self.rtol / 100
        value, error, kink = self._differences(moves, float(np.clip(goal, 1e-14, PROOF)))
        return DirectionalDerivative(claimed, value, error, "central", kink)

    def _differences(
        self, moves: Moves, goal: float, start: float = 1.0
    ) -> tuple[float, float, bool]:
        """Return slope and error along a direction, and whether it meets a kink."""
        line = self.lines.along(moves)
        found = differences(line, "params", np.zeros(1, int), self.noise, self.rng, goal, start)
        self.outside = line.outside or self.outside
        kink = bool(np.isfinite(found.slopes).any())
        return float(found.value[0]), float(found.error[0]), kink

    def is_witnessed(
        self, path: str, moves: Moves, along: DirectionalDerivative, owed: float
    ) -> bool:
        """Hear a second estimate, by differences from nearer by: it must accuse as well.

        Beside a complex step it need not be as sharp: there it is enough that it does not
        contradict.
        """
        goal = float(np.clip(owed / (8 * abs(along.numeric) or 1), 1e-14, PROOF))
        value, error, _ = self._differences(moves, goal, NEARER)
        agrees = abs(value - along.numeric) - error - along.error <= along.discrepancy / 100
        accuses = abs(along.claimed - value) - error > owed
        return agrees and (accuses or along.method == "complex-step")

    def is_independent(self, path: str) -> bool:
        """Whether the cost stays the same, bit for bit, when an array moves, a little and far."""
        line = self.lines.along(self.lines.directions({path: self.lines.leaves[path].scale}))
        steps = np.array([[2.0**-8, 2.0**-2, 2.0**4]])
        return bool((line.at_entries("params", np.zeros(1, int), steps) == line.at_point).all())


def _eps(array: Any) -> float:
    """Return the eps of an array of any library."""
    name = str(array.dtype).removeprefix("torch.")
    return 2.0**-7 if name == "bfloat16" else float(np.finfo(name).eps)
