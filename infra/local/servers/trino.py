"""Trino, the engine behind Athena, on the stack's lake and catalog. It is heavy, so it only starts when needed."""

import os
import urllib.parse
from contextlib import suppress
from pathlib import Path

from infra.local.config import Aws, Stack, lock_file, write_private
from infra.local.console import say
from infra.local.errors import StackError
from infra.local.servers import ports, sql, trino_access, trino_files
from infra.local.servers.locks import exclusive
from infra.local.servers.processes import Server
from infra.local.servers.sql import Engine
from infra.local.servers.tls import make_certificates

NAME = "trino"
CATALOG = trino_access.CATALOG
_HEAP = "1g"
_TIMEOUT_SECONDS = 240

_CONFIG = """\
node.environment=local
coordinator=true
node-scheduler.include-coordinator=true
http-server.http.enabled=false
http-server.https.enabled=true
http-server.https.port={port}
http-server.https.keystore.path={home}/tls/server.pem
http-server.authentication.type=PASSWORD
http-server.log.enabled=false
web-ui.enabled=false
# The engine talks to itself by certificates that it makes itself.
# https://trino.io/docs/current/security/internal-communication.html
discovery.uri=https://127.0.0.1:{port}
internal-communication.https.required=true
internal-communication.shared-secret={secret}
catalog.management=dynamic
plugin.dir={files}/plugin
query.max-memory=256MB
query.max-memory-per-node=256MB
memory.heap-headroom-per-node=256MB
task.concurrency=2
task.max-worker-threads=4
query.min-expire-age=1m
query.max-scan-physical-bytes={scan_limit}
"""


def up(stack: Stack) -> Engine:
    """Starts it on the running stack and returns it. Leaves a running one with the same settings alone."""
    server = Server(NAME, stack.run_dir)
    with exclusive(lock_file(stack.name), "stack"):
        port = ports.choose(stack.run_dir, {NAME: server.pid() is not None})[NAME]
        home = stack.run_dir / NAME
        files = trino_files.home()
        engine = _engine(home, port)
        # The local AWS may have moved to another port. A running engine would not find it.
        changed = _configure(home, files, stack.aws, port, is_running=server.pid() is not None)
        if not changed and server.answers(lambda: is_healthy(engine)):
            return engine
        server.stop()
        java_home = trino_files.java_home()
        command: list[str | Path] = [
            java_home / "bin" / "java",
            *_options(home),
            "-cp",
            f"{files}/lib/*",
            "io.trino.server.TrinoServer",
        ]
        say(NAME, f"starting {trino_files.VERSION} on {java_home}")
        process = server.start(command, env={"PATH": os.defpath, "LANG": "C.UTF-8"}, cwd=home)
        # Its own health page answers before it can run a query. (sql.py says what happens after that.)
        server.wait_until(lambda: is_healthy(engine), seconds=_TIMEOUT_SECONDS, process=process)
    say(NAME, f"{trino_files.VERSION} ready on {engine.url} (pid {process.pid}); `stack trino down` stops it")
    return engine


def down(stack: Stack) -> bool:
    """Stops it; False if it was not running."""
    server = Server(NAME, stack.run_dir)
    with exclusive(lock_file(stack.name), "stack"):
        pid = server.pid()
        stopped = server.stop()
    if stopped:
        say(NAME, f"stopped (pid {pid})")
    return stopped


def running(stack: Stack) -> Engine | None:
    """The running engine; None if it is down."""
    if Server(NAME, stack.run_dir).pid() is None:
        return None
    return _engine(stack.run_dir / NAME, ports.choose(stack.run_dir, {NAME: True})[NAME])


def set_password(stack: Stack, user: str, password: str) -> None:
    """Lets a user read the lake. A running engine takes it up within two seconds."""
    trino_access.set_password(stack.run_dir / NAME / "etc", user, password)


def remove_user(stack: Stack, user: str) -> None:
    """Takes that back."""
    trino_access.remove_user(stack.run_dir / NAME / "etc", user)


def dashboard_address(stack: Stack, engine: Engine, database: str) -> str:
    """The engine as SQLAlchemy's address for Superset, with the dashboard's password."""
    password = trino_access.own(stack.run_dir / NAME / "etc")[trino_access.DASHBOARD]
    ca = urllib.parse.quote(f'"{engine.ca}"', safe="")
    host = engine.url.removeprefix("https://")
    return f"trino://{trino_access.DASHBOARD}:{password}@{host}/{CATALOG}/{database}?verify={ca}"


def is_healthy(engine: Engine) -> bool:
    """Whether it can query the catalog."""
    with suppress(OSError, StackError):
        return bool(sql.run(engine, f"show schemas from {CATALOG}").rows)
    return False


