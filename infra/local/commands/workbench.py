"""Starts the analysts' workbench on the running stack: JupyterHub over Trino. Prints its address and users.

stack workbench up       installs it the first time, starts it; the first time, makes a user `ana` who is an administrator
stack workbench down     stops it with all users' servers; `stack down` does too
stack workbench user     adds a user, or changes what a user may do; prints the password of a new one
stack workbench restore  brings users, rights and files back from the backup, the newest or as of --at
"""

import argparse
import os
import random
import subprocess
import urllib.parse
from dataclasses import replace
from pathlib import Path
from typing import Any

from infra.errors import DeployError
from infra.local.commands.dashboard import lake
from infra.local.commands.deploy import deploy_workbench
from infra.local.config import Stack, lock_file, write_private
from infra.local.console import say
from infra.local.errors import StackError
from infra.local.prefix import add_prefix_argument
from infra.local.servers import jupyterhub, ports, trino
from infra.local.servers.locks import exclusive
from infra.local.servers.processes import Server
from infra.workbench import people
from infra.workbench.hub import access, firewall, users
from infra.workbench.hub.settings import Settings

FIRST_USER = "ana"
_PORTS = ("", "-hub", "-proxy", "-pages")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the action, whose lake is asked, and a user's rights."""
    add_prefix_argument(parser)
    parser.add_argument("action", choices=["up", "down", "user", "restore"], nargs="?", default="up", help="what to do")
    parser.add_argument("--at", help="restore: as of this instant, such as 2026-11-26T12:00Z")
    parser.add_argument("--force", action="store_true", help="restore: write over homes that are not empty")
    parser.add_argument("--name", help="the user")
    people.add_arguments(parser)


def main(args: argparse.Namespace) -> int:
    """Starts or stops it, or changes a user."""
    stack = Stack.load()
    try:
        if args.action == "down":
            say(jupyterhub.NAME, "stopped" if jupyterhub.stop(stack) else "was not running")
        elif args.action == "user":
            change_user(stack, args)
        else:
            was_running = Server(jupyterhub.NAME, stack.run_dir).pid() is not None
            status = restore(stack, args) if args.action == "restore" else 0
            if not status or was_running:
                show(up(stack, args.prefix, lake(stack, args.prefix).database))
            return status
    except DeployError as error:
        raise StackError(str(error)) from None
    return 0


def up(
    stack: Stack, prefix: str, database: str, name: str = jupyterhub.NAME, sample: str | None = None, **more: Any
) -> Settings:
    """Starts everything that is needed. Returns the settings; `more` are some that differ from the usual ones.

    `sample` names the sample whose databases and indices are the raw sources, if it is not the stack's.
    """
    python, proxy = jupyterhub.install()
    with exclusive(lock_file(f"{stack.name}-{name}"), jupyterhub.NAME):
        settings = replace(_settings(stack, prefix, database, name, python, proxy, sample), **more)
        if not list(users.Users.load(settings.folder)):
            _first_user(settings, sorted(file.stem for file in Path(settings.countries).glob("*.toml")))
        provide(stack, settings)
        jupyterhub.start(stack, python, settings)
    return settings


def _settings(
    stack: Stack, prefix: str, database: str, name: str, python: Path, proxy: Path, sample: str | None = None
) -> Settings:
    port = _ports(stack, name)
    engine = trino.up(stack)
    state = jupyterhub.home(stack, name)
    state.mkdir(parents=True, exist_ok=True)
    # Others may pass it, since they need their own files in it; what they may not see has modes of its own.
    state.chmod(0o711)
    made = deploy_workbench(stack, prefix, state / "countries", sample)
    return Settings(
        state=str(state),
        port=port[""],
        hub_port=port["-hub"],
        proxy_port=port["-proxy"],
        pages_port=port["-pages"],
        proxy=str(proxy),
        environment=str(python.parents[1]),
        uid_base=_uid_base(state),
        prefix=prefix,
        database=database,
        bucket=made["WorkbenchBucket"],
        namespace=made["MetricsNamespace"],
        region=stack.aws.region,
        countries=str(state / "countries"),
        engine="trino",
        trino_url=engine.url,
        trino_ca=str(engine.ca),
        smtp=os.environ.get("WORKBENCH_SMTP") or None,
    )


