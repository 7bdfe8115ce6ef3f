"""A country whose PostgreSQL is its own: a real address, a private authority brought by the deployment, a secret that
rotates under a warm function."""

import re
import shutil
import uuid
from collections.abc import Iterator
from datetime import timedelta

import psycopg
import pytest
from psycopg import sql

from e2e.conftest import slot_with_time_left
from e2e.deployment import Deployed
from infra.country_file import DIRECTORY
from sample.load import drop, load
from sample.places import Place
from stack import slots
from stack.config import Stack
from stack.deploy_local import deploy
from stack.undeploy_local import undeploy


@pytest.fixture(scope="module")
def own(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Deployed, Place]]:
    """es, which names the authority of the stack's PostgreSQL by `ca` and not by the address."""
    prefix = f"own-{uuid.uuid4().hex[:6]}"
    database, folder = prefix.replace("-", "_"), tmp_path_factory.mktemp("own")
    try:
        place = load(stack, count=30, seed=3, countries=["es"], prefix=prefix)["es"]
        url = f"postgresql://localhost:9,localhost:{stack.postgres.port}/{place.database}?sslmode=verify-full"
        text = (DIRECTORY / "es.toml").read_text()
        text = re.sub(r'(?m)^url = "postgresql:.*$', f'url = "{url}"\nca = "ca/own.pem"', text, count=1)
        (folder / "es.toml").write_text(text)
        (folder / "ca").mkdir()
        shutil.copy(stack.postgres.ca_file, folder / "ca/own.pem")
        lake = deploy(
            stack,
            prefix=prefix,
            database=database,
            countries=["es"],
            country_files=folder,
            rule="DISABLED",
            secrets={"es": {"postgres": {"username": place.role, "password": place.password + "\n"}}},
        )
        yield Deployed(stack, prefix, database, f"Test/{prefix}", lake["LakeBucket"]), place
    finally:
        undeploy(stack, prefix)
        drop(stack, prefix=prefix)


def test_the_next_reading_uses_a_rotated_password_without_a_deployment(own: tuple[Deployed, Place]) -> None:
    deployed, place = own
    slot = slot_with_time_left()

    def plan(later: int) -> bool:
        event = {"country": "es", "slot": slots.iso(slot + later * timedelta(minutes=15))}
        answer = deployed.invoke("es-plan", event)
        assert not answer.is_error, answer.payload
        return answer.payload["stale"]

    assert not plan(0), (
        "read by the address with two hosts, the authority from the lake, the secret's line break dropped"
    )
    with psycopg.connect(deployed.stack.postgres.conninfo(), autocommit=True) as admin:
        role = sql.Identifier(place.role)
        admin.execute(sql.SQL("alter role {} password {}").format(role, sql.Literal("rotated")))
    assert plan(1), "the secret was not changed yet: the snapshot serves"
    secrets = deployed.stack.aws.client("secretsmanager")
    name = f"{deployed.prefix}/es/postgres"
    secrets.put_secret_value(SecretId=name, SecretString=f'{{"username": "{place.role}", "password": "rotated"}}')
    assert not plan(2), "the process that holds the old value asks for the new one"
