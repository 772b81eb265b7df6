"""Reads a page again whose database went away in the middle."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from sqlalchemy.exc import DBAPIError

from ..store.engine import is_conflict
from ..store.hosts import none_was_there, was_connecting

T = TypeVar("T")
#: Pauses before what was lost or given up is read again.
_PAUSES_S = (0.0, 0.3, 1.0)
#: Pause before hosts are asked again of which none could be used.
_NONE_THERE_S = 0.5
#: How long a page waits for them at most. Its worker answers nothing else meanwhile.
_LONGEST_S = 10.0


def read_again(read: Callable[[], T], between: Callable[[], object] = lambda: None) -> T:
    """Return what ``read`` does, which changes nothing; ``between`` is called before each new try.

    Another host of the database's URL may be there, or is just being lost as well; a cluster may
    find out which of its nodes are left, or give a transaction up for another one.
    """
    pauses = iter(_PAUSES_S)
    give_up = time.monotonic() + _LONGEST_S
    while True:
        try:
            return read()
        except DBAPIError as error:
            if none_was_there(error.orig):
                pause_s = _NONE_THERE_S if time.monotonic() < give_up else None
            else:
                # Of a single host that cannot be connected to nothing else is to be expected.
                lost = error.connection_invalidated and not was_connecting(error.orig)
                pause_s = next(pauses, None) if lost or is_conflict(error) else None
            if pause_s is None:
                raise
        between()
        time.sleep(pause_s)
