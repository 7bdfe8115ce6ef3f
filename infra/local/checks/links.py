"""Checks that the relative links of every Markdown file lead to an existing file and heading."""

import os
import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote

ROOT = Path(__file__).resolve().parents[3]

_SKIPPED = {".git", ".stack", "node_modules", "target"}
_FENCE = re.compile(r"^( *)(```+|~~~+).*?^ *\2", re.MULTILINE | re.DOTALL)
_INLINE_CODE = re.compile(r"(`+).+?\1", re.DOTALL)
_HEADING = re.compile(r"^#{1,6} +(.+?) *#*$", re.MULTILINE)
_LINK = re.compile(r"\]\(<?([^)\s>]+)>?[^)]*\)")
_EXTERNAL = re.compile(r"[a-z][a-z0-9+.-]*:", re.IGNORECASE)


def problems(root: Path = ROOT) -> list[str]:
    """Every broken link, with its file and line."""
    return [problem for file in _markdown_files(root) for problem in _problems_of(file, root)]


def anchors(text: str) -> set[str]:
    """The anchors that GitHub makes from a file's headings."""
    found: set[str] = set()
    for heading in _HEADING.findall(_blank(_FENCE, text)):
        # The text of a link counts; its target does not.
        plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower()
        slug = re.sub(r"[^\w\- ]", "", plain).replace(" ", "-")
        unique, number = slug, 0
        while unique in found:
            number += 1
            unique = f"{slug}-{number}"
        found.add(unique)
    return found


def _problems_of(file: Path, root: Path) -> Iterator[str]:
    text = file.read_text()
    prose = _blank(_INLINE_CODE, _blank(_FENCE, text))
    for match in _LINK.finditer(prose):
        link = match[1]
        if _EXTERNAL.match(link):
            continue
        path, _, anchor = unquote(link).partition("#")
        target = (root / path.lstrip("/") if path.startswith("/") else file.parent / path) if path else file
        where = f"{file.relative_to(root)}:{prose.count(chr(10), 0, match.start()) + 1}"
        if not target.exists():
            yield f"{where} links to {path}, which does not exist"
        elif anchor and target.suffix == ".md" and anchor not in anchors(target.read_text()):
            yield f"{where} links to the heading #{anchor}, which {target.resolve().relative_to(root)} does not have"


def _blank(pattern: re.Pattern[str], text: str) -> str:
    """The text with every match replaced by spaces, so that line numbers stay."""
    return pattern.sub(lambda match: re.sub(r"[^\n]", " ", match[0]), text)


def _markdown_files(root: Path) -> Iterator[Path]:
    for folder, folders, files in os.walk(root):
        folders[:] = sorted(name for name in folders if name not in _SKIPPED)
        yield from (Path(folder) / name for name in sorted(files) if name.endswith(".md"))
