"""Arrays of which every operation rounds at random: Parker, "Monte Carlo arithmetic" (1997)."""

from functools import reduce
from typing import Any

import numpy as np

from checks.estimation.narrowing import converted
from checks.evaluation.step_sizes import random_signs

__all__ = ["Operations", "RandomRounding", "TooManyOperations"]

# Ufuncs whose results are exact, or one of their arguments.
EXACT = {
    *(np.negative, np.positive, np.absolute, np.fabs, np.sign, np.conjugate, np.copysign),
    *(np.maximum, np.minimum, np.fmax, np.fmin, np.floor, np.ceil, np.trunc, np.rint),
    *(np.fmod, np.remainder, np.floor_divide, np.divmod, np.modf),
    *(np.ldexp, np.frexp, np.nextafter, np.spacing),
}
# Their results are exact where a wider dtype finds the same. Those of other ufuncs are exact only
# where all arguments are 0: cos(1e-30) is 1 in every dtype.
ALGEBRAIC = {np.multiply, np.divide, np.square, np.sqrt, np.reciprocal, np.power, np.float_power}
# The place of a divisor, or of what has a negative power, among the arguments: if it has no digits,
# the result may be of any size. Other functions of an argument without digits have none where it
# changes by more than 1; these are linear where it does not.
DIVISORS = {np.divide: 1, np.reciprocal: 0, np.power: 0, np.float_power: 0}
LINEAR = {np.add, np.subtract, np.multiply, np.square, np.sqrt}
# An argument that changes by more than this part of itself has no digits. Of so many numbers, the
# arguments are compared.
NO_DIGITS, COMPARED = 1 / 4, 2**12
# Functions that add products without ufuncs. Their terms may cancel, so that the sum of absolute
# values tells how they round.
SUMS = {np.dot, np.inner, np.vdot, np.einsum, np.cumsum}


class TooManyOperations(BaseException):
    """A function takes more operations than it should: rounded at random, a loop may never end.

    A BaseException, so that no function goes on with its loop.
    """


class Operations:
    """The operations of a call: how many there were, and how they round.

    Parameters
    ----------
    seed : int, optional
        Draws by how much results change. Default: they do not, and are only counted.
    most : int, optional
        One operation more raises `TooManyOperations`.
    exact : Operations, optional
        Those of the same call without changes.

    Attributes
    ----------
    count : int
    lost : bool
        Some function that is not linear had an argument without digits: it differs by a part of
        itself from that of the `exact` call.
    seed : int or None
        As given.
    """

    def __init__(
        self, seed: int | None = None, most: int | None = None, exact: "Operations | None" = None
    ) -> None:
        self.count, self.seed, self._most = 0, seed, most
        self._rng = None if seed is None else np.random.default_rng(seed)
        self._exact, self.lost = exact, False
        self._arguments: dict[int, Any] = {}  # by the count of their operation

    def follow(self, array: Any) -> Any:
        """Return an array, or a number of numpy, as one whose operations belong to these."""
        if not isinstance(array, (np.ndarray, np.generic)):
            return array
        followed = np.asarray(array).view(RandomRounding)
        followed.operations = self
        return followed

    def follow_floats(self, array: Any) -> Any:
        """Return an array of floats or complex numbers as `follow` does, and others as they are."""
        return self.follow(array) if array.dtype.kind in "fc" else array

    def count_one(self) -> None:
        """Count an operation, and stop the function if there are too many."""
        self.count += 1
        if self._most is not None and self.count > self._most:
            raise TooManyOperations

    def compare(self, ufunc: Any, inputs: Any) -> None:
        """Keep the argument of a ufunc, or compare it with that of the exact call."""
        if ufunc in LINEAR or ufunc in EXACT or not (len(inputs) == 1 or ufunc in DIVISORS):
            return
        argument = np.asarray(inputs[DIVISORS.get(ufunc, 0)])
        if ufunc in (np.power, np.float_power) and not np.less(inputs[1], 0).any():
            return
        if argument.dtype.kind not in "fc" or argument.size > COMPARED:
            return
        if self._exact is None:
            self._arguments[self.count] = argument.copy()
            return
        before = self._exact._arguments.get(self.count, argument)
        if before.shape == argument.shape:
            change = np.abs(argument - before)
            least = 0.0 if ufunc in DIVISORS else 1.0
            self.lost |= bool((change > np.maximum(NO_DIGITS * np.abs(before), least)).any())

    def rounded(self, result: Any, inexact: Any = True, size: Any = None) -> Any:
        """Return a result with its inexact numbers changed by half to two last places of `size`.

        `inexact` has the shape of `_parts` of the result. Without `size`, it is the result itself.
        """
        array = np.asarray(result)
        if self._rng is None or array.dtype.kind not in "fc":
            return result
        parts = _parts(array)
        size = parts if size is None else _parts(np.asarray(size, array.dtype))
        # at least half a last place, which is the most that an operation rounds by, and so unequal
        # that the changes of a few operations hardly ever cancel
        drawn = self._rng.uniform(0.5, 1, parts.shape) * random_signs(parts.shape, self._rng)
        change = np.finfo(array.dtype).eps * drawn.astype(parts.dtype) * size
        # an infinity is exact, as that of exp(∞) where a threshold is infinite
        return (parts + np.where(inexact & np.isfinite(change), change, 0)).view(array.dtype)[
            ..., 0
        ]


