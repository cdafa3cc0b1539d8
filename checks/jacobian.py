"""Check derivatives of functions with many results: Jacobians, and products with vectors."""

import itertools
import math
import re
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from checks._types import FloatArray
from checks.estimation.estimates import Estimates, estimate_derivatives
from checks.estimation.numeric_gradient import Doubt
from checks.estimation.widened import widened
from checks.evaluation.box import Box
from checks.evaluation.pointwise import Evaluations
from checks.evaluation.progress import Progress
from checks.evaluation.results import Contraction, Result, Results
from checks.evaluation.stacked import StackedFunction
from checks.gradient import check_options, evaluations_around, require_match
from checks.judgement.blurred_claim import suspected_entry
from checks.judgement.by_rows import block_name, join_rows, judge_row, unknown_row, unseen_error
from checks.judgement.every_entry import judge_gradient
from checks.judgement.interruption import finish
from checks.judgement.shared_claims import (
    Cotangent,
    RowClaims,
    Sum,
    VjpClaims,
    draw_cotangents,
)
from checks.parameters.bounds import flatten_bounds
from checks.parameters.claims import describe, flatten_claim
from checks.parameters.complex_parts import ComplexPoint, jacobian_in_parts, product_in_parts
from checks.parameters.layouts import LAYOUTS, overwritten
from checks.parameters.nesting import Nesting, argument_name, rebuild
from checks.report.array_report import ArrayReport
from checks.report.report import Diagnosis, Report
from checks.report.verdict import Rule, Verdict, is_seen

__all__ = [
    "NumericalJacobian",
    "assert_jacobian",
    "assert_jvp",
    "assert_vjp",
    "check_jacobian",
    "check_jvp",
    "check_vjp",
    "compared_with_zeros",
    "numerical_jacobian",
    "overwriting",
]

TANGENTS = 4  # random directions along which a forward derivative is checked
MOST = 8  # at most so many tangents are zero but for one array of x


@dataclass(frozen=True)
class Names:
    """How a report and errors name what is checked, the claim, the results, and x."""

    kind: str = "Jacobian"
    claim: str = "jacobian"
    results: str = "f(x)"
    x: str = "x"


@dataclass(frozen=True)
class Options:
    """The options of a check of a function with many results, as `check_gradient` has them."""

    rtol: float | None = None
    scale: str = "entry"
    resolution: float = 1e-3
    method: str = "auto"
    bounds: Any = None
    seed: int = 0
    executor: Executor | None = None
    progress: bool = True
    stacked: bool = False
    coverage: str = "every"

    def __post_init__(self) -> None:
        check_options(self.method, self.seed, self.rtol, self.resolution, self.coverage, self.scale)
        if self.coverage != "every":
            raise ValueError(
                f"coverage is {self.coverage!r}, wanted 'every': a function with many results is "
                "checked entry by entry. ⟨u, f(x)⟩ with a fixed u is a cost, for check_gradient"
            )

    def one_by_one(self, f: Callable[[Any], Any]) -> Callable[[Any], Any]:
        """Return f as a function of one x, and of many, if it takes many along a leading axis."""
        if not self.stacked or not callable(f):
            return f
        return StackedFunction(partial(_one_of_a_stack, f), f)

    def estimates(
        self,
        costs: Iterable[Result],
        x: Any,
        total: int,
        claimed: Callable[[int], dict[str, FloatArray]] | None = None,
    ) -> Generator[tuple[Evaluations, Estimates]]:
        """Yield each cost at the caller's own point, and what is known of it, until interrupted."""
        with Progress(self.progress).of("f(x)", total) as advance:
            for number, cost in enumerate(costs):
                # the first cost shows whether the executor gives the same numbers
                executor = None if number else self.executor
                given = evaluations_around(cost, x, self.bounds, self.seed, executor, False, False)
                if self.executor is not None:
                    cost.executor = self.executor
                    given = evaluations_around(cost, x, self.bounds, self.seed, None, False, False)
                evaluations = widened(given, self.seed)
                claims = claimed(number) if claimed else None
                with (
                    given.restoring_parameters(),
                    evaluations.restoring_parameters(),
                    evaluations.tolerating_interrupt(),
                ):
                    estimates = estimate_derivatives(
                        evaluations, self.method, self.seed, self.rtol, claims
                    )
                yield given, estimates
                if evaluations.interrupted:
                    return
                advance(1)

    def rows(
        self,
        results: Results,
        x: Any,
        claimed: Callable[[int], dict[str, FloatArray]] | None = None,
        doubt: Doubt | None = None,
    ) -> Iterator[tuple[Evaluations, Estimates]]:
        """Yield what `estimates` does of every result, with errors to which a doubt is added."""
        costs = results.costs() if doubt is None else doubt.noisy(results.costs())
        found = self.estimates(costs, x, results.size, claimed)
        others: Iterable[Any] = itertools.repeat(None)
        if doubt is not None and doubt.low is not None:
            low = Results(doubt.low, x)
            others = replace(self, progress=False).estimates(doubt.noisy(low.costs()), x, low.size)
        for number, ((given, one), other) in enumerate(zip(found, others, strict=False)):
            if doubt is None:
                yield given, one
                continue
            by_path = {}
            for path, estimate in one.by_path.items():
                error = estimate.error + doubt.error(number, path)
                if other:
                    error = error + 2 * np.abs(estimate.value - other[1].by_path[path].value)
                by_path[path] = replace(estimate, error=error)
            yield given, replace(one, by_path=by_path)


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


