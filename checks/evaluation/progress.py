"""A progress bar on a terminal."""

import contextlib
import math
import sys
import time
from collections.abc import Callable, Iterator

__all__ = ["Progress"]

SHOWN_AFTER = 1.0  # seconds: shorter checks show nothing
REDRAWN_EVERY = 0.1  # seconds between two drawings of the bar
BAR_WIDTH = 20  # characters of the bar itself


class Progress:
    """Shows on stderr, if that is a terminal, how many entries of a pass are done.

    A pass moves entries of one array once. How many passes a check takes is not known beforehand,
    so every pass has a bar of its own.

    Parameters
    ----------
    shown : bool
        False keeps it silent.
    """

    def __init__(self, shown: bool = True) -> None:
        self._stream = sys.stderr if shown and sys.stderr and sys.stderr.isatty() else None
        self._next = time.monotonic() + SHOWN_AFTER
        self._width = 0

    @contextlib.contextmanager
    def of(self, name: str, total: int) -> Iterator[Callable[[int], None]]:
        """Begin a pass; give the function that is to be called with the number of entries done."""
        started, done = time.monotonic(), 0

        def advance(entries: int) -> None:
            nonlocal done
            done += entries
            if self._stream is None or done >= total or (now := time.monotonic()) < self._next:
                return
            self._next = now + REDRAWN_EVERY
            rate = done / max(now - started, 1e-9)
            bar = "#" * (BAR_WIDTH * done // total)
            self._write(
                f"{name} [{bar:.<{BAR_WIDTH}}] {done:,} of {total:,} entries, "
                f"{rate:,.0f}/s, {_duration((total - done) / rate)} left of this pass"
            )

        try:
            yield advance
        except KeyboardInterrupt:
            self._next = math.inf  # no more bars: only a few evaluations follow
            raise
        finally:
            if self._width:
                self._write("")  # wipes the bar away

    def _write(self, line: str) -> None:
        print(f"\r{line:{self._width}}", end="" if line else "\r", file=self._stream, flush=True)
        self._width = len(line)


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
