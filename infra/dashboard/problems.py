"""Checks the dashboards' files for what would fail on Athena, show nothing, or show too much. `make check` runs it.

Local tests ask Trino, which accepts more than Athena and Superset's knowledge of it do.
"""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from infra import schema
from infra.dashboard import tables
from infra.dashboard.files import COUNTRIES, COUNTRY, Chart, Dashboard, Dataset, Files, Report

# What Superset can write for Athena. There is nothing between a minute and an hour.
_GRAINS = (
    None, "PT1S", "PT1M", "PT1H", "P1D", "P1W", "P1M", "P3M", "P1Y", "P1W/1970-01-03T00:00:00Z",
    "1969-12-28T00:00:00Z/P1W",
)  # fmt: skip
# Athena answers with lower-case names whatever was asked, and Superset then misses its column.
_NAME = re.compile(r"[a-z][a-z0-9_]*")
# They fetch tiles or styles from elsewhere.
_ONLINE = ("deck_", "mapbox", "cartodiagram", "world_map")
# Not by a number other than zero, and not by nullif.
_DIVIDES = re.compile(r"/(?!\s*(?:nullif\(|[1-9]))")
_COLUMN_KEYS = ("x_axis", "y_axis", "entity", "series", "series_columns", "start_time", "end_time")
_COLUMN_LISTS = (
    "groupby", "columns", "all_columns", "groupbyColumns", "groupbyRows", "series_columns", "tooltip_columns",
)  # fmt: skip
_METRIC_KEYS = ("metric", "secondary_metric", "size", "percent_metric", "timeseries_limit_metric")
_METRIC_LISTS = ("metrics", "metrics_b", "percent_metrics", "tooltip_metrics")


def problems(files: Files) -> list[str]:
    """Every problem, with the file's name."""
    found = [f"datasets/{one.name}.yaml: {text}" for one in files.datasets.values() for text in _of_dataset(one)]
    found += [f"charts/{one.name}.yaml: {text}" for one in files.charts.values() for text in _of_chart(one, files)]
    found += [
        f"dashboards/{one.name}.yaml: {text}" for one in files.dashboards.values() for text in _of_dashboard(one, files)
    ]
    found += [f"reports/{one.name}.yaml: {text}" for one in files.reports.values() for text in _of_report(one, files)]
    shown = {name for dashboard in files.dashboards.values() for name in dashboard.charts}
    found += [f"charts/{name}.yaml: no dashboard shows it" for name in sorted(files.charts.keys() - shown)]
    used = {chart.dataset for chart in files.charts.values()}
    used |= {one.dataset for board in files.dashboards.values() for one in board.filters if one.dataset}
    found += [f"datasets/{name}.yaml: no chart or filter uses it" for name in sorted(files.datasets.keys() - used)]
    taken = sorted(files.datasets.keys() & tables.datasets().keys())
    return found + [
        f"datasets/{name}.yaml has the name of a table or view, which has a dataset already" for name in taken
    ]


def _of_dataset(dataset: Dataset) -> Iterator[str]:
    for name in [dataset.name, *dataset.columns, *dataset.metrics]:
        if not _NAME.fullmatch(name):
            yield f"{name!r} must be lower-case letters, digits and underscores: Athena answers in lower case"
    if "country" not in dataset.columns:
        yield "it has no column country, so row-level security cannot hold it"
    if dataset.main_dttm_col and dataset.columns.get(dataset.main_dttm_col) != "TIMESTAMP":
        yield f"main_dttm_col {dataset.main_dttm_col!r} is not a column of type TIMESTAMP"
    if both := dataset.columns.keys() & dataset.metrics.keys():
        yield f"{', '.join(sorted(both))}: a column and a metric have the same name"
    yield from _of_days(dataset)
    for name, metric in dataset.metrics.items():
        if not metric.get("verbose_name") or not metric.get("expression"):
            yield f"the metric {name} needs expression and verbose_name"
        # Whole numbers divide to whole numbers, and a division by zero fails the whole chart.
        if _DIVIDES.search(metric.get("expression", "")):
            yield f"the metric {name} divides without nullif"


def _of_days(dataset: Dataset) -> Iterator[str]:
    """Each table that is read must be cut to days, or the engine reads all that there are."""
    names = {table.name for table in schema.tables()} | {view.name for view in schema.views()}
    sql = re.sub(r"--[^\n]*", "", dataset.sql)
    read = [name for name in re.findall(r"\b(?:from|join)\s+(\w+)", sql, re.IGNORECASE) if name in names]
    if not read:
        yield "its sql reads no table or view of the lake"
    if dataset.marks < len(read):
        yield f"it reads {', '.join(read)}, and names its days, such as ${{days N}}, only {dataset.marks} times"
    if left := re.findall(r"\$\{[^}]*\}", dataset.template):
        yield f"{', '.join(left)} is no mark for days: see the README"
    if re.search(r"current_user|\bnow\(\)", dataset.template):
        yield "its sql names the user, or an instant with a zone: all viewers share one result, in UTC"


