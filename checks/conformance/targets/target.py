"""A target: somebody's cost with its gradient, its step, or both, and how it is loaded."""

import importlib
import importlib.util
import math
import os
import re
import sys
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import ModuleType
from typing import Any

from backprop import Network, Parameters
from backprop.activations import ACTIVATIONS
from backprop.costs import COSTS
from checks.conformance.targets.takes import Takes
from checks.conformance.targets.target_interface import (
    EXAMPLE,
    SIGNATURES,
    Function,
    TargetError,
    declared_takes,
    find_function,
    find_known_name,
    listed,
    misspelt,
    nearest,
    public_names,
)

__all__ = ["EXAMPLE", "Target", "TargetError", "as_target", "load_target", "reference_target"]


@dataclass(frozen=True, eq=False)
class Target:
    """A cost with its gradient, its step, or both.

    Attributes
    ----------
    name : str
        The text by which it was asked for, as ``mynet:net``.
    cost : callable
        ``cost(weights, biases, x, y) -> float``; weights and biases are lists of arrays (n_l,
        n_{l-1}) and (n_l,), x and y hold one sample per row.
    gradient : callable or None
        ``gradient(weights, biases, x, y) -> (weights, biases)``.
    step : callable or None
        ``step(weights, biases, x, y, learning_rate) -> (weights, biases)``, or None where it
        updates in place.
    activation, cost_name : str
        Names in the reference's tables: what the target says that its cost is.
    takes : Takes
        What `targets.probe` has found that it takes.
    own : Target or None
        The target as it was loaded, with functions that take the arrays in its own form; None if
        this is that target.
    declared_takes : mapping
        What the target itself says that it takes, see `takes.read_declared`.
    names : set of str
        Which of activation and cost_name the target declares.
    rtol : float or None
        That of the checks; None for their default.
    deadline : float
        The value of `time.monotonic` at which the time for judging it is over.
    """

    name: str
    cost: Function
    gradient: Function | None
    step: Function | None
    activation: str = "logistic"
    cost_name: str = "mean_squared"
    takes: Takes = field(default_factory=Takes)
    own: "Target | None" = None
    declared_takes: Mapping[str, Any] = field(default_factory=dict)
    names: frozenset[str] = frozenset()
    rtol: float | None = None
    deadline: float = math.inf


def load_target(spec: str, directory: str | os.PathLike[str] = ".") -> Target:
    """Import a target.

    Parameters
    ----------
    spec : str
        ``mynet``, ``package.mynet`` or ``path/to/mynet.py``; after a colon, an object in it:
        ``mynet:obj``, ``mynet:obj.attribute``.
    directory : path
        Paths are relative to it, and modules are looked for there first.

    Raises
    ------
    TargetError
        There is no such target, it cannot be imported, or it is not as `as_target` needs it.
    """
    location, attributes = _split(spec)
    directory = Path(directory).absolute()
    is_path = location.endswith(".py") or any(mark in location for mark in "/\\")
    if is_path or ("." in location and (directory / location).is_file()):
        thing: Any = _load_file(location, directory)
    else:
        thing = _load_module(location, directory)
    found = location
    for attribute in attributes:
        try:
            thing = getattr(thing, attribute)
        except AttributeError:
            raise TargetError(
                f"{found} has no {attribute!r}{nearest(attribute, public_names(thing))}"
            ) from None
        found = f"{found}{':' if found == location else '.'}{attribute}"
    return as_target(thing, spec)


def as_target(thing: Any, name: str | None = None) -> Target:
    """Return a module, or any object with the attributes of a target, as a target.

    Raises
    ------
    TargetError
        It has no cost, or neither gradient nor step, or one of them cannot be called.
    """
    if isinstance(thing, Target):
        return thing if name is None else replace(thing, name=name)
    if name is None:
        name = getattr(thing, "__name__", type(thing).__name__)
    functions = {function: find_function(thing, function, name) for function in SIGNATURES}
    cost = functions["cost"]
    if cost is None:
        raise TargetError(f"{name} has no cost(weights, biases, x, y){misspelt(thing, 'cost')}")
    if functions["gradient"] is None and functions["step"] is None:
        hint = misspelt(thing, "gradient") or misspelt(thing, "step")
        raise TargetError(
            f"{name} has a cost, but neither gradient(weights, biases, x, y) nor "
            f"step(weights, biases, x, y, learning_rate){hint}"
        )
    return Target(
        name,
        cost,
        functions["gradient"],
        functions["step"],
        find_known_name(thing, "activation", name, ACTIVATIONS, "logistic"),
        find_known_name(thing, "cost_name", name, COSTS, "mean_squared"),
        declared_takes=declared_takes(thing, name),
        names=frozenset(n for n in ("activation", "cost_name") if hasattr(thing, n)),
    )


