"""Notebooks as notes for those who stay with Zeppelin: Markdown, forms, plain SQL for its engine, and Python.

The parameters become forms of the whole note, `z.noteTextbox` in Python and `$${…}` in SQL, so that an answer is given
once and holds for both, as a parameter does.
"""

import ast
import hashlib
import io
import json
import re
import tokenize
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from infra.workbench.zeppelin import python
from infra.workbench.zeppelin.forms import literal

_EDITORS = {"md": "markdown", "python": "python"}


class ExportError(Exception):
    """A notebook cannot be exported. The message says which, why, and what to do."""


def run(notebooks: Path, to: Path, interpreter: str) -> list[Path]:
    """Writes each notebook of a folder as `Name_ID.zpln` into another, over what an earlier export wrote."""
    found = sorted(notebooks.glob("*.ipynb"))
    if not found:
        raise ExportError(f"{notebooks} has no notebooks (.ipynb)")
    notes = [(path, note(path, interpreter)) for path in found]
    to.mkdir(parents=True, exist_ok=True)
    written = []
    for path, made in notes:
        target = to / f"{path.stem}_{made['id']}.zpln"
        target.write_text(json.dumps(made, indent=2, ensure_ascii=False) + "\n")
        written.append(target)
    return written


def note(path: Path, interpreter: str) -> dict[str, Any]:
    """The notebook as Zeppelin 0.9 and later write a note. Outputs stay behind."""
    try:
        cells = json.loads(path.read_text())["cells"]
        texts = [(cell["cell_type"], "".join(cell["source"]), cell.get("metadata", {})) for cell in cells]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ExportError(f"{path} is no notebook: {error!r}") from error
    # Parameters that a later cell sets anew have another value in its queries than the form has.
    code = [source for kind, source, metadata in texts if kind == "code" and not _is_parameters(metadata)]
    changed = set().union(*map(python.names, code))
    parameters: dict[str, Any] = {}
    # Its bytes decide the id, so that a note is replaced by its next export, and never by another note.
    number = "2" + hashlib.sha256(path.stem.encode()).hexdigest()[:8].upper()
    created = datetime.fromtimestamp(path.stat().st_mtime, UTC).strftime("%Y-%m-%d %H:%M:%S.000")
    paragraphs = []
    for at, (kind, source, metadata) in enumerate(texts, 1):
        if kind == "code" and _is_parameters(metadata):
            parameters = {name: value for name, value in _values(source) if name not in changed}
        text = _text(kind, source, metadata, parameters, interpreter)
        hidden = kind == "markdown" or bool(metadata.get("jupyter", {}).get("source_hidden"))
        paragraphs.append(_paragraph(f"paragraph_{number}_{at}", text, hidden, created))
    return {
        "paragraphs": paragraphs,
        "name": path.stem,
        "id": number,
        "defaultInterpreterGroup": "python",
        "version": "0.10.1",
        "noteParams": {},
        "noteForms": {},
        "angularObjects": {},
        "config": {"isZeppelinNotebookCronEnable": False},
        "info": {},
    }


def _is_parameters(metadata: Mapping[str, Any]) -> bool:
    return "parameters" in metadata.get("tags", [])


def _paragraph(number: str, text: str, hidden: bool, created: str) -> dict[str, Any]:
    interpreter = re.sub(r"\(.*", "", text.split("\n")[0].removeprefix("%"))
    language = _EDITORS.get(interpreter, "sql")
    return {
        "text": text,
        "user": "anonymous",
        "progress": 0,
        "config": {
            "colWidth": 12.0,
            "enabled": True,
            "editorHide": hidden,
            "editorSetting": {"language": language, "editOnDblClick": language == "markdown"},
            "editorMode": f"ace/mode/{language}",
            "results": {},
        },
        "settings": {"params": {}, "forms": {}},
        "apps": [],
        "runtimeInfos": {},
        "progressUpdateIntervalMs": 500,
        "jobName": number,
        "id": number,
        "dateCreated": created,
        "status": "READY",
    }


