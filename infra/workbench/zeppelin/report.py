"""What an import has done, for people and as JSON."""

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

_KINDS = ("markdown", "sql", "spark sql", "python", "text", "disabled")


@dataclass
class Report:
    """The numbers, and each thing that could not be turned: note, paragraph, why."""

    notes: Counter[str] = field(default_factory=Counter)
    cells: Counter[str] = field(default_factory=Counter)
    notebooks: list[dict[str, str]] = field(default_factory=list)
    problems: list[dict[str, str]] = field(default_factory=list)
    failed: list[dict[str, str]] = field(default_factory=list)

    def add(self, note: str, paragraph: str, why: str) -> None:
        """Notes a thing that could not be turned; without a paragraph it concerns the whole note."""
        self.problems.append({"note": note, "paragraph": paragraph, "why": why})

    def json(self) -> bytes:
        """The content of import-report.json."""
        fields = {
            "notes": dict(self.notes),
            "cells": {kind: self.cells[kind] for kind in _KINDS},
            "notebooks": self.notebooks,
            "problems": self.problems,
            "failed": self.failed,
        }
        return json.dumps(fields, indent=2).encode() + b"\n"

    def lines(self) -> Iterator[str]:
        """The report as text: first what could not be turned, then the numbers, which are read first in a terminal."""
        for problem in self.problems:
            where = f", paragraph {problem['paragraph']}" if problem["paragraph"] else ""
            yield _printable(f"{problem['note']}{where}: {problem['why']}")
        for file in self.failed:
            yield _printable(f"failed: {file['file']} {file['why']}")
        yield f"cells: {', '.join(f'{self.cells[kind]} {kind}' for kind in _KINDS)}"
        outcomes = Counter(notebook["outcome"] for notebook in self.notebooks)
        yield (
            f"notebooks: {outcomes['written']} written, {outcomes['same']} there already, "
            f"{outcomes['kept']} changed since they were imported and left alone"
        )
        yield (
            f"notes: {self.notes['found']} found, {len(self.notebooks)} turned, {self.notes['trash']} in the trash, "
            f"{len(self.failed)} failed"
        )


def _printable(text: str) -> str:
    """The text for a terminal: a note's name may hold what would move its cursor."""
    return "".join(char if char.isprintable() else "?" for char in text)
