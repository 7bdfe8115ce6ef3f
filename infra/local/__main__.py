"""Finds and runs the requested command."""

import argparse
import sys
from collections.abc import Sequence

from infra.local import cli

# A command's module is infra.local.commands.<name>. It is imported only when the command runs, so a broken one does
# not break the others.
COMMANDS = {
    "run": "do everything: servers, build, sample, deployment, tick, report",
    "build": "start the servers while the workspace compiles",
    "up": "start the servers that are not running",
    "down": "stop the servers",
    "status": "show the servers, their addresses and logs",
    "env": "print shell exports that point AWS clients and tests at the stack",
    "sample": "fill the servers with sample stores and keep the live view current",
    "new-country": "write the file of a new country, and check it against its sources",
    "validate": "check a country file against its sources",
    "deploy": "deploy the templates to the local AWS, with the sample as sources",
    "undeploy": "remove a deployment and its data",
    "tick": "run one tick with the deployed state machines",
    "report": "print a tick's result, read back from the lake",
    "invoke": "run one function with cargo lambda",
    "pgbouncer": "print the path of PgBouncer for tests; installs it if it is missing",
    "trino": "start or stop Trino, the engine behind Athena, over the local lake",
    "query": "run SQL on the local lake through Trino and print the result",
    "dashboard": "start the dashboard on the local lake, and import everything into it",
    "workbench": "start the analysts' workbench on the local lake, and manage its users",
    "docs": "write docs/tables.md from the schema and run its queries on a fixed sample",
    "generate": "write the Retry blocks of the state machines from statemachine/retries.toml",
    "logs": "show the functions' logs",
    "test-engines": "run the live view's tests against every supported Elasticsearch and OpenSearch",
    "check": "lint templates, state machines, country files and Python",
}


def main(argv: Sequence[str]) -> int:
    """Runs one command and returns its exit status."""
    listing = "\n".join(f"  {name:<13} {text}" for name, text in COMMANDS.items())
    parser = argparse.ArgumentParser(
        prog="stack",
        description="Storewatch on this machine, on real servers.",
        epilog=f"commands:\n{listing}\n\n`stack COMMAND --help` lists a command's options.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("command", choices=COMMANDS, metavar="COMMAND")
    # Parses only the first word. The command's own module parses the rest.
    name = parser.parse_args(argv[:1]).command
    return cli.run(f"infra.local.commands.{name.replace('-', '_')}", f"stack {name}", argv[1:])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
