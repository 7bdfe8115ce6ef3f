"""Gives countries other time zone data than their functions are built with, on AWS and locally alike.

    python -m infra.zones show
    python -m infra.zones put es mx --file tzdata-2026.7-py2.py3-none-any.whl
    python -m infra.zones remove es

A bundle holds every zone of a release in one file, in the form of Android's `tzdata`. It is made of a wheel of the PyPI
package tzdata, of a folder of compiled zones such as /usr/share/zoneinfo, or it is one already. The account and the
region are those of the AWS credentials in use.
"""

import argparse
import hashlib
import io
import json
import re
import sys
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from botocore.exceptions import BotoCoreError, ClientError

from infra import stacks
from infra.errors import DeployError

_HEADER, _NAME, _ENTRY = 24, 40, 52
_RELEASE = re.compile(r"\d{4}[a-z]")
# Where a release says its own name: in the text that it was compiled from, which wheels and Debian bring along.
_SOURCE = re.compile(rb"# version (\S+)")


@dataclass(frozen=True)
class Bundle:
    """Compiled zones of one release, as the functions read them (`Zones::from_bundle`)."""

    release: str
    content: bytes

    @property
    def name(self) -> str:
        """What its key ends with. The functions hold the content against it."""
        return f"{self.release}-{hashlib.sha256(self.content).hexdigest()[:16]}"

    @classmethod
    def load(cls, path: Path) -> "Bundle":
        """Makes the bundle of a wheel, of a folder, or of a bundle. A zone that Python cannot read is refused."""
        if path.is_dir():
            files = {file.relative_to(path).as_posix(): file.read_bytes() for file in path.rglob("*") if file.is_file()}
            return cls._of_files(path, files)
        if not path.is_file():
            raise DeployError(f"{path} is not there: name a wheel of tzdata, a folder of compiled zones, or a bundle")
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as wheel:
                inside = "tzdata/zoneinfo/"
                files = {name.removeprefix(inside): wheel.read(name) for name in wheel.namelist() if inside in name}
            return cls._of_files(path, files)
        content = path.read_bytes()
        if not content.startswith(b"tzdata"):
            raise DeployError(f"{path} is neither a wheel nor a folder nor a bundle, which begins with `tzdata`")
        return cls._checked(path, content[6:11].decode("ascii", "replace"), dict(entries(path, content)))

    @classmethod
    def _of_files(cls, path: Path, files: Mapping[str, bytes]) -> "Bundle":
        told = _SOURCE.match(files.get("tzdata.zi", b""))
        if not told:
            raise DeployError(f"{path} does not say which release it is: it has no file tzdata.zi that begins with it")
        # Debian's folder has each zone three times: posix/ is the same, right/ counts leap seconds.
        apart = ("posix/", "right/")
        zones = {
            name: body
            for name, body in files.items()
            if body.startswith(b"TZif") and not name.startswith(apart) and name not in ("localtime", "posixrules")
        }
        return cls._checked(path, told[1].decode("ascii", "replace"), zones)

    @classmethod
    def _checked(cls, path: Path, release: str, zones: Mapping[str, bytes]) -> "Bundle":
        if not _RELEASE.fullmatch(release):
            raise DeployError(f"{path}: its release is {release!r}, and one such as 2026f is wanted")
        if not {"UTC", "Europe/London", "America/New_York"} <= zones.keys():
            raise DeployError(f"{path} has {len(zones)} zones, without UTC, Europe/London or America/New_York")
        for name, body in zones.items():
            try:
                ZoneInfo.from_file(io.BytesIO(body), name)
            except (ValueError, EOFError) as error:
                raise DeployError(f"{path}: its zone {name} cannot be read: {error}") from None
            if len(name.encode()) > _NAME:
                raise DeployError(f"{path}: the name {name} has more than {_NAME} bytes")
        return cls(release, packed(release, zones))


def packed(release: str, zones: Mapping[str, bytes]) -> bytes:
    """One file of all zones, by their names. Zones of the same bytes, as links are, share them."""
    index, data, places = bytearray(), bytearray(), dict[bytes, int]()
    for name, body in sorted(zones.items()):
        if body not in places:
            places[body] = len(data)
            data += body
        index += name.encode().ljust(_NAME, b"\0") + _number(places[body]) + _number(len(body)) + _number(0)
    start = _HEADER + len(index)
    header = b"tzdata" + release.encode() + b"\0" + _number(_HEADER) + _number(start) + _number(start + len(data))
    return bytes(header + index + data)


