"""What a function returns, kept for several readers, by the values of its argument."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from checks.evaluation.groups import Groups
from checks.parameters.nesting import leaves

__all__ = ["ABOVE_HALF", "MAX_POINTS", "Key", "Memo"]

# The bytes of a long double that hold its value; on x86 the last 6 of 16 are arbitrary.
USED = 10 if np.finfo(np.longdouble).nmant == 63 else np.dtype(np.longdouble).itemsize
ABOVE_HALF = 1.5 * 2.0**-53  # 1 + this shows the rounding mode: up to nearest, down toward zero
MAX_POINTS = 2**12  # the most points that one call of a function of many points gets

Key = tuple[Any, ...]


class Memo:
    """What a function returns, kept by the values of its argument, for several readers.

    The k-th time that a reader asks for the same values, it gets what the k-th call of the function
    with these values returned. So readers share calls, and each of them still sees whether two
    calls differ.

    Parameters
    ----------
    function
        Takes nested arrays. What it returns must not be changed later.
    params
        The caller's own arrays, nested. A function that closes over these and ignores its argument
        returns something else if it is called with copies, whatever their values.
    at_points : callable, optional
        The function at many points, stacked along a leading axis of every array, in one call; it
        returns None where that does not work.

    Attributes
    ----------
    calls : int
        Of the function.
    stacks : Memo, optional
        What `at_points` returns.
    most : int
        The most points that it gets at once.
    lifts : bool
        Some of its results were found to lift, see `checks.estimation.precision.Lift`.
    groups : Groups, optional
        Moves many entries of an array in one call, where they move different results.
    widest
        The widest dtype that the function takes, as far as that is known beforehand.
    is_narrow : bool
        float32 holds all its results at the point.
    operations : int
        How many operations of numpy a call takes, once they have been counted.
    """

    widest: Any = np.longdouble
    groups: Groups | None = None

    def __init__(
        self,
        function: Callable[[Any], Any],
        params: Any,
        at_points: Callable[[Any], Any] | None = None,
    ) -> None:
        self.function = function
        self.stacks = Memo(at_points, params) if at_points is not None else None
        self.most = MAX_POINTS
        self._own = set(map(id, _arrays(params)))
        self._outcomes: dict[Key, list[Any]] = {}
        self.last: Key | None = None  # the key of the last call
        self.by_move: dict[Key, Any] = {}  # what was returned where a single entry was moved
        self.calls, self.lifts, self.is_narrow = 0, False, False
        self.operations = 0

    def read(self, params: Any, asked: dict[Key, int]) -> Any:
        """Return the function of `params`, or raise what it raised.

        Parameters
        ----------
        params
        asked
            How often this reader has asked for which values; it is counted on.
        """
        key = self.key(params)
        number = asked.get(key, 0)
        outcomes = self._outcomes.setdefault(key, [])
        while number >= len(outcomes):
            self.calls, self.last = self.calls + 1, key
            try:
                outcomes.append(self.function(params))
            except Exception as error:
                outcomes.append(error)
        asked[key] = number + 1
        if isinstance(outcomes[number], Exception):
            raise outcomes[number].with_traceback(None)
        return outcomes[number]

    def renew(self, params: Any) -> None:
        """Call the function with these values unless it was last, as it may keep its argument."""
        key = self.key(params)
        if key != self.last:
            self.calls, self.last = self.calls + 1, key
            self.function(params)

    def restart(self, params: Any, outcome: Any) -> None:
        """Drop all that is kept, and keep that a first call with `params` returned `outcome`."""
        self.by_move.clear()
        self._outcomes = {self.key(params): [outcome]}
        if self.stacks is not None:
            self.stacks._outcomes.clear()

    def key(self, params: Any) -> Key:
        """Return what the outcome depends on: the values, whose they are, and how is rounded."""
        arrays = _arrays(params)
        is_own = not self._own.isdisjoint(map(id, arrays))
        kinds = tuple(map(_kind, arrays))
        return (1.0 + ABOVE_HALF, is_own, kinds, *map(_contents, map(np.asarray, arrays)))

    def is_own(self, params: Any) -> bool:
        """Whether these are the caller's own arrays, not copies."""
        return not self._own.isdisjoint(map(id, _arrays(params)))

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_outcomes": {}, "by_move": {}}  # a worker starts without them


def _kind(array: Any) -> Any:
    """Return what tells arrays whose operations round in a way of their own from others.

    They are of a subclass, and those of `checks.estimation.random_rounding` have a seed.
    """
    if type(array) is np.ndarray:
        return None
    return type(array), getattr(getattr(array, "operations", None), "seed", None)


def _arrays(params: Any) -> list[Any]:
    if type(params) is np.ndarray:
        return [params]
    if type(params) is dict:  # without the names of its leaves
        return [array for part in params.values() for array in _arrays(part)]
    return list(leaves(params).values())


def _contents(array: NDArray[Any]) -> tuple[str, bytes]:
    if array.dtype.char not in "gG" or np.dtype(np.longdouble).itemsize == USED:
        return array.dtype.char, array.tobytes()
    raw = np.ascontiguousarray(array).reshape(-1).view(np.longdouble).view(np.uint8)
    return array.dtype.char, raw.reshape(-1, np.dtype(np.longdouble).itemsize)[:, :USED].tobytes()
