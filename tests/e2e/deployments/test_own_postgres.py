"""A country with its own PostgreSQL: a real address, a private authority that the deployment uploads, and a secret like
those that Amazon RDS manages, named by its ARN, which rotates while the function is warm."""

import json
import re
import shutil
import uuid
from collections.abc import Iterator
from datetime import timedelta

import psycopg
import pytest
from psycopg import sql

from infra.country_file import DIRECTORY
from infra.local import slots
from infra.local.commands.deploy import deploy
from infra.local.commands.undeploy import undeploy
from infra.local.config import Stack
from infra.local.sample.load import drop, load
from infra.local.sample.places import Place
from tests.e2e.conftest import slot_with_time_left
from tests.harness.deployment import Deployed


@pytest.fixture(scope="module")
def own(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Deployed, Place, str]]:
    """es, which names the authority of the stack's PostgreSQL with `ca` instead of in the address."""
    prefix = f"own-{uuid.uuid4().hex[:6]}"
    database, folder = prefix.replace("-", "_"), tmp_path_factory.mktemp("own")
    secrets = stack.aws.client("secretsmanager")
    secret = secrets.create_secret(Name=f"rds!db-{uuid.uuid4()}")["ARN"]
    try:
        place = load(stack, count=30, seed=3, countries=["es"], prefix=prefix)["es"]
        url = f"postgresql://localhost:9,localhost:{stack.postgres.port}/{place.database}?sslmode=verify-full"
        text = (DIRECTORY / "es.toml").read_text()
        text = re.sub(r'(?m)^url = "postgresql:.*$', f'url = "{url}"\nca = "ca/own.pem"', text, count=1)
        (folder / "es.toml").write_text(text.replace('"storewatch/es"', f'"{secret}"', 1))
        (folder / "ca").mkdir()
        shutil.copy(stack.postgres.ca_file, folder / "ca/own.pem")
        login = {"username": place.role, "password": place.password + "\n"}
        secrets.put_secret_value(SecretId=secret, SecretString=json.dumps(login))
        lake = deploy(
            stack,
            prefix=prefix,
            database=database,
            countries=["es"],
            country_files=folder,
            rule="DISABLED",
        )
        yield Deployed(stack, prefix, database, f"Test/{prefix}", lake["LakeBucket"]), place, secret
    finally:
        secrets.delete_secret(SecretId=secret, ForceDeleteWithoutRecovery=True)
        undeploy(stack, prefix)
        drop(stack, prefix=prefix)


def test_a_rotated_password_is_used_without_a_new_deployment(own: tuple[Deployed, Place, str]) -> None:
    deployed, place, secret = own
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
    login = {"username": place.role, "password": "rotated"}
    secrets.put_secret_value(SecretId=secret, SecretString=json.dumps(login))
    assert not plan(2), "the process that holds the old value asks for the new one"
