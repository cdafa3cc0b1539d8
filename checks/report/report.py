"""What a check found: arrays and JSON for programs, a table and a picture for people."""

import html
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from checks.estimation.step_curve import StepCurve
from checks.estimation.step_error import ESTIMATED
from checks.report.array_report import ArrayReport, WorstEntry
from checks.report.session import context
from checks.report.verdict import Verdict, relative_discrepancy
from checks.report.wording import listed, paragraph, plural, table

if TYPE_CHECKING:
    from matplotlib.figure import Figure


__all__ = ["Diagnosis", "GradientMismatch", "GradientUnresolved", "Report"]

GAP = "      "  # in the first line of a report, after the verdict


@dataclass(frozen=True)
class Diagnosis:
    """A mistake that explains what was found.

    Attributes
    ----------
    name : str
        A short name of the mistake.
    text : str
        What was observed, in a sentence or two, and where to look for the mistake.
    """

    name: str
    text: str


@dataclass(frozen=True, eq=False)
class Report:
    """The outcome of a check; true only if it is a MATCH.

    Attributes
    ----------
    arrays : dict of str to ArrayReport
        What was found in each array, by path, in the order of the parameters.
    rtol, resolution : float
        The tolerance of claims, relative to each entry, and the largest error of an estimate that
        allows a MATCH, relative to the largest entry of its array (see `checks.report.verdict`).
    method : str
        "central" or "complex-step"; "mixed" if arrays were estimated in both ways.
    noise : float
        The noise of the cost, relative to its value (`checks.estimation.noise`). If complex steps
        made it unnecessary to measure the noise, it is one unit in the last place.
    evaluations : int
        How often the cost was called.
    seconds : float
        How long the check took.
    seed : int
        The same seed repeats the check.
    findings : tuple of str
        What else was noticed, one sentence each.
    diagnosis : tuple of Diagnosis
        Names of the mistake, the best first; empty if none fits, or if there is no MISMATCH.
    step_curve : StepCurve, optional
        Slopes of the cost at the worst entry, for steps of every size; None for a MATCH
        or an interrupted check.
    scale : {"entry", "array"}
        What the claims are judged relative to.
    kind : str
        What was checked, the first word of the text.
    """

    arrays: Mapping[str, ArrayReport]
    rtol: float
    resolution: float
    method: str
    noise: float
    evaluations: int
    seconds: float
    seed: int
    findings: tuple[str, ...] = ()
    diagnosis: tuple["Diagnosis", ...] = ()
    step_curve: StepCurve | None = None
    scale: str = "entry"
    kind: str = "gradient"

    _coverage: ClassVar[str] = ""  # stands after "11 entries" in the first line

    def __bool__(self) -> bool:
        return self.verdict is Verdict.MATCH

    @property
    def verdict(self) -> Verdict:
        """The worst verdict of the arrays: MISMATCH before UNRESOLVED before MATCH."""
        return max(array.verdict for array in self.arrays.values())

    @property
    def entries(self) -> int:
        """The number of entries compared."""
        return sum(array.entries for array in self.arrays.values())

    @property
    def worst(self) -> WorstEntry:
        """The worst entry, by its verdict and its discrepancy relative to its scale."""

        def rank(array: ArrayReport) -> tuple[int, float]:
            if array.compared_nothing:
                return array.verdict, 0.0
            worst = array.worst.index
            relative = relative_discrepancy(array.discrepancies[worst], array.scales[worst])
            return array.verdict, float(relative)

        return max(self._compared(), key=rank).worst

    @property
    def discrepancy(self) -> float:
        """The largest |claimed − numeric|, relative to the scale of its entry.

        The scale is the entry's own size, or its array's largest entry where the estimate is too
        inaccurate for that (`checks.report.array_report.ArrayReport.scales`). At a kink, the
        discrepancy is the distance of the claim from the range between the two slopes.
        """
        return max(array.discrepancy for array in self._compared())

    @property
    def detectable(self) -> float:
        """The smallest error, relative to the scale of its entry, that was sure not to pass.

        The scale is the entry's own size, or its array's largest entry for those that `coarse`
        counts. What does not pass is a MISMATCH, unless the claim's own rounding may explain it.
        Entries on a kink are left out (see `kinks`), and so are arrays of zeros, to rounding, that
        the cost does not depend on, which `findings` lists. It is inf if nothing is left.
        """
        arrays = [a for a in self._compared() if a.differentiable.any() and not a.compared_nothing]
        return max((array.detectable for array in arrays), default=math.inf)

    @property
    def kinks(self) -> int:
        """The number of entries on a kink, where any claim between the two slopes is accepted."""
        return sum(int(np.sum(~array.differentiable)) for array in self._compared())

    @property
    def coarse(self) -> int:
        """The number of entries that match only relative to their array's largest entry.

        Relative to their own size, the error or the claim's own rounding is too large to tell.
        """
        return sum(
            int(np.sum(array.coarse & ~array.zeros & (array.verdicts == Verdict.MATCH)))
            for array in self._compared()
            if not array.compared_nothing
        )

    @property
    def undetectable(self) -> int:
        """The number of entries, on no kink, so small that a claim of 0 would be tolerated."""
        return sum(array.undetectable for array in self._compared())

    def _compared(self) -> list[ArrayReport]:
        """Return the arrays that have entries."""
        return [array for array in self.arrays.values() if array.claimed.size]

    def __str__(self) -> str:
        return "\n".join([self._head(), "", *self._table(), "", *map(paragraph, self._notes())])

    def __repr__(self) -> str:
        return str(self)

    def _repr_html_(self) -> str:
        """Return the same text for a notebook."""
        return f"<pre>{html.escape(str(self))}</pre>"

    def _head(self) -> str:
        coarse = f"{self.coarse:,} by their array's scale, " if self.coarse else ""
        return (
            f"{self.kind} check: {self.verdict}{GAP}{plural(self.entries, 'entry')}"
            f"{self._coverage}, {coarse}{self._method()}, "
            f"{plural(self.evaluations, 'evaluation')}, {self.seconds:.1f} s"
        )

    def _method(self) -> str:
        """Return the method, its dtype if not the parameters', and whether rounding is estimated.

        As in "complex step in float64, rounding estimated".
        """
        text = self.method.replace("-", " ")
        arrays = [array for array in self.arrays.values() if isinstance(array, ArrayReport)]
        dtypes = [array.dtype for array in arrays if array.dtype]
        if dtypes:
            text += f" in {dtypes[0]}"
        if any(array.precision == ESTIMATED for array in arrays):
            text += ", rounding estimated"
        return text

    def _table(self) -> list[str]:
        head = ("array", "entries", "worst at", "claimed", "numeric ± error", "digits", "verdict")
        return table([head, *map(_row, self.arrays.values())], right=(1, 3, 5))

    def _notes(self) -> list[str]:
        """Return the paragraphs below the table."""
        notes = []
        if self.verdict is Verdict.MISMATCH:
            notes += [mistake.text for mistake in self.diagnosis] or self._unnamed_mistake()
        reasons: dict[str, list[str]] = {}
        for array in self.arrays.values():
            if array.reason:
                reasons.setdefault(array.reason, []).append(array.path)
        notes += [f"{', '.join(paths)}: {reason}" for reason, paths in reasons.items()]
        notes += self.findings
        if 0 < self.kinks == self.entries and self.verdict is not Verdict.MISMATCH:
            notes.append("Every entry lies on a kink: any claim between its slopes is accepted.")
        elif self.entries and math.isfinite(self.detectable):
            notes.append(self._detectable_errors())
        return notes

    def _unnamed_mistake(self) -> list[str]:
        """Say, of a mistake that has no name, where it is worst and which arrays are right."""
        right = [a.path for a in self._compared() if a.verdict is Verdict.MATCH]
        text = f"{self.worst}."
        if right:
            text += f" {listed(right)} {'is' if len(right) == 1 else 'are'} right."
        # the suite needs no such advice: it names mistakes from many networks
        if context or self.kind != "gradient":
            return [text]
        return [text, "The mistakes of a whole network are named by: python -m checks YOURMODULE"]

    def _detectable_errors(self) -> str:
        """Say how small an error would have been seen, and in which entries none would."""
        what = "an entry's own size" if self.scale == "entry" else "an array's largest entry"
        # where nothing was told, an error would have been as open as the claim is
        seen = "not have passed" if self.verdict is Verdict.UNRESOLVED else "have been seen"
        text = f"An error of {self.detectable:.1e} of {what} would {seen}"
        if self.kinks:
            text += f", except at {plural(self.kinks, 'entry')} on kinks"
        if self.coarse:
            text += (
                f"; of the array's largest in {plural(self.coarse, 'entry')} whose own size is not "
                "known well enough"
            )
        elif self.scale == "array" and self.undetectable:
            entries = plural(self.undetectable, "entry")
            verb = "is" if self.undetectable == 1 else "are"
            text += f"; {entries} {verb} so small that a zero would have passed"
        return f"{text}."

    def plot(self) -> "Figure":
        """Draw each array, and the step curve of the worst entry; see `checks.report.plot`."""
        from checks.report.plot import plot  # needs matplotlib, which is optional

        title = self._head().replace(GAP, ", ")
        return plot(self.arrays, title, self.step_curve, self.worst)

    def to_json(self) -> str:
        """Return the report as strict JSON: of each array, the verdict and the worst entry."""

        def finite(number: float) -> float | str:
            return number if math.isfinite(number) else str(number)

        def array(a: ArrayReport) -> dict[str, Any]:
            summary: dict[str, Any] = {"entries": a.entries, "verdict": str(a.verdict)}
            if a.entries:
                worst = a.worst
                summary |= {
                    "index": list(worst.index),
                    "claimed": finite(worst.claimed),
                    "numeric": finite(worst.numeric),
                    "error": finite(worst.error),
                }
            return summary | {"reason": a.reason}

        return json.dumps(
            {
                "verdict": str(self.verdict),
                "method": self.method,
                "entries": self.entries,
                "evaluations": self.evaluations,
                "seconds": self.seconds,
                "seed": self.seed,
                "rtol": self.rtol,
                "resolution": self.resolution,
                "scale": self.scale,
                "noise": finite(self.noise),
                "detectable": finite(self.detectable),
                "coarse": self.coarse,
                "undetectable": self.undetectable,
                "kinks": self.kinks,
                "arrays": {path: array(a) for path, a in self.arrays.items()},
                "findings": list(self.findings),
                "diagnosis": [{"name": m.name, "text": m.text} for m in self.diagnosis],
            },
            allow_nan=False,
        )


