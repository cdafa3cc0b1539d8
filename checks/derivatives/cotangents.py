"""Vector–Jacobian products, judged with several cotangents."""

import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from checks._types import FloatArray
from checks.derivatives.linearity import compared_with_zeros, overwriting, with_vector
from checks.derivatives.options import Options
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


def judged_vjp(
    f: Callable[[Any], Any], vjp: Callable[[Any, Any], Any], x: Any, options: Options
) -> tuple[Report, Evaluations]:
    """Return the report of `checks.check_vjp`, not recorded yet, and evaluations of a sum."""
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

    def compare(
        cotangent: Cotangent,
        given: Evaluations,
        estimates: Estimates,
        known: tuple[dict[str, FloatArray], list[str]] | None = None,
    ) -> None:
        """Append the report of a cotangent, whose product may be known at the point."""
        nonlocal is_random
        with given.restoring_parameters(), estimates.evaluations.unchanged("cost"):
            if known:
                claim, findings = claims.claim(known[0], cotangent, given), known[1]
            else:
                claim, findings = claims.with_cotangent(cotangent, given)
            report = judge_gradient(
                estimates, claim, options.resolution, options.scale, started, findings
            )
        report = _on_scale_of(reports[0][1], report) if reports else report
        reports.append((f"With {cotangent.name}.", replace(report, kind="vjp")))
        if report.verdict is Verdict.UNRESOLVED and estimates.noise.stochastic:
            is_random = True

    def judge(
        cotangent: Cotangent, cost: Contraction | None = None
    ) -> tuple[Evaluations, Estimates]:
        """Append the report of a cotangent; the costs of all but the first share evaluations."""
        known = None
        if not reports:
            with results.point.restoring_parameters():
                known = claims.at_point(cotangent)
        if cost is None and id(cotangent) not in cost_of:
            costs = results.contractions([other.values for other in others])
            cost_of.update(zip(map(id, others), costs, strict=True))
        cost = cost or cost_of[id(cotangent)]
        found = options.estimates([cost], x, 1, lambda _: claims.last)
        given, estimates = next(found)
        compare(cotangent, given, estimates, known)
        found.close()
        return given, estimates

    def is_open() -> bool:
        """Whether further cotangents may show a mistake.

        Not of random results that left one UNRESOLVED: the products are random as well, and of a
        cotangent with a single entry the results may be the same in two calls by chance.
        """
        wrong = any(report.verdict is Verdict.MISMATCH for _, report in reports)
        return not wrong and not is_random and not estimates.evaluations.interrupted

    with (
        results.handing_back(partial(with_vector, vjp, results.nesting.rebuild(first.values))),
        np.errstate(all="ignore"),
    ):
        given, estimates = judge(first)
        whole = {path: array.claimed for path, array in reports[0][1].arrays.items()}
        rounding = {p: np.nan_to_num(a.rounding) for p, a in reports[0][1].arrays.items()}

        def is_linear(one_sum: Sum) -> bool:
            return claims.are_linear(one_sum, whole, reports[0][1].rtol, rounding)

        def may_be_wrong() -> bool:
            """Whether a mistake shows in all kinds of cotangents together.

            So it does where one of them raises: others may show wrong values first.
            """
            try:
                return not is_linear(together)
            except Exception as error:
                if is_control_flow(error):
                    raise
                return True

        # what writes to its cotangent cannot be handed one whose entries share memory
        writes = bool(claims.overwritten)
        suspicious = is_open() and (writes or may_be_wrong())
        for layout in claims.other_layouts(first, whole) if suspicious else []:
            compare(layout, given, estimates)
        for one_sum in sums if suspicious and is_open() else []:
            if writes and any(part.layout is not np.array for part in one_sum.parts):
                continue
            if not is_linear(one_sum):
                for part in one_sum.parts:
                    if is_open():
                        given, estimates = judge(part)
        suspect = suspected_entry(reports[0][1].arrays) if is_open() else None
        if suspect and (alone := claims.alone(first, estimates.evaluations, *suspect)):
            cost = results.contractions([alone.values])[0]
            given, estimates = judge(alone, cost)
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
    return _naming_x(report), estimates.evaluations


def _naming_x(report: Report) -> Report:
    """Return a report in which the argument is called x, as in f(x), and not params."""
    if all(argument_name(path) == path for path in report.arrays):
        return report
    curve = report.step_curve
    return replace(
        report,
        arrays={
            argument_name(path): replace(a, path=argument_name(path), reason=named_x(a.reason))
            for path, a in report.arrays.items()
        },
        findings=tuple(map(named_x, report.findings)),
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