def numerical_jacobian(
    f: Callable[[Any], Any],
    x: Any,
    *,
    method: str = "auto",
    bounds: Any = None,
    seed: int = 0,
    executor: Executor | None = None,
    stacked: bool = False,
    progress: bool = True,
) -> NumericalJacobian:
    """Estimate the Jacobian of a function, with an error for every entry.

    Parameters
    ----------
    f
        Takes `x` and returns an array of floats or a nesting of them.
    x
        The point: nested as the params of `check_gradient`.
    method, bounds, seed, executor, stacked, progress
        As in `check_gradient`.

    Returns
    -------
    NumericalJacobian

    Raises
    ------
    TypeError, ValueError
        As `check_jacobian`.
    """
    point = ComplexPoint(x)
    bounds = point.bounds(bounds)
    options = Options(
        method=method,
        bounds=bounds,
        seed=seed,
        executor=executor,
        stacked=stacked,
        progress=progress,
    )
    return estimated_jacobian(point.taking_parts(options.one_by_one(f)), point.params, options)


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
    stacked: bool = False,
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
        called as often as the gradient of `check_gradient`. A complex block is ∂f/∂x + i ∂f/∂y of a
        real f by z = x + iy, and ∂f/∂z of a complex one. Where that does not exist, give real
        blocks, ((∂Re f/∂x, ∂Re f/∂y), (∂Im f/∂x, ∂Im f/∂y)).
    x
        The point: any nesting of lists, tuples, named tuples, dicts and dataclasses that holds
        arrays of floats. Writable arrays are moved in place and restored bit for bit.
    rtol, scale, resolution, method, bounds, seed, executor, stacked, progress
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
    point = ComplexPoint(x)
    bounds = point.bounds(bounds)
    options = Options(rtol, scale, resolution, method, bounds, seed, executor, progress, stacked)
    f = point.taking_parts(options.one_by_one(f))
    return finish(*judged_jacobian(f, jacobian, point, options))


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


def check_vjp(
    f: Callable[[Any], Any],
    vjp: Callable[[Any, Any], Any],
    x: Any,
    *,
    seed: int = 0,
    **options: Any,
) -> Report:
    """Check a vector–Jacobian product, the backward pass of a function with many results.

    Every entry of vjp(x, u) must match the gradient of ⟨u, f(x)⟩ for a random cotangent u. For
    others it must be as linear as the product is: for -1000 times u and another random cotangent;
    for some that are zero but for one array of f(x), or one entry; for one of equal entries; and
    for zeros. Where it is not, it is compared with the gradient for these as well. The first is
    handed over in other memory layouts too, in Fortran order and as a read-only slice of a larger
    array; that of equal entries has stride 0. The product must not change its cotangent. All
    share the evaluations of f.

    Parameters
    ----------
    f
        Takes `x` and returns an array of floats or a nesting of them.
    vjp
        Takes `x` and a cotangent nested as f(x), and returns a result nested as `x`. It is called
        about twice for each cotangent, more often where an entry is off. Of complex arrays, ⟨u, f⟩
        is Re Σ ū f, and the gradient by z = x + iy is that by x plus i times that by y.
    x
        The point: the argument of f, nested as the params of `check_gradient`.
    seed : int
        Determines the cotangents, the random directions and step sizes.
    **options
        rtol, scale, resolution, method, bounds, executor, stacked and progress, as in
        `check_gradient`.

    Returns
    -------
    Report
        That of the cotangent with the worst verdict; a finding names the cotangent. Its arrays are
        those of x, by path: "x" of a single array, "x[0]" and so on of several.

    Raises
    ------
    TypeError, ValueError, CheckInterrupted
        As `check_gradient`; also if f(x) is not an array of floats or a nesting of them.
    """
    return _check_vjp(f, vjp, x, Options(seed=seed, **options))


