"""The suite on one target, for a person: a line for each property, then the first failure."""

import os
import textwrap
from collections import Counter
from importlib.metadata import entry_points
from pathlib import Path

import pytest

from checks.pytest_plugin import plugin
from checks.report.wording import COLUMNS

__all__ = ["judge"]

WORDS = {
    "passed": "ok",
    "failed": "WRONG",
    "error": "ERROR",
    "skipped": "skipped",
    "excused": "excused",  # by the test itself, with pytest.xfail
}


def judge(spec: str) -> int:
    """Run the suite, print what it finds, and return pytest's exit code: 0 right, 1 wrong, 4 usage.

    Parameters
    ----------
    spec : str
        As in `checks.conformance.targets.target.load_target`.
    """
    installed = entry_points(group="pytest11", name="gradient_gate")
    options = [
        f"--gradient-target={spec}",
        # Neither the settings nor the plugins of wherever it runs.
        f"--config-file={Path(__file__).with_name('run.ini')}",
        f"--rootdir={plugin.SUITE}",
        f"--confcutdir={plugin.SUITE}",
        "--disable-plugin-autoload",
        "--import-mode=importlib",
        "--assert=plain",  # the suite's texts stand alone
        *("-p", "gradient_gate" if installed else "checks.pytest_plugin.plugin"),
        *("-p", "no:cacheprovider"),
        *("-p", "no:terminal"),
    ]
    environment = {
        name: os.environ.pop(name, None) for name in ("PYTEST_ADDOPTS", "PYTEST_PLUGINS")
    }
    try:
        return int(pytest.main([str(plugin.SUITE), *options], plugins=[Printer()]))
    finally:
        os.environ.update({name: value for name, value in environment.items() if value is not None})


class Printer:
    """A pytest plugin in the place of pytest's terminal."""

    def __init__(self) -> None:
        self.outcomes: Counter[str] = Counter()
        self.failure: pytest.TestReport | pytest.CollectReport | None = None

    def pytest_configure(self, config: pytest.Config) -> None:
        """Shorten the tracebacks of what no test foresaw: a target that raises."""
        config.option.tbstyle = "short"

    def pytest_sessionstart(self, session: pytest.Session) -> None:
        """Print what is checked."""
        print(f"{session.config.stash[plugin.GATE].pytest_report_header()}\n", flush=True)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Keep a failure to import the tests."""
        if report.failed:
            self.failure = self.failure or report

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Print the line of a property when its test is over."""
        if report.when != "call" and not (report.failed or report.skipped):
            return
        outcome: str = report.outcome
        reason = ""
        if hasattr(report, "wasxfail"):
            outcome, reason = "excused", report.wasxfail
        elif report.skipped and isinstance(report.longrepr, tuple):
            reason = report.longrepr[2]
        elif report.failed:
            outcome = outcome if report.when == "call" else "error"
            self.failure = self.failure or report
        self.outcomes[outcome] += 1
        lines = [f"  {WORDS[outcome]:9}{_title(report.nodeid)}"]
        for prefix in ("Skipped: ", "reason: "):
            reason = reason.removeprefix(prefix)
        indent = " " * len(f"  {'':9}")
        if reason:
            lines.append(
                textwrap.fill(reason, COLUMNS, initial_indent=indent, subsequent_indent=indent)
            )
        print("\n".join(lines), flush=True)

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Print totals, then the first failure in full: it is what the eye falls on."""
        gate = session.config.stash[plugin.GATE]
        others = [f"{n} {outcome}" for outcome, n in self.outcomes.items() if outcome != "passed"]
        counts = f"{self.outcomes['passed']} of {self.outcomes.total()} properties hold"
        print(f"\n{', '.join([counts, *others])}")
        for line in gate.summary():
            print(line)
        if self.failure:
            print(f"\nThe first failure: {_title(self.failure.nodeid)}\n")
            print(self.failure.longreprtext, flush=True)


def _title(nodeid: str) -> str:
    """Return a test's name as words, and what stands in its brackets."""
    name = nodeid.rpartition("::")[2].removeprefix("test_")
    words, bracket, parameters = name.partition("[")
    return words.replace("_", " ") + (f" ({parameters[:-1]})" if bracket else "")
