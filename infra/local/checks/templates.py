"""Checks the templates, their tables, the views and the country files."""

import tempfile
from pathlib import Path

from infra import accounts, analytics, etl, schema, vocabulary
from infra.buckets import Place
from infra.country_file import DIRECTORY, CountryFile
from infra.errors import DeployError
from infra.local.checks.programs import run
from infra.local.config import ROOT, VENV

_TEMPLATES = ("artifacts", "network", "lake", "analytics", "country", "workbench")
_ETL_TEMPLATES = [f"etls/{name}/{part}" for name in etl.NAMES for part in ("table", "country")]


def lint() -> list[str]:
    """Runs cfn-lint on the templates, also with what the deployment adds: views, saved queries, countries in other accounts."""
    problems = run(VENV / "bin/cfn-lint", *(f"infra/{name}.yaml" for name in (*_TEMPLATES, *_ETL_TEMPLATES)))
    place, away = Place("aws", "111122223333", "eu-west-1"), {"fr": "444455556666", "pt": "444455556666"}
    with tempfile.TemporaryDirectory() as folder:
        try:
            texts = {
                "analytics.yaml": analytics.render((ROOT / "infra/analytics.yaml").read_text(), "storewatch"),
                "lake.yaml": accounts.render((ROOT / "infra/lake.yaml").read_text(), place, "storewatch", away),
            }
        except DeployError as error:
            return [*problems, str(error)]
        for name, text in texts.items():
            Path(folder, name).write_text(text)
        return problems + run(VENV / "bin/cfn-lint", *(Path(folder, name) for name in texts))


def tables() -> list[str]:
    """The catalog's tables have the columns that the functions write, with the same types and order."""
    templates = {table.name: [(column.name, column.type) for column in table.columns] for table in schema.tables()}
    written = vocabulary.COLUMNS
    problems = [
        f"{name}: only one of lake.yaml and the functions has {' '.join(pair)}"
        for name in sorted(templates.keys() | written.keys())
        for pair in sorted(set(templates.get(name, [])) ^ set(written.get(name, [])))
    ]
    if not problems and templates != written:
        problems.append("the columns of lake.yaml and of the functions are in different orders")
    return problems


def country_files() -> list[str]:
    """Every country file is valid TOML for the country of its name, and names only secrets that it may."""
    problems = []
    for path in sorted(DIRECTORY.glob("*.toml")):
        try:
            CountryFile.load(path.stem).check_secrets("storewatch")
        except DeployError as error:
            problems.append(str(error))
    return problems
