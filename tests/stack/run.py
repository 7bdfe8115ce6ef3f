"""From a fresh clone to a ticked slot: servers, build, sample, deployment, one cold and one warm tick, the result."""

import argparse
from datetime import UTC, datetime
from pathlib import Path

from sample.command import start_following
from sample.countries import COUNTRIES
from sample.load import load, refresh
from sample.places import parameters_file, read_parameters
from stack import report, tick
from stack.build import up_and_build
from stack.config import Stack
from stack.console import elapsed, say
from stack.deploy_local import deploy, read_secrets
from stack.prefix import DEFAULT_PREFIX


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What can be told apart from run to run."""
    parser.add_argument(
        "--stores", type=int, default=10_000, help="sample stores of all countries (default: %(default)s)"
    )
    parser.add_argument("--countries", default="es,mx,pt", help="codes of country files (default: %(default)s)")
    parser.add_argument(
        "--secrets", type=Path, metavar="FILE", help="JSON of secrets for sources that are not the sample's"
    )


def main(args: argparse.Namespace) -> int:
    """Does it all; 1 when a tick failed, or a country has stores and none could be judged."""
    countries = args.countries.split(",")
    secrets = read_secrets(args.secrets)
    print(
        "Starts PostgreSQL, Elasticsearch and a local AWS on this machine while the functions compile, loads "
        f"{args.stores:,} sample stores,\ndeploys infra/ to the local AWS, runs one tick through the state machines and "
        "shows what it wrote. All of it is under .stack/ and target/.",
        flush=True,
    )
    stack = up_and_build()
    _sample(stack, args.stores, [country for country in countries if country in COUNTRIES])
    deploy(stack, countries=countries, secrets=secrets)
    cold = tick.run(stack, prefix=DEFAULT_PREFIX)
    if tick.show(cold):
        return 1
    # The same slot and all of its work once more, now that nothing has to start.
    warm = tick.run(stack, prefix=DEFAULT_PREFIX, slot=cold.slot, afresh=True)
    if tick.show(warm):
        return 1
    print()
    report.show(stack, DEFAULT_PREFIX, warm.slot)
    print(
        f"\nthe first tick took {cold.seconds:.2f} s (functions start in it, unless they run already), and a warm one over "
        f"all stores {warm.seconds:.2f} s; all of this took {elapsed():.0f} s"
    )
    return 0


def _sample(stack: Stack, count: int, countries: list[str]) -> None:
    """Loads the sample, or only its live view when the same stores are there already; then keeps the view current."""
    if not countries:
        return
    today = datetime.now(UTC).date()
    known = read_parameters(stack) if parameters_file(stack, None).exists() else {}
    loaded = [known[country] for country in countries if country in known]
    # Each country's share is rounded; holidays are made for the weeks around a day.
    if len(loaded) == len(countries) and sum(entry.stores for entry in loaded) == count and loaded[0].today == today:
        say("sample", f"{count:,} stores are there already: bringing their live view up to date")
        refresh(stack)
    else:
        load(stack, count=count, countries=countries)
    start_following(stack)
