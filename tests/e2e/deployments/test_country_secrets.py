"""A deployment makes a country's secrets, finds those of others by ARN, and never deletes one at once."""

import json
import time
import uuid
from dataclasses import replace
from typing import Any

import pytest

from infra import stacks
from infra.country_file import CountryFile
from infra.errors import DeployError
from tests.harness.deployer import SECRETS, Deployer
from tests.harness.deployment import Deployed
from tests.harness.rights import allowed, session_of

LOGIN = {"username": "reader", "password": "p"}
# A stack as releases before made it: it owns the secrets, and nothing says that they should stay.
OLD_STACK = """Resources:
  PostgresSecret:
    Type: AWS::SecretsManager::Secret
    Properties:
      Name: {prefix}/es/postgres
  ElasticsearchSecret:
    Type: AWS::SecretsManager::Secret
    Properties:
      Name: {prefix}/es/elasticsearch
"""


def manager(deployer: Deployer) -> Any:
    """Secrets Manager as root."""
    return deployer.stack.aws.client("secretsmanager")


def value(deployer: Deployer, name: str) -> Any:
    """A secret's value."""
    return json.loads(manager(deployer).get_secret_value(SecretId=name)["SecretString"])


def naming(first: str, second: str | None = None) -> CountryFile:
    """The file of es with another secret in each section."""
    file = CountryFile.load("es")
    text = file.text.replace('secret = "storewatch/es"', f'secret = "{first}"', 1)
    return replace(file, text=text.replace('secret = "storewatch/es"', f'secret = "{second or first}"', 1))


TWO = naming("storewatch/es/postgres", "storewatch/es/elasticsearch")


def test_a_country_without_values_is_not_registered(deployer: Deployer) -> None:
    deployer.deploy(logins=None)
    name = f"{deployer.prefix}/es"
    assert deployer.described("country-es")["StackStatus"] == "CREATE_COMPLETE"
    assert deployer.deployment().registered() == []
    assert [text for text in deployer.said if f"--secret-id {name} " in text and "is not ticked yet" in text]
    manager(deployer).put_secret_value(SecretId=name, SecretString=json.dumps(SECRETS))
    deployer.deploy(logins=None)
    assert deployer.deployment().registered() == ["es"]
    assert value(deployer, name) == SECRETS


def test_a_country_that_ticks_is_not_given_a_secret_without_a_value(deployer: Deployer) -> None:
    deployer.deploy()
    before = deployer.parameters("country-es")
    with pytest.raises(DeployError, match="es keeps ticking .*es/elasticsearch has no value"):
        deployer.deploy(file=TWO, logins=None)
    assert deployer.parameters("country-es") == before
    assert deployer.deployment().registered() == ["es"]
    deployer.deploy(file=TWO)
    assert value(deployer, f"{deployer.prefix}/es/postgres") == SECRETS["postgres"]
    assert deployer.parameters("country-es")["PostgresSecret"] != before["PostgresSecret"]


def test_one_secret_holds_both_logins_and_is_never_written_in_part(deployer: Deployer) -> None:
    deployer.deploy()
    assert value(deployer, f"{deployer.prefix}/es") == SECRETS
    with pytest.raises(DeployError, match="has no elasticsearch for es: give both"):
        deployer.deploy(logins={"postgres": LOGIN})
    assert value(deployer, f"{deployer.prefix}/es") == SECRETS


def test_a_removed_country_s_secret_has_its_recovery_window_and_is_taken_back(deployer: Deployer) -> None:
    deployer.deploy()
    name = f"{deployer.prefix}/es"
    deployer.deployment().undeploy_country("es")
    left = manager(deployer).describe_secret(SecretId=name)["DeletedDate"].timestamp() - time.time()
    assert 29.9 < left / 86_400 <= 30
    # Removing what is removed changes nothing.
    deployer.deployment().undeploy_country("es")
    deployer.deploy(logins=None)
    assert value(deployer, name) == SECRETS
    assert deployer.deployment().registered() == ["es"]


def test_a_trial_makes_no_secret(deployer: Deployer) -> None:
    deployer.deploy(is_trial=True)
    assert any(text.startswith(f"stack {deployer.prefix}-country-es: new") for text in deployer.said)
    with pytest.raises(manager(deployer).exceptions.ResourceNotFoundException):
        manager(deployer).describe_secret(SecretId=f"{deployer.prefix}/es")


