"""A lake of a measurement's own: deployed, filled without ticks, and gone again afterwards."""

import re
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from infra.country_file import DIRECTORY
from infra.local.commands.deploy import deploy
from infra.local.commands.undeploy import undeploy
from infra.local.config import Stack
from infra.local.errors import StackError
from tests.harness.deployment import Deployed

# Objects that are put at once: more only wait for the local AWS, which is one process.
_AT_ONCE = 8


@contextmanager
def lake(stack: Stack, prefix: str, countries: Sequence[str]) -> Iterator[Deployed]:
    """Deploys countries that are not ticked; what an interrupted measurement has left goes first."""
    database, namespace = prefix.replace("-", "_"), f"Measure/{prefix}"
    undeploy(stack, prefix)
    try:
        with tempfile.TemporaryDirectory() as folder:
            made = deploy(
                stack,
                prefix=prefix,
                database=database,
                countries=list(countries),
                country_files=_country_files(Path(folder), countries),
                rule="DISABLED",
                parameters={"MetricsNamespace": namespace},
            )
        yield Deployed(stack, prefix, database, namespace, made["LakeBucket"])
    finally:
        undeploy(stack, prefix)


def _country_files(folder: Path, countries: Sequence[str]) -> Path:
    """A country file each, whose sources are nowhere: without ticks nobody asks them, and no sample has to be loaded."""
    text = (DIRECTORY / "es.toml").read_text().replace(".example", ".invalid")
    for code in countries:
        (folder / f"{code}.toml").write_text(re.sub(r'(?m)^country = "es"', f'country = "{code}"', text))
    return folder


def put_all(deployed: Deployed, objects: Iterable[tuple[str, bytes]]) -> int:
    """Puts objects into the lake under their keys; how many they were."""
    s3 = deployed.s3

    def put(one: tuple[str, bytes]) -> None:
        s3.put_object(Bucket=deployed.bucket, Key=one[0], Body=one[1])

    with ThreadPoolExecutor(_AT_ONCE) as pool:
        return sum(1 for _ in pool.map(put, objects))


def repair(deployed: Deployed, country: str, first: str, last: str) -> dict[str, int]:
    """Has the deployed `repair` make the catalog equal to the files, and returns what it counted."""
    answer = deployed.invoke(f"{country}-repair", {"country": country, "from": first, "to": last})
    if answer.is_error:
        raise StackError(f"the repair of {country} failed: {answer.error_type}: {answer.message}")
    return answer.payload
