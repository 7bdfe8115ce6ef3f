"""`make soak`: a day of ticks of three countries in minutes, with seeded faults, then an audit of what it wrote."""

import argparse
import random
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from statistics import median
from typing import Any, TextIO

from infra.local import cli
from infra.local.commands.up import up
from infra.local.console import say, table
from infra.local.errors import StackError
from tests.harness import leaks
from tests.soak.audit import Audit
from tests.soak.disturbances import USUAL
from tests.soak.soaked import STORES, Soaked, soaked

_SLOTS = 96
# How many findings are printed. The rest are only counted.
_SHOWN = 30


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options: how long, and which faults."""
    parser.add_argument("--seed", type=int, help="seed of the faults and changes (default: random, and printed)")
    parser.add_argument(
        "--slots", type=int, default=_SLOTS, help="how many slots of the day, from the first on (default: %(default)s)"
    )
    parser.add_argument("--stores", type=int, default=STORES, help="stores in all countries (default: %(default)s)")


def main(args: argparse.Namespace) -> int:
    """Soaks; 1 if something is lost or wrong."""
    started = time.monotonic()
    seed = args.seed if args.seed is not None else random.randrange(1_000_000)
    if not 1 <= args.slots <= _SLOTS:
        raise StackError(f"--slots {args.slots}: a day has {_SLOTS}")
    with _heard() as heard, soaked(up(), seed=seed, slots=args.slots, stores=args.stores) as done:
        say("soak", "the day is over: reading back what it wrote")
        audit = done.audit()
        search = done.search(heard.text)
        _tell(done, audit, search, time.monotonic() - started)
    for place in search.places:
        print(f"wrong: {place} holds a secret")
    for what, findings in (("lost", audit.lost), ("wrong", audit.wrong)):
        for finding in findings[:_SHOWN]:
            print(f"{what}: {finding}")
        if len(findings) > _SHOWN:
            print(f"{what}: and {len(findings) - _SHOWN} more")
    lost, wrong = len(audit.lost), len(audit.wrong) + len(search.places)
    if lost or wrong:
        print(f"to repeat these faults: make soak SEED={seed} SLOTS={args.slots}")
    print(f"{lost} lost, {wrong} wrong")
    return 1 if lost or wrong else 0


def _tell(done: Soaked, audit: Audit, search: leaks.Search, seconds: float) -> None:
    day, plans, injected = done.day, done.plans, done.servers.loop.injected
    undisturbed = sum(ran.is_undisturbed for ran in day.ran.values())
    deliveries = Counter(planned.delivery for planned in plans if planned.delivery != USUAL)
    rows = [
        ["ticks run", f"{day.ticks:,}", f"of {len(plans)} slots; " + _listed(deliveries)],
        ["country ticks run", f"{day.country_ticks:,}", f"of {len(day.ran)}; {undisturbed} of those undisturbed"],
        ["they ended as", f"{sum(audit.outcomes.values()):,}", _listed(audit.outcomes)],
        ["an undisturbed tick", f"{median(day.undisturbed_seconds or [0]):.1f} s", "the median, of three countries"],
        [
            "changes of schedules",
            f"{done.world.changes:,}",
            "stores added, removed, closed for the day, moved to another zone",
        ],
        ["faults injected", f"{injected.total():,}", ""],
        *([f"  {kind}", f"{number:,}", ""] for kind, number in sorted(injected.items())),
        ["rows checked", f"{audit.rows:,}", _listed(audit.statuses)],
        ["unknown", f"{audit.statuses['unknown']:,}", _listed(audit.unknown)],
        [
            "secrets found",
            f"{len(search.places):,}",
            f"in {search.searched:,} logs, executions, objects and this output",
        ],
        ["took", f"{seconds:,.0f} s", ""],
    ]
    print(table(["", "number", ""], rows))


def _listed(numbers: Counter[str]) -> str:
    return ", ".join(f"{number:,} {name}" for name, number in sorted(numbers.items())) or "none otherwise"


class _Heard:
    """Passes printed text on, and keeps it."""

    def __init__(self) -> None:
        self.text = ""

    def on(self, stream: TextIO) -> TextIO:
        """A stream that also writes to this one."""
        heard = self

        class Tee:
            def write(self, text: str) -> int:
                heard.text += text
                return stream.write(text)

            def __getattr__(self, name: str) -> Any:
                return getattr(stream, name)

        return Tee()  # type: ignore[return-value]


@contextmanager
def _heard() -> Iterator[_Heard]:
    heard, streams = _Heard(), (sys.stdout, sys.stderr)
    sys.stdout, sys.stderr = (heard.on(stream) for stream in streams)
    try:
        yield heard
    finally:
        sys.stdout, sys.stderr = streams


if __name__ == "__main__":
    sys.exit(cli.run(__name__, "make soak", sys.argv[1:]))
