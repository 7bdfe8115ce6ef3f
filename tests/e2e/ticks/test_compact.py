"""The daily work: a day becomes one file per table, and queries meanwhile see all of its rows exactly once."""

import io
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import parquet
from samtranslator.yaml_helper import yaml_parse

from infra.local import slots
from infra.packaging import ROOT
from tests.e2e.conftest import Sources, Ticked
from tests.harness.deployment import SCHEDULES, TABLES, Deployed
from tests.harness.oracle import LABELS, Country, expected_unseen_row, label
from tests.harness.rights import allowed, session_of
from tests.harness.schedule_texts import read_texts

COUNTRIES = ("es", "pt")
# The day's ticks were late, so every store was unknown and none known to be down.
FILLED = tuple(table for table in TABLES if table != "current_outages")
ORDER = {
    "store_availability": ["city", "store_id", "slot"],
    "availability_by_city": ["slot", "city"],
    "country_ticks": ["slot"],
}
Row = tuple[Any, ...]


def past(ticked: Ticked, number: int) -> datetime:
    """A slot of a past day. Nobody can observe the past, so its rows are all `late`, but they are rows."""
    day = ticked.slot.replace(hour=0, minute=0) - timedelta(days=2)
    return day + number * slots.SLOT


def tick(ticked: Ticked, country: str, number: int) -> None:
    """Runs a country tick of that slot."""
    event = {"country": country, "slot": slots.iso(past(ticked, number))}
    done = ticked.deployed.run_machine(f"country-{country}", event)
    assert done["status"] == "SUCCEEDED", done.get("cause")


def daily(ticked: Ticked, run: int, *more: str) -> dict[str, Any]:
    """Runs the daily machine. Each run has its own slot, because executions are named by it."""
    event = {"slot": slots.iso(ticked.slot + run * slots.SLOT), "countries": [*COUNTRIES, *more]}
    return ticked.deployed.run_machine("daily", event)


def location(deployed: Deployed, table: str, country: str, day: str) -> str:
    """The folder where queries find a day."""
    found = [one for one in deployed.partitions(table, country) if one["Values"] == [country, day]]
    assert len(found) == 1
    return found[0]["StorageDescriptor"]["Location"]


def files(deployed: Deployed, table: str, country: str, day: str) -> dict[str, pa.Table]:
    """The files that a query of a day reads."""
    prefix = location(deployed, table, country, day).removeprefix(f"s3://{deployed.bucket}/")
    found = [entry.key for entry in deployed.objects(prefix)]
    return {key: parquet.ParquetFile(io.BytesIO(deployed.body(key))).read() for key in found}


def seen(deployed: Deployed, country: str, day: str) -> dict[str, list[str]]:
    """The rows of a day by table, unordered."""
    return {
        table: sorted(str(row) for file in files(deployed, table, country, day).values() for row in file.to_pylist())
        for table in TABLES
    }


def tag(deployed: Deployed, key: str) -> dict[str, str]:
    """The tags of an object."""
    found = deployed.s3.get_object_tagging(Bucket=deployed.bucket, Key=key)["TagSet"]
    return {entry["Key"]: entry["Value"] for entry in found}


@pytest.fixture(scope="module")
def compacted(daily_deployment: Ticked) -> dict[str, dict[str, list[str]]]:
    """Two countries after the daily machine: for each, the rows of a past day before it."""
    ticked, before = daily_deployment, {}
    for country in COUNTRIES:
        for number in (0, 1, 95):
            tick(ticked, country, number)
        before[country] = seen(ticked.deployed, country, f"{past(ticked, 0):%Y-%m-%d}")
    done = daily(ticked, 0)
    assert done["status"] == "SUCCEEDED", done.get("cause")
    days = {entry["country"]: entry["days"] for entry in json.loads(done["output"])["countries"]}
    rows = {country: len(before[country]["store_availability"]) for country in COUNTRIES}
    day, yesterday = (f"{past(ticked, number):%Y-%m-%d}" for number in (0, 96))
    # No tick ran on the day between that day and today, which has missed looks to tell.
    assert days == {
        country: [
            {"day": day, "rows": rows[country], "files_before": 3, "failed": False},
            {"day": yesterday, "rows": 0, "files_before": 0, "failed": False},
        ]
        for country in COUNTRIES
    }
    return before


