"""Parameters in nested dicts, so that a report names them as the model does."""

from collections.abc import Hashable, Iterable, Sequence
from functools import reduce
from operator import getitem
from typing import Any

__all__ = ["leaf_at", "nest"]


def nest(leaves: Iterable[tuple[Sequence[Hashable], Any]]) -> Any:
    """Return nested dicts of the leaves, each under its sequence of keys."""
    root: dict[Hashable, Any] = {}
    for keys, leaf in leaves:
        if not keys:
            return leaf  # a bare array has no keys: it is the only leaf
        node = root
        for key in keys[:-1]:
            node = node.setdefault(key, {})
        node[keys[-1]] = leaf
    return root


def leaf_at(nested: Any, keys: Sequence[Hashable]) -> Any:
    """Return the leaf that `nest` has put under `keys`."""
    return reduce(getitem, keys, nested)