def assert_vjp(
    f: Callable[[Any], Any], vjp: Callable[[Any, Any], Any], x: Any, **options: Any
) -> Report:
    """Check a vector–Jacobian product, and raise an AssertionError unless it is a MATCH.

    Parameters
    ----------
    f, vjp, x, **options
        As `check_vjp`.

    Returns
    -------
    Report

    Raises
    ------
    GradientMismatch, GradientUnresolved
        The text is the whole report.
    TypeError, ValueError, CheckInterrupted
        As `check_vjp`.
    """
    __tracebackhide__ = True
    return require_match(check_vjp(f, vjp, x, **options))


def check_jvp(
    f: Callable[[Any], Any],
    jvp: Callable[[Any, Any], Any],
    x: Any,
    *,
    bounds: Any = None,
    seed: int = 0,
    **options: Any,
) -> Report:
    """Check a Jacobian–vector product, the forward derivative of a function with many results.

    For tangents v_j, jvp(x, v_j) must match the derivative of f(x + Σ t_j v_j) by t_j at t = 0, in
    every result. They are random ones of different sizes, in C and Fortran order and as a read-only
    slice of a larger array; where x has several arrays, some that are zero but for one of them;
    and zeros, for which the product must be zero. It must not change its tangent.

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
        Determines the tangents, the random directions and step sizes.
    **options
        rtol, scale, resolution, method, executor, stacked and progress, as in
        `check_gradient`.

    Returns
    -------
    Report
        Its arrays are "f(x) by t", or of several results "f(x)[0] by t" and so on, as matrices: a
        row for each result, a column for each tangent.

    Raises
    ------
    TypeError, ValueError, CheckInterrupted
        As `check_vjp`.
    """
    point = ComplexPoint(x)
    given = Options(seed=seed, bounds=point.bounds(bounds), **options)
    names = Names("jvp", "jvp(x, v)", x="t")
    f = point.taking_parts(given.one_by_one(f))
    return finish(*judged_jvp(f, jvp, point, given, names))


def assert_jvp(
    f: Callable[[Any], Any], jvp: Callable[[Any, Any], Any], x: Any, **options: Any
) -> Report:
    """Check a Jacobian–vector product, and raise an AssertionError unless it is a MATCH.

    Parameters
    ----------
    f, jvp, x, **options
        As `check_jvp`.

    Returns
    -------
    Report

    Raises
    ------
    GradientMismatch, GradientUnresolved
        The text is the whole report.
    TypeError, ValueError, CheckInterrupted
        As `check_jvp`.
    """
    __tracebackhide__ = True
    return require_match(check_jvp(f, jvp, x, **options))


