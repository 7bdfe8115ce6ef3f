"""Notes go into the homes of a workbench's users, as theirs, whatever a user has laid there."""

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from infra.workbench.hub import users
from infra.workbench.hub.schedules import find
from infra.workbench.hub.settings import VARIABLE, Settings
from tests.workbench.zeppelin_notes import Ended, Json, command, note, write

BASE = 790_000


@pytest.fixture
def state(tmp_path: Path) -> Iterator[Path]:
    """The folder of a workbench with the users ana and ben. No server runs."""
    state = tmp_path / "state"
    with users.changed(state, BASE) as change:
        change.put("ana", groups=("ops",))
        change.put("ben")
    settings = Settings(
        state=str(state),
        port=1,
        hub_port=2,
        proxy_port=3,
        pages_port=4,
        proxy="none",
        environment="/usr",
        uid_base=BASE,
        prefix="zeppelin",
        database="storewatch",
        bucket="none",
        region="eu-west-1",
    )
    settings.file.write_text(settings.text())
    yield state


def notes(folder: Path) -> Path:
    """Notes of Ana, of somebody who is no user, and of nobody."""
    owners = {"2AAAAAAAA": "Ana", "2BBBBBBBB": "gone@example.com"}
    for number, name in (("2AAAAAAAA", "Team/A"), ("2BBBBBBBB", "Team/B"), ("2CCCCCCCC", "C")):
        made = note(f"%md {number}", id=number, config={"cron": "0 0 7 ? * MON"})
        write(folder / f"notebook/{name}_{number}.zpln", made)
    rights: Json = {number: {"owners": [owner], "readers": ["ana", "ben"]} for number, owner in owners.items()}
    write(folder / "conf/notebook-authorization.json", {"authInfo": rights})
    return folder


def run(state: Path, place: Path, owner: str = "ben") -> Ended:
    """Imports into homes."""
    return command("import", place, "--owner", owner, env={VARIABLE: str(state / "settings.json")})


def text(path: Path) -> str:
    """The text of a notebook's first cell."""
    return "".join(json.loads(path.read_text())["cells"][0]["source"])


def test_notes_become_their_owners_own_files(state: Path, tmp_path: Path) -> None:
    ended = run(state, notes(tmp_path / "zeppelin"))
    assert (ended.status, ended.errors) == (0, "")
    homes, found = state / "homes", users.Users.load(state)
    wanted = {"ana/Team/A": "2AAAAAAAA", "ben/gone@example.com/Team/B": "2BBBBBBBB", "ben/C": "2CCCCCCCC"}
    for path, number in wanted.items():
        file = homes / f"{path}.ipynb"
        assert text(file) == number
        uid = found[path.partition("/")[0]].uid
        for part in (file, file.with_name(f"{file.stem}.schedule.off.toml"), file.parent):
            assert (part.stat().st_uid, part.stat().st_gid) == (uid, uid)
            assert part.stat().st_mode & 0o007 == 0
    assert (homes / "ana/examples").is_dir()
    assert "belonged to gone@example.com, and is in the folder ben/gone@example.com now" in ended.printed
    assert run(state, tmp_path / "zeppelin").printed.count("0 written, 3 there already") == 1


def test_the_scheduler_reads_an_imported_schedule_once_it_is_renamed(state: Path, tmp_path: Path) -> None:
    run(state, notes(tmp_path / "zeppelin"))
    found = users.Users.load(state)
    assert list(find(state, found)) == []
    off = state / "homes/ana/Team/A.schedule.off.toml"
    off.rename(off.with_name("A.schedule.toml"))
    (file,) = find(state, found)
    assert (file.owner, file.notebook, file.problem) == ("ana", "Team/A.ipynb", None)
    assert file.schedule is not None
    assert (file.schedule.cron, file.schedule.readers) == ("0 7 * * 1", ("ben",))


def test_a_link_in_a_home_is_not_followed_and_others_get_theirs(state: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    place = notes(tmp_path / "zeppelin")
    run(state, place)
    homes = state / "homes"
    (homes / "ana/Team/A.ipynb").unlink()
    (homes / "ana/Team/A.schedule.off.toml").unlink()
    (homes / "ana/Team").rmdir()
    (homes / "ana/Team").symlink_to(outside)
    (homes / "ben/C.ipynb").unlink()
    (homes / "ben/C.ipynb").symlink_to(outside / "planted")
    ended = run(state, place)
    assert ended.status == 1
    assert "failed: Team/A cannot be written as ana/Team/A.ipynb into the home: " in ended.printed
    assert list(outside.iterdir()) == []
    assert text(homes / "ben/C (2).ipynb") == "2CCCCCCCC"


def test_a_user_who_is_missing_or_a_workbench_that_is_missing_is_one_sentence(state: Path, tmp_path: Path) -> None:
    place = notes(tmp_path / "zeppelin")
    ended = run(state, place, owner="zeppelin")
    assert ended.status == 2
    assert ended.errors == (
        "import-notes: there is no user 'zeppelin' in the workbench: name whose the notes are that belong to nobody here, "
        "as in OWNER=ana\n"
    )
    ended = run(tmp_path / "elsewhere", place)
    assert ended.status == 2
    assert ended.errors.startswith("import-notes: there are no settings of the workbench in ")
    assert not os.path.exists(state / "homes")
