"""What the gate is pointed at: somebody's cost with its gradient, its step, or both."""

import importlib
import importlib.util
import os
import re
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import Any

from backprop import Network, Parameters
from backprop.activations import ACTIVATIONS
from backprop.costs import COSTS
from checks.conformance.targets.target_interface import (
    EXAMPLE,
    SIGNATURES,
    Function,
    TargetError,
    find_function,
    find_table_row,
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
        As it was asked for.
    cost : callable
        ``cost(weights, biases, x, y) -> float``; weights and biases are lists of arrays (n_l,
        n_{l-1}) and (n_l,), x and y hold one sample per row.
    gradient : callable or None
        ``gradient(weights, biases, x, y) -> (weights, biases)``.
    step : callable or None
        ``step(weights, biases, x, y, learning_rate) -> (weights, biases)``, or None where it
        updates in place.
    activation, cost_name : str
        Rows of the reference's tables, which the target is compared with.
    """

    name: str
    cost: Function
    gradient: Function | None
    step: Function | None
    activation: str = "logistic"
    cost_name: str = "mean_squared"


def load_target(spec: str, directory: str | os.PathLike[str] = ".") -> Target:
    """Import a target.

    Parameters
    ----------
    spec : str
        ``mynet``, ``package.mynet`` or ``path/to/mynet.py``; behind a colon, an object in it:
        ``mynet:obj``, ``mynet:obj.attribute``.
    directory : path
        Where paths start, and modules are looked for first.

    Raises
    ------
    TargetError
        Whatever is wrong with it.
    """
    place, attributes = _split(spec)
    directory = Path(directory).absolute()
    is_path = place.endswith(".py") or any(mark in place for mark in "/\\")
    if is_path or ("." in place and (directory / place).is_file()):
        thing: Any = _load_file(place, directory)
    else:
        thing = _load_module(place, directory)
    so_far = place
    for attribute in attributes:
        try:
            thing = getattr(thing, attribute)
        except AttributeError:
            raise TargetError(
                f"{so_far} has no {attribute!r}{nearest(attribute, public_names(thing))}"
            ) from None
        so_far = f"{so_far}{':' if so_far == place else '.'}{attribute}"
    return as_target(thing, spec)


def as_target(thing: Any, name: str | None = None) -> Target:
    """Return a module, or any object with the attributes of a target, as a target.

    Raises
    ------
    TargetError
        As `load_target`.
    """
    if isinstance(thing, Target):
        return thing if name is None else replace(thing, name=name)
    if name is None:
        name = getattr(thing, "__name__", type(thing).__name__)
    functions = {wanted: find_function(thing, wanted, name) for wanted in SIGNATURES}
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
        find_table_row(thing, "activation", name, ACTIVATIONS, "logistic"),
        find_table_row(thing, "cost_name", name, COSTS, "mean_squared"),
    )


def reference_target(
    form: str = "matrix_form", activation: str = "logistic", cost_name: str = "mean_squared"
) -> Target:
    """Return the built-in reference as a target.

    Parameters
    ----------
    form : {"matrix_form", "chain_form", "index_form"}
        Which gradient.
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
        # θ' = θ − η ∇C
        return (
            [w - learning_rate * slope for w, slope in zip(weights, dw, strict=True)],
            [b - learning_rate * slope for b, slope in zip(biases, db, strict=True)],
        )

    return Target(f"the reference's {form}", cost, gradient, step, activation, cost_name)


def _split(spec: str) -> tuple[str, list[str]]:
    """Return the module or file, and the attributes behind the colon; a drive has one too."""
    drive = spec[:2] if re.match(r"[A-Za-z]:[\\/]", spec) else ""
    place, colon, inside = spec.removeprefix(drive).partition(":")
    attributes = inside.split(".") if colon else []
    if not place:
        what = "names an object, but no module before the colon" if colon else "is empty"
    elif not all(map(str.isidentifier, attributes)):
        what = "names no object behind the colon"
    else:
        return drive + place, attributes
    raise TargetError(f"the target {spec!r} {what}: wanted mynet, mynet:obj or path/to/mynet.py")


def _load_module(name: str, directory: Path) -> ModuleType:
    if not all(map(str.isidentifier, name.split("."))):
        raise TargetError(
            f"{name!r} is not the name of a module: wanted mynet, mynet:obj or path/to/mynet.py"
        )
    _first_on_path(directory)
    with _explained(name):
        try:
            return importlib.import_module(name)
        except ModuleNotFoundError as error:
            # any other name is of a module that the target imports
            if error.name != name and not name.startswith(f"{error.name}."):
                raise
            here = [file.removesuffix(".py") for file in _python_files(directory)]
            raise TargetError(
                f"there is no module {error.name!r} in {directory} or elsewhere on Python's path"
                f"{nearest(name, here)}"
            ) from None


def _load_file(place: str, directory: Path) -> ModuleType:
    path = directory / place
    if path.is_dir():
        raise TargetError(f"{place} is a directory: name a file in it{listed(_python_files(path))}")
    if not path.is_file():
        near = nearest(path.name, _python_files(path.parent))
        raise TargetError(f"there is no file {path}{near}")
    if path.suffix != ".py":
        raise TargetError(f"{place} is not a Python file: wanted a name that ends in .py")
    _first_on_path(path.parent)  # as where Python runs a file: for what lies beside it
    # another module of this name may be in use already
    name = path.stem if path.stem not in sys.modules else f"_target_{path.stem}"
    loader = importlib.util.spec_from_file_location(name, path)
    assert loader is not None
    assert loader.loader is not None
    module = importlib.util.module_from_spec(loader)
    sys.modules[name] = module
    try:
        with _explained(place):
            loader.loader.exec_module(module)
    except TargetError:
        del sys.modules[name]
        raise
    return module


def _python_files(directory: Path) -> list[str]:
    return [path.name for path in directory.glob("*.py")]


def _first_on_path(directory: Path) -> None:
    if sys.path[:1] != [str(directory)]:
        sys.path.insert(0, str(directory))
    importlib.invalidate_caches()


@contextmanager
def _explained(name: str) -> Iterator[None]:
    """Turn whatever an import raises into a TargetError that says where."""
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
