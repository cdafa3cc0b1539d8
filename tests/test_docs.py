"""What the pages of docs say is so: targets, layers, and the examples of pages on one problem."""

import os
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import Phase, settings

from checks.conformance.targets.target_interface import EXAMPLE
from tests.test_readme import VARIES, run_examples

DOCS = Path(__file__).parents[1] / "docs"
PAGE = DOCS / "target.md"
# Of a solver's results digits vary too, and of a blurred estimate all numbers.
NUMBERS = re.compile(
    rf"{VARIES.pattern}|^  \S+ .*(?=UNRESOLVED)|(?<=\d\.\d\d)\d+(?=e[+-])"
    r"|(?<=error of )\S+|(?<=is up to )\S+|(?<=noise of\s)\s*\S+|  +",
    re.MULTILINE,
)


@pytest.mark.parametrize(
    "page", ["boosting.md", "hessians.md", "jacobians.md", "ode.md", "units.md"]
)
def test_the_examples_of_a_page_print_what_it_says(page):
    assert run_examples(DOCS / page, NUMBERS) > 10


def test_the_target_of_the_page_fails_as_the_page_says(tmp_path):
    page = PAGE.read_text("utf-8")
    target = re.search(r"```python\n(.*?)```", page, re.DOTALL)[1]
    wanted = re.search(r"```text\n(.*?)```", page, re.DOTALL)[1]
    assert target.replace("delta.mean(axis=0)", "delta.sum(axis=0)") == EXAMPLE
    (tmp_path / "mynet.py").write_text(target, "utf-8")
    run = subprocess.run(
        [sys.executable, "-X", "utf8", "-m", "checks", "mynet"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(PAGE.parents[1])},
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    assert run.returncode == 1, run.stderr
    told = run.stdout.partition("The most telling: ")[2].partition("\n\n")[2]
    # how exactly the fault is reproduced depends on the BLAS too
    varies = re.compile(rf"{VARIES.pattern}|(?<=to )\de-\d+", re.MULTILINE)
    assert varies.sub("#", told).split() == varies.sub("#", wanted).split()


@pytest.fixture
def layer_tests(monkeypatch):
    """Return a function that makes the two modules of layers.md and returns the tests by name.

    Where a mistake is put in place of a part of the layers, Hypothesis goes through these phases.
    """
    layers, tests = re.findall(
        r"```python\n(.*?)```", (DOCS / "layers.md").read_text("utf-8"), re.DOTALL
    )

    def made(old="", new="", phases=(Phase.generate,)):
        assert old in layers
        module, names = ModuleType("layers"), {}
        exec(layers.replace(old, new), vars(module))
        monkeypatch.setitem(sys.modules, "layers", module)
        exec(tests, names)
        quick = settings(phases=phases, database=None, derandomize=bool(old))
        return {name: quick(test) for name, test in names.items() if name.startswith("test_")}

    return made


def test_the_layers_of_the_page_pass(layer_tests):
    tests = layer_tests()
    assert len(tests) == 4
    for test in tests.values():
        test()


def test_the_mistake_of_the_page_shrinks_to_what_the_page_shows(layer_tests):
    shrinking = (Phase.generate, Phase.shrink)
    tests = layer_tests('"b": u.sum(axis=0)', '"b": u.mean(axis=0)', shrinking)
    with pytest.raises(AssertionError) as failure:
        tests["test_dense"]()
    printed = "\n".join([str(failure.value), *failure.value.__notes__])
    page = (DOCS / "layers.md").read_text("utf-8")
    (shown,) = re.findall(r"```text\n(.*?)\n```", page, re.DOTALL)
    assert "".join(VARIES.sub("#", printed).split()).startswith(
        "".join(VARIES.sub("#", shown).split())
    )


# One mistake for each further layer of the page.
@pytest.mark.parametrize(
    ("test", "right", "wrong"),
    [
        ("test_layer_norm", "- dy.mean(-1, keepdims=True)", ""),
        ("test_conv1d", "dx[:, :, met] += ", "dx[:, :, met] = "),
        ("test_attention", ' / np.sqrt(p["q"].shape[-1])\n    return {', "\n    return {"),
    ],
)
def test_a_mistake_in_a_layer_of_the_page_is_found(layer_tests, test, right, wrong):
    with pytest.raises(AssertionError):
        layer_tests(right, wrong)[test]()
