"""Deployments can be repeated: after a change, after a failure, and after one that was ended half-way."""

import contextlib
import itertools
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import pytest
from botocore.exceptions import ClientError
from samtranslator.yaml_helper import yaml_parse

from infra import __main__ as command
from infra import buckets, change_sets, etl, stacks
from infra.deploy import TEMPLATES
from infra.errors import DeployError
from infra.local.config import Stack
from infra.packaging import FUNCTIONS, ROOT
from tests.harness.deployer import Deployer


def test_a_deployment_keeps_what_it_is_not_told(deployer: Deployer) -> None:
    given = {"LookAgainSeconds": "30", "LogRetentionDays": "7", "ResultDays": "3", "RuleState": "DISABLED"}
    deployer.deploy({"AlertEmail": "oncall@company.example"}, parameters=given, tags={"cost-center": "7"})
    before = {name: deployer.parameters(name) for name in ("lake", "analytics", "country-es")}
    assert before["lake"]["AlertEmail"] == "oncall@company.example" and before["lake"]["RuleState"] == "DISABLED"
    assert before["lake"]["LogRetentionDays"] == before["country-es"]["LogRetentionDays"] == "7"
    assert (before["country-es"]["LookAgainSeconds"], before["analytics"]["ResultDays"]) == ("30", "3")
    deployer.deploy()
    assert {name: deployer.parameters(name) for name in before} == before
    tags = {tag["Key"]: tag["Value"] for tag in deployer.described("country-es")["Tags"]}
    assert tags["cost-center"] == "7"


def test_every_stack_and_its_resources_are_tagged_for_their_costs(deployer: Deployer) -> None:
    deployer.deploy(tags={"cost-center": "7"})
    version = deployer.parameters("country-es")["Version"]
    own = {"storewatch:deployment": deployer.prefix, "storewatch:version": version, "cost-center": "7"}
    for name, more in (("lake", {}), ("analytics", {}), ("country-es", {"storewatch:country": "es"})):
        tags = {tag["Key"]: tag["Value"] for tag in deployer.described(name)["Tags"]}
        assert tags == {**own, **more}
    function = deployer.stack.aws.client("lambda").get_function(FunctionName=f"{deployer.prefix}-es-plan")
    assert {**own, "storewatch:country": "es"}.items() <= function["Tags"].items()


def test_a_trial_shows_the_changes_and_makes_none(deployer: Deployer) -> None:
    deployer.deploy(is_trial=True)
    assert deployer.names() == []
    for name in ("lake", "analytics", "country-es"):
        assert any(line.startswith(f"stack {deployer.prefix}-{name}: new, with ") for line in deployer.said), name
    deployer.deploy()
    proposed = deployer.change_sets("lake")
    before, deployer.said[:] = deployer.parameters("lake"), []
    deployer.deploy(is_trial=True, parameters={"LogRetentionDays": "14"})
    assert any(line.startswith("  ~ DispatchLog (AWS::Logs::LogGroup)") for line in deployer.said)
    assert f"stack {deployer.prefix}-analytics: no change" in deployer.said
    assert deployer.parameters("lake") == before
    assert deployer.change_sets("lake") == proposed


def test_the_bucket_that_an_undeploy_left_is_taken_over(deployer: Deployer) -> None:
    bucket = deployer.deploy()["LakeBucket"]
    deployer.s3.put_object(Bucket=bucket, Key="store_availability/kept", Body=b"rows")
    deployer.deployment().undeploy_country("es")
    deployer.deployment().undeploy_lake()
    assert deployer.names() == []
    assert deployer.deploy()["LakeBucket"] == bucket
    assert deployer.s3.get_object(Bucket=bucket, Key="store_availability/kept")["Body"].read() == b"rows"
    owned = deployer.cloudformation.describe_stack_resource(
        StackName=f"{deployer.prefix}-lake", LogicalResourceId="LakeBucket"
    )
    assert owned["StackResourceDetail"]["PhysicalResourceId"] == bucket


def test_a_creation_that_failed_half_way_is_followed_by_one_that_works(deployer: Deployer) -> None:
    """A database of the same name makes the lake's creation fail, after its bucket was made."""
    glue, name = deployer.stack.aws.client("glue"), deployer.deployment().database
    glue.create_database(DatabaseInput={"Name": name})
    with pytest.raises(DeployError, match=r"(?s)is ROLLBACK_COMPLETE.*CatalogDatabase"):
        deployer.deploy()
    assert not buckets.exists(deployer.s3, deployer.deployment().lake_bucket)
    glue.delete_database(Name=name)
    deployer.deploy()
    assert deployer.described("lake")["StackStatus"] == "CREATE_COMPLETE"


class Ended(Exception):
    """Stands for the death of the deploying process."""


