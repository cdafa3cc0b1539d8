"""gradient-gate: decides whether a gradient is right, how sure that is, and where it is wrong."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from checks.gradient import (
        NumericalGradient,
        assert_gradient,
        check_gradient,
        numerical_gradient,
    )
    from checks.jacobian import check_jvp, check_vjp
    from checks.judgement.interruption import CheckInterrupted
    from checks.report.report import Diagnosis, GradientMismatch, GradientUnresolved, Report
    from checks.report.verdict import Verdict
    from checks.step import assert_step, check_step

__all__ = [
    "CheckInterrupted",
    "Diagnosis",
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

# Imported at first use: the pytest plugin lies in this package, and pytest imports it in every run.
_HOMES = {
    "gradient": ("NumericalGradient", "assert_gradient", "check_gradient", "numerical_gradient"),
    "jacobian": ("check_jvp", "check_vjp"),
    "judgement.interruption": ("CheckInterrupted",),
    "report.report": ("Diagnosis", "GradientMismatch", "GradientUnresolved", "Report"),
    "report.verdict": ("Verdict",),
    "step": ("assert_step", "check_step"),
}


def __getattr__(name: str) -> Any:
    for home, names in _HOMES.items():
        if name in names:
            value = globals()[name] = getattr(import_module(f"checks.{home}"), name)
            return value
    raise AttributeError(f"module 'checks' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
