"""A paragraph's Python: Zeppelin's `z` becomes Jupyter's `display` and the notebook's parameters."""

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from infra.workbench.zeppelin.forms import Answers, Form, Parameters, literal

_KINDS = {"input": "text", "textbox": "text", "select": "select", "checkbox": "checkbox", "password": "password"}
# What export.py writes around a form, so that a parameter that is no text stays so.
_WRAPPERS = {"int": int, "float": float}
# The rest of Zeppelin's context. A `z` with other methods is the notebook's own variable.
_CONTEXT = {
    *("put", "get", "getAsDataFrame", "remove", "contains", "add", "getInterpreterContext", "configure_mpl"),
    *("run", "runNote", "runAll", "angular", "angularBind", "angularUnbind", "registerHook", "unregisterHook"),
}
# What ast.parse raises; the last two for code that is nested too deeply.
_UNPARSED = (SyntaxError, ValueError, RecursionError, MemoryError)
# IPython's lines: %timeit f(), !ls, help?
_MAGIC = re.compile(r"\s*[%!?]|\s*[\w.]+\?{1,2}\s*$")


@dataclass(frozen=True)
class Converted:
    """A cell's code, and what of it will not run as it did."""

    source: str
    problem: str = ""
    is_parameters: bool = False


def convert(code: str, answers: Answers, parameters: Parameters, may_adopt: bool) -> Converted:
    """The paragraph's code for Jupyter. With `may_adopt`, one that only sets parameters becomes the parameters' cell."""
    try:
        tree = _parse(code)
    except _UNPARSED as error:
        # %%bash and the like are not Python, and run all the same.
        what = getattr(error, "msg", "") or str(error)
        return Converted(code, "" if code.startswith("%%") else f"kept as it was: it is not valid Python 3 ({what})")
    if may_adopt and not parameters.values and (adopted := _adopted(code, tree, answers, parameters)) is not None:
        return Converted(adopted, is_parameters=True)
    trial = Parameters(parameters.others, dict(parameters.values))
    edits = list(_edits(code, tree, answers, trial))
    source = _edited(code, edits).strip("\n")
    try:
        used = {_method(node) for node in ast.walk(_parse(source))}
    except SyntaxError:
        return Converted(code, "kept as it was: its forms stand where a variable cannot")
    parameters.take(trial)
    left = sorted(f"z.{name}()" for name in used if name in _CONTEXT or _kind(name))
    return Converted(source, f"still uses {', '.join(left)}, which only Zeppelin has" if left else "")


def names(code: str) -> set[str]:
    """The names that the paragraph's code gives to other things than forms."""
    try:
        tree = _parse(code)
    except _UNPARSED:
        return set()
    nothing = Answers({}, {})
    asks = {
        one
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign) and _named_form(node, nothing)
        for one in node.targets
    }
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store) and node not in asks:
            found.add(node.id)
        elif isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            found.add(node.name)
        elif isinstance(node, ast.alias):
            found.add(node.asname or node.name.partition(".")[0])
    return found


def _named_form(node: ast.Assign, answers: Answers) -> bool:
    try:
        return _named(node.value, answers)[1]
    except (ValueError, TypeError):
        return _form(node.value, answers) is not None


def _parse(code: str) -> ast.Module:
    try:
        return ast.parse(code)
    except SyntaxError:
        # Without IPython's lines, but with as many lines.
        lines = (re.sub(r"\S.*", "pass", line) if _MAGIC.match(line) else line for line in code.split("\n"))
        return ast.parse("\n".join(lines))


def _method(node: ast.AST) -> str:
    """The name of the method if the node calls one of `z`."""
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and isinstance(node.func.value, ast.Name):
        return node.func.attr if node.func.value.id == "z" else ""
    return ""


def _kind(method: str) -> str:
    """The kind of form that a method asks for; z.noteSelect is z.select for the whole note."""
    return _KINDS.get(method.removeprefix("note").lower(), "")


