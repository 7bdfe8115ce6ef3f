"""Puts into analytics.yaml what is written elsewhere: the views of infra/views and the saved queries of infra/queries.

A view of Athena is a table of the Glue catalog that carries its query as base64 of JSON. Written by hand nobody could
read it, so it is made of the .sql file when the stack is deployed: on AWS and locally of the same bytes.
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
    """The template with a resource for each view and each saved query, a line each: YAML that is also JSON."""
    if template.count(_MARK) != 1:
        raise DeployError(f"analytics.yaml wants one line {_MARK.strip()!r} among its resources")
    resources = {_logical("View", view.name): _view(view, database) for view in schema.views()}
    resources |= {_logical("Query", query.name): _query(query) for query in schema.queries()}
    lines = [f"  {name}: {json.dumps(resource, separators=(', ', ': '))}\n" for name, resource in resources.items()]
    return template.replace(_MARK, "".join(lines))


def table_input(view: schema.View, database: str) -> dict[str, Any]:
    """A view as the Glue catalog holds it, in the form in which Athena writes its own and Trino reads them."""
    definition = {
        "originalSql": view.sql,
        "catalog": CATALOG,
        "schema": database,  # so that its tables need no database in their names
        "columns": [{"name": column.name, "type": column.type} for column in view.columns],
        # Whoever asks reads with their own rights, and not with those of the one who made the view.
        "runAsInvoker": True,
    }
    text = base64.b64encode(json.dumps(definition).encode()).decode()
    return {
        "Name": view.name,
        # Trino knows a view by these words in this place; what a view means is told by its columns' comments.
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
    """The tables' files of some countries, compacted ones too, as ARNs: nothing else lies under a `day=`."""
    for country in countries:
        if not re.fullmatch("[a-z]{2}", country):
            raise DeployError(f"{country!r} is no country: write ISO 3166-1 alpha-2 in lower case, such as es")
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
    """`worst_stores` as the name of a resource, `ViewWorstStores`."""
    return kind + "".join(part.capitalize() for part in re.split(r"[_-]", name))
