"""Shows the stack's servers (address, pid, whether they answer, their logs) and the time zone data of its countries."""

import argparse

from infra.errors import DeployError
from infra.zones import Lake, release_of
from stack import elasticsearch, ministack, postgres, trino, zones
from stack.config import Stack
from stack.console import table
from stack.prefix import add_prefix_argument
from stack.processes import Server, servers


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Which deployment; STACK_NAME says which stack."""
    add_prefix_argument(parser)


def main(args: argparse.Namespace) -> int:
    """Prints the table; 1 if a server is down."""
    stack = Stack.load()
    parts = {
        postgres.NAME: (f"{stack.postgres.host}:{stack.postgres.port}", lambda: postgres.is_healthy(stack.postgres)),
        elasticsearch.NAME: (stack.elasticsearch.url, lambda: elasticsearch.is_healthy(stack.elasticsearch)),
        ministack.NAME: (stack.aws.endpoint, lambda: ministack.is_healthy(stack.aws)),
    }
    if url := trino.running(stack):
        parts[trino.NAME] = (url, lambda: trino.is_healthy(url))
    rows: list[list[str]] = []
    all_healthy = True
    for name, (address, is_healthy) in parts.items():
        server = Server(name, stack.run_dir)
        pid = server.pid()
        healthy = pid is not None and is_healthy()
        all_healthy &= healthy
        rows.append([name, address, str(pid or "-"), "yes" if healthy else "no", str(server.log_file)])
    # What other commands have started has no address to ask: it is well while it runs.
    for server in servers(stack.run_dir):
        if server.name not in parts:
            pid = server.pid()
            all_healthy &= pid is not None
            rows.append([server.name, "-", str(pid or "-"), "yes" if pid else "no", str(server.log_file)])
    print(table(["server", "address", "pid", "healthy", "log"], rows))
    if parts[ministack.NAME][1]():
        print(f"time zones: {time_zones(stack, args.prefix)}")
    return 0 if all_healthy else 1


def time_zones(stack: Stack, prefix: str) -> str:
    """The release that the functions are built with, and what countries use in its place."""
    text = f"IANA {zones.RELEASE} is built into the functions"
    try:
        lake = Lake.of(stack.aws.client, prefix)
        others = {country: key for country in lake.countries() if (key := lake.bundle(country))}
    except DeployError:
        return f"{text}; {prefix} is not deployed"
    told = "".join(f"; {country} uses IANA {release_of(key)} ({key})" for country, key in others.items())
    return f"{text}{told or '; all countries use it'}"
