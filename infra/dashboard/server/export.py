"""Collects what users made in Superset, and who may see it. Runs inside Superset, because its API leaves things out.

The API lists only one's own saved queries, and Superset's own export has neither owners, roles, row-level security nor
alerts. Connections are left out on purpose: they hold passwords.
"""

import json
from collections.abc import Iterator
from typing import Any

import yaml
from superset import db, security_manager
from superset.commands.chart.export import ExportChartsCommand
from superset.commands.dashboard.export import ExportDashboardsCommand
from superset.commands.dataset.export import ExportDatasetsCommand
from superset.commands.query.export import ExportSavedQueriesCommand
from superset.connectors.sqla.models import RowLevelSecurityFilter, SqlaTable
from superset.models.core import Database
from superset.models.dashboard import Dashboard
from superset.models.slice import Slice
from superset.models.sql_lab import SavedQuery
from superset.reports.models import ReportSchedule
from superset.utils.core import override_user

from infra.dashboard.server.archive import Export, Place
from infra.errors import DeployError

ADMINISTRATORS = "Admin"
# Of an alert or report: what is the same in every Superset.
REPORT_FIELDS = (
    "type", "name", "description", "context_markdown", "active", "crontab", "creation_method", "timezone",
    "report_format", "sql", "validator_type", "validator_config_json", "log_retention", "grace_period",
    "working_timeout", "force_screenshot", "custom_width", "custom_height", "email_subject", "extra_json",
)  # fmt: skip
_KINDS = (
    ("datasets", SqlaTable, ExportDatasetsCommand),
    ("charts", Slice, ExportChartsCommand),
    ("dashboards", Dashboard, ExportDashboardsCommand),
    ("queries", SavedQuery, ExportSavedQueriesCommand),
)


def export(place: Place) -> str:
    """Writes everything to S3 as one object. Returns its address."""
    with override_user(administrator()):
        return place.put(collect())


def administrator() -> Any:
    """A user who may see and write everything."""
    role = security_manager.find_role(ADMINISTRATORS)
    users = sorted((user for user in role.user if user.active), key=lambda user: user.id) if role else []
    if not users:
        raise DeployError(f"this Superset has no active user with the role {ADMINISTRATORS}: make one first")
    return users[0]


def collect() -> Export:
    """Everything. The paths are of UUIDs, because people give one title to several things."""
    assets: dict[str, dict[str, Any]] = {}
    for folder, model, command in _KINDS:
        for one in db.session.query(model):
            assets[f"{folder}/{one.uuid}.yaml"] = yaml.safe_load(command._file_content(one))
    return Export(assets, _access())


def _access() -> dict[str, Any]:
    query = db.session.query
    return {
        "connections": {str(one.uuid): one.database_name for one in query(Database)},
        "users": [_user(one) for one in query(security_manager.user_model)],
        "roles": {
            role.name: list(_rights(role))
            for role in query(security_manager.role_model)
            if role.name != ADMINISTRATORS  # may do everything in every Superset
        },
        "rules": [_rule(one) for one in query(RowLevelSecurityFilter)],
        "dashboards": {
            str(one.uuid): {"published": one.published, "roles": _names(one.roles), "owners": _usernames(one.owners)}
            for one in query(Dashboard)
        },
        "charts": {str(one.uuid): {"owners": _usernames(one.owners)} for one in query(Slice)},
        "datasets": {str(one.uuid): {"owners": _usernames(one.owners)} for one in query(SqlaTable)},
        "queries": {str(one.uuid): {"owners": _usernames([one.user or one.created_by])} for one in query(SavedQuery)},
        "reports": [_report(one) for one in query(ReportSchedule)],
    }


def _user(user: Any) -> dict[str, Any]:
    fields = ("username", "first_name", "last_name", "email", "active")
    return {**{name: getattr(user, name) for name in fields}, "roles": _names(user.roles)}


def _rights(role: Any) -> Iterator[list[Any]]:
    """Permission and on what. Superset writes the number of a dataset or connection, which is another's elsewhere."""
    query = db.session.query
    numbered: dict[str, dict[str, str]] = {one.perm: {"datasets": str(one.uuid)} for one in query(SqlaTable)}
    numbered |= {one.perm: {"connections": str(one.uuid)} for one in query(Database)}
    for one in role.permissions:
        if one.permission and one.view_menu:
            yield [one.permission.name, numbered.get(one.view_menu.name, one.view_menu.name)]


def _rule(rule: Any) -> dict[str, Any]:
    fields = ("name", "description", "group_key", "clause")
    return {
        **{name: getattr(rule, name) for name in fields},
        "filter_type": str(rule.filter_type),
        "roles": _names(rule.roles),
        "datasets": sorted(str(one.uuid) for one in rule.tables),
    }


def _report(report: Any) -> dict[str, Any]:
    return {
        **{name: getattr(report, name) for name in REPORT_FIELDS},
        "owners": _usernames(report.owners),
        "connection": report.database and report.database.database_name,
        "chart": report.chart and str(report.chart.uuid),
        "dashboard": report.dashboard and str(report.dashboard.uuid),
        "recipients": [[one.type, json.loads(one.recipient_config_json)] for one in report.recipients],
    }


def _names(roles: Any) -> list[str]:
    return sorted(role.name for role in roles)


def _usernames(users: Any) -> list[str]:
    return sorted(user.username for user in users if user)
