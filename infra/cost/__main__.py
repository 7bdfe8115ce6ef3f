"""Prints what a month costs, and writes the tables of docs/scale-and-cost.md.

python -m infra.cost
python -m infra.cost --countries 12 --stores 10000 --architecture arm64
"""

import argparse
import sys

from infra.cost import page
from infra.cost.counts import counts
from infra.cost.month import Month, Prices, measured


def main(argv: list[str]) -> int:
    """Prints one case, or all of the page's and writes them."""
    runs = measured()["runs"]
    parser = argparse.ArgumentParser(
        prog="make cost", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--countries", type=int, help="show only so many countries, and do not write the page")
    parser.add_argument("--stores", choices=list(runs), default="10000", help="stores of each (default: %(default)s)")
    parser.add_argument("--architecture", choices=["x86_64", "arm64"], default="x86_64")
    args = parser.parse_args(argv)
    if args.countries is None:
        page.PAGE.write_text(page.rendered(page.PAGE.read_text(), page.tables()))
        print(page.summary())
        return 0
    run = runs[args.stores]
    month = Month(counts(), Prices.load(), run, args.countries, int(args.stores), args.architecture)
    for part, usd in month.parts.items():
        print(f"{part:<16}{usd:>9.2f}")
    print(f"{'a month':<16}{month.total:>9.2f}\n{'a tick':<16}{month.tick:>9.5f}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
