"""Makes a dataset of each table and view of the lake, for analysts' own charts and for row-level security.

Superset holds a rule against a table's name wherever a query reads it, also in SQL Lab and within other datasets, but only
if there is a dataset of that name. So no table may lack one.
"""

from infra import schema
from infra.dashboard.files import Dataset

# Hive's names in tables, the engine's in views.
_TYPES = {"string": "VARCHAR", "timestamp(3)": "TIMESTAMP"}
_ROWS = {"rows": {"verbose_name": "Rows", "expression": "count(*)", "d3format": ",d"}}


def datasets() -> dict[str, Dataset]:
    """A dataset a table or view, under its name."""
    found: list[tuple[str, str, list[schema.Column]]] = [
        (table.name, table.description, [*table.keys, *table.columns]) for table in schema.tables()
    ]
    found += [(view.name, view.summary, view.columns) for view in schema.views()]
    return {name: _dataset(name, description, columns) for name, description, columns in found}


def _dataset(name: str, description: str, columns: list[schema.Column]) -> Dataset:
    types = {column.name: _TYPES.get(column.type, column.type.upper()) for column in columns}
    return Dataset(
        name=name,
        sql=f"select {', '.join(types)}\nfrom {name}" + ("\nwhere ${days 7}" if "day" in types else ""),
        columns=types,
        metrics=_ROWS,
        description=description,
        main_dttm_col="slot" if types.get("slot") == "TIMESTAMP" else None,
        notes={column.name: column.comment for column in columns},
    )
