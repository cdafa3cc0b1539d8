"""The claimed gradient: what the first call returned, and what further calls show of it."""

import contextlib
from collections.abc import Callable
from typing import Any

import numpy as np

from checks._types import FloatArray
from checks.estimation.claim_rounding import claim_rounding
from checks.estimation.precision import Copies, wider_dtype
from checks.evaluation.pointwise import Evaluations

__all__ = ["Claim"]


class Claim:
    """A claimed gradient.

    Parameters
    ----------
    evaluations
        At the point.
    arrays : dict of str to ndarray
        What was claimed there, by path.
    function : callable, optional
        Takes nested parameters and returns what it claims of them, in new arrays by path. None if
        the claim was given as arrays.

    Attributes
    ----------
    arrays
        As above.
    unmeasured : str
        Why `rounding` could not measure the claim's own rounding; empty otherwise.
    """

    def __init__(
        self,
        evaluations: Evaluations,
        arrays: dict[str, FloatArray],
        function: Callable[[Any], dict[str, FloatArray]] | None = None,
    ) -> None:
        self._evaluations, self.arrays, self._function = evaluations, arrays, function
        self.unmeasured = ""
        self._repeats = True

    @property
    def eps(self) -> float:
        """The spacing of numbers at 1 in the coarsest dtype of the parameters."""
        return self._evaluations.eps

    def again(self) -> dict[str, FloatArray]:
        """Return what is claimed in another call at the point, if there is a function to call."""
        if self._function is None or self._evaluations.interrupted:
            return self.arrays
        try:
            other: dict[str, FloatArray] = self._evaluations.call_at_point(self._function)
        finally:
            self._evaluations.restore()
        self._repeats = self._repeats and all(
            np.array_equal(other[path], g, equal_nan=True) for path, g in self.arrays.items()
        )
        return other

    def rounding(self, seed: int) -> dict[str, FloatArray]:
        """Return the claim's own rounding of every entry by path, nan where it is not known.

        This takes six calls with copies of the parameters in the next wider dtype. A function may
        keep its argument, as in net.W = W, so `again` has to be called at the point afterwards.
        """
        unknown = {path: np.full(g.shape, np.nan) for path, g in self.arrays.items()}
        values = self._evaluations.values
        widest = np.result_type(*values.values())
        wider = wider_dtype(widest)
        if self._function is None:
            self.unmeasured = "the gradient was given as arrays, not as a function"
        elif wider is None:
            self.unmeasured = f"there is no dtype wider than {widest} here"
        elif not self._repeats:
            self.unmeasured = "two calls of it at one point differ"
        elif self._evaluations.interrupted:
            self.unmeasured = "interrupted"
        else:
            copies = Copies(
                self._function, self._evaluations.nesting, values, wider, self._evaluations.box
            )
            rng = np.random.default_rng([seed, len(values)])
            cost = float(self._evaluations.at_point)
            try:
                found = claim_rounding(self.arrays, copies, lambda arrays: arrays, rng, cost)
            except BaseException:
                with contextlib.suppress(Exception):
                    self.again()
                raise
            self._evaluations.restore()
            if any(np.isnan(b).any() for b in found.rounding.values()):
                raised = f"{found.said[:80]}" if found.said else "some of it does not use it"
                self.unmeasured = f"called with {wider} parameters, {raised}"
            return {path: np.asarray(b, float) for path, b in found.rounding.items()}
        return unknown
