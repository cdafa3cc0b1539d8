"""The arrays of nested parameters, and the claimed gradient of each, by path."""

import dataclasses
import math
import numbers
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from checks._types import FloatArray
from checks.parameters.nesting import Nesting, Parts, children, path_name

__all__ = [
    "UNFIT",
    "as_array",
    "dense",
    "describe",
    "entry_name",
    "flatten",
    "flatten_claim",
    "float_arrays",
    "overlaps",
    "refuse_shared_memory",
]

UNFIT = (np.matrix, np.ma.MaskedArray)
"""Subclasses of ndarray in which * means something else, or not every number counts."""


def entry_name(path: str, index: tuple[int, ...]) -> str:
    """Return the name of one entry, as in ``weights[1][0, 3]``; of a 0-d array, its path."""
    return f"{path}[{', '.join(map(str, index))}]" if index else path


def flatten(params: Any) -> dict[str, FloatArray]:
    """Return the arrays of nested parameters by their paths, in order, without copying.

    Parameters
    ----------
    params
        Any nesting of lists, tuples, named tuples, dicts and dataclasses that holds arrays of real
        floating dtype, or Python floats (which become 0-d arrays).

    Returns
    -------
    dict of str to ndarray
        Paths such as ``weights[1]``, ``layer.bias`` or, where a path would begin with a bracket,
        ``params[0]``; a bare array is ``params``.

    Raises
    ------
    TypeError
        Something is no container and no float array: its path, what it is and the remedy are named.
    ValueError
        There is no entry at all, an entry is not finite, or two arrays share memory.
    """
    return float_arrays(Nesting(params))


def float_arrays(nesting: Nesting) -> dict[str, FloatArray]:
    """Return the arrays of a nesting as `flatten` does."""
    arrays: dict[str, FloatArray] = {}
    for path, leaf in nesting.leaves.items():
        array = leaf
        if isinstance(leaf, (float, np.floating)):
            array = np.asarray(leaf)
            # a number cannot be moved in place: of a read-only array `Evaluations` moves a copy
            array.flags.writeable = False
        if not isinstance(array, np.ndarray) or isinstance(array, UNFIT):
            raise TypeError(
                f"{path} is {describe(array)}, wanted an array of floats: {_leaf_remedy(array)}"
            )
        if array.dtype.kind != "f":
            raise TypeError(
                f"{path} has dtype {array.dtype}, wanted a real float dtype: "
                f"{_dtype_remedy(array.dtype)}"
            )
        # a subclass may compute in its own way: here its numbers are needed
        array = np.asarray(array)
        if array.flags.writeable and overlaps(array.shape, array.strides, array.itemsize):
            # several entries are one number in memory, so they can be moved singly only in a copy
            array = array.view()
            array.flags.writeable = False
        if not np.isfinite(array).all():
            index = tuple(int(i) for i in np.argwhere(~np.isfinite(array))[0])
            raise ValueError(
                f"{entry_name(path, index)} is {array[index]}, wanted finite parameters: "
                "let the function put in constants such as -inf of a mask, and pass the others"
            )
        arrays[path] = array
    if not sum(array.size for array in arrays.values()):
        raise ValueError(
            f"params has no entries ({describe(nesting.params)}), wanted at least one float array: "
            "there is nothing to check"
        )
    refuse_shared_memory(arrays)
    return arrays


def overlaps(shape: Sequence[int], strides: Sequence[int], size: int) -> bool:
    """Whether two entries of an array share memory, as in a broadcast or a sliding window.

    The size of an entry is in the units of the strides.
    """
    axes = sorted((abs(s), n) for s, n in zip(strides, shape, strict=True) if n > 1)
    reach = size  # what the axes with shorter strides cover
    for stride, length in axes:
        if stride < reach:
            break
        reach += stride * (length - 1)
    else:
        return False
    places = np.zeros((), np.intp)
    for stride, length in axes:
        places = np.add.outer(places, stride * np.arange(length))
    return bool((np.diff(np.sort(places, axis=None)) < size).any())


def _dtype_remedy(dtype: np.dtype[Any]) -> str:
    """Say what to do about an array that is not of real floats."""
    if dtype.names:
        return (
            f"give its fields one by one, as {{{dtype.names[0]!r}: array[{dtype.names[0]!r}], …}}"
        )
    return {
        "c": "give its real and imaginary parts as two arrays",
        "O": "give it a float dtype with .astype(float)",
        "i": "an integer cannot be moved by a small step: use .astype(float)",
        "u": "an integer cannot be moved by a small step: use .astype(float)",
        "b": "a truth value cannot be moved by a small step: use .astype(float)",
        "m": "divide it by a unit, such as np.timedelta64(1, 's')",
    }.get(dtype.kind, "derivatives are by numbers")


