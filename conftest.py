"""What holds for a whole test run: benchmarks, Hypothesis profiles, the count of comparisons."""

import gc
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import settings

pytest_plugins = ["pytester"]  # for the tests of the plugin

# New examples on every run, and those that failed before first; a slow machine fails no test.
settings.register_profile("default", max_examples=12, deadline=None, print_blob=True)
# Far more of them, by hand: pytest --hypothesis-profile=soak
settings.register_profile("soak", settings.get_profile("default"), max_examples=3000)
# Where CI is set, Hypothesis itself loads its profile "ci": the same examples on every run.


@dataclass
class Tally:
    """How many networks and single gradient entries the session compared, by form."""

    networks: Counter[str] = field(default_factory=Counter)
    entries: Counter[str] = field(default_factory=Counter)

    def add(self, form: str, networks: int, entries: int) -> None:
        """Count `networks` gradients of `form`, of `entries` entries in all."""
        self.networks[form] += networks
        self.entries[form] += entries

    def __str__(self) -> str:
        forms = ", ".join(f"{form}: {n:,} networks" for form, n in sorted(self.networks.items()))
        return f"gradient entries compared: {self.entries.total():,} ({forms})"


TALLY = pytest.StashKey[Tally]()


@pytest.fixture(scope="session")
def tally(pytestconfig: pytest.Config) -> Tally:
    """Count a comparison by `tally.add(form, networks, entries)`, for the summary's last line."""
    return pytestconfig.stash[TALLY]


def pytest_configure(config: pytest.Config) -> None:
    """Run each benchmark once, untimed, unless benchmarks are asked for."""
    config.stash[TALLY] = Tally()
    # As --benchmark-disable in addopts this would make --benchmark-only a usage error.
    if not (config.option.benchmark_only or config.option.benchmark_enable):
        config.option.benchmark_disable = True


def pytest_collection_finish() -> None:
    """Leave the objects of imported modules out of garbage collection.

    With PyTorch and JAX they are so many that a collection takes 0.2 s. At the end of a session
    pytest collects five times, and tests of the command and the plugin run their own sessions.
    """
    gc.freeze()


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Hand a worker's count to the controller of pytest-xdist."""
    if hasattr(session.config, "workeroutput"):
        counted = session.config.stash[TALLY]
        session.config.workeroutput["tally"] = (dict(counted.networks), dict(counted.entries))


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Add what a worker of pytest-xdist counted."""
    networks, entries = getattr(node, "workeroutput", {}).get("tally", ({}, {}))
    counted = node.config.stash[TALLY]
    counted.networks.update(networks)
    counted.entries.update(entries)


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """Print the count as one line, if anything was counted."""
    if config.stash[TALLY].networks:
        terminalreporter.write_line(str(config.stash[TALLY]))
