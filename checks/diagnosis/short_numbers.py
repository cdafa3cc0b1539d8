"""How many bits a hypothesis takes: of short numbers, 0.01 for 0.0100000002, and of choices."""

import math

__all__ = ["CHOICE_BITS", "choices", "decimal", "digits", "ratio"]

# The relative error of a number that was computed in float64 and printed.
LAST_PLACE = 4e-16
# A choice of entries with this many bits is no chance: 4 of 12 have log2(495) = 9 bits.
CHOICE_BITS = 8.0


def decimal(value: float, uncertainty: float) -> tuple[float, float]:
    """Return the decimal of up to three digits that is near a number, and its bits.

    Where none is within the uncertainty, return the number itself, with infinitely many bits.
    """
    for count in (1, 2, 3):
        short = float(f"{value:.{count - 1}e}")
        within = max(uncertainty, LAST_PLACE * abs(value))
        # a number that is uncertain by its last digit is not known to be this decimal
        if abs(value - short) <= within < 0.1 * abs(short):
            return short, 2 + count * math.log2(10)
    return value, math.inf


def ratio(value: float, uncertainty: float) -> tuple[float, float] | None:
    """Return the ratio of small whole numbers that is near a positive number, and its bits.

    Both are at most 12, or one of them is 1 and the other at most 10⁵. None if none is near.
    """
    within = max(uncertainty, LAST_PLACE * value)
    if not 1e-5 <= value <= 1e5 or within >= 0.01 * value:
        return None
    for q in (*range(1, 13), max(1, round(1 / value))):
        p = round(value * q)
        if (min(p, q) == 1 or max(p, q) <= 12) and abs(p / q - value) <= within:
            return p / q, 1.5 * math.log2(p * q)
    return None


def digits(value: float, other: float = 1.0) -> str:
    """Return a number with six digits, or with as many as it takes to tell it from another."""
    texts = (f"{value:.{count}g}" for count in range(6, 18))
    return next((text for text in texts if float(text) != other), repr(value))


def choices(total: int, chosen: int) -> float:
    """Return log2 of the number of ways to choose some of so many entries."""
    log = math.lgamma(total + 1) - math.lgamma(chosen + 1) - math.lgamma(total - chosen + 1)
    return log / math.log(2)
