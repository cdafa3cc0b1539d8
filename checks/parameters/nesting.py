"""Nested parameters: the paths to their leaves, the same nesting around others, and as it was."""

import copy
import dataclasses
from collections.abc import Callable, Mapping
from functools import cache, cached_property
from operator import itemgetter
from typing import Any

import numpy as np

__all__ = ["Nesting", "children", "leaves", "path_name", "rebuild"]


class Nesting:
    """What containers hold, however deep: lists, tuples, named tuples, dicts and dataclasses.

    Parameters
    ----------
    params
    path
        Where they lie in something larger.

    Attributes
    ----------
    params
    leaves : dict of str to object
        What is no container, whatever it is, by path (see `path_name`), in order.
    """

    def __init__(self, params: Any, path: str = "") -> None:
        self.params = params
        self.leaves: dict[str, Any] = {}
        self._held: list[tuple[Any, str, list[tuple[str, Any]], list[Any]]] = []
        self._around = self._visit(params, path)

    def _visit(self, node: Any, path: str) -> Callable[[Mapping[str, Any]], Any]:
        """Note a node and all below; return how to make its like around other leaves."""
        inside = children(node)
        if inside is None:
            name = path_name(path)
            self.leaves[name] = node
            return itemgetter(name)
        # in a tuple that is no more than one nothing can be replaced
        if dataclasses.is_dataclass(node) or not isinstance(node, tuple):
            keys = list(node) if isinstance(node, Mapping) else []
            self._held.append((node, path, inside, keys))
        parts = [self._visit(part, path + step) for step, part in inside]
        return lambda arrays: _like(node, inside, [part(arrays) for part in parts])

    def rebuild(self, arrays: Mapping[str, Any]) -> Any:
        """Return the same nesting around other leaves, by path, in containers of its types."""
        return self._around(arrays)

    def restore(self) -> str:
        """Put back what was replaced, added or removed; return the path of the first such part."""
        changed = ""
        for node, path, inside, keys in self._held:
            kept = children(node) or []
            if len(kept) == len(inside) and all(
                step == other and part is same
                for (step, part), (other, same) in zip(kept, inside, strict=True)
            ):
                continue
            now, then = dict(kept), dict(inside)
            steps = [step for step in {**then, **now} if now.get(step, self) is not then.get(step)]
            changed = changed or path_name(path + next(iter(steps), ""))  # none if only reordered
            parts = [part for _, part in inside]
            if dataclasses.is_dataclass(node):
                for step, part in inside:
                    object.__setattr__(node, step[1:], part)
            elif isinstance(node, Mapping):
                node.clear()  # type: ignore[attr-defined]  # it was changed, so it is mutable
                node.update(zip(keys, parts, strict=True))  # type: ignore[attr-defined]
            else:
                node[:] = parts
        return changed


def _like(node: Any, inside: list[tuple[str, Any]], parts: list[Any]) -> Any:
    """Return a container like a node, of other parts."""
    if dataclasses.is_dataclass(node):
        twin = copy.copy(node)  # not by its constructor, which may cast or refuse
        for name in _kept(node.__class__):
            getattr(twin, "__dict__", {}).pop(name, None)  # what it kept was of other arrays
        for (step, _), part in zip(inside, parts, strict=True):
            object.__setattr__(twin, step[1:], part)
        return twin
    if isinstance(node, tuple) and hasattr(node, "_fields"):
        return type(node)(*parts)
    if isinstance(node, Mapping):
        return dict(zip(node, parts, strict=True))
    return type(node)(parts)


@cache
def _kept(kind: type) -> list[str]:
    """Return the names of a class's cached properties."""
    members = (item for base in kind.__mro__ for item in vars(base).items())
    return [name for name, member in members if isinstance(member, cached_property)]


def leaves(params: Any) -> dict[str, Any]:
    """Return the leaves of a nesting, whatever they are, by their paths."""
    return Nesting(params).leaves


def rebuild(params: Any, arrays: Mapping[str, Any]) -> Any:
    """Return the nesting of `params` around other leaves, by path, in containers of its types."""
    return Nesting(params).rebuild(arrays)


def children(node: Any) -> list[tuple[str, Any]] | None:
    """Return the parts of a container as (path step, part), or None for a leaf."""
    if isinstance(node, np.ndarray):
        return None
    if dataclasses.is_dataclass(node) and not isinstance(node, type):
        return [(f".{f.name}", getattr(node, f.name)) for f in dataclasses.fields(node)]
    if isinstance(node, tuple) and hasattr(node, "_fields"):
        return [(f".{name}", part) for name, part in zip(node._fields, node, strict=True)]
    if isinstance(node, Mapping):
        return [(_key_step(key), part) for key, part in node.items()]
    if isinstance(node, (list, tuple)):
        return [(f"[{i}]", part) for i, part in enumerate(node)]
    return None


def _key_step(key: object) -> str:
    return f".{key}" if isinstance(key, str) and key.isidentifier() else f"[{key!r}]"


def path_name(path: str) -> str:
    """Return the name of a path from the top: ``weights[1]``, or ``params[0]``."""
    return path[1:] if path.startswith(".") else "params" + path
