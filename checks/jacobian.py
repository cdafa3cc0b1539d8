"""Check derivatives of functions with many results: Jacobians, and products with vectors."""

import math
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from checks._types import FloatArray
from checks.estimation.estimates import Estimates, estimate_derivatives
from checks.estimation.widened import widened
from checks.evaluation.box import Box
from checks.evaluation.pointwise import Evaluations
from checks.evaluation.progress import Progress
from checks.evaluation.results import Memo, Results
from checks.gradient import check_gradient, check_options, evaluations_around, require_match
from checks.judgement.by_rows import join_rows, judge_row, unknown_row, unseen_error
from checks.judgement.claim import Claim
from checks.judgement.interruption import finish
from checks.parameters.bounds import flatten_bounds
from checks.parameters.claims import flatten, flatten_claim
from checks.parameters.jacobian_claims import flatten_jacobian
from checks.parameters.nesting import leaves, rebuild
from checks.report.array_report import ArrayReport
from checks.report.report import Report
from checks.report.session import record
from checks.report.verdict import Rule

__all__ = [
    "NumericalJacobian",
    "assert_jacobian",
    "check_jacobian",
    "check_jvp",
    "check_vjp",
    "numerical_jacobian",
]

TANGENTS = 4  # random directions along which a forward derivative is checked


@dataclass(frozen=True, eq=False)
class NumericalJacobian:
    """An estimate of a Jacobian, as `numerical_jacobian` returns it.

    Attributes
    ----------
    value, error
        Nested as f(x), and inside as x. A block of an array of shape a by an array of shape b has
        the shape (*a, *b). Each derivative lies in value ± error; the error is inf where nothing is
        known.
    evaluations : int
        Calls of f.
    method : str
        "central", "complex-step", or "mixed".
    """

    value: Any
    error: Any
    evaluations: int
    method: str


def numerical_jacobian(
    f: Callable[[Any], Any],
    x: Any,
    *,
    method: str = "auto",
    bounds: Any = None,
    seed: int = 0,
    executor: Executor | None = None,
    progress: bool = True,
) -> NumericalJacobian:
    """Estimate the Jacobian of a function, with an error for every entry.

    Parameters
    ----------
    f
        Takes `x` and returns an array of floats or a nesting of them.
    x
        The point: nested as the params of `check_gradient`.
    method, bounds, seed, executor, progress
        As in `check_gradient`.

    Returns
    -------
    NumericalJacobian

    Raises
    ------
    TypeError, ValueError
        As `check_jacobian`.
    """
    check_options(method=method, seed=seed)
    results = Results(f, x)
    parts: dict[str, dict[str, list[FloatArray]]] = {"value": {}, "error": {}}
    methods, unseen = set(), dict[str, list[int]]()
    with results.handing_back(), np.errstate(all="ignore"):
        found = _estimates_of_rows(results, x, method, seed, bounds, executor, progress)
        for number, estimates in enumerate(found):
            methods.add(estimates.method)
            for path, estimate in estimates.by_path.items():
                if estimate.unseen:
                    unseen.setdefault(path, []).append(number)
                for attribute, by_path in parts.items():
                    by_path.setdefault(path, []).append(getattr(estimate, attribute))
    point = results.point.arrays
    for path, rows in unseen.items():
        largest = max(np.nan_to_num(np.abs(row)).max() for row in parts["value"][path])
        # where no result sees the array, f may not read it at all
        error = unseen_error(float(largest)) if len(rows) < results.size else math.inf
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
                    path: np.array(by_path[path][rows]).reshape(*array.shape, *entries.shape)
                    for path, entries in point.items()
                },
            )
        return results.nesting.rebuild(blocks)

    name = methods.pop() if len(methods) == 1 else "mixed"
    return NumericalJacobian(
        nested(parts["value"]), nested(parts["error"]), results.memo.calls, name
    )


