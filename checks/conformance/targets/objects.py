"""A network that keeps its parameters in attributes, as a target."""

import inspect
import math
from collections.abc import Callable, Iterator, MutableMapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from checks.conformance.targets.target import Target
from checks.conformance.targets.target_interface import nearest, public_names

__all__ = ["from_object"]


def from_object(
    net: Any,
    names: Sequence[str],
    *,
    loss: Callable[..., Any] | str,
    gradient: Callable[..., Any] | str | None = None,
) -> Target:
    """Return an object that keeps its parameters in attributes as a target of the suite.

    Parameters
    ----------
    net
        The object, or a dict of arrays.
    names : sequence of str
        The attributes or keys that hold the parameters, from the first layer to the last, as
        ``["W1", "b1", "W2", "b2"]``. A name that begins with b, or with "bias" in it, is that of a
        bias (n,), (1, n), (n, 1) or a number; any other of a matrix, or of a vector (n,) for one
        output. An attribute may hold a list of arrays, one of each layer.
    loss : callable or str
        ``loss(x, y)`` returns the cost, or the cost and the gradient; or the name of this method.
    gradient : callable or str, optional
        ``gradient(x, y)`` or ``gradient()`` returns a dict by name, or the arrays in the order of
        the names, or None where it leaves them in attributes ``dW1``, ``db1``, … of the object.
        `loss` is called just before with the same x and y. Not needed if `loss` returns both.

    Returns
    -------
    Target
        For every call the attributes are bound to the arrays of the suite, and then to what they
        were before.

    Raises
    ------
    AttributeError
        There is no such attribute, key or method.
    TypeError, ValueError
        An attribute holds no array of floats, or there is no matrix. A call of the target raises
        where the object binds a parameter to another array, and where the gradient lacks one.
    """
    parameters = _Parameters(net, list(names))
    call_loss = _function(net, loss)
    call_gradient = None if gradient is None else _function(net, gradient)

    def cost(weights: Any, biases: Any, x: Any, y: Any) -> Any:
        with parameters.bound(weights, biases):
            result = call_loss(x, y)
        return result[0] if isinstance(result, tuple) else result

    def differentiate(weights: Any, biases: Any, x: Any, y: Any) -> Any:
        with parameters.bound(weights, biases):
            result = call_loss(x, y)
            if call_gradient is None:
                if not isinstance(result, tuple) or len(result) != 2:
                    raise TypeError(
                        "loss(x, y) returned no pair of cost and gradient: pass gradient="
                    )
                result = result[1]
            else:
                result = call_gradient(x, y) if _takes_batch(call_gradient) else call_gradient()
            return parameters.sorted(result, weights, biases)

    takes = {"outputs": (1, 1)} if parameters.has_one_output() else {}
    return Target(
        type(net).__name__, cost, differentiate, None, declared_takes=takes, names=frozenset()
    )


