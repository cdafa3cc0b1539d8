"""Vector–Jacobian products, judged with several cotangents."""

import time
from collections.abc import Callable
from dataclasses import replace
from functools import cached_property, partial
from typing import Any

import numpy as np

from checks._types import FloatArray
from checks.derivatives.linearity import compared_with_zeros, overwriting, with_vector
from checks.derivatives.options import Names, Options
from checks.estimation.estimates import Estimates
from checks.evaluation.control_flow import is_control_flow
from checks.evaluation.pointwise import Evaluations
from checks.evaluation.result import Contraction
from checks.evaluation.results import Results
from checks.judgement.blurred_claim import suspected_entry
from checks.judgement.every_entry import judge_gradient
from checks.judgement.shared_claims import Cotangent, Sum, VjpClaims, draw_cotangents
from checks.parameters.complex_parts import ComplexPoint, product_in_parts
from checks.parameters.nesting import argument_name, named_x
from checks.report.report import Report
from checks.report.verdict import Verdict

__all__ = ["judged_vjp"]

VJP = Names("vjp", "vjp(x, u)", "⟨u, f(x)⟩")
Product = tuple[dict[str, FloatArray], list[str]]  # of `VjpClaims.products`


def judged_vjp(
    f: Callable[[Any], Any], vjp: Callable[[Any, Any], Any], x: Any, options: Options
) -> tuple[Report, Evaluations]:
    """Return the report of `checks.check_vjp`, not recorded yet, and evaluations of a sum."""
    started, point = time.perf_counter(), ComplexPoint(x)
    options = options.by(point)
    results = Results(point.taking_parts(options.one_by_one(f)), point.params)
    vjp = product_in_parts(vjp, point, results.complex, point)
    check = _Check(vjp, results, options, started)
    u = results.nesting.rebuild(check.first.values)
    with results.handing_back(partial(with_vector, vjp, u)), np.errstate(all="ignore"):
        report = check.report()
    report = replace(report, evaluations=results.memo.calls, seconds=time.perf_counter() - started)
    if check.claims.overwritten:
        report = overwriting(report, "vjp", "cotangent", check.claims.overwritten)
    return _naming_x(VJP.named(report)), check.estimates.evaluations


