"""Deploys Storewatch: the lake, what analysts work with, then one stack a country, on AWS and locally by this same code.

    python -m infra.deploy deploy es mx pt --binaries target/lambda --secrets secrets.json
    python -m infra.deploy undeploy pt

The account and the region are those of the AWS credentials in use. Secrets' values come from a JSON file,
{"es": {"postgres": {"username": …, "password": …}, "elasticsearch": {"api_key": …}}}, or are put in by hand later.
"""

import argparse
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from infra import analytics, packaging, stacks
from infra.country_file import DIRECTORY, CountryFile
from infra.errors import DeployError

TEMPLATES = Path(__file__).resolve().parent
SECRETS = ("postgres", "elasticsearch")


class Adapter:
    """What a deployment changes of the project's files before it uploads them: on AWS nothing."""

    def template(self, name: str, text: str) -> str:
        """A template, `lake.yaml`, `analytics.yaml` or `country.yaml`."""
        return text

    def definitions(self, files: dict[str, str], country: CountryFile | None) -> dict[str, str]:
        """The state machines, for the lake or for one country."""
        return files

    def country_file(self, file: CountryFile) -> CountryFile:
        """A country file."""
        return file


@dataclass(frozen=True)
class Deployment:
    """Where to deploy to, and under which names."""

    client: Callable[[str], Any]  # a boto3 client for a service
    prefix: str = "storewatch"
    database: str = "storewatch"
    adapter: Adapter = field(default_factory=Adapter)
    say: Callable[[str], None] = print

    @property
    def lake_stack(self) -> str:
        """The name of the stack that all countries share."""
        return f"{self.prefix}-lake"

    @property
    def analytics_stack(self) -> str:
        """The name of the stack that analysts work with."""
        return f"{self.prefix}-analytics"

    def country_stack(self, country: str) -> str:
        """The name of a country's stack."""
        return f"{self.prefix}-country-{country}"

    def artifact_bucket(self) -> str:
        """The bucket for packaged code, made if it is not there. All prefixes share it: its folders are content."""
        s3 = self.client("s3")
        region = s3.meta.region_name
        account = self.client("sts").get_caller_identity()["Account"]
        bucket = f"storewatch-artifacts-{account}-{region}"
        try:
            s3.head_bucket(Bucket=bucket)
        except ClientError as error:
            if error.response["Error"]["Code"] not in ("404", "NoSuchBucket"):
                raise DeployError(f"bucket {bucket} cannot be used: {error}") from None
            self.say(f"making bucket {bucket} for packaged code")
            elsewhere = {"CreateBucketConfiguration": {"LocationConstraint": region}} if region != "us-east-1" else {}
            s3.create_bucket(Bucket=bucket, **elsewhere)
        return bucket

    def release(self, binaries: Path, work: Path) -> dict[str, str]:
        """Packs and uploads the functions; the parameters that name them."""
        bucket = self.artifact_bucket()
        zips = packaging.function_zips(binaries, work)
        folder = packaging.upload(self.client("s3"), bucket, "functions", {f"{name}.zip": zips[name] for name in zips})
        size = sum(file.stat().st_size for file in zips.values()) / 1e6
        self.say(f"functions: {folder} in {bucket} ({len(zips)} zips, {size:.0f} MB)")
        return {"ArtifactBucket": bucket, "Release": folder}

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
        """Deploys analytics.yaml into a lake and returns its outputs.

        Analysts may read the countries of `readable`; where it is empty those of before, so that adding a country gives
        them nothing and takes nothing away; the first time, the `countries` that are deployed.
        """
        before = (stacks.outputs(self.client("cloudformation"), self.analytics_stack) or {}).get("AnalystCountries")
        readable = readable or (before.split(",") if before else countries)
        if not readable:
            self.say(f"stack {self.analytics_stack}: not deployed, since there is no country yet that could be read")
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
        """Deploys one country into a lake. Its entry in the registry comes last: it is ticked when all is there."""
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
        """Takes a country out of the registry, so that it is ticked no more, then deletes its stack. Data stays."""
        lake = stacks.outputs(self.client("cloudformation"), self.lake_stack)
        if lake:
            self.client("s3").delete_object(Bucket=lake["LakeBucket"], Key=_registry_key(country))
        gone = stacks.delete_stack(self.client("cloudformation"), self.country_stack(country))
        self.say(f"stack {self.country_stack(country)}: {'deleted' if gone else 'was not there'}; its data is left")

    def undeploy_lake(self) -> None:
        """Deletes the analysts' stack and the lake's; the lake's bucket and what is in it stay, by its DeletionPolicy."""
        made = stacks.outputs(self.client("cloudformation"), self.analytics_stack)
        if made:
            # CloudFormation deletes no bucket that holds something, and results can be had again.
            self._empty(made["ResultsBucket"])
        gone = stacks.delete_stack(self.client("cloudformation"), self.analytics_stack)
        self.say(f"stack {self.analytics_stack}: {'deleted' if gone else 'was not there'}")
        gone = stacks.delete_stack(self.client("cloudformation"), self.lake_stack)
        self.say(f"stack {self.lake_stack}: {'deleted' if gone else 'was not there'}; its bucket is left")

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
        """Where CloudFormation can read a template that is too large for a request."""
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
                # Values go in here and into no parameter, where stack events and the console would show them.
                self.client("secretsmanager").put_secret_value(SecretId=name, SecretString=json.dumps(secrets[kind]))
            else:
                self.say(f"secret {name}: left as it is; put its value in by `aws secretsmanager put-secret-value`")


def _registry_key(country: str) -> str:
    return f"registry/{country}.json"


def main(argv: Sequence[str]) -> int:
    """The command line, for AWS."""
    parser = argparse.ArgumentParser(prog="python -m infra.deploy", description=__doc__.partition("\n")[0])
    parser.add_argument("action", choices=["deploy", "undeploy"])
    parser.add_argument("countries", nargs="*", metavar="COUNTRY", help="codes of country files; none: only the lake")
    parser.add_argument("--prefix", default="storewatch", help="begins every name (%(default)s)")
    parser.add_argument("--database", default="storewatch", help="Glue database (%(default)s)")
    parser.add_argument("--architecture", default="x86_64", choices=["x86_64", "arm64"], help="what was built for")
    parser.add_argument(
        "--binaries", type=Path, default=packaging.ROOT / "target/lambda", help="folder of the functions"
    )
    parser.add_argument("--country-files", type=Path, default=DIRECTORY, help="folder of the country files")
    parser.add_argument("--secrets", type=Path, help="JSON file with the secrets' values, by country")
    parser.add_argument(
        "--analyst-countries",
        nargs="+",
        default=[],
        metavar="COUNTRY",
        help="countries that analysts may read (default: as before; the first time, those that are deployed)",
    )
    parser.add_argument("--email", default="", help="address that alarms are mailed to")
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
