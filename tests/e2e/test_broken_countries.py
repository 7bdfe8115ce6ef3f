"""What is broken in one country stays in that country, and shows: in its rows, in the tick's end, in alarms."""

import json
import time
from datetime import timedelta
from typing import Any

from e2e.conftest import Sources, Ticked
from e2e.deployment import TABLES
from e2e.oracle import Country, expected_row, expected_unseen_row
from e2e.test_tick import rows_of, utc

_ALARM_SECONDS = 20


def outcomes(broken: Ticked) -> dict[str, str]:
    """How each country fared."""
    return {country.country: country.outcome for country in broken.tick.countries}


def test_a_tick_with_broken_countries_ends_as_failed_and_names_them(broken: Ticked) -> None:
    assert broken.tick.status == "FAILED"
    assert outcomes(broken) == {"es": "complete", "mx": "failed", "pt": "partial", "xx": "failed"}
    assert "mx" in broken.tick.error and "xx" in broken.tick.error
    assert "es" not in broken.tick.error.partition(":")[2] and "pt" not in broken.tick.error.partition(":")[2]


def test_the_others_rows_are_complete_beside_a_broken_country(
    broken: Ticked, sources: Sources, rules: dict[str, Country]
) -> None:
    schedules, live_view = sources.schedules["es"], sources.live_views["es"]
    found = {row["store_id"]: row for row in rows_of(broken, "store_availability", "es")}
    assert found.keys() == schedules.keys() | live_view.keys()
    for store_id, store in schedules.items():
        row = found[store_id]
        expected = expected_row(rules["es"], broken.slot, store, live_view.get(store_id), utc(row["observed_at"]))
        assert {key: row[key] for key in expected} == expected


def test_a_country_without_its_database_has_a_failed_row_that_says_why_and_no_other_file(broken: Ticked) -> None:
    (row,) = rows_of(broken, "country_ticks", "mx")
    assert row["outcome"] == "failed"
    assert "ScheduleUnavailable" in row["error"]
    assert "no_such_database" in row["error"] and "localhost" in row["error"]
    assert row["started_at"] <= row["finished_at"]
    empty = ("stores", "chunks", "chunks_unknown", "coverage", "schedule_as_of")
    assert {key: row[key] for key in empty} == dict.fromkeys(empty)
    for table in TABLES:
        assert len(broken.deployed.objects(f"{table}/country=mx/")) == (table == "country_ticks")


def test_no_secret_is_in_an_error(broken: Ticked, sources: Sources) -> None:
    (row,) = rows_of(broken, "country_ticks", "mx")
    logged = json.dumps([broken.deployed.logged(f"mx-{function}") for function in ("plan", "merge")])
    assert sources.places["mx"].password not in row["error"] + logged


def test_a_country_without_a_state_machine_fails_alone_and_writes_nothing(broken: Ticked) -> None:
    (found,) = [country for country in broken.tick.countries if country.country == "xx"]
    assert found.status == "NOT STARTED"
    assert broken.deployed.country_objects("xx") == []


def test_stores_whose_index_is_missing_are_unknown_and_never_offline(
    broken: Ticked, sources: Sources, rules: dict[str, Country]
) -> None:
    rows = rows_of(broken, "store_availability", "pt")
    assert {row["observed_at"] for row in rows} == {None}
    found = {row["store_id"]: row for row in rows}
    assert found.keys() == sources.schedules["pt"].keys()
    for store_id, store in sources.schedules["pt"].items():
        expected = expected_unseen_row(rules["pt"], broken.slot, store, "live_view_unavailable")
        assert {key: found[store_id][key] for key in expected} == expected
    (tick,) = rows_of(broken, "country_ticks", "pt")
    assert (tick["outcome"], tick["coverage"]) == ("partial", 0)
    assert tick["error"].startswith(f"{tick['chunks']} of {tick['chunks']} chunks: "), tick["error"]
    assert "no-such-index" in tick["error"]
    (told,) = [country for country in broken.tick.countries if country.country == "pt"]
    assert (told.error, told.is_blind) == (tick["error"], True)
    assert tick["chunks_unknown"] == tick["chunks"] > 1


def test_metrics_tell_a_failed_and_a_partial_country_tick_from_a_complete_one(broken: Ticked) -> None:
    since, until = broken.slot - timedelta(minutes=1), broken.slot + timedelta(hours=1)
    outcomes = {"es": "TicksComplete", "mx": "TicksFailed", "pt": "TicksPartial"}
    for country, outcome in outcomes.items():
        for name in outcomes.values():
            assert broken.deployed.metric(name, country, since, until) == [float(name == outcome)], (country, name)
    assert broken.deployed.metric("Coverage", "mx", since, until) == []
    assert broken.deployed.metric("Unavailable", "pt", since, until) == [0]


def test_a_failed_country_tick_raises_its_alarm_which_reaches_the_topic(broken: Ticked) -> None:
    """From the metric through the alarm and the topic to a subscriber.

    The local CloudWatch ignores dimensions and missing data, and no service puts AWS/States metrics there: that the
    alarm of no other country fires, that silence raises the alarms on missing ticks, and that a failed execution
    raises those on executions, can be tested on AWS only. That they are set up for it is tested from the templates.
    """
    sqs = broken.deployed.stack.aws.client("sqs")
    queue = sqs.get_queue_url(QueueName=f"{broken.deployed.prefix}-alerts")["QueueUrl"]
    raised: dict[str, dict[str, Any]] = {}
    deadline = time.monotonic() + _ALARM_SECONDS
    alarm = f"{broken.deployed.prefix}-mx-ticks-failed"
    while alarm not in raised and time.monotonic() < deadline:
        answer = sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10, WaitTimeSeconds=1)
        for message in answer.get("Messages", []):
            told = json.loads(json.loads(message["Body"])["Message"])
            if told["NewStateValue"] == "ALARM":
                raised[told["AlarmName"]] = told
    assert alarm in raised, f"within {_ALARM_SECONDS} s only {sorted(raised)} were raised"
