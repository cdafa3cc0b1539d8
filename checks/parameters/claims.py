"""The arrays of nested parameters, and of a claimed gradient: by path, or refused."""

import dataclasses
import numbers
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from checks._types import FloatArray
from checks.parameters.nesting import Nesting, children, path_name

__all__ = ["describe", "entry_name", "flatten", "flatten_claim", "float_arrays"]


def entry_name(path: str, index: tuple[int, ...]) -> str:
    """Return the name of one entry, as in ``weights[1][0, 3]``; a 0-d array is its own entry."""
    return f"{path}[{', '.join(map(str, index))}]" if index else path


def flatten(params: Any) -> dict[str, FloatArray]:
    """Return the arrays of nested parameters by their paths, in order, without copying.

    Parameters
    ----------
    params
        Any nesting of lists, tuples, named tuples, dicts and dataclasses whose leaves are arrays of
        real floating dtype, or Python floats (which become 0-d arrays).

    Returns
    -------
    dict of str to ndarray
        Paths such as ``weights[1]``, ``layer.bias`` or, where a path would begin with a bracket,
        ``params[0]``; a bare array is ``params``.

    Raises
    ------
    TypeError
        A leaf is not a float array: its path, what it was and the remedy are named.
    ValueError
        There is no entry at all, an entry is not finite, or two leaves share memory.
    """
    return float_arrays(Nesting(params))


def float_arrays(nesting: Nesting) -> dict[str, FloatArray]:
    """Return the leaves of a nesting as `flatten` does."""
    arrays: dict[str, FloatArray] = {}
    for name, part in nesting.leaves.items():
        leaf = part
        if isinstance(part, (float, np.floating)):
            leaf = np.asarray(part)
            leaf.flags.writeable = False  # the caller's number cannot be moved in place: copy it
        if not isinstance(leaf, np.ndarray) or isinstance(leaf, np.matrix):
            raise TypeError(
                f"{name} is {describe(leaf)}, wanted an array of floats: {_leaf_remedy(leaf)}"
            )
        if leaf.dtype.kind != "f":
            remedy = {
                "c": "give its real and imaginary parts as two arrays",
                "O": "give it a float dtype with .astype(float)",
            }.get(leaf.dtype.kind, "an integer cannot be moved by a small step: use .astype(float)")
            raise TypeError(f"{name} has dtype {leaf.dtype}, wanted a real float dtype: {remedy}")
        if not np.isfinite(leaf).all():
            index = tuple(int(i) for i in np.argwhere(~np.isfinite(leaf))[0])
            raise ValueError(
                f"{entry_name(name, index)} is {leaf[index]}, wanted finite parameters: "
                "a gradient is checked at a point where the cost is defined"
            )
        arrays[name] = leaf
    if not sum(leaf.size for leaf in arrays.values()):
        raise ValueError(
            f"params has no entries ({describe(nesting.params)}), wanted at least one float array: "
            "there is nothing to check"
        )
    _refuse_shared(arrays)
    return arrays


def _leaf_remedy(leaf: Any) -> str:
    """Say what to do about a leaf that is no array."""
    if isinstance(leaf, numbers.Integral):
        return f"an integer cannot be moved by a small step, write {int(leaf)}.0"
    if isinstance(leaf, np.matrix):
        return "make it one with np.asarray"
    if hasattr(leaf, "__array__"):
        return 'make it one with np.asarray; coverage="projected" takes PyTorch and JAX too'
    return (
        "params are numpy arrays or Python floats, nested in lists, tuples, dicts or dataclasses; "
        "of any other object give the arrays that it holds"
    )


def _refuse_shared(arrays: Mapping[str, FloatArray]) -> None:
    """Two leaves over the same memory would move together, and neither gradient would be seen."""
    own = {id(leaf) for leaf in arrays.values() if leaf.flags.owndata}
    if len(own) == len(arrays):
        return  # each has its own
    by_start = sorted(
        (np.lib.array_utils.byte_bounds(leaf), name) for name, leaf in arrays.items() if leaf.size
    )
    reach: list[tuple[int, str]] = []  # (end, name) of the arrays that may still overlap the next
    for (start, end), name in by_start:
        reach = [(e, other) for e, other in reach if e > start]
        for _, other in reach:
            if np.shares_memory(arrays[name], arrays[other]):
                first, second = (p for p in arrays if p in (name, other))
                raise ValueError(
                    f"{first} and {second} share memory (the same array twice?), wanted separate "
                    "arrays: pass a tied array once, or give one of them as a .copy()"
                )
        reach.append((end, name))


