"""A function of JAX arrays as one of nested numpy arrays, with the derivatives that JAX has."""

import contextlib
import copy
import functools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from checks.adapters.jax_call import Call
from checks.adapters.jax_leaves import Keys, Leaf, as_array, eps_of, name_of
from checks.adapters.jax_loop import LEAST, Loop, StackLoop
from checks.adapters.keyed_nesting import leaf_at, nest
from checks.adapters.reference import COARSEST

__all__ = ["DISAGREES", "GRADIENTS", "JaxFunction"]

Flat = Callable[[Sequence[Any]], list[Any]]

LOOPS = {"scan", "while", "cond"}

NO_INPUT = (
    "no input is a number or an array of floats, wanted at least one: JAX has no derivatives by "
    "integers, so give floats where a derivative is to be checked"
)
NO_OUTPUT = (
    "no output of the function has a derivative in JAX, wanted at least one: does it return "
    "integers, round its result, or use stop_gradient?"
)
DISAGREES = (
    "with its inputs in float64 the function has other values: does it draw random numbers in a "
    "dtype that follows jax_enable_x64?"
)


class JaxFunction:
    """A function of JAX arrays, at a point.

    Parameters
    ----------
    keys
        Where the inputs stand that are moved, as in ("inputs", 0, "w").
    leaves
        These inputs.
    flat
        Takes arrays for these and returns the outputs with a derivative, in lists.
    outputs
        What it returns at the point, by where it stands in the function's own result.
    x64 : bool
        Whether JAX has 64 bits where the function is called.
    findings
        Sentences about what is not checked.

    Attributes
    ----------
    params
        The arrays of the inputs that are moved, nested as these; see `jax_leaves.as_array`.
    eps : float
        The spacing of numbers at 1 in the coarsest dtype of these inputs and outputs.
    differentiated : list
        The outputs at the point when JAX differentiates: of a custom rule, those of the rule.
    """

    def __init__(
        self,
        keys: Sequence[Keys],
        leaves: Sequence[Leaf],
        flat: Flat,
        outputs: Mapping[Keys, Any],
        x64: bool,
        findings: Sequence[str] = (),
    ) -> None:
        self.keys, self.leaves, self.flat, self.outputs = keys, leaves, flat, outputs
        self.x64, self.findings = x64, findings
        self.params = self.nested(leaf.values for leaf in leaves)
        dtypes = [leaf.dtype for leaf in leaves] + [output.dtype for output in outputs.values()]
        self.eps = max(map(eps_of, dtypes))
        self.differentiated = list(outputs.values())
        self._gradients: Any = partial(_reverse, flat)
        self._loops: dict[str, Loop | None] = {}  # by the dtypes of the arrays
        self._agrees: bool | None = None  # with itself in float64, once that is known

    @classmethod
    def of(
        cls, function: Callable[[Any], Any], given: Any, is_forward: bool = False
    ) -> "JaxFunction":
        """Return a function of one pytree, whose leaves of floats are moved.

        Which of its outputs have a derivative is seen by forward mode, or by reverse mode.

        Raises
        ------
        ValueError
            No leaf is of finite floats, or no output has a derivative.
        """
        call = Call(function, given)
        if not call.moved:
            raise ValueError(NO_INPUT)
        if not (outputs := call.at_point()):
            raise ValueError(NO_OUTPUT)
        has_derivative, differentiated = call.observed(is_forward)
        kept = [keys for keys in outputs if has_derivative.get(keys)]
        if not kept:
            raise ValueError(NO_OUTPUT)
        findings = [
            f"{name_of(call.keys[n])} is not finite everywhere: it is taken for a constant."
            for n in call.infinite
        ]
        findings += [
            f"{name_of(('output', *keys))} has no derivative in JAX, for it is constant by pieces "
            "or a stop_gradient stands before it: it is not checked."
            for keys, output in outputs.items()
            if keys not in kept and isinstance(output, jax.Array)
        ]

        def flat(moved: Sequence[Any]) -> list[Any]:
            found = call.outputs(moved)
            return [jnp.asarray(found[keys]) for keys in kept]

        checked = cls(
            [call.keys[n] for n in call.moved],
            list(call.moved.values()),
            flat,
            {keys: outputs[keys] for keys in kept},
            jax.dtypes.canonicalize_dtype(np.float64) == np.float64,
            findings,
        )
        checked.differentiated = [differentiated[keys] for keys in kept]
        return checked

    def in_mode(self, mode: str) -> "JaxFunction":
        """Return the same function, whose `vjp` is by another mode: one of `GRADIENTS`."""
        twin = copy.copy(self)
        twin._gradients = partial(GRADIENTS[mode], self.flat)
        return twin

    @property
    def is_large(self) -> bool:
        """Whether compiling pays: it takes as long as some thousand calls."""
        return sum(leaf.values.size for leaf in self.leaves) >= LEAST

    def has_loops(self) -> bool:
        """Whether JAX compiles parts of it in every call, as it does of loops and branches."""
        try:
            with self._with_bits(False):
                traced = jax.make_jaxpr(self.flat)(self._in_jax([a.values for a in self.leaves]))
        except Exception:  # if it branches on numbers, say
            return False
        return _has_loops(traced.jaxpr)

    def compiled(self) -> "JaxFunction":
        """Return the same function, compiled by `jax.jit` if that is possible."""
        twin = copy.copy(self)
        twin.flat, twin._gradients = jax.jit(self.flat), jax.jit(self._gradients)
        try:
            with self._with_bits(False):
                at_point = twin._in_jax([leaf.values for leaf in self.leaves])
                twin._gradients(at_point, list(map(jnp.zeros_like, self.outputs.values())))
        except Exception:  # if it branches on numbers, say
            return self
        return twin

    def derivative(self, is_forward: bool, number: int) -> "JaxFunction":
        """Return the derivative as a function: of the inputs, and a random vector for each output.

        In forward mode these are tangents, one for each input. `number` tells the names of the
        vectors from those of other orders.
        """
        count, rng = len(self.leaves), np.random.default_rng(number)
        like = self.leaves if is_forward else self.outputs.values()
        vectors = [_random(rng, one) for one in like]
        kind = f"{'tangents' if is_forward else 'cotangents'}{number if number > 1 else ''}"
        names = self.keys if is_forward else list(self.outputs)

        def flat(moved: Sequence[Any]) -> list[Any]:
            inputs, vectors = list(moved[:count]), moved[count:]
            if is_forward:
                cast = [v.astype(a.dtype) for v, a in zip(vectors, inputs, strict=True)]
                return list(jax.jvp(self.flat, (inputs,), (cast,))[1])
            outputs, pullback = jax.vjp(self.flat, inputs)
            return list(
                pullback([v.astype(o.dtype) for v, o in zip(vectors, outputs, strict=True)])[0]
            )

        with self._with_bits(False):
            leaves = [*self.leaves, *map(Leaf, vectors)]
            found = flat([leaf.in_jax(leaf.values) for leaf in leaves])
        keys = [*self.keys, *((kind, *name) for name in names)]
        named = dict(zip(self.outputs if is_forward else self.keys, found, strict=True))
        return JaxFunction(keys, leaves, flat, named, self.x64, self.findings)

    def nested(self, arrays: Any) -> Any:
        """Return arrays of all moved inputs, in order, nested as `params`."""
        return nest(zip(self.keys, arrays, strict=True))

    def nested_outputs(self, arrays: Any) -> Any:
        """Return arrays of all `outputs`, in order, nested as these."""
        return nest(zip(self.outputs, arrays, strict=True))

    def _with_bits(self, is_wide: bool) -> contextlib.AbstractContextManager[None]:
        """Return a context in which JAX has 64 bits if they are needed."""
        context: contextlib.AbstractContextManager[None] = jax.enable_x64(self.x64 or is_wide)
        return context

    def _parts(self, arrays: Any) -> list[Any]:
        return [np.asarray(leaf_at(arrays, keys)) for keys in self.keys]

    def _in_jax(self, parts: Sequence[Any]) -> list[Any]:
        return [leaf.in_jax(part) for leaf, part in zip(self.leaves, parts, strict=True)]

    @contextlib.contextmanager
    def _moved(self, arrays: Any) -> Iterator[list[Any]]:
        """Yield arrays of JAX for nested ones; inside, JAX has the bits that they need."""
        parts = self._parts(arrays)
        with self._with_bits(self._is_wide(parts)):
            if not self._is_the_same(parts):
                raise TypeError(DISAGREES)
            yield self._in_jax(parts)

    def repeats(self) -> bool:
        """Whether another call at the point returns the same outputs."""
        with self._with_bits(False):
            found = self.flat(self._in_jax([leaf.values for leaf in self.leaves]))
            pairs = zip(map(as_array, found), map(as_array, self.outputs.values()), strict=True)
            return all(np.array_equal(one, other, equal_nan=True) for one, other in pairs)

    def agrees(self) -> bool:
        """Whether at the point the function with all inputs in float64 has the same values."""
        wide = [leaf.values.astype(np.float64) for leaf in self.leaves]
        with self._with_bits(True):
            if self._agrees is None and self._is_wide(wide):
                self._agrees = self._are_the_same(self.flat(self._in_jax(wide)))
        return self._agrees is not False

    def values(self, arrays: Any) -> Any:
        """Return the outputs as nested arrays; after a complex step, a real output is complex.

        Raises
        ------
        TypeError
            The arrays are wider than the inputs, and the function has other values then.
        """
        parts = self._parts(arrays)
        with self._with_bits(self._is_wide(parts)):
            # few real points are not worth compiling a loop, but an existing one is used
            is_complex = any(part.dtype.kind == "c" for part in parts)
            loop = self._loop_of(parts) if is_complex else self._loops.get(_dtypes(parts))
            if loop is None and not self._is_the_same(parts):
                raise TypeError(DISAGREES)
            found = self.flat(self._in_jax(parts)) if loop is None else loop.at(parts)
            return self.nested_outputs(self._outputs(found, parts))

    def values_at_points(self, points: Any) -> Any:
        """Return what `values` does of many points, along a leading axis, by a compiled loop.

        Where the stride of that axis is 0, an array is the same at all points.

        Raises
        ------
        ValueError
            The function has few entries, so that compiling takes longer than calling it.
        TypeError
            As `values` does.
        """
        if not self.is_large:
            raise ValueError("the function has few entries: it is called as it is")
        stacks = self._parts(points)
        with self._with_bits(self._is_wide(stacks)):
            if not self._is_the_same(stacks):
                raise TypeError(DISAGREES)
            program = self._stack_loop.at_points
            return self.nested_outputs(self._outputs(program(stacks), stacks))

    @functools.cached_property
    def _stack_loop(self) -> StackLoop:
        return StackLoop(self.flat, self.leaves)

    def values_at_entries(self, arrays: Any, number: int, entries: Any, values: Any) -> Any:
        """Return what `values` does where single entries of an input have other values.

        None if the function is not compiled.
        """
        parts = self._parts(arrays)
        with self._with_bits(self._is_wide(parts)):
            loop = self._loop_of(parts)
            if loop is None:
                return None
            found = loop.at_entries(parts, number, entries, values)
            moved = [np.array(part) for part in parts]
            moved[number].reshape(-1)[entries[0]] = values[0]
            if not _is_close([results[0] for results in found], loop.at(moved)):
                self._loops[_dtypes(parts)] = None
                return None
            return self.nested_outputs(self._outputs(found, parts))

    def _loop_of(self, parts: Sequence[Any]) -> Loop | None:
        """Return what evaluates the function of arrays of some dtypes in a compiled loop.

        None if the function has few entries, cannot be compiled, or has other values then at the
        point, by more than half of their digits.
        """
        key = _dtypes(parts)
        if key not in self._loops:
            self._loops[key] = None
            if sum(part.size for part in parts) >= LEAST:
                with contextlib.suppress(Exception):  # then the function is called as it is
                    loop = Loop(self.flat, self.leaves, [part.dtype for part in parts])
                    if self._are_the_same(loop.at(self._at_point(parts))):
                        self._loops[key] = loop
        return self._loops[key]

    def _at_point(self, parts: Sequence[Any]) -> list[Any]:
        """Return the point in the dtypes of some arrays."""
        return [leaf.values.astype(p.dtype) for leaf, p in zip(self.leaves, parts, strict=True)]

    def _is_the_same(self, parts: Sequence[Any]) -> bool:
        """Whether the function in the dtypes of some arrays has the same values at the point.

        In float64 it may draw other random numbers.
        """
        return not self._is_wide(parts) or self.agrees()

    def _is_wide(self, parts: Sequence[Any]) -> bool:
        return any(leaf.is_narrower_than(p) for leaf, p in zip(self.leaves, parts, strict=True))

    def _are_the_same(self, results: Sequence[Any]) -> bool:
        """Whether results are the outputs at the point, to half of the digits of their dtype.

        They may also differ as numbers of `COARSEST` do: float32 may be TF32 inside.
        """
        pairs = zip(results, map(np.asarray, self.outputs.values()), strict=True)
        return all(
            np.allclose(
                np.asarray(found).astype(complex),
                ours.astype(complex),
                rtol=0,
                atol=max(self.eps**0.5, COARSEST) * float(np.abs(ours).max(initial=0)),
                equal_nan=True,
            )
            for found, ours in pairs
        )

    def _outputs(self, results: Sequence[Any], parts: Sequence[Any]) -> list[Any]:
        """Return results as arrays; after a complex step, a real output may be complex."""
        is_step = any(part.dtype.kind == "c" for part in parts)
        if is_step and any(jnp.iscomplexobj(output) for output in self.outputs.values()):
            raise TypeError("a complex output has no complex step")
        return [
            np.asarray(result) if is_step and jnp.iscomplexobj(result) else as_array(result)
            for result in results
        ]

    def rounded(self, arrays: Any) -> Any:
        """Return arrays as the dtypes of the inputs round them."""
        with self._with_bits(False):
            return self.nested(map(as_array, self._in_jax(self._parts(arrays))))

    def rounded_cotangent(self, u: Any) -> Any:
        """Return a cotangent as the dtypes of the outputs round it."""
        with self._with_bits(False):
            return self.nested_outputs(
                as_array(part) for part in self._cotangents(u, self.outputs.values())
            )

    def _cotangents(self, u: Any, outputs: Any) -> list[Any]:
        return _vectors(u, self.outputs, outputs)

    def vjp(self, arrays: Any, u: Any) -> Any:
        """Return the gradients for a cotangent u, nested as `params`.

        Of a complex z = x + iy the gradient is the pair of those by x and by y.
        """
        with self._moved(arrays) as moved:
            shapes = self.outputs.values()
            if self._is_wide(self._parts(arrays)):
                shapes = jax.eval_shape(self.flat, moved)
            slopes = self._gradients(moved, [_conj(v) for v in self._cotangents(u, shapes)])
            return self.nested(as_array(_conj(slope)) for slope in slopes)

    def jvp(self, arrays: Any, v: Any) -> Any:
        """Return the derivatives of the outputs along a tangent v, by forward mode."""
        with self._moved(arrays) as moved:
            _, slopes = jax.jvp(self.flat, (moved,), (self._tangents(v, moved),))
            return self.nested_outputs(map(as_array, slopes))

    def linearized_jvp(self, arrays: Any, v: Any) -> Any:
        """Return what `jvp` returns, by `jax.linearize`."""
        with self._moved(arrays) as moved:
            _, along = jax.linearize(self.flat, moved)
            return self.nested_outputs(map(as_array, along(self._tangents(v, moved))))

    def _tangents(self, v: Any, moved: Sequence[Any]) -> list[Any]:
        return _vectors(v, self.keys, moved)


