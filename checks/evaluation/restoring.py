"""The base class that restores the parameters after calls of the caller's functions."""

import contextlib
import warnings
from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any

import numpy as np

from checks.parameters.nesting import Nesting

__all__ = ["RestoresParameters"]


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
    """

    def __init__(self, params: Any) -> None:
        self.nesting = Nesting(params)
        self._changed_by_cost = ""  # where the cost was first seen to change its argument

    @abstractmethod
    def _restore_arrays(self) -> str:
        """Restore the values of all arrays; return the first array or entry that had changed."""

    def restore(self) -> str:
        """Restore containers and arrays; return what had changed first, or an empty string."""
        replaced = self.nesting.restore()
        changed = self._restore_arrays()
        return f"{replaced} is replaced" if replaced else changed

    @contextlib.contextmanager
    def unchanged(self, who: str) -> Iterator[None]:
        """Restore the parameters at the end, and refuse a function that has left them changed."""
        try:
            yield
        finally:
            try:
                changed = self.restore()
            except KeyboardInterrupt:  # Ctrl-C came while restoring: finish that first
                self.restore()
                raise
        changed = changed or self._changed_by_cost
        if changed:
            raise ValueError(
                f"{who} changes its argument ({changed}); the parameters were restored: let it "
                "work on copies of what it assigns to"
            )

    @contextlib.contextmanager
    def restoring_parameters(self) -> Iterator[None]:
        """Hide the warnings of moved costs, and restore the parameters at the end."""
        with self.unchanged("cost"), np.errstate(all="ignore"), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
