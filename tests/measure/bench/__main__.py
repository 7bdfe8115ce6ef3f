"""`make bench`: a tick, the Spark job that it replaces, and the floor, side by side on the same servers and stores."""

import argparse
import json
import sys

from infra.local import cli
from infra.local.commands.up import up
from infra.local.config import ROOT
from infra.local.console import say
from infra.local.errors import StackError
from tests.measure.bench import page
from tests.measure.bench.plot import svg
from tests.measure.bench.report import markdown
from tests.measure.bench.rounds import measure

RESULTS = ROOT / "tests/bench/results"
_PICTURE = ROOT / "docs/pictures/bench.svg"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options."""
    parser.add_argument("--stores", type=int, default=10_000, help="in one country (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=15, help="of running processes (default: %(default)s)")
    parser.add_argument("--report", action="store_true", help="only write table and picture again, from the results")


def main(args: argparse.Namespace) -> int:
    """Measures and writes the results. Then writes table and picture from them."""
    file = RESULTS / ("bench.json" if args.stores == 10_000 else f"bench-{args.stores}.json")
    if not args.report:
        results = measure(up(), args.stores, args.rounds)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(results, indent=1) + "\n")
    try:
        results = json.loads(file.read_text())
    except FileNotFoundError:
        raise StackError(f"there are no results in {file}: run `make bench`") from None
    text = markdown(results)
    print(text)
    if args.stores == 10_000:
        page.write("make bench", text)
        _PICTURE.write_text(svg(results))
        say("bench", f"wrote {page.PAGE} and {_PICTURE} from {file}")
    return 0


if __name__ == "__main__":
    sys.exit(cli.run(__name__, "make bench", sys.argv[1:]))
