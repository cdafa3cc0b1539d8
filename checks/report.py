"""What a check found: for programs, as arrays and JSON, and for people, as a table."""

import json
import math
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from checks._types import FloatArray
from checks.curve import Curve
from checks.parameters import entry_name
from checks.verdict import Verdict, detectable_error, largest_entry

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from checks.diagnosis import Diagnosis

__all__ = [
    "ArrayReport",
    "GradientMismatch",
    "GradientUnresolved",
    "Report",
    "WorstEntry",
    "listed",
]

COLUMNS = 100  # of the printed report


@dataclass(frozen=True)
class WorstEntry:
    """The entry that decides: of the worst verdict, and there the largest discrepancy."""

    path: str
    index: tuple[int, ...]
    claimed: float
    numeric: float
    error: float

    def __str__(self) -> str:
        name = entry_name(self.path, self.index)
        claimed, numeric = _both(self)
        text = f"{name}: claimed {claimed}, numeric {numeric}"
        off = abs(self.claimed - self.numeric)
        if math.isfinite(off) and min(off, abs(self.numeric)) > self.error:
            factor = self.claimed / self.numeric
            near = abs(factor - 1) < 0.01
            text += ": claimed is " + (
                f"off by {factor - 1:.1e} of numeric" if near else f"{factor:.4g} × numeric"
            )
        return text


