"""No secret appears in anything that is written, such as error messages, which many people read.

Each country fails in a different way, with secrets that a search would find anywhere. Then the test searches everything
that the deployment wrote: logs, executions with their inputs, outputs and causes, and every object.
"""

import json
import re
import secrets as random_words
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import psycopg
import pytest
from psycopg import sql

from infra.country_file import DIRECTORY
from infra.local import slots
from infra.local.commands import tick
from infra.local.commands.deploy import deploy, log_file
from infra.local.commands.undeploy import undeploy
from infra.local.config import Elasticsearch, Stack
from infra.local.sample.load import drop, load
from infra.local.servers.ports import any_free
from tests.e2e.conftest import COUNTRIES, slot_with_time_left
from tests.faults.http import Exchange, HttpProxy, Response
from tests.faults.listener import Loop
from tests.harness import leaks
from tests.harness.deployment import Deployed

# Each contains characters that must be escaped in an address, in JSON or in a header.
AWKWARD = "-%40:/?#[]@'\"\\ é"


@dataclass(frozen=True)
class Unauthorised:
    """An Elasticsearch that refuses requests, in its own words or, like some proxies, by quoting what it was sent."""

    echoes: bool = False
    name: str = "answer 401"

    async def apply(self, exchange: Exchange) -> None:
        """Answers so."""
        sent = exchange.request.header("authorization")
        reason = f"cannot authenticate {sent}" if self.echoes else "unable to authenticate user [viewer]"
        cause = {"type": "security_exception", "reason": reason}
        body = json.dumps({"error": {"root_cause": [cause], **cause}, "status": 401}).encode()
        headers = [(b"content-type", b"application/json"), (b"x-elastic-product", b"Elasticsearch")]
        await exchange.respond(Response(401, headers, body))


@dataclass(frozen=True)
class Failing:
    """Three countries after two ticks in which each of them failed, and the planted secrets."""

    deployed: Deployed
    ticks: list[tick.Tick]
    planted: list[set[bytes]]
    authorised: list[str]  # what reached the live view
    view: HttpProxy

    def messages(self, country: str, function: str) -> str:
        """What a function logged, as one text."""
        return json.dumps(self.deployed.logged(f"{country}-{function}"), ensure_ascii=False)


@pytest.fixture(scope="module")
def failing(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Failing]:
    """es has a wrong password, mx a PostgreSQL that is down, pt a live view that refuses.

    In the second tick the secrets of es and mx are malformed, and pt has an api_key.
    """
    prefix = f"secrets-{uuid.uuid4().hex[:6]}"
    database, namespace = prefix.replace("-", "_"), f"Test/{prefix}"
    folder = tmp_path_factory.mktemp("secrets")
    for code in COUNTRIES:
        text = (DIRECTORY / f"{code}.toml").read_text()
        text = re.sub(r"(?m)^timeout_seconds = \d+", "timeout_seconds = 2", text)
        # A secret a source, so that one can be malformed.
        for login in ("postgres", "elasticsearch"):
            text = text.replace(f'"storewatch/{code}"', f'"storewatch/{code}/{login}"', 1)
        (folder / f"{code}.toml").write_text(text)
    words = {
        name: f"planted{random_words.token_hex(12)}" for name in ("es", "mx", "pt", "pt view", "es text", "mx text")
    }
    api_key = f"planted{random_words.token_hex(16)}"
    passwords = {name: word + AWKWARD for name, word in words.items()}
    loop = Loop()
    view = HttpProxy(loop, "127.0.0.1", int(stack.elasticsearch.url.rpartition(":")[2]))
    behind = {
        "es": replace(stack, elasticsearch=Elasticsearch(view.url)),
        "mx": replace(stack, postgres=replace(stack.postgres, port=any_free())),
        "pt": replace(stack, elasticsearch=Elasticsearch(view.url)),
    }
    try:
        places = load(stack, count=90, seed=5, countries=list(COUNTRIES), prefix=prefix)
        with psycopg.connect(stack.postgres.conninfo(), autocommit=True) as admin:
            # pt's password is right. That of es is not the one in its secret.
            role, password = sql.Identifier(places["pt"].role), sql.Literal(passwords["pt"])
            admin.execute(sql.SQL("alter role {} password {}").format(role, password))
        for code in COUNTRIES:
            lake = deploy(
                behind[code],
                prefix=prefix,
                database=database,
                countries=[code],
                country_files=folder,
                rule="DISABLED",
                secrets={
                    code: {
                        "postgres": {"username": places[code].role, "password": passwords[code]},
                        "elasticsearch": {"username": "viewer", "password": passwords["pt view"]},
                    }
                },
                parameters={"MetricsNamespace": namespace, "LookAgainSeconds": "1"},
            )
        deployed = Deployed(stack, prefix, database, namespace, lake["LakeBucket"])
        with view.fault(Unauthorised(), ""):
            ticks = [tick.run(stack, prefix=prefix, slot=slot_with_time_left())]
            put_secret(deployed, "es/postgres", f'{{"username": "reader", "password": "{words["es text"]}')
            put_secret(deployed, "mx/postgres", f'"{words["mx text"]}"')
            put_secret(deployed, "pt/elasticsearch", json.dumps({"api_key": api_key}))
            for code in COUNTRIES:
                forget(deployed, code)
            ticks.append(tick.run(stack, prefix=prefix, slot=slot_with_time_left()))
        forms = [leaks.forms(places[code].role, passwords[code]) for code in COUNTRIES]
        forms += [leaks.forms("viewer", passwords["pt view"]), leaks.forms("", api_key)]
        # However a secret is cut off or escaped, at least this much of it would remain.
        forms += [{word.encode()} for word in words.values()]
        yield Failing(
            deployed, ticks, forms, [one.header("authorization") for one in view.seen("_search|_mapping")], view
        )
    finally:
        undeploy(stack, prefix)
        drop(stack, prefix=prefix)
        view.close()
        loop.close()


