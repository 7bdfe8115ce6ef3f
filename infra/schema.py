"""What analysts see: tables read from lake.yaml, views and saved queries from .sql files.

The deployment, docs/tables.md, its check and the tests all read it from here, so they cannot differ.
"""

import re
from dataclasses import dataclass
from pathlib import Path

from samtranslator.yaml_helper import yaml_parse

from infra.errors import DeployError

_HERE = Path(__file__).resolve().parent
ROOT = _HERE.parent
VIEWS = _HERE / "views"
QUERIES = _HERE / "queries"

# View comments use the engine's types; the catalog wants Hive's.
_HIVE = {
    "varchar": "string",
    "bigint": "bigint",
    "double": "double",
    "boolean": "boolean",
    "date": "date",
    "timestamp(3)": "timestamp",
}


@dataclass(frozen=True)
class Column:
    """A column: its type, written as in its table or view, and its meaning."""

    name: str
    type: str
    comment: str


@dataclass(frozen=True)
class Table:
    """A table of the catalog."""

    name: str
    description: str
    columns: list[Column]
    keys: list[Column]


@dataclass(frozen=True)
class View:
    """A view: what it counts, its pitfalls, its columns, and its query."""

    name: str
    summary: str
    notes: str
    columns: list[Column]
    sql: str

    def hive_type(self, column: Column) -> str:
        """A column's type in the catalog's spelling."""
        return _HIVE[column.type]


@dataclass(frozen=True)
class Query:
    """A worked query: what it answers, how to read it, and its text."""

    name: str
    title: str
    notes: str
    sql: str


def tables() -> list[Table]:
    """The tables, in the order of lake.yaml."""
    resources = yaml_parse((_HERE / "lake.yaml").read_text())["Resources"].values()
    found = [entry["Properties"]["TableInput"] for entry in resources if entry["Type"] == "AWS::Glue::Table"]
    return [
        Table(
            table["Name"],
            table["Description"],
            [_column(column) for column in table["StorageDescriptor"]["Columns"]],
            [_column(column) for column in table["PartitionKeys"]],
        )
        for table in found
    ]


def views() -> list[View]:
    """The views, by name. A view may come before one that it uses: engines resolve them when queried."""
    return [_view(file) for file in sorted(VIEWS.glob("*.sql"))]


def queries() -> list[Query]:
    """The worked queries, in the order of their file numbers."""
    return [_query(file) for file in sorted(QUERIES.glob("*.sql"))]


def _column(entry: dict[str, str]) -> Column:
    return Column(entry["Name"], entry["Type"], entry.get("Comment", ""))


def _view(file: Path) -> View:
    paragraphs, sql = _split(file)
    if len(paragraphs) != 3:
        raise DeployError(f"{file}: its comment needs three paragraphs: a sentence, what it counts, its columns")
    summary, notes, listing = paragraphs
    columns = []
    for line in listing:
        match = re.fullmatch(r"(\w+) +(\S+) +(\S.*)", line)
        if not match or match[2] not in _HIVE:
            raise DeployError(f"{file}: `{line}` is no column: write a name, one of {', '.join(_HIVE)}, and a comment")
        columns.append(Column(*match.groups()))
    return View(file.stem, " ".join(summary), " ".join(notes), columns, sql)


def _query(file: Path) -> Query:
    paragraphs, sql = _split(file)
    if len(paragraphs) != 2:
        raise DeployError(f"{file}: its comment needs two paragraphs: what it answers, how to read it")
    title, notes = paragraphs
    return Query(file.stem, " ".join(title).rstrip("."), " ".join(notes), sql)


def _split(file: Path) -> tuple[list[list[str]], str]:
    """A file's opening comment as paragraphs of lines, and the statement after it."""
    comment, _, sql = file.read_text().partition("\n\n")
    lines = comment.splitlines()
    if not sql.strip() or not all(line.startswith("--") for line in lines):
        raise DeployError(f"{file}: must be a comment, an empty line, and a statement")
    text = "\n".join(line.removeprefix("--").strip() for line in lines)
    return [paragraph.splitlines() for paragraph in text.split("\n\n")], sql.strip()
