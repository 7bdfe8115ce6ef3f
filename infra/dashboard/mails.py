"""Imports the alerts and reports, which Superset's own import leaves out. Superset knows each by its type and name.

Whose they are, who gets them and whether they are on is decided in Superset, and stays over imports.
"""

from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any

from infra.dashboard import days
from infra.dashboard.client import Client, Missing
from infra.dashboard.files import Report

# A picture takes up to a minute, and so does a mail host that does not answer. After this the worker ends the task.
_TIMEOUT_SECONDS = 300
_WIDTH = 1600


def bring(
    client: Client,
    reports: Collection[Report],
    countries: Collection[str],
    dashboards: Mapping[str, int],
    database: int,
    mail_to: str | None,
    say: Callable[[str], None],
) -> None:
    """Creates what is not there, switched on if there is somebody to send it to, and writes the rest again."""
    try:
        there = {(entry["type"], entry["name"]): entry["id"] for entry in client.all("report/")}
    except Missing:
        say("leaves alerts and reports out: they are off in this Superset (ALERT_REPORTS)")
        return
    for one in _all(reports, countries):
        content = _content(one, dashboards[one.dashboard], database)
        number = there.get((content["type"], one.title))
        if number is not None:
            client.put(f"report/{number}", content)
            continue
        to = {"type": "Email", "recipient_config_json": {"target": mail_to}}
        client.post("report/", content | {"active": bool(mail_to), "recipients": [to] if mail_to else []})
        state = f"for {mail_to}" if mail_to else "switched off, because nobody is named to get it"
        say(f"creates the {content['type'].lower()} {one.title!r}, {state}")


def _all(reports: Collection[Report], countries: Collection[str]) -> Iterator[Report]:
    for report in reports:
        yield from (report.of(country) for country in sorted(countries)) if report.each_country else (report,)


def _content(report: Report, dashboard: int, database: int) -> dict[str, Any]:
    content: dict[str, Any] = {
        "type": "Report",
        "name": report.title,
        "description": report.description,
        "crontab": report.crontab,
        "timezone": "UTC",
        "dashboard": dashboard,
        "report_format": "PNG",
        "custom_width": _WIDTH,
        "working_timeout": _TIMEOUT_SECONDS,
        "creation_method": "alerts_reports",
    }
    if report.sql is None:
        return content
    return content | {
        "type": "Alert",
        "database": database,
        "sql": days.template(report.sql),
        "validator_type": "operator",
        "validator_config_json": {"op": "<", "threshold": report.under},
        "grace_period": report.again_minutes * 60,
    }
