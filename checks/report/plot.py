"""The picture of a report: a heat map of each array, and the step curve of the worst entry."""

import math
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from checks._types import FloatArray
from checks.estimation.step_curve import StepCurve
from checks.report.array_report import ArrayReport, WorstEntry
from checks.report.verdict import Verdict
from checks.report.wording import shortened

try:
    from matplotlib.colors import LogNorm
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch
except ImportError as error:
    raise ImportError(
        "report.plot() needs matplotlib: install gradient-gate[plot], or matplotlib itself"
    ) from error

__all__ = ["plot"]

ARRAYS, COLUMNS = 24, 4  # the most arrays shown, and how many wide heat maps fit in a row
CELLS = 64  # the most cells of a heat map in each direction: smaller cells could not be marked
COLOUR_RANGE = 1e8  # the colours show ratios from 1/COLOUR_RANGE to COLOUR_RANGE
UNIT = "|claimed − numeric| / (limit + error)      above 1: MISMATCH"
MARKS = {Verdict.MISMATCH: "x", Verdict.UNRESOLVED: "o"}
UNKNOWN: dict[str, Any] = {"facecolor": "white", "edgecolor": "0.6", "hatch": "////"}

# Sizes in inches.
WIDTH = 10.0
CELL = 0.4  # the most that one cell of a heat map takes
GAP = 0.55  # left of a heat map, for its ticks
TITLE, BAR, CURVE = 0.5, 0.9, 3.6  # the heights of the title, the colour bar and the step curve
CHARACTER, LINE, TICKS = 0.07, 0.14, 0.42  # small text: width, height, height of tick labels
SMALL, MEDIUM = 8, 10  # font sizes in points; matplotlib's settings might not fit


def plot(
    arrays: Mapping[str, ArrayReport],
    title: str,
    step_curve: StepCurve | None,
    worst: WorstEntry,
) -> Figure:
    """Draw a report, without pyplot and without changing the backend.

    Parameters
    ----------
    arrays
        Arrays of any shape: all dimensions but the first are laid side by side. A cell of a large
        array shows the worst of a block of entries. Of more than 24 arrays, the worst 24 are shown.

    Returns
    -------
    matplotlib.figure.Figure
        A notebook shows it, and its ``savefig`` writes it to a file. Each heat map shows
        |claimed − numeric| / (limit + error). Below them, unless the report is a MATCH,
        the worst entry is compared with differences of the cost over steps of every size.
    """
    shown = _shown(arrays)
    columns = min(COLUMNS, math.ceil(math.sqrt(len(shown))))
    limits = (2.8 if columns < 3 else 1.8, WIDTH / columns - GAP - 0.1)
    characters = int(min(limits[1], 3) / CHARACTER)
    paths = shortened([array.path for array in shown], characters)
    tiles = [
        _Tile(array, [path, *textwrap.wrap(_label(array), characters)], _map_size(array, limits))
        for array, path in zip(shown, paths, strict=True)
    ]
    rows = _in_rows(tiles)
    text_heights = [LINE * max(len(tile.lines) for tile in row) for row in rows]
    map_heights = [max(tile.size[0] for tile in row) + TICKS for row in rows]
    height = TITLE + sum(text_heights) + sum(map_heights) + BAR + (CURVE if step_curve else 0)
    figure = Figure(figsize=(WIDTH, height))

    def add_axes(left: float, top: float, size: tuple[float, float]) -> Any:
        """Add axes at a distance in inches from the left and from the top of the figure."""
        bottom = (height - top - size[0]) / height
        return figure.add_axes((left / WIDTH, bottom, size[1] / WIDTH, size[0] / height))

    handles: dict[Any, Any] = {}
    top = TITLE
    for row, text_height, map_height in zip(rows, text_heights, map_heights, strict=True):
        left = GAP
        top += text_height
        for tile in row:
            axis = add_axes(left, top, tile.size)
            image = _draw_array(axis, tile.array, tile.size)
            axis.set_title("\n".join(tile.lines), loc="left", fontsize=SMALL, parse_math=False)
            handles |= {mark.get_label(): mark for mark in axis.collections}
            if np.ma.getmaskarray(image.get_array()).any():
                handles["nothing known"] = Patch(**UNKNOWN)
            left += tile.width + GAP
        top += map_height
    bar = figure.colorbar(
        image, cax=add_axes(GAP, top + 0.2, (0.15, 5.5)), extend="both", orientation="horizontal"
    )
    bar.set_label(UNIT, size=SMALL)
    bar.ax.tick_params(labelsize=SMALL)
    if handles:
        corner = ((GAP + 5.8) / WIDTH, 1 - (top + 0.1) / height)
        figure.legend(
            handles.values(),
            handles.keys(),
            loc="upper left",
            bbox_to_anchor=corner,
            fontsize=SMALL,
        )
    if len(arrays) > len(shown):
        title += f"; the worst {len(shown)} of {len(arrays)} arrays"
    figure.suptitle(title, x=0.1 / WIDTH, y=1 - 0.1 / height, ha="left", va="top", fontsize=MEDIUM)
    if step_curve:
        axis = add_axes(0.8, top + BAR + 0.3, (CURVE - 0.9, 6.9))
        _draw_step_curve(axis, arrays[worst.path], step_curve, worst)
    return figure


