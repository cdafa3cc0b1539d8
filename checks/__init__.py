"""gradient-gate: decides whether a gradient is right, how sure that is, and where it is wrong."""

from checks.gradient import (
    NumericalGradient,
    assert_gradient,
    check_gradient,
    numerical_gradient,
)
from checks.products import check_jvp, check_vjp
from checks.report import GradientMismatch, GradientUnresolved, Report
from checks.step import assert_step, check_step
from checks.verdict import Verdict

__all__ = [
    "GradientMismatch",
    "GradientUnresolved",
    "NumericalGradient",
    "Report",
    "Verdict",
    "assert_gradient",
    "assert_step",
    "check_gradient",
    "check_jvp",
    "check_step",
    "check_vjp",
    "numerical_gradient",
]
