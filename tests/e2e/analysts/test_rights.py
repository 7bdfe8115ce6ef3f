"""Analysts can read the tables of their own countries in their own workgroup, and nothing else.

The tests use the role on the local AWS, which enforces its policies, with gaps: for Glue it checks the database but not
the table, and GetDatabase with no resource at all. It accepts Athena's limits without applying them, so the tests only
check that the limits are set.
"""

import uuid
from collections.abc import Callable, Iterator
from typing import Any

import boto3
import pytest
from samtranslator.yaml_helper import yaml_parse

from infra import analytics, change_sets, schema, stacks
from infra.deploy import TEMPLATES, Deployment
from infra.errors import DeployError
from infra.local.local_aws import LocalAws
from infra.local.sample import week
from infra.local.servers import sql, trino
from tests.e2e.conftest import Ticked
from tests.harness.deployment import SCHEDULES, TABLES, Deployed
from tests.harness.lakes import Lake
from tests.harness.rights import allowed

MINE, OTHERS = ("es", "pt"), "mx"


def outputs(deployed: Deployed) -> dict[str, str]:
    """The outputs of the analysts' stack."""
    found = stacks.outputs(deployed.stack.aws.client("cloudformation"), f"{deployed.prefix}-analytics")
    assert found
    return found


@pytest.fixture(scope="module")
def analyst(analysed: Ticked) -> boto3.session.Session:
    """A session with an analyst's rights."""
    aws, role = analysed.deployed.stack.aws, outputs(analysed.deployed)["AnalystsRole"]
    given = aws.client("sts").assume_role(RoleArn=role, RoleSessionName="e2e")["Credentials"]
    return boto3.session.Session(
        given["AccessKeyId"], given["SecretAccessKey"], given["SessionToken"], region_name=aws.region
    )


@pytest.mark.parametrize("table", TABLES)
def test_analysts_read_and_list_only_their_countries_files(
    analysed: Ticked, analyst: boto3.session.Session, table: str
) -> None:
    deployed = analysed.deployed
    for country in (*MINE, OTHERS):
        files = deployed.objects(f"{table}/country={country}/")
        assert files  # they exist, so it is the policy that refuses
        for file in files:
            request = {"Bucket": deployed.bucket, "Key": file.key}
            assert allowed(analyst, deployed, "s3", "get_object", **request) == (country in MINE), file.key
        day = files[0].key.rpartition("/")[0] + "/"
        assert allowed(analyst, deployed, "s3", "list_objects_v2", Bucket=deployed.bucket, Prefix=day) == (
            country in MINE
        )
    assert not allowed(analyst, deployed, "s3", "list_objects_v2", Bucket=deployed.bucket, Prefix=f"{table}/")
    assert not allowed(analyst, deployed, "s3", "list_objects_v2", Bucket=deployed.bucket)


@pytest.mark.parametrize("table", ["store_availability", SCHEDULES])
@pytest.mark.parametrize("country", [*MINE, OTHERS])
def test_analysts_read_compacted_days_too(
    analysed: Ticked, analyst: boto3.session.Session, country: str, table: str
) -> None:
    deployed = analysed.deployed
    key = f"compacted/{table}/country={country}/day=2026-01-01/one.parquet"
    deployed.s3.put_object(Bucket=deployed.bucket, Key=key, Body=b"")
    try:
        request = {"Bucket": deployed.bucket, "Key": key}
        assert allowed(analyst, deployed, "s3", "get_object", **request) == (country in MINE)
    finally:
        deployed.s3.delete_object(Bucket=deployed.bucket, Key=key)


def test_analysts_read_nothing_but_tables_and_write_nothing(analysed: Ticked, analyst: boto3.session.Session) -> None:
    deployed = analysed.deployed
    others = [
        file.key
        for file in deployed.objects()
        if not file.key.startswith(("compacted/", *(f"{table}/" for table in TABLES)))
    ]
    assert {key.partition("/")[0] for key in others} >= {"config", "registry", "schedules", "staging"}
    for key in others:
        assert not allowed(analyst, deployed, "s3", "get_object", Bucket=deployed.bucket, Key=key), key
    for file in deployed.objects("country_ticks/country=es/"):
        request = {"Bucket": deployed.bucket, "Key": file.key}
        assert not allowed(analyst, deployed, "s3", "put_object", **request, Body=b""), file.key
        assert not allowed(analyst, deployed, "s3", "delete_object", **request), file.key
    secret = f"{deployed.prefix}/es"
    assert not allowed(analyst, deployed, "secretsmanager", "get_secret_value", SecretId=secret)


