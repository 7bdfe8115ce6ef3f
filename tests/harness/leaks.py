"""Searches everything that a deployment wrote for secrets: logs, executions, objects, printed output."""

import base64
import io
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pyarrow as pa
from pyarrow import parquet

from tests.harness.deployment import Deployed


def forms(username: str, secret: str) -> set[bytes]:
    """The forms in which a secret may be written: plain, escaped, for basic authentication, or inside base64."""
    pair = base64.b64encode(f"{username}:{secret}".encode()).decode()
    found = {secret, quote(secret, safe=""), json.dumps(secret)[1:-1], pair}
    for offset in range(3):
        # These characters depend on the secret alone, wherever it starts in the encoded text.
        encoded = base64.b64encode(b"\0" * offset + secret.encode()).decode()
        found.add(encoded[(offset * 8 + 5) // 6 : len(secret.encode()) * 8 // 6])
    return {form.encode() for form in found}


@dataclass(frozen=True)
class Search:
    """How many places were searched, and which of them hold a secret. Never contains the secret."""

    searched: int
    places: list[str]


def find(deployed: Deployed, secrets: Iterable[set[bytes]], files: Iterable[Path], printed: str = "") -> Search:
    """Searches every place for all of these forms."""
    wanted: set[bytes] = set().union(*secrets)
    places: list[str] = []
    searched = 0
    for place, content in written(deployed, files, printed):
        searched += 1
        if any(form in content for form in wanted):
            places.append(place)
    return Search(searched, places)


def written(deployed: Deployed, files: Iterable[Path], printed: str = "") -> Iterator[tuple[str, bytes]]:
    """Every place and its content, unpacked."""
    yield "what was printed", printed.encode()
    for file in files:
        yield str(file.name), file.read_bytes()
    yield from _logs(deployed)
    yield from _executions(deployed)
    yield from _objects(deployed)


def _logs(deployed: Deployed) -> Iterator[tuple[str, bytes]]:
    logs = deployed.stack.aws.client("logs")
    for page in logs.get_paginator("describe_log_groups").paginate(
        logGroupNamePrefix=f"/aws/lambda/{deployed.prefix}-"
    ):
        for group in page["logGroups"]:
            name = group["logGroupName"]
            for events in logs.get_paginator("filter_log_events").paginate(logGroupName=name):
                yield f"log {name}", "\n".join(event["message"] for event in events["events"]).encode()


def _executions(deployed: Deployed) -> Iterator[tuple[str, bytes]]:
    step_functions = deployed.step_functions
    for machines in step_functions.get_paginator("list_state_machines").paginate():
        for machine in machines["stateMachines"]:
            if not machine["name"].startswith(f"{deployed.prefix}-"):
                continue
            arn = machine["stateMachineArn"]
            for page in step_functions.get_paginator("list_executions").paginate(stateMachineArn=arn):
                for execution in page["executions"]:
                    name = execution["executionArn"]
                    told: list[Any] = [step_functions.describe_execution(executionArn=name)]
                    told += step_functions.get_paginator("get_execution_history").paginate(executionArn=name)
                    yield f"execution {name}", json.dumps(told, default=str).encode()


def _objects(deployed: Deployed) -> Iterator[tuple[str, bytes]]:
    for entry in deployed.objects():
        body = deployed.body(entry.key)
        yield f"object {entry.key}", body + (_texts(body) if entry.key.endswith(".parquet") else b"")


def _texts(body: bytes) -> bytes:
    """All texts in a Parquet file, where they are compressed."""
    table = parquet.ParquetFile(io.BytesIO(body)).read()
    columns = [
        column for column in table.columns if pa.types.is_string(column.type) or pa.types.is_large_string(column.type)
    ]
    return json.dumps([column.to_pylist() for column in columns], ensure_ascii=False).encode()
