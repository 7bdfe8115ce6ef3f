"""A note as a Jupyter notebook."""

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import nbformat
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from infra.workbench.zeppelin import python, queries, results
from infra.workbench.zeppelin.forms import FORM, Answers, Parameters, parse
from infra.workbench.zeppelin.interpreters import Fate, fate
from infra.workbench.zeppelin.note import Note, Paragraph

_IMPORTS_SQL = re.compile(r"from storewatch import \(?[\w\s,]*\bsql\b")
# Longer ones are no queries, and are not searched for forms.
_LONGEST_CODE = 100_000
_DISABLED = "# Disabled in Zeppelin. To run it, delete this line and the # before the others."


@dataclass
class Converted:
    """The notebook, its parameters, how many cells it has of which kind, and what could not be turned."""

    cells: list[NotebookNode] = field(default_factory=list)
    parameters: Parameters = field(default_factory=Parameters)
    kinds: Counter[str] = field(default_factory=Counter)
    # Paragraph, as a user would look for it, and why.
    problems: list[tuple[str, str]] = field(default_factory=list)
    metadata: dict[str, Any] = field(default_factory=dict)

    def content(self) -> bytes:
        """The notebook's file. The same note always gives the same bytes."""
        notebook = new_notebook(cells=self.cells, metadata=self.metadata)
        nbformat.validate(notebook)
        # A lone surrogate is valid in JSON and in no file.
        return (nbformat.writes(notebook) + "\n").encode("utf-8", "replace")


def convert(note: Note, rights: Mapping[str, list[str]]) -> Converted:
    """The note's notebook. It is not signed: Jupyter shows its old results, but trusts none."""
    code = [one.code for one in note.paragraphs if fate(note, one).kind == "python"]
    made = Converted(parameters=Parameters(frozenset().union(*map(python.names, code))))
    made.metadata = {
        "kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"},
        "language_info": {"name": "python"},
        "zeppelin": {"id": note.id, "path": note.path, **{role: names for role, names in rights.items() if names}},
    }
    parameters_at = None
    for paragraph in note.paragraphs:
        before = len(made.cells)
        _add(made, note, paragraph)
        if parameters_at is None and made.parameters.values:
            parameters_at = before
    if parameters_at is not None and not any("parameters" in cell.metadata.get("tags", []) for cell in made.cells):
        made.cells.insert(parameters_at, _parameters_cell(made.parameters.source, "parameters"))
    elif parameters_at is not None:
        # A paragraph became the cell of parameters; later ones may have added to it.
        cell = next(cell for cell in made.cells if "parameters" in cell.metadata.get("tags", []))
        cell.source = made.parameters.source
    _import_sql(made)
    for variable in made.parameters.passwords:
        made.problems.append(("", f"the parameter {variable} is empty: it was a password, and those are not copied"))
    if made.kinds["spark sql"]:
        why = "its Spark SQL has got Trino's quotes, and may still use functions that Trino calls otherwise"
        made.problems.append(("", why))
    return made


def _add(made: Converted, note: Note, paragraph: Paragraph) -> None:
    code = paragraph.code.rstrip()
    if not code.strip():
        return
    name = f"p{paragraph.number}"
    answers = Answers(paragraph.params, note.params)
    where = f"{paragraph.number}" + (f" ({paragraph.title})" if paragraph.title else "")
    if paragraph.title:
        made.cells.append(new_markdown_cell(f"### {' '.join(paragraph.title.split())}", id=f"{name}-title"))
    kept, problems = results.kept(paragraph)
    chosen = fate(note, paragraph)
    if len(code) > _LONGEST_CODE:
        chosen = Fate("text", "", f"It has {len(code):,} characters. Copy from it what you need.")
    cell = _cell(made, chosen, code, paragraph, answers, problems)
    cell.id = name
    if cell.cell_type == "code":
        cell.outputs = [nbformat.from_dict(output) for output in results.outputs(kept)]
        _look(cell, paragraph)
        if not paragraph.enabled:
            made.kinds["disabled"] += 1
            problems.append("it was disabled: its lines are comments now")
            cell.source = "\n".join([_DISABLED, *(f"# {line}".rstrip() for line in cell.source.split("\n"))])
    elif chosen.kind != "markdown" and kept:
        shown, attachments = results.markdown(kept)
        cell.source += f"\n\nIts last result:\n\n{shown}"
        if attachments:
            cell.attachments = attachments
    elif chosen.kind == "markdown":
        # Markdown's result is the same text again.
        problems.clear()
    made.cells.append(cell)
    made.problems.extend((where, problem) for problem in problems)


def _cell(
    made: Converted, chosen: Fate, code: str, paragraph: Paragraph, answers: Answers, problems: list[str]
) -> NotebookNode:
    """The paragraph's cell, without its outputs."""
    if chosen.kind == "markdown":
        made.kinds["markdown"] += 1
        return new_markdown_cell(_filled(code, paragraph, answers))
    if chosen.kind == "python":
        made.kinds["python"] += 1
        found = python.convert(code, answers, made.parameters, paragraph.enabled)
        problems += [found.problem] * bool(found.problem)
        return _parameters_cell(found.source, "") if found.is_parameters else new_code_cell(found.source)
    if chosen.kind in ("sql", "spark sql"):
        try:
            source = queries.cell(code, answers, made.parameters, chosen.kind == "spark sql")
            made.kinds[chosen.kind] += 1
            return new_code_cell(source)
        except queries.NotReadingError as error:
            why = f"It begins with {error}, and sql() only reads. Ask who keeps the lake if you need a table."
            chosen = Fate("text", "sql", why)
    made.kinds["text"] += 1
    problems.append(f"kept as text: {chosen.why}")
    named = f"`%{paragraph.interpreter}`" if paragraph.interpreter else "without an interpreter's name"
    return new_markdown_cell(
        f"*From Zeppelin, {named}. It does not run here. {chosen.why}*\n\n{results.fenced(code, chosen.language)}"
    )


def _filled(code: str, paragraph: Paragraph, answers: Answers) -> str:
    """Markdown with the answers to its forms. What only looks like a form stays."""

    def fill(found: re.Match[str]) -> str:
        form = parse(found, answers)
        if form is None or form.name not in (paragraph.forms | paragraph.params.keys() | answers.note.keys()):
            return found[0]
        return form.delimiter.join(form.value) if isinstance(form.value, list) else str(form.value)

    return FORM.sub(fill, code)


def _parameters_cell(source: str, name: str) -> NotebookNode:
    cell = new_code_cell(source, metadata={"tags": ["parameters"]})
    cell.id = name or cell.id
    return cell


def _look(cell: NotebookNode, paragraph: Paragraph) -> None:
    """Hidden code and hidden results stay hidden."""
    hidden = {"source_hidden": paragraph.source_hidden, "outputs_hidden": paragraph.result_hidden}
    if chosen := {key: True for key, value in hidden.items() if value}:
        cell.metadata["jupyter"] = chosen


def _import_sql(made: Converted) -> None:
    """Puts the import before the first code, unless a cell before the first query has it."""
    code = [at for at, cell in enumerate(made.cells) if cell.cell_type == "code"]
    asks = [at for at in code if re.match(r"(?:display\()?sql\(", made.cells[at].source)]
    if asks and not any(_IMPORTS_SQL.search(made.cells[at].source) for at in code if at < asks[0]):
        made.cells.insert(code[0], new_code_cell("from storewatch import sql", id="imports"))
