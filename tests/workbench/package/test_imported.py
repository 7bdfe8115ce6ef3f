"""A note that came over from Zeppelin asks the lake what it asked before, with the package and on the engine."""

from pathlib import Path

import pytest

from tests.harness.lakes import Lake
from tests.workbench.package.notebook import Notebook
from tests.workbench.zeppelin_notes import one, paragraph

ANSWERED = {"params": {"country": "es", "days": ["2026-03-24", "2026-03-25"]}, "forms": {}}
DAYS = "${checkbox(', '):days=2026-03-24,2026-03-24|2026-03-25}"
PARAGRAPHS = {
    # Athena's and Trino's SQL: a remark with what must not be split, and an answer of several values.
    "jdbc": f"%jdbc(athena)\nselect country, day, outcome, stores\nfrom country_ticks -- :no; {{}}\n"
    f"where country = '${{country=mx,es|mx}}' and day in ('{DAYS}') and error is null;\n",
    # Spark's: names between backticks, and texts between double quotes.
    "spark": "%spark.sql\nselect `country`, `day`, `outcome`, `stores` from `country_ticks`\n"
    'where country = "${country=mx}" and day in ("2026-03-24", "2026-03-25") and error is null',
}


@pytest.mark.parametrize("kind", PARAGRAPHS)
def test_an_imported_query_returns_the_lakes_rows(kind: str, notebook: Notebook, lake: Lake, tmp_path: Path) -> None:
    imports, parameters, query = one(tmp_path, paragraph(PARAGRAPHS[kind], settings=ANSWERED)).sources()
    ran = notebook.run(f"{imports}\n{parameters}\nresult = {query}")
    names = ("country", "day", "outcome", "stores")
    wanted = [
        {name: row[name] for name in names}
        for row in lake.tables["country_ticks"]
        if row["country"] == "es" and row["day"] in ("2026-03-24", "2026-03-25") and row["error"] is None
    ]
    assert wanted

    def by_values(row: dict[str, object]) -> str:
        return repr(sorted(row.items()))

    assert sorted(ran.dicts, key=by_values) == sorted(wanted, key=by_values)