def _leaf_remedy(leaf: Any) -> str:
    """Say what to do about a leaf that is no array."""
    if isinstance(leaf, numbers.Integral):
        return f"an integer cannot be moved by a small step, write {int(leaf)}.0"
    if isinstance(leaf, np.matrix):
        return "make it an array with np.asarray"
    if isinstance(leaf, np.ma.MaskedArray):
        return "give the numbers that are not masked, .compressed(), or all of them, .data"
    if hasattr(leaf, "to_numpy"):
        return "make it a numpy array with .to_numpy()"
    if hasattr(leaf, "toarray"):
        return "give the numbers that it stores, .data, or make it dense with .toarray()"
    if hasattr(leaf, "__array__"):
        return 'make it a numpy array with np.asarray; coverage="projected" takes PyTorch and JAX'
    return (
        "give numpy arrays or Python floats, nested in lists, tuples, dicts or dataclasses; "
        "of any other object give the arrays that it holds"
    )


def refuse_shared_memory(arrays: Mapping[str, FloatArray]) -> None:
    """Refuse arrays that share memory: moving an entry of one would move the other too."""
    owners = {id(array) for array in arrays.values() if array.flags.owndata}
    if len(owners) == len(arrays):
        return
    by_start = sorted(
        (np.lib.array_utils.byte_bounds(a), path) for path, a in arrays.items() if a.size
    )
    open_intervals: list[tuple[int, str]] = []  # (end, path) of arrays that may overlap the next
    for (start, end), path in by_start:
        open_intervals = [(e, other) for e, other in open_intervals if e > start]
        for _, other in open_intervals:
            if np.shares_memory(arrays[path], arrays[other]):
                first, second = (p for p in arrays if p in (path, other))
                raise ValueError(
                    f"{first} and {second} share memory (the same array twice?), wanted separate "
                    "arrays: pass a tied array once, or give one of them as a .copy()"
                )
        open_intervals.append((end, path))


def flatten_claim(
    params: Any,
    claim: Any,
    source: str,
    leaf: Callable[[Any, Any, str], Any] | None = None,
    root: str = "",
) -> tuple[dict[str, Any], list[str]]:
    """Return the arrays of a claimed gradient under the paths of `params`, and findings about them.

    Dicts are matched by key, all other containers by position: a tuple fits a list, and ``(weights,
    biases)`` fits a dataclass of these two. An array of the right size in another shape is
    reshaped, and that is a finding; nothing is broadcast.

    Parameters
    ----------
    params, claim
    source : str
        How the texts of errors name the claim.
    leaf : callable, optional
        Takes an array of `params`, what is claimed of it, and how texts name that; returns what is
        put in the place of the claimed array. Default: an array of the same size.
    root : str
        Where `params` stands in texts: ".f(x)" if they are results, ".x" an argument.

    Raises
    ------
    TypeError
        A container where an array is wanted or the reverse, or something that is not real floats.
    ValueError
        Another number of parts, other keys, or another size: both are named.
    """
    claimed: dict[str, Any] = {}
    findings: list[str] = []
    todo = [(params, claim, "")]  # what is still to be matched, the first last
    while todo:
        node, part, path = todo.pop()
        inside, where = children(node), f"{source}{path}"
        if inside is not None:
            if isinstance(node, Mapping):
                parts = _claimed_values(node, part, root + path, where, leaf is None)
            else:
                parts = _claimed_parts(node, inside, part, root + path, where, leaf is None)
            pairs = zip(inside, parts, strict=True)
            todo += [(child, value, path + step) for (step, child), value in pairs][::-1]
        elif leaf is not None:
            claimed[path_name(path)] = leaf(node, part, where)
        else:
            array, shape = _claimed_array(node, part, root + path, where), np.shape(node)
            if array.shape != shape:
                findings.append(
                    f"{path_name(root + path)} has shape {shape} but its gradient {array.shape}: "
                    "compared entry by entry in row-major order; an update by it may broadcast."
                )
                array = array.reshape(shape)
            claimed[path_name(path)] = array
    return claimed, findings


def dense(block: Any) -> Any:
    """Return a matrix of scipy.sparse, or a LinearOperator of scipy, as an array."""
    if hasattr(block, "matmat"):
        return block.matmat(np.eye(block.shape[1], dtype=block.dtype))
    return block.toarray() if type(block).__module__.startswith("scipy.sparse") else block


def as_array(leaf: Any) -> NDArray[Any]:
    """Return a leaf as an array; lists of different lengths, which are none, as one of objects."""
    try:
        return np.asarray(leaf)
    except ValueError:
        return np.asarray(None)


