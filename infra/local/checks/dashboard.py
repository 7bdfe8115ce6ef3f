"""Checks the dashboards' files."""

from infra.dashboard import files
from infra.dashboard import problems as rules
from infra.errors import DeployError


def problems() -> list[str]:
    """What would fail on Athena, show nothing, or show too much."""
    try:
        return rules.problems(files.load())
    except DeployError as error:
        return [str(error)]
