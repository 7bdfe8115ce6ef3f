"""Shows the stack's servers (address, pid, health, logs), and the last tick and the time zone data of its countries."""

import argparse
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial

from infra import last_ticks, stacks
from infra.errors import DeployError
from infra.local import zones
from infra.local.config import Stack
from infra.local.console import table
from infra.local.prefix import add_prefix_argument
from infra.local.servers import elasticsearch, ministack, postgres, superset, trino
from infra.local.servers.processes import Server, servers
from infra.zones import Lake, release_of


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options: which deployment. STACK_NAME chooses the stack."""
    add_prefix_argument(parser)


def main(args: argparse.Namespace) -> int:
    """Prints the table; 1 if a server is down."""
    stack = Stack.load()
    parts: dict[str, tuple[str, Callable[[], bool]]] = {
        postgres.NAME: (f"{stack.postgres.host}:{stack.postgres.port}", lambda: postgres.is_healthy(stack.postgres)),
        elasticsearch.NAME: (stack.elasticsearch.url, lambda: elasticsearch.is_healthy(stack.elasticsearch)),
        ministack.NAME: (stack.aws.endpoint, lambda: ministack.is_healthy(stack.aws)),
    }
    if engine := trino.running(stack):
        parts[trino.NAME] = (engine.url, partial(trino.is_healthy, engine))
    if url := superset.running(stack.run_dir):
        parts[superset.NAME] = (url, partial(superset.is_healthy, url))
    rows: list[list[str]] = []
    all_healthy = True
    for name, (address, is_healthy) in parts.items():
        server = Server(name, stack.run_dir)
        pid = server.pid()
        healthy = pid is not None and is_healthy()
        all_healthy &= healthy
        rows.append([name, address, str(pid or "-"), "yes" if healthy else "no", str(server.log_file)])
    # Servers that other commands started have no address to ask. They count as healthy while they run.
    for server in servers(stack.run_dir):
        if server.name not in parts:
            pid = server.pid()
            all_healthy &= pid is not None
            rows.append([server.name, "-", str(pid or "-"), "yes" if pid else "no", str(server.log_file)])
    print(table(["server", "address", "pid", "healthy", "log"], rows))
    if parts[ministack.NAME][1]():
        _show_versions(stack)
        _show_ticks(stack, args.prefix)
        print(f"time zones: {time_zones(stack, args.prefix)}")
    return 0 if all_healthy else 1


def _show_versions(stack: Stack) -> None:
    """Prints the version of each stack deployed to the local AWS."""
    deployed = stacks.parameters(stack.aws.client("cloudformation"), "")
    rows = [[name, values["Version"]] for name, values in sorted(deployed.items()) if "Version" in values]
    if rows:
        print("\n" + table(["deployed", "version"], rows))


def _show_ticks(stack: Stack, prefix: str) -> None:
    """Prints the last tick of each country. Says nothing if nothing is deployed."""
    try:
        lake = Lake.of(stack.aws.client, prefix)
    except DeployError:
        return
    told, _ = last_ticks.lines(lake, datetime.now(UTC))
    print("\nlast tick of each country\n" + "\n".join(told) + "\n")


def time_zones(stack: Stack, prefix: str) -> str:
    """The release built into the functions, and which countries use another."""
    text = f"IANA {zones.RELEASE} is built into the functions"
    try:
        lake = Lake.of(stack.aws.client, prefix)
        others = {country: key for country in lake.countries() if (key := lake.bundle(country))}
    except DeployError:
        return f"{text}; {prefix} is not deployed"
    told = "".join(f"; {country} uses IANA {release_of(key)} ({key})" for country, key in others.items())
    return f"{text}{told or '; all countries use it'}"
