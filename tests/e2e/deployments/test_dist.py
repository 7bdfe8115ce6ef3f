"""A release deploys from an empty folder with nothing but Python, and its bill of materials says what is in it.

It is made of the functions that the other tests deploy. `make dist` makes the same of those that `make release` builds.
"""

import base64
import hashlib
import json
import platform
import re
import subprocess
import sys
import tarfile
import tomllib
import uuid
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from infra import dist, etl, packaging, sbom, version
from infra.country_file import CountryFile
from infra.local.commands import tick
from infra.local.config import BINARIES, CACHE, Stack
from infra.local.local_aws import LocalAws
from tests.e2e.conftest import Sources, remove, slot_with_time_left

ROOT = packaging.ROOT
ARCHITECTURE = {"x86_64": "x86_64", "aarch64": "arm64"}[platform.machine()]
FUNCTIONS = packaging.FUNCTIONS + etl.FUNCTIONS
# A path that the compiler puts into a binary, for messages of panics.
CRATE_PATH = re.compile(rb"/registry/src/[^/\0]+/([A-Za-z0-9_-]+?)-(\d+\.\d+\.\d+[A-Za-z0-9.+-]*)/")
# Runs the command line of the release. What the local AWS needs adapted comes from the checkout, and nothing else.
DEPLOY = """
import sys
import infra
import infra.__main__ as command
from infra.deploy import Deployment
infra.__path__.append(sys.argv[1])
from infra.local.config import Stack
from infra.local.local_aws import LocalAws
adapter = LocalAws(Stack.load(), "", {}, print)
command.Deployment = lambda *given, **more: Deployment(*given, **more, adapter=adapter)
adapter.country_file = lambda file: file
sys.exit(command.main(sys.argv[2:]))
"""


@contextmanager
def made() -> Iterator[Path]:
    """A release, as long as it is needed: pytest would keep its 300 MB if it is of development binaries."""
    with TemporaryDirectory() as target:
        yield dist.make(BINARIES, ARCHITECTURE, Path(target), CACHE / "zips")


@pytest.fixture(scope="module")
def archive(stack: Stack) -> Iterator[Path]:
    """A release."""
    with made() as archive:
        yield archive


@pytest.fixture(scope="module")
def unpacked(archive: Path) -> Iterator[Path]:
    """The release, unpacked in an empty folder."""
    with TemporaryDirectory() as folder:
        with tarfile.open(archive) as packed:
            packed.extractall(folder, filter="data")
        (only,) = Path(folder).iterdir()
        yield only


@pytest.fixture(scope="module")
def bill(unpacked: Path) -> dict[str, Any]:
    """The bill of materials."""
    return json.loads((unpacked / "sbom.cdx.json").read_text())


@pytest.fixture(scope="module")
def python(unpacked: Path) -> Iterator[Path]:
    """A Python with the packages of the release's requirements.txt, and no others."""
    with TemporaryDirectory() as folder:
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        python = Path(folder) / "bin/python"
        pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, "--requirement", str(unpacked / "requirements.txt")], check=True)
        yield python


