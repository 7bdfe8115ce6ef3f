"""Checks the Python: lint, format, types, import layers, and that only locked packages are installed."""

from importlib import metadata

from infra.local.checks.programs import run
from infra.local.config import ROOT, VENV


def lint() -> list[str]:
    """What ruff finds."""
    return run(VENV / "bin/ruff", "check", ".") + run(VENV / "bin/ruff", "format", "--check", ".")


def types() -> list[str]:
    """What mypy finds."""
    return run(VENV / "bin/mypy")


def imports() -> list[str]:
    """Imports that break the layers of [tool.importlinter]."""
    return run(VENV / "bin/lint-imports", "--no-logo")


def packages() -> list[str]:
    """Installed packages that differ from requirements.lock."""
    lines = (ROOT / "requirements.lock").read_text().splitlines()
    locked = {_normal(line.partition("==")[0]): line.partition("==")[2] for line in lines if "==" in line}
    installed = {_normal(found.name): found.version for found in metadata.distributions()}
    return [
        f"{name} {version} is installed, but requirements.lock has {locked.get(name, 'no version')}: run `make lock`"
        for name, version in sorted(installed.items())
        # setuptools comes with the virtual environments of older Pythons.
        if name != "setuptools" and locked.get(name) != version
    ]


def _normal(name: str) -> str:
    return name.lower().replace("_", "-").replace(".", "-")
