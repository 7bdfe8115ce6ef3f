"""Deploys a lake and a country again and again, without functions that work: a text stands for each of them."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from infra import buckets, stacks
from infra.country_file import CountryFile
from infra.country_secrets import Logins
from infra.deploy import Deployment
from infra.local.config import Stack
from infra.local.local_aws import LocalAws
from infra.local.sample.places import Place
from infra.packaging import FUNCTIONS
from infra.workbench import deployment as workbench

SECRETS = {"postgres": {"username": "u", "password": "p"}, "elasticsearch": {"api_key": "k"}}
# A place that exists nowhere: nothing reads it.
PLACES = {"es": Place("database", "role", "password", "index")}


@dataclass
class Deployer:
    """A deployment of a lake and a country, which is made again and again."""

    stack: Stack
    prefix: str
    folder: Path
    # Functions that do work: names and binaries.
    working: Mapping[str, Path] = field(default_factory=dict)
    said: list[str] = field(default_factory=list)

    def deployment(self, **options: Any) -> Deployment:
        """The deployment, such as `make deploy` makes it."""
        adapter = LocalAws(self.stack, self.prefix, PLACES, self.said.append)
        database = self.prefix.replace("-", "_")
        made = Deployment(self.stack.aws.client, self.prefix, database, adapter, self.said.append)
        return replace(made, **options)

    def release(self, deployment: Deployment) -> dict[str, str]:
        """Uploads functions that are texts."""
        binaries = self.folder / "binaries"
        binaries.mkdir(exist_ok=True)
        for name in FUNCTIONS:
            binary = binaries / name
            if name in self.working:
                binary.unlink(missing_ok=True)
                binary.symlink_to(self.working[name])
            else:
                binary.write_text(f"the function {name}")
        return deployment.release(binaries, self.folder / "zips")

    def deploy(
        self,
        lake: Mapping[str, str] | None = None,
        *,
        file: CountryFile | None = None,
        logins: Logins | None = SECRETS,
        **options: Any,
    ) -> dict[str, str]:
        """Deploys everything. `lake` are the lake's own parameters."""
        deployment = self.deployment(**options)
        release = self.release(deployment)
        made = deployment.deploy_lake(release, lake or {})
        deployment.deploy_analytics(made, ["es"])
        deployment.deploy_country(file or CountryFile.load("es"), release, made, logins)
        return made

    @property
    def cloudformation(self) -> Any:
        """CloudFormation as root."""
        return self.stack.aws.client("cloudformation")

    @property
    def s3(self) -> Any:
        """S3 as root."""
        return self.stack.aws.client("s3")

    def parameters(self, name: str) -> dict[str, str]:
        """A stack's parameters."""
        return stacks.parameters(self.cloudformation, f"{self.prefix}-{name}")[f"{self.prefix}-{name}"]

    def described(self, name: str) -> dict[str, Any]:
        """A stack as CloudFormation describes it."""
        found = stacks.describe(self.cloudformation, f"{self.prefix}-{name}")
        assert found
        return found

    def change_sets(self, name: str) -> list[str]:
        """The change sets that a stack has, executed ones included."""
        found = self.cloudformation.list_change_sets(StackName=f"{self.prefix}-{name}")["Summaries"]
        return sorted(entry["ChangeSetId"] for entry in found)

    def names(self) -> list[str]:
        """The stacks of this deployment, proposed ones included."""
        pages = self.cloudformation.get_paginator("describe_stacks").paginate()
        kinds = ("lake", "analytics", "country-", "workbench")
        own = tuple(f"{self.prefix}-{kind}" for kind in kinds)
        found = [stack for page in pages for stack in page["Stacks"] if stack["StackName"].startswith(own)]
        return sorted(stack["StackName"] for stack in found if stack["StackStatus"] != "DELETE_COMPLETE")

    def remove(self) -> None:
        """Removes everything, the lake's bucket included."""
        deployment = self.deployment()
        for name in self.names():
            if "-country-" in name:
                deployment.undeploy_country(name[-2:])
        workbench.undeploy(deployment)
        deployment.undeploy_lake()
        for bucket in (deployment.workbench_bucket, deployment.lake_bucket):
            if buckets.exists(self.s3, bucket):
                buckets.empty(self.s3, bucket)
                self.s3.delete_bucket(Bucket=bucket)
