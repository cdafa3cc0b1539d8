"""Nested dicts of leaves by their keys, so that paths read as the model's own do."""

from collections.abc import Hashable, Iterable, Sequence
from functools import reduce
from operator import getitem
from typing import Any

__all__ = ["leaf_at", "nest"]


def nest(leaves: Iterable[tuple[Sequence[Hashable], Any]]) -> Any:
    """Return nested dicts of leaves by their keys, so that paths read as the model's own do."""
    root: dict[Hashable, Any] = {}
    for keys, leaf in leaves:
        if not keys:
            return leaf  # the only one
        node = root
        for key in keys[:-1]:
            node = node.setdefault(key, {})
        node[keys[-1]] = leaf
    return root


def leaf_at(nested: Any, keys: Sequence[Hashable]) -> Any:
    """Return the leaf of a nesting from `nest` under its keys."""
    return reduce(getitem, keys, nested)
