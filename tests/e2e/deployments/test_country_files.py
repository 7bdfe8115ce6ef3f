"""A deployment refuses bad country files before it writes anything, and uploads the authorities that they name."""

import re
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from infra.country_file import DIRECTORY, CountryFile
from infra.country_secrets import Logins, Secret
from infra.deploy import Deployment
from infra.errors import DeployError

CERTIFICATE = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"


def write(folder: Path, section: str, line: str) -> None:
    """Writes es.toml with one line of a section replaced or added."""
    text = (DIRECTORY / "es.toml").read_text()
    key = line.partition(" =")[0]
    head, part = re.match(rf"(?s)(.*\n\[{section}][^\n]*\n)(.*)", text).groups()  # type: ignore[union-attr]
    part, tail = re.match(r"(?s)(.*?)(\n\[.*|$)", part).groups()  # type: ignore[union-attr]
    part = re.sub(rf"(?m)^{key} = .*$", "", part)
    (folder / "es.toml").write_text(head + line + "\n" + part + tail)


@pytest.mark.parametrize(
    ("section", "url"),
    [
        ("schedule", "postgresql://reader:s3cret@db/d?sslmode=require"),
        ("schedule", "postgresql://reader:pa#s3cret@localhost/db"),
        ("schedule", "postgresql://reader:pa/s3cret@localhost/db"),
        ("schedule", "postgresql://reader:pa?s3cret@localhost/db"),
        ("schedule", "postgresql://db/d?sslmode=require&password=s3cret"),
        ("schedule", "postgresql://db/d?sslmode=require&%70assword=s3cret"),
        ("live_view", "https://elastic:s3cret@search:9243"),
        ("live_view", "https://elastic:s3/cret@search:9243"),
        ("live_view", "https://s3cret@search:9243"),
    ],
)
def test_a_password_in_an_address_is_refused_and_not_quoted(tmp_path: Path, section: str, url: str) -> None:
    write(tmp_path, section, f'url = "{url}"')
    with pytest.raises(DeployError, match=rf"es\.toml: \[{section}\] url must not hold a password") as refused:
        CountryFile.load("es", tmp_path)
    assert "cret" not in str(refused.value).replace("secret", "")


@pytest.mark.parametrize(
    ("section", "url", "host"),
    [
        ("schedule", "postgresql://db/d", "db"),
        ("schedule", "postgresql://localhost,db:6/d?sslmode=prefer", "db"),
        ("schedule", "postgresql://localhost/d?hostaddr=10.0.0.1", "10.0.0.1"),
        ("live_view", "http://search:9200", "search"),
    ],
)
def test_a_secret_is_not_sent_to_another_machine_without_tls(tmp_path: Path, section: str, url: str, host: str) -> None:
    write(tmp_path, section, f'url = "{url}"')
    with pytest.raises(DeployError, match=rf"\[{section}\] url would send .* to {host} without TLS"):
        CountryFile.load("es", tmp_path)


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://reader@localhost:5432/d",
        "postgresql://127.0.0.1:9,[::1]:9/d",
        "postgresql://%2Frun/d",
        "postgresql:///d?host=/run",
        "postgresql://db1:9,db2/d?options=-c%20search_path%3Dshop&sslmode=require",
    ],
)
def test_an_address_that_psql_accepts_is_accepted(tmp_path: Path, url: str) -> None:
    write(tmp_path, "schedule", f'url = "{url}"')
    file = CountryFile.load("es", tmp_path)
    assert not any(host.endswith(".example") for host in file.hosts("schedule"))


def test_inline_tables_may_have_several_lines_as_the_functions_allow(tmp_path: Path) -> None:
    write(tmp_path, "live_view", "online = {\n  term = { online = true },\n}")
    assert CountryFile.load("es", tmp_path).content["live_view"]["online"] == {"term": {"online": True}}


def test_deployments_under_other_prefixes_have_metrics_of_their_own() -> None:
    namespaces = [Deployment(lambda _: None, prefix=prefix).metrics_namespace for prefix in ("storewatch", "staging")]
    assert namespaces == ["Storewatch", "Storewatch/staging"]