def flatten_claim(params: Any, claim: Any, source: str) -> tuple[dict[str, FloatArray], list[str]]:
    """Return the arrays of a claimed gradient under the paths of `params`, and findings about them.

    Containers are matched by position (dicts by key): a tuple may answer a list, or ``(weights,
    biases)`` a dataclass of these two. A leaf of the same size in another shape is reshaped, and
    that is a finding; nothing is broadcast.

    Raises
    ------
    TypeError
        A container where an array is wanted or the reverse, or a leaf that is not real floats.
    ValueError
        Another number of parts, other keys, or another size: both are named.
    """
    claimed: dict[str, FloatArray] = {}
    findings: list[str] = []

    def match(node: Any, part: Any, path: str) -> None:
        inside = children(node)
        where = f"{source}{path}"
        if inside is None:
            shape = np.shape(node)
            try:
                leaf = np.asarray(part)
            except ValueError:  # lists of different lengths
                leaf = np.asarray(None)
            if leaf.dtype.kind != "f" or isinstance(part, np.matrix):
                remedy = _claim_remedy(part, None, path)
                if leaf.dtype.kind in "iu":
                    remedy = "in integers it has lost its fractions"
                raise TypeError(
                    f"{where} is {describe(part)}, wanted an array of real floats of shape {shape}"
                    + (f": {remedy}" if remedy else "")
                )
            if leaf.size != np.size(node):
                raise ValueError(
                    f"{where} has shape {leaf.shape}, wanted {shape}, the shape of "
                    f"{path_name(path)}: reduce or index it in the gradient, nothing is broadcast "
                    "here"
                )
            if leaf.shape != shape:
                findings.append(
                    f"{path_name(path)} has shape {shape} but its gradient {leaf.shape}: compared "
                    "entry by entry in row-major order; an update by it may broadcast."
                )
            claimed[path_name(path)] = leaf.reshape(shape)
            return
        if isinstance(node, Mapping):
            if not isinstance(part, Mapping):
                remedy = _claim_remedy(part, node, path) or "name its arrays as in params"
                raise TypeError(
                    f"{where} is {describe(part)}, wanted a dict of {_listed(node)}: {remedy}"
                )
            if set(part) != set(node):
                missing = [key for key in node if key not in part]
                extra = [key for key in part if key not in node]
                lacks = f"lacks {_listed(missing)}" if missing else ""
                has = f"has {_listed(extra)}" if extra else ""
                raise ValueError(
                    f"{where} {' and '.join(filter(None, (lacks, has)))}, wanted the keys of "
                    f"params: {_listed(node)}"
                )
            parts: Sequence[Any] = [part[key] for key in node]
        else:
            if dataclasses.is_dataclass(part) and not isinstance(part, type):
                part = [getattr(part, f.name) for f in dataclasses.fields(part)]
            if not isinstance(part, (list, tuple)):
                remedy = _claim_remedy(part, node, path)
                raise TypeError(
                    f"{where} is {describe(part)}, wanted {_parts(inside)}, nested as in "
                    "params" + (f": {remedy}" if remedy else "")
                )
            if len(part) != len(inside):
                raise ValueError(
                    f"{where} has {_parts(part)}, wanted {len(inside)}, nested as in "
                    f"params: {_cut(', '.join(path_name(path + step) for step, _ in inside))}"
                )
            parts = part
        for (step, child), value in zip(inside, parts, strict=True):
            match(child, value, path + step)

    match(params, claim, "")
    return claimed, findings


def _claim_remedy(part: Any, node: Any, path: str) -> str:
    """Say what to do about a part of a claim that is not nested as `node`, or not an array."""
    if part is None:
        return "where it vanishes, give zeros" if path else "is a return forgotten?"
    if isinstance(part, np.matrix):
        return "make it one with np.asarray"
    sized = isinstance(part, (Mapping, Sequence)) or hasattr(part, "shape")
    if isinstance(part, Iterable) and not sized:
        return "make it a list, with list()"
    if node is None or not isinstance(part, np.ndarray):
        return ""
    arrays = Nesting(node, path).leaves
    if part.size == sum(np.size(leaf) for leaf in arrays.values()):
        name, leaf = next(iter(arrays.items()))
        first = f"{name} is g.ravel()[:{np.size(leaf)}].reshape{np.shape(leaf)}"
        return f"it has as many entries, so nest it as params, where {first}, and so on"
    return ""


def describe(thing: Any) -> str:
    """Say briefly what an argument was, for the text of an error."""
    if thing is None:
        return "None"
    kind = type(thing).__name__
    if isinstance(thing, np.matrix):
        return f"a np.matrix of shape {thing.shape}"
    if isinstance(thing, np.ndarray):
        return f"an array of dtype {thing.dtype} and shape {thing.shape}"
    return f"{'an' if kind[0] in 'aeiouAEIOU' else 'a'} {kind}, {_cut(repr(thing))}"


def _parts(sequence: Sequence[Any]) -> str:
    return "1 part" if len(sequence) == 1 else f"{len(sequence)} parts"


def _listed(keys: Iterable[Any]) -> str:
    return _cut(", ".join(map(repr, keys)))


def _cut(text: str) -> str:
    """Return a text on one line, shortened."""
    text = " ".join(text.split())
    return text if len(text) <= 40 else text[:37] + "..."
