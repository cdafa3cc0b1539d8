"""How reports are worded: numbers of things, names of arrays, paragraphs; and common reasons."""

import textwrap

__all__ = [
    "COLUMNS",
    "DISAGREE",
    "ONLY_ZEROS",
    "UNSEEN",
    "left_domain",
    "listed",
    "nothing_compared",
    "paragraph",
    "plural",
    "shortened",
    "stochastic",
]

COLUMNS = 100  # of printed text

# Why an array is UNRESOLVED.
UNSEEN = (
    "the cost does not change by a bit however its parameters move: it does not see them (a "
    "closure over other arrays, or copies?), or it is constant."
)
ONLY_ZEROS = (
    "every entry is zero, as claimed, but only to within rounding: there is nothing to compare. "
    "Check away from a stationary point, dead units or saturation."
)
DISAGREE = "two estimates by different steps disagree: too little for an accusation."


def stochastic(level: float) -> str:
    """Return the reason where the cost does not repeat itself: of such a noise."""
    return (
        "the cost is not a function of its parameters: two calls at one point differ "
        f"(noise {level:.0e}). Fix its random seed, or switch dropout off."
    )


def left_domain(outside: str) -> str:
    """Return the reason where a moved cost is not finite, with what it said, if anything."""
    said = f" ({outside})" if outside else ""
    return f"steps leave the domain where the cost is finite{said}. Check at a point inside."


def paragraph(text: str) -> str:
    """Return a text in indented lines."""
    return textwrap.fill(text, COLUMNS - 2, initial_indent="  ", subsequent_indent="  ")


def nothing_compared(paths: list[str]) -> str:
    """Return what is to be said of arrays that the cost does not see, and that are claimed zero."""
    return (
        f"{', '.join(paths)}: zero in every entry, and the cost does not change by a bit however "
        "far they move: nothing was compared."
    )


def plural(count: int, noun: str) -> str:
    """Return a number of things, "1 entry" or "2 entries"."""
    if count != 1:
        noun = f"{noun[:-1]}ies" if noun.endswith("y") else f"{noun}s"
    return f"{count:,} {noun}"


def listed(paths: list[str]) -> str:
    """Return names as part of a sentence, the first few of many."""
    if len(paths) > 6:
        return f"{', '.join(paths[:4])} and {len(paths) - 4:,} more"
    return " and ".join([", ".join(paths[:-1]), paths[-1]] if len(paths) > 1 else paths)


def shortened(path: str, width: int) -> str:
    """Cut a path at its beginning: the end tells arrays apart."""
    return path if len(path) <= width else "…" + path[1 - width :]
