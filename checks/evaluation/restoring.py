"""The base class that restores the parameters after calls of the caller's functions."""

import contextlib
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from checks.parameters.claims import entry_name
from checks.parameters.nesting import Nesting

__all__ = ["RestoresParameters", "restore_arrays"]


def restore_arrays(arrays: Mapping[str, Any], saved: Mapping[str, Any]) -> str:
    """Give arrays their saved values again, bit for bit; return the first entry that differed."""
    changed = ""
    for path, array in arrays.items():
        before = saved[path]
        if array.tobytes() == before.tobytes():
            continue
        differs = (array != before) | (np.signbit(array) != np.signbit(before))  # -0.0 is not 0.0
        if differs.any():
            index = tuple(int(i) for i in np.argwhere(differs)[0])
            change = f"{entry_name(path, index)} from {before[index]} to {array[index]}"
            changed = changed or change
        array[...] = before  # also where only bytes differ that hold no value, as of long doubles
    return changed


class RestoresParameters(ABC):
    """Restores the parameters bit for bit, and refuses functions that change them.

    Parameters
    ----------
    params
        The caller's nested arrays.

    Attributes
    ----------
    nesting : Nesting
        The nesting of the parameters.
    count : int
        Calls of the cost so far.
    in_place : bool
        The caller's own arrays are moved, all of them.
    changed_by_cost : str
        Where the cost was first seen to change its argument; empty if it was not.
    """

    in_place: bool

    def __init__(self, params: Any) -> None:
        self.nesting = Nesting(params)
        self.count = 0
        self.changed_by_cost = ""

    @abstractmethod
    def _restore_arrays(self) -> str:
        """Restore the values of all arrays; return the first array or entry that had changed."""

    def restore(self) -> str:
        """Restore containers and arrays; return what had changed first, or an empty string."""
        replaced = self.nesting.restore()
        changed = self._restore_arrays()
        return f"{replaced} is replaced" if replaced else changed

    def unchanged(self, who: str) -> "_Unchanged":
        """Restore the parameters at the end, and refuse a function that has left them changed."""
        return _Unchanged(self, who)

    @contextlib.contextmanager
    def restoring_parameters(self) -> Iterator[None]:
        """Hide the warnings of moved costs, and restore the parameters at the end."""
        with self.unchanged("cost"), _quiet():
            yield

    @contextlib.contextmanager
    def handing_back(self, cost: Callable[[Any], Any], claim: Any = None) -> Iterator[None]:
        """Call the cost once more at the end, with the caller's own parameters.

        A function may keep what it is called with, as in ``net.W = p["W"]``, and what it computes
        from that. Without this call the caller's object would hold our copies after a check, which
        may be complex, moved, or wider. What the call raises is ignored; so is what it returns.

        A claim is called with copies only while its rounding is measured, and where arrays cannot
        be moved in place. In the second case, a claim that is a function is called at the end, too.
        """
        self.count += 1  # counts the call at the end now, because the report is made before it
        try:
            yield
        finally:
            for function in (cost,) if self.in_place or not callable(claim) else (claim, cost):
                self.restore()
                with _quiet(), contextlib.suppress(Exception):
                    function(self.nesting.params)
            self.restore()


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


class _Unchanged:
    """What `RestoresParameters.unchanged` returns: a class, as it is entered around many calls."""

    def __init__(self, point: RestoresParameters, who: str) -> None:
        self._point, self._who = point, who

    def __enter__(self) -> None:
        pass

    def __exit__(self, raised: type[BaseException] | None, *_: Any) -> None:
        try:
            changed = self._point.restore()
        except KeyboardInterrupt:  # Ctrl-C came while restoring: finish that first
            self._point.restore()
            raise
        changed = changed or self._point.changed_by_cost
        if changed and not raised:
            raise ValueError(
                f"{self._who} changes its argument ({changed}); the parameters were restored: let "
                "it work on copies of what it assigns to"
            )
