"""Fills analytics.yaml with the views of infra/views and the saved queries of infra/queries.

An Athena view is a table of the Glue catalog that holds its query as base64 of JSON. Nobody could read or edit that,
so it is made from the .sql file at deployment, the same for AWS and the local stack.
"""

import base64
import json
import re
from collections.abc import Sequence
from typing import Any

from infra import schema
from infra.errors import DeployError

CATALOG = "awsdatacatalog"
_MARK = "  # <views and saved queries>\n"


def render(template: str, database: str) -> str:
    """The template with one line per view and per saved query. A line is JSON, which is also YAML."""
    if template.count(_MARK) != 1:
        raise DeployError(f"analytics.yaml must have exactly one line {_MARK.strip()!r} among its resources")
    resources = {_logical("View", view.name): _view(view, database) for view in schema.views()}
    resources |= {_logical("Query", query.name): _query(query) for query in schema.queries()}
    lines = [f"  {name}: {json.dumps(resource, separators=(', ', ': '))}\n" for name, resource in resources.items()]
    return template.replace(_MARK, "".join(lines))


def table_input(view: schema.View, database: str) -> dict[str, Any]:
    """A view as the Glue catalog holds it. Athena writes this form, and Trino reads it."""
    definition = {
        "originalSql": view.sql,
        "catalog": CATALOG,
        "schema": database,  # so that table names in the query need no database
        "columns": [{"name": column.name, "type": column.type} for column in view.columns],
        # Queries run with the rights of whoever asks, not of whoever made the view.
        "runAsInvoker": True,
    }
    text = base64.b64encode(json.dumps(definition).encode()).decode()
    return {
        "Name": view.name,
        # Trino recognises a view by this exact text here. The columns' comments describe the view.
        "Description": "Presto View",
        "TableType": "VIRTUAL_VIEW",
        "Parameters": {"presto_view": "true", "comment": "Presto View"},
        "PartitionKeys": [],
        "StorageDescriptor": {
            "Location": "",
            "Columns": [
                {"Name": column.name, "Type": view.hive_type(column), "Comment": column.comment}
                for column in view.columns
            ],
            "SerdeInfo": {},
        },
        "ViewOriginalText": f"/* Presto View: {text} */",
        "ViewExpandedText": "/* Presto View */",
    }


def country_objects(bucket_arn: str, countries: Sequence[str]) -> list[str]:
    """ARNs of some countries' table files, compacted ones included. Only these have a `day=` in their key."""
    for country in countries:
        if not re.fullmatch("[a-z]{2}", country):
            raise DeployError(f"{country!r} is not a country code: write ISO 3166-1 alpha-2 in lower case, such as es")
    return [f"{bucket_arn}/*/country={country}/day=*" for country in countries]


def _view(view: schema.View, database: str) -> dict[str, Any]:
    return {
        "Type": "AWS::Glue::Table",
        "Properties": {
            "CatalogId": {"Ref": "AWS::AccountId"},
            "DatabaseName": {"Ref": "Database"},
            "TableInput": table_input(view, database),
        },
    }


def _query(query: schema.Query) -> dict[str, Any]:
    return {
        "Type": "AWS::Athena::NamedQuery",
        "Properties": {
            "Name": query.title,
            "Description": query.notes,
            "Database": {"Ref": "Database"},
            "WorkGroup": {"Ref": "AnalystsWorkgroup"},
            "QueryString": query.sql,
        },
    }


def _logical(kind: str, name: str) -> str:
    """The resource name: `worst_stores` becomes `ViewWorstStores`."""
    return kind + "".join(part.capitalize() for part in re.split(r"[_-]", name))
