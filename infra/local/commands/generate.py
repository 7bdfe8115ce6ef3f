"""Writes the Retry blocks of the state machines from statemachine/retries.toml."""

import argparse

from infra.local.checks import retries
from infra.local.config import ROOT
from infra.local.console import say


def add_arguments(_: argparse.ArgumentParser) -> None:
    """No options."""


def main(_: argparse.Namespace) -> int:
    """Writes the files that differ."""
    for file, text in retries.generated().items():
        if file.read_text() != text:
            file.write_text(text)
            say("generate", f"{file.relative_to(ROOT)} is written")
    return 0
