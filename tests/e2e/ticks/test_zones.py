"""Time zone data as deployed: every zone of the built-in release, and a bundle that replaces it."""

import json
import uuid
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import psycopg
import pytest
import tzdata

from infra import zones
from infra.errors import DeployError
from infra.local.commands import status, tick
from infra.local.config import Stack
from infra.local.sample.load import drop, load
from infra.local.zones import RELEASE, available_timezones
from infra.packaging import ROOT
from tests.e2e.conftest import Sources, slot_with_time_left, ticking
from tests.e2e.ticks.test_tick import utc
from tests.harness.deployment import Deployed
from tests.harness.oracle import Country, expected_row, read_live_view, read_schedules

OLD = ROOT / "shared/domain/tests/zones/2025b.tzdata"
RULES = Country("Europe/Madrid", "closed")


@pytest.fixture(scope="module")
def zoned(stack: Stack, country_files: Path) -> Iterator[tuple[Deployed, Sources, datetime]]:
    """es alone, with a store in every time zone, after one tick."""
    prefix = f"zones-{uuid.uuid4().hex[:6]}"
    try:
        places = load(stack, count=20, seed=1, countries=["es"], prefix=prefix)
        conninfo = stack.postgres.conninfo(places["es"].database)
        with psycopg.connect(conninfo) as connection:
            for number, zone in enumerate(sorted(available_timezones()), 1_000_000):
                # Open for twelve hours, so that its status shows which half of the day it is there.
                connection.execute("insert into stores (id, name, timezone) values (%s, 'Zone', %s)", [number, zone])
                connection.execute(
                    "insert into store_hours select %s, day, '00:00', '12:00' from generate_series(1, 7) day", [number]
                )
        sources = Sources(
            prefix,
            places,
            {"es": read_schedules(conninfo)},
            {"es": read_live_view(stack.elasticsearch.url, places["es"].index)},
        )
        for ticked in ticking(stack, prefix, sources, country_files, {}, countries=("es",)):
            yield ticked.deployed, sources, ticked.slot
    finally:
        drop(stack, prefix=prefix)


def run_command(deployed: Deployed, monkeypatch: pytest.MonkeyPatch, *args: str) -> int:
    """What `make zones` runs."""
    for name, value in deployed.stack.aws.environment().items():
        monkeypatch.setenv(name, value)
    return zones.main([*args, "--prefix", deployed.prefix])


def test_every_zone_agrees_with_the_python_package(
    zoned: tuple[Deployed, Sources, datetime],
) -> None:
    deployed, sources, slot = zoned
    rows = {row["store_id"]: row for row in deployed.table("store_availability", "es", slot).to_pylist()}
    stores = [store for store in sources.schedules["es"].values() if store.name == "Zone"]
    assert len(stores) == len(available_timezones()) > 590
    for store in stores:
        row = rows[store.store_id]
        wanted = expected_row(RULES, slot, store, None, utc(row["observed_at"]))
        assert {name: row[name] for name in wanted} == wanted, store.timezone