@pytest.mark.parametrize("country", COUNTRIES)
def test_a_past_day_becomes_one_file_per_table_with_the_same_rows(
    daily_deployment: Ticked, compacted: dict[str, dict[str, list[str]]], country: str
) -> None:
    deployed, day = daily_deployment.deployed, f"{past(daily_deployment, 0):%Y-%m-%d}"
    for table in TABLES:
        place = location(deployed, table, country, day)
        assert place.startswith(f"s3://{deployed.bucket}/compacted/{table}/country={country}/day={day}/")
        assert len(files(deployed, table, country, day)) == 1
    assert seen(deployed, country, day) == compacted[country]
    # The current day stays as its ticks wrote it.
    today = f"{daily_deployment.slot:%Y-%m-%d}"
    place = location(deployed, "country_ticks", country, today)
    assert place == f"s3://{deployed.bucket}/country_ticks/country={country}/day={today}/"


@pytest.mark.parametrize("table", FILLED)
def test_a_compacted_file_is_sorted_and_has_statistics_for_every_column(
    daily_deployment: Ticked, compacted: dict[str, dict[str, list[str]]], table: str
) -> None:
    del compacted
    deployed, day = daily_deployment.deployed, f"{past(daily_deployment, 0):%Y-%m-%d}"
    ((key, content),) = files(deployed, table, "es", day).items()
    # Parquet orders text by bytes, and nulls come last.
    places = [
        [(row[name] is None, row[name].encode() if isinstance(row[name], str) else row[name]) for name in ORDER[table]]
        for row in content.to_pylist()
    ]
    assert places == sorted(places)
    metadata = parquet.ParquetFile(io.BytesIO(deployed.body(key))).metadata
    assert metadata.num_row_groups == 1
    for n in range(metadata.num_columns):
        column = metadata.row_group(0).column(n)
        assert column.compression == "ZSTD"
        assert column.is_stats_set and (column.statistics.has_min_max or column.statistics.null_count == len(content))


def test_only_compacted_files_are_tagged_for_removal(
    daily_deployment: Ticked, compacted: dict[str, dict[str, list[str]]]
) -> None:
    del compacted
    deployed, day = daily_deployment.deployed, f"{past(daily_deployment, 0):%Y-%m-%d}"
    for table in TABLES:
        keys = [entry.key for entry in deployed.objects(f"{table}/country=es/day={day}/")]
        assert len(keys) == 3
        assert all(tag(deployed, key) == {"storewatch": "compacted"} for key in keys)
        others = [entry.key for entry in deployed.objects(f"{table}/country=es/") if f"day={day}" not in entry.key]
        assert others and not any(tag(deployed, key) for key in [*others, *files(deployed, table, "es", day)])


@pytest.mark.parametrize("country", COUNTRIES)
def test_a_compacted_day_has_postgresql_s_schedules_that_explain_every_row(
    daily_deployment: Ticked,
    compacted: dict[str, dict[str, list[str]]],
    sources: Sources,
    rules: dict[str, Country],
    country: str,
) -> None:
    del compacted
    deployed, day = daily_deployment.deployed, f"{past(daily_deployment, 0):%Y-%m-%d}"
    place = location(deployed, SCHEDULES, country, day)
    assert place.startswith(f"s3://{deployed.bucket}/compacted/{SCHEDULES}/country={country}/day={day}/")
    ((key, content),) = files(deployed, SCHEDULES, country, day).items()
    assert not tag(deployed, key)
    schedules = content.to_pylist()
    places = [(row["store_id"].encode(), row["valid_from"]) for row in schedules]
    assert places == sorted(places)

    # The three ticks read the same schedules, so each store has one row, valid from the first reading on.
    source = sources.schedules[country]
    told = {row["store_id"]: row for row in schedules}
    assert len(told) == len(schedules) and told.keys() == source.keys()
    ((_, ticks),) = files(deployed, "country_ticks", country, day).items()
    assert {(row["valid_from"], row["valid_until"]) for row in schedules} == {
        (min(ticks["schedule_as_of"].to_pylist()), None)
    }
    first = past(daily_deployment, 0).date()
    near = [first + timedelta(days=n) for n in range(-2, 2)]
    for store_id, row in told.items():
        store, texts = source[store_id], read_texts(row)
        assert (row["name"], row["city"], row["timezone"]) == (store.name, store.city, store.timezone)
        assert all(row[name] == label(name, getattr(store, name)) for name in LABELS)
        if row["problem"] is None:
            assert texts.weekly == sorted(set(store.weekly), key=lambda one: (one[0], one[1] is not None, one))
            own = {exception for exception in store.exceptions if exception[0] in near}
            assert texts.exceptions == sorted(own, key=lambda one: (one[0], one[1] is not None, one))
    assert any(row["exceptions"] for row in schedules) and any(row["problem"] for row in schedules) == (country == "pt")

    # Joining gives each store's row exactly one schedule, which says whether the store was scheduled.
    for row in next(iter(files(deployed, "store_availability", country, day).values())).to_pylist():
        if row["status"] == "orphan":
            assert row["store_id"] not in told
            continue
        schedule = told[row["store_id"]]
        assert schedule["valid_from"] <= row["schedule_as_of"]
        judged = expected_unseen_row(rules[country], row["slot"].replace(tzinfo=UTC), read_texts(schedule), "late")
        seconds = None if schedule["problem"] else judged["scheduled_seconds"]
        assert row["scheduled_seconds"] == seconds, (row, schedule)


