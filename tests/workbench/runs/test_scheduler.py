"""Notebooks that run when they are due, in real kernels and real sandboxes, with the time passed in."""

from datetime import UTC, datetime

import pytest

from tests.workbench.runs.machine import Machine, look, scheduler

SAVED = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
MONDAY = datetime(2026, 11, 23, 7, 0, tzinfo=UTC)  # 8 in Madrid
WEEKLY = 'schedule = "0 8 * * 1"\ntimezone = "Europe/Madrid"\nreaders = ["ben", "group:ops"]\n'
PARAMETERS = '[parameters]\ncountry = "es"\nday = "{yesterday}"\nweek = "{monday}"\n'


@pytest.mark.smoke
def test_a_due_notebook_is_run_once_as_its_owner_with_its_parameters(machine: Machine) -> None:
    cells = ['# parameters\ncountry = ""\nday = ""\nweek = ""', "import os\nprint(country, day, week, os.getuid())"]
    machine.schedule("ana", "reports/weekly", cells, WEEKLY + PARAMETERS, at=SAVED)
    one = scheduler(machine, lambda: MONDAY)
    look(one)
    look(one)
    folder = "runs/ana/reports/weekly/20261123T070000Z"
    names = ["claim-1.json", "notebook.ipynb", "page.html", "run.json"]
    assert machine.keys("runs/") == [f"{folder}/{name}" for name in names]
    run = machine.json(f"{folder}/run.json")
    assert (run["owner"], run["outcome"], run["error"]) == ("ana", "succeeded", None)
    assert run["due"] == "2026-11-23T07:00:00+00:00"
    assert run["parameters"] == {"country": "es", "day": "2026-11-22", "week": "2026-11-16"}
    assert run["readers"] == ["ben", "group:ops"]
    line = f"es 2026-11-22 2026-11-16 {machine.users['ana'].uid}"
    assert line in machine.text(f"{folder}/notebook.ipynb")
    assert line in machine.text(f"{folder}/page.html")
    assert not list((machine.state / "work").iterdir())
