"""Loading targets, and what the error says of each thing that can be wrong with one."""

import math
import os
import pickle
import sys
from types import SimpleNamespace

import numpy as np
import pytest

from backprop import Network
from checks import check_gradient, check_step
from checks.conformance.targets.target import (
    EXAMPLE,
    TargetError,
    as_target,
    load_target,
    reference_target,
)
from checks.strategies import Problem

COST = "def cost(weights, biases, x, y): return 0.0\n"
GRADIENT = "def gradient(weights, biases, x, y): return weights, biases\n"
STEP = "def step(weights, biases, x, y, learning_rate): pass\n"


@pytest.fixture
def here(tmp_path, monkeypatch):
    """Work in an empty directory; forget the modules that a test imports from it."""
    before = set(sys.modules)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", sys.path[:])
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    yield tmp_path
    for name in set(sys.modules) - before:
        del sys.modules[name]


def write(path, *texts):
    path.parent.mkdir(exist_ok=True)
    path.write_text("".join(texts), encoding="utf-8")


# Targets that load.


@pytest.mark.parametrize(
    "spec", ["net_a", "net_a.py", "./net_a.py", "net_b:inside", "net_b:inside.deep", "sub/net_c.py"]
)
def test_loads(here, spec):
    write(here / "net_a.py", COST, GRADIENT)
    inside = "class inside:\n    cost, gradient = staticmethod(cost), staticmethod(gradient)\n"
    write(here / "net_b.py", COST, GRADIENT, inside, "inside.deep = inside()\n")
    write(here / "sub" / "net_c.py", "from beside import cost\n", GRADIENT)
    write(here / "sub" / "beside.py", COST)
    target = load_target(spec)
    assert target.name == spec
    assert target.cost([], [], 0, 0) == 0
    assert target.gradient([1], [2], 0, 0) == ([1], [2])
    assert target.step is None
    assert (target.activation, target.cost_name) == ("logistic", "mean_squared")


def test_loads_an_absolute_path_and_one_relative_to_a_directory(here):
    write(here / "sub" / "net_a.py", COST, STEP, "net = __import__(__name__)\n")
    assert load_target(f"{here / 'sub' / 'net_a.py'}:net").gradient is None
    assert load_target("net_a.py", here / "sub").step is not None


def test_the_colon_of_a_drive_names_no_object(here):
    with pytest.raises(TargetError, match=r"there is no file .*net\.py"):
        load_target("C:\\nets\\net.py")
    with pytest.raises(TargetError, match=r"there is no file .*net\.py"):
        load_target("C:/nets/net.py:obj")


def test_a_file_is_not_mistaken_for_a_module_of_its_name(here):
    write(here / "json.py", COST, GRADIENT)
    import json

    assert load_target("json.py").gradient is not None
    assert sys.modules["json"] is json


def test_the_directory_comes_first_on_the_path(here, monkeypatch):
    monkeypatch.delitem(sys.modules, "colorsys", raising=False)  # another test may have imported it
    write(here / "colorsys.py", COST, GRADIENT)  # the standard library has a module of this name
    assert load_target("colorsys").gradient is not None


def test_objects_are_targets(here):
    class Net:
        activation = "tanh"
        cost_name = "half_squared"

        def cost(self, weights, biases, x, y, penalty=0.0):
            return 0.0

        def gradient(self, *arguments):
            return arguments[:2]

    target = as_target(Net())
    assert (target.name, target.activation, target.cost_name) == ("Net", "tanh", "half_squared")
    assert as_target(target) is target
    assert as_target(target, "another").name == "another"
    # a function whose signature Python cannot tell is accepted
    assert as_target(SimpleNamespace(cost=math.hypot, gradient=max)).gradient is max


def test_the_example_is_a_right_target(here):
    write(here / "example.py", EXAMPLE)
    target, reference = load_target("example"), reference_target()
    problem = Problem.generate((3, 4, 2), samples=5, seed=1)
    arguments = arguments_of(problem)
    assert target.cost(*arguments) == pytest.approx(reference.cost(*arguments), rel=1e-14)
    assert check(target, problem)


@pytest.mark.parametrize("form", ["matrix_form", "chain_form", "index_form"])
def test_the_reference_is_a_right_target(form):
    target = reference_target(form, "tanh", "half_squared")
    problem = Problem.generate((3, 2, 2), samples=2, seed=1)
    net = Network(problem.sizes, "tanh", "half_squared")
    theta = net.random_parameters(np.random.default_rng(0))
    problem.weights[:], problem.biases[:] = theta.weights, theta.biases
    assert target.cost(*arguments_of(problem)) == net.cost(theta, problem.x, problem.y)
    assert all(isinstance(part, list) for part in target.gradient(*arguments_of(problem)))
    assert check(target, problem)
    assert check_step(
        lambda p: target.cost(*p, problem.x, problem.y),
        lambda p, rate: target.step(*p, problem.x, problem.y, rate),
        (problem.weights, problem.biases),
    )


def arguments_of(problem):
    return problem.weights, problem.biases, problem.x, problem.y


def check(target, problem):
    return check_gradient(
        lambda p: target.cost(*p, problem.x, problem.y),
        lambda p: target.gradient(*p, problem.x, problem.y),
        (problem.weights, problem.biases),
    )


# What can be wrong: a spec, the text of the module bad.py, and a part of the error.

