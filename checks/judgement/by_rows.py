"""Reports of Jacobians: every row is judged as the gradient of one result, and rows are joined."""

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from checks._types import FloatArray
from checks.diagnosis.diagnosis import diagnose
from checks.estimation.estimates import Estimates
from checks.estimation.finite_differences import has_room
from checks.estimation.step_error import ESTIMATED
from checks.judgement.blurred_claim import lost_digits
from checks.judgement.claim import Claim
from checks.judgement.every_entry import judge_arrays, judged_elsewhere, off_kinks
from checks.judgement.repetition import not_repeatable, two_calls_differ
from checks.parameters.claims import entry_name
from checks.parameters.nesting import argument_name
from checks.report.array_report import ArrayReport
from checks.report.report import Diagnosis, Report
from checks.report.verdict import Rule, Verdict
from checks.report.wording import UNSEEN, plural

__all__ = [
    "Row",
    "block_name",
    "findings_of",
    "join_rows",
    "judge_row",
    "name_mistakes",
    "unknown_row",
    "unseen_error",
]


UNKNOWN_ROUNDING = (
    "the claim is off by no more than the rounding of the largest entries may leave, and its own "
    "rounding is not known."
)


@dataclass(frozen=True, eq=False)
class Row:
    """What was found of one result.

    Attributes
    ----------
    arrays : dict of str to ArrayReport
        The derivatives by each array of x, by path.
    differences : dict of str to ndarray
        By how much calls of the claim differ.
    movable : dict of str to ndarray of bool
        Where bounds leave room for a step.
    unseen : frozenset of str
        The arrays of which no move changes the result by a bit.
    noise : float
        Of the result, relative to it.
    method : str
    findings : tuple of str
    """

    arrays: Mapping[str, ArrayReport]
    differences: Mapping[str, FloatArray]
    movable: Mapping[str, Any]
    unseen: frozenset[str]
    noise: float
    method: str
    findings: tuple[str, ...] = ()

    @property
    def seen(self) -> bool:
        """Whether some derivative of the result is surely not zero."""
        return any(array.seen for array in self.arrays.values())


def judge_row(
    estimates: Estimates, claim: Claim, resolution: float, scale: str, is_numeric: bool = False
) -> Row:
    """Judge a row of the claimed Jacobian as the gradient of its result.

    A result that `is_numeric`, as the entries of a numeric gradient, is known around one point.
    """
    arrays, differences = judge_arrays(estimates, claim, resolution, scale)
    findings = []
    if not is_numeric:
        findings = judged_elsewhere(estimates, claim, arrays, resolution, scale)
    movable = {path: has_room(estimates.evaluations, path) for path in arrays}
    unseen = frozenset(path for path, e in estimates.by_path.items() if e.unseen)
    noise = estimates.cost_noise.known.relative
    return Row(arrays, differences, movable, unseen, noise, estimates.method, tuple(findings))


def unknown_row(claimed: Mapping[str, FloatArray], rule: Rule) -> Row:
    """Return the row of a result of which nothing is known, as the check was interrupted."""
    arrays = {
        path: ArrayReport.judged(path, g, np.full(g.shape, np.nan), np.full(g.shape, np.inf), rule)
        for path, g in claimed.items()
    }
    zeros = {path: np.zeros(g.shape) for path, g in claimed.items()}
    movable = {path: np.zeros(g.shape, bool) for path, g in claimed.items()}
    return Row(arrays, zeros, movable, frozenset(), 0.0, "")


