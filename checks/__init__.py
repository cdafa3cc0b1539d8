"""gradient-gate: check whether a gradient is right, how certain that is, and where it is wrong.

Start with `check_gradient`. `check_jacobian`, `check_vjp` and `check_jvp` check functions with
many results, `check_hessian` and `check_hvp` second derivatives, `check_step` a training step;
`assert_…` raise instead of returning a report that is no MATCH.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from checks.gradient import (
        NumericalGradient,
        assert_gradient,
        check_gradient,
        numerical_gradient,
    )
    from checks.hessian import (
        assert_hessian,
        assert_hvp,
        check_hessian,
        check_hvp,
        numerical_hessian,
    )
    from checks.jacobian import (
        NumericalJacobian,
        assert_jacobian,
        assert_jvp,
        assert_vjp,
        check_jacobian,
        check_jvp,
        check_vjp,
        numerical_jacobian,
    )
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
    "NumericalJacobian",
    "Report",
    "Verdict",
    "assert_gradient",
    "assert_hessian",
    "assert_hvp",
    "assert_jacobian",
    "assert_jvp",
    "assert_step",
    "assert_vjp",
    "check_gradient",
    "check_hessian",
    "check_hvp",
    "check_jacobian",
    "check_jvp",
    "check_step",
    "check_vjp",
    "numerical_gradient",
    "numerical_hessian",
    "numerical_jacobian",
]

# Modules are imported at first use. pytest imports the plugin, and so this package, in every run of
# every project that has it installed; that must stay quick.
_MODULES = {
    "gradient": ("NumericalGradient", "assert_gradient", "check_gradient", "numerical_gradient"),
    "hessian": (
        "assert_hessian",
        "assert_hvp",
        "check_hessian",
        "check_hvp",
        "numerical_hessian",
    ),
    "jacobian": (
        "NumericalJacobian",
        "assert_jacobian",
        "assert_jvp",
        "assert_vjp",
        "check_jacobian",
        "check_jvp",
        "check_vjp",
        "numerical_jacobian",
    ),
    "judgement.interruption": ("CheckInterrupted",),
    "report.report": ("Diagnosis", "GradientMismatch", "GradientUnresolved", "Report"),
    "report.verdict": ("Verdict",),
    "step": ("assert_step", "check_step"),
}


def __getattr__(name: str) -> Any:
    for module, names in _MODULES.items():
        if name in names:
            value = globals()[name] = getattr(import_module(f"checks.{module}"), name)
            return value
    raise AttributeError(f"module 'checks' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
