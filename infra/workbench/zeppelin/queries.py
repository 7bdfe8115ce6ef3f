"""A paragraph's SQL as calls of the workbench's `sql()`, which asks Athena or Trino one statement at a time."""

import re
from collections.abc import Iterator

from infra.workbench.zeppelin.forms import FORM, Answers, Form, Parameters, parse

# What SQL has that may contain a semicolon or a quote, for Trino and for Spark and Hive, whose strings know
# backslashes and may stand between double quotes, and whose names stand between backticks.
# A quote or remark without its end reaches to the end, so that no text is read over and over.
_REMARK = r"--[^\n]*|/\*(?:[^*]|\*(?!/))*(?:\*/|$)"
_TRINO = re.compile(_REMARK + r"""|'(?:[^']|'')*(?:'|$)|"(?:[^"]|"")*(?:"|$)|;|[^-/'";]+|.""", re.DOTALL)
_SPARK = re.compile(
    _REMARK + r"""|'(?:[^'\\]|\\(?:.|$))*(?:'|$)|"(?:[^"\\]|\\(?:.|$))*(?:"|$)|`[^`]*(?:`|$)|;|[^-/'"`;]+|.""",
    re.DOTALL,
)
_COMMENT = re.compile(rf"(?:\s|{_REMARK})*")
_READS = {"select", "with", "show", "describe", "desc", "explain", "values", "table"}
# Forms stand between NULs while the SQL around them is read: they may be in strings, and note.py has removed all NULs.
_HELD = re.compile("\0(\\d+)\0")
# Characters that Python 3.11 allows in a text inside of an f-string's braces.
_PLAIN_DELIMITER = re.compile(r"[\w ,;|+*/()=<>.-]*")


class NotReadingError(Exception):
    """SQL that does more than read."""


def cell(code: str, answers: Answers, parameters: Parameters, spark: bool) -> str:
    """The code of a cell that asks what the paragraph asked. Spark's quotes become Trino's."""
    forms: list[Form] = []

    def hold(found: re.Match[str]) -> str:
        form = parse(found, answers)
        if form is None:
            return found[0]
        forms.append(form)
        return f"\0{len(forms) - 1}\0"

    statements = list(_statements(FORM.sub(hold, code), spark))
    for statement in statements:
        if (word := _first_word(statement)) and word not in _READS:
            raise NotReadingError(word)
    calls = [_call(statement, forms, parameters) for statement in statements]
    return calls[0] if len(calls) == 1 else "\n".join(f"display({call})" for call in calls)


def _statements(code: str, spark: bool) -> Iterator[str]:
    """The statements between semicolons. Comments after the last one stay with it."""
    done: list[str] = []
    parts = [""]
    for token in (_SPARK if spark else _TRINO).findall(code):
        if token == ";":
            parts.append("")
        else:
            parts[-1] += _in_trino(token) if spark else token
    for part in parts:
        if _COMMENT.fullmatch(part) and done:
            done[-1] += part
        else:
            done.append(part)
    yield from (text for part in done if (text := part.strip()))


def _in_trino(token: str) -> str:
    """A token of Spark's SQL with Trino's quotes: ' around texts and " around names."""
    if len(token) == 1 or token[-1] != token[0]:
        return token
    if token[0] == "`":
        return '"' + token[1:-1].replace('"', '""') + '"'
    if token[0] in "'\"":
        return "'" + re.sub(r"\\(['\"\\])", r"\1", token[1:-1]).replace("'", "''") + "'"
    return token


def _first_word(statement: str) -> str:
    """The first word in lower case, or nothing if a form or a parenthesis comes first."""
    comment = _COMMENT.match(statement)
    word = re.match(r"[A-Za-z]+", statement[comment.end() if comment else 0 :])
    return word[0].lower() if word else ""


def _call(statement: str, forms: list[Form], parameters: Parameters) -> str:
    text = statement.replace("\\", "\\\\").replace('"""', '""\\"')
    if not _HELD.search(text):
        return f'sql("""\n{text}\n""")'

    def fill(found: re.Match[str]) -> str:
        form = forms[int(found[1])]
        if form.kind != "checkbox":
            return f"{{{parameters.add(form)}}}"
        if _PLAIN_DELIMITER.fullmatch(form.delimiter):
            return f"{{{form.delimiter!r}.join({parameters.add(form)})}}"
        # The values are joined here and now: no text in the braces can hold this delimiter.
        return f"{{{parameters.add(Form(form.name, form.delimiter.join(form.value), 'text'))}}}"

    braced = text.replace("{", "{{").replace("}", "}}")
    return f'sql(f"""\n{_HELD.sub(fill, braced)}\n""")'
