"""The caller's bounds: one lower and one upper limit of every entry, by path."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from checks._types import FloatArray
from checks.parameters.claims import as_array, describe, entry_name
from checks.parameters.nesting import children, path_name

__all__ = ["flatten_bounds"]

ADVICE = "give bounds=(lower, upper), each None, a number, or nested as params"


def flatten_bounds(
    params: Any, arrays: Mapping[str, FloatArray], bounds: Any
) -> tuple[dict[str, FloatArray], dict[str, FloatArray]]:
    """Return the lower and the upper bounds by path, in the shapes and dtypes of the arrays.

    Parameters
    ----------
    params
        The caller's parameters.
    arrays
        Their arrays by path.
    bounds
        A pair (lower, upper), or None. Each is None, a number for all entries, or nested as
        `params` with None, a number, or an array of the same shape in the place of an array. None
        and infinities stand for no bound.

    Raises
    ------
    TypeError
        Something is no pair, no number, or a container where an array is wanted or the reverse.
    ValueError
        Another number of parts, other keys, another shape, nan, crossed bounds, or a point outside.
    """
    if bounds is None:
        bounds = (None, None)
    if not isinstance(bounds, (list, tuple)):
        raise TypeError(f"bounds is {describe(bounds)}, wanted a pair: {ADVICE}")
    if len(bounds) != 2:
        raise ValueError(f"bounds has {len(bounds)} parts, wanted a pair: {ADVICE}")
    lower, upper = (
        _one_side(params, arrays, part, f"bounds[{i}]", infinity)
        for i, (part, infinity) in enumerate(zip(bounds, (-np.inf, np.inf), strict=True))
    )
    for path, array in arrays.items():
        for index in map(tuple, np.argwhere(lower[path] > upper[path]).tolist()):
            raise ValueError(
                f"the bounds of {entry_name(path, index)} are {lower[path][index]} and "
                f"{upper[path][index]}, wanted lower ≤ upper: {ADVICE}"
            )
        for side, limit, outside in (
            ("below its lower", lower[path], array < lower[path]),
            ("above its upper", upper[path], array > upper[path]),
        ):
            for index in map(tuple, np.argwhere(outside).tolist()):
                raise ValueError(
                    f"{entry_name(path, index)} is {array[index]}, {side} bound {limit[index]}, "
                    "wanted a point within bounds: move the point inside, or widen the bounds"
                )
    return lower, upper


def _one_side(
    params: Any, arrays: Mapping[str, FloatArray], bounds: Any, source: str, infinity: float
) -> dict[str, FloatArray]:
    """Return the bounds on one side by path."""
    found: dict[str, FloatArray] = {}

    def match(node: Any, part: Any, path: str) -> None:
        inside = children(node)
        where = f"{source}{path}"
        if inside is None or part is None or np.isscalar(part):
            for name, array in arrays.items():
                if _is_within(name, path_name(path), path):
                    found[name] = _limits(part, array, name, where, infinity)
            return
        parts = _parts(node, inside, part, where)
        for (step, child), value in zip(inside, parts, strict=True):
            match(child, value, path + step)

    match(params, bounds, "")
    return found


def _is_within(name: str, start: str, path: str) -> bool:
    """Whether an array's path begins with that of a container, or is it."""
    return not path or name == start or (name.startswith(start) and name[len(start)] in ".[")


def _parts(node: Any, inside: Any, part: Any, where: str) -> list[Any]:
    """Return the parts of bounds that are nested as the container `node`."""
    given = children(part)
    if given is None or isinstance(node, Mapping) != isinstance(part, Mapping):
        raise TypeError(
            f"{where} is {describe(part)}, wanted None, a number, or {len(inside)} parts nested as "
            f"in params: {ADVICE}"
        )
    if isinstance(node, Mapping):
        if set(part) != set(node):
            raise ValueError(
                f"{where} has the keys {sorted(map(repr, part))}, wanted those of params, "
                f"{sorted(map(repr, node))}: None stands for no bound"
            )
        return [part[key] for key in node]
    if len(given) != len(inside):
        raise ValueError(
            f"{where} has {len(given)} parts, wanted {len(inside)}, nested as in params: None "
            "stands for no bound"
        )
    return [value for _, value in given]


def _limits(part: Any, array: FloatArray, name: str, where: str, infinity: float) -> FloatArray:
    """Return the bounds on one side of one array, rounded to its dtype."""
    if part is None:
        return np.full(array.shape, infinity, array.dtype)
    limits = as_array(part)
    if limits.dtype.kind not in "fiu":
        raise TypeError(
            f"{where} is {describe(part)}, wanted None, a number, or numbers of shape "
            f"{array.shape}, as {name} has: None stands for no bound"
        )
    if limits.shape not in ((), array.shape):
        raise ValueError(
            f"{where} has shape {limits.shape}, wanted {array.shape}, the shape of {name}, or one "
            "number: nothing is broadcast here"
        )
    if np.isnan(limits).any():
        index = tuple(int(i) for i in np.argwhere(np.isnan(limits))[0])
        raise ValueError(
            f"{entry_name(where, index)} is nan, wanted a number: None or inf stands for no bound"
        )
    with np.errstate(over="ignore"):
        return np.broadcast_to(limits.astype(array.dtype), array.shape)
