"""What products owe besides their values: zeros for zeros, and vectors left as they are."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from checks._types import FloatArray
from checks.report.array_report import ArrayReport
from checks.report.report import Diagnosis, Report
from checks.report.verdict import Rule, Verdict

__all__ = ["compared_with_zeros", "overwriting", "with_vector"]


def compared_with_zeros(products: Mapping[str, FloatArray]) -> dict[str, ArrayReport]:
    """Return the reports of products that must be exactly zero, by path."""
    arrays = {}
    for path, product in products.items():
        zero = np.zeros(product.shape)
        arrays[path] = ArrayReport.judged(path, product, zero, zero, Rule(0, 0))
    return arrays


def overwriting(report: Report, who: str, what: str, change: str) -> Report:
    """Return a report of what changes its argument: a MISMATCH, whatever its values are.

    Parameters
    ----------
    report
        Of its values.
    who, what, change : str
        As "vjp", "cotangent", and which entry changes.
    """
    arrays = {path: replace(a, verdicts=a.verdicts.copy()) for path, a in report.arrays.items()}
    for array in arrays.values():
        array.verdicts[...] = Verdict.MISMATCH
    values = "Apart from that" if report else "The check went on with copies"
    text = (
        f"{who} changes its {what} ({change}): whatever else reads that, as a residual connection "
        f"or another layer does, gets wrong values. Let it work on a copy. {values}"
        + (", its values are right." if report else ".")
    )
    named = (Diagnosis(f"overwritten {what}", text), *report.diagnosis)
    return replace(report, arrays=arrays, diagnosis=named)


def with_vector(product: Callable[[Any, Any], Any], vector: Any, x: Any) -> Any:
    """Return a product with a vector, as a function of x last."""
    return product(x, vector)