def test_unchanged_chunks_have_tags_that_let_compact_skip_them(
    daily_deployment: Ticked, compacted: dict[str, dict[str, list[str]]]
) -> None:
    del compacted
    deployed, by_number = daily_deployment.deployed, dict[str, set[str]]()
    for file in deployed.objects(f"schedules/country=es/{past(daily_deployment, 0):%Y%m%d}T"):
        by_number.setdefault(file.key.rpartition("/")[2], set()).add(file.etag)
    assert len(by_number) > 1
    assert all(len(tags) == 1 for tags in by_number.values())


def test_only_tagged_table_files_expire(daily_deployment: Ticked) -> None:
    """The local CloudFormation drops lifecycle rules, so the test sets the template's rules itself."""
    deployed = daily_deployment.deployed
    template = yaml_parse((ROOT / "infra/lake.yaml").read_text())["Resources"]["LakeBucket"]["Properties"]
    tags, rules = [{"Key": "storewatch", "Value": "compacted"}], []
    for rule in template["LifecycleConfiguration"]["Rules"]:
        if "TagFilters" in rule:
            condition = {"And": {"Prefix": rule["Prefix"], "Tags": rule["TagFilters"]}}
            expiration = {"Days": rule["ExpirationInDays"]}
            rules.append({"ID": rule["Id"], "Status": rule["Status"], "Filter": condition, "Expiration": expiration})
        elif "ExpirationInDays" in rule:
            assert rule["Prefix"] in ("staging/", "schedules/", "delivered/")
    deployed.s3.put_bucket_lifecycle_configuration(Bucket=deployed.bucket, LifecycleConfiguration={"Rules": rules})
    found = deployed.s3.get_bucket_lifecycle_configuration(Bucket=deployed.bucket)["Rules"]
    for rule in found:
        # The local S3 requires what AWS fills in.
        rule["Filter"]["And"].pop("ObjectSizeGreaterThan", None)
    assert found == rules
    expiring = {rule["Filter"]["And"]["Prefix"]: rule for rule in found}
    assert expiring.keys() == {*(f"{table}/" for table in TABLES), "compacted/", "carried/"}
    for rule in expiring.values():
        assert (rule["Status"], rule["Expiration"], rule["Filter"]["And"]["Tags"]) == ("Enabled", {"Days": 7}, tags)


def test_a_late_tick_leaves_the_day_compacted_and_shows_after_the_next_run(
    daily_deployment: Ticked, compacted: dict[str, dict[str, list[str]]]
) -> None:
    deployed, day = daily_deployment.deployed, f"{past(daily_deployment, 0):%Y-%m-%d}"
    places = {table: location(deployed, table, "pt", day) for table in TABLES}
    tick(daily_deployment, "pt", 40)
    assert {table: location(deployed, table, "pt", day) for table in TABLES} == places
    assert seen(deployed, "pt", day) == compacted["pt"]
    done = daily(daily_deployment, 1)
    assert done["status"] == "SUCCEEDED", done.get("cause")
    days = {
        entry["country"]: [found["day"] for found in entry["days"]] for entry in json.loads(done["output"])["countries"]
    }
    assert days == {"es": [], "pt": [day]}
    for table in FILLED:
        after = seen(deployed, "pt", day)[table]
        assert set(compacted["pt"][table]) < set(after)
        ((_, content),) = files(deployed, table, "pt", day).items()
        found = {row["slot"] for row in content.to_pylist()}
        assert found == {past(daily_deployment, number).replace(tzinfo=None) for number in (0, 1, 40, 95)}
        (old,) = [entry.key for entry in deployed.objects(places[table].removeprefix(f"s3://{deployed.bucket}/"))]
        assert tag(deployed, old) == {"storewatch": "compacted"}


