"""The arrows between the rooms, read from the syntax trees."""

import ast
import importlib
from pathlib import Path

import pytest

import backprop

FILES = sorted(Path(backprop.__file__).parent.glob("*.py"))
LEAVES = {"activations", "costs", "parameters"}
FORMS = {"index_form", "chain_form", "matrix_form"}


def imported(path):
    """Modules imported at run time, those under ``if TYPE_CHECKING`` apart."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in tree.body:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            module = node.module or ""
            yield from (f"{module}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_arrows_point_one_way(path):
    modules = {name.split(".")[1] for name in imported(path) if name.startswith("backprop.")}
    assert not any(
        name.split(".")[0] in ("checks", "hypothesis", "pytest") for name in imported(path)
    )
    if path.stem in LEAVES | FORMS:
        assert modules <= LEAVES


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_all_is_what_the_module_defines(path):
    name = "backprop" if path.stem == "__init__" else f"backprop.{path.stem}"
    module = importlib.import_module(name)
    tree = ast.parse(path.read_text(encoding="utf-8"))
    defined = {n.name for n in tree.body if isinstance(n, ast.FunctionDef | ast.ClassDef)}
    public = {name for name in defined if not name.startswith("_")}
    assert public <= set(module.__all__)
    assert all(hasattr(module, name) for name in module.__all__)
