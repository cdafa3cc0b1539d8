"""Nested containers whose leaves a report names as the model or the function does."""

import dataclasses
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from functools import cache, reduce
from operator import getitem
from typing import Any

__all__ = ["keyed_leaves", "leaf_at", "nest"]


def keyed_leaves(
    node: Any, keys: tuple[Hashable, ...] = ()
) -> Iterator[tuple[tuple[Hashable, ...], Any]]:
    """Yield everything in nested containers that is no container, after its sequence of keys.

    Containers are those of `checks.parameters.nesting`, and the order is the same.
    """
    parts: Iterable[tuple[Hashable, Any]]
    if not _is_container(node.__class__):
        yield keys, node
        return
    if dataclasses.is_dataclass(node):
        parts = [(field.name, getattr(node, field.name)) for field in dataclasses.fields(node)]
    elif isinstance(node, tuple) and hasattr(node, "_fields"):
        parts = zip(node._fields, node, strict=True)
    elif isinstance(node, Mapping):
        parts = node.items()
    else:
        parts = enumerate(node)
    for key, part in parts:
        yield from keyed_leaves(part, (*keys, key))


@cache
def _is_container(kind: type) -> bool:
    return dataclasses.is_dataclass(kind) or issubclass(kind, (list, tuple, Mapping))


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
