"""A function at a point where inputs or results are infinite: these entries are constants."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from checks.parameters.claims import entry_name
from checks.parameters.layouts import laid_out_as
from checks.parameters.nesting import leaves, rebuild
from checks.report.report import Report
from checks.report.wording import plural

__all__ = ["with_findings", "without_infinities"]

Masks = Mapping[str, NDArray[np.bool_]]


def without_infinities(function: Any) -> Any:
    """Return a function in which entries that are not finite at its point are constants.

    Parameters
    ----------
    function
        As `checks.adapters.torch_function.TensorFunction`. If all is finite, it is returned.
    """
    finite = WithoutInfinities(function)
    return finite if finite.findings else function


def with_findings(report: Report, function: Any) -> Report:
    """Return the report of what `without_infinities` has returned, with the entries it leaves out.

    Where there are none, it is the same report.
    """
    if not isinstance(function, WithoutInfinities):
        return report
    return replace(report, findings=(*function.findings, *report.findings))


class WithoutInfinities:
    """A function whose infinite inputs and results are replaced by zeros.

    A function that is finite where an input is infinite does not change with it, so that the
    derivative by this input is zero. A result that is infinite at the point is a constant.

    Attributes
    ----------
    params
        The point, with zeros.
    findings : list of str
        Which entries were replaced; empty if none was.
    """

    def __init__(self, function: Any) -> None:
        self._function = function
        self._inputs = _masks(function.params, lambda array: ~np.isfinite(array))
        at_point = function.at_point()
        self._results = _masks(at_point, np.isinf)
        self.params = _replaced(function.params, self._inputs)
        self.findings = [
            *_named(function.params, self._inputs, "a derivative by them has to be zero"),
            *_named({"output": at_point}, self._results, "they count as constants"),
        ]

    def __getattr__(self, name: str) -> Any:
        return getattr(self._function, name)

    def _given(self, arrays: Any) -> Any:
        """Return moved arrays with the infinite entries as they were."""
        return _replaced(arrays, self._inputs, leaves(self._function.params))

    def values(self, arrays: Any) -> Any:
        """Return the results."""
        return _replaced(self._function.values(self._given(arrays)), self._results)

    def values_at_points(self, points: Any) -> Any:
        """Return the results at many points, along a leading axis."""
        return _replaced(self._function.values_at_points(self._given(points)), self._results)

    def vjp(self, arrays: Any, u: Any) -> Any:
        """Return the gradients for a cotangent."""
        return self._function.vjp(self._given(arrays), self._of_finite(u))

    def batched_vjp(self, arrays: Any, u: Any) -> Any:
        """Return the gradients for a cotangent, from a batch."""
        return self._function.batched_vjp(self._given(arrays), self._of_finite(u))

    def jvp(self, arrays: Any, v: Any) -> Any:
        """Return the derivatives along a tangent."""
        v = _replaced(v, self._inputs)
        return _replaced(self._function.jvp(self._given(arrays), v), self._results)

    def batched_jvp(self, arrays: Any, v: Any) -> Any:
        """Return the derivatives along a tangent, from a batch."""
        v = _replaced(v, self._inputs)
        return _replaced(self._function.batched_jvp(self._given(arrays), v), self._results)

    def _of_finite(self, u: Any) -> Any:
        """Return a cotangent that is zero where results are infinite, with the same strides."""
        if not any(mask.any() for mask in self._results.values()):
            return u
        parts = zip(leaves(u).items(), self._results.values(), strict=True)
        return rebuild(u, {p: laid_out_as(a, np.where(mask, 0, a)) for (p, a), mask in parts})


def _masks(arrays: Any, is_wanted: Callable[[Any], Any]) -> Masks:
    return {path: is_wanted(np.asarray(array)) for path, array in leaves(arrays).items()}


def _replaced(arrays: Any, masks: Masks, others: Mapping[str, Any] | None = None) -> Any:
    """Return arrays with zeros, or the entries of others, where masks are true."""
    if not any(mask.any() for mask in masks.values()):
        return arrays
    parts = {
        path: np.where(mask, 0 if others is None else others[path], array).astype(array.dtype)
        for (path, array), mask in zip(leaves(arrays).items(), masks.values(), strict=True)
    }
    return rebuild(arrays, parts)


def _named(nested: Any, masks: Masks, what: str) -> list[str]:
    """Say of each array how many of its entries are not finite, and which one is the first."""
    texts = []
    for path, mask in zip(leaves(nested), masks.values(), strict=True):
        if mask.any():
            first = entry_name(path, tuple(int(i) for i in np.argwhere(mask)[0]))
            count = plural(int(mask.sum()), "entry")
            texts.append(f"Not finite: {count} of {path}, as {first}; {what}.")
    return texts
