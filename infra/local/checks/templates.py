"""Checks the templates, their tables, the views and the country files."""

import tempfile
from pathlib import Path

from infra import analytics, etl, schema, vocabulary
from infra.country_file import DIRECTORY, CountryFile
from infra.errors import DeployError
from infra.local.checks.programs import run
from infra.local.config import ROOT, VENV

_TEMPLATES = ("artifacts", "network", "lake", "analytics", "country")
_ETL_TEMPLATES = [f"etls/{name}/{part}" for name in etl.NAMES for part in ("table", "country")]


def lint() -> list[str]:
    """Runs cfn-lint on the templates, including the views and saved queries that the deployment adds."""
    problems = run(VENV / "bin/cfn-lint", *(f"infra/{name}.yaml" for name in (*_TEMPLATES, *_ETL_TEMPLATES)))
    try:
        text = analytics.render((ROOT / "infra/analytics.yaml").read_text(), "storewatch")
    except DeployError as error:
        return [*problems, str(error)]
    with tempfile.TemporaryDirectory() as folder:
        rendered = Path(folder) / "analytics.yaml"
        rendered.write_text(text)
        return problems + run(VENV / "bin/cfn-lint", rendered)


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