class _Check:
    """A check of one product, with a cotangent after another until one shows a mistake.

    Attributes
    ----------
    first : Cotangent
        The random one that is tried first.
    claims : VjpClaims
    estimates : Estimates
        Of the cotangent that was judged last.
    """

    estimates: Estimates

    def __init__(
        self, vjp: Callable[[Any, Any], Any], results: Results, options: Options, started: float
    ) -> None:
        self._results, self._options, self._started = results, options, started
        self.claims = VjpClaims(vjp, results)
        # Not default_rng(seed): x may be its first numbers, and a norm's gradient along x is zero.
        rng = np.random.default_rng([options.seed, 1])
        self.first, self._together, self._sums = draw_cotangents(results.at_point, rng)
        self._reports: list[tuple[str, Report]] = []
        self._is_random = False

    def report(self) -> Report:
        """Return the report of the worst cotangent."""
        self._judge_first()
        # what writes to its cotangent cannot be handed one whose entries share memory
        if self._is_open and (self.claims.overwritten or self._may_be_wrong()):
            self._judge_layouts()
            self._judge_parts()
        self._judge_suspect()
        finding, report = max(self._reports, key=lambda item: item[1].verdict)
        if self._is_open and (nonzero := self._products_with_zeros()):
            finding = "With a cotangent of zeros, vjp is not zero: it is not linear in it."
            report = replace(report, arrays=compared_with_zeros(nonzero), diagnosis=())
        if report:
            finding = (
                f"{len(self._together.parts) + 2} cotangents were tried: random ones, one output "
                "at a time, in other memory layouts, and zeros."
            )
        return replace(report, findings=(*report.findings, finding))

    @property
    def _is_open(self) -> bool:
        """Whether further cotangents may show a mistake.

        Not of random results that left one UNRESOLVED: the products are random as well, and of a
        cotangent with a single entry the results may be the same in two calls by chance.
        """
        wrong = any(report.verdict is Verdict.MISMATCH for _, report in self._reports)
        return not (wrong or self._is_random or self.estimates.evaluations.interrupted)

    def _judge_first(self) -> None:
        with self._results.point.restoring_parameters():
            known = self.claims.at_point(self.first)
        self._judge(self.first, self._results.contractions([self.first.values])[0], known)
        arrays = self._reports[0][1].arrays
        self._whole = {path: array.claimed for path, array in arrays.items()}
        self._rounding = {path: np.nan_to_num(a.rounding) for path, a in arrays.items()}

    def _judge_layouts(self) -> None:
        """Judge the first cotangent in layouts that change the product; its costs are known."""
        for layout in self.claims.other_layouts(self.first, self._whole):
            self._compare(layout)

    def _judge_parts(self) -> None:
        """Judge the parts of sums to which products do not add up."""
        for one_sum in self._sums:
            layouts = {part.layout for part in one_sum.parts}
            if not self._is_open or (self.claims.overwritten and layouts != {np.array}):
                continue
            if not self._is_linear(one_sum):
                for part in one_sum.parts:
                    if self._is_open:
                        self._judge(part, self._costs[id(part)])

    def _judge_suspect(self) -> None:
        """Judge what an entry moves alone if it stands out, though rounding explains it."""
        suspect = suspected_entry(self._reports[0][1].arrays) if self._is_open else None
        if suspect:
            alone = self.claims.alone(self.first, self.estimates.evaluations, *suspect)
            if alone:
                self._judge(alone, self._results.contractions([alone.values])[0])

    @cached_property
    def _costs(self) -> dict[int, Contraction]:
        """The costs of all parts of sums, which share evaluations."""
        parts = [part for one_sum in self._sums for part in one_sum.parts]
        costs = self._results.contractions([part.values for part in parts])
        return dict(zip(map(id, parts), costs, strict=True))

    def _judge(self, cotangent: Cotangent, cost: Contraction, known: Product | None = None) -> None:
        """Append the report of a cotangent, whose product may be known at the point."""
        params = self._results.point.nesting.params
        found = self._options.estimates([cost], params, 1, lambda _: self.claims.last)
        self._given, self.estimates = next(found)
        self._compare(cotangent, known)
        found.close()

    def _compare(self, cotangent: Cotangent, known: Product | None = None) -> None:
        """Append the report of a cotangent that has the values of the one judged last."""
        claims, given, estimates = self.claims, self._given, self.estimates
        with given.restoring_parameters(), estimates.evaluations.unchanged("cost"):
            if known:
                claim, findings = claims.claim(known[0], cotangent, given), known[1]
            else:
                claim, findings = claims.with_cotangent(cotangent, given)
            resolution, scale = self._options.resolution, self._options.scale
            report = judge_gradient(estimates, claim, resolution, scale, self._started, findings)
        if self._reports:
            report = _on_scale_of(self._reports[0][1], report)
        self._reports.append((f"With {cotangent.name}.", replace(report, kind="vjp")))
        if report.verdict is Verdict.UNRESOLVED and estimates.noise.stochastic:
            self._is_random = True

    def _is_linear(self, one_sum: Sum) -> bool:
        rtol = self._reports[0][1].rtol
        return self.claims.are_linear(one_sum, self._whole, rtol, self._rounding)

    def _may_be_wrong(self) -> bool:
        """Whether a mistake shows in all kinds of cotangents together.

        So it does where one of them raises: others may show wrong values first.
        """
        try:
            return not self._is_linear(self._together)
        except Exception as error:
            if is_control_flow(error):
                raise
            return True

    def _products_with_zeros(self) -> dict[str, FloatArray]:
        """Return the products with a cotangent of zeros if one of them is not zero."""
        zeros = {path: np.zeros_like(array) for path, array in self._results.at_point.items()}
        params = self._results.point.nesting.params
        products, _ = self.claims.products(params, Cotangent("a cotangent of zeros", zeros))
        return products if any(product.any() for product in products.values()) else {}


def _naming_x(report: Report) -> Report:
    """Return a report in which the argument is called x, as in f(x), and not params."""
    if all(argument_name(path) == path for path in report.arrays):
        return report
    curve = report.step_curve
    return replace(
        report,
        arrays={
            argument_name(path): replace(a, path=argument_name(path))
            for path, a in report.arrays.items()
        },
        diagnosis=tuple(
            replace(mistake, text=named_x(mistake.text)) for mistake in report.diagnosis
        ),
        step_curve=curve and replace(curve, name=named_x(curve.name)),
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
