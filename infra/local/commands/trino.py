"""Starts or stops Trino, the engine behind Athena, on the stack's lake and catalog.

stack trino up       downloads it the first time, starts it, and waits until it can query the catalog
stack trino down     stops it; `stack down` does too
"""

import argparse

from infra.local.config import Stack
from infra.local.console import say
from infra.local.servers import trino


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the action."""
    parser.add_argument("action", choices=["up", "down"], help="start it, or stop it")


def main(args: argparse.Namespace) -> int:
    """Starts or stops it."""
    stack = Stack.load()
    if args.action == "up":
        print(trino.up(stack).url)
    elif not trino.down(stack):
        say(trino.NAME, "was not running")
    return 0
