"""Alerts and reports: when an alert fires, what arrives in the mail, and a mail host that does not answer."""

import base64
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from playwright.sync_api import Browser

from infra.dashboard import days, files
from infra.dashboard.client import Client
from infra.dashboard.importer import bring
from infra.local.servers.processes import wait_for
from tests.dashboard import lake as lakes
from tests.dashboard.conftest import Shown
from tests.harness import mail

REPORTS = files.load().reports
LOW, WEEKLY = REPORTS["availability_low"], REPORTS["trends_weekly"]
# The clock looks every minute, and a picture takes most of one on a machine that is busy with other tests.
SECONDS = 300
EVERY_MINUTE = "* * * * *"


def _slots(*shares: int | None, since: int = 15) -> str:
    """Rows of Spain, a slot each, the latest first: of 10 stores so many were available; None: none was rated."""
    now = datetime.now(UTC).replace(tzinfo=None)
    rows = []
    for number, share in enumerate(shares):
        slot = now - timedelta(minutes=since + 15 * number)
        counts = "0, 0, 0" if share is None else f"{share}, {10 - share}, 0"
        rows.append(f"('es', '{slot:%Y-%m-%d}', timestamp '{slot:%Y-%m-%d %H:%M:%S}', {counts})")
    return ", ".join(rows)


@pytest.mark.parametrize(
    ("rows", "value"),
    [
        (lambda: _slots(5, 8), 0.8),
        (lambda: _slots(5, 10), 1.0),
        (lambda: _slots(10, 5, 5), 1.0),
        (lambda: _slots(5), None),
        (lambda: _slots(None, 5, 5), None),
        (lambda: _slots(5, 5, since=61), None),
        (lambda: _slots(5, 8).replace("'es'", "'mx'"), None),
    ],
    ids=["two low", "one recovered", "recovered now", "one slot", "not rated", "an hour ago", "another country"],
)
def test_an_alert_is_about_the_better_of_two_slots_and_empty_without_them(
    shown: Shown, rows: Callable[[], str], value: float | None
) -> None:
    names = "country, day, slot, available, unavailable, unlisted"
    query = days.template(LOW.of("es").sql or "")
    (found,) = shown.lake.ask(f"with availability_by_city as (select * from (values {rows()}) as t ({names})) {query}")
    assert found["availability"] == (None if value is None else pytest.approx(value))


def _reports(client: Client) -> dict[str, dict[str, Any]]:
    return {entry["name"]: entry for entry in client.all("report/")}


@contextmanager
def _running(client: Client, title: str, **changes: Any) -> Iterator[int]:
    """Has an alert or report run every minute. Afterwards it is as the import makes it, and switched off."""
    number = _reports(client)[title]["id"]
    before = client.get(f"report/{number}")["result"]
    client.put(f"report/{number}", {"active": True, "crontab": EVERY_MINUTE, **changes})
    try:
        yield number
    finally:
        kept = {name: before[name] for name in ("crontab", "sql", "grace_period") if before[name] is not None}
        client.put(f"report/{number}", {"active": False, **kept})


def _state(client: Client, number: int) -> str:
    return str(client.get(f"report/{number}")["result"]["last_state"])


def test_there_is_an_alert_of_each_country_and_the_mondays_report_and_people_choose_who_gets_them(
    shown: Shown,
) -> None:
    client = shown.client("admin")
    there = _reports(client)
    assert there.keys() >= {LOW.of(country).title for country in lakes.COUNTRIES} | {WEEKLY.title}
    number = there[WEEKLY.title]["id"]
    made = client.get(f"report/{number}")["result"]
    assert (made["crontab"], made["timezone"], made["active"]) == ("0 7 * * 1", "UTC", True)
    mine = [{"type": "Email", "recipient_config_json": {"target": "me@storewatch.example"}}]
    client.put(f"report/{number}", {"recipients": mine, "active": False, "crontab": EVERY_MINUTE})
    bring(client, shown.lake.database, None, lakes.COUNTRIES, "1.0.0", print, mail.TO)
    again = client.get(f"report/{number}")["result"]
    assert again["crontab"] == made["crontab"]
    assert again["active"] is False
    assert "me@storewatch.example" in again["recipients"][0]["recipient_config_json"]
    client.put(
        f"report/{number}",
        {"recipients": made["recipients"][:0] + [{**mine[0], "recipient_config_json": {"target": mail.TO}}]},
    )