def test_somebody_else_s_secret_is_read_by_its_arn_and_with_its_key(deployer: Deployer) -> None:
    """Encrypted with a key of the account, as a secret that Amazon RDS manages and rotates can be."""
    kms, secrets = deployer.stack.aws.client("kms"), manager(deployer)
    key, alias = kms.create_key()["KeyMetadata"], f"alias/{deployer.prefix}"
    kms.create_alias(AliasName=alias, TargetKeyId=key["KeyId"])
    name = f"rds!cluster-{uuid.uuid4()}"
    arn = secrets.create_secret(Name=name, SecretString=json.dumps(LOGIN), KmsKeyId=alias)["ARN"]
    file = naming(arn, "storewatch/es/elasticsearch")
    with pytest.raises(DeployError, match="not the deployment's own secret, so it gets no value here"):
        deployer.deploy(file=file)
    lake = deployer.deploy(file=file, logins={"elasticsearch": LOGIN})
    assert deployer.deployment().registered() == ["es"]
    parameters = deployer.parameters("country-es")
    assert (parameters["PostgresSecret"], parameters["PostgresSecretKey"]) == (arn, key["Arn"])
    assert parameters["ElasticsearchSecretKey"] == ""
    deployed = Deployed(deployer.stack, deployer.prefix, "", "", lake["LakeBucket"])
    for function in ("plan", "restate", "observe", "merge"):
        session, right = session_of(deployed, f"es-{function}"), function in ("plan", "restate")
        assert allowed(session, deployed, "secretsmanager", "get_secret_value", SecretId=arn) == right, function
    assert _decrypting(deployer, "plan") == [
        {
            "Effect": "Allow",
            "Action": "kms:Decrypt",
            "Resource": key["Arn"],
            "Condition": {
                "StringEquals": {"kms:ViaService": f"secretsmanager.{deployer.stack.aws.region}.amazonaws.com"}
            },
        }
    ]
    assert _decrypting(deployer, "observe") == []
    deployer.deployment().undeploy_country("es")
    assert "DeletedDate" not in secrets.describe_secret(SecretId=arn)
    assert "DeletedDate" in secrets.describe_secret(SecretId=f"{deployer.prefix}/es/elasticsearch")
    secrets.delete_secret(SecretId=arn, ForceDeleteWithoutRecovery=True)


def _decrypting(deployer: Deployer, function: str) -> list[Any]:
    """The statements on keys in a function's role."""
    iam = deployer.stack.aws.client("iam")
    role = (
        deployer.stack.aws.client("lambda")
        .get_function_configuration(FunctionName=f"{deployer.prefix}-es-{function}")["Role"]
        .rpartition("/")[2]
    )
    policy = iam.get_role_policy(RoleName=role, PolicyName=function)["PolicyDocument"]
    return [one for one in policy["Statement"] if str(one["Action"]).startswith("kms:")]


def test_a_secret_that_is_not_there_is_refused_before_anything_is_written(deployer: Deployer) -> None:
    region = deployer.stack.aws.region
    arn = f"arn:aws:secretsmanager:{region}:000000000000:secret:nobody-abcdef"
    with pytest.raises(DeployError, match=f"there is no secret {arn}"):
        deployer.deploy(file=naming(arn), logins=None)
    assert f"{deployer.prefix}-country-es" not in deployer.names()


@pytest.mark.parametrize("name", ["prod/database", "storewatch/es/live_view", "storewatch/mx", "arn:aws:s3:::bucket"])
def test_a_name_that_is_not_the_deployment_s_own_is_refused(name: str) -> None:
    with pytest.raises(DeployError, match='must be "storewatch/es", "storewatch/es/postgres", or the ARN'):
        naming(name).check_secrets("storewatch")


@pytest.mark.parametrize("is_removed", [False, True])
def test_a_stack_that_made_its_secrets_leaves_them(deployer: Deployer, is_removed: bool) -> None:
    name = f"{deployer.prefix}-country-es"
    deployer.release(deployer.deployment())
    tags = [{"Key": "storewatch:deployment", "Value": deployer.prefix}]
    deployer.cloudformation.create_stack(
        StackName=name, TemplateBody=OLD_STACK.format(prefix=deployer.prefix), Tags=tags
    )
    stacks.settled(deployer.cloudformation, name)
    for login, given in SECRETS.items():
        secret = f"{deployer.prefix}/es/{login}"
        manager(deployer).put_secret_value(SecretId=secret, SecretString=json.dumps(given))
    if is_removed:
        deployer.deployment().undeploy_country("es")
        assert deployer.names() == []
        manager(deployer).restore_secret(SecretId=f"{deployer.prefix}/es/postgres")
    else:
        deployer.deploy(file=TWO, logins=None)
        assert deployer.deployment().registered() == ["es"]
    assert value(deployer, f"{deployer.prefix}/es/postgres") == SECRETS["postgres"]
