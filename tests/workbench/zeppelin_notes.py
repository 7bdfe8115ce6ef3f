"""Notes in the shapes that releases of Zeppelin wrote, and the import as its users run it."""

import json
import os
import runpy
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import pytest

from infra.packaging import ROOT

Json = dict[str, Any]


@cache
def python() -> str:
    """The Python of the workbench's environment, which has what the import needs."""
    made = subprocess.run([ROOT / "infra/environment", "workbench"], stdout=subprocess.PIPE, text=True, check=True)
    return made.stdout.strip()


def calculated(code: str, given: Any) -> Any:
    """What code in the workbench's environment makes of `given`: it reads `given` and sets `result`."""
    script = f"import json, sys\ngiven = json.load(sys.stdin)\n{code}\njson.dump(result, sys.stdout)"
    done = subprocess.run(
        [python(), "-c", script], input=json.dumps(given), capture_output=True, text=True, cwd=ROOT, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@dataclass(frozen=True)
class Ended:
    """A command that has ended."""

    status: int
    printed: str
    errors: str


def command(*args: str | Path, env: Mapping[str, str]) -> Ended:
    """Runs the import or export in a process of its own, with variables of its own."""
    call = [python(), "-m", "infra.workbench.zeppelin", *map(str, args)]
    done = subprocess.run(call, capture_output=True, text=True, cwd=ROOT, env={**os.environ, **env}, check=False)
    return Ended(done.returncode, done.stdout, done.stderr)


# Runs the command of each line it reads. Most of a command's time is its start.
_WORKER = """
import contextlib, io, json, sys
from infra.workbench.zeppelin.__main__ import main
answers = sys.stdout
for line in sys.stdin:
    sys.argv[1:] = json.loads(line)
    printed, errors = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(errors):
        try:
            status = main()
        except SystemExit as end:
            status = end.code
        except Exception as error:
            status, _ = 70, print(repr(error), file=errors)
    print(json.dumps([status, printed.getvalue(), errors.getvalue()]), file=answers, flush=True)
"""


@cache
def _worker() -> "subprocess.Popen[str]":
    # It ends with the tests, when its input is closed.
    return subprocess.Popen(
        [python(), "-c", _WORKER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT
    )


def quickly(*args: str | Path) -> Ended:
    """Runs the import or export in a process that is shared by the tests."""
    worker = _worker()
    assert worker.stdin and worker.stdout
    worker.stdin.write(json.dumps([str(arg) for arg in args]) + "\n")
    worker.stdin.flush()
    answer = worker.stdout.readline()
    assert answer, "the import's Python has ended"
    return Ended(*json.loads(answer))


@dataclass(frozen=True)
class Imported:
    """What an import left."""

    out: Path
    status: int
    printed: str

    @property
    def report(self) -> Json:
        """import-report.json."""
        return json.loads((self.out / "import-report.json").read_text())

    def whys(self) -> list[str]:
        """Why things could not be turned."""
        return [problem["why"] for problem in self.report["problems"]]

    def notebook(self, path: str = "ana/Note.ipynb") -> Json:
        """A notebook."""
        return json.loads((self.out / path).read_text())

    def cells(self, path: str = "ana/Note.ipynb") -> list[Json]:
        """Its cells, with their sources as one text."""
        return [{**cell, "source": "".join(cell["source"])} for cell in self.notebook(path)["cells"]]

    def sources(self, path: str = "ana/Note.ipynb") -> list[str]:
        """The texts of its cells."""
        return [cell["source"] for cell in self.cells(path)]

    def files(self) -> dict[str, bytes]:
        """Everything that is there except the report."""
        found = {str(path.relative_to(self.out)): path.read_bytes() for path in self.out.rglob("*") if path.is_file()}
        return {path: content for path, content in found.items() if path != "import-report.json"}


def imported(place: Path | str, out: Path, *options: str) -> Imported:
    """Imports notes. Those without an owner become ana's."""
    done = quickly("import", place, "--out", out, "--owner", "ana", *options)
    assert done.status in (0, 1), done.errors
    return Imported(out, done.status, done.printed)


def one(folder: Path, *texts: str | Json, **fields: Any) -> Imported:
    """Imports one note, called Note, of these paragraphs."""
    write(folder / "notes/Note_2ABCDEFGH.zpln", note(*texts, **fields))
    return imported(folder / "notes", folder / "out")


def paragraph(text: str, **fields: Any) -> Json:
    """A paragraph as 0.9 and later write it, run once without a result."""
    config = {"colWidth": 12.0, "enabled": True, "results": {}, "editorSetting": {"language": "text"}, "fontSize": 9.0}
    return {
        "text": text,
        "user": "anonymous",
        "dateUpdated": "2025-03-01 10:00:00.123",
        "progress": 0,
        "settings": {"params": {}, "forms": {}},
        "apps": [],
        "runtimeInfos": {},
        "progressUpdateIntervalMs": 500,
        "jobName": "paragraph_1740823200123_1",
        "id": "paragraph_1740823200123_1",
        "dateCreated": "2025-03-01 10:00:00.100",
        "status": "FINISHED",
        **fields,
        "config": {**config, **fields.get("config", {})},
    }


def note(*texts: str | Json, **fields: Any) -> Json:
    """A note as 0.9 and later write it."""
    return {
        "paragraphs": [text if isinstance(text, dict) else paragraph(text) for text in texts],
        "name": "Note",
        "id": "2ABCDEFGH",
        "defaultInterpreterGroup": "spark",
        "version": "0.10.1",
        "noteParams": {},
        "noteForms": {},
        "angularObjects": {},
        "config": {"isZeppelinNotebookCronEnable": True},
        "info": {},
        **fields,
    }


def write(path: Path, content: Json | bytes) -> Path:
    """Writes a note's file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else json.dumps(content, indent=2).encode())
    return path


def asked(cells: list[Json], monkeypatch: pytest.MonkeyPatch, folder: Path, **parameters: Any) -> list[str]:
    """The queries that a notebook's code asks, with parameters in place of its own as papermill sets them."""
    queries: list[str] = []

    def sql(text: str, **values: Any) -> MagicMock:
        for name, value in values.items():
            text = text.replace(f":{name}", f"'{value}'" if isinstance(value, str) else str(value))
        queries.append(text.strip())
        return MagicMock()

    lines = []
    for cell in cells:
        if cell["cell_type"] == "code":
            lines.append(cell["source"])
            if "parameters" in cell["metadata"].get("tags", []):
                lines += [f"{name} = {value!r}" for name, value in parameters.items()]
    monkeypatch.setitem(sys.modules, "storewatch", MagicMock(sql=sql))
    script = folder / "notebook.py"
    script.write_text("\n".join(lines))
    runpy.run_path(str(script), {"display": lambda value: None})
    return queries
