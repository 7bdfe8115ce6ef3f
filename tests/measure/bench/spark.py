"""The Spark job of `make bench`: its environment, its process, and its rows."""

import json
import os
import subprocess
import time
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Self

import psycopg
import pyarrow.dataset

from infra.country_file import CountryFile
from infra.local.config import CACHE, ROOT, VENV, Stack
from infra.local.console import say
from infra.local.errors import StackError
from infra.local.sample.places import Place
from infra.local.servers import elasticsearch, java, packages
from tests.measure.bench import processes

VERSION = "3.5.9"
_JOB = ROOT / "tests/bench/spark"
# Spark 3.5 is made for Java 17.
_JAVA = 17


@dataclass(frozen=True)
class Round:
    """A round of the job: its time and what it took."""

    ms: float
    cpu_ms: float


class Spark:
    """A running job, which does a round when it is told to."""

    def __init__(self, stack: Stack, place: Place, out: Path):
        self._out = out
        python, java_home, jars = _installed()
        with psycopg.connect(stack.postgres.conninfo(place.database)) as connection:
            ids = connection.execute("select min(id), max(id) from stores").fetchone()
        assert ids is not None
        options = {
            "jars": jars,
            "out": out,
            "postgres": f"jdbc:postgresql://127.0.0.1:{stack.postgres.port}/{place.database}",
            "user": place.role,
            "password": place.password,
            "elasticsearch": stack.elasticsearch.url.removeprefix("http://"),
            "index": place.index,
            "zone": CountryFile.load("es").content["default_timezone"],
            "first": ids[0],
            "last": ids[1],
        }
        arguments = [text for name, value in options.items() for text in (f"--{name}", str(value))]
        environment = {
            "PATH": f"{python.parent}:{os.defpath}",
            "JAVA_HOME": str(java_home),
            "SPARK_LOCAL_IP": "127.0.0.1",
            "HOME": str(out),
            "LANG": "C.UTF-8",
        }
        self.log = stack.run_dir / "logs" / "bench-spark.log"
        with self.log.open("wb") as log:
            self._started = time.perf_counter()
            self._process = subprocess.Popen(
                [python, _JOB / "job.py", *arguments],
                env=environment,
                cwd=out,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        # With its input closed the job ends, and with it the Java process that it has started.
        try:
            self._process.communicate(timeout=30)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def round(self, at: datetime) -> Round:
        """Judges all stores at an instant."""
        assert self._process.stdin and self._process.stdout
        before = self.cpu
        self._process.stdin.write(f"{int(at.timestamp())}\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise StackError(f"the Spark job ended with status {self._process.wait()}: see {self.log}")
        return Round(json.loads(line)["ms"], 1e3 * (self.cpu - before))

    @property
    def cpu(self) -> float:
        """Seconds of CPU so far, Python's and Java's."""
        return sum(map(processes.cpu, processes.family(self._process.pid)))

    @property
    def peak_mib(self) -> float:
        """The most memory so far, Python's and Java's."""
        return sum(map(processes.peak_mib, processes.family(self._process.pid)))

    def since_start_ms(self) -> float:
        """From the start of the process until now."""
        return 1e3 * (time.perf_counter() - self._started)

    def rows(self) -> dict[str, str]:
        """The latest result: each store's status. A store with two documents has one row."""
        table = pyarrow.dataset.dataset(self._out / "rows", format="parquet").to_table(["store_id", "status"])
        return dict(zip(map(str, table["store_id"].to_pylist()), table["status"].to_pylist(), strict=True))


def _installed() -> tuple[Path, Path, Path]:
    """Python with PySpark, a Java home, and the folder of the jars. Installs what is missing."""
    venv = CACHE / "venv-spark"
    if not (venv / "ready").exists():
        say("spark", f"installing pyspark {VERSION} into {venv} (300 MB)")
        for step in (
            [str(VENV / "bin/python"), "-m", "venv", "--clear", str(venv)],
            [str(venv / "bin/python"), "-m", "pip", "install", "--quiet", f"pyspark=={VERSION}"],
        ):
            if subprocess.run(step, check=False).returncode:
                raise StackError(f"`{' '.join(step)}` failed; is PyPI reachable?")
        (venv / "ready").touch()
    if not java.find(_JAVA).get(_JAVA):
        packages.install("spark", ["openjdk-17-jdk-headless"], "Java 17 is missing")
    home = java.find(_JAVA).get(_JAVA)
    if home is None:
        raise StackError("spark: no Java 17 in JAVA_HOME, /usr/lib/jvm or on PATH")
    jars = CACHE / "spark-jars"
    if not (jars / "ready").exists():
        jars.mkdir(parents=True, exist_ok=True)
        elasticsearch.fetch(jars, _JOB / "pom.xml", {}, home)
        (jars / "ready").touch()
    return venv / "bin/python", home, jars / "lib"
