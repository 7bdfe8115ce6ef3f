"""Zeppelin's dynamic forms, and the one cell of parameters that takes their place.

The syntax in a paragraph's text is `${TYPE(DELIMITER):NAME(LABEL)=DEFAULT,OPTION|OPTION(LABEL)}`, with `$$` for a form of
the whole note; all but the name may be missing. Papermill sets the values of the cell that is tagged `parameters`, so
that a scheduled run can have its own.
"""

import json
import keyword
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

# With bounds, so that a long text without a closing brace is not read over and over.
FORM = re.compile(r"_?(\$\$?)\{([^=}]{0,500}(?:=[^}]{0,5000})?)\}")
_TYPE = re.compile(r"([^:()]*?)\s*(?:\(([^()]*)\))?\s*:(.*)", re.DOTALL)
_LABELLED = re.compile(r"([^(]*?)\s*\(([^)]*)\)")
# Names that a notebook's own code needs.
_TAKEN = {"sql", "display", "postgres", "live_view", "z"}


@dataclass(frozen=True)
class Answers:
    """What was last put into the forms of a paragraph and of its note."""

    paragraph: Mapping[str, Any]
    note: Mapping[str, Any]

    def of(self, name: str, whole_note: bool) -> Any:
        """The answer to a form, or None."""
        return (self.note if whole_note else self.paragraph).get(name)


@dataclass(frozen=True)
class Form:
    """A question that a paragraph asks, with the answer that it had last."""

    name: str
    value: Any
    kind: str = "text"
    options: tuple[Any, ...] = ()
    delimiter: str = ","

    @property
    def remark(self) -> str:
        """What the parameters' cell says beside the value."""
        if self.kind == "password":
            return f"the password {_line(self.name)}: Zeppelin's value was not copied"
        how_many = {"select": "one of", "checkbox": "any of"}.get(self.kind)
        return f"{how_many} {_line(', '.join(map(str, self.options)))}" if how_many else ""


def parse(found: re.Match[str], answers: Answers) -> Form | None:
    """The form that `FORM` has found, or None if Zeppelin would refuse it."""
    before, _, after = found[2].partition("=")
    kind, delimiter = "", ","
    if typed := _TYPE.fullmatch(before.strip()):
        kind, delimiter, before = typed[1].strip(), typed[2] or ",", typed[3]
    labelled = _LABELLED.fullmatch(before.strip())
    name = (labelled[1] if labelled else before).strip()
    if kind not in ("", "checkbox", "password") or not name:
        return None
    if kind == "password":
        return Form(name, "", "password")
    default, has_options, given = after.partition(",")
    options = tuple(_value(option) for option in given.split("|")) if has_options else ()
    stored = answers.of(name, found[1] == "$$")
    if kind == "checkbox":
        checked = stored if isinstance(stored, list) else [part for part in default.split("|") if part]
        return Form(name, [str(value) for value in checked], "checkbox", options, delimiter)
    return Form(name, default if stored is None else str(stored), "select" if has_options else "text", options)


def _value(option: str) -> str:
    labelled = _LABELLED.fullmatch(option.strip())
    return labelled[1] if labelled else option


def _line(text: str) -> str:
    """The text as the end of a comment: nothing that Python takes for a line's end."""
    return " ".join(text.split())


@dataclass
class Parameters:
    """The forms of a note as Python variables. Equal forms share one; forms that differ get a number."""

    # Variables of the note's own Python code: a query would take their values for the form's.
    others: frozenset[str] = frozenset()
    values: dict[str, Any] = field(default_factory=dict)
    passwords: list[str] = field(default_factory=list)
    _lines: list[str] = field(default_factory=list)

    @property
    def source(self) -> str:
        """The code of the parameters' cell."""
        return "\n".join(self._lines)

    def adopt(self, source: str, values: Mapping[str, Any]) -> None:
        """Takes over a whole paragraph that does nothing but set parameters, with its comments."""
        self._lines.append(source)
        self.values.update(values)

    def take(self, other: "Parameters") -> None:
        """Takes over what another, begun with these values, has added."""
        self.values = other.values
        self.passwords += other.passwords
        self._lines += other._lines

    def add(self, form: Form, preferred: str = "") -> str:
        """The variable that has the form's value."""
        base = preferred or identifier(form.name)
        base = f"{base}_form" if base in self.others else base
        variable, number = base, 1
        while variable in self.values and not _same(self.values[variable], form.value):
            number += 1
            variable = f"{base}_{number}"
        if variable not in self.values:
            self.values[variable] = form.value
            self.passwords += [variable] * (form.kind == "password")
            self._lines.append(f"{variable} = {literal(form.value)}" + (f"  # {form.remark}" if form.remark else ""))
        return variable


def _same(one: Any, other: Any) -> bool:
    """Whether two values are the same text in a query. A form's value is a text even if it was set to a number."""
    return isinstance(one, list) == isinstance(other, list) and str(one) == str(other)


def literal(value: Any) -> str:
    """A value as Python code. Texts stand between double quotes, as people write them; JSON's escapes are Python's too."""
    if isinstance(value, list):
        return f"[{', '.join(map(literal, value))}]"
    return json.dumps(value, ensure_ascii=False) if isinstance(value, str) else repr(value)


def identifier(name: str) -> str:
    """A form's name as the name of a variable."""
    text = re.sub(r"\W+", "_", name).strip("_") or "value"
    text = text if text.isidentifier() else f"_{text}"
    return f"{text}_" if keyword.iskeyword(text) or text in _TAKEN or not text.isidentifier() else text
