"""How a report is worded: tables, paragraphs, counts, names of arrays, and common reasons."""

import re
import textwrap
from collections.abc import Collection, Sequence

__all__ = [
    "COLUMNS",
    "DISAGREE",
    "LOSES_DIGITS",
    "LOST_DIGITS",
    "ONLY_ZEROS",
    "PRODUCTS",
    "STAIRS",
    "UNEVEN",
    "UNSEEN",
    "left_domain",
    "listed",
    "no_room",
    "nothing_compared",
    "of_order",
    "paragraph",
    "plural",
    "shortened",
    "stochastic",
    "table",
]

# What a check of a function of another library compares, by mode.
PRODUCTS = {
    "reverse": "vjp",
    "batched": "batched vjp",
    "forward": "jvp",
    "batched forward": "batched jvp",
    "linearized": "linearized jvp",
}
COLUMNS = 100  # the width of printed text

# Reasons why an array is UNRESOLVED.
UNSEEN = (
    "the cost does not change by a bit when these parameters are moved by up to their own size: "
    "either it is constant here, for instance because units are dead, or it does not see them (it "
    "may read copies of them, arrays that it closes over, or attributes that have been bound to "
    "other arrays since, as a step W = W − η dW does)."
)
ONLY_ZEROS = (
    "every entry is zero, as claimed, but only to within its error, so nothing was compared. Check "
    "at a point away from a minimum, dead units and saturation."
)
DISAGREE = (
    "two estimates from different steps disagree, so the claim cannot be called wrong. Check at "
    "another point near by."
)
LOSES_DIGITS = (
    "the cost loses digits in every dtype, as √(1 + z) − √z does at z = 10²⁰: rounded at random, "
    "its derivative changes by more than the claim is off. Write it so that it keeps them, or "
    "check at another point."
)
UNEVEN = (
    "the cost is uneven over the steps of differences: a solver that stops at a tolerance makes it "
    "so, a table that is interpolated, or a fast oscillation. So two estimates disagree, and the "
    "claim cannot be called wrong. Check with a smaller tolerance, or at another point near by."
)
# Begins the finding on entries that are off by no more than their claim's own rounding.
LOST_DIGITS = "rounding inside your gradient"
STAIRS = (
    "the cost is quantised here: it has jumps close by. Either a function rounds (floor, round, an "
    "integer cast, a table): then the derivative is that between the jumps, often zero, never the "
    "slope of the trend. Or digits are lost, as in log(1 - s) with s close to 1: then the "
    "derivative is that of the formula. Or an adaptive solver takes other steps: a smaller "
    "tolerance makes the jumps smaller. The check cannot tell which. Check without the rounding."
)


def stochastic(level: float) -> str:
    """Return the reason if two calls of the cost at one point differ, by a noise of `level`."""
    return (
        "the cost is not a function of its parameters: two calls at one point differ "
        f"(noise {level:.0e}). Fix its random seed, or switch dropout off."
    )


def left_domain(outside: str) -> str:
    """Return the reason if a moved cost is not finite; `outside` is the error it raised, if any."""
    raised = f" ({outside})" if outside else ""
    return f"steps leave the domain where the cost is finite{raised}. Check at a point inside."


def no_room(entry: str, others: int) -> str:
    """Return the reason if bounds do not let entries move: one of them, and how many others."""
    more = f" and {plural(others, 'other entry')}" if others else ""
    return (
        f"bounds leave {entry}{more} no room for a step, so nothing is known of the derivative "
        "there. Widen the bounds, or leave out parameters that are fixed."
    )


def nothing_compared(paths: list[str], exact: bool = True) -> str:
    """Return the finding on arrays that are claimed to be zero and do not change the cost.

    Where that is not `exact`, claims and changes of the cost are no more than rounding.
    """
    zero, by = ("zero", "a bit") if exact else ("zero to rounding", "more than rounding")
    return (
        f"{', '.join(paths)}: {zero} in every entry, and the cost does not change by {by} when "
        "they move by up to their own size: nothing was compared."
    )


def paragraph(text: str) -> str:
    """Return a text in indented lines."""
    return textwrap.fill(text, COLUMNS - 2, initial_indent="  ", subsequent_indent="  ")


def plural(count: int, noun: str) -> str:
    """Return a number of things, "1 entry" or "2 entries"."""
    if count != 1:
        noun = f"{noun[:-1]}ies" if noun.endswith("y") else f"{noun}s"
    return f"{count:,} {noun}"


def listed(paths: list[str]) -> str:
    """Return names as part of a sentence; of more than six names, only the first four."""
    if len(paths) > 6:
        return f"{', '.join(paths[:4])} and {len(paths) - 4:,} more"
    return " and ".join([", ".join(paths[:-1]), paths[-1]] if len(paths) > 1 else paths)


def table(rows: Sequence[tuple[str, ...]], right: Collection[int]) -> list[str]:
    """Return the lines of a table of at most `COLUMNS` columns.

    Parameters
    ----------
    rows
        Cells, with the head as the first row. Column 0 holds paths, which are shortened.
    right
        The columns that are aligned to the right.
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    widths[0] = min(widths[0], max(6, COLUMNS - 2 * len(widths) - sum(widths[1:])))
    paths = shortened([row[0] for row in rows], widths[0])
    return [
        "  "
        + "  ".join(
            cell.rjust(width) if i in right else cell.ljust(width)
            for i, (cell, width) in enumerate(zip((path, *row[1:]), widths, strict=True))
        ).rstrip()
        for path, row in zip(paths, rows, strict=True)
    ]


def shortened(paths: Sequence[str], width: int) -> list[str]:
    """Shorten paths to a width so that they stay different, as far as there is room for it.

    Parts that the long paths have in common, at the same place, are left out one by one from the
    left. A path that is still too long is cut in the middle, where most paths stay different.
    """
    long = [path for path in paths if len(path) > width]
    # layers[0].to_out has the parts layers, [0], .to and _out; words are parts as well
    in_parts = [re.split(r"(?<=.)(?=[._\[ ])", path) for path in long]
    # the last part of a path is never left out, because it says most
    places = enumerate(zip(*(parts[:-1] for parts in in_parts), strict=False))
    common = [place for place, parts_there in places if len({*parts_there}) == 1]
    for count in range(len(common) + 1):
        labels = [_without(parts, common[:count]) for parts in in_parts]
        if all(len(label) <= width for label in labels):
            break

    def cut(label: str, head: int) -> str:
        tail = label[len(label) - (width - 1 - head) :]
        return label if len(label) <= width else f"{label[:head]}…{tail}".replace("……", "…")

    # the part before the cut gets a third of the width, if that keeps the paths different
    heads = sorted(range(width), key=lambda head: abs(head - width // 3))
    cuts = ([cut(label, head) for label in labels] for head in heads)
    short = dict(zip(long, max(cuts, key=lambda texts: len({*texts})), strict=True))
    return [short.get(path, path) for path in paths]


def _without(parts: list[str], omitted: Collection[int]) -> str:
    """Join the parts of a path, with "…" in place of those that are omitted."""
    text = ""
    for i, part in enumerate(parts):
        if i not in omitted:
            text += part.lstrip("._") if text.endswith("…") else part
        elif not text.endswith("…"):
            text += "…"
    return text


def of_order(order: int, product: str) -> str:
    """Return the name of a product with the derivatives of an order, as "second-order vjp"."""
    names = {1: "", 2: "second-order ", 3: "third-order "}
    return names.get(order, f"order-{order} ") + product
