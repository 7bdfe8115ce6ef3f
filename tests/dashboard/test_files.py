"""The check of the dashboards' files, and what they are compiled to."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from infra.dashboard import bundle, days, files, layout, problems, tables
from infra.dashboard.files import Chart, Dashboard, Dataset, Files, Filter, Report, Row
from infra.dashboard.server import smtp
from infra.errors import DeployError
from infra.local.commands import dashboard
from infra.local.errors import StackError

SQL = "select country, slot from country_ticks where ${days 7}"
DATASET = Dataset(
    "ticks",
    SQL,
    {"country": "VARCHAR", "slot": "TIMESTAMP"},
    {"ticks": {"verbose_name": "Ticks", "expression": "count(*)"}},
    main_dttm_col="slot",
)
CHART = Chart("lag", "Lag", "table", "ticks", {"groupby": ["country"], "metrics": ["ticks"]})
BOARD = Dashboard(
    "health",
    "Health",
    "health",
    "",
    ("viewer", "countries"),
    (Row(20, {"lag": 12}),),
    (Filter("Country", "country", "ticks"),),
)
ROLES = {"viewer": files.Role("viewer")}
ALERT = Report(
    "late",
    "Late in ${country}",
    "health",
    "5 * * * *",
    sql="select count(*) from country_ticks where country = '${country}' and ${recent 2}",
    under=1,
    each_country=True,
)

pytestmark = pytest.mark.smoke


def _files(
    dataset: Mapping[str, Any] | None = None,
    chart: Mapping[str, Any] | None = None,
    board: Mapping[str, Any] | None = None,
    report: Mapping[str, Any] | None = None,
) -> Files:
    made = replace(BOARD, **(board or {}))
    return Files(
        {"ticks": replace(DATASET, **(dataset or {}))},
        {"lag": replace(CHART, **(chart or {}))},
        {"health": made},
        ROLES,
        {"late": replace(ALERT, **(report or {}))},
    )


def test_the_files_of_the_project_have_no_problems() -> None:
    assert problems.problems(files.load()) == []
    assert problems.problems(_files()) == []


@pytest.mark.parametrize(
    ("made", "told"),
    [
        (lambda: _files(dataset={"columns": {"Country": "VARCHAR"}}), "'Country' must be lower-case"),
        (lambda: _files(dataset={"columns": {"slot": "TIMESTAMP"}}), "no column country"),
        (lambda: _files(dataset={"sql": "select * from country_ticks"}), "only 0 times"),
        (
            lambda: _files(dataset={"sql": f"{SQL} union all select country, slot from availability_by_city"}),
            "only 1 times",
        ),
        (lambda: _files(dataset={"sql": SQL.replace("days 7", "days")}), "is no mark"),
        (lambda: _files(dataset={"sql": SQL.replace("days 7", "last_week 7")}), "is no mark"),
        (lambda: _files(dataset={"sql": SQL.replace("days 7", "days 7 -7")}), "is no mark"),
        (lambda: _files(dataset={"metrics": {"x": {"verbose_name": "X", "expression": "sum(a) / sum(b)"}}}), "divides"),
        (lambda: _files(dataset={"sql": f"{SQL} and slot < now()"}), "an instant with a zone"),
        (lambda: _files(dataset={"main_dttm_col": "country"}), "not a column of type TIMESTAMP"),
        (lambda: _files(chart={"params": {"time_grain_sqla": "PT15M"}}), "'PT15M' does not exist on Athena"),
        (lambda: _files(chart={"params": {"groupby": ["city"]}}), "no column 'city'"),
        (lambda: _files(chart={"params": {"metrics": ["Ticks"]}}), "no metric 'Ticks'"),
        (lambda: _files(chart={"params": {"metric": {"label": "N", "expressionType": "SQL"}}}), "no metric"),
        (lambda: _files(chart={"viz_type": "deck_scatter"}), "fetches from other machines"),
        (lambda: _files(chart={"dataset": "tocks"}), "no dataset 'tocks'"),
        (lambda: _files(board={"roles": ()}), "names no roles"),
        (lambda: _files(board={"roles": ("nobody",)}), "no role 'nobody'"),
        (lambda: _files(board={"rows": (Row(20, {"lag": 7, "lead": 6}),)}), "is 13 wide"),
        (lambda: _files(board={"rows": ()}), "no dashboard shows it"),
        (lambda: _files(board={"filters": (Filter("City", "city", "ticks"),)}), "no column 'city'"),
        (lambda: _files(board={"filters": (Filter("Country", "country", "ticks", below="City"),)}), "no filter"),
        (lambda: _files(report={"dashboard": "wealth"}), "no dashboard 'wealth'"),
        (lambda: _files(report={"crontab": "5 * *"}), "five fields"),
        (lambda: _files(report={"under": None}), "both sql and under"),
        (lambda: _files(report={"title": "Late"}), "in title and sql"),
        (lambda: _files(report={"each_country": False}), "in title and sql"),
        (lambda: _files(report={"sql": "select 1 from country_ticks -- ${country}"}), "only 0 times"),
        (lambda: _files(report={"sql": (ALERT.sql or "").replace("recent", "days")}), "no time range"),
    ],
)
def test_each_rule_finds_what_breaks_it(made: Callable[[], Files], told: str) -> None:
    assert any(told in problem for problem in problems.problems(made())), problems.problems(made())


def test_a_key_that_is_not_known_is_refused(tmp_path: Path) -> None:
    for folder in ("datasets", "charts", "dashboards"):
        (tmp_path / folder).mkdir()
    (tmp_path / "roles.yaml").write_text("viewer: {}\n")
    (tmp_path / "charts" / "lag.yaml").write_text("slice_nam: Lag\n")
    with pytest.raises(DeployError, match=r"lag.yaml: .*slice_nam"):
        files.load(tmp_path)


def test_days_hours_and_weeks_become_conditions_on_bare_columns() -> None:
    made = {
        mark: days.template(f"${{{mark}}}")
        for mark in ("recent 2", "hours 6", "hours 6 -168 s", "days 7", "twice 28", "weeks 4 w", "last_week")
    }
    assert made["recent 2"] == "day >= cast(current_date - interval '1' day as varchar)"
    now = "cast(current_timestamp at time zone 'UTC' as timestamp(3))"
    hours = f"day >= cast(cast({now} - interval '6' hour as date) as varchar) and slot >= {now} - interval '6' hour"
    assert made["hours 6"] == hours
    assert made["hours 6 -168 s"] == (
        f"s.day >= cast(cast({now} - interval '174' hour as date) as varchar) "
        f"and s.day <= cast(cast({now} - interval '168' hour as date) as varchar) "
        f"and s.slot >= {now} - interval '174' hour and s.slot <= {now} - interval '168' hour"
    )
    assert made["days 7"].endswith("{% else %}day >= cast(current_date - interval '6' day as varchar){% endif %}")
    assert made["twice 28"].endswith("{% else %}day >= cast(current_date - interval '55' day as varchar){% endif %}")
    assert made["weeks 4 w"].startswith("{% if from_dttm and to_dttm %}w.week >= '{{ from_dttm[:10] }}' and w.week <= ")
    assert made["last_week"].startswith("week = cast(date_trunc('week', {% if to_dttm %}date '{{ to_dttm[:10] }}'")


def test_a_report_of_each_country_is_about_that_country() -> None:
    made = ALERT.of("es")
    assert made.title == "Late in es"
    assert made.sql == "select count(*) from country_ticks where country = 'es' and ${recent 2}"


@pytest.mark.parametrize(
    ("address", "told"),
    [
        ("localhost:25", "must begin with"),
        ("smtp://", "names no host"),
        ("smtp://localhost:port", "port is not a number"),
        ("smtp://localhost?from=me", "no mail address"),
    ],
)
def test_an_address_that_is_no_mail_host_is_refused_without_its_password(address: str, told: str) -> None:
    with pytest.raises(StackError, match=told) as failure:
        dashboard.Mail(address.replace("//l", "//me:secret@l")).check()
    assert "secret" not in str(failure.value)


def test_a_mail_hosts_address_is_turned_into_supersets_settings() -> None:
    made = smtp.settings("smtp+starttls://me:p%40ss@mail.example?from=storewatch@example.com")
    assert (made["SMTP_HOST"], made["SMTP_PORT"]) == ("mail.example", 587)
    assert (made["SMTP_USER"], made["SMTP_PASSWORD"]) == ("me", "p@ss")
    assert (made["SMTP_STARTTLS"], made["SMTP_SSL"]) == (True, False)
    assert made["SMTP_MAIL_FROM"] == "storewatch@example.com"


def test_a_metric_may_divide_by_a_number() -> None:
    minutes = {"x": {"verbose_name": "X", "expression": "sum(seconds) / 60e0"}}
    assert problems.problems(_files(dataset={"metrics": {**DATASET.metrics, **minutes}})) == []


def test_every_table_and_view_has_a_dataset_with_the_country() -> None:
    assert {"store_availability", "country_ticks", "worst_stores"} <= tables.datasets().keys()
    assert all("country" in dataset.columns for dataset in tables.datasets().values())


def test_a_dashboard_keeps_its_identity_and_its_links_over_imports() -> None:
    made = bundle.looks(_files(), {"health": "x"}, [])["dashboards/health.yaml"]
    again = bundle.looks(_files(board={"title": "Healthy"}), {"health": "y"}, [])["dashboards/health.yaml"]
    assert made["uuid"] == again["uuid"]
    assert made["metadata"]["native_filter_configuration"][0]["id"] == "NATIVE_FILTER-country"
    assert made["position"]["CHART-lag"]["meta"]["uuid"] == CHART.uuid


def test_a_fingerprint_changes_with_a_dashboards_charts_and_datasets_only() -> None:
    same = bundle.fingerprint(_files(), BOARD, "storewatch")
    other = Files({**_files().datasets, "unused": DATASET}, _files().charts, _files().dashboards, ROLES)
    assert bundle.fingerprint(other, BOARD, "storewatch") == same
    assert bundle.fingerprint(_files(chart={"slice_name": "Delay"}), BOARD, "storewatch") != same
    assert bundle.fingerprint(_files(dataset={"description": "x"}), BOARD, "storewatch") != same


def test_no_chart_asks_before_a_required_filter_has_a_value() -> None:
    board = replace(BOARD, filters=(Filter("Country", "country", "ticks", required=True, single=True),))
    made = layout.metadata(board, _files(), {"lag": 1})["native_filter_configuration"][0]
    assert made["requiredFirst"]
    assert made["controlValues"]["defaultToFirstItem"]
    assert not made["controlValues"]["multiSelect"]