class RandomRounding(np.ndarray[Any, Any]):
    """An array whose `operations` are counted, and round at random."""

    operations: Operations

    def __array_finalize__(self, other: Any) -> None:
        self.operations = getattr(other, "operations", None) or Operations()

    def __array_function__(self, function: Any, types: Any, args: Any, kwargs: Any) -> Any:
        operations = self.operations
        if function not in SUMS and function.__module__ != "numpy.linalg":
            result = super().__array_function__(function, types, args, kwargs)
            return converted(result, operations.follow_floats)  # np.diag makes a plain array
        operations.count_one()
        args, kwargs = converted(args, np.asarray), converted(kwargs, np.asarray)
        size = function(*converted(args, _sizes), **kwargs) if function in SUMS else None
        result = function(*args, **kwargs)
        return converted(result, lambda a: operations.follow(operations.rounded(a, size=size)))

    def __array_ufunc__(
        self, ufunc: Any, method: str, *inputs: Any, out: Any = (), **kwargs: Any
    ) -> Any:
        operations, size, inexact = self.operations, None, True
        operations.count_one()
        inputs, kwargs = converted(inputs, np.asarray), converted(kwargs, np.asarray)
        if method == "__call__":
            operations.compare(ufunc, inputs)
        result = getattr(ufunc, method)(*inputs, **kwargs)
        if ufunc is np.matmul or (ufunc is np.add and method == "reduce"):
            size = getattr(ufunc, method)(*converted(inputs, _sizes), **kwargs)
        elif method == "__call__" and ufunc.signature is None:
            inexact = _inexact(ufunc, inputs, result)
        if ufunc not in EXACT:
            result = converted(result, lambda array: operations.rounded(array, inexact, size))
        if not out:
            return converted(result, operations.follow)
        for given, found in zip(out, result if len(out) > 1 else (result,), strict=True):
            np.asarray(given)[...] = found
        return out if len(out) > 1 else out[0]


def _inexact(ufunc: Any, inputs: Any, result: Any) -> Any:
    """Return where the result of an elementwise ufunc is not exact, for each of its `_parts`."""
    result = np.asarray(result[0] if isinstance(result, tuple) else result)
    if result.dtype.kind not in "fc":
        return False
    if ufunc in (np.add, np.subtract):
        # what a sum of two numbers loses to rounding (Knuth, TAOCP 2, theorem B of 4.2.2)
        a, b = (_parts(np.broadcast_to(x, result.shape).astype(result.dtype)) for x in inputs)
        b, total = (b if ufunc is np.add else -b), _parts(result)
        rest = total - a
        return (a - (total - rest)) + (b - rest) != 0
    if ufunc in ALGEBRAIC:
        return _parts(ufunc(*(_widened(x) for x in inputs))) != _parts(result)
    is_any = reduce(np.logical_or, (np.not_equal(x, 0) for x in inputs))
    return np.broadcast_to(is_any, result.shape)[..., None]


def _parts(array: Any) -> Any:
    """Return the real parts, and of a complex array also the imaginary ones, along a new axis."""
    return np.array(array, order="C")[..., None].view(array.real.dtype)


def _sizes(array: Any) -> Any:
    """Return the absolute values of the `_parts`."""
    return np.abs(_parts(array)).view(array.dtype)[..., 0]


def _widened(x: Any) -> Any:
    wide = {"f": np.longdouble, "c": np.clongdouble}.get(np.asarray(x).dtype.kind)
    return x if wide is None else np.asarray(x, wide)