def _form(node: ast.AST, answers: Answers) -> Form | None:
    """The form that a call asks for, if all that it says is written out."""
    name = _method(node)
    kind = _kind(name)
    if not kind or not isinstance(node, ast.Call):
        return None
    order = ("name", "options", "default") if kind in ("select", "checkbox") else ("name", "default")
    try:
        given = dict(zip(order, map(ast.literal_eval, node.args), strict=False))
        for key in node.keywords:
            is_default = key.arg in ("defaultValue", "defaultChecked")
            given["default" if is_default else key.arg or ""] = ast.literal_eval(key.value)
        options = tuple(pair[0] if isinstance(pair, (tuple, list)) else pair for pair in given.get("options", ()))
    except (ValueError, TypeError, IndexError):
        return None
    if not isinstance(given.get("name"), str):
        return None
    default = given.get("default", [] if kind == "checkbox" else "")
    answer = answers.of(given["name"], name.startswith("note"))
    return Form(given["name"], "" if kind == "password" else default if answer is None else answer, kind, options)


_Edit = tuple[int, int, str]


def _span(code: str, node: ast.expr | ast.stmt) -> tuple[int, int]:
    """Where a node is in the encoded text; ast counts lines and bytes."""
    before = [0]
    for line in code.encode().split(b"\n"):
        before.append(before[-1] + len(line) + 1)
    end_line, end = node.end_lineno or node.lineno, node.end_col_offset or 0
    return before[node.lineno - 1] + node.col_offset, before[end_line - 1] + end


def _edited(code: str, edits: list[_Edit]) -> str:
    content = code.encode()
    for start, end, text in sorted(edits, reverse=True):
        content = content[:start] + text.encode() + content[end:]
    return content.decode()


def _edits(code: str, tree: ast.Module, answers: Answers, parameters: Parameters) -> Iterator[_Edit]:
    """Replacements as (start, end, text), none inside of another."""
    done: set[ast.AST] = set()
    for statement in tree.body:
        # NAME = z.input(…): the parameter has the variable's name, and the line is not needed any more.
        if isinstance(statement, ast.Assign) and len(statement.targets) == 1:
            target, form = statement.targets[0], _form(statement.value, answers)
            if isinstance(target, ast.Name) and form:
                variable = parameters.add(form, target.id)
                done.update(ast.walk(statement))
                start, end = _span(code, statement)
                alone = "" if _is_alone(code, start, end) else "pass"
                yield start, end, alone if variable == target.id else f"{target.id} = {variable}"
    for node in ast.walk(tree):
        if node in done or not isinstance(node, ast.Call):
            continue
        if form := _form(node, answers):
            done.update(ast.walk(node))
            yield (*_span(code, node), parameters.add(form))
        elif _method(node) == "show" and node.args:
            if isinstance(node.args[0], ast.Name) and node.args[0].id in ("plt", "pyplot"):
                done.update(ast.walk(node))
                yield (*_span(code, node), f"{node.args[0].id}.show()")
            else:
                yield (*_span(code, node.func), "display")


def _is_alone(code: str, start: int, end: int) -> bool:
    """Whether a statement has its lines for itself."""
    content = code.encode()
    after = content[end:].partition(b"\n")[0].strip()
    return content[max(start - 1, 0) : start] in (b"", b"\n") and (not after or after.startswith(b"#"))


def _adopted(code: str, tree: ast.Module, answers: Answers, parameters: Parameters) -> str | None:
    """The paragraph with its forms' values in their places, if it does nothing but name values."""
    found: dict[str, Any] = {}
    edits = []
    for statement in tree.body:
        if not (isinstance(statement, ast.Assign) and len(statement.targets) == 1):
            return None
        target = statement.targets[0]
        if not isinstance(target, ast.Name) or target.id in found:
            return None
        try:
            found[target.id], is_form = _named(statement.value, answers)
        except (ValueError, TypeError):
            return None
        if is_form:
            edits.append((*_span(code, statement.value), literal(found[target.id])))
    if not edits:
        return None
    parameters.adopt(source := _edited(code, edits), found)
    return source


def _named(node: ast.expr, answers: Answers) -> tuple[Any, bool]:
    """The value of a parameter and whether a form asks for it. Raises ValueError if it needs more than its text."""
    if form := _form(node, answers):
        if form.remark:
            raise ValueError("its options would be lost")
        return form.value, True
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in _WRAPPERS and node.args:
        value, is_form = _named(node.args[0], answers)
        return _WRAPPERS[node.func.id](value), is_form
    if isinstance(node, ast.BoolOp) and isinstance(node.op, ast.Or) and len(node.values) == 2:
        value, is_form = _named(node.values[0], answers)
        return value or ast.literal_eval(node.values[1]), is_form
    return ast.literal_eval(node), False
