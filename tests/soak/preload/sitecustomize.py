"""Mends time.sleep for Python processes that go by a moved clock: Python imports a module of this name as it starts.

time.sleep waits by clock_nanosleep until an instant of the monotonic clock. libfaketime 0.9.10 moves that instant by as
much as the wall clock was moved, though told to leave the monotonic clock alone, and the call ends with EINVAL.
"""

import select
import time
from typing import SupportsIndex


def sleep(seconds: float | SupportsIndex) -> None:
    """Waits as long, by another call of the kernel."""
    seconds = float(seconds)
    if seconds < 0:
        raise ValueError("sleep length must be non-negative")
    select.select([], [], [], seconds)


time.sleep = sleep
