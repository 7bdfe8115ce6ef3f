"""Trino, the engine behind Athena, on the stack's lake and catalog. It is heavy, so it only starts when needed."""

import json
import os
from contextlib import suppress
from pathlib import Path

from infra.local.config import Aws, Stack, lock_file, write_private
from infra.local.console import say
from infra.local.errors import StackError
from infra.local.servers import ports, sql, trino_files
from infra.local.servers.locks import exclusive
from infra.local.servers.processes import Server

NAME = "trino"
# Athena's name for the Glue catalog. Stored views contain it.
CATALOG = "awsdatacatalog"
_HEAP = "1g"
_TIMEOUT_SECONDS = 240

_CONFIG = """\
node.environment=local
coordinator=true
node-scheduler.include-coordinator=true
http-server.http.port={port}
discovery.uri=http://127.0.0.1:{port}
http-server.log.enabled=false
catalog.management=dynamic
plugin.dir={files}/plugin
query.max-memory=256MB
query.max-memory-per-node=256MB
memory.heap-headroom-per-node=256MB
task.concurrency=2
task.max-worker-threads=4
query.min-expire-age=1m
# As in the analysts' workgroup on Athena. The dashboard's limit is lower.
query.max-scan-physical-bytes=100GB
"""
# By user, as on Athena by workgroup. The dashboard asks as `storewatch`, and as `analysts` what is written in SQL Lab.
DASHBOARD = "storewatch"
_SCAN_LIMITS = [{"user": DASHBOARD, "sessionProperties": {"query_max_scan_physical_bytes": "10GB"}}]
_QUEUED = {"softMemoryLimit": "100%", "maxQueued": 1000}
_GROUPS = {
    "rootGroups": [
        {"name": DASHBOARD, "hardConcurrencyLimit": 24, **_QUEUED},
        {"name": "analysts", "hardConcurrencyLimit": 3, **_QUEUED},
        {"name": "others", "hardConcurrencyLimit": 100, **_QUEUED},
    ],
    "selectors": [
        {"user": DASHBOARD, "group": DASHBOARD},
        {"user": "analysts", "group": "analysts"},
        {"group": "others"},
    ],
}


def up(stack: Stack) -> str:
    """Starts it on the running stack and returns its address. Leaves a running one with the same settings alone."""
    server = Server(NAME, stack.run_dir)
    with exclusive(lock_file(stack.name), "stack"):
        port = ports.choose(stack.run_dir, {NAME: server.pid() is not None})[NAME]
        url = f"http://127.0.0.1:{port}"
        home = stack.run_dir / NAME
        files = trino_files.home()
        # The local AWS may have moved to another port. A running engine would not find it.
        changed = _configure(home, files, stack.aws, port, is_running=server.pid() is not None)
        if not changed and server.answers(lambda: is_healthy(url)):
            return url
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
        server.wait_until(lambda: is_healthy(url), seconds=_TIMEOUT_SECONDS, process=process)
    say(NAME, f"{trino_files.VERSION} ready on {url} (pid {process.pid}); `stack trino down` stops it")
    return url


def down(stack: Stack) -> bool:
    """Stops it; False if it was not running."""
    server = Server(NAME, stack.run_dir)
    with exclusive(lock_file(stack.name), "stack"):
        pid = server.pid()
        stopped = server.stop()
    if stopped:
        say(NAME, f"stopped (pid {pid})")
    return stopped


def running(stack: Stack) -> str | None:
    """The address of the running engine; None if it is down."""
    if Server(NAME, stack.run_dir).pid() is None:
        return None
    return f"http://127.0.0.1:{ports.choose(stack.run_dir, {NAME: True})[NAME]}"


def is_healthy(url: str) -> bool:
    """Whether it can query the catalog."""
    with suppress(OSError, StackError):
        return bool(sql.run(url, f"show schemas from {CATALOG}").rows)
    return False


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
    texts = {
        "config.properties": _CONFIG.format(port=port, home=home, files=files),
        "node.properties": "",
        f"catalog/{CATALOG}.properties": "connector.name=hive\n"
        + "".join(f"{name}={value}\n" for name, value in catalog_properties(aws).items()),
        "log.properties": "io.trino=INFO\n",
        **_limits(home),
    }
    changed = False
    for name, text in texts.items():
        file = home / "etc" / name
        if not file.exists() or file.read_text() != text:
            write_private(file, text)
            changed = True
    # Catalogs that a test added and did not drop. Their roles no longer exist.
    if changed or not is_running:
        for file in (home / "etc/catalog").iterdir():
            if file.stem != CATALOG:
                file.unlink()
    (home / "data").mkdir(exist_ok=True)
    (home / "tmp").mkdir(exist_ok=True)
    return changed


def _limits(home: Path) -> dict[str, str]:
    """The settings that hold users to limits."""
    return {
        "resource-groups.json": json.dumps(_GROUPS),
        "resource-groups.properties": "resource-groups.configuration-manager=file\n"
        f"resource-groups.config-file={home}/etc/resource-groups.json\n",
        "session-property-config.json": json.dumps(_SCAN_LIMITS),
        "session-property-config.properties": "session-property-config.configuration-manager=file\n"
        f"session-property-manager.config-file={home}/etc/session-property-config.json\n",
    }


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
        "-Dnode.internal-address=127.0.0.1",
    ]
