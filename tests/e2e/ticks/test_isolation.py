"""A country's functions reach nothing of another country. Tests their roles on the local AWS.

The local AWS enforces policies for Lambda's roles like IAM. deployments/test_machine_rights.py has the roles of the state machines.
"""

import pytest

from infra.local import slots
from tests.e2e.conftest import COUNTRIES, Ticked
from tests.harness.rights import allowed, reaches_nothing_of, session_of


@pytest.mark.parametrize("other", [code for code in COUNTRIES if code != "es"])
def test_observe_reads_only_its_own_country_s_schedules_and_secret(ticked: Ticked, other: str) -> None:
    deployed = ticked.deployed
    session = session_of(deployed, "es-observe")
    for country, right in (("es", True), (other, False)):
        # It exists, so it is the policy that refuses.
        snapshot = deployed.objects(f"schedules/country={country}/{slots.compact(ticked.slot)}/")[0].key
        assert allowed(session, deployed, "s3", "get_object", Bucket=deployed.bucket, Key=snapshot) == right
        staged = f"staging/country={country}/test"
        assert allowed(session, deployed, "s3", "put_object", Bucket=deployed.bucket, Key=staged, Body=b"") == right
        config = f"config/country={country}/"
        assert allowed(session, deployed, "s3", "list_objects_v2", Bucket=deployed.bucket, Prefix=config) == right
        secret = f"{deployed.prefix}/{country}"
        assert allowed(session, deployed, "secretsmanager", "get_secret_value", SecretId=secret) == right


def test_observe_cannot_write_tables(ticked: Ticked) -> None:
    deployed = ticked.deployed
    session = session_of(deployed, "es-observe")
    for key in ("country_ticks/country=es/day=2026-01-01/test", "registry/es.json", "config/country=es/test"):
        assert not allowed(session, deployed, "s3", "put_object", Bucket=deployed.bucket, Key=key, Body=b"")


@pytest.mark.parametrize("function", ["plan", "merge", "register", "compact", "restate", "repair"])
def test_no_function_of_a_country_reaches_another_country(ticked: Ticked, function: str) -> None:
    deployed = ticked.deployed
    session = session_of(deployed, f"es-{function}")
    reaches_nothing_of("mx", session, deployed)
    right = function in ("plan", "restate")
    assert allowed(session, deployed, "secretsmanager", "get_secret_value", SecretId=f"{deployed.prefix}/es") == right


def test_dispatch_reads_only_the_registry(ticked: Ticked) -> None:
    deployed = ticked.deployed
    session = session_of(deployed, "dispatch")
    assert allowed(session, deployed, "s3", "get_object", Bucket=deployed.bucket, Key="registry/es.json")
    assert not allowed(session, deployed, "s3", "put_object", Bucket=deployed.bucket, Key="registry/es.json", Body=b"")
    table = deployed.objects("country_ticks/country=es/")[0].key
    assert not allowed(session, deployed, "s3", "get_object", Bucket=deployed.bucket, Key=table)
