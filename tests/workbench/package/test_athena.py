"""`sql` on Athena. The local AWS's Athena takes the same calls and answers in the same form, but it is DuckDB, reads no views and
applies no limit: queries of the lake are tested on Trino, and refusals with botocore's Stubber in the place of AWS."""

import json
import re
import socket
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from infra.local.config import Stack
from tests.workbench.package.notebook import Notebook, opened


@dataclass(frozen=True)
class Athena:
    """A workgroup of a test's own, and a notebook that asks in it."""

    client: Any
    workgroup: str
    settings: dict[str, str]
    notebook: Notebook

    def execution(self, text: str) -> dict[str, Any]:
        """What Athena knows of the query with a text."""
        ids = self.client.list_query_executions(WorkGroup=self.workgroup)["QueryExecutionIds"]
        found = [self.client.get_query_execution(QueryExecutionId=one)["QueryExecution"] for one in ids]
        [execution] = [one for one in found if text in one["Query"]]
        return execution


@pytest.fixture(scope="module")
def athena(stack: Stack, python: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Athena]:
    """A workgroup with a limit, and credentials as the workbench gives them: by a program that prints them."""
    name, access = f"wb-{uuid.uuid4().hex[:8]}", tmp_path_factory.mktemp("access")
    aws = stack.aws
    keys = {"AccessKeyId": aws.access_key_id, "SecretAccessKey": aws.secret_access_key}
    (access / "aws.json").write_text(json.dumps({"Version": 1, **keys}))
    (access / "aws.config").write_text(
        f"[default]\nregion = {aws.region}\ncredential_process = cat {access}/aws.json\n"
    )
    settings = {
        "STOREWATCH_ENGINE": "athena",
        "STOREWATCH_DATABASE": "default",
        "STOREWATCH_ACCESS": str(access),
        "STOREWATCH_WORKGROUP": name,
        "AWS_CONFIG_FILE": str(access / "aws.config"),
        "AWS_REGION": aws.region,
        "AWS_ENDPOINT_URL": aws.endpoint,
        "AWS_MAX_ATTEMPTS": "1",
    }
    s3, client = aws.client("s3"), aws.client("athena")
    s3.create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": aws.region})
    results = {"OutputLocation": f"s3://{name}/analysts/"}
    client.create_work_group(
        Name=name,
        Configuration={
            "EnforceWorkGroupConfiguration": True,
            "BytesScannedCutoffPerQuery": 107374182400,
            "ResultConfiguration": results,
        },
    )
    try:
        with opened(python, settings) as notebook:
            yield Athena(client, name, settings, notebook)
    finally:
        client.delete_work_group(WorkGroup=name, RecursiveDeleteOption=True)
        for entry in s3.list_objects_v2(Bucket=name).get("Contents", []):
            s3.delete_object(Bucket=name, Key=entry["Key"])
        s3.delete_bucket(Bucket=name)


def test_it_asks_in_the_workgroup_and_database_and_shows_the_limit(athena: Athena) -> None:
    ran = athena.notebook.run(
        "result = sql('select 1 as one where 7 = :seven and :text like :text', seven=7, text=\"O'x\")"
    )
    assert ran.dicts == [{"one": 1}]
    assert re.fullmatch(r"1 row in \d+\.\d s, .+ read \(limit 100 GB\)\n", ran.printed)
    execution = athena.execution("7 = 7 and 'O''x' like 'O''x'")
    assert execution["WorkGroup"] == athena.workgroup
    assert execution["QueryExecutionContext"] == {"Catalog": "awsdatacatalog", "Database": "default"}


