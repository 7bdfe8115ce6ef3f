"""Fills the servers with sample stores and keeps their live view current."""

import argparse
import os
import signal
import sys
import threading
from datetime import UTC, date, datetime
from pathlib import Path

from infra.local import slots
from infra.local.config import ROOT, VENV, Stack
from infra.local.console import say, table
from infra.local.errors import StackError
from infra.local.sample.countries import COUNTRIES
from infra.local.sample.load import AHEAD, drop, load, refresh
from infra.local.sample.places import check_prefix, read_parameters, read_places
from infra.local.servers.processes import Server

# Seconds until the next attempt after a failure, and between looks at the clock.
_RETRY_SECONDS = 10


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the actions and their options."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    prefix = argparse.ArgumentParser(add_help=False)
    prefix.add_argument("--prefix", help="prefix of databases, roles and indices, for samples side by side")
    at = argparse.ArgumentParser(add_help=False)
    at.add_argument("--at", type=_instant, help="an instant in the slot of the live view (default: now)")

    action = actions.add_parser("load", parents=[prefix, at], help="create or replace databases, roles and indices")
    action.add_argument("--stores", type=int, default=10_000, help="stores in all countries together (default: 10000)")
    action.add_argument("--seed", type=int, default=1, help="another seed gives other stores (default: 1)")
    action.add_argument(
        "--countries", default=",".join(COUNTRIES), help=f"some of {','.join(COUNTRIES)} (default: all)"
    )
    action.add_argument("--today", type=date.fromisoformat, help="the day around which exceptions lie (default: today)")
    actions.add_parser("refresh", parents=[prefix, at], help="rewrite the live views for the slot")
    action = actions.add_parser("follow", parents=[prefix], help="rewrite them before each slot, in the background")
    action.add_argument("--stop", action="store_true", help="stop it")
    action.add_argument("--foreground", action="store_true", help=argparse.SUPPRESS)
    actions.add_parser("drop", parents=[prefix], help="remove databases, roles and indices")


def main(args: argparse.Namespace) -> int:
    """Runs one action."""
    stack = Stack.load()
    check_prefix(args.prefix)
    match args.action:
        case "load":
            codes = args.countries.split(",")
            places = load(
                stack,
                count=args.stores,
                seed=args.seed,
                countries=codes,
                prefix=args.prefix,
                today=args.today,
                at=args.at,
            )
            rows = [[code, place.database, place.role, place.index] for code, place in places.items()]
            print(table(["country", "database", "role", "index"], rows))
        case "refresh":
            refresh(stack, prefix=args.prefix, at=args.at)
        case "follow" if args.foreground:
            _follow(stack, args.prefix)
        case "follow" if args.stop:
            stopped = follower(stack, args.prefix).stop()
            say("sample", "stopped updating its live view" if stopped else "its live view was not being updated")
        case "follow":
            start_following(stack, args.prefix)
        case "drop":
            follower(stack, args.prefix).stop()
            drop(stack, prefix=args.prefix)
    return 0


def follower(stack: Stack, prefix: str | None) -> Server:
    """The background process that keeps a sample's live view current."""
    return Server(f"sample-follow-{prefix}" if prefix else "sample-follow", stack.run_dir)


def start_following(stack: Stack, prefix: str | None = None) -> None:
    """Starts the background process unless it runs. `stack down` stops it too."""
    read_parameters(stack, prefix)  # here, because an error in the background would not be seen
    server = follower(stack, prefix)
    if (pid := server.pid()) is not None:
        say("sample", f"its live view is being updated already (pid {pid})")
        return
    command: list[str | Path] = [VENV / "bin" / "python", "-m", "infra.local", "sample", "follow", "--foreground"]
    if prefix:
        command += ["--prefix", prefix]
    env = {"PATH": os.defpath, "LANG": "C.UTF-8", "PYTHONPATH": str(ROOT), "STACK_NAME": stack.name}
    process = server.start(command, env=env, cwd=stack.run_dir)
    server.wait_until(lambda: "following" in server.log_end(), seconds=20, process=process)
    say("sample", f"its live view follows the opening hours (pid {process.pid}, log: {server.log_file})")


def _follow(stack: Stack, prefix: str | None) -> None:
    """Rewrites the live view now, and a minute before each slot begins, until stopped."""
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    print(f"following {', '.join(sorted(read_places(stack, prefix)))}", flush=True)
    lead = AHEAD
    written: datetime | None = None
    while not stop.is_set():
        slot = slots.current(datetime.now(UTC) + lead)
        if written and slot <= written:
            # In short waits, to notice if the clock was set or the machine slept.
            stop.wait(min(_RETRY_SECONDS, (written + slots.SLOT - lead - datetime.now(UTC)).total_seconds() + 0.1))
            continue
        started = datetime.now(UTC)
        try:
            refresh(stack, prefix=prefix, at=slot)
        except StackError as error:
            print(
                f"{started:%Y-%m-%d %H:%M:%S} the live view of {slot:%H:%M} was not written: {error}", file=sys.stderr
            )
            stop.wait(_RETRY_SECONDS)
            continue
        written = slot
        # A large view takes longer than a minute. Begin the next one that much earlier.
        lead = max(AHEAD, 2 * (datetime.now(UTC) - started))


def _instant(text: str) -> datetime:
    instant = datetime.fromisoformat(text)
    return instant if instant.tzinfo else instant.replace(tzinfo=UTC)
