"""Directional derivatives, each with an error bound: by complex steps and by differences."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from checks.estimation.complex_step import PROOF
from checks.estimation.finite_differences import differences
from checks.estimation.noise import ASSUMED_PLACES, Noise, changes_nothing, measure_noise
from checks.estimation.stencils import central as central_trial
from checks.estimation.step_selection import first_step
from checks.estimation.witness import confirms
from checks.evaluation.control_flow import is_control_flow
from checks.evaluation.directional import DirectionalEvaluations, Directions
from checks.parameters.random_directions import MIN_VISIBLE_SHARE

__all__ = ["SPREAD_FACTOR", "SUM_ROUNDING", "DirectionalDerivative", "DirectionalEstimator"]

# The error bound is SPREAD_FACTOR times the largest difference between a few estimates of one
# derivative, or between a claim and an estimate that agree.
SPREAD_FACTOR = 8.0
SUM_ROUNDING = 16.0  # the error of ⟨gradient, v⟩ is at least this times eps ‖gradient‖₂ · scale
# The step to either side of the point is eps^0.4. It lies between the best step for one-sided
# slopes, eps^½, and the best for their mean, eps^⅓, because both are used.
TWO_SIDED_STEP = 0.4
SECOND_START = 1 / 16  # a second estimate begins with steps shorter by this, to be independent
TRIES = 3  # how many steps, and how many directions, are tried to prove a complex step


@dataclass(frozen=True)
class DirectionalDerivative:
    """The claim and an estimate along one direction.

    Attributes
    ----------
    claimed, numeric, error : float
        ⟨gradient, v⟩ of the claim, its estimate, and the bound on the error of the estimate.
    method : str
        "central" or "complex-step".
    kink : bool
        The cost has a kink at the point along this direction.
    on_stairs : bool
        The cost has jumps near the point along this direction.
    """

    claimed: float
    numeric: float
    error: float
    method: str
    kink: bool = False
    on_stairs: bool = False

    @property
    def discrepancy(self) -> float:
        """|claimed − numeric|."""
        return abs(self.claimed - self.numeric)


class DirectionalEstimator:
    """Estimates along directions, and the noise of the cost.

    Parameters
    ----------
    evaluations : DirectionalEvaluations
        The cost and the claim.
    method, rtol
        As in `check_gradient`.

    Attributes
    ----------
    eps : float
        eps of the coarsest array.
    relative_noise : float
        The relative noise of the cost: `eps` until it is measured.
    outside : str
        The last message of the cost where a move left its domain; empty if none did.
    """

    def __init__(
        self, evaluations: DirectionalEvaluations, method: str, rtol: float | None
    ) -> None:
        self.evaluations, self.method, self.given_rtol = evaluations, method, rtol
        self.rng = np.random.default_rng(evaluations.seed)
        self.eps = max(float(np.finfo(array.dtype).eps) for array in evaluations.arrays.values())
        self.relative_noise = self.eps
        self.outside = ""

    @property
    def rtol(self) -> float:
        """The relative accuracy that a claim must have: given, or √eps of the coarsest dtype.

        If the relative noise exceeds 64 eps, it is used instead of eps, but at most 1 %.
        """
        coarsest = max(self.eps, *map(_eps, self.evaluations.claims.values()), _eps(np.zeros(1)))
        if self.relative_noise > ASSUMED_PLACES * coarsest:
            coarsest = min(self.relative_noise, 0.01)
        return self.given_rtol or float(coarsest) ** 0.5

    @cached_property
    def noise(self) -> Noise:
        """The noise of the cost along a direction of all arrays."""
        evaluations = self.evaluations
        scales = {path: array.scale for path, array in evaluations.arrays.items()}
        line = evaluations.on_line(evaluations.directions(scales))
        noise = measure_noise(line, self.rng)
        self.relative_noise = max(self.relative_noise, noise.relative)
        return noise

    def slopes(self, several: Sequence[Directions], nudge: float = 0.0) -> Any:
        """Return derivatives by complex steps along directions.

        They are taken at the point moved by `nudge` along the direction. None if the cost refuses
        complex numbers, if some are not finite, or if all are 0.
        """
        try:
            slopes = self.evaluations.complex_slopes(several, nudge)
        except Exception as error:
            if is_control_flow(error):
                raise
            return None
        return slopes if np.isfinite(slopes).all() and slopes.any() else None

    def agreement(self, moves: Directions, slope: float, enough: float) -> float:
        """Return how closely differences agree with a complex step; inf if they do not.

        One step to either side of the point suffices if both slopes agree with the complex step to
        `enough`, and their mean agrees to rounding. Else central differences of order 6 are tried;
        they agree if the complex step lies within their error. The noise is not measured but taken
        as 64 last places of the cost: if it is larger, differences disagree.
        """
        line, f0 = self.evaluations.on_line(moves), self.evaluations.at_point

        def costs(steps: Any) -> Any:
            return line.at_entries("params", np.zeros(1, int), steps)

        level = ASSUMED_PLACES * float(np.finfo(f0.dtype).eps) * abs(float(f0))
        h = self.eps**TWO_SIDED_STEP
        below, above = costs(np.array([[-h, h]]))[0]
        left_error, right_error = (f0 - below) / h - slope, (above - f0) / h - slope
        mean_agrees = abs(left_error + right_error) <= 2 * level / h
        agreement = float(max(abs(left_error), abs(right_error))) if mean_agrees else np.inf
        noise, h = Noise(level, ASSUMED_PLACES * self.eps, False, False), first_step(0.0)
        x = line.values["params"]
        for _ in range(TRIES):
            if agreement <= enough:
                break
            trial = central_trial(costs, x, np.array([h]), np.ones(1), f0, noise)
            value, error = float(trial.value[0]), float(trial.error[0])
            if not abs(value - slope) <= error:
                return np.inf
            agreement = min(agreement, error)
            h *= float(trial.step_ratio[0])
        return agreement

    def complex_step(self, path: str, moves: Directions) -> DirectionalDerivative | None:
        """Return an estimate by the complex step, or None where differences do not prove it.

        A direction along which differences are too inaccurate is replaced by others.
        """
        evaluations, proven = self.evaluations, self.evaluations.supplies_slopes
        scales = {path: evaluations.arrays[path].scale}
        slope = self.slopes([moves])
        for attempt in range(TRIES):
            if slope is None or proven:
                break
            direction = moves if attempt == 0 else evaluations.directions(scales)
            numeric = slope if attempt == 0 else self.slopes([direction])
            if numeric is None:
                return None
            found = self._differences(direction, PROOF / 10)
            if not abs(numeric[0] - found.numeric) <= found.error < np.inf:
                return None
            proven = found.error <= PROOF * abs(numeric[0])
        if slope is None or not proven:
            return None
        # the rounding of the slope is estimated from slopes a few last places from the point
        eps = float(np.finfo(evaluations.arrays[path].dtype).eps)
        nearby = [self.slopes([moves], k * eps) for k in (-4, -2, 2, 4)]
        if any(sample is None for sample in nearby):
            return None
        spread = max(abs(float(sample[0] - slope[0])) for sample in nearby)
        error = SPREAD_FACTOR * spread + SUM_ROUNDING * eps * scales[path] * evaluations.norms[path]
        return DirectionalDerivative(
            evaluations.claimed_slope(moves), float(slope[0]), error, "complex-step"
        )

    def central(self, path: str, moves: Directions) -> DirectionalDerivative:
        """Return an estimate by central differences."""
        evaluations = self.evaluations
        claimed = evaluations.claimed_slope(moves)
        # a quarter of the least change of ⟨gradient, v⟩ by one entry that is off by rtol
        error_wanted = (
            MIN_VISIBLE_SHARE
            * self.rtol
            * evaluations.arrays[path].scale
            * evaluations.largest[path]
            / 4
        )
        goal = error_wanted / abs(claimed) if claimed else self.rtol / 100
        return self._differences(moves, float(np.clip(goal, 1e-14, PROOF)))

    def _differences(
        self, moves: Directions, goal: float, start: float = 1.0
    ) -> DirectionalDerivative:
        """Return the estimate by differences along a direction."""
        line = self.evaluations.on_line(moves)
        estimate = differences(line, "params", np.zeros(1, int), self.noise, self.rng, goal, start)
        self.outside = line.outside.get("params", self.outside)
        return DirectionalDerivative(
            self.evaluations.claimed_slope(moves),
            float(estimate.value[0]),
            float(estimate.error[0]),
            "central",
            kink=bool(estimate.slope_jump[0]),
            on_stairs=bool(estimate.on_stairs[0]),
        )

    def is_confirmed(
        self, moves: Directions, estimate: DirectionalDerivative, tolerance: float
    ) -> bool:
        """Whether a second estimate, by differences of shorter steps, confirms that a claim fails.

        The second estimate has to agree with the first. The claim has to be off by more than the
        tolerance from the second as well, unless the first is a complex step and the claim is off
        by more than `PROOF`: differences have proven such a step to that accuracy.
        """
        goal = float(np.clip(tolerance / (8 * abs(estimate.numeric) or 1), 1e-14, PROOF))
        second = self._differences(moves, goal, SECOND_START)
        above_proof = estimate.discrepancy > PROOF * abs(estimate.numeric)
        above_proof = above_proof and not second.on_stairs
        return bool(
            confirms(
                estimate.claimed,
                (estimate.numeric, estimate.error),
                (second.numeric, second.error),
                tolerance,
                is_proven=above_proof and estimate.method == "complex-step",
            )
        )

    def is_independent(self, path: str) -> bool:
        """Whether no move of an array, up to its own size, changes the cost by a single bit."""
        scales = {path: self.evaluations.arrays[path].scale}
        line = self.evaluations.on_line(self.evaluations.directions(scales))
        return changes_nothing(line, line.values, self.rng)


def _eps(array: Any) -> float:
    """Return the eps of the dtype of an array from any library."""
    name = str(array.dtype).removeprefix("torch.")
    return 2.0**-7 if name == "bfloat16" else float(np.finfo(name).eps)
