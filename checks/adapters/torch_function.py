"""A function of tensors as a function of nested arrays, with the derivatives that autograd has."""

import contextlib
import copy
import warnings
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import torch
from torch.autograd import forward_ad

from checks.adapters.keyed_nesting import keyed_leaves, leaf_at, nest
from checks.adapters.torch_float64 import InFloat64
from checks.adapters.torch_memory import DTYPES, SPARSE, as_array, memory_of, stored_values, strided
from checks.parameters.layouts import overwritten
from checks.parameters.nesting import Nesting

__all__ = [
    "NoGradient",
    "TensorFunction",
    "are_equal",
    "cotangent",
    "in_float64",
    "restored",
    "vmap",
]

NO_INPUT = (
    "no input is a tensor that requires a gradient, wanted at least one: call requires_grad_() on "
    "those whose gradient is to be checked"
)
NO_SECOND = (
    "the gradient of the function stays the same where its inputs and the cotangents move, wanted "
    "one that does not: there is no second derivative to check"
)
NO_OUTPUT = (
    "no output of the function is a tensor that requires a gradient, wanted at least one: does it "
    "detach its result, compute under no_grad, or return integers?"
)


class NoGradient(ValueError):  # noqa: N818 — says what was found
    """No output of a function requires a gradient.

    Attributes
    ----------
    is_constant : bool
        Whether the outputs stay the same where the inputs are moved.
    """

    def __init__(self, text: str, is_constant: bool) -> None:
        super().__init__(text)
        self.is_constant = is_constant


@dataclass(frozen=True)
class FirstGradient:
    """The gradients of a function by its inputs, as a function of these and of cotangents.

    Attributes
    ----------
    function
    paths : tuple of str
        The inputs that are moved, as in "inputs[0]".
    numbers : tuple of int
        The outputs that have a cotangent, by their places in all of the result.
    """

    function: Callable[..., Any]
    paths: tuple[str, ...]
    numbers: tuple[int, ...]

    def __call__(self, *arguments: Any, **kwargs: Any) -> Any:
        """Return the gradients; None where there is none.

        All depend on the inputs for autograd: what the backward pass detaches has a derivative of
        zero, and is not taken for a constant.
        """
        moved, gradients = self.gradients(*arguments, **kwargs)
        return [
            leaf if leaf is None or leaf.requires_grad else _depending(leaf, moved[0])
            for leaf in gradients
        ]

    def gradients(self, *arguments: Any, **kwargs: Any) -> tuple[list[Any], list[Any]]:
        """Return the tensors that are moved, and the gradients by them as autograd returns them."""
        count = len(arguments) - len(self.numbers)
        inputs, cotangents = arguments[:count], arguments[count:]
        given = Nesting({"inputs": inputs, "kwargs": kwargs}).leaves
        moved = [given[path].requires_grad_() for path in self.paths]
        leaves = dense_leaves(self.function(*inputs, **kwargs))
        outputs = [leaves[n][1] for n in self.numbers]
        gradients = torch.autograd.grad(
            outputs, moved, cotangents, create_graph=True, allow_unused=True
        )
        return moved, [leaf for _, leaf in dense_leaves(gradients)]


def _depending(gradient: Any, tensor: Any) -> Any:
    """Return a gradient that depends on a tensor for autograd, with a derivative of zero."""
    never = torch.zeros((), dtype=torch.bool, device=gradient.device)
    return torch.where(never, tensor.sum().real.to(gradient.dtype), gradient)