def check_jacobian(
    f: Callable[[Any], Any],
    jacobian: Any,
    x: Any,
    *,
    rtol: float | None = None,
    scale: str = "entry",
    resolution: float = 1e-3,
    method: str = "auto",
    bounds: Any = None,
    seed: int = 0,
    executor: Executor | None = None,
    progress: bool = True,
) -> Report:
    """Check a Jacobian, all first derivatives of a function with many results.

    Every row, the derivatives of one result, is judged as `check_gradient` judges a gradient: each
    entry on its own scale. Where that is not known well enough, the scale is the largest entry of
    the same row and the same array of x, since results may have different units. All rows share
    the evaluations of f.

    Parameters
    ----------
    f
        Takes `x` and returns an array of floats or a nesting of them, which depends on nothing
        else.
    jacobian
        The claim, or a function that takes x and returns it. Of an array of m results by an array
        of n entries it is a matrix (m, n) of floats, dense or of scipy.sparse, or has the shape of
        the results followed by that of the entries. Where f(x) or x is a nesting, such blocks are
        nested as f(x) and inside as x. What a sparse matrix leaves out is checked to be zero. It is
        called as often as the gradient of `check_gradient`.
    x
        The point: any nesting of lists, tuples, named tuples, dicts and dataclasses that holds
        arrays of floats. Writable arrays are moved in place and restored bit for bit.
    rtol, scale, resolution, method, bounds, seed, executor, progress
        As in `check_gradient`. The default of `rtol` follows the noise of each result.

    Returns
    -------
    Report
        Its arrays are the blocks, as matrices: "f(x) by x" of single arrays; of others the path of
        the results and the path in x, as in "f(x).sum by w" or "f(x)[0] by x[1]". The index of an
        entry is its row and its column.

    Raises
    ------
    TypeError, ValueError
        As `check_gradient`; also where f(x) holds something else than finite floats, where a block
        has another shape, and where f returns another nesting at moved points.
    CheckInterrupted
        Ctrl-C ended the check; the report says what was compared by then.
    """
    check_options(method, seed, rtol, resolution, scale=scale)
    started = time.perf_counter()
    results = Results(f, x)
    claims = _RowClaims(jacobian, results, x)
    rows, evaluations = [], None
    with results.handing_back(jacobian), np.errstate(all="ignore"):
        found = _estimates_of_rows(
            results, x, method, seed, bounds, executor, progress, rtol, claims
        )
        for number, estimates in enumerate(found):
            evaluations = estimates.evaluations
            with evaluations.restoring_parameters():
                claim = claims.of_row(number, evaluations)
                rows.append(judge_row(estimates, claim, resolution, scale))
        assert evaluations is not None  # there is at least one result
        report = Report({}, 0.0, resolution, "", 0.0, 0, 0.0, seed, scale=scale, kind="Jacobian")
        rule, interrupted = Rule(rtol or 0.0, resolution, scale), range(len(rows), results.size)
        rows += [unknown_row(claims.arrays(number), rule) for number in interrupted]
        report = join_rows(rows, results.at_point, evaluations.values, report, started)
    return finish(replace(report, evaluations=results.memo.calls), evaluations)


def assert_jacobian(f: Callable[[Any], Any], jacobian: Any, x: Any, **options: Any) -> Report:
    """Check a Jacobian, and raise an AssertionError unless it is a MATCH.

    Parameters
    ----------
    f, jacobian, x, **options
        As `check_jacobian`.

    Returns
    -------
    Report

    Raises
    ------
    GradientMismatch, GradientUnresolved
        The text is the whole report.
    TypeError, ValueError, CheckInterrupted
        As `check_jacobian`.
    """
    __tracebackhide__ = True
    return require_match(check_jacobian(f, jacobian, x, **options))