def join_rows(
    rows: Sequence[Row],
    results: Mapping[str, FloatArray],
    x: Mapping[str, FloatArray],
    report: Report,
    started: float,
    name_of: Callable[[str, str], str] | None = None,
    same_units: bool = False,
) -> Report:
    """Join rows to blocks, one for every array of results by every array of x.

    Parameters
    ----------
    rows
        One for each result, in order.
    results, x
        Their arrays, by path.
    report
        Gives the options of the check; its arrays are those of no row.
    started
        `time.perf_counter` at the beginning of the check.
    name_of
        Takes the paths of results and of an array of x, returns the name of their block. Default:
        `block_name`.
    same_units
        The rows of a block have one scale, as those of a product: its largest entry.
    """
    seen = {path for path in x if not all(path in row.unseen for row in rows)}
    arrays: dict[str, ArrayReport] = {}
    differences: dict[str, FloatArray] = {}
    values: dict[str, FloatArray] = {}
    first = 0
    for result, numbers in results.items():
        of_result = rows[first : first + numbers.size]
        first += numbers.size
        for path, value in x.items():
            name = (name_of or block_name)(result, path)
            if of_result:
                arrays[name] = _block(name, of_result, path, any(row.seen for row in rows))
                if path not in seen:
                    arrays[name] = _never_seen(arrays[name], bool(seen))
                each = [row.differences[path].ravel() for row in of_result]
                differences[name] = np.stack(each)
                values[name] = np.broadcast_to(value.ravel(), differences[name].shape)
    if same_units:
        largest = max(array.largest for array in arrays.values())
        arrays = {name: _on_one_scale(array, largest) for name, array in arrays.items()}
    of_rows = dict.fromkeys(finding for row in rows for finding in row.findings)
    report = replace(
        report,
        arrays=arrays,
        rtol=max(float(np.max(array.rule.rtol)) for array in arrays.values()),
        method=_only({row.method for row in rows if row.method}),
        noise=max(row.noise for row in rows),
        findings=(*report.findings, *of_rows, *findings_of(arrays, differences)),
    )
    if report.verdict is not Verdict.MATCH:
        named = name_mistakes(arrays, values, report.kind)
        report = replace(report, diagnosis=not_repeatable(arrays, differences) or named)
    return replace(report, seconds=time.perf_counter() - started)


def name_mistakes(
    arrays: Mapping[str, ArrayReport], values: Mapping[str, FloatArray], kind: str
) -> tuple[Diagnosis, ...]:
    """Name what is wrong with a derivative of some kind, "Jacobian" say, as `diagnose` does."""

    def named(text: str) -> str:
        text = text.replace("numerical gradient", f"numerical {kind}")
        return text.replace("the gradient of", f"the {kind} of")

    found = diagnose(off_kinks(arrays), values)
    return tuple(replace(mistake, text=named(mistake.text)) for mistake in found)


def block_name(result: str, path: str, of_x: str = "x") -> str:
    """Return the name of the derivatives of one array of results by one array of x."""
    return f"{result} by {argument_name(path, of_x)}"


def _block(name: str, rows: Sequence[Row], path: str, some_seen: bool) -> ArrayReport:
    """Join the arrays of several rows by one array of x."""
    arrays = [row.arrays[path] for row in rows]

    def stacked(parts: Any) -> Any:
        return np.stack([np.broadcast_to(p, a.claimed.shape).ravel() for p, a in parts])

    def column(numbers: Any) -> FloatArray:
        return np.array(list(numbers), float)[:, None]

    rule = replace(
        arrays[0].rule,
        rtol=column(array.rule.rtol for array in arrays),
        largest=column(array.rule.largest for array in arrays),
    )
    block = ArrayReport(
        path=name,
        claimed=stacked((a.claimed, a) for a in arrays),
        numeric=stacked((a.numeric, a) for a in arrays),
        error=stacked((a.error, a) for a in arrays),
        verdicts=stacked((a.verdicts, a) for a in arrays).astype(np.int8),
        slope_jump=stacked((a.slope_jump, a) for a in arrays),
        rule=rule,
        rounding=stacked((a.rounding, a) for a in arrays),
        method=_only({array.method for array in arrays}),
        precision=next((a.precision for a in arrays if a.precision == ESTIMATED), ""),
        dtype=next((array.dtype for array in arrays if array.dtype), ""),
        by_rows=True,
    )
    if some_seen:
        movable = np.stack([row.movable[path].ravel() for row in rows])
        unseen = np.array([path in row.unseen for row in rows])[:, None]
        # also a row that is 0 within its errors: f = 0, as log(1 + exp(-400)), shows no rounding
        unseen |= ~(np.abs(block.numeric) > block.error).any(axis=1, keepdims=True)
        _judge_unseen_rows(block, movable, unseen)
    is_open = (block.verdicts == Verdict.UNRESOLVED).any(axis=1)
    reasons = [
        array.reason or (UNSEEN if path in row.unseen else "")
        for array, row, open_row in zip(arrays, rows, is_open, strict=True)
        if open_row
    ]
    return replace(block, reason=next(filter(None, reasons), ""))