def test_analysts_read_the_catalog_but_cannot_change_it(analysed: Ticked, analyst: boto3.session.Session) -> None:
    deployed = analysed.deployed
    where = {"DatabaseName": deployed.database}
    assert allowed(analyst, deployed, "glue", "get_tables", **where)
    assert allowed(analyst, deployed, "glue", "get_table", **where, Name="worst_stores")
    assert allowed(analyst, deployed, "glue", "get_partitions", **where, TableName="country_ticks")
    assert not allowed(analyst, deployed, "glue", "create_table", **where, TableInput={"Name": "mine"})
    assert not allowed(analyst, deployed, "glue", "delete_table", **where, Name="worst_stores")
    values = {"TableName": "country_ticks", "PartitionValues": ["es", "2026-01-01"]}
    assert not allowed(analyst, deployed, "glue", "delete_partition", **where, **values)
    assert not allowed(analyst, deployed, "glue", "get_tables", DatabaseName=f"{deployed.database}_of_others")


def test_analysts_query_only_in_their_own_workgroup(analysed: Ticked, analyst: boto3.session.Session) -> None:
    deployed, names = analysed.deployed, outputs(analysed.deployed)
    request: dict[str, Any] = {"QueryString": "select 1", "QueryExecutionContext": {"Database": deployed.database}}

    def may(workgroup: str) -> bool:
        return allowed(analyst, deployed, "athena", "start_query_execution", **request, WorkGroup=workgroup)

    assert may(names["AnalystsWorkgroup"])
    assert not may(names["DashboardWorkgroup"])
    assert not may("primary")


def test_analysts_read_and_write_results_only_under_their_own_prefix(
    analysed: Ticked, analyst: boto3.session.Session
) -> None:
    deployed, bucket = analysed.deployed, outputs(analysed.deployed)["ResultsBucket"]
    for folder, right in (("analysts", True), ("dashboard", False)):
        request = {"Bucket": bucket, "Key": f"{folder}/test"}
        assert allowed(analyst, deployed, "s3", "put_object", **request, Body=b"") == right
        deployed.s3.put_object(**request, Body=b"")
        assert allowed(analyst, deployed, "s3", "get_object", **request) == right
        assert allowed(analyst, deployed, "s3", "list_objects_v2", Bucket=bucket, Prefix=f"{folder}/") == right


@pytest.fixture(scope="module")
def as_analyst(analysed: Ticked, engine: sql.Engine) -> Iterator[Callable[[str], sql.Result]]:
    """Runs SQL with an analyst's role instead of the root's rights, for both catalog and files."""
    deployed, catalog = analysed.deployed, f"analyst_{uuid.uuid4().hex[:8]}"
    properties = trino.catalog_properties(deployed.stack.aws, outputs(deployed)["AnalystsRole"])
    settings = ", ".join(f"\"{name}\" = '{value}'" for name, value in properties.items())
    sql.run(engine, f"create catalog {catalog} using hive with ({settings})")
    try:
        yield lambda statement: sql.run(engine, statement, catalog=catalog, database=deployed.database)
    finally:
        sql.run(engine, f"drop catalog {catalog}")


@pytest.fixture(scope="module")
def of_others(analysed: Ticked) -> Iterator[None]:
    """A day without files in each table of the country that analysts may not read: its days are not compacted, and some
    tables have compacted days only."""
    deployed = analysed.deployed
    for table in schema.tables():
        where = {"DatabaseName": deployed.database, "TableName": table.name}
        day = week.partition(
            deployed.bucket, table, OTHERS, "2026-01-01", f"{table.name}/country={OTHERS}/day=2026-01-01/"
        )
        deployed.glue.create_partition(**where, PartitionInput=day)
    yield
    for table in schema.tables():
        where = {"DatabaseName": deployed.database, "TableName": table.name}
        deployed.glue.delete_partition(**where, PartitionValues=[OTHERS, "2026-01-01"])


