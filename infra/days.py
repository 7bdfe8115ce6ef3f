"""Corrects past days with the deployed functions, on AWS and locally.

    python -m infra.days restate es --from 2026-11-01 --to 2026-11-03
    python -m infra.days repair es --from 2025-11-01 --to 2026-10-31

restate judges days again by the current schedules, one day after the other. repair makes the catalog equal to S3.
Both use the account and region of your AWS credentials.
"""

import argparse
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any

from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from infra.errors import DeployError

# The functions may take 600 s. No automatic retry: a second request would restate the day a second time.
_CONFIG = Config(read_timeout=630, retries={"total_max_attempts": 1})


def restate(invoke: Callable[[str, dict[str, Any]], Any], country: str, days: Sequence[date], stores: list[str]) -> int:
    """Judges days again and prints what changed. Goes on after a failed day; returns how many failed."""
    failed = 0
    for day in days:
        event: dict[str, Any] = {"country": country, "day": f"{day}"}
        if stores:
            event["stores"] = stores
        try:
            done = invoke(f"{country}-restate", event)
        except DeployError as error:
            failed += 1
            print(f"{country} {day}: {error}", file=sys.stderr)
            continue
        restated = done["restated"]
        whom = f"{len(stores)} of the stores" if stores else "all stores"
        print(
            f"{country} {day}: {whom} judged again by the schedules of {restated['schedule_as_of']}, IANA {restated['tzdb']}"
        )
        for change, rows in sorted(restated["changes"].items(), key=lambda entry: -entry[1]):
            print(f"    {rows:>11,} rows from {change}")
        if not restated["changes"]:
            print("    no row changed its status")
        print(f"    first judgement: {done['first']['store_availability']}")
    return failed


def repair(invoke: Callable[[str, dict[str, Any]], Any], country: str, first: date, last: date) -> None:
    """Makes the catalog equal to S3, and prints what differed."""
    done = invoke(f"{country}-repair", {"country": country, "from": f"{first}", "to": f"{last}"})
    counts = ", ".join(f"{done[what]:,} {what}" for what in ("created", "updated", "deleted", "unchanged"))
    print(f"{country} {first} to {last}: partitions {counts}")


def invoker(client: Any, prefix: str) -> Callable[[str, dict[str, Any]], Any]:
    """A call that invokes a function of the deployment and returns its answer."""

    def invoke(name: str, event: dict[str, Any]) -> Any:
        try:
            answer = client.invoke(FunctionName=f"{prefix}-{name}", Payload=json.dumps(event))
        except client.exceptions.ResourceNotFoundException:
            raise DeployError(f"there is no function {prefix}-{name}: deploy the country first") from None
        body = json.loads(answer["Payload"].read())
        if answer.get("FunctionError"):
            raise DeployError(f"{body.get('errorType')}: {body.get('errorMessage')}")
        return body

    return invoke


def _days(first: date, last: date) -> Iterator[date]:
    return (first + timedelta(days=number) for number in range((last - first).days + 1))


def main(argv: Sequence[str]) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m infra.days", description=__doc__.partition("\n")[0])
    parser.add_argument("action", choices=["restate", "repair"])
    parser.add_argument("country", help="country code, such as es")
    parser.add_argument("--from", dest="first", type=date.fromisoformat, required=True, help="first UTC day")
    parser.add_argument("--to", dest="last", type=date.fromisoformat, help="last UTC day (default: the first)")
    parser.add_argument("--stores", default="", help="ids of stores, separated by commas (default: all)")
    parser.add_argument("--prefix", default="storewatch", help="prefix of all names (%(default)s)")
    args = parser.parse_args(argv)
    last, stores = args.last or args.first, [store for store in args.stores.split(",") if store]
    if last < args.first:
        parser.error(f"--to {last} is before --from {args.first}")
    if args.action == "repair" and stores:
        parser.error("--stores only works with restate")
    if args.action == "restate" and last >= datetime.now(UTC).date():
        print(f"{last} is not over: its later ticks stay hidden until the next day", file=sys.stderr)
    try:
        import boto3

        invoke = invoker(boto3.session.Session().client("lambda", config=_CONFIG), args.prefix)
        if args.action == "repair":
            repair(invoke, args.country, args.first, last)
            return 0
        return 1 if restate(invoke, args.country, list(_days(args.first, last)), stores) else 0
    except (DeployError, ClientError, BotoCoreError) as error:
        print(f"{args.action}: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
