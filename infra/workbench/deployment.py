"""Deploys the workbench's part on AWS beside the lake: infra/workbench.yaml, and the secrets with its logins to raw sources."""

from collections.abc import Mapping, Sequence

from infra import packaging, stacks
from infra.country_secrets import Logins, Secrets
from infra.deploy import Deployment
from infra.errors import DeployError


def stack_of(deployment: Deployment) -> str:
    """The name of its stack."""
    return f"{deployment.prefix}-workbench"


def is_deployed(deployment: Deployment) -> bool:
    """Whether there is one, which later deployments then bring up to date."""
    return stacks.outputs(deployment.client("cloudformation"), stack_of(deployment)) is not None


def deploy(
    deployment: Deployment,
    lake: Mapping[str, str],
    countries: Sequence[str],
    logins: Mapping[str, Logins] | None = None,
    parameters: Mapping[str, str] | None = None,
) -> dict[str, str]:
    """Deploys it on top of a lake and returns its outputs. The countries get a secret each, empty but for `logins`."""
    place = deployment.place
    if lake.get("LakeAccount", place.account) != place.account:
        raise DeployError(f"the workbench asks the lake: deploy it in the lake's account, {lake['LakeAccount']}")
    analysts = stacks.outputs(deployment.client("cloudformation"), deployment.analytics_stack)
    if not analysts and not deployment.is_trial:
        raise DeployError(f"the workbench needs the stack {deployment.analytics_stack}: deploy a country first")
    role = f"arn:{place.partition}:iam::{place.account}:role/{deployment.prefix}-analysts-{place.region}"
    machines = packaging.definitions(packaging.WORKBENCH_MACHINES)
    values = {
        "Prefix": deployment.prefix,
        "ArtifactBucket": deployment.artifact_bucket,
        "Definitions": packaging.upload(deployment.s3, deployment.artifact_bucket, "statemachine", machines),
        "AlertsTopic": lake["AlertsTopic"],
        "AnalystsRole": (analysts or {}).get("AnalystsRole", role),
        "KmsKeyArn": lake.get("KmsKeyArn", ""),
        "MetricsNamespace": deployment.metrics_namespace,
        **(parameters or {}),
    }
    made = deployment.deploy_template(stack_of(deployment), "workbench.yaml", values)
    if not deployment.is_trial:
        held = Secrets(deployment.client, deployment.prefix, deployment.say)
        for country in countries:
            held.provide_workbench(country, (logins or {}).get(country), deployment.tags_of(country))
    return made


def undeploy(deployment: Deployment) -> None:
    """Deletes its stack. The bucket with its backups stays (DeletionPolicy)."""
    gone = stacks.delete_stack(deployment.client("cloudformation"), stack_of(deployment), deployment.role)
    if gone:
        deployment.say(f"stack {stack_of(deployment)}: deleted; its bucket stays")
