"""A country in another account ticks by itself and delivers to one lake and one catalog.

The local AWS keeps the accounts' buckets, catalogs, roles, functions and state machines apart. What it lacks of AWS's rules
between accounts, infra/local/servers/ministack_server.py adds. That AWS itself accepts the two policies: only there.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError
from samtranslator.yaml_helper import yaml_parse

from infra import __main__ as command
from infra import accounts, verify
from infra.buckets import Place
from infra.errors import DeployError
from infra.local import slots
from infra.local.commands import tick
from infra.local.commands.deploy import deploy
from infra.local.config import Stack
from tests.e2e.conftest import Sources, remove, slot_with_time_left
from tests.harness.deployer import Deployer
from tests.harness.deployment import TABLES, Deployed
from tests.harness.rights import allowed, session_of

LAKE, OTHER = "000000000000", "444455556666"
REPLACED = [{"Key": "storewatch", "Value": "compacted"}]


@dataclass(frozen=True)
class Accounts:
    """The lake with es in its own account, and mx in the other one, after a tick of each."""

    lake: Deployed
    other: Deployed
    slot: datetime
    stores: dict[str, int]

    def run(self, before: int) -> dict[str, Any]:
        """Runs an earlier slot of mx. Its stores are all unknown by then, but they are rows."""
        event = {"country": "mx", "slot": slots.iso(self.slot - before * slots.SLOT)}
        done = self.other.run_machine("country-mx", event)
        assert done["status"] == "SUCCEEDED", done.get("cause")
        return json.loads(done["output"])


def in_account(stack: Stack, account: str) -> Stack:
    """The same servers, to another account's root."""
    return replace(stack, aws=replace(stack.aws, access_key_id=account))


@pytest.fixture(scope="module")
def both(stack: Stack, sources: Sources, country_files: Path) -> Iterator[Accounts]:
    """The two deployments, under one prefix."""
    prefix = f"{sources.prefix}-a"
    made: dict[str, Deployed] = {}
    try:
        for account, country in ((LAKE, "es"), (OTHER, "mx")):
            own = in_account(stack, account)
            outputs = deploy(
                own,
                prefix=prefix,
                database=prefix.replace("-", "_"),
                countries=[country],
                country_files=country_files,
                rule="DISABLED",
                sample=sources.prefix,
                parameters={"MetricsNamespace": f"Test/{prefix}", "LookAgainSeconds": "1"},
                lake_account=LAKE,
                country_accounts={"mx": OTHER} if account == LAKE else None,
            )
            bucket = outputs["LakeBucket"]
            made[account] = Deployed(own, prefix, prefix.replace("-", "_"), f"Test/{prefix}", bucket)
        slot = slot_with_time_left()
        for account in (LAKE, OTHER):
            done = tick.run(made[account].stack, prefix=prefix, slot=slot)
            assert [(one.outcome, one.registered) for one in done.countries] == [("complete", True)], done
        yield Accounts(made[LAKE], made[OTHER], slot, {code: len(found) for code, found in sources.schedules.items()})
    finally:
        for account in (OTHER, LAKE):
            remove(in_account(stack, account), prefix)


@contextmanager
def closed(lake: Deployed, what: str) -> Iterator[None]:
    """The lake without one of the two policies that let the country in."""
    if what == "bucket":
        policy = lake.s3.get_bucket_policy(Bucket=lake.bucket)["Policy"]
        lake.s3.delete_bucket_policy(Bucket=lake.bucket)
    else:
        policy = lake.glue.get_resource_policy()["PolicyInJson"]
        lake.glue.delete_resource_policy()
    try:
        yield
    finally:
        if what == "bucket":
            lake.s3.put_bucket_policy(Bucket=lake.bucket, Policy=policy)
        else:
            lake.glue.put_resource_policy(PolicyInJson=policy)


def tables(deployed: Deployed, country: str = "mx", folder: str = "") -> dict[str, bytes]:
    """The files of a country's tables, by key."""
    found = [one for table in TABLES for one in deployed.objects(f"{folder}{table}/country={country}/")]
    return {one.key: deployed.body(one.key) for one in found}


