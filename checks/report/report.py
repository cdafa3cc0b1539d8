"""What a check found: for programs, as arrays and JSON, and for people, as a table."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from checks.estimation.step_curve import StepCurve
from checks.report.array_report import ArrayReport, WorstEntry
from checks.report.session import context
from checks.report.verdict import Verdict
from checks.report.wording import COLUMNS, listed, paragraph, plural, shortened

if TYPE_CHECKING:
    from matplotlib.figure import Figure


__all__ = ["Diagnosis", "GradientMismatch", "GradientUnresolved", "Report"]


@dataclass(frozen=True)
class Diagnosis:
    """A mistake that explains what was found.

    Attributes
    ----------
    name : str
        What it is called.
    text : str
        What was observed, in a sentence or two, and where to look.
    """

    name: str
    text: str


@dataclass(frozen=True, eq=False)
class Report:
    """The outcome of a check; true only for MATCH.

    Attributes
    ----------
    arrays : dict of str to ArrayReport
        By path, in the order of the parameters.
    rtol, resolution : float
        The accuracy that the claim owed and that the estimate owed, relative to an array's largest.
    method : str
        "central" or "complex-step"; "mixed" where arrays differ.
    noise : float
        Of the cost, relative to its value (`checks.estimation.noise`): where complex steps leave
        no need to measure it, one last place.
    evaluations : int
        Calls of the cost.
    seconds : float
        Wall time of the check.
    seed : int
        Reproduces the check.
    findings : tuple of str
        What else was noticed, one sentence each.
    diagnosis : tuple of Diagnosis
        Names of the mistake, best first; empty unless MISMATCH, and where none is known.
    curve : Curve, optional
        The cost's slopes at the worst entry over steps of every size; None for a MATCH.
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

    def __bool__(self) -> bool:
        return self.verdict is Verdict.MATCH

    def __repr__(self) -> str:
        kind, entries = type(self).__name__, plural(self.entries, "entry")
        return f"<{kind}: {self.verdict}, {entries}, {self.method}>"

    @property
    def verdict(self) -> Verdict:
        """MISMATCH if any entry is, else UNRESOLVED if any is, else MATCH."""
        return max(array.verdict for array in self.arrays.values())

    @property
    def entries(self) -> int:
        """Entries compared."""
        return sum(array.entries for array in self.arrays.values())

    @property
    def worst(self) -> WorstEntry:
        """The worst entry of the array whose discrepancy is largest relative to its size."""

        def rank(array: ArrayReport) -> tuple[int, float]:
            return array.verdict, float(array.discrepancies[array.worst.index]) / (
                array.largest or 1
            )

        return max((a for a in self.arrays.values() if a.claimed.size), key=rank).worst

    @property
    def discrepancy(self) -> float:
        """The largest |claimed − numeric|, relative to the largest entry of its array.

        At a kink, the distance of the claim from what lies between the slopes.
        """
        return max(array.discrepancy for array in self._compared())

    @property
    def detectable(self) -> float:
        """The smallest error relative to its array's largest that is sure to be a MISMATCH.

        Of entries that do not lie on a kink (see `kinks`), and of arrays that are not all zero, as
        those are of which `findings` says that nothing was compared; inf if there are none.
        """
        some = [a for a in self._compared() if a.differentiable.any() and not a.compared_nothing]
        return max((array.detectable(self.rtol) for array in some), default=math.inf)

    @property
    def kinks(self) -> int:
        """How many entries lie on a kink: there any claim between the two slopes is accepted."""
        return sum(int(np.sum(~array.differentiable)) for array in self._compared())

    @property
    def undetectable(self) -> int:
        """How many entries, of those on no kink, are so small that a zero would have passed."""
        return sum(
            int(np.sum(~(np.abs(a.numeric) - a.error > self.rtol * a.largest) & a.differentiable))
            for a in self._compared()
        )

    def _compared(self) -> list[ArrayReport]:
        return [array for array in self.arrays.values() if array.claimed.size]

    def __str__(self) -> str:
        head = (
            f"gradient check: {self.verdict}      {plural(self.entries, 'entry')}, "
            f"{self.method.replace('-', ' ')}, {plural(self.evaluations, 'evaluation')}, "
            f"{self.seconds:.1f} s"
        )
        rows: list[tuple[str, ...]] = [
            ("array", "entries", "worst at", "claimed", "numeric ± error", "digits", "verdict")
        ]
        rows += [_row(array) for array in self.arrays.values()]
        widths = [max(len(row[i]) for row in rows) for i in range(7)]
        widths[0] = min(widths[0], max(6, COLUMNS - 2 * 7 - sum(widths[1:])))
        rows = [(shortened(row[0], widths[0]), *row[1:]) for row in rows]
        right = (1, 3, 5)
        table = [
            "  "
            + "  ".join(
                cell.rjust(width) if i in right else cell.ljust(width)
                for i, (cell, width) in enumerate(zip(row, widths, strict=True))
            ).rstrip()
            for row in rows
        ]
        return "\n".join([head, "", *table, "", *map(paragraph, self._notes())])

    def _notes(self) -> list[str]:
        notes = []
        if self.verdict is Verdict.MISMATCH:
            notes += [mistake.text for mistake in self.diagnosis] or self._unnamed()
        reasons: dict[str, list[str]] = {}
        for a in self.arrays.values():
            if a.reason:
                reasons.setdefault(a.reason, []).append(a.path)
        notes += [f"{', '.join(paths)}: {reason}" for reason, paths in reasons.items()]
        notes += self.findings
        if self.kinks == self.entries:
            notes.append("Every entry lies on a kink: no claim between its slopes was an error.")
        elif math.isfinite(self.detectable):
            notes.append(self._seen())
        return notes

    def _unnamed(self) -> list[str]:
        """Say what is known of a mistake without a name."""
        right = [a.path for a in self._compared() if a.verdict is Verdict.MATCH]
        text = f"{self.worst}."
        if right:
            text += f" {listed(right)} {'is' if len(right) == 1 else 'are'} right."
        if context:  # it is one of many, which together say more
            return [text]
        return [text, "The mistakes of a whole network are named by: python -m checks YOURMODULE"]

    def _seen(self) -> str:
        """Say how small an error would have been seen, and where not."""
        text = f"An error of {self.detectable:.1e} of an array's largest entry would have been seen"
        if self.kinks:
            text += f", except at {plural(self.kinks, 'entry')} on kinks"
        if self.undetectable:
            few = plural(self.undetectable, "entry")
            few += " is" if self.undetectable == 1 else " are"
            text += f"; {few} so small that a zero would have passed"
        return f"{text}."

    def plot(self) -> "Figure":
        """Draw a heat map of each array and the curve of the worst entry; see `report.plot`."""
        from checks.report.plot import plot  # it needs matplotlib, an extra

        head, _, rest = str(self).splitlines()[0].partition("      ")
        return plot(self.arrays, self.rtol, f"{head}, {rest}", self.step_curve, self.worst)

    def to_json(self) -> str:
        """Return the report as strict JSON: verdicts by array and the worst entry of each."""

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
                "noise": finite(self.noise),
                "detectable": finite(self.detectable),
                "undetectable": self.undetectable,
                "kinks": self.kinks,
                "arrays": {path: array(a) for path, a in self.arrays.items()},
                "findings": list(self.findings),
                "diagnosis": [{"name": m.name, "text": m.text} for m in self.diagnosis],
            },
            allow_nan=False,
        )


