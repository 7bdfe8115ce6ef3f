"""PostgreSQL, the source of schedules: a cluster for this stack, made with initdb from Debian's binaries."""

import os
import pwd
import secrets
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path

from infra.local.config import Postgres, write_private
from infra.local.console import say
from infra.local.errors import StackError
from infra.local.servers import packages
from infra.local.servers.processes import Server, wait_for, working_in
from infra.local.servers.tls import make_certificates

NAME = "postgres"
ADMIN = "postgres"

# The data is disposable, so it need not survive a power cut. A killed server still recovers from its log.
_CONFIGURATION = """\
listen_addresses = '127.0.0.1'
port = {port}
unix_socket_directories = ''    # its path would be too long in many a checkout; all clients use TCP
max_connections = 100
shared_buffers = 128MB
max_wal_size = 4GB
fsync = off
synchronous_commit = off
full_page_writes = off
jit = off
ssl = on
ssl_cert_file = 'certificate.pem'
ssl_key_file = 'key.pem'
password_encryption = 'scram-sha-256'
timezone = 'UTC'
log_timezone = 'UTC'
log_line_prefix = '%m [%p] %q%u@%d '
log_checkpoints = off
"""

# With and without TLS, because both are tested. Never without a password.
_ACCESS = "host all all 127.0.0.1/32 scram-sha-256\n"


def start(run_dir: Path, port: int) -> Postgres:
    """Starts the cluster unless it runs. Creates it first if there is none."""
    binaries = _binaries()
    server = Server(NAME, run_dir)
    ca_file = run_dir / "tls" / "ca.pem"
    password_file = run_dir / "postgres-password"
    address = Postgres("127.0.0.1", port, ADMIN, _password(password_file), str(ca_file))
    if server.answers(lambda: is_healthy(address)):
        return address
    if server.pid():
        say(NAME, "runs but does not answer: restarting it")
        server.stop()
    user = _user()
    home = _home(run_dir, user)
    data = home / "data"
    if not data.exists():
        say(NAME, f"creating a cluster in {data}")
        _initdb(binaries, home, data, address.admin_password, user)
    if not (ca_file.exists() and (data / "key.pem").exists()):
        make_certificates(ca_file, data / "certificate.pem", data / "key.pem")
    _forget_crash(data)
    (data / "postgresql.conf").write_text(_CONFIGURATION.format(port=port))
    (data / "pg_hba.conf").write_text(_ACCESS)
    if user:
        for name in ("certificate.pem", "key.pem", "postgresql.conf", "pg_hba.conf"):
            shutil.chown(data / name, user, user)
    env = {"PATH": os.defpath, "LANG": "C.UTF-8", "LC_ALL": "C.UTF-8"}
    # INT is PostgreSQL's fast shutdown. TERM would wait for its clients to leave.
    process = server.start([binaries / "postgres", "-D", data], env=env, cwd=data, user=user, stop_signal=signal.SIGINT)
    server.wait_until(lambda: is_healthy(address), seconds=60, process=process)
    say(NAME, f"ready on 127.0.0.1:{port} (pid {process.pid})")
    return address


def is_healthy(address: Postgres) -> bool:
    """Whether the administrator can log in over TLS and query."""
    import psycopg  # imported here: it is slow, and not all commands need it

    try:
        with psycopg.connect(address.conninfo()) as connection:
            return connection.execute("select 1").fetchone() == (1,)
    except psycopg.Error:
        return False


def wipe(run_dir: Path) -> None:
    """Removes the cluster if it is outside the stack's folder."""
    link = run_dir / NAME
    if link.is_symlink():
        shutil.rmtree(link.resolve(), ignore_errors=True)


def _binaries() -> Path:
    """The folder of the newest PostgreSQL server. Installs one if there is none."""
    if not (shutil.which("openssl") and _find_binaries()):
        packages.install(NAME, ["postgresql", "postgresql-client", "openssl"], "PostgreSQL or openssl is missing")
    found = _find_binaries()
    if found is None:
        raise StackError(f"{NAME}: no `postgres` in /usr/lib/postgresql/*/bin or on PATH, even after installing it")
    return found


def _find_binaries() -> Path | None:
    debian = [file.parent for file in Path("/usr/lib/postgresql").glob("*/bin/postgres") if file.parts[4].isdigit()]
    if debian:
        return max(debian, key=lambda folder: int(folder.parts[4]))
    on_path = shutil.which("postgres")
    return Path(on_path).resolve().parent if on_path else None


def _password(file: Path) -> str:
    if not file.exists():
        write_private(file, secrets.token_urlsafe(24))
    return file.read_text()


def _user() -> str | None:
    """The user to run as. PostgreSQL refuses root; then it is the user that its package creates."""
    if os.geteuid() != 0:
        return None
    try:
        return pwd.getpwnam("postgres").pw_name
    except KeyError:
        raise StackError(
            f"{NAME}: the server refuses to run as root and there is no user `postgres`: "
            "create it (`useradd --system postgres`), or run as an ordinary user"
        ) from None


def _home(run_dir: Path, user: str | None) -> Path:
    """A folder that belongs to the user: in the stack's folder, or linked from it if that user cannot enter it."""
    home = run_dir / NAME
    if home.exists():
        return home.resolve()
    if user and not _can_enter(run_dir, user):
        outside = Path(tempfile.mkdtemp(prefix="storewatch-postgres-", dir="/var/tmp"))
        say(NAME, f"the user {user} cannot enter {run_dir}: keeping the cluster in {outside}")
        home.unlink(missing_ok=True)  # a link to a deleted folder
        home.symlink_to(outside)
    else:
        home.mkdir(parents=True)
        home.chmod(0o700)
    if user:
        shutil.chown(home.resolve(), user, user)
    return home.resolve()


def _can_enter(folder: Path, user: str) -> bool:
    test = subprocess.run(["test", "-x", folder], user=user, group=user, extra_groups=[], cwd="/", check=False)
    return test.returncode == 0


def _forget_crash(data: Path) -> None:
    """Removes a killed server's pid file, once its sessions have noticed and ended.

    The server would do this itself, but it takes a killed server that is still a zombie for a running one.
    """
    wait_for(lambda: not working_in(data), 10)
    if left := working_in(data):
        raise StackError(f"{NAME}: sessions of a killed server still run in {data}: end {left} and try again")
    (data / "postmaster.pid").unlink(missing_ok=True)


def _initdb(binaries: Path, home: Path, data: Path, password: str, user: str | None) -> None:
    password_file = home / "initial-password"
    write_private(password_file, password)
    if user:
        shutil.chown(password_file, user, user)
    partial = home / "data.partial"
    command: list[str | Path] = [
        binaries / "initdb",
        "-D",
        partial,
        "-U",
        ADMIN,
        f"--pwfile={password_file}",
        "--auth=scram-sha-256",
    ]
    options = ["--encoding=UTF8", "--locale=C.UTF-8", "--no-sync", "--no-instructions"]
    shutil.rmtree(partial, ignore_errors=True)
    try:
        result = subprocess.run(
            [*command, *options],
            user=user,
            group=user,
            extra_groups=[] if user else None,
            cwd=home,
            capture_output=True,
            text=True,
            check=False,
        )
    finally:
        password_file.unlink()
    if result.returncode:
        raise StackError(f"{NAME}: initdb failed: {(result.stderr or result.stdout).strip()}")
    # Renamed last: the next start looks for this name and must find a whole cluster.
    partial.rename(data)
