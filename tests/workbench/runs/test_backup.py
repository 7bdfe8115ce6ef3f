"""Every save goes to S3, and an empty machine comes back from there."""

import json
import os
import stat
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from infra.errors import DeployError
from infra.workbench.hub import files, tell
from infra.workbench.hub import mirror as mirrors
from infra.workbench.hub import restore as restores
from infra.workbench.hub.mirror import Mirror
from infra.workbench.hub.store import Unavailable
from infra.workbench.hub.users import Users
from tests.faults.listener import Loop
from tests.faults.routes import before
from tests.workbench.runs import machine as machines
from tests.workbench.runs.machine import Machine, wait


@contextmanager
def following(machine: Machine) -> Iterator[Mirror]:
    """A mirror that runs."""
    stop, failed = threading.Event(), []
    mirror = Mirror(machine.settings, machine.store)

    def run() -> None:
        try:
            mirrors.follow(mirror, stop)
        except BaseException as error:
            failed.append(error)
            raise

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield mirror
    finally:
        stop.set()
        thread.join(30)
    assert not thread.is_alive() and not failed


def tree(machine: Machine) -> dict[str, tuple[bytes, int, int, str, str]]:
    """All files of homes and groups: content, mode, time, owner, group."""
    names = {user.uid: user.name for user in machine.users}
    groups = {gid: name for name, gid in machine.users.groups.items()} | {0: "root"}
    found: dict[str, tuple[bytes, int, int, str, str]] = {}
    for top in ("homes", "groups"):
        for path in sorted((machine.state / top).rglob("*")):
            if path.is_file() and not path.is_symlink():
                one = path.stat()
                owner, group = names.get(one.st_uid, "root"), names.get(one.st_gid) or groups[one.st_gid]
                mode = stat.S_IMODE(one.st_mode)
                found[str(path.relative_to(machine.state))] = (path.read_bytes(), mode, one.st_mtime_ns, owner, group)
    return found


def in_group(machine: Machine, user: str, path: str, text: str) -> Path:
    """A file that a user saves in the group's folder."""
    file = machine.state / "groups" / machines.GROUP / path
    gid = machine.users.groups[machines.GROUP]
    for folder in reversed([one for one in file.parents if not one.exists()]):
        folder.mkdir()
        folder.chmod(0o2770)
        os.chown(folder, machine.users[user].uid, gid)
    file.write_text(text)
    file.chmod(0o660)
    os.chown(file, machine.users[user].uid, gid)
    return file


@pytest.mark.smoke
def test_every_save_is_on_s3_within_seconds(machine: Machine) -> None:
    with following(machine):
        wait(lambda: machine.keys("backup/"), "the first full pass")
        machine.put("ana", "a.ipynb", "1")
        wait(lambda: machine.keys("homes/ana/a.ipynb"), "a new file", seconds=6)
        machine.put("ana", "deep/er/data.csv", "2")
        wait(lambda: machine.keys("homes/ana/deep/er/data.csv"), "a file in a new folder", seconds=6)
        machine.put("ana", "deep/er/data.csv", "22")
        wait(lambda: machine.text("homes/ana/deep/er/data.csv") == "22", "a file that was there", seconds=6)
        in_group(machine, "ben", "shared.txt", "3")
        wait(lambda: machine.keys(f"groups/{machines.GROUP}/shared.txt"), "a group's file", seconds=6)
        (machine.home("ana") / "deep").rename(machine.home("ana") / "moved")
        wait(lambda: machine.keys("homes/ana/moved/er/data.csv"), "a folder that was renamed", seconds=6)
        wait(lambda: not machine.keys("homes/ana/deep/"), "its old name", seconds=6)
        (machine.home("ana") / "a.ipynb").unlink()
        wait(lambda: not machine.keys("homes/ana/a.ipynb"), "a file that was deleted", seconds=6)
    versions = [(one.deleted, one.latest) for one in machine.store.versions("homes/ana/a.ipynb")]
    assert sorted(versions) == [(False, False), (True, True)]
    assert Users.parse(machine.text("users.json")).groups == machine.users.groups


def test_a_full_pass_leaves_a_heartbeat_and_counts_itself(machine: Machine) -> None:
    machine.put("ana", "a.txt", "12345")
    at = datetime(2026, 11, 26, 23, 59, tzinfo=UTC)
    Mirror(machine.settings, machine.store, lambda: at).look(full=True)
    said = machine.json("backup/2026-11-26.json")
    assert (said["at"], said["bytes"] >= 5, said["left_out"]) == (at.isoformat(), True, [])
    assert machine.counted(tell.BACKED_UP) == 1


