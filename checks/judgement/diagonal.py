"""The diagonal of a Hessian: of each entry of the gradient, the derivative by that entry itself."""

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from checks._types import FloatArray
from checks.estimation.numeric_gradient import Doubt
from checks.evaluation.pointwise import Evaluations
from checks.evaluation.results import Memo, Point
from checks.judgement.by_rows import Row, join_rows, judge_row, name_mistakes
from checks.judgement.claim import Claim
from checks.judgement.repetition import NOT_REPEATABLE
from checks.parameters.bounds import flatten_bounds
from checks.parameters.claims import flatten_claim
from checks.parameters.nesting import Nesting
from checks.report.report import Report

__all__ = ["judged_diagonal"]


def judged_diagonal(
    gradient: Callable[[Any], Any],
    doubt: Doubt | None,
    hessian: Any,
    params: Any,
    options: Any,
) -> tuple[Report, Evaluations]:
    """Return the report of a claimed diagonal, not recorded yet, and evaluations of an entry.

    Parameters
    ----------
    gradient
        Takes the parameters, returns the gradient nested alike.
    doubt, options
        As in `checks.jacobian.judged_jacobian`.
    hessian
        Arrays of the shapes of the parameters, nested alike, or a function that returns them.
    """
    started = time.perf_counter()
    point = Point(params)
    lower, upper = flatten_bounds(params, point.arrays, options.bounds)
    memo = Memo(lambda at: flatten_claim(params, hessian(at), "hessian(params)")[0], params)
    if callable(hessian):
        with point.unchanged("hessian"):
            first = {path: g.copy() for path, g in memo.read(params, {}).items()}
    else:
        first, _ = flatten_claim(params, hessian, "hessian")
    rows: list[Row] = []
    evaluations: Evaluations | None = None
    calls = 0
    with np.errstate(all="ignore"):
        for path, array in point.arrays.items():
            for entry in range(array.size):
                moved = _OneEntry(point, path, entry)
                x = array.reshape(-1)[entry : entry + 1].copy()
                bounds = tuple(end[path].reshape(-1)[entry : entry + 1] for end in (lower, upper))
                quiet = replace(options, bounds=bounds, progress=False)
                cost = moved.of(gradient)
                cost.noise = float(doubt.noise[len(rows)]) if doubt else 0.0
                given, estimates = next(quiet.estimates([cost], x, 1))
                if doubt is not None:
                    estimate = estimates.by_path["params"]
                    error = estimate.error + doubt.error(len(rows), path)[entry]
                    if doubt.low is not None:
                        low = moved.of(doubt.low)
                        low.noise = cost.noise
                        _, other = next(quiet.estimates([low], x, 1))
                        error = error + 2 * np.abs(estimate.value - other.by_path["params"].value)
                    by_path = {"params": replace(estimate, error=error)}
                    estimates = replace(estimates, by_path=by_path)
                evaluations = estimates.evaluations
                asked: dict[Any, int] = {}
                claim = Claim(given, {"params": first[path].reshape(-1)[entry : entry + 1]})
                if callable(hessian):
                    claim = Claim(given, claim.arrays, moved.claimed(memo, asked))
                with given.restoring_parameters(), evaluations.restoring_parameters():
                    rows.append(judge_row(estimates, claim, options.resolution, options.scale))
                calls += cost.calls
        assert evaluations is not None  # a row was judged, as parameters have entries
        report = Report(
            {}, 0.0, options.resolution, "", 0.0, calls, 0.0, options.seed, scale=options.scale
        )
        report = replace(report, kind="Hessian")
        one = {"params": np.zeros(1)}
        report = join_rows(rows, point.arrays, one, report, started, _name_of)
        arrays, by_block = {}, {}
        for values, block in zip(point.arrays.values(), report.arrays.values(), strict=True):
            parts = ("claimed", "numeric", "error", "verdicts", "slope_jump", "rounding")
            shaped = {part: getattr(block, part).reshape(values.shape) for part in parts}
            rule = replace(
                block.rule,
                rtol=np.reshape(block.rule.rtol, values.shape),
                largest=np.reshape(block.rule.largest, values.shape),
            )
            arrays[block.path] = replace(block, rule=rule, by_rows=False, **shaped)
            by_block[block.path] = values
    report = replace(report, arrays=arrays)
    if not any(mistake.name == NOT_REPEATABLE for mistake in report.diagnosis):
        # in the shape of the parameters, an order of classes or samples is seen
        report = replace(report, diagnosis=name_mistakes(arrays, by_block, report.kind))
    return report, evaluations


def _name_of(result: str, _: str) -> str:
    return f"diagonal of {result}"


class _OneEntry:
    """One entry of the parameters, moved while the others stay."""

    def __init__(self, point: Point, path: str, entry: int) -> None:
        self._point, self._path, self._entry = point, path, entry

    def of(self, gradient: Callable[[Any], Any]) -> "_Cost":
        """Return that entry of the gradient as a cost of the entry."""
        return _Cost(self, gradient)

    def at(self, x: Any, function: Callable[[Any], Any]) -> Any:
        """Return a function of the parameters with the entry at x, in the dtype of x."""
        arrays, point = self._point.arrays, self._point
        array = arrays[self._path]
        if x.dtype == array.dtype and point.in_place:
            saved = array.flat[self._entry]
            try:
                array.flat[self._entry] = x[0]
                return function(point.nesting.params)
            finally:
                array.flat[self._entry] = saved
        copies = {path: a.astype(np.result_type(a, x.dtype)) for path, a in arrays.items()}
        copies[self._path].flat[self._entry] = x[0]
        return function(point.nesting.rebuild(copies))

    def value(self, nested: Any) -> Any:
        """Return the entry of arrays nested as the parameters."""
        leaves = list(Nesting(nested).leaves.values())
        array = np.asarray(leaves[list(self._point.arrays).index(self._path)])
        return array.reshape(-1)[self._entry]

    def claimed(self, memo: Memo, asked: dict[Any, int]) -> Callable[[Any], dict[str, FloatArray]]:
        """Return the claim as a function of the entry alone."""

        def claim(x: Any) -> dict[str, FloatArray]:
            arrays = self.at(x, lambda params: memo.read(params, asked))
            return {"params": arrays[self._path].reshape(-1)[[self._entry]]}

        return claim


class _Cost:
    """An entry of the gradient as a cost of that entry of the parameters; its calls are counted."""

    def __init__(self, moved: _OneEntry, gradient: Callable[[Any], Any]) -> None:
        self._moved, self._gradient, self.calls, self.noise = moved, gradient, 0, 0.0

    def __call__(self, x: Any) -> Any:
        """Return the entry of the gradient with the entry of the parameters at `x`."""
        self.calls += 1
        return self._moved.value(self._moved.at(x, self._gradient))
