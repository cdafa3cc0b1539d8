"""A function with many results: each is seen as a scalar cost, and all share its evaluations."""

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from checks.evaluation.control_flow import is_control_flow
from checks.evaluation.groups import Groups
from checks.evaluation.memo import ABOVE_HALF, MAX_POINTS, Memo
from checks.evaluation.restoring import RestoresParameters, restore_arrays
from checks.evaluation.result import Contraction, Result, ResultNoise
from checks.parameters.claims import UNFIT, as_array, describe, entry_name, float_arrays
from checks.parameters.complex_parts import ComplexPoint, in_parts
from checks.parameters.nesting import Nesting, argument_name, leaves, named_x

__all__ = ["Results", "ResultsChanged"]

# The most numbers that are kept at once, 256 MiB in float64, and how often f is called for an entry
# of x, at a guess.
MAX_NUMBERS, CALLS_PER_ENTRY = 2**25, 16
MAX_STACKED = 2**20  # the most numbers in arguments and results of one call: 8 MiB in float64
NONE = slice(0, 0)


class ResultsChanged(ValueError):  # noqa: N818 — says what happened
    """The results of a function have another nesting or shape where its argument is moved.

    It passes through wherever the function is called: see `checks.evaluation.control_flow`.
    """


class Results:
    """The results of a function f at x and around it, as flat arrays.

    Parameters
    ----------
    f
        Takes x; returns an array of floats or a nesting of such arrays. It may have a method
        ``at_points``, see `checks.evaluation.stacked.StackedFunction`.
    x
        See `checks.parameters.claims.flatten`.
    name : str
        How texts name f(x).

    Attributes
    ----------
    at_point : dict of str to ndarray
        f(x) by path: ``f(x)`` itself if it is an array, else as ``f(x)[0]`` or ``sum``.
    f
        As given.
    complex : ComplexPoint
        f(x) as f returns it.
    nesting : Nesting
        Of f(x), with the parts of complex results.
    point : Point
        x.
    size : int
        The number of results.
    noise : ResultNoise or None
        Of all results, once it has been measured.
    latest : list of ndarray
        The results of the last call of f, as flat arrays.

    Raises
    ------
    TypeError
        f is no function, or a result no array of real floats.
    ValueError
        f has no results, they are not finite, or f changes its argument.
    """

    def __init__(self, f: Callable[[Any], Any], x: Any, name: str = "f(x)") -> None:
        self._root = f".{name}"
        if not callable(f):
            raise TypeError(
                f"f is {describe(f)}, wanted a function of x that returns an array of floats or a "
                "nesting of them: pass the function, not its value"
            )
        self.f = f
        self.point = point = Point(x)
        self._dtypes = [array.dtype for array in point.arrays.values()]
        with point.unchanged("f"):
            result = f(x)
        self.complex = ComplexPoint(result)
        self.nesting = Nesting(self.complex.params, self._root)
        self.at_point = {p: _result_array(p, leaf) for p, leaf in self.nesting.leaves.items()}
        self.size = sum(array.size for array in self.at_point.values())
        if not self.size:
            raise ValueError(
                f"f(x) has no entries ({describe(result)}), wanted at least one float: there is "
                "nothing to check"
            )
        self._entries = sum(array.size for array in point.arrays.values())
        self._first = [array.reshape(-1).copy() for array in self.at_point.values()]
        self.noise: ResultNoise | None = None
        self.latest = self._first
        at_points = getattr(f, "at_points", None)
        of_stack = None if at_points is None else partial(self._flat_stack, at_points)
        self.memo = Memo(self._flat, x, of_stack)
        if at_points is not None and self.size > 1:
            self.memo.groups = Groups(partial(self._vectors, at_points), self._part_of)
        self.memo.widest = getattr(f, "widest", np.longdouble)
        self.memo.most = min(MAX_POINTS, max(1, MAX_STACKED // (self._entries + self.size)))
        self.memo.calls, self.memo.last = 1, self.memo.key(x)
        with np.errstate(over="ignore"):
            self.memo.is_narrow = all(np.array_equal(a, a.astype("f4")) for a in self._first)
        self._keep_only(_copied)

    def _keep_only(self, part: Callable[[list[NDArray[Any]]], tuple[NDArray[Any], ...]]) -> None:
        """Keep a part of the results from now on, and of earlier ones only those at the point."""
        self._part = part
        self.memo.restart(self.point.nesting.params, part(self._first))

    def _flat(self, x: Any) -> tuple[NDArray[Any], ...]:
        """Return f(x) as flat arrays, in the order of `at_point`."""
        result = self.f(x)
        if self.complex.is_complex:
            result = in_parts(result)
        try:
            arrays = {p: np.asarray(leaf) for p, leaf in leaves(result, self._root).items()}
        except ValueError:  # lists of different lengths
            arrays = {}
        shapes = {path: array.shape for path, array in arrays.items()}
        wanted = {path: array.shape for path, array in self.at_point.items()}
        if shapes != wanted:
            if 1.0 + ABOVE_HALF == 1.0:  # toward zero, so that a length computed in floats differs
                arrays = self.at_point
            else:
                raise self._changed(x, shapes, wanted)
        self.latest = [array.reshape(-1) for array in arrays.values()]
        return self._part(self.latest)

    def vector(self, x: Any) -> NDArray[Any]:
        """Return f(x) as one vector, in the order of `at_point`: a new call, which is not kept."""
        self.memo.calls += 1
        self._flat(x)
        return np.concatenate(self.latest)

    def _flat_stack(
        self, at_points: Callable[[Any], Any], points: Any
    ) -> tuple[NDArray[Any], ...] | None:
        """Return what `_flat` does of many points, with a leading axis; None where it fails."""
        arrays = self._stacked(at_points, points)
        return None if arrays is None else self._part(arrays)

    def _stacked(self, at_points: Callable[[Any], Any], points: Any) -> list[NDArray[Any]] | None:
        """Return the results at many points as flat arrays, with a leading axis."""
        self.memo.last = None  # whatever f keeps is of these points now
        result = at_points(points)
        if result is None:
            return None
        found = leaves(in_parts(result) if self.complex.is_complex else result)
        arrays = [np.asarray(leaf) for leaf in found.values()]
        self.memo.calls += len(arrays[0])
        return [array.reshape(len(array), -1) for array in arrays]

    def _vectors(self, at_points: Callable[[Any], Any], points: Any) -> NDArray[Any] | None:
        """Return the results at many points as vectors, in the order of `at_point`.

        Where f does not take these points in one call, it is called for each; None where it raises.
        """
        arrays = self._stacked(at_points, points)
        if arrays is not None:
            return np.concatenate(arrays, axis=1)
        nesting = Nesting(points)
        stacks, found = nesting.leaves, list[NDArray[Any]]()
        try:
            for k in range(len(next(iter(stacks.values())))):
                x = {path: stack[k].copy() for path, stack in stacks.items()}
                found.append(self.vector(nesting.rebuild(x)))
        except Exception as error:
            if is_control_flow(error):
                raise
            return None
        return np.array(found)

    def _part_of(self, vectors: NDArray[Any]) -> tuple[NDArray[Any], ...]:
        """Return what `_flat_stack` does of the vectors of many points."""
        ends = np.cumsum([array.size for array in self._first])[:-1]
        return self._part(np.split(vectors, ends, axis=1))

    def _changed(self, x: Any, shapes: Any, wanted: Any) -> ValueError:
        """Return the error for results of another nesting or shape than at the point."""
        paths = [path for path in {**wanted, **shapes} if shapes.get(path) != wanted.get(path)]
        path = paths[0] if paths else next(iter(wanted))

        def said(found: Any) -> str:
            return f"has shape {found[path]}" if path in found else "does not exist"

        text = (
            f"{path} {said(wanted)} at the point, but {said(shapes)} where x is moved, wanted the "
            "same results everywhere: a derivative needs them"
        )
        dtypes = [np.asarray(leaf).dtype for leaf in Nesting(x).leaves.values()]
        # complex and wider arguments are only tried: a function need not take them
        return ResultsChanged(text) if dtypes == self._dtypes else ValueError(text)

    def costs(self) -> Iterator[Result]:
        """Yield every result as a scalar cost, in the order of `at_point`.

        Where the results at all moved points would take too much memory, only those of the costs
        that come next are kept; f is called again for the others.
        """
        calls = CALLS_PER_ENTRY * self._entries
        most = max(1, MAX_NUMBERS // calls)
        names = list(self.at_point.items())
        places = [(leaf, k) for leaf, (_, a) in enumerate(names) for k in range(a.size)]
        for first in range(0, self.size, most):
            block = places[first : first + most]
            kept = {leaf: slice(k, k + most) for leaf, k in reversed(block)}
            if self.size > most:
                self._keep_only(partial(_cut, kept))
            for leaf, k in block:
                start = kept[leaf].start if self.size > most else 0
                path, array = names[leaf]
                index = tuple(map(int, np.unravel_index(k, array.shape)))
                yield Result(self.memo, leaf, k - start, entry_name(path, index))

    def contractions(self, cotangents: Sequence[Mapping[str, NDArray[Any]]]) -> list[Contraction]:
        """Return ⟨u, f(x)⟩ for some u, by path, as scalar costs; no others are kept from now on."""
        first = np.concatenate(self._first)
        first = first.astype(np.result_type(np.float64, first))
        vectors = [np.concatenate([u[path].ravel() for path in self.at_point]) for u in cotangents]
        weights = np.array(vectors, first.dtype)
        self._keep_only(partial(self._contracted, weights, first))
        terms = np.abs(weights) @ np.abs(first)
        return [Contraction(self, k, weights[k], float(terms[k])) for k in range(len(weights))]

    def _contracted(
        self, weights: NDArray[Any], first: NDArray[Any], arrays: list[NDArray[Any]]
    ) -> tuple[NDArray[Any], ...]:
        """Return Σ u f for several u, (k, m), along a last axis, in float64 at least.

        It is that at the point, plus the change, so that results that have not moved add no
        rounding. Once the noise σ of all results is known, also Σ |u| σ and Σ (u σ)² over those
        that have moved.
        """
        f = np.concatenate(arrays, axis=-1)
        change = f - first
        # np.vecdot of a stack is bit for bit that of each point; a matrix product may differ
        sums = np.vecdot(weights, first) + np.vecdot(weights, change[..., None, :])
        if self.noise is None:
            return (sums,)
        moved = (f != self.noise.at_point).astype(float)
        terms = np.abs(weights) * self.noise.level
        parts = [[np.vecdot(moved, t), np.vecdot(moved, t * t)] for t in terms]
        return sums, np.moveaxis(np.array(parts), (0, 1), (-2, -1))

    def renew(self, x: Any) -> None:
        """Let the last call of f be at `x`, as a claim may read what f kept of it.

        A backward pass does, for example, but not if f says that nothing is: ``keeps_nothing``.
        What f raises is left for those who ask for its results.
        """
        if getattr(self.f, "keeps_nothing", False):
            return
        try:
            self.memo.renew(x)
        except Exception as error:
            if is_control_flow(error):
                raise

    @contextlib.contextmanager
    def handing_back(self, claim: Any = None) -> Iterator[None]:
        """Call f once more at the end with the caller's own x, as it may keep its argument."""
        self.memo.calls += 1
        with self.point.handing_back(self.f, claim):
            yield


def _copied(arrays: list[NDArray[Any]]) -> tuple[NDArray[Any], ...]:
    return tuple(array.copy() for array in arrays)


def _cut(kept: Mapping[int, slice], arrays: list[NDArray[Any]]) -> tuple[NDArray[Any], ...]:
    return tuple(array[..., kept.get(leaf, NONE)].copy() for leaf, array in enumerate(arrays))


class Point(RestoresParameters):
    """The arrays of x, restored after functions of the caller.

    Attributes
    ----------
    arrays : dict of str to ndarray
        By path.
    """

    def __init__(self, x: Any) -> None:
        super().__init__(x)
        try:
            self.arrays = float_arrays(self.nesting)
        except (TypeError, ValueError) as error:
            raise type(error)(named_x(str(error))) from None
        self.in_place = all(array.flags.writeable for array in self.arrays.values())
        self.count = 0
        self._named = {argument_name(path): array for path, array in self.arrays.items()}
        self._saved = {name: array.copy() for name, array in self._named.items()}

    def _restore_arrays(self) -> str:
        return restore_arrays(self._named, self._saved)


def _result_array(path: str, leaf: Any) -> NDArray[Any]:
    """Return one of the results as an array, checked."""
    array = as_array(leaf)
    if array.dtype.kind != "f" or isinstance(leaf, UNFIT):
        remedy = {
            "i": "let f compute in floats",
            "u": "let f compute in floats",
            "b": "truth values have no derivative",
        }.get(array.dtype.kind, "f returns numpy arrays, nested in lists, tuples or dicts")
        remedy = "is a return forgotten in f?" if leaf is None else remedy
        what = describe(leaf)
        raise TypeError(f"{path} is {what}, wanted an array of floats: {remedy}")
    if not np.isfinite(array).all():
        index = tuple(int(i) for i in np.argwhere(~np.isfinite(array))[0])
        raise ValueError(
            f"{entry_name(path, index)} is {array[index]}, wanted finite results: check at a point "
            "where f is defined; or f reads memory beside the entries of x, as as_strided may"
        )
    return array