def test_links_hidden_folders_and_pipes_are_left_out(machine: Machine, capsys: pytest.CaptureFixture[str]) -> None:
    home = machine.home("ana")
    (home / "shadow").symlink_to("/etc/shadow")
    (home / "etc").symlink_to("/etc")
    (home / "hard.txt").write_text("kept")
    os.mkfifo(home / "pipe")
    machine.put("ana", ".ipynb_checkpoints/a.ipynb", "x")
    machine.put("ana", ".cache/a", "x")
    machine.put("ana", ".profile", "a hidden file is kept")
    with (home / "large.bin").open("wb") as large:
        large.truncate(mirrors.LARGEST + 1)
    made = Mirror(machine.settings, machine.store).look(full=True)
    assert not made.failed
    mine = {key for key in machine.keys("homes/ana/") if not key.startswith("homes/ana/examples/")}
    assert mine == {"homes/ana/.profile", "homes/ana/hard.txt"}
    assert made.left_out == ["homes/ana/large.bin: it has more than 50 MB"]
    assert capsys.readouterr().out.count("large.bin") == 1
    assert machine.json(f"backup/{datetime.now(UTC):%Y-%m-%d}.json")["left_out"] == made.left_out


def test_a_file_that_becomes_a_link_is_not_read(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    victim = machine.state / "secret"
    victim.write_text("root's own")
    file = machine.put("ana", "folder/secret", "hers")
    real = files.read

    def swapped(root: Path, path: str, most: int) -> tuple[bytes, os.stat_result]:
        if path == "ana/folder/secret" and not file.parent.is_symlink():
            file.parent.rename(file.parent.with_name("away"))
            file.parent.symlink_to(machine.state)
        return real(root, path, most)

    monkeypatch.setattr(files, "read", swapped)
    made = Mirror(machine.settings, machine.store).look()
    assert made.torn
    assert not machine.keys("homes/ana/folder/")


def test_a_link_to_the_whole_machine_is_not_watched(machine: Machine) -> None:
    outside = machine.state / "outside"
    outside.mkdir()
    (machine.home("ana") / "all").symlink_to(machine.state)
    mirror = Mirror(machine.settings, machine.store)
    mirror.look()
    assert outside not in mirror.folders
    assert not [folder for folder in mirror.folders if folder.is_symlink()]


def test_an_outage_of_s3_loses_no_save_and_is_said_once(
    machine: Machine, loop: Loop, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    proxy = before(loop, machine.stack.aws.endpoint)
    monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.url)
    monkeypatch.setattr(mirrors, "_AGAIN_SECONDS", 0.2)
    try:
        with following(machine) as mirror:
            machine.put("ana", "gone.txt", "soon")
            wait(lambda: machine.keys("homes/ana/gone.txt"), "what is deleted later")
            with proxy.refusing():
                machine.put("ana", "during.txt", "kept")
                (machine.home("ana") / "gone.txt").unlink()
                wait(lambda: mirror.down, "the mirror notices")
                with pytest.raises(Unavailable):
                    machine.store.get("homes/ana/during.txt")
            wait(lambda: machine.keys("homes/ana/during.txt"), "what was saved during the outage")
            wait(lambda: not machine.keys("homes/ana/gone.txt"), "what was deleted during the outage")
    finally:
        proxy.close()
    out = capsys.readouterr().out
    assert out.count("brought once S3 is back") == 1
    assert out.count("S3 is back, and has everything") == 1


def test_an_empty_machine_deletes_nothing_on_s3(machine: Machine, make: Callable[..., Machine]) -> None:
    machine.put("ana", "a.ipynb", "precious")
    Mirror(machine.settings, machine.store).look(full=True)
    kept = machine.keys("homes/")
    other = machines.peopled(make(bucket=machine.settings.bucket))
    Mirror(other.settings, other.store).look(full=True)
    assert set(kept) <= set(machine.keys("homes/"))


def test_an_empty_machine_comes_back_as_it_was(machine: Machine, make: Callable[..., Machine]) -> None:
    machine.put("ana", "work/año – ü.ipynb", machines.notebook("1"), at=datetime(2026, 11, 1, 8, 0, tzinfo=UTC))
    machine.put("ana", "work/weekly.schedule.toml", 'schedule = "0 7 * * 1"\n')
    machine.put("ben", "data/a b+c%20.csv", os.urandom(100_000))
    machine.put("cam", "empty.txt", "")
    in_group(machine, "ben", "sub/shared.ipynb", machines.notebook("2"))
    (machine.home("cam") / "empty.txt").chmod(0o640)
    Mirror(machine.settings, machine.store).look(full=True)
    other = make(bucket=machine.settings.bucket)
    count = restores.restore(other.settings, other.store)
    assert tree(other) == tree(machine)
    assert count == len(tree(machine))
    rights = [(user.name, user.groups, user.admin, user.password) for user in machine.users]
    assert [(user.name, user.groups, user.admin, user.password) for user in other.users] == rights
    assert all(other.settings.uid_base < user.uid <= other.settings.last_uid for user in other.users)
    assert stat.S_IMODE((other.state / "groups" / machines.GROUP).stat().st_mode) == 0o2770
    assert stat.S_IMODE(other.home("ana").stat().st_mode) == 0o700
    assert os.readlink(other.home("ana") / "groups") == os.readlink(machine.home("ana") / "groups")


def test_a_machine_comes_back_as_it_was_at_an_instant(machine: Machine, make: Callable[..., Machine]) -> None:
    mirror = Mirror(machine.settings, machine.store)
    machine.put("ana", "a.txt", "first")
    machine.put("ana", "later-deleted.txt", "there")
    mirror.look()
    newest = max(one.at for one in machine.store.versions(""))
    wait(lambda: datetime.now(UTC).replace(microsecond=0) > newest, "the next second of S3's clock")
    machine.put("ana", "a.txt", "second")
    machine.put("ana", "new.txt", "new")
    (machine.home("ana") / "later-deleted.txt").unlink()
    mirror.look()
    then, now = make(bucket=machine.settings.bucket), make(bucket=machine.settings.bucket)
    restores.restore(then.settings, then.store, at=newest)
    restores.restore(now.settings, now.store)
    assert (then.home("ana") / "a.txt").read_text() == "first"
    assert (then.home("ana") / "later-deleted.txt").read_text() == "there"
    assert not (then.home("ana") / "new.txt").exists()
    assert (now.home("ana") / "a.txt").read_text() == "second"
    assert not (now.home("ana") / "later-deleted.txt").exists()


def test_a_home_that_is_not_empty_is_not_written_over(machine: Machine) -> None:
    machine.put("ana", "a.txt", "backed up")
    Mirror(machine.settings, machine.store).look()
    machine.put("ana", "a.txt", "newer")
    with pytest.raises(DeployError, match="is not empty.*--force"):
        restores.restore(machine.settings, machine.store)
    assert (machine.home("ana") / "a.txt").read_text() == "newer"
    restores.restore(machine.settings, machine.store, force=True)
    assert (machine.home("ana") / "a.txt").read_text() == "backed up"


def test_a_restore_that_was_killed_is_run_again(
    machine: Machine, make: Callable[..., Machine], monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(20):
        machine.put("ana", f"{number}.txt", f"{number}")
    Mirror(machine.settings, machine.store).look()
    other = make(bucket=machine.settings.bucket)
    real, written = files.write, []

    def killed(*words: Any, **more: Any) -> None:
        written.append(words)
        if len(written) > 7:
            raise KeyboardInterrupt
        real(*words, **more)

    with monkeypatch.context() as patch:
        patch.setattr(files, "write", killed)
        with pytest.raises(KeyboardInterrupt):
            restores.restore(other.settings, other.store)
    assert 0 < len(tree(other)) < len(tree(machine))
    restores.restore(other.settings, other.store)
    assert tree(other) == tree(machine)


def test_a_bucket_without_a_backup_is_told_from_an_empty_workbench(make: Callable[..., Machine]) -> None:
    empty = make()
    with pytest.raises(DeployError, match="there is no backup of users"):
        restores.restore(empty.settings, empty.store)
    assert not (empty.state / "users.json").exists()


@pytest.mark.smoke
def test_the_programs_back_up_and_restore(machine: Machine, make: Callable[..., Machine]) -> None:
    machine.put("ana", "a.ipynb", machines.notebook("1"))
    process = machine.start("mirror")
    try:
        wait(lambda: machine.keys("backup/"), "the first full pass")
        machine.put("ana", "b.ipynb", machines.notebook("2"))
        wait(lambda: machine.keys("homes/ana/b.ipynb"), "a save")
    finally:
        process.terminate()
        assert process.wait(20) == 0, machine.log("mirror")
    other = make(bucket=machine.settings.bucket)
    assert other.start("restore").wait(60) == 0, other.log("restore")
    assert tree(other) == tree(machine)
    assert json.loads((other.state / "users.json").read_text())["users"].keys() == {"ana", "ben", "cam", "dora"}
    assert other.start("restore").wait(60) == 1
    assert "is not empty" in other.log("restore")
