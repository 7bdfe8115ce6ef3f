"""Who sees what: in the browser, over the API, as CSV, and in the lists of filters."""

import csv
import io
from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Browser

from infra.dashboard.importer import bring
from infra.errors import DeployError
from tests.dashboard import lake as lakes
from tests.dashboard.browser import Viewer
from tests.dashboard.conftest import Shown, query, values

SLUG = "storewatch-live"
TABLE = "Countries now"
# To draw a dashboard whose queries nobody has asked yet, on a machine that is busy with other tests.
SECONDS = 120


def _viewer(chromium: Browser, shown: Shown, user: str) -> Viewer:
    viewer = Viewer.of(chromium, shown.url)
    viewer.log_in(user, shown.passwords[user])
    return viewer


@pytest.mark.parametrize(
    ("user", "countries"),
    [
        ("admin", {"es", "mx"}),
        ("analyst", {"es", "mx"}),
        ("viewer", {"es", "mx"}),
        pytest.param("spaniard", {"es"}, marks=pytest.mark.smoke),
    ],
)
def test_each_role_sees_its_countries_and_nothing_fails_or_leaves_the_machine(
    chromium: Browser, shown: Shown, titles: dict[str, list[str]], user: str, countries: set[str]
) -> None:
    viewer = _viewer(chromium, shown, user)
    for slug, charts in titles.items():
        viewer.open(slug, charts, seconds=SECONDS)
        assert values(viewer.answers, "country") == countries
        # The charts and at least one list of a filter.
        assert len(viewer.answers) > len(charts)
        if slug == SLUG:
            assert "es" in viewer.text_of(TABLE)
            assert ("mx" in viewer.text_of(TABLE)) == ("mx" in countries)
    assert viewer.failed == []
    assert viewer.left == []


@pytest.fixture(scope="module")
def questions(chromium: Browser, shown: Shown, titles: dict[str, list[str]]) -> list[dict[str, Any]]:
    """What the pages of all dashboards ask Superset for: every chart, and every list of a filter."""
    viewer = _viewer(chromium, shown, "admin")
    asked = []
    for slug, charts in titles.items():
        viewer.open(slug, charts, seconds=SECONDS)
        asked += viewer.questions
    assert len(asked) > sum(map(len, titles.values()))
    return asked


def _rows(answer: dict[str, Any]) -> list[str]:
    """All rows of an answer. An age goes on while one asks, and a mean differs in the last digit."""

    def plain(value: Any) -> Any:
        return float(f"{value:.9g}") if isinstance(value, float) else value

    rows = [row for result in answer["result"] for row in result["data"]]
    return sorted(str(sorted((name, plain(row[name])) for name in row if name != "age")) for row in rows)


def _filtered(question: dict[str, Any], country: str) -> dict[str, Any]:
    only = [{"col": "country", "op": "IN", "val": [country]}]
    return {
        **question,
        "queries": [{**one, "filters": [*one.get("filters", []), *only]} for one in question["queries"]],
    }


def _sees_spain_only(shown: Shown, questions: list[dict[str, Any]]) -> None:
    spaniard, admin = shown.client("spaniard"), shown.client("admin")
    told = 0
    for question in questions:
        mine = spaniard.post("chart/data", question)
        assert _rows(mine) == _rows(admin.post("chart/data", _filtered(question, "es"))), question["form_data"]
        told += len(_rows(mine))
        assert values([mine], "country") <= {"es"}
        text = spaniard.post_for_text("chart/data", {**question, "result_format": "csv"})
        for row in csv.DictReader(io.StringIO(text)):
            assert row.get("Country", row.get("country", "es")) == "es"
    assert told > len(questions)


def test_a_country_sees_of_every_chart_and_filter_what_an_administrator_sees_who_filters_by_it(
    shown: Shown, questions: list[dict[str, Any]]
) -> None:
    _sees_spain_only(shown, questions)
    bring(shown.client("admin"), shown.lake.database, None, lakes.COUNTRIES, "1.0.0", print)
    _sees_spain_only(shown, questions)


