"""Prints shell commands that point AWS clients, tests and further stack commands at the stack: eval "$(stack env)"."""

import argparse
import shlex

from infra.local.config import Stack


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds no options: STACK_NAME chooses the stack."""


def main(_: argparse.Namespace) -> int:
    """Prints one export per line."""
    stack = Stack.load()
    variables = {**stack.aws.environment(), "STOREWATCH_STACK": str(stack.file), "STACK_NAME": stack.name}
    for name, value in variables.items():
        print(f"export {name}={shlex.quote(value)}")
    return 0
