"""PyTorch's operations in float64, also where a function asks for a narrower dtype."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map_only

__all__ = ["InFloat64"]

NARROW = {torch.float32: torch.float64, torch.float16: torch.float64, torch.bfloat16: torch.float64}
NARROW |= {torch.complex64: torch.complex128, torch.complex32: torch.complex128}


class InFloat64(TorchDispatchMode):  # type: ignore[misc,no-untyped-call,unused-ignore]
    """While it is entered, casts to narrower dtypes give float64, and so do new tensors.

    An operation on a tensor in float64 and a narrower one, such as a weight that a function closes
    over, is done in float64. What is written to memory from outside is rounded to its dtype.
    """

    def __torch_dispatch__(
        self,
        func: Any,
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Call an operation with wider arguments."""
        kwargs = dict(kwargs or {})
        tensors = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, torch.Tensor)]
        if kwargs.get("dtype") in NARROW:
            is_complex = any(tensor.is_complex() for tensor in tensors)
            kwargs["dtype"] = torch.complex128 if is_complex else NARROW[kwargs["dtype"]]
        if any(tensor.dtype in NARROW.values() for tensor in tensors):
            written = {
                a.name for a in func._schema.arguments if a.alias_info and a.alias_info.is_write
            }
            names = (argument.name for argument in func._schema.arguments)
            args = tuple(
                arg if name in written else _widened(arg)
                for name, arg in zip(names, args, strict=False)
            )
            kwargs = {k: arg if k in written else _widened(arg) for k, arg in kwargs.items()}
        result = func(*args, **kwargs)
        return result if tensors else _widened(result)


def _widened(argument: Any) -> Any:
    widen: Callable[[Any], Any] = lambda t: t.to(NARROW.get(t.dtype, t.dtype))  # noqa: E731
    return tree_map_only(torch.Tensor, widen, argument)