def _has_loops(jaxpr: Any) -> bool:
    """Whether a function has loops or branches, also inside of functions that it calls."""
    parts = [part for equation in jaxpr.eqns for part in equation.params.values()]
    parts = [one for part in parts for one in (part if isinstance(part, (list, tuple)) else [part])]
    inner = [getattr(part, "jaxpr", part) for part in parts]
    return any(equation.primitive.name in LOOPS for equation in jaxpr.eqns) or any(
        _has_loops(part) for part in inner if hasattr(part, "eqns")
    )


def _dtypes(parts: Sequence[Any]) -> str:
    return "".join(part.dtype.char for part in parts)


def _is_close(found: Sequence[Any], others: Sequence[Any]) -> bool:
    """Whether real and imaginary parts are the same to a thousandth."""
    pairs = [(one.real, other.real) for one, other in zip(found, others, strict=True)]
    pairs += [(one.imag, other.imag) for one, other in zip(found, others, strict=True)]
    return all(
        np.allclose(one, other, rtol=0, atol=1e-3 * np.abs(other).max(initial=0), equal_nan=True)
        for one, other in pairs
    )


def _reverse(flat: Flat, moved: list[Any], cotangents: list[Any]) -> list[Any]:
    """Return the gradients for cotangents of the outputs."""
    slopes: list[Any] = jax.vjp(flat, moved)[1](cotangents)[0]
    return slopes


