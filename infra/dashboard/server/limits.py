"""Whose limits a query has: what is written in SQL Lab has those of the analysts, all else those of the dashboard.

One connection serves both, because row-level security belongs to the datasets of a connection. The engine keeps the
limits: Athena by its workgroups, the local Trino by its users.
"""

from typing import Any

from sqlalchemy.engine import URL

ANALYSTS = "analysts"
_SUFFIX = "-dashboard"


def by_source(
    uri: URL, params: dict[str, Any], username: str, security_manager: Any, source: Any
) -> tuple[URL, dict[str, Any]]:
    """Superset's hook DB_CONNECTION_MUTATOR, called for each connection to the engine."""
    # Superset tells the source of some requests by a header that anybody can send. So only who has SQL Lab counts.
    is_sql = getattr(source, "name", "") == "SQL_LAB" and security_manager.can_access("menu_access", "SQL Lab")
    return (as_analyst(uri) if is_sql else uri), params


def as_analyst(uri: URL) -> URL:
    """The engine's address with the analysts' user, or on Athena the workgroup `<prefix>-analysts`."""
    if not uri.drivername.startswith("awsathena"):
        return uri.set(username=ANALYSTS)
    group = uri.query.get("work_group", "")
    if not isinstance(group, str) or not group.endswith(_SUFFIX):
        return uri  # a workgroup that Storewatch's deployment did not make
    return uri.update_query_dict({"work_group": f"{group.removesuffix(_SUFFIX)}-{ANALYSTS}"})