def reference_target(
    form: str = "matrix_form", activation: str = "logistic", cost_name: str = "mean_squared"
) -> Target:
    """Return the built-in reference as a target.

    Parameters
    ----------
    form : {"matrix_form", "chain_form", "index_form"}
        The form of its gradient.
    activation, cost_name : str
        As in `backprop.Network`.
    """
    differentiate = importlib.import_module(f"backprop.{form}").gradient

    def network(weights: Any, biases: Any) -> tuple[Network, Parameters]:
        theta = Parameters(weights, biases)
        return Network(theta.sizes, activation, cost_name), theta

    def cost(weights: Any, biases: Any, x: Any, y: Any) -> Any:
        net, theta = network(weights, biases)
        return net.cost(theta, x, y)

    def gradient(weights: Any, biases: Any, x: Any, y: Any) -> tuple[list[Any], list[Any]]:
        grad = differentiate(*network(weights, biases), x, y)
        return list(grad.weights), list(grad.biases)

    def step(
        weights: Any, biases: Any, x: Any, y: Any, learning_rate: float
    ) -> tuple[list[Any], list[Any]]:
        dw, db = gradient(weights, biases, x, y)
        # θ' = θ − η ∇C, where η is the learning rate and θ' the result
        return (
            [w - learning_rate * slope for w, slope in zip(weights, dw, strict=True)],
            [b - learning_rate * slope for b, slope in zip(biases, db, strict=True)],
        )

    names = frozenset({"activation", "cost_name"})
    name = f"the reference's {form}"
    return Target(name, cost, gradient, step, activation, cost_name, names=names)


def _split(spec: str) -> tuple[str, list[str]]:
    """Split at the colon into module or file, and attributes; the C: of a path is not split."""
    drive = spec[:2] if re.match(r"[A-Za-z]:[\\/]", spec) else ""
    location, colon, inside = spec.removeprefix(drive).partition(":")
    attributes = inside.split(".") if colon else []
    if not location:
        problem = "names an object, but no module before the colon" if colon else "is empty"
    elif not all(map(str.isidentifier, attributes)):
        problem = "names no object behind the colon"
    else:
        return drive + location, attributes
    raise TargetError(f"the target {spec!r} {problem}: wanted mynet, mynet:obj or path/to/mynet.py")


def _load_module(name: str, directory: Path) -> ModuleType:
    if not all(map(str.isidentifier, name.split("."))):
        raise TargetError(
            f"{name!r} is not the name of a module: wanted mynet, mynet:obj or path/to/mynet.py"
        )
    _put_first_on_path(directory)
    with _import_errors_explained(name):
        try:
            return importlib.import_module(name)
        except ModuleNotFoundError as error:
            # if another module is missing, it is one that the target imports
            if error.name != name and not name.startswith(f"{error.name}."):
                raise
            modules = [file.removesuffix(".py") for file in _python_files(directory)]
            raise TargetError(
                f"there is no module {error.name!r} in {directory} or elsewhere on Python's path"
                f"{nearest(name, modules)}"
            ) from None


def _load_file(location: str, directory: Path) -> ModuleType:
    path = directory / location
    if path.is_dir():
        raise TargetError(
            f"{location} is a directory: name a file in it{listed(_python_files(path))}"
        )
    if not path.is_file():
        near = nearest(path.name, _python_files(path.parent))
        raise TargetError(f"there is no file {path}{near}")
    if path.suffix != ".py":
        raise TargetError(f"{location} is not a Python file: wanted a name that ends in .py")
    _put_first_on_path(path.parent)  # the file may import its neighbours
    # a module that is already imported under this name must not be replaced
    name = path.stem if path.stem not in sys.modules else f"_target_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        with _import_errors_explained(location):
            spec.loader.exec_module(module)
    except TargetError:
        del sys.modules[name]
        raise
    return module


def _python_files(directory: Path) -> list[str]:
    return [path.name for path in directory.glob("*.py")]


def _put_first_on_path(directory: Path) -> None:
    if sys.path[:1] != [str(directory)]:
        sys.path.insert(0, str(directory))
    importlib.invalidate_caches()


@contextmanager
def _import_errors_explained(name: str) -> Iterator[None]:
    """Turn any error of an import into a TargetError that names the file and the line."""
    try:
        yield
    except TargetError:
        raise
    except SyntaxError as error:
        raise TargetError(
            f"{name} is not valid Python: {error.filename}, line {error.lineno}: {error.msg}"
        ) from error
    except (Exception, SystemExit) as error:
        frame = traceback.extract_tb(error.__traceback__)[-1]
        raise TargetError(
            f"{name} cannot be imported: it raises {type(error).__name__}: {error} "
            f"({frame.filename}, line {frame.lineno})"
        ) from error
