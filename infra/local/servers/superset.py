"""Superset, the dashboard's server: its own Python environment, its own database in the stack's PostgreSQL."""

import hashlib
import json
import os
import secrets
import subprocess
import urllib.error
import urllib.request
from dataclasses import asdict, dataclass
from pathlib import Path

from infra.local.config import ROOT, Postgres, Stack, write_private
from infra.local.console import say
from infra.local.errors import StackError
from infra.local.servers.processes import Server

NAME = "dashboard"
ADMINISTRATOR = "admin"
_SERVER = ROOT / "infra" / "dashboard" / "server"
_LOCK = ROOT / "infra" / "dashboard" / "requirements.lock"
_START_SECONDS = 240
# Superset waits for the engine most of the time, so threads share one process and its 300 MB.
_THREADS = 24


@dataclass(frozen=True)
class Settings:
    """What superset_config.py reads: addresses and secrets. Kept for the next start, because secrets must stay."""

    url: str
    metadata: str
    redis: str
    secret_key: str
    admin_password: str
    smtp: str | None = None  # the mail host: `smtp://…`
    settle_seconds: int = 60


def file(run_dir: Path) -> Path:
    """Where a stack's settings are, readable by their owner only."""
    return run_dir / NAME / "settings.json"


def read(run_dir: Path) -> Settings | None:
    """The settings of the last start; None if there was none."""
    try:
        return Settings(**json.loads(file(run_dir).read_text()))
    except FileNotFoundError:
        return None
    except (json.JSONDecodeError, TypeError) as error:
        raise StackError(f"{file(run_dir)} cannot be read ({error}): delete it, and run `make dashboard`") from None


def environment() -> Path:
    """The Python of Superset's environment. Makes it first if it is missing or another lock file made it."""
    done = subprocess.run(
        [ROOT / "infra" / "environment", "dashboard"], check=False, stdout=subprocess.PIPE, text=True, cwd=ROOT
    )
    if done.returncode:
        raise StackError(f"{NAME}: its Python packages could not be installed, see above")
    return Path(done.stdout.strip())


def start(
    stack: Stack,
    python: Path,
    port: int,
    redis: str,
    *,
    smtp: str | None = None,
    settle_seconds: int = 60,
    database: str = "dashboard",
) -> Settings:
    """Starts it unless it runs with the same settings. Prepares its database first if needed."""
    server = Server(NAME, stack.run_dir)
    before = read(stack.run_dir)
    settings = Settings(
        url=f"http://127.0.0.1:{port}",
        metadata=_database(stack.postgres, stack.run_dir, database),
        redis=redis,
        secret_key=before.secret_key if before else secrets.token_urlsafe(42),
        admin_password=before.admin_password if before else secrets.token_urlsafe(15),
        smtp=smtp,
        settle_seconds=settle_seconds,
    )
    # A running one would not see other settings.
    if before == settings and started(stack.run_dir, NAME).fits() and server.answers(lambda: is_healthy(settings.url)):
        return settings
    server.stop()
    write_private(file(stack.run_dir), json.dumps(asdict(settings), indent=2) + "\n")
    _prepare(stack, python, settings)
    say(NAME, "starting Superset")
    process = server.start(
        [python, "-m", "gunicorn", "superset.app:create_app()", *_options(port)],
        env=variables(stack.run_dir),
        cwd=stack.run_dir / NAME,
    )
    server.wait_until(lambda: is_healthy(settings.url), seconds=_START_SECONDS, process=process)
    started(stack.run_dir, NAME).set()
    say(NAME, f"Superset ready on {settings.url} (pid {process.pid})")
    return settings


def running(run_dir: Path) -> str | None:
    """The address of the running dashboard; None if it is down."""
    settings = read(run_dir)
    return settings.url if settings and Server(NAME, run_dir).pid() is not None else None


def is_healthy(url: str) -> bool:
    """Whether it answers."""
    try:
        with urllib.request.urlopen(f"{url}/health", timeout=5) as answer:
            return answer.read() == b"OK"
    except (urllib.error.URLError, OSError):
        return False