def restore(stack: Stack, args: argparse.Namespace) -> int:
    """Brings users and files back, in the workbench's environment and while it is stopped. 0 if it is done."""
    python, proxy = jupyterhub.install()
    with exclusive(lock_file(f"{stack.name}-{jupyterhub.NAME}"), jupyterhub.NAME):
        settings = _settings(stack, args.prefix, lake(stack, args.prefix).database, jupyterhub.NAME, python, proxy)
        jupyterhub.stop(stack)
        write_private(settings.file, settings.text())
        words = [*(["--at", args.at] if args.at else []), *(["--force"] if args.force else [])]
        command = [python, "-m", "infra.workbench.hub.restore", *words]
        return subprocess.run(command, check=False, env=jupyterhub.variables(stack, python, settings)).returncode


def provide(stack: Stack, settings: Settings) -> None:
    """Lets the users reach what they may: logins at the engine, files, and the network's rules."""
    known = users.Users.load(settings.folder)
    own = {user.uid: [_port(stack.elasticsearch.url)] for user in known if user.sources}
    firewall.apply(
        settings, [settings.port, settings.hub_port, _port(settings.trino_url or ""), stack.postgres.port], own
    )
    for user in known:
        trino.set_password(stack, user.name, access.trino_password(settings, user.name))
    # The hub's code finds AWS in the environment.
    os.environ.update(stack.aws.environment())
    access.renew(settings)


def change_user(stack: Stack, args: argparse.Namespace) -> None:
    """Adds, changes or removes a user."""
    settings = running(stack)
    if not args.name:
        raise StackError("name the user, as in make workbench-user NAME=ben")
    password = people.change(settings, args)
    if args.remove:
        trino.remove_user(stack, args.name)
    provide(stack, settings)
    say(jupyterhub.NAME, people.told(settings, args.name))
    if password:
        print(f"user      {args.name}\npassword  {password}")


def running(stack: Stack) -> Settings:
    """The settings of the running workbench."""
    if Server(jupyterhub.NAME, stack.run_dir).pid() is None:
        raise StackError("the workbench is not running: start it with `make workbench`")
    return Settings.load(jupyterhub.home(stack) / "settings.json")


def show(settings: Settings) -> None:
    """Prints the address and who may sign in."""
    known = users.Users.load(settings.folder)
    first = settings.folder / "first-password"
    for user in known:
        print(people.told(settings, user.name))
    if first.exists() and FIRST_USER in known and users.fits(first.read_text(), known[FIRST_USER].password):
        print(f"user      {FIRST_USER}\npassword  {first.read_text()}")
    print(settings.address)


def _first_user(settings: Settings, countries: list[str]) -> None:
    """An administrator, so that somebody can sign in. The password is kept, since a second call prints it again."""
    password, kept = users.new_password()
    with users.changed(settings.folder, settings.uid_base) as change:
        change.put(FIRST_USER, admin=True, sources=tuple(countries), password=kept)
    write_private(settings.folder / "first-password", password)


def _uid_base(state: Path) -> int:
    """Where the ids of users begin: far from those that systems give, and kept."""
    found = jupyterhub.uid_base(state)
    return 700_000_000 + 1000 * random.randrange(100_000) if found is None else found


def _ports(stack: Stack, name: str) -> dict[str, int]:
    is_running = Server(name, stack.run_dir).pid() is not None
    with exclusive(lock_file(stack.name), "stack"):
        chosen = ports.choose(stack.run_dir, {f"{name}{part}": is_running for part in _PORTS})
    return {part: chosen[f"{name}{part}"] for part in _PORTS}


def _port(url: str) -> int:
    number = urllib.parse.urlsplit(url).port
    assert number, url
    return number
