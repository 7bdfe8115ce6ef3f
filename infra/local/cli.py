"""Parses a command's arguments and runs it, for the stack's commands and those in tests/."""

import argparse
import importlib
import sys
from collections.abc import Sequence

from infra.local.errors import StackError


def run(module_name: str, prog: str, argv: Sequence[str]) -> int:
    """Runs a module that has `add_arguments(parser)` and `main(args) -> int`. Returns its exit status.

    That is 1, with a message, if it fails for a reason that the user can act on, and 130 if it is interrupted.
    """
    module = importlib.import_module(module_name)
    parser = argparse.ArgumentParser(prog=prog, description=module.__doc__)
    module.add_arguments(parser)
    try:
        return int(module.main(parser.parse_args(argv)))
    except StackError as error:
        print(f"{prog}: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"{prog}: interrupted", file=sys.stderr)
        return 130