def entries(path: Path, content: bytes) -> Iterator[tuple[str, bytes]]:
    """The zones of a bundle, by their names."""
    index, data, end = (int.from_bytes(content[at : at + 4]) for at in (12, 16, 20))
    if not _HEADER <= index <= data <= end <= len(content):
        raise DeployError(f"{path} is damaged or cut off: its header names bytes that it does not have")
    for at in range(index, data, _ENTRY):
        name = content[at : at + _NAME].rstrip(b"\0").decode("utf-8", "replace")
        start, length = (int.from_bytes(content[at + _NAME + n : at + _NAME + n + 4]) for n in (0, 4))
        yield name, content[data + start : data + start + length]


def _number(value: int) -> bytes:
    return value.to_bytes(4)


@dataclass(frozen=True)
class Lake:
    """The lake of a deployment, as far as zone data go."""

    s3: Any
    bucket: str

    @classmethod
    def of(cls, client: Any, prefix: str) -> "Lake":
        """The lake that is deployed under a prefix; `client` makes the client of a service."""
        made = stacks.outputs(client("cloudformation"), f"{prefix}-lake")
        if made is None:
            raise DeployError(f"there is no stack {prefix}-lake: deploy it first")
        return cls(client("s3"), made["LakeBucket"])

    def countries(self) -> list[str]:
        """The countries that are ticked."""
        pages = self.s3.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix="registry/")
        keys = [entry["Key"] for page in pages for entry in page.get("Contents", [])]
        return sorted(Path(key).stem for key in keys)

    def bundle(self, country: str) -> str | None:
        """The key of the bundle that a country uses; None if it uses what its functions are built with."""
        try:
            body = self.s3.get_object(Bucket=self.bucket, Key=_choice(country))["Body"].read()
        except self.s3.exceptions.NoSuchKey:
            return None
        return json.loads(body)["bundle"]

    def put(self, country: str, bundle: Bundle) -> str:
        """Gives a country a bundle: first its content, then its name, so that nobody reads a name without content."""
        key = f"config/country={country}/tzdb/{bundle.name}"
        self.s3.put_object(Bucket=self.bucket, Key=key, Body=bundle.content)
        self.s3.put_object(Bucket=self.bucket, Key=_choice(country), Body=json.dumps({"bundle": key}).encode())
        return key

    def remove(self, country: str) -> None:
        """Lets a country use what its functions are built with. Its bundles stay, for ticks under way."""
        self.s3.delete_object(Bucket=self.bucket, Key=_choice(country))


def release_of(key: str) -> str:
    """The release of a bundle, by its key."""
    return key.rpartition("/")[2].partition("-")[0]


def _choice(country: str) -> str:
    return f"config/country={country}/tzdb.json"


def main(argv: Sequence[str]) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m infra.zones", description=__doc__.partition("\n")[0])
    parser.add_argument("action", choices=["show", "put", "remove"])
    parser.add_argument("countries", nargs="*", help="codes of countries, such as es (show: all by default)")
    parser.add_argument("--file", type=Path, help="a wheel of tzdata, a folder of compiled zones, or a bundle")
    parser.add_argument("--prefix", default="storewatch", help="begins every name (%(default)s)")
    args = parser.parse_args(argv)
    if (args.file is not None) != (args.action == "put"):
        parser.error("put wants --file, and nothing else takes it")
    if args.action != "show" and not args.countries:
        parser.error("say which countries")
    try:
        import boto3

        lake = Lake.of(boto3.session.Session().client, args.prefix)
        known = lake.countries()
        if unknown := sorted(set(args.countries) - set(known)):
            there = ", ".join(known) or "none"
            raise DeployError(f"{', '.join(unknown)} is not deployed under {args.prefix}; there are: {there}")
        bundle = Bundle.load(args.file) if args.file else None
        for country in args.countries or known:
            if bundle:
                lake.put(country, bundle)
            elif args.action == "remove":
                lake.remove(country)
            key = lake.bundle(country)
            print(f"{country}: {f'IANA {release_of(key)} ({key})' if key else 'as built into its functions'}")
    except (DeployError, ClientError, BotoCoreError, OSError) as error:
        print(f"zones: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
