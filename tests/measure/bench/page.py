"""Writes what was measured into docs/benchmarks.md, between two lines that say so."""

import re

from infra.local.config import ROOT
from infra.local.errors import StackError

PAGE = ROOT / "docs/benchmarks.md"
_END = "<!-- until here -->"


def write(command: str, text: str) -> None:
    """Replaces the part of the page that a command writes."""
    begin = f"<!-- {command} writes this -->"
    new, found = re.subn(f"(?s){begin}.*?{_END}", lambda _: f"{begin}\n\n{text.strip()}\n\n{_END}", PAGE.read_text())
    if found != 1:
        raise StackError(f"{PAGE} must have the line {begin} once, and after it {_END}: it was not changed")
    PAGE.write_text(new)
