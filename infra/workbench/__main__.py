"""What root does for the workbench on a company's machine. On the local stack `make workbench` and `make workbench-user` do it.

python -m infra.workbench start                       checks the machine, and limits what users' processes may reach
python -m infra.workbench user ana --groups "ops"     adds a user, or changes what a user may do
"""

import argparse
import os
import sys
from collections.abc import Sequence

from infra.errors import DeployError
from infra.workbench import people
from infra.workbench.hub import access, firewall, sandbox
from infra.workbench.hub.settings import Settings


def start(settings: Settings, _: argparse.Namespace) -> None:
    """What must be done before the hub starts, after each boot."""
    if missing := sandbox.missing():
        raise DeployError(f"{', '.join(missing)} is missing: install bubblewrap, util-linux and nftables")
    firewall.apply(settings, [settings.port, settings.hub_port])


def user(settings: Settings, args: argparse.Namespace) -> None:
    """Adds, changes or removes a user."""
    password = people.change(settings, args)
    access.renew(settings)
    print(people.told(settings, args.name))
    if password:
        print(f"user      {args.name}\npassword  {password}")


def main(argv: Sequence[str]) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m infra.workbench", description=(__doc__ or "").partition("\n")[0])
    actions = parser.add_subparsers(required=True)
    actions.add_parser("start", help=start.__doc__).set_defaults(does=start)
    person = actions.add_parser("user", help=user.__doc__)
    person.add_argument("name", help="the user")
    people.add_arguments(person)
    person.set_defaults(does=user)
    args = parser.parse_args(argv)
    try:
        if os.geteuid() != 0:
            raise DeployError("each user's processes have a Unix user of their own, so run this as root")
        args.does(Settings.load(), args)
    except (DeployError, OSError) as error:
        print(f"workbench: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
