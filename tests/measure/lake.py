"""A lake for a measurement: deployed, filled without ticks, and removed afterwards."""

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

# Parallel puts. More would only wait for the local AWS, which is one process.
_AT_ONCE = 8


@contextmanager
def lake(stack: Stack, prefix: str, countries: Sequence[str]) -> Iterator[Deployed]:
    """Deploys countries that do not tick. Removes first what an interrupted measurement left."""
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
    """Country files with example sources: without ticks nobody reads them, so no sample is needed."""
    text = (DIRECTORY / "es.toml").read_text().replace(".example", ".invalid")
    for code in countries:
        own = text.replace('"storewatch/es"', f'"storewatch/{code}"')
        (folder / f"{code}.toml").write_text(re.sub(r'(?m)^country = "es"', f'country = "{code}"', own))
    return folder


def put_all(deployed: Deployed, objects: Iterable[tuple[str, bytes]]) -> int:
    """Puts objects into the lake under their keys. Returns their number."""
    s3 = deployed.s3

    def put(one: tuple[str, bytes]) -> None:
        s3.put_object(Bucket=deployed.bucket, Key=one[0], Body=one[1])

    with ThreadPoolExecutor(_AT_ONCE) as pool:
        return sum(1 for _ in pool.map(put, objects))


def repair(deployed: Deployed, country: str, first: str, last: str) -> dict[str, int]:
    """Makes the deployed `repair` repair the catalog, and returns its counts."""
    answer = deployed.invoke(f"{country}-repair", {"country": country, "from": first, "to": last})
    if answer.is_error:
        raise StackError(f"the repair of {country} failed: {answer.error_type}: {answer.message}")
    return answer.payload