def test_an_outsider_gets_no_answer_to_what_any_page_asks(shown: Shown, questions: list[dict[str, Any]]) -> None:
    outsider = shown.client("outsider")
    asking: list[Callable[[str, dict[str, Any]], Any]] = [outsider.post, outsider.post_for_text]
    for question, form in [(one, form) for one in questions for form in ("json", "csv")]:
        with pytest.raises(DeployError, match="403"):
            asking[form == "csv"]("chart/data", {**question, "result_format": form})


@pytest.mark.smoke
def test_a_country_has_no_sql_lab(chromium: Browser, shown: Shown) -> None:
    viewer = _viewer(chromium, shown, "spaniard")
    viewer.page.goto(f"{shown.url}/sqllab/")
    viewer.page.wait_for_load_state("networkidle")
    assert viewer.page.locator(".ace_editor, #ace-editor").count() == 0
    assert viewer.page.get_by_text("SQL Lab").count() == 0
    with pytest.raises(DeployError, match="403"):
        shown.client("spaniard").get("sqllab/")


@pytest.mark.smoke
def test_an_outsider_sees_no_dashboard(chromium: Browser, shown: Shown) -> None:
    viewer = _viewer(chromium, shown, "outsider")
    viewer.page.goto(f"{shown.url}/superset/dashboard/{SLUG}/")
    assert viewer.page.locator("[data-test-chart-name]").count() == 0
    assert f"404 GET {shown.url}/superset/dashboard/{SLUG}/" in viewer.failed
    client = shown.client("outsider")
    assert list(client.all("dashboard/")) == []
    with pytest.raises(DeployError, match="403"):
        client.post("chart/data", query(shown, "latest_slot", chart=TABLE, columns=["country"]))


@pytest.mark.smoke
def test_a_country_gets_no_other_countrys_rows_whatever_it_asks_for(shown: Shown) -> None:
    client = shown.client("spaniard")
    other = [{"col": "country", "op": "IN", "val": ["mx"]}]
    for filters in ([], other):
        asked = query(shown, "latest_slot", chart=TABLE, columns=["country", "city"], filters=filters, force=True)
        assert values([client.post("chart/data", asked)], "country") == (set() if filters else {"es"})
    made_up = {"label": "x", "expressionType": "SQL", "sqlExpression": "(select max(country) from country_ticks)"}
    with pytest.raises(DeployError, match="sub-queries"):
        client.post("chart/data", query(shown, "latest_slot", chart=TABLE, columns=[made_up]))


def test_a_country_gets_its_own_rows_as_csv(shown: Shown) -> None:
    asked = query(shown, "latest_slot", chart=TABLE, columns=["country", "city"]) | {"result_format": "csv"}
    rows = list(csv.DictReader(io.StringIO(shown.client("spaniard").post_for_text("chart/data", asked))))
    assert {row["Country"] for row in rows} == {"es"}
    assert {row["City"] for row in rows} >= {"Madrid", "Sevilla"}


def test_a_country_asks_no_dataset_outside_of_a_dashboard_and_no_sql(shown: Shown) -> None:
    client = shown.client("spaniard")
    for dataset in ("latest_slot", "store_availability"):
        with pytest.raises(DeployError, match="403"):
            client.post("chart/data", query(shown, dataset, columns=["country"]))
    with pytest.raises(DeployError, match="403"):
        client.post("sqllab/execute/", {"database_id": 1, "sql": "select 1", "client_id": "spaniard"})


def test_whoever_has_none_of_the_roles_gets_no_rows_even_with_access_to_all_datasets(shown: Shown) -> None:
    asked = query(shown, "latest_slot", columns=["country"])
    assert shown.client("editor").post("chart/data", asked)["result"][0]["data"] == []
