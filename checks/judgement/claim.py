"""The claimed gradient: what the first call returned, and what further calls show of it."""

import contextlib
import math
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from checks._types import FloatArray
from checks.estimation.claim_rounding import claim_rounding
from checks.estimation.precision import copies_of, wider_dtype
from checks.evaluation.control_flow import is_control_flow
from checks.evaluation.pointwise import Evaluations
from checks.report.verdict import largest_entry

__all__ = ["Claim"]

# A cost that loses more than COARSE last places of its dtype computes with fewer digits inside.
COARSE = 2.0**5


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
    evaluations, arrays
        As above.
    function
        As above; it calls the cost first if the claim reads what the cost kept, see `again`.
    unmeasured : str
        Why `rounding` could not measure the claim's own rounding; empty otherwise.
    """

    def __init__(
        self,
        evaluations: Evaluations,
        arrays: dict[str, FloatArray],
        function: Callable[[Any], dict[str, FloatArray]] | None = None,
    ) -> None:
        self.evaluations, self.arrays, self.function = evaluations, arrays, function
        self.unmeasured = ""
        self._repeats = True

    @property
    def eps(self) -> float:
        """The spacing of numbers at 1 in the coarsest dtype of the parameters."""
        return self.evaluations.eps

    @property
    def is_given(self) -> bool:
        """Whether it was given as arrays, not as a function."""
        return self.function is None

    @property
    def coarse(self) -> float:
        """By what part of itself rounding changes a cost that is coarser than its dtype, or 0."""
        lost = self.evaluations.lost
        return lost if lost > COARSE * self.evaluations.caller_eps else 0.0

    def again(self) -> dict[str, FloatArray]:
        """Return what is claimed in another call at the point, if there is a function to call.

        Where that is the same, it is `arrays` itself.

        A backward pass may read what the forward pass kept, which since the first call has met
        moved and complex parameters. Where the second call differs or raises for that reason, the
        cost is called before the function, now and from then on.
        """
        if self.function is None or self.evaluations.interrupted:
            return self.arrays
        after_cost = partial(self._after_cost, self.function)
        raised = False
        try:
            other = self._call(self.function)
        except Exception as error:
            if is_control_flow(error):
                raise
            other, raised = self._call(after_cost), True
        is_same = _same(other, self.arrays)
        if (raised or not is_same) and self._reads_cost(self.function):
            self.function = after_cost
            other = self._call(after_cost)
            is_same = _same(other, self.arrays)
        self._repeats = self._repeats and is_same
        return self.arrays if is_same else other

    def _reads_cost(self, function: Callable[[Any], dict[str, FloatArray]]) -> bool:
        """Whether what a function claims at the point depends on where the cost was called last."""
        evaluations, beside = self.evaluations, list[dict[str, FloatArray]]()
        ends = evaluations.box.ends(np.random.default_rng(0))
        moved = evaluations.nesting.rebuild(
            {p: (v + ends[p] / 32).astype(v.dtype) for p, v in evaluations.values.items()}
        )
        # a claim that merely differs in every second or fourth call does not follow this order
        for is_moved in (False, False, True, True, False, True, False):
            try:
                if is_moved:
                    evaluations.call_cost(moved)
                else:
                    evaluations.call_at_point(evaluations.call_cost)
                claimed = self._call(function)
            except Exception as error:
                if is_control_flow(error):
                    raise
                claimed = {}  # it may fail on what the cost kept
            if _same(claimed, self.arrays) == is_moved:
                return False
            if is_moved:
                beside.append(claimed)
        return all(_same(claimed, beside[0]) for claimed in beside)

    def _call(self, function: Callable[[Any], dict[str, FloatArray]]) -> dict[str, FloatArray]:
        try:
            arrays: dict[str, FloatArray] = self.evaluations.call_at_point(function)
            return arrays
        finally:
            self.evaluations.restore()

    def _after_cost(
        self, function: Callable[[Any], dict[str, FloatArray]], params: Any
    ) -> dict[str, FloatArray]:
        self.evaluations.call_cost(params)
        return function(params)

    def rounding(self, seed: int) -> dict[str, FloatArray]:
        """Return the claim's own rounding of every entry by path, nan where it is not known.

        Arrays that come with a `coarse` cost may be as coarse: a step of a cost that loses a part r
        of itself loses √r of its derivative.

        This takes six calls with copies of the parameters in the next wider dtype. A function may
        keep its argument, as in net.W = W, so `again` has to be called at the point afterwards.
        """
        unknown = {path: np.full(g.shape, np.nan) for path, g in self.arrays.items()}
        values = self.evaluations.values
        widest = np.result_type(*values.values())
        wider = wider_dtype(widest)
        if self.is_given:
            self.unmeasured = "the gradient was given as arrays, not as a function"
            if self.coarse:
                part = math.sqrt(self.coarse)
                return {
                    p: np.full(g.shape, part * largest_entry(g, g)) for p, g in self.arrays.items()
                }
        elif wider is None:
            self.unmeasured = f"there is no dtype wider than {widest} here"
        elif not self._repeats:
            self.unmeasured = "two calls of it at one point differ"
        elif self.evaluations.interrupted:
            self.unmeasured = "interrupted"
        else:
            copies = copies_of(self.evaluations, wider, self.function)
            rng = np.random.default_rng([seed, len(values)])
            cost = float(self.evaluations.at_point)
            try:
                found = claim_rounding(self.arrays, copies, lambda arrays: arrays, rng, cost)
            except BaseException:
                with contextlib.suppress(Exception):
                    self.again()
                raise
            self.evaluations.restore()
            if any(np.isnan(b).any() for b in found.rounding.values()):
                raised = f"{found.said[:80]}" if found.said else "some of it does not use it"
                self.unmeasured = f"called with {wider} parameters, {raised}"
            return {path: np.asarray(b, float) for path, b in found.rounding.items()}
        return unknown


def _same(one: dict[str, FloatArray], other: dict[str, FloatArray]) -> bool:
    """Whether two claims are equal, entry by entry."""
    return one.keys() == other.keys() and all(
        np.array_equal(one[path], g, equal_nan=True) for path, g in other.items()
    )
