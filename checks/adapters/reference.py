"""A function in low precision, judged by a reference that is evaluated in float64."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Protocol

import numpy as np

from checks._types import FloatArray
from checks.evaluation.control_flow import is_control_flow
from checks.evaluation.stacked import StackedFunction
from checks.jacobian import check_vjp
from checks.parameters.layouts import laid_out_as
from checks.parameters.nesting import leaves, rebuild
from checks.report.array_report import ArrayReport
from checks.report.report import Diagnosis, Report
from checks.report.verdict import LAST_PLACES, Rule, Verdict

__all__ = ["COARSEST", "Differentiable", "as_float64", "check_by_reference"]

# Rounding is measured at SAMPLES points: the given one, and others within a last place of it. Its
# bound is SIGMAS standard deviations, and the rule of the verdict doubles that. An error d of a
# single point has the standard deviation d/√32, and so, as 6 > √32, it counts as rounding.
SAMPLES, SIGMAS = 32, 3.0
# How accurate 16-bit claims must be, in last places: a few operations in a row, each rounded. What
# cancellation loses besides is measured.
PLACES = 4.0
# Functions of 32 bits may compute with fewer digits inside: COARSEST is bfloat16. Those do not see
# moves by a last place of 32 bits, as is tried at TRIED points.
COARSEST, TRIED = 2.0**-7, 3
FEWER_DIGITS = (
    "The function computes with fewer digits than its dtype has, as in TF32 or bfloat16 inside: "
    "its values round as numbers with a spacing of {:.0e} at 1. By default it owes rtol {:.0e}."
)
ROUNDED_VALUES = (
    "the values differ from those of the reference by no more than their own rounding explains: "
    "check at another point, or in a wider dtype."
)
RANDOM_VALUES = (
    "two calls at one point return other values: switch dropout off, or let the function set its "
    "own seed."
)
LARGEST_FLOAT16 = 8.0  # larger cotangents are scaled down, since float16 ends at 65,504


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
        Default for 16 bits: four last places. So for a function of 32 bits that computes with
        fewer digits inside.
    **options
        As of `check_vjp`.
    """
    pair = _Pair(claimed, exact, rounding)
    if rtol is None:
        narrow = pair.eps > np.finfo(np.float32).eps
        rtol = PLACES * pair.eps if narrow else float(np.sqrt(pair.eps))
    outputs = pair.compared_values(rtol)
    values: Any = pair.values
    if hasattr(exact, "values_at_points"):
        values = StackedFunction(pair.values, pair.values_at_points, np.float64, keeps_nothing=True)
    report = check_vjp(values, pair.vjp, as_float64(claimed.params), rtol=rtol, **options)
    report = replace(report, arrays={**outputs, **report.arrays})
    if pair.eps > claimed.eps:
        finding = FEWER_DIGITS.format(pair.eps, rtol)
        report = replace(report, findings=(finding, *report.findings))
    wrong = [array for array in outputs.values() if array.verdict is Verdict.MISMATCH]
    if wrong:
        text = f"The values are wrong before any gradient is. {wrong[0].worst}, by {whose}."
        report = replace(report, diagnosis=(Diagnosis("values", text), *report.diagnosis))
    return report


class _Renested:
    """A reference whose outputs are nested as those of the function.

    They are taken by their names if these are the same, else in order.
    """

    def __init__(self, reference: Differentiable, result: Any) -> None:
        self._reference, self.params, self._result = reference, reference.params, result
        self._own = reference.values(reference.params)
        wanted, found = leaves(result), leaves(self._own)
        names = wanted if wanted.keys() == found.keys() else found
        if [a.shape for a in wanted.values()] != [found[name].shape for name in names]:
            raise ValueError(
                f"the outputs of the reference have the shapes {_shapes(found)}, wanted "
                f"{_shapes(wanted)}, those of the function: return the same tensors that require a "
                "gradient, in the same order"
            )
        self._names = dict(zip(names, wanted, strict=True))  # reference's name: function's name

    def values(self, arrays: Any) -> Any:
        return self._renested(self._reference.values(arrays))

    def values_at_points(self, points: Any) -> Any:
        reference: Any = self._reference
        return self._renested(reference.values_at_points(points))

    def _renested(self, values: Any) -> Any:
        found = leaves(values)
        return rebuild(self._result, {self._names[name]: part for name, part in found.items()})

    def vjp(self, arrays: Any, u: Any) -> Any:
        given = leaves(u)
        nested = rebuild(self._own, {own: given[name] for own, name in self._names.items()})
        return self._reference.vjp(arrays, nested)


