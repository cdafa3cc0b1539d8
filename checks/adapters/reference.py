"""A function in low precision, judged by a reference that is evaluated in float64."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Protocol

import numpy as np

from checks._types import FloatArray
from checks.jacobian import check_vjp
from checks.parameters.layouts import laid_out_as
from checks.parameters.nesting import leaves, rebuild
from checks.report.array_report import ArrayReport
from checks.report.report import Diagnosis, Report
from checks.report.session import record
from checks.report.verdict import Rule, Verdict

__all__ = ["Differentiable", "check_by_reference"]

# Rounding is measured at the point and at others within a last place of it. It is bounded by this
# multiple of its standard deviation, and the rule of the verdict doubles that. As 6 > √32, an error
# that only one of the points has is always taken for rounding.
SAMPLES, SIGMAS = 32, 3.0
# How accurate 16-bit claims must be, in last places: a few operations in a row, each rounded. What
# cancellation loses besides is measured.
PLACES = 4.0
LARGEST_FLOAT16 = 8.0  # cotangents above are scaled, since float16 ends at 65,504


class Differentiable(Protocol):
    """A function of another library as one of arrays, with its backward pass.

    Attributes
    ----------
    params
        The point.
    eps : float
        The spacing of numbers at 1 in the coarsest dtype of its inputs and outputs.
    """

    params: Any
    eps: float

    def values(self, arrays: Any) -> Any:
        """Return the outputs, nested."""

    def vjp(self, arrays: Any, u: Any) -> Any:
        """Return the gradients for a cotangent."""

    def rounded(self, arrays: Any) -> Any:
        """Return what is left of arrays in the dtypes of the inputs."""

    def rounded_cotangent(self, u: Any) -> Any:
        """Return what is left of a cotangent in the dtypes of the outputs."""


def check_by_reference(
    claimed: Differentiable,
    exact: Differentiable,
    rounding: Differentiable | None,
    whose: str,
    *,
    rtol: float | None = None,
    **options: Any,
) -> Report:
    """Check values and gradients against a function of the same meaning.

    Parameters
    ----------
    claimed
        The function whose values and backward pass are judged.
    exact
        The reference in float64: derivatives are estimated from its values.
    rounding
        The reference in the dtype of the claim, which shows what that dtype rounds. None if there
        is none besides the function, or it cannot be called in that.
    whose : str
        How texts name the reference.
    rtol
        Default for 16 bits: four last places.
    **options
        As of `check_vjp`.
    """
    if rtol is None:
        narrow = claimed.eps > np.finfo(np.float32).eps
        rtol = PLACES * claimed.eps if narrow else float(np.sqrt(claimed.eps))
    pair = _Pair(claimed, exact, rounding)
    outputs = pair.compared_values(rtol)
    report = check_vjp(pair.values, pair.vjp, _widened(claimed.params), rtol=rtol, **options)
    report = replace(report, arrays={**outputs, **report.arrays})
    wrong = [array for array in outputs.values() if array.verdict is Verdict.MISMATCH]
    if wrong:
        text = f"The values are wrong before any gradient is. {wrong[0].worst}, by {whose}."
        report = replace(report, diagnosis=(Diagnosis("values", text), *report.diagnosis))
    return record(report)


class _Pair:
    """A function and its reference: values of the one in float64, gradients of the other."""

    def __init__(
        self, claimed: Differentiable, exact: Differentiable, rounding: Differentiable | None
    ) -> None:
        self._claimed, self._exact, self._rounding = claimed, exact, rounding
        self._result = claimed.values(claimed.params)
        beside = (self._beside(np.random.default_rng(k)) for k in range(1, SAMPLES))
        self._points = [claimed.params, *beside]
        self._of_cotangent: dict[bytes, tuple[Any, Any]] = {}
        self._refuse_other_outputs()

    def _refuse_other_outputs(self) -> None:
        shapes, others = (
            [array.shape for array in leaves(result).values()]
            for result in (self._result, self._exact.values(self._exact.params))
        )
        if shapes != others:
            raise ValueError(
                f"the outputs of the reference have the shapes {others}, wanted {shapes}, those of "
                "the function: return the same tensors that require a gradient, in the same order"
            )

    def values(self, arrays: Any) -> Any:
        """Return the values of the reference, nested as those of the function."""
        parts = leaves(self._exact.values(arrays)).values()
        return rebuild(self._result, dict(zip(leaves(self._result), parts, strict=True)))

    def vjp(self, arrays: Any, u: Any) -> Any:
        """Return the claim at the point; in long double, the claim less a bound of its rounding."""
        if all(array.dtype.itemsize <= 8 for array in leaves(arrays).values()):
            return self._at_point(u)
        key = b"".join(part.tobytes() for part in leaves(u).values())
        if key not in self._of_cotangent:
            kept, scale = self._rounded_cotangent(u)
            bound = self._rounding_bound(lambda f, point: f.vjp(point, kept), self._claimed.rounded)
            self._of_cotangent = {key: (self._at_point(u), _each(lambda b: scale * b, bound))}
        # moves of a few last places of float64, as the arrays have, would not show in the result
        return _each(
            lambda g, b: g.astype(np.longdouble) - b.astype(np.longdouble),
            *self._of_cotangent[key],
        )

    def _rounded_cotangent(self, u: Any) -> tuple[Any, float]:
        """Return what a dtype keeps of a cotangent, and by what it was divided before."""
        scale = 1.0
        if np.finfo(np.float16).eps <= self._claimed.eps:
            largest = max(float(np.abs(part).max(initial=0)) for part in leaves(u).values())
            if largest > LARGEST_FLOAT16:
                scale = 2.0 ** np.ceil(np.log2(largest / LARGEST_FLOAT16))
        return self._claimed.rounded_cotangent(_each(lambda part: part / scale, u)), scale

    def _at_point(self, u: Any) -> Any:
        """Return the claim for a cotangent that its dtype may not have.

        The rest of the cotangent, below a last place of it, goes through the reference. If the
        function changes the cotangent that it gets, which has the strides of u, u is changed.
        """
        kept, scale = self._rounded_cotangent(u)
        rest = _each(lambda part, kept: part / scale - kept, u, kept)
        handed = _each(laid_out_as, u, kept)
        claim = self._claimed.vjp(self._claimed.params, handed)
        for part, before, after in zip(
            *(leaves(v).values() for v in (u, kept, handed)), strict=True
        ):
            if not np.array_equal(before, after, equal_nan=True):
                part[...] = after
        if any(part.any() for part in leaves(rest).values()):
            claim = _each(np.add, claim, self._exact.vjp(self._exact.params, rest))
        return _each(lambda g: (g * scale).astype(g.dtype), claim)

    def _beside(self, rng: np.random.Generator) -> Any:
        """Return a point within a last place of the dtype of the claim."""
        eps = self._claimed.eps
        return self._claimed.rounded(
            _each(
                lambda a: (a * (1 + eps * rng.integers(-1, 2, a.shape))).astype(a.dtype),
                self._claimed.params,
            )
        )

    def _rounding_bound(
        self, compute: Callable[[Differentiable, Any], Any], rounded: Callable[[Any], Any]
    ) -> Any:
        """Return a bound of what rounding does to what is computed of the function, by entry.

        It is the largest one of what `rounded` does to the exact result, and of what the function
        and its reference round in one dtype. A mistake of the function is the same at all points,
        so that it is no part of their spread.
        """
        exact = [compute(self._exact, _widened(point)) for point in self._points]

        def bound(function: Differentiable, spread: Callable[[FloatArray], FloatArray]) -> Any:
            narrow = [compute(function, point) for point in self._points]
            errors = [_each(np.subtract, *pair) for pair in zip(narrow, exact, strict=True)]
            return _each(lambda *parts: SIGMAS * spread(np.stack(parts)), *errors)

        bounds = [
            _each(lambda a, b: np.abs(a - b), exact[0], rounded(exact[0])),
            bound(self._claimed, lambda errors: np.std(errors, axis=0, ddof=1)),
        ]
        if self._rounding is not None:
            bounds.append(bound(self._rounding, lambda e: np.sqrt(np.square(e).mean(axis=0))))
        return _each(lambda *parts: np.fmax.reduce(parts), *bounds)

    def compared_values(self, rtol: float) -> dict[str, ArrayReport]:
        """Compare the function's values with those of the reference."""
        exact = self.values(_widened(self._claimed.params))
        rounding = self._rounding_bound(
            lambda function, point: function.values(point), self._claimed.rounded_cotangent
        )
        parts = zip(
            leaves({"output": self._result}).items(),
            leaves(exact).values(),
            leaves(rounding).values(),
            strict=True,
        )
        return {
            path: ArrayReport.judged(path, value, n, np.zeros(n.shape), Rule(rtol), b)
            for (path, value), n, b in parts
        }


def _widened(arrays: Any) -> Any:
    """Return arrays in float64 or complex128."""
    return _each(lambda array: array.astype(np.result_type(array.dtype, np.float64)), arrays)


def _each(function: Callable[..., Any], first: Any, *others: Any) -> Any:
    """Return a nesting of function(a, b, ...) for arrays of nestings, which are in one order."""
    parts: Mapping[str, FloatArray] = leaves(first)
    columns = zip(parts.values(), *(leaves(other).values() for other in others), strict=True)
    values = (function(*map(np.asarray, column)) for column in columns)
    return rebuild(first, dict(zip(parts, values, strict=True)))
