"""Nested parameters: the paths to their arrays, and the same nesting around other arrays."""

import copy
import dataclasses
import re
from collections.abc import Callable, Iterable, Mapping
from functools import cache, cached_property
from operator import is_, itemgetter
from typing import Any, NamedTuple

import numpy as np

__all__ = [
    "Nesting",
    "Parts",
    "argument_name",
    "children",
    "key_step",
    "leaves",
    "named_x",
    "path_name",
    "rebuild",
]

Parts = list[tuple[str, Any]]  # (path step, part), as `children` returns them

DATACLASS, NAMED_TUPLE, TUPLE, LIST, MAPPING = (
    "dataclass",
    "named tuple",
    "tuple",
    "list",
    "mapping",
)


class _Container(NamedTuple):
    """A container, and the parts that it had when it was found."""

    node: Any
    path: str
    parts: Parts
    values: list[Any]  # of `parts`
    keys: list[Any]  # the keys of a dict; empty for any other container
    read: Callable[[], Iterable[Any]]  # the parts that it has now


class Nesting:
    """Nested lists, tuples, named tuples, dicts and dataclasses, and the leaves that they hold.

    Parameters
    ----------
    params
    path
        Where `params` stands in a larger nesting.

    Attributes
    ----------
    params
    leaves : dict of str to object
        Everything that is no container, by path (see `path_name`), in order.
    """

    def __init__(self, params: Any, path: str = "") -> None:
        self.params = params
        self.leaves: dict[str, Any] = {}
        self._mutable: list[_Container] = []
        self._builder = self._visit(params, path)

    def _visit(self, node: Any, path: str) -> Callable[[Mapping[str, Any]], Any]:
        """Record a node and all below it; return a function that rebuilds it with other leaves."""
        parts = children(node)
        if parts is None:
            name = path_name(path)
            self.leaves[name] = node
            if isinstance(node, np.ndarray) and type(node) is not np.ndarray:
                return lambda arrays: _in_subclass(node, arrays[name])
            return itemgetter(name)
        if _kind(node.__class__) not in (NAMED_TUPLE, TUPLE):  # no part of a tuple can be replaced
            keys = list(node) if isinstance(node, Mapping) else []
            values, read = [part for _, part in parts], _reader(node)
            self._mutable.append(_Container(node, path, parts, values, keys, read))
        builders = [self._visit(part, path + step) for step, part in parts]
        if _kind(node.__class__) == MAPPING:
            by_key = dict(zip(node, builders, strict=True))
            return lambda arrays: {key: build(arrays) for key, build in by_key.items()}
        return lambda arrays: _like(node, parts, [build(arrays) for build in builders])

    def rebuild(self, arrays: Mapping[str, Any]) -> Any:
        """Return the same nesting around other leaves, by path, in containers of its types."""
        return self._builder(arrays)

    def restore(self) -> str:
        """Undo every replacement, addition or removal of parts; return the path of the first."""
        changed = ""
        for node, path, parts, values, keys, read in self._mutable:
            now = [*read()]
            is_same = len(now) == len(values) and all(map(is_, now, values))
            if is_same and (not keys or list(node) == keys):
                continue
            found, saved = dict(children(node) or []), dict(parts)
            steps = [s for s in {**saved, **found} if found.get(s, self) is not saved.get(s)]
            # where a dict was only reordered, no part differs: name the dict itself
            changed = changed or path_name(path + next(iter(steps), ""))
            if dataclasses.is_dataclass(node):
                for step, part in parts:
                    object.__setattr__(node, step[1:], part)
            elif isinstance(node, Mapping):
                node.clear()  # type: ignore[attr-defined]  # a dict that was changed is mutable
                node.update(zip(keys, values, strict=True))  # type: ignore[attr-defined]
            else:
                node[:] = values
        return changed


def _in_subclass(node: Any, array: Any) -> Any:
    """Return the same numbers as an array of the class of `node`, over the same memory."""
    return node.__array_wrap__(array) if type(array) is np.ndarray else array


