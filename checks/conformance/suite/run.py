"""The suite run on one target for a person: a line for each property, then one failure in full."""

import os
import textwrap
from collections import Counter
from importlib.metadata import entry_points
from pathlib import Path

import pytest

from checks.pytest_plugin import plugin
from checks.report.wording import COLUMNS

__all__ = ["EXIT_INTERRUPTED", "judge"]

WIDTH = len("not reached  ")
EXIT_INTERRUPTED = 130  # 128 + 2, the number of SIGINT: what shells report after Ctrl-C

EXIT_NOTHING_JUDGED = 3
NUMBERS = ("test_every_entry", "test_a_step")  # the tests of derivatives
# what the reason of a skipped test begins with, and the word for it
SKIPS = {"not taken: ": "not taken", "note: ": "note", "not reached: ": "not reached", "ok: ": "ok"}


def judge(spec: str, rtol: str | None = None, seconds: str | None = None) -> int:
    """Run the suite on a target and print what it finds.

    Parameters
    ----------
    spec : str
        As in `checks.conformance.targets.target.load_target`.
    rtol, seconds : str, optional
        The values of --gradient-rtol and --gradient-time.

    Returns
    -------
    int
        The exit code: 0 if nothing is wrong, 1 if something is, 3 if nothing could be judged, 4
        for a usage error, 130 after Ctrl-C.
    """
    installed = entry_points(group="pytest11", name="gradient_gate")
    options = [
        f"--gradient-target={spec}",
        *([f"--gradient-rtol={rtol}"] if rtol is not None else []),
        *([f"--gradient-time={seconds}"] if seconds is not None else []),
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
    return printer.exit_code(exit_code)


class Printer:
    """A pytest plugin that prints instead of pytest's terminal reporter."""

    def __init__(self) -> None:
        self.outcomes: Counter[str] = Counter()
        self.judged = 0  # how many tests of derivatives were passed
        self.collected = 0
        self.interrupted = False
        self.failures: list[tuple[int, str, pytest.TestReport | pytest.CollectReport]] = []

    def pytest_configure(self, config: pytest.Config) -> None:
        """Shorten the tracebacks of unforeseen errors, such as those that a target raises."""
        config.option.tbstyle = "short"

    def pytest_sessionstart(self, session: pytest.Session) -> None:
        """Print which target is judged."""
        print(f"{session.config.stash[plugin.GATE].pytest_report_header()}\n", flush=True)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Keep the first failure to import the tests."""
        if report.failed:
            self.failures.append((0, report.nodeid, report))

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Count the properties, so that an interruption can say how many were left out."""
        self.collected = len(session.items)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Print the line of a property when its test is over."""
        if report.when != "call" and not (report.failed or report.skipped):
            return
        outcome, reason = _outcome(report)
        self.outcomes[outcome] += 1
        if report.failed:
            rank = getattr(report, plugin.FINDING, {"rank": 1})["rank"]
            self.failures.append((rank, _title(report.nodeid), report))
        elif outcome == "ok" and any(name in report.nodeid for name in NUMBERS):
            self.judged += 1
        lines = [f"  {outcome:{WIDTH}}{_title(report.nodeid)}"]
        if reason:
            indent = " " * (WIDTH + 2)
            lines.append(
                textwrap.fill(
                    reason, COLUMNS, initial_indent=indent, subsequent_indent=indent, max_lines=3
                )
            )
        print("\n".join(lines), flush=True)

    def pytest_keyboard_interrupt(self, excinfo: pytest.ExceptionInfo[BaseException]) -> None:
        """Note whether Ctrl-C was pressed: pytest also calls this hook when it stops itself."""
        self.interrupted = isinstance(excinfo.value, KeyboardInterrupt) and not isinstance(
            excinfo.value, pytest.Session.Interrupted
        )

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Print the totals, then in full the failure that tells most, so that it stands last."""
        gate = session.config.stash[plugin.GATE]
        others = [f"{n} {outcome}" for outcome, n in self.outcomes.items() if outcome != "ok"]
        counts = f"{self.outcomes['ok']} of {self.outcomes.total()} properties hold"
        print(f"\n{', '.join([counts, *others])}")
        for line in gate.summary():
            print(line)
        if self.failures:
            _, title, report = min(self.failures, key=lambda failure: failure[0])
            print(f"\nThe most telling: {title}\n")
            print(report.longreprtext, flush=True)
        elif self.judged and gate.target:
            print(f"\n{gate.target.name} is right: nothing that was judged is wrong.")

    def exit_code(self, code: int) -> int:
        """Return the exit code of the command for that of pytest."""
        if code not in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED):
            # 3 is an internal error for pytest
            return pytest.ExitCode.INTERRUPTED if code == EXIT_NOTHING_JUDGED else code
        wrong = [word for word in self.outcomes if word in ("WRONG", "ERROR")]
        if wrong or (self.judged and self.outcomes["raises"]):
            return 1
        return 0 if self.judged else EXIT_NOTHING_JUDGED

    def interruption(self) -> str:
        """Return the line that ends an interrupted run."""
        judged = self.outcomes.total()
        if not judged:
            return "\nInterrupted before any property was judged."
        return (
            f"\nInterrupted: {judged} of {self.collected} properties were judged, "
            f"{self.collected - judged} were left out."
        )


def _outcome(report: pytest.TestReport) -> tuple[str, str]:
    """Return the word for the outcome of a test, and the reason."""
    if hasattr(report, "wasxfail"):  # a waiver, or the test itself has called pytest.xfail
        reason = report.wasxfail.removeprefix("reason: ")
        return "waived" if reason.startswith("waived") else "UNRESOLVED", reason
    if report.skipped and isinstance(report.longrepr, tuple):
        reason = report.longrepr[2].removeprefix("Skipped: ")
        for prefix, word in SKIPS.items():
            if reason.startswith(prefix):
                return word, reason.removeprefix(prefix)
        return "skipped", reason
    if report.failed:
        finding = getattr(report, plugin.FINDING, None)
        if finding is None:  # no AssertionError: nothing says what is wrong
            return "ERROR", ""
        return finding["outcome"] or "WRONG", finding["short"] or ""
    return "ok", ""


def _title(nodeid: str) -> str:
    """Return a test's name as words, with its parameters in brackets."""
    name = nodeid.rpartition("::")[2].removeprefix("test_")
    words, bracket, parameters = name.partition("[")
    return words.replace("_", " ") + (f" ({parameters[:-1]})" if bracket else "")
