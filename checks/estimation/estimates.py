"""A cost measured around a point: its noise, and an estimate of every derivative."""

import math
from dataclasses import dataclass, replace

import numpy as np

from checks._types import FloatArray
from checks.estimation.complex_step import complex_step, incapable
from checks.estimation.finite_differences import Estimate, differences
from checks.estimation.noise import CostNoise, Noise
from checks.evaluation.pointwise import Evaluations

__all__ = ["METHODS", "Estimates", "estimate_derivatives"]

METHODS = ("auto", "complex-step", "central")


@dataclass(frozen=True)
class Estimates:
    """What is known of a cost around a point.

    Attributes
    ----------
    evaluations : Evaluations
    cost_noise : CostNoise
        Of the cost.
    rtol : float
        The accuracy that a gradient owes unless told otherwise: √eps of the cost's precision.
    by_path : dict of str to Estimate
        By path, of all entries in row-major order.
    seed : int
    """

    evaluations: Evaluations
    cost_noise: CostNoise
    rtol: float
    by_path: dict[str, Estimate]
    seed: int

    @property
    def noise(self) -> Noise:
        """The noise of the cost, measured at the latest now."""
        return self.cost_noise.measured

    @property
    def method(self) -> str:
        """The method of all arrays, or "mixed"."""
        methods = {estimate.method for estimate in self.by_path.values() if estimate.value.size}
        return methods.pop() if len(methods) == 1 else "mixed"

    def shaped(self, path: str, values: FloatArray) -> FloatArray:
        """Return values of all entries of an array in its shape."""
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
        Default: √eps of the coarsest of the cost's noise and the dtypes of parameters and claims.
    claims
        Claimed gradients, for their dtypes.

    Raises
    ------
    ValueError
        The method is "complex-step", and the cost is not capable of it.
    """
    noise, estimates = CostNoise(evaluations, seed), dict[str, Estimate]()
    if method != "central":
        estimates = complex_step(evaluations, noise, np.random.default_rng(seed))
    left = {p: v.size for p, v in evaluations.values.items() if v.size and p not in estimates}
    if left and method == "complex-step" and not evaluations.interrupted:
        raise incapable(left, evaluations.outside)
    met = noise.measured if left else noise.known  # measured for differences
    if rtol is None:
        dtypes = {claim.dtype for claim in (claims or {}).values()}
        eps = max([evaluations.eps, *(float(np.finfo(dtype).eps) for dtype in dtypes)])
        # not finer than float64, in which most costs are returned; 1 % of noise still leaves 10 %
        rtol = math.sqrt(min(max(eps, met.relative, float(np.finfo(np.float64).eps)), 0.01))
    try:
        for n, (path, size) in enumerate(left.items()):
            if not evaluations.interrupted:
                entries, rng = np.arange(size), np.random.default_rng([seed, n])
                # a hundredth of what is owed, so that errors hardly widen what passes
                estimates[path] = differences(evaluations, path, entries, met, rng, rtol / 100)
    except KeyboardInterrupt:
        if not evaluations.accept_interrupt():
            raise
    if method == "complex-step":  # it was asked for, and need not be proven
        estimates = {path: replace(estimate, proof=0.0) for path, estimate in estimates.items()}
    estimates = {p: estimates.get(p) or _unknown(v.size) for p, v in evaluations.values.items()}
    return Estimates(evaluations, noise, rtol, estimates, seed)


def _unknown(size: int) -> Estimate:
    return Estimate(np.full(size, np.nan), np.full(size, np.inf))
