"""Fixes time.sleep for Python processes with a moved clock. Python imports a module of this name when it starts.

time.sleep uses clock_nanosleep to wait until an instant of the monotonic clock. libfaketime 0.9.10 shifts that instant
like the wall clock, although told to leave the monotonic clock alone, and the call ends with EINVAL.
"""

import select
import time
from typing import SupportsIndex


def sleep(seconds: float | SupportsIndex) -> None:
    """Waits as long, with another system call."""
    seconds = float(seconds)
    if seconds < 0:
        raise ValueError("sleep length must be non-negative")
    select.select([], [], [], seconds)


time.sleep = sleep
