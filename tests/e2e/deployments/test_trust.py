"""Roles of services trust them only on behalf of this account, and of the very machine or rule."""

import pytest
from samtranslator.yaml_helper import yaml_parse

from infra.deploy import TEMPLATES

# Whose ARN may use the role, and what begins the name of the resource that does.
TRUSTED = {
    "lake.yaml": {
        "TickRole": "stateMachine:${Prefix}-tick*",
        "DailyRole": "stateMachine:${Prefix}-daily*",
        "RuleRole": "rule/${Prefix}-tick",
        "DailyRuleRole": "rule/${Prefix}-daily",
    },
    "country.yaml": {
        "CountryRole": "stateMachine:${Prefix}-country-${Country}*",
        "CountryDailyRole": "stateMachine:${Prefix}-country-${Country}-daily*",
    },
    "workbench.yaml": {
        "BackupRole": "stateMachine:${Prefix}-workbench-backup*",
        "BackupRuleRole": "rule/${Prefix}-workbench-backup",
    },
}


@pytest.mark.parametrize("template", TRUSTED)
def test_services_use_a_role_only_for_its_own_machine_or_rule(template: str) -> None:
    resources = yaml_parse((TEMPLATES / template).read_text())["Resources"]
    found = {}
    for name, resource in resources.items():
        if resource["Type"] != "AWS::IAM::Role":
            continue
        (statement,) = resource["Properties"]["AssumeRolePolicyDocument"]["Statement"]
        # Lambda names no function when it uses a role, and people take on the admin's.
        if statement["Principal"].get("Service", "lambda.amazonaws.com") == "lambda.amazonaws.com":
            continue
        condition = statement["Condition"]
        assert condition["StringEquals"] == {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}
        found[name] = condition["ArnLike"]["aws:SourceArn"]["Fn::Sub"].partition("${AWS::AccountId}:")[2]
    assert found == TRUSTED[template]


@pytest.mark.parametrize(
    ("template", "role", "machine"),
    [
        ("lake.yaml", "TickRole", "TickMachine"),
        ("lake.yaml", "DailyRole", "DailyMachine"),
        ("country.yaml", "CountryRole", "CountryMachine"),
        ("country.yaml", "CountryDailyRole", "CountryDailyMachine"),
        ("workbench.yaml", "BackupRole", "BackupMachine"),
    ],
)
def test_the_trusted_name_is_that_of_the_machine(template: str, role: str, machine: str) -> None:
    resources = yaml_parse((TEMPLATES / template).read_text())["Resources"]
    trust = resources[role]["Properties"]["AssumeRolePolicyDocument"]["Statement"][0]["Condition"]["ArnLike"]
    name = resources[machine]["Properties"]["Name"]["Fn::Sub"]
    assert trust["aws:SourceArn"]["Fn::Sub"].endswith(f":stateMachine:{name}*")
    assert resources[machine]["Properties"]["Role"]["Fn::GetAtt"][0] == role
