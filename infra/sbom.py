"""The software bill of materials of a release, in CycloneDX: the crates that each function links, and the packages that
the deployer runs on.

Made from `cargo tree` and not by cargo-cyclonedx (0.5.9). That writes one file per crate of the workspace beside its manifest,
and names 92 crates more for the functions: procedural macros, which run in the compiler, and optional crates that nothing
switches on, such as polars-sql. Here what counts is what is in the zips.
"""

import subprocess
import tomllib
import uuid
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from cyclonedx.contrib.license.factories import LicenseFactory
from cyclonedx.model import HashAlgorithm, HashType
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.output.json import JsonV1Dot6
from packageurl import PackageURL

from infra.errors import DeployError

TARGETS = {"x86_64": "x86_64-unknown-linux-gnu", "arm64": "aarch64-unknown-linux-gnu"}
Linked = Mapping["Package", set["Package"]]


@dataclass(frozen=True)
class Package:
    """A crate or a Python package."""

    kind: str  # cargo or pypi, as in package URLs
    name: str
    version: str
    licence: str
    # Part of this repository, and in no registry.
    is_own: bool = False


@dataclass(frozen=True)
class Release:
    """What a bill is of."""

    version: str
    made_at: datetime
    # Name to the SHA-256 of its zip.
    functions: Mapping[str, str]


def crates(root: Path, architecture: str) -> dict[Package, set[Package]]:
    """Every crate of the workspace that is linked into something on Linux, and the crates that it uses itself.

    The whole workspace, because its features are those of the build. Without development and build dependencies, and
    without procedural macros, which run in the compiler.
    """
    arguments = ["--workspace", "--locked", "--edges", "normal,no-proc-macro", "--target", TARGETS[architecture]]
    command = ["cargo", "tree", *arguments, "--prefix", "depth", "--format", "|{p}|{l}"]
    done = subprocess.run(command, check=False, cwd=root, capture_output=True, text=True)
    if done.returncode:
        raise DeployError(f"`cargo tree` failed: {done.stderr.strip()}")
    linked: dict[Package, set[Package]] = defaultdict(set)
    above: list[Package] = []
    for line in filter(None, done.stdout.splitlines()):
        # A crate whose own crates were printed before ends in (*).
        depth, package, licence = line.removesuffix(" (*)").split("|")
        name, version, *place = package.split(" ")
        crate = Package("cargo", name, version.removeprefix("v"), licence, is_own=bool(place))
        above[int(depth) :] = [crate]
        linked[crate] |= set()
        if len(above) > 1:
            linked[above[-2]].add(crate)
    return dict(linked)


def make(release: Release, linked: Linked, deployer: Iterable[Package], checksums: Mapping[Package, str]) -> str:
    """The bill as JSON. The same release gives the same bytes."""
    whole = _application("storewatch", release)
    identity = f"{release.version} {sorted(release.functions.items())}"
    bom = Bom(serial_number=uuid.uuid5(uuid.NAMESPACE_OID, identity))
    bom.metadata.timestamp, bom.metadata.component = release.made_at, whole
    crates_of = {name: _crate(name, linked) for name in release.functions}
    shipped = _reached(crates_of.values(), linked)
    made = {package: _library(package, checksums.get(package)) for package in {*shipped, *deployer}}
    for package in shipped:
        bom.register_dependency(made[package], [made[used] for used in linked[package]])
    parts = [_application(f"{name}.zip", release, digest) for name, digest in release.functions.items()]
    for part, crate in zip(parts, crates_of.values(), strict=True):
        bom.register_dependency(part, [made[crate]])
    infra = _application("infra", release)
    bom.register_dependency(infra, [made[package] for package in deployer])
    bom.register_dependency(whole, [*parts, infra])
    bom.components.update(made.values(), parts, [infra])
    return JsonV1Dot6(bom).output_as_string(indent=1)


def checksums(root: Path, linked: Linked) -> dict[Package, str]:
    """The SHA-256 that Cargo.lock has of each crate from a registry."""
    entries = tomllib.loads((root / "Cargo.lock").read_text())["package"]
    known = {(entry["name"], entry["version"]): entry.get("checksum") for entry in entries}
    sums = {crate: known.get((crate.name, crate.version)) for crate in linked}
    return {crate: digest for crate, digest in sums.items() if digest}


def _crate(name: str, linked: Linked) -> Package:
    for crate in linked:
        if crate.is_own and crate.name == name:
            return crate
    raise DeployError(f"the workspace has no crate {name}, but a function of that name is shipped")


def _reached(crates: Iterable[Package], linked: Linked) -> set[Package]:
    """The crates with all that they use."""
    found: set[Package] = set()
    ahead = list(crates)
    while ahead:
        crate = ahead.pop()
        if crate not in found:
            found.add(crate)
            ahead.extend(linked[crate])
    return found


def _application(name: str, release: Release, digest: str = "") -> Component:
    hashes = [HashType(alg=HashAlgorithm.SHA_256, content=digest)] if digest else []
    return Component(name=name, version=release.version, type=ComponentType.APPLICATION, bom_ref=name, hashes=hashes)


def _library(package: Package, digest: str | None) -> Component:
    """A component of a package. Only packages of a registry have a URL."""
    purl = None if package.is_own else PackageURL(package.kind, name=package.name, version=package.version)
    # The older spelling of OR in Cargo.toml.
    licence = package.licence.replace("/", " OR ") if package.kind == "cargo" else package.licence
    licences = [LicenseFactory().make_from_string(licence)] if licence else []
    return Component(
        name=package.name,
        version=package.version,
        type=ComponentType.LIBRARY,
        bom_ref=f"{package.kind}:{package.name}@{package.version}",
        purl=purl,
        licenses=licences,
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content=digest)] if digest else [],
    )
