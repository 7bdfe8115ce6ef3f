"""Queries on Athena, in the workgroup whose settings hold for whatever a client asks."""

import logging
import time
from contextlib import suppress
from functools import cache
from typing import Any

import boto3
import pyathena
from botocore.exceptions import BotoCoreError, ClientError

from . import access
from .answer import CATALOG, Answer, fetch, scan_limit_error, too_long
from .errors import AccessError, QueryError, StorewatchError, UnavailableError

_PAGE = 1000
# It logs whole tracebacks, which notebooks would show beside the message.
logging.getLogger("pyathena").addHandler(logging.NullHandler())
_REFUSALS = ("Access Denied", "AccessDenied", "is not authorized to perform")


def run(statement: str, max_rows: int, timeout: float) -> Answer:
    """Runs one statement to its end."""
    deadline = time.monotonic() + timeout

    def look_at_clock(_: object) -> None:
        if time.monotonic() > deadline:
            cursor.cancel()
            raise too_long(timeout)

    try:
        # PyAthena stops the query in Athena if it is interrupted.
        with _connect() as connection, connection.cursor(on_poll=look_at_clock) as cursor:
            cursor.execute(statement)
            rows = fetch(cursor, _PAGE, max_rows)
            described = cursor.description or []
            seconds = (cursor.total_execution_time_in_millis or 0) / 1000
            read = cursor.data_scanned_in_bytes or 0
            return Answer([c[0] for c in described], [c[1] for c in described], rows, seconds, read, _limit())
    except (pyathena.error.Error, BotoCoreError, ClientError) as error:
        raise _explained(error) from error


def _connect() -> Any:
    return pyathena.connect(
        work_group=access.setting("STOREWATCH_WORKGROUP"),
        region_name=access.setting("AWS_REGION"),
        catalog_name=CATALOG,
        schema_name=access.setting("STOREWATCH_DATABASE"),
    )


def _limit() -> int | None:
    with suppress(BotoCoreError, ClientError):
        return _limit_of(access.setting("STOREWATCH_WORKGROUP"))
    return None


@cache
def _limit_of(workgroup: str) -> int | None:
    """The workgroup's limit, asked once."""
    client = boto3.client("athena", region_name=access.setting("AWS_REGION"))
    found = client.get_work_group(WorkGroup=workgroup)["WorkGroup"]
    return found.get("Configuration", {}).get("BytesScannedCutoffPerQuery")


def _explained(error: Exception) -> StorewatchError:
    message = str(error)
    # https://docs.aws.amazon.com/athena/latest/ug/workgroups-setting-control-limits-cloudwatch.html
    if "Bytes scanned limit was exceeded" in message:
        return scan_limit_error(_limit())
    if any(refusal in message for refusal in _REFUSALS):
        return AccessError(f"You may not do all that the query says: {message}")
    if isinstance(error, BotoCoreError) or isinstance(error.__cause__, BotoCoreError):
        return UnavailableError(f"Athena cannot be reached: {message}. Try again, or ask an administrator.")
    return QueryError(message)
