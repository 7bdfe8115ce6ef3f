"""A Zeppelin note as its file has it, `.zpln` since 0.9 and `note.json` before, read with care.

Zeppelin writes its files from Java objects and reads them back leniently; people edit them, and scripts make them. So a
field that is missing, null or of another type counts as absent. A file is refused only if it is no note at all.
"""

import json
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

# Zeppelin cuts a result after about 100 kB, so that notes of more than a few megabytes are rare.
LARGEST_BYTES = 64_000_000
TRASH = "~Trash"
_HEAD = re.compile(r"\s*%([A-Za-z0-9_\-]+(?:\.\w+)*)")
_PROPERTIES = re.compile(r'\(((?:"[^"]*"|\\.|[^)"\\])*)\)')
_PROPERTY = re.compile(r'((?:"[^"]*"|\\.|[^,"\\])+)')


class NoteError(Exception):
    """A file that is no note. The message is the end of a sentence that begins with the file's name."""


@dataclass(frozen=True)
class Result:
    """One part of what a paragraph's last run has printed."""

    kind: str
    data: str


@dataclass(frozen=True)
class Paragraph:
    """A paragraph: which interpreter it names, with which properties, its code, forms and results."""

    number: int
    title: str
    interpreter: str
    properties: Mapping[str, str]
    code: str
    enabled: bool
    source_hidden: bool
    result_hidden: bool
    params: Mapping[str, Any]
    forms: frozenset[str]
    results: tuple[Result, ...]
    failed: bool


@dataclass(frozen=True)
class Note:
    """A note: its place in the tree of notes, its paragraphs and its schedule."""

    id: str
    name: str
    folders: tuple[str, ...]
    group: str
    paragraphs: tuple[Paragraph, ...]
    params: Mapping[str, Any]
    cron: str
    user: str

    @property
    def path(self) -> str:
        """The note's name with its folders, as Zeppelin shows it."""
        return "/".join((*self.folders, self.name))

    @property
    def is_trash(self) -> bool:
        """Whether the note lies in Zeppelin's waste basket."""
        return bool(self.folders) and self.folders[0] == TRASH


def load(content: bytes, file: str) -> Note:
    """Reads a note from the content of `file`, whose path inside of the notes' folder names the note."""
    raw = _parse(content)
    if not isinstance(raw, dict) or not isinstance(raw.get("paragraphs"), list):
        raise NoteError("is JSON, but no note of Zeppelin: it has no list of paragraphs")
    number = _text(raw.get("id"))
    folders, name = _place(file, _text(raw.get("name")), number)
    config = mapping(raw.get("config"))
    entries = [mapping(entry) for entry in raw["paragraphs"]]
    users = Counter(user for entry in entries if (user := _text(entry.get("user"))) not in ("", "anonymous"))
    return Note(
        id=number or name,
        name=name,
        folders=folders,
        group=_text(raw.get("defaultInterpreterGroup")) or _text(config.get("defaultInterpreterGroup")) or "spark",
        paragraphs=tuple(_paragraph(at, entry) for at, entry in enumerate(entries, 1)),
        params=mapping(raw.get("noteParams")),
        cron=_text(config.get("cron")).strip(),
        # Who has run most of it. Zeppelin without logins calls everybody anonymous.
        user=users.most_common(1)[0][0] if users else "",
    )


def mapping(value: Any) -> dict[str, Any]:
    """A JSON object; anything else is an empty one."""
    return value if isinstance(value, dict) else {}


def _parse(content: bytes) -> Any:
    if not content.strip():
        raise NoteError("is empty")
    if len(content) > LARGEST_BYTES:
        raise NoteError(f"has {len(content):,} bytes, more than {LARGEST_BYTES:,}: clear its results in Zeppelin")
    try:
        return json.loads(content.decode("utf-8-sig"))
    except UnicodeDecodeError:
        raise NoteError("is no text in UTF-8: it may be encrypted, or packed") from None
    except (ValueError, RecursionError) as error:
        raise NoteError(f"is no JSON, or was cut off: {error}") from None


def _place(file: str, name: str, number: str) -> tuple[tuple[str, ...], str]:
    """Folders and name: 0.9 and later take them from the file's path, 0.8 from the name inside."""
    *folders, last = file.split("/")
    if last == "note.json":
        # The folder of note.json is the id, and never a part of the name.
        *folders, last = [part for part in name.split("/") if part] or [number or "Untitled"]
        return tuple(folders), last
    stem = last.removesuffix(".zpln")
    return tuple(folders), (stem.removesuffix(f"_{number}") if number else stem) or "Untitled"


def _paragraph(number: int, entry: Mapping[str, Any]) -> Paragraph:
    config, settings = mapping(entry.get("config")), mapping(entry.get("settings"))
    interpreter, properties, code = _split(_text(entry.get("text")))
    # Before 0.8, `result` had one type and one text.
    results = mapping(entry.get("results")) or mapping(entry.get("result"))
    messages = results.get("msg")
    if isinstance(messages, str):
        messages = [{"type": results.get("type"), "data": messages}]
    parts = [mapping(message) for message in messages] if isinstance(messages, list) else []
    return Paragraph(
        number=number,
        title=_text(entry.get("title")).strip(),
        interpreter=interpreter,
        properties=properties,
        code=code,
        enabled=config.get("enabled") is not False,
        source_hidden=config.get("editorHide") is True,
        result_hidden=config.get("tableHide") is True,
        params=mapping(settings.get("params")),
        forms=frozenset(mapping(settings.get("forms"))),
        results=tuple(Result(_text(part.get("type")) or "TEXT", _text(part.get("data"))) for part in parts),
        failed=results.get("code") == "ERROR",
    )


def _split(text: str) -> tuple[str, dict[str, str], str]:
    """`%jdbc(athena) select 1` is the interpreter jdbc, the property athena, and the code."""
    if not (head := _HEAD.match(text)):
        return "", {}, text.strip("\n")
    rest, properties = text[head.end() :], {}
    if given := _PROPERTIES.match(rest):
        rest = rest[given.end() :]
        for part in _PROPERTY.findall(given[1]):
            key, _, value = part.replace('"', "").partition("=")
            properties[key.strip()] = value.strip() or key.strip()
    return head[1], properties, rest.lstrip(" \t").strip("\n")


def _text(value: Any) -> str:
    """A JSON string with plain line ends and without NUL, which no notebook needs; anything else is empty."""
    return value.replace("\r\n", "\n").replace("\r", "\n").replace("\0", "") if isinstance(value, str) else ""
