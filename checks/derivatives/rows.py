"""Jacobians: estimated, and claims of them judged, row by row."""

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from checks._types import FloatArray
from checks.derivatives.linearity import overwriting
from checks.derivatives.options import JACOBIAN, Names, Options
from checks.estimation.numeric_gradient import Doubt
from checks.evaluation.pointwise import Evaluations
from checks.evaluation.results import Results
from checks.judgement.by_rows import block_name, join_rows, judge_row, unknown_row, unseen_error
from checks.judgement.shared_claims import RowClaims
from checks.parameters.complex_parts import ComplexPoint, jacobian_in_parts
from checks.parameters.nesting import rebuild
from checks.report.report import Report
from checks.report.verdict import Rule, is_seen

__all__ = ["NumericalJacobian", "estimated_jacobian", "judged_jacobian"]


@dataclass(frozen=True, eq=False)
class NumericalJacobian:
    """An estimate of a Jacobian, as `numerical_jacobian` returns it.

    Attributes
    ----------
    value, error
        Nested as f(x), and inside as x. A block of an array of shape a by an array of shape b has
        the shape (*a, *b). Each derivative lies in value ± error; the error is inf where nothing is
        known. Complex arrays have two real blocks instead, ``.real`` and ``.imag``.
    evaluations : int
        Calls of f.
    method : str
        "central", "complex-step", or "mixed".
    """

    value: Any
    error: Any
    evaluations: int
    method: str


def estimated_jacobian(
    f: Callable[[Any], Any], x: Any, options: Options, doubt: Doubt | None = None
) -> NumericalJacobian:
    """Return the Jacobian of `numerical_jacobian`; `doubt` is what its errors lack."""
    results = Results(f, x)
    parts: dict[str, dict[str, list[FloatArray]]] = {"value": {}, "error": {}}
    methods, unseen, read = set(), dict[str, list[int]](), set()
    with results.handing_back(), np.errstate(all="ignore"):
        found = options.rows(results, x, doubt=doubt)
        for number, (_, estimates) in enumerate(found):
            methods.add(estimates.method)
            for path, estimate in estimates.by_path.items():
                if estimate.unseen or not is_seen(estimate.value, estimate.error):
                    unseen.setdefault(path, []).append(number)
                    if not estimate.unseen:
                        read.add(path)
                for attribute, by_path in parts.items():
                    by_path.setdefault(path, []).append(getattr(estimate, attribute))
    arrays = results.point.arrays
    for path, rows in unseen.items():
        largest = max(np.nan_to_num(np.abs(row)).max() for row in parts["value"][path])
        # where no result sees the array, f may not read it at all
        is_read = path in read or len(rows) < results.size
        error = unseen_error(float(largest)) if is_read else math.inf
        for row in rows:
            parts["error"][path][row] = np.maximum(parts["error"][path][row], error)

    def nested(by_path: Mapping[str, list[FloatArray]]) -> Any:
        """Return rows of each array of x, nested as f(x) and inside as x."""
        first, blocks = 0, {}
        for result, array in results.at_point.items():
            rows = slice(first, first + array.size)
            first += array.size
            blocks[result] = rebuild(
                x,
                {
                    path: np.array(by_path[path][rows]).reshape((*array.shape, *entries.shape))
                    for path, entries in arrays.items()
                },
            )
        return results.nesting.rebuild(blocks)

    name = methods.pop() if len(methods) == 1 else "mixed"
    return NumericalJacobian(
        nested(parts["value"]), nested(parts["error"]), results.memo.calls, name
    )


def judged_jacobian(
    f: Callable[[Any], Any],
    jacobian: Any,
    point: ComplexPoint,
    options: Options,
    names: Names = JACOBIAN,
    doubt: Doubt | None = None,
    changed: Callable[[], str] = str,
) -> tuple[Report, Evaluations]:
    """Return the report of a Jacobian, not recorded yet, and evaluations of its last row.

    Parameters
    ----------
    f, jacobian
        As in `checks.check_jacobian`; f takes `point.params`.
    point
        x.
    doubt
        What the errors of its derivatives lack, if f is a numeric gradient.
    changed
        Says what the claim changed that it must not, once it has been called.
    """
    started, x = time.perf_counter(), point.params
    results = Results(f, x, names.results)
    if point.is_complex or results.complex.is_complex:
        jacobian = _jacobian_of_parts(jacobian, point, results.complex)
    claims = RowClaims(jacobian, results, x, names.claim)
    rows, evaluations = [], None
    with results.handing_back(jacobian), np.errstate(all="ignore"):
        for number, (given, estimates) in enumerate(options.rows(results, x, claims.arrays, doubt)):
            evaluations = estimates.evaluations
            with given.restoring_parameters(), evaluations.unchanged("cost"):
                claim = claims.of_row(number, given)
                row = judge_row(
                    estimates, claim, options.resolution, options.scale, doubt is not None
                )
                rows.append(row)
        assert evaluations is not None  # there is at least one result
        rule, rest = Rule(options.rtol or 0.0, options.resolution, options.scale), results.size
        rows += [unknown_row(claims.arrays(n), rule) for n in range(len(rows), rest)]
        report = Report(
            {}, 0.0, options.resolution, "", 0.0, 0, 0.0, options.seed, scale=options.scale
        )
        report = replace(report, kind=names.kind, evaluations=results.memo.calls)
        name_of = partial(block_name, of_x=names.x)
        x_arrays, of_vectors = evaluations.values, names.x == "t"
        report = join_rows(
            rows, results.at_point, x_arrays, report, started, name_of, same_units=of_vectors
        )
        report = names.named(report)
    if changed():
        report = overwriting(report, names.kind, "tangent", changed())
    return report, evaluations


def _jacobian_of_parts(jacobian: Any, x: ComplexPoint, results: ComplexPoint) -> Any:
    """Return a claimed Jacobian, values or a function, with blocks of real and imaginary parts."""
    if not callable(jacobian):
        return jacobian_in_parts(jacobian, results.given, x.given)
    function = x.taking_parts(jacobian)
    return lambda at: jacobian_in_parts(function(at), results.given, x.given)
