"""Keeps Python from collecting garbage while frames of other threads are looked at.

Python 3.11 makes the frame objects only when they are asked for, and may collect garbage in the
middle of making one. A finalizer that gives up the interpreter (closing a socket does) then lets
the frame's own thread return from it: the new object points to memory that is something else by
now, and the next look at it ends the process. It is what CPython's issue 106883 is about too:
``sys._current_frames`` holds a lock meanwhile, and a thread that starts waits for it for ever.
Since 3.12 garbage is collected between two instructions only, and before 3.11 frames were objects
from their start.
"""

from __future__ import annotations

import gc
import sys

IS_NEEDED = sys.version_info[:2] == (3, 11)


class GarbagePause:
    """Switches the collection off for some microseconds; where the host has done so, it stays."""

    def __init__(self) -> None:
        self._is_off = False

    def begin(self) -> None:
        """Switch it off, where that is needed and the host has it on."""
        if IS_NEEDED and gc.isenabled():
            self._is_off = True
            gc.disable()

    def end(self) -> None:
        """Switch it on again."""
        if self._is_off:
            self._is_off = False
            gc.enable()