@dataclass(frozen=True, eq=False)
class _Tile:
    """An array in the picture: its title, and the height and width of its heat map in inches."""

    array: ArrayReport
    lines: list[str]
    size: tuple[float, float]

    @property
    def width(self) -> float:
        """The width that the heat map and its title need."""
        return max(self.size[1], CHARACTER * max(map(len, self.lines)))


def _in_rows(tiles: Sequence[_Tile]) -> list[list[_Tile]]:
    """Place tiles beside each other, and begin a new row where the next tile does not fit."""
    rows: list[list[_Tile]] = [[]]
    left = GAP
    for tile in tiles:
        if rows[-1] and left + tile.width > WIDTH:
            rows.append([])
            left = GAP
        rows[-1].append(tile)
        left += tile.width + GAP
    return rows


def _shown(arrays: Mapping[str, ArrayReport]) -> list[ArrayReport]:
    """Return the arrays that have entries, but only the worst of them if there are many."""
    filled = [array for array in arrays.values() if array.claimed.size]
    ranks = [(array.verdict, array.discrepancy, i) for i, array in enumerate(filled)]
    return [filled[i] for i in sorted(i for *_, i in sorted(ranks)[-ARRAYS:])]


def _rows_and_columns(array: ArrayReport) -> tuple[int, int]:
    """Return how many entries a heat map has in each direction; a vector is one row."""
    shape = array.claimed.shape
    return (shape[0], math.prod(shape[1:])) if len(shape) > 1 else (1, math.prod(shape))


def _map_size(array: ArrayReport, limits: tuple[float, float]) -> tuple[float, float]:
    """Return the height and width of a heat map, within the limits, with cells of at most CELL."""
    rows, columns = _rows_and_columns(array)
    return min(limits[0], CELL * rows), min(limits[1], CELL * columns)


def _draw_array(axis: Any, array: ArrayReport, inches: tuple[float, float]) -> Any:
    """Draw a heat map `inches` large, mark entries that are not a MATCH, and return the image."""
    rows, columns = _rows_and_columns(array)
    ratios, (tall, wide) = _largest_by_block(_ratios(array).reshape(rows, columns), np.fmax)
    verdicts, _ = _largest_by_block(array.verdicts.reshape(rows, columns), np.maximum)
    image = axis.imshow(
        ratios,
        norm=LogNorm(1 / COLOUR_RANGE, COLOUR_RANGE),
        cmap="coolwarm",
        aspect="auto",
        interpolation="nearest",
        extent=(-0.5, ratios.shape[1] * wide - 0.5, ratios.shape[0] * tall - 0.5, -0.5),
    )
    axis.patch.set(**UNKNOWN)  # the background, which is seen where a ratio is nan
    axis.set(xlim=(-0.5, columns - 0.5), ylim=(rows - 0.5, -0.5))
    axis.locator_params(integer=True, nbins=8)
    axis.tick_params(labelsize=SMALL)
    if rows == 1:
        axis.set_yticks([])
    if columns == 1:
        axis.set_xticks([])
    # the shorter side of a cell, in points of 1/72 inch
    points = 72 * min(side / n for side, n in zip(inches, ratios.shape, strict=True))
    for verdict, mark in MARKS.items():
        i, j = np.nonzero(verdicts == verdict)
        if i.size:
            axis.scatter(
                np.minimum(j * wide + (wide - 1) / 2, columns - 1),
                np.minimum(i * tall + (tall - 1) / 2, rows - 1),
                s=min(8.0, max(2.0, points / 2)) ** 2,
                marker=mark,
                linewidths=0.8,
                edgecolors="black" if mark == "o" else None,
                facecolors="none" if mark == "o" else "black",
                label=str(verdict),
            )
    return image


