"""No policy of a template allows more than it names."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from samtranslator.yaml_helper import yaml_parse

from infra.deploy import TEMPLATES

FILES = sorted(TEMPLATES.glob("*.yaml"))


def _statements(node: Any) -> Iterator[dict[str, Any]]:
    """Every statement of a template, wherever it stands."""
    if isinstance(node, list):
        for item in node:
            yield from _statements(item)
    elif isinstance(node, dict):
        if "Effect" in node:
            yield node
        for value in node.values():
            yield from _statements(value)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_allowed_actions_are_named_one_by_one(file: Path) -> None:
    for statement in _statements(yaml_parse(file.read_text())):
        actions = statement["Action"] if isinstance(statement["Action"], list) else [statement["Action"]]
        assert "NotAction" not in statement
        assert statement["Effect"] == "Deny" or not [action for action in actions if "*" in action], statement


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_everything_is_allowed_on_all_resources_only_with_a_reason(file: Path) -> None:
    lines = file.read_text().splitlines()
    wide = [line for line in lines if re.search(r"""Resource: \[?["']?\*["']?(\s|\]|}|$)""", line)]
    assert [line for line in wide if not re.search(r"# \w+ \w+", line)] == []
    # The search above sees all of them: the parsed template has no other.
    statements = list(_statements(yaml_parse(file.read_text())))
    assert len(wide) == sum("*" in _listed(statement.get("Resource")) for statement in statements)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_nobody_unnamed_is_allowed_anything(file: Path) -> None:
    for statement in _statements(yaml_parse(file.read_text())):
        assert statement["Effect"] == "Deny" or statement.get("Principal") not in ("*", {"AWS": "*"})


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]
