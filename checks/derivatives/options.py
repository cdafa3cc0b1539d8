"""The options of a check of many derivatives, and estimates of them, row by row."""

import itertools
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Executor
from dataclasses import dataclass, fields, replace
from functools import partial
from typing import Any

import numpy as np

from checks._types import FloatArray
from checks.estimation.estimates import Estimates, estimate_derivatives
from checks.estimation.numeric_gradient import Doubt
from checks.estimation.widened import restoring_widened
from checks.evaluation.pointwise import Evaluations
from checks.evaluation.progress import Progress
from checks.evaluation.result import Result
from checks.evaluation.results import Results
from checks.evaluation.stacked import StackedFunction
from checks.gradient import check_options, evaluations_around
from checks.parameters.bounds import flatten_bounds
from checks.parameters.claims import flatten
from checks.parameters.complex_parts import ComplexPoint
from checks.parameters.nesting import Nesting, named_x
from checks.report.report import Report

__all__ = ["JACOBIAN", "Names", "Options", "symmetric_rows"]


@dataclass(frozen=True)
class Names:
    """How a report and errors name what is checked, the claim, the results, and x."""

    kind: str = "Jacobian"
    claim: str = "jacobian"
    results: str = "f(x)"
    x: str = "x"

    def named(self, report: Report) -> Report:
        """Return a report whose reasons and findings say of these results what is true of costs."""

        def named(text: str) -> str:
            results = self.results if "(" in self.results else f"the {self.results}"
            text = text.replace("the cost", results).replace("A cost", "A function")
            return named_x(text, self.x)

        arrays = {n: replace(a, reason=named(a.reason)) for n, a in report.arrays.items()}
        return replace(report, arrays=arrays, findings=tuple(map(named, report.findings)))


JACOBIAN = Names()


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

    @classmethod
    def of(cls, check: str, options: dict[str, Any]) -> "Options":
        """Return the options that a check was given by name.

        Raises
        ------
        TypeError
            One of them does not exist.
        """
        known = [field.name for field in fields(cls)]
        for name in set(options).difference(known):
            raise TypeError(
                f"{check} got an option {name!r}, wanted some of {', '.join(known[:-1])}"
            )
        return cls(**options)

    def by(self, point: ComplexPoint) -> "Options":
        """Return them with bounds of x, which were checked: errors name x."""
        bounds = point.bounds(self.bounds)
        try:
            if bounds is not None:
                flatten_bounds(point.params, flatten(point.params), bounds)
        except (TypeError, ValueError) as error:
            raise type(error)(named_x(str(error))) from None
        return replace(self, bounds=bounds)

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
                claims = claimed(number) if claimed else None
                with (
                    restoring_widened(given, self.seed) as evaluations,
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
        if doubt is None:
            yield from self.estimates(results.costs(), x, results.size, claimed)
            return
        found = self.estimates(doubt.noisy(results.costs()), x, results.size, claimed)
        others: Iterable[Any] = itertools.repeat(None)
        if doubt.low is not None:
            low = Results(doubt.low, x)
            others = replace(self, progress=False).estimates(doubt.noisy(low.costs()), x, low.size)
        rows = []
        for number, ((given, one), other) in enumerate(zip(found, others, strict=False)):
            by_path = {}
            for path, estimate in one.by_path.items():
                error = estimate.error + doubt.error(number, path)
                if other:
                    error = error + 2 * np.abs(estimate.value - other[1].by_path[path].value)
                by_path[path] = replace(estimate, error=error)
            rows.append((given, replace(one, by_path=by_path)))
        is_square = doubt.is_symmetric and len(rows) == results.size
        yield from symmetric_rows(rows) if is_square else rows


def symmetric_rows(
    rows: list[tuple[Evaluations, Estimates]],
) -> Iterator[tuple[Evaluations, Estimates]]:
    """Yield the rows of a symmetric matrix, with errors that reach what the other half allows.

    Both halves are estimated, by other steps. Where two intervals of one number do not meet, one of
    them is wrong, as where the gradient oscillates faster than the steps of an entry.
    """

    def matrix(of: str) -> Any:
        return np.array(
            [np.concatenate([getattr(e, of) for e in one.by_path.values()]) for _, one in rows]
        )

    value, error = matrix("value"), matrix("error")
    apart = np.abs(value - value.T)
    error = np.where(apart > error + error.T, apart + error.T, error)
    for (given, one), of_row in zip(rows, error, strict=True):
        ends = np.cumsum([e.value.size for e in one.by_path.values()])[:-1]
        parts = zip(one.by_path.items(), np.split(of_row, ends), strict=True)
        yield given, replace(one, by_path={p: replace(e, error=part) for (p, e), part in parts})


def _one_of_a_stack(f: Callable[[Any], Any], x: Any) -> Any:
    """Return the results at one x of a function that takes many along a leading axis."""
    nesting = Nesting(x)
    one = {path: np.asarray(leaf)[None] for path, leaf in nesting.leaves.items()}
    results = Nesting(f(nesting.rebuild(one)))
    return results.rebuild({path: np.asarray(leaf)[0] for path, leaf in results.leaves.items()})
