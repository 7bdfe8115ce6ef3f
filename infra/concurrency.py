"""Compares how many functions the account may run at once with what the countries need.

A new account may start with 10 (docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html). What is beyond the limit
is throttled: ticks get slower first, then partial.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from infra import stacks
from infra.country_file import CountryFile

# plan's own places, if places are reserved: the rule's tick, and one that is run by hand.
PLAN_PLACES = 2
# Beside the chunks of its tick, a country compacts a day.
_BESIDE = 1
# Lambda keeps at least so many unreserved: docs.aws.amazon.com/lambda/latest/dg/configuration-concurrency.html.
_NEVER_RESERVED = 100


def warnings(client: Callable[[str], Any], prefix: str, files: Sequence[CountryFile], reserve: str | None) -> list[str]:
    """What does not fit once the files are deployed. `reserve` is the parameter that is given, if it is."""
    before = stacks.parameters(client("cloudformation"), f"{prefix}-country-")
    wanted = {name: dict(values) for name, values in before.items()}
    for file in files:
        changes = {"Concurrency": str(file.concurrency), **({"ReserveConcurrency": reserve} if reserve else {})}
        wanted.setdefault(f"{prefix}-country-{file.country}", {}).update(changes)
    limit = client("lambda").get_account_settings()["AccountLimit"]
    needed = 1 + sum(_chunks(values) + _BESIDE for values in wanted.values())
    # What other software of the account has not reserved.
    free = limit["UnreservedConcurrentExecutions"] + _reserved(before)
    problems = []
    if needed > free:
        problems.append(
            f"{len(wanted)} countries run up to {needed} functions at once, but Lambda has {free} of this account's "
            f"{limit['ConcurrentExecutions']} for them: ticks will be slow or partial"
        )
    if _reserved(wanted) > max(_reserved(before), free - _NEVER_RESERVED):
        problems.append(
            f"ReserveConcurrency=true reserves {_reserved(wanted)}, but Lambda keeps {_NEVER_RESERVED} of the {free} "
            "unreserved, so that CloudFormation will fail"
        )
    return problems


def what_to_do(region: str) -> str:
    """Where the limit is raised."""
    return (
        "ask for more of the quota `Concurrent executions` (L-B99A9384) of AWS Lambda in Service Quotas, region "
        f"{region}, or lower `concurrency` in the country files"
    )


def _chunks(values: Mapping[str, str]) -> int:
    """How many chunks a country observes at once. A stack of an earlier release does not say; the default is 4."""
    return int(values.get("Concurrency", "4"))


def _reserved(wanted: Mapping[str, Mapping[str, str]]) -> int:
    reserving = [values for values in wanted.values() if values.get("ReserveConcurrency") == "true"]
    return sum(_chunks(values) + PLAN_PLACES for values in reserving)
