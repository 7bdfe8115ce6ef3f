"""A deployment as tests see it: functions, state machines, tables and files, by the names in the contract."""

import io
import json
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any

import pyarrow as pa
from botocore.config import Config
from pyarrow import parquet

from infra import stacks
from infra.local import slots
from infra.local.config import Stack
from infra.local.errors import StackError
from infra.vocabulary import TICKED_TABLES

# The tables that ticks write. store_schedules exists once its day is compacted.
TABLES = TICKED_TABLES
SCHEDULES = "store_schedules"
_TIMEOUT_SECONDS = 180
# The longest time of a function on AWS. A client that gives up earlier invokes it a second time in parallel.
_LONGEST_SECONDS = 900
_POLL_SECONDS = 0.1


@dataclass(frozen=True)
class StoredFile:
    """An object of the lake."""

    key: str
    etag: str
    modified: datetime


@dataclass(frozen=True)
class Answer:
    """The result of an invocation: a payload, or an error's type and message."""

    payload: Any
    is_error: bool

    @property
    def error_type(self) -> str:
        """The stable name of the error."""
        return self.payload["errorType"] if self.is_error else ""

    @property
    def message(self) -> str:
        """The message for people."""
        return self.payload["errorMessage"] if self.is_error else ""


@dataclass
class Deployed:
    """A deployment on the local stack."""

    stack: Stack
    prefix: str
    database: str
    namespace: str
    bucket: str

    @cached_property
    def s3(self) -> Any:
        """S3 as root."""
        return self.stack.aws.client("s3")

    @cached_property
    def glue(self) -> Any:
        """The catalog as root."""
        return self.stack.aws.client("glue")

    @cached_property
    def step_functions(self) -> Any:
        """Step Functions as root."""
        return self.stack.aws.client("stepfunctions")

    @cached_property
    def version(self) -> str:
        """The deployed version, as its stacks state it."""
        found = stacks.parameters(self.stack.aws.client("cloudformation"), f"{self.prefix}-lake")
        return found[f"{self.prefix}-lake"]["Version"]

    def partitions(self, table: str, country: str) -> list[dict[str, Any]]:
        """A country's partitions in the catalog."""
        pages = self.glue.get_paginator("get_partitions").paginate(DatabaseName=self.database, TableName=table)
        return [found for page in pages for found in page["Partitions"] if found["Values"][0] == country]

    def objects(self, prefix: str = "") -> list[StoredFile]:
        """Everything in the lake under a prefix."""
        pages = self.s3.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=prefix)
        return [
            StoredFile(entry["Key"], entry["ETag"], entry["LastModified"])
            for page in pages
            for entry in page.get("Contents", [])
        ]

    def country_objects(self, country: str) -> list[StoredFile]:
        """All objects that ticks wrote for a country."""
        return [entry for entry in self.objects() if f"/country={country}/" in entry.key]

    def body(self, key: str) -> bytes:
        """The bytes of one object."""
        return self.s3.get_object(Bucket=self.bucket, Key=key)["Body"].read()

    def table(self, table: str, country: str, slot: datetime) -> pa.Table:
        """A country's only file of a slot, found as a query engine does: at the location of the day's partition."""
        day = f"{slot:%Y-%m-%d}"
        found = [one for one in self.partitions(table, country) if one["Values"] == [country, day]]
        assert len(found) == 1, f"{table} has {len(found)} partitions of {country} {day}"
        bucket, _, prefix = found[0]["StorageDescriptor"]["Location"].removeprefix("s3://").partition("/")
        assert bucket == self.bucket
        keys = [entry.key for entry in self.objects(prefix) if slots.in_key(entry.key) == slot]
        assert len(keys) == 1, f"{table} of {country} {slots.iso(slot)} has the files {keys}"
        return parquet.ParquetFile(io.BytesIO(self.body(keys[0]))).read()

    def invoke(self, function: str, event: Any) -> Answer:
        """Invokes a deployed function, `es-plan` or `dispatch`, directly."""
        lambdas = self.stack.aws.client("lambda", config=Config(read_timeout=_LONGEST_SECONDS))
        answer = lambdas.invoke(FunctionName=f"{self.prefix}-{function}", Payload=json.dumps(event).encode())
        return Answer(json.loads(answer["Payload"].read()), "FunctionError" in answer)

    def machine(self, name: str) -> str:
        """The ARN of `tick` or `country-es`."""
        for page in self.step_functions.get_paginator("list_state_machines").paginate():
            for machine in page["stateMachines"]:
                if machine["name"] == f"{self.prefix}-{name}":
                    return machine["stateMachineArn"]
        raise AssertionError(f"there is no state machine {self.prefix}-{name}")

    def definition(self, name: str) -> dict[str, Any]:
        """A deployed state machine's definition."""
        return json.loads(self.step_functions.describe_state_machine(stateMachineArn=self.machine(name))["definition"])

    def run_machine(self, name: str, event: Mapping[str, Any]) -> dict[str, Any]:
        """Runs a state machine under a new execution name, and waits until it has ended."""
        return self.end_of(self.start_machine(name, event))

    def start_machine(self, name: str, event: Mapping[str, Any]) -> str:
        """Starts a state machine under a new execution name. Returns the execution's ARN."""
        return self.step_functions.start_execution(
            stateMachineArn=self.machine(name), name=f"again-{uuid.uuid4().hex[:12]}", input=json.dumps(event)
        )["executionArn"]

    def end_of(self, execution: str, *, seconds: float = _TIMEOUT_SECONDS) -> dict[str, Any]:
        """Waits until an execution has ended, and returns its description."""
        deadline = time.monotonic() + seconds
        while (found := self.step_functions.describe_execution(executionArn=execution))["status"] == "RUNNING":
            if time.monotonic() > deadline:
                raise StackError(f"{execution} is still running after {seconds} s")
            time.sleep(_POLL_SECONDS)
        return found

    def logged(self, function: str) -> list[dict[str, Any]]:
        """The JSON lines that a function logged."""
        logs = self.stack.aws.client("logs")
        pages = logs.get_paginator("filter_log_events").paginate(logGroupName=f"/aws/lambda/{self.prefix}-{function}")
        lines = [event["message"].strip() for page in pages for event in page["events"]]
        return [json.loads(line) for line in lines if line.startswith("{")]

    def metric(self, name: str, country: str, since: datetime, until: datetime) -> list[float]:
        """The values of a country's metric: one sum per minute that has any."""
        answer = self.stack.aws.client("cloudwatch").get_metric_statistics(
            Namespace=self.namespace,
            MetricName=name,
            Dimensions=[{"Name": "Country", "Value": country}],
            StartTime=since,
            EndTime=until,
            Period=60,
            Statistics=["Sum"],
        )
        return [point["Sum"] for point in answer["Datapoints"]]
