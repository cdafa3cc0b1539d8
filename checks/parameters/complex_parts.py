"""Complex arrays as pairs of real ones: the derivative is ∂C/∂x + i ∂C/∂y for z = x + iy."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from checks.parameters.claims import UNFIT, as_array, dense, describe, refuse_shared_memory
from checks.parameters.nesting import Nesting, children

__all__ = ["ComplexPoint", "Parts", "in_parts", "jacobian_in_parts", "product_in_parts"]


class Parts(NamedTuple):
    """The real and the imaginary part of a complex array, in its place."""

    real: Any
    imag: Any


def in_parts(tree: Any, paths: frozenset[str] | None = None) -> Any:
    """Return a nesting with complex arrays as `Parts`, those at some paths only if given.

    Without any, it is the same object.
    """
    nesting = Nesting(tree)
    found = {
        path: _parts(leaf)
        for path, leaf in nesting.leaves.items()
        if _is_complex(leaf) and (paths is None or path in paths)
    }
    return nesting.rebuild({**nesting.leaves, **found}) if found else tree


def _is_complex(leaf: Any) -> bool:
    if isinstance(leaf, (np.ndarray, np.generic)):
        return leaf.dtype.kind == "c" and not isinstance(leaf, UNFIT)
    return isinstance(leaf, complex)


def _parts(leaf: Any) -> Parts:
    array = np.asarray(leaf)
    return Parts(array.real.copy(), array.imag.copy())


def _complex(real: Any, imag: Any) -> Any:
    """Return real + i imag with the bits of both parts, which a sum does not keep."""
    dtype = np.result_type(real, np.complex64)
    if np.iscomplexobj(real) or np.iscomplexobj(imag):  # complex steps
        return (real + 1j * imag).astype(dtype)
    z = np.empty(np.shape(real), dtype)
    z.real, z.imag = real, imag
    return z


class ComplexPoint:
    """Parameters with complex arrays, for checks that know real ones only.

    Functions of the caller get their own arrays, which are written to and restored in every call,
    since they may close over them; where these are read-only, or other dtypes are needed, they get
    new ones.

    Parameters
    ----------
    params
        The caller's, or what their function returns.

    Attributes
    ----------
    given
        As given.
    params
        The same nesting with `Parts` in the place of complex arrays; the same object without any.
    is_complex : bool
        There are complex arrays.
    """

    def __init__(self, params: Any) -> None:
        self._nesting = Nesting(params)
        self._own = {p: leaf for p, leaf in self._nesting.leaves.items() if _is_complex(leaf)}
        self.given, self.params = params, in_parts(params) if self._own else params
        self.is_complex = bool(self._own)

    def bounds(self, bounds: Any) -> Any:
        """Return bounds with `Parts` as in `params`: complex ones bound both parts."""
        if not self._own or not isinstance(bounds, (list, tuple)):
            return bounds
        return type(bounds)(in_parts(side) for side in bounds)

    def joined(self, tree: Any) -> Any:
        """Return a nesting like `params` with new complex arrays in the place of `Parts`."""
        if not self._own:
            return tree
        leaves = Nesting(tree).leaves
        return self._nesting.rebuild(
            {
                path: _complex(*self._parts_at(path, leaves)) if path in self._own else leaves[path]
                for path in self._nesting.leaves
            }
        )

    def _parts_at(self, path: str, leaves: Mapping[str, Any]) -> list[Any]:
        """Return the two parts of a complex array among the leaves of a nesting."""
        prefix = "" if self._nesting.params is self._own[path] else f"{path}."
        return [leaves[prefix + name] for name in Parts._fields]

    def taking_parts(self, function: Any) -> Any:
        """Return a function of `params` that calls one of the caller's own; others as they are.

        Raises
        ------
        ValueError
            Two complex arrays share memory.
        """
        refuse_shared_memory({p: a for p, a in self._own.items() if isinstance(a, np.ndarray)})
        return _OfParts(self, function) if self._own and callable(function) else function

    def claim(self, gradient: Any) -> Any:
        """Return a claimed gradient, values or a function, with `Parts` as in `params`."""
        if not self._own:
            return gradient
        if not callable(gradient):
            return self._claimed_parts(gradient, "gradient")
        function = _OfParts(self, gradient)
        return lambda params: self._claimed_parts(function(params), "gradient(params)")

    def _claimed_parts(self, claim: Any, source: str) -> Any:
        leaves = Nesting(claim).leaves
        for path, own in self._own.items():
            part = leaves.get(path)
            if part is not None and np.shape(part) == np.shape(own) and not _is_complex(part):
                raise TypeError(
                    f"{source} of {path} is {describe(part)}, wanted complex numbers: the "
                    "derivative by z = x + iy is ∂C/∂x + i ∂C/∂y, in one array"
                )
        return in_parts(claim, frozenset(self._own))

    def call(self, function: Callable[[Any], Any], tree: Any) -> Any:
        """Call a function of the caller's parameters, moved to those of a nesting of parts."""
        leaves = Nesting(tree).leaves
        given = {path: leaves.get(path) for path in self._nesting.leaves}
        moved = dict[str, Any]()
        for path, own in self._own.items():
            z = _complex(*self._parts_at(path, leaves))
            is_own = isinstance(own, np.ndarray) and own.flags.writeable
            if is_own and (z.dtype, z.shape) == (own.dtype, own.shape):
                moved[path], z = z, own
            given[path] = z
        if any(given[path] is not leaf for path, leaf in self._nesting.leaves.items()):
            params = self._nesting.rebuild(given)
        else:
            params = self._nesting.params
        saved = {path: self._own[path].copy() for path in moved}
        try:
            for path, z in moved.items():
                self._own[path][...] = z
            return function(params)
        finally:
            for path, z in moved.items():
                own = self._own[path]
                if own.tobytes() != z.tobytes():  # the function changes its argument
                    real, imag = self._parts_at(path, leaves)
                    real[...], imag[...] = own.real, own.imag
                own[...] = saved[path]


