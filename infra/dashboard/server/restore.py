"""Brings an export back, in an order in which nobody ever sees what is not meant for them.

First the datasets, which only administrators see. Then roles, users and row-level security. Then charts and dashboards,
not published; their owners and roles; saved queries, alerts and reports; and last of all what was published.

What Storewatch's import makes is taken from the export only if it is missing: the import's may be newer.
"""

import json
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml
from superset import db, security_manager
from superset.commands.importers.v1.assets import ImportAssetsCommand
from superset.connectors.sqla.models import RowLevelSecurityFilter, SqlaTable
from superset.models.core import Database
from superset.models.dashboard import Dashboard
from superset.models.slice import Slice
from superset.models.sql_lab import SavedQuery
from superset.reports.models import ReportRecipients, ReportSchedule

from infra.dashboard import files
from infra.dashboard.server.archive import Export
from infra.dashboard.server.export import REPORT_FIELDS
from infra.errors import DeployError

_MODELS = {"datasets": SqlaTable, "charts": Slice, "dashboards": Dashboard, "queries": SavedQuery}
# Of rules and roles that the import makes.
_OURS = "storewatch: "


@dataclass
class Restore:
    """One run. Doing it again changes nothing."""

    export: Export
    say: Callable[[str], None]
    own: frozenset[str] = field(init=False)

    def __post_init__(self) -> None:
        self.own = _own(self.export)

    def run(self) -> None:
        """Does everything."""
        connections = self._connections()
        self._import("datasets", connections)
        self._roles()
        self._users()
        self._rules()
        self._import("charts", connections)
        self._import("dashboards", connections)
        self._owners()
        self._import("queries", connections)
        self._query_owners()
        self._reports()
        self._publish()

    def _connections(self) -> dict[str, str]:
        """The UUID here of each connection there. They are not in the export, and so must be here."""
        here = {one.database_name: str(one.uuid) for one in db.session.query(Database)}
        there: Mapping[str, str] = self.export.access["connections"]
        used = {content.get("database_uuid") for content in self.export.assets.values()}
        if missing := sorted(name for uuid, name in there.items() if uuid in used and name not in here):
            raise DeployError(f"there is no connection {', '.join(missing)} here: make it first, exports have none")
        return {uuid: here[name] for uuid, name in there.items() if name in here}

    def _import(self, folder: str, connections: Mapping[str, str]) -> None:
        here = {str(uuid) for (uuid,) in db.session.query(_MODELS[folder].uuid)}
        datasets = {str(uuid) for (uuid,) in db.session.query(SqlaTable.uuid)}
        chosen = {}
        for path, content in self.export.assets.items():
            if not path.startswith(f"{folder}/") or (content["uuid"] in self.own and content["uuid"] in here):
                continue
            if folder == "charts" and content.get("dataset_uuid") not in datasets:
                self.say(f"leaves the chart {content['slice_name']!r} out: its dataset is gone")
                continue
            changed: dict[str, Any] = {"published": False} if folder == "dashboards" else {}
            if uuid := content.get("database_uuid"):
                changed["database_uuid"] = connections[uuid]
            chosen[path] = yaml.safe_dump({**content, **changed})
        if chosen:
            metadata = {"version": "1.0.0", "type": "assets", "timestamp": "2026-01-01T00:00:00+00:00"}
            ImportAssetsCommand({"metadata.yaml": yaml.safe_dump(metadata), **chosen}, sparse=True).run()
        self.say(f"{folder}: {len(chosen)}")

    def _roles(self) -> None:
        known = {(one.permission.name, one.view_menu.name): one for one in _permissions()}
        perms = {"datasets": _perms(SqlaTable), "connections": self._connection_perms()}
        ours = {*files.load().roles}
        restored = 0
        for name, rights in self.export.access["roles"].items():
            role = security_manager.find_role(name)
            if role and (name in ours or name.startswith("country_")):
                continue
            role = role or security_manager.add_role(name)
            wanted = [(right, on if isinstance(on, str) else _named(perms, on)) for right, on in rights]
            role.permissions = [known[one] for one in wanted if one in known]
            if lost := sorted(f"{right} on {on}" for right, on in wanted if (right, on) not in known):
                self.say(f"the role {name}: this Superset has no {', '.join(lost)}")
            restored += 1
        db.session.commit()
        self.say(f"roles: {restored}")

    def _connection_perms(self) -> dict[str, str]:
        here = {one.database_name: one.perm for one in db.session.query(Database)}
        return {uuid: here[name] for uuid, name in self.export.access["connections"].items() if name in here}

    def _users(self) -> None:
        new = []
        for user in self.export.access["users"]:
            roles = [role for name in user["roles"] if (role := security_manager.find_role(name))]
            there = security_manager.find_user(user["username"])
            if there is None:
                names = [user[name] for name in ("username", "first_name", "last_name", "email")]
                # Nobody knows it: an administrator gives them another.
                there = security_manager.add_user(*names, roles, secrets.token_urlsafe(24))
                if not there:
                    raise DeployError(f"Superset did not make the user {user['username']}: see its log")
                there.active = user["active"]
                new.append(user["username"])
            there.roles = roles
        db.session.commit()
        self.say(f"users: {len(self.export.access['users'])}")
        if new:
            self.say(f"give a password to {', '.join(new)}: exports have none (single sign-on needs none)")

    def _rules(self) -> None:
        restored = 0
        for content in self.export.access["rules"]:
            rule = db.session.query(RowLevelSecurityFilter).filter_by(name=content["name"]).one_or_none()
            if rule and content["name"].startswith(_OURS):
                continue
            if rule is None:
                rule = RowLevelSecurityFilter(name=content["name"])
                db.session.add(rule)
            for name in ("description", "group_key", "clause", "filter_type"):
                setattr(rule, name, content[name])
            rule.roles = [role for name in content["roles"] if (role := security_manager.find_role(name))]
            rule.tables = _by_uuid(SqlaTable, content["datasets"])
            restored += 1
        db.session.commit()
        self.say(f"row-level security: {restored} rules")

    def _owners(self) -> None:
        for folder in ("datasets", "charts", "dashboards"):
            for uuid, who in self.export.access[folder].items():
                for one in _by_uuid(_MODELS[folder], [uuid]):
                    one.owners = _users(who["owners"])
                    if folder == "dashboards" and uuid not in self.own:
                        one.roles = [role for name in who["roles"] if (role := security_manager.find_role(name))]
        db.session.commit()

    def _query_owners(self) -> None:
        for uuid, who in self.export.access["queries"].items():
            for one in _by_uuid(SavedQuery, [uuid]):
                for user in _users(who["owners"]):
                    one.user = one.created_by = user
        db.session.commit()

    def _reports(self) -> None:
        connections = {one.database_name: one for one in db.session.query(Database)}
        for content in self.export.access["reports"]:
            key = {"type": content["type"], "name": content["name"]}
            report = db.session.query(ReportSchedule).filter_by(**key).one_or_none()
            if report is None:
                report = ReportSchedule()
                db.session.add(report)
            for name in REPORT_FIELDS:
                setattr(report, name, content[name])
            report.database = connections.get(content["connection"])
            report.chart = next(iter(_by_uuid(Slice, [content["chart"]])), None)
            report.dashboard = next(iter(_by_uuid(Dashboard, [content["dashboard"]])), None)
            report.owners = _users(content["owners"])
            report.recipients = [
                ReportRecipients(type=kind, recipient_config_json=json.dumps(config))
                for kind, config in content["recipients"]
            ]
        db.session.commit()
        self.say(f"alerts and reports: {len(self.export.access['reports'])}")

    def _publish(self) -> None:
        for uuid, who in self.export.access["dashboards"].items():
            for one in _by_uuid(Dashboard, [uuid]):
                one.published = one.published if uuid in self.own else who["published"]
        db.session.commit()


