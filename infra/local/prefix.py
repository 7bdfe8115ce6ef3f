"""The prefix that separates deployments on one stack, and the names made from it."""

import argparse

DEFAULT_PREFIX = "storewatch"


def add_prefix_argument(parser: argparse.ArgumentParser) -> None:
    """Adds the option that every command on a deployment has."""
    parser.add_argument("--prefix", default=DEFAULT_PREFIX, help="which deployment (default: %(default)s)")
