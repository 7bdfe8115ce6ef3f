"""A user's processes see and reach what is theirs, take no more than their share, and hold no secret of anybody else."""

import argparse
import socket
import subprocess
import urllib.parse

import psycopg
import pytest

from infra.local.sample.places import read_places
from infra.workbench import people
from infra.workbench.hub import limits, sandbox
from tests.workbench.conftest import Workbench

pytestmark = pytest.mark.smoke


def test_a_user_sees_no_home_but_its_own(workbench: Workbench) -> None:
    workbench.python("ana", "open('mine.txt', 'w').write('secret of ana')")
    assert workbench.run("ben", "ls", "/home").stdout.split() == [workbench.user("ben").name]
    assert (workbench.home("ana") / "mine.txt").read_text() == "secret of ana"
    seen = workbench.run(
        "ben", "cat", str(workbench.home("ana") / "mine.txt"), f"/home/{workbench.user('ana').name}/mine.txt"
    )
    assert seen.returncode == 1 and "secret" not in seen.stdout


def test_modes_keep_users_apart_even_without_the_sandbox(workbench: Workbench) -> None:
    workbench.python("ana", "open('mine.txt', 'w').write('secret of ana')")
    workbench.run("ben", "true")
    state, ben = workbench.settings.folder, workbench.user("ben").uid
    hidden = [workbench.home("ana") / "mine.txt", state / "settings.json", state / "users.json", state / "hub.sqlite"]
    hidden += [state / "access" / workbench.user("ana").name / "trino.json", state / "cookie_secret"]
    for file in hidden:
        assert file.exists(), file
        done = subprocess.run(["cat", file], user=ben, group=ben, extra_groups=[], capture_output=True, check=False)
        assert done.returncode == 1 and b"Permission denied" in done.stderr, file


def test_a_user_sees_no_processes_of_others(workbench: Workbench) -> None:
    seen = workbench.python("ben", "import os; print(sorted(int(p) for p in os.listdir('/proc') if p.isdigit()))")
    assert eval(seen)[-1] < 20


def test_a_user_gains_no_rights(workbench: Workbench) -> None:
    status = workbench.run("ana", "cat", "/proc/self/status").stdout
    lines = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    assert [int(lines[f"Cap{kind}"], 16) for kind in ("Inh", "Prm", "Eff", "Bnd", "Amb")] == [0] * 5
    assert lines["NoNewPrivs"] == "1" and lines["Uid"].split() == [str(workbench.user("ana").uid)] * 4
    assert workbench.run("ana", "sh", "-c", "echo x > /usr/x; echo x > /etc/jupyter/x; echo x > /opt/x").returncode == 2


def test_a_user_holds_no_secret_but_its_own(workbench: Workbench) -> None:
    aws, postgres = workbench.stack.aws, workbench.stack.postgres
    told = workbench.run("ana", "sh", "-c", "env; cat /run/storewatch/* /etc/passwd").stdout
    assert workbench.user("ana").name in told and workbench.user("ben").name not in told
    assert postgres.admin_password not in told
    assert "AWS_ACCESS_KEY_ID" not in told and aws.secret_access_key not in told.split()


def test_a_group_shares_its_folder_and_nobody_else_sees_it(workbench: Workbench) -> None:
    workbench.python("ana", "open('groups/ops/note.md', 'w').write('for ops')")
    assert workbench.run("ben", "cat", "groups/ops/note.md").stdout == "for ops"
    assert workbench.run("ben", "sh", "-c", "echo more >> groups/ops/note.md").returncode == 0
    assert workbench.run("ana", "cat", "groups/ops/note.md").stdout == "for opsmore\n"
    assert workbench.run("cam", "ls", "groups/ops").returncode == 2
    folder = workbench.settings.folder / "groups" / "ops" / "note.md"
    cam = workbench.user("cam").uid
    done = subprocess.run(["cat", folder], user=cam, group=cam, extra_groups=[], capture_output=True, check=False)
    assert done.returncode == 1


def test_a_user_reaches_the_engine_and_none_of_the_other_servers(workbench: Workbench) -> None:
    settings = workbench.settings
    assert settings.trino_url and workbench.reaches("ana", settings.trino_url)
    assert workbench.reaches("ana", f"http://127.0.0.1:{settings.hub_port}")
    assert workbench.reaches("ana", workbench.stack.elasticsearch.url)  # one of her sources
    closed = [
        workbench.stack.aws.endpoint,
        workbench.stack.elasticsearch.url,
        f"http://127.0.0.1:{settings.proxy_port}",
    ]
    for url in closed:
        socket.create_connection((urllib.parse.urlsplit(url).hostname, urllib.parse.urlsplit(url).port), 5).close()
        assert not workbench.reaches("ben", url), url
    assert not workbench.reaches("ben", "http://169.254.169.254:80")