def _claimed_array(node: Any, part: Any, path: str, where: str) -> FloatArray:
    """Return what is claimed of one array, checked for dtype and size."""
    shape, array = np.shape(node), as_array(part)
    if array.dtype.kind != "f" or isinstance(part, UNFIT):
        remedy = _claim_remedy(part, None, path)
        if array.dtype.kind in "iu":
            remedy = "compute it in floats, as integers have lost the fractions"
        elif array.dtype.kind == "c":
            remedy = "take its real part, .real"
        raise TypeError(
            f"{where} is {describe(part)}, wanted an array of real floats of shape {shape}"
            + (f": {remedy}" if remedy else "")
        )
    if array.size != math.prod(shape):
        raise ValueError(
            f"{where} has shape {array.shape}, wanted {shape}, the shape of {path_name(path)}: "
            "reduce or index it there, nothing is broadcast here"
        )
    return array


def _claimed_values(
    node: Mapping[Any, Any], part: Any, path: str, where: str, is_gradient: bool
) -> Sequence[Any]:
    """Return the values of a claimed dict, in the order of the keys of `node`."""
    if not isinstance(part, Mapping):
        remedy = _claim_remedy(part, node if is_gradient else None, path)
        remedy = remedy or f"name its arrays as in {path_name(path)}"
        raise TypeError(f"{where} is {describe(part)}, wanted a dict of {_listed(node)}: {remedy}")
    if set(part) != set(node):
        missing = [key for key in node if key not in part]
        extra = [key for key in part if key not in node]
        lacks = f"lacks {_listed(missing)}" if missing else ""
        has = f"has {_listed(extra)}" if extra else ""
        raise ValueError(
            f"{where} {' and '.join(filter(None, (lacks, has)))}, wanted the keys of "
            f"{path_name(path)}: {_listed(node)}"
        )
    return [part[key] for key in node]


def _claimed_parts(
    node: Any, inside: Parts, part: Any, path: str, where: str, is_gradient: bool
) -> Sequence[Any]:
    """Return the parts of a claimed list, tuple or dataclass, checked for their number."""
    if dataclasses.is_dataclass(part) and not isinstance(part, type):
        part = [getattr(part, f.name) for f in dataclasses.fields(part)]
    if not isinstance(part, (list, tuple)):
        remedy = _claim_remedy(part, node if is_gradient else None, path)
        raise TypeError(
            f"{where} is {describe(part)}, wanted {_count(inside)}, nested as in {path_name(path)}"
            + (f": {remedy}" if remedy else "")
        )
    if len(part) != len(inside):
        raise ValueError(
            f"{where} has {_count(part)}, wanted {len(inside)}, nested as in {path_name(path)}: "
            f"{_cut(', '.join(path_name(path + step) for step, _ in inside))}"
        )
    return part


def _claim_remedy(part: Any, node: Any, path: str) -> str:
    """Say what to do about a part of a claim that is not nested as `node`, or not an array."""
    if part is None:
        return "is a return forgotten? Where it vanishes, give zeros"
    if isinstance(part, UNFIT) or hasattr(part, "toarray"):
        return _leaf_remedy(part)
    sized = isinstance(part, (Mapping, Sequence)) or hasattr(part, "shape")
    if isinstance(part, Iterable) and not sized:
        return "make it a list, with list()"
    if node is None or not isinstance(part, np.ndarray):
        return ""
    arrays = Nesting(node, path).leaves
    if part.size == sum(np.size(leaf) for leaf in arrays.values()):
        name, leaf = next(iter(arrays.items()))
        first = f"{name} is g.ravel()[:{np.size(leaf)}].reshape{np.shape(leaf)}"
        return f"it has as many entries, so nest it as {path_name(path)}, where {first}, and so on"
    return ""


def describe(thing: Any) -> str:
    """Say briefly what an argument is, for the text of an error."""
    if thing is None:
        return "None"
    kind = type(thing).__name__
    if isinstance(thing, UNFIT):
        name = "masked array" if isinstance(thing, np.ma.MaskedArray) else "np.matrix"
        return f"a {name} of shape {thing.shape}"
    if isinstance(thing, np.ndarray):
        return f"an array of dtype {thing.dtype} and shape {thing.shape}"
    return f"{'an' if kind[0] in 'aeiouAEIOU' else 'a'} {kind}, {_cut(repr(thing))}"


def _count(parts: Sequence[Any]) -> str:
    return "1 part" if len(parts) == 1 else f"{len(parts)} parts"


def _listed(keys: Iterable[Any]) -> str:
    return _cut(", ".join(map(repr, keys)))


def _cut(text: str) -> str:
    """Return a text on one line, shortened."""
    text = " ".join(text.split())
    return text if len(text) <= 40 else text[:37] + "..."
