"""Imports the dashboards into a Superset: python -m infra.dashboard https://superset.example.

Credentials come from the environment, so that they stand in no shell's history and no list of processes:
SUPERSET_USERNAME and SUPERSET_PASSWORD of a user with the role Admin, and DASHBOARD_DATABASE_URI, the SQLAlchemy address
of the lake's engine. Without that, the connection named Storewatch that is there already is used as it is. Alerts and
reports that the import creates go to the mail addresses in DASHBOARD_MAIL_TO; without, they are created switched off.
"""

import argparse
import os
import sys
from collections.abc import Sequence

from infra import version
from infra.country_file import DIRECTORY
from infra.dashboard.client import Client
from infra.dashboard.importer import bring
from infra.errors import DeployError


def main(argv: Sequence[str]) -> int:
    """Runs the import; 1 with a message if it cannot."""
    parser = argparse.ArgumentParser(prog="python -m infra.dashboard", description=__doc__)
    parser.add_argument("url", help="the Superset's address, such as https://superset.example")
    parser.add_argument("--database", default="storewatch", help="the lake's Glue database (default: %(default)s)")
    parser.add_argument("--countries", nargs="*", help="country codes (default: every file in infra/countries)")
    args = parser.parse_args(argv)
    try:
        user, password = _variable("SUPERSET_USERNAME"), _variable("SUPERSET_PASSWORD")
        uri = os.environ.get("DASHBOARD_DATABASE_URI") or None
        countries = args.countries or sorted(path.stem for path in DIRECTORY.glob("*.toml"))
        mail_to = os.environ.get("DASHBOARD_MAIL_TO") or None
        bring(Client(args.url, user, password), args.database, uri, countries, version.current(), print, mail_to)
    except DeployError as error:
        print(f"dashboard: {error}", file=sys.stderr)
        return 1
    return 0


def _variable(name: str) -> str:
    if not (value := os.environ.get(name)):
        raise DeployError(f"set the environment variable {name}: see docs/dashboard.md")
    return value


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
