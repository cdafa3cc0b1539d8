"""The gradient as a function that is differentiated once more, to a Hessian."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from checks.derivatives.options import Options
from checks.estimation.numeric_gradient import Doubt, NumericGradient
from checks.estimation.widened import widened
from checks.evaluation.memo import Memo
from checks.evaluation.pointwise import Evaluations
from checks.gradient import evaluations_around, gradient_report
from checks.judgement.diagonal import CostSlopes, GradientEntries, OwnSlopes
from checks.parameters.bounds import flatten_bounds
from checks.parameters.claims import entry_name, flatten, flatten_claim
from checks.parameters.nesting import Nesting, rebuild
from checks.report.array_report import ArrayReport
from checks.report.report import Report
from checks.report.verdict import Verdict

__all__ = ["Slopes", "slopes_of", "with_symmetry"]


@dataclass(frozen=True, eq=False)
class Slopes:
    """The gradient as a function that is differentiated once more.

    Attributes
    ----------
    function
        Takes the parameters, returns the gradient, nested alike.
    doubt
        As `checks.derivatives.rows.judged_jacobian` takes it.
    options : Options
        Of the check of `function`.
    memo : Memo or None
        Counts the calls of the cost, if the gradient is taken from them.
    evaluations : Evaluations
        The cost at the point.
    judged : Report or None
        Of the gradient, if that was given.
    own : OwnSlopes or None
        The slopes of a diagonal, if that is claimed.
    """

    function: Callable[[Any], Any]
    doubt: Doubt | None
    options: Options
    memo: Memo | None
    evaluations: Evaluations
    judged: Report | None
    own: OwnSlopes | None = None

    def calls(self, of_gradient: int) -> int:
        """Return how often the cost was called, and the gradient if that was given."""
        return self.evaluations.count + (self.memo.calls if self.memo else of_gradient)

    def after_cost(self, claim: Any) -> Any:
        """Return a claim that, if it is a function, is called after the cost at the same place.

        It may read what the cost kept of its last call, as a backward pass does.
        """
        if not callable(claim):
            return claim

        def called(params: Any, *vector: Any) -> Any:
            with suppress(Exception):  # the cost may not take what the claim takes
                self.evaluations.call_cost(params)
            return claim(params, *vector)

        return called

    def finished(self, report: Report, started: float) -> Report:
        """Return a report with all calls, and with the gradient if that is wrong."""
        report = replace(
            report,
            evaluations=self.calls(report.evaluations),
            seconds=time.perf_counter() - started,
        )
        judged = self.judged
        if judged is None or judged:
            return report
        if judged.verdict is not Verdict.MISMATCH:
            finding = "The gradient could not be judged: see check_gradient."
            return replace(report, findings=(*report.findings, finding))
        arrays = {_of_gradient(path): _renamed(a) for path, a in judged.arrays.items()}
        diagnosis = [
            replace(mistake, text=f"The gradient is wrong: {mistake.text}")
            for mistake in judged.diagnosis
        ]
        finding = "The gradient is wrong, and so are its derivatives."
        return replace(
            report,
            arrays={**arrays, **report.arrays},
            diagnosis=(*diagnosis, *report.diagnosis),
            findings=(*report.findings, finding),
            step_curve=judged.step_curve,
        )


def _is_diagonal(hessian: Any, evaluations: Evaluations) -> bool:
    """Whether arrays of the shapes of the parameters are claimed."""
    params = evaluations.nesting.params
    claim = hessian
    if callable(hessian):
        with suppress(Exception):  # called first, as in `Slopes.after_cost`
            evaluations.call_cost(params)
        claim = evaluations.call_at_point(hessian)
        evaluations.restore()
    try:
        arrays = Nesting(claim).leaves
        shapes = {path: np.shape(array) for path, array in flatten(params).items()}
    except (TypeError, ValueError):
        return False
    same = list(shapes.values()) == [np.shape(leaf) for leaf in arrays.values()]
    if list(shapes.values()) == [()]:
        # the matrix of one number looks like the diagonal, but for its nesting: that is (p, p)
        same = list(arrays) == list(shapes) != ["params"]
    return same and not _is_sparse(claim)


def _shaped(node: Any, part: Any, where: str) -> Any:
    """Return a part of the gradient in the shape of its array."""
    array = np.asarray(part)
    return array.reshape(np.shape(node)) if array.size == np.size(node) else array


def _is_sparse(claim: Any) -> bool:
    return type(claim).__module__.startswith("scipy.sparse")


def _of_gradient(path: str) -> str:
    root = path == "params" or path.startswith("params[")
    return f"gradient{path.removeprefix('params')}" if root else f"gradient.{path}"


def _renamed(array: ArrayReport) -> ArrayReport:
    return replace(array, path=_of_gradient(array.path))


@contextmanager
def slopes_of(
    cost: Callable[[Any], Any],
    gradient: Callable[[Any], Any] | None,
    params: Any,
    options: Options,
    hessian: Any = None,
) -> Iterator[Slopes]:
    """Yield the gradient to differentiate: the caller's, which is judged, or a numeric one.

    Of a `hessian` that is a diagonal, only the slope by each entry is differentiated.
    """
    if gradient is not None:
        if not callable(gradient):
            raise TypeError(
                f"gradient is a {type(gradient).__name__}, wanted a function of the parameters: "
                "its derivatives are the Hessian"
            )
        judged, evaluations = gradient_report(
            cost,
            gradient,
            params,
            options.rtol,
            options.resolution,
            options.scale,
            options.method,
            options.bounds,
            options.seed,
            options.executor,
            False,
            False,
        )

        def nested(at: Any) -> Any:
            """Return the gradient in arrays of the parameters' shapes, complex if it is."""
            arrays, _ = flatten_claim(params, gradient(at), "gradient(params)", leaf=_shaped)
            return rebuild(params, arrays)

        own: OwnSlopes | None = None
        if hessian is not None and _is_diagonal(hessian, evaluations):
            own = GradientEntries(nested, params, options)
        yield Slopes(nested, None, options, None, evaluations, judged, own)
        return
    given = evaluations_around(
        cost, params, options.bounds, options.seed, options.executor, False, False
    )
    with given.handing_back(given.cost), np.errstate(all="ignore"):
        evaluations = widened(given, options.seed)
        if hessian is not None and _is_diagonal(hessian, given):
            own = CostSlopes(evaluations, options.seed)
            yield Slopes(cost, None, options, None, evaluations, None, own)
            return
        with given.restoring_parameters(), evaluations.unchanged("cost"):
            numeric = NumericGradient(evaluations, options.seed)
        point = flatten(params)
        limits = flatten_bounds(params, point, options.bounds)
        lower = {p: np.maximum(numeric.bounds[0][p], limits[0][p]) for p in point}
        upper = {p: np.minimum(numeric.bounds[1][p], limits[1][p]) for p in point}
        bounds = rebuild(params, lower), rebuild(params, upper)
        within = replace(options, bounds=bounds, method="central", executor=None)
        yield Slopes(numeric, numeric.doubt, within, numeric.memo, evaluations, None)