def _engine(home: Path, port: int) -> Engine:
    """The engine for the project's own commands."""
    password = trino_access.own(home / "etc")[trino_access.ROOT]
    return Engine(f"https://localhost:{port}", home / "tls" / "ca.pem", trino_access.ROOT, password)


def catalog_properties(aws: Aws, role: str | None = None) -> dict[str, str]:
    """The properties of a catalog on the local Glue and S3, read as root or with the rights of a role."""
    properties = {
        "hive.metastore": "glue",
        "hive.metastore.glue.region": aws.region,
        "hive.metastore.glue.endpoint-url": aws.endpoint,
        "hive.metastore.glue.aws-access-key": aws.access_key_id,
        "hive.metastore.glue.aws-secret-key": aws.secret_access_key,
        "hive.metastore.glue.max-error-retries": "1",
        # The local Glue ignores segments and returns all partitions for each one.
        "hive.metastore.glue.partitions-segments": "1",
        # New partitions must be visible at once.
        "hive.metastore-cache-ttl": "0s",
        # The local Glue has no column statistics.
        "hive.table-statistics-enabled": "false",
        "hive.parquet.time-zone": "UTC",
        "fs.native-s3.enabled": "true",
        "s3.endpoint": aws.endpoint,
        "s3.region": aws.region,
        "s3.path-style-access": "true",
        "s3.aws-access-key": aws.access_key_id,
        "s3.aws-secret-key": aws.secret_access_key,
    }
    if role:
        for part in ("hive.metastore.glue", "s3"):
            properties |= {
                f"{part}.iam-role": role,
                f"{part}.sts.endpoint": aws.endpoint,
                f"{part}.sts.region": aws.region,
            }
    return properties


def _configure(home: Path, files: Path, aws: Aws, port: int, *, is_running: bool) -> bool:
    """Writes its settings, which hold the local AWS's key. Returns whether they changed."""
    etc = home / "etc"
    secret = trino_access.own(etc)[trino_access.SHARED_SECRET]
    config = {"port": port, "home": home, "files": files, "secret": secret, "scan_limit": trino_access.SCAN_LIMIT}
    texts = {
        "config.properties": _CONFIG.format(**config),
        "node.properties": "",
        f"catalog/{CATALOG}.properties": "connector.name=hive\n"
        + "".join(f"{name}={value}\n" for name, value in catalog_properties(aws).items()),
        "log.properties": "io.trino=INFO\n",
        **trino_access.files(etc),
    }
    _certify(home / "tls")
    changed = False
    for name, text in texts.items():
        file = etc / name
        if not file.exists() or file.read_text() != text:
            write_private(file, text)
            changed = True
    # Catalogs that a test added and did not drop. Their roles no longer exist.
    if changed or not is_running:
        for file in (etc / "catalog").iterdir():
            if file.stem != CATALOG:
                file.unlink()
    (home / "data").mkdir(exist_ok=True)
    (home / "tmp").mkdir(exist_ok=True)
    return changed


def _certify(folder: Path) -> None:
    """Makes the certificate for `localhost`, unless it is there."""
    server = folder / "server.pem"
    if server.exists():
        return
    certificate, key = folder / "certificate.pem", folder / "key.pem"
    make_certificates(folder / "ca.pem", certificate, key)
    # The engine reads both from one file.
    write_private(server, key.read_text() + certificate.read_text())


def _options(home: Path) -> list[str]:
    """The options of the distribution's launcher, without those that cost memory."""
    return [
        f"-Xmx{_HEAP}",
        "-XX:+UseSerialGC",
        "-XX:TieredStopAtLevel=1",  # queries here are too small for the second compiler to pay off
        "-XX:+ExitOnOutOfMemoryError",
        "-XX:-OmitStackTraceInFastThrow",
        "-XX:ReservedCodeCacheSize=256M",
        f"-XX:ErrorFile={home}/jvm-crash.log",
        f"-Djava.io.tmpdir={home}/tmp",
        "-XX:+EnableDynamicAgentLoading",
        "-Djdk.attach.allowAttachSelf=true",
        "-Djdk.nio.maxCachedBufferSize=2000000",
        "-Dfile.encoding=UTF-8",
        "-Duser.timezone=UTC",
        "--enable-native-access=ALL-UNNAMED",
        "--sun-misc-unsafe-memory-access=allow",
        f"-Dconfig={home}/etc/config.properties",
        f"-Dlog.levels-file={home}/etc/log.properties",
        "-Dnode.id=local",
        f"-Dnode.data-dir={home}/data",
        "-Dnode.bind-ip=127.0.0.1",
        # Trino's way to write an address as a name, which the certificates for itself have.
        "-Dnode.internal-address=127-0-0-1.ip",
    ]
