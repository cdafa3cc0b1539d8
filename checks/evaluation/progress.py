"""A bar on a terminal: how far a long check is."""

import contextlib
import math
import sys
import time
from collections.abc import Callable, Iterator

__all__ = ["Progress"]

SILENT = 1.0  # seconds: shorter checks show nothing
EVERY = 0.1
BAR = 20  # characters


class Progress:
    """How many entries of one pass after another are done, on stderr where that is a terminal.

    A pass is over entries of one array; how many more there will be is not known before.

    Parameters
    ----------
    shown : bool
        False keeps it silent.
    """

    def __init__(self, shown: bool = True) -> None:
        self._stream = sys.stderr if shown and sys.stderr and sys.stderr.isatty() else None
        self._next = time.monotonic() + SILENT
        self._width = 0

    @contextlib.contextmanager
    def of(self, name: str, total: int) -> Iterator[Callable[[int], None]]:
        """Give a function that is told of each few entries done; wipe the bar away at the end."""
        started, done = time.monotonic(), 0

        def advance(entries: int) -> None:
            nonlocal done
            done += entries
            if self._stream is None or done >= total or (now := time.monotonic()) < self._next:
                return
            self._next = now + EVERY
            rate = done / max(now - started, 1e-9)
            filled = BAR * done // total
            self._write(
                f"{name} [{'#' * filled}{'.' * (BAR - filled)}] {done:,} of {total:,} entries, "
                f"{rate:,.0f}/s, {_duration((total - done) / rate)} left of this pass"
            )

        try:
            yield advance
        except KeyboardInterrupt:
            self._next = math.inf  # a report is what comes next, of a few more evaluations
            raise
        finally:
            if self._width:
                self._write("")

    def _write(self, line: str) -> None:
        print(f"\r{line:{self._width}}", end="" if line else "\r", file=self._stream, flush=True)
        self._width = len(line)


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
