"""The command ``python -m checks TARGET``, with a suite of a few tests in place of its own."""

import io
import os
import subprocess
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest

import checks
import checks.__main__ as command
from checks import check_gradient
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
    pytest.skip("not taken: the target has no step")

def test_digits_are_kept():
    pytest.xfail("not by a (1 − a)")
"""


@pytest.fixture
def here(pytester, monkeypatch):
    """Work in a directory with targets, and with settings and a conftest.py to be ignored."""
    suite = pytester.mkdir("suite")
    suite.joinpath("test_suite.py").write_text(SUITE, encoding="utf-8")
    monkeypatch.setattr(plugin, "SUITE", suite)
    monkeypatch.setenv("PYTEST_ADDOPTS", "--no-such-option")
    pytester.makeini("[pytest]\naddopts = --no-such-option\npython_files = nothing.py\n")
    pytester.makeconftest("raise RuntimeError('not to be imported')")
    right = EXAMPLE.replace("    a, dw", "    if x is None: return [], []\n    a, dw")
    pytester.makepyfile(
        right=right,
        raises=EXAMPLE,  # its gradient does not accept the None of the suite above
        wrong=right.replace("delta = 2", "delta = 3"),
        interrupts=right.replace("return [], []", "raise KeyboardInterrupt"),
        interrupts_at_once="raise KeyboardInterrupt",
    )
    return pytester


def test_a_right_target(here, capsys):
    assert main(["right"]) == 0
    printed = capsys.readouterr().out.splitlines()
    assert printed[0].startswith("gradient-gate: target right (cost and gradient), Hypothesis ")
    assert printed[1].startswith("It takes 1 to 7 layers; one output or several; ")
    assert printed[2:11] == [
        "",
        "  ok           every entry is right",
        "  ok           the answer is finite (float32)",
        "  not taken    steps descend",
        "               the target has no step",
        "  UNRESOLVED   digits are kept",
        "               not by a (1 − a)",
        "",
        "2 of 4 properties hold, 1 not taken, 1 UNRESOLVED",
    ]
    assert printed[11].startswith("gradient-gate: 1 check, 14 entries compared, ")
    assert printed[12:] == ["", "right is right: nothing that was judged is wrong."]
    assert os.environ["PYTEST_ADDOPTS"] == "--no-such-option"
    assert not (here.path / ".pytest_cache").exists()


def test_a_wrong_target_and_its_first_failure(here, capsys):
    assert main(["wrong.py"]) == 1
    printed = capsys.readouterr().out
    table, failure = printed.split("\nThe most telling: every entry is right\n\n")
    assert "\n  WRONG        every entry is right\n  ok           the answer" in table
    assert "\n1 of 4 properties hold, 1 WRONG, 1 not taken, 1 UNRESOLVED\n" in table
    # the text alone, without pytest's traceback
    assert failure.startswith("gradient check: MISMATCH ")
    assert "[0][0]" in failure
    assert failure.endswith("\n\nTo see it again: print('again')\n")


def test_a_target_that_raises(here, capsys):
    assert main(["raises"]) == 1
    printed = capsys.readouterr().out
    assert "\n  ERROR        the answer is finite (float32)\n" in printed
    failure = printed.partition("The most telling: the answer is finite (float32)")
    assert "raises.py:11: in gradient\n" in failure[2]
    assert "\nE   TypeError: " in failure[2]
    assert "captured" not in failure[0]


def test_what_is_not_reached_in_the_time_is_listed(here, capsys):
    assert main(["right", "--time", "1e-9"]) == 3
    printed = capsys.readouterr().out
    assert "\n  not reached  every entry is right\n               the time was over\n" in printed
    assert "0 of 4 properties hold, 4 not reached\n" in printed
    assert "right is right" not in printed


@pytest.mark.parametrize(
    ("option", "value", "wanted"),
    [
        ("rtol", "2", "between 0 and 1"),
        ("rtol", "small", "above 0"),
        ("time", "-3", "above 0"),
        ("time", "inf", "above 0"),
    ],
)
def test_options_that_cannot_be_used(here, capsys, option, value, wanted):
    assert main(["right", f"--{option}={value}"]) == 4
    assert f"--gradient-{option} is " in (error := capsys.readouterr().err)
    assert wanted in error


def test_nothing_but_exceptions_is_no_wrong_derivative(here, capsys):
    (here.path / "suite" / "test_suite.py").write_text(
        "from checks.conformance.suite.test_gradient import *\n", encoding="utf-8"
    )
    here.makepyfile(raising="def cost(w, b, x, y): raise KeyError('z')\ngradient = cost")
    assert main(["raising"]) == 3
    printed = capsys.readouterr().out
    assert "It takes none of the networks that the suite draws." in printed
    assert "\n  raises       every entry is the derivative of the cost (deep)\n" in printed
    assert "KeyError from cost: 'z' (" in printed
    assert "WRONG" not in printed


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
    message, advice = capsys.readouterr().err.strip().splitlines()
    assert message.startswith("ERROR: --gradient-target: there is no module 'nowhere_' in ")
    assert advice == "`python -m checks --help` shows a whole target."
    assert main(["right", "wrong"]) == 4
    error = capsys.readouterr().err
    assert error.splitlines()[-1].endswith("error: unrecognized arguments: wrong")
    assert "import numpy" not in error


def test_an_interruption_says_what_was_judged(here, capsys):
    assert main(["interrupts"]) == 130
    printed = capsys.readouterr()
    lines = printed.out.splitlines()
    assert "  ok           every entry is right" in lines
    assert lines[-1] == "Interrupted: 1 of 4 properties were judged, 3 were left out."
    assert "Traceback" not in printed.out + printed.err


def test_an_interruption_before_the_suite_and_outside_of_pytest(here, capsys, monkeypatch):
    def interrupt(*_, **__):
        raise KeyboardInterrupt

    def end():
        printed = capsys.readouterr()
        assert "Traceback" not in printed.out + printed.err
        return printed.out.splitlines()[-1]

    assert main(["interrupts_at_once"]) == 130
    assert end() == "Interrupted before any property was judged."
    monkeypatch.setattr(pytest, "main", interrupt)
    assert main(["right"]) == 130
    assert end() == "Interrupted before any property was judged."


def square(params):
    return (params**2).sum()


def interrupted_after(rows):
    """Yield rows of one check that matches and one that does not, then act as Ctrl-C."""
    for number in range(rows):
        point = np.array([1.0, 2.0])
        right = check_gradient(square, lambda p: 2 * p, point)
        wrong = check_gradient(square, lambda p: 3 * p, point)  # wrong on purpose
        yield f"row {number}", [right, wrong]
    raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("training", "networks", "said"),
    [
        (
            partial(interrupted_after, 0),
            None,
            "0 of 0 checks match; left out: the rest of the training and all random networks.",
        ),
        (
            partial(interrupted_after, 1),
            None,
            "1 of 2 checks match; left out: the rest of the training and all random networks.",
        ),
        (
            list,
            partial(interrupted_after, 0),
            "0 of 0 checks match; left out: all random networks.",
        ),
        (
            list,
            partial(interrupted_after, 2),
            "2 of 4 checks match; left out: the random networks of {left} of {all} pairs of "
            "activation and cost.",
        ),
    ],
)
def test_an_interruption_of_the_main_job(training, networks, said, capsys, monkeypatch):
    monkeypatch.setattr(command, "check_digits", training)
    monkeypatch.setattr(command, "check_random_networks", networks)
    assert main([]) == 130
    printed = capsys.readouterr().out.splitlines()
    pairs = len(command.PAIRS)
    assert printed[-1] == "Interrupted: " + said.format(left=pairs - 2, all=pairs)


def test_help_shows_a_target(capsys):
    assert main(["--help"]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith(
        "usage: python -m checks [-h] [--rtol RTOL] [--time SECONDS] [TARGET]"
    )
    assert all(f"  {line}\n" in printed for line in EXAMPLE.splitlines() if line)


def test_a_console_that_cannot_print_greek(here, monkeypatch):
    console = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", console)
    assert main(["wrong"]) == 1
    console.flush()
    assert b"  WRONG        every entry is right" in console.buffer.getvalue()


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
