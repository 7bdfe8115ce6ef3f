"""The access files of countries' raw sources: the address by the country file, the login by a secret of the workbench's own.

The secret is `<prefix>/workbench/<country>`, {"postgres": {"username": …, "password": …}, "elasticsearch": {…}}. The part
of a source that is left out closes that source. The functions' secrets are never read.
"""

import json
import re
import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from botocore.exceptions import BotoCoreError, ClientError

from infra.country_file import LOGINS, CountryFile
from infra.country_secrets import workbench_name
from infra.errors import DeployError
from infra.workbench.hub.settings import Settings

# Amazon RDS signs its servers' certificates itself. The functions trust the same file.
_RDS = Path(__file__).resolve().parents[3] / "shared/sources/src/postgres/rds.pem"
# What of the live view's section says how to ask it.
_ASKING = ("url", "index", "id_field", "online", "filter", "reason_field")
_PASSWORD, _KEY = {"username", "password"}, {"api_key"}


def files(settings: Settings, country: str, folder: str) -> dict[str, str]:
    """A country's access file and the authorities to trust, by name, as they will lie in `folder`.

    Nothing if the country has no login of the workbench's own.
    """
    import boto3

    login = read_login(boto3.client("secretsmanager", region_name=settings.region), settings.prefix, country)
    return access(CountryFile.load(country, Path(settings.countries)), login, folder) if login else {}


def read_login(secretsmanager: Any, prefix: str, country: str) -> dict[str, dict[str, str]]:
    """The workbench's login to a country's sources; empty if there is none, or it has no value yet."""
    name = workbench_name(prefix, country)
    try:
        text = secretsmanager.get_secret_value(SecretId=name)["SecretString"]
    except secretsmanager.exceptions.ResourceNotFoundException:
        return {}
    except (BotoCoreError, ClientError) as error:
        raise DeployError(f"the secret {name} cannot be read: {error}") from error
    try:
        found: dict[str, dict[str, str]] = json.loads(text)
    except ValueError:
        raise DeployError(f"the secret {name} is not JSON: docs/workbench.md shows its form") from None
    if not isinstance(found, dict) or not all(_is_login(part, login) for part, login in found.items()):
        raise DeployError(f"the secret {name} has not the form that docs/workbench.md shows")
    return found


def access(file: CountryFile, login: Mapping[str, Mapping[str, str]], folder: str) -> dict[str, str]:
    """The files for a login, which may leave out a source. A login without fields is for a server that asks for none."""
    file.check_tls()
    _check_tls(file, login)
    made: dict[str, Any] = {}
    pems: dict[str, str] = {}
    if "postgres" in login and file.url("schedule"):
        url, pem = _postgres(file, f"{folder}/{file.country}-postgres.pem")
        made["postgres"] = {"url": url, **login["postgres"]}
        pems |= {f"{file.country}-postgres.pem": pem} if pem else {}
    if "elasticsearch" in login and file.url("live_view"):
        section = file.content["live_view"]
        made["live_view"] = {**{name: section[name] for name in _ASKING if name in section}, **login["elasticsearch"]}
        if pem := _authority(file, "live_view"):
            pems[f"{file.country}-live-view.pem"] = pem
            made["live_view"]["ca"] = f"{folder}/{file.country}-live-view.pem"
    return {f"{file.country}.json": json.dumps(made), **pems} if made else {}


def _check_tls(file: CountryFile, login: Mapping[str, Mapping[str, str]]) -> None:
    """Refuses to send a login in plain text where the country file, which names no secret, lets the address."""
    for section, part in LOGINS.items():
        url = file.url(section)
        is_safe = re.match(r"https://|postgres.*[?&]sslmode=(require|verify-)", url)
        if login.get(part) and not is_safe and "secret" not in file.content.get(section, {}):
            host = urlsplit(url).hostname
            raise DeployError(f"{file.path}: [{section}] url would send the workbench's login to {host} without TLS")


def _postgres(file: CountryFile, ca: str) -> tuple[str, str]:
    """The address with the authority's file in `ca` and without a user, and that file's content, empty for none."""
    parts = urlsplit(file.url("schedule"))
    options = {key: value for key, value in parse_qsl(parts.query) if key != "user"}
    named = options.pop("sslrootcert", None)
    pem = _authority(file, "schedule")
    if not pem and named and named != "system":
        pem = _read(file, Path(named))
    elif not pem and not named and options.get("sslmode", "").startswith("verify"):
        # As the functions: the system's authorities and those of Amazon RDS, of which libpq knows neither.
        pem = _read(file, Path(ssl.get_default_verify_paths().openssl_cafile)) + _read(file, _RDS)
    if pem:
        options["sslrootcert"] = ca
    elif named:
        options["sslrootcert"] = named
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit((parts.scheme, host, parts.path, urlencode(options, safe="/"), "")), pem


def _authority(file: CountryFile, section: str) -> str:
    """The authority that a section names by `ca`; empty for none."""
    name = file.content[section].get("ca")
    return file.authorities()[name].decode() if name else ""


def _read(file: CountryFile, pem: Path) -> str:
    try:
        return pem.read_text()
    except OSError as error:
        raise DeployError(f"{file.path}: the authorities in {pem} cannot be read: {error.strerror}") from None


def _is_login(part: object, login: object) -> bool:
    """Whether it is a login to one of the sources."""
    if part not in LOGINS.values() or not isinstance(login, dict):
        return False
    forms = [_PASSWORD, _KEY, set()] if part == "elasticsearch" else [_PASSWORD]
    return set(login) in forms and all(isinstance(value, str) and value for value in login.values())
