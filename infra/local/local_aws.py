"""Adapts the project's files to the local AWS and the local servers, and prints every change.

AWS gets the templates, state machines and country files as they are. Locally the same files run, apart from the
changes that this module prints.
"""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import quote

from infra.country_file import SECTIONS, CountryFile
from infra.deploy import Adapter
from infra.errors import DeployError
from infra.local.config import Stack
from infra.local.prefix import DEFAULT_PREFIX
from infra.local.sample.places import Place

# Template -> resource -> why it is left out.
_PLAIN_HTTP = "it refuses plain http, which is all that the local AWS speaks"
LEFT_OUT = {
    "artifacts.yaml": {"BucketPolicy": _PLAIN_HTTP},
    "lake.yaml": {"LakeBucketPolicy": _PLAIN_HTTP},
    "analytics.yaml": {"ResultsBucketPolicy": _PLAIN_HTTP},
    "workbench.yaml": {"WorkbenchBucketPolicy": _PLAIN_HTTP},
}
# The statement that refuses plain http, and those of countries in other accounts, which infra/accounts.py writes.
_TLS_ONLY = re.compile(r"(?m)^          - Sid: TlsOnly\n(?:            .*\n)*")
_COUNTRY_ACCOUNTS = '          - {"Sid": '
# What the local CloudFormation does not support. infra/analytics.py writes each saved query on one line.
_UNSUPPORTED = {
    "saved queries": re.compile(r'(?m)^  \w+: \{"Type": "AWS::Athena::NamedQuery".*\n'),
    "composite alarms": re.compile(r"(?m)^  \w+:\n    Type: AWS::CloudWatch::CompositeAlarm\n(?:    .*\n|\n)*"),
    "alarms on metric math": re.compile(
        r"(?m)^  \w+:\n    Type: AWS::CloudWatch::Alarm\n(?:    .*\n)*?      Metrics:\n(?:    .*\n|\n)*"
    ),
}


class LocalAws(Adapter):
    """Adapts the project's files to a running stack."""

    def __init__(self, stack: Stack, prefix: str, places: Mapping[str, Place], say: Callable[[str], None]):
        self._stack = stack
        self._prefix = prefix
        self._places = places
        self._say = say

    def template(self, name: str, text: str) -> str:
        """Removes the resources that the local AWS does not support. Every other byte stays."""
        left_out = dict(LEFT_OUT.get(name, {}))
        if name == "lake.yaml" and _COUNTRY_ACCOUNTS in text:
            why = left_out.pop("LakeBucketPolicy")
            text, _ = _TLS_ONLY.subn("", text)
            self._say(f"{name}: left out the statement TlsOnly of LakeBucketPolicy: {why}")
        for resource, why in left_out.items():
            text, found = re.subn(rf"(?m)^  {resource}:\n(?:    .*\n|\n)*", "", text)
            if found != 1:
                raise DeployError(f"{name} has no resource {resource}: remove it from LEFT_OUT in {__file__}")
            self._say(f"{name}: left out {resource}: {why}")
        for what, pattern in _UNSUPPORTED.items():
            text, found = pattern.subn("", text)
            if found:
                self._say(f"{name}: left out its {what} ({found}): the local CloudFormation does not support them")
        return text

    def definitions(self, files: dict[str, str], country: CountryFile | None) -> dict[str, str]:
        """Writes the country's concurrency into its state machine: the local AWS ignores MaxConcurrencyPath."""
        if country is None:
            return files
        definition, found = _with_concurrency(json.loads(files["country.asl.json"]), country.concurrency)
        if found:
            self._say(
                f"country.asl.json for {country.country}: MaxConcurrency is {country.concurrency}, because Step Functions here "
                "ignores MaxConcurrencyPath"
            )
        return files | {"country.asl.json": json.dumps(definition, indent=2)}

    def country_file(self, file: CountryFile) -> CountryFile:
        """Replaces example addresses with those of the local servers. Keeps real addresses."""
        place = self._places.get(file.country)
        postgres, elasticsearch = self._stack.postgres, self._stack.elasticsearch
        if place and self.is_example(file, "schedule"):
            # The name, not the number: the server's certificate is for `localhost`.
            address = f"localhost:{postgres.port}/{place.database}"
            trust = f"sslmode=verify-full&sslrootcert={quote(postgres.ca_file)}"
            file = self._put(file, "schedule", "url", f"postgresql://{place.role}@{address}?{trust}")
        if place and self.is_example(file, "live_view"):
            file = self._put(file, "live_view", "url", elasticsearch.url)
            file = self._put(file, "live_view", "index", place.index)
        for section in SECTIONS:
            own, slash, name = str(file.content.get(section, {}).get("secret", "")).partition("/")
            if slash and own == DEFAULT_PREFIX:
                file = self._put(file, section, "secret", f"{self._prefix}/{name}")
            if self.is_example(file, section):
                raise DeployError(
                    f"{file.path}: the host in [{section}] url is an example, and {file.country} has no sample: "
                    "use a real address, or load a sample with `stack sample load`"
                )
        return file

    @staticmethod
    def is_example(file: CountryFile, section: str) -> bool:
        """Whether a source's host ends in .example, so that it cannot be real (RFC 2606)."""
        return any(host.endswith(".example") for host in file.hosts(section))

    def _put(self, file: CountryFile, section: str, key: str, value: str) -> CountryFile:
        """The file with one value of a section replaced in its text. The rest stays as written."""
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
    """The definition with each MaxConcurrencyPath replaced by the number, and how many were replaced."""
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
    """A value, shortened for display."""
    return value.partition("?")[0]
