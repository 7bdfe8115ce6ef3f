"""Stops every server of the stack, those that other commands started on it too."""

import argparse
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from stack import postgres
from stack.config import run_dir, stack_name
from stack.console import say
from stack.locks import exclusive
from stack.processes import Server, servers
from stack.up import lock_file


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What `down` can be told."""
    parser.add_argument("--wipe", action="store_true", help="remove the stack's data, logs and addresses too")


def main(args: argparse.Namespace) -> int:
    """Takes the stack down; harmless when it is."""
    down(wipe=args.wipe)
    return 0


def down(*, wipe: bool = False) -> None:
    """Stops the servers side by side and waits for their ends."""
    name = stack_name()
    folder = run_dir(name)
    with exclusive(lock_file(name), "stack"):
        running = servers(folder)
        with ThreadPoolExecutor(max(len(running), 1)) as pool:
            list(pool.map(_stop, running))
        if wipe:
            _wipe(folder)
    say("stack", f"{name!r} is down" + (" and its data is gone" if wipe else ""))


def _stop(server: Server) -> None:
    pid = server.pid()
    if server.stop():
        say(server.name, f"stopped (pid {pid})")


def _wipe(folder: Path) -> None:
    postgres.wipe(folder)
    if folder.exists():
        shutil.rmtree(folder)