def _row(array: ArrayReport) -> tuple[str, ...]:
    """Return the cells of an array in the table."""
    if not array.claimed.size:
        return (array.path, "0", "", "", "", "", "nothing to compare")
    worst = array.worst
    count = int(np.sum(array.verdicts == array.verdict))
    matched = array.verdict is Verdict.MATCH
    has_digits = matched and math.isfinite(array.digits) and array.differentiable.any()
    verdict = str(array.verdict)
    kinks = int(np.sum(~array.differentiable))
    if array.compared_nothing:
        verdict += ", all zero" if array.all_zero else ", zero to rounding"
    elif matched and kinks:
        verdict += f", {kinks:,} on kinks"
    elif not matched and array.claimed.size > 1:
        verdict += " in all" if count == array.claimed.size else f" in {count:,}"
    return (
        array.path,
        f"{array.claimed.size:,}",
        str(list(worst.index)) if worst.index else "",
        *worst.numbers(),
        f"{array.digits:.1f}" if has_digits else "–",
        verdict,
    )


class _GradientError(AssertionError):
    """An assertion that failed: `report` is the report, and the message is its text."""

    def __init__(self, report: Report) -> None:
        super().__init__(str(report))
        self.report = report

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.report,)


class GradientMismatch(_GradientError):  # noqa: N818 — a verdict, as the public interface names it
    """The gradient is wrong."""


class GradientUnresolved(_GradientError):  # noqa: N818
    """The numerical estimate is too uncertain to decide."""
