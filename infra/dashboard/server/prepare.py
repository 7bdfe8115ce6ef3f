"""Brings Superset's own database to this release, with its permissions and its administrator.

One process instead of Superset's three commands: starting it takes longer than most of its work.
"""

import json
import os
from pathlib import Path

import flask_migrate
from superset.app import create_app

ADMINISTRATOR = "admin"


def main() -> None:
    """Runs everything; doing it again changes nothing but the administrator's password."""
    settings = json.loads(Path(os.environ["STOREWATCH_DASHBOARD"]).read_text())
    app = create_app()
    with app.app_context():
        from superset.extensions import appbuilder, security_manager

        print("tables", flush=True)
        flask_migrate.upgrade()
        print("permissions", flush=True)
        appbuilder.add_permissions(update_perms=True)
        security_manager.sync_role_definitions()
        print("administrator", flush=True)
        if user := security_manager.find_user(ADMINISTRATOR):
            security_manager.reset_password(user.id, settings["admin_password"])
        elif not security_manager.add_user(
            ADMINISTRATOR,
            "Storewatch",
            "Administrator",
            "admin@localhost",
            security_manager.find_role("Admin"),
            settings["admin_password"],
        ):
            raise SystemExit("Superset did not create its administrator; see its log above")


if __name__ == "__main__":
    main()
