"""Deploys Storewatch: the lake, the analysts' stack, one stack per country. The local stack uses this code too."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from infra import accounts, analytics, buckets, change_sets, packaging, stacks, version
from infra.country_file import LOGINS, CountryFile
from infra.country_secrets import Logins, Secret, Secrets, how_to_set
from infra.errors import DeployError

TEMPLATES = Path(__file__).resolve().parent
ARTIFACTS_STACK = "storewatch-artifacts"
# The resource of a template that outlives its stack.
_BUCKETS = {"artifacts.yaml": "Bucket", "lake.yaml": "LakeBucket", "workbench.yaml": "WorkbenchBucket"}


class Adapter:
    """Changes files before they are deployed. This one, for AWS, changes nothing."""

    def template(self, name: str, text: str) -> str:
        """A template: `lake.yaml`, `analytics.yaml` or `country.yaml`."""
        return text

    def definitions(self, files: dict[str, str], country: CountryFile | None) -> dict[str, str]:
        """The state machines, for the lake or for one country."""
        return files

    def country_file(self, file: CountryFile) -> CountryFile:
        """A country file."""
        return file


@dataclass(frozen=True)
class Deployment:
    """Where to deploy, and under which names."""

    client: Callable[[str], Any]  # a boto3 client for a service
    prefix: str = "storewatch"
    database: str = "storewatch"
    adapter: Adapter = field(default_factory=Adapter)
    say: Callable[[str], None] = print
    # Parameters of any template, which go before those that the deployment sets and those that the stacks have.
    parameters: Mapping[str, str] = field(default_factory=dict)
    # Tags of every stack, which CloudFormation passes on to its resources.
    tags: Mapping[str, str] = field(default_factory=dict)
    # The role that CloudFormation uses instead of the caller's rights.
    role: str = ""
    # The account of the lake; empty for no change, and at first the own one.
    lake_account: str = ""
    # Countries in other accounts that deliver to this lake: all of them, or `None` for no change.
    country_accounts: Mapping[str, str] | None = None
    # Only shows what would change.
    is_trial: bool = False

    @cached_property
    def place(self) -> buckets.Place:
        """The account and region that are deployed to."""
        return buckets.Place.of(self.client)

    @cached_property
    def s3(self) -> Any:
        """S3, which refuses a bucket of another account."""
        return buckets.owned(self.client("s3"), self.place.account)

    @property
    def lake_bucket(self) -> str:
        """The lake's bucket. Its name is unique in the world, so it has the account and the region."""
        return f"{self.prefix}-lake-{self.place.account}-{self.place.region}"

    @property
    def workbench_bucket(self) -> str:
        """The bucket of the analysts' workbench."""
        return f"{self.prefix}-workbench-{self.place.account}-{self.place.region}"

    @property
    def metrics_namespace(self) -> str:
        """The CloudWatch namespace of the countries' metrics. Each prefix has its own, or deployments would share alarms."""
        return "Storewatch" if self.prefix == "storewatch" else f"Storewatch/{self.prefix}"

    @property
    def lake_stack(self) -> str:
        """The name of the stack that all countries share."""
        return f"{self.prefix}-lake"

    @property
    def analytics_stack(self) -> str:
        """The name of the analysts' stack."""
        return f"{self.prefix}-analytics"

    def country_stack(self, country: str) -> str:
        """The name of a country's stack."""
        return f"{self.prefix}-country-{country}"

    @property
    def artifact_bucket(self) -> str:
        """The bucket for packaged code. All prefixes share it."""
        return f"storewatch-artifacts-{self.place.account}-{self.place.region}"

    def check_parameters(self) -> None:
        """Refuses parameters that no template has, or that the deployment sets itself."""
        own = {"Prefix", "Country", "ConfigKey", "LakeBucket", "Database", "AlertsTopic", "ArtifactBucket", "Release"}
        own |= {"Definitions", "Version", "Architecture", "OpenSearchDomain", "AnalystCountries", "AnalystObjects"}
        own |= {"LakeAccount", "CountryAccounts", "TickAlarm", "LookAfterSeconds", "AnalystsRole"}
        own |= {"Concurrency", *_secret_parameters({})}
        texts = [
            (TEMPLATES / name).read_text() for name in ("lake.yaml", "analytics.yaml", "country.yaml", "workbench.yaml")
        ]
        texts += [file.read_text() for file in TEMPLATES.glob("etls/*/*.yaml")]
        known = set().union(*(change_sets.declared(text) for text in texts)) - own
        if unknown := sorted(self.parameters.keys() - known):
            raise DeployError(
                f"no template has the parameter {', '.join(unknown)}; there are {', '.join(sorted(known))}"
            )
        network = [bool(self.parameters.get(name)) for name in ("SubnetIds", "SecurityGroupIds")]
        if any(network) != all(network):
            raise DeployError(
                "SubnetIds and SecurityGroupIds belong together: name both, or empty both as in SubnetIds="
            )

    def release(self, binaries: Path, work: Path) -> dict[str, str]:
        """Packs and uploads the functions. Returns the stack parameters that name them and their version."""
        zips = packaging.function_zips(binaries, work)
        bucket = self.artifact_bucket
        self._deploy(ARTIFACTS_STACK, "artifacts.yaml", {})
        folder = packaging.upload(self.s3, bucket, "functions", {f"{name}.zip": zips[name] for name in zips})
        size = sum(file.stat().st_size for file in zips.values()) / 1e6
        self.say(f"functions: {folder} in {bucket} ({len(zips)} zips, {size:.0f} MB)")
        return {"ArtifactBucket": bucket, "Release": folder, "Version": version.current()}

    def deploy_lake(self, release: Mapping[str, str], parameters: Mapping[str, str] | None = None) -> dict[str, str]:
        """Deploys lake.yaml and returns its outputs.

        In another account than the lake's, that is what the countries there share: a bucket and the ticks, without catalog.
        """
        lake, countries = self.lake_accounts()
        values = {
            "Prefix": self.prefix,
            "Database": self.database,
            "LakeAccount": lake,
            "CountryAccounts": ",".join(f"{country}:{account}" for country, account in sorted(countries.items())),
            "MetricsNamespace": self.metrics_namespace,
            **release,
            "Definitions": self._definitions(release["ArtifactBucket"], None),
            **(parameters or {}),
        }
        made = self._deploy(self.lake_stack, "lake.yaml", values)
        if not made and self.is_trial:
            # What it will be: a country's part can be shown before there is a lake.
            place = self.place
            topic = f"arn:{place.partition}:sns:{place.region}:{place.account}:{self.prefix}-alerts"
            return {"LakeBucket": self.lake_bucket, "AlertsTopic": topic, "LakeAccount": lake}
        if not self.is_trial and lake == self.place.account:
            self._set_catalog_policy(countries)
        return made

    def lake_accounts(self) -> tuple[str, dict[str, str]]:
        """The account of the lake, and the countries in other accounts that deliver to it if it is this one."""
        before = stacks.outputs(self.client("cloudformation"), self.lake_stack) or {}
        held = before.get("LakeAccount", self.place.account if before else "")
        lake = self.lake_account or held or self.place.account
        if held and lake != held:
            raise DeployError(
                f"stack {self.lake_stack} belongs to the lake in account {held}, not {lake}: a deployment cannot change "
                "its lake, so use another prefix, or remove this one first"
            )
        countries = self.country_accounts
        if countries is None:
            countries = accounts.parse([text for text in before.get("CountryAccounts", "").split(",") if text])
        if countries and lake != self.place.account:
            raise DeployError(f"the lake is in account {lake}: name countries in other accounts in its deployment")
        if self.place.account in countries.values():
            raise DeployError(f"{self.place.account} is the lake's own account: its countries need no such right")
        return lake, dict(countries)

    def _set_catalog_policy(self, countries: Mapping[str, str]) -> None:
        if accounts.set_catalog_policy(self.client("glue"), self.place, self.prefix, self.database, countries):
            told = ", ".join(f"{country} in {account}" for country, account in sorted(countries.items()))
            self.say(f"the catalog's policy lets in {told or 'no country of another account'}")

    def deploy_analytics(
        self, lake: Mapping[str, str], countries: Sequence[str], readable: Sequence[str] = ()
    ) -> dict[str, str]:
        """Deploys analytics.yaml on top of a lake and returns its outputs.

        Analysts may read the countries in `readable`. If it is empty, their countries stay as they were, so adding a
        country changes no rights; on the first deployment they are `countries`, those that are deployed.
        """
        if lake.get("LakeAccount", self.place.account) != self.place.account:
            return {}  # Analysts ask the lake, in its own account.
        before = (stacks.outputs(self.client("cloudformation"), self.analytics_stack) or {}).get("AnalystCountries")
        readable = readable or (before.split(",") if before else countries)
        if not readable:
            self.say(f"stack {self.analytics_stack}: not deployed yet, because there is no country to read")
            return {}
        bucket = lake["LakeBucket"]
        values = {
            "Prefix": self.prefix,
            "LakeBucket": bucket,
            "Database": self.database,
            "KmsKeyArn": lake.get("KmsKeyArn", ""),
            "AnalystCountries": ",".join(readable),
            "AnalystObjects": ",".join(
                analytics.country_objects(f"arn:{self.place.partition}:s3:::{bucket}", readable)
            ),
        }
        made = self._deploy(self.analytics_stack, "analytics.yaml", values)
        self.say(f"analysts may read {', '.join(readable)}")
        return made

    def deploy_country(
        self,
        file: CountryFile,
        release: Mapping[str, str],
        lake: Mapping[str, str],
        logins: Logins | None = None,
        parameters: Mapping[str, str] | None = None,
    ) -> dict[str, str]:
        """Deploys one country on top of a lake. Registers it last, so that it is ticked only once it is complete.

        A country whose secrets have no value yet is deployed, but not registered. One that ticks is left as it is.
        """
        file = self.adapter.country_file(file)
        file.check_secrets(self.prefix)
        domain = file.opensearch_domain(self.place.partition, self.place.account)
        bucket = lake["LakeBucket"]
        secrets = self._secrets(file, logins)
        if not self.is_trial:
            for name, pem in file.authorities().items():
                self.s3.put_object(Bucket=bucket, Key=f"config/{name}", Body=pem)
            self.s3.put_object(Bucket=bucket, Key=file.key, Body=file.text.encode())
        values = {
            "Prefix": self.prefix,
            "Country": file.country,
            "ConfigKey": file.key,
            "LakeBucket": bucket,
            "LakeAccount": lake.get("LakeAccount", self.place.account),
            "Database": self.database,
            "AlertsTopic": lake["AlertsTopic"],
            "KmsKeyArn": lake.get("KmsKeyArn", ""),
            "TickAlarm": lake.get("TickAlarm", ""),
            "MetricsNamespace": self.metrics_namespace,
            "LookAfterSeconds": str(file.content.get("run", {}).get("look_after_seconds", 0)),
            "OpenSearchDomain": domain,
            "Concurrency": str(file.concurrency),
            **_secret_parameters(secrets),
            **release,
            "Definitions": self._definitions(release["ArtifactBucket"], file),
            **(parameters or {}),
        }
        made = self._deploy(self.country_stack(file.country), "country.yaml", values, file.country)
        if self.is_trial or not self._have_values(file.country, secrets):
            return made
        entry = {
            "country": file.country,
            "state_machine": made["CountryMachine"],
            "daily_state_machine": made["CountryDailyMachine"],
        }
        self.s3.put_object(Bucket=bucket, Key=_registry_key(file.country), Body=json.dumps(entry).encode())
        return made

    def deploy_template(
        self, stack: str, template: str, values: Mapping[str, str], country: str = ""
    ) -> dict[str, str]:
        """Deploys a stack beside those of the ticks, such as infra/etl.py has, and returns its outputs."""
        return self._deploy(stack, template, values, country)

    def undeploy_country(self, country: str) -> None:
        """Unregisters a country, so that it is no longer ticked, then deletes its stack. Its data stays."""
        lake = stacks.outputs(self.client("cloudformation"), self.lake_stack)
        if lake:
            self.s3.delete_object(Bucket=lake["LakeBucket"], Key=_registry_key(country))
        self._keep_secrets(country)
        gone = stacks.delete_stack(self.client("cloudformation"), self.country_stack(country), self.role)
        self.say(f"stack {self.country_stack(country)}: {'deleted' if gone else 'was not there'}; its data stays")
        Secrets(self.client, self.prefix, self.say).schedule_deletion(country)

    def registered(self) -> list[str]:
        """The countries that are ticked."""
        if not buckets.exists(self.s3, self.lake_bucket):
            return []
        pages = self.s3.get_paginator("list_objects_v2").paginate(Bucket=self.lake_bucket, Prefix="registry/")
        return sorted(Path(entry["Key"]).stem for page in pages for entry in page.get("Contents", []))

    def undeploy_lake(self) -> None:
        """Deletes the analysts' stack, then the lake's. The lake's bucket and its content stay (DeletionPolicy)."""
        made = stacks.outputs(self.client("cloudformation"), self.analytics_stack)
        if made:
            # CloudFormation only deletes empty buckets. Query results can be computed again.
            buckets.empty(self.s3, made["ResultsBucket"])
        gone = stacks.delete_stack(self.client("cloudformation"), self.analytics_stack, self.role)
        self.say(f"stack {self.analytics_stack}: {'deleted' if gone else 'was not there'}")
        self._set_catalog_policy({})
        gone = stacks.delete_stack(self.client("cloudformation"), self.lake_stack, self.role)
        self.say(f"stack {self.lake_stack}: {'deleted' if gone else 'was not there'}; its bucket stays")

    def _definitions(self, bucket: str, country: CountryFile | None) -> str:
        files = self.adapter.definitions(packaging.definitions(), country)
        return packaging.upload(self.s3, bucket, "statemachine", files)

    def _deploy(self, stack: str, template: str, values: Mapping[str, str], country: str = "") -> dict[str, str]:
        """Creates or updates a stack, and returns its outputs. A trial only shows the changes."""
        text = (TEMPLATES / template).read_text()
        if template == "analytics.yaml":
            text = analytics.render(text, self.database)
        elif template == "lake.yaml":
            countries = accounts.parse([one for one in values["CountryAccounts"].split(",") if one])
            text = accounts.render(text, self.place, self.prefix, countries)
        # The bucket for packages belongs to no single deployment.
        tags = self.tags if template == "artifacts.yaml" else self.tags_of(country)
        wanted = change_sets.Wanted(stack, self.adapter.template(template, text), values, tags, self.role)
        chosen = {key: value for key, value in self.parameters.items() if key in change_sets.declared(wanted.template)}
        wanted = replace(wanted, parameters={**values, **chosen})
        cloudformation = self.client("cloudformation")
        # Packages must be uploaded to show what would change, so their bucket is made in any case.
        if self.is_trial and template != "artifacts.yaml":
            proposed = change_sets.propose(cloudformation, wanted, self.upload_template)
            for line in proposed.lines() if proposed else [f"stack {stack}: no change"]:
                self.say(line)
            if proposed:
                change_sets.discard(cloudformation, proposed)
            return stacks.outputs(cloudformation, stack) or {}
        self._adopt(wanted, template)
        made = change_sets.deploy_stack(cloudformation, wanted, self.upload_template, self.say)
        if not made.get("EnableTerminationProtection"):
            cloudformation.update_termination_protection(StackName=stack, EnableTerminationProtection=True)
        return stacks.outputs_of(made)

    def _adopt(self, wanted: change_sets.Wanted, template: str) -> None:
        """Gives a new stack the bucket that an earlier one has left."""
        change_sets.delete_unmade(self.client("cloudformation"), wanted)
        resource = _BUCKETS.get(template)
        stack = stacks.describe(self.client("cloudformation"), wanted.name)
        if not resource or (stack and stack["StackStatus"] != stacks.PROPOSED):
            return
        own = {"lake.yaml": self.lake_bucket, "workbench.yaml": self.workbench_bucket}
        bucket = own.get(template, self.artifact_bucket)
        if buckets.exists(self.s3, bucket):
            change_sets.adopt_bucket(self.client("cloudformation"), wanted, resource, bucket)
            self.say(f"stack {wanted.name}: takes over bucket {bucket}, which is there already")

    def tags_of(self, country: str) -> dict[str, str]:
        """The tags of a stack: the user's, and those by which costs can be told apart."""
        own = {"storewatch:deployment": self.prefix, "storewatch:version": version.current()}
        return {**own, **({"storewatch:country": country} if country else {}), **self.tags}

    def upload_template(self, text: str) -> str:
        """Uploads a template that is too large for a request, and returns the address where CloudFormation reads it."""
        folder = packaging.upload(self.s3, self.artifact_bucket, "templates", {"template.yaml": text})
        return f"{self.s3.meta.endpoint_url}/{self.artifact_bucket}/{folder}/template.yaml"

    def _secrets(self, file: CountryFile, logins: Logins | None) -> dict[str, Secret]:
        """Makes and fills a country's secrets; a trial only looks. Refuses to give a country that ticks an empty one."""
        held = Secrets(self.client, self.prefix, self.say)
        if self.is_trial:
            return held.show(file)
        self._keep_secrets(file.country)
        secrets = held.provide(file, logins, self.tags_of(file.country))
        if (empty := _without_value(secrets)) and file.country in self.registered():
            raise DeployError(
                f"{file.country} keeps ticking as it was deployed before, because the secret {empty[0]} has no value: "
                f"{how_to_set(empty[0])}, then deploy {file.country} again"
            )
        return secrets

    def _keep_secrets(self, country: str) -> None:
        """Has a country's stack leave its secrets behind, if it is of a release whose stacks made them."""
        cloudformation, name = self.client("cloudformation"), self.country_stack(country)
        change_sets.keep_secrets(cloudformation, name, self.role, self.upload_template)

    def _have_values(self, country: str, secrets: Mapping[str, Secret]) -> bool:
        """Whether all secrets have one, so that the country can be ticked. Says what to do if not."""
        for name in (empty := _without_value(secrets)):
            self.say(
                f"{country} is not ticked yet, because the secret {name} has no value: {how_to_set(name)}, "
                f"then deploy {country} again"
            )
        return not empty


def _without_value(secrets: Mapping[str, Secret]) -> list[str]:
    return sorted({secret.name for secret in secrets.values() if not secret.has_value})


def _secret_parameters(secrets: Mapping[str, Secret]) -> dict[str, str]:
    """The template's parameters: each login's secret and that one's key, empty for none."""
    values = {}
    for login in LOGINS.values():
        secret = secrets.get(login)
        values[f"{login.capitalize()}Secret"] = secret.arn if secret else ""
        values[f"{login.capitalize()}SecretKey"] = secret.key if secret else ""
    return values


def _registry_key(country: str) -> str:
    return f"registry/{country}.json"
