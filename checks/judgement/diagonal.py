"""The diagonal of a Hessian: of each entry of the gradient, the derivative by that entry itself."""

import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from checks._types import FloatArray, IntArray
from checks.estimation.estimates import estimate_derivatives
from checks.estimation.noise import ASSUMED_PLACES
from checks.estimation.result_noise import measure_result_noise
from checks.estimation.widened import widened
from checks.evaluation.pointwise import Evaluations
from checks.evaluation.progress import Progress
from checks.evaluation.results import Results
from checks.judgement.by_rows import findings_of, name_mistakes
from checks.judgement.claim import Claim
from checks.judgement.every_entry import judge_arrays
from checks.judgement.repetition import not_repeatable
from checks.parameters.claims import flatten_claim
from checks.parameters.nesting import Nesting
from checks.report.report import Report
from checks.report.verdict import Verdict

__all__ = ["CostSlopes", "GradientEntries", "OwnSlopes", "judged_diagonal"]

# A second difference of costs with noise σ has the noise √(1 + 1 + 4) σ/h². The three in `central`,
# with weights 1.5, −0.6/4 and 0.1/9, have 1.51 times that; it assumes 1.08 times, as of slopes.
SECOND = math.sqrt(6) * 1.51 / 1.08


class OwnSlopes:
    """The slope by each entry, less that at the point, as a cost of which only single entries move.

    Its derivative by an entry is the second derivative of the caller's cost by that entry.

    Attributes
    ----------
    evaluations : Evaluations
        Of the function that is called, around the caller's point.
    noise, terms : float
        The largest noise of a slope, and the size of slopes, as `CostNoise` takes them.
    levels : dict of str to ndarray
        The noise of the moves of each entry, by path.
    doubt : dict of str to ndarray
        What is added to the errors of the derivatives.
    calls : int
        Of a gradient; those of the cost are counted by the evaluations.
    """

    evaluations: Evaluations
    noise: float
    terms: float
    calls = 0

    def _know(self, by_path: Mapping[str, FloatArray], slopes: Mapping[str, FloatArray]) -> None:
        """Store the noise of each own slope, by path, and the size of the slopes."""
        self.levels = {path: np.array(level, float).ravel() for path, level in by_path.items()}
        self.doubt = {path: np.zeros(level.size) for path, level in self.levels.items()}
        self.noise = max(float(level.max(initial=0)) for level in self.levels.values())
        self.terms = max(float(np.abs(slope).max(initial=0)) for slope in slopes.values())

    def __call__(self, params: Any) -> float:
        """Return 0, as at the point."""
        return 0.0

    def at_entries(
        self, params: Any, path: str, entries: IntArray, steps: Any
    ) -> Iterator[tuple[slice, Any]]:
        """Yield what `changes` returns; see `checks.evaluation.pointwise.Evaluations`."""
        yield slice(0, len(entries)), self.changes(path, entries, steps)

    def changes(self, path: str, entries: IntArray, steps: Any) -> Any:
        """Return by how much the own slopes of entries (m,) change over their steps (m, k)."""
        raise NotImplementedError

    def handing_back(self, claim: Any) -> AbstractContextManager[None]:
        """Call the function once more at the end, with the caller's own parameters."""
        return nullcontext()


class CostSlopes(OwnSlopes):
    """The own slopes from values of the cost alone, of which each takes one call.

    By complex steps where the cost carries imaginary parts through. Else by second differences:
    2 (C(x + s) − C(x) − s ∂C)/s = s ∂²C + s² ∂³C/3 + ….
    """

    def __init__(self, evaluations: Evaluations, seed: int) -> None:
        self.evaluations = evaluations
        with evaluations.restoring_parameters():
            estimates = estimate_derivatives(evaluations, "auto", seed)
            self._is_complex = estimates.method == "complex-step"
            noise = None if self._is_complex else estimates.noise
        by_path = estimates.by_path
        self._slopes = {path: np.nan_to_num(e.value) for path, e in by_path.items()}
        self._errors = {path: e.error for path, e in by_path.items()}
        self._know(self._errors, self._slopes)
        if noise is None:
            # the error of a slope, from terms that the cost absorbs, may change as parameters do
            sizes = {path: size.ravel() for path, size in evaluations.box.sizes.items()}
            self.doubt = {path: error / sizes[path] for path, error in self._errors.items()}
        else:
            # The first step is relative^(1/7). Here relative^(1/8) is wanted, where the truncation
            # error h⁶ equals noise/h².
            relative = max(noise.relative, 1e-17)
            self.noise, self.terms = noise.level, noise.level / relative ** (7 / 8)

    def changes(self, path: str, entries: IntArray, steps: Any) -> Any:
        """Return by how much the own slopes of entries (m,) change over their steps (m, k)."""
        evaluations, slopes = self.evaluations, self._slopes[path][entries, None]
        if self._is_complex:
            h = evaluations.complex_step(path)
            return evaluations.at_entries(path, entries, steps + 1j * h).imag / h - slopes
        costs = evaluations.at_entries(path, entries, steps)
        with np.errstate(divide="ignore", invalid="ignore"):
            shortest = np.where(steps == 0, np.inf, np.abs(steps)).min(axis=1)
            level = SECOND * self.noise / shortest
            self.levels[path][entries] = level + self._errors[path][entries]
            return 2 * ((costs - evaluations.at_point) / steps - slopes)


