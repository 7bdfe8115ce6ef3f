"""The notebooks that come with the workbench, run from top to bottom as a schedule runs them."""

import json
import subprocess
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from infra.local.config import ROOT
from infra.local.servers.sql import Engine
from tests.harness import lakes
from tests.workbench.package.conftest import Sources, over
from tests.workbench.package.notebook import environment

NOTEBOOKS = sorted((ROOT / "infra" / "workbench" / "notebooks").glob("*.ipynb"))


def _ids(file: Path) -> str:
    return file.stem


def _run(python: str, file: Path, settings: dict[str, str], folder: Path, **parameters: str) -> dict[str, Any]:
    """The notebook with its outputs."""
    library = folder / "library"
    library.mkdir()
    command: list[str | Path] = [
        python,
        "-m",
        "papermill",
        file,
        folder / "out.ipynb",
        "--kernel",
        "python3",
        "--no-progress-bar",
    ]
    for name, value in parameters.items():
        command += ["-r", name, value]
    ran = subprocess.run(
        command,
        env=environment(library, settings),
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr[-3000:]
    return json.loads((folder / "out.ipynb").read_text())


def _texts(notebook: dict[str, Any]) -> str:
    """All that the cells printed, without pictures."""
    outputs = [output for cell in notebook["cells"] for output in cell.get("outputs", [])]
    texts = [output.get("text") or output.get("data", {}).get("text/plain", "") for output in outputs]
    return "\n".join("".join(text) for text in texts)


def _pictures(notebook: dict[str, Any]) -> int:
    outputs = [output for cell in notebook["cells"] for output in cell.get("outputs", [])]
    return sum("image/png" in output.get("data", {}) for output in outputs)


@pytest.mark.parametrize(
    "file",
    [pytest.param(file, marks=[pytest.mark.smoke] if file.stem == "tour" else []) for file in NOTEBOOKS],
    ids=_ids,
)
def test_a_notebook_runs_from_top_to_bottom(python: str, settings: dict[str, str], tmp_path: Path, file: Path) -> None:
    notebook = _run(python, file, settings, tmp_path, country="es")
    texts = _texts(notebook)
    # By default it is of the lake's newest whole day or week.
    assert "2026-03-29" in texts or "2026-03-23" in texts
    assert "Warning" not in texts
    if file.stem != "reasons":  # all of them draw
        assert _pictures(notebook) > 0


@pytest.mark.parametrize("file", NOTEBOOKS, ids=_ids)
def test_a_notebook_runs_in_a_lake_of_a_few_slots(
    python: str, young: dict[str, str], tmp_path: Path, file: Path
) -> None:
    texts = _texts(_run(python, file, young, tmp_path))
    assert "Warning" not in texts


def test_the_worst_stores_notebook_has_the_worst_store(python: str, settings: dict[str, str], tmp_path: Path) -> None:
    [file] = [file for file in NOTEBOOKS if file.stem == "worst_stores_of_a_week"]
    texts = _texts(_run(python, file, settings, tmp_path, country="es", week="2026-03-23"))
    assert "Bar 106" in texts and "3360.0" in texts  # as the query of docs/tables.md has it


def test_the_tour_shows_the_sources_to_who_may_see_them(
    python: str, analyst: Engine, lake: lakes.Lake, sources: Sources, tmp_path: Path
) -> None:
    [file] = [file for file in NOTEBOOKS if file.stem == "tour"]
    texts = _texts(_run(python, file, over(analyst, lake.database, sources.access), tmp_path, country="es"))
    assert "is_online" in texts and "timezone" in texts and "You may not reach" not in texts
    assert "Only the first 5 rows were read" in texts


def test_why_judged_so_shows_the_exception_that_closed_a_store(
    python: str, settings: dict[str, str], tmp_path: Path
) -> None:
    [file] = [file for file in NOTEBOOKS if file.stem == "why_judged_so"]
    texts = _texts(_run(python, file, settings, tmp_path, country="es", day="2026-03-27", store_id="110"))
    assert "2026-03-27 closed" in texts and "unexpected" in texts


def test_notebooks_have_parameters_and_no_outputs() -> None:
    assert {file.stem for file in NOTEBOOKS} >= {
        "tour",
        "worst_stores_of_a_week",
        "reasons",
        "accuracy",
        "why_judged_so",
        "two_periods",
    }
    for file in NOTEBOOKS:
        notebook = json.loads(file.read_text())
        code = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
        assert not any(cell["outputs"] or cell["execution_count"] for cell in code), f"{file.name} has outputs"
        tagged = [cell for cell in code if "parameters" in cell["metadata"].get("tags", [])]
        assert len(tagged) == 1, f"{file.name} has {len(tagged)} cells tagged `parameters`"
        assert "country = None" in "".join(tagged[0]["source"])


def test_every_cell_has_a_sentence_before_it() -> None:
    for file in NOTEBOOKS:
        kinds = [(cell["cell_type"], cell["metadata"].get("tags")) for cell in json.loads(file.read_text())["cells"]]
        for before, (kind, _) in pairwise(kinds):
            # The cell of parameters and the one that uses them have one in common.
            assert kind == "markdown" or before[0] == "markdown" or before[1] == ["parameters"], file.name