@pytest.mark.usefixtures("of_others")
@pytest.mark.parametrize("view", [view.name for view in schema.views() if view.name != "coverage_daily"])
def test_analysts_query_views_for_their_own_countries_only(
    ticked_lake: Lake, as_analyst: Callable[[str], sql.Result], view: str
) -> None:
    """Runs the view's query, because the view itself names root's catalog. coverage_daily uses another view."""
    (found,) = [found for found in schema.views() if found.name == view]
    text = found.sql
    # The age of a row is not the same when it is asked for again.
    columns = ", ".join(column.name for column in found.columns if column.name != "age_minutes")
    for country in MINE:
        where = f"where country = '{country}'"
        if view == "expected_slots":
            where += f" and slot < timestamp '{ticked_lake.day} 00:00:00'"  # so that no more slots end meanwhile
        mine, all_rights = (
            as_analyst(f"select {columns} from ({text}) {where}"),
            ticked_lake.ask(f"select {columns} from {view} {where}"),
        )
        assert sorted(map(str, mine.rows)) == sorted(map(str, all_rights.rows))
    for where in (f"where country = '{OTHERS}'", ""):
        with pytest.raises(sql.QueryError, match="Failed to list directory|Access Denied|Forbidden"):
            as_analyst(f"select * from ({text}) {where}")


@pytest.mark.parametrize(("kind", "limit"), [("analysts", 100 * 2**30), ("dashboard", 10 * 2**30)])
def test_a_workgroup_enforces_a_scan_limit_and_encrypted_results(analysed: Ticked, kind: str, limit: int) -> None:
    """Only AWS can show whether Athena cancels a query at the limit. The local AWS just stores the settings."""
    deployed, bucket = analysed.deployed, outputs(analysed.deployed)["ResultsBucket"]
    athena = deployed.stack.aws.client("athena")
    found = athena.get_work_group(WorkGroup=f"{deployed.prefix}-{kind}")["WorkGroup"]["Configuration"]
    assert found["EnforceWorkGroupConfiguration"] is True
    assert found["PublishCloudWatchMetricsEnabled"] is True
    assert int(found["BytesScannedCutoffPerQuery"]) == limit
    results = found["ResultConfiguration"]
    assert results["OutputLocation"] == f"s3://{bucket}/{kind}/"
    assert results["EncryptionConfiguration"] == {"EncryptionOption": "SSE_S3"}


def test_results_are_encrypted_and_expire() -> None:
    """Tests the template: the local AWS ignores both settings on a bucket made by CloudFormation."""
    content = yaml_parse((TEMPLATES / "analytics.yaml").read_text())
    bucket = content["Resources"]["ResultsBucket"]["Properties"]
    days = [
        rule["ExpirationInDays"] for rule in bucket["LifecycleConfiguration"]["Rules"] if "ExpirationInDays" in rule
    ]
    assert days == [{"Ref": "ResultDays"}] and content["Parameters"]["ResultDays"]["Default"] == 7
    (rule,) = bucket["BucketEncryption"]["ServerSideEncryptionConfiguration"]
    assert rule["Fn::If"][2] == {"ServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}


def test_a_deployment_keeps_the_analysts_countries_by_default(analysed: Ticked) -> None:
    deployed = analysed.deployed
    client = deployed.stack.aws.client
    lake = stacks.outputs(client("cloudformation"), f"{deployed.prefix}-lake")
    assert lake
    before = outputs(deployed)["AnalystCountries"]
    adapter = LocalAws(deployed.stack, deployed.prefix, {}, lambda _: None)
    deployment = Deployment(client, deployed.prefix, deployed.database, adapter, lambda _: None)
    deployment.deploy_analytics(lake, ["es", "mx", "pt"])
    assert outputs(deployed)["AnalystCountries"] == before == "es,pt"


@pytest.mark.parametrize("country", ["*", "ES", "e?", ""])
def test_only_country_codes_get_into_a_policy(country: str) -> None:
    with pytest.raises(DeployError, match="is not a country code"):
        analytics.country_objects("arn:aws:s3:::lake", [country])


def test_a_template_too_large_for_a_request_goes_through_s3(analysed: Ticked) -> None:
    client = analysed.deployed.stack.aws.client
    deployment, name = Deployment(client, analysed.deployed.prefix), f"{analysed.deployed.prefix}-large"
    text = (
        f'Metadata: {{Ballast: "{"x" * 60_000}"}}\n'
        "Resources: {Topic: {Type: AWS::SNS::Topic}}\nOutputs: {Topic: {Value: !Ref Topic}}\n"
    )
    try:
        wanted = change_sets.Wanted(name, text, {})
        made = change_sets.deploy_stack(client("cloudformation"), wanted, deployment.upload_template, print)
        assert stacks.outputs_of(made)["Topic"].startswith("arn:aws:sns:")
    finally:
        stacks.delete_stack(client("cloudformation"), name)
