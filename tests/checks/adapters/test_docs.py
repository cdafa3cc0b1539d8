"""The examples of the pages on other libraries run, and print what they say they print."""

import re
from importlib.metadata import version
from pathlib import Path

import pytest

from tests.test_docs import NUMBERS
from tests.test_readme import run_examples

pytest.importorskip("torch", reason="needs the extra gradient-gate[torch]")
pytest.importorskip("jax", reason="needs the extra gradient-gate[jax]")

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize("page", ["jax.md", "kernels.md", "torch.md"])
def test_the_examples_of_a_page(page):
    assert run_examples(ROOT / "docs" / page, NUMBERS) > 10


def test_the_mistakes_of_pytorch_are_as_the_page_shows_them():
    page = ROOT / "docs" / "operators.md"
    installed = f"torch {version('torch').partition('+')[0]}"
    if installed not in page.read_text("utf-8"):
        pytest.skip(f"the page shows mistakes of another version than {installed}")
    assert run_examples(page) > 10


def test_every_feature_that_is_claimed_is_tested():
    page = (ROOT / "docs" / "features.md").read_text("utf-8")
    tests = "\n".join(path.read_text("utf-8") for path in (ROOT / "tests").rglob("test_*.py"))
    rows = [line.split("|")[1:-1] for line in page.splitlines() if line.startswith("| ")][1:]
    assert len(rows) > 20
    for feature, *_, here, tested in rows:
        names = re.findall(r"test_\w+", tested)
        assert names or here.strip() == "out of scope", feature
        for name in names:
            assert f"def {name}(" in tests, f"{feature}: {name} is no test"
