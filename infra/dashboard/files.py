"""Reads the dashboards' files, and turns their short forms into what Superset's import takes."""

import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

import yaml

from infra.dashboard import days
from infra.errors import DeployError

HERE = Path(__file__).resolve().parent
# An asset keeps its identity over renames of its title and over imports, because it follows from its file's name.
_NAMESPACE = uuid.UUID("5f0d8c1e-6a3b-5d0e-9c59-3b1f8f0f7a11")
# In `roles` of a dashboard: the role of every country.
COUNTRIES = "countries"
# In a report of each country: its code.
COUNTRY = "${country}"
_T = TypeVar("_T")


def identity(kind: str, name: str) -> str:
    """The UUID of an asset."""
    return str(uuid.uuid5(_NAMESPACE, f"{kind}/{name}"))


@dataclass(frozen=True)
class Dataset:
    """A query on the lake, with the columns and metrics that charts use."""

    name: str
    sql: str
    columns: Mapping[str, str]
    metrics: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    description: str = ""
    main_dttm_col: str | None = None
    notes: Mapping[str, str] = field(default_factory=dict)  # what columns mean

    @property
    def uuid(self) -> str:
        """Its identity in every Superset."""
        return identity("dataset", self.name)

    @property
    def marks(self) -> int:
        """In how many places it names its days or weeks."""
        return days.marks(self.sql)

    @property
    def template(self) -> str:
        """Its query as Superset keeps it, with Jinja for days and weeks."""
        return days.template(self.sql)


@dataclass(frozen=True)
class Chart:
    """A chart: `params` are Superset's own, as its export writes them."""

    name: str
    slice_name: str
    viz_type: str
    dataset: str
    params: Mapping[str, Any]
    description: str = ""
    # The range of the dataset's main time column. A dashboard's time filter replaces it.
    time_range: str | None = None
    cache_timeout: int | None = None

    @property
    def uuid(self) -> str:
        """Its identity in every Superset."""
        return identity("chart", self.name)


@dataclass(frozen=True)
class Filter:
    """A filter of a dashboard: the values of a column, or with `time_range` the time."""

    name: str
    column: str | None = None
    dataset: str | None = None
    below: str | None = None  # offers only what fits the filter of this name
    time_range: str | None = None
    required: bool = False
    single: bool = False  # one value at a time
    except_charts: tuple[str, ...] = ()

    @property
    def id(self) -> str:
        """Its key in links: it must not change when the dashboard is imported again."""
        return "NATIVE_FILTER-" + re.sub(r"\W+", "-", self.name.lower())


@dataclass(frozen=True)
class Row:
    """A row of a dashboard: charts and their widths of twelve, or a text. Heights are in eighths of 64 pixels."""

    height: int
    charts: Mapping[str, int] = field(default_factory=dict)
    text: str | None = None


@dataclass(frozen=True)
class Dashboard:
    """A dashboard: its rows of charts, its filters, and who sees it."""

    name: str
    title: str
    slug: str
    description: str
    roles: tuple[str, ...]
    rows: tuple[Row, ...]
    filters: tuple[Filter, ...] = ()
    refresh_seconds: int = 0
    colours: Mapping[str, str] = field(default_factory=dict)  # of values that always have the same one
    css: str = ""

    @property
    def uuid(self) -> str:
        """Its identity in every Superset."""
        return identity("dashboard", self.name)

    @property
    def charts(self) -> list[str]:
        """The names of its charts, in the order in which they stand."""
        return [name for row in self.rows for name in row.charts]


@dataclass(frozen=True)
class Report:
    """What is sent by mail: with `sql` an alert, if its one value is under a limit; without, a picture of a dashboard."""

    name: str
    title: str
    dashboard: str
    crontab: str  # in UTC
    description: str = ""
    sql: str | None = None
    under: float | None = None
    again_minutes: int = 240  # for so long an alert that was sent is not sent again
    each_country: bool = False  # makes one of each country, whose code replaces ${country}

    def of(self, country: str) -> "Report":
        """The country's own."""
        sql = self.sql and self.sql.replace(COUNTRY, country)
        return replace(self, title=self.title.replace(COUNTRY, country), sql=sql)


@dataclass(frozen=True)
class Role:
    """What a role may do."""

    name: str
    like: tuple[str, ...] = ()
    permissions: tuple[str, ...] = ()
    sql: bool = False


@dataclass(frozen=True)
class Files:
    """Everything that is imported."""

    datasets: Mapping[str, Dataset]
    charts: Mapping[str, Chart]
    dashboards: Mapping[str, Dashboard]
    roles: Mapping[str, Role]
    reports: Mapping[str, Report] = field(default_factory=dict)


def load(folder: Path = HERE) -> Files:
    """Reads all files. A key that is not known is an error, so that a typing mistake does not go unnoticed."""
    return Files(
        datasets={path.stem: _make(Dataset, path) for path in _files(folder / "datasets")},
        charts={path.stem: _make(Chart, path) for path in _files(folder / "charts")},
        dashboards={path.stem: _dashboard(path) for path in _files(folder / "dashboards")},
        roles={
            name: _typed(Role, {"name": name, **_tuples(content, "like", "permissions")}, folder / "roles.yaml")
            for name, content in _read(folder / "roles.yaml").items()
        },
        reports={path.stem: _make(Report, path) for path in _files(folder / "reports")},
    )


def _dashboard(path: Path) -> Dashboard:
    content = _read(path)
    content["rows"] = tuple(_typed(Row, row, path) for row in content.get("rows", ()))
    content["filters"] = tuple(
        _typed(Filter, _tuples(entry, "except_charts"), path) for entry in content.get("filters", ())
    )
    return _typed(Dashboard, {"name": path.stem, **_tuples(content, "roles")}, path)


def _make(kind: type[_T], path: Path) -> _T:
    return _typed(kind, {"name": path.stem, **_read(path)}, path)


def _typed(kind: type[_T], content: Mapping[str, Any], path: Path) -> _T:
    try:
        return kind(**content)
    except TypeError as error:
        raise DeployError(f"{path}: {str(error).partition(') ')[2] or error}") from None


def _tuples(content: Mapping[str, Any], *keys: str) -> dict[str, Any]:
    return {**content, **{key: tuple(content[key]) for key in keys if key in content}}


def _files(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.yaml"))


def _read(path: Path) -> dict[str, Any]:
    try:
        content = yaml.safe_load(path.read_text())
    except (OSError, yaml.YAMLError) as error:
        raise DeployError(f"{path} cannot be read: {error}") from None
    if not isinstance(content, dict):
        raise DeployError(f"{path} must be a mapping of keys to values")
    return content
