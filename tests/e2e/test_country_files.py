"""What a deployment refuses in a country file before anything is written, and the authorities that it brings along."""

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from infra.country_file import DIRECTORY, CountryFile
from infra.deploy import Deployment
from infra.errors import DeployError

CERTIFICATE = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"


def write(folder: Path, section: str, line: str) -> None:
    """es.toml with a line of a section replaced or added."""
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
    with pytest.raises(DeployError, match=rf"es\.toml: \[{section}\] url holds a password") as refused:
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
def test_a_secret_is_not_sent_in_plain_to_another_machine(tmp_path: Path, section: str, url: str, host: str) -> None:
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
def test_an_address_that_psql_takes_is_taken(tmp_path: Path, url: str) -> None:
    write(tmp_path, "schedule", f'url = "{url}"')
    file = CountryFile.load("es", tmp_path)
    assert not any(host.endswith(".example") for host in file.hosts("schedule"))


@dataclass
class Recorded:
    """Takes what a deployment writes, as S3 and CloudFormation would."""

    objects: dict[str, bytes] = field(default_factory=dict)

    def put_object(self, *, Key: str, Body: bytes, **_: Any) -> None:
        """Keeps an object."""
        self.objects[Key] = Body


class Stopped(Exception):
    """The deployment got as far as this test follows it."""


def test_authorities_are_brought_along_and_change_the_file_s_key(tmp_path: Path) -> None:
    write(tmp_path, "schedule", 'ca = "ca/es-postgres.pem"')
    with pytest.raises(DeployError, match=r"\[schedule\] ca names .*es-postgres.pem: No such file"):
        CountryFile.load("es", tmp_path)
    (tmp_path / "ca").mkdir()
    pem = tmp_path / "ca/es-postgres.pem"
    for text in ("no certificate", CERTIFICATE + "-----BEGIN PRIVATE KEY-----\n"):
        pem.write_text(text)
        with pytest.raises(DeployError, match="must hold certificates as PEM, and no key"):
            CountryFile.load("es", tmp_path)
    pem.write_text(CERTIFICATE)
    file = CountryFile.load("es", tmp_path)
    first, recorded = file.key, Recorded()

    class Following(Deployment):
        def _definitions(self, bucket: str, country: CountryFile | None) -> str:
            raise Stopped

    with pytest.raises(Stopped):
        Following(lambda _: recorded).deploy_country(
            file, {"ArtifactBucket": "b"}, {"LakeBucket": "lake", "AlertsTopic": "t"}
        )
    assert recorded.objects["config/ca/es-postgres.pem"] == CERTIFICATE.encode()
    pem.write_text(CERTIFICATE * 2)
    assert CountryFile.load("es", tmp_path).key != first


@pytest.mark.parametrize("name", ["es.pem", "ca/../es.pem", "/etc/ca/es.pem", "ca/es.key"])
def test_authorities_are_in_the_folder_ca(tmp_path: Path, name: str) -> None:
    write(tmp_path, "live_view", f'ca = "{name}"')
    with pytest.raises(DeployError, match=r"\[live_view\] ca is .* must be of the form"):
        CountryFile.load("es", tmp_path)
