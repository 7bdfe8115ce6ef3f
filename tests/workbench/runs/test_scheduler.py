"""Notebooks that run when they are due, in real kernels and real sandboxes, with the time passed in."""

import json
import os
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from infra.workbench.hub import runs, tell
from infra.workbench.hub.contained import Ended, Job, Run
from infra.workbench.hub.store import Unavailable
from infra.workbench.hub.users import changed
from tests.faults.listener import Loop
from tests.faults.routes import before
from tests.workbench.runs import machine as machines
from tests.workbench.runs.machine import Machine, look, scheduler, until, wait

SAVED = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
MONDAY = datetime(2026, 11, 23, 7, 0, tzinfo=UTC)  # 8 in Madrid
WEEKLY = 'schedule = "0 8 * * 1"\ntimezone = "Europe/Madrid"\n'
SHARED = 'readers = ["ben", "group:ops"]\n'
PARAMETERS = '[parameters]\ncountry = "es"\nday = "{yesterday}"\nweek = "{monday}"\n'


class Counted:
    """Runs nothing, and counts: for what concerns only when something is run."""

    def __init__(self) -> None:
        self.jobs: list[Job] = []
        self.most = 0
        self._running: list[str] = []
        self._lock = threading.Lock()
        self.go = threading.Event()
        self.go.set()

    @property
    def names(self) -> list[str]:
        return sorted(job.notebook for job in self.jobs)

    def __call__(self, job: Job, stop: threading.Event) -> Ended:
        with self._lock:
            assert job.user.name not in self._running, "a user has one at a time"
            self.jobs.append(job)
            self._running.append(job.user.name)
            self.most = max(self.most, len(self._running))
        self.go.wait(30)
        (job.work / "result.json").write_text('{"error": null}')
        with self._lock:
            self._running.remove(job.user.name)
        return Ended(stopped=stop.is_set())


@pytest.mark.smoke
def test_a_due_notebook_is_run_once_as_its_owner_with_its_parameters(machine: Machine) -> None:
    cells = ['# parameters\ncountry = ""\nday = ""\nweek = ""', "import os\nprint(country, day, week, os.getuid())"]
    machine.schedule("ana", "reports/weekly", cells, WEEKLY + SHARED + PARAMETERS, at=SAVED)
    one = scheduler(machine, lambda: MONDAY)
    look(one)
    look(one)
    folder = "runs/ana/reports/weekly/20261123T070000Z"
    names = ["claim-1.json", "notebook.ipynb", "page.html", "run.json"]
    assert machine.keys("runs/") == [f"{folder}/{name}" for name in names], machine.run("ana", "reports/weekly")
    run = machine.json(f"{folder}/run.json")
    assert (run["owner"], run["outcome"], run["error"]) == ("ana", "succeeded", None)
    assert run["due"] == "2026-11-23T07:00:00+00:00"
    assert run["parameters"] == {"country": "es", "day": "2026-11-22", "week": "2026-11-16"}
    assert run["readers"] == ["ben", "group:ops"]
    line = f"es 2026-11-22 2026-11-16 {machine.users['ana'].uid}"
    assert line in machine.text(f"{folder}/notebook.ipynb")
    assert line in machine.text(f"{folder}/page.html")
    assert not list((machine.state / "work").iterdir())
    assert not list((machine.state / "runs").iterdir())


def test_a_run_that_was_missed_is_run_once_and_older_ones_are_not(machine: Machine) -> None:
    machine.schedule("ana", "daily", ["1"], 'schedule = "0 7 * * *"\n', at=SAVED)
    machine.schedule("ana", "new", ["1"], 'schedule = "0 7 * * *"\n', at=MONDAY + timedelta(minutes=1))
    counted = Counted()
    for _ in range(2):  # the second is another scheduler, which knows nothing
        one = scheduler(machine, lambda: MONDAY + timedelta(minutes=59), counted)
        look(one)
        look(one)
    assert counted.names == ["daily.ipynb"]
    assert machine.run("ana", "daily")["due"] == "2026-11-23T07:00:00+00:00"
    look(scheduler(machine, lambda: MONDAY + timedelta(days=1), counted))
    assert counted.names == ["daily.ipynb", "daily.ipynb", "new.ipynb"]


