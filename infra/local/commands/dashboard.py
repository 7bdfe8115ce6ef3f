"""Starts the dashboard on the running stack: Superset over Trino, with everything imported. Prints its address.

stack dashboard up       installs it the first time, starts it, imports the dashboards, roles and row-level security
stack dashboard down     stops it; `stack down` does too
"""

import argparse
from concurrent.futures import ThreadPoolExecutor

from infra import stacks, version
from infra.dashboard.client import Client
from infra.dashboard.importer import bring
from infra.errors import DeployError
from infra.local.config import Stack, lock_file
from infra.local.console import say
from infra.local.errors import StackError
from infra.local.prefix import add_prefix_argument
from infra.local.servers import ports, redis, superset, trino
from infra.local.servers.locks import exclusive
from infra.local.servers.processes import Server


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the action, and whose lake it shows."""
    add_prefix_argument(parser)
    parser.add_argument("action", choices=["up", "down"], nargs="?", default="up", help="start it, or stop it")


def main(args: argparse.Namespace) -> int:
    """Starts or stops it."""
    stack = Stack.load()
    if args.action == "down":
        down(stack)
        return 0
    database, countries = lake(stack, args.prefix)
    settings, addresses = up(stack, database, countries)
    print(f"user      {superset.ADMINISTRATOR}\npassword  {settings.admin_password}")
    for address in addresses.values():
        print(address)
    return 0


def lake(stack: Stack, prefix: str) -> tuple[str, list[str]]:
    """A deployment's database, and its countries."""
    cloudformation = stack.aws.client("cloudformation")
    made = stacks.outputs(cloudformation, f"{prefix}-lake")
    if made is None:
        raise StackError(f"there is no stack {prefix}-lake, so no lake to show: deploy it with `make run`")
    countries = stacks.parameters(cloudformation, f"{prefix}-country-")
    return made["Database"], sorted(name.removeprefix(f"{prefix}-country-") for name in countries)


def up(stack: Stack, database: str, countries: list[str]) -> tuple[superset.Settings, dict[str, str]]:
    """Starts everything that is needed. Returns the settings, and the dashboards' addresses by name."""
    with exclusive(lock_file(f"{stack.name}-dashboard"), superset.NAME):
        port = _ports(stack)
        # Each takes most of a minute the first time.
        with ThreadPoolExecutor(1) as pool:
            engine = pool.submit(trino.up, stack)
            cache = redis.start(stack.run_dir, port[redis.NAME])
            settings = superset.start(stack, superset.environment(), port[superset.NAME], cache)
        uri = f"{engine.result().replace('http://', 'trino://storewatch@')}/{trino.CATALOG}/{database}"
        client = Client(settings.url, superset.ADMINISTRATOR, settings.admin_password)
        try:
            addresses = bring(client, database, uri, countries, version.current(), _say)
        except DeployError as error:
            raise StackError(str(error)) from None
    return settings, addresses


def down(stack: Stack) -> None:
    """Stops its servers, and leaves the engine, which others may use."""
    for name in (superset.NAME, redis.NAME):
        server = Server(name, stack.run_dir)
        pid = server.pid()
        say(name, f"stopped (pid {pid})" if server.stop() else "was not running")


def _ports(stack: Stack) -> dict[str, int]:
    running = {name: Server(name, stack.run_dir).pid() is not None for name in (redis.NAME, superset.NAME)}
    with exclusive(lock_file(stack.name), "stack"):
        return ports.choose(stack.run_dir, running)


def _say(text: str) -> None:
    say(superset.NAME, text)
