"""Takes a fresh clone to a ticked slot: servers, build, sample, deployment, a cold and a warm tick, the result."""

import argparse
from datetime import UTC, datetime
from pathlib import Path

from infra.local.commands import report, tick
from infra.local.commands.build import up_and_build
from infra.local.commands.deploy import deploy, read_secrets
from infra.local.commands.sample import start_following
from infra.local.config import Stack
from infra.local.console import elapsed, say
from infra.local.prefix import DEFAULT_PREFIX
from infra.local.sample.countries import COUNTRIES
from infra.local.sample.load import load, refresh
from infra.local.sample.places import parameters_file, read_parameters, read_places


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options in which runs differ."""
    parser.add_argument(
        "--stores", type=int, default=10_000, help="number of sample stores, over all countries (default: %(default)s)"
    )
    parser.add_argument("--countries", default="es,mx,pt", help="country codes (default: %(default)s)")
    parser.add_argument(
        "--secrets", type=Path, metavar="FILE", help="JSON file of secrets, for sources other than the sample"
    )


def main(args: argparse.Namespace) -> int:
    """Does everything; 1 if a tick failed, or if none of a country's stores could be judged."""
    countries = args.countries.split(",")
    secrets = read_secrets(args.secrets)
    print(
        "Starts PostgreSQL, Elasticsearch and a local AWS on this machine while the functions compile, loads "
        f"{args.stores:,} sample stores,\ndeploys infra/ to the local AWS, runs one tick through the state machines and "
        "shows what it wrote. Everything is under .stack/ and target/.",
        flush=True,
    )
    stack = up_and_build()
    _sample(stack, args.stores, [country for country in countries if country in COUNTRIES])
    deploy(stack, countries=countries, secrets=secrets)
    cold = tick.run(stack, prefix=DEFAULT_PREFIX)
    if tick.show(cold):
        return 1
    # The same slot again, to time it now that nothing has to start.
    warm = tick.run(stack, prefix=DEFAULT_PREFIX, slot=cold.slot, afresh=True)
    if tick.show(warm):
        return 1
    print()
    report.show(stack, DEFAULT_PREFIX, warm.slot)
    print(
        f"\nthe first tick took {cold.seconds:.2f} s (it starts functions that do not run yet), a warm one over "
        f"all stores {warm.seconds:.2f} s; everything took {elapsed():.0f} s"
    )
    return 0


def _sample(stack: Stack, count: int, countries: list[str]) -> None:
    """Loads the sample, or only its live view if the same stores are loaded. Then keeps the live view current."""
    if not countries:
        return
    today = datetime.now(UTC).date()
    known = read_parameters(stack) if parameters_file(stack, None).exists() else {}
    loaded = [known[country] for country in countries if country in known]
    # Each country's share is rounded. Holidays only exist for the weeks around one day.
    is_same = len(loaded) == len(countries) and sum(one.stores for one in loaded) == count and loaded[0].today == today
    # Earlier releases made no login for the workbench.
    if is_same and all(place.workbench_password for place in read_places(stack).values()):
        say("sample", f"{count:,} stores are loaded already: updating their live view")
        refresh(stack)
    else:
        load(stack, count=count, countries=countries)
    start_following(stack)