def unseen_error(largest: float) -> float:
    """Return the error of a zero derivative by an array of which no move changes the result.

    It may be lost in what the function adds it to, as in 1 + exp(-400). Those terms are taken to be
    about as large as the derivatives of other results by the array: `largest`.
    """
    return math.sqrt(np.finfo(float).eps) * largest


def _judge_unseen_rows(block: ArrayReport, movable: Any, unseen: Any) -> None:
    """Judge rows again, in place, that nothing changes, or that may be zero within their errors.

    Claims in them are no MISMATCH unless they are large. Rows that are zero as claimed are a MATCH,
    though nothing shows their scale: a result may have no derivative at all, as that of a dead
    unit, while others have. Then no move changes it, or its row is known to be small beside those
    of other results.
    """
    error = np.where(unseen, unseen_error(block.largest), block.error)
    block.error[...] = np.maximum(block.error, error)
    accused, numeric = block.verdicts == Verdict.MISMATCH, np.nan_to_num(block.numeric)
    zero = ~(block.claimed.any(axis=1) | accused.any(axis=1))
    zero &= (np.abs(numeric) <= block.error).all(axis=1)
    small = block.error <= block.rule.resolution * block.largest
    dead = unseen & (numeric == 0)
    block.verdicts[unseen & accused & (np.abs(block.claimed) <= 2 * block.error)] = (
        Verdict.UNRESOLVED
    )
    block.verdicts[zero[:, None] & movable & (small | dead)] = Verdict.MATCH


def _on_one_scale(block: ArrayReport, largest: float) -> ArrayReport:
    """Return a block judged on one scale, because its rows may round like its largest entries.

    `largest` is that of all blocks. No entry is judged more strictly than as part of its row.
    """
    joined = replace(block, rule=replace(block.rule, largest=largest), by_rows=False)
    off, small = joined.discrepancies, joined.rule.resolution * joined.largest
    right = (off <= joined.tolerance) & (joined.error <= small) & joined.differentiable
    accused = joined.verdicts == Verdict.MISMATCH
    excused = accused & (off - joined.error <= joined.limit) & joined.differentiable
    verdicts = np.where(excused, Verdict.UNRESOLVED, joined.verdicts)
    verdicts = np.where(right, Verdict.MATCH, verdicts).astype(np.int8)
    reason = joined.reason or UNKNOWN_ROUNDING
    reason = reason if (verdicts == Verdict.UNRESOLVED).any() else ""
    return replace(joined, verdicts=verdicts, reason=reason)


def _never_seen(block: ArrayReport, others_seen: bool) -> ArrayReport:
    """Return a block by an array of x that no result sees: only zeros are accepted of it."""
    unknown = replace(block, error=np.full(block.error.shape, np.inf))
    is_right = others_seen and block.all_zero
    unknown.verdicts[...] = Verdict.MATCH if is_right else Verdict.UNRESOLVED
    return replace(unknown, reason="" if is_right else UNSEEN)


def findings_of(
    arrays: Mapping[str, ArrayReport], differences: Mapping[str, FloatArray]
) -> Iterator[str]:
    """Yield sentences on what no verdict shows, as `every_entry` does."""
    if any(d.any() for d in differences.values()) and not not_repeatable(arrays, differences):
        yield f"{two_calls_differ(arrays, differences)}."
    yield from lost_digits(arrays)
    for name, array in arrays.items():
        kinks = np.argwhere(array.slope_jump)
        if kinks.size:
            index = tuple(int(i) for i in kinks[0])
            middle, half = array.numeric[index], array.slope_jump[index]
            more = f" (and {plural(len(kinks) - 1, 'more entry')})" if len(kinks) > 1 else ""
            yield (
                f"{entry_name(name, index)} lies on a kink: the slopes on its two sides are "
                f"{middle - half:.6g} and {middle + half:.6g}{more}."
            )


def _only(names: set[str]) -> str:
    """Return the name that all have in common, or "mixed"."""
    return names.pop() if len(names) == 1 else "mixed"
