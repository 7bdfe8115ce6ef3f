"""A second ETL over the same sources, `openings`, is added to a deployment whose ticks never notice.

It is the example of docs/adding-an-etl.md.
"""

import uuid
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from samtranslator.yaml_helper import yaml_parse

from infra import __main__ as command
from infra import etl, stacks
from infra.country_file import CountryFile
from infra.deploy import Deployment
from infra.errors import DeployError
from infra.local import slots
from infra.local.commands import tick
from infra.local.commands.deploy import deploy
from infra.local.config import BINARIES, CACHE, Stack
from infra.local.local_aws import LocalAws
from infra.local.sample.load import drop, load
from tests.e2e.conftest import remove, slot_with_time_left
from tests.harness.deployment import Deployed
from tests.harness.edges import add_edges
from tests.harness.openings_oracle import expected_openings
from tests.harness.oracle import Country, read_live_view, read_schedules
from tests.harness.rights import allowed, reaches_nothing_of, session_of

ETL = "openings"
COUNTRIES = ("es", "pt")
STORES = 1500
# Types of Arrow, in the catalog's spelling.
KINDS = {"timestamp[us]": "timestamp", "string_view": "string", "bool": "boolean"}
each_country = pytest.mark.parametrize("country", COUNTRIES)


@dataclass(frozen=True)
class Added:
    """A deployment to which the ETL was added, after a run in each country."""

    deployed: Deployed
    deployment: Deployment
    slot: datetime
    # What was there before and after: the ticks' stacks and functions, and every object.
    before: dict[str, Any]
    after: dict[str, Any]
    ends: dict[str, dict[str, Any]]
    expected: dict[str, dict[str, dict[str, Any]]]


def state_of(deployed: Deployed) -> dict[str, Any]:
    """Everything that the first ETL consists of and has written, as the services describe it."""
    cloudformation, lambdas = deployed.stack.aws.client("cloudformation"), deployed.stack.aws.client("lambda")
    state: dict[str, Any] = {}
    for name in ("lake", "analytics", *(f"country-{code}" for code in COUNTRIES)):
        state[name] = stacks.describe(cloudformation, f"{deployed.prefix}-{name}")
        for page in cloudformation.get_paginator("list_stack_resources").paginate(
            StackName=f"{deployed.prefix}-{name}"
        ):
            for resource in page["StackResourceSummaries"]:
                state[f"{name}/{resource['LogicalResourceId']}"] = resource
    for code in COUNTRIES:
        for name in ("plan", "observe", "merge", "register"):
            function = f"{deployed.prefix}-{code}-{name}"
            state[function] = lambdas.get_function_configuration(FunctionName=function)["CodeSha256"]
        state[f"machine of {code}"] = deployed.definition(f"country-{code}")
    for entry in deployed.objects():
        if not entry.key.startswith(f"{ETL}/"):
            state[entry.key] = (entry.etag, entry.modified)
    return state


def add(deployment: Deployment, country: str) -> None:
    """Adds the ETL to a country."""
    etl.deploy(deployment, ETL, country, BINARIES, CACHE / "zips")