def test_who_may_reads_the_raw_sources_and_nobody_else(workbench: Workbench) -> None:
    code = "from storewatch import postgres; print(postgres('es').sql('select count(*) as n from stores').n[0])"
    database = read_places(workbench.stack, workbench.settings.prefix)["es"].database
    with psycopg.connect(workbench.stack.postgres.conninfo(database)) as connection:
        (count,) = connection.execute("select count(*) from stores").fetchone() or (None,)
    assert workbench.python("ana", code).split()[-1] == str(count)
    refused = workbench.run("ben", "python", "-c", code)
    assert refused.returncode == 1 and "You may not reach" in refused.stderr


def test_an_analyst_asks_the_lake_with_a_login_of_its_own(workbench: Workbench) -> None:
    code = "from storewatch import sql; print(sql('select current_user as me').me[0])"
    for name in ("ana", "ben"):
        assert workbench.user(name).name in workbench.python(name, code)


def test_who_loses_a_group_loses_the_server_that_still_sees_its_folder(workbench: Workbench) -> None:
    name = f"dan-{workbench.suffix}"
    kept = {"name": name, "sources": None, "admin": None, "mail": None, "new_password": False, "remove": False}
    people.change(workbench.settings, argparse.Namespace(groups="ops", **kept))
    workbench.run("dan", "true")  # makes the home
    user = workbench.user("dan")
    server = subprocess.Popen(
        sandbox.command(workbench.settings, user, ["sleep", "1000"], outlives=True),
        preexec_fn=sandbox.preexec(workbench.settings, user),  # noqa: PLW1509
    )
    people.change(workbench.settings, argparse.Namespace(groups="ops", **kept))
    assert server.poll() is None
    people.change(workbench.settings, argparse.Namespace(groups="", **kept))
    server.wait(10)


def test_memory_beyond_the_limit_ends_the_process_that_takes_it_and_no_other(workbench: Workbench) -> None:
    before = limits.killed(workbench.settings, workbench.user("ana").name, "test")
    done = workbench.run("ana", "python", "-c", "x = bytearray(2 * 1024**3)")
    assert done.returncode != 0 and limits.killed(workbench.settings, workbench.user("ana").name, "test") > before
    assert workbench.python("ben", "x = bytearray(300 * 1024**2); print(len(x))").strip() == str(300 * 1024**2)


def test_four_busy_processes_get_the_share_of_one(workbench: Workbench) -> None:
    busy = "import time; e = time.monotonic() + 3\nwhile time.monotonic() < e: pass"
    code = f"""
import os, subprocess, sys, time
started = time.monotonic()
for child in [subprocess.Popen([sys.executable, '-S', '-c', {busy!r}]) for _ in range(4)]:
    child.wait()
spent = os.times()
print((spent.children_user + spent.children_system) / (time.monotonic() - started))
"""
    # A share is counted in periods of a tenth of a second.
    assert float(workbench.python("ana", code)) < 1.2


def test_processes_without_end_stop_at_the_limit(workbench: Workbench) -> None:
    code = """
import os, signal
made = []
try:
    while len(made) < 1000:
        pid = os.fork()
        if not pid:
            signal.pause()
        made.append(pid)
except OSError:
    pass
print(len(made))
for pid in made:
    os.kill(pid, signal.SIGKILL)
"""
    assert 50 < int(workbench.python("ana", code)) < workbench.settings.processes


@pytest.mark.parametrize("folder", ["/tmp", "/run/user"])
def test_files_in_memory_have_a_limit(workbench: Workbench, folder: str) -> None:
    done = workbench.run("ana", "dd", "if=/dev/zero", f"of={folder}/large", "bs=1M", "count=600")
    assert done.returncode == 1 and "No space left" in done.stderr


def test_a_file_larger_than_the_limit_is_refused(workbench: Workbench) -> None:
    largest = workbench.settings.file_megabytes * 1024 * 1024
    code = f"import signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN); open('large', 'wb').truncate({largest + 1})"
    assert "File too large" in workbench.run("ana", "python", "-c", code).stderr
    (workbench.home("ana") / "large").unlink()
