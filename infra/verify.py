"""Verifies a deployment: a tick, the alarms, the rights, and on AWS every view as an analyst.

    python -m infra.verify --views

Runs one tick of the current slot, which a slot survives unchanged if it was complete. Ends with 1 if something is wrong.
Uses the account and region of your AWS credentials, which must be allowed to take on the analysts' role.
"""

import argparse
import json
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from infra import last_ticks, stacks
from infra.buckets import Place
from infra.errors import DeployError
from infra.vocabulary import SLOT_SECONDS
from infra.zones import Lake

Client = Callable[[str], Any]
VIEWS = sorted(file.stem for file in (Path(__file__).parent / "views").glob("*.sql"))
# What a tick may take, and a query of no rows.
_TICK_SECONDS, _QUERY_SECONDS = 900, 120


def tick(client: Client, prefix: str) -> list[str]:
    """Runs the current slot, and reads each country's row back."""
    machine = _outputs(client, f"{prefix}-lake")["TickMachine"]
    now = datetime.now(UTC)
    slot = datetime.fromtimestamp(now.timestamp() // SLOT_SECONDS * SLOT_SECONDS, UTC)
    steps = client("stepfunctions")
    name = f"verify-{slot:%Y%m%dT%H%MZ}-{uuid.uuid4().hex[:8]}"
    event = json.dumps({"source": "storewatch.verify", "time": f"{slot:%Y-%m-%dT%H:%M:%SZ}"})
    run = steps.start_execution(stateMachineArn=machine, name=name, input=event)["executionArn"]
    ended = _wait(lambda: steps.describe_execution(executionArn=run), "RUNNING", lambda e: e["status"], _TICK_SECONDS)
    problems = [] if ended["status"] == "SUCCEEDED" else [f"the execution {run} ended as {ended['status']}"]
    lake = Lake.of(client, prefix)
    for country in lake.countries():
        found = last_ticks.find(lake, country, now)
        if found is None or found.slot < slot:
            problems.append(f"{country} has no row in country_ticks for the slot {slot:%Y-%m-%d %H:%M}Z")
        elif found.outcome != "complete":
            problems.append(f"{country} ended as {found.outcome}: {found.error}")
        waiting = lake.s3.list_objects_v2(Bucket=lake.bucket, Prefix=f"pending/country={country}/")
        if waiting["KeyCount"]:
            function = f"{prefix}-{country}-register"
            problems.append(
                f"{country}: {waiting['KeyCount']} ticks wait for the catalog; the log of {function} says why"
            )
    return problems


def alarms(client: Client, prefix: str) -> list[str]:
    """The alarms that are raised."""
    pages = client("cloudwatch").get_paginator("describe_alarms").paginate(AlarmNamePrefix=f"{prefix}-")
    found = [alarm for page in pages for alarm in page["MetricAlarms"]]
    if not found:
        return [f"there is no alarm whose name begins with {prefix}-: deploy the lake again"]
    return [f"{alarm['AlarmName']} is raised" for alarm in found if alarm["StateValue"] == "ALARM"]


def rights(client: Client, prefix: str) -> list[str]:
    """What IAM says that roles may do, where it is not what they should."""
    iam, problems = client("iam"), []
    for role, action, resource, wanted in _rights(client, prefix):
        answer = iam.simulate_principal_policy(PolicySourceArn=role, ActionNames=[action], ResourceArns=[resource])[
            "EvaluationResults"
        ][0]["EvalDecision"]
        if (answer == "allowed") != wanted:
            problems.append(
                f"{role}: {action} on {resource} is {answer}, but should {'' if wanted else 'not '}be allowed"
            )
    return problems


def _rights(client: Client, prefix: str) -> Iterator[tuple[str, str, str, bool]]:
    """Role, action, resource, and whether it is right: a country's functions, analysts, the admin, each with a border."""
    # In another account than the lake's there are no analysts.
    lake, analytics = Lake.of(client, prefix), stacks.outputs(client("cloudformation"), f"{prefix}-analytics")
    bucket = f"arn:{Place.of(client).partition}:s3:::{lake.bucket}"
    deployed = lake.countries()
    admin = _outputs(client, f"{prefix}-lake")["AdminRole"]
    for country in deployed:
        function = client("lambda").get_function_configuration(FunctionName=f"{prefix}-{country}-observe")
        for other in deployed:
            for action, folder in (("s3:GetObject", "schedules"), ("s3:PutObject", "staging")):
                yield function["Role"], action, f"{bucket}/{folder}/country={other}/x", other == country
        file = f"{bucket}/store_availability/country={country}/day=2026-01-01/x.parquet"
        yield function["Role"], "s3:PutObject", file, False
        yield admin, "s3:GetObject", file, False
        yield admin, "s3:GetObject", f"{bucket}/country_ticks/country={country}/day=2026-01-01/x.parquet", True
        if analytics:
            readable = analytics["AnalystCountries"].split(",")
            yield analytics["AnalystsRole"], "s3:GetObject", file, country in readable
            yield analytics["AnalystsRole"], "s3:PutObject", file, False


def views(client: Client, prefix: str) -> list[str]:
    """The views that Athena refuses to an analyst. Asks each for no rows, so that almost nothing is scanned."""
    import boto3

    lake = _outputs(client, f"{prefix}-lake")
    if lake["LakeAccount"] != Place.of(client).account:
        return []  # They are in the lake's account.
    made, database = _outputs(client, f"{prefix}-analytics"), lake["Database"]
    given = client("sts").assume_role(RoleArn=made["AnalystsRole"], RoleSessionName="verify")["Credentials"]
    region = client("sts").meta.region_name
    analyst = boto3.Session(given["AccessKeyId"], given["SecretAccessKey"], given["SessionToken"], region_name=region)
    return refused(analyst.client("athena"), made["AnalystsWorkgroup"], database, VIEWS)


def refused(athena: Any, workgroup: str, database: str, names: Sequence[str]) -> list[str]:
    """The views of which a query fails, each with Athena's reason."""
    problems = []
    for name in names:
        query = athena.start_query_execution(
            QueryString=f'select * from "{name}" limit 0',
            QueryExecutionContext={"Database": database},
            WorkGroup=workgroup,
        )["QueryExecutionId"]
        status = _query_end(athena, query)
        if status["State"] != "SUCCEEDED":
            problems.append(f"{name}: {status['State']}: {status.get('StateChangeReason', 'Athena gives no reason')}")
    return problems


def _query_end(athena: Any, query: str) -> dict[str, Any]:
    def ask() -> dict[str, Any]:
        return athena.get_query_execution(QueryExecutionId=query)["QueryExecution"]["Status"]

    return _wait(ask, ("QUEUED", "RUNNING"), lambda status: status["State"], _QUERY_SECONDS)


def _wait(ask: Callable[[], Any], running: str | tuple[str, ...], state: Callable[[Any], str], seconds: float) -> Any:
    """Asks once a second until the state is not a running one any more."""
    deadline = time.monotonic() + seconds
    while state(answer := ask()) in ((running,) if isinstance(running, str) else running):
        if time.monotonic() > deadline:
            raise DeployError(f"still {state(answer)} after {seconds:.0f} s")
        time.sleep(1)
    return answer


def _outputs(client: Client, name: str) -> dict[str, str]:
    made = stacks.outputs(client("cloudformation"), name)
    if made is None:
        raise DeployError(f"there is no stack {name}: deploy it first")
    return made


def verify(client: Client, prefix: str, *, with_views: bool) -> bool:
    """Runs every check and prints what is wrong. Whether nothing is."""
    checks = {"tick": tick, "alarms": alarms, "rights": rights, **({"views": views} if with_views else {})}
    good = True
    for name, check in checks.items():
        problems = check(client, prefix)
        print(f"{name}: {'wrong' if problems else 'fine'}", *problems, sep="\n    ", flush=True)
        good &= not problems
    if not with_views:
        print("views: not checked, because the local Athena reads none; make query asks them through Trino")
    return good


def main(argv: Sequence[str]) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m infra.verify", description=__doc__.partition("\n")[0])
    parser.add_argument("--prefix", default="storewatch", help="prefix of all names (%(default)s)")
    parser.add_argument("--views", action="store_true", help="ask every view as an analyst, in Athena")
    args = parser.parse_args(argv)
    try:
        import boto3

        return 0 if verify(boto3.session.Session().client, args.prefix, with_views=args.views) else 1
    except (DeployError, ClientError, BotoCoreError) as error:
        print(f"verify: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