class GradientEntries(OwnSlopes):
    """The own slopes from a gradient, of which one entry is read where that entry moves."""

    def __init__(self, gradient: Callable[[Any], Any], params: Any, options: Any) -> None:
        self._gradient, self._results = gradient, Results(gradient, params, "gradient")
        ones = {path: np.ones(array.shape) for path, array in self._results.at_point.items()}
        contraction = self._results.contractions([ones])[0]
        whole = widened(Evaluations(contraction, params, None, options.bounds), options.seed)
        with whole.restoring_parameters():
            measure_result_noise(whole, math.inf, options.seed)
        slopes = np.concatenate([g.ravel() for g in self._results.at_point.values()])
        found = self._results.noise
        level = ASSUMED_PLACES * whole.eps * np.abs(slopes) if found is None else found.level
        self._know(whole.split(level), whole.split(slopes))
        self.terms = max(self.terms, self._largest_change(whole, slopes, options.seed))
        self._paths, self._place = list(whole.values), (0, 0)
        self._slopes = whole.split(slopes if found is None else found.at_point)
        point = whole.nesting.params if whole.in_place else params
        self.evaluations = Evaluations(self._entry, point, None, options.bounds)

    def _largest_change(self, whole: Evaluations, slopes: FloatArray, seed: int) -> float:
        """Return by how much slopes change as parameters move by half of their size.

        At a minimum, where slopes are 0, their rounding is that of numbers of this size.
        """
        ends = whole.box.ends(np.random.default_rng(seed))
        moved = whole.cost_moved({path: end / 2 for path, end in ends.items()})
        change = np.abs(np.concatenate(self._results.latest) - slopes)
        return float(change.max(initial=0)) if np.isfinite(moved) else 0.0

    @property
    def calls(self) -> int:  # type: ignore[override]
        """How often the gradient was called."""
        return self._results.memo.calls + self.evaluations.count

    def _entry(self, params: Any) -> Any:
        number, entry = self._place
        leaf = list(Nesting(self._gradient(params)).leaves.values())[number]
        return np.asarray(leaf).ravel()[entry]

    def changes(self, path: str, entries: IntArray, steps: Any) -> Any:
        """Return by how much the own slopes of entries (m,) change over their steps (m, k)."""
        number, found = self._paths.index(path), []
        for row, entry in enumerate(entries):
            self._place = number, int(entry)
            slopes = self.evaluations.at_entries(path, entries[[row]], steps[[row]])
            found.append(slopes[0] - self._slopes[path].ravel()[entry])
        return np.array(found).reshape(steps.shape)

    def handing_back(self, claim: Any) -> AbstractContextManager[None]:
        """Call the gradient once more at the end, with the caller's own parameters."""
        return self._results.handing_back(claim)


def judged_diagonal(
    slopes: OwnSlopes, hessian: Any, params: Any, options: Any
) -> tuple[Report, Evaluations]:
    """Return the report of a claimed diagonal, not recorded yet, and evaluations of `slopes`.

    Parameters
    ----------
    slopes
        What is differentiated.
    hessian
        Arrays of the shapes of the parameters, nested alike, or a function that returns them.
    params, options
        As in `checks.hessian.check_hessian`.
    """
    started = time.perf_counter()
    function = partial(_claimed, hessian, params) if callable(hessian) else None
    given = Evaluations(slopes, params, Progress(options.progress), options.bounds)
    is_wider = slopes.evaluations.eps < given.eps
    evaluations = given.in_dtype(np.float64) if is_wider else given
    evaluations.outside = slopes.evaluations.outside
    with slopes.handing_back(hessian), np.errstate(all="ignore"):
        if function is None:
            first, _ = flatten_claim(params, hessian, "hessian")
        else:
            with given.unchanged("hessian"):
                first = given.call_at_point(function)
        with slopes.evaluations.restoring_parameters(), evaluations.tolerating_interrupt():
            estimates = estimate_derivatives(
                evaluations, "central", options.seed, options.rtol, first
            )
            by_path = {
                path: replace(e, error=e.error + slopes.doubt[path])
                for path, e in estimates.by_path.items()
            }
            estimates = replace(estimates, by_path=by_path)
            claim = Claim(given, first, function)
            judged, differ = judge_arrays(estimates, claim, options.resolution, options.scale)
    arrays = {_name_of(path): replace(a, path=_name_of(path)) for path, a in judged.items()}
    differences = {_name_of(path): d for path, d in differ.items()}
    report = Report(
        arrays=arrays,
        rtol=estimates.rtol,
        resolution=options.resolution,
        method=estimates.method,
        noise=estimates.cost_noise.known.relative,
        evaluations=slopes.calls,
        seconds=0.0,
        seed=options.seed,
        findings=tuple(findings_of(arrays, differences)),
        scale=options.scale,
        kind="Hessian",
    )
    if report.verdict is not Verdict.MATCH:
        # named in the shape of the parameters, where a wrong order of classes or samples shows
        values = {_name_of(path): value for path, value in evaluations.values.items()}
        named = not_repeatable(arrays, differences) or name_mistakes(arrays, values, report.kind)
        report = replace(report, diagnosis=named)
    return replace(report, seconds=time.perf_counter() - started), evaluations


def _claimed(hessian: Callable[[Any], Any], params: Any, at: Any) -> dict[str, FloatArray]:
    arrays, _ = flatten_claim(params, hessian(at), "hessian(params)")
    return {path: array.copy() for path, array in arrays.items()}


def _name_of(path: str) -> str:
    return f"diagonal of {path}"