def _label(array: ArrayReport) -> str:
    """Return the shape and the verdict of an array, and how many entries a cell stands for."""
    shape = " × ".join(f"{n:,}" for n in array.claimed.shape) or "one entry"
    count = int(np.sum(array.verdicts == array.verdict))
    counted = "" if array.verdict is Verdict.MATCH or shape == "one entry" else f"{count:,} "
    block = math.prod(math.ceil(n / CELLS) for n in _rows_and_columns(array))
    cells = f"; each cell: the worst of {block:,} entries" if block > 1 else ""
    return f"{shape}: {counted}{array.verdict}{cells}"


def _ratios(array: ArrayReport) -> FloatArray:
    """Return |claimed − numeric| / (limit + error) within the range of the colours.

    It is nan for entries without a finite estimate and error.
    """
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        ratios = np.abs(array.claimed - array.numeric) / (array.limit + array.error)
    ratios = np.where((array.claimed == array.numeric) & (array.error == 0), 0, ratios)
    ratios = np.where(np.isfinite(array.claimed), ratios, np.inf)
    unknown = ~np.isfinite(array.numeric) | ~np.isfinite(array.error)
    return np.where(unknown, np.nan, np.clip(ratios.astype(float), 1 / COLOUR_RANGE, COLOUR_RANGE))


def _largest_by_block(values: Any, maximum: np.ufunc) -> tuple[Any, tuple[int, int]]:
    """Return the largest value of each block, and a block's shape; at most CELLS × CELLS blocks."""
    tall, wide = (math.ceil(n / CELLS) for n in values.shape)
    by_rows = maximum.reduceat(values, np.arange(0, values.shape[0], tall), axis=0)
    return maximum.reduceat(by_rows, np.arange(0, values.shape[1], wide), axis=1), (tall, wide)


def _draw_step_curve(
    axis: Any, array: ArrayReport, step_curve: StepCurve, worst: WorstEntry
) -> None:
    """Draw, over the step h, how far claim and estimate are from differences of the cost."""
    h = step_curve.steps
    left, right = step_curve.slopes.T
    kink = array.slope_jump[worst.index] > 0
    slopes = {"left": left, "right": right} if kink else {"difference": step_curve.central}
    lines = [
        (f"|claimed − {name}|", np.abs(worst.claimed - slope), style)
        for (name, slope), style in zip(slopes.items(), ("C3o-", "C1o-"), strict=False)
    ]
    lines.append(("|numeric − difference|", np.abs(worst.numeric - step_curve.central), "C0s-"))
    lines.append(("noise of the cost / h", step_curve.noise / h, "k:"))
    lines.append(("error of the estimate", np.full(h.shape, worst.error), "C0--"))
    lines.append(("limit of a MISMATCH", np.full(h.shape, array.limit[worst.index]), "C3--"))
    for label, y, style in lines:
        positive = np.where(np.isfinite(y) & (y > 0), y, np.nan)  # a logarithmic axis has no 0
        if np.isfinite(positive).any():
            axis.loglog(h, positive, style, label=label, markersize=4, linewidth=1.2)
    (name,) = shortened([step_curve.name], 50)
    values = f"claimed {worst.claimed:.6g}, numeric {worst.numeric:.6g} ± {worst.error:.0e}"
    axis.set_title(f"{name}: {values}", fontsize=MEDIUM, loc="left", parse_math=False)
    axis.set_xlabel("step h", fontsize=SMALL)
    axis.set_ylabel("discrepancy", fontsize=SMALL)
    axis.tick_params(labelsize=SMALL)
    axis.grid(alpha=0.3)
    axis.legend(fontsize=SMALL, loc="center left", bbox_to_anchor=(1.01, 0.5))
