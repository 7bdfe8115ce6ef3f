"""Prints the deployed functions' logs from the local CloudWatch Logs, in order of time."""

import argparse
import time
from typing import Any

from infra.local.config import Stack
from infra.local.errors import StackError
from infra.local.prefix import add_prefix_argument

# Lines that the platform writes around each invocation, hidden unless asked for.
_PLATFORM = ("START RequestId:", "END RequestId:", "REPORT RequestId:")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options: which functions, and how far back."""
    add_prefix_argument(parser)
    parser.add_argument("function", nargs="?", help="a function, such as plan or dispatch (default: all)")
    parser.add_argument("--country", help="only this country")
    parser.add_argument("--minutes", type=float, default=15, help="how far back (default: %(default)s)")
    parser.add_argument("--platform", action="store_true", help="also START, END and REPORT lines")


def main(args: argparse.Namespace) -> int:
    """Prints the lines, the oldest first."""
    logs = Stack.load().aws.client("logs")
    begin = f"/aws/lambda/{args.prefix}-"
    groups = [
        group["logGroupName"]
        for page in logs.get_paginator("describe_log_groups").paginate(logGroupNamePrefix=begin)
        for group in page["logGroups"]
        if _wanted(group["logGroupName"].removeprefix(begin), args)
    ]
    if not groups:
        what = " ".join(filter(None, ["function", args.function, args.country and f"of {args.country}"]))
        raise StackError(f"no logs of any {what} under {begin}*: deploy first, or see `stack logs --help`")
    since = int((time.time() - 60 * args.minutes) * 1000)
    events = sorted(
        (event["timestamp"], number, group.removeprefix("/aws/lambda/"), event["message"].rstrip())
        for group in groups
        for number, event in enumerate(_events(logs, group, since))
        if args.platform or not event["message"].startswith(_PLATFORM)
    )
    for timestamp, _, function, message in events:
        clock = time.strftime("%H:%M:%S", time.gmtime(timestamp / 1000))
        print(f"{clock} {function}: {message}")
    if not events:
        print(f"nothing was logged in the last {args.minutes:g} minutes")
    return 0


def _wanted(name: str, args: argparse.Namespace) -> bool:
    """Whether the arguments ask for a function: `es-plan` is a country's, `dispatch` serves all countries."""
    country, _, function = name.rpartition("-")
    return args.function in (None, function) and args.country in (None, country)


def _events(logs: Any, group: str, since: int) -> list[dict[str, Any]]:
    pages = logs.get_paginator("filter_log_events").paginate(logGroupName=group, startTime=since)
    return [event for page in pages for event in page["events"]]
