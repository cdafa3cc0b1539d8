"""The examples of docs/torch.md run, and print what it says they print."""

import doctest
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="needs the extra gradient-gate[torch]")
pytest.importorskip("jax", reason="needs the extra gradient-gate[jax]")


def test_the_examples_of_the_page():
    page = Path(__file__).parents[3] / "docs" / "torch.md"
    failures, attempted = doctest.testfile(str(page), module_relative=False, encoding="utf-8")
    assert attempted > 15
    assert not failures