class _OfParts:
    """A function of parts; it can be pickled if the function of the caller can."""

    def __init__(self, point: ComplexPoint, function: Callable[[Any], Any]) -> None:
        self._point, self._function = point, function

    def __call__(self, params: Any) -> Any:
        return self._point.call(self._function, params)


def product_in_parts(
    product: Callable[[Any, Any], Any],
    x: ComplexPoint,
    vectors: ComplexPoint,
    results: ComplexPoint,
) -> Callable[[Any, Any], Any]:
    """Return a product with vectors as a function of parts.

    Parameters
    ----------
    product
        Takes x and a vector nested as `vectors`, returns what is nested as `results`.
    """
    if not any(point.is_complex for point in (x, vectors, results)):
        return product
    return lambda at, v: in_parts(x.call(lambda own: product(own, vectors.joined(v)), at))


def jacobian_in_parts(claim: Any, results: Any, x: Any) -> Any:
    """Return a claimed Jacobian with blocks of `Parts`, nested as the results and inside as x.

    A complex block stands for ∂f/∂x + i ∂f/∂y of a real f, and for ∂f/∂z of a complex one. A claim
    may have the real blocks itself: (∂f/∂x, ∂f/∂y), or ((∂Re/∂x, ∂Re/∂y), (∂Im/∂x, ∂Im/∂y)).
    """

    def nested(node: Any, part: Any, of_leaf: Callable[[Any, Any], Any]) -> Any:
        """Return what a function makes of every leaf of `node` and the same part of the claim."""
        inside, parts = children(node), children(part)
        if inside is None:
            return of_leaf(node, part)
        if parts is None or len(parts) != len(inside):
            return part  # of another nesting, which is refused later
        by_step = dict(parts)
        pairs = [
            (child, by_step.get(step, other))
            for (step, child), (_, other) in zip(inside, parts, strict=True)
        ]
        made = [nested(child, value, of_leaf) for child, value in pairs]
        return dict(zip(node, made, strict=True)) if isinstance(node, Mapping) else made

    def block(entries: Any, part: Any) -> Any:
        if not _is_complex(entries) or _has_parts(part):
            return part
        numbers = _numbers(part)
        return part if numbers is None else Parts(numbers.real, numbers.imag)

    def row(entries: Any, part: Any, of_imag: bool) -> Any:
        """Return the derivatives of the real or of the imaginary part of a result, from ∂f/∂z."""
        numbers = _numbers(part)
        if numbers is None:
            return part
        real, imag = numbers.real, numbers.imag
        by_x, by_y = (imag, real) if of_imag else (real, -imag)
        return Parts(by_x, by_y) if _is_complex(entries) else by_x

    def of_result(result: Any, part: Any) -> Any:
        if not _is_complex(result):
            return nested(x, part, block)
        if _has_parts(part):
            return part
        return Parts(*(nested(x, part, partial(row, of_imag=k)) for k in (False, True)))

    return nested(results, claim, of_result)


def _has_parts(block: Any) -> bool:
    """Whether a block has its two real parts already."""
    return isinstance(block, tuple) and len(block) == len(Parts._fields)


def _numbers(block: Any) -> Any:
    """Return a block as an array of numbers; None if it holds anything else."""
    array = as_array(dense(block))
    return array if array.dtype.kind in "fc" and not isinstance(block, UNFIT) else None