def _options(port: int) -> list[str]:
    return [
        f"--bind=127.0.0.1:{port}",
        "--worker-class=gthread",
        "--workers=1",
        f"--threads={_THREADS}",
        "--timeout=120",
        # Its heartbeat file; a disk that is busy must not look like a worker that hangs.
        "--worker-tmp-dir=/dev/shm",
    ]


def variables(run_dir: Path) -> dict[str, str]:
    """The environment of Superset's processes: nothing of the user's, such as proxies or AWS profiles."""
    return {
        "PATH": os.defpath,
        "LANG": "C.UTF-8",
        # The clients of the engines send the machine's zone. Tables, filters and titles are UTC.
        "TZ": "UTC",
        "HOME": str(run_dir / NAME),
        "PYTHONPATH": str(ROOT),
        "FLASK_APP": "superset.app:create_app()",
        "SUPERSET_CONFIG_PATH": str(_SERVER / "superset_config.py"),
        "STOREWATCH_DASHBOARD": str(file(run_dir)),
    }


@dataclass(frozen=True)
class Stamp:
    """Remembers from which files and settings something was made, to see whether it must be made again."""

    file: Path
    sources: tuple[Path, ...]
    settings: str = ""

    def fits(self) -> bool:
        """Whether it was made from the files as they are."""
        return self.file.is_file() and self.file.read_text() == self._hash()

    def set(self) -> None:
        """It has been made from them."""
        write_private(self.file, self._hash())

    def _hash(self) -> str:
        content = [path.read_bytes() for path in self.sources if path.exists()]
        return hashlib.sha256(b"".join([*content, self.settings.encode()])).hexdigest()


def started(run_dir: Path, name: str, settings: str = "") -> Stamp:
    """From what a process of Superset was started."""
    return Stamp(run_dir / NAME / f"{name}.started", (_LOCK, *sorted(_SERVER.glob("*.py")), file(run_dir)), settings)


def _prepare(stack: Stack, python: Path, settings: Settings) -> None:
    made_of = repr([settings.metadata, settings.secret_key, settings.admin_password])
    prepared = Stamp(stack.run_dir / NAME / "prepared", (_LOCK, _SERVER / "prepare.py"), made_of)
    if prepared.fits():
        return
    log = stack.run_dir / "logs" / f"{NAME}-prepare.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    say(NAME, f"preparing Superset's database (a minute the first time; log: {log})")
    with log.open("wb") as stream:
        done = subprocess.run(
            [python, "-m", "infra.dashboard.server.prepare"],
            check=False,
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=stream,
            env=variables(stack.run_dir),
            cwd=stack.run_dir / NAME,
        )
    if done.returncode:
        lines = "\n".join(f"    {line}" for line in log.read_text(errors="replace").splitlines()[-20:])
        raise StackError(f"{NAME}: Superset's database could not be prepared; the end of {log}:\n{lines}")
    prepared.set()


def _database(postgres: Postgres, run_dir: Path, name: str) -> str:
    """Makes Superset's role and database unless they are there. Returns their SQLAlchemy address."""
    import psycopg
    from psycopg import sql

    password_file = run_dir / NAME / "database-password"
    if not password_file.exists():
        write_private(password_file, secrets.token_hex(24))
    password = password_file.read_text()
    role = sql.Identifier(name)
    with psycopg.connect(postgres.conninfo(), autocommit=True) as connection:
        if not connection.execute("select 1 from pg_roles where rolname = %s", [name]).fetchone():
            connection.execute(sql.SQL("create role {} login").format(role))
        connection.execute(sql.SQL("alter role {} password {}").format(role, sql.Literal(password)))
        if not connection.execute("select 1 from pg_database where datname = %s", [name]).fetchone():
            connection.execute(sql.SQL("create database {} owner {}").format(role, role))
    return (
        f"postgresql+psycopg2://{name}:{password}@{postgres.host}:{postgres.port}/{name}"
        f"?sslmode=verify-ca&sslrootcert={postgres.ca_file}"
    )