def test_a_run_without_new_files_changes_nothing(
    daily_deployment: Ticked, compacted: dict[str, dict[str, list[str]]]
) -> None:
    del compacted
    deployed = daily_deployment.deployed
    before = deployed.objects("compacted/")
    done = daily(daily_deployment, 2)
    assert done["status"] == "SUCCEEDED", done.get("cause")
    assert all(entry["days"] == [] for entry in json.loads(done["output"])["countries"])
    day = f"{past(daily_deployment, 0):%Y-%m-%d}"
    answer = deployed.invoke("es-compact", {"country": "es", "day": day})
    assert not answer.is_error, answer.payload
    assert answer.payload["location"] == location(deployed, "store_availability", "es", day)
    assert answer.payload["files_before"] == 1
    assert deployed.objects("compacted/") == before


def test_a_failing_country_fails_the_daily_machine_but_no_other_country(
    daily_deployment: Ticked, compacted: dict[str, dict[str, list[str]]]
) -> None:
    del compacted
    deployed, day = daily_deployment.deployed, f"{past(daily_deployment, 0):%Y-%m-%d}"
    # One country was deployed before there was daily work, and one has a damaged file.
    entry = {"country": "xx", "state_machine": deployed.machine("country-es")}
    deployed.s3.put_object(Bucket=deployed.bucket, Key="registry/xx.json", Body=json.dumps(entry).encode())
    damaged = f"country_ticks/country=es/day={day}/{slots.compact(past(daily_deployment, 50))}.parquet"
    deployed.s3.put_object(Bucket=deployed.bucket, Key=damaged, Body=b"PAR1")
    place = location(deployed, "country_ticks", "es", day)
    tick(daily_deployment, "pt", 41)
    try:
        done = daily(daily_deployment, 3, "xx")
    finally:
        for key in ("registry/xx.json", damaged):
            deployed.s3.delete_object(Bucket=deployed.bucket, Key=key)
    assert (done["status"], done["error"]) == ("FAILED", "CountryDailyFailed")
    outcomes = {entry["country"]: entry["outcome"] for entry in json.loads(done["cause"])}
    assert outcomes == {"es": "failed", "pt": "complete", "xx": "failed"}
    assert location(deployed, "country_ticks", "es", day) == place
    assert len(files(deployed, "country_ticks", "pt", day)) == 1
    assert slots.iso(past(daily_deployment, 41)) in deployed.body(f"compacted/country=pt/day={day}.json").decode()


def test_compact_reaches_only_its_own_country_and_cannot_change_ticks_files(
    daily_deployment: Ticked, compacted: dict[str, dict[str, list[str]]]
) -> None:
    del compacted
    deployed, day = daily_deployment.deployed, f"{past(daily_deployment, 0):%Y-%m-%d}"
    session = session_of(deployed, "es-compact")
    tagging = {"TagSet": [{"Key": "storewatch", "Value": "compacted"}]}
    for country, right in (("es", True), ("pt", False)):
        for prefix in (f"store_availability/country={country}/", f"compacted/country_ticks/country={country}/"):
            key = deployed.objects(prefix)[-1].key
            request = {"Bucket": deployed.bucket, "Key": key}
            assert allowed(session, deployed, "s3", "get_object", **request) == right, key
            listing = {"Bucket": deployed.bucket, "Prefix": prefix}
            assert allowed(session, deployed, "s3", "list_objects_v2", **listing) == right, key
            assert not allowed(session, deployed, "s3", "delete_object", **request), key
        old = deployed.objects(f"store_availability/country={country}/day={day}/")[0].key
        request = {"Bucket": deployed.bucket, "Key": old}
        assert allowed(session, deployed, "s3", "put_object_tagging", **request, Tagging=tagging) == right
        assert not allowed(session, deployed, "s3", "put_object", **request, Body=b"")
        record = {"Bucket": deployed.bucket, "Key": f"compacted/country={country}/day=2026-01-01.json"}
        assert allowed(session, deployed, "s3", "put_object", **record, Body=b"{}") == right
        snapshot = {"Bucket": deployed.bucket, "Key": deployed.objects(f"schedules/country={country}/")[0].key}
        assert allowed(session, deployed, "s3", "get_object", **snapshot) == right
        listing = {"Bucket": deployed.bucket, "Prefix": f"schedules/country={country}/20260101T"}
        assert allowed(session, deployed, "s3", "list_objects_v2", **listing) == right
        for action, more in (
            ("put_object", {"Body": b""}),
            ("delete_object", {}),
            ("put_object_tagging", {"Tagging": tagging}),
        ):
            assert not allowed(session, deployed, "s3", action, **snapshot, **more), action