def _shapes(arrays: Mapping[str, FloatArray]) -> str:
    return "[" + ", ".join(str(array.shape) for array in arrays.values()) + "]"


class _Pair:
    """The values of a reference in float64, with the gradients of the function itself.

    Attributes
    ----------
    eps : float
        The spacing of numbers at 1 in the dtype of the function, or in what it computes in inside.
    """

    def __init__(
        self, claimed: Differentiable, exact: Differentiable, rounding: Differentiable | None
    ) -> None:
        self._claimed, self._result = claimed, claimed.values(claimed.params)
        self._exact = _Renested(exact, self._result)
        self._rounding = rounding and _Renested(rounding, self._result)
        self.eps = claimed.eps
        self._points = self._around(self.eps)
        if self.eps <= np.finfo(np.float32).eps and self._overlooks_moves():
            self._points = self._around(COARSEST)
            self.eps = max(self.eps, min(COARSEST, self._coarseness()))
        self._of_cotangent: dict[Any, tuple[Any, Any]] = {}

    def values(self, arrays: Any) -> Any:
        """Return the values of the reference, nested as those of the function."""
        return self._exact.values(arrays)

    def values_at_points(self, points: Any) -> Any:
        """Return what `values` does of many points, along a leading axis."""
        return self._exact.values_at_points(points)

    def vjp(self, arrays: Any, u: Any) -> Any:
        """Return the claim at the point; in long double, the claim less a bound of its rounding."""
        if all(array.dtype.itemsize <= 8 for array in leaves(arrays).values()):
            return self._at_point(u)
        key = tuple((part.tobytes(), part.strides) for part in leaves(u).values())
        if key not in self._of_cotangent:
            kept, scale = self._rounded_cotangent(u)
            rng = np.random.default_rng(0)
            # terms that cancel for u do not for random signs of it
            flipped = _each(lambda part: part * rng.choice((-1, 1), part.shape), kept)
            bound = self._rounding_bound(
                lambda f, point: f.vjp(point, _each(laid_out_as, u, kept)),
                self._claimed.rounded,
                self._exact.vjp(self._exact.params, flipped),
            )
            self._of_cotangent = {key: (self._at_point(u), _each(lambda b: scale * b, bound))}
        # arrays moved by a few last places of float64 give the same result: they are not read
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
        """Return the claim for a cotangent that the claim's dtype may not hold.

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

    def _around(self, eps: float) -> list[Any]:
        """Return the given point, and others where each number is up to eps of itself away."""
        points = [self._claimed.params]
        for k in range(1, SAMPLES):
            rng = np.random.default_rng(k)

            def moved(a: Any, rng: np.random.Generator = rng) -> Any:
                return (a * (1 + eps * rng.integers(-1, 2, a.shape))).astype(a.dtype)

            points.append(self._claimed.rounded(_each(moved, self._claimed.params)))
        return points

    def _overlooks_moves(self) -> bool:
        """Whether most values stay the same where the exact ones change by half a last place."""
        points, stays = self._points[: 1 + TRIED], []
        at, *exact = (leaves(self.values(as_float64(point))) for point in points)
        for point, moved in zip(points[1:], exact, strict=True):
            narrow = leaves(self._claimed.values(point))
            for path, value in leaves(self._result).items():
                shows = np.abs(moved[path] - at[path]) >= self.eps / 2 * np.abs(at[path])
                stays.append((narrow[path] == value)[shows & (at[path] != 0)])
        return bool(np.mean(np.concatenate(stays)) > 0.5) if any(map(np.size, stays)) else False

    def _coarseness(self) -> float:
        """Return the spacing of numbers at 1 that errors of the values look like.

        It is eight times their standard deviation, in parts of the largest value of each output.
        """
        found = 0.0
        errors = [
            leaves(_each(np.subtract, self._claimed.values(point), self.values(as_float64(point))))
            for point in self._points
        ]
        for path, value in leaves(self._result).items():
            deviation = np.std([error[path] for error in errors], axis=0, ddof=1)
            largest = np.abs(value).max(initial=0)
            found = max(found, float(8 * deviation.max(initial=0) / largest) if largest else 0.0)
        return found

    def _rounding_bound(
        self, compute: Callable[[Any, Any], Any], rounded: Callable[[Any], Any], alike: Any
    ) -> Any:
        """Return a bound of what rounding does to what is computed of the function, by entry.

        `alike` is the exact result of another computation with terms of the same sizes.

        It is the largest one of

        - what `rounded` does to the exact result,
        - the spread of the function's errors over `_points`, of which a mistake is no part, as it
          is the same at all of them, and the errors of the reference in the function's dtype,
        - what is lost at all of these points alike, as x in 1 + x: that is the difference to the
          function in float64, as far as a few last places of the largest terms explain it.
        """
        exact = [compute(self._exact, as_float64(point)) for point in self._points]
        narrow = [compute(self._claimed, point) for point in self._points]
        bounds = [
            _each(lambda a, b: np.abs(a - b), exact[0], rounded(exact[0])),
            self._lost(
                compute, narrow[0], _each(np.fmax, *(_each(np.abs, r) for r in (exact[0], alike)))
            ),
            _spread(lambda errors: np.std(errors, axis=0, ddof=1), narrow, exact),
        ]
        if self._rounding is not None:
            reference = [compute(self._rounding, point) for point in self._points]
            bounds.append(_spread(lambda e: np.sqrt((e**2).mean(axis=0)), reference, exact))
        return _each(lambda *parts: np.fmax.reduce(parts), *bounds)

    def _lost(self, compute: Callable[[Differentiable, Any], Any], narrow: Any, sizes: Any) -> Any:
        """Return what rounding may have lost of each entry at all points alike."""
        finite = (part.max(where=np.isfinite(part), initial=0) for part in leaves(sizes).values())
        largest = float(max(finite))
        eps = self.eps
        least = LAST_PLACES / 2 * min(eps, float(np.finfo(np.float32).eps)) * largest
        most = max(PLACES * eps * largest, least)
        try:
            wide = compute(self._claimed, as_float64(self._claimed.params))
        except Exception as error:  # many kernels take narrow dtypes alone
            if is_control_flow(error):
                raise
            return _each(lambda part: np.full(part.shape, most), sizes)
        return _each(lambda a, b: np.clip(np.abs(a - b), least, most), narrow, wide)

    def compared_values(self, rtol: float) -> dict[str, ArrayReport]:
        """Compare the function's values with those of the reference."""
        exact = self.values(as_float64(self._claimed.params))
        rounding = self._rounding_bound(
            lambda function, point: function.values(point), self._claimed.rounded_cotangent, exact
        )
        parts = zip(
            leaves({"output": self._result}).items(),
            leaves(exact).values(),
            leaves(rounding).values(),
            strict=True,
        )
        arrays = {
            path: ArrayReport.judged(path, value, n, np.zeros(n.shape), Rule(rtol), b)
            for (path, value), n, b in parts
        }
        again = leaves({"output": self._claimed.values(self._claimed.params)})
        for path, array in arrays.items():
            if array.verdict is Verdict.UNRESOLVED:
                repeats = np.array_equal(array.claimed, again[path], equal_nan=True)
                arrays[path] = replace(array, reason=ROUNDED_VALUES if repeats else RANDOM_VALUES)
        return arrays


def as_float64(arrays: Any) -> Any:
    """Return arrays in float64 or complex128."""
    return _each(lambda array: array.astype(np.result_type(array.dtype, np.float64)), arrays)


def _each(function: Callable[..., Any], first: Any, *others: Any) -> Any:
    """Return a nesting of function(a, b, ...) for arrays of nestings, which are in one order."""
    parts: Mapping[str, FloatArray] = leaves(first)
    columns = zip(parts.values(), *(leaves(other).values() for other in others), strict=True)
    values = (function(*map(np.asarray, column)) for column in columns)
    return rebuild(first, dict(zip(parts, values, strict=True)))


def _spread(
    measure: Callable[[FloatArray], FloatArray], narrow: list[Any], exact: list[Any]
) -> Any:
    """Return SIGMAS times a measure of the errors in nestings, which lie along its first axis."""
    errors = [_each(np.subtract, *pair) for pair in zip(narrow, exact, strict=True)]
    return _each(lambda *parts: SIGMAS * measure(np.stack(parts)), *errors)