@dataclass
class Ending:
    """A client that ends the deployment at one of the calls that change something, before or after the call."""

    client: Any
    calls: list[str]
    end_at: int
    is_before: bool

    def __getattr__(self, name: str) -> Any:
        """The client's attribute. Calls that change something count."""
        found = getattr(self.client, name)
        if not name.startswith(("create_", "execute_", "update_", "put_")):
            return found

        def call(**request: Any) -> Any:
            self.calls.append(name)
            if len(self.calls) == self.end_at and self.is_before:
                raise Ended
            answer = found(**request)
            if len(self.calls) == self.end_at:
                raise Ended
            return answer

        return call


def ending(stack: Stack, end_at: int, *, is_before: bool) -> tuple[Callable[[str], Any], list[str]]:
    """Makes clients that end the deployment, and the calls that they count together."""
    calls: list[str] = []
    return lambda service: Ending(stack.aws.client(service), calls, end_at, is_before), calls


def test_a_deployment_goes_on_wherever_the_last_one_was_ended(deployer: Deployer) -> None:
    """Each deployment ends one call later than the last one, before the call or after it, until one is whole."""
    ended_at = set()
    for number in itertools.count(1):
        for is_before in (True, False):
            client, calls = ending(deployer.stack, number, is_before=is_before)
            with contextlib.suppress(Ended):
                deployer.deploy(client=client)
            ended_at.add(calls[-1])
        if len(calls) < number:
            break
    assert {"create_change_set", "execute_change_set", "update_termination_protection", "put_object"} <= ended_at
    for name in ("lake", "analytics", "country-es"):
        assert deployer.described(name)["StackStatus"] == "CREATE_COMPLETE"
    assert deployer.deployment().registered() == ["es"]


def test_deployments_under_one_prefix_stand_side_by_side_in_two_regions(deployer: Deployer) -> None:
    first = deployer.deploy()
    elsewhere = replace(deployer, stack=replace(deployer.stack, aws=replace(deployer.stack.aws, region="us-east-1")))
    try:
        second = elsewhere.deploy()
        assert (first["LakeBucket"], second["LakeBucket"]) == (
            f"{deployer.prefix}-lake-000000000000-eu-west-1",
            f"{deployer.prefix}-lake-000000000000-us-east-1",
        )
        assert elsewhere.names() == deployer.names() != []
    finally:
        elsewhere.remove()


def test_no_stack_is_deleted_by_mistake(deployer: Deployer) -> None:
    deployer.deploy()
    for name in deployer.names():
        with pytest.raises(ClientError, match="TerminationProtection"):
            deployer.cloudformation.delete_stack(StackName=name)


