"""The workbench reads a country's sources by logins of its own: that country's only, and without changing anything."""

import json
import uuid
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest

from infra.country_file import DIRECTORY, CountryFile
from infra.country_secrets import workbench_name
from infra.errors import DeployError
from infra.local.config import Stack
from infra.local.local_aws import LocalAws
from infra.local.sample.load import drop, load
from infra.local.sample.places import Place
from infra.workbench.hub import sources

FOLDER = "/run/storewatch/sources"
PEM = "-----BEGIN CERTIFICATE-----\nMII\n-----END CERTIFICATE-----\n"
FULL = {"postgres": {"username": "w", "password": "p"}, "elasticsearch": {"api_key": "k"}}

pytestmark = pytest.mark.smoke


@pytest.fixture(scope="module")
def sample(stack: Stack) -> Iterator[dict[str, Place]]:
    """Two countries."""
    prefix = f"sources-{uuid.uuid4().hex[:6]}"
    try:
        yield load(stack, count=50, countries=["es", "mx"], prefix=prefix)
    finally:
        drop(stack, prefix=prefix)


def conninfo(stack: Stack, place: Place, database: str | None = None) -> str:
    """As the workbench logs in."""
    return stack.postgres.conninfo(database or place.database, place.workbench_role, place.workbench_password)


@pytest.mark.parametrize(
    "statement",
    [
        "delete from stores",
        "update stores set name = 'mine'",
        "insert into store_hours (store_id, weekday) values (1, 1)",
        "truncate store_exceptions",
        "drop table store_hours",
        "create table mine (one int)",
        "create temporary table mine (one int)",
        "create schema mine",
        "create function one() returns int language sql as 'select 1'",
        "copy (select 1) to program 'true'",
    ],
)
@pytest.mark.parametrize("writes", ["off", "on"])
def test_the_workbench_cannot_write(stack: Stack, sample: dict[str, Place], statement: str, writes: str) -> None:
    with psycopg.connect(conninfo(stack, sample["es"]), autocommit=True) as connection:
        # Whoever turns the default off still has no right.
        if writes == "on":
            connection.execute("set default_transaction_read_only = off")
        with pytest.raises((psycopg.errors.InsufficientPrivilege, psycopg.errors.ReadOnlySqlTransaction)):
            connection.execute(statement)


def test_the_workbench_reads_its_country_s_database_and_no_other(stack: Stack, sample: dict[str, Place]) -> None:
    with psycopg.connect(conninfo(stack, sample["es"])) as connection:
        for table in ("stores", "store_hours", "store_exceptions"):
            assert connection.execute(f"select count(*) from {table}").fetchone() != (0,)
        shown = [
            connection.execute(f"show {name}").fetchone() for name in ("statement_timeout", "transaction_read_only")
        ]
        assert shown == [("1min",), ("on",)]
    with pytest.raises(psycopg.OperationalError, match="permission denied for database"):
        psycopg.connect(conninfo(stack, sample["es"], sample["mx"].database))


def test_the_workbench_s_connections_are_limited(stack: Stack, sample: dict[str, Place]) -> None:
    made: list[psycopg.Connection] = []
    try:
        with pytest.raises(psycopg.OperationalError, match="too many connections for role"):
            for _ in range(11):
                made.append(psycopg.connect(conninfo(stack, sample["mx"])))
        assert len(made) == 10
        # The functions' role still gets in.
        place = sample["mx"]
        psycopg.connect(stack.postgres.conninfo(place.database, place.role, place.password)).close()
    finally:
        for connection in made:
            connection.close()


def test_an_access_file_leads_to_the_country_s_sources(stack: Stack, sample: dict[str, Place], tmp_path: Path) -> None:
    place = sample["es"]
    file = LocalAws(stack, "storewatch", sample, print).country_file(CountryFile.load("es"))
    made = sources.access(file, place.workbench_login, str(tmp_path))
    for name, text in made.items():
        (tmp_path / name).write_text(text)
    access = json.loads(made["es.json"])
    postgres = access["postgres"]
    assert "@" not in postgres["url"] and place.password not in made["es.json"]
    with psycopg.connect(postgres["url"], user=postgres["username"], password=postgres["password"]) as connection:
        assert connection.execute("select current_user").fetchone() == (place.workbench_role,)
        assert connection.pgconn.ssl_in_use
    assert access["live_view"] == {
        "url": stack.elasticsearch.url,
        "index": place.index,
        "id_field": "store_id",
        "online": {"term": {"online": True}},
        "reason_field": "offline_reason",
    }


