"""Complex steps with an error: Im C(θ + ih)/h (Squire and Trapp 1998), tested before trusted."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from checks._types import FloatArray
from checks.estimation.finite_differences import Estimate, directional_difference, draw_direction
from checks.estimation.noise import CostNoise, Noise
from checks.estimation.step_error import ComplexSteps, step_errors
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
            if not evaluations.cost_moved(moves).imag:
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
    except Exception as error:  # any exception means that the cost cannot take complex numbers
        evaluations.outside = f"{type(error).__name__}: {error}"
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
        known = array.known.reshape(-1)
        if error[known].max() <= PROOF * array.largest:  # else differences tell more, of a kink say
            estimates[path] = Estimate(
                np.where(known, array.slopes.reshape(-1), np.nan),
                error,
                method="complex-step",
                proof=proofs[path] * _of_one_entry(array.slopes, direction[path]),
                precision=precision,
            )
    return estimates


def _proofs(
    evaluations: Evaluations,
    steps: Mapping[str, ComplexSteps],
    direction: Mapping[str, FloatArray],
    noise: CostNoise,
) -> dict[str, float]:
    """Return the arrays that differences prove, with the relative error of the differences.

    Where the cost is too noisy or too flat at the point, as where it is saturated, the proof is
    tried at smaller parameters: the code that handles imaginary parts is the same there. All arrays
    are proven together where that is accurate enough, else one by one.
    """
    directions = {}
    for path, array in steps.items():
        aligned = np.copysign(direction[path], array.slopes) * evaluations.scales[path]
        directions[path] = aligned * array.known
    proofs: dict[str, float] = {}
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
) -> dict[str, float] | None:
    """Compare complex steps with differences along directions of some arrays, moved at once.

    Returns
    -------
    dict of str to float, or None
        The relative error of the difference for each array for which it is at most `PROOF`. None
        where complex steps and differences disagree, or differences do not converge.
    """
    base: dict[str, FloatArray] = {}
    if shrink != 1:
        base = {path: (shrink - 1) * value for path, value in evaluations.values.items()}
    parts = {}  # of the directional derivative, by complex steps
    for path, direction in directions.items():
        array = steps[path]
        if base:
            moves: dict[str, Any] = {**base, path: base[path] + 1j * array.h * direction}
            parts[path] = float(evaluations.cost_moved(moves).imag / array.h)
        else:
            parts[path] = float(np.vdot(array.slopes, direction))
    value, error = directional_difference(evaluations, directions, noise, base)
    if not abs(sum(parts.values()) - value) <= error < np.inf:
        return None
    return {path: error / abs(p) for path, p in parts.items() if error <= PROOF * abs(p) > 0}


def _of_one_entry(slopes: FloatArray, direction: FloatArray) -> float:
    """Return the factor from a relative error of Σ |slope · direction| to that of one entry.

    It is relative to the largest slope: all of what the sum may lack may be missing in one entry.
    """
    products = np.abs(slopes * direction)
    return float(products.sum() / (np.abs(direction).min() * np.abs(slopes).max()))


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
