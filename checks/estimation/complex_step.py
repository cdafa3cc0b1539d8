"""Complex steps with an error: Im C(θ + ih)/h (Squire and Trapp 1998), tested before trusted."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
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
from checks.estimation.noise import CostNoise, Noise
from checks.estimation.step_error import ComplexSteps, step_errors
from checks.evaluation.control_flow import is_control_flow
from checks.evaluation.pointwise import Evaluations

__all__ = ["PROOF", "complex_step", "incapable_error"]

# Differences that agree with complex steps, and have at most this relative error, prove that the
# cost carries imaginary parts through.
PROOF = 1e-3
SHRINK = (1, 2.0**-2, 2.0**-4)  # factors on the parameters at which a proof is tried


def complex_step(
    evaluations: Evaluations, noise: CostNoise, rng: np.random.Generator
) -> dict[str, Estimate]:
    """Estimate the derivatives by those arrays in which the cost carries imaginary parts through.

    abs, comparisons, maxima, casts and ``.real`` drop the imaginary part silently, and a C
    extension may refuse it. So an array is accepted only if central differences agree. They are
    taken along one direction of all arrays. Its entries have the signs of the estimates, so that
    these add up, and random sizes, so that parts missing from several entries do not cancel.

    A complex step subtracts nothing, so an entry is right to the rounding of the derivative's own
    arithmetic, see `checks.estimation.step_error`.

    Parameters
    ----------
    evaluations
        The cost; one evaluation is spent on an entry, one more of it in a wider dtype, and about
        twenty on proof and rounding of up to four arrays.
    noise
        The noise of the cost. It is measured only where differences do not agree, as noise may
        explain, or where two values of the cost at the point differ.
    rng
        Draws directions and samples.

    Returns
    -------
    dict of str to Estimate
        By path, (m,) values and errors, without the arrays that are not proven.
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
        # start the proof again: it is short, and without it nothing is known
        return _proven_estimates(evaluations, steps, direction, noise, rng)


def _complex_steps(
    evaluations: Evaluations, direction: Mapping[str, FloatArray]
) -> dict[str, ComplexSteps]:
    """Return the complex steps of the arrays that have finite ones, not all of them 0.

    Unless the cost declares itself analytic, a single move along `direction` is tried first.
    """
    steps: dict[str, ComplexSteps] = {}
    smallest_step = 1j * min(map(evaluations.complex_step, evaluations.values))
    try:
        if not getattr(evaluations.cost, "analytic", False):
            moves = {path: smallest_step * move for path, move in direction.items()}
            together = evaluations.cost_moved(moves).imag
            if together == 0 or np.isnan(together):
                return steps
        for path, value in evaluations.values.items():
            h, entries = evaluations.complex_step(path), np.arange(value.size)
            costs = evaluations.at_entries(path, entries, np.full((value.size, 1), 1j * h))
            slopes = costs.imag.reshape(value.shape) / h
            known = np.isfinite(slopes)
            if not known.all():
                if not evaluations.interrupted:
                    continue
                slopes = np.where(known, slopes, 0)
            if largest := float(np.abs(slopes).max(initial=0)):
                real_parts = costs.real[known.reshape(-1)]
                steps[path] = ComplexSteps(h, slopes, known, largest, real_parts)
    except Exception as error:  # any other means that the cost cannot take complex numbers
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
    for path, (error, precision) in step_errors(
        evaluations, {p: steps[p] for p in proofs}, rng
    ).items():
        array = steps[path]
        known, covered = array.known.reshape(-1), proofs[path].covered.reshape(-1)
        if error[known].max() <= PROOF * array.largest:  # else differences tell more, of a kink say
            estimates[path] = Estimate(
                np.where(known & covered, array.slopes.reshape(-1), np.nan),
                np.where(known & covered, error, np.inf),
                method="complex-step",
                proof=proofs[path].error,
                precision=precision,
            )
    return estimates


@dataclass(frozen=True, eq=False)
class _Proof:
    """What differences showed of the complex steps of an array.

    Attributes
    ----------
    error : float
        What the differences leave open of one entry, relative to the largest.
    covered : ndarray of bool
        The entries that moved far enough to show in the differences, in the array's shape. Bounds
        may leave others no room, and small ones are not moved beyond their own size.
    """

    error: float
    covered: NDArray[np.bool_]


def _proofs(
    evaluations: Evaluations,
    steps: Mapping[str, ComplexSteps],
    direction: Mapping[str, FloatArray],
    noise: CostNoise,
) -> dict[str, _Proof]:
    """Return the proof of every array that differences prove.

    Where the cost is too noisy or too flat at the point, as where it is saturated, the proof is
    tried at smaller parameters: the code that handles imaginary parts is the same there. All arrays
    are proven together where that is accurate enough, else one by one.
    """
    directions = {}
    for path, array in steps.items():
        aligned = np.copysign(direction[path], array.slopes) * evaluations.scales[path]
        directions[path] = aligned * array.known
    proofs: dict[str, _Proof] = {}
    unproven = list(steps)
    for shrink in SHRINK:
        groups = [unproven] if unproven else []
        while groups:
            group = {path: directions[path] for path in groups.pop()}
            noise_before = noise.known
            found = _prove(evaluations, group, steps, shrink, noise_before)
            if found is None or len(found) < len(group):
                # repeat with the measured noise if that may change the outcome: more of it may
                # explain that they disagree, and with less of it more arrays are proven
                level = noise.measured.level
                if level > noise_before.level if found is None else level < noise_before.level:
                    groups.append([*group])
                    continue
            if found is None and len(group) == 1:
                unproven = [path for path in unproven if path not in group]  # it is refuted
            else:
                proofs |= found or {}
                # alone, an array is either the one that disagrees, or can be moved further
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
        Of each array for which the relative error of the difference is at most `PROOF`; where
        several move at once, only of those whose movable entries are all covered. None where
        complex steps and differences disagree, or differences do not converge.
    """
    base: dict[str, FloatArray] = {}
    if shrink != 1:
        base = evaluations.box.shrunken(shrink)
    line = fitted_line(evaluations, directions, noise, base)
    directions = line.directions
    parts = {}  # of the directional derivative, by complex steps
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
        if error <= PROOF * abs(part) > 0:
            # An entry is covered if it would have shown were it off by the mean slope; in large
            # arrays by what `PROOF` leaves to one of entries that differ by a factor of two.
            sizes = np.abs(directions[path])
            visible = sizes * max(1 / sizes.sum(), 2 * PROOF / sizes.max()) * abs(part)
            covered = (visible >= error) & (sizes > 0)
            if len(parts) == 1 or covered[sizes > 0].all():
                relative = error / abs(part)
                of_one = _of_one_entry(steps[path].slopes, directions[path], covered)
                proofs[path] = _Proof(relative * of_one, covered)
    return proofs


def _of_one_entry(slopes: FloatArray, direction: FloatArray, covered: NDArray[np.bool_]) -> float:
    """Return the factor from a relative error of Σ |slope · direction| to that of one entry.

    It is relative to the largest slope: all that the sum may lack may be missing in one of those
    covered.
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
