"""Exceptions that say nothing of a cost, such as the one by which pytest skips a test."""

__all__ = ["is_control_flow"]

# Listed by name, so that Hypothesis need not be installed. Interrupts and pytest's own exceptions
# are missing: `is_control_flow` is true of whatever is no subclass of Exception, as they are not.
CONTROL_FLOW = {
    "builtins.MemoryError",
    "checks.evaluation.results.ResultsChanged",
    "hypothesis.errors.HypothesisException",
    "hypothesis.errors.StopTest",
    "unittest.case.SkipTest",
}


def is_control_flow(error: BaseException) -> bool:
    """Whether an exception that a cost raises has to reach the caller of the check.

    Any other exception at a moved point means that the point is outside of the cost's domain.
    """
    kinds = {f"{kind.__module__}.{kind.__qualname__}" for kind in type(error).__mro__}
    return not isinstance(error, Exception) or not kinds.isdisjoint(CONTROL_FLOW)
