"""Reads what a deployment needs from a country file. The functions check the rest when they start."""

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

# Not the standard library's: that reads TOML 1.0, and the functions read 1.1.
import tomli

from infra.errors import DeployError

DIRECTORY = Path(__file__).resolve().parent / "countries"
# Each source's section, and what its login is called in secrets and in files of secrets.
LOGINS = {"schedule": "postgres", "live_view": "elasticsearch"}
SECTIONS = tuple(LOGINS)
_SECRET_ARN = re.compile(r"arn:[a-z-]+:secretsmanager:[a-z0-9-]+:[0-9]{12}:secret:[A-Za-z0-9/_+=.@!-]+")
# The functions check the same form. It cannot lead out of the folder.
_CA_NAME = re.compile(r"ca/[A-Za-z0-9_-][A-Za-z0-9._-]*\.pem")


@dataclass(frozen=True)
class CountryFile:
    """One country's file: its code and its text. Its key in the lake follows from both."""

    country: str
    path: Path
    text: str

    @classmethod
    def load(cls, country: str, directory: Path = DIRECTORY) -> "CountryFile":
        """Reads <directory>/<country>.toml and checks that it names that country."""
        path = directory / f"{country}.toml"
        try:
            text = path.read_text()
        except FileNotFoundError:
            there = ", ".join(sorted(file.stem for file in directory.glob("*.toml"))) or "none"
            raise DeployError(f"there is no country file {path}; available: {there}") from None
        file = cls(country, path, text)
        file.check()
        return file

    def check(self) -> None:
        """Refuses what no deployment may use."""
        if (named := self.content.get("country")) != self.country:
            raise DeployError(
                f'{self.path}: country is {named!r}, but the file\'s name says "{self.country}": make them agree'
            )
        self.check_passwords()
        self.check_tls()
        self.authorities()

    @property
    def content(self) -> dict[str, Any]:
        """The parsed file."""
        try:
            return tomli.loads(self.text)
        except tomli.TOMLDecodeError as error:
            raise DeployError(f"{self.path} is not TOML: {error}") from None

    @property
    def key(self) -> str:
        """Its key in the lake bucket. A changed file gets a new key, and so changes the functions' environment."""
        digest = hashlib.sha256(self.text.encode())
        for name, pem in sorted(self.authorities().items()):
            digest.update(name.encode() + pem)
        return f"config/country={self.country}/{digest.hexdigest()[:16]}.toml"

    def url(self, section: str) -> str:
        """A source's address; empty if there is none."""
        return str(self.content.get(section, {}).get("url", ""))

    @property
    def concurrency(self) -> int:
        """How many chunks are observed at once. The functions have the same default."""
        return int(self.content.get("run", {}).get("concurrency", 4))

    def check_passwords(self) -> None:
        """Refuses an address with a password: the lake would hold it as plain text. The error does not quote it."""
        for section in SECTIONS:
            place, _, query = self.url(section).partition("?")
            # Everything before an @, even if a slash in a password cut the address earlier.
            user, at, _ = place.rpartition("@")
            password = user.partition("//")[2].partition(":")[2]
            keys = {unquote(pair.partition("=")[0]).lower() for pair in query.split("&")}
            if password or keys & {"password", "sslpassword"} or (at and section == "live_view") or "@" in query:
                raise DeployError(
                    f"{self.path}: [{section}] url must not hold a password or this user name: "
                    "put them into the country's secret, and write an @ in a value as %40"
                )

    def check_tls(self) -> None:
        """Refuses to send a secret to another machine without TLS."""
        for section in SECTIONS:
            url = self.url(section)
            hidden = url.startswith("https:") or re.search(r"[?&]sslmode=(require|verify-)", url)
            # libpq connects to hostaddr, whatever the host's name is.
            hosts = re.findall(r"[?&]host(?:addr)?=([^&]*)", url) or self.hosts(section)
            away = [host for host in hosts if not _is_this_machine(unquote(host))]
            if "secret" in self.content.get(section, {}) and away and not hidden:
                wanted = "https://" if section == "live_view" else "sslmode=verify-full, verify-ca or require"
                raise DeployError(
                    f"{self.path}: [{section}] url would send the secret's password to {away[0]} without TLS: use {wanted}"
                )

    def authorities(self) -> dict[str, bytes]:
        """The PEM files that `ca` names in each section: name to content. They lie beside the country file."""
        found: dict[str, bytes] = {}
        for section in SECTIONS:
            name = self.content.get(section, {}).get("ca")
            if name is None:
                continue
            if not isinstance(name, str) or not _CA_NAME.fullmatch(name):
                raise DeployError(f'{self.path}: [{section}] ca is {name!r}, but must look like "ca/name.pem"')
            file = self.path.parent / name
            try:
                found[name] = file.read_bytes()
            except OSError as error:
                raise DeployError(f"{self.path}: [{section}] ca names {file}: {error.strerror}") from None
            if b"-----BEGIN CERTIFICATE-----" not in found[name] or b"PRIVATE KEY-----" in found[name]:
                raise DeployError(f"{self.path}: [{section}] ca: {file} must hold PEM certificates and no private key")
        return found

    def hosts(self, section: str) -> list[str]:
        """The hosts of a source's address, without ports."""
        servers = self.url(section).partition("//")[2].partition("?")[0].partition("/")[0].rpartition("@")[2]
        return [re.sub(r":[^:\]]*$", "", server).strip("[]") for server in servers.split(",")]

    def check_hosts(self) -> None:
        """Refuses hosts that end in `.example`: such hosts never exist (RFC 2606)."""
        for section in SECTIONS:
            for host in self.hosts(section):
                if host.endswith(".example"):
                    raise DeployError(f"{self.path}: [{section}] url names {host}, which is not a real host: use yours")

    def opensearch_domain(self, partition: str, account: str) -> str:
        """The ARN of the OpenSearch domain that requests are signed for; empty if they are not signed.

        It is read from the domain's address: search-NAME-ID.REGION.es.amazonaws.com, or vpc-NAME-ID… inside a VPC.
        """
        section = self.content.get("live_view", {})
        host = urlsplit(section.get("url", "")).hostname or ""
        if section.get("aws_sigv4") is not True or host in ("localhost", "127.0.0.1", "::1"):
            return ""
        match = re.match(
            r"(?:search|vpc)-([a-z0-9-]+)-[a-z0-9]+\.(?:aos\.)?([a-z0-9-]+)\.(?:es\.amazonaws\.|on\.aws)", host
        )
        if not match:
            raise DeployError(
                f"{self.path}: [live_view] has aws_sigv4 = true, but {host} is not the address of a domain, such as"
                " search-NAME-ID.REGION.es.amazonaws.com"
            )
        return f"arn:{partition}:es:{match[2]}:{account}:domain/{match[1]}"

    def secrets(self) -> dict[str, str]:
        """The name or ARN of the secret of each login that the file asks for, by `postgres` and `elasticsearch`."""
        named = {login: self.content.get(section, {}).get("secret") for section, login in LOGINS.items()}
        return {login: name for login, name in named.items() if name is not None}

    def check_secrets(self, prefix: str) -> None:
        """Refuses names that are not the deployment's own: it would make such secrets, and could take another's."""
        whole = f"{prefix}/{self.country}"
        for login, named in self.secrets().items():
            if named not in (whole, f"{whole}/{login}") and not is_arn(named):
                raise DeployError(
                    f'{self.path}: a secret is "{named}", but must be "{whole}", "{whole}/{login}", '
                    "or the ARN of a secret that exists"
                )


def is_arn(secret: object) -> bool:
    """Whether a country file names a secret by its ARN, so that it is somebody else's."""
    return isinstance(secret, str) and _SECRET_ARN.fullmatch(secret) is not None


def _is_this_machine(host: str) -> bool:
    """Whether a host name, address or socket folder belongs to this machine."""
    return host.startswith("/") or host in ("localhost", "::1") or re.fullmatch(r"127(\.\d+){3}", host) is not None
