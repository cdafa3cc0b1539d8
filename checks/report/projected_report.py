"""What a check along random directions found: by array, and what is wrong, in blocks."""

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from checks.parameters.claims import entry_name
from checks.parameters.random_directions import MIN_VISIBLE_SHARE, Region
from checks.report.array_report import WorstEntry
from checks.report.blocks import Block
from checks.report.report import Report
from checks.report.verdict import Verdict
from checks.report.wording import paragraph

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["ProjectedArray", "ProjectedReport"]

SHOWN = 5  # blocks of an array, in print


@dataclass(frozen=True)
class ProjectedArray:
    """One array of parameters, compared along random directions.

    Attributes
    ----------
    path : str
    shape : tuple of int
    claimed, numeric, error : float
        g·v, the estimate of the derivative along v, and its error; v is of this array, or of all
        that passed together, in units of this one's.
    largest : float
        The largest entry of the claim; at least what the estimate says if that is larger.
    verdict : Verdict
    blocks : tuple of Block
        What is wrong: entries, and parts that are wrong throughout. Empty unless MISMATCH.
    reason : str
        Why it is UNRESOLVED; empty where it is not.
    method : str
        "central" or "complex-step".
    """

    path: str
    shape: tuple[int, ...]
    claimed: float
    numeric: float
    error: float
    largest: float
    verdict: Verdict
    blocks: tuple[Block, ...] = ()
    reason: str = ""
    method: str = "central"

    @property
    def entries(self) -> int:
        """Entries of the array."""
        return math.prod(self.shape)

    @property
    def wrong(self) -> int:
        """Entries in blocks."""
        return sum(block.region.size for block in self.blocks)

    @property
    def discrepancy(self) -> float:
        """|g − n| relative to the largest entry: of the worst entry, or of g·v where all match."""
        off = [entry.discrepancy for block in self.blocks for entry in block.entries[:1]]
        off = off or [abs(self.claimed - self.numeric)]
        d = max(off)
        return (
            0.0 if d == 0 else d / self.largest if self.largest and math.isfinite(d) else math.inf
        )

    @property
    def worst(self) -> WorstEntry:
        """The entry that is off by most; g·v, without an index, where none is known."""
        entries = [entry for block in self.blocks for entry in block.entries[:1]]
        if not entries:
            return WorstEntry(self.path, (), self.claimed, self.numeric, self.error)
        worst = max(entries, key=lambda entry: entry.discrepancy)
        index = worst.region.index(self.shape)
        return WorstEntry(self.path, index, worst.claimed, worst.numeric, worst.error)

    @property
    def compared_nothing(self) -> bool:
        """Whether it matches with nothing compared: zeros, of which the cost sees nothing."""
        return not self.largest and self.verdict is Verdict.MATCH

    def detectable(self, rtol: float) -> float:
        """Return the smallest relative error of any one entry that would have been a MISMATCH."""
        # an entry off by Δ shows as Δ/4 at least, and that is seen above rtol·s/4 + 2e
        return (
            rtol + 2 * self.error / (MIN_VISIBLE_SHARE * self.largest) if self.largest else math.inf
        )

    def found(self) -> Iterator[str]:
        """Say what is wrong, block by block."""
        for block in self.blocks[:SHOWN]:
            yield f"{_place(self.path, self.shape, block.region)}: {_said(block, self.largest)}"
        if self.blocks[SHOWN:]:
            rest = sum(block.region.size for block in self.blocks[SHOWN:])
            single = all(block.region.size == 1 for block in self.blocks)
            what = "entries" if single else "blocks"
            count = len(self.blocks) - SHOWN
            yield f"{self.path}: {count:,} more {what}" + (
                "." if single else f", of {rest:,} entries."
            )