def test_types_are_those_of_trino(athena: Athena) -> None:
    ran = athena.notebook.run("""
        import datetime
        from decimal import Decimal
        result = sql('''
            select cast(null as bigint) as whole, cast(1.5 as decimal(10, 2)) as money, date '2026-03-24' as date,
                timestamp '2026-03-24 01:02:03.5' as naive, cast(null as varchar) as nothing, '' as empty, true as yes,
                cast(0.25 as double) as share
        ''')
        one = result.iloc[0]
        assert (one["money"], one["date"]) == (Decimal("1.50"), datetime.date(2026, 3, 24))
        assert one["naive"] == pd.Timestamp("2026-03-24 01:02:03.5") and one["empty"] == ""
        assert list(result.columns[result.isna().all()]) == ["whole", "nothing"]
    """)
    kinds = ("Int64", "object", "object", "datetime64[us]", "str", "str", "boolean", "float64")
    assert tuple(ran.types.values()) == kinds


def test_results_of_several_pages_are_whole(athena: Athena) -> None:
    ran = athena.notebook.run("result = sql('select range as n from range(2500) order by n')")
    assert [row["n"] for row in ran.dicts] == list(range(2500))


def test_a_wrong_query_keeps_the_engines_message(athena: Athena) -> None:
    failure = athena.notebook.fail("sql('select nothing')")
    assert (failure.kind, failure.cause) == ("QueryError", "OperationalError")
    assert "nothing" in failure.message


def test_more_rows_than_allowed_are_refused(athena: Athena) -> None:
    assert "more than 10 rows" in athena.notebook.fail("sql('select * from range(50)', max_rows=10)").message


def test_a_query_that_takes_too_long_is_stopped(athena: Athena) -> None:
    # It ends by itself, because the local Athena goes on with what was stopped.
    failure = athena.notebook.fail("sql('select count(*) as endless from range(100000000), range(1000)', timeout=1)")
    assert failure.kind == "QueryError" and "stopped after 1 seconds" in failure.message
    assert athena.execution("endless")["Status"]["State"] == "CANCELLED"


def test_an_athena_that_cannot_be_reached_says_so(athena: Athena, python: str) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
        with opened(python, athena.settings | {"AWS_ENDPOINT_URL": url}) as notebook:
            failure = notebook.fail("sql('select 1')")
    assert failure.kind == "UnavailableError" and "Athena cannot be reached: Could not connect" in failure.message


@pytest.mark.parametrize(
    ("state", "reason", "kind", "says"),
    [
        (
            "CANCELLED",
            "Bytes scanned limit was exceeded",
            "ScanLimitError",
            "more than the 100 GB that a query may. Filter by",
        ),
        (
            "FAILED",
            "PERMISSION_DENIED: Access Denied (Service: Amazon S3; Status Code: 403)",
            "AccessError",
            "You may not do all that the query says: PERMISSION_DENIED",
        ),
        (
            "FAILED",
            "COLUMN_NOT_FOUND: line 1:8: Column 'x' cannot be resolved or requester is not authorized to access requested resources",
            "QueryError",
            "COLUMN_NOT_FOUND: line 1:8",
        ),
    ],
)
def test_a_refusal_that_a_stub_of_aws_gives_is_a_sentence(
    athena: Athena, state: str, reason: str, kind: str, says: str
) -> None:
    failure = athena.notebook.fail(f"""
        from botocore.stub import Stubber
        from storewatch import on_athena
        connect = on_athena._connect
        where = {{"QueryExecutionContext": {{"Catalog": "awsdatacatalog", "Database": "default"}}}}
        where["WorkGroup"] = {athena.workgroup!r}
        status = {{"State": {state!r}, "StateChangeReason": {reason!r}}}
        known = {{**where, "QueryExecutionId": "one", "Query": "select 1", "Status": status}}
        def stubbed():
            connection = connect()
            stub = Stubber(connection.client)
            stub.add_response("start_query_execution", {{"QueryExecutionId": "one"}}, {{**where, "QueryString": "select 1"}})
            stub.add_response("get_query_execution", {{"QueryExecution": known}}, {{"QueryExecutionId": "one"}})
            stub.activate()
            return connection
        on_athena._connect = stubbed
        try:
            sql("select 1")
        finally:
            on_athena._connect = connect
    """)
    assert failure.kind == kind and says in failure.message, failure.message
    assert failure.shown == f"{kind}: {failure.message}"  # and none of the driver's log
