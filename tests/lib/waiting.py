"""Waiting for what happens by itself."""

from __future__ import annotations

import time
from collections.abc import Callable


def within(seconds: float, holds: Callable[[], bool], pause: float = 0.1) -> bool:
    """Tell whether something holds, or comes to hold within so many seconds; pause: seconds between two looks."""
    end = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > end:
            return False
        time.sleep(pause)
    return True