def _batched(flat: Flat, moved: list[Any], cotangents: list[Any]) -> list[Any]:
    """Return the gradients from a batch of two cotangents, of which those given are the first."""
    pullback = jax.vjp(flat, moved)[1]
    (slopes,) = jax.vmap(pullback)([jnp.stack([u, 1 - u]) for u in cotangents])
    return [slope[0] for slope in slopes]


def _forward(
    flat: Flat, moved: list[Any], cotangents: list[Any], linearized: bool = False
) -> list[Any]:
    """Return the gradients by a derivative in forward mode along every entry."""
    if any(jnp.iscomplexobj(array) for array in (*moved, *cotangents)):
        raise TypeError("forward mode of complex numbers is not compared entry by entry")

    def along(number: int, unit: Any) -> Any:
        tangents = [unit if n == number else jnp.zeros_like(a) for n, a in enumerate(moved)]
        if linearized:
            slopes = jax.linearize(flat, moved)[1](tangents)
        else:
            slopes = jax.jvp(flat, (moved,), (tangents,))[1]
        pairs = zip(slopes, cotangents, strict=True)
        wide = [jnp.promote_types(s.dtype, np.float32) for s in slopes]
        return sum((s.astype(w) * u.astype(w)).sum() for (s, u), w in zip(pairs, wide, strict=True))

    gradients = []
    for number, array in enumerate(moved):
        units = jnp.eye(array.size, dtype=array.dtype).reshape(-1, *array.shape)
        gradients.append(jax.lax.map(partial(along, number), units).reshape(array.shape))
    return gradients