def with_symmetry(report: Report, of_gradient: bool) -> Report:
    """Add findings on where the claim, or the gradient's own derivative, is not symmetric."""
    names = [name.split(" by ") for name in report.arrays]
    paths = list(dict.fromkeys(of_x for _, of_x in names))
    findings = []
    for claimed in (True, False) if of_gradient else (True,):
        found = _asymmetry(report.arrays, paths, claimed)
        if found:
            what = "The claimed Hessian" if claimed else "The derivative of the gradient"
            why = "" if claimed else ": it is not the gradient of a cost"
            findings.append(f"{what} is not symmetric: {found}{why}.")
    return replace(report, findings=(*report.findings, *findings))


def _asymmetry(arrays: Mapping[str, ArrayReport], paths: list[str], claimed: bool) -> str:
    """Say where two entries that should be equal differ most; an empty string if none do."""
    blocks, count = list(arrays.values()), len(paths)
    worst, text = 0.0, ""
    for a in range(count):
        for b in range(a, count):
            one, other = blocks[a * count + b], blocks[b * count + a]
            x, y = (one.claimed, other.claimed.T) if claimed else (one.numeric, other.numeric.T)
            size = np.maximum(np.abs(x), np.abs(y))
            allowed = 2 * np.maximum(one.limit, other.limit.T) + one.error + other.error.T
            with np.errstate(invalid="ignore", divide="ignore"):
                relative = np.where(np.abs(x - y) > allowed, np.abs(x - y) / size, 0)
            relative = np.nan_to_num(relative)
            if relative.max(initial=0) > worst:
                worst = float(relative.max())
                index = tuple(int(i) for i in np.unravel_index(relative.argmax(), x.shape))
                text = (
                    f"{entry_name(one.path, index)} is {x[index]:.6g}, and "
                    f"{entry_name(other.path, index[::-1])} is {y[index]:.6g}"
                )
    return text
