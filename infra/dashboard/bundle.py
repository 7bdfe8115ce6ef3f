"""Writes the files as the bundle that Superset's import takes: one YAML a database, dataset, chart and dashboard."""

import hashlib
import io
import zipfile
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import yaml

from infra.dashboard import layout, tables
from infra.dashboard.files import Chart, Dashboard, Dataset, Files, identity

# The version of the format, not of the content.
_FORMAT = "1.0.0"
_FOLDER = "storewatch"
DATABASE = "Storewatch"
# In server/superset_config.py. A Superset that does not have it takes its own default.
_COLOURS = "okabeIto"


@dataclass(frozen=True)
class Connection:
    """How Superset reaches the lake."""

    schema: str
    # Superset's SQLAlchemy address, password and all; None leaves the connection that is there as it is.
    uri: str | None
    uuid: str = identity("database", DATABASE)
    name: str = DATABASE


def data(files: Files, connection: Connection) -> dict[str, dict[str, Any]]:
    """The connection and the datasets: path to content."""
    made = {"databases/storewatch.yaml": _database(connection, connection.uri)} if connection.uri else {}
    datasets = [*tables.datasets().values(), *files.datasets.values()]
    return made | {f"datasets/storewatch/{one.name}.yaml": _dataset(one, connection) for one in datasets}


def looks(files: Files, marks: Mapping[str, str], published: Collection[str]) -> dict[str, dict[str, Any]]:
    """The charts and dashboards: path to content. `marks` tell people which version a dashboard is."""
    charts = {f"charts/{one.name}.yaml": _chart(one, files.datasets[one.dataset]) for one in files.charts.values()}
    return charts | {
        f"dashboards/{one.name}.yaml": _dashboard(one, files, marks[one.name], one.name in published)
        for one in files.dashboards.values()
    }


def fingerprint(files: Files, dashboard: Dashboard, schema: str) -> str:
    """A hash of all that a dashboard shows: of itself, its charts, and their datasets."""
    charts = [files.charts[name] for name in sorted(set(dashboard.charts))]
    used = {chart.dataset for chart in charts} | {one.dataset for one in dashboard.filters if one.dataset}
    text = repr([dashboard, charts, [files.datasets[name] for name in sorted(used)], schema])
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def archive(made: Mapping[str, Mapping[str, Any]]) -> bytes:
    """The bundle as a zip."""
    entries = {
        "metadata.yaml": {"version": _FORMAT, "type": "assets", "timestamp": "2026-01-01T00:00:00+00:00"},
        **made,
    }
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as packed:
        for path, content in entries.items():
            packed.writestr(f"{_FOLDER}/{path}", yaml.safe_dump(content, sort_keys=False, allow_unicode=True))
    return buffer.getvalue()


def _database(connection: Connection, uri: str) -> dict[str, Any]:
    return {
        "database_name": connection.name,
        "sqlalchemy_uri": uri,
        "expose_in_sqllab": True,
        "allow_run_async": False,
        "allow_ctas": False,
        "allow_cvas": False,
        "allow_dml": False,
        "allow_csv_upload": False,
        # Everybody's queries go as one user, so that everybody shares the cache.
        "impersonate_user": False,
        "extra": {"metadata_params": {}, "engine_params": _engine_params(uri), "allows_virtual_table_explore": True},
        "uuid": connection.uuid,
        "version": _FORMAT,
    }


def _engine_params(uri: str) -> dict[str, Any]:
    """Trino's client sends a password by TLS only, and its address cannot name that."""
    address = urlsplit(uri)
    return {"connect_args": {"http_scheme": "https"}} if address.scheme == "trino" and address.password else {}


def _dataset(dataset: Dataset, connection: Connection) -> dict[str, Any]:
    return {
        "table_name": dataset.name,
        "main_dttm_col": dataset.main_dttm_col,
        "description": dataset.description,
        "offset": 0,
        "schema": connection.schema,
        # Superset knows no catalogs on Athena.
        "catalog": None,
        "sql": dataset.template,
        "filter_select_enabled": True,
        "normalize_columns": False,
        "columns": [
            {
                "column_name": name,
                "verbose_name": _label(name, kind),
                "description": dataset.notes.get(name),
                "type": kind,
                "is_dttm": kind in ("DATE", "TIMESTAMP"),
                "is_active": True,
                "groupby": True,
                "filterable": True,
            }
            for name, kind in dataset.columns.items()
        ],
        "metrics": [{"metric_name": name, **metric} for name, metric in dataset.metrics.items()],
        "uuid": dataset.uuid,
        "version": _FORMAT,
        "database_uuid": connection.uuid,
    }


def _label(name: str, kind: str) -> str:
    """How a column is called on charts. Instants say that they are UTC."""
    words = name.replace("_", " ").capitalize()
    return f"{words} (UTC)" if kind == "TIMESTAMP" else words


def _chart(chart: Chart, dataset: Dataset) -> dict[str, Any]:
    params = {"viz_type": chart.viz_type, "adhoc_filters": [], **chart.params}
    if "linear_color_scheme" not in params:
        params = {"color_scheme": _COLOURS, **params}
    if chart.time_range:
        ranged = {
            "clause": "WHERE",
            "expressionType": "SIMPLE",
            "operator": "TEMPORAL_RANGE",
            "subject": dataset.main_dttm_col,
            "comparator": chart.time_range,
        }
        params["adhoc_filters"] = [ranged, *params["adhoc_filters"]]
    return {
        "slice_name": chart.slice_name,
        "description": chart.description,
        "viz_type": chart.viz_type,
        "params": params,
        "query_context": None,
        "cache_timeout": chart.cache_timeout,
        "uuid": chart.uuid,
        "version": _FORMAT,
        "dataset_uuid": dataset.uuid,
    }


def _dashboard(dashboard: Dashboard, files: Files, mark: str, published: bool) -> dict[str, Any]:
    # The import replaces these numbers by those of the Superset that it reaches.
    numbers = {name: number for number, name in enumerate(dict.fromkeys(dashboard.charts), 1)}
    return {
        "dashboard_title": dashboard.title,
        "description": dashboard.description,
        "css": layout.NARROW + dashboard.css,
        "slug": dashboard.slug,
        # People see it on the dashboard, and the next import reads it.
        "certified_by": "Storewatch",
        "certification_details": mark,
        "published": published,
        "position": layout.position(dashboard, files.charts, numbers),
        "metadata": layout.metadata(dashboard, files, numbers),
        "uuid": dashboard.uuid,
        "version": _FORMAT,
    }
