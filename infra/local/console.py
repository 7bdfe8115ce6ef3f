"""Prints what the stack is doing: one line per step, with the time since the command began."""

import sys
import threading
import time

_started = time.monotonic()
_lock = threading.Lock()


def elapsed() -> float:
    """Seconds since this process started."""
    return time.monotonic() - _started


def say(subject: str, text: str) -> None:
    """Prints one step, to stderr: stdout is for a command's answer (`stack env`, tables)."""
    with _lock:
        print(f"[{elapsed():6.1f} s] {subject + ':':<14} {text}", file=sys.stderr, flush=True)


def table(head: list[str], rows: list[list[str]]) -> str:
    """Aligns columns for a terminal."""
    widths = [max(len(row[column]) for row in [head, *rows]) for column in range(len(head))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in [head, *rows]]
    return "\n".join(line.rstrip() for line in lines)
