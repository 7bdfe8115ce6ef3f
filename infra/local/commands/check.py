"""Runs the checks that no compiler does: templates, state machines, country files, Python, and how they fit."""

import argparse
from collections.abc import Callable

from infra import tables_page
from infra.cost import page as cost_page
from infra.local.checks import dashboard, dependencies, links, newest_zones, python, retries, state_machines, templates
from infra.local.console import say

CHECKS: dict[str, Callable[[], list[str]]] = {
    "ruff": python.lint,
    "mypy": python.types,
    "imports": python.imports,
    "requirements.lock": python.packages,
    "templates": templates.lint,
    "docs/tables.md": tables_page.problems,
    "docs/scale-and-cost.md": cost_page.problems,
    "state machines": state_machines.validate,
    "substitutions": state_machines.check_substitutions,
    "errors and time limits": state_machines.check_states,
    "retry policy": retries.check_retries,
    "tables": templates.tables,
    "country files": templates.country_files,
    "dashboards": dashboard.problems,
    "dependencies": dependencies.problems,
    "links": links.problems,
}


def add_arguments(_: argparse.ArgumentParser) -> None:
    """No options."""


def main(_: argparse.Namespace) -> int:
    """Runs every check and prints all problems; 1 if there is one."""
    failed = 0
    for name, check in CHECKS.items():
        problems = check()
        say("check", f"{name}: {'failed' if problems else 'fine'}")
        for problem in problems:
            print(problem)
        failed += bool(problems)
    say("check", f"time zones: {newest_zones.advice()}")
    return 1 if failed else 0
