"""Starts the servers that are not running, in parallel, and writes their addresses to stack.json."""

import argparse
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from infra.local.config import ROOT, Stack, lock_file, run_dir, stack_name
from infra.local.console import say
from infra.local.errors import StackError
from infra.local.servers import elasticsearch, ministack, ports, postgres
from infra.local.servers.locks import exclusive
from infra.local.servers.processes import Server

# The ports, and the server that each belongs to.
_PORTS = {
    "postgres": postgres.NAME,
    "elasticsearch": elasticsearch.NAME,
    "elasticsearch-transport": elasticsearch.NAME,
    "aws": ministack.NAME,
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds no options: STACK_NAME chooses the stack."""


def main(_: argparse.Namespace) -> int:
    """Starts the stack. Does nothing if it is up."""
    up()
    return 0


def up() -> Stack:
    """Starts what is not running and returns the addresses. Two calls at once take turns."""
    name = stack_name()
    folder = run_dir(name)
    with exclusive(lock_file(name), "stack"):
        folder.mkdir(parents=True, exist_ok=True)
        running = {server for server in _PORTS.values() if Server(server, folder).pid()}
        port = ports.choose(folder, {key: server in running for key, server in _PORTS.items()})
        found = _all_at_once(
            {
                "postgres": lambda: postgres.start(folder, port["postgres"]),
                "elasticsearch": lambda: elasticsearch.start(
                    folder, port["elasticsearch"], port["elasticsearch-transport"]
                ),
                "aws": lambda: ministack.start(folder, port["aws"]),
            }
        )
        stack = Stack(name=name, root=str(ROOT), **found)
        stack.save()
    say("stack", f"{name!r} is up: {stack.file}")
    return stack


def _all_at_once(starts: dict[str, Callable[[], Any]]) -> dict[str, Any]:
    """Runs the starts in parallel. If some fail, the others still come up, and every failure is reported."""
    with ThreadPoolExecutor(len(starts)) as pool:
        futures = {name: pool.submit(start) for name, start in starts.items()}
    errors = [future.exception() for future in futures.values()]
    for error in errors:
        if error and not isinstance(error, StackError):
            raise error
    if any(errors):
        raise StackError("\n".join(str(error) for error in errors if error))
    return {name: future.result() for name, future in futures.items()}