def _of_chart(chart: Chart, files: Files) -> Iterator[str]:
    dataset = files.datasets.get(chart.dataset)
    if dataset is None:
        yield f"there is no dataset {chart.dataset!r}"
        return
    if chart.viz_type.startswith(_ONLINE):
        yield f"{chart.viz_type} fetches from other machines"
    for key, value in _everything(chart.params):
        if key.startswith("time_grain") and value not in _GRAINS:
            yield f"{key} {value!r} does not exist on Athena"
    if chart.time_range and not dataset.main_dttm_col:
        yield f"it has a time_range, but {dataset.name} no main_dttm_col"
    for column in _named(chart.params, _COLUMN_KEYS, _COLUMN_LISTS):
        if column not in dataset.columns:
            yield f"{dataset.name} has no column {column!r}"
    for metric in _named(chart.params, _METRIC_KEYS, _METRIC_LISTS):
        if metric not in dataset.metrics:
            yield f"{dataset.name} has no metric {metric!r}"
    for condition in chart.params.get("adhoc_filters", ()):
        if condition.get("operator") == "TEMPORAL_RANGE":
            yield "write the time range as time_range"
        elif condition.get("expressionType") == "SIMPLE" and condition.get("subject") not in dataset.columns:
            yield f"{dataset.name} has no column {condition.get('subject')!r}"


def _of_dashboard(dashboard: Dashboard, files: Files) -> Iterator[str]:
    for name in dashboard.charts:
        if name not in files.charts:
            yield f"there is no chart {name!r}"
    for row in dashboard.rows:
        if (width := sum(row.charts.values())) > 12:
            yield f"the row of {', '.join(row.charts)} is {width} wide, and there are 12"
    if not dashboard.roles:
        yield "it names no roles: anybody who may read one of its datasets would see it"
    for role in dashboard.roles:
        if role != COUNTRIES and role not in files.roles:
            yield f"there is no role {role!r} in roles.yaml"
    names = [one.name for one in dashboard.filters]
    for one in dashboard.filters:
        dataset = files.datasets.get(one.dataset or "")
        if not one.time_range and (dataset is None or one.column not in dataset.columns):
            yield f"the filter {one.name}: there is no column {one.column!r} in the dataset {one.dataset!r}"
        if one.below and one.below not in names:
            yield f"the filter {one.name} is below {one.below!r}, which is no filter"
        for name in one.except_charts:
            if name not in dashboard.charts:
                yield f"the filter {one.name} leaves out {name!r}, which is not on the dashboard"


def _of_report(report: Report, files: Files) -> Iterator[str]:
    if report.dashboard not in files.dashboards:
        yield f"there is no dashboard {report.dashboard!r}"
    if len(report.crontab.split()) != 5:
        yield f"crontab {report.crontab!r} must have five fields"
    if (report.sql is None) != (report.under is None):
        yield "an alert needs both sql and under, a report neither"
    # Superset knows an alert by its title, so each country's must differ.
    for text in [report.title, *([report.sql] if report.sql else [])]:
        if (COUNTRY in text) != report.each_country:
            yield f"each_country needs {COUNTRY} in title and sql, and nothing else may have it"
            break
    if report.sql:
        query = Dataset(report.name, report.of("es").sql or "", {})
        yield from _of_days(query)
        if "{%" in query.template or "{{" in query.template:
            yield "an alert has no time range: name its days as ${recent N}"


def _named(params: Mapping[str, Any], keys: tuple[str, ...], lists: tuple[str, ...]) -> Iterator[str]:
    """The columns or metrics that a chart names. One that is made up in the chart is told as JSON, and so refused."""
    values = [params[key] for key in keys if params.get(key) and not isinstance(params[key], list)]
    # Some charts take one column where others take several.
    several = [params[key] for key in lists if params.get(key)]
    values += [value for one in several for value in (one if isinstance(one, list) else [one])]
    yield from (value if isinstance(value, str) else json.dumps(value) for value in values)


def _everything(value: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    """Every value in a tree, with its key."""
    yield key, value if not isinstance(value, dict | list) else ...
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from _everything(inner, str(name))
    elif isinstance(value, list):
        for inner in value:
            yield from _everything(inner, key)
