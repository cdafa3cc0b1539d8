"""Samples of PyTorch's own operator database, and mistakes planted in their gradients."""

import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from torch.utils._pytree import tree_flatten, tree_map, tree_unflatten

__all__ = ["ENTRIES", "MISTAKES", "Sample", "operators", "planted", "samples"]

ENTRIES = 1000  # larger samples are left out if there are others: gradcheck takes seconds for them
SEED = 20
FACTORS = {"entry × 1.001": 1.001, "entry zeroed": 0.0, "input × 1.001": 1.001}
MISTAKES = tuple(FACTORS)


@dataclass(frozen=True, eq=False)
class Sample:
    """A function of tensors, with its inputs.

    Attributes
    ----------
    name : str
        Of the operator, with that of the variant.
    number : int
        Of the sample in the database.
    """

    name: str
    number: int
    function: Callable[..., Any]
    inputs: tuple[Any, ...]
    kwargs: dict[str, Any]

    @property
    def moved(self) -> list[Any]:
        """The tensors that require a gradient."""
        return list(filter(_is_moved, tree_flatten((self.inputs, self.kwargs))[0]))

    @property
    def entries(self) -> int:
        """The number of entries of these."""
        return sum(tensor.numel() for tensor in self.moved)

    def of_moved(self, *moved: Any) -> tuple[Any, ...]:
        """Return all outputs that require a gradient: the function as gradcheck takes it."""
        leaves, nesting = tree_flatten((self.inputs, self.kwargs))
        left = iter(moved)
        leaves = [next(left) if _is_moved(leaf) else leaf for leaf in leaves]
        inputs, kwargs = tree_unflatten(leaves, nesting)
        return tuple(filter(_is_moved, tree_flatten(self.function(*inputs, **kwargs))[0]))


def _is_moved(leaf: Any) -> bool:
    return isinstance(leaf, torch.Tensor) and leaf.requires_grad


@cache
def operators() -> dict[str, Any]:
    """Return the operators that have derivatives in float64, by name."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from torch.testing._internal.common_methods_invocations import op_db
    return {
        ".".join(filter(None, (op.name, op.variant_test_name))): op
        for op in op_db
        if op.supports_autograd and op.supports_dtype(torch.float64, "cpu")
    }


def samples(name: str, op: Any, count: int) -> Iterator[Sample]:
    """Yield up to `count` samples of an operator, from the first to the last, evenly spaced.

    Where all have too many entries, it is the smallest one.
    """
    torch.manual_seed(SEED)
    found = []
    for number, sample in enumerate(op.sample_inputs("cpu", torch.float64, requires_grad=True)):
        inputs = (sample.input, *sample.args)
        found.append(Sample(name, number, _function(op, sample), inputs, sample.kwargs))
    found = [sample for sample in found if sample.entries]
    small = [sample for sample in found if sample.entries <= ENTRIES]
    found = small or sorted(found, key=lambda sample: sample.entries)[:1]
    chosen = {round(k * (len(found) - 1) / max(count - 1, 1)) for k in range(count)}
    yield from (found[k] for k in sorted(chosen) if k < len(found))


def _function(op: Any, sample: Any) -> Callable[..., Any]:
    def function(*inputs: Any, **kwargs: Any) -> Any:
        result = op.gradcheck_wrapper(op.get_op(), *inputs, **kwargs)
        return sample.output_process_fn_grad(result)

    return function


def planted(sample: Sample, mistake: str) -> Sample | None:
    """Return a sample with a mistake in the gradient by one of its inputs.

    The input is the one with the largest gradient for some cotangent; the entry is drawn from those
    of at least a hundredth of that. Returns None if the gradient is zero or by a sparse tensor.
    """
    torch.manual_seed(SEED)
    moved = sample.moved
    outputs = [output for output in sample.of_moved(*moved) if output.numel()]
    if not outputs:
        return None
    cotangents = [torch.randn_like(output) for output in outputs]
    grads = torch.autograd.grad(outputs, moved, cotangents, materialize_grads=True)
    sizes = [grad.to_dense().abs().nan_to_num(0) for grad in grads]
    size = max(sizes, key=lambda size: size.max().item() if size.numel() else 0.0)
    number = next(n for n, other in enumerate(sizes) if other is size)
    if not size.numel() or not size.max() or moved[number].layout is not torch.strided:
        return None
    large = torch.nonzero(size.reshape(-1) >= size.max() / 100).reshape(-1)
    entry = large[torch.randint(len(large), ())]
    factor = torch.full(size.shape, FACTORS[mistake], dtype=torch.float64)
    if mistake.startswith("entry"):
        factor.fill_(1.0).view(-1)[entry] = FACTORS[mistake]

    def change(grad: Any) -> Any:
        return None if grad is None else grad * factor.to(grad.dtype)  # wrong on purpose

    def function(*inputs: Any, **kwargs: Any) -> Any:
        places = iter(range(len(moved)))

        def tampered(leaf: Any) -> Any:
            if not _is_moved(leaf) or next(places, None) != number:
                return leaf
            copied = leaf.view_as(leaf)
            copied.register_hook(change)
            return copied

        inputs, kwargs = tree_map(tampered, (inputs, kwargs))
        return sample.function(*inputs, **kwargs)

    return Sample(sample.name, sample.number, function, sample.inputs, sample.kwargs)
