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
from checks.estimation.step_error import CAUTION, ComplexSteps, cover_factors, step_errors
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
    entries = evaluations.entries
    lengths = {path: evaluations.complex_step(path) for path in evaluations.values}
    try:
        costs = entries.joined(dict(evaluations.at_every_entry(lengths, direction)))
    except Exception as error:
        if is_control_flow(error):
            raise
        evaluations.complex_outside = f"{type(error).__name__}: {error}"
        return {}
    slopes = costs.imag / entries.spread([lengths[path] for path in entries.filled])
    known = np.isfinite(slopes)
    if not known.all():
        if not evaluations.interrupted:
            known &= entries.spread(entries.of_arrays(np.logical_and, known))
        slopes = np.where(known, slopes, 0)
    largest = dict(zip(entries.filled, entries.of_arrays(np.maximum, np.abs(slopes)), strict=True))
    slopes, is_known, real_parts = map(entries.split, (slopes, known, costs.real))
    return {
        path: ComplexSteps(
            lengths[path], slopes[path], is_known[path], float(largest[path]),
            real_parts[path][is_known[path]],
        )
        for path in entries.filled
        if largest[path]
    }  # fmt: skip


def _proven_estimates(
    evaluations: Evaluations,
    steps: Mapping[str, ComplexSteps],
    direction: Mapping[str, FloatArray],
    noise: CostNoise,
    rng: np.random.Generator,
) -> dict[str, Estimate]:
    """Return estimates of the arrays whose complex steps are proven and accurate enough."""
    proofs = _proofs(evaluations, steps, direction, noise)
    steps = {path: steps[path] for path in proofs}
    found = step_errors(evaluations, steps, rng)
    off, estimates = _off_in_real_part(evaluations, steps), {}
    for path, (of_rounding, precision) in found.items():
        array, is_known = steps[path], steps[path].known.ravel()
        slopes, error = array.slopes.ravel(), of_rounding
        if off[path]:
            error = of_rounding + off[path] * np.abs(slopes)
        # where rounding exceeds PROOF, differences are taken, which can also find a kink
        if error.max(where=is_known, initial=0) <= PROOF * array.largest:
            is_covered = is_known & proofs[path].covered.ravel()
            if not is_covered.all():
                slopes = np.where(is_covered, slopes, np.nan)
                error = np.where(is_covered, error, np.inf)
            estimates[path] = Estimate(
                slopes,
                error,
                method="complex-step",
                proof=proofs[path].error,
                precision=precision,
            )
    # after the choice above, as differences would have the same factor, and not show it
    cover_factors(evaluations, steps, estimates, rng)
    return estimates


def _off_in_real_part(
    evaluations: Evaluations, steps: Mapping[str, ComplexSteps]
) -> dict[str, float]:
    """Return by what part of themselves steps are off if the complex cost has other factors.

    Functions of complex numbers may lose digits that those of real ones keep, in a wider dtype too,
    as numpy's log1p does at 1e-25. A factor may then be off by as much as the real part of the cost
    differs from the real cost, relative to its terms. 0 where that is by a few last places.
    """
    parts, at_point = dict.fromkeys(steps, 0.0), evaluations.at_point
    few = ASSUMED_PLACES / 4 * evaluations.eps
    real_parts = np.concatenate([array.costs for array in steps.values()]) if steps else np.zeros(0)
    if (np.abs(real_parts - at_point) <= few * abs(at_point)).all():
        return parts
    for path, array in steps.items():
        off = float(np.abs(array.costs - at_point).max(initial=0))
        terms = float(np.abs(array.slopes * evaluations.values[path]).sum())
        off /= max(abs(float(at_point)), terms) or 1.0
        parts[path] = CAUTION * off if off > few else 0.0
    return parts


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
    entries, box = evaluations.entries, evaluations.box
    slopes = entries.joined({path: array.slopes for path, array in steps.items()})
    aligned = entries.joined(direction)
    if not evaluations.shared:
        aligned = np.copysign(aligned, slopes)
    known = entries.joined({path: array.known for path, array in steps.items()})
    directions = entries.split(aligned * box.typical * known)
    proofs: dict[str, _Proof] = {}
    unproven = list(steps)
    for shrink in SHRINK:
        groups = [unproven] if unproven else []
        while groups:
            group = {path: directions[path] for path in groups.pop()}
            noise_before = used = noise.known
            if evaluations.shared:
                # one of several results may be a small difference of larger terms, which round
                terms = float(np.abs(slopes * box.vector).sum())
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
    entries = evaluations.entries
    v, slopes = map(entries.joined, (directions, {path: steps[path].slopes for path in directions}))
    products = np.abs(slopes * v)
    # what each array adds to the directional derivative, by complex steps
    parts, terms, sums = {}, {}, entries.of_arrays(np.add, products)
    for path, total in zip(entries.filled, sums.tolist(), strict=True):
        if path not in directions:
            continue
        array = steps[path]
        if base:
            moves: dict[str, Any] = {**base, path: base[path] + 1j * array.h * directions[path]}
            parts[path] = float(evaluations.cost_moved(moves).imag / array.h)
        else:
            parts[path] = float(np.vdot(array.slopes, directions[path]))
        # at the point it is Σ |slope · v|, because terms of both signs may cancel in `parts`
        terms[path] = abs(parts[path]) if base else total
    value, error = directional_difference(evaluations, line, noise, base)
    if not abs(sum(parts.values()) - value) <= error < np.inf:
        return None
    # An entry is covered if the difference would show its slope off by the mean |slope|, or if it
    # moved at least half as far as the farthest: in large arrays (700 entries) the mean is too
    # little to show.
    sizes = np.abs(v)
    with np.errstate(divide="ignore", invalid="ignore"):
        mean, farthest = (1 / entries.of_arrays(f, sizes) for f in (np.add, np.maximum))
        shown = np.maximum(mean, 2 * PROOF * farthest)
        shown *= [terms.get(path, 0.0) for path in entries.filled]
    covered = (sizes * entries.spread(shown) >= error) & (sizes > 0)
    all_covered = entries.of_arrays(np.logical_and, covered | (sizes == 0))
    # From an error of Σ |slope · v| to that of one covered entry: the first is relative to the sum,
    # the second to the largest slope. At worst, all of it is of the entry that moved least.
    least_moved = entries.of_arrays(np.minimum, np.where(covered, sizes, np.inf))
    is_covered, proofs = entries.split(covered), {}
    of_arrays = zip(entries.filled, sums, least_moved, all_covered, strict=True)
    for path, total, least, every in of_arrays:
        if path in terms and error <= PROOF * terms[path] > 0 and (every or len(parts) == 1):
            of_one = total / (least * steps[path].largest)
            proofs[path] = _Proof(float(error / terms[path] * of_one), is_covered[path])
    return proofs


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
