"""Starts the servers while the workspace compiles, to save time: both are always needed."""

import argparse
import os
import re
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from typing import IO

from infra.local.commands.up import up
from infra.local.config import ROOT, Stack, run_dir
from infra.local.console import say
from infra.local.errors import StackError

# Seconds between two lines of progress.
_TELL_SECONDS = 10
_PROGRESS = re.compile(r"Building \[[=> ]*\] (\d+)/(\d+)(?:: (.*))?")


def add_arguments(_: argparse.ArgumentParser) -> None:
    """No options."""


def main(_: argparse.Namespace) -> int:
    """Builds the workspace and starts the servers."""
    up_and_build()
    return 0


def up_and_build() -> Stack:
    """Runs both at once. Reports a failure of one only when the other has ended, so that its work is not lost."""
    with ThreadPoolExecutor(2) as pool:
        building, starting = pool.submit(build), pool.submit(up)
    errors = [error for future in (building, starting) if (error := future.exception())]
    for error in errors:
        if not isinstance(error, StackError):
            raise error
    if errors:
        raise StackError("\n".join(str(error) for error in errors))
    return starting.result()


def build() -> None:
    """Runs `cargo build --workspace`, prints its progress as lines and writes all its output to a log."""
    log = run_dir() / "logs" / "build.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    command = ["cargo", "build", "--workspace"]
    say("build", f"{' '.join(command)} (the first time takes minutes; log: {log})")
    # Cargo draws no progress bar into a pipe unless asked to.
    progress = {"CARGO_TERM_PROGRESS_WHEN": "always", "CARGO_TERM_PROGRESS_WIDTH": "120", "CARGO_TERM_COLOR": "never"}
    try:
        process = subprocess.Popen(
            command, cwd=ROOT, env={**os.environ, **progress}, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE
        )
    except FileNotFoundError:
        raise StackError("cargo is missing: install Rust from https://rustup.rs and try again") from None
    started = time.monotonic()
    assert process.stderr is not None
    with log.open("w") as stream:
        _follow(process.stderr, stream)
    if process.wait():
        lines = log.read_text().splitlines()
        first = next((number for number, line in enumerate(lines) if line.startswith("error")), max(len(lines) - 30, 0))
        told = "\n".join(f"    {line}" for line in lines[first : first + 40])
        raise StackError(f"`{' '.join(command)}` failed, see {log}:\n{told}")
    say("build", f"done after {time.monotonic() - started:.0f} s")


def _follow(output: IO[bytes], log: IO[str]) -> None:
    """Writes whole lines to the log, and prints now and then what the progress bar shows."""
    told = time.monotonic()
    rest = b""
    while block := os.read(output.fileno(), 1 << 16):
        *pieces, rest = re.split(rb"([\r\n])", rest + block)
        # Text and separator in turns. The progress bar ends in a carriage return, a line in a newline.
        for text, end in zip(pieces[::2], pieces[1::2], strict=True):
            line = text.decode(errors="replace").removeprefix("\x1b[K").rstrip()
            if bar := _PROGRESS.search(line):
                if time.monotonic() - told >= _TELL_SECONDS:
                    told = time.monotonic()
                    say("build", f"{bar[1]} of {bar[2]} units" + (f", now {bar[3].strip()}" if bar[3] else ""))
            elif line and end == b"\n":
                log.write(f"{line}\n")
                log.flush()