def test_the_lake_is_not_removed_under_its_countries_nor_without_its_name(
    deployer: Deployer, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in deployer.stack.aws.environment().items():
        monkeypatch.setenv(name, value)
    deployer.deploy()
    remove = ["undeploy-lake", "--prefix", deployer.prefix, "--confirm"]
    assert command.main([*remove, deployer.prefix]) == 1
    assert "es still tick" in capsys.readouterr().err
    assert command.main(["undeploy", "es", "--prefix", deployer.prefix]) == 0
    assert command.main([*remove, "storewatch"]) == 1
    assert "nothing was removed" in capsys.readouterr().err
    assert deployer.names() == [f"{deployer.prefix}-{name}" for name in ("analytics", "lake")]
    assert command.main([*remove, deployer.prefix]) == 0
    assert deployer.names() == []


@pytest.mark.parametrize("arguments", [[], ["COUNTRIES="], ["COUNTRIES= "]])
def test_undeploying_no_country_removes_nothing(arguments: list[str]) -> None:
    made = subprocess.run(["make", "undeploy", *arguments], check=False, cwd=ROOT, capture_output=True, text=True)
    assert made.returncode == 2 and "name the countries" in made.stderr
    with pytest.raises(SystemExit):
        command.main(["undeploy"])


def test_a_parameter_that_no_template_has_is_refused_before_anything_is_made(deployer: Deployer) -> None:
    with pytest.raises(DeployError, match="no template has the parameter LookAgain; there are .*LookAgainSeconds"):
        deployer.deployment(parameters={"LookAgain": "30"}).check_parameters()
    with pytest.raises(DeployError, match="no template has the parameter Prefix"):
        deployer.deployment(parameters={"Prefix": "other"}).check_parameters()


@pytest.fixture
def network(deployer: Deployer) -> Iterator[dict[str, str]]:
    """What network.yaml makes in a VPC with two subnets, as parameters of a country."""
    ec2, name = deployer.stack.aws.client("ec2"), f"{deployer.prefix}-network"
    vpc = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    subnets = [ec2.create_subnet(VpcId=vpc, CidrBlock=f"10.0.{number}.0/24")["Subnet"]["SubnetId"] for number in (0, 1)]
    table = ec2.create_route_table(VpcId=vpc)["RouteTable"]["RouteTableId"]
    given = {"Prefix": deployer.prefix, "VpcId": vpc, "SubnetIds": ",".join(subnets), "RouteTableIds": table}
    wanted = change_sets.Wanted(name, (TEMPLATES / "network.yaml").read_text(), given)
    try:
        made = stacks.outputs_of(change_sets.deploy_stack(deployer.cloudformation, wanted, str, print))
        yield {"SubnetIds": made["SubnetIds"], "SecurityGroupIds": made["SecurityGroupIds"]}
    finally:
        deployer.remove()
        stacks.delete_stack(deployer.cloudformation, name)
        for subnet in subnets:
            ec2.delete_subnet(SubnetId=subnet)
        ec2.delete_route_table(RouteTableId=table)
        ec2.delete_vpc(VpcId=vpc)


def test_only_the_functions_that_read_the_sources_are_put_into_the_vpc(
    deployer: Deployer, network: dict[str, str]
) -> None:
    """Their roles are those of the stack. The local CloudFormation drops VpcConfig, so it is read in the template."""
    deployer.deploy(parameters=network)
    deployer.deploy()
    assert network.items() <= deployer.parameters("country-es").items()
    lambdas, iam = deployer.stack.aws.client("lambda"), deployer.stack.aws.client("iam")
    attached = set()
    for name in FUNCTIONS:
        function = f"{deployer.prefix}-{name if name == 'dispatch' else f'es-{name}'}"
        role = lambdas.get_function_configuration(FunctionName=function)["Role"].rpartition("/")[2]
        policies = iam.list_attached_role_policies(RoleName=role)["AttachedPolicies"]
        if any("NetworkPolicy" in policy["PolicyArn"] for policy in policies):
            attached.add(name.capitalize())
    made = deployer.cloudformation.get_template(StackName=f"{deployer.prefix}-country-es", TemplateStage="Processed")
    inside = {
        name: found["Properties"]["VpcConfig"]
        for name, found in made["TemplateBody"]["Resources"].items()
        if "VpcConfig" in found["Properties"]
    }
    assert attached == set(inside) == {"Plan", "Observe", "Restate"}
    chosen = {"SubnetIds": {"Ref": "SubnetIds"}, "SecurityGroupIds": {"Ref": "SecurityGroupIds"}}
    for config in inside.values():
        assert config == {"Fn::If": ["IsInVpc", chosen, {"Ref": "AWS::NoValue"}]}
    ec2 = deployer.stack.aws.client("ec2")
    endpoints = ec2.describe_vpc_endpoints()["VpcEndpoints"]
    subnet = network["SubnetIds"].partition(",")[0]
    vpc = ec2.describe_subnets(SubnetIds=[subnet])["Subnets"][0]["VpcId"]
    assert sorted(one["ServiceName"].rpartition(".")[2] for one in endpoints if one["VpcId"] == vpc) == [
        "glue",
        "s3",
        "secretsmanager",
    ]


def test_subnets_without_security_groups_are_refused(deployer: Deployer) -> None:
    with pytest.raises(DeployError, match="SubnetIds and SecurityGroupIds belong together"):
        deployer.deployment(parameters={"SubnetIds": "subnet-1"}).check_parameters()


@pytest.mark.parametrize(
    "template",
    [
        "lake.yaml",
        "analytics.yaml",
        "country.yaml",
        "workbench.yaml",
        *(f"etls/{name}/country.yaml" for name in etl.NAMES),
    ],
)
def test_every_role_has_the_permissions_boundary(template: str) -> None:
    """Tests the template: the local CloudFormation drops the boundary of a role."""
    content = yaml_parse((TEMPLATES / template).read_text())
    roles = [found for found in content["Resources"].values() if found["Type"] == "AWS::IAM::Role"]
    assert roles
    for role in roles:
        chosen = ["HasBoundary", {"Ref": "PermissionsBoundary"}, {"Ref": "AWS::NoValue"}]
        assert role["Properties"]["PermissionsBoundary"] == {"Fn::If": chosen}
    # SAM makes a role for a function or state machine that names none.
    served = [found for found in content["Resources"].values() if found["Type"].startswith("AWS::Serverless::")]
    assert all("Role" in found["Properties"] for found in served)


def test_every_s3_request_names_the_owner_of_the_bucket(deployer: Deployer) -> None:
    """The local S3 ignores the name. AWS refuses a bucket of another account."""
    sent: list[tuple[str, str | None]] = []

    def client(service: str) -> Any:
        made = deployer.stack.aws.client(service)
        if service == "s3":
            made.meta.events.register(
                "before-send.s3",
                lambda request, **_: sent.append((request.url, request.headers.get("x-amz-expected-bucket-owner"))),
            )
        return made

    deployer.deploy(client=client)
    assert len(sent) > 20
    assert [url for url, owner in sent if owner not in ("000000000000", b"000000000000")] == []