def test_two_schedulers_run_each_notebook_once(machine: Machine, make: Callable[..., Machine]) -> None:
    other = machines.peopled(make(bucket=machine.settings.bucket))
    counted = Counted()
    for user in ("ana", "ben", "cam"):
        for number in range(3):
            for one in (machine, other):
                one.schedule(user, f"n{number}", ["1"], WEEKLY, at=SAVED)
    both = [scheduler(one, lambda: MONDAY, counted_apart(counted)) for one in (machine, other)]
    threads = [threading.Thread(target=look, args=(one,)) for one in both]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(90)
    assert sorted((job.user.name, job.notebook) for job in counted.jobs) == sorted(
        (user, f"n{number}.ipynb") for user in ("ana", "ben", "cam") for number in range(3)
    )
    assert len([key for key in machine.keys("runs/") if key.endswith("/run.json")]) == 9
    assert not [key for key in machine.keys("runs/") if key.endswith("claim-2.json")]


def counted_apart(counted: Counted) -> Run:
    """Counts, but not that a user has one at a time: of that each machine sees to its own."""

    def run(job: Job, _: threading.Event) -> Ended:
        counted.jobs.append(job)
        (job.work / "result.json").write_text('{"error": null}')
        return Ended()

    return run


def test_a_user_has_one_run_at_a_time_and_all_users_two(machine: Machine) -> None:
    for user in ("ana", "ben", "cam", "dora"):
        for number in range(2):
            machine.schedule(user, f"n{number}", ["1"], WEEKLY, at=SAVED)
    counted = Counted()
    counted.go.clear()
    one = scheduler(machine, lambda: MONDAY, counted)
    one.look()
    wait(lambda: len(counted.jobs) == 2, "the first two")
    one.look()
    assert len(counted.jobs) == 2
    counted.go.set()
    look(one)
    assert (len(counted.jobs), counted.most) == (8, 2)
    # Everybody has a turn before anybody has a second one.
    assert {job.user.name for job in counted.jobs[:4]} == {"ana", "ben", "cam", "dora"}


@pytest.mark.smoke
def test_a_run_whose_scheduler_was_killed_is_repeated_once(machine: Machine) -> None:
    machine.schedule("ana", "long", ["import time\ntime.sleep(600)"], 'schedule = "* * * * *"\n', at=SAVED)
    process = machine.start("scheduler")
    try:
        uid = machine.users["ana"].uid
        wait(lambda: any("ipykernel" in one for one in processes(uid)), "the kernel", seconds=120)
    finally:
        process.kill()
        process.wait(10)
    wait(lambda: not processes(uid), "nothing of it is left")
    [key] = machine.keys("runs/ana/long/")
    claim = machine.json(key)
    due = datetime.fromisoformat(claim["at"]).replace(second=0, microsecond=0)
    machine.put("ana", "long.schedule.toml", 'schedule = "* * * * *"\n', at=due - timedelta(seconds=30))
    counted = Counted()
    time = due + timedelta(seconds=50)
    look(scheduler(machine, lambda: time, counted))
    assert counted.jobs == [], "its time is not over"
    machine.put(
        "ana", "long.schedule.toml", f'schedule = "{due.minute} {due.hour} * * *"\n', at=due - timedelta(seconds=1)
    )
    time = datetime.fromisoformat(claim["until"]) + timedelta(seconds=1)
    look(scheduler(machine, lambda: time, counted))
    assert counted.names == ["long.ipynb"]
    assert key.replace("claim-1", "claim-2") in machine.keys("runs/ana/long/")
    assert machine.run("ana", "long")["outcome"] == "succeeded"
    look(scheduler(machine, lambda: time, counted))
    assert len(counted.jobs) == 1


