"""A report as a picture: where its arrays are off by how much, and its worst entry step by step."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from checks._types import FloatArray
from checks.estimation.step_curve import StepCurve
from checks.report.array_report import ArrayReport, WorstEntry
from checks.report.verdict import Verdict

try:
    from matplotlib.colors import LogNorm
    from matplotlib.figure import Figure
except ImportError as error:
    raise ImportError(
        "report.plot() needs matplotlib: install gradient-gate[plot], or matplotlib itself"
    ) from error

__all__ = ["plot"]

ARRAYS, COLUMNS = 24, 4  # shown at most, and beside each other
CELLS = 64  # in each direction: more would be too small to be marked
SPAN = 1e8  # colours go from 1/SPAN to SPAN tolerances
WIDTH = 10.0  # inches
MARKS = {Verdict.MISMATCH: "x", Verdict.UNRESOLVED: "o"}


def plot(
    arrays: Mapping[str, ArrayReport],
    rtol: float,
    title: str,
    curve: StepCurve | None,
    worst: WorstEntry,
) -> Figure:
    """Draw a report; neither pyplot nor the backend is touched.

    Parameters
    ----------
    arrays
        Of arrays of any shape: all dimensions but the first are laid side by side. Of large arrays
        a cell shows the worst of a block of entries; of many arrays the worst 24 are shown.

    Returns
    -------
    matplotlib.figure.Figure
        To be shown by a notebook, or kept by its ``savefig``. For each array the discrepancy over
        the tolerance, |claimed − numeric| / (rtol × largest + error). Unless the report is a MATCH,
        below these its worst entry's discrepancies from differences over steps of every size.
    """
    shown = _shown(arrays)
    columns = min(COLUMNS, math.ceil(math.sqrt(len(shown))))
    rows = [shown[i : i + columns] for i in range(0, len(shown), columns)]
    tall = 2.8 if columns < 3 else 1.8
    heights = [1.0 if all(a.claimed.ndim < 2 for a in row) else tall for row in rows]
    parts = [max(sum(heights), 2.2) + 0.6, 3.8][: 2 if curve else 1]
    figure = Figure(figsize=(WIDTH, sum(parts)))
    figure.set_layout_engine("constrained", w_pad=0.1, h_pad=0.06)
    figures = figure.subfigures(len(parts), 1, height_ratios=parts, squeeze=False)[:, 0]
    grid = figures[0].add_gridspec(len(rows), columns, height_ratios=heights)
    axes = []
    for i, row in enumerate(rows):
        for j, array in enumerate(row):
            axes.append(figures[0].add_subplot(grid[i, j]))
            cell = (heights[i] * 0.7, WIDTH * 0.75 / columns)
            image = _draw_array(axes[-1], array, rtol, cell)
    label = "|claimed − numeric| / tolerance"
    figures[0].colorbar(image, ax=axes, label=label, extend="both", fraction=0.03, aspect=30)
    if curve:
        _draw_curve(figures[1].subplots(), arrays[worst.path], rtol, curve, worst)
    more = f"; the worst {ARRAYS} of {len(arrays)} arrays" if len(arrays) > len(shown) else ""
    figures[0].suptitle(f"{title}{more}")
    marks = {mark.get_label(): mark for axis in axes for mark in axis.collections}
    if marks:
        figures[0].legend(marks.values(), marks.keys(), loc="outside lower right", ncols=2)
    return figure


def _shown(arrays: Mapping[str, ArrayReport]) -> list[ArrayReport]:
    """Return the arrays with entries; the worst of them where there are many."""
    filled = [array for array in arrays.values() if array.claimed.size]
    ranks = [(array.verdict, array.discrepancy, i) for i, array in enumerate(filled)]
    return [filled[i] for i in sorted(i for *_, i in sorted(ranks)[-ARRAYS:])]


def _draw_array(axis: Any, array: ArrayReport, rtol: float, inches: tuple[float, float]) -> Any:
    """Draw a heat map some inches high and wide, mark what is no MATCH, and return the image."""
    shape = array.claimed.shape
    rows, columns = (shape[0], math.prod(shape[1:])) if len(shape) > 1 else (1, math.prod(shape))
    worst, (tall, wide) = _blocks(_tolerances(array, rtol).reshape(rows, columns), np.fmax)
    verdicts, _ = _blocks(array.verdicts.reshape(rows, columns), np.maximum)
    image = axis.imshow(
        worst,
        norm=LogNorm(1 / SPAN, SPAN),
        cmap="coolwarm",
        aspect="auto",
        interpolation="nearest",
        extent=(-0.5, worst.shape[1] * wide - 0.5, worst.shape[0] * tall - 0.5, -0.5),
    )
    axis.patch.set(facecolor="white", edgecolor="0.6", hatch="////")  # where nothing is known
    axis.set(xlim=(-0.5, columns - 0.5), ylim=(rows - 0.5, -0.5))
    axis.locator_params(integer=True, nbins=8)
    if rows == 1:
        axis.set_yticks([])
    if columns == 1:
        axis.set_xticks([])
    points = 72 * min(side / n for side, n in zip(inches, worst.shape, strict=True))
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
    axis.set_title(_title(array, tall, wide), fontsize="medium")
    return image


def _title(array: ArrayReport, tall: int, wide: int) -> str:
    path = array.path if len(array.path) <= 24 else f"…{array.path[-23:]}"
    shape = " × ".join(f"{n:,}" for n in array.claimed.shape) or "one entry"
    count = int(np.sum(array.verdicts == array.verdict))
    some = "" if array.verdict is Verdict.MATCH or shape == "one entry" else f"{count:,} "
    title = f"{path}, {shape}: {some}{array.verdict}"
    if tall * wide > 1:
        title += f"\nthe worst of {tall * wide:,} entries each"
    return title


def _tolerances(array: ArrayReport, rtol: float) -> FloatArray:
    """Return the discrepancies in tolerances, within the colours; nan where nothing is known."""
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        off = np.abs(array.claimed - array.numeric) / (rtol * array.largest + array.error)
    off = np.where((array.claimed == array.numeric) & (array.error == 0), 0, off)
    off = np.where(np.isfinite(array.claimed), off, np.inf)
    unknown = ~np.isfinite(array.numeric) | ~np.isfinite(array.error)
    return np.where(unknown, np.nan, np.clip(off.astype(float), 1 / SPAN, SPAN))


def _blocks(values: Any, maximum: np.ufunc) -> tuple[Any, tuple[int, int]]:
    """Return the maxima of blocks, at most CELLS in each direction, and the size of a block."""
    tall, wide = (math.ceil(n / CELLS) for n in values.shape)
    some = maximum.reduceat(values, np.arange(0, values.shape[0], tall), axis=0)
    return maximum.reduceat(some, np.arange(0, values.shape[1], wide), axis=1), (tall, wide)


def _draw_curve(
    axis: Any, array: ArrayReport, rtol: float, curve: StepCurve, worst: WorstEntry
) -> None:
    """Draw how far claim and estimate are from differences, over their step."""
    h = curve.steps
    left, right = curve.slopes.T
    kink = array.slope_jump[worst.index] > 0
    claimed = {"left": left, "right": right} if kink else {"difference": curve.central}
    lines = [
        (f"|claimed − {name}|", np.abs(worst.claimed - slope), style)
        for (name, slope), style in zip(claimed.items(), ("C3o-", "C1o-"), strict=False)
    ]
    lines.append(("|numeric − difference|", np.abs(worst.numeric - curve.central), "C0s-"))
    lines.append(("noise of the cost / h", curve.noise / h, "k:"))
    lines.append(("error of the estimate", np.full(h.shape, worst.error), "C0--"))
    lines.append(("rtol × largest", np.full(h.shape, rtol * array.largest), "C3--"))
    for label, y, style in lines:
        shown = np.where(np.isfinite(y) & (y > 0), y, np.nan)  # 0 has no place on this axis
        if np.isfinite(shown).any():
            axis.loglog(h, shown, style, label=label, markersize=4, linewidth=1.2)
    values = f"claimed {worst.claimed:.6g}, numeric {worst.numeric:.6g} ± {worst.error:.0e}"
    axis.set(title=f"{curve.name}: {values}", xlabel="step h", ylabel="discrepancy")
    axis.grid(alpha=0.3)
    axis.legend(fontsize="small", loc="center left", bbox_to_anchor=(1.01, 0.5))
