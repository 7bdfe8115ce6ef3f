"""A broken country affects no other, and its failure shows: in its rows, in the tick's result, in alarms."""

import json
import time
from datetime import timedelta
from typing import Any

from tests.e2e.conftest import Sources, Ticked
from tests.e2e.ticks.test_tick import rows_of, utc
from tests.harness.alarm_stories import Alarms, put
from tests.harness.deployment import TABLES, Deployed
from tests.harness.oracle import Country, expected_row, expected_unseen_row

_ALARM_SECONDS = 20


def outcomes(broken: Ticked) -> dict[str, str]:
    """How each country did."""
    return {country.country: country.outcome for country in broken.tick.countries}


def test_a_tick_with_broken_countries_fails_and_names_them(broken: Ticked) -> None:
    assert broken.tick.status == "FAILED"
    assert outcomes(broken) == {"es": "complete", "mx": "failed", "pt": "partial", "xx": "failed"}
    assert "mx" in broken.tick.error and "xx" in broken.tick.error
    assert "es" not in broken.tick.error.partition(":")[2] and "pt" not in broken.tick.error.partition(":")[2]


def test_other_countries_rows_are_complete(broken: Ticked, sources: Sources, rules: dict[str, Country]) -> None:
    schedules, live_view = sources.schedules["es"], sources.live_views["es"]
    found = {row["store_id"]: row for row in rows_of(broken, "store_availability", "es")}
    assert found.keys() == schedules.keys() | live_view.keys()
    for store_id, store in schedules.items():
        row = found[store_id]
        expected = expected_row(rules["es"], broken.slot, store, live_view.get(store_id), utc(row["observed_at"]))
        assert {key: row[key] for key in expected} == expected


def test_a_country_without_its_database_only_writes_a_failed_row_that_says_why(broken: Ticked) -> None:
    (row,) = rows_of(broken, "country_ticks", "mx")
    assert row["outcome"] == "failed"
    assert "ScheduleUnavailable" in row["error"]
    assert "no_such_database" in row["error"] and "localhost" in row["error"]
    assert row["started_at"] <= row["finished_at"]
    empty = ("stores", "chunks", "chunks_unknown", "coverage", "schedule_as_of")
    assert {key: row[key] for key in empty} == dict.fromkeys(empty)
    for table in TABLES:
        assert len(broken.deployed.objects(f"{table}/country=mx/")) == (table == "country_ticks")


def test_no_error_holds_a_secret(broken: Ticked, sources: Sources) -> None:
    (row,) = rows_of(broken, "country_ticks", "mx")
    logged = json.dumps([broken.deployed.logged(f"mx-{function}") for function in ("plan", "merge")])
    assert sources.places["mx"].password not in row["error"] + logged


def test_a_country_without_a_state_machine_fails_alone_and_writes_nothing(broken: Ticked) -> None:
    (found,) = [country for country in broken.tick.countries if country.country == "xx"]
    assert found.status == "NOT STARTED"
    assert broken.deployed.country_objects("xx") == []


def test_stores_of_a_missing_index_are_unknown_not_offline(
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


def test_metrics_distinguish_failed_partial_and_complete_ticks(broken: Ticked) -> None:
    since, until = broken.slot - timedelta(minutes=1), broken.slot + timedelta(hours=1)
    outcomes = {"es": None, "mx": "TicksFailed", "pt": "TicksPartial"}
    for country, outcome in outcomes.items():
        for name in filter(None, outcomes.values()):
            assert broken.deployed.metric(name, country, since, until) == [1] * (name == outcome), (country, name)
    assert broken.deployed.metric("Coverage", "mx", since, until) == []
    assert broken.deployed.metric("Coverage", "pt", since, until) == [0]


def test_the_alarm_of_a_country_that_is_not_seen_reaches_the_topic(broken: Ticked) -> None:
    """Follows the metric through its alarm, the country's composite alarm and the topic to a subscriber.

    The local CloudFormation takes no composite alarm, so the test puts the template's. The local CloudWatch ignores
    dimensions: that other countries' alarms stay quiet, test_alarms.py shows.
    """
    deployed = broken.deployed
    sqs, cloudwatch = deployed.stack.aws.client("sqs"), deployed.stack.aws.client("cloudwatch")
    queue = sqs.get_queue_url(QueueName=f"{deployed.prefix}-alerts")["QueueUrl"]
    (topic,) = [one["TopicArn"] for one in topics(deployed) if one["TopicArn"].endswith(f":{deployed.prefix}-alerts")]
    namespace = deployed.namespace
    alarms = Alarms(Prefix=deployed.prefix, MetricsNamespace=namespace, Country="pt", AlertsTopic=topic)
    wanted = f"{deployed.prefix}-country-pt"
    told: dict[str, Any] = {}
    deadline = time.monotonic() + _ALARM_SECONDS
    with put(cloudwatch, alarms.single, [alarms.composite[wanted]]):
        while told.get("AlarmName") != wanted and time.monotonic() < deadline:
            answer = sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=1, WaitTimeSeconds=1)
            for message in answer.get("Messages", []):
                told = json.loads(json.loads(message["Body"])["Message"])
        assert (
            cloudwatch.describe_alarms(AlarmNames=[f"{deployed.prefix}-pt-coverage-low"])["MetricAlarms"][0][
                "StateValue"
            ]
            == "ALARM"
        )
    assert (told.get("AlarmName"), told.get("NewStateValue")) == (wanted, "ALARM")


def topics(deployed: Deployed) -> list[dict[str, str]]:
    """Every topic."""
    pages = deployed.stack.aws.client("sns").get_paginator("list_topics").paginate()
    return [one for page in pages for one in page["Topics"]]
