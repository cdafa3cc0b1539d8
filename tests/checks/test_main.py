"""The command ``python -m checks TARGET``, with a suite of a few tests in place of its own."""

import io
import os
import subprocess
import sys
from pathlib import Path

import pytest

import checks
from checks.__main__ import main
from checks.conformance.targets.target import EXAMPLE
from checks.pytest_plugin import plugin

SUITE = """
import pytest
from checks import check_gradient
from checks.strategies import Problem

def test_every_entry_is_right(gradient_target):
    p = Problem.generate((3, 2, 2), samples=4)
    report = check_gradient(
        lambda q: gradient_target.cost(*q, p.x, p.y),
        lambda q: gradient_target.gradient(*q, p.x, p.y),
        (p.weights, p.biases),
    )
    if not report:
        raise AssertionError(f"{report}\\n\\nTo see it again: print('again')")

@pytest.mark.parametrize("dtype", ["float32"])
def test_the_answer_is_finite(gradient_target, dtype):
    print("captured")
    gradient_target.gradient([], [], None, None)

def test_steps_descend():
    pytest.skip("the target has no step")

def test_digits_are_kept():
    pytest.xfail("not by a (1 − a)")
"""


@pytest.fixture
def here(pytester, monkeypatch):
    """Work in a folder with targets, and with settings and a conftest.py that must be ignored."""
    suite = pytester.mkdir("suite")
    suite.joinpath("test_suite.py").write_text(SUITE, encoding="utf-8")
    monkeypatch.setattr(plugin, "SUITE", suite)
    monkeypatch.setenv("PYTEST_ADDOPTS", "--no-such-option")
    pytester.makeini("[pytest]\naddopts = --no-such-option\npython_files = nothing.py\n")
    pytester.makeconftest("raise RuntimeError('not to be imported')")
    finite = EXAMPLE.replace("    a, dw", "    if x is None: return [], []\n    a, dw")
    pytester.makepyfile(
        right=finite, raises=EXAMPLE, wrong=finite.replace("delta = 2", "delta = 3")
    )
    return pytester


def test_a_right_target(here, capsys):
    assert main(["right"]) == 0
    printed = capsys.readouterr().out.splitlines()
    assert printed[0].startswith("gradient-gate: target right (cost and gradient; logistic, mean_")
    assert printed[1:10] == [
        "",
        "  ok       every entry is right",
        "  ok       the answer is finite (float32)",
        "  skipped  steps descend",
        "           the target has no step",
        "  excused  digits are kept",
        "           not by a (1 − a)",
        "",
        "2 of 4 properties hold, 1 skipped, 1 excused",
    ]
    assert printed[10].startswith("gradient-gate: 1 check, 14 entries compared, ")
    assert len(printed) == 11
    assert os.environ["PYTEST_ADDOPTS"] == "--no-such-option"
    assert not (here.path / ".pytest_cache").exists()


def test_a_wrong_target_and_its_first_failure(here, capsys):
    assert main(["wrong.py"]) == 1
    printed = capsys.readouterr().out
    table, failure = printed.split("\nThe first failure: every entry is right\n\n")
    assert "\n  WRONG    every entry is right\n  ok       the answer" in table
    assert "\n1 of 4 properties hold, 1 failed, 1 skipped, 1 excused\n" in table
    # the text alone, without pytest's traceback
    assert failure.startswith("gradient check: MISMATCH ")
    assert "[0][0]" in failure
    assert failure.endswith("\n\nTo see it again: print('again')\n")


def test_a_target_that_raises(here, capsys):
    assert main(["raises"]) == 1
    failure = capsys.readouterr().out.partition("The first failure: the answer is finite (float32)")
    assert "raises.py:11: in gradient\n" in failure[2]
    assert "\nE   TypeError: " in failure[2]
    assert "captured" not in failure[0]


def test_a_suite_that_cannot_be_imported(here, capsys):
    (here.path / "suite" / "test_suite.py").write_text("import nowhere_", encoding="utf-8")
    assert main(["right"]) == 2
    assert "No module named 'nowhere_'" in capsys.readouterr().out


def test_annotations_on_github(here, capsys, monkeypatch):
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_WORKSPACE", str(here.path))
    assert main(["wrong"]) == 1
    title = "gradient-gate%3A test_every_entry_is_right"
    wanted = f"\n::error file=wrong.py,line=9,title={title}::gradient check: MISMATCH"
    assert wanted in capsys.readouterr().out


def test_wrong_calls_are_usage_errors(here, capsys):
    assert main(["nowhere_"]) == 4
    error = capsys.readouterr().err
    assert error.startswith("ERROR: --gradient-target: there is no module 'nowhere_' in ")
    assert EXAMPLE in error
    assert main(["right", "wrong"]) == 4
    assert "unrecognized arguments: wrong" in capsys.readouterr().err


def test_help_shows_a_target(capsys):
    assert main(["--help"]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("usage: python -m checks [-h] [TARGET]")
    assert all(f"  {line}\n" in printed for line in EXAMPLE.splitlines() if line)


def test_a_console_that_has_only_ascii(here, monkeypatch):
    console = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", console)
    assert main(["wrong"]) == 1
    console.flush()
    assert b"  WRONG    every entry is right" in console.buffer.getvalue()


def test_the_command_itself(here):
    done = subprocess.run(
        [sys.executable, "-m", "checks", "there/net.py"],
        env=os.environ | {"PYTHONPATH": str(Path(checks.__file__).parents[1])},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 4
    assert done.stderr.startswith("ERROR: --gradient-target: there is no file ")
    assert done.stdout == ""