def put_secret(deployed: Deployed, name: str, text: str) -> None:
    """Sets a secret's text."""
    secrets = deployed.stack.aws.client("secretsmanager")
    secrets.put_secret_value(SecretId=f"{deployed.prefix}/{name}", SecretString=text)


def forget(deployed: Deployed, country: str) -> None:
    """Gives the next tick new processes, which have not read any secret, and undoes what was done."""
    lambdas = deployed.stack.aws.client("lambda")
    for function in ("plan", "observe"):
        name = f"{deployed.prefix}-{country}-{function}"
        variables = lambdas.get_function_configuration(FunctionName=name)["Environment"]["Variables"]
        lambdas.update_function_configuration(FunctionName=name, Environment={"Variables": variables})
    for entry in deployed.country_objects(country):
        if not entry.key.startswith("config/"):
            deployed.s3.delete_object(Bucket=deployed.bucket, Key=entry.key)


def test_each_country_failed_in_its_own_way_and_says_why(failing: Failing) -> None:
    for done in failing.ticks:
        assert {one.country: one.outcome for one in done.countries} == {"es": "failed", "mx": "failed", "pt": "partial"}
    assert "password authentication failed" in failing.messages("es", "plan")
    assert "localhost" in failing.messages("mx", "plan")
    assert "401" in failing.messages("pt", "observe")
    assert {header.partition(" ")[0] for header in failing.authorised} == {"Basic", "ApiKey"}


def test_nothing_that_was_written_holds_a_secret(failing: Failing) -> None:
    stack = failing.deployed.stack
    printed = "\n".join(one.error + " ".join(country.error for country in one.countries) for one in failing.ticks)
    search = leaks.find(failing.deployed, failing.planted, [log_file(stack)], printed)
    assert search.places == []
    assert search.searched > len(failing.deployed.objects())


def test_the_search_finds_a_secret_in_any_form(failing: Failing) -> None:
    """Tests the search itself, on an object. In a compressed Parquet file a secret looks the same to it."""
    deployed, key = failing.deployed, "staging/country=es/planted"
    forms: list[Any] = sorted(set().union(*failing.planted))
    for form in forms:
        deployed.s3.put_object(Bucket=deployed.bucket, Key=key, Body=b"amid " + form + b" other things")
        assert leaks.find(deployed, failing.planted, []).places == [f"object {key}"]
    deployed.s3.delete_object(Bucket=deployed.bucket, Key=key)


def test_a_secret_that_a_server_quotes_is_not_repeated(failing: Failing) -> None:
    deployed, slot = failing.deployed, failing.ticks[-1].slot
    items = json.loads(deployed.body(f"staging/country=pt/{slots.compact(slot)}/manifest.json"))
    if slots.current() != slot:
        items[0]["slot"] = slots.iso(slot_with_time_left())
    with failing.view.fault(Unauthorised(echoes=True), "") as fault:
        answer = deployed.invoke("pt-observe", items[0])
    assert fault.met and answer.error_type == "LiveViewUnavailable", answer.payload
    told = json.dumps(answer.payload).encode()
    assert not any(form in told for forms in failing.planted for form in forms)
