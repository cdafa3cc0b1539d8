"""A cost measured around a point: its noise, and an estimate of every derivative."""

import math
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import numpy as np

from checks._types import FloatArray
from checks.complex_step import complex_step
from checks.differences import Estimate, differences
from checks.evaluations import Evaluations
from checks.noise import Noise, measure_noise

__all__ = ["METHODS", "Measurement", "at_peace", "measure"]

METHODS = ("auto", "complex-step", "central")


@dataclass(frozen=True)
class Measurement:
    """What is known of a cost around a point.

    Attributes
    ----------
    evaluations : Evaluations
    noise : Noise
    rtol : float
        The accuracy that a gradient owes unless told otherwise: √eps of the cost's precision.
    estimates : dict of str to Estimate
        By path, of all entries in row-major order.
    seed : int
    """

    evaluations: Evaluations
    noise: Noise
    rtol: float
    estimates: dict[str, Estimate]
    seed: int

    @property
    def method(self) -> str:
        """The method of all arrays, or "mixed"."""
        methods = {estimate.method for estimate in self.estimates.values() if estimate.value.size}
        return methods.pop() if len(methods) == 1 else "mixed"

    def shaped(self, path: str, values: FloatArray) -> FloatArray:
        """Return values of all entries of an array in its shape."""
        return values.reshape(self.evaluations.values[path].shape)


@contextmanager
def at_peace(evaluations: Evaluations) -> Iterator[None]:
    """Keep the warnings of moved costs from the caller, and restore the parameters at the end."""
    with evaluations.unchanged("cost"), np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def measure(
    evaluations: Evaluations,
    method: str,
    seed: int,
    rtol: float | None = None,
    claims: dict[str, FloatArray] | None = None,
) -> Measurement:
    """Measure the noise of a cost, then every derivative.

    Parameters
    ----------
    evaluations
        The cost at the point.
    method : {"auto", "complex-step", "central"}
        "auto" takes the complex step for arrays where it agrees with central differences.
    seed
        Draws the directions and the steps.
    rtol
        Default: √eps of the coarsest of the cost's noise and the dtypes of parameters and claims.
    claims
        Claimed gradients, for their dtypes.

    Raises
    ------
    ValueError
        The method is "complex-step", and the cost is not capable of it.
    """
    noise = measure_noise(evaluations, np.random.default_rng(seed))
    if rtol is None:
        arrays = (*evaluations.values.values(), *(claims or {}).values())
        eps = max(float(np.finfo(array.dtype).eps) for array in arrays)
        # not finer than float64, in which most costs are returned; 1 % of noise still leaves 10 %
        rtol = math.sqrt(min(max(eps, noise.relative, float(np.finfo(np.float64).eps)), 0.01))
    estimates = {}
    for n, path in enumerate(evaluations.values):
        rng = np.random.default_rng([seed, n])
        try:
            estimates[path] = _estimate(evaluations, path, method, noise, rng, rtol)
        except KeyboardInterrupt:
            if not evaluations.accept_interrupt():
                raise
            estimates[path] = _unknown(evaluations, path)
    return Measurement(evaluations, noise, rtol, estimates, seed)


def _estimate(
    evaluations: Evaluations,
    path: str,
    method: str,
    noise: Noise,
    rng: np.random.Generator,
    rtol: float,
) -> Estimate:
    entries = np.arange(evaluations.values[path].size)
    if not entries.size or evaluations.interrupted:
        return _unknown(evaluations, path)
    estimate = None
    if method != "central":
        estimate = complex_step(evaluations, path, entries, noise, rng)
    if estimate is None and method != "central" and evaluations.interrupted:
        return _unknown(evaluations, path)
    if estimate is None and method == "complex-step":
        raise ValueError(
            f"method is 'complex-step', but complex moves of {path} do not show the derivative "
            "that differences do: abs, max, comparisons, casts or .real in the cost drop the "
            "imaginary part, or there is none here to be seen; use method='auto' or 'central'"
        )
    if estimate and method == "complex-step":
        return replace(estimate, proof=0.0)  # it was asked for
    # a hundredth of what is owed, so that errors hardly widen what passes
    return estimate or differences(evaluations, path, entries, noise, rng, rtol / 100)


def _unknown(evaluations: Evaluations, path: str) -> Estimate:
    size = evaluations.values[path].size
    return Estimate(np.full(size, np.nan), np.full(size, np.inf), np.full((size, 2), np.nan))
