"""Estimates of every derivative of a cost at a point, and the cost's noise."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from checks._types import FloatArray, IntArray
from checks.estimation.complex_step import complex_step, incapable_error
from checks.estimation.cost_rounding import FAR_MOVES as FAR_POINTS
from checks.estimation.finite_differences import Estimate, differences
from checks.estimation.hidden_rounding import hidden_errors
from checks.estimation.noise import CostNoise, Noise, absorbed_change, changes_nothing
from checks.estimation.oscillation import oscillation_errors
from checks.estimation.precision import coarsest_dtype, copies_of, wider_dtype
from checks.estimation.step_selection import FEW_JUMPS
from checks.estimation.wide_costs import wide_costs
from checks.evaluation.pointwise import Evaluations
from checks.evaluation.step_sizes import random_signs

__all__ = ["METHODS", "Estimates", "estimate_derivatives"]

METHODS = ("auto", "complex-step", "central")
# Noise of up to FEW_PLACES last places of the cost is its rounding. More may be all that an array
# does, if FAR_MOVES moves by up to FAR of its size change the cost by as much as the noise, up to a
# factor MAY_BE_NOISE. The moves are made in a wider dtype, which rounds less.
FEW_PLACES = 4.0
FAR, FAR_MOVES, MAY_BE_NOISE = 2.0**-3, 4, 8.0
# Relative to the largest derivative, the error that is asked for where rounding is measured. In
# float64 it takes hardly more calls than what is enough for a verdict of float32 claims.
GOAL = 1e-8


@dataclass(frozen=True)
class Estimates:
    """What is known of a cost around a point.

    Attributes
    ----------
    evaluations : Evaluations
        The cost at the point.
    cost_noise : CostNoise
        Its noise, measured where that was needed.
    rtol : float
        The relative accuracy that a claim must have, given or chosen as in `estimate_derivatives`.
    by_path : dict of str to Estimate
        The estimate of each array, by path, with its entries in row-major order.
    seed : int
    """

    evaluations: Evaluations
    cost_noise: CostNoise
    rtol: float
    by_path: dict[str, Estimate]
    seed: int

    @property
    def noise(self) -> Noise:
        """The noise of the cost, which is measured now if it was not before."""
        return self.cost_noise.measured

    @property
    def other_dtype(self) -> str:
        """The dtype of the estimates if it is not that of the caller's arrays, or empty."""
        evaluations = self.evaluations
        if evaluations.eps == evaluations.caller_eps:
            return ""
        return str(coarsest_dtype(evaluations.values))

    @property
    def method(self) -> str:
        """The method that all arrays have in common, or "mixed"."""
        methods = {estimate.method for estimate in self.by_path.values() if estimate.value.size}
        return methods.pop() if len(methods) == 1 else "mixed"

    def shaped(self, path: str, values: FloatArray) -> FloatArray:
        """Return one value per entry, (size,), in the shape of the array."""
        return values.reshape(self.evaluations.values[path].shape)


