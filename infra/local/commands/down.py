"""Stops every server of the stack, including those that other commands started."""

import argparse
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from infra.local.config import lock_file, run_dir, stack_name
from infra.local.console import say
from infra.local.servers import jupyterhub, postgres
from infra.local.servers.locks import exclusive
from infra.local.servers.processes import Server, servers


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options."""
    parser.add_argument("--wipe", action="store_true", help="remove the stack's data, logs and addresses too")


def main(args: argparse.Namespace) -> int:
    """Stops the stack. Does nothing if it is down."""
    down(wipe=args.wipe)
    return 0


def down(*, wipe: bool = False) -> None:
    """Stops the servers in parallel and waits until they have ended."""
    name = stack_name()
    folder = run_dir(name)
    with exclusive(lock_file(name), "stack"):
        running = servers(folder)
        with ThreadPoolExecutor(max(len(running), 1)) as pool:
            list(pool.map(_stop, running))
        for settings in folder.glob("*/settings.json"):
            if settings.parent.name.startswith(jupyterhub.NAME):
                jupyterhub.clean(settings.parent)
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
