"""Deploys Storewatch: the lake, the analysts' stack, one stack per country. The local stack uses this code too.

    python -m infra.deploy deploy es mx pt --binaries target/lambda --secrets secrets.json
    python -m infra.deploy undeploy pt

It uses the account and region of your AWS credentials. Secrets come from a JSON file,
{"es": {"postgres": {"username": …, "password": …}, "elasticsearch": {"api_key": …}}}, or you set them by hand later.
"""

import argparse
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from infra import analytics, packaging, stacks, version
from infra.country_file import DIRECTORY, CountryFile
from infra.errors import DeployError

TEMPLATES = Path(__file__).resolve().parent
SECRETS = ("postgres", "elasticsearch")


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

    def artifact_bucket(self) -> str:
        """The bucket for packaged code, made if it is missing. All prefixes share it."""
        s3 = self.client("s3")
        region = s3.meta.region_name
        account = self.client("sts").get_caller_identity()["Account"]
        bucket = f"storewatch-artifacts-{account}-{region}"
        try:
            s3.head_bucket(Bucket=bucket)
        except ClientError as error:
            if error.response["Error"]["Code"] not in ("404", "NoSuchBucket"):
                raise DeployError(f"bucket {bucket} cannot be used: {error}") from None
            self.say(f"creating bucket {bucket} for packaged code")
            elsewhere = {"CreateBucketConfiguration": {"LocationConstraint": region}} if region != "us-east-1" else {}
            s3.create_bucket(Bucket=bucket, **elsewhere)
        return bucket

    def release(self, binaries: Path, work: Path) -> dict[str, str]:
        """Packs and uploads the functions. Returns the stack parameters that name them and their version."""
        bucket = self.artifact_bucket()
        zips = packaging.function_zips(binaries, work)
        folder = packaging.upload(self.client("s3"), bucket, "functions", {f"{name}.zip": zips[name] for name in zips})
        size = sum(file.stat().st_size for file in zips.values()) / 1e6
        self.say(f"functions: {folder} in {bucket} ({len(zips)} zips, {size:.0f} MB)")
        return {"ArtifactBucket": bucket, "Release": folder, "Version": version.current()}

    def deploy_lake(self, release: Mapping[str, str], parameters: Mapping[str, str] | None = None) -> dict[str, str]:
        """Deploys lake.yaml and returns its outputs."""
        values = {
            "Prefix": self.prefix,
            "Database": self.database,
            **release,
            "Definitions": self._definitions(release["ArtifactBucket"], None),
            **(parameters or {}),
        }
        return self._deploy(self.lake_stack, "lake.yaml", values)

    def deploy_analytics(
        self, lake: Mapping[str, str], countries: Sequence[str], readable: Sequence[str] = ()
    ) -> dict[str, str]:
        """Deploys analytics.yaml on top of a lake and returns its outputs.

        Analysts may read the countries in `readable`. If it is empty, their countries stay as they were, so adding a
        country changes no rights; on the first deployment they are `countries`, those that are deployed.
        """
        before = (stacks.outputs(self.client("cloudformation"), self.analytics_stack) or {}).get("AnalystCountries")
        readable = readable or (before.split(",") if before else countries)
        if not readable:
            self.say(f"stack {self.analytics_stack}: not deployed yet, because there is no country to read")
            return {}
        bucket = lake["LakeBucket"]
        partition = self.client("sts").get_caller_identity()["Arn"].split(":")[1]
        values = {
            "Prefix": self.prefix,
            "LakeBucket": bucket,
            "Database": self.database,
            "AnalystCountries": ",".join(readable),
            "AnalystObjects": ",".join(analytics.country_objects(f"arn:{partition}:s3:::{bucket}", readable)),
        }
        made = self._deploy(self.analytics_stack, "analytics.yaml", values)
        self.say(f"analysts may read {', '.join(readable)}")
        return made

    def deploy_country(
        self,
        file: CountryFile,
        release: Mapping[str, str],
        lake: Mapping[str, str],
        secrets: Mapping[str, Mapping[str, str]] | None = None,
        parameters: Mapping[str, str] | None = None,
    ) -> dict[str, str]:
        """Deploys one country on top of a lake. Registers it last, so that it is ticked only once it is complete."""
        file = self.adapter.country_file(file)
        file.check_secrets(self.prefix)
        # arn:PARTITION:sts::ACCOUNT:…
        _, partition, _, _, account, *_ = self.client("sts").get_caller_identity()["Arn"].split(":")
        domain = file.opensearch_domain(partition, account)
        s3, bucket = self.client("s3"), lake["LakeBucket"]
        for name, pem in file.authorities().items():
            s3.put_object(Bucket=bucket, Key=f"config/{name}", Body=pem)
        s3.put_object(Bucket=bucket, Key=file.key, Body=file.text.encode())
        values = {
            "Prefix": self.prefix,
            "Country": file.country,
            "ConfigKey": file.key,
            "LakeBucket": bucket,
            "Database": self.database,
            "AlertsTopic": lake["AlertsTopic"],
            "MetricsNamespace": self.metrics_namespace,
            "OpenSearchDomain": domain,
            **release,
            "Definitions": self._definitions(release["ArtifactBucket"], file),
            **(parameters or {}),
        }
        made = self._deploy(self.country_stack(file.country), "country.yaml", values)
        self._put_secrets(file.country, secrets)
        entry = {
            "country": file.country,
            "state_machine": made["CountryMachine"],
            "daily_state_machine": made["CountryDailyMachine"],
        }
        s3.put_object(Bucket=bucket, Key=_registry_key(file.country), Body=json.dumps(entry).encode())
        return made

    def undeploy_country(self, country: str) -> None:
        """Unregisters a country, so that it is no longer ticked, then deletes its stack. Its data stays."""
        lake = stacks.outputs(self.client("cloudformation"), self.lake_stack)
        if lake:
            self.client("s3").delete_object(Bucket=lake["LakeBucket"], Key=_registry_key(country))
        gone = stacks.delete_stack(self.client("cloudformation"), self.country_stack(country))
        self.say(f"stack {self.country_stack(country)}: {'deleted' if gone else 'was not there'}; its data stays")

    def undeploy_lake(self) -> None:
        """Deletes the analysts' stack, then the lake's. The lake's bucket and its content stay (DeletionPolicy)."""
        made = stacks.outputs(self.client("cloudformation"), self.analytics_stack)
        if made:
            # CloudFormation only deletes empty buckets. Query results can be computed again.
            self._empty(made["ResultsBucket"])
        gone = stacks.delete_stack(self.client("cloudformation"), self.analytics_stack)
        self.say(f"stack {self.analytics_stack}: {'deleted' if gone else 'was not there'}")
        gone = stacks.delete_stack(self.client("cloudformation"), self.lake_stack)
        self.say(f"stack {self.lake_stack}: {'deleted' if gone else 'was not there'}; its bucket stays")

    def _definitions(self, bucket: str, country: CountryFile | None) -> str:
        files = self.adapter.definitions(packaging.definitions(), country)
        return packaging.upload(self.client("s3"), bucket, "statemachine", files)

    def _deploy(self, stack: str, template: str, values: Mapping[str, str]) -> dict[str, str]:
        text = (TEMPLATES / template).read_text()
        if template == "analytics.yaml":
            text = analytics.render(text, self.database)
        text = self.adapter.template(template, text)
        made = stacks.deploy_stack(self.client("cloudformation"), stack, text, values, self.upload_template)
        self.say(f"stack {stack}: deployed")
        return made

    def upload_template(self, text: str) -> str:
        """Uploads a template that is too large for a request, and returns the address where CloudFormation reads it."""
        s3, bucket = self.client("s3"), self.artifact_bucket()
        folder = packaging.upload(s3, bucket, "templates", {"template.yaml": text})
        return f"{s3.meta.endpoint_url}/{bucket}/{folder}/template.yaml"

    def _empty(self, bucket: str) -> None:
        s3 = self.client("s3")
        for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket):
            keys = [{"Key": entry["Key"]} for entry in page.get("Contents", [])]
            if keys:
                s3.delete_objects(Bucket=bucket, Delete={"Objects": keys})

    def _put_secrets(self, country: str, secrets: Mapping[str, Mapping[str, str]] | None) -> None:
        for kind in SECRETS:
            name = f"{self.prefix}/{country}/{kind}"
            if secrets and kind in secrets:
                # Set here, not as a stack parameter: stack events and the console would show it.
                self.client("secretsmanager").put_secret_value(SecretId=name, SecretString=json.dumps(secrets[kind]))
            else:
                self.say(f"secret {name}: unchanged; set its value with `aws secretsmanager put-secret-value`")