@dataclass(frozen=True, eq=False, repr=False)
class ProjectedReport(Report):
    """The outcome of a check with ``coverage="projected"``; `arrays` are `ProjectedArray`."""

    arrays: Mapping[str, ProjectedArray]  # type: ignore[assignment]

    @property
    def worst(self) -> WorstEntry:
        """The worst entry of the array whose discrepancy is largest; see `ProjectedArray`."""
        ranked = self.arrays.values()
        return max(ranked, key=lambda array: (array.verdict, array.discrepancy)).worst

    @property
    def discrepancy(self) -> float:
        """The largest |g − n|, relative to the largest entry of its array."""
        return max(array.discrepancy for array in self.arrays.values())

    @property
    def detectable(self) -> float:
        """The smallest error of one entry, relative to its array's largest, sure to be seen.

        Not of arrays with nothing to compare, as both `findings` and the table say; inf if all are.
        """
        some = [array for array in self.arrays.values() if not array.compared_nothing]
        return max((array.detectable(self.rtol) for array in some), default=math.inf)

    @property
    def undetectable(self) -> int:
        """Not known: entries were not estimated one by one."""
        return 0

    @property
    def kinks(self) -> int:
        """None known: along a direction with a kink nothing is told."""
        return 0

    def __str__(self) -> str:
        head = (
            f"gradient check: {self.verdict}      {self.entries:,} entries projected, "
            f"{self.method.replace('-', ' ')}, {self.evaluations:,} evaluations, "
            f"{self.seconds:.1f} s"
        )
        rows = [("array", "entries", "would see one entry off by", "verdict")]
        rows += [
            (
                array.path,
                f"{array.entries:,}",
                f"{array.detectable(self.rtol):.1e}",
                _verdict(array),
            )
            for array in self.arrays.values()
        ]
        widths = [max(len(row[i]) for row in rows) for i in range(3)]
        table = [
            "  "
            + "  ".join([path.ljust(widths[0]), entries.rjust(widths[1]), seen.rjust(widths[2])])
            + f"  {verdict}"
            for path, entries, seen, verdict in rows
        ]
        return "\n".join([head, "", *table, "", *map(paragraph, self._notes())])

    def _notes(self) -> list[str]:
        notes = [text for array in self.arrays.values() for text in array.found()]
        notes += [f"{a.path}: {a.reason}" for a in self.arrays.values() if a.reason]
        notes += self.findings
        if math.isfinite(self.detectable):
            notes.append(
                "A single wrong entry off by so much of its array's largest was sure to be seen. "
                "Several, the largest F times that, pass by cancelling along a random direction "
                f"with a probability of at most (1 + ln F)/F (seed {self.seed})."
            )
        return notes

    def to_json(self) -> str:
        """Return the report as strict JSON: verdicts by array, and its blocks of wrong entries."""
        document = json.loads(super().to_json())
        for path, array in self.arrays.items():
            document["arrays"][path]["wrong"] = array.wrong
            document["arrays"][path]["blocks"] = [
                {
                    "rows": [block.region.top, block.region.bottom],
                    "columns": [block.region.left, block.region.right],
                    "throughout": block.throughout,
                    "factor": block.factor if block.entries else None,
                }
                for block in array.blocks
            ]
        return json.dumps(document, allow_nan=False)

    def plot(self) -> "Figure":
        """There is nothing to draw: entries were not estimated one by one."""
        raise ValueError(
            "a projected check has no entries to draw: check the wrong array again with "
            'coverage="every"'
        )


def _verdict(array: ProjectedArray) -> str:
    if not array.blocks:
        return f"{array.verdict}, all zero" if array.compared_nothing else str(array.verdict)
    some = f"{array.wrong:,} of {array.entries:,}"
    return f"{array.verdict}, {'all entries' if array.wrong == array.entries else some}"


def _place(path: str, shape: tuple[int, ...], region: Region) -> str:
    """Name a block: an entry, a row, a column, all entries, or a rectangle."""
    whole = Region.whole(shape)
    if region == whole:
        return path
    if region.size == 1:
        return entry_name(path, region.index(shape))
    rows, columns = _range(region.top, region.bottom), _range(region.left, region.right)
    if len(shape) < 2:
        return f"{path}[{columns}]"
    every = ", :" if len(shape) == 2 else ", ..."
    if region.columns == whole.columns:
        return f"{path}[{rows}{every}]"
    if len(shape) > 2:
        return f"{path}.reshape({whole.shape[0]}, -1)[{rows}, {columns}]"
    return f"{path}[{':' if region.rows == whole.rows else rows}, {columns}]"


def _range(first: int, last: int) -> str:
    return str(first) if last == first + 1 else f"{first}:{last}"


def _said(block: Block, largest: float) -> str:
    if not block.throughout:
        return "wrong in places; there are too many to list."
    worst = block.entries[0]
    text = f"claimed {worst.claimed + 0:.9g}, numeric {worst.numeric:.9g} ± {worst.error:.0e}"
    if math.isfinite(worst.discrepancy) and largest:
        text += f", off by {worst.discrepancy / largest:.1e} of the largest"
    if block.region.size == 1:
        return f"{text}."
    count, factor = len(block.entries), block.factor
    tried = f"{count} of {count} entries tried are wrong"
    if factor is not None:
        return f"{tried}, by the factor {factor + 0:.6g}."
    return f"{tried}; the worst: {text}."
