"""What the ETL `openings` should find, computed a second time from the sources, from whole intervals and not slot by slot."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from tests.harness.open_hours import Hours, union
from tests.harness.oracle import SLOT, Country, Listing, ScheduledStore, expected_unseen_row

HOUR = timedelta(hours=1)


def expected_openings(
    country: Country, slot: datetime, schedules: Mapping[str, ScheduledStore], live_view: Mapping[str, Listing]
) -> dict[str, dict[str, Any]]:
    """The rows by store, without observed_at."""
    # Naive UTC, as in the tables.
    now = slot.astimezone(UTC).replace(tzinfo=None)
    begin, end = now + SLOT, now + SLOT + HOUR
    rows = {}
    for store_id, store in schedules.items():
        if expected_unseen_row(country, slot, store, "")["reason"] == "bad_schedule":
            continue
        hours = Hours(country, store)
        around = union([interval for n in range(-3, 4) for interval in hours.on(now.date() + timedelta(days=n))])
        if opens_at := next((start for start, stop in around if begin <= start < end and start < stop), None):
            rows[store_id] = {
                "slot": now,
                "store_id": store_id,
                "name": store.name,
                "city": store.city,
                "timezone": country.default_timezone if store.timezone is None else store.timezone,
                "opens_at": opens_at,
                "listed": store_id in live_view,
            }
    return rows