def _registry_key(country: str) -> str:
    return f"registry/{country}.json"


def main(argv: Sequence[str]) -> int:
    """The command line, for AWS."""
    parser = argparse.ArgumentParser(prog="python -m infra.deploy", description=__doc__.partition("\n")[0])
    parser.add_argument("action", choices=["deploy", "undeploy"])
    parser.add_argument("countries", nargs="*", metavar="COUNTRY", help="country codes (default: only the lake)")
    parser.add_argument("--prefix", default="storewatch", help="prefix of all names (%(default)s)")
    parser.add_argument("--database", default="storewatch", help="Glue database (%(default)s)")
    parser.add_argument("--architecture", default="x86_64", choices=["x86_64", "arm64"], help="as built")
    parser.add_argument(
        "--binaries", type=Path, default=packaging.ROOT / "target/lambda", help="folder of the functions"
    )
    parser.add_argument("--country-files", type=Path, default=DIRECTORY, help="folder of the country files")
    parser.add_argument("--secrets", type=Path, help="JSON file with each country's secrets")
    parser.add_argument(
        "--analyst-countries",
        nargs="+",
        default=[],
        metavar="COUNTRY",
        help="countries that analysts may read (default: no change; on the first deployment, those deployed)",
    )
    parser.add_argument("--email", default="", help="mail address for alarms")
    args = parser.parse_args(argv)
    try:
        import boto3

        deployment = Deployment(boto3.session.Session().client, args.prefix, args.database)
        if args.action == "undeploy":
            for country in args.countries:
                deployment.undeploy_country(country)
            if not args.countries:
                deployment.undeploy_lake()
            return 0
        files = [CountryFile.load(country, args.country_files) for country in args.countries]
        for file in files:
            file.check_hosts()
        secrets = json.loads(args.secrets.read_text()) if args.secrets else {}
        release = {
            **deployment.release(args.binaries, packaging.ROOT / "target/zips"),
            "Architecture": args.architecture,
        }
        lake = deployment.deploy_lake(release, {"AlertEmail": args.email})
        deployment.deploy_analytics(lake, args.countries, args.analyst_countries)
        for file in files:
            deployment.deploy_country(file, release, lake, secrets.get(file.country))
    except (DeployError, ClientError, BotoCoreError, OSError, json.JSONDecodeError) as error:
        print(f"deploy: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