@dataclass
class Recorded:
    """Records what a deployment writes, in place of S3, STS and CloudFormation."""

    objects: dict[str, bytes] = field(default_factory=dict)
    meta: Any = field(
        default_factory=lambda: SimpleNamespace(
            region_name="eu-west-1", events=SimpleNamespace(register=lambda *_: None)
        )
    )

    def put_object(self, *, Key: str, Body: bytes, **_: Any) -> None:
        """Keeps an object."""
        self.objects[Key] = Body

    def get_caller_identity(self) -> dict[str, str]:
        """The account that is deployed to."""
        return {"Arn": "arn:aws:sts::123456789012:assumed-role/deployer/session"}


class Stopped(Exception):
    """Ends the deployment at the point where this test has seen enough."""


def test_authorities_are_uploaded_and_change_the_file_s_key(tmp_path: Path) -> None:
    write(tmp_path, "schedule", 'ca = "ca/es-postgres.pem"')
    with pytest.raises(DeployError, match=r"\[schedule\] ca names .*es-postgres.pem: No such file"):
        CountryFile.load("es", tmp_path)
    (tmp_path / "ca").mkdir()
    pem = tmp_path / "ca/es-postgres.pem"
    for text in ("no certificate", CERTIFICATE + "-----BEGIN PRIVATE KEY-----\n"):
        pem.write_text(text)
        with pytest.raises(DeployError, match="must hold PEM certificates and no private key"):
            CountryFile.load("es", tmp_path)
    pem.write_text(CERTIFICATE)
    file = CountryFile.load("es", tmp_path)
    first, recorded = file.key, Recorded()

    class Following(Deployment):
        def _definitions(self, bucket: str, country: CountryFile | None) -> str:
            raise Stopped

        def _secrets(self, file: CountryFile, logins: Logins | None) -> dict[str, Secret]:
            return {}

    with pytest.raises(Stopped):
        Following(lambda _: recorded).deploy_country(
            file, {"ArtifactBucket": "b"}, {"LakeBucket": "lake", "AlertsTopic": "t"}
        )
    assert recorded.objects["config/ca/es-postgres.pem"] == CERTIFICATE.encode()
    pem.write_text(CERTIFICATE * 2)
    assert CountryFile.load("es", tmp_path).key != first


@pytest.mark.parametrize("name", ["es.pem", "ca/../es.pem", "/etc/ca/es.pem", "ca/es.key"])
def test_authorities_must_be_in_the_folder_ca(tmp_path: Path, name: str) -> None:
    write(tmp_path, "live_view", f'ca = "{name}"')
    with pytest.raises(DeployError, match=r"\[live_view\] ca is .* must look like"):
        CountryFile.load("es", tmp_path)


@pytest.mark.parametrize(
    ("host", "domain"),
    [
        ("search-shops-abc123.eu-west-1.es.amazonaws.com", "eu-west-1:123456789012:domain/shops"),
        ("vpc-shops-of-es-abc123.eu-south-2.es.amazonaws.com", "eu-south-2:123456789012:domain/shops-of-es"),
        ("search-shops-abc123.aos.eu-west-1.on.aws", "eu-west-1:123456789012:domain/shops"),
        ("localhost", None),
    ],
)
def test_the_opensearch_domain_is_read_from_its_own_address(tmp_path: Path, host: str, domain: str | None) -> None:
    text = (DIRECTORY / "es.toml").read_text()
    text = re.sub(r'(?m)^secret = "storewatch/es" .*$', "aws_sigv4 = true", text)
    (tmp_path / "es.toml").write_text(re.sub(r'(?m)^url = "https://[^"]*"', f'url = "https://{host}"', text))
    found = CountryFile.load("es", tmp_path).opensearch_domain("aws", "123456789012")
    assert found == (f"arn:aws:es:{domain}" if domain else "")


def test_a_signed_address_that_names_no_domain_is_refused(tmp_path: Path) -> None:
    write(tmp_path, "live_view", 'url = "https://search.company.example"\naws_sigv4 = true')
    with pytest.raises(DeployError, match="not the address of a domain"):
        CountryFile.load("es", tmp_path).opensearch_domain("aws", "123456789012")
