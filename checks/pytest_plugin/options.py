"""The options of the pytest plugin. A value that cannot be used is a usage error."""

import math
import time
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from checks.pytest_plugin.waivers import Waiver, WaiverError, read_waivers

if TYPE_CHECKING:
    from checks.conformance.targets.target import Target

__all__ = [
    "add_options",
    "option_deadline",
    "option_plots",
    "option_report",
    "option_target",
    "option_waivers",
]


DERIVATIVES = 0.75  # share of the time for tests of derivatives; the others are quick


def add_options(parser: pytest.Parser) -> None:
    """Add the options; all but --gradient-plots can also be set in pytest's configuration file."""
    group = parser.getgroup("gradient-gate", "whether a gradient is right")
    for name, metavar, text in (
        ("target", "SPEC", "what checks.conformance judges: mynet, mynet:obj, path/to/mynet.py"),
        ("waivers", "FILE", "its tests that may fail: on each line an id and the reason"),
        ("report", "FILE", "write a record of every check as JSON"),
        ("rtol", "RTOL", "the rtol of its checks, between 0 and 1"),
        ("time", "SECONDS", "when to end judging it; what was not reached is skipped"),
    ):
        group.addoption(f"--gradient-{name}", metavar=metavar, help=text)
        parser.addini(f"gradient_{name}", text, default="")
    group.addoption(
        "--gradient-plots", metavar="DIR", help="draw the check of each test that fails"
    )


def option_target(config: pytest.Config) -> "Target | None":
    """Return the target, or None if no target is given."""
    spec, directory = _given(config, "target")
    if not spec and config.getoption("gradient_target") is None:
        return None
    from checks.conformance.targets.target import TargetError, load_target

    try:
        target = load_target(spec, directory)
    except TargetError as error:
        raise pytest.UsageError(
            f"--gradient-target: {error.problem}\n`python -m checks --help` shows a whole target."
        ) from error
    rtol, seconds = (_number(config, name) for name in ("rtol", "time"))
    if rtol is not None and not rtol < 1:
        raise pytest.UsageError(f"--gradient-rtol is {rtol}, wanted a number between 0 and 1")
    deadline = math.inf if seconds is None else time.monotonic() + DERIVATIVES * seconds
    return replace(target, rtol=rtol, deadline=deadline)


def option_deadline(config: pytest.Config) -> float:
    """Return the value of `time.monotonic` from which on no test of the suite is begun."""
    seconds = _number(config, "time")
    return math.inf if seconds is None else time.monotonic() + seconds


def _number(config: pytest.Config, name: str) -> float | None:
    """Return the value of an option or setting that is a positive number; None if not given."""
    text, _ = _given(config, name)
    if not text:
        return None
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not 0 < number < math.inf:
        raise pytest.UsageError(f"--gradient-{name} is {text!r}, wanted a number above 0")
    return number


def option_waivers(config: pytest.Config) -> dict[str, Waiver]:
    """Return the waivers by the id of their test."""
    name, directory = _given(config, "waivers")
    if not name:
        return {}
    try:
        return read_waivers(directory / name)
    except WaiverError as error:
        raise pytest.UsageError(f"--gradient-waivers: {error}") from error


def option_report(config: pytest.Config) -> Path | None:
    """Return the file for the report, or None if no report is written."""
    name, directory = _given(config, "report")
    if not name or config.getoption("collectonly"):
        return None
    path = directory / name
    if path.is_dir() or not path.parent.is_dir():
        what = "is a directory" if path.is_dir() else f"cannot be written: no {path.parent}"
        raise pytest.UsageError(f"--gradient-report: {path} {what}")
    return path


def option_plots(config: pytest.Config) -> Path | None:
    """Make and return the directory for pictures, or return None if no pictures are drawn."""
    name = config.getoption("gradient_plots")
    if not name:
        return None
    if find_spec("matplotlib") is None:
        raise pytest.UsageError(
            "--gradient-plots needs matplotlib: python -m pip install 'gradient-gate[plot]'"
        )
    path: Path = config.invocation_params.dir / name
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise pytest.UsageError(f"--gradient-plots: {error}") from error
    return path


def _given(config: pytest.Config, name: str) -> tuple[str, Path]:
    """Return the value of an option or setting, and the directory that its paths start from.

    Paths on the command line start from the current directory, paths in the configuration file from
    the directory of that file.
    """
    given = config.getoption(f"gradient_{name}")
    if given is not None:
        return given, config.invocation_params.dir
    directory = config.inipath.parent if config.inipath else config.rootpath
    return config.getini(f"gradient_{name}"), directory
