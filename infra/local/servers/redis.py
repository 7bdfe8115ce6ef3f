"""Redis, the dashboard's cache and its worker's queue: Debian's server, with everything in memory."""

import os
import secrets
import shutil
import subprocess
from pathlib import Path

from infra.local.config import write_private
from infra.local.console import say
from infra.local.errors import StackError
from infra.local.servers import packages
from infra.local.servers.processes import Server

NAME = "redis"
# Valkey is the same server under the name that newer systems have.
_PROGRAMS = ("valkey-server", "redis-server")

# What has an end, which is all of the cache, makes room for what is new. The queue stays.
_CONFIGURATION = """\
bind 127.0.0.1
port {port}
requirepass {password}
dir "{home}"
save ""
appendonly no
maxmemory 256mb
maxmemory-policy volatile-lru
daemonize no
set-proc-title no
"""


def start(run_dir: Path, port: int) -> str:
    """Starts it unless it runs. Returns its address, with the password and without a database's number."""
    server = Server(NAME, run_dir)
    home = run_dir / NAME
    password_file = home / "password"
    if not password_file.exists():
        write_private(password_file, secrets.token_hex(24))
    password = password_file.read_text()
    if not server.answers(lambda: is_healthy(port, password)):
        if server.pid():
            say(NAME, "runs but does not answer: restarting it")
            server.stop()
        configuration = home / "redis.conf"
        write_private(configuration, _CONFIGURATION.format(port=port, password=password, home=home))
        env = {"PATH": os.defpath, "LANG": "C.UTF-8"}
        process = server.start([_program(), configuration], env=env, cwd=home)
        server.wait_until(lambda: is_healthy(port, password), seconds=30, process=process)
        say(NAME, f"ready on 127.0.0.1:{port} (pid {process.pid})")
    return f"redis://:{password}@127.0.0.1:{port}"


def is_healthy(port: int, password: str) -> bool:
    """Whether it answers a client that knows the password."""
    import socket

    try:
        with socket.create_connection(("127.0.0.1", port), timeout=2) as client:
            client.sendall(f"AUTH {password}\r\nPING\r\n".encode())
            answer = b""
            while answer.count(b"\r\n") < 2 and (block := client.recv(1024)):
                answer += block
            return answer == b"+OK\r\n+PONG\r\n"
    except OSError:
        return False


def _program() -> str:
    """The server's path. Installs Debian's Redis if there is none."""
    if not (found := _find()):
        packages.install(NAME, ["redis-server"], "Redis, the dashboard's cache, is missing")
        found = _find()
        # The package starts a server of its own on port 6379, which nothing here uses.
        if shutil.which("systemctl"):
            subprocess.run(["systemctl", "disable", "--now", "redis-server"], check=False, capture_output=True)
    if not found:
        raise StackError(f"{NAME}: no {' or '.join(_PROGRAMS)} on PATH, even after installing it")
    return found


def _find() -> str | None:
    return next(
        (path for name in _PROGRAMS if (path := shutil.which(name, path=os.environ["PATH"] + ":/usr/sbin"))), None
    )
