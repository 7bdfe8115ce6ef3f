"""What the workbench has on AWS: a bucket that loses nothing, rights for what its hub does and no more, a daily look at the
backup, and alarms."""

import json
import uuid
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from samtranslator.yaml_helper import yaml_parse

from infra import __main__ as command
from infra import stacks
from infra.country_secrets import workbench_name
from infra.deploy import TEMPLATES
from infra.errors import DeployError
from infra.local.checks import links
from infra.local.commands.deploy import deploy_workbench
from infra.local.config import Stack
from infra.local.errors import StackError
from infra.packaging import ROOT
from infra.workbench import deployment as workbench
from infra.workbench.hub import sources
from tests.harness.cloudwatch import CloudWatch, metric_of, rule_holds
from tests.harness.deployer import Deployer
from tests.harness.deployment import Deployed
from tests.harness.rights import Call, allows, statements_of
from tests.harness.templates import Template

PREFIX = "p"
HOUR = 3600
LOGIN = {"postgres": {"username": "w", "password": "p"}}


class Desk:
    """A deployed workbench, and the role of its machine."""

    def __init__(self, deployer: Deployer):
        deployment = deployer.deployment()
        lake = deployer.deploy({"RuleState": "DISABLED"})
        self.deployer, self.stack, self.prefix = deployer, deployer.stack, deployer.prefix
        self.lake, self.topic = lake["LakeBucket"], lake["AlertsTopic"]
        self.made = workbench.deploy(deployment, lake, ["es"], {"es": LOGIN}, {"RuleState": "DISABLED"})
        self.bucket = self.made["WorkbenchBucket"]
        self.deployed = Deployed(self.stack, self.prefix, deployment.database, deployment.metrics_namespace, self.lake)

        iam, name = self.stack.aws.client("iam"), f"{self.prefix}-machine"
        trust = {"Effect": "Allow", "Principal": {"AWS": "arn:aws:iam::000000000000:root"}, "Action": "sts:AssumeRole"}
        document = json.dumps({"Version": "2012-10-17", "Statement": [trust]})
        self.role = iam.create_role(RoleName=name, AssumeRolePolicyDocument=document)["Role"]["Arn"]
        iam.attach_role_policy(RoleName=name, PolicyArn=self.made["WorkbenchPolicy"])

    def session(self) -> boto3.session.Session:
        """With the rights of a machine whose role has the managed policy."""
        given = self.stack.aws.client("sts").assume_role(RoleArn=self.role, RoleSessionName="hub")["Credentials"]
        return boto3.session.Session(
            given["AccessKeyId"], given["SecretAccessKey"], given["SessionToken"], region_name=self.stack.aws.region
        )

    def remove(self) -> None:
        """Removes all of it."""
        iam, name = self.stack.aws.client("iam"), f"{self.prefix}-machine"
        iam.detach_role_policy(RoleName=name, PolicyArn=self.made["WorkbenchPolicy"])
        iam.delete_role(RoleName=name)
        self.deployer.remove()