@dataclass(frozen=True, eq=False)
class ArrayReport:
    """One array of parameters.

    Attributes
    ----------
    claimed, numeric, error : ndarray
        The claim, the estimate, and its error (inf where nothing is known), in the array's shape.
    verdicts : ndarray of int8
        `Verdict` of every entry.
    gap : ndarray
        Half of what the slopes on the two sides of a kink differ by, part of `error`; else 0.
    reason : str
        Why entries are UNRESOLVED; empty where none is.
    method : str
        "central" or "complex-step".
    """

    path: str
    claimed: FloatArray
    numeric: FloatArray
    error: FloatArray
    verdicts: NDArray[np.int8]
    gap: FloatArray
    reason: str = ""
    method: str = "central"

    def __repr__(self) -> str:
        return _short(self, self.path)

    @property
    def entries(self) -> int:
        """Entries compared."""
        return self.claimed.size

    @property
    def verdict(self) -> Verdict:
        """The worst verdict of its entries; MATCH of an array without any."""
        return Verdict(int(self.verdicts.max(initial=0)))

    @cached_property
    def largest(self) -> float:
        """The largest finite entry, claimed or numeric: what errors are relative to."""
        return largest_entry(self.claimed, np.abs(self.numeric) + self.gap)

    @property
    def all_zero(self) -> bool:
        """Whether there was nothing but zeros to compare."""
        return self.largest == 0

    @cached_property
    def off(self) -> FloatArray:
        """How far each claim is from the estimate; at a kink, from what lies between the slopes."""
        with np.errstate(invalid="ignore"):
            d = np.maximum(np.abs(self.claimed - self.numeric) - self.gap, 0)
        return np.where(np.isnan(d), np.inf, d)

    @property
    def smooth(self) -> NDArray[np.bool_]:
        """Where the entries do not lie on a kink."""
        return self.gap == 0  # type: ignore[no-any-return]

    @cached_property
    def blurriest(self) -> int | None:
        """The entry of the largest error, on no kink, by its flat index; None if there is none."""
        smooth = self.smooth
        return int(np.where(smooth, self.error, -1).argmax()) if smooth.any() else None

    @property
    def worst(self) -> WorstEntry:
        """The entry with the worst verdict, and among these the largest discrepancy."""
        rank = np.where(self.verdicts == self.verdict, self.off, -1)
        flat = int(np.argmax(rank))
        index = tuple(int(i) for i in np.unravel_index(flat, self.claimed.shape))
        return WorstEntry(
            self.path,
            index,
            float(self.claimed[index]),
            float(self.numeric[index]),
            float(self.error[index]),
        )

    @property
    def discrepancy(self) -> float:
        """The largest of `off`, relative to the largest entry; inf where not finite."""
        d = float(np.max(self.off, initial=0))
        return 0.0 if d == 0 else d / self.largest if math.isfinite(d) else math.inf

    @property
    def digits(self) -> float:
        """Verified decimal digits, relative to the largest entry: −log10 of max(|g − n| + e)/s.

        Of entries that do not lie on a kink; 0 if all do.
        """
        off = float(np.max(self.off + self.error, initial=0, where=self.smooth))
        if not math.isfinite(off) or self.all_zero or not self.smooth.any():
            return 0.0
        return max(0.0, -math.log10(off / self.largest)) if off else math.inf

    def detectable(self, rtol: float) -> float:
        """Return the smallest relative error of any entry that would have been a MISMATCH.

        At a kink any claim between the slopes is accepted, so this is of the other entries; inf if
        there is none.
        """
        if self.blurriest is None:
            return math.inf
        return detectable_error(self.largest, float(self.error.flat[self.blurriest]), rtol)


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
        Of the cost, relative to its value (`checks.noise`): where complex steps leave no need to
        measure it, one last place.
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
    curve: Curve | None = None

    def __bool__(self) -> bool:
        return self.verdict is Verdict.MATCH

    def __repr__(self) -> str:
        return _short(self)

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
            return array.verdict, float(array.off[array.worst.index]) / (array.largest or 1)

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

        Of entries that do not lie on a kink (see `kinks`); inf if all do.
        """
        smooth = [array for array in self._compared() if array.smooth.any()]
        return max((array.detectable(self.rtol) for array in smooth), default=math.inf)

    @property
    def kinks(self) -> int:
        """How many entries lie on a kink: there any claim between the two slopes is accepted."""
        return sum(int(np.sum(~array.smooth)) for array in self._compared())

    @property
    def blind(self) -> int:
        """How many entries, of those on no kink, are so small that a zero would have passed."""
        return sum(
            int(np.sum(~(np.abs(a.numeric) - a.error > self.rtol * a.largest) & a.smooth))
            for a in self._compared()
        )

    def _compared(self) -> list[ArrayReport]:
        return [array for array in self.arrays.values() if array.claimed.size]

    def __str__(self) -> str:
        head = (
            f"gradient check: {self.verdict}      {_plural(self.entries, 'entry')}, "
            f"{self.method.replace('-', ' ')}, {_plural(self.evaluations, 'evaluation')}, "
            f"{self.seconds:.1f} s"
        )
        rows: list[tuple[str, ...]] = [
            ("array", "entries", "worst at", "claimed", "numeric ± error", "digits", "verdict")
        ]
        rows += [_row(array) for array in self.arrays.values()]
        widths = [max(len(row[i]) for row in rows) for i in range(7)]
        widths[0] = min(widths[0], max(6, COLUMNS - 2 * 7 - sum(widths[1:])))
        rows = [(_shortened(row[0], widths[0]), *row[1:]) for row in rows]
        right = (1, 3, 5)
        table = [
            "  "
            + "  ".join(
                cell.rjust(width) if i in right else cell.ljust(width)
                for i, (cell, width) in enumerate(zip(row, widths, strict=True))
            ).rstrip()
            for row in rows
        ]
        notes = [
            textwrap.fill(note, COLUMNS - 2, initial_indent="  ", subsequent_indent="  ")
            for note in self._notes()
        ]
        return "\n".join([head, "", *table, "", *notes])

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
        return [text, "The mistakes of a whole network are named by: python -m checks"]

    def _seen(self) -> str:
        """Say how small an error would have been seen, and where not."""
        text = f"An error of {self.detectable:.1e} of an array's largest entry would have been seen"
        if self.kinks:
            text += f", except at {_plural(self.kinks, 'entry')} on kinks"
        if self.blind:
            few = _plural(self.blind, "entry")
            few += " is" if self.blind == 1 else " are"
            text += f"; {few} so small that a zero would have passed"
        return f"{text}."

    def plot(self) -> "Figure":
        """Draw a heat map of each array and the curve of the worst entry; see `checks.plot`."""
        from checks.plot import plot

        return plot(self)

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
                "blind": self.blind,
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
    verified = matched and math.isfinite(array.digits) and array.smooth.any()
    verdict = str(array.verdict)
    kinks = int(np.sum(~array.smooth))
    if matched and array.all_zero:
        verdict += ", all zero"
    elif matched and kinks:
        verdict += f", {kinks:,} on kinks"
    elif not matched and array.claimed.size > 1:
        verdict += " in all" if count == array.claimed.size else f" in {count:,}"
    return (
        array.path,
        f"{array.claimed.size:,}",
        str(list(worst.index)) if worst.index else "",
        *_both(worst),
        f"{array.digits:.1f}" if verified else "–",
        verdict,
    )


def _shortened(path: str, width: int) -> str:
    """Cut a path at its beginning: the end tells arrays apart."""
    return path if len(path) <= width else "…" + path[1 - width :]


def _plural(count: int, noun: str) -> str:
    if count != 1:
        noun = f"{noun[:-1]}ies" if noun.endswith("y") else f"{noun}s"
    return f"{count:,} {noun}"


def listed(paths: list[str]) -> str:
    """Return names as part of a sentence, the first few of many."""
    if len(paths) > 6:
        return f"{', '.join(paths[:4])} and {len(paths) - 4:,} more"
    return " and ".join([", ".join(paths[:-1]), paths[-1]] if len(paths) > 1 else paths)


def _both(entry: WorstEntry) -> tuple[str, str]:
    """Print the claim and the estimate to the digits that the error leaves, between 5 and 9."""
    value, error, decimals = entry.numeric, entry.error, 4
    if math.isfinite(value) and math.isfinite(error):
        known = math.log10(abs(value) / error) if value and error else 9
        decimals = min(8, max(4, math.ceil(known)))
    return f"{entry.claimed:.{decimals}e}", f"{value:.{decimals}e} ± {error:.0e}"


def _short(report: "ArrayReport | Report", path: str = "") -> str:
    """Return a report in a line: `print` shows all of it."""
    what = f"{type(report).__name__} {path}".strip()
    return f"<{what}: {report.verdict}, {_plural(report.entries, 'entry')}, {report.method}>"


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