GRADIENTS: Mapping[str, Any] = {
    "reverse": _reverse,
    "batched": _batched,
    "forward": _forward,
    "linearized": partial(_forward, linearized=True),
}


def _conj(array: Any) -> Any:
    """Return the conjugate: in JAX a covector w of z = x + iy means Re(w δz)."""
    return jnp.conj(array) if jnp.iscomplexobj(array) else array


def _vectors(nested: Any, all_keys: Iterable[Keys], arrays: Iterable[Any]) -> list[Any]:
    """Return nested arrays as tangents or cotangents of arrays of JAX, in their dtypes."""
    vectors = []
    for keys, like in zip(all_keys, arrays, strict=True):
        part = np.asarray(leaf_at(nested, keys))
        if jnp.iscomplexobj(like):
            part = part[..., 0] + 1j * part[..., 1]
        vectors.append(jnp.asarray(np.array(part).astype(like.dtype)))
    return vectors


def _random(rng: np.random.Generator, like: Any) -> Any:
    """Return random numbers in the shape and the dtype of an array or a leaf."""
    shape = np.shape(like.values if isinstance(like, Leaf) else like)
    is_complex = jnp.issubdtype(like.dtype, jnp.complexfloating)
    if isinstance(like, Leaf) and is_complex:
        shape = shape[:-1]
    values = rng.standard_normal(shape)
    return (values + 1j * rng.standard_normal(shape) if is_complex else values).astype(like.dtype)