class TensorFunction:
    """A function of tensors, at a point.

    Parameters
    ----------
    function
        Returns a tensor or any nesting of tensors and other things.
    inputs, kwargs
        Any nesting. Tensors that require a gradient are moved, all else is constant.
    cotangents
        Further positional arguments of a function that `gradient` returns.
    wide : bool
        Whether the function computes in float64 whatever dtypes it asks for inside.

    Attributes
    ----------
    params
        The arrays of the inputs that are moved, nested as these.
    keys : list of tuple
        Where those stand, as in ("inputs", 0, "w").
    memories : list of Memory
        How they lie in memory.
    outputs : dict of tuple to tensor
        The outputs at the point that require a gradient, by where they stand in the result.
    eps : float
        The spacing of numbers at 1 in the coarsest dtype of these inputs and outputs.

    Raises
    ------
    TypeError, ValueError
        No input requires a gradient, or one has a dtype that is not taken.
    NoGradient
        No output requires a gradient.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        inputs: Sequence[Any],
        kwargs: Mapping[str, Any],
        cotangents: Sequence[Any] = (),
        wide: bool = False,
    ) -> None:
        given = {"inputs": tuple(inputs), "kwargs": dict(kwargs), "cotangents": tuple(cotangents)}
        self._nesting = Nesting(given)
        self._function, self._wide_function = function, function
        self._is_wide = wide
        self._casts: bool | None = None
        self._constants: dict[str, Any] = {}
        self._wide_constants: dict[str, Any] = {}
        self.keys, self.memories, self._paths = [], [], []
        for (keys, leaf), path in zip(keyed_leaves(given), self._nesting.leaves, strict=True):
            if not isinstance(leaf, torch.Tensor):
                continue
            if leaf.requires_grad:
                self.keys.append(keys)
                self.memories.append(memory_of(leaf, path))
                self._paths.append(path)
            else:
                self._constants[path] = leaf
        if not self.keys:
            raise ValueError(NO_INPUT)
        self.params = self.nested(memory.values for memory in self.memories)
        with self.calling(self.params) as (_, leaves):
            self._numbers = [
                n
                for n, (_, leaf) in enumerate(leaves)
                if isinstance(leaf, torch.Tensor) and leaf.requires_grad
            ]
            self.outputs = {leaves[n][0]: leaves[n][1].detach() for n in self._numbers}
        if not self.outputs:
            raise NoGradient(NO_OUTPUT, self._is_constant())
        if cotangents and self._is_constant():
            raise NoGradient(NO_SECOND, is_constant=True)
        for keys, output in self.outputs.items():
            as_array(output, ".".join(map(str, ("output", *keys))))
        dtypes = [memory.dtype for memory in self.memories]
        dtypes += [output.dtype for output in self.outputs.values()]
        self.eps = max(torch.finfo(dtype).eps for dtype in dtypes)
        self._unused: list[int] = []
        self._passes, self._calls_between, self._has_zero_tangents = 1, False, True
        self._needs_grad = self._differs_without_grad()

    @property
    def order(self) -> int:
        """Which derivative of the caller's function its derivative is."""
        return 2 if isinstance(self._function, FirstGradient) else 1

    def _is_constant(self) -> bool:
        """Whether all floats that the function returns stay the same where its inputs move."""
        rng, moved = np.random.default_rng(0), []
        for values in (memory.values for memory in self.memories):
            # far enough to show in 16 bits
            step = rng.uniform(-1 / 16, 1 / 16, values.shape) * np.where(values, values, 1)
            moved.append((values + step).astype(values.dtype))
        try:
            results = [self._floats(arrays) for arrays in (self.params, self.nested(moved))]
        except Exception:  # outside of the domain of the function
            return False
        return len(results[0]) == len(results[1]) and all(map(torch.equal, *results))

    def _floats(self, arrays: Any) -> list[Any]:
        with self.calling(arrays) as (_, leaves):
            tensors = (leaf for _, leaf in leaves if isinstance(leaf, torch.Tensor))
            return [tensor for tensor in tensors if tensor.dtype in DTYPES]

    def nested(self, arrays: Any) -> Any:
        """Return arrays of all moved inputs, in order, nested as `params`."""
        return nest(zip(self.keys, arrays, strict=True))

    def nested_outputs(self, arrays: Any) -> Any:
        """Return arrays of all `outputs`, in order, nested as these."""
        return nest(zip(self.outputs, arrays, strict=True))

    @contextlib.contextmanager
    def calling(self, arrays: Any, requires_grad: bool = True) -> Iterator[tuple[Any, Any]]:
        """Call the function; yield the moved tensors, and all of the result with its keys.

        Where an array is in a wider dtype than its input, constants are cast to float64 too. What
        the function changes of its constants is changed back at the end of the block, because a
        backward pass may need it.
        """
        parts = [leaf_at(arrays, keys) for keys in self.keys]
        pairs = list(zip(self.memories, parts, strict=True))
        moved = [memory.tensor(array).requires_grad_(requires_grad) for memory, array in pairs]
        with self._called(moved, any(m.is_narrower_than(a) for m, a in pairs)) as leaves:
            yield moved, leaves

    def _called(
        self, moved: Sequence[Any], wide: bool
    ) -> contextlib.AbstractContextManager[list[Any]]:
        wide = wide or self._is_wide
        if wide and self._casts is None:
            self._casts = self._casts_in_float64()
        function, constants = self._in_float64() if wide else (self._function, self._constants)
        moved_by_path = dict(zip(self._paths, moved, strict=True))
        given = self._nesting.rebuild({**self._nesting.leaves, **constants, **moved_by_path})
        arguments, kwargs = (*given["inputs"], *given["cotangents"]), given["kwargs"]
        inner = function.function if isinstance(function, FirstGradient) else function
        buffers = inner.buffers() if isinstance(inner, torch.nn.Module) else ()
        kept, lifts = [*constants.values(), *buffers], wide and self._casts
        if not kept and not lifts:
            return contextlib.nullcontext(dense_leaves(function(*arguments, **kwargs)))
        return _protected(kept, lifts, lambda: dense_leaves(function(*arguments, **kwargs)))

    def _casts_in_float64(self) -> bool:
        """Whether the function, called in float64, fails or computes in a narrower dtype inside."""
        results = list[Any]()
        for casts in (False, True):
            self._casts = casts
            moved = [
                memory.tensor(memory.values.astype(np.float64)).requires_grad_()
                for memory in self.memories
            ]
            try:
                with self._called(moved, True) as leaves:
                    tensors = [leaf for _, leaf in leaves if isinstance(leaf, torch.Tensor)]
                    results.append([tensor.detach().clone() for tensor in tensors])
            except Exception:  # its weights are float32, for example
                results.append(None)
        plain, lifted = results
        if plain is None or lifted is None:
            return lifted is not None
        same = all(
            a.dtype == b.dtype and torch.equal(a, b) for a, b in zip(plain, lifted, strict=True)
        )
        return not same

    def _output_tensors(self, wide: bool, *moved: Any) -> tuple[Any, ...]:
        with self._called(moved, wide) as leaves:
            return tuple(leaves[n][1] for n in self._numbers)

    def _in_float64(self) -> tuple[Callable[..., Any], dict[str, Any]]:
        """Return the function and its constants for inputs in float64."""
        if not self._wide_constants:
            self._wide_constants = {p: in_float64(t) for p, t in self._constants.items()}
            self._wide_function = in_float64(self._function)
        return self._wide_function, self._wide_constants

    def _differs_without_grad(self) -> bool:
        """Whether the function fails or gives other values under no_grad, which would save time."""
        try:
            with torch.no_grad(), self.calling(self.params, requires_grad=False) as (_, leaves):
                return not all(
                    torch.equal(leaves[n][1], output)
                    for n, output in zip(self._numbers, self.outputs.values(), strict=True)
                )
        except Exception:  # whatever it is: go on with gradients enabled, as at first
            return True

    def values(self, arrays: Any) -> Any:
        """Return the outputs that require a gradient, as nested arrays."""
        with (
            torch.set_grad_enabled(self._needs_grad),
            self.calling(arrays, self._needs_grad) as (_, leaves),
        ):
            return self.nested_outputs(
                self._value(leaves[n][1], output, arrays)
                for n, output in zip(self._numbers, self.outputs.values(), strict=True)
            )

    def at_point(self) -> Any:
        """Return what `values` does at the point, without a call."""
        return self.nested_outputs(map(as_array, self.outputs.values()))

    def values_at_points(self, points: Any) -> Any:
        """Return what `values` does of many points, by `torch.func.vmap`.

        The arrays have a leading axis; where its stride is 0, they are the same at all points.
        """
        stacks = [leaf_at(points, keys) for keys in self.keys]
        pairs = list(zip(self.memories, stacks, strict=True))
        wide = any(memory.is_narrower_than(stack) for memory, stack in pairs)
        axes = [0 if stack.strides[0] else None for stack in stacks]
        tensors = [
            memory.tensor(stack if axis == 0 else stack[0])
            for (memory, stack), axis in zip(pairs, axes, strict=True)
        ]

        outputs = partial(self._output_tensors, wide)
        with torch.set_grad_enabled(self._needs_grad):
            results = vmap(outputs, tensors, 0 if None not in axes else tuple(axes))
        return self.nested_outputs(
            self._value(result, output, points)
            for result, output in zip(results, self.outputs.values(), strict=True)
        )

    def _value(self, result: Any, output: Any, arrays: Any) -> Any:
        """Return one output as an array; after a complex step, a real output may be complex."""
        if result.is_complex() and not output.is_complex():
            return result.detach().resolve_conj().resolve_neg().cpu().numpy()
        if output.is_complex() and any(leaf_at(arrays, k).dtype.kind == "c" for k in self.keys):
            raise TypeError("a complex output has no complex step")
        return as_array(result)

    def rounded(self, arrays: Any) -> Any:
        """Return arrays as the dtypes of the inputs round them."""
        return self.nested(
            memory.gradient(memory.tensor(leaf_at(arrays, keys)))
            for keys, memory in zip(self.keys, self.memories, strict=True)
        )

    def rounded_cotangent(self, u: Any) -> Any:
        """Return a cotangent as the dtypes of the outputs round it."""
        return self.nested_outputs(
            as_array(cotangent(leaf_at(u, keys), output)) for keys, output in self.outputs.items()
        )

    def gradient(self, cotangents: Sequence[Any]) -> "TensorFunction":
        """Return the gradients by the inputs, as a function of these and of cotangents.

        Parameters
        ----------
        cotangents
            Tensors, one for each of `outputs`; those that require a gradient are moved too.
        """
        first = FirstGradient(self._function, tuple(self._paths), tuple(self._numbers))
        given = self._nesting.params
        return TensorFunction(first, given["inputs"], given["kwargs"], cotangents)

    def twin(
        self, function: Callable[..., Any] | None = None, wide: bool = False
    ) -> "TensorFunction":
        """Return this or another function at the same point, or at that in float64."""
        given, function = self._nesting, function or self._function
        if wide:
            function = in_float64(function)
            leaves = {path: in_float64(leaf) for path, leaf in given.leaves.items()}
            given = Nesting(given.rebuild(leaves))
        inputs, kwargs, cotangents = given.params.values()
        return TensorFunction(function, inputs, kwargs, cotangents, wide)

    def without(self, unused: Container[int]) -> "TensorFunction":
        """Return this function without some of its `outputs`, by their places in the order.

        The backward pass gets None for their cotangents, as where a loss does not use them.
        """
        part = copy.copy(self)
        items = list(enumerate(zip(self._numbers, self.outputs.items(), strict=True)))
        kept = [item for place, item in items if place not in unused]
        part._unused = [n for place, (n, _) in items if place in unused]
        part._numbers, part.outputs = [n for n, _ in kept], dict(output for _, output in kept)
        return part

    def passed_twice(self) -> "TensorFunction":
        """Return this function with the gradients of a second backward pass through one graph."""
        part = copy.copy(self)
        part._passes = 2
        return part

    def vjp(self, arrays: Any, u: Any) -> Any:
        """Return the gradients for a cotangent u, nested as `params`.

        The backward pass gets a cotangent of the same strides. If it changes that, u is changed.
        """
        with self.calling(arrays) as (moved, leaves):
            if self._calls_between:
                self._call_elsewhere()
            for left in reversed(range(self._passes)):
                gradients = self._gradients(moved, leaves, u, left > 0)
            return gradients

    def _gradients(self, moved: Any, leaves: Any, u: Any, retain_graph: bool = False) -> Any:
        """Return what `vjp` does, after a call of the function."""
        used = [
            (leaves[n][1], leaf_at(u, keys))
            for n, keys in zip(self._numbers, self.outputs, strict=True)
            if leaves[n][1].requires_grad
        ]
        unused = [leaves[n][1] for n in self._unused if leaves[n][1].requires_grad]
        if not used and not unused:
            return self.nested(np.zeros_like(memory.values) for memory in self.memories)
        cotangents = [cotangent(part, output) for output, part in used]
        before = [tensor.clone() for tensor in cotangents]
        slopes = torch.autograd.grad(
            [*(output for output, _ in used), *map(Unused.apply, unused)],
            moved,
            [*cotangents, *map(torch.zeros_like, unused)],
            retain_graph=retain_graph,
            materialize_grads=True,
        )
        for (_, part), after, tensor in zip(used, cotangents, before, strict=True):
            if not are_equal(after, tensor):
                part[...] = as_array(after)
        return self._nested_gradients(slopes)

    def is_detached(self) -> bool:
        """Whether it is a gradient that the backward pass computes but does not differentiate."""
        if not isinstance(self._function, FirstGradient):
            return False
        given = self._nesting.params
        _, gradients = self._function.gradients(
            *given["inputs"], *given["cotangents"], **given["kwargs"]
        )
        # the name is that of the node which `once_differentiable` leaves; a gradient that is the
        # cotangent itself has no node
        return any(
            leaf is not None
            and (
                not leaf.requires_grad
                or (leaf.grad_fn is not None and leaf.grad_fn.name() == "torch::autograd::Error")
            )
            for leaf in gradients
        )

    def reads_between_entries(self) -> bool:
        """Whether results are nan that are not if inputs are dense, without nan between entries."""
        if not any(output.isnan().any() for output in self.outputs.values()):
            return False
        moved = [memory.tensor(memory.values).contiguous() for memory in self.memories]
        with self._called([tensor.requires_grad_() for tensor in moved], False) as leaves:
            return not any(leaves[n][1].isnan().any() for n in self._numbers)

    def two_passes(self, u: Any) -> tuple[Any, Any, tuple[str, str]]:
        """Return the gradients of two backward passes through one graph, and what they write to.

        Before the second, the function is called at another point. The second are None where that
        pass raises: one pass may free its memory. Last comes which pass writes to an input that is
        moved, and which entry it changes; empty if none does. After a forward pass that does there
        is no backward pass.
        """
        moved = [memory.tensor(memory.values).requires_grad_() for memory in self.memories]

        def values() -> dict[str, Any]:
            pairs = zip(self.memories, moved, strict=True)
            arrays = (memory.gradient(tensor).copy() for memory, tensor in pairs)
            return dict(zip(self._paths, arrays, strict=True))

        before, second = values(), None
        with self._called(moved, False) as leaves:
            if change := overwritten(before, values()):
                return None, None, ("the forward pass", change)
            # copied, because the second pass may write to what the first has returned
            first = self._gradients(moved, leaves, u, retain_graph=True)
            first = self.nested(leaf_at(first, keys).copy() for keys in self.keys)
            change = overwritten(before, values())
            with contextlib.suppress(Exception):
                self._call_elsewhere()
                second = self._gradients(moved, leaves, u)
        return first, second, ("the backward pass", change) if change else ("", "")

    def _call_elsewhere(self) -> None:
        """Call the function at another point, as a model does that has it in several places."""
        others = [(m.values * (1 - 2.0**-6)).astype(m.values.dtype) for m in self.memories]
        with contextlib.suppress(Exception), self.calling(self.nested(others)):
            pass  # outside of its domain it may raise

    def called_between(self) -> "TensorFunction":
        """Return this function with another call of it before each backward pass."""
        part = copy.copy(self)
        part._calls_between = True
        return part

    def batched_vjp(self, arrays: Any, u: Any) -> Any:
        """Return what `vjp` returns, from a batch of two cotangents, of which u is the first."""
        with self.calling(arrays) as (moved, leaves):
            outputs = [leaves[n][1] for n in self._numbers]
            parts = [
                cotangent(leaf_at(u, keys), output)
                for keys, output in zip(self.outputs, outputs, strict=True)
            ]
            batch = [torch.stack([part, 1 - part]) for part in parts]

            def gradients(*cotangents: Any) -> Any:
                return torch.autograd.grad(outputs, moved, cotangents, materialize_grads=True)

            slopes = vmap(gradients, batch)
            return self._nested_gradients(slope[0] for slope in slopes)

    def _nested_gradients(self, slopes: Iterable[Any]) -> Any:
        pairs = zip(self.memories, slopes, strict=True)
        return self.nested(memory.gradient(slope) for memory, slope in pairs)

    def without_zero_tangents(self) -> "TensorFunction":
        """Return this function with no tangents in place of tangents that are all zero.

        So are inputs that are not differentiated.
        """
        part = copy.copy(self)
        part._has_zero_tangents = False
        return part

    def jvp(self, arrays: Any, v: Any) -> Any:
        """Return the derivatives of the outputs along a tangent v, by forward mode."""
        make_dual: Any = forward_ad.make_dual
        unpack_dual: Any = forward_ad.unpack_dual
        primals, tangents, wide = self._tangents(arrays, v)
        with warnings.catch_warnings(), forward_ad.dual_level():
            # PyTorch calls what it has itself deprecated
            warnings.simplefilter("ignore", DeprecationWarning)
            moved = [
                make_dual(primal, tangent)
                if self._has_zero_tangents or np.any(leaf_at(v, keys))
                else primal
                for keys, primal, tangent in zip(self.keys, primals, tangents, strict=True)
            ]
            with self._called(moved, wide) as leaves:
                duals = [unpack_dual(leaves[n][1]) for n in self._numbers]
                return self.nested_outputs(
                    as_array(torch.zeros_like(primal) if tangent is None else tangent)
                    for primal, tangent in duals
                )

    def batched_jvp(self, arrays: Any, v: Any) -> Any:
        """Return what `jvp` returns, from a batch of two tangents, of which v is the first."""
        primals, tangents, wide = self._tangents(arrays, v)
        batch = [torch.stack([tangent, 1 - tangent]) for tangent in tangents]

        outputs = partial(self._output_tensors, wide)

        def derivatives(*tangents: Any) -> Any:
            return torch.func.jvp(outputs, tuple(primals), tangents)[1]

        slopes = vmap(derivatives, batch)
        return self.nested_outputs(as_array(slope[0]) for slope in slopes)

    def _tangents(self, arrays: Any, v: Any) -> tuple[list[Any], list[Any], bool]:
        """Return moved tensors, their tangents, and whether they are wider than the inputs."""
        parts = [leaf_at(arrays, keys) for keys in self.keys]
        tangents = [np.asarray(leaf_at(v, keys)) for keys in self.keys]
        triples = list(zip(self.memories, parts, tangents, strict=True))
        return (
            [memory.tensor(array) for memory, array, _ in triples],
            [memory.tensor(tangent.astype(array.dtype)) for memory, array, tangent in triples],
            any(memory.is_narrower_than(array) for memory, array, _ in triples),
        )