def run(python: Path, unpacked: Path, stack: Stack, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Runs the Python in the release's folder. Its PATH has neither cargo nor git nor strip."""
    environment = {
        "PATH": str(python.parent),
        "PYTHONDONTWRITEBYTECODE": "1",
        "STACK_NAME": stack.run_dir.name,
        **stack.aws.environment(),
    }
    command = [str(python), *arguments]
    return subprocess.run(command, check=False, cwd=unpacked, env=environment, capture_output=True, text=True)


def test_an_unpacked_release_is_deployed_without_rust_and_ticks(
    python: Path, unpacked: Path, stack: Stack, sources: Sources, country_files: Path, tmp_path: Path
) -> None:
    prefix = f"dist-{uuid.uuid4().hex[:6]}"
    place = sources.places["es"]
    file = LocalAws(stack, prefix, sources.places, print).country_file(CountryFile.load("es", country_files))
    (tmp_path / "es.toml").write_text(file.text)
    values = {"postgres": {"username": place.role, "password": place.password}, "elasticsearch": {"api_key": "k"}}
    (tmp_path / "secrets.json").write_text(json.dumps({"es": values}))
    given = ["--prefix", prefix, "--database", prefix.replace("-", "_"), "--parameter", "RuleState=DISABLED"]
    given += ["--country-files", str(tmp_path), "--secrets", str(tmp_path / "secrets.json"), "--etl", "openings"]
    try:
        done = run(python, unpacked, stack, "-c", DEPLOY, str(ROOT / "infra"), "deploy", "es", *given)
        assert done.returncode == 0, done.stdout + done.stderr
        ticked = tick.run(stack, prefix=prefix, slot=slot_with_time_left())
        assert ticked.status == "SUCCEEDED", ticked.error
        lambdas = stack.aws.client("lambda")
        for name in FUNCTIONS:
            function = f"{prefix}-{name if name == 'dispatch' else f'es-{name}'}"
            found = lambdas.get_function(FunctionName=function)["Configuration"]
            zipped = (unpacked / "target/lambda" / name / "bootstrap.zip").read_bytes()
            assert base64.b64decode(found["CodeSha256"]) == hashlib.sha256(zipped).digest()
            assert found["Environment"]["Variables"]["STOREWATCH_VERSION"] == version.current()
    finally:
        remove(stack, prefix)


@pytest.mark.parametrize(
    "module", ["infra", "infra.dashboard", "infra.days", "infra.last_ticks", "infra.verify", "infra.zones"]
)
def test_every_command_of_a_release_runs_on_its_packages(
    python: Path, unpacked: Path, stack: Stack, module: str
) -> None:
    done = run(python, unpacked, stack, "-m", module, "--help")
    assert done.returncode == 0, done.stderr
    assert module in done.stdout


def test_the_sums_are_those_of_the_archive_and_of_its_files(archive: Path, unpacked: Path) -> None:
    for folder, file in ((archive.parent, f"{archive.name}.sha256"), (unpacked, "SHA256SUMS")):
        subprocess.run(["sha256sum", "--check", "--strict", "--quiet", file], check=True, cwd=folder)
    listed = {line.split("  ")[1] for line in (unpacked / "SHA256SUMS").read_text().splitlines()}
    there = {str(file.relative_to(unpacked)) for file in unpacked.rglob("*") if file.is_file()}
    assert listed == there - {"SHA256SUMS"}
    assert {"infra/country.yaml", "statemachine/tick.asl.json", "docs/install.md", "LICENSE"} <= listed


@pytest.mark.parametrize("name", ["target/lambda/plan/bootstrap.zip", "infra/country.yaml"])
def test_a_release_with_a_changed_or_missing_file_is_refused_before_anything_is_made(
    python: Path, unpacked: Path, stack: Stack, name: str
) -> None:
    file, moved = unpacked / name, unpacked / f"{name}.moved"
    prefix = f"never-{uuid.uuid4().hex[:8]}"
    file.rename(moved)
    try:
        missing = run(python, unpacked, stack, "-m", "infra", "deploy", "es", "--prefix", prefix)
        file.write_bytes(moved.read_bytes() + b"\n")
        changed = run(python, unpacked, stack, "-m", "infra", "diff", "es", "--prefix", prefix)
    finally:
        moved.replace(file)
    assert missing.returncode == changed.returncode == 1
    assert re.fullmatch(f"deploy: .*/{name} is missing since .*; unpack the release again\n", missing.stderr)
    assert re.fullmatch(f"deploy: .*/{name} was changed since .*; unpack the release again\n", changed.stderr)
    made = [bucket["Name"] for bucket in stack.aws.client("s3").list_buckets()["Buckets"]]
    assert not [name for name in made if name.startswith(prefix)]


def test_a_release_knows_its_version_and_the_architecture_that_it_is_for(
    python: Path, unpacked: Path, stack: Stack
) -> None:
    assert unpacked.name == f"storewatch-{version.current()}-{ARCHITECTURE}"
    assert version.current(unpacked) == version.current()
    other = "arm64" if ARCHITECTURE == "x86_64" else "x86_64"
    done = run(python, unpacked, stack, "-m", "infra", "deploy", "es", "--architecture", other)
    assert done.returncode == 2 and f"invalid choice: '{other}'" in done.stderr


def test_the_same_binaries_make_the_same_archive(archive: Path) -> None:
    with made() as again:
        assert again.read_bytes() == archive.read_bytes()


def test_a_zip_of_cargo_lambda_leaves_no_time_in_a_release(tmp_path: Path) -> None:
    for number in (1, 2):
        with zipfile.ZipFile(tmp_path / f"{number}.zip", "w", zipfile.ZIP_DEFLATED) as zipped:
            zipped.writestr(zipfile.ZipInfo("bootstrap", (2026, 11, number, 0, 0, 0)), b"the function")
        packaging.copy_zip(tmp_path / f"{number}.zip", tmp_path / f"{number}.copy")
    assert (tmp_path / "1.copy").read_bytes() == (tmp_path / "2.copy").read_bytes()
    with zipfile.ZipFile(tmp_path / "1.copy") as zipped:
        assert zipped.read("bootstrap") == b"the function"
        assert zipped.getinfo("bootstrap").external_attr >> 16 & 0o111


def test_the_bill_of_materials_fits_the_schema_of_cyclonedx(unpacked: Path) -> None:
    text = (unpacked / "sbom.cdx.json").read_text()
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None


def crates_of(bill: dict[str, Any]) -> set[tuple[str, str]]:
    """The crates of registries in the bill: name and version."""
    found = [part for part in bill["components"] if part.get("purl", "").startswith("pkg:cargo/")]
    return {(part["name"], part["version"]) for part in found}


def test_the_bill_has_every_crate_that_a_function_s_binary_shows(bill: dict[str, Any], unpacked: Path) -> None:
    uses = {entry["ref"]: set(entry.get("dependsOn", [])) for entry in bill["dependencies"]}
    for name in FUNCTIONS:
        ahead, reached = {f"{name}.zip"}, set()
        while ahead:
            reached |= ahead
            ahead = set().union(*(uses[ref] for ref in ahead)) - reached
        with zipfile.ZipFile(unpacked / "target/lambda" / name / "bootstrap.zip") as packed:
            binary = packed.read("bootstrap")
        shown = {f"cargo:{crate.decode()}@{number.decode()}" for crate, number in CRATE_PATH.findall(binary)}
        assert len(shown) > 50
        assert shown - reached == set(), name


def test_the_bill_has_no_crate_that_only_tests_or_builds_use(bill: dict[str, Any]) -> None:
    """Held against `cargo metadata`, whose graph says of each dependency what it is for."""
    command = [
        "cargo",
        "metadata",
        "--locked",
        "--format-version",
        "1",
        "--filter-platform",
        sbom.TARGETS[ARCHITECTURE],
    ]
    done = subprocess.run(command, check=True, cwd=ROOT, capture_output=True, text=True)
    content = json.loads(done.stdout)
    named = {package["id"]: (package["name"], package["version"]) for package in content["packages"]}
    nodes = {node["id"]: node for node in content["resolve"]["nodes"]}
    ahead = {found for found in nodes if named[found][0] in FUNCTIONS}
    reached: set[str] = set()
    while ahead:
        reached |= ahead
        used = [dep for found in ahead for dep in nodes[found]["deps"]]
        ahead = {dep["pkg"] for dep in used if any(kind["kind"] is None for kind in dep["dep_kinds"])} - reached
    assert crates_of(bill) <= {named[found] for found in reached}
    locked = tomllib.loads((ROOT / "Cargo.lock").read_text())["package"]
    assert {"criterion", "proptest"} <= {package["name"] for package in locked}
    assert {"criterion", "proptest"}.isdisjoint(name for name, _ in crates_of(bill))


def test_the_bill_has_the_deployer_s_packages_with_their_versions(bill: dict[str, Any], unpacked: Path) -> None:
    wanted = set((unpacked / "requirements.txt").read_text().splitlines())
    found = [part for part in bill["components"] if part.get("purl", "").startswith("pkg:pypi/")]
    assert {f"{part['name']}=={part['version']}" for part in found} == wanted
    locked = {line.lower() for line in (ROOT / "requirements.lock").read_text().splitlines()}
    assert wanted <= locked
    assert {line.partition("==")[0] for line in wanted} >= {"boto3", "aws-sam-translator", "pyarrow"}


def test_the_bill_names_the_zips_by_their_sums(bill: dict[str, Any], unpacked: Path) -> None:
    parts = {part["name"]: part for part in bill["components"]}
    for name in FUNCTIONS:
        digest = hashlib.sha256((unpacked / "target/lambda" / name / "bootstrap.zip").read_bytes()).hexdigest()
        assert parts[f"{name}.zip"]["hashes"] == [{"alg": "SHA-256", "content": digest}]
