"""Who uses the workbench: the options, changes and words of `make workbench-user` and `python -m infra.workbench user`."""

import argparse

from infra.workbench.hub import limits, sandbox, users
from infra.workbench.hub.settings import Settings


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds a user's rights."""
    parser.add_argument("--groups", help="groups whose folders the user shares, separated by spaces")
    parser.add_argument("--sources", help="countries whose PostgreSQL and Elasticsearch the user may read")
    parser.add_argument("--mail", help="where the user is told of runs")
    parser.add_argument("--admin", choices=["yes", "no"], help="may manage the hub's servers and see all pages")
    parser.add_argument("--new-password", action="store_true", help="give the user another password")
    parser.add_argument("--remove", action="store_true", help="remove the user, and keep the home")


def change(settings: Settings, args: argparse.Namespace) -> str | None:
    """Writes users.json. Returns the password if there is a new one.

    Who loses a group, a source or everything loses the server that runs too, so that it counts at once.
    """
    lists = {key: tuple(value.split()) for key in ("groups", "sources") if (value := getattr(args, key)) is not None}
    rights = {**lists, **({"admin": args.admin == "yes"} if args.admin else {})}
    rights |= {"mail": args.mail} if args.mail else {}
    password = None
    with users.changed(settings.folder, settings.uid_base) as change:
        before = change.users.by_name.get(args.name)
        if args.remove:
            change.remove(args.name)
        else:
            if args.new_password or before is None:
                password, rights["password"] = users.new_password()
            change.put(args.name, **rights)
    if before and (args.remove or any(set(getattr(before, key)) - set(kept) for key, kept in lists.items())):
        for purpose in (sandbox.SERVER, sandbox.RUN):
            limits.end(settings, args.name, purpose)
    return password


def told(settings: Settings, name: str) -> str:
    """A user and the rights, in a line."""
    known = users.Users.load(settings.folder)
    if name not in known:
        return f"user {name}: removed; the home stays"
    rights = [*(["administrator"] if known[name].admin else []), *(f"group {one}" for one in known[name].groups)]
    rights += [f"sources of {' '.join(known[name].sources)}"] if known[name].sources else []
    return f"user {name}: {', '.join(rights) or 'the lake'}"
