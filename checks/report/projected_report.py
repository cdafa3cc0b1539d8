"""What a check along random directions found: verdicts of arrays, and blocks of wrong entries."""

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from checks.parameters.claims import entry_name
from checks.parameters.random_directions import MIN_VISIBLE_SHARE, Region
from checks.report.array_report import WorstEntry
from checks.report.blocks import Block, Entry
from checks.report.report import Report
from checks.report.verdict import Verdict, relative_discrepancy
from checks.report.wording import plural, table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["ProjectedArray", "ProjectedReport"]

BLOCKS_SHOWN = 5  # how many blocks of each array the text of a report lists


@dataclass(frozen=True)
class ProjectedArray:
    """One array of parameters, compared along random directions.

    Attributes
    ----------
    path : str
    shape : tuple of int
    claimed, numeric, error : float
        The claimed directional derivative g·v, its estimate, and the error of the estimate, divided
        by this array's scale. The direction v moves this array alone, or all arrays that were
        matched together.
    largest : float
        The largest claimed entry, or a lower bound of the largest numeric one if that is larger.
    verdict : Verdict
    blocks : tuple of Block
        The wrong entries, and the rectangles of wrong entries. Empty unless MISMATCH.
    reason : str
        Why it is UNRESOLVED; empty if it is not.
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
        """The number of entries of the array."""
        return math.prod(self.shape)

    @property
    def wrong(self) -> int:
        """The number of entries in blocks."""
        return sum(block.region.size for block in self.blocks)

    @property
    def discrepancy(self) -> float:
        """|claimed − numeric| / largest, of the worst entry, or of g·v if no entry is known."""
        worst = self._worst_entry()
        discrepancy = worst.discrepancy if worst else abs(self.claimed - self.numeric)
        return float(relative_discrepancy(discrepancy, self.largest))

    @property
    def worst(self) -> WorstEntry:
        """The entry with the largest discrepancy; if no entry is known, g·v without an index."""
        worst = self._worst_entry()
        if worst is None:
            return WorstEntry(self.path, (), self.claimed, self.numeric, self.error)
        index = worst.region.index(self.shape)
        return WorstEntry(self.path, index, worst.claimed, worst.numeric, worst.error)

    def _worst_entry(self) -> Entry | None:
        # the first entry of a block is its worst
        entries = (entry for block in self.blocks for entry in block.entries[:1])
        return max(entries, key=lambda entry: entry.discrepancy, default=None)

    @property
    def compared_nothing(self) -> bool:
        """Whether the array matches only because all is zero and the cost does not depend on it."""
        return not self.largest and self.verdict is Verdict.MATCH

    def detectable(self, rtol: float) -> float:
        """Return the smallest relative error of a single entry that is sure to be a MISMATCH."""
        # An error Δ of one entry changes g·v by at least Δ/4. A change above rtol·s/4 + 2e is sure
        # to be seen, where s is the largest entry and e the error.
        visible = MIN_VISIBLE_SHARE * self.largest
        return rtol + 2 * self.error / visible if self.largest else math.inf

    def block_texts(self) -> Iterator[str]:
        """Say what is wrong, block by block."""
        for block in self.blocks[:BLOCKS_SHOWN]:
            place = _place(self.path, self.shape, block.region)
            yield f"{place}: {_block_text(block, self.largest)}"
        more = self.blocks[BLOCKS_SHOWN:]
        if more:
            single = all(block.region.size == 1 for block in self.blocks)
            what = plural(len(more), "more entry" if single else "more block")
            entries = sum(block.region.size for block in more)
            yield f"{self.path}: {what}" + ("." if single else f", of {entries:,} entries.")


@dataclass(frozen=True, eq=False, repr=False)
class ProjectedReport(Report):
    """The outcome of a check with ``coverage="projected"``; its arrays are `ProjectedArray`."""

    arrays: Mapping[str, ProjectedArray]  # type: ignore[assignment]

    _coverage = " projected"

    @property
    def worst(self) -> WorstEntry:
        """The worst entry of the array with the largest discrepancy; see `ProjectedArray.worst`."""
        arrays = self.arrays.values()
        return max(arrays, key=lambda array: (array.verdict, array.discrepancy)).worst

    @property
    def discrepancy(self) -> float:
        """The largest |claimed − numeric|, relative to the largest entry of its array."""
        return max(array.discrepancy for array in self.arrays.values())

    @property
    def detectable(self) -> float:
        """The smallest error of one entry, relative to its array's largest, sure to be a MISMATCH.

        It does not hold for arrays of zeros that the cost does not depend on, which `findings`
        lists. It is inf if there are no others.
        """
        arrays = [array for array in self.arrays.values() if not array.compared_nothing]
        return max((array.detectable(self.rtol) for array in arrays), default=math.inf)

    @property
    def coarse(self) -> int:
        """0: all entries are judged by the scale of their array."""
        return 0

    @property
    def undetectable(self) -> int:
        """0: it is not known, because entries were not estimated one by one."""
        return 0

    @property
    def kinks(self) -> int:
        """0: an array is UNRESOLVED if its direction meets a kink."""
        return 0

    def _table(self) -> list[str]:
        head = ("array", "entries", "would see one entry off by", "verdict")
        rows = [
            (a.path, f"{a.entries:,}", f"{a.detectable(self.rtol):.1e}", _verdict(a))
            for a in self.arrays.values()
        ]
        return table([head, *rows], right=(1, 2))

    def _notes(self) -> list[str]:
        notes = [text for array in self.arrays.values() for text in array.block_texts()]
        notes += [f"{a.path}: {a.reason}" for a in self.arrays.values() if a.reason]
        notes += self.findings
        if math.isfinite(self.detectable):
            notes.append(
                "The table gives the error, relative to an array's largest entry, that was sure to "
                "be seen in a single entry. Errors in several entries may cancel along a random "
                "direction: if the largest is F times that error, with a probability of at most "
                f"(1 + ln F)/F (seed {self.seed})."
            )
        return notes

    def to_json(self) -> str:
        """Return the report as strict JSON: of each array, the verdict and the blocks."""
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
        """Raise a ValueError: entries were not estimated one by one, so nothing can be drawn."""
        raise ValueError(
            "a projected check does not estimate single entries, so there is nothing to draw: "
            'check the wrong array again with coverage="every"'
        )


def _verdict(array: ProjectedArray) -> str:
    """Return the verdict of an array in the table."""
    if array.compared_nothing:
        return f"{array.verdict}, all zero"
    if not array.blocks:
        return str(array.verdict)
    if array.wrong == array.entries:
        return f"{array.verdict}, all entries"
    return f"{array.verdict}, {array.wrong:,} of {array.entries:,}"


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
    all_columns = ":" if len(shape) == 2 else "..."
    if region.columns == whole.columns:
        return f"{path}[{rows}, {all_columns}]"
    if len(shape) > 2:
        return f"{path}.reshape({whole.shape[0]}, -1)[{rows}, {columns}]"
    return f"{path}[{':' if region.rows == whole.rows else rows}, {columns}]"


def _range(start: int, stop: int) -> str:
    return str(start) if stop == start + 1 else f"{start}:{stop}"


def _block_text(block: Block, largest: float) -> str:
    """Say what is wrong in a block; `largest` is the largest entry of its array."""
    if not block.throughout:
        return "wrong in many entries, too many to list."
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