def processes(uid: int) -> list[str]:
    """What runs as a user of the system."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            if os.stat(f"/proc/{pid}").st_uid == uid:
                with open(f"/proc/{pid}/cmdline") as file:
                    found.append(file.read())
        except OSError:
            continue
    return found


def test_a_run_that_was_killed_twice_is_told_as_failed_and_not_begun_again(machine: Machine) -> None:
    machine.schedule("ana", "weekly", ["1"], WEEKLY, at=SAVED)
    for attempt in (1, 2):
        claim = json.dumps(
            {"by": "another", "at": MONDAY.isoformat(), "until": (MONDAY + timedelta(hours=1)).isoformat()}
        )
        machine.store.put(f"runs/ana/weekly/20261123T070000Z/claim-{attempt}.json", claim.encode())
    counted = Counted()
    look(scheduler(machine, lambda: MONDAY + timedelta(hours=2), counted))
    assert counted.jobs == []
    run = machine.run("ana", "weekly")
    assert run["outcome"] == "failed"
    assert "begun twice" in run["error"]
    assert machine.counted(tell.FAILED) == 1


def test_a_scheduler_that_is_stopped_gives_its_run_to_the_next_one(machine: Machine) -> None:
    machine.schedule("ana", "weekly", ["import time\ntime.sleep(600)"], WEEKLY, at=SAVED)
    one = scheduler(machine, lambda: MONDAY)
    one.look()
    uid = machine.users["ana"].uid
    wait(lambda: any("ipykernel" in one for one in processes(uid)), "the kernel", seconds=120)
    one.close()
    wait(lambda: not processes(uid), "nothing of it is left")
    assert machine.keys("runs/") == []
    counted = Counted()
    look(scheduler(machine, lambda: MONDAY, counted))
    assert counted.names == ["weekly.ipynb"]


def test_what_came_out_during_an_outage_of_s3_is_kept_and_delivered(
    machine: Machine, loop: Loop, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    machine.schedule("ana", "weekly", ["1"], WEEKLY, at=SAVED)
    machine.schedule("ben", "weekly", ["1"], WEEKLY, at=SAVED)
    proxy = before(loop, machine.stack.aws.endpoint)
    monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.url)
    counted = Counted()
    counted.go.clear()
    one = scheduler(machine, lambda: MONDAY, counted)
    try:
        one.look()
        wait(lambda: len(counted.jobs) == 2, "both run")
        with proxy.refusing():
            counted.go.set()
            until(one, lambda: len(runs.waiting(machine.state / "runs")) == 2, "both are done")
            until(one, lambda: one.down, "the scheduler notices")
            with pytest.raises(Unavailable):
                machine.keys()
            # A scheduler that is killed and started again keeps what waits.
            one.clean()
            assert len(runs.waiting(machine.state / "runs")) == 2
        look(one)
        found = machine.keys("runs/")
    finally:
        proxy.close()
    assert len([key for key in found if key.endswith("/run.json")]) == 2
    assert len(counted.jobs) == 2
    assert capsys.readouterr().out.count("keeps all results until then") == 1


def test_a_schedule_in_a_groups_folder_is_refused_with_a_word_on_what_to_do(machine: Machine) -> None:
    folder = machine.state / "groups" / machines.GROUP
    (folder / "all.ipynb").write_text(machines.notebook("1"))
    (folder / "all.schedule.toml").write_text(WEEKLY)
    counted = Counted()
    look(scheduler(machine, lambda: MONDAY, counted))
    assert counted.jobs == []
    note = (folder / "all.schedule.error.txt").read_text()
    assert 'readers = ["group:ops"]' in note
    assert (folder / "all.schedule.error.txt").stat().st_gid == machine.users.groups[machines.GROUP]


def test_a_schedule_that_belongs_to_somebody_else_is_not_run(machine: Machine) -> None:
    machine.schedule("ana", "weekly", ["1"], WEEKLY, at=SAVED)
    file = machine.home("ana") / "weekly.schedule.toml"
    os.chown(file, machine.users["ben"].uid, machine.users["ben"].uid)
    counted = Counted()
    look(scheduler(machine, lambda: MONDAY, counted))
    assert counted.jobs == []
    assert "belongs to another user" in (machine.home("ana") / "weekly.schedule.error.txt").read_text()


def test_a_schedule_that_cannot_be_read_is_counted_once_and_others_go_on(machine: Machine) -> None:
    machine.schedule("ana", "bad", ["1"], "schedule = ", at=SAVED)
    machine.put("ana", "alone.schedule.toml", WEEKLY, at=SAVED)
    machine.schedule("ana", "good", ["1"], WEEKLY, at=SAVED)
    (machine.home("ben") / "linked.schedule.toml").symlink_to("/etc/shadow")
    counted = Counted()
    one = scheduler(machine, lambda: MONDAY, counted)
    for _ in range(3):
        look(one)
    look(scheduler(machine, lambda: MONDAY, counted))
    assert counted.names == ["good.ipynb"]
    assert machine.counted(tell.FAILED) == 2
    note = machine.home("ana") / "bad.schedule.error.txt"
    assert "This is no TOML" in note.read_text()
    assert note.stat().st_uid == machine.users["ana"].uid
    assert "There is no notebook alone.ipynb" in (machine.home("ana") / "alone.schedule.error.txt").read_text()
    assert not list(machine.home("ben").glob("*.txt"))
    told = {one["name"]: one["problem"] for one in json.loads((machine.state / "schedules.json").read_text())}
    assert told["good"] is None
    assert "no TOML" in told["bad"]
    machine.put("ana", "bad.schedule.toml", WEEKLY, at=MONDAY)
    look(one)
    assert not note.exists()


def test_what_one_user_lays_down_keeps_nobody_else_from_being_run(machine: Machine) -> None:
    hostile = os.fsdecode(b"not \xff text")
    machine.schedule("ana", hostile, ["1"], WEEKLY, at=SAVED)
    machine.schedule("ana", "x" * 200, ["1"], "schedule = " + "[" * 20_000, at=SAVED)
    machine.schedule("ana", "number", ["1"], f"timeout_minutes = {'9' * 90_000}", at=SAVED)
    machine.put("ana", "large.schedule.toml", "#" * 200_000, at=SAVED)
    for number in range(250):
        machine.put("ana", f"many/{number}.schedule.toml", "", at=SAVED)
    (machine.home("ana") / "folder.schedule.toml").mkdir()
    os.mkfifo(machine.home("ana") / "pipe.schedule.toml")
    machine.schedule("ben", "weekly", ["1"], WEEKLY, at=SAVED)
    counted = Counted()
    look(scheduler(machine, lambda: MONDAY, counted))
    assert counted.names == ["weekly.ipynb"]
    assert "cannot be printed" in (machine.home("ana") / f"{hostile}.schedule.error.txt").read_text()
    assert len(list(machine.home("ana").rglob("*.schedule.error.txt"))) <= 201


def test_a_note_is_not_written_through_a_link(machine: Machine) -> None:
    machine.schedule("ana", "bad", ["1"], "schedule = ", at=SAVED)
    victim = machine.state / "victim"
    victim.write_text("root's own")
    (machine.home("ana") / "bad.schedule.error.txt").symlink_to(victim)
    look(scheduler(machine, lambda: MONDAY, Counted()))
    assert victim.read_text() == "root's own"
    assert not (machine.home("ana") / "bad.schedule.error.txt").is_symlink()


def test_the_schedules_of_a_removed_user_are_not_run(machine: Machine) -> None:
    machine.schedule("ana", "weekly", ["1"], WEEKLY, at=SAVED)
    with changed(machine.state, machine.settings.uid_base) as change:
        change.remove("ana")
    counted = Counted()
    look(scheduler(machine, lambda: MONDAY, counted))
    assert counted.jobs == []
