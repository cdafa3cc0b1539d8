"""The rooms of checks: each imports only from rooms below it, and no files import in a circle."""

import ast
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import checks

PACKAGE = Path(checks.__file__).parent
ROOT = PACKAGE.parent
FILES = sorted(path for name in ("backprop", "checks") for path in (ROOT / name).rglob("*.py"))
MODULES = {".".join(path.relative_to(ROOT).with_suffix("").parts): path for path in FILES}
# From top to bottom, as CONTRIBUTING.md draws it.
TOWER = (
    "__main__",
    "adapters",
    "conformance.suite",
    "pytest_plugin",
    "conformance.naming",
    "conformance.targets",
    "conformance.reference_cost",
    "strategies",
    "step",
    "hessian",
    "jacobian",
    "derivatives",
    "gradient",
    "judgement",
    "diagnosis",
    "report",
    "estimation",
    "evaluation",
    "parameters",
    "_types",
)
# These only hand out names of modules below them.
FACES = ("checks.__init__", "checks.conformance.__init__")


def imports(source: str) -> Iterator[str]:
    """Yield the modules of the project that a source imports, anywhere in it."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "wanted absolute imports"
            # a name imported from a package may be one of its modules
            names = [f"{node.module}.{alias.name}" for alias in node.names]
            names = [name if name in MODULES else str(node.module) for name in names]
        else:
            continue
        for name in names:
            if f"{name}.__init__" in MODULES:
                yield f"{name}.__init__"
            elif name in MODULES:
                yield name


def room(module: str) -> str:
    """Return the room of a module of checks."""
    below = module.removeprefix("checks.")
    return next(name for name in TOWER if below == name or below.startswith(f"{name}."))


def upward(module: str, source: str) -> list[str]:
    """Return what a module imports from rooms above its own."""
    floor = TOWER.index(room(module))
    return [
        name
        for name in imports(source)
        if name.startswith("checks.")
        and (name in FACES or TOWER.index(room(name)) < floor)
        and name != "checks.conformance.__init__"
    ]


def circle(sources: dict[str, str]) -> list[str]:
    """Return modules that import each other in a circle, if there are any."""
    graph = {module: set(imports(source)) - {module} for module, source in sources.items()}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


@pytest.mark.parametrize("module", sorted(set(MODULES) - set(FACES)))
def test_imports_run_downwards(module):
    source = MODULES[module].read_text(encoding="utf-8")
    if module.startswith("backprop."):
        assert not [name for name in imports(source) if name.startswith("checks.")]
    else:
        assert upward(module, source) == []


def test_an_import_upwards_is_found():
    source = "def f():\n    from checks.judgement.projected import check_projected"
    assert upward("checks.estimation.noise", source) == ["checks.judgement.projected"]
    assert upward("checks.estimation.noise", "import checks") == ["checks.__init__"]
    assert upward("checks.estimation.noise", "import checks.evaluation.pointwise") == []


def test_no_files_import_in_a_circle():
    sources = {module: path.read_text(encoding="utf-8") for module, path in MODULES.items()}
    # the matrix form imports the network that calls it, but only for its type
    form = sources["backprop.matrix_form"]
    assert form.count("from backprop.network import Network") == 1
    sources["backprop.matrix_form"] = form.replace("from backprop.network import Network", "pass")
    # a FACE imports modules of its own room, which are below whoever imports the FACE
    assert circle({name: text for name, text in sources.items() if name not in FACES}) == []


def test_a_circle_is_found():
    sources = {
        "checks.report.report": "from checks.report.plot import plot",
        "checks.report.plot": "from checks.report import report",
    }
    assert set(circle(sources)) == set(sources)


def test_few_files_stand_at_the_top():
    assert len([path for path in PACKAGE.iterdir() if path.is_file()]) <= 8


def test_every_room_says_what_is_in_it():
    for face in PACKAGE.rglob("__init__.py"):
        text = ast.get_docstring(ast.parse(face.read_text(encoding="utf-8"))) or ""
        assert text, face
        if face.parent != PACKAGE:
            assert 3 <= len(text.splitlines()) <= 8, face


def test_contributing_draws_the_same_tower():
    page = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    tower = page.partition("```text\n")[2].partition("```")[0]
    places = [
        line.split()[0].removesuffix(".py").strip("/")
        for line in tower.splitlines()
        if line.strip()
    ]
    assert places == [name.replace(".", "/") for name in TOWER]