def _own(export: Export) -> frozenset[str]:
    """The UUIDs of what Storewatch's import makes. They follow from names."""
    made = files.load()
    own = {one.uuid for each in (made.charts, made.dashboards) for one in each.values()}
    datasets = {content["uuid"]: content for path, content in export.assets.items() if path.startswith("datasets/")}
    return frozenset(
        own | {uuid for uuid, content in datasets.items() if files.identity("dataset", content["table_name"]) == uuid}
    )


def _permissions() -> Any:
    found = db.session.query(security_manager.permissionview_model)
    return [one for one in found if one.permission and one.view_menu]


def _perms(model: Any) -> dict[str, str]:
    return {str(one.uuid): one.perm for one in db.session.query(model)}


def _named(perms: Mapping[str, Mapping[str, str]], on: Mapping[str, str]) -> str:
    """Superset's name here of a dataset or connection."""
    ((kind, uuid),) = on.items()
    return perms[kind].get(uuid, f"{kind} {uuid}")


def _by_uuid(model: Any, uuids: list[str | None]) -> list[Any]:
    wanted = {uuid for uuid in uuids if uuid}
    return [one for one in db.session.query(model) if str(one.uuid) in wanted] if wanted else []


def _users(names: list[str]) -> list[Any]:
    return [user for name in names if (user := security_manager.find_user(name))]