def test_only_restate_keeps_new_readings_and_reads_the_sources_it_needs(
    daily_deployment: Ticked, compacted: dict[str, dict[str, list[str]]]
) -> None:
    del compacted
    deployed, day = daily_deployment.deployed, f"{past(daily_deployment, 0):%Y-%m-%d}"
    for function in ("compact", "restate", "repair", "register"):
        session = session_of(deployed, f"es-{function}")
        for country in ("es", "pt"):
            right = (function, country) == ("restate", "es")
            reading = {
                "Bucket": deployed.bucket,
                "Key": f"schedules/country={country}/restated/day={day}/1/chunk-00000.postcard.zst",
            }
            assert allowed(session, deployed, "s3", "put_object", **reading, Body=b"") == right, function
            deployed.s3.delete_object(**reading)
            config = {"Bucket": deployed.bucket, "Key": deployed.objects(f"config/country={country}/")[0].key}
            may_read = function in ("compact", "restate") and country == "es"
            assert allowed(session, deployed, "s3", "get_object", **config) == may_read, function
            secret = f"{deployed.prefix}/{country}"
            found = allowed(session, deployed, "secretsmanager", "get_secret_value", SecretId=secret)
            assert found == right, (function, secret)


def test_compact_and_restate_read_their_own_country_s_zone_data(
    daily_deployment: Ticked, compacted: dict[str, dict[str, list[str]]]
) -> None:
    del compacted
    deployed = daily_deployment.deployed
    for country in ("es", "pt"):
        choice = f"config/country={country}/tzdb.json"
        keys = (choice, f"config/country={country}/tzdb/2025b-test")
        for key in keys:
            deployed.s3.put_object(Bucket=deployed.bucket, Key=key, Body=b"")
        try:
            for function in ("compact", "restate", "repair", "register"):
                session = session_of(deployed, f"es-{function}")
                right = function in ("compact", "restate") and country == "es"
                for key in keys:
                    request = {"Bucket": deployed.bucket, "Key": key}
                    assert allowed(session, deployed, "s3", "get_object", **request) == right, (function, key)
                    assert not allowed(session, deployed, "s3", "put_object", **request, Body=b""), (function, key)
                listing = {"Bucket": deployed.bucket, "Prefix": choice}
                assert allowed(session, deployed, "s3", "list_objects_v2", **listing) == right, function
        finally:
            for key in keys:
                deployed.s3.delete_object(Bucket=deployed.bucket, Key=key)


def test_only_repair_deletes_partitions_and_it_reads_records_alone(
    daily_deployment: Ticked, compacted: dict[str, dict[str, list[str]]]
) -> None:
    del compacted
    deployed, day = daily_deployment.deployed, f"{past(daily_deployment, 0):%Y-%m-%d}"
    for function in ("compact", "restate", "repair", "register"):
        session = session_of(deployed, f"es-{function}")
        # No partition has these values: what is refused is the right to delete, not the partition.
        nothing = {"DatabaseName": deployed.database, "TableName": "country_ticks", "PartitionValues": ["es", "none"]}
        try:
            may_delete = allowed(session, deployed, "glue", "delete_partition", **nothing)
        except deployed.glue.exceptions.EntityNotFoundException:
            may_delete = True
        assert may_delete == (function == "repair"), function
    session = session_of(deployed, "es-repair")
    for country, right in (("es", True), ("pt", False)):
        record = {"Bucket": deployed.bucket, "Key": f"compacted/country={country}/day={day}.json"}
        assert allowed(session, deployed, "s3", "get_object", **record) == right
        assert not allowed(session, deployed, "s3", "put_object", **record, Body=b"{}")
        for table in ("store_availability", "compacted/store_availability"):
            prefix = f"{table}/country={country}/"
            listing = {"Bucket": deployed.bucket, "Prefix": prefix}
            assert allowed(session, deployed, "s3", "list_objects_v2", **listing) == right
            file = {"Bucket": deployed.bucket, "Key": deployed.objects(prefix)[-1].key}
            assert not allowed(session, deployed, "s3", "get_object", **file)
            assert not allowed(session, deployed, "s3", "delete_object", **file)
