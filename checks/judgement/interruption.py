"""A check that was interrupted, and what it had found by then."""

from dataclasses import replace
from typing import Any

import numpy as np

from checks.evaluation.pointwise import Evaluations
from checks.report.array_report import ArrayReport
from checks.report.report import Report
from checks.report.session import record
from checks.report.verdict import Verdict

__all__ = ["CheckInterrupted", "finish"]


class CheckInterrupted(KeyboardInterrupt):
    """Ctrl-C during a check: its text is the report of what had been compared.

    Attributes
    ----------
    report : Report
        Entries, or whole arrays, that were not compared are UNRESOLVED.
    """

    def __init__(self, report: Report) -> None:
        super().__init__(str(report))
        self.report = report

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.report,)


def finish(report: Report, evaluations: Evaluations) -> Report:
    """Record a report and return it.

    Raises
    ------
    CheckInterrupted
        The evaluations were interrupted. An interruption stays one: a test session or a loop over
        checks ends, as it would have.
    """
    if not evaluations.interrupted:
        return record(report)
    arrays = {path: _explained(array) for path, array in report.arrays.items()}
    known = sum(int(np.isfinite(array.error).sum()) for array in arrays.values())
    said = f"Interrupted: {known:,} of {report.entries:,} entries were compared."
    methods = {array.method for array in arrays.values() if np.isfinite(array.error).any()}
    told = replace(
        report,
        arrays=arrays,
        method=methods.pop() if len(methods) == 1 else report.method,
        findings=(*report.findings, said),
    )
    raise CheckInterrupted(record(told))


def _explained(array: ArrayReport) -> ArrayReport:
    known = np.isfinite(array.error)
    if known.all() or not (array.verdicts[~known] == Verdict.UNRESOLVED).any():
        return array
    some = f"{known.sum():,} of {known.size:,} entries were compared"
    # the same for all that were not begun, which are told in one line
    return replace(array, reason=f"interrupted: {some if known.any() else 'not compared'}.")
