"""Call a function with every operation rounded toward zero: C99's ``fesetround``, by ctypes."""

import ctypes
import ctypes.util
import platform
import sys
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

__all__ = ["call_toward_zero", "toward_zero_is_available"]

# FE_TOWARDZERO of the C libraries; to the nearest is 0 in all of them
WINDOWS, X86, ARM = 0x300, 0xC00, 0xC00000
NEAREST = 0


def call_toward_zero(function: Callable[[Any], Any], argument: Any) -> Any:
    """Return ``function(argument)``, computed with rounding toward zero in the calling thread.

    The function must have been called once before in the usual mode: what it caches and the threads
    that it starts would otherwise keep this one. Threads that exist already, those of a BLAS for
    one, keep their own mode: a result that does not change may still be rounded.

    Between the two changes of the mode nothing runs but the function, and what it raises, an
    interrupt too, is raised again when the usual mode is back: a number formatted or parsed in
    another mode has wrong digits.

    Raises
    ------
    OSError
        The rounding mode cannot be changed here; see `toward_zero_is_available`.
    """
    modes = _modes()
    if modes is None:
        raise OSError(
            f"the rounding mode cannot be changed on {platform.system()} {platform.machine()}: "
            "ask toward_zero_is_available() first"
        )
    set_mode, mode, before = modes[0], modes[2], modes[1]()
    try:
        set_mode(mode)
        return function(argument)
    finally:
        set_mode(before)


def toward_zero_is_available() -> bool:
    """Whether the rounding mode can be changed here, and numpy's arithmetic follows it."""
    return _modes() is not None


@cache
def _modes() -> tuple[Callable[[int], int], Callable[[], int], int] | None:
    """Return fesetround, fegetround and the mode; None where they do not do what they should."""
    machine = platform.machine().lower()
    if machine in ("x86_64", "amd64"):
        mode = WINDOWS if sys.platform == "win32" else X86
    elif machine in ("arm64", "aarch64"):
        mode = WINDOWS if sys.platform == "win32" else ARM
    else:
        return None
    name = "ucrtbase" if sys.platform == "win32" else ctypes.util.find_library("m")
    try:
        # PyDLL keeps the interpreter's lock: no other thread runs while the mode is being changed
        library = ctypes.PyDLL(name)
        set_mode, get_mode = library.fesetround, library.fegetround
    except (OSError, AttributeError):
        return None
    one = np.array([1.0, -1.0])
    nearest = one / 10  # 0.1 lies above a tenth: the nearest float is the one away from zero
    before = get_mode()
    if before != NEAREST or set_mode(mode) != 0:
        return None
    try:
        cut = one / 10
    finally:
        set_mode(before)
    follows = bool((np.abs(cut) < np.abs(nearest)).all())
    back = bool((one / 10 == nearest).all())
    return (set_mode, get_mode, mode) if follows and back else None