def test_a_login_without_a_source_s_part_closes_that_source() -> None:
    file = CountryFile.load("es")
    assert sources.access(file, {}, FOLDER) == {}
    assert "live_view" not in json.loads(sources.access(file, {"postgres": FULL["postgres"]}, FOLDER)["es.json"])
    only = sources.access(file, {"elasticsearch": FULL["elasticsearch"]}, FOLDER)
    assert list(only) == ["es.json"] and list(json.loads(only["es.json"])) == ["live_view"]


def test_authorities_of_a_country_file_go_with_the_access_file(tmp_path: Path) -> None:
    (tmp_path / "ca").mkdir()
    (tmp_path / "ca/own.pem").write_text(PEM)
    text = (DIRECTORY / "es.toml").read_text()
    assert "# ca = " in text
    text = text.replace("timeout_seconds = 20", 'ca = "ca/own.pem"\ntimeout_seconds = 20')
    text = text.replace("timeout_seconds = 10", 'ca = "ca/own.pem"\ntimeout_seconds = 10')
    made = sources.access(CountryFile("es", tmp_path / "es.toml", text), FULL, FOLDER)
    assert made["es-postgres.pem"] == made["es-live-view.pem"] == PEM
    access = json.loads(made["es.json"])
    assert access["postgres"]["url"] == (
        f"postgresql://db.es.example:5432/stores_es?sslmode=verify-full&sslrootcert={FOLDER}/es-postgres.pem"
    )
    assert (access["live_view"]["ca"], access["live_view"]["api_key"]) == (f"{FOLDER}/es-live-view.pem", "k")


def test_without_an_authority_the_system_s_and_amazon_s_are_trusted() -> None:
    made = sources.access(CountryFile.load("es"), FULL, FOLDER)
    assert made["es-postgres.pem"].count("BEGIN CERTIFICATE") > 100
    assert sources._RDS.read_text() in made["es-postgres.pem"]
    system = replace(
        file := CountryFile.load("es"), text=file.text.replace("verify-full", "verify-full&sslrootcert=system")
    )
    assert "sslrootcert=system" in json.loads(sources.access(system, FULL, FOLDER)["es.json"])["postgres"]["url"]


@pytest.mark.parametrize(("section", "part"), [("schedule", "postgres"), ("live_view", "elasticsearch")])
def test_a_login_is_not_sent_without_tls(section: str, part: str) -> None:
    file = CountryFile.load("es")
    text = file.text.replace("sslmode=verify-full", "sslmode=prefer").replace("https://", "http://")
    # With a secret the deployment refuses such an address, and without one the functions send no password.
    for written in (text, text.replace("secret = ", "# secret = ")):
        with pytest.raises(DeployError, match="without TLS") as refused:
            sources.access(replace(file, text=written), {part: FULL[part]}, FOLDER)
        assert FULL[part].get("password", "k") not in str(refused.value).split()


def test_a_login_is_read_from_the_workbench_s_own_secret(stack: Stack) -> None:
    secrets, prefix = stack.aws.client("secretsmanager"), f"sources-{uuid.uuid4().hex[:6]}"
    assert sources.read_login(secrets, prefix, "es") == {}
    name = workbench_name(prefix, "es")
    secrets.create_secret(Name=name)
    try:
        assert sources.read_login(secrets, prefix, "es") == {}
        for wrong in (
            "hunter2",
            "[]",
            '{"postgres": "hunter2"}',
            '{"postgres": {"username": "hunter2"}}',
            '{"es": {}}',
        ):
            secrets.put_secret_value(SecretId=name, SecretString=wrong)
            with pytest.raises(DeployError, match=name) as refused:
                sources.read_login(secrets, prefix, "es")
            assert "hunter2" not in str(refused.value)
        secrets.put_secret_value(SecretId=name, SecretString=json.dumps(FULL))
        assert sources.read_login(secrets, prefix, "es") == FULL
    finally:
        secrets.delete_secret(SecretId=name, ForceDeleteWithoutRecovery=True)