class _Parameters:
    """The attributes that hold the weights and the biases of an object."""

    def __init__(self, net: Any, names: list[str]) -> None:
        self.net, self.names = net, names
        self.weights: list[tuple[str, int | None, tuple[int, ...]]] = []
        self.biases: list[tuple[str, int | None, tuple[int, ...]]] = []
        for name in names:
            value = _attribute(net, name)
            short = name.rpartition(".")[2].lower().lstrip("_")
            kind = self.biases if short.startswith("b") or "bias" in short else self.weights
            arrays = value if isinstance(value, (list, tuple)) else [value]
            for place, array in enumerate(arrays):
                if np.asarray(array).dtype.kind not in "fi" or np.ndim(array) > 2:
                    raise TypeError(
                        f"{name} is {type(array).__name__} {np.shape(array)}, wanted an array of "
                        "floats with at most two axes"
                    )
                kind.append((name, place if arrays is value else None, np.shape(array)))
        if not self.weights:
            raise ValueError(f"names is {names}: wanted the name of a matrix among them, as W1")

    def has_one_output(self) -> bool:
        """Whether the last layer of the object has one output."""
        if self.biases:
            return math.prod(self.biases[-1][2]) == 1
        shape = self.weights[-1][2]
        return len(shape) == 1 or 1 in shape

    @contextmanager
    def bound(self, weights: Sequence[Any], biases: Sequence[Any]) -> Iterator[None]:
        """Bind the attributes to these arrays, and at the end to what they were before."""
        if len(weights) != len(self.weights):
            raise ValueError(f"it has {len(self.weights)} weights, not {len(weights)}")
        before = {name: _attribute(self.net, name) for name in self.names}
        bound: dict[str, Any] = {
            name: list(value) if isinstance(value, (list, tuple)) else value
            for name, value in before.items()
        }
        given = [*zip(self.weights, weights, strict=True), *zip(self.biases, biases, strict=False)]
        for (name, place, shape), array in given:
            own = _shaped(array, shape, name)
            if place is None:
                bound[name] = own
            else:
                bound[name][place] = own
        try:
            for name, value in bound.items():
                _bind(self.net, name, value)
            yield
            for name, value in bound.items():
                if _attribute(self.net, name) is not value:
                    raise ValueError(
                        f"a call binds {name} to another array, so the parameters that were passed "
                        "are not used: loss and gradient must leave them alone. Is a step of the "
                        "training among them?"
                    )
        finally:
            for name, value in before.items():
                _bind(self.net, name, value)

    def sorted(self, result: Any, weights: Any, biases: Any) -> tuple[list[Any], list[Any]]:
        """Return what a gradient returned as arrays for weights and for biases."""
        if result is None:
            result = {name: _attribute(self.net, f"d{name}") for name in self.names}
        if not isinstance(result, MutableMapping):
            if len(result) != len(self.names):
                raise ValueError(
                    f"the gradient has {len(result)} arrays, wanted one for each of {self.names}"
                )
            result = dict(zip(self.names, result, strict=True))
        missing = [name for name in self.names if name not in result]
        if missing:
            raise ValueError(f"the gradient has no {missing[0]!r}; it has {', '.join(result)}")
        sides = []
        for own, given in ((self.weights, weights), (self.biases, biases)):
            arrays = []
            for (name, place, _), array in zip(own, given, strict=False):
                value = np.asarray(result[name] if place is None else result[name][place])
                fits = value.shape == _shaped(array, self._shape(name, place), name).shape
                arrays.append(value.reshape(np.shape(array)) if fits else value)
            sides.append(arrays)
        return sides[0], sides[1]

    def _shape(self, name: str, place: int | None) -> tuple[int, ...]:
        return next(
            shape for n, p, shape in (*self.weights, *self.biases) if (n, p) == (name, place)
        )


def _shaped(array: Any, like: tuple[int, ...], name: str) -> Any:
    """Return a view of an array with the axes of another one: one, two, or none."""
    array = np.asarray(array)
    if len(like) == array.ndim == 2:
        return array
    if len(like) == 0:
        return array.reshape(())  # raises if there are several outputs
    if len(like) == 1:
        if array.ndim == 2 and 1 not in array.shape:
            raise ValueError(f"{name} is a vector: one output is wanted, not {array.shape}")
        return array.reshape(-1)
    return array.reshape((-1, 1) if like[1] == 1 else (1, -1))


def _function(net: Any, function: Callable[..., Any] | str) -> Callable[..., Any]:
    found: Callable[..., Any] = _attribute(net, function) if isinstance(function, str) else function
    return found


def _takes_batch(gradient: Callable[..., Any]) -> bool:
    try:
        parameters = inspect.signature(gradient).parameters.values()
    except (TypeError, ValueError):  # Python cannot read its signature
        return True
    return any(p.kind not in (p.KEYWORD_ONLY, p.VAR_KEYWORD) for p in parameters)


def _attribute(net: Any, name: str) -> Any:
    """Return an attribute, an attribute of an attribute, or the value of a key."""
    owner, name = _owner(net, name)
    if isinstance(owner, MutableMapping):
        if name in owner:
            return owner[name]
        known = [str(key) for key in owner]
    else:
        if hasattr(owner, name):
            return getattr(owner, name)
        known = public_names(owner)
    raise AttributeError(f"{type(owner).__name__} has no {name!r}{nearest(name, known)}")


def _bind(net: Any, name: str, value: Any) -> None:
    owner, name = _owner(net, name)
    if isinstance(owner, MutableMapping):
        owner[name] = value
    else:
        setattr(owner, name, value)


def _owner(net: Any, name: str) -> tuple[Any, str]:
    """Return the object that holds what a dotted name names, and the last part of the name."""
    path, _, last = name.rpartition(".")
    return (_attribute(net, path), last) if path else (net, last)