class _RowClaims:
    """The rows of a claimed Jacobian, which share its calls."""

    def __init__(self, jacobian: Any, results: Results, x: Any) -> None:
        self._point = results.point
        self._nesting, self._x, self._is_function = results.nesting.params, x, callable(jacobian)
        self._source = "jacobian(x)" if self._is_function else "jacobian"
        self._jacobian = jacobian
        self._memo = Memo(self._blocks)
        self._shapes = {path: array.shape for path, array in results.point.arrays.items()}
        # the array of each result, and its row in the blocks of that
        arrays = enumerate(results.at_point.values())
        self._places = [(n, row) for n, array in arrays for row in range(array.size)]
        self.first = self._called_once()

    def _called_once(self) -> list[dict[str, FloatArray]]:
        if not self._is_function:
            return flatten_jacobian(self._nesting, self._x, self._jacobian, self._source)
        with self._point.unchanged("jacobian"):
            blocks: list[dict[str, FloatArray]] = self._memo.read(self._x, {})
        return blocks

    def _blocks(self, x: Any) -> list[dict[str, FloatArray]]:
        return flatten_jacobian(self._nesting, self._x, self._jacobian(x), self._source)

    def arrays(
        self, number: int, blocks: list[dict[str, FloatArray]] | None = None
    ) -> dict[str, FloatArray]:
        """Return a row by the paths of x, in the shapes of its arrays."""
        place, row = self._places[number]
        by_path = (blocks or self.first)[place]
        return {path: by_path[path][row].reshape(shape) for path, shape in self._shapes.items()}

    def of_row(self, number: int, evaluations: Evaluations) -> Claim:
        """Return one row as the claimed gradient of its result."""
        asked: dict[Any, int] = {}
        if not self._is_function:
            return Claim(evaluations, self.arrays(number))
        first = evaluations.call_at_point(lambda x: self._memo.read(x, asked))
        return Claim(
            evaluations,
            self.arrays(number, first),
            lambda x: self.arrays(number, self._memo.read(x, asked)),
        )


def _estimates_of_rows(
    results: Results,
    x: Any,
    method: str,
    seed: int,
    bounds: Any,
    executor: Executor | None,
    progress: bool,
    rtol: float | None = None,
    claims: _RowClaims | None = None,
) -> Iterator[Estimates]:
    """Yield what is known of each result, until the check is interrupted."""
    with Progress(progress).of("f(x)", results.size) as advance:
        for number, cost in enumerate(results.costs()):
            given = evaluations_around(cost, x, bounds, seed, executor, False, False)
            evaluations = widened(given, seed)
            claimed = claims.arrays(number) if claims else None
            with (
                given.restoring_parameters(),
                evaluations.restoring_parameters(),
                evaluations.tolerating_interrupt(),
            ):
                estimates = estimate_derivatives(evaluations, method, seed, rtol, claimed)
            yield estimates
            if evaluations.interrupted:
                return
            advance(1)


def check_vjp(
    f: Callable[[Any], Any],
    vjp: Callable[[Any, Any], Any],
    x: Any,
    *,
    seed: int = 0,
    **options: Any,
) -> Report:
    """Check a vector–Jacobian product, the backward pass of a function with array results.

    For a random cotangent u, every entry of vjp(x, u) must match the gradient of ⟨u, f(x)⟩. Because
    the product must be linear in u, it is checked for 1000 u too, and must be zero for u = 0.

    Parameters
    ----------
    f
        Takes `x` and returns an array of floats or a nesting of them.
    vjp
        Takes `x` and a cotangent nested as f(x), and returns a result nested as `x`.
    x
        The point: the argument of f, nested as the params of `check_gradient`.
    seed : int
        Determines the cotangent, the random directions and step sizes.
    **options
        Further options of `check_gradient`.

    Returns
    -------
    Report
        The report of the cotangent with the worst verdict; a finding names the cotangent.

    Raises
    ------
    TypeError, ValueError, CheckInterrupted
        As `check_gradient`; also if f(x) is not an array of floats or a nesting of them.
    """
    rng = np.random.default_rng(seed)
    result = f(x)  # shows the nesting of results, which cotangents have too
    u = {p: rng.standard_normal(a.shape).astype(a.dtype) for p, a in flatten(result).items()}
    reports = {}
    for scale in (1, 1000):
        scaled = {path: scale * array for path, array in u.items()}
        reports[f"With a random cotangent times {scale}."] = check_gradient(
            partial(_inner_product, scaled, f),
            partial(_with_cotangent, vjp, rebuild(result, scaled)),
            x,
            seed=seed,
            **options,
        )
    finding, report = max(reports.items(), key=lambda item: item[1].verdict)
    zero_u = rebuild(result, {path: 0 * array for path, array in u.items()})
    claims, _ = flatten_claim(x, vjp(x, zero_u), "vjp(x, 0)")
    if report and any(claim.any() for claim in claims.values()):
        finding = "With a cotangent of zeros, vjp is not zero: it is not linear in the cotangent."
        arrays = {}
        for path, claim in claims.items():
            zero = np.zeros(claim.shape)
            arrays[path] = ArrayReport.judged(path, claim, zero, zero, Rule(0, 0))
        report = record(replace(report, arrays=arrays))
    return replace(report, findings=(*report.findings, finding))


