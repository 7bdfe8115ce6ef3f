"""Finds the command that was asked for and runs it: one table, so that a new command is one line and one module."""

import argparse
import importlib
import sys
from collections.abc import Sequence

from stack.errors import StackError

# name -> (module, help). A module has `add_arguments(parser)` and `main(args) -> int`, and is imported only when its
# command is asked for, so that a broken one leaves the others working.
COMMANDS: dict[str, tuple[str, str]] = {
    "run": ("stack.run", "all from here to a tick's result: servers, build, sample, deployment, tick, report"),
    "build": ("stack.build", "start the servers while the workspace compiles"),
    "up": ("stack.up", "start the servers that are not running"),
    "down": ("stack.down", "stop the servers"),
    "status": ("stack.status", "show the servers, their addresses and logs"),
    "env": ("stack.env", "print the variables that point AWS clients and tests at the stack"),
    "sample": ("sample.command", "fill the servers with sample stores and keep their live view current"),
    "deploy": ("stack.deploy_local", "deploy the templates to the local AWS, with the sample as source"),
    "undeploy": ("stack.undeploy_local", "take a deployment off it again, its data too"),
    "tick": ("stack.tick", "run one tick through the deployed state machines"),
    "report": ("stack.report", "print a tick's result, read back from the lake"),
    "soak": ("soak.command", "a day of ticks in minutes, with faults, and an audit of what it wrote"),
    "bench-queries": (
        "measure.queries",
        "what typical queries of a day read and take, before it is compacted and after",
    ),
    "bench-repair": ("measure.repair", "what it takes to repair the catalog of many countries, in time and requests"),
    "invoke": ("stack.invoke", "run one function by hand through cargo lambda"),
    "trino": ("stack.trino", "start or stop Trino, the engine behind Athena, over the local lake"),
    "pgbouncer": ("stack.pgbouncer", "print the path of PgBouncer for tests, installed first if it is missing"),
    "query": ("stack.query", "run SQL on the local lake through Trino and print the result"),
    "docs": ("stack.docs", "write docs/tables.md anew from the schema, its queries run on a fixed sample"),
    "logs": ("stack.logs", "show what the functions have logged"),
    "test-engines": ("stack.engines", "run the live view's tests against every Elasticsearch and OpenSearch supported"),
    "check": ("stack.check", "lint templates, state machines, country files and Python"),
}


def main(argv: Sequence[str]) -> int:
    """Runs one command; its exit status, or 1 with a message when it fails for a reason that can be named."""
    listing = "\n".join(f"  {name:<13} {text}" for name, (_, text) in COMMANDS.items())
    parser = argparse.ArgumentParser(
        prog="stack",
        description="The real parts of Storewatch on this machine.",
        epilog=f"commands:\n{listing}\n\n`stack COMMAND --help` tells a command's options.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("command", choices=COMMANDS, metavar="COMMAND")
    # Only the first word is parsed here: the rest belongs to the command, whose module is not imported yet.
    name = parser.parse_args(argv[:1]).command
    module_name, text = COMMANDS[name]
    module = importlib.import_module(module_name)
    command_parser = argparse.ArgumentParser(prog=f"stack {name}", description=module.__doc__ or text)
    module.add_arguments(command_parser)
    try:
        return module.main(command_parser.parse_args(argv[1:]))
    except StackError as error:
        print(f"stack {name}: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"stack {name}: interrupted", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
