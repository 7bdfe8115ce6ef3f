"""Runs SQL on the local lake through Trino and prints the result, as an analyst would see it in Athena."""

import argparse
from datetime import datetime
from typing import Any

from infra import stacks
from infra.local.config import Stack
from infra.local.console import table
from infra.local.errors import StackError
from infra.local.prefix import add_prefix_argument
from infra.local.servers import sql, trino


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options: the statement, and the deployment."""
    add_prefix_argument(parser)
    parser.add_argument("statement", help="one SQL statement; tables and views need no database name")


def main(args: argparse.Namespace) -> int:
    """Prints the rows. Starts Trino first if it is not running."""
    stack = Stack.load()
    made = stacks.outputs(stack.aws.client("cloudformation"), f"{args.prefix}-lake")
    if made is None:
        raise StackError(f"there is no stack {args.prefix}-lake: deploy it with `stack deploy`")
    found = sql.run(trino.up(stack), args.statement, catalog=trino.CATALOG, database=made["Database"])
    print(render(found))
    read = found.stats.get("physicalInputBytes", 0)
    print(f"\n{len(found.rows)} rows in {found.stats['elapsedTimeMillis'] / 1000:.2f} s, {read:,} bytes read")
    return 0


def render(result: sql.Result) -> str:
    """A result in columns, with numbers right-aligned."""
    head = [column.name for column in result.columns]
    rows = [[text(value) for value in row] for row in result.rows]
    numeric = [column.type in ("bigint", "integer", "double", "smallint", "tinyint") for column in result.columns]
    widths = [max(len(row[n]) for row in [head, *rows]) for n in range(len(head))]
    aligned = [[cell.rjust(widths[n]) if numeric[n] else cell for n, cell in enumerate(row)] for row in [head, *rows]]
    return table(aligned[0], aligned[1:]) if head else "done"


def text(value: Any) -> str:
    """A value as text for the table."""
    if value is None:
        return "null"
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M:%S}" if not value.microsecond else value.isoformat(" ", "milliseconds")
    return str(value)