@pytest.fixture(scope="module")
def added(stack: Stack, country_files: Path) -> Iterator[Added]:
    """es and pt with a sample of their own, after a tick, to which the ETL is added."""
    prefix = f"etl-{uuid.uuid4().hex[:6]}"
    database = prefix.replace("-", "_")
    try:
        places = load(stack, count=STORES, countries=list(COUNTRIES), prefix=prefix)
        lake = deploy(
            stack,
            prefix=prefix,
            database=database,
            countries=list(COUNTRIES),
            country_files=country_files,
            rule="DISABLED",
            sample=prefix,
        )
        deployed = Deployed(stack, prefix, database, f"Storewatch/{prefix}", lake["LakeBucket"])
        assert tick.run(stack, prefix=prefix, slot=slot_with_time_left()).status == "SUCCEEDED"
        before = state_of(deployed)
        adapter = LocalAws(stack, prefix, places, print)
        parameters = {"RuleState": "DISABLED"}
        deployment = Deployment(stack.aws.client, prefix, database, adapter, parameters=parameters)
        for country in COUNTRIES:
            add(deployment, country)
        # Stores that open at the edges of the next slot, every second of them in the live view.
        slot = slot_with_time_left()
        add_edges(stack, places["pt"], slot + slots.SLOT)
        expected = {}
        for code, place in places.items():
            content = CountryFile.load(code, country_files).content
            rules = Country(content["default_timezone"], content["missing_hours"])
            schedules = read_schedules(stack.postgres.conninfo(place.database))
            live_view = read_live_view(stack.elasticsearch.url, place.index)
            expected[code] = expected_openings(rules, slot, schedules, live_view)
        # A time in the slot, such as the event of the rule has.
        event = {"time": slots.iso(slot).replace(":00Z", ":07Z")}
        ends = {code: deployed.run_machine(f"{ETL}-{code}", event) for code in COUNTRIES}
        yield Added(deployed, deployment, slot, before, state_of(deployed), ends, expected)
    finally:
        remove(stack, prefix)
        drop(stack, prefix=prefix)


@each_country
def test_the_second_etl_finds_what_opens_and_whether_users_will_find_it(added: Added, country: str) -> None:
    assert added.ends[country]["status"] == "SUCCEEDED", added.ends[country].get("cause")
    rows = added.deployed.table(ETL, country, added.slot).to_pylist()
    instants = [row.pop("observed_at").replace(tzinfo=UTC) for row in rows]
    assert all(added.slot <= instant < added.slot + slots.SLOT for instant in instants)
    assert [row["store_id"] for row in rows] == sorted(added.expected[country], key=str.encode)
    assert {row["store_id"]: row for row in rows} == added.expected[country]


def test_the_comparison_covers_openings_on_time_late_and_unlisted(added: Added) -> None:
    rows = added.expected["pt"].values()
    assert {row["listed"] for row in rows} == {True, False}
    first = added.slot.replace(tzinfo=None) + slots.SLOT
    assert {row["opens_at"] > first for row in rows} == {True, False}


def test_nothing_of_the_first_etl_has_changed(added: Added) -> None:
    assert len(added.before) > 50
    assert added.after == added.before


@each_country
def test_table_partition_and_file_have_the_same_columns(added: Added, country: str) -> None:
    deployed = added.deployed
    of_table = deployed.glue.get_table(DatabaseName=deployed.database, Name=ETL)["Table"]["StorageDescriptor"]
    (partition,) = deployed.partitions(ETL, country)
    day = f"{added.slot:%Y-%m-%d}"
    assert partition["Values"] == [country, day]
    assert partition["StorageDescriptor"]["Location"] == f"s3://{deployed.bucket}/{ETL}/country={country}/day={day}/"
    columns = [(column["Name"], column["Type"]) for column in of_table["Columns"]]
    # The function registers the partition with the columns that it writes.
    assert [(column["Name"], column["Type"]) for column in partition["StorageDescriptor"]["Columns"]] == columns
    assert all(column["Comment"] for column in of_table["Columns"])
    schema = deployed.table(ETL, country, added.slot).schema
    assert [(field.name, KINDS[str(field.type)]) for field in schema] == columns


def test_its_function_reaches_no_other_country_and_no_table_of_the_first(added: Added) -> None:
    deployed = added.deployed
    session = session_of(deployed, f"es-{ETL}")
    reaches_nothing_of("pt", session, deployed)
    assert allowed(session, deployed, "secretsmanager", "get_secret_value", SecretId=f"{deployed.prefix}/es")
    for key in ("store_availability/country=es/day=2026-01-01/x", "registry/es.json", "config/country=es/x"):
        assert not allowed(session, deployed, "s3", "put_object", Bucket=deployed.bucket, Key=key, Body=b"")


