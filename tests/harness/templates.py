"""A template's resources with their references resolved, as CloudFormation would, as far as alarms need it."""

import re
from collections.abc import Mapping
from typing import Any

from samtranslator.yaml_helper import yaml_parse

from infra.deploy import TEMPLATES

PSEUDO = {"AWS::Partition": "aws", "AWS::Region": "us-east-1", "AWS::AccountId": "000000000000"}
# The property that a reference to a resource of this type gives.
_NAMES = {
    "AWS::CloudWatch::Alarm": "AlarmName",
    "AWS::CloudWatch::CompositeAlarm": "AlarmName",
    "AWS::Events::Rule": "Name",
    "AWS::Serverless::Function": "FunctionName",
}
_GONE = object()


class Template:
    """A template with values for its parameters; the others have their defaults."""

    def __init__(self, file: str, values: Mapping[str, str]):
        self._content = yaml_parse((TEMPLATES / file).read_text())
        defaults = {name: entry.get("Default") for name, entry in self._content["Parameters"].items()}
        self._values = {**PSEUDO, **defaults, **values}

    def resources(self, kind: str) -> dict[str, dict[str, Any]]:
        """The properties of every resource of a type, by logical name."""
        found = self._content["Resources"].items()
        return {name: self._resolve(entry["Properties"]) for name, entry in found if entry["Type"] == kind}

    def outputs(self) -> dict[str, Any]:
        """The outputs."""
        return {name: self._resolve(entry["Value"]) for name, entry in self._content["Outputs"].items()}

    def _resolve(self, node: Any) -> Any:
        if isinstance(node, list):
            return [value for value in map(self._resolve, node) if value is not _GONE]
        if not isinstance(node, dict):
            return node
        if len(node) == 1:
            ((function, argument),) = node.items()
            if function == "Ref":
                return self._reference(argument)
            if function.startswith("Fn::") and hasattr(self, name := "_" + function[4:].lower()):
                return getattr(self, name)(argument)
        resolved = {key: self._resolve(value) for key, value in node.items()}
        return {key: value for key, value in resolved.items() if value is not _GONE}

    def _reference(self, name: str) -> Any:
        if name == "AWS::NoValue":
            return _GONE
        if name in self._values:
            return self._values[name]
        resource = self._content["Resources"][name]
        if resource["Type"] == "AWS::Serverless::StateMachine":
            machine = self._resolve(resource["Properties"]["Name"])
            return self._sub("arn:${AWS::Partition}:states:${AWS::Region}:${AWS::AccountId}:stateMachine:") + machine
        return self._resolve(resource["Properties"][_NAMES[resource["Type"]]]) if resource["Type"] in _NAMES else name

    def _sub(self, text: str) -> str:
        text = re.sub(r"\$\{([^!}]+)\}", lambda match: str(self._reference(match[1])), text)
        return text.replace("${!", "${")

    def _getatt(self, path: str | list[str]) -> str:
        name, attribute = path.split(".") if isinstance(path, str) else path
        found = self._content["Resources"][name]["Properties"].get(attribute)
        return self._resolve(found) if found else f"{name}.{attribute}"

    def _if(self, argument: list[Any]) -> Any:
        condition, yes, no = argument
        return self._resolve(yes if self._holds(self._content["Conditions"][condition]) else no)

    def _holds(self, condition: dict[str, Any]) -> bool:
        ((function, argument),) = condition.items()
        if function == "Fn::Not":
            return not self._holds(argument[0])
        assert function == "Fn::Equals", function
        left, right = map(self._resolve, argument)
        return bool(left == right)
