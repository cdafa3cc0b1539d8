"""The end of a check: its report is recorded, also if Ctrl-C ended it before all was compared."""

from collections.abc import Callable
from dataclasses import replace
from functools import wraps
from typing import Any, ParamSpec

import numpy as np

from checks.evaluation.pointwise import Evaluations
from checks.report.array_report import ArrayReport
from checks.report.report import Report
from checks.report.session import record, unrecorded
from checks.report.verdict import Verdict

__all__ = ["CheckInterrupted", "finish", "recorded_once"]

P = ParamSpec("P")


class CheckInterrupted(KeyboardInterrupt):
    """Ctrl-C ended a check; the text is the report of what had been compared by then.

    Attributes
    ----------
    report : Report
        Entries, or whole arrays, that had not been compared are UNRESOLVED.
    """

    def __init__(self, report: Report) -> None:
        super().__init__(str(report))
        self.report = report

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.report,)


def finish(report: Report, evaluations: Evaluations) -> Report:
    """Record a report for the test session and return it.

    Raises
    ------
    CheckInterrupted
        The evaluations were interrupted. It is a KeyboardInterrupt, so it also ends a test session
        or a loop over checks, as Ctrl-C does.
    """
    if not evaluations.interrupted:
        return record(report)
    arrays = {path: _with_reason(array) for path, array in report.arrays.items()}
    compared = [np.isfinite(array.error) for array in arrays.values()]
    count = sum(int(entries.sum()) for entries in compared)
    methods = {
        array.method
        for array, entries in zip(arrays.values(), compared, strict=True)
        if entries.any()
    }
    finding = f"Interrupted: {count:,} of {report.entries:,} entries were compared."
    partial = replace(
        report,
        arrays=arrays,
        method=methods.pop() if len(methods) == 1 else report.method,
        findings=(*report.findings, finding),
    )
    raise CheckInterrupted(record(partial))


def recorded_once(check: Callable[P, Report]) -> Callable[P, Report]:
    """Return a check that consists of others, of which only the report as a whole is recorded.

    A report without entries is not, since a record names the worst one.
    """

    @wraps(check)
    def recorded(*args: P.args, **kwargs: P.kwargs) -> Report:
        try:
            with unrecorded():
                report = check(*args, **kwargs)
        except CheckInterrupted as interruption:
            record(interruption.report)
            raise
        return record(report) if report.entries else report

    return recorded


def _with_reason(array: ArrayReport) -> ArrayReport:
    """Give the interruption as the reason of an array in which entries were not compared."""
    compared = np.isfinite(array.error)
    if compared.all() or not (array.verdicts[~compared] == Verdict.UNRESOLVED).any():
        return array
    if not compared.any():
        # the same text for all such arrays, so that the report lists them in one line
        return replace(array, reason="interrupted: not compared.")
    count = f"{compared.sum():,} of {compared.size:,} entries were compared"
    return replace(array, reason=f"interrupted: {count}.")
