"""Places a dashboard's charts and filters, in the form that Superset keeps as position and metadata."""

from collections.abc import Mapping
from typing import Any

from infra.dashboard.files import Chart, Dashboard, Files, Filter

# On a phone a row's charts stand below each other, as wide as on a desk, and what is wider than the screen scrolls. Who
# changed the dashboard last makes room for its title.
NARROW = """
@media (max-width: 700px) {
  [data-test="metadata-bar"] { display: none !important; }
  .dashboard-content { overflow-x: hidden; }
  .grid-container > div { width: 1280px !important; }
  .grid-row { flex-wrap: wrap; width: calc(100vw - 32px) !important; height: auto !important; }
  .grid-row > * { max-width: 100%; overflow-x: auto; margin: 0 0 16px 0 !important; }
}
"""


def position(dashboard: Dashboard, charts: Mapping[str, Chart], numbers: Mapping[str, int]) -> dict[str, Any]:
    """The tree of rows, texts and charts. Keys follow from names, so that links to a chart stay valid."""
    tree: dict[str, Any] = {
        "DASHBOARD_VERSION_KEY": "v2",
        "ROOT_ID": {"type": "ROOT", "id": "ROOT_ID", "children": ["GRID_ID"]},
        "GRID_ID": {"type": "GRID", "id": "GRID_ID", "children": [], "parents": ["ROOT_ID"]},
        "HEADER_ID": {"type": "HEADER", "id": "HEADER_ID", "meta": {"text": dashboard.title}},
    }
    for number, row in enumerate(dashboard.rows, 1):
        key = f"ROW-{number}"
        _add(tree, key, "ROW", ["ROOT_ID", "GRID_ID"], {"background": "BACKGROUND_TRANSPARENT"})
        inside = ["ROOT_ID", "GRID_ID", key]
        if row.text is not None:
            meta = {"width": 12, "height": row.height, "code": row.text}
            _add(tree, f"MARKDOWN-{number}", "MARKDOWN", inside, meta)
        for name, width in row.charts.items():
            meta = {"width": width, "height": row.height, "chartId": numbers[name], "uuid": charts[name].uuid}
            _add(tree, f"CHART-{name}", "CHART", inside, meta | {"sliceName": charts[name].slice_name})
    return tree


def metadata(dashboard: Dashboard, files: Files, numbers: Mapping[str, int]) -> dict[str, Any]:
    """Filters, colours and refreshing."""
    return {
        "native_filter_configuration": [_filter(one, dashboard, files, numbers) for one in dashboard.filters],
        "cross_filters_enabled": True,
        "global_chart_configuration": {"scope": {"rootPath": ["ROOT_ID"], "excluded": []}},
        "refresh_frequency": dashboard.refresh_seconds,
        "timed_refresh_immune_slices": [],
        "expanded_slices": {},
        # Each chart has its own: a dashboard's would colour a map's regions by their names, not by their values.
        "color_scheme": "",
        # Leaves the whole width to the charts.
        "filter_bar_orientation": "HORIZONTAL",
        "label_colors": dict(dashboard.colours),
        "shared_label_colors": [],
    }


def _add(tree: dict[str, Any], key: str, kind: str, parents: list[str], meta: Mapping[str, Any]) -> None:
    tree[key] = {"type": kind, "id": key, "children": [], "parents": list(parents), "meta": dict(meta)}
    tree[parents[-1]]["children"].append(key)


def _filter(one: Filter, dashboard: Dashboard, files: Files, numbers: Mapping[str, int]) -> dict[str, Any]:
    ids = {other.name: other.id for other in dashboard.filters}
    made: dict[str, Any] = {
        "id": one.id,
        "name": one.name,
        "type": "NATIVE_FILTER",
        "description": "",
        "cascadeParentIds": [ids[one.below]] if one.below else [],
        "scope": {"rootPath": ["ROOT_ID"], "excluded": [numbers[name] for name in one.except_charts]},
        "chartsInScope": [],
        "tabsInScope": [],
    }
    if one.time_range:
        state = {"extraFormData": {"time_range": one.time_range}, "filterState": {"value": one.time_range}}
        return made | {"filterType": "filter_time", "targets": [{}], "controlValues": {}, "defaultDataMask": state}
    assert one.dataset is not None  # the check of the files holds it
    return made | {
        "filterType": "filter_select",
        # No chart asks before it has a value.
        "requiredFirst": one.required,
        "targets": [{"column": {"name": one.column}, "datasetUuid": files.datasets[one.dataset].uuid}],
        "controlValues": {
            "multiSelect": not one.single,
            "enableEmptyFilter": one.required,
            "defaultToFirstItem": one.required,
            "searchAllOptions": False,
            "inverseSelection": False,
        },
        "defaultDataMask": {"extraFormData": {}, "filterState": {}},
    }
