"""The suite run on one target for a person: a line for each property, then the first failure."""

import os
import textwrap
from collections import Counter
from importlib.metadata import entry_points
from pathlib import Path

import pytest

from checks.pytest_plugin import plugin
from checks.report.wording import COLUMNS

__all__ = ["EXIT_INTERRUPTED", "judge"]

EXIT_INTERRUPTED = 130  # 128 + 2, the number of SIGINT: what shells report after Ctrl-C

OUTCOME_WORDS = {
    "passed": "ok",
    "failed": "WRONG",
    "error": "ERROR",
    "skipped": "skipped",
    "excused": "excused",  # the test itself has called pytest.xfail
}


def judge(spec: str) -> int:
    """Run the suite on a target and print what it finds.

    Parameters
    ----------
    spec : str
        As in `checks.conformance.targets.target.load_target`.

    Returns
    -------
    int
        The exit code: pytest's (0 right, 1 wrong, 4 usage error), or 130 after Ctrl-C.
    """
    installed = entry_points(group="pytest11", name="gradient_gate")
    options = [
        f"--gradient-target={spec}",
        # The settings and plugins of the current directory must not change the verdict.
        f"--config-file={Path(__file__).with_name('run.ini')}",
        f"--rootdir={plugin.SUITE}",
        f"--confcutdir={plugin.SUITE}",
        "--disable-plugin-autoload",
        "--import-mode=importlib",
        "--assert=plain",  # the suite's own texts need no explanation by pytest
        *("-p", "gradient_gate" if installed else "checks.pytest_plugin.plugin"),
        *("-p", "no:cacheprovider"),
        *("-p", "no:terminal"),
    ]
    environment = {
        name: os.environ.pop(name, None) for name in ("PYTEST_ADDOPTS", "PYTEST_PLUGINS")
    }
    printer = Printer()
    try:
        exit_code = int(pytest.main([str(plugin.SUITE), *options], plugins=[printer]))
    except KeyboardInterrupt:  # Ctrl-C at a moment when pytest does not handle it
        printer.interrupted = True
    finally:
        os.environ.update({name: value for name, value in environment.items() if value is not None})
    if printer.interrupted:
        print(printer.interruption(), flush=True)
        return EXIT_INTERRUPTED
    return exit_code


class Printer:
    """A pytest plugin that prints instead of pytest's terminal reporter."""

    def __init__(self) -> None:
        self.outcomes: Counter[str] = Counter()
        self.collected = 0
        self.interrupted = False
        self.failure: pytest.TestReport | pytest.CollectReport | None = None

    def pytest_configure(self, config: pytest.Config) -> None:
        """Shorten the tracebacks of unforeseen errors, such as those that a target raises."""
        config.option.tbstyle = "short"

    def pytest_sessionstart(self, session: pytest.Session) -> None:
        """Print which target is judged."""
        print(f"{session.config.stash[plugin.GATE].pytest_report_header()}\n", flush=True)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Keep the first failure to import the tests."""
        if report.failed:
            self.failure = self.failure or report

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Count the properties, so that an interruption can say how many were left out."""
        self.collected = len(session.items)

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
        lines = [f"  {OUTCOME_WORDS[outcome]:9}{_title(report.nodeid)}"]
        for prefix in ("Skipped: ", "reason: "):
            reason = reason.removeprefix(prefix)
        indent = " " * len(f"  {'':9}")
        if reason:
            lines.append(
                textwrap.fill(reason, COLUMNS, initial_indent=indent, subsequent_indent=indent)
            )
        print("\n".join(lines), flush=True)

    def pytest_keyboard_interrupt(self, excinfo: pytest.ExceptionInfo[BaseException]) -> None:
        """Note whether Ctrl-C was pressed: pytest also calls this hook when it stops itself."""
        self.interrupted = isinstance(excinfo.value, KeyboardInterrupt) and not isinstance(
            excinfo.value, pytest.Session.Interrupted
        )

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Print the totals, then the first failure in full, so that it stands last."""
        gate = session.config.stash[plugin.GATE]
        others = [f"{n} {outcome}" for outcome, n in self.outcomes.items() if outcome != "passed"]
        counts = f"{self.outcomes['passed']} of {self.outcomes.total()} properties hold"
        print(f"\n{', '.join([counts, *others])}")
        for line in gate.summary():
            print(line)
        if self.failure:
            print(f"\nThe first failure: {_title(self.failure.nodeid)}\n")
            print(self.failure.longreprtext, flush=True)

    def interruption(self) -> str:
        """Return the line that ends an interrupted run."""
        judged = self.outcomes.total()
        if not judged:
            return "\nInterrupted before any property was judged."
        return (
            f"\nInterrupted: {judged} of {self.collected} properties were judged, "
            f"{self.collected - judged} were left out."
        )


def _title(nodeid: str) -> str:
    """Return a test's name as words, with its parameters in brackets."""
    name = nodeid.rpartition("::")[2].removeprefix("test_")
    words, bracket, parameters = name.partition("[")
    return words.replace("_", " ") + (f" ({parameters[:-1]})" if bracket else "")