def check_jvp(
    f: Callable[[Any], Any],
    jvp: Callable[[Any, Any], Any],
    x: Any,
    *,
    bounds: Any = None,
    seed: int = 0,
    **options: Any,
) -> Report:
    """Check a Jacobian–vector product, the forward derivative of a function with array results.

    For random tangents v_j and a random cotangent u, ⟨u, jvp(x, v_j)⟩ must match the derivative of
    ⟨u, f(x + Σ t_j v_j)⟩ by t_j at t = 0. For a tangent of zeros, jvp(x, 0) must be zero.

    Parameters
    ----------
    f
        Takes `x` and returns an array of floats or a nesting of them.
    jvp
        Takes `x` and a tangent nested as `x`, and returns a result nested as f(x).
    x
        The point: the argument of f, nested as the params of `check_gradient`.
    bounds
        As in `check_gradient`, for x. At a bound the tangents point inside.
    seed : int
        Determines the tangents and the cotangent, the random directions and step sizes.
    **options
        Further options of `check_gradient`.

    Returns
    -------
    Report
        Its one array, ``params``, holds the derivatives by t_j: of four random tangents of
        different scales, and of the tangent of zeros.

    Raises
    ------
    TypeError, ValueError, CheckInterrupted
        As `check_vjp`.
    """
    rng = np.random.default_rng(seed)
    result, point = f(x), flatten(x)
    u = {p: rng.standard_normal(a.shape).astype(a.dtype) for p, a in flatten(result).items()}
    coarsest = max((a.dtype for a in point.values()), key=lambda dtype: np.finfo(dtype).eps)
    box = Box(point, flatten_bounds(x, point, bounds))
    scales = np.append(10.0 ** rng.uniform(-1, 1, TANGENTS), 0.0)
    tangents = [
        {
            path: (scale * rng.uniform(0.5, 1, end.shape) * end).astype(point[path].dtype)
            for path, end in box.ends(rng).items()
        }
        for scale in scales
    ]
    # within them, Σ t_j v_j stays in the box, whatever the signs
    forward = 0.99 / (len(scales) * np.where(scales, scales, 1))
    backward = forward * min(map(_least_share, map(box.room, point)))

    def moved(t: Any) -> Any:
        """Return x + Σ t_j v_j."""
        arrays = {
            path: a + sum(s * v[path] for s, v in zip(t, tangents, strict=True))
            for path, a in point.items()
        }
        return rebuild(x, arrays)

    def moved_product(t: Any) -> Any:
        """Return ⟨u, f(x + Σ t_j v_j)⟩."""
        return _inner_product(u, f, moved(t))

    def claimed(t: Any) -> FloatArray:
        """Return ⟨u, jvp(x + Σ t_j v_j, v_i)⟩ for every i, in the dtype of t."""
        there = moved(t) if t.any() or t.dtype != coarsest else x
        return np.array(
            [_inner_product(u, partial(jvp, there), rebuild(x, v)) for v in tangents], t.dtype
        )

    t = np.zeros(len(tangents), coarsest)  # a wider dtype of t would make x + Σ t_j v_j wider
    return check_gradient(
        moved_product, claimed, t, bounds=(-backward, forward), seed=seed, **options
    )


def _least_share(room: tuple[FloatArray, FloatArray]) -> float:
    """Return the least room on the narrower side of an entry over that on the other."""
    narrow, wide = np.minimum(*room), np.maximum(*room)
    return float(np.divide(narrow, wide, where=wide > 0, out=np.ones(wide.shape)).min(initial=1))


def _inner_product(u: Mapping[str, FloatArray], f: Callable[[Any], Any], x: Any) -> Any:
    """Return ⟨u, f(x)⟩, complex if f(x) is."""
    return sum(np.sum(u[path] * array) for path, array in leaves(f(x)).items())


def _with_cotangent(vjp: Callable[[Any, Any], Any], u: Any, x: Any) -> Any:
    return vjp(x, u)
