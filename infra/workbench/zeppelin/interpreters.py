"""What becomes of a paragraph, by the interpreter that it names."""

from dataclasses import dataclass

from infra.workbench.zeppelin.note import Note, Paragraph

_MARKDOWN = {"md", "markdown"}
_PYTHON = {"python", "ipython"}
# Engines over a lake. A JDBC alias that is none of _DATABASES is one too.
_LAKE = {"athena", "trino", "presto", "prestodb", "jdbc"}
_SPARK_SQL = {"hive", "sql", "sparksql"}
_DATABASES = {
    *("postgres", "postgresql", "psql", "mysql", "mariadb", "oracle", "mssql", "sqlserver", "db2", "redshift"),
    *("snowflake", "bigquery", "phoenix", "clickhouse", "cassandra", "mongodb", "neo4j", "influxdb", "kylin", "ksql"),
}
_ELASTIC = {"elasticsearch", "opensearch"}
_SHELL = {"sh", "shell"}


@dataclass(frozen=True)
class Fate:
    """The kind of cell that a paragraph becomes; for text, its language and why it does not run."""

    kind: str
    language: str = ""
    why: str = ""


def fate(note: Note, paragraph: Paragraph) -> Fate:
    """Markdown, SQL for the lake (`sql`, or `spark sql` with other quotes), Python, or text."""
    name = paragraph.interpreter.lower() or note.group.lower()
    group, _, last = name.partition(".")
    last = last.rpartition(".")[2] or group
    if group in _MARKDOWN:
        return Fate("markdown")
    if group in _PYTHON and last in _PYTHON:
        return Fate("python")
    alias = next((key.lower() for key, value in paragraph.properties.items() if key == value), "")
    database = next((word for word in (alias, group) if word in _DATABASES), "")
    if database:
        return _text(
            "sql", f"It asked {database}, not the lake", 'For a country\'s database use postgres("es").sql(…).'
        )
    if group in _LAKE:
        return Fate("spark sql" if alias in _SPARK_SQL else "sql")
    if name == "sql" and note.group.lower() in _LAKE:
        return Fate("sql")
    if name in _SPARK_SQL or (group in ("spark", "livy", "hive") and last in ("sql", "hive")):
        return Fate("spark sql")
    return _kept_as_text(group, last, paragraph.interpreter or note.group)


def _kept_as_text(group: str, last: str, name: str) -> Fate:
    if group in ("spark", "pyspark", "ipyspark", "livy", "spark-submit", "sparkr"):
        language = "python" if "py" in last else "r" if last in ("r", "ir", "sparkr") else "scala"
        return _text(language, "The workbench has no Spark", "Ask with sql(), and work on the answer in Python.")
    if group in _SHELL:
        return _text("bash", "It was a shell paragraph", "Put ! before each line in a code cell, or use Python.")
    if group == "flink":
        return _text("sql" if "sql" in last else "scala", "The workbench has no Flink", "Ask the lake with sql().")
    if group in ("r", "ir", "knitr"):
        return _text("r", "The workbench has no R", "Write it in Python; pandas has data frames too.")
    if group in _ELASTIC:
        return _text("", "It asked Elasticsearch by itself", 'Use live_view("es").search(…).')
    if group == "python" and last == "sql":
        return _text("sql", "It asked data frames, not the lake", "Use the data frame's own methods, such as query().")
    if group in ("angular", "html"):
        return _text("html", "Jupyter does not run a page's scripts", "Show its data with display().")
    return _text("", f"The workbench has nothing that runs %{name}", "Write it again as SQL or Python.")


def _text(language: str, why: str, instead: str) -> Fate:
    return Fate("text", language, f"{why}. {instead}")
