"""Writes docs/tables.md from the schema, with query results from a fixed sample."""

import argparse
import uuid
from collections.abc import Iterator
from contextlib import contextmanager

from infra import analytics, schema, tables_page
from infra.local.commands.query import render
from infra.local.config import Stack
from infra.local.console import say
from infra.local.sample import week
from infra.local.servers import sql, trino


def add_arguments(_: argparse.ArgumentParser) -> None:
    """No options."""


def main(_: argparse.Namespace) -> int:
    """Writes the page."""
    stack = Stack.load()
    engine = trino.up(stack)
    with sample_week(stack) as (database, _rows):
        tables_page.PAGE.write_text(tables_page.render(run_queries(engine, database)))
    say("docs", f"{tables_page.PAGE.relative_to(schema.ROOT)} is written")
    return 0


def run_queries(engine: sql.Engine, database: str) -> dict[str, str]:
    """The results of the worked queries by name, as the page shows them."""
    return {
        query.name: render(sql.run(engine, query.sql, catalog=trino.CATALOG, database=database))
        for query in schema.queries()
    }


@contextmanager
def sample_week(stack: Stack) -> Iterator[tuple[str, dict[str, dict[tuple[str, str], week.Rows]]]]:
    """Puts the sample week and the views into a temporary database: yields its name and its rows."""
    name = f"week-{uuid.uuid4().hex[:8]}"
    database = name.replace("-", "_")
    s3, glue = stack.aws.client("s3"), stack.aws.client("glue")
    s3.create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": stack.aws.region})
    try:
        rows = week.write(stack, name, database)
        for view in schema.views():
            glue.create_table(DatabaseName=database, TableInput=analytics.table_input(view, database))
        yield database, rows
    finally:
        glue.delete_database(Name=database)
        for page in s3.get_paginator("list_objects_v2").paginate(Bucket=name):
            s3.delete_objects(Bucket=name, Delete={"Objects": [{"Key": one["Key"]} for one in page["Contents"]]})
        s3.delete_bucket(Bucket=name)
