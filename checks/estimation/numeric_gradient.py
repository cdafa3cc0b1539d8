"""A numeric gradient as a function of the parameters, so that it can be differentiated again."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from checks._types import FloatArray
from checks.estimation.estimates import Estimates, estimate_derivatives
from checks.estimation.finite_differences import Estimate
from checks.evaluation.cost_value import as_number
from checks.evaluation.memo import Memo
from checks.evaluation.pointwise import Evaluations
from checks.evaluation.result import Result
from checks.evaluation.step_sizes import imaginary_step
from checks.parameters.claims import entry_name
from checks.parameters.nesting import Nesting

__all__ = ["Doubt", "NumericGradient"]

# Steps of the differences, relative to each entry, the longest first. They have to be the same at
# all points, for only then is the difference as smooth as the cost.
STEPS = 2.0 ** -np.array([7, 9, 11, 13])
AGREE = 1e-5  # a step is good if D6 is off by at most this part of the largest derivative
# Where D6 of the shortest steps is off by more than the part LOST of itself, beyond the error of
# what is known and this times its noise, the cost oscillates within them, and D6 shows nothing.
LOST, MUCH = 1 / 8, 8.0
# D6 = (15 D_1 − 6 D_2 + D_3)/10 and D4 = (4 D_1 − D_2)/3, see `checks.estimation.stencils`
ORDER_6, ORDER_4 = (1.5, -0.6, 0.1), (4 / 3, -1 / 3)
NOISE = 1.08  # the standard deviation of D6, in units of (noise of the cost)/h
REACH = 4  # steps of room on each side: three for D6, and one for moves of the point


@dataclass(frozen=True, eq=False)
class Doubt:
    """What derivatives of a numeric gradient may be off by, beyond what their own values show.

    Attributes
    ----------
    low : callable or None
        The same gradient by differences of a lower order: twice what its derivatives differ by is
        added to the errors. None if the gradient is exact to rounding.
    errors : (P,) float
        Of the gradient's entries at the point, in order. Second derivatives may be off by errors /
        sizes, because what the cost absorbs of small terms changes as the parameters do.
    noise : (P,) float
        Of the gradient's entries, 0 if it is not known.
    sizes : dict of str to ndarray
        Of the entries by which the gradient is differentiated, by path.
    terms : (P,) float
        What entries of the gradient are a difference of, the cost over the size of the parameter;
        0 if the noise is not known. At a minimum the entries themselves are zero.
    is_symmetric : bool
        The gradient is differentiated by its own entries, so that derivatives are symmetric.
    """

    low: Callable[[Any], Any] | None
    errors: FloatArray
    noise: FloatArray
    sizes: Mapping[str, FloatArray]
    terms: FloatArray
    is_symmetric: bool = True

    def noisy(self, costs: Iterable[Result]) -> Iterator[Result]:
        """Yield entries of the gradient as costs that know their noise."""
        for cost, noise, terms in zip(costs, self.noise, self.terms, strict=True):
            cost.noise, cost.terms = float(noise), float(terms)
            yield cost

    def error(self, number: int, path: str) -> FloatArray:
        """Return what is added to the errors of one row, for one array."""
        return np.asarray(self.errors[number] / self.sizes[path].reshape(-1))


def _is_flat(estimates: Estimates) -> bool:
    """Whether all slopes are zero within a thousand times their errors, as at a minimum."""
    return all(np.all(np.abs(e.value) <= 1e3 * e.error) for e in estimates.by_path.values())


class NumericGradient:
    """The gradient of a cost from values of it, at any point near by.

    Where the cost carries imaginary parts through, it is exact to rounding, by complex steps. Else
    it is a difference of order 6, with the same steps everywhere.

    Parameters
    ----------
    evaluations
        The cost at the point.
    seed : int
        Draws the estimate that tells which of the two it is.

    Attributes
    ----------
    memo : Memo
        Of the cost; it counts calls.
    doubt : Doubt
        Of its derivatives.
    bounds : tuple of dict
        By path, where the gradient may be asked for.

    Raises
    ------
    ValueError
        Bounds leave an entry no room.
    """

    def __init__(self, evaluations: Evaluations, seed: int) -> None:
        self._evaluations, self._nesting = evaluations, evaluations.nesting
        self.memo = Memo(evaluations.cost, evaluations.nesting.params)
        # by formula, how often each point was asked for: asked again, the memo calls the cost anew
        self._asked: dict[Any, dict[Any, int]] = {None: {}, ORDER_6: {}, ORDER_4: {}}
        estimates = estimate_derivatives(evaluations, "auto", seed)
        self._is_random = estimates.cost_noise.known.stochastic
        if estimates.method != "complex-step" and _is_flat(estimates):
            # slopes of about zero do not show whether complex steps are right: those beside do
            moves = self._aside()
            beside = evaluations.beside(moves)
            with beside.restoring_parameters():
                others = estimate_derivatives(beside, "auto", seed)
            evaluations.count = beside.count
            estimates = others if others.method == "complex-step" else estimates
        errors = np.concatenate([e.error for e in estimates.by_path.values()])
        sizes = dict(evaluations.box.sizes)
        self.doubt = Doubt(None, errors, np.zeros(errors.size), sizes, np.zeros(errors.size))
        self.is_complex = estimates.method == "complex-step"
        box = evaluations.box
        self.bounds = dict(box.lower), dict(box.upper)
        if self.is_complex:
            return
        self._ignores_copies = self._is_closure()
        level, relative = estimates.noise.level, estimates.noise.relative
        found = {p: self._step(p, estimates.by_path[p], level) for p in evaluations.values}
        self._steps = {path: steps for path, (steps, _) in found.items()}
        h = np.concatenate([step.reshape(-1) for step in self._steps.values()])
        errors = np.where(
            np.concatenate([is_lost for _, is_lost in found.values()]), np.inf, errors
        )
        sizes_in_order = np.concatenate([size.reshape(-1) for size in sizes.values()])
        terms = np.divide(level, relative * sizes_in_order) if relative else 0 * h
        low = partial(self._differences, ORDER_4)
        noise = NOISE * level / h
        self.doubt = replace(self.doubt, low=low, errors=errors, noise=noise, terms=terms)
        self.bounds = (
            {path: low + (REACH - 1) * self._steps[path] for path, low in box.lower.items()},
            {path: high - (REACH - 1) * self._steps[path] for path, high in box.upper.items()},
        )

    def __call__(self, params: Any) -> Any:
        """Return the gradient, nested as the parameters."""
        if self.is_complex:
            return self._complex_steps(params)
        return self._differences(ORDER_6, params)

    def _aside(self) -> dict[str, FloatArray]:
        ends = self._evaluations.box.ends(np.random.default_rng(0))
        return {path: 2.0**-6 * end for path, end in ends.items()}

    def _is_closure(self) -> bool:
        """Whether the cost changes where the caller's arrays move, but not for moved copies."""
        evaluations, moves = self._evaluations, self._aside()
        copies = {p: (v + moves[p]).astype(v.dtype) for p, v in evaluations.values.items()}
        if evaluations.cost_moved(moves) == evaluations.at_point:
            return False
        result = evaluations.cost(self._nesting.rebuild(copies))
        return bool(as_number(result) == evaluations.at_point)

    def _step(
        self, path: str, estimate: Estimate, level: float
    ) -> tuple[FloatArray, NDArray[np.bool_]]:
        """Return the longest steps with which a difference agrees with what is known at the point.

        Where none does, as at a kink, it is the shortest; also whether that shows nothing, (m,).
        """
        slopes, lost = estimate.value, np.zeros(estimate.value.size, bool)
        evaluations, value = self._evaluations, self._evaluations.values[path]
        room = np.minimum(*evaluations.box.room(path))
        fixed = np.flatnonzero(~(room > 0))
        if fixed.size:
            index = tuple(int(i) for i in np.unravel_index(fixed[0], value.shape))
            raise ValueError(
                f"{entry_name(path, index)} stands on a bound, where values of the cost alone "
                "show no second derivative: pass gradient=, or check at a point inside"
            )
        sizes = np.minimum(evaluations.box.sizes[path], room)
        known = np.abs(slopes[np.isfinite(slopes)]).max(initial=0)
        found = STEPS[-1] * sizes
        for relative in STEPS[::-1]:
            h = (relative * sizes).astype(value.dtype)
            steps = h.reshape(-1, 1) * np.array([1, 2, 3, -1, -2, -3], value.dtype)
            costs = evaluations.at_entries(path, np.arange(value.size), steps)
            odd = (costs[:, :3] - costs[:, 3:]) / (2 * steps[:, :3])
            difference = odd @ np.array(ORDER_6)
            # at a minimum all slopes are zero, but they change over a step
            changed = np.abs((costs[:, 0] - evaluations.at_point) / steps[:, 0] - slopes)
            largest = max(known, np.max(changed, where=np.isfinite(changed), initial=0))
            off = np.abs(difference - slopes)
            # an entry that is small beside the largest may agree with it and be all wrong
            noise = MUCH * NOISE * level / h.reshape(-1)
            is_wrong = off - estimate.error - noise > LOST * np.abs(slopes)
            agrees = (off <= AGREE * largest) & ~is_wrong
            lost = is_wrong if relative == STEPS[-1] else lost & ~agrees
            found = np.where(agrees.reshape(value.shape), h, found)
        # powers of two, so that moved points are not rounded more than they must be
        return np.asarray(2.0 ** np.floor(np.log2(found))), lost

    def _cost(self, params: Any, asked: dict[Any, int]) -> Any:
        # two calls that are equal once are not made again at every point
        return as_number(self.memo.read(params, asked if self._is_random else {}))

    def _complex_steps(self, params: Any) -> Any:
        values = Nesting(params).leaves
        arrays = {p: np.array(a, np.result_type(a, np.complex64)) for p, a in values.items()}
        moved, asked = self._nesting.rebuild(arrays), self._asked[None]
        slopes = {}
        for path, array in arrays.items():
            h = array.real.dtype.type(imaginary_step(array.dtype))
            found, imag = [], array.imag.flat
            for entry in range(array.size):
                imag[entry] = h
                found.append(self._cost(moved, asked).imag / h)
                imag[entry] = 0
            slopes[path] = np.array(found, array.real.dtype).reshape(array.shape)
        return self._nesting.rebuild(slopes)

    def _differences(self, weights: tuple[float, ...], params: Any) -> Any:
        """Return differences Σ_k w_k D_k, by moving the arrays of `params` in place."""
        if self._ignores_copies and not self.memo.is_own(params):
            raise TypeError("the cost closes over its parameters, and ignores its argument")
        arrays = {path: np.asarray(a) for path, a in Nesting(params).leaves.items()}
        in_place = all(array.flags.writeable for array in arrays.values())
        if not in_place:
            arrays = {path: array.copy() for path, array in arrays.items()}
        moved = params if in_place else self._nesting.rebuild(arrays)
        asked, slopes = self._asked[weights], {}
        for path, array in arrays.items():
            dtype = np.result_type(array.dtype, np.float64)
            found = np.zeros(array.size, dtype)
            for entry in range(array.size):
                saved, h = array.flat[entry], self._steps[path].flat[entry]
                try:
                    for k, weight in enumerate(weights, 1):
                        ends = []
                        for side in (k, -k):
                            array.flat[entry] = saved + array.dtype.type(side * h)
                            taken = array.flat[entry].astype(dtype) - saved
                            ends.append((taken, self._cost(moved, asked)))
                        (above, high), (below, low) = ends
                        found[entry] += weight * ((high - low) / (above - below))
                finally:
                    array.flat[entry] = saved
            slopes[path] = found.reshape(array.shape)
        return self._nesting.rebuild(slopes)
