"""The project's notebooks as notes: Zeppelin finds what it needs, and a note that comes back is the notebook again."""

import json
from pathlib import Path

import pytest

from infra.packaging import ROOT
from tests.workbench.zeppelin_notes import Json, asked, imported, quickly, write


def cell(kind: str, source: str, *tags: str) -> Json:
    """A notebook's cell."""
    code: Json = {"execution_count": None, "outputs": []} if kind == "code" else {}
    metadata = {"tags": list(tags)} if tags else {}
    return {"cell_type": kind, "metadata": metadata, "source": source.splitlines(keepends=True), **code}


PARAMETERS = """# Which country, and which days.
country = "es"
first = None  # the newest whole week
limit = 20
share = 0.5
cities = ["Madrid", "Vigo"]
note = "it's ¡bueno!\""""
NOTEBOOK: Json = {
    "nbformat": 4,
    "nbformat_minor": 4,
    "metadata": {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}},
    "cells": [
        cell("markdown", "# The worst stores\n\nOf *one* week."),
        cell("code", "from storewatch import outages, sql"),
        cell("code", PARAMETERS, "parameters"),
        cell("code", 'sql("select 1")'),
        cell(
            "code",
            'sql("""\nselect * from "t"\nwhere country = :country\n  and n < :limit\n""", country=country, limit=limit)',
        ),
        cell("code", "sql(f\"select '{country}', '{{x}}', {share}\")"),
        cell("code", "# Needs its answer.\nframe = sql('select 2')\nframe.head()"),
        cell("code", "outages(country, first)"),
        cell("code", "sql('select :first', first=first)"),
    ],
}


def exported(folder: Path, *options: str, notebook: Json = NOTEBOOK) -> Json:
    """The note of a notebook."""
    write(folder / "notebooks/worst stores.ipynb", notebook)
    ended = quickly("export", folder / "notes", "--notebooks", folder / "notebooks", *options)
    assert ended.status == 0, ended.errors
    (path,) = (folder / "notes").iterdir()
    note = json.loads(path.read_text())
    assert path.name == f"worst stores_{note['id']}.zpln"
    assert ended.printed == f"{path}\n"
    return note