def test_a_country_in_another_account_ticks_into_the_one_lake(both: Accounts) -> None:
    for country in ("es", "mx"):
        rows = both.lake.table("store_availability", country, both.slot)
        assert rows.num_rows >= both.stores[country] > 500
        assert both.lake.table("country_ticks", country, both.slot)["outcome"].to_pylist() == ["complete"]
    assert tables(both.lake) == tables(both.other)
    # The other account has neither catalog nor analysts.
    assert both.other.glue.get_databases()["DatabaseList"] == []
    stacks = both.other.stack.aws.client("cloudformation").list_stacks()["StackSummaries"]
    names = [
        one["StackName"].removeprefix(f"{both.other.prefix}-")
        for one in stacks
        if both.other.prefix in one["StackName"]
    ]
    assert sorted(names) == ["country-mx", "lake"]


def test_everything_that_is_no_table_stays_in_the_country_s_own_account(both: Accounts) -> None:
    kinds = {one.key.partition("/")[0] for one in both.lake.objects() if "mx" in one.key}
    assert kinds == set(TABLES)
    assert [one.key for one in both.lake.objects("registry/")] == ["registry/es.json"]


@pytest.mark.parametrize("function", accounts.DELIVERING)
def test_its_functions_reach_their_own_country_s_tables_in_the_lake_and_nothing_else(
    both: Accounts, function: str
) -> None:
    session, lake = session_of(both.other, f"mx-{function}"), both.lake
    day = f"day={both.slot:%Y-%m-%d}"
    for country, right in (("mx", True), ("es", False)):
        folder = f"store_availability/country={country}/{day}/"
        key = lake.objects(folder)[0].key
        assert allowed(session, lake, "s3", "get_object", Bucket=lake.bucket, Key=key) == right
        assert allowed(session, lake, "s3", "list_objects_v2", Bucket=lake.bucket, Prefix=folder) == right
        test = f"{folder}test"
        assert allowed(session, lake, "s3", "put_object", Bucket=lake.bucket, Key=test, Body=b"") == right
        assert not allowed(session, lake, "s3", "delete_object", Bucket=lake.bucket, Key=test)
        lake.s3.delete_object(Bucket=lake.bucket, Key=test)
    assert not allowed(session, lake, "s3", "get_object", Bucket=lake.bucket, Key="registry/es.json")
    assert not allowed(session, lake, "s3", "list_objects_v2", Bucket=lake.bucket)


def test_other_roles_of_the_account_do_not_reach_the_lake(both: Accounts) -> None:
    lake, key = both.lake, next(iter(tables(both.lake)))
    request = {"CatalogId": LAKE, "DatabaseName": lake.database, "TableName": "store_availability"}
    keys = [{"Values": ["mx", "2026-01-01"]}]
    for function, right in (("register", True), ("observe", False), ("merge", False)):
        session = session_of(both.other, f"mx-{function}")
        assert allowed(session, lake, "s3", "get_object", Bucket=lake.bucket, Key=key) == right
        assert allowed(session, lake, "glue", "batch_get_partition", **request, PartitionsToGet=keys) == right
    # Not even the account's root, whom no policy of its own limits.
    root = both.other
    with pytest.raises(ClientError, match="AccessDenied"):
        root.s3.get_object(Bucket=lake.bucket, Key=key)
    with pytest.raises(ClientError, match="AccessDenied"):
        root.glue.batch_get_partition(**request, PartitionsToGet=keys)


def test_a_bucket_that_another_account_owns_is_refused(both: Accounts) -> None:
    """As if a stranger had taken the lake's name: the same bucket, of which another owner is expected."""
    lambdas, name = both.other.stack.aws.client("lambda"), f"{both.other.prefix}-mx-register"
    found = lambdas.get_function_configuration(FunctionName=name)["Environment"]["Variables"]
    assert not both.other.invoke("mx-register", {"partitions": []}).is_error
    try:
        lambdas.update_function_configuration(
            FunctionName=name, Environment={"Variables": {**found, "STOREWATCH_ACCOUNT": "999988887777"}}
        )
        answer = both.other.invoke("mx-register", {"partitions": []})
    finally:
        lambdas.update_function_configuration(FunctionName=name, Environment={"Variables": found})
    assert (answer.is_error, answer.error_type) == (True, "LakeUnavailable")
    assert "AccessDenied" in answer.message