def estimate_derivatives(
    evaluations: Evaluations,
    method: str,
    seed: int,
    rtol: float | None = None,
    claims: dict[str, FloatArray] | None = None,
) -> Estimates:
    """Estimate every derivative of a cost, and measure its noise where that is needed.

    Parameters
    ----------
    evaluations
        The cost at the point.
    method : {"auto", "complex-step", "central"}
        "auto" takes the complex step for arrays where it agrees with central differences.
    seed
        Draws the directions and the steps.
    rtol
        Default: the square root of the largest of the cost's relative noise and eps of parameters,
        claims and float64; at most 0.1. The noise of one of several results counts only where two
        calls at one point differ.
    claims
        Claimed gradients, of which only the dtypes matter.

    Raises
    ------
    ValueError
        The method is "complex-step", and the cost does not carry imaginary parts through.
    """
    noise, estimates = CostNoise(evaluations, seed), dict[str, Estimate]()
    if method != "central":
        estimates = complex_step(evaluations, noise, np.random.default_rng(seed))
    missing = _missing(evaluations, estimates)
    incapable = [path for path in missing if path not in estimates]
    if incapable and method == "complex-step" and not evaluations.interrupted:
        raise incapable_error(incapable, evaluations.complex_outside)
    if method == "complex-step":
        missing = {}  # entries that the proof did not cover stay unknown
    # one of several results is measured at four far points, not five, which saves calls
    noise.far = len(FAR_POINTS) - evaluations.shared if missing else noise.far
    current_noise = noise.measured if missing else noise.known
    dtypes = {claim.dtype for claim in (claims or {}).values()}
    if rtol is None:
        rtol = _default_rtol(evaluations, current_noise, dtypes)
    try:
        if missing and not evaluations.interrupted:
            _take_differences(evaluations, estimates, missing, current_noise, rtol, seed)
        if not evaluations.interrupted:
            _add_missed_errors(evaluations, estimates, noise.known, bool(missing), seed)
    except KeyboardInterrupt:
        if not evaluations.accept_interrupt():
            raise
    if method == "complex-step":
        # the caller chose complex steps: they count as proven, however coarsely differences agree
        estimates = {path: replace(estimate, proof=0.0) for path, estimate in estimates.items()}
    estimates = {p: estimates.get(p) or _unknown(v.size) for p, v in evaluations.values.items()}
    if evaluations.doubt:
        estimates = {
            path: replace(e, error=e.error + evaluations.doubt * np.nan_to_num(np.abs(e.value)))
            for path, e in estimates.items()
        }
    # claims in a narrow dtype, and their terms, may underflow below its smallest normal number
    smallest = max((np.finfo(d).tiny for d in dtypes if d.itemsize < 8), default=0)
    if smallest:
        estimates = {p: replace(e, error=e.error + float(smallest)) for p, e in estimates.items()}
    return Estimates(evaluations, noise, rtol, estimates, seed)


def _missing(evaluations: Evaluations, estimates: Mapping[str, Estimate]) -> dict[str, IntArray]:
    """Return the entries of each array of which no error is known."""
    missing = {}
    for path, value in evaluations.values.items():
        if path not in estimates:
            missing[path] = np.arange(value.size)
        elif not (known := np.isfinite(estimates[path].error)).all():
            missing[path] = np.flatnonzero(~known)
    return {path: entries for path, entries in missing.items() if entries.size}


def _default_rtol(evaluations: Evaluations, noise: Noise, dtypes: Iterable[Any]) -> float:
    """Return the rtol that a cost of such noise and claims in some dtypes owe."""
    eps = max([evaluations.caller_eps, *(float(np.finfo(dtype).eps) for dtype in dtypes)])
    # One of several results may be tiny as terms cancel: rounding that is large beside it must not
    # loosen rtol.
    follows_noise = noise.stochastic or not evaluations.shared
    noisy = noise.relative if follows_noise else 0.0
    # at least the eps of float64, as most costs are in it; at most 1 %, so that rtol ≤ 10 %
    return math.sqrt(min(max(eps, noisy, float(np.finfo(np.float64).eps)), 0.01))


def _take_differences(
    evaluations: Evaluations,
    estimates: dict[str, Estimate],
    missing: Mapping[str, IntArray],
    noise: Noise,
    rtol: float,
    seed: int,
) -> None:
    """Estimate entries by differences, an array after another, until interrupted."""
    wide = wide_costs(evaluations, noise, np.random.default_rng(seed))
    # An error up to the goal adds little to the tolerance, rtol. More is allowed to costs that
    # share evaluations: one step has to serve them all.
    goal = rtol / (16 if evaluations.shared else 100)
    if wide is not None:
        goal = min(goal, max(GOAL, math.sqrt(noise.relative) / 100))
    for path, entries in missing.items():
        if evaluations.interrupted:
            return
        rng = np.random.default_rng([seed, list(evaluations.values).index(path)])
        found = differences(evaluations, path, entries, noise, rng, goal, wide=wide)
        unknown = np.full(entries.size, np.inf)
        if _may_be_noise(evaluations, path, noise, rng):
            found = replace(found, error=unknown, may_be_noise=True)
        is_flat = path not in estimates and not np.nan_to_num(found.value).any()
        if is_flat and changes_nothing(evaluations, [path], rng):
            # of several results, others may show that f reads the array: no error of inf
            error = found.error if evaluations.shared else unknown
            found = replace(found, error=error, unseen=True)
        estimates[path] = _joined(estimates.get(path), entries, found)


