"""Who listens to finished checks: the pytest plugin, during a test. Imports next to nothing."""

from collections.abc import Callable
from typing import Any, TypeVar

__all__ = ["context", "describe", "listeners", "record"]

R = TypeVar("R")

listeners: list[Callable[[Any], None]] = []
"""Called with the `Report` of every check that finishes."""

context: dict[str, Any] = {}
"""What `describe` said of the checks that follow."""


def record(report: R) -> R:
    """Tell the listeners of a finished check, and return its report."""
    for listener in listeners:
        listener(report)
    return report


def describe(**said: Any) -> None:
    """Say of which problem the checks that follow are, up to the next call or the test's end.

    Parameters
    ----------
    **said
        Any of `sizes`, `samples`, `regime`, `seed` (of the problem), `dtype`, and `reproduction`: a
        script, or a function that returns it, called only where the check is not a MATCH.
    """
    context.clear()
    context.update(said)
