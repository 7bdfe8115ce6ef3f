"""What the local AWS cannot take of the project's files, and the addresses of the local servers: told aloud, each time.

The templates, state machines and country files go to AWS as they are. Here a few things are changed on the way, so
that what runs locally is what stands in the files, less the lines that this module prints.
"""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import quote

from infra.country_file import CountryFile
from infra.deploy import Adapter
from infra.errors import DeployError
from sample.places import Place
from stack.config import Stack

# template -> resource -> why it is left out.
_PLAIN_HTTP = "it refuses plain http, and the local AWS is spoken to by nothing else"
LEFT_OUT = {
    "lake.yaml": {"LakeBucketPolicy": _PLAIN_HTTP},
    "analytics.yaml": {"ResultsBucketPolicy": _PLAIN_HTTP},
}
# A type of which the local CloudFormation makes nothing. Its resources are lines that infra/analytics.py has put in.
_SAVED_QUERY = re.compile(r'(?m)^  \w+: \{"Type": "AWS::Athena::NamedQuery".*\n')


class LocalAws(Adapter):
    """Adapts the project's files to one running stack."""

    def __init__(self, stack: Stack, prefix: str, places: Mapping[str, Place], say: Callable[[str], None]):
        self._stack = stack
        self._prefix = prefix
        self._places = places
        self._say = say

    def template(self, name: str, text: str) -> str:
        """Takes out, by name, what the local AWS would not do right; every other byte stays."""
        for resource, why in LEFT_OUT.get(name, {}).items():
            text, found = re.subn(rf"(?m)^  {resource}:\n(?:    .*\n|\n)*", "", text)
            if found != 1:
                raise DeployError(
                    f"{name} has no resource {resource} to leave out: take it out of LEFT_OUT in {__file__}"
                )
            self._say(f"{name}: {resource} is left out: {why}")
        text, found = _SAVED_QUERY.subn("", text)
        if found:
            self._say(f"{name}: {found} saved queries are left out: the local CloudFormation knows no such resource")
        return text

    def definitions(self, files: dict[str, str], country: CountryFile | None) -> dict[str, str]:
        """Writes the country's concurrency into its state machine, because MaxConcurrencyPath is ignored here."""
        if country is None:
            return files
        concurrency = country.content.get("run", {}).get("concurrency", 4)  # 4 is the functions' own default
        definition, found = _with_concurrency(json.loads(files["country.asl.json"]), concurrency)
        if found:
            self._say(
                f"country.asl.json for {country.country}: MaxConcurrencyPath, which the local Step Functions ignores, "
                f"is MaxConcurrency {concurrency}"
            )
        return files | {"country.asl.json": json.dumps(definition, indent=2)}

    def country_file(self, file: CountryFile) -> CountryFile:
        """Puts the local servers' addresses where the file has example ones. A real address stays and is used."""
        place = self._places.get(file.country)
        postgres, elasticsearch = self._stack.postgres, self._stack.elasticsearch
        if place and self.is_example(file, "schedule"):
            # By name and not by number: the server's certificate is for `localhost`.
            address = f"localhost:{postgres.port}/{place.database}"
            trust = f"sslmode=verify-full&sslrootcert={quote(postgres.ca_file)}"
            file = self._put(file, "schedule", "url", f"postgresql://{place.role}@{address}?{trust}")
        if place and self.is_example(file, "live_view"):
            file = self._put(file, "live_view", "url", elasticsearch.url)
            file = self._put(file, "live_view", "index", place.index)
        for section, kind in (("schedule", "postgres"), ("live_view", "elasticsearch")):
            file = self._put(file, section, "secret", f"{self._prefix}/{file.country}/{kind}")
        for section in ("schedule", "live_view"):
            if self.is_example(file, section):
                raise DeployError(
                    f"{file.path}: the host in [{section}] url is an example and there is no sample of {file.country}: "
                    "write a real address there, or load a sample by `stack sample load`"
                )
        return file

    @staticmethod
    def is_example(file: CountryFile, section: str) -> bool:
        """Whether a source's host ends in .example, which RFC 2606 keeps from ever being real."""
        return any(host.endswith(".example") for host in file.hosts(section))

    def _put(self, file: CountryFile, section: str, key: str, value: str) -> CountryFile:
        """The file with one value of a section replaced in its text, so that the rest stays as it was written."""
        old = file.content.get(section, {}).get(key)
        if old is None or old == value:
            return file
        part = rf"(?ms)^(\[{section}\](?:(?!^\[).)*?^{key}\s*=\s*)([\"']){re.escape(old)}\2"
        text = re.sub(part, lambda match: f'{match[1]}"{value}"', file.text, count=1)
        changed = replace(file, text=text)
        if changed.content.get(section, {}).get(key) != value:
            raise DeployError(
                f'{file.path}: [{section}] {key} could not be replaced: write it as {key} = "…" on one line'
            )
        self._say(f"{file.path.name}: [{section}] {key} is {_shown(value)} instead of {_shown(old)}")
        return changed


def _with_concurrency(node: Any, concurrency: int) -> tuple[Any, int]:
    """The definition with each MaxConcurrencyPath replaced by the number, and how many there were."""
    if isinstance(node, list):
        pairs = [_with_concurrency(item, concurrency) for item in node]
        return [item for item, _ in pairs], sum(found for _, found in pairs)
    if not isinstance(node, dict):
        return node, 0
    copy, total = {}, 0
    for key, value in node.items():
        if key == "MaxConcurrencyPath":
            copy["MaxConcurrency"], found = concurrency, 1
        else:
            copy[key], found = _with_concurrency(value, concurrency)
        total += found
    return copy, total


def _shown(value: str) -> str:
    """A value without the parts that only make a line long."""
    return value.partition("?")[0]