def _text(kind: str, source: str, metadata: Mapping[str, Any], parameters: Mapping[str, Any], interpreter: str) -> str:
    if kind != "code":
        return f"%md\n{source}"
    if _is_parameters(metadata):
        return f"%python\n{_forms(source)}"
    query = _query(source, parameters)
    return f"%python\n{source}" if query is None else f"%{interpreter}\n{query}"


def _values(source: str) -> Iterator[tuple[str, Any]]:
    """The parameters whose values are written out."""
    for target, value in _assignments(source):
        try:
            yield target, ast.literal_eval(value)
        except ValueError:
            continue


def _assignments(source: str) -> Iterator[tuple[str, ast.expr]]:
    for statement in ast.parse(source).body:
        if isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name):
            yield statement.targets[0].id, statement.value
        elif isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name) and statement.value:
            yield statement.target.id, statement.value


def _forms(source: str) -> str:
    """The parameters' cell with a form for each value that a form can give back as it was."""
    lines = source.split("\n")
    for target, node in reversed(list(_assignments(source))):
        try:
            form = _form(target, ast.literal_eval(node))
        except ValueError:
            continue
        if form and node.lineno == node.end_lineno:
            line = lines[node.lineno - 1].encode()
            lines[node.lineno - 1] = (line[: node.col_offset] + form.encode() + line[node.end_col_offset :]).decode()
    return "\n".join(lines)


def _form(name: str, value: Any) -> str:
    if value is None:
        return f'z.noteTextbox("{name}", "") or None'
    if isinstance(value, str):
        return f'z.noteTextbox("{name}", {literal(value)})'
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return f'{type(value).__name__}(z.noteTextbox("{name}", "{value!r}"))'
    return ""


def _query(source: str, parameters: Mapping[str, Any]) -> str | None:
    """The SQL of a cell that is nothing but sql(…) of a text, parameters in it as forms; else None."""
    try:
        body = ast.parse(source).body
        has_remark = any(
            token.type == tokenize.COMMENT for token in tokenize.generate_tokens(io.StringIO(source).readline)
        )
    except (SyntaxError, tokenize.TokenError):
        return None
    if has_remark or len(body) != 1 or not isinstance(body[0], ast.Expr):
        return None
    call = body[0].value
    if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Name) or call.func.id != "sql":
        return None
    if len(call.args) != 1:
        return None
    text = _template(call.args[0], parameters)
    for key in call.keywords:
        if text is None or not isinstance(key.value, ast.Name) or key.arg is None:
            return None
        form = _placeholder(key.value.id, parameters)
        quoted = f"'{form}'" if isinstance(parameters.get(key.value.id), str) else form
        text = form and re.sub(rf"(?<![:\w]):{key.arg}\b", lambda _, quoted=quoted: quoted, text)  # type: ignore[misc]
    return text.strip("\n") if text else None


def _template(node: ast.expr, parameters: Mapping[str, Any]) -> str | None:
    parts = node.values if isinstance(node, ast.JoinedStr) else [node]
    made = ""
    for part in parts:
        if isinstance(part, ast.Constant) and isinstance(part.value, str) and "${" not in part.value:
            made += part.value
        elif isinstance(part, ast.FormattedValue) and part.conversion == -1 and not part.format_spec:
            form = _placeholder(part.value.id, parameters) if isinstance(part.value, ast.Name) else ""
            if not form:
                return None
            made += form
        else:
            return None
    return made


def _placeholder(name: str, parameters: Mapping[str, Any]) -> str:
    """A form of the whole note, if its syntax can say the value."""
    value = parameters.get(name)
    is_plain = isinstance(value, (str, int, float)) and not isinstance(value, bool)
    return f"$${{{name}={value}}}" if is_plain and not re.search(r"[,=|{}'\n]", str(value)) else ""
