"""Starts or stops Trino, the engine behind Athena, over the stack's own lake and catalog.

stack trino up       fetches it the first time, starts it, and waits until it answers a query on the catalog
stack trino down     stops it; `stack down` does so too
"""

import argparse

from infra.local.config import Stack
from infra.local.console import say
from infra.local.servers import trino


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What to do with it."""
    parser.add_argument("action", choices=["up", "down"], help="start it, or stop it")


def main(args: argparse.Namespace) -> int:
    """Starts or stops it."""
    stack = Stack.load()
    if args.action == "up":
        print(trino.up(stack))
    elif not trino.down(stack):
        say(trino.NAME, "was not running")
    return 0
