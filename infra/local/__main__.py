"""Finds the command that was asked for and runs it: one table, so that a new command is one line and one module."""

import argparse
import sys
from collections.abc import Sequence

from infra.local import cli

# The module of a command is infra.local.commands.<name>. It is imported only when its command is asked for, so that a
# broken one leaves the others working.
COMMANDS = {
    "run": "all from here to a tick's result: servers, build, sample, deployment, tick, report",
    "build": "start the servers while the workspace compiles",
    "up": "start the servers that are not running",
    "down": "stop the servers",
    "status": "show the servers, their addresses and logs",
    "env": "print the variables that point AWS clients and tests at the stack",
    "sample": "fill the servers with sample stores and keep their live view current",
    "deploy": "deploy the templates to the local AWS, with the sample as source",
    "undeploy": "take a deployment off it again, its data too",
    "tick": "run one tick through the deployed state machines",
    "report": "print a tick's result, read back from the lake",
    "invoke": "run one function by hand through cargo lambda",
    "pgbouncer": "print the path of PgBouncer for tests, installed first if it is missing",
    "trino": "start or stop Trino, the engine behind Athena, over the local lake",
    "query": "run SQL on the local lake through Trino and print the result",
    "docs": "write docs/tables.md anew from the schema, its queries run on a fixed sample",
    "generate": "write the Retry blocks of the state machines from statemachine/retries.toml",
    "logs": "show what the functions have logged",
    "test-engines": "run the live view's tests against every Elasticsearch and OpenSearch supported",
    "check": "lint templates, state machines, country files and Python",
}


def main(argv: Sequence[str]) -> int:
    """Runs one command; its exit status."""
    listing = "\n".join(f"  {name:<13} {text}" for name, text in COMMANDS.items())
    parser = argparse.ArgumentParser(
        prog="stack",
        description="The real parts of Storewatch on this machine.",
        epilog=f"commands:\n{listing}\n\n`stack COMMAND --help` tells a command's options.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("command", choices=COMMANDS, metavar="COMMAND")
    # Only the first word is parsed here: the rest belongs to the command, whose module is not imported yet.
    name = parser.parse_args(argv[:1]).command
    return cli.run(f"infra.local.commands.{name.replace('-', '_')}", f"stack {name}", argv[1:])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