def _like(node: Any, parts: Parts, others: list[Any]) -> Any:
    """Return a container like `node`, which is no dict, that holds other parts."""
    kind = _kind(node.__class__)
    if kind == NAMED_TUPLE:
        return type(node)(*others)
    if kind != DATACLASS:
        return type(node)(others)
    twin = copy.copy(node)  # the constructor may cast or refuse the arrays
    for name in _cached_properties(node.__class__):
        getattr(twin, "__dict__", {}).pop(name, None)  # the copy still has the values of `node`
    for (step, _), other in zip(parts, others, strict=True):
        object.__setattr__(twin, step[1:], other)
    return twin


@cache
def _kind(cls: type) -> str:
    """Return which kind of container the instances of a class are; empty if they are leaves."""
    if issubclass(cls, np.ndarray):
        return ""
    if dataclasses.is_dataclass(cls):
        return DATACLASS
    if issubclass(cls, tuple):
        return NAMED_TUPLE if hasattr(cls, "_fields") else TUPLE
    if issubclass(cls, Mapping):
        return MAPPING
    return LIST if issubclass(cls, list) else ""


@cache
def _cached_properties(kind: type) -> list[str]:
    """Return the names of a class's cached properties."""
    members = (item for base in kind.__mro__ for item in vars(base).items())
    return [name for name, member in members if isinstance(member, cached_property)]


def leaves(params: Any, path: str = "") -> dict[str, Any]:
    """Return the leaves of a nesting, whatever they are, by their paths, as `Nesting` has them."""
    found: dict[str, Any] = {}
    _collect(params, path, found)
    return found


def _collect(node: Any, path: str, found: dict[str, Any]) -> None:
    parts = children(node)
    if parts is None:
        found[path_name(path)] = node
    else:
        for step, part in parts:
            _collect(part, path + step, found)


def rebuild(params: Any, arrays: Mapping[str, Any]) -> Any:
    """Return the nesting of `params` around other leaves, by path, in containers of its types."""
    return Nesting(params).rebuild(arrays)


def children(node: Any) -> Parts | None:
    """Return the parts of a container as (path step, part), or None for a leaf."""
    kind = _kind(node.__class__)
    if not kind:
        return None
    if kind == MAPPING:
        return [(key_step(key), part) for key, part in node.items()]
    if kind in (DATACLASS, NAMED_TUPLE):
        return [(f".{name}", getattr(node, name)) for name in _names(node.__class__)]
    return [(f"[{i}]", part) for i, part in enumerate(node)]


def _reader(node: Any) -> Callable[[], Iterable[Any]]:
    """Return what reads the parts of a container."""
    kind = _kind(node.__class__)
    if kind == DATACLASS:
        return lambda: [getattr(node, name) for name in _names(node.__class__)]
    return node.values if kind == MAPPING else node.__iter__  # type: ignore[no-any-return]


@cache
def _names(cls: Any) -> list[str]:
    """Return the names of the parts of a dataclass or a named tuple."""
    if dataclasses.is_dataclass(cls):
        return [field.name for field in dataclasses.fields(cls)]
    return list(cls._fields)


def key_step(key: object) -> str:
    """Return the step of a path into a container, by a key: ``.w`` or ``[0]``."""
    return f".{key}" if isinstance(key, str) and key.isidentifier() else f"[{key!r}]"


def path_name(path: str) -> str:
    """Return the name of a path: ``weights[1]`` for ``.weights[1]``, ``params[0]`` for ``[0]``."""
    return path[1:] if path.startswith(".") else "params" + path


def argument_name(path: str, argument: str = "x") -> str:
    """Return the name of a path in an argument x: ``x[0]`` where `path_name` says ``params[0]``."""
    is_root = path == "params" or path.startswith("params[")
    return f"{argument}{path.removeprefix('params')}" if is_root else path


def named_x(text: str, argument: str = "x") -> str:
    """Return a text in which the argument is called x, and not params."""
    return re.sub(r"\bparams\b(?!\.)", argument, text)