BAD = {
    "empty": ("", "", "the target '' is empty: wanted mynet, mynet:obj or path/to/mynet.py"),
    "no object": ("bad:", "", "the target 'bad:' names no object behind the colon"),
    "two colons": ("bad:a:b", "", "names no object behind the colon"),
    "no module before the colon": (":net", "", "names an object, but no module before the colon"),
    "no name": ("my-net", "", "'my-net' is not the name of a module"),
    "no module": ("nowhere_", "", "there is no module 'nowhere_' in {here} or elsewhere"),
    "no module, but a near name": ("bda", "", "path; did you mean 'bad'?"),
    "no module in a package": ("json.nowhere_", "", "there is no module 'json.nowhere_'"),
    "no file": ("sub/bad.py", "", "there is no file {here}{sep}sub{sep}bad.py"),
    "no file, but a near name": ("baad.py", "", "baad.py; did you mean 'bad.py'?"),
    "a directory": ("../{name}/", "", "is a directory: name a file in it; there is bad.py"),
    "not Python": ("notes.txt", "", "notes.txt is not a Python file: wanted a name that ends in"),
    "syntax": ("bad", "x = 1\ndef (:\n", "bad is not valid Python: {here}{sep}bad.py, line 2: "),
    "syntax in a file": ("./bad.py", "x = = 1", "bad.py, line 1: invalid syntax"),
    "raises": ("bad", "\n1 / 0", "bad cannot be imported: it raises ZeroDivisionError: division"),
    "raises, and where": ("bad", "\n1 / 0", "({here}{sep}bad.py, line 2)"),
    "exits": ("bad", "import sys\nsys.exit(3)", "it raises SystemExit: 3"),
    "imports nothing there": ("bad", "import nowhere_", "No module named 'nowhere_'"),
    "no attribute": ("bad:net", "network = 1", "bad has no 'net'; did you mean 'network'?"),
    "no attribute at all alike": ("bad:q", "network = 1", "bad has no 'q'; there is network"),
    "no attribute further in": ("bad:a.b", "a = 1", "bad:a has no 'b'; there is as_integer_ratio"),
    "no cost": ("bad", GRADIENT, "bad has no cost(weights, biases, x, y)\n"),
    "loss": ("bad", f"loss = 1\n{GRADIENT}", "it has loss: rename it, or add the line cost = loss"),
    "cost not callable": ("bad", "cost = 3", "cost is 3: wanted a function, cost(weights, biases,"),
    "no gradient": ("bad", COST, "bad has a cost, but neither gradient(weights, biases, x, y) nor"),
    "grad": ("bad", f"{COST}grad = 1", "rename it, or add the line gradient = grad"),
    "gradiant": ("bad", f"{COST}gradiant = 1", "rename it, or add the line gradient = gradiant"),
    "update": ("bad", f"{COST}update = 1", "it has update: rename it, or add the line step = up"),
    "gradient not callable": ("bad", f"{COST}gradient = []", "gradient is []: wanted a function"),
    "step not callable": ("bad", f"{COST}step = 0.1", "step is 0.1: wanted a function, step(weig"),
    "too few": ("bad", "def cost(theta, x, y): pass", "cost(theta, x, y) takes 3 arguments, wan"),
    "too many": (
        "bad",
        f"{COST}def gradient(weights, biases, x, y, cache): pass",
        "gradient(weights, biases, x, y, cache) needs 5 arguments, wanted 4",
    ),
    "no learning rate": (
        "bad",
        f"{COST}def step(weights, biases, x, y): pass",
        "wanted 5: the suite calls it as step(weights, biases, x, y, learning_rate)",
    ),
    "by keyword": (
        "bad",
        "def cost(weights, biases, x, *, y): pass",
        "has the keyword-only parameter 'y'",
    ),
    "another order": (
        "bad",
        "def cost(x, y, weights, biases): pass",
        "takes its arguments in another order ('x' is number 1): the suite calls it as cost(",
    ),
    "x after y": ("bad", "def cost(w, b, y, x): pass", "in another order ('y' is number 3)"),
    "a class": (
        "bad:Net",
        "class Net:\n    def cost(self, weights, biases, x, y): pass",
        "bad:Net is a class, and its cost takes self: make an instance in the module, net = Net()",
    ),
    "unknown activation": (
        "bad",
        f"{COST}{GRADIENT}activation = 'sigmoid'",
        "activation is 'sigmoid': wanted one of the reference's names: logistic, tanh, relu",
    ),
    "activation is a function": (
        "bad",
        f"{COST}{GRADIENT}def activation(z): pass",
        "activation is a function: wanted one of the reference's names",
    ),
    "unknown cost": (
        "bad",
        f"{COST}{GRADIENT}cost_name = 'mse'",
        "cost_name is 'mse': wanted one of the reference's names: mean_squared, half_",
    ),
}


@pytest.mark.parametrize(("spec", "text", "expected"), BAD.values(), ids=BAD)
def test_says_what_is_wrong_and_shows_a_target(here, spec, text, expected):
    write(here / "bad.py", text)
    write(here / "notes.txt", "")
    with pytest.raises(TargetError) as caught:
        load_target(spec.format(name=here.name))
    assert expected.format(here=here, sep=os.sep) in str(caught.value)
    assert str(caught.value).endswith(f"A target in a dozen lines:\n\n{EXAMPLE}")
    assert pickle.loads(pickle.dumps(caught.value)).problem == caught.value.problem


def test_a_failed_file_is_forgotten(here):
    write(here / "bad.py", "1 / 0")
    with pytest.raises(TargetError):
        load_target("bad.py")
    write(here / "bad.py", COST, GRADIENT)
    assert load_target("bad.py").gradient is not None
