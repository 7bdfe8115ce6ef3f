"""Elasticsearch, the source of the live view: a real node from its Maven jars, started by a small launcher."""

import hashlib
import http.client
import json
import os
import platform
import re
import shutil
import subprocess
import urllib.request
from pathlib import Path

from stack import java, packages
from stack.config import CACHE, Elasticsearch
from stack.console import say
from stack.errors import StackError
from stack.locks import exclusive
from stack.processes import Server

NAME = "elasticsearch"
VERSION = "8.19.21"
_OLDEST_JAVA = 17
_HEAP = "512m"
_SOURCES = Path(__file__).with_name("elasticsearch")
_COPY_JARS = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies"


def start(run_dir: Path, port: int, transport_port: int) -> Elasticsearch:
    """Starts the node, its jars fetched first if they are not there; a running one is left alone."""
    server = Server(NAME, run_dir)
    address = Elasticsearch(f"http://127.0.0.1:{port}")
    if server.answers(lambda: is_healthy(address)):
        return address
    if server.pid():
        say(NAME, "runs but does not answer: starting it anew")
        server.stop()
    java_home = _java_home()
    home = run_dir / NAME
    for folder in ("config", "tmp"):
        (home / folder).mkdir(parents=True, exist_ok=True)
    run = command(java_home, jars(java_home), home, port, transport_port)
    process = server.start(run, env={"PATH": os.defpath, "LANG": "C.UTF-8"}, cwd=home)
    server.wait_until(lambda: is_healthy(address), seconds=180, process=process)
    say(NAME, f"{VERSION} ready on {address.url} (pid {process.pid})")
    return address


def command(
    java_home: Path,
    jars: Path,
    home: Path,
    port: int,
    transport_port: int,
    main_class: str = "org.elasticsearch.node.LocalNode",
) -> list[str | Path]:
    """What starts a node of 8 or 9, or with its own launcher one of another engine."""
    return [
        java_home / "bin" / "java",
        f"-Xms{_HEAP}",
        f"-Xmx{_HEAP}",
        "-XX:+UseSerialGC",
        "-XX:+ExitOnOutOfMemoryError",
        f"-XX:ErrorFile={home}/jvm-crash.log",
        f"-Djava.io.tmpdir={home}/tmp",
        f"-Dlog4j2.configurationFile={_SOURCES}/log4j2.properties",
        # Elasticsearch's native code comes with the distribution only: zstd is the system's, its vector code is off.
        f"-Des.nativelibs.path={jars}/native",
        "-Dorg.elasticsearch.nativeaccess.enableVectorLibrary=false",
        # As the distribution sets them, for Netty to keep to public interfaces of the JDK.
        "-Dio.netty.noUnsafe=true",
        "-Dio.netty.noKeySetOptimization=true",
        "-Dio.netty.recycler.maxCapacityPerThread=0",
        "--add-opens=java.base/java.io=ALL-UNNAMED",
        "--enable-native-access=ALL-UNNAMED",
        "-cp",
        f"{jars}/classes:{jars}/lib/*",
        main_class,
        home,
        "network.host=127.0.0.1",
        f"http.port={port}",
        f"transport.port={transport_port}",
        "discovery.type=single-node",
        # A disk that is nearly full is no reason to refuse sample data.
        "cluster.routing.allocation.disk.threshold_enabled=false",
    ]


def is_healthy(address: Elasticsearch) -> bool:
    """Whether every index can be read; replicas, for which one node has no place, do not count."""
    try:
        with urllib.request.urlopen(f"{address.url}/_cluster/health", timeout=5) as answer:
            return json.load(answer)["status"] in ("green", "yellow")
    except (OSError, http.client.HTTPException):
        return False


def _java_home() -> Path:
    """A JDK of 17 or later (the compiler is needed once); the oldest that will do, as the node was made for those."""
    jdks = java.find(_OLDEST_JAVA, "javac")
    if not jdks:
        packages.install(NAME, ["openjdk-17-jdk-headless"], f"no JDK {_OLDEST_JAVA} or later here")
        jdks = java.find(_OLDEST_JAVA, "javac")
    if not jdks:
        raise StackError(f"{NAME}: no JDK {_OLDEST_JAVA} or later in JAVA_HOME, /usr/lib/jvm or on PATH")
    return jdks[min(jdks)]


def jars(java_home: Path, version: str = VERSION) -> Path:
    """The folder of the jars, the launcher's classes and the native library, made again when their sources change."""
    folder = CACHE / NAME / version
    stamp_file = folder / "stamp"
    major = version.partition(".")[0]
    sources = sorted([*_SOURCES.glob("src/**/*.java"), *_SOURCES.glob(f"src-{major}/**/*.java")])
    stamp = hashlib.sha256(b"".join(file.read_bytes() for file in [_SOURCES / "pom.xml", *sources])).hexdigest()
    with exclusive(CACHE / f"{NAME}.lock", NAME):
        if stamp_file.exists() and stamp_file.read_text() == stamp:
            return folder
        shutil.rmtree(folder, ignore_errors=True)
        for name in ("classes", "native"):
            (folder / name).mkdir(parents=True)
        say(NAME, f"fetching the jars of {version} from Maven Central (50 MB) into {folder}")
        fetch(folder, _SOURCES / "pom.xml", {"elasticsearch.version": version}, java_home)
        compiler = [java_home / "bin" / "javac", "--release", str(_OLDEST_JAVA if major == "8" else 21), "-nowarn"]
        build(folder, [*compiler, "-cp", f"{folder}/lib/*", "-d", folder / "classes", *sources], java_home)
        (folder / "native" / "libzstd.so").symlink_to(_zstd())
        stamp_file.write_text(stamp)
    return folder


def fetch(folder: Path, pom: Path, properties: dict[str, str], java_home: Path) -> None:
    """Fetches the jars that a pom names into the folder's `lib`."""
    if not shutil.which("mvn"):
        packages.install(NAME, ["maven"], "no Maven here")
    maven = ["mvn", "--batch-mode", "--no-transfer-progress", f"-Dmaven.repo.local={CACHE}/m2", "-f", pom]
    named = [f"-D{name}={value}" for name, value in properties.items()]
    copy = [_COPY_JARS, f"-DoutputDirectory={folder}/lib", "-DincludeScope=runtime"]
    build(folder, [*maven, *named, *copy], java_home)


def build(folder: Path, command: list[str | Path], java_home: Path) -> None:
    """Runs a command whose output goes to the folder's `build.log`."""
    log = folder / "build.log"
    with log.open("a") as stream:
        env = {**os.environ, "JAVA_HOME": str(java_home)}
        result = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=stream, stderr=stream, env=env, check=False)
    if result.returncode:
        end = "\n".join(log.read_text(errors="replace").splitlines()[-20:])
        raise StackError(f"{NAME}: `{command[0]}` failed; is Maven Central reachable? The end of {log}:\n{end}")


def _zstd() -> Path:
    """The system's zstd, which the node asks for when it starts."""
    abi = {"x86_64": "x86-64", "aarch64": "AArch64"}.get(platform.machine(), platform.machine())
    search_path = f"{os.environ.get('PATH', os.defpath)}:/sbin:/usr/sbin"
    listing = subprocess.run(
        [shutil.which("ldconfig", path=search_path) or "ldconfig", "-p"], capture_output=True, text=True, check=True
    ).stdout
    match = re.search(rf"libzstd\.so\.1 \(.*{re.escape(abi)}\) => (\S+)", listing)
    if not match:
        raise StackError(f"{NAME}: there is no libzstd.so.1 for {abi} here: install libzstd1")
    return Path(match[1])
