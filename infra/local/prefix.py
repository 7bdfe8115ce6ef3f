"""The prefix that tells deployments on one stack apart, and the names that follow from it."""

import argparse

DEFAULT_PREFIX = "storewatch"


def add_prefix_argument(parser: argparse.ArgumentParser) -> None:
    """The option that every command on a deployment has."""
    parser.add_argument("--prefix", default=DEFAULT_PREFIX, help="which deployment (default: %(default)s)")
