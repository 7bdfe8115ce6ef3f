"""Prints the path of PgBouncer, which tests of the PostgreSQL source start. Installs it if it is missing."""

import argparse
import shutil

from infra.local.errors import StackError
from infra.local.servers.packages import install

NAME = "pgbouncer"


def add_arguments(_: argparse.ArgumentParser) -> None:
    """No options."""


def main(_: argparse.Namespace) -> int:
    """Finds the program. Debian puts it where not every PATH looks."""
    if not _found():
        install(NAME, ["pgbouncer"], "PgBouncer, which tests need, is missing")
    if not (program := _found()):
        raise StackError(f"{NAME}: not found, even after installing it")
    print(program)
    return 0


def _found() -> str | None:
    return shutil.which(NAME, path="/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin")
