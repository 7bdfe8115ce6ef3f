"""What a paragraph's last run has printed, as outputs of a cell, or as Markdown where the code is kept as text.

Notes come from anywhere, and Zeppelin runs the scripts in a result. A notebook must not: HTML is cleaned to text, tables
and images that are inside of it. The notebook is not signed either, so that Jupyter treats the rest with care.
"""

import base64
import binascii
import html
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import bleach

from infra.workbench.zeppelin.note import Paragraph, Result

LARGEST_TEXT, LARGEST_IMAGE, MOST_ROWS = 1_000_000, 10_000_000, 1000
_IMAGES = {b"\x89PNG\r\n\x1a\n": "image/png", b"\xff\xd8\xff": "image/jpeg", b"GIF8": "image/gif"}
_IMAGE = re.compile(
    r"""\s*(?:<div[^>]*>\s*)*<img [^>]*src=['"]?data:image/\w+;base64,([A-Za-z0-9+/=\n]+)['"]?[^>]*>(?:\s|</?div[^>]*>)*"""
)
_UNSEEN = re.compile(r"<(script|style|svg|iframe|object)\b.*?(?:</\1\s*>|$)", re.DOTALL | re.IGNORECASE)
_TEXT_TAGS = (
    "a abbr b blockquote br code del div em h1 h2 h3 h4 h5 h6 hr i ins li ol p pre s small span strong sub sup u ul"
)
_TAGS = frozenset(f"{_TEXT_TAGS} table caption thead tbody tfoot tr th td img".split())


@dataclass(frozen=True)
class Kept:
    """A result as Jupyter's data by MIME type, or as a stream's text."""

    data: Mapping[str, str]
    stream: str = ""


def kept(paragraph: Paragraph) -> tuple[list[Kept], list[str]]:
    """The results that can be shown, and why others cannot."""
    done, problems = [], []
    for result in paragraph.results:
        if not result.data.strip():
            continue
        try:
            found = _failure(result) if paragraph.failed else _kept(result)
        except ValueError as error:
            problems.append(f"a result ({result.kind}) was left out: {error}")
            continue
        done.append(found)
        if (
            (rows := result.data.strip("\n").count("\n")) > MOST_ROWS
            and "text/html" in found.data
            and result.kind == "TABLE"
        ):
            problems.append(f"only the first {MOST_ROWS:,} of its result's {rows:,} rows were kept")
    return done, problems


def outputs(results: Iterable[Kept]) -> list[dict[str, Any]]:
    """The results as a code cell's outputs."""
    return [
        {"output_type": "stream", "name": one.stream, "text": one.data["text/plain"]}
        if one.stream
        else {"output_type": "display_data", "data": dict(one.data), "metadata": {}}
        for one in results
    ]


def markdown(results: Iterable[Kept]) -> tuple[str, dict[str, dict[str, str]]]:
    """The results as Markdown, and the images that it shows as attachments of its cell."""
    parts, attachments = [], {}
    for number, one in enumerate(results, 1):
        image = next(((mime, data) for mime, data in one.data.items() if mime.startswith("image/")), None)
        if image:
            attachments[f"result-{number}"] = dict([image])
            parts.append(f"![result](attachment:result-{number})")
        elif "text/html" in one.data:
            # A blank line would end the HTML.
            parts.append(re.sub(r"\n\s*\n", "\n", one.data["text/html"]))
        else:
            parts.append(fenced(one.data["text/plain"].rstrip("\n"), ""))
    return "\n\n".join(parts), attachments


def fenced(text: str, language: str) -> str:
    """The text between lines of backticks, more than the text itself has in a row."""
    fence = "`" * max(3, 1 + max((len(run) for run in re.findall("`+", text)), default=0))
    return f"{fence}{language}\n{text}\n{fence}"


def _failure(result: Result) -> Kept:
    return Kept({"text/plain": _checked(result.data)}, "stderr")


def _kept(result: Result) -> Kept:
    if result.kind == "TABLE":
        lines = _checked(result.data, 20 * LARGEST_TEXT).strip("\n").split("\n")[: MOST_ROWS + 1]
        return Kept({"text/html": _checked(_table(lines)), "text/plain": "\n".join(lines)})
    if result.kind == "IMG":
        return _image(result.data.rpartition("base64,")[2])
    if result.kind == "SVG":
        # As an image, a picture's scripts do not run and it loads nothing.
        encoded = base64.b64encode(_checked(result.data).encode()).decode()
        return Kept({"text/html": f'<img src="data:image/svg+xml;base64,{encoded}">', "text/plain": "a picture"})
    if result.kind in ("HTML", "ANGULAR"):
        if only := _IMAGE.fullmatch(result.data):
            return _image(only[1])
        seen = _UNSEEN.sub("", _checked(result.data))
        # _allows looks at each address; bleach itself would take away the images inside.
        protocols = ("http", "https", "data")
        cleaned = bleach.clean(seen, tags=_TAGS, attributes=_allows, protocols=protocols, strip=True)
        if "<img " not in cleaned and not re.sub(r"<[^>]*>", "", cleaned).strip():
            raise ValueError("it was drawn by a script: run the cell again")
        return Kept({"text/html": cleaned, "text/plain": "a result of Zeppelin"})
    return Kept({"text/plain": _checked(result.data)}, "stdout")


def _checked(text: str, most: int = LARGEST_TEXT) -> str:
    if len(text) > most:
        raise ValueError(f"it has {len(text):,} characters, more than {most:,}")
    return text


def _allows(tag: str, name: str, value: str) -> bool:
    """Links lead where they led, on a click. Images are only those inside: opening a notebook loads nothing."""
    if tag == "a":
        return name == "href" and value.lower().startswith(("http://", "https://"))
    if tag == "img":
        return name in ("alt", "width", "height") or (
            name == "src" and bool(re.match("data:image/(png|jpeg|gif);", value))
        )
    return tag in ("td", "th") and name in ("colspan", "rowspan")


def _image(encoded: str) -> Kept:
    text = "".join(encoded.split())
    if len(text) > LARGEST_IMAGE:
        raise ValueError(f"the image has {len(text):,} characters, more than {LARGEST_IMAGE:,}")
    try:
        content = base64.b64decode(text, validate=True)
    except binascii.Error:
        raise ValueError("the image is not in base64") from None
    mime = next((mime for start, mime in _IMAGES.items() if content.startswith(start)), None)
    if mime is None:
        raise ValueError("the image is neither PNG, JPEG nor GIF")
    return Kept({mime: text, "text/plain": "an image"})


def _table(lines: list[str]) -> str:
    """Zeppelin's table, tabs between cells and the head first, as HTML."""
    head, *body = (line.split("\t") for line in lines)
    rows = "".join(f"<tr>{_cells(row, 'td')}</tr>" for row in body)
    return f"<table><thead><tr>{_cells(head, 'th')}</tr></thead><tbody>{rows}</tbody></table>"


def _cells(row: list[str], tag: str) -> str:
    return "".join(f"<{tag}>{html.escape(cell)}</{tag}>" for cell in row)
