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

# The value of C's FE_TOWARDZERO by platform, and FE_TONEAREST, which is the same on all of them.
WINDOWS, X86, ARM = 0x300, 0xC00, 0xC00000
NEAREST = 0


def call_toward_zero(function: Callable[[Any], Any], argument: Any) -> Any:
    """Return ``function(argument)``, computed with rounding toward zero in the calling thread.

    Call the function once before in the usual mode. Otherwise values that it caches stay rounded
    toward zero, and threads that it starts stay in this mode. Threads that exist already, such as
    those of a BLAS, round to nearest as before: the result may not change though it is rounded.

    Only the function runs in this mode, because numbers that are formatted or parsed in it get
    wrong digits. So exceptions, and interrupts, leave this call after the usual mode is back.

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
    set_mode, get_mode, toward_zero = modes
    before = get_mode()
    try:
        set_mode(toward_zero)
        return function(argument)
    finally:
        set_mode(before)


def toward_zero_is_available() -> bool:
    """Whether the rounding mode can be changed here, and numpy's arithmetic follows it."""
    return _modes() is not None


@cache
def _modes() -> tuple[Callable[[int], int], Callable[[], int], int] | None:
    """Return fesetround, fegetround and FE_TOWARDZERO; None where numpy does not follow them."""
    machine = platform.machine().lower()
    if machine in ("x86_64", "amd64"):
        mode = WINDOWS if sys.platform == "win32" else X86
    elif machine in ("arm64", "aarch64"):
        mode = WINDOWS if sys.platform == "win32" else ARM
    else:
        return None
    name = "ucrtbase" if sys.platform == "win32" else ctypes.util.find_library("m")
    try:
        # PyDLL holds the interpreter's lock, so no other thread runs while the mode is changed
        library = ctypes.PyDLL(name)
        set_mode, get_mode = library.fesetround, library.fegetround
    except (OSError, AttributeError):
        return None
    one = np.array([1.0, -1.0])
    nearest = one / 10  # slightly above 1/10, so that rounding toward zero gives the float below
    before = get_mode()
    if before != NEAREST or set_mode(mode) != 0:
        return None
    try:
        truncated = one / 10
    finally:
        set_mode(before)
    follows = bool((np.abs(truncated) < np.abs(nearest)).all())
    is_restored = bool((one / 10 == nearest).all())
    return (set_mode, get_mode, mode) if follows and is_restored else None
