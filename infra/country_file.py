"""Reads a country file as far as a deployment needs it: the functions themselves judge the rest when they start."""

import hashlib
import re
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from infra.errors import DeployError

DIRECTORY = Path(__file__).resolve().parent / "countries"


@dataclass(frozen=True)
class CountryFile:
    """One country's file: its code and its text, from which its key in the lake follows."""

    country: str
    path: Path
    text: str

    @classmethod
    def load(cls, country: str, directory: Path = DIRECTORY) -> "CountryFile":
        """Reads <directory>/<country>.toml and checks that it is that country's."""
        path = directory / f"{country}.toml"
        try:
            text = path.read_text()
        except FileNotFoundError:
            there = ", ".join(sorted(file.stem for file in directory.glob("*.toml"))) or "none"
            raise DeployError(f"there is no country file {path}; there are: {there}") from None
        file = cls(country, path, text)
        if (named := file.content.get("country")) != country:
            raise DeployError(f'{path}: country is {named!r}, but the file\'s name says "{country}": make them agree')
        return file

    @property
    def content(self) -> dict[str, Any]:
        """The parsed file."""
        try:
            return tomllib.loads(self.text)
        except tomllib.TOMLDecodeError as error:
            raise DeployError(f"{self.path} is not TOML: {error}") from None

    @property
    def key(self) -> str:
        """Its key in the lake bucket: a changed file is another key, and so a change of the functions' environment."""
        return f"config/country={self.country}/{hashlib.sha256(self.text.encode()).hexdigest()[:16]}.toml"

    def check_hosts(self) -> None:
        """Hosts that end in `.example` exist nowhere (RFC 2606): the file was not adapted yet."""
        for section in ("schedule", "live_view"):
            host = urlsplit(self.content.get(section, {}).get("url", "")).hostname or ""
            if host.endswith(".example"):
                raise DeployError(f"{self.path}: [{section}] url names {host}, which is no real host: put yours in")

    def opensearch_domain(self, partition: str, account: str) -> str:
        """The ARN of the domain that requests are signed for, read from its own address; empty if none are signed.

        The address of a domain is search-NAME-ID.REGION.es.amazonaws.com, or vpc-NAME-ID for one in a VPC.
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
                f"{self.path}: [live_view] has aws_sigv4 = true, but {host} is no domain's own address, such as"
                " search-NAME-ID.REGION.es.amazonaws.com: put that in"
            )
        return f"arn:{partition}:es:{match[2]}:{account}:domain/{match[1]}"

    def check_secrets(self, prefix: str) -> None:
        """The functions may read the two secrets that their stack makes, and no others."""
        for section, kind in (("schedule", "postgres"), ("live_view", "elasticsearch")):
            named = self.content.get(section, {}).get("secret")
            if named is not None and named != (made := f"{prefix}/{self.country}/{kind}"):
                raise DeployError(
                    f'{self.path}: [{section}] secret is "{named}", but the country\'s stack makes "{made}"'
                )