def _add_missed_errors(
    evaluations: Evaluations,
    estimates: dict[str, Estimate],
    noise: Noise,
    by_differences: bool,
    seed: int,
) -> None:
    """Add what estimates do not show: absorbed moves, digits lost at all points, oscillations."""
    if not evaluations.shared:
        estimates |= _with_absorbed(evaluations, estimates, seed)
    lost = [hidden_errors(evaluations, estimates, noise, seed)]
    for path, error in lost[0].items():
        without = bool(np.isinf(error).any())
        estimates[path] = replace(estimates[path], without_digits=without)
    if by_differences and not evaluations.shared:
        lost.append(oscillation_errors(evaluations, estimates, noise, seed))
    for errors in lost:
        for path, error in errors.items():
            found = estimates[path]
            # nan, as where a moved cost is not finite, is unknown
            larger = np.maximum(found.error, np.where(np.isnan(error), np.inf, error))
            estimates[path] = replace(found, error=larger)


def _may_be_noise(
    evaluations: Evaluations, path: str, noise: Noise, rng: np.random.Generator
) -> bool:
    """Whether all that an array does to the cost may be what is taken for noise.

    More noise than last places of the cost comes from inside it, from digits that are lost or from
    an oscillation within last places of parameters. If that is what an array does, its derivatives
    may be as large as noise over a last place, and no difference shows them.
    """
    wide = wider_dtype(coarsest_dtype(evaluations.values))
    # one of several results may be small beside its terms, which round
    places = FEW_PLACES * (2**8 if evaluations.shared else 1)
    few = noise.relative <= places * evaluations.eps
    if few or wide is None or noise.stochastic or math.isinf(noise.level):
        return False
    copies = copies_of(evaluations, wide)
    at, largest = copies.cost(), 0.0
    for _ in range(FAR_MOVES):
        move = FAR * evaluations.box.sizes[path]
        move = move * rng.uniform(0.5, 1, move.shape) * random_signs(move.shape, rng)
        change = float(abs(copies.cost({path: evaluations.box.clipped(path, move)}) - at))
        largest = max(largest, change if math.isfinite(change) else 0.0)
    evaluations.count += copies.calls
    return noise.level / MAY_BE_NOISE <= largest <= MAY_BE_NOISE * noise.level


def _with_absorbed(
    evaluations: Evaluations, estimates: Mapping[str, Estimate], seed: int
) -> dict[str, Estimate]:
    """Return estimates with exact zeros, their errors widened by what the cost may absorb there."""
    flat = {
        path: np.flatnonzero((e.value == 0) & np.isfinite(e.error))
        for path, e in estimates.items()
        if np.count_nonzero(e.value) < e.value.size
    }
    flat = {path: entries for path, entries in flat.items() if entries.size}
    if not flat:
        return {}
    absorbed, grown = absorbed_change(evaluations, flat, np.random.default_rng(seed)), {}
    jump = _least_jump(evaluations, estimates)
    for path, entries in flat.items():
        error, on_stairs = estimates[path].error.copy(), estimates[path].on_stairs
        sizes = evaluations.box.sizes[path].ravel()
        error[entries] += FEW_JUMPS * absorbed / sizes[entries]
        # where moves of other entries reach jumps, those of these may only be too short for that
        short = entries[~on_stairs[entries]] if on_stairs.size else entries
        error[short] += jump / sizes[short]
        grown[path] = replace(estimates[path], error=error)
    return grown


def _least_jump(evaluations: Evaluations, estimates: Mapping[str, Estimate]) -> float:
    """Return the least change of the cost that errors of entries on stairs allow; 0 if none is."""
    jumps = [
        (estimate.error * evaluations.box.sizes[path].ravel())[estimate.on_stairs]
        for path, estimate in estimates.items()
        if estimate.on_stairs.any()
    ]
    return min((float(of.min()) for of in jumps), default=0.0)


def _joined(by_complex_steps: Estimate | None, entries: IntArray, rest: Estimate) -> Estimate:
    """Return an estimate by complex steps, with differences for the entries that these left out."""
    if by_complex_steps is None:
        return rest
    value, error = by_complex_steps.value.copy(), by_complex_steps.error.copy()
    slopes, on_stairs = np.full((value.size, 2), np.nan), np.zeros(value.size, bool)
    value[entries], error[entries], slopes[entries] = rest.value, rest.error, rest.slopes
    on_stairs[entries] = rest.on_stairs
    return replace(
        by_complex_steps,
        value=value,
        error=error,
        slopes=slopes,
        method="mixed",
        on_stairs=on_stairs,
        by_differences=entries,
    )


def _unknown(size: int) -> Estimate:
    return Estimate(np.full(size, np.nan), np.full(size, np.inf))
