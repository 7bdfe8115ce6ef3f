"""The deployed templates match the code: catalog, state machines, names."""

import re
import tomllib
from collections.abc import Iterator
from typing import Any

import pytest

from infra import stacks
from infra.packaging import ROOT
from infra.vocabulary import NEVER_RETRIED
from tests.e2e.conftest import COUNTRIES, Ticked
from tests.harness.deployment import SCHEDULES, TABLES

MACHINES = ("tick", *(f"country-{code}" for code in COUNTRIES))
DAILY_MACHINES = ("daily", *(f"country-{code}-daily" for code in COUNTRIES))
PARQUET = "org.apache.hadoop.hive.ql.io.parquet"


def states_of(machine: dict[str, Any], path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Every state with its path, including those inside Maps and Parallels."""
    for name, state in machine["States"].items():
        yield f"{path}{name}", state
        for inner in [state.get("ItemProcessor"), state.get("Iterator"), *state.get("Branches", [])]:
            if inner:
                yield from states_of(inner, f"{path}{name}/")


@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize("country", COUNTRIES)
def test_a_partition_has_the_columns_and_formats_of_its_table(ticked: Ticked, table: str, country: str) -> None:
    deployed = ticked.deployed
    found = deployed.glue.get_table(DatabaseName=deployed.database, Name=table)["Table"]
    of_table = found["StorageDescriptor"]
    (partition,) = deployed.partitions(table, country)
    of_partition = partition["StorageDescriptor"]
    day = f"{ticked.slot:%Y-%m-%d}"
    assert partition["Values"] == [country, day]
    assert of_partition["Location"] == f"s3://{deployed.bucket}/{table}/country={country}/day={day}/"
    for descriptor in (of_table, of_partition):
        assert descriptor["InputFormat"] == f"{PARQUET}.MapredParquetInputFormat"
        assert descriptor["OutputFormat"] == f"{PARQUET}.MapredParquetOutputFormat"
        assert descriptor["SerdeInfo"]["SerializationLibrary"] == f"{PARQUET}.serde.ParquetHiveSerDe"
    columns = [[(column["Name"], column["Type"]) for column in d["Columns"]] for d in (of_table, of_partition)]
    assert columns[0] == columns[1]
    assert [(key["Name"], key["Type"]) for key in found["PartitionKeys"]] == [("country", "string"), ("day", "string")]


@pytest.mark.parametrize("table", [*TABLES, SCHEDULES])
def test_tables_and_columns_have_comments_and_no_projection(ticked: Ticked, table: str) -> None:
    deployed = ticked.deployed
    found = deployed.glue.get_table(DatabaseName=deployed.database, Name=table)["Table"]
    assert found["Description"]
    assert all(column["Comment"] for column in found["StorageDescriptor"]["Columns"])
    # With projection, Athena ignores the partitions that ticks register.
    assert not [key for key in found.get("Parameters", {}) if key.startswith("projection")]


@pytest.mark.parametrize("machine", MACHINES)
def test_every_task_and_every_machine_has_a_time_limit(ticked: Ticked, machine: str) -> None:
    definition = ticked.deployed.definition(machine)
    assert 0 < definition["TimeoutSeconds"] < 900
    tasks = {path: state for path, state in states_of(definition) if state["Type"] == "Task"}
    assert tasks
    assert all(0 < state.get("TimeoutSeconds", 0) <= 900 for state in tasks.values()), tasks.keys()


@pytest.mark.parametrize("machine", DAILY_MACHINES)
def test_the_daily_work_has_time_limits_and_ends_before_the_next(ticked: Ticked, machine: str) -> None:
    definition = ticked.deployed.definition(machine)
    assert 0 < definition["TimeoutSeconds"] < 24 * 3600
    tasks = {path: state for path, state in states_of(definition) if state["Type"] == "Task"}
    assert tasks
    assert all(0 < state.get("TimeoutSeconds", 0) < 24 * 3600 for state in tasks.values()), tasks.keys()


@pytest.mark.parametrize("machine", MACHINES + DAILY_MACHINES)
def test_wrong_events_and_wrong_country_files_are_never_retried(ticked: Ticked, machine: str) -> None:
    never = NEVER_RETRIED | {"States.ALL", "States.TaskFailed"}
    for path, state in states_of(ticked.deployed.definition(machine)):
        for retry in state.get("Retry", []):
            assert never.isdisjoint(retry["ErrorEquals"]), path


def test_functions_get_the_agreed_environment_and_no_secret(ticked: Ticked) -> None:
    deployed, lambdas = ticked.deployed, ticked.deployed.stack.aws.client("lambda")
    metrics = {"STOREWATCH_METRICS_NAMESPACE": deployed.namespace}
    account = "000000000000"
    lake = {"STOREWATCH_LAKE_BUCKET": deployed.bucket, "STOREWATCH_LAKE_ACCOUNT": account}
    catalog = {"STOREWATCH_DATABASE": deployed.database, **lake}
    own = {
        "plan": {},
        "observe": {},
        "merge": {**metrics, "STOREWATCH_LOOK_AGAIN_SECONDS": "1"},
        "register": {**metrics, **catalog},
        "compact": catalog,
        "restate": catalog,
        "repair": catalog,
    }
    for country in COUNTRIES:
        (config,) = [entry.key for entry in deployed.objects(f"config/country={country}/")]
        for function, more in own.items():
            name = f"{deployed.prefix}-{country}-{function}"
            found = lambdas.get_function_configuration(FunctionName=name)["Environment"]["Variables"]
            expected = {
                "STOREWATCH_BUCKET": deployed.bucket,
                "STOREWATCH_ACCOUNT": account,
                "STOREWATCH_COUNTRY": country,
                "STOREWATCH_CONFIG": config,
                "STOREWATCH_VERSION": deployed.version,
            }
            assert found == {"RUST_LOG": "info", **expected, **more}


def test_the_rule_ticks_every_quarter_hour_and_passes_its_event_on(ticked: Ticked) -> None:
    events, name = ticked.deployed.stack.aws.client("events"), f"{ticked.deployed.prefix}-tick"
    rule = events.describe_rule(Name=name)
    assert (rule["ScheduleExpression"], rule["State"]) == ("cron(0/15 * * * ? *)", "DISABLED")
    (target,) = events.list_targets_by_rule(Rule=name)["Targets"]
    assert target["Arn"] == ticked.deployed.machine("tick")
    # The slot comes from the event's time. An input set in the rule would hide it.
    assert not {"Input", "InputPath", "InputTransformer"} & target.keys()


def test_the_daily_rule_runs_after_the_last_ticks_of_the_day_before(ticked: Ticked) -> None:
    events, name = ticked.deployed.stack.aws.client("events"), f"{ticked.deployed.prefix}-daily"
    rule = events.describe_rule(Name=name)
    assert (rule["ScheduleExpression"], rule["State"]) == ("cron(20 2 * * ? *)", "DISABLED")
    (target,) = events.list_targets_by_rule(Rule=name)["Targets"]
    assert target["Arn"] == ticked.deployed.machine("daily")
    assert not {"Input", "InputPath", "InputTransformer"} & target.keys()


def test_stacks_name_the_deployed_release_and_commit(ticked: Ticked) -> None:
    release = tomllib.loads((ROOT / "Cargo.toml").read_text())["workspace"]["package"]["version"]
    assert re.fullmatch(rf"{re.escape(release)}\+[0-9a-f]{{12}}(\.dirty)?", ticked.deployed.version)
    deployed = stacks.parameters(
        ticked.deployed.stack.aws.client("cloudformation"), f"{ticked.deployed.prefix}-country-"
    )
    assert {values["Version"] for values in deployed.values()} == {ticked.deployed.version}
    assert len(deployed) == len(COUNTRIES)