@pytest.fixture(scope="module")
def desk(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    """One for all tests."""
    made = Desk(Deployer(stack, f"desk-{uuid.uuid4().hex[:6]}", tmp_path_factory.mktemp("desk")))
    try:
        yield made
    finally:
        made.remove()


@pytest.fixture(scope="module")
def hub(desk: Desk) -> boto3.session.Session:
    """The rights of the machine."""
    return desk.session()


def may(desk: Desk, session: boto3.session.Session, service: str, operation: str, **request: Any) -> bool:
    """Whether a call is allowed, even if it then fails."""
    client = session.client(service, endpoint_url=desk.stack.aws.endpoint)
    try:
        getattr(client, operation)(**request)
    except ClientError as error:
        if error.response["Error"]["Code"] in ("AccessDenied", "AccessDeniedException", "403"):
            return False
        raise
    return True


def test_the_hub_saves_finds_and_restores_and_deletes_no_version(desk: Desk, hub: boto3.session.Session) -> None:
    s3, place = (
        hub.client("s3", endpoint_url=desk.stack.aws.endpoint),
        {"Bucket": desk.bucket, "Key": "homes/ana/a.ipynb"},
    )
    first = s3.put_object(**place, Body=b"first")["VersionId"]
    s3.put_object(**place, Body=b"second")
    s3.delete_object(**place)
    assert s3.list_objects_v2(Bucket=desk.bucket, Prefix="homes/ana/")["KeyCount"] == 0
    found = s3.list_object_versions(Bucket=desk.bucket, Prefix="homes/ana/")
    assert len(found["Versions"]) == 2 and len(found["DeleteMarkers"]) == 1
    assert s3.get_object(**place, VersionId=first)["Body"].read() == b"first"
    assert not may(desk, hub, "s3", "delete_object", **place, VersionId=first)
    assert s3.put_object(Bucket=desk.bucket, Key="runs/ana/x/1/claim-1.json", Body=b"{}", IfNoneMatch="*")
    with pytest.raises(ClientError, match="PreconditionFailed"):
        s3.put_object(Bucket=desk.bucket, Key="runs/ana/x/1/claim-1.json", Body=b"{}", IfNoneMatch="*")


def test_the_hub_changes_neither_the_bucket_nor_the_lake(desk: Desk, hub: boto3.session.Session) -> None:
    off = {"VersioningConfiguration": {"Status": "Suspended"}}
    assert not may(desk, hub, "s3", "put_bucket_versioning", Bucket=desk.bucket, **off)
    assert not may(desk, hub, "s3", "delete_bucket_policy", Bucket=desk.bucket)
    assert not may(desk, hub, "s3", "delete_bucket", Bucket=desk.bucket)
    assert not may(desk, hub, "s3", "list_objects_v2", Bucket=desk.lake)
    for operation, more in (("get_object", {}), ("put_object", {"Body": b""})):
        assert not may(desk, hub, "s3", operation, Bucket=desk.lake, Key="registry/es.json", **more)
    assert not may(desk, hub, "glue", "get_tables", DatabaseName=desk.deployed.database)


def test_the_hub_takes_on_the_analysts_role_and_no_other(desk: Desk, hub: boto3.session.Session) -> None:
    sts = hub.client("sts", endpoint_url=desk.stack.aws.endpoint)
    taken = sts.assume_role(RoleArn=desk.made["AnalystsRole"], RoleSessionName="ana", DurationSeconds=3600)
    assert taken["AssumedRoleUser"]["Arn"].endswith(f"{desk.prefix}-analysts-{desk.stack.aws.region}/ana")
    lake = stacks.outputs(desk.deployer.cloudformation, f"{desk.prefix}-lake")
    assert lake
    assert not may(desk, hub, "sts", "assume_role", RoleArn=lake["AdminRole"], RoleSessionName="ana")


def test_the_hub_reads_the_workbench_s_logins_and_no_secret_of_the_functions(
    desk: Desk, hub: boto3.session.Session
) -> None:
    secrets = hub.client("secretsmanager", endpoint_url=desk.stack.aws.endpoint)
    assert sources.read_login(secrets, desk.prefix, "es") == LOGIN
    assert not may(desk, hub, "secretsmanager", "get_secret_value", SecretId=f"{desk.prefix}/es")
    name = workbench_name(desk.prefix, "es")
    assert not may(desk, hub, "secretsmanager", "put_secret_value", SecretId=name, SecretString="{}")


def test_the_functions_do_not_read_the_workbench_s_logins(desk: Desk) -> None:
    iam = desk.stack.aws.client("iam")
    arn = f"arn:aws:secretsmanager:{desk.stack.aws.region}:000000000000:secret:{desk.prefix}/workbench/es-abcdef"
    pages = iam.get_paginator("list_roles").paginate()
    roles = [one["RoleName"] for page in pages for one in page["Roles"] if one["RoleName"].startswith(desk.prefix)]
    readers = [role for role in roles if allows(statements_of(iam, role), Call("secretsmanager:GetSecretValue", arn))]
    assert len(roles) > 8
    assert readers == [f"{desk.prefix}-machine"]


def test_the_hub_tells_its_metrics(desk: Desk, hub: boto3.session.Session) -> None:
    """That another namespace is refused: only on AWS, because the local AWS does not know the condition."""
    data = [{"MetricName": name, "Value": 1} for name in ("WorkbenchBackups", "NotebookRunsFailed")]
    namespace = desk.made["MetricsNamespace"]
    assert may(desk, hub, "cloudwatch", "put_metric_data", Namespace=namespace, MetricData=data)
    (statement,) = [one for one in statements() if one["Action"] == "cloudwatch:PutMetricData"]
    assert statement["Condition"] == {"StringEqualsIfExists": {"cloudwatch:namespace": {"Ref": "MetricsNamespace"}}}


def statements() -> list[dict[str, Any]]:
    """Those of the machine's policy, in the template."""
    policy = yaml_parse((TEMPLATES / "workbench.yaml").read_text())["Resources"]["WorkbenchPolicy"]["Properties"]
    return [one for one in policy["PolicyDocument"]["Statement"] if "Effect" in one]


def test_the_daily_look_passes_with_today_s_backup_and_fails_without(desk: Desk) -> None:
    today = datetime.now(UTC).date()
    s3, key = desk.stack.aws.client("s3"), f"backup/{today}.json"
    # An old one, and one that only begins so.
    for other in ("backup/2026-01-01.json", f"backups/{today}.json"):
        s3.put_object(Bucket=desk.bucket, Key=other, Body=b"{}")
    failed = desk.deployed.run_machine("workbench-backup", {})
    assert failed["status"] == "FAILED", failed
    assert (failed["error"], key in failed["cause"], desk.bucket in failed["cause"]) == ("NoBackup", True, True)
    s3.put_object(Bucket=desk.bucket, Key=key, Body=b"{}")
    assert desk.deployed.run_machine("workbench-backup", {})["status"] == "SUCCEEDED"
    assert today == datetime.now(UTC).date()


def test_the_rule_starts_the_daily_look_and_may_nothing_else(desk: Desk) -> None:
    events, iam, name = desk.stack.aws.client("events"), desk.stack.aws.client("iam"), f"{desk.prefix}-workbench-backup"
    rule = events.describe_rule(Name=name)
    assert (rule["ScheduleExpression"], rule["State"]) == ("cron(50 2 * * ? *)", "DISABLED")
    (target,) = events.list_targets_by_rule(Rule=name)["Targets"]
    assert target["Arn"] == desk.made["BackupMachine"]
    allowed = statements_of(iam, target["RoleArn"].rpartition("/")[2])
    assert allowed == [{"Effect": "Allow", "Action": "states:StartExecution", "Resource": target["Arn"]}]


def test_the_daily_look_lists_heartbeats_and_nothing_else(desk: Desk) -> None:
    iam, steps = desk.stack.aws.client("iam"), desk.deployed.step_functions
    role = steps.describe_state_machine(stateMachineArn=desk.made["BackupMachine"])["roleArn"].rpartition("/")[2]
    own = [one for one in statements_of(iam, role) if one["Resource"] != "*"]
    assert own == [
        {
            "Effect": "Allow",
            "Action": "s3:ListBucket",
            "Resource": f"arn:aws:s3:::{desk.bucket}",
            "Condition": {"StringLike": {"s3:prefix": "backup/*"}},
        }
    ]


def test_the_daily_look_logs(desk: Desk) -> None:
    """Read in the stack's template, after SAM's transform: the local CloudFormation drops the setting."""
    made = desk.deployer.cloudformation.get_template(StackName=f"{desk.prefix}-workbench", TemplateStage="Processed")
    machine = made["TemplateBody"]["Resources"]["BackupMachine"]["Properties"]
    (destination,) = machine["LoggingConfiguration"]["Destinations"]
    assert destination["CloudWatchLogsLogGroup"]["LogGroupArn"] == {"Fn::GetAtt": ["MachineLog", "Arn"]}


def test_a_second_deployment_changes_nothing_and_keeps_the_login(desk: Desk) -> None:
    deployment, lake = desk.deployer.deployment(), stacks.outputs(desk.deployer.cloudformation, f"{desk.prefix}-lake")
    assert lake
    desk.deployer.said.clear()
    assert workbench.deploy(deployment, lake, ["es"]) == desk.made
    assert f"stack {desk.prefix}-workbench: no change" in desk.deployer.said
    assert sources.read_login(desk.stack.aws.client("secretsmanager"), desk.prefix, "es") == LOGIN
    tags = {tag["Key"]: tag["Value"] for tag in desk.deployer.described("workbench")["Tags"]}
    assert tags["storewatch:deployment"] == desk.prefix


@pytest.fixture
def template() -> Template:
    """The template: composite alarms are not in the local CloudFormation, and the local CloudWatch takes no silence."""
    return Template("workbench.yaml", {"Prefix": PREFIX, "AlertsTopic": "Alerts", "AnalystsRole": "role"})


def rings(template: Template, alarm: str, at: Sequence[int], hours: int) -> list[int]:
    """The hours at whose end an alarm rings, whose metric is 1 at these seconds."""
    found = template.resources("AWS::CloudWatch::Alarm")[alarm]
    watch = CloudWatch({metric_of(found): [(second, 1.0) for second in at]}, delay=60)
    return [hour for hour in range(hours) if watch.state(found, hour * HOUR) == "ALARM"]


def test_a_day_without_a_backup_rings_and_the_next_backup_ends_it(template: Template) -> None:
    # A pass every ten minutes for ten hours, two days of nothing, and passes again.
    passes = [*range(0, 10 * HOUR, 600), *range(58 * HOUR, 80 * HOUR, 600)]
    ringing = rings(template, "BackupsMissingAlarm", passes, 80)
    after = [hour for hour in ringing if hour >= 30]
    # CloudWatch looks at some older hours before it counts those that are missing.
    assert 34 <= after[0] <= 38 and after[-1] == 58
    assert after == list(range(after[0], 59))


def test_a_daily_look_that_fails_or_stays_away_rings(template: Template) -> None:
    failed = rings(template, "BackupNotFoundAlarm", [3 * HOUR - 600], 60)
    # Until a day has passed, and the few older hours that CloudWatch looks at.
    assert failed[0] == 3 and 28 <= failed[-1] <= 31
    daily = [day * 24 * HOUR + 3 * HOUR - 600 for day in range(4)]
    assert [hour for hour in rings(template, "BackupUncheckedAlarm", daily, 96) if hour >= 30] == []
    away = [hour for hour in rings(template, "BackupUncheckedAlarm", daily[:2], 96) if hour >= 30]
    assert away and 26 + 26 < away[0] <= 26 + 30


def test_a_failed_run_rings_at_once_and_not_for_long(template: Template) -> None:
    ringing = rings(template, "RunsFailedAlarm", [5 * HOUR - 120], 12)
    assert ringing[0] == 5 and ringing[-1] <= 8


def test_alarms_tell_the_topic_once_and_lead_to_their_entries(template: Template) -> None:
    single = {one["AlarmName"]: one for one in template.resources("AWS::CloudWatch::Alarm").values()}
    composite = template.resources("AWS::CloudWatch::CompositeAlarm")["BackupAlarm"]
    telling = [name for name, one in single.items() if "AlarmActions" in one]
    assert telling == [f"{PREFIX}-workbench-runs-failed"]
    for one in (composite, single[telling[0]]):
        assert one["AlarmActions"] == one["OKActions"] == ["Alerts"]
    others = single.keys() - set(telling)
    assert len(others) == 3
    for name in others:
        assert rule_holds(composite["AlarmRule"], {**dict.fromkeys(others, "OK"), name: "ALARM"}), name
    assert not rule_holds(composite["AlarmRule"], dict.fromkeys(others, "OK"))
    page = links.anchors((ROOT / "docs/workbench.md").read_text())
    for one in [composite, *single.values()]:
        short = one["AlarmName"].removeprefix(f"{PREFIX}-")
        assert one["AlarmDescription"].endswith(f": docs/workbench.md#{short}")
        assert short in page
    # Silence is a failure where a backup is waited for.
    missing = {name.rpartition("workbench-")[2]: one["TreatMissingData"] for name, one in single.items()}
    assert missing == {
        "runs-failed": "notBreaching",
        "backups-missing": "breaching",
        "backup-not-found": "notBreaching",
        "backup-unchecked": "breaching",
    }


def test_the_command_line_deploys_it_only_if_asked_and_then_keeps_it(
    stack: Stack, tmp_path_factory: pytest.TempPathFactory
) -> None:
    deployer = Deployer(stack, f"desk-{uuid.uuid4().hex[:6]}", tmp_path_factory.mktemp("asked"))
    parser = command._parser()
    try:
        deployment = deployer.deployment()
        deployer.release(deployment)
        binaries = ["--binaries", str(deployer.folder / "binaries"), "--prefix", deployer.prefix]
        more = ["--database", deployment.database, "--parameter", "RuleState=DISABLED"]
        for asked, expected in ([], False), (["--workbench"], True), ([], True):
            args = parser.parse_args(["deploy", *binaries, *more, *asked])
            args.analyst_countries = ["es"]
            command.deploy(deployment, args)
            assert workbench.is_deployed(deployment) == expected, asked
        bucket = deployment.workbench_bucket
        deployer.s3.put_object(Bucket=bucket, Key="homes/ana/a.ipynb", Body=b"kept")
        command.undeploy_workbench(deployment, parser.parse_args(["undeploy-workbench"]))
        assert f"{deployer.prefix}-workbench" not in deployer.names()
        # The bucket is taken over.
        command.deploy(deployment, parser.parse_args(["deploy", *binaries, *more, "--workbench"]))
        kept = deployer.s3.get_object(Bucket=bucket, Key="homes/ana/a.ipynb")["Body"].read()
        assert kept == b"kept"
    finally:
        deployer.remove()


def test_a_trial_shows_it_and_makes_nothing(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> None:
    deployer = Deployer(stack, f"desk-{uuid.uuid4().hex[:6]}", tmp_path_factory.mktemp("trial"))
    deployment = deployer.deployment(is_trial=True)
    lake = deployment.deploy_lake(deployer.release(deployment))
    workbench.deploy(deployment, lake, ["es"])
    assert any(line.startswith(f"stack {deployer.prefix}-workbench: new, with ") for line in deployer.said)
    assert deployer.names() == []
    assert sources.read_login(stack.aws.client("secretsmanager"), deployer.prefix, "es") == {}


def test_without_a_lake_or_with_one_elsewhere_it_is_refused(
    stack: Stack, tmp_path_factory: pytest.TempPathFactory
) -> None:
    deployer = Deployer(stack, f"desk-{uuid.uuid4().hex[:6]}", tmp_path_factory.mktemp("none"))
    with pytest.raises(DeployError, match="in the lake's account, 444455556666"):
        workbench.deploy(deployer.deployment(), {"LakeAccount": "444455556666"}, ["es"])
    with pytest.raises(DeployError, match="deploy a country first"):
        workbench.deploy(deployer.deployment(), {"AlertsTopic": "arn:aws:sns:eu-west-1:000000000000:x"}, ["es"])
    with pytest.raises(StackError, match="make run"):
        deploy_workbench(stack, deployer.prefix, deployer.folder)