def same_cells(before: list[Json], after: list[Json], monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """Cells are kept: the same kinds, texts, code and parameters; sql(…) that became SQL and back asks the same."""
    assert [one["cell_type"] for one in after] == [one["cell_type"] for one in before]
    assert asked(after, monkeypatch, folder) == asked(before, monkeypatch, folder)
    for old, new in zip(before, after, strict=True):
        assert old["metadata"].get("tags") == new["metadata"].get("tags")
        if not (new["source"].startswith("sql(") and old["source"].startswith("sql(")):
            assert new["source"] == old["source"]


def test_a_paragraph_has_the_interpreter_of_its_cell(tmp_path: Path) -> None:
    note = exported(tmp_path)
    texts = [paragraph["text"] for paragraph in note["paragraphs"]]
    forms = """%python
# Which country, and which days.
country = z.noteTextbox("country", "es")
first = z.noteTextbox("first", "") or None  # the newest whole week
limit = int(z.noteTextbox("limit", "20"))
share = float(z.noteTextbox("share", "0.5"))
cities = ["Madrid", "Vigo"]
note = z.noteTextbox("note", "it's ¡bueno!")"""
    assert texts == [
        "%md\n# The worst stores\n\nOf *one* week.",
        "%python\nfrom storewatch import outages, sql",
        forms,
        "%athena\nselect 1",
        "%athena\nselect * from \"t\"\nwhere country = '$${country=es}'\n  and n < $${limit=20}",
        "%athena\nselect '$${country=es}', '{x}', $${share=0.5}",
        "%python\n# Needs its answer.\nframe = sql('select 2')\nframe.head()",
        "%python\noutages(country, first)",
        "%python\nsql('select :first', first=first)",
    ]
    assert [paragraph["config"]["editorSetting"]["language"] for paragraph in note["paragraphs"][:4]] == [
        "markdown",
        "python",
        "python",
        "sql",
    ]
    assert len({paragraph["id"] for paragraph in note["paragraphs"]}) == len(texts)


@pytest.mark.smoke
def test_what_comes_back_is_what_was_exported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    exported(tmp_path)
    done = imported(tmp_path / "notes", tmp_path / "out")
    before = [{**one, "source": "".join(one["source"])} for one in NOTEBOOK["cells"]]
    same_cells(before, done.cells("ana/worst stores.ipynb"), monkeypatch, tmp_path)
    assert done.report["problems"] == []


def test_the_notebooks_that_come_with_it_come_back_from_zeppelin(tmp_path: Path) -> None:
    notebooks = sorted((ROOT / "infra/workbench/notebooks").glob("*.ipynb"))
    assert notebooks
    for path in notebooks:
        write(tmp_path / "notebooks" / path.name, path.read_bytes())
    ended = quickly("export", tmp_path / "notes", "--notebooks", tmp_path / "notebooks")
    assert ended.status == 0, ended.errors
    done = imported(tmp_path / "notes", tmp_path / "out")
    for path in (tmp_path / "notebooks").iterdir():
        before = ["".join(one["source"]) for one in json.loads(path.read_text())["cells"]]
        cells = done.cells(f"ana/{path.name}")
        assert len(cells) == len(before)
        for old, new in zip(before, cells, strict=True):
            assert new["source"] == old
    assert done.report["problems"] == []


def test_a_parameter_that_a_cell_sets_anew_is_no_form_of_a_query(tmp_path: Path) -> None:
    anew = cell("code", "country = country or 'es'")
    parameters, query = cell("code", 'country = ""', "parameters"), cell("code", "sql('select :c', c=country)")
    note = exported(tmp_path, notebook={**NOTEBOOK, "cells": [parameters, anew, query]})
    assert note["paragraphs"][2]["text"] == "%python\nsql('select :c', c=country)"


def test_sql_can_go_to_another_interpreter(tmp_path: Path) -> None:
    texts = [paragraph["text"] for paragraph in exported(tmp_path, "--interpreter", "jdbc(athena)")["paragraphs"]]
    assert "%jdbc(athena)\nselect 1" in texts


def test_a_second_export_writes_the_same_file(tmp_path: Path) -> None:
    assert exported(tmp_path)["id"] == exported(tmp_path)["id"]


def test_an_answer_in_zeppelin_comes_back_as_the_parameter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    note = exported(tmp_path)
    note["noteParams"] = {"country": "mx", "limit": "7"}
    write(tmp_path / "answered/A_2AAAAAAAA.zpln", note)
    cells = imported(tmp_path / "answered", tmp_path / "out").cells("ana/A_2AAAAAAAA.ipynb")
    assert asked(cells, monkeypatch, tmp_path)[1].split("\n")[1:] == ["where country = 'mx'", "  and n < 7"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"{", "is no notebook: JSONDecodeError"),
        (b"[]", "is no notebook: TypeError"),
        (b"{}", "is no notebook: KeyError"),
    ],
)
def test_a_notebook_that_cannot_be_read_stops_before_anything_is_written(
    content: bytes, message: str, tmp_path: Path
) -> None:
    write(tmp_path / "notebooks/a.ipynb", NOTEBOOK)
    write(tmp_path / "notebooks/b.ipynb", content)
    ended = quickly("export", tmp_path / "notes", "--notebooks", tmp_path / "notebooks")
    assert ended.status == 2
    assert ended.errors.startswith(f"export-notes: {tmp_path}/notebooks/b.ipynb {message}")
    assert not (tmp_path / "notes").exists()


def test_a_folder_without_notebooks_is_one_sentence(tmp_path: Path) -> None:
    ended = quickly("export", tmp_path / "notes", "--notebooks", tmp_path)
    assert (ended.status, ended.errors) == (2, f"export-notes: {tmp_path} has no notebooks (.ipynb)\n")


def test_a_place_that_is_no_folder_is_one_sentence(tmp_path: Path) -> None:
    write(tmp_path / "notebooks/a.ipynb", NOTEBOOK)
    write(tmp_path / "notes", b"a file")
    ended = quickly("export", tmp_path / "notes", "--notebooks", tmp_path / "notebooks")
    assert (ended.status, ended.errors) == (2, f"export-notes: {tmp_path}/notes cannot be written: File exists\n")
