"""What each Python environment holds. Deploying to AWS must not need the tests' packages."""

import subprocess

import pytest

from infra.packaging import ROOT


def run(group: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Runs the Python of a group. Installs the group if it is missing."""
    made = subprocess.run([ROOT / "infra/environment", group], check=True, capture_output=True, text=True)
    return subprocess.run([made.stdout.strip(), *arguments], check=False, cwd=ROOT, capture_output=True, text=True)


@pytest.mark.parametrize("module", ["infra", "infra.days"])
def test_the_commands_for_aws_run_in_the_deploy_environment(module: str) -> None:
    done = run("deploy", "-m", module, "--help")
    assert done.returncode == 0, done.stderr
    assert module in done.stdout


@pytest.mark.parametrize("package", ["pytest", "ministack", "mypy"])
def test_the_deploy_environment_lacks_packages_for_servers_and_tests(package: str) -> None:
    done = run("deploy", "-c", f"import {package}")
    assert "ModuleNotFoundError" in done.stderr


def test_an_unknown_group_is_an_error_that_lists_the_groups() -> None:
    done = subprocess.run([ROOT / "infra/environment", "nothing"], check=False, capture_output=True, text=True)
    assert done.returncode == 2
    assert "deploy|release|local|test|lint" in done.stderr
