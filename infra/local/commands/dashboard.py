"""Starts the dashboard on the running stack: Superset over Trino, with everything imported. Prints its address.

Mails alerts and reports if the environment has DASHBOARD_SMTP, a mail host such as smtp://127.0.0.1:1025?from=me@localhost,
and those that the import creates go to DASHBOARD_MAIL_TO.

stack dashboard up       installs it the first time, starts it, imports the dashboards, roles and row-level security
stack dashboard down     stops it; `stack down` does too
stack dashboard export   writes what users made to S3, beside the lake
stack dashboard restore  brings the newest export back, or with --from another one
"""

import argparse
import os
import subprocess
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from infra import stacks, version
from infra.dashboard.client import Client
from infra.dashboard.importer import bring
from infra.dashboard.server import smtp
from infra.errors import DeployError
from infra.local.config import Stack, lock_file
from infra.local.console import say
from infra.local.errors import StackError
from infra.local.prefix import add_prefix_argument
from infra.local.servers import ports, redis, superset, superset_worker, trino
from infra.local.servers.locks import exclusive
from infra.local.servers.processes import Server


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the action, and whose lake it shows."""
    add_prefix_argument(parser)
    parser.add_argument(
        "action", choices=["up", "down", "export", "restore"], nargs="?", default="up", help="what to do"
    )
    parser.add_argument("--from", dest="instant", help="the export to restore, such as 20261126T025000Z")


def main(args: argparse.Namespace) -> int:
    """Starts or stops it."""
    stack = Stack.load()
    if args.action == "down":
        down(stack)
        return 0
    shown = lake(stack, args.prefix)
    if args.action in ("export", "restore"):
        return backup(stack, shown, args.action, args.instant)
    settings, addresses = up(stack, shown, _mail())
    print(f"user      {superset.ADMINISTRATOR}\npassword  {settings.admin_password}")
    for address in addresses.values():
        print(address)
    return 0


@dataclass(frozen=True)
class Mail:
    """By which host mails go, and to whom those of the alerts and reports that are created."""

    host: str | None = None
    to: str | None = None

    def check(self) -> None:
        """An address that Superset would not understand is told before anything is started."""
        try:
            smtp.settings(self.host or "smtp://localhost")
        except ValueError as error:
            raise StackError(
                f"DASHBOARD_SMTP is no mail host's address: {error}. Write smtp://user:password@host:port?from=you@example.com"
            ) from None


def _mail() -> Mail:
    mail = Mail(os.environ.get("DASHBOARD_SMTP") or None, os.environ.get("DASHBOARD_MAIL_TO") or None)
    mail.check()
    if not mail.host:
        _say("alerts and reports are off: DASHBOARD_SMTP names no mail host")
    return mail


@dataclass(frozen=True)
class Lake:
    """What is shown: a deployment's database and countries, and the bucket, in which exports are kept too."""

    database: str
    countries: list[str]
    bucket: str

    @property
    def exports(self) -> str:
        """Where exports are. No function of a country has rights on it."""
        return f"s3://{self.bucket}/dashboard/"


def lake(stack: Stack, prefix: str) -> Lake:
    """A deployment's lake."""
    cloudformation = stack.aws.client("cloudformation")
    made = stacks.outputs(cloudformation, f"{prefix}-lake")
    if made is None:
        raise StackError(f"there is no stack {prefix}-lake, so there is no lake: deploy it with `make run`")
    countries = stacks.parameters(cloudformation, f"{prefix}-country-")
    codes = sorted(name.removeprefix(f"{prefix}-country-") for name in countries)
    return Lake(made["Database"], codes, made["LakeBucket"])


def up(
    stack: Stack, shown: Lake, mail: Mail = Mail(), settle_seconds: int = 60
) -> tuple[superset.Settings, dict[str, str]]:
    """Starts everything that is needed. Returns the settings, and the dashboards' addresses by name."""
    python = superset.environment()
    with exclusive(lock_file(f"{stack.name}-dashboard"), superset.NAME):
        port = _ports(stack)
        # Each takes most of a minute the first time.
        with ThreadPoolExecutor(1) as pool:
            engine = pool.submit(trino.up, stack)
            cache = redis.start(stack.run_dir, port[redis.NAME])
            settings = superset.start(
                stack, python, port[superset.NAME], cache, smtp=mail.host, settle_seconds=settle_seconds
            )
        uri = trino.dashboard_address(stack, engine.result(), shown.database)
        client = Client(settings.url, superset.ADMINISTRATOR, settings.admin_password)
        try:
            addresses = bring(client, shown.database, uri, shown.countries, version.current(), _say, mail.to)
        except DeployError as error:
            raise StackError(str(error)) from None
        superset_worker.start(stack, python, settings, shown.exports)
    return settings, addresses


def backup(stack: Stack, shown: Lake, action: str, instant: str | None = None) -> int:
    """Exports what users made, or restores it, inside Superset's environment. Its status: 0 if it is done."""
    if superset.running(stack.run_dir) is None:
        raise StackError("the dashboard is not running: start it with `make dashboard`")
    command: list[str | Path] = [superset.environment(), "-m", "infra.dashboard.server.backup", action]
    env = superset_worker.variables(stack, shown.exports)
    return subprocess.run(
        [*command, *(["--from", instant] if instant else [])], check=False, env=env, cwd=stack.run_dir / superset.NAME
    ).returncode


def down(stack: Stack) -> None:
    """Stops its servers, and leaves the engine, which others may use."""
    for name in (superset_worker.NAME, superset.NAME, redis.NAME):
        server = Server(name, stack.run_dir)
        pid = server.pid()
        say(name, f"stopped (pid {pid})" if server.stop() else "was not running")


def _ports(stack: Stack) -> dict[str, int]:
    running = {name: Server(name, stack.run_dir).pid() is not None for name in (redis.NAME, superset.NAME)}
    with exclusive(lock_file(stack.name), "stack"):
        return ports.choose(stack.run_dir, running)


def _say(text: str) -> None:
    say(superset.NAME, text)
