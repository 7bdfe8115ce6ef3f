"""Prints the path of PgBouncer, which tests of the PostgreSQL source start by themselves; installs it first."""

import argparse
import shutil

from stack.errors import StackError
from stack.packages import install

NAME = "pgbouncer"


def add_arguments(_: argparse.ArgumentParser) -> None:
    """No options."""


def main(_: argparse.Namespace) -> int:
    """Finds the program, which Debian puts where not every PATH looks."""
    if not _found():
        install(NAME, ["pgbouncer"], "tests need PgBouncer, and it is missing")
    if not (program := _found()):
        raise StackError(f"{NAME}: no such program, even after installing")
    print(program)
    return 0


def _found() -> str | None:
    return shutil.which(NAME, path="/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin")
