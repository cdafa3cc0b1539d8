"""Hands finished reports to listeners, such as the pytest plugin during a test.

Every pytest session imports this file, so it imports nothing heavy.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

__all__ = ["context", "describe", "listeners", "record", "unrecorded"]

R = TypeVar("R")

listeners: list[Callable[[Any], None]] = []
"""Functions that are called with the `Report` of every finished check."""

context: dict[str, Any] = {}
"""What `describe` was last called with: the problem that the following checks are about."""


def record(report: R) -> R:
    """Hand a finished report to the listeners, and return it."""
    for listener in listeners:
        listener(report)
    return report


@contextmanager
def unrecorded() -> Iterator[None]:
    """Keep checks from the listeners: those that are part of another check, or shrink a failure."""
    saved, listeners[:] = listeners[:], []
    try:
        yield
    finally:
        listeners[:] = saved


def describe(**properties: Any) -> None:
    """Say which problem the following checks are about, until the next call or the test's end.

    Parameters
    ----------
    **properties
        Any of `sizes`, `samples`, `regime`, `seed` (of the problem), `dtype`, and `reproduction`: a
        script, or a function that returns one and is called only if the check is not a MATCH.
    """
    context.clear()
    context.update(properties)