def vmap(function: Callable[..., Any], tensors: Sequence[Any], axes: Any = 0) -> Any:
    """Return the function of tensors with a leading axis, by `torch.func.vmap`.

    Random numbers are those of a single call, so that a function that seeds them is taken.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # vmap warns of what it calls one by one
        return torch.func.vmap(function, in_dims=axes, randomness="same")(*tensors)


def dense_leaves(result: Any) -> list[Any]:
    """Return all leaves of a result, after their keys; sparse tensors are made dense."""

    def dense(leaf: Any) -> Any:
        is_sparse = isinstance(leaf, torch.Tensor) and leaf.layout in SPARSE
        return leaf.to_dense() if is_sparse else leaf

    return [(keys, dense(leaf)) for keys, leaf in keyed_leaves(result)]


class Unused(torch.autograd.Function):
    """A copy of an output that no loss uses: the cotangent of the output is None."""

    @staticmethod
    def forward(ctx: Any, output: Any) -> Any:
        return output.clone()

    @staticmethod
    def backward(ctx: Any, cotangent: Any) -> Any:
        return None


def cotangent(array: Any, output: Any) -> Any:
    """Return an array as a cotangent of an output: in its dtype, with the strides of the array."""
    if output.is_complex():
        pairs = np.ascontiguousarray(array)
        array = pairs.view(np.result_type(array.dtype, np.complex64)).reshape(output.shape)
    strides = [stride // array.itemsize for stride in array.strides]
    if any(stride < 0 for stride in strides):  # PyTorch has none
        array = array.copy()
        strides = [stride // array.itemsize for stride in array.strides]
    return strided(array, strides, 0, output.dtype, output.device)


@contextlib.contextmanager
def _protected(kept: Sequence[Any], lifts: Any, call: Callable[[], list[Any]]) -> Iterator[Any]:
    """Yield what a call returns, in float64 if it `lifts`; restore tensors at the end."""
    lifted: Any = InFloat64 if lifts else contextlib.nullcontext
    with restored(kept), lifted():
        yield call()


@contextlib.contextmanager
def restored(tensors: Sequence[Any]) -> Iterator[None]:
    """Give tensors their values back that a call changes."""
    stored = map(stored_values, tensors)
    before = [(values, values._version, values.clone()) for values in stored]
    try:
        yield
    finally:
        with torch.no_grad():
            for tensor, version, value in before:
                if tensor._version != version or not are_equal(tensor, value):
                    tensor.copy_(value)


def are_equal(one: Any, other: Any) -> bool:
    """Whether two tensors of one dtype have the same values."""
    if one.dtype is torch.complex32:  # for which PyTorch has no comparison
        one, other = map(torch.view_as_real, (one, other))
    return torch.equal(one, other)


def in_float64(thing: Any) -> Any:
    """Return a tensor or a module in float64, or complex128; anything else as it is."""
    if isinstance(thing, FirstGradient):
        return replace(thing, function=in_float64(thing.function))
    if isinstance(thing, torch.nn.Module):
        return copy.deepcopy(thing).double()
    if not isinstance(thing, torch.Tensor) or thing.dtype not in DTYPES:
        return thing
    return thing.to(torch.complex128 if thing.is_complex() else torch.float64)
