"""Wide arrays for functions that refuse their dtype, as np.linalg refuses long double."""

from collections.abc import Callable
from typing import Any

import numpy as np

from checks.estimation.wide_linalg import MOST, WIDE_LINALG

__all__ = ["Narrowing", "converted"]

NARROWER = {
    np.dtype(wide): np.dtype(narrow)
    for wide, narrow in (
        (np.float64, np.float32),
        (np.complex128, np.complex64),
        (np.longdouble, np.float64),
        (np.clongdouble, np.complex128),
    )
}
WIDER = {narrow: wide for wide, narrow in NARROWER.items()}


class Narrowing(np.ndarray[Any, Any]):
    """An array that is rounded to the next narrower dtype for functions that refuse its own.

    Functions of numpy, and ufuncs of other libraries, take it as they take any array. What they
    return of narrow arguments is made wide again, so that all other stages compute in the wide
    dtype. Some of np.linalg are computed in the wide dtype here, see `wide_linalg`.

    Attributes
    ----------
    narrowed : list
        The functions that got narrow arguments, of this array and of all that were made from it.
    """

    narrowed: list[Any]

    @classmethod
    def of(cls, array: Any, narrowed: list[Any] | None = None) -> "Narrowing":
        """Return an array as one of these, which adds to a list of functions."""
        view = np.asarray(array).view(cls)
        view.narrowed = [] if narrowed is None else narrowed
        return view

    def __array_finalize__(self, other: Any) -> None:
        self.narrowed = getattr(other, "narrowed", [])

    def __getitem__(self, index: Any) -> Any:
        """Return a part of the array, also a single number, as one of these."""
        part = super().__getitem__(index)
        return self._view(part) if isinstance(part, np.generic) else part

    def __array_function__(self, function: Any, types: Any, args: Any, kwargs: Any) -> Any:
        try:
            result = super().__array_function__(function, types, args, kwargs)
        except TypeError:
            if function not in WIDE_LINALG or max(np.shape(self)[-2:]) > MOST:
                return self._of_narrow(function, args, kwargs)
            plain = converted(args, np.asarray), converted(kwargs, np.asarray)
            result = WIDE_LINALG[function](*plain[0], **plain[1])
        return converted(result, self._view)

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **kwargs: Any) -> Any:
        function, options = getattr(ufunc, method), converted(kwargs, np.asarray)
        try:
            result = function(*converted(inputs, np.asarray), **options)
        except TypeError:
            return self._of_narrow(function, inputs, kwargs)
        return converted(result, self._view)

    def _of_narrow(self, function: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        """Call a function with narrow arguments, and return its results wide."""
        self.narrowed.append(function)
        result = function(*converted(args, _narrow), **converted(kwargs, _narrow))
        return converted(result, lambda array: self._view(_cast(array, WIDER)))

    def _view(self, array: Any) -> Any:
        return Narrowing.of(array, self.narrowed)


def _narrow(array: Any) -> Any:
    return _cast(np.asarray(array), NARROWER)


def _cast(array: Any, dtypes: Any) -> Any:
    return np.asarray(array, dtypes.get(array.dtype, array.dtype))


def converted(nested: Any, convert: Callable[[Any], Any]) -> Any:
    """Return arrays converted, and those in lists, tuples and dicts."""
    if isinstance(nested, (np.ndarray, np.generic)):
        return convert(nested)
    if isinstance(nested, dict):
        return {key: converted(value, convert) for key, value in nested.items()}
    if isinstance(nested, list | tuple):
        items = [converted(item, convert) for item in nested]
        # np.linalg returns named tuples
        return type(nested)(*items) if hasattr(nested, "_fields") else type(nested)(items)
    return nested