def _row(array: ArrayReport) -> tuple[str, ...]:
    if not array.claimed.size:
        return (array.path, "0", "", "", "", "", "nothing to compare")
    worst = array.worst
    count = int(np.sum(array.verdicts == array.verdict))
    matched = array.verdict is Verdict.MATCH
    verified = matched and math.isfinite(array.digits) and array.differentiable.any()
    verdict = str(array.verdict)
    kinks = int(np.sum(~array.differentiable))
    if array.compared_nothing:
        verdict += ", all zero"
    elif matched and kinks:
        verdict += f", {kinks:,} on kinks"
    elif not matched and array.claimed.size > 1:
        verdict += " in all" if count == array.claimed.size else f" in {count:,}"
    return (
        array.path,
        f"{array.claimed.size:,}",
        str(list(worst.index)) if worst.index else "",
        *worst.numbers(),
        f"{array.digits:.1f}" if verified else "–",
        verdict,
    )


class _GradientError(AssertionError):
    """Carries the report; its text is the report's."""

    def __init__(self, report: Report) -> None:
        super().__init__(str(report))
        self.report = report

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.report,)


class GradientMismatch(_GradientError):  # noqa: N818 — a verdict, as the public interface names it
    """The gradient is wrong."""


class GradientUnresolved(_GradientError):  # noqa: N818
    """The numerical estimate is too blurred to say."""
