"""Complex steps Im C(θ + ih)/h (Squire and Trapp 1998) with an error, proven by differences."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from checks._types import FloatArray
from checks.estimation.finite_differences import (
    Estimate,
    directional_difference,
    draw_direction,
    fitted_line,
)
from checks.estimation.noise import ASSUMED_PLACES, CostNoise, Noise
from checks.estimation.step_error import CAUTION, ComplexSteps, step_errors
from checks.evaluation.control_flow import is_control_flow
from checks.evaluation.pointwise import Evaluations

__all__ = ["PROOF", "complex_step", "incapable_error"]

# Differences that agree with complex steps, and have at most this relative error, prove that the
# cost carries imaginary parts through.
PROOF = 1e-3
SHRINK = (1, 2.0**-2, 2.0**-4)  # a proof is tried at the parameters times each of these factors


def complex_step(
    evaluations: Evaluations, noise: CostNoise, rng: np.random.Generator
) -> dict[str, Estimate]:
    """Estimate the derivatives by those arrays whose imaginary parts the cost carries through.

    abs, comparisons, maxima, casts and ``.real`` drop the imaginary part silently, and a C
    extension may refuse it. So an array is accepted only if central differences agree with its
    steps. They are taken along one direction of all arrays. The signs of the direction are those of
    the steps, so that no two terms of step · direction cancel; its sizes are random, so that errors
    of several steps hardly ever cancel.

    A complex step subtracts nothing, so its error is rounding: see `checks.estimation.step_error`.

    Parameters
    ----------
    evaluations
        The cost. It is called once for each entry, once more in a wider dtype, and about twenty
        times for proof and rounding of up to four arrays.
    noise
        The noise of the cost. It is measured only where differences disagree with the steps, which
        noise may explain, or where two values of the cost at the point differ.
    rng
        Draws directions and samples.

    Returns
    -------
    dict of str to Estimate
        By path, without the arrays that are not proven.
    """
    direction = evaluations.split(draw_direction(evaluations.size, rng))
    steps = _complex_steps(evaluations, direction)
    if not steps:
        return {}
    try:
        noise.measure_if_not_repeatable(np.concatenate([array.costs for array in steps.values()]))
        return _proven_estimates(evaluations, steps, direction, noise, rng)
    except KeyboardInterrupt:
        if not evaluations.accept_interrupt():
            raise
        # the proof is started again: it is short, and the steps are worth nothing without it
        return _proven_estimates(evaluations, steps, direction, noise, rng)


def _complex_steps(
    evaluations: Evaluations, direction: Mapping[str, FloatArray]
) -> dict[str, ComplexSteps]:
    """Return complex steps by path, without arrays of which some are not finite, or all are 0.

    A move along `direction` may show that none can be taken.
    """
    steps: dict[str, ComplexSteps] = {}
    try:
        lengths = {path: evaluations.complex_step(path) for path in evaluations.values}
        for path, costs in evaluations.at_every_entry(lengths, direction):
            h = lengths[path]
            slopes = costs.imag.reshape(evaluations.values[path].shape) / h
            known = np.isfinite(slopes)
            if not known.all():
                if not evaluations.interrupted:
                    continue
                slopes = np.where(known, slopes, 0)
            if largest := float(np.abs(slopes).max(initial=0)):
                real_parts = costs.real[known.ravel()]
                steps[path] = ComplexSteps(h, slopes, known, largest, real_parts)
    except Exception as error:
        if is_control_flow(error):
            raise
        evaluations.complex_outside = f"{type(error).__name__}: {error}"
        return {}
    return steps


def _proven_estimates(
    evaluations: Evaluations,
    steps: Mapping[str, ComplexSteps],
    direction: Mapping[str, FloatArray],
    noise: CostNoise,
    rng: np.random.Generator,
) -> dict[str, Estimate]:
    """Return estimates of the arrays whose complex steps are proven and accurate enough."""
    proofs = _proofs(evaluations, steps, direction, noise)
    estimates = {}
    for path, (of_rounding, precision) in step_errors(
        evaluations, {p: steps[p] for p in proofs}, rng
    ).items():
        array = steps[path]
        known, covered = array.known.ravel(), proofs[path].covered.ravel()
        of_factor = _off_in_real_part(evaluations, path, array)
        error = of_rounding + of_factor * np.abs(array.slopes.ravel())
        # where rounding exceeds PROOF, differences are taken, which can also find a kink
        if error[known].max() <= PROOF * array.largest:
            estimates[path] = Estimate(
                np.where(known & covered, array.slopes.ravel(), np.nan),
                np.where(known & covered, error, np.inf),
                method="complex-step",
                proof=proofs[path].error,
                precision=precision,
            )
    return estimates


def _off_in_real_part(evaluations: Evaluations, path: str, array: ComplexSteps) -> float:
    """Return by what part of themselves steps are off if the complex cost has other factors.

    Functions of complex numbers may lose digits that those of real ones keep, in a wider dtype too,
    as numpy's log1p does at 1e-25. A factor may then be off by as much as the real part of the cost
    differs from the real cost, relative to its terms. 0 where that is by a few last places.
    """
    off = float(np.abs(array.costs - evaluations.at_point).max(initial=0))
    terms = float(np.abs(array.slopes * evaluations.values[path]).sum())
    off /= max(abs(float(evaluations.at_point)), terms) or 1.0
    return CAUTION * off if off > ASSUMED_PLACES / 4 * evaluations.eps else 0.0


@dataclass(frozen=True, eq=False)
class _Proof:
    """What differences show of the complex steps of an array.

    Attributes
    ----------
    error : float
        By how much a single step may be off without this showing, relative to the largest step.
    covered : ndarray of bool
        The entries that moved far enough to show in the differences, in the array's shape. Others
        have no room within the bounds, or are small: an entry moves by its own size at most.
    """

    error: float
    covered: NDArray[np.bool_]


def _proofs(
    evaluations: Evaluations,
    steps: Mapping[str, ComplexSteps],
    direction: Mapping[str, FloatArray],
    noise: CostNoise,
) -> dict[str, _Proof]:
    """Return the proof of every array whose complex steps agree with differences.

    Where the cost is too noisy or too flat for differences, as where it is saturated, the proof is
    tried at smaller parameters: the same code handles imaginary parts there. All arrays are proven
    together where that is accurate enough, and one by one elsewhere.
    """
    directions, terms = {}, 0.0
    for path, array in steps.items():
        terms += float(np.abs(array.slopes * evaluations.values[path]).sum())
        aligned = direction[path]
        if not evaluations.shared:
            aligned = np.copysign(aligned, array.slopes)
        directions[path] = aligned * evaluations.scales[path] * array.known
    proofs: dict[str, _Proof] = {}
    unproven = list(steps)
    for shrink in SHRINK:
        groups = [unproven] if unproven else []
        while groups:
            group = {path: directions[path] for path in groups.pop()}
            noise_before = used = noise.known
            if evaluations.shared:
                # one of several results may be a small difference of larger terms, which round
                least = ASSUMED_PLACES * evaluations.eps * terms
                used = replace(used, level=max(used.level, least))
            found = _prove(evaluations, group, steps, shrink, used)
            if found is None or len(found) < len(group):
                # Noise has only been assumed so far. Measured noise that is larger may explain a
                # disagreement; with smaller noise, differences may prove more arrays.
                level = noise.measured.level
                if level > noise_before.level if found is None else level < noise_before.level:
                    groups.append([*group])
                    continue
            if found is None and len(group) == 1:
                # this array disagrees, or differences fail: not tried at smaller parameters
                unproven = [path for path in unproven if path not in group]
            else:
                proofs |= found or {}
                # alone, an array fails only if it disagrees itself, and can be moved further
                groups += [[path] for path in group if path not in proofs and len(group) > 1]
        unproven = [path for path in unproven if path not in proofs]
    return proofs


def _prove(
    evaluations: Evaluations,
    directions: Mapping[str, FloatArray],
    steps: Mapping[str, ComplexSteps],
    shrink: float,
    noise: Noise,
) -> dict[str, _Proof] | None:
    """Compare complex steps with differences along directions of some arrays, moved at once.

    Returns
    -------
    dict of str to _Proof, or None
        Proofs of the arrays for whose part of the difference its error is at most `PROOF`; where
        several arrays move, only of those whose movable entries are all covered. None where complex
        steps and differences disagree, or differences do not converge.
    """
    base: dict[str, FloatArray] = {}
    if shrink != 1:
        base = evaluations.box.shrunken(shrink)
    line = fitted_line(evaluations, directions, noise, base)
    directions = line.directions
    parts = {}  # what each array adds to the directional derivative, by complex steps
    for path, direction in directions.items():
        array = steps[path]
        if base:
            moves: dict[str, Any] = {**base, path: base[path] + 1j * array.h * direction}
            parts[path] = float(evaluations.cost_moved(moves).imag / array.h)
        else:
            parts[path] = float(np.vdot(array.slopes, direction))
    value, error = directional_difference(evaluations, line, noise, base)
    if not abs(sum(parts.values()) - value) <= error < np.inf:
        return None
    proofs = {}
    for path, part in parts.items():
        # at the point it is Σ |slope · v|, because terms of both signs may cancel in `part`
        terms = abs(part) if base else float(np.abs(steps[path].slopes * directions[path]).sum())
        if error <= PROOF * terms > 0:
            # An entry is covered if the difference would show its slope off by the mean |slope|,
            # or if it moved at least half as far as the farthest: in large arrays (700 entries)
            # the mean is too little to show.
            sizes = np.abs(directions[path])
            visible = sizes * max(1 / sizes.sum(), 2 * PROOF / sizes.max()) * terms
            covered = (visible >= error) & (sizes > 0)
            if len(parts) == 1 or covered[sizes > 0].all():
                relative = error / terms
                of_one = _of_one_entry(steps[path].slopes, directions[path], covered)
                proofs[path] = _Proof(relative * of_one, covered)
    return proofs


def _of_one_entry(slopes: FloatArray, direction: FloatArray, covered: NDArray[np.bool_]) -> float:
    """Return the factor from an error of Σ |slope · direction| to that of one covered entry.

    The first is relative to the sum, the second to the largest slope. At worst, all of the error is
    of the entry that moved least.
    """
    products = np.abs(slopes * direction)
    return float(products.sum() / (np.abs(direction[covered]).min() * np.abs(slopes).max()))


def incapable_error(paths: Iterable[str], reason: str = "") -> ValueError:
    """Return the error for method="complex-step" where complex steps of some arrays fail.

    `reason` is what the cost raised when it was given complex numbers, if anything.
    """
    return ValueError(
        f"method is 'complex-step', but complex moves of {', '.join(paths)} do not give the "
        "derivative that differences give: abs, max, comparisons, casts or .real in the cost drop "
        "the imaginary part, or the cost does not change enough here to tell"
        f"{f' ({reason})' if reason else ''}; use method='auto' or 'central'"
    )