@pytest.mark.parametrize(("what", "before"), [("bucket", 1), ("catalog", 3)])
def test_what_the_lake_cannot_take_is_kept_and_delivered_later(both: Accounts, what: str, before: int) -> None:
    slot = both.slot - before * slots.SLOT
    key = f"store_availability/country=mx/day={slot:%Y-%m-%d}/{slots.compact(slot)}.parquet"
    with closed(both.lake, what):
        away = both.run(before)
        assert away["registered"] is None
        assert any(
            "ticks wait for the catalog" in one for one in verify.tick(both.other.stack.aws.client, both.other.prefix)
        )
        assert tables(both.other).keys() >= {key}
        assert [one.key for one in both.other.objects("pending/country=mx/")]
        assert key not in tables(both.lake)
    assert both.run(before + 1)["registered"] is not None
    assert both.other.objects("pending/country=mx/") == []
    assert tables(both.lake) == tables(both.other)
    days = {key.split("day=")[1][:10] for key in tables(both.other)}
    for table in TABLES:
        held = {one["Values"][1]: one["StorageDescriptor"]["Location"] for one in both.lake.partitions(table, "mx")}
        assert held.keys() == days
        for day, location in held.items():
            assert location.startswith(f"s3://{both.lake.bucket}/") and day in location
    assert both.lake.table("store_availability", "mx", slot).num_rows >= both.stores["mx"]


def test_a_day_is_compacted_at_home_and_then_in_the_lake(both: Accounts) -> None:
    slot = both.slot - timedelta(days=2)
    day, event = f"{slot:%Y-%m-%d}", {"country": "mx", "day": f"{slot:%Y-%m-%d}"}
    done = both.other.run_machine("country-mx", {"country": "mx", "slot": slots.iso(slot)})
    assert done["status"] == "SUCCEEDED"
    raw = [key for key in tables(both.lake) if day in key]
    assert len(raw) == len(TABLES)
    with closed(both.lake, "bucket"):
        failed = both.other.invoke("mx-compact", event)
        assert (failed.is_error, failed.error_type) == (True, "CatalogUnavailable")
        assert "kept" in failed.message or "stay" in failed.message
    assert both.lake.table("store_availability", "mx", slot).num_rows >= both.stores["mx"]
    done = both.other.run_machine("daily", {"slot": slots.iso(both.slot), "countries": ["mx"]})
    assert done["status"] == "SUCCEEDED", done.get("cause")
    for table in TABLES:
        (found,) = [one for one in both.lake.partitions(table, "mx") if one["Values"][1] == day]
        location = found["StorageDescriptor"]["Location"]
        prefix = location.removeprefix(f"s3://{both.lake.bucket}/")
        assert prefix.startswith(f"compacted/{table}/country=mx/day={day}/")
        (file,) = both.lake.objects(prefix)
        assert both.lake.body(file.key) == both.other.body(file.key)
    # What the version replaced expires in the lake too.
    for key in raw:
        assert both.lake.s3.get_object_tagging(Bucket=both.lake.bucket, Key=key)["TagSet"] == REPLACED


def test_a_deployment_in_the_other_account_is_verified_there(both: Accounts) -> None:
    client, prefix = both.other.stack.aws.client, both.other.prefix
    assert verify.rights(client, prefix) == verify.views(client, prefix) == []


def test_a_lake_that_lost_files_gets_them_again_by_a_repair(both: Accounts) -> None:
    lost = [key for key in tables(both.lake) if slots.compact(both.slot) in key]
    for key in lost:
        both.lake.s3.delete_object(Bucket=both.lake.bucket, Key=key)
    day = f"{both.slot:%Y-%m-%d}"
    repaired = both.other.invoke("mx-repair", {"country": "mx", "from": day, "to": day})
    assert not repaired.is_error, repaired.message
    assert tables(both.lake).keys() >= set(lost)
    assert both.lake.table("store_availability", "mx", both.slot).num_rows >= both.stores["mx"]


