"""`make validate` and `make new-country`: what they say of real sources, and that they write whole files or none."""

import argparse
import json
import re
import shutil
import urllib.request
from dataclasses import dataclass
from pathlib import Path

import pytest

from infra.country_file import DIRECTORY, CountryFile
from infra.local.commands import new_country
from infra.local.commands.validate import validate
from infra.local.config import Stack
from infra.local.errors import StackError
from tests.e2e.conftest import Sources

# No store has an id as high as this.
FAR = 1_000_000_000_000


@dataclass
class Own:
    """es with its real addresses in a folder of its own, and the secrets' file."""

    folder: Path
    secrets: Path
    sources: Sources

    @property
    def file(self) -> Path:
        return self.folder / "es.toml"

    def change(self, section: str, line: str) -> None:
        """Replaces the section's line of the same key, or adds it."""
        key = line.partition(" =")[0]
        head, part, tail = re.split(rf"(?ms)(^\[{section}\].*?(?=^\[|\Z))", self.file.read_text(), maxsplit=1)
        part = re.sub(rf"(?m)^{key} = .*\n", "", part)
        self.file.write_text(f"{head}{part.rstrip()}\n{line}\n\n{tail}")

    def validate(self) -> int:
        return validate("es", self.folder, self.secrets, None)


@pytest.fixture
def own(stack: Stack, sources: Sources, tmp_path: Path) -> Own:
    place = sources.places["es"]
    shutil.copy(DIRECTORY / "es.toml", tmp_path)
    (tmp_path / "ca").mkdir()
    shutil.copy(stack.postgres.ca_file, tmp_path / "ca/own.pem")
    secrets = tmp_path / "secrets.json"
    login = {"username": place.role, "password": place.password}
    secrets.write_text(json.dumps({"es": {"postgres": login, "elasticsearch": login}}))
    own = Own(tmp_path, secrets, sources)
    url = f"postgresql://localhost:{stack.postgres.port}/{place.database}?sslmode=verify-full"
    own.change("schedule", f'url = "{url}"')
    own.change("schedule", 'ca = "ca/own.pem"')
    own.change("live_view", f'url = "{stack.elasticsearch.url}"')
    own.change("live_view", f'index = "{place.index}"')
    return own


def test_a_country_that_fits_is_counted_and_shows_five_judged_stores(
    own: Own, capfd: pytest.CaptureFixture[str]
) -> None:
    assert own.validate() == 0
    said = capfd.readouterr().out
    schedules, listings = own.sources.schedules["es"], own.sources.live_views["es"]
    assert f"PostgreSQL {len(schedules)} stores, " in said
    assert f"live view  {len(listings)} stores listed, {sum(store.online for store in listings.values())} " in said
    judged = re.findall(r'(?m)^ +(\w+) +store "(\d+)"', said)
    assert len(judged) == 5
    assert all((status == "orphan") == (store not in schedules) for status, store in judged)
    assert "nothing looks wrong" in said


def test_example_hosts_stand_for_the_sample(sources: Sources, capfd: pytest.CaptureFixture[str]) -> None:
    assert validate("es", DIRECTORY, None, sources.prefix) == 0
    assert "nothing looks wrong" in capfd.readouterr().out


@pytest.mark.parametrize(
    ("section", "line", "said"),
    [
        ("live_view", 'index = "no-such-index"', "no-such-index"),
        ("live_view", "filter = { term = { store_id = -1 } }", "no document of index"),
        ("live_view", 'id_field = "nope"', r"\[live_view\]\.id_field: .*maps no field \"nope\""),
        ("live_view", "online = { term = { onlin = true } }", r"\[live_view\]\.online: .*no field onlin"),
        ("live_view", "online = { term = { store_id = -1 } }", r"\[live_view\]\.online matches no document"),
        ("live_view", 'url = "http://localhost:9"', "localhost:9"),
        ("schedule", 'stores = "select nothing from nowhere"', r"\[schedule\]\.stores: .*nowhere"),
        ("schedule", 'stores = "select id, name, city, timezone from stores where false"', "returns no store"),
        (
            "schedule",
            f'stores = "select id + {FAR} as id, name, city, timezone from stores"',
            "the ids never meet",
        ),
        (
            "schedule",
            f'weekly = "select store_id + {FAR} as store_id, weekday, opens, closes from store_hours"',
            r"\[schedule\]\.weekly returns no hours",
        ),
        ("schedule", 'url = "postgresql://localhost:9/d?sslmode=verify-full"', "PostgreSQL at localhost:9"),
        ("schedule", "timeout = 3", "unknown field `timeout`"),
    ],
)
def test_what_does_not_fit_is_named(
    own: Own, capfd: pytest.CaptureFixture[str], section: str, line: str, said: str
) -> None:
    own.change(section, line)
    assert own.validate() == 1
    out = capfd.readouterr().out
    assert re.search(rf"(?m)^wrong .*{said}", out), out


