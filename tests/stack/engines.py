"""Runs the live view's tests against each engine that the documentation names, and prints which passed.

Nodes are started one after the other from their jars on Maven Central. Elasticsearch 8 and 9 start as the stack's own
does; OpenSearch and Elasticsearch 7 have an open constructor and need less. None has its security plugin.
"""

import argparse
import hashlib
import http.client
import json
import os
import re
import shutil
import subprocess
import tempfile
import urllib.request
from dataclasses import dataclass
from pathlib import Path

from stack import elasticsearch, java, ports
from stack.config import CACHE, ROOT, Elasticsearch
from stack.console import say, table
from stack.errors import StackError
from stack.locks import exclusive
from stack.processes import Server

NAME = "engines"
_SOURCES = Path(__file__).with_name("engines")
_TEST = ["cargo", "test", "--workspace", "--test", "live_view"]


@dataclass(frozen=True)
class Engine:
    """A server and its version; `log4j` is that of its log4j-api, None for Elasticsearch 8 and 9."""

    product: str
    version: str
    oldest_java: int
    log4j: str | None = None

    @property
    def label(self) -> str:
        return f"{self.product}-{self.version}"

    @property
    def package(self) -> str:
        return f"org.{self.product}"

    @property
    def sources(self) -> list[Path]:
        plugins = "descriptors" if self.product == "opensearch" and self.version.startswith("3.") else "list"
        return [_SOURCES / "src" / "LocalNode.java", _SOURCES / "src" / plugins / "ClasspathPlugins.java"]


ENGINES = [
    Engine("elasticsearch", "7.10.2", 17, "2.11.1"),
    Engine("elasticsearch", "7.17.29", 17, "2.17.1"),
    Engine("elasticsearch", elasticsearch.VERSION, 17),
    Engine("elasticsearch", "9.5.3", 21),
    Engine("opensearch", "1.3.20", 17, "2.17.1"),
    Engine("opensearch", "2.19.6", 17, "2.25.4"),
    Engine("opensearch", "3.9.0", 21, "2.25.5"),
]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Which engines."""
    parser.add_argument("engine", nargs="*", help="such as opensearch-2 (default: all)")


def main(args: argparse.Namespace) -> int:
    """Runs the tests; 1 if one failed."""
    chosen = [
        engine for engine in ENGINES if not args.engine or any(engine.label.startswith(name) for name in args.engine)
    ]
    if not chosen:
        raise StackError(f"no such engine; there are {', '.join(engine.label for engine in ENGINES)}")
    # Compiled first, so that the nodes do not wait for it.
    if subprocess.run([*_TEST, "--no-run"], cwd=ROOT, check=False).returncode:
        raise StackError("the tests do not compile, see above")
    rows, failed = [], False
    for engine in chosen:
        result = _try(engine)
        failed = failed or not result.startswith("ok")
        rows.append([engine.product, engine.version, result])
        say(NAME, f"{engine.label}: {result}")
    print(table(["engine", "version", "tests of the live view"], rows))
    return int(failed)


def _try(engine: Engine) -> str:
    home = Path(tempfile.mkdtemp(prefix=f"{engine.label}-"))
    server = Server(engine.label, home)
    try:
        url = _start(engine, server, home)
        log = CACHE / NAME / f"{engine.label}.log"
        with log.open("w") as stream:
            env = {**os.environ, "LIVE_VIEW_URL": url}
            subprocess.run(_TEST, cwd=ROOT, env=env, stdout=stream, stderr=subprocess.STDOUT, check=False)
        match = re.search(r"^test result: (ok|FAILED)\. (\d+) passed; (\d+) failed", log.read_text(), re.MULTILINE)
        if not match:
            return f"did not run, see {log}"
        return f"ok, {match[2]} passed" if match[1] == "ok" else f"{match[3]} failed, {match[2]} passed, see {log}"
    finally:
        server.stop()
        shutil.rmtree(home, ignore_errors=True)


def _start(engine: Engine, server: Server, home: Path) -> str:
    jdks = java.find(engine.oldest_java, "javac")
    if not jdks:
        raise StackError(f"{engine.label}: no JDK {engine.oldest_java} or later in JAVA_HOME, /usr/lib/jvm or on PATH")
    java_home = jdks[min(jdks)]
    port, transport_port = ports.any_free(), ports.any_free()
    for folder in ("config", "tmp"):
        (home / folder).mkdir()
    if engine.log4j is None:
        jars = elasticsearch.jars(java_home, engine.version)
        command = elasticsearch.command(java_home, jars, home, port, transport_port)
    else:
        jars = _jars(engine, java_home)
        command = elasticsearch.command(java_home, jars, home, port, transport_port, f"{engine.package}.node.LocalNode")
    process = server.start(command, env={"PATH": os.defpath, "LANG": "C.UTF-8"}, cwd=home)
    address = Elasticsearch(f"http://127.0.0.1:{port}")
    server.wait_until(lambda: elasticsearch.is_healthy(address), seconds=180, process=process)
    version = _version(address.url)
    if version != engine.version:
        raise StackError(f"{engine.label}: the node says that it is {version}")
    return address.url


def _version(url: str) -> str:
    try:
        with urllib.request.urlopen(f"{url}/_nodes/_local?filter_path=nodes.*.version", timeout=10) as answer:
            return next(iter(json.load(answer)["nodes"].values()))["version"]
    except (OSError, http.client.HTTPException) as error:
        raise StackError(f"{url}: {error}") from error


def _jars(engine: Engine, java_home: Path) -> Path:
    """The folder of the jars and the launcher's classes, made again when their sources change."""
    folder = CACHE / NAME / engine.label
    stamp_file = folder / "stamp"
    inputs = [_SOURCES / "pom.xml", *engine.sources]
    stamp = hashlib.sha256(b"".join(file.read_bytes() for file in inputs)).hexdigest()
    with exclusive(CACHE / f"{NAME}.lock", NAME):
        if stamp_file.exists() and stamp_file.read_text() == stamp:
            return folder
        shutil.rmtree(folder, ignore_errors=True)
        (folder / "classes").mkdir(parents=True)
        say(NAME, f"fetching the jars of {engine.label} from Maven Central")
        properties = {
            "server.group": engine.package,
            "server.artifact": engine.product,
            "server.version": engine.version,
            "log4j.version": str(engine.log4j),
        }
        elasticsearch.fetch(folder, _SOURCES / "pom.xml", properties, java_home)
        (folder / "src").mkdir()
        for source in engine.sources:
            (folder / "src" / source.name).write_text(source.read_text().replace("@PACKAGE@", engine.package))
        compiler: list[str | Path] = [java_home / "bin" / "javac", "-nowarn", "-proc:none", "-cp", f"{folder}/lib/*"]
        elasticsearch.build(folder, [*compiler, "-d", folder / "classes", *folder.glob("src/*.java")], java_home)
        stamp_file.write_text(stamp)
    return folder
