"""Exports what users made, or brings an export back: python -m infra.dashboard.server.backup export|restore.

Runs in Superset's environment, with its settings. The address of the exports is in STOREWATCH_EXPORTS: s3://bucket/prefix/.
"""

import argparse
import logging
import os
import sys

from botocore.exceptions import BotoCoreError, ClientError

from infra.dashboard.server.archive import Place
from infra.errors import DeployError

PLACE = "STOREWATCH_EXPORTS"


def main() -> int:
    """Runs it; 1 with a message if it cannot."""
    parser = argparse.ArgumentParser(prog="python -m infra.dashboard.server.backup", description=__doc__)
    parser.add_argument("action", choices=["export", "restore"])
    parser.add_argument(
        "--from", dest="instant", help="the export to restore, such as 20261126T035000Z (default: the newest)"
    )
    args = parser.parse_args()
    try:
        place = Place.of(os.environ.get(PLACE, ""))
        # Superset tells at length how it starts, and warns of itself.
        logging.disable(logging.WARNING)
        from superset.app import create_app

        with create_app().app_context():
            return _export(place) if args.action == "export" else _restore(place, args.instant)
    except DeployError as error:
        print(f"dashboard: {error}", file=sys.stderr)
        return 1
    except (BotoCoreError, ClientError) as error:
        print(f"dashboard: S3 refused or did not answer, at {os.environ[PLACE]}: {error}", file=sys.stderr)
        return 1


def _export(place: Place) -> int:
    from infra.dashboard.server.export import export

    print(export(place))
    return 0


def _restore(place: Place, instant: str | None) -> int:
    from superset.utils.core import override_user

    from infra.dashboard.server.export import administrator
    from infra.dashboard.server.restore import Restore

    address, found = place.get(instant)
    print(f"restores {address}")
    with override_user(administrator()):
        Restore(found, print).run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