def test_an_id_field_with_a_normalizer_is_named(own: Own, stack: Stack, capfd: pytest.CaptureFixture[str]) -> None:
    index = f"{own.sources.prefix}-normalized"
    field = {"type": "keyword", "normalizer": "lowercase"}
    body = {"mappings": {"properties": {"store_id": field, "online": {"type": "boolean"}}}}
    _send(stack, "PUT", index, body)
    try:
        own.change("live_view", f'index = "{index}"')
        own.change("live_view", 'id_type = "keyword"')
        own.change("live_view", "online = { term = { online = true } }")
        assert own.validate() == 1
    finally:
        _send(stack, "DELETE", index)
    assert 'normalizer "lowercase"' in capfd.readouterr().out


def test_a_wrong_password_is_named_and_not_printed_and_the_other_source_is_still_read(
    own: Own, capfd: pytest.CaptureFixture[str]
) -> None:
    login = {"username": own.sources.places["es"].role, "password": "s3cr3t-word"}
    own.secrets.write_text(json.dumps({"es": {"postgres": login, "elasticsearch": login}}))
    assert own.validate() == 1
    said = "".join(capfd.readouterr())
    assert "password authentication failed" in said
    assert "s3cr3t-word" not in said
    assert f"{len(own.sources.live_views['es'])} stores listed" in said


def test_a_secret_that_was_not_given_is_named(own: Own, capfd: pytest.CaptureFixture[str]) -> None:
    own.secrets.write_text("{}")
    assert own.validate() == 1
    assert 'the secret "storewatch/es" was not given' in capfd.readouterr().out


def test_a_new_country_is_written_with_every_comment_and_can_be_deployed(tmp_path: Path) -> None:
    assert _new("fr", tmp_path) == 0
    file = CountryFile.load("fr", tmp_path)
    file.check_secrets("storewatch")
    assert file.content["default_timezone"] == "Europe/Paris"
    assert file.text.count("#") == (DIRECTORY / "es.toml").read_text().count("#")
    assert not re.search(r"(?<![A-Za-z])es(?![A-Za-z])|Spain|Madrid|Canaries", file.text)


def test_a_new_country_is_checked_against_the_addresses_it_is_given(
    own: Own, stack: Stack, capfd: pytest.CaptureFixture[str]
) -> None:
    addresses = [CountryFile.load("es", own.folder).url(section) for section in ("schedule", "live_view")]
    postgres = f"{addresses[0]}&sslrootcert={stack.postgres.ca_file}"
    given = json.loads(own.secrets.read_text())
    # Its regions are not French, so that every store of the sample would be bad.
    own.secrets.write_text(json.dumps({"fr": given["es"]}))
    options = {"postgres": postgres, "elasticsearch": addresses[1], "index": own.sources.places["es"].index}
    assert _new("fr", own.folder, secrets=own.secrets, **options) == 1
    said = capfd.readouterr().out
    assert f"PostgreSQL {len(own.sources.schedules['es'])} stores, " in said
    assert "no store has a schedule that can be used" in said
    assert "then: make validate COUNTRY=fr" in said


@pytest.mark.parametrize(
    ("code", "options", "said"),
    [
        ("zz", {}, "not a country code"),
        ("FR", {}, "not a country code"),
        ("../fr", {}, "not a country code"),
        ("fr", {"timezone": "Europe/Pariss"}, "not an IANA time zone"),
        ("fr", {"postgres": "postgresql://db/d"}, "give both addresses"),
        ("fr", {"postgres": "postgresql://u:pw@db/d", "elasticsearch": "https://s"}, "must not hold a password"),
        ("fr", {"postgres": 'postgresql://db/d"', "elasticsearch": "https://s"}, "has a quote"),
        ("fr", {"postgres": "postgresql://db/d", "elasticsearch": "https://s"}, "without TLS"),
    ],
)
def test_a_country_that_cannot_be_written_leaves_no_file(
    tmp_path: Path, code: str, options: dict[str, str], said: str
) -> None:
    with pytest.raises(StackError, match=said):
        _new(code, tmp_path, **options)
    assert not list(tmp_path.iterdir())


def test_a_file_that_exists_stays_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "fr.toml").write_text("mine")
    with pytest.raises(StackError, match=r"exists already"):
        _new("fr", tmp_path)
    assert (tmp_path / "fr.toml").read_text() == "mine"


def _new(code: str, folder: Path, **options: object) -> int:
    """Runs the command with these options."""

    parser = argparse.ArgumentParser()
    new_country.add_arguments(parser)
    words = [word for name, value in options.items() for word in (f"--{name}", str(value))]
    return new_country.main(parser.parse_args([code, "--country-files", str(folder), *words]))


def _send(stack: Stack, method: str, path: str, body: object = None) -> None:
    data = None if body is None else json.dumps(body).encode()
    headers = {"Content-Type": "application/json"}
    request = urllib.request.Request(f"{stack.elasticsearch.url}/{path}", data, headers, method=method)
    with urllib.request.urlopen(request, timeout=30):
        pass
