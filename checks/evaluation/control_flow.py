"""Exceptions that are no answer of a cost, but the way in which something else stops it."""

__all__ = ["is_control_flow"]

# Classes are listed by name, so that Hypothesis need not be installed. Interrupts, and what pytest
# raises to skip or fail a test, are not listed: they are not subclasses of Exception, and
# is_control_flow is true of all such.
CONTROL_FLOW = {
    "builtins.MemoryError",
    "hypothesis.errors.HypothesisException",
    "hypothesis.errors.StopTest",
    "unittest.case.SkipTest",
}


def is_control_flow(error: BaseException) -> bool:
    """Whether an exception must pass through wherever a cost raises it.

    Every other exception that a cost raises at a moved point means that the point is outside.
    """
    kinds = {f"{kind.__module__}.{kind.__qualname__}" for kind in type(error).__mro__}
    return not isinstance(error, Exception) or not kinds.isdisjoint(CONTROL_FLOW)