def test_a_run_that_fails_hurts_no_other_country_and_no_tick(added: Added) -> None:
    """A slot that is over cannot be observed: that fails each time, and is not retried."""
    deployed, before = added.deployed, state_of(added.deployed)
    ended = deployed.run_machine(f"{ETL}-es", {"time": "2026-01-01T09:45:00Z"})
    assert (ended["status"], ended["error"]) == ("FAILED", "BadEvent")
    assert "2026-01-01T09:45:00Z is over" in ended["cause"]
    assert deployed.objects(f"{ETL}/country=es/day=2026-01-01/") == []
    assert state_of(deployed) == before
    ticked = tick.run(deployed.stack, prefix=deployed.prefix, slot=slot_with_time_left())
    assert ticked.status == "SUCCEEDED", ticked.error


def test_the_rule_runs_it_in_the_last_slot_of_each_hour(added: Added) -> None:
    events, name = added.deployed.stack.aws.client("events"), f"{added.deployed.prefix}-{ETL}-es"
    rule = events.describe_rule(Name=name)
    assert (rule["ScheduleExpression"], rule["State"]) == ("cron(45 * * * ? *)", "DISABLED")
    (target,) = events.list_targets_by_rule(Rule=name)["Targets"]
    assert target["Arn"] == added.deployed.machine(f"{ETL}-es")
    assert not {"Input", "InputPath", "InputTransformer"} & target.keys()


def test_two_hours_without_a_run_that_succeeded_raise_an_alarm() -> None:
    """Read in the template: the local CloudFormation has no alarms on metric math."""
    alarm = yaml_parse(etl.template(ETL, "country"))["Resources"]["MissingAlarm"]["Properties"]
    metric, expression = alarm["Metrics"]
    stat = metric["MetricStat"]
    assert (stat["Metric"]["Namespace"], stat["Metric"]["MetricName"]) == ("AWS/States", "ExecutionsSucceeded")
    assert stat["Metric"]["Dimensions"] == [{"Name": "StateMachineArn", "Value": {"Ref": "Machine"}}]
    assert (stat["Period"], stat["Stat"]) == (3600, "Sum")
    assert expression["Expression"] == f"FILL({metric['Id']}, 0)" and not metric["ReturnData"]
    assert (alarm["EvaluationPeriods"], alarm["DatapointsToAlarm"]) == (2, 2)
    assert (alarm["ComparisonOperator"], alarm["Threshold"]) == ("LessThanThreshold", 1)
    assert alarm["TreatMissingData"] == "breaching"


def test_a_country_that_is_not_deployed_gets_no_etl(added: Added) -> None:
    with pytest.raises(DeployError, match="deploy the country first"):
        add(added.deployment, "mx")
    said: list[str] = []
    add(replace(added.deployment, is_trial=True, say=said.append), "mx")
    assert said == [f"stack {added.deployed.prefix}-etl-{ETL}-mx: new, once its country is deployed"]


def test_it_stays_deployed_with_its_country_and_can_be_removed_alone(
    added: Added, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last test of this file: it removes what the others use."""
    deployed, deployment = added.deployed, added.deployment
    for name, value in deployed.stack.aws.environment().items():
        monkeypatch.setenv(name, value)
    assert etl.chosen(deployment, [], "es") == [ETL]
    before, rows = state_of(deployed), deployed.objects(f"{ETL}/country=es/")
    assert command.main(["undeploy", "es", "--etl", ETL, "--prefix", deployed.prefix]) == 0
    assert etl.chosen(deployment, [], "es") == []
    assert etl.chosen(deployment, [ETL], "es") == [ETL]
    assert etl.chosen(deployment, [], "pt") == [ETL]
    assert (state_of(deployed), deployed.objects(f"{ETL}/country=es/")) == (before, rows)
    assert rows