def judged_jacobian(
    f: Callable[[Any], Any],
    jacobian: Any,
    point: ComplexPoint,
    options: Options,
    names: Names = Names(),
    doubt: Doubt | None = None,
    changed: Callable[[], str] = str,
) -> tuple[Report, Evaluations]:
    """Return the report of a Jacobian, not recorded yet, and evaluations of its last row.

    Parameters
    ----------
    f, jacobian
        As in `check_jacobian`; f takes `point.params`.
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
            with given.restoring_parameters(), evaluations.restoring_parameters():
                claim = claims.of_row(number, given)
                rows.append(judge_row(estimates, claim, options.resolution, options.scale))
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
    if changed():
        report = overwriting(report, names.kind, "tangent", changed())
    return report, evaluations


def judged_jvp(
    f: Callable[[Any], Any],
    jvp: Callable[[Any, Any], Any],
    point: ComplexPoint,
    options: Options,
    names: Names,
    doubt: Doubt | None = None,
) -> tuple[Report, Evaluations]:
    """Return the report of a Jacobian–vector product, as `judged_jacobian` does."""
    results = Results(f, point.params, names.results)
    if not callable(jvp):
        raise TypeError(
            f"{names.kind} is {describe(jvp)}, wanted a function of a point and a vector: pass the "
            "function, not its value"
        )
    jvp = product_in_parts(jvp, point, point, results.complex)
    tangents = _Tangents(jvp, results, options.bounds, options.seed, names)
    t = np.zeros(len(tangents.all), tangents.dtype)
    within = replace(options, bounds=tangents.bounds)
    with results.handing_back(partial(_with_vector, jvp, tangents.first)):
        return judged_jacobian(
            partial(tangents.results_at, f),
            tangents.claimed,
            ComplexPoint(t),
            within,
            replace(names, claim=names.kind, x="t"),
            doubt and tangents.doubt(doubt),
            tangents.changed,
        )


def _jacobian_of_parts(jacobian: Any, x: ComplexPoint, results: ComplexPoint) -> Any:
    """Return a claimed Jacobian, values or a function, with blocks of real and imaginary parts."""
    if not callable(jacobian):
        return jacobian_in_parts(jacobian, results.given, x.given)
    function = x.taking_parts(jacobian)
    return lambda at: jacobian_in_parts(function(at), results.given, x.given)


def _check_vjp(
    f: Callable[[Any], Any], vjp: Callable[[Any, Any], Any], x: Any, options: Options
) -> Report:
    started, point = time.perf_counter(), ComplexPoint(x)
    x, options = point.params, replace(options, bounds=point.bounds(options.bounds))
    results = Results(point.taking_parts(options.one_by_one(f)), x)
    vjp = product_in_parts(vjp, point, results.complex, point)
    claims = VjpClaims(vjp, results)
    # Not default_rng(seed): x may be its first numbers, and a norm's gradient along x is zero.
    first, together, sums = draw_cotangents(
        results.at_point, np.random.default_rng([options.seed, 1])
    )
    others = [part for one_sum in sums for part in one_sum.parts]
    cost_of = {id(first): results.contractions([first.values])[0]}
    reports: list[tuple[str, Report]] = []
    is_random = False

    def judge(cotangent: Cotangent, cost: Contraction | None = None) -> Evaluations:
        """Append the report of a cotangent; the costs of all but the first share evaluations."""
        nonlocal is_random
        known, layouts = None, list[Cotangent]()
        if not reports:
            with results.point.restoring_parameters():
                known = claims.at_point(cotangent)
                layouts = claims.other_layouts(cotangent, known[0])
        if cost is None and id(cotangent) not in cost_of:
            costs = results.contractions([other.values for other in others])
            cost_of.update(zip(map(id, others), costs, strict=True))
        cost = cost or cost_of[id(cotangent)]
        found = options.estimates([cost], x, 1, lambda _: claims.last)
        given, estimates = next(found)
        with given.restoring_parameters(), estimates.evaluations.restoring_parameters():
            for layout in (cotangent, *layouts):
                if known and layout is cotangent:
                    claim, findings = claims.claim(known[0], cotangent, given), known[1]
                else:
                    claim, findings = claims.with_cotangent(layout, given)
                report = judge_gradient(
                    estimates, claim, options.resolution, options.scale, started, findings
                )
                report = _on_scale_of(reports[0][1], report) if reports else report
                reports.append((f"With {layout.name}.", replace(report, kind="vjp")))
                if report.verdict is Verdict.UNRESOLVED and estimates.noise.stochastic:
                    is_random = True
        found.close()
        return estimates.evaluations

    def is_open() -> bool:
        """Whether further cotangents may show a mistake.

        Not of random results that left one UNRESOLVED: the products are random as well, and of a
        cotangent with a single entry the results may be the same in two calls by chance.
        """
        wrong = any(report.verdict is Verdict.MISMATCH for _, report in reports)
        return not wrong and not is_random and not evaluations.interrupted

    with (
        results.handing_back(partial(_with_vector, vjp, results.nesting.rebuild(first.values))),
        np.errstate(all="ignore"),
    ):
        evaluations = judge(first)
        whole = {path: array.claimed for path, array in reports[0][1].arrays.items()}
        rounding = {p: np.nan_to_num(a.rounding) for p, a in reports[0][1].arrays.items()}

        def is_linear(one_sum: Sum) -> bool:
            return claims.are_linear(one_sum, whole, reports[0][1].rtol, rounding)

        # what writes to its cotangent cannot be handed one whose entries share memory
        writes = bool(claims.overwritten)
        for one_sum in sums if is_open() and (writes or not is_linear(together)) else []:
            if writes and any(part.layout is not np.array for part in one_sum.parts):
                continue
            if not is_linear(one_sum):
                for part in one_sum.parts:
                    if is_open():
                        evaluations = judge(part)
        suspect = suspected_entry(reports[0][1].arrays) if is_open() else None
        if suspect and (alone := claims.alone(first, evaluations, *suspect)):
            evaluations = judge(alone, results.contractions([alone.values])[0])
        finding, report = max(reports, key=lambda item: item[1].verdict)
        if is_open():
            zeros = {path: np.zeros_like(array) for path, array in results.at_point.items()}
            products, _ = claims.products(x, Cotangent("a cotangent of zeros", zeros))
            if any(product.any() for product in products.values()):
                finding = "With a cotangent of zeros, vjp is not zero: it is not linear in it."
                report = replace(report, arrays=compared_with_zeros(products), diagnosis=())
    if report:
        finding = (
            f"{len(together.parts) + 2} cotangents were tried: random ones, one output at a "
            "time, in other memory layouts, and zeros."
        )
    report = replace(
        report,
        findings=(*report.findings, finding),
        evaluations=results.memo.calls,
        seconds=time.perf_counter() - started,
    )
    if claims.overwritten:
        report = overwriting(report, "vjp", "cotangent", claims.overwritten)
    return finish(_naming_x(report), evaluations)


def _naming_x(report: Report) -> Report:
    """Return a report in which the argument is called x, as in f(x), and not params."""
    if all(argument_name(path) == path for path in report.arrays):
        return report
    named = partial(re.sub, r"\bparams\b(?!\.)", "x")
    curve = report.step_curve
    return replace(
        report,
        arrays={
            argument_name(path): replace(a, path=argument_name(path), reason=named(a.reason))
            for path, a in report.arrays.items()
        },
        findings=tuple(map(named, report.findings)),
        diagnosis=tuple(replace(mistake, text=named(mistake.text)) for mistake in report.diagnosis),
        step_curve=curve and replace(curve, name=named(curve.name)),
    )


def _on_scale_of(first: Report, report: Report) -> Report:
    """Return a report in which entries may be small beside those of a first one.

    The product is linear, so it has the same scale for all cotangents of about one size. By its own
    scale, the zeros that a dead unit has for a cotangent of its own would be UNRESOLVED.
    """
    arrays = {}
    for path, array in report.arrays.items():
        largest = first.arrays[path].largest
        rounding = np.minimum(2 * np.nan_to_num(array.rounding), report.rtol * largest)
        with np.errstate(invalid="ignore"):
            known = np.abs(array.claimed - array.numeric) <= array.error + rounding
        known &= array.error <= report.resolution * largest
        verdicts = np.where(known & (array.verdicts == Verdict.UNRESOLVED), 0, array.verdicts)
        reason = array.reason if (verdicts == Verdict.UNRESOLVED).any() else ""
        arrays[path] = replace(array, verdicts=verdicts.astype(np.int8), reason=reason)
    return replace(report, arrays=arrays)


def compared_with_zeros(products: Mapping[str, FloatArray]) -> dict[str, ArrayReport]:
    """Return the reports of products that must be exactly zero, by path."""
    arrays = {}
    for path, product in products.items():
        zero = np.zeros(product.shape)
        arrays[path] = ArrayReport.judged(path, product, zero, zero, Rule(0, 0))
    return arrays


def overwriting(report: Report, who: str, what: str, change: str) -> Report:
    """Return a report of what changes its argument: a MISMATCH, whatever its values are.

    Parameters
    ----------
    report
        Of its values.
    who, what, change : str
        As "vjp", "cotangent", and which entry changes.
    """
    arrays = {path: replace(a, verdicts=a.verdicts.copy()) for path, a in report.arrays.items()}
    for array in arrays.values():
        array.verdicts[...] = Verdict.MISMATCH
    values = "Apart from that" if report else "The check went on with copies"
    text = (
        f"{who} changes its {what} ({change}): whatever else reads that, as a residual connection "
        f"or another layer does, gets wrong values. Let it work on a copy. {values}"
        + (", its values are right." if report else ".")
    )
    named = (Diagnosis(f"overwritten {what}", text), *report.diagnosis)
    return replace(report, arrays=arrays, diagnosis=named)


class _Tangents:
    """Tangents of x, and what is claimed along them.

    Attributes
    ----------
    all : list of dict of str to ndarray
        By path.
    bounds : tuple
        Of the t by which f(x + Σ t_j v_j) is differentiated: within them, x stays in its own.
    """

    def __init__(
        self, jvp: Callable[[Any, Any], Any], results: Results, bounds: Any, seed: int, names: Names
    ) -> None:
        self._names = names
        self._jvp, self._results, self._x = jvp, results, results.point.nesting.params
        self._point, self._change = results.point.arrays, ""
        rng = np.random.default_rng(seed)
        arrays = self._point
        self.dtype = max((a.dtype for a in arrays.values()), key=lambda d: np.finfo(d).eps)
        box = Box(arrays, flatten_bounds(self._x, arrays, bounds))
        paths = [path for path, array in arrays.items() if array.size]
        alone = paths[:MOST] if len(paths) > 1 else []
        random = 10.0 ** rng.uniform(-1, 1, TANGENTS + len(alone))
        scales = np.append(random, 0.0)
        self.all = [
            {
                path: (scale * rng.uniform(0.5, 1, end.shape) * end).astype(arrays[path].dtype)
                for path, end in box.ends(rng).items()
            }
            for scale in scales
        ]
        for kept, tangent in zip(alone, self.all[TANGENTS:], strict=False):
            for path in set(tangent) - {kept}:
                tangent[path] *= 0
        # bounds of t within which Σ t_j v_j stays in the box, whatever the signs
        forward = 0.99 / (len(scales) * np.where(scales, scales, 1))
        self.bounds = -forward * min(map(_least_share, map(box.room, arrays))), forward

    @property
    def first(self) -> Any:
        """The first tangent, nested as x."""
        return rebuild(self._x, self.all[0])

    def changed(self) -> str:
        """Return the first change that the product made to a tangent, or an empty string."""
        return self._change

    def moved(self, t: Any) -> Any:
        """Return x + Σ t_j v_j."""
        return rebuild(
            self._x,
            {
                path: a + sum(s * v[path] for s, v in zip(t, self.all, strict=True))
                for path, a in self._point.items()
            },
        )

    def results_at(self, f: Callable[[Any], Any], t: Any) -> Any:
        """Return f(x + Σ t_j v_j)."""
        return f(self.moved(t))

    def doubt(self, of_x: Doubt) -> Doubt:
        """Return what is doubtful of derivatives by t, from that of derivatives by x."""
        inverse = [
            sum(float((np.abs(v[path]) / of_x.sizes[path]).sum()) for path in v) for v in self.all
        ]
        with np.errstate(divide="ignore"):
            sizes = {"params": 1 / np.array(inverse)}
        low = None if of_x.low is None else partial(self.results_at, of_x.low)
        return replace(of_x, low=low, sizes=sizes)

    def claimed(self, t: Any) -> Any:
        """Return jvp(x + Σ t_j v_j, v_i) for every i, along a last axis, nested as f(x)."""
        there = self.moved(t) if t.any() or t.dtype != self.dtype else self._x
        columns = [self._product(there, n, tangent) for n, tangent in enumerate(self.all)]
        stacked = {path: np.stack([c[path] for c in columns], axis=-1) for path in columns[0]}
        arrays = dict(zip(self._results.at_point, stacked.values(), strict=True))
        return self._results.nesting.rebuild(arrays)

    def _product(
        self, there: Any, number: int, tangent: Mapping[str, FloatArray]
    ) -> dict[str, FloatArray]:
        """Return what is claimed along one tangent, of which the first few have other layouts."""
        layouts = () if self._change else tuple(LAYOUTS.values())
        layout = layouts[number - 1] if 0 < number <= len(layouts) else np.array
        handed = {path: layout(array) for path, array in tangent.items()}
        result = self._jvp(there, rebuild(self._x, handed))
        self._change = self._change or overwritten(tangent, handed)
        arrays, _ = flatten_claim(
            self._results.nesting.params, result, self._names.claim, root=f".{self._names.results}"
        )
        return {path: array.copy() for path, array in arrays.items()}


def _least_share(room: tuple[FloatArray, FloatArray]) -> float:
    """Return the least room on the narrower side of an entry over that on the other."""
    narrow, wide = np.minimum(*room), np.maximum(*room)
    return float(np.divide(narrow, wide, where=wide > 0, out=np.ones(wide.shape)).min(initial=1))


def _one_of_a_stack(f: Callable[[Any], Any], x: Any) -> Any:
    """Return the results at one x of a function that takes many along a leading axis."""
    nesting = Nesting(x)
    one = {path: np.asarray(leaf)[None] for path, leaf in nesting.leaves.items()}
    results = Nesting(f(nesting.rebuild(one)))
    return results.rebuild({path: np.asarray(leaf)[0] for path, leaf in results.leaves.items()})


def _with_vector(product: Callable[[Any, Any], Any], vector: Any, x: Any) -> Any:
    return product(x, vector)