def test_a_lake_lets_in_and_shuts_out_countries_and_keeps_who_is_not_named(deployer: Deployer) -> None:
    glue, bucket = deployer.stack.aws.client("glue"), deployer.deployment().lake_bucket

    def sids() -> list[str]:
        try:
            return [one["Sid"] for one in json.loads(glue.get_resource_policy()["PolicyInJson"])["Statement"]]
        except glue.exceptions.EntityNotFoundException:
            return []

    before = sids()
    deployer.deploy(country_accounts={"mx": OTHER, "pt": OTHER})
    assert [sid for sid in sids() if sid not in before] == [f"Storewatch{deployer.prefix.replace('-', 'X')}"]
    deployer.deploy()
    assert deployer.parameters("lake")["CountryAccounts"] == f"mx:{OTHER},pt:{OTHER}"
    policy = json.loads(deployer.s3.get_bucket_policy(Bucket=bucket)["Policy"])
    assert [one["Sid"] for one in policy["Statement"]] == ["Listmx", "Delivermx", "Listpt", "Deliverpt"]
    with pytest.raises(DeployError, match="mx, pt deliver to this lake"):
        command.undeploy_lake(registered_none(deployer), None)  # type: ignore[arg-type]
    deployer.deploy(country_accounts={})
    assert sids() == before
    with pytest.raises(ClientError, match="NoSuchBucketPolicy"):
        deployer.s3.get_bucket_policy(Bucket=bucket)


def registered_none(deployer: Deployer) -> Any:
    """The deployment after its own countries were removed."""
    deployment = deployer.deployment()
    deployment.undeploy_country("es")
    return deployment


def test_statements_of_others_in_the_catalog_s_policy_stay(stack: Stack) -> None:
    """In a region of its own, because an account has one such policy in each."""
    elsewhere = replace(stack.aws, region="eu-south-2")
    glue, place = elsewhere.client("glue"), Place("aws", LAKE, "eu-south-2")
    foreign = {
        "Sid": "Theirs",
        "Effect": "Allow",
        "Principal": {"AWS": OTHER},
        "Action": "glue:GetTable",
        "Resource": "*",
    }

    def statements() -> list[dict[str, Any]]:
        return json.loads(glue.get_resource_policy()["PolicyInJson"])["Statement"]

    glue.put_resource_policy(PolicyInJson=json.dumps({"Version": "2012-10-17", "Statement": foreign}))
    try:
        for prefix, country in (("one", "mx"), ("one-b", "pt")):
            assert accounts.set_catalog_policy(glue, place, prefix, "db", {country: OTHER})
            assert not accounts.set_catalog_policy(glue, place, prefix, "db", {country: OTHER})
        assert [one["Sid"] for one in statements()] == ["Theirs", "Storewatchone", "StorewatchoneXb"]
        assert accounts.set_catalog_policy(glue, place, "one", "db", {})
        assert statements()[0] == foreign and [one["Sid"] for one in statements()] == ["Theirs", "StorewatchoneXb"]
    finally:
        glue.delete_resource_policy()


def test_a_deployment_cannot_move_its_lake_to_another_account(deployer: Deployer) -> None:
    deployer.deploy()
    with pytest.raises(DeployError, match=f"belongs to the lake in account {LAKE}, not {OTHER}"):
        deployer.deploy(lake_account=OTHER)


@pytest.mark.parametrize("given", [["fr"], ["fr:1"], ["FR:444455556666"], ["fr:444455556666", "fr:111122223333"]])
def test_a_country_account_that_is_none_is_refused(given: list[str]) -> None:
    with pytest.raises(DeployError, match="must be a country and its account"):
        accounts.parse(given)


def test_more_countries_than_a_bucket_s_policy_holds_are_refused() -> None:
    template, place = "          # <countries in other accounts>\n", Place("aws", LAKE, "ap-southeast-1")
    codes = [f"{first}{second}" for first in "abc" for second in "abcdefghijklmnopqrstuvwxyz"]
    rendered = accounts.render(template, place, "p" * 28, dict.fromkeys(codes[:15], OTHER))
    assert len(yaml_parse(rendered)) == 30
    with pytest.raises(DeployError, match="30 countries in other accounts do not fit"):
        accounts.render(template, place, "storewatch", dict.fromkeys(codes[:30], OTHER))