def test_an_alert_that_holds_is_mailed_and_one_without_data_is_not(shown: Shown) -> None:
    client = shown.client("admin")
    low, empty = (LOW.of(country) for country in ("es", "mx"))
    # The shipped query runs, whatever the hour's share is.
    holds = f"select coalesce(({days.template(low.sql or '')}), 0.5) - 1 as availability"
    nothing = (empty.sql or "").replace("'mx'", "'xx'")
    with (
        # It may have been sent by an earlier run.
        _running(client, low.title, sql=holds, grace_period=1) as number,
        _running(client, empty.title, sql=days.template(nothing)) as silent,
    ):
        arrived = shown.mails.wait_for(low.title, seconds=SECONDS)
        assert arrived["To"] == mail.TO
        # It ran for this minute, and not for another time that the clock took it for.
        minutes = [
            datetime.fromisoformat(one["scheduled_dttm"]) for one in client.get(f"report/{number}/log/")["result"]
        ]
        assert abs(datetime.now(UTC) - max(minutes).replace(tzinfo=UTC)) < timedelta(seconds=SECONDS)
        (body,) = [part for part in arrived.walk() if part.get_content_type() == "text/html"]
        text = bytes(body.get_payload(decode=True)).decode()
        assert "less than 90 %" in text
        assert f"{shown.url}/superset/dashboard/" in text
        assert wait_for(lambda: client.get(f"report/{silent}")["result"]["last_eval_dttm"] is not None, SECONDS)
        assert wait_for(lambda: _state(client, silent) == "Not triggered", SECONDS)
    assert shown.mails.named(empty.title) == []


def test_the_report_arrives_with_a_picture_of_the_dashboard(shown: Shown, chromium: Browser) -> None:
    client = shown.client("admin")
    with _running(client, WEEKLY.title):
        arrived = shown.mails.wait_for(WEEKLY.title, seconds=SECONDS)
    (picture,) = [part.get_payload(decode=True) for part in arrived.walk() if part.get_content_type() == "image/png"]
    width, height, colours = _colours(chromium, bytes(picture))
    assert width >= 1500
    assert height >= 2000  # the whole dashboard, not a screen of it
    # Lines and bars are drawn in the dashboard's colours: Spain's blue and Mexico's orange.
    assert colours >= {"0072b2", "e69f00"}


def test_a_mail_host_that_does_not_answer_holds_up_nothing_else(shown: Shown) -> None:
    client = shown.client("admin")
    stuck, other = (LOW.of(country) for country in ("es", "mx"))
    shown.mails.mails.clear()
    shown.mails.silent = True
    try:
        with (
            _running(client, stuck.title, sql="select 0.5 as availability", grace_period=1) as number,
            _running(client, other.title, sql="select cast(null as double) as availability") as beside,
        ):
            assert wait_for(lambda: shown.mails.silenced > 0, SECONDS)
            before = client.get(f"report/{beside}")["result"]["last_eval_dttm"]
            # The worker's other process goes on meanwhile, and the one that waits gives up.
            assert wait_for(lambda: client.get(f"report/{beside}")["result"]["last_eval_dttm"] != before, SECONDS)
            assert wait_for(lambda: _state(client, number) == "Error", SECONDS)
            shown.mails.silent = False
            assert shown.mails.wait_for(stuck.title, seconds=SECONDS)
    finally:
        shown.mails.silent = False


def _colours(chromium: Browser, picture: bytes) -> tuple[int, int, set[str]]:
    """A picture's width and height, and the colours that it has."""
    page = chromium.new_page()
    try:
        found = page.evaluate(
            """async source => {
                const image = new Image();
                image.src = source;
                await image.decode();
                const canvas = document.createElement('canvas');
                [canvas.width, canvas.height] = [image.width, image.height];
                const context = canvas.getContext('2d');
                context.drawImage(image, 0, 0);
                const {data} = context.getImageData(0, 0, image.width, image.height);
                const colours = new Set();
                for (let i = 0; i < data.length; i += 4)
                    colours.add((data[i] << 16 | data[i + 1] << 8 | data[i + 2]).toString(16).padStart(6, '0'));
                return [image.width, image.height, [...colours]];
            }""",
            f"data:image/png;base64,{base64.b64encode(picture).decode()}",
        )
    finally:
        page.close()
    return found[0], found[1], set(found[2])