def test_the_release_is_in_the_tick_s_row_the_logs_and_the_status(
    zoned: tuple[Deployed, Sources, datetime], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    deployed, _, slot = zoned
    (row,) = deployed.table("country_ticks", "es", slot).to_pylist()
    assert row["tzdb"] == RELEASE
    for function in ("es-plan", "es-observe", "es-merge"):
        assert RELEASE in {line.get("tzdb") for line in deployed.logged(function)}, function
    monkeypatch.setenv("STACK_NAME", deployed.stack.name)
    told = status.time_zones(deployed.stack, deployed.prefix)
    assert told == f"IANA {RELEASE} is built into the functions; all countries use it"
    assert run_command(deployed, monkeypatch, "show") == 0
    assert capsys.readouterr().out == "es: as built into its functions\n"


def test_a_country_uses_its_bundle_until_it_is_removed(
    zoned: tuple[Deployed, Sources, datetime], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deployed, _, _ = zoned
    old = old_release(tmp_path)
    assert run_command(deployed, monkeypatch, "put", "es", "--file", str(old)) == 0
    try:
        slot = slot_with_time_left()
        tick.run(deployed.stack, prefix=deployed.prefix, slot=slot, afresh=True)
        (row,) = deployed.table("country_ticks", "es", slot).to_pylist()
        assert (row["outcome"], row["tzdb"]) == ("complete", "2025b")
        for function in ("es-plan", "es-observe", "es-merge"):
            assert "2025b" in {line.get("tzdb") for line in deployed.logged(function)}, function
        assert "es uses IANA 2025b (config/country=es/tzdb/2025b-" in status.time_zones(deployed.stack, deployed.prefix)
    finally:
        assert run_command(deployed, monkeypatch, "remove", "es") == 0
    slot = slot_with_time_left()
    tick.run(deployed.stack, prefix=deployed.prefix, slot=slot, afresh=True)
    (row,) = deployed.table("country_ticks", "es", slot).to_pylist()
    assert (row["outcome"], row["tzdb"]) == ("complete", RELEASE)


def test_a_broken_bundle_fails_the_tick_and_is_named(zoned: tuple[Deployed, Sources, datetime]) -> None:
    deployed, _, slot = zoned
    key = "config/country=es/tzdb/2025b-0123456789abcdef"
    choice = "config/country=es/tzdb.json"
    deployed.s3.put_object(Bucket=deployed.bucket, Key=key, Body=OLD.read_bytes())
    deployed.s3.put_object(Bucket=deployed.bucket, Key=choice, Body=json.dumps({"bundle": key}).encode())
    try:
        later = slot + timedelta(days=1)
        answer = deployed.invoke("es-plan", {"country": "es", "slot": f"{later:%Y-%m-%dT%H:%M:%SZ}"})
        assert answer.error_type == "BadConfig", answer.payload
        assert answer.message.startswith(
            f"time zone data (s3://{deployed.bucket}/{key}): its content is that of 2025b-"
        )
    finally:
        deployed.s3.delete_object(Bucket=deployed.bucket, Key=choice)


@pytest.mark.parametrize(
    ("content", "wanted"),
    [
        (b"", "is not a wheel, a folder or a bundle"),
        (b"tzdata2025b\0", "damaged or cut off"),
        (OLD.read_bytes()[:2000], "damaged or cut off"),
        (OLD.read_bytes().replace(b"America/New_York", b"America/Old_York"), "lacks UTC, Europe/London or"),
        (OLD.read_bytes().replace(b"TZif2", b"TZxf2", 1), "its zone Africa/Casablanca cannot be read"),
        (OLD.read_bytes().replace(b"2025b", b"25b  ", 1), "its release is '25b  '"),
    ],
)
def test_a_file_without_zone_data_is_refused_before_anything_is_uploaded(
    tmp_path: Path, content: bytes, wanted: str
) -> None:
    file = tmp_path / "tzdata"
    file.write_bytes(content)
    with pytest.raises(DeployError, match=wanted):
        zones.Bundle.load(file)


def test_a_bundle_is_the_same_from_a_folder_and_from_itself(tmp_path: Path) -> None:
    made = zones.Bundle.load(Path(tzdata.__file__).parent / "zoneinfo")
    assert made.release == RELEASE
    file = tmp_path / "tzdata"
    file.write_bytes(made.content)
    assert zones.Bundle.load(file) == made


def old_release(folder: Path) -> Path:
    """A bundle that calls itself 2025b: all current zones, and old data for the few zones that the tests have."""
    now = zones.Bundle.load(Path(tzdata.__file__).parent / "zoneinfo")
    contents = [dict(zones.entries(OLD, content)) for content in (now.content, OLD.read_bytes())]
    file = folder / "tzdata"
    file.write_bytes(zones.packed("2025b", contents[0] | contents[1]))
    return file
