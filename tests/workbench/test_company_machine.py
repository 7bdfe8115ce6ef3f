"""A machine of a company's, against the local AWS: its users ask Athena with temporary credentials of the analysts' role."""

import json
import os
import random
import subprocess
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import boto3
import pytest
from botocore.exceptions import ClientError

from infra.local.commands.deploy import deploy_workbench
from infra.local.config import ROOT, Stack
from infra.local.sample.load import drop, load
from infra.local.servers import jupyterhub
from infra.workbench.hub import firewall
from infra.workbench.hub.settings import VARIABLE, Settings
from tests.harness.deployer import Deployer


@dataclass(frozen=True)
class Machine:
    """The machine's settings and environment."""

    stack: Stack
    settings: Settings
    lake: str
    python: Path

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Runs Python as the hub does."""
        env = {**self.stack.aws.environment(), VARIABLE: str(self.settings.file), "PATH": f"{os.defpath}:/usr/sbin"}
        return subprocess.run(
            [self.python, *words],
            check=False,
            capture_output=True,
            text=True,
            cwd=ROOT,
            env=env,
        )

    def command(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Runs the command that root has there."""
        return self.run("-m", "infra.workbench", *words)

    def begin(self, user: str) -> None:
        """Writes a user's files, as the start of the user's server does."""
        code = "import sys; from infra.workbench.hub import access, settings, users; found = settings.Settings.load()"
        done = self.run("-c", f"{code}; access.write(found, users.Users.load(found.folder)[sys.argv[1]])", user)
        assert done.returncode == 0, done.stderr

    def session(self, user: str) -> boto3.session.Session:
        """The credentials that a user's processes find."""
        given = json.loads((self.settings.folder / "access" / user / "aws.json").read_text())
        assert given["Version"] == 1
        return boto3.session.Session(
            given["AccessKeyId"], given["SecretAccessKey"], given["SessionToken"], region_name=self.settings.region
        )


@pytest.fixture(scope="module")
def machine(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """A deployment with a workbench, and the machine's folder."""
    python, proxy = jupyterhub.install()
    prefix = f"machine-{uuid.uuid4().hex[:6]}"
    deployer, state = Deployer(stack, prefix, tmp_path_factory.mktemp("lake")), tmp_path_factory.mktemp("machine")
    try:
        lake = deployer.deploy({"RuleState": "DISABLED"})
        load(stack, count=50, countries=["es"], prefix=prefix)
        made = deploy_workbench(stack, prefix, state / "countries")
        settings = Settings(
            state=str(state),
            port=1,
            hub_port=2,
            proxy_port=3,
            pages_port=4,
            proxy=str(proxy),
            environment=str(python),
            uid_base=600_000_000 + 1000 * random.randrange(90_000),
            prefix=prefix,
            database=deployer.deployment().database,
            bucket=made["WorkbenchBucket"],
            region=stack.aws.region,
            analysts_role=made["AnalystsRole"],
            workgroup=f"{prefix}-analysts",
            countries=str(state / "countries"),
            namespace=made["MetricsNamespace"],
        )
        settings.file.write_text(settings.text())
        yield Machine(stack, settings, lake["LakeBucket"], python)
        firewall.remove(settings.name)
    finally:
        drop(stack, prefix=prefix)
        deployer.remove()


def test_a_user_has_the_analysts_rights_under_the_own_name(machine: Machine) -> None:
    done = machine.command("user", "ana", "--sources", "es")
    assert done.returncode == 0, done.stderr
    assert "user ana: sources of es" in done.stdout and "password" in done.stdout
    machine.begin("ana")
    session, endpoint = machine.session("ana"), machine.stack.aws.endpoint
    told = session.client("sts", endpoint_url=endpoint).get_caller_identity()["Arn"]
    assert told.endswith(f"/{machine.settings.prefix}-analysts-{machine.settings.region}/ana")
    assert session.client("glue", endpoint_url=endpoint).get_tables(DatabaseName=machine.settings.database)["TableList"]
    s3 = session.client("s3", endpoint_url=endpoint)
    for bucket in (machine.lake, machine.settings.bucket):
        with pytest.raises(ClientError, match="AccessDenied"):
            s3.list_objects_v2(Bucket=bucket)
    with pytest.raises(ClientError, match="AccessDenied"):
        session.client("secretsmanager", endpoint_url=endpoint).get_secret_value(
            SecretId=f"{machine.settings.prefix}/workbench/es"
        )
    access = machine.settings.folder / "access/ana"
    assert json.loads((access / "sources/es.json").read_text())["postgres"]["username"].endswith("_workbench")
    assert not [file for file in access.rglob("*") if file.is_file() and file.stat().st_mode & 0o007]


def test_a_user_who_is_removed_has_no_access_files(machine: Machine) -> None:
    assert machine.command("user", "ben").returncode == 0
    machine.begin("ben")
    assert (machine.settings.folder / "access/ben/aws.json").exists()
    done = machine.command("user", "ben", "--remove")
    assert "user ben: removed; the home stays" in done.stdout
    assert not (machine.settings.folder / "access/ben").exists()


@pytest.mark.parametrize("name", ["root", "analysts", "Ana", "../ana", "a b", ""])
def test_a_name_that_is_none_is_refused_and_nothing_is_written(machine: Machine, name: str) -> None:
    before = (machine.settings.folder / "users.json").read_text()
    done = machine.command("user", name)
    assert done.returncode == 1 and done.stderr.startswith("workbench: ")
    assert (machine.settings.folder / "users.json").read_text() == before


def test_the_start_shuts_users_processes_off_from_the_machine_s_credentials(machine: Machine) -> None:
    assert machine.command("start").returncode == 0
    rules = subprocess.run(
        ["nft", "list", "table", "inet", machine.settings.name], check=True, capture_output=True, text=True
    ).stdout
    assert "169.254.0.0/16" in rules and "fd00:ec2::/32" in rules
    refused = subprocess.run(
        ["curl", "--silent", "--max-time", "5", "http://169.254.169.254/latest/meta-data/"],
        check=False,
        user=machine.settings.uid_base + 1,
    )
    # Refused at once (7), not lost on the way (28).
    assert refused.returncode == 7
